"""Train the tiny zoo with several seeds, to compare kinds of recurrence.

    python examples/train_ablations.py --data cifar10 --out runs
    python examples/train_ablations.py

The first command takes about 5 minutes for each of the 27 runs on one core; the second is a trial
on 128 generated images and takes seconds. Both print top-1 on the test images.

Interrupted runs are resumed, finished ones are not repeated. docs/tiny_zoo.md has the table that
this script printed.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

import neurofit
from neurofit.data_loaders import load_images
from neurofit.data_loaders.labelled_images import ImageSet, LabelledImages
from neurofit.models.weight_files import training_card
from neurofit.training.recipes import make_recipe

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


def stripes(n: int, seed: int) -> LabelledImages:
    """Return images of two classes: vertical and horizontal stripes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=n)
    waves = 128 + 100 * np.sin(np.arange(32) * rng.uniform(0.5, 1.5, (n, 1)))
    planes = np.where(labels[:, None, None] == 0, waves[:, None, :], waves[:, :, None])
    return LabelledImages(
        images=np.repeat(planes[..., None], 3, axis=-1).astype(np.uint8), labels=labels
    )


def main() -> None:
    """Train the missing models and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
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
        config, models = (
            replace(config, epochs=2, batch_size=32, lr=0.01),
            ["feedforward_tiny", "rgc_tiny"],
        )
    with tempfile.TemporaryDirectory() as temporary:
        runs = options.out or Path(temporary)
        print(
            f"top-1 in % on the {len(images.test):,} test images of {images.name}, mean and "
            f"standard deviation of {options.seeds} seeds"
        )
        for name in models:
            scores = []
            for seed in range(options.seeds):
                folder = runs / f"{name}-{seed}"
                weights = folder / f"{name}.safetensors"
                if not weights.is_file():
                    model = neurofit.create_model(
                        name, weights="random", seed=seed, n_classes=len(images.classes)
                    )
                    neurofit.train(
                        model, images, replace(config, seed=seed), out=folder, resume="auto"
                    )
                scores.append(100 * training_card(weights)["top1"])
            card = training_card(weights)
            spread = np.std(scores, ddof=1) if len(scores) > 1 else float("nan")
            listed = " ".join(f"{score:.2f}" for score in scores)
            print(
                f"{name:24}{MODELS[name]:22}{card['n_parameters']:9,}  {np.mean(scores):6.2f} +- "
                f"{spread:.2f}  ({listed})",
                flush=True,
            )


if __name__ == "__main__":
    main()
