"""
Which layer, which step?
========================

A model has many layers and timesteps, and the best of many is too good by chance. All layers are
scored in all time bins, and the layer that stands for the area is chosen on training images, which
have no part in its score. The map of recorded time against model time shows which step is meant.

Difficulty: intermediate. Time: about 50 s on two cores.
"""

import warnings

import numpy as np
from matplotlib import pyplot as plt

import neurofit
from neurofit import figures
from neurofit.data_loaders import hvm_sim

warnings.filterwarnings("ignore", "Bins of")  # that counts are summed, which is meant

# %%
# All layers with a cell
# ----------------------
# One pass over the images extracts all layers. Those without a cell fall silent when the image goes
# off; they cannot predict the late response and are left out. ``layers="all"`` scores each of the
# others.

recording = neurofit.Selection(region="IT", bins="90:190:20").apply(
    neurofit.load_recording("hvm-sim")
)
activations = neurofit.extract(
    neurofit.create_model("rgc_tiny"), recording.stimuli, layers=["conv3", "conv4", "conv5"]
)
config = neurofit.ScoreConfig(layers="all", n_splits=3, n_halves=2)
scores = neurofit.score(activations, recording, config)
print("noise-corrected r in", *(f"{start}-{end}" for start, end in recording.time_bins), "ms")
for layer in scores.layer.values:
    print(f"{layer:8}", *(f"{r:5.2f}" for r in scores.curve.sel(layer=layer).values))

# %%
# The layer that may be reported
# ------------------------------
# In each split, layers are fitted to a part of the training images and compared on the others. The
# test images have no part in this choice, so the score of the layer that it names is not the best
# of many.

chosen, counts = np.unique(scores.layer_choice.values, return_counts=True)
for layer, n in zip(chosen, counts, strict=True):
    print(f"{layer} is chosen in {n} of {counts.sum()} splits")

# %%
# Which step of it?
# -----------------
# A map for each time bin takes the model's step of the same time. ``geometry`` needs no map: it
# asks at which model time images are placed as the area places them at each recorded time,
# corrected for noise (debiased CKA). The network that the simulated sites read, the teacher, shows
# what to expect of the right dynamics.

layer = str(chosen[counts.argmax()])
teacher = hvm_sim.load_teacher(hvm_sim.folder())
models = {
    f"rgc_tiny, {layer}": (activations, layer),
    "teacher, layer10": (
        neurofit.extract(
            teacher, recording.stimuli, layers=["layer10"], time_bins=recording.time_bins
        ),
        "layer10",
    ),
}
geometries = {}
for name, (features, its_layer) in models.items():
    options = neurofit.GeometryConfig(layers=(its_layer,), n_halves=3, n_groups=5)
    geometries[name] = neurofit.geometry(features, recording, options)
    over_time = geometries[name].geometry.sel(layer=its_layer)
    best = over_time.time_bin_model.values[over_time.values.argmax(axis=0)]
    print(f"{name}: most like IT at {recording.time_bins[0][0]} to {recording.time_bins[-1][1]} ms")
    print("  at model time", *(f"{time:.0f}" for time in best), "ms")

with figures.style():
    figure, axes = plt.subplot_mosaic(
        [["scores", "scores"], list(geometries)],
        figsize=(6.8, 4.6),
        height_ratios=(1, 1.5),
        layout="constrained",
    )
    figures.layers(scores, axes["scores"])
    axes["scores"].set_title("rgc_tiny: score of each layer (bold: chosen)")
    for name, geometry in geometries.items():
        figures.layers(geometry, axes[name])
        axes[name].set_title(name)
plt.show()

# %%
# What may not be concluded
# -------------------------
# - The highest value of the map on the left is not the score of the model: of many layers and bins,
#   the best is too good by chance.
# - A layer that predicts an area best is not "the" layer of that area; wide layers give a
#   regression more to work with.
# - That an early step fits best at all recorded times does not mean that the area has no dynamics.
#   It may mean that those of the model are others.
# - A step stands for 10 ms because neurofit says so; another duration would move the map.
