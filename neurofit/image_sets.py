"""Labelled images to train on: what an image set is, and the views of an image that training and evaluation see."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from PIL import Image
from torch import Tensor

from neurofit.errors import NeurofitError
from neurofit.stimuli import ImageSource


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledImages:
    """Images and what they show.

    Parameters
    ----------
    images
        uint8 (height width channel) each, of any size; decoded when asked for.
    labels
        Position in the set's classes of each.
    """

    images: ImageSource
    labels: Int[np.ndarray, " image"]

    def __post_init__(self) -> None:
        if len(self.images) != len(self.labels) or not len(self.labels):
            raise NeurofitError(f"Labelled images need a label each; got {len(self.images)} images and {len(self.labels)} labels.")

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, n: int) -> LabelledImages:
        """Return the first n of them."""
        return LabelledImages(images=_Part(self.images, n), labels=self.labels[:n])


@dataclass(frozen=True)
class _Part:
    images: ImageSource
    n: int

    def __len__(self) -> int:
        return min(self.n, len(self.images))

    def __getitem__(self, index: int, /) -> np.ndarray:
        return self.images[index]


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageSet:
    """A training and a test set of the same classes.

    Parameters
    ----------
    name
        Of the set, as it goes on record.
    classes
        Names, in the order of the labels.
    train, test
        The two parts.
    views
        How images are varied in training and cut for the test: "photographs" (random resized crop of 8 to 100 % of the area and
        flip; the centre of 7/8 of the shorter side) or "thumbnails" (shift by up to an eighth and flip; the whole image).
    """

    name: str
    classes: tuple[str, ...]
    train: LabelledImages
    test: LabelledImages
    views: str = "photographs"

    def __post_init__(self) -> None:
        if self.views not in VIEWS:
            raise NeurofitError(f"Views are {' or '.join(VIEWS)}; got {self.views!r}.")


VIEWS = ("photographs", "thumbnails")


def training_view(image: np.ndarray, rng: np.random.Generator, *, size: int, views: str) -> Tensor:
    """Return a random view of an image.

    Parameters
    ----------
    image
        uint8 (height width channel).
    rng
        Decides on crop, shift and flip.
    size
        Height and width of the view, in pixels.
    views
        See `ImageSet`.

    Returns
    -------
    float32 (channel height width) in [0, 1].
    """
    picture = Image.fromarray(image)
    if views == "photographs":
        view = picture.resize((size, size), Image.Resampling.BILINEAR, box=_random_box(picture.size, rng), reducing_gap=2.0)
    else:
        margin = size // 8
        shift = rng.integers(0, 2 * margin + 1, size=2)
        padded = Image.new("RGB", (size + 2 * margin, size + 2 * margin))
        padded.paste(_resized(picture, (size, size)), (margin, margin))
        view = padded.crop((shift[0], shift[1], shift[0] + size, shift[1] + size))
    if rng.random() < 0.5:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return _tensor(view)


def evaluation_view(image: np.ndarray, *, size: int, views: str) -> Tensor:
    """Return the one view of an image that is tested: float32 (channel height width) in [0, 1]; arguments as `training_view`."""
    picture = Image.fromarray(image)
    if views == "thumbnails":
        return _tensor(_resized(picture, (size, size)))
    shorter = round(size * 8 / 7)  # 256 for 224
    scale = shorter / min(picture.size)
    width, height = (max(shorter, round(side * scale)) for side in picture.size)
    left, top = (width - size) // 2, (height - size) // 2
    return _tensor(_resized(picture, (width, height)).crop((left, top, left + size, top + size)))


def _random_box(size: tuple[int, int], rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Return a box of 8 to 100 % of the area and a ratio of 3/4 to 4/3; after ten tries that do not fit, the largest such in the centre."""
    width, height = size
    for _ in range(10):
        area, ratio = width * height * rng.uniform(0.08, 1.0), math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = float(rng.integers(width - w + 1)), float(rng.integers(height - h + 1))
            return left, top, left + w, top + h
    across, down = min(width, height * 4 / 3), min(height, width * 4 / 3)
    return (width - across) / 2, (height - down) / 2, (width + across) / 2, (height + down) / 2


def _resized(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    return picture if picture.size == size else picture.resize(size, Image.Resampling.BILINEAR)


def _tensor(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
