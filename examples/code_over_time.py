"""
Does the code turn over time?
=============================

A map that is fitted in one time bin is tested on the responses of all others. If the sites keep
their code, it predicts them as well as a map of their own; if the code turns, it does not. Trial
noise is taken out on both sides, and bins of different reliability are comparable.

Difficulty: intermediate. Time: about 30 s on two cores.
"""

import warnings

from matplotlib import pyplot as plt

import neurofit
from neurofit import figures

warnings.filterwarnings("ignore", "Bins of")  # that counts are summed, which is meant

# %%
# Two areas, one model
# --------------------
# Maps from ``timedecay_tiny`` to simulated V4 and IT, in bins of 20 ms.

recording = neurofit.load_recording("hvm-sim")
model = neurofit.create_model("timedecay_tiny")
results = {}
for region, layer, bins in (("V4", "conv3", "70:210:20"), ("IT", "conv5", "90:210:20")):
    area = neurofit.Selection(region=region, bins=bins).apply(recording)
    activations = neurofit.extract(model, area.stimuli, layers=[layer], time_bins=area.time_bins)
    config = neurofit.GeneralisationConfig(layers=(layer,), n_splits=4, n_halves=3)
    results[region] = neurofit.generalisation(activations, area, config)

# %%
# The tested quantity
# -------------------
# *D* is the mean score of two maps when each is tested at the other's time, minus the mean of
# their scores at their own time. It is 0 for a code that stays, however good either map is. Between
# the early window (70-130 ms) and the late one (130-260 ms):

for region, result in results.items():
    d = result.isel(layer=0, windows=0)
    print(
        f"{region}: D = {d.window_difference.item():.3f} (95% interval "
        f"{d.window_difference_low.item():.3f} to {d.window_difference_high.item():.3f}), "
        f"p = {d.window_p.item():.2g}; maps keep {100 * d.window_ratio.item():.0f}% of their "
        "score in the other window"
    )

# %%
# Each row of a map is one map from features to responses, each column a time at which it is tested.

with figures.style():
    figure, axes = plt.subplots(1, 2, figsize=(6.8, 2.9), layout="constrained")
    top = max(result.generalisation.max().item() for result in results.values())
    for ax, (region, result) in zip(axes, results.items(), strict=True):
        figures.layers(result, ax, limits=(0, top), colorbar=region == "IT")
        ax.set_title(region)
    axes[1].set_ylabel("")
plt.show()

# %%
# What may not be concluded
# -------------------------
# - *D* is about the part of the responses that this model explains. The rest may turn, or stay.
# - A code that stays does not mean that nothing happens: all sites may rise and fall together.
# - *D* says nothing about whether the model has the dynamics of the area; one map for all time bins
#   does (``late_phase.py``).
# - An effect that is significant may be small: look at the percentage.
