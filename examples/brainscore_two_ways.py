"""
How do I submit to Brain-Score?
===============================

neurofit's models are models of Brain-Score, and its metric and benchmarks are plug-ins. A model is
scored on one recording with Brain-Score's own metric and ceiling and with neurofit; the numbers are
equal. What a submission consists of is said at the end.

Difficulty: advanced. Time: about 60 s on two cores.

Brain-Score needs an environment of its own: ``pip install 'neurofit[brainscore]'``
(docs/brainscore.md). This page is therefore shown without its output.
"""

import neurofit.brainscore  # before brainscore_vision: it sets the folders of its caches

neurofit.brainscore.register()

import tempfile
from pathlib import Path

import brainscore_vision
import numpy as np
from brainscore_vision.benchmark_helpers.neural_common import average_repetition, explained_variance
from matplotlib import pyplot as plt

from neurofit import figures
from neurofit.brainscore.export import export

# %%
# One recording, one model
# ------------------------

recording = neurofit.load_recording("hvm-sim", region="V4", window=(70, 110))
model = brainscore_vision.load_model("neurofit-rgc_tiny")
model.start_recording("V4", time_bins=recording.time_bins)

# %%
# Brain-Score: assemblies, a metric and a ceiling
# -----------------------------------------------

trials = neurofit.brainscore.to_assembly(recording)
features = model.look_at(trials.stimulus_set)
metric = brainscore_vision.load_metric(
    "spantime_pls", crossvalidation_kwargs={"stratification_coord": "object_name"}
)
ceiling = brainscore_vision.load_ceiling("internal_consistency_temporal")(trials)
theirs = explained_variance(metric(features, average_repetition(trials)), ceiling)

# %%
# neurofit: a recording, activations and a preset
# -----------------------------------------------

recording = neurofit.brainscore.from_assembly(trials)
activations = neurofit.brainscore.activations_of(model, recording, region="V4")
config = neurofit.make_config("brainscore", layers=("V4",), time_mode="fixed", intercept="shared")
ours = neurofit.score(activations, recording, config)

print("explained variance")
for (start, end), one, other in zip(
    recording.time_bins, theirs.values, ours.curve.values[0], strict=True
):
    print(f"{start}-{end} ms  Brain-Score {one:.6f}  neurofit {other:.6f}")
np.testing.assert_allclose(ours.curve.values[0], theirs.values, atol=1e-6)

with figures.style():
    figure, ax = plt.subplots(figsize=(3.4, 2.6), layout="constrained")
    middles = [(start + end) / 2 for start, end in recording.time_bins]
    ax.plot(middles, theirs.values, "o", markersize=7, markerfacecolor="none", label="Brain-Score")
    ax.plot(middles, ours.curve.values[0], "x-", label="neurofit")
    ax.set(xlabel="Time from image onset (ms)", ylabel="Explained variance")
    ax.set_ylim(0, 1.2 * float(theirs.values.max()))
    ax.legend()
plt.show()

# %%
# What is submitted
# -----------------
# ``neurofit brainscore export submission --model rgc_tiny`` writes the plug-in of a model. The
# folder is zipped and uploaded on Brain-Score's website; docs/brainscore.md tries it here first.

with tempfile.TemporaryDirectory() as folder:
    export("rgc_tiny", Path(folder) / "submission")
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            print(path.relative_to(folder))

# %%
# What may not be concluded
# -------------------------
# - Equal numbers show that both programs compute the same, not that it is the right number: this
#   score is not corrected for the noise of the maps, which learned from noisy trials.
# - The responses are simulated. Nothing here is a score on a benchmark of Brain-Score.
# - A score on the machines of Brain-Score is of its data, its degrees of visual angle and its
#   splits.
