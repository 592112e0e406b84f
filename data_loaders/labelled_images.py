"""Labelled images for training, and image sets with a training and a test part."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int

from neurofit.errors import NeurofitError
from neurofit.recordings.stimuli import HasEntry, ImageSource

VIEWS = ("photographs", "thumbnails")

N_SAMPLED = 1000
"""Number of images that stand for a source whose images are made or read on access."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledImages:
    """Images and their class labels.

    Parameters
    ----------
    images
        Images, uint8 (height width channel), of any size, decoded on access.
    labels
        Index into the classes of the set for each image.
    """

    images: ImageSource
    labels: Int[np.ndarray, " image"]

    def __post_init__(self) -> None:
        if len(self.images) != len(self.labels) or not len(self.labels):
            raise NeurofitError(
                "Labelled images need one label per image; "
                f"got {len(self.images)} images and {len(self.labels)} labels."
            )

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, n: int) -> LabelledImages:
        """Return the first n images with their labels.

        Raises
        ------
        NeurofitError
            If n is less than 1.
        """
        if n < 1:
            raise NeurofitError(f"first must be at least 1 image; got {n}.", option="first")
        return self.part(0, n)

    def part(self, start: int, stop: int) -> LabelledImages:
        """Return the images from `start` up to, but not including, `stop`, with their labels."""
        stop = min(stop, len(self))
        return LabelledImages(
            images=_Part(self.images, start, stop), labels=self.labels[start:stop]
        )


@dataclass(frozen=True)
class _Part:
    images: ImageSource
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, index: int, /) -> np.ndarray:
        return self.images[self.start + range(len(self))[index]]


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageSet:
    """A training and a test set with the same classes.

    Parameters
    ----------
    name
        Name of the set, as stored with trained weights.
    classes
        Class names, in the order of the labels.
    train, test
        Training and test images.
    views
        Augmentation in training and crop in the test: "photographs" (random resized crop of 8 to
        100 % of the area and flip; the centre of 7/8 of the shorter side) or "thumbnails" (shift by
        up to an eighth and flip; the whole image).
    """

    name: str
    classes: tuple[str, ...]
    train: LabelledImages
    test: LabelledImages
    views: str = "photographs"

    def __post_init__(self) -> None:
        if self.views not in VIEWS:
            raise NeurofitError(f"Views are {' or '.join(VIEWS)}; got {self.views!r}.")
        for part in (self.train, self.test):
            low, high = int(part.labels.min()), int(part.labels.max())
            if low < 0 or high >= len(self.classes):
                raise NeurofitError(
                    f"Labels of {len(self.classes)} classes must lie between 0 and "
                    f"{len(self.classes) - 1}; got {low} to {high}."
                )

    def with_validation(self, n: int) -> ImageSet:
        """Return a set that is tested on the last n training images, and trained on the others.

        Hyperparameters are chosen on it, so that the test images remain unseen.

        Raises
        ------
        NeurofitError
            If there are not more than n training images.
        """
        n_train = len(self.train) - n
        if n < 1 or n_train < 1:
            raise NeurofitError(
                f"validation must be from 1 to {len(self.train) - 1:,} of the {len(self.train):,} "
                f"training images; got {n:,}.",
                option="validation",
            )
        return replace(
            self,
            name=f"{self.name}, validation on the last {n:,} training images",
            train=self.train.part(0, n_train),
            test=self.train.part(n_train, len(self.train)),
        )

    def sha256(self) -> dict[str, str]:
        """Return the identity of the set: a hash of each of its parts, by the part's name.

        The parts are the classes, the views, and the images and labels for training and test, in
        their order. Neither the name nor the place of the set matters. Files are known by the names
        of their folder and their own and by their size, those in shards by their entry in the
        index, and arrays by all their values. Of other sources, whose images are made on access,
        `N_SAMPLED` images at regular distances are read.

        Raises
        ------
        NeurofitError
            If a file does not exist.
        """
        return {
            "classes": _sha256(name.encode() for name in self.classes),
            "views": _sha256([self.views.encode()]),
            "train images": _sha256(_entries(self.train.images)),
            "train labels": _sha256([self.train.labels.astype("<i8").tobytes()]),
            "test images": _sha256(_entries(self.test.images)),
            "test labels": _sha256([self.test.labels.astype("<i8").tobytes()]),
        }


def _sha256(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(b"%d " % len(part))
        digest.update(part)
    return digest.hexdigest()


def _entries(images: ImageSource) -> Iterator[bytes]:
    """Yield the number of images, and what each of them, or of a sample, is known by."""
    source, first, n = images, 0, len(images)
    while isinstance(source, _Part):
        first += source.start
        source = source.images
    yield b"%d" % n
    if isinstance(source, HasEntry):
        yield from (source.entry(row).encode() for row in range(first, first + n))
        return
    in_memory = isinstance(source, np.ndarray | list | tuple)
    for row in range(n) if in_memory or n <= N_SAMPLED else np.linspace(0, n - 1, N_SAMPLED):
        try:
            image = np.asarray(source[first + int(row)])
        except NeurofitError as error:  # training leaves out what cannot be read
            yield str(error).encode()
        else:
            yield f"{image.shape} {image.dtype} ".encode() + image.tobytes()
