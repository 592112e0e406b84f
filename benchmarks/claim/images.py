"""Test images of three kinds: clean, occluded and cluttered.

Each picture is a function of its index alone. Occluders are grey discs that cover 40 % of the
picture; clutter is squares of 8 pixels from other test images, pasted until they cover 40 %.
"""

from __future__ import annotations

import numpy as np

KINDS = ("clean", "occluded", "cluttered")
COVERED = 0.4
"""Share of the pixels that are covered."""


def change(images: np.ndarray, kind: str) -> np.ndarray:
    """Return images (image height width channel), uint8, of one of the kinds."""
    if kind == "clean":
        return images
    change_one = {"occluded": _occlude, "cluttered": _clutter}[kind]
    return np.stack([change_one(images, index) for index in range(len(images))])


def _occlude(images: np.ndarray, index: int) -> np.ndarray:
    image, rng = images[index].copy(), np.random.Generator(np.random.PCG64([1, index]))
    size = len(image)
    rows, columns = np.mgrid[:size, :size]
    covered = np.zeros((size, size), bool)
    while covered.mean() < COVERED:
        row, column = rng.uniform(0, size, 2)
        covered |= (rows - row) ** 2 + (columns - column) ** 2 < (size / 8) ** 2
    image[covered] = 128
    return image


def _clutter(images: np.ndarray, index: int) -> np.ndarray:
    image, rng = images[index].copy(), np.random.Generator(np.random.PCG64([2, index]))
    size, side = len(image), len(image) // 4
    covered = np.zeros((size, size), bool)
    while covered.mean() < COVERED:
        other = (index + 1 + rng.integers(len(images) - 1)) % len(images)
        to_row, to_column, row, column = rng.integers(0, size - side + 1, 4)
        patch = images[other][row : row + side, column : column + side]
        image[to_row : to_row + side, to_column : to_column + side] = patch
        covered[to_row : to_row + side, to_column : to_column + side] = True
    return image
