"""Labelled images for training, and image sets with a training and a test part."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int

from neurofit.errors import NeurofitError
from neurofit.recordings.stimuli import ImageSource


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
        """Return the first n images with their labels."""
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


VIEWS = ("photographs", "thumbnails")
