"""Train the models of the claim and test them; resumable, cheapest first.

    OMP_NUM_THREADS=1 python benchmarks/claim/run.py RUNS [--data cifar10] [--only KEY ...]

For each model, learning rate and clip are chosen on validation images (RUNS/tuning/...); then three
seeds are trained on all training images (RUNS/KEY-SEED) and tested on clean, occluded and cluttered
test images. An interrupted run is resumed. Outcomes are written to benchmarks/claim/outcomes, from
which `page.py` makes the table of docs/claim.md; seeds and settings found there are not repeated,
unless --outcomes names another folder. With --settings docs/claim.json, learning rates and clips
that the file has are not chosen again.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from images import KINDS, change
from outcomes import OUTCOMES, Outcome, finished
from plan import CLIPS, RATES, RECIPE, ROWS, SEEDS, VALIDATION, Row

from neurofit.data_loaders import load_images
from neurofit.data_loaders.labelled_images import ImageSet
from neurofit.errors import NeurofitError
from neurofit.models import create_model, load_weights
from neurofit.models.weight_files import training_card
from neurofit.training.recipes import make_recipe
from neurofit.training.train import train

AT_CHANCE = 1.5
"""A net has diverged if it ends with an accuracy below this many times chance."""


def main() -> None:
    """Do what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, help="folder of the runs")
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--only", nargs="+", help="keys of rows", default=[])
    parser.add_argument("--outcomes", type=Path, default=OUTCOMES, help="folder of the outcomes")
    parser.add_argument("--settings", type=Path, help="learning rates and clips, chosen before")
    options = parser.parse_args()
    chosen = json.loads(options.settings.read_text()) if options.settings else {}
    of_models = {
        each["model"]: {name: each[name] for name in ("lr", "clip")} for each in chosen.values()
    }
    images = load_images(options.data)
    rows = [row for row in ROWS if not options.only or row.key in options.only]
    tests = {kind: test_pictures(images, kind) for kind in KINDS}
    for seed in SEEDS:
        for row in rows:
            found = finished(row, options.outcomes)
            if seed in found:
                continue
            before = next((each.settings for each in found.values()), of_models.get(row.model))
            settings = settle(row, images, options.runs, seed, before=before, found=found)
            for each in range(seed + 1):
                if each not in found or found[each].settings != settings:
                    outcome = test(
                        row.model, options.runs / f"{row.key}-{each}", tests, images.test.labels
                    )
                    outcome.write(options.outcomes / f"{row.key}-{each}.npz")
            print(f"{row.key}, seed {seed}: {settings}", flush=True)


def settle(
    row: Row,
    images: ImageSet,
    runs: Path,
    seed: int,
    *,
    before: dict[str, Any] | None,
    found: Mapping[int, Outcome],
) -> dict[str, Any]:
    """Train the seeds of a row up to one of them; return learning rate and clip, equal for all.

    They are those chosen before, or the best ones on validation images, with which no final run
    diverges. Seeds whose outcome is found with the same settings are not trained again.
    """
    marks = runs / "tuning" / f"{row.key}.diverged"
    diverged = marks.read_text().splitlines() if marks.is_file() else []
    for settings in candidates(row, images, runs / "tuning", before=before):
        if str(settings) in diverged:
            continue
        left = [each for each in range(seed + 1) if each not in found]
        left += [each for each, outcome in found.items() if outcome.settings != settings]
        folders = {each: runs / f"{row.key}-{each}" for each in sorted(set(left))}
        try:
            for each, folder in folders.items():
                top1 = fit(row.model, images, folder, seed=each, epochs=row.epochs, **settings)
                if top1 < AT_CHANCE / len(images.classes):
                    raise NeurofitError(f"seed {each} ends at {top1:.2%}, which is chance.")
            return settings
        except NeurofitError as error:
            print(f"{row.key} with {settings}: {error}", flush=True)
            diverged.append(str(settings))
            marks.parent.mkdir(parents=True, exist_ok=True)
            marks.write_text("\n".join(diverged))
            for folder in folders.values():
                shutil.rmtree(folder, ignore_errors=True)
    raise NeurofitError(f"{row.key} diverges with all settings.")


def candidates(
    row: Row, images: ImageSet, runs: Path, *, before: dict[str, Any] | None
) -> Iterator[dict[str, Any]]:
    """Yield the settings that were chosen before, then all from the best to the worst."""
    if before is not None:
        yield before
    yield from ranked(row, images, runs)


def ranked(row: Row, images: ImageSet, runs: Path) -> list[dict[str, Any]]:
    """Return learning rates and clips, the best on validation images after one epoch first."""
    held_out = images.with_validation(VALIDATION)
    usual = make_recipe(RECIPE).clip

    def accuracy(settings: Mapping[str, Any]) -> float:
        folder = runs / f"{row.model}-{settings['lr']}-{settings['clip']}"
        try:
            return fit(row.model, held_out, folder, seed=100, epochs=1, **settings)
        except NeurofitError as error:  # the loss is not finite
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "result.json").write_text(json.dumps({"top1": 0.0, "error": str(error)}))
            return 0.0

    tried: list[dict[str, Any]] = [{"lr": rate, "clip": usual} for rate in RATES]
    best = max(tried, key=accuracy)
    tried += [{"lr": best["lr"], "clip": clip} for clip in CLIPS]
    return sorted(tried, key=accuracy, reverse=True)


def fit(model: str, images: ImageSet, folder: Path, *, seed: int, **changes: Any) -> float:
    """Train a model unless its result exists; return its accuracy on the test images of the set."""
    result = folder / "result.json"
    if not result.is_file():
        network = create_model(model, weights="random", seed=seed, n_classes=len(images.classes))
        config = make_recipe(RECIPE, seed=seed, **{"evaluate_epochs": 1000, **changes})
        done = train(network, images, config, out=folder, resume="auto")
        result.write_text(json.dumps({"top1": done.accuracy.top1}))
        print(f"{folder.name}: {done.accuracy.top1:.2%}", flush=True)
    return float(json.loads(result.read_text())["top1"])


def test_pictures(images: ImageSet, kind: str) -> torch.Tensor:
    """Return test images (image channel height width), float32 in [0, 1], of a kind."""
    pictures = np.stack([images.test.images[index] for index in range(len(images.test))])
    return torch.from_numpy(change(pictures, kind)).permute(0, 3, 1, 2).float() / 255


@torch.inference_mode()
def test(
    model: str, folder: Path, tests: Mapping[str, torch.Tensor], labels: np.ndarray
) -> Outcome:
    """Return how a trained net answers the test images of each kind."""
    network = create_model(model, weights="random", n_classes=int(labels.max()) + 1).eval()
    weights = folder / f"{model}.safetensors"
    load_weights(network, weights)
    card = training_card(weights)
    right = {}
    for kind, pictures in tests.items():
        parts = []
        for start in range(0, len(pictures), 250):
            readouts = dict(network.readouts(pictures[start : start + 250]))
            answers = torch.stack([each.argmax(dim=1) for each in readouts.values()])
            parts.append(answers.numpy() == labels[start : start + 250])
        right[kind] = np.concatenate(parts, axis=1)
    return Outcome(
        settings={"lr": card["lr"], "clip": card["clip"]},
        n_parameters=card["n_parameters"],
        epochs=card["epochs"],
        timesteps=np.array(list(readouts)),
        accuracy={kind: each.mean(axis=1) for kind, each in right.items()},
        right={kind: each[-1] for kind, each in right.items()},
    )


if __name__ == "__main__":
    main()
