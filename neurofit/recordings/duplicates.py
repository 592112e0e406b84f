"""Identical and nearly identical images of a stimulus set.

A split with such images on both sides tests a map on what it was trained on. Identical ones have
the same pixels. Nearly identical ones are compared as thumbnails of 16 x 16 gray levels: two of
them correlate above `ALIKE`, and so do, above `ALIKE_BEYOND_MEAN`, their differences from the mean
of all thumbnails, which a frame that all images share does not raise. Recompressed, rescaled,
darkened and slightly noisy copies of an image exceed both, and most that are shifted by one pixel
in a hundred; of the pairs among the 640 images of hvm-sim, the 640 of Cowley et al. (2023) and
10,000 of CIFAR-10, one does: a photograph and its darker copy.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from PIL import Image

from neurofit.recordings.stimuli import NoImages, StimulusSet

THUMBNAIL_SIZE = 16
"""Width and height of a thumbnail, in pixels."""

ALIKE = 0.995
"""Correlation of two thumbnails above which images may be nearly identical."""

ALIKE_BEYOND_MEAN = 0.9
"""The same for the differences of two thumbnails from the mean of all."""

ROWS_TOGETHER = 1024
"""Thumbnails that are compared with all others at a time."""


@dataclass(frozen=True)
class ComparedImages:
    """What comparing the images of a stimulus set needs.

    Parameters
    ----------
    ids
        Stimulus ids.
    copies
        Number of the image of each stimulus: equal pixels have equal numbers.
    thumbnails
        Images reduced to gray levels, 0 to 255.
    """

    ids: np.ndarray
    copies: Int[np.ndarray, " stimulus"]
    thumbnails: Float[np.ndarray, "stimulus pixel"]

    @property
    def all_identical(self) -> bool:
        """Whether there is one image only, which cannot be meant: a placeholder, say."""
        return len(self.copies) > 1 and not self.copies.any()

    @property
    def identical(self) -> list[np.ndarray]:
        """Positions of the stimuli of each image that several have."""
        several = np.flatnonzero(np.bincount(self.copies) > 1)
        return [np.flatnonzero(self.copies == number) for number in several]

    def describe_identical(self) -> str:
        """Return which stimuli have identical images, in a sentence; empty if none have."""
        sets = self.identical
        if not sets:
            return ""
        named = [" = ".join(repr(str(each)) for each in self.ids[rows[:3]]) for rows in sets[:3]]
        more = f" and {len(sets) - 3:,} more sets" if len(sets) > 3 else ""
        return (
            f"Identical images under different identifiers: {sum(map(len, sets)):,} stimuli, "
            f"{', '.join(named)}{more}."
        )

    def near(
        self, apart: Int[np.ndarray, " stimulus"] | None = None
    ) -> tuple[int, tuple[int, int] | None]:
        """Return the number of pairs of nearly identical images, and the most similar pair.

        Memory is bounded by `ROWS_TOGETHER` rows of the matrix of correlations.

        Parameters
        ----------
        apart
            Group of each stimulus; pairs within a group are not counted. By default identical
            images are a group.
        """
        apart = self.copies if apart is None else apart
        plain = _standardised(self.thumbnails)
        beyond = _standardised(self.thumbnails - self.thumbnails.mean(axis=0))
        number, highest, pair = 0, ALIKE, None
        for begin in range(0, len(plain), ROWS_TOGETHER):
            end = begin + ROWS_TOGETHER
            r = plain[begin:end] @ plain[begin:].T
            alike = np.triu(r > ALIKE, 1)
            alike &= apart[begin:end, None] != apart[begin:]
            rows, columns = np.nonzero(alike)
            kept = np.zeros(len(rows), dtype=bool)
            for some in range(0, len(rows), ROWS_TOGETHER):
                part = slice(some, some + ROWS_TOGETHER)
                pairs = beyond[begin + rows[part]], beyond[begin + columns[part]]
                kept[part] = np.einsum("pi,pi->p", *pairs) > ALIKE_BEYOND_MEAN
            rows, columns = rows[kept], columns[kept]
            number += len(rows)
            if len(rows) and (best := r[rows, columns]).max() > highest:
                highest, at = best.max(), best.argmax()
                pair = (int(begin + rows[at]), int(begin + columns[at]))
        return number, pair

    def describe_near(self, apart: Int[np.ndarray, " stimulus"] | None = None) -> str:
        """Return how many images are nearly identical, in a sentence; empty if none are."""
        number, pair = self.near(apart)
        if pair is None:
            return ""
        one, other = (repr(str(self.ids[row])) for row in pair)
        return (
            f"Nearly identical images: {number:,} pair{'s' * (number > 1)}, such as {one} and "
            f"{other}. A split can have one on each side, which raises a score; if the stimulus "
            "table has a column that tells what belongs together, name it with --groups."
        )


def compare_images(stimuli: StimulusSet) -> ComparedImages | None:
    """Return what comparing the images of a set needs, or None without images.

    Each image is decoded once. What was computed last is kept for the next analysis of the same
    images.

    Raises
    ------
    NeurofitError
        If an image cannot be read; the message names it.
    """
    if isinstance(stimuli.images, NoImages):
        return None
    key = stimuli.images_sha256()
    if key not in _last:
        numbers: dict[bytes, int] = {}
        copies = np.empty(len(stimuli), dtype=np.int64)
        thumbnails = np.empty((len(stimuli), THUMBNAIL_SIZE**2), dtype=np.float32)
        for row in range(len(stimuli)):
            image = np.ascontiguousarray(stimuli.images[row])
            about = f"{image.shape} {image.dtype} ".encode()
            digest = hashlib.sha256(about + image.tobytes()).digest()
            copies[row] = numbers.setdefault(digest, len(numbers))
            thumbnails[row] = _thumbnail(image)
        _last.clear()
        _last[key] = ComparedImages(stimuli.ids, copies, thumbnails)
    return _last[key]


_last: dict[str, ComparedImages] = {}


def _thumbnail(image: np.ndarray) -> np.ndarray:
    """Return gray levels of an image, filtered and reduced: array (pixel)."""
    gray = np.asarray(image, dtype=np.float32) @ np.full(3, 1 / 3, dtype=np.float32)
    small = Image.fromarray(gray).resize((THUMBNAIL_SIZE,) * 2, Image.Resampling.BILINEAR)
    return np.asarray(small).ravel()


def _standardised(thumbnails: np.ndarray) -> np.ndarray:
    """Return thumbnails with mean 0 and norm 1; those of less than a tenth of a gray level, 0."""
    centred = thumbnails - thumbnails.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    visible = np.where(norms > 0.1 * THUMBNAIL_SIZE, centred, 0.0)
    return np.asarray(visible / np.maximum(norms, 1e-9))
