"""
Which recurrence helps the task?
================================

Networks that differ in their recurrent cells are trained with several seeds and compared by their
accuracy. All have about the same number of parameters. The default is a trial in seconds: two
networks and 128 generated images. The experiment itself takes about 5 minutes for each of 27 runs
on one core, and docs/tiny_zoo.md has the table that it printed::

    python examples/train_ablations.py --data cifar10 --out runs

Interrupted runs are resumed, finished ones are not repeated.

Difficulty: intermediate. Time: about 20 s on two cores.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import neurofit
from neurofit import figures
from neurofit.data_loaders import load_images
from neurofit.data_loaders.labelled_images import ImageSet, LabelledImages
from neurofit.models.weight_files import training_card
from neurofit.training.recipes import make_recipe

# %%
# The networks
# ------------
# Two switches of the cell of a "vanilla" recurrent network (bypassing and gating), other cells, and
# controls without recurrence or with leaky integrators.

MODELS = {
    "feedforward_tiny": "none",
    "timedecay_tiny": "leaky integrators",
    "simplernn_tiny": "vanilla",
    "rnn_bypass_tiny": "vanilla + bypassing",
    "rnn_gating_tiny": "vanilla + gating",
    "rnn_bypass_gating_tiny": "vanilla + both",
    "lstm_tiny": "LSTM",
    "rgc_tiny": "RGC",
    "rgc_feedback_tiny": "RGC + feedback",
}


# %%
# The task
# --------
# Images and labels are CIFAR-10 or a folder of yours (``--data``); without either, vertical and
# horizontal stripes in noise.


def stripes(n: int, seed: int) -> LabelledImages:
    """Return images of two classes in noise: vertical and horizontal stripes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=n)
    waves = 128 + 70 * np.sin(np.arange(32) * rng.uniform(0.5, 1.5, (n, 1)))
    planes = np.where(labels[:, None, None] == 0, waves[:, None, :], waves[:, :, None])
    planes = (planes + rng.normal(0, 60, planes.shape)).clip(0, 255)
    return LabelledImages(
        images=np.repeat(planes[..., None], 3, axis=-1).astype(np.uint8), labels=labels
    )


parser = argparse.ArgumentParser(description="Train networks that differ in their recurrence.")
parser.add_argument("--data", help="cifar10, folder:PATH ...; default: generated images")
parser.add_argument("--out", type=Path, help="folder of the runs")
parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
options = parser.parse_args()

config, models = make_recipe("cifar10-tiny"), list(MODELS)
if options.data:
    images = load_images(options.data)
else:
    images = ImageSet(
        name="stripes",
        classes=("vertical", "horizontal"),
        train=stripes(128, 0),
        test=stripes(64, 1),
        views="thumbnails",
    )
    config = replace(config, epochs=3, batch_size=32, lr=0.01)
    models = ["feedforward_tiny", "rgc_tiny"]

# %%
# Train and test
# --------------
# A run is a folder with the weights and a card that states how they were made. Each seed has other
# initial weights and another order of the images.

print(
    f"top-1 in % on the {len(images.test):,} test images of {images.name}, mean and standard "
    f"deviation of {options.seeds} seeds"
)
top1: dict[str, list[float]] = {}
with tempfile.TemporaryDirectory() as temporary:
    for name in models:
        top1[name] = []
        for seed in range(options.seeds):
            folder = (options.out or Path(temporary)) / f"{name}-{seed}"
            weights = folder / f"{name}.safetensors"
            if not weights.is_file():
                model = neurofit.create_model(
                    name, weights="random", seed=seed, n_classes=len(images.classes)
                )
                neurofit.train(model, images, replace(config, seed=seed), out=folder, resume="auto")
            card = training_card(weights)
            top1[name].append(100 * card["top1"])
        spread = np.std(top1[name], ddof=1) if options.seeds > 1 else float("nan")
        listed = " ".join(f"{score:.2f}" for score in top1[name])
        print(
            f"{name:24}{MODELS[name]:22}{card['n_parameters']:9,}  {np.mean(top1[name]):6.2f} +- "
            f"{spread:.2f}  ({listed})",
            flush=True,
        )

# %%
# Each point is a seed, each line the mean of a network.

with figures.style():
    figure, ax = plt.subplots(figsize=(4.7, 1.3 + 0.25 * len(models)), layout="constrained")
    blue, orange, *_ = plt.rcParams["axes.prop_cycle"].by_key()["color"]
    for row, scores in enumerate(top1.values()):
        ax.plot(scores, [row] * len(scores), "o", color=blue, alpha=0.6, markeredgewidth=0)
        ax.plot([np.mean(scores)] * 2, [row - 0.3, row + 0.3], color=orange)
    ax.set_yticks(range(len(models)), [MODELS[name] for name in models])
    ax.axvline(100 / len(images.classes), color="0.6", linestyle=":", label="chance")
    figure.legend(loc="outside upper left")
    ax.set(ylim=(len(models) - 0.5, -0.5), xlabel=f"Top-1 on {images.name} (%)")
plt.show()

# %%
# What may not be concluded
# -------------------------
# - The trial is too small for any statement: its images are stripes, and a few steps are trained.
# - Three seeds bound a mean loosely; a difference smaller than the spread of seeds is none.
# - What helps the task need not help to predict an area: compare their scores too
#   (``compare_models.py``).
