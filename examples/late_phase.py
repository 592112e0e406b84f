"""
Does my model have the late phase?
==================================

A model may predict V4 late in the response for two reasons: its dynamics are like those of V4, or
its features are good and the regression does the rest. Here one model is scored with a map for each
time bin, with one map for all bins, and without its dynamics. A network for which the
answer is known is scored in the same way.

Difficulty: beginner. Time: about 40 s on two cores.
"""

import json
import warnings

from matplotlib import pyplot as plt

import neurofit
from neurofit import figures
from neurofit.activations.baselines import baselines_of
from neurofit.data_loaders import hvm_sim

warnings.filterwarnings("ignore", "Bins of")  # that counts are summed, which is meant

# %%
# A recording with known truth
# ----------------------------
# The V4 sites of ``hvm-sim`` are simulated: they read a recurrent network, the teacher. Bins of 40
# ms, few splits and few trial halves keep this example short.

recording = neurofit.Selection(region="V4", bins="70:190:40").apply(
    neurofit.load_recording("hvm-sim")
)
models = {
    "timedecay_tiny": (neurofit.create_model("timedecay_tiny"), "conv3"),
    "teacher": (hvm_sim.load_teacher(hvm_sim.folder()), "layer6"),
}

# %%
# Two time modes, with and without dynamics
# -----------------------------------------
# ``per-bin`` fits a map for each time bin. It asks whether the features suffice at each time, and a
# static network can pass. ``fixed`` fits one map for all bins, so that changes over time have to
# come from the model. The baseline ``last-step`` is the model without its dynamics: its activations
# at the last timestep that the image drives, in every bin.

results = {}
print("noise-corrected r in", *(f"{start}-{end}" for start, end in recording.time_bins), "ms")
for name, (model, layer) in models.items():
    dynamic = neurofit.extract(
        model, recording.stimuli, layers=[layer], time_bins=recording.time_bins
    )
    static = baselines_of(dynamic, recording.time_bins, layers=[layer])["last-step"]
    for words, activations in (("with", dynamic), ("without", static)):
        for time_mode in ("per-bin", "fixed"):
            config = neurofit.ScoreConfig(
                layers=(layer,), time_mode=time_mode, n_splits=3, n_halves=2
            )
            result = neurofit.score(activations, recording, config)
            results[name, time_mode, words] = result
            print(
                f"{name:15} {time_mode:8} {words:8} dynamics",
                *(f"{value:6.2f}" for value in result.curve.values[0]),
            )

# %%
# Do the dynamics help?
# ---------------------
# Both scores of a comparison are on the same images, sites and splits, so their difference is
# paired.

for name in models:
    for time_mode in ("per-bin", "fixed"):
        pair = [results[name, time_mode, words] for words in ("with", "without")]
        comparison = neurofit.compare(pair, windows=())
        print(f"{name}, {time_mode}: {json.loads(comparison.attrs['conclusion'])[0]}\n")

# %%
# Per bin, the model does as well without its dynamics as with them. With one map for all bins the
# dynamics of the teacher raise its score in every bin, as they must, because the sites read it.
# Those of the model do not.

with figures.style():
    figure, axes = plt.subplots(1, 2, sharey=True, figsize=(6.4, 2.9), layout="constrained")
    blue, orange, *_ = plt.rcParams["axes.prop_cycle"].by_key()["color"]
    titles = {"per-bin": "A map for each time bin", "fixed": "One map for all time bins"}
    for ax, (time_mode, title) in zip(axes, titles.items(), strict=True):
        for (name, mode, words), result in results.items():
            if mode != time_mode:
                continue
            colour = {"timedecay_tiny": blue, "teacher": orange}[name]
            low, high = (result[end].values[0] for end in ("curve_low", "curve_high"))
            ax.fill_between(result.time_bin, low, high, color=colour, alpha=0.2, linewidth=0)
            ax.plot(
                result.time_bin,
                result.curve.values[0],
                color=colour,
                linestyle={"with": "-", "without": "--"}[words],
                marker="o",
                label=f"{name} {words} dynamics",
            )
        ax.set(title=title, xlabel="Time from image onset (ms)", ylim=(0, 1))
    axes[0].set_ylabel("Noise-corrected predictivity (r)")
    handles = axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper left", ncols=2, handlelength=3)
plt.show()

# %%
# What may not be concluded
# -------------------------
# - The score ``per-bin`` does not test dynamics, however high it is late in the response.
# - A model whose dynamics help in ``fixed`` does not have the *mechanism* of the area: other
#   dynamics may have the same time course.
# - The sites are simulated. How a model does here says nothing about V4.
# - Three splits and two halves are too few for a paper; the defaults are ten of each.
