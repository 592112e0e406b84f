"""
Is model A better than model B, and when?
=========================================

Two models are scored on the same images, sites, splits and trial halves. Their difference is
therefore paired: what both share cancels. It is tested over the whole curve, in an early and a late
window, and in each time bin.

Difficulty: beginner. Time: about 30 s on two cores.
"""

import json

import neurofit
from neurofit import figures

# %%
# Score both models
# -----------------
# To save time, the window is short, and splits and halves are few.

recording = neurofit.load_recording("hvm-sim", region="V4", window=(70, 150))
config = neurofit.ScoreConfig(layers=("conv3",), n_splits=4, n_halves=4)
print("noise-corrected r in", *(f"{start}-{end}" for start, end in recording.time_bins), "ms")
results = []
for name in ("timedecay_tiny", "rgc_tiny"):
    activations = neurofit.extract(
        neurofit.create_model(name),
        recording.stimuli,
        layers=["conv3"],
        time_bins=recording.time_bins,
    )
    results.append(neurofit.score(activations, recording, config))
    print(f"{name:15}", *(f"{value:5.2f}" for value in results[-1].curve.values[0]))

# %%
# Compare them
# ------------
# The claim is about other sites of the area and other images (``over="both"``, the default). A
# difference between windows is a test of its own: that one window is significant and the other is
# not says nothing about a change.

comparison = neurofit.compare(results, windows=((70, 110), (110, 150)))
for sentence in json.loads(comparison.attrs["conclusion"]):
    print(f"- {sentence}")

# %%
# The shaded interval is for a time bin that was chosen beforehand. The thin lines are a band for
# all time bins at once; the bar at the top marks the bins in which it excludes 0.

figures.show(figures.draw(comparison))

# %%
# What may not be concluded
# -------------------------
# - Intervals of two models that overlap do not make them equal, and the first bin with a
#   significant difference is not its onset.
# - The models differ in width as well as in their cells, so that the difference is not one of
#   recurrence alone: see ``train_ablations.py``.
# - A difference says nothing about animals that were not recorded. Here there are none at all: the
#   sites are simulated.
