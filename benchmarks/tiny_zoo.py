"""From the runs of examples/train_ablations.py to the weights that come with neurofit.

    python benchmarks/tiny_zoo.py RUNS --data cifar10

Copies the weights of seed 0 (RUNS/NAME-0/NAME.safetensors) to models/weights, with top-1 of the first 2,000 test images added to the card,
which a test can check in a moment. Runs of models without further seeds are made by `neurofit train --seed 0 --out RUNS/NAME-0`.
"""

import argparse
import json
from pathlib import Path

from neurofit.batches import evaluation_batches
from neurofit.data_loaders import load_images
from neurofit.evaluate import evaluate
from neurofit.models import create_model, list_models, load_weights, save_weights
from neurofit.models.catalogue import WEIGHTS


def main() -> None:
    """Copy the weights, and print a line of each card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--data", default="cifar10")
    asked = parser.parse_args()
    images = load_images(asked.data)
    batches = list(evaluation_batches(images.test.first(2_000), size=32, views=images.views, batch_size=250))
    for name in list_models("*_tiny"):
        model = create_model(name, seed=None)
        metadata = load_weights(model, asked.runs / f"{name}-0" / f"{name}.safetensors")
        card = {**json.loads(metadata["training"]), "top1_of_first_2000": evaluate(model, batches).top1}
        save_weights(model, WEIGHTS / f"{name}.safetensors", metadata={"training": json.dumps(card)})
        print(f"| {name} | {card['n_parameters']:,} | {card['top1']:.2%} | {card['top5']:.2%} |")


if __name__ == "__main__":
    main()
