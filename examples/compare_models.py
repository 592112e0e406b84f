"""Compare two models on simulated V4, and draw the difference into comparison.png.

Less than half a minute on one core once hvm-sim is built. To save time, the window is short, and
splits and halves are few; docs/compare.md explains what is tested.
"""

import json

import neurofit
from neurofit import figures

recording = neurofit.load_recording("hvm-sim", region="V4", window=(70, 130))
config = neurofit.ScoreConfig(layers=("conv3",), n_splits=4, n_halves=4)
print("noise-corrected r in", *(f"{start}-{end}" for start, end in recording.time_bins), "ms")
results = []
for name in ("rgc_tiny", "timedecay_tiny"):
    activations = neurofit.extract(
        neurofit.create_model(name),
        recording.stimuli,
        layers=["conv3"],
        time_bins=recording.time_bins,
    )
    results.append(neurofit.score(activations, recording, config))
    print(f"{name:15}", *(f"{value:5.2f}" for value in results[-1].curve.values[0]))

# The results are on the same images, neuroids, splits and halves, so the difference is paired.
comparison = neurofit.compare(results, windows=())
for sentence in json.loads(comparison.attrs["conclusion"]):
    print(sentence)
figures.save(figures.draw(comparison), "comparison.png")
print("Written: comparison.png")
