"""Fixtures of the tests of training: a small net, images that it learns, and a short run."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurofit.activations.presentation import Presentation
from neurofit.data_loaders.labelled_images import ImageSet, LabelledImages
from neurofit.models.convrnn import ConvRNN
from neurofit.models.layer import Conv, Layer
from neurofit.training.config import TrainConfig

CONFIG = TrainConfig(epochs=3, batch_size=8, lr=0.1, clip=0.5, save_steps=4, n_workers=1)
SIZE = 12


def halves(n: int = 48, *, n_classes: int = 4, seed: int = 0) -> ImageSet:
    """Make pictures whose class is the bright half, upper or lower, and its colour.

    A flip does not change the class.
    """

    def part(n: int, seed: int) -> LabelledImages:
        rng = np.random.default_rng(seed)
        labels = rng.integers(n_classes, size=n)
        pictures = rng.integers(0, 100, (n, SIZE, SIZE, 3), dtype=np.uint8)
        for picture, label in zip(pictures, labels, strict=True):
            half, colour = divmod(int(label), 2)
            picture[6 * half : 6 * half + 6, :, colour] += 120
        return LabelledImages(images=pictures, labels=labels)

    classes = tuple(f"class {number}" for number in range(n_classes))
    return ImageSet(
        name="halves",
        classes=classes,
        train=part(n, seed),
        test=part(24, seed + 1),
        views="thumbnails",
    )


def little_net(cell: str = "gru", *, seed: int = 0, n_classes: int = 4) -> ConvRNN:
    """Make a recurrent net of three layers."""
    options: Mapping[str, Any] = (
        {"cell_channels": 8} if cell in ("gru", "lstm", "simplernn", "ugrnn") else {}
    )
    return ConvRNN(
        "little",
        (
            Layer("conv1", Conv(8, 3, stride=2), before_cell=("elu",)),
            Layer("conv2", Conv(8, 3), before_cell=("elu",), cell=cell, **options),
            Layer("readout", Conv(n_classes, 3), after_cell=("mean",)),
        ),
        region_layers={},
        input_size=SIZE,
        presentations={"default": Presentation(n_timesteps=5)},
        seed=seed,
    )


@pytest.fixture
def image_set() -> Callable[..., ImageSet]:
    """Return `halves`."""
    return halves


@pytest.fixture
def net() -> Callable[..., ConvRNN]:
    """Return `little_net`."""
    return little_net


@pytest.fixture
def short_run() -> TrainConfig:
    """Return a configuration of 18 steps with the images of `halves`."""
    return CONFIG


@pytest.fixture
def rows() -> Callable[[Path], list[dict[str, str]]]:
    """Return a function that reads the metrics in the folder of a run."""

    def read(folder: Path) -> list[dict[str, str]]:
        with open(folder / "metrics.csv", newline="") as file:
            return list(csv.DictReader(file))

    return read
