"""Collect the weights that come with neurofit from the runs of examples/train_ablations.py.

    python benchmarks/tiny_zoo.py RUNS [--data cifar10]

Copies the weights of seed 0 (RUNS/NAME-0/NAME.safetensors) to models/weights and adds top-1 on the
first 2,000 test images to the training card, which a test can verify quickly. Models that are not
in train_ablations.py are trained with `neurofit train --seed 0 --out RUNS/NAME-0`.
"""

import argparse
import json
from pathlib import Path

from neurofit.data_loaders import load_images
from neurofit.models import create_model, list_models, load_weights, save_weights
from neurofit.models.catalogue import WEIGHTS
from neurofit.training.batches import evaluation_batches
from neurofit.training.evaluate import evaluate


def main() -> None:
    """Copy the weights and print one line per training card."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, help="folder of the runs")
    parser.add_argument("--data", default="cifar10")
    options = parser.parse_args()
    images = load_images(options.data)
    batches = list(
        evaluation_batches(images.test.first(2_000), size=32, views=images.views, batch_size=250)
    )
    for name in list_models("*_tiny"):
        model = create_model(name, weights="random")
        metadata = load_weights(model, options.runs / f"{name}-0" / f"{name}.safetensors")
        card = {
            **json.loads(metadata["training"]),
            "top1_of_first_2000": evaluate(model, batches).top1,
        }
        save_weights(
            model, WEIGHTS / f"{name}.safetensors", metadata={"training": json.dumps(card)}
        )
        print(f"| {name} | {card['n_parameters']:,} | {card['top1']:.2%} | {card['top5']:.2%} |")


if __name__ == "__main__":
    main()
