"""Score one model on one recording with Brain-Score and with neurofit, and compare the numbers.

About a minute once hvm-sim is built. Requires Brain-Score in a separate environment:
pip install 'neurofit[brainscore]' (docs/brainscore.md).
"""

import neurofit.brainscore  # before brainscore_vision: it sets the folders of its caches

neurofit.brainscore.register()

import brainscore_vision
import numpy as np
from brainscore_vision.benchmark_helpers.neural_common import average_repetition, explained_variance

recording = neurofit.load_recording("hvm-sim", region="V4", window=(70, 110))
model = brainscore_vision.load_model("neurofit-rgc_tiny")
model.start_recording("V4", time_bins=recording.time_bins)

# Brain-Score: assemblies, a metric and a ceiling.
trials = neurofit.brainscore.to_assembly(recording)
features = model.look_at(trials.stimulus_set)
metric = brainscore_vision.load_metric(
    "spantime_pls", crossvalidation_kwargs={"stratification_coord": "object_name"}
)
ceiling = brainscore_vision.load_ceiling("internal_consistency_temporal")(trials)
theirs = explained_variance(metric(features, average_repetition(trials)), ceiling)

# neurofit: a recording, activations and a preset.
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
