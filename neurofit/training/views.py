"""Random views of images for training, and fixed ones for evaluation."""

from __future__ import annotations

import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def training_view(image: np.ndarray, rng: np.random.Generator, *, size: int, views: str) -> Tensor:
    """Return a random view of an image.

    Parameters
    ----------
    image
        Image, uint8 (height width channel).
    rng
        Generator that draws crop, shift and flip.
    size
        Height and width of the view, in pixels.
    views
        Kind of views, "photographs" or "thumbnails", see `ImageSet`.

    Returns
    -------
    float32 (channel height width) in [0, 1].
    """
    picture = Image.fromarray(image)
    if views == "photographs":
        view = picture.resize(
            (size, size),
            Image.Resampling.BILINEAR,
            box=_random_box(picture.size, rng),
            reducing_gap=2.0,
        )
    else:
        margin = size // 8
        shift = rng.integers(0, 2 * margin + 1, size=2)
        padded = Image.new("RGB", (size + 2 * margin, size + 2 * margin))
        padded.paste(_resize(picture, (size, size)), (margin, margin))
        view = padded.crop((shift[0], shift[1], shift[0] + size, shift[1] + size))
    if rng.random() < 0.5:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return _to_tensor(view)


def evaluation_view(image: np.ndarray, *, size: int, views: str) -> Tensor:
    """Return the view of an image for evaluation.

    Parameters and result are those of `training_view`, without randomness.
    """
    picture = Image.fromarray(image)
    if views == "thumbnails":
        return _to_tensor(_resize(picture, (size, size)))
    shorter = round(size * 8 / 7)  # 256 for 224
    scale = shorter / min(picture.size)
    width, height = (max(shorter, round(side * scale)) for side in picture.size)
    left, top = (width - size) // 2, (height - size) // 2
    return _to_tensor(_resize(picture, (width, height)).crop((left, top, left + size, top + size)))


def _random_box(
    size: tuple[int, int], rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """Return a random box of 8 to 100 % of the area with an aspect ratio of 3/4 to 4/3.

    If ten such boxes do not fit into the image, the box is the largest possible one in the centre.
    """
    width, height = size
    for _ in range(10):
        area = width * height * rng.uniform(0.08, 1.0)
        ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = float(rng.integers(width - w + 1)), float(rng.integers(height - h + 1))
            return left, top, left + w, top + h
    across, down = min(width, height * 4 / 3), min(height, width * 4 / 3)
    return (width - across) / 2, (height - down) / 2, (width + across) / 2, (height + down) / 2


def _resize(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    return picture if picture.size == size else picture.resize(size, Image.Resampling.BILINEAR)


def _to_tensor(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
