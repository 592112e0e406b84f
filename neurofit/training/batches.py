"""Training batches as a pure function of (seed, step), so that a resumed run sees the same images.

Epoch e visits every image once, in the order of PCG64([seed, e]). The view of image i is drawn from
PCG64([seed, e, i]). Process r of w takes images r, r + w, r + 2 w, ... of each batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from neurofit.data_loaders.labelled_images import LabelledImages
from neurofit.errors import NeurofitError
from neurofit.training.views import evaluation_view, training_view

Batch = tuple[Tensor, Tensor]
"""Images (batch channel height width), float32 in [0, 1], and labels (batch)."""

PREFETCHED = 2
"""Number of batches that are decoded in advance."""

TOLERATED_UNREADABLE = 10
"""Number of unreadable images that never stops a run, whatever their share."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingBatches:
    """Training batches of one process.

    Parameters
    ----------
    images
        Training images.
    size, views
        Height and width in pixels and kind of views, see `neurofit.training.views.training_view`.
    batch_size
        Images per step, over all processes.
    seed
        Random seed for shuffling and augmentation.
    rank, world
        Index of this process and number of processes.
    n_workers
        Number of threads that decode images.
    max_unreadable
        Largest share of images that may be unreadable. They are left out of their batch.
    unreadable
        Errors of the unreadable images so far.

    Raises
    ------
    NeurofitError
        If there are fewer images than `batch_size`, or it is not a multiple of `world`.
    """

    images: LabelledImages
    size: int
    views: str
    batch_size: int
    seed: int
    rank: int = 0
    world: int = 1
    n_workers: int = 2
    max_unreadable: float = 0.01
    unreadable: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not 1 <= self.batch_size <= len(self.images):
            raise NeurofitError(
                f"batch_size must be from 1 to the number of training images, "
                f"{len(self.images):,}; got {self.batch_size}.",
                option="batch_size",
            )
        if self.batch_size % self.world:
            raise NeurofitError(
                f"batch_size must be a multiple of the number of processes, {self.world}; "
                f"got {self.batch_size}.",
                option="batch_size",
            )

    @property
    def steps_per_epoch(self) -> int:
        """Number of complete batches per epoch; the remaining images differ between epochs."""
        return len(self.images) // self.batch_size

    def iterate(self, start: int, stop: int) -> Iterator[tuple[int, Batch]]:
        """Yield (step, batch) for the steps from `start` up to, but not including, `stop`."""
        with ThreadPoolExecutor(self.n_workers) as pool:
            pending: deque[list[Future[Tensor | str]]] = deque()
            steps = iter(range(start, stop))
            for step in range(start, stop):
                while len(pending) <= PREFETCHED and (ahead := next(steps, None)) is not None:
                    pending.append(
                        [
                            pool.submit(self._view, epoch, index)
                            for epoch, index in self._members(ahead)
                        ]
                    )
                views = [future.result() for future in pending.popleft()]
                yield step, self._collate(step, views)

    def _members(self, step: int) -> list[tuple[int, int]]:
        """Return (epoch, image) for this process's images of a step."""
        epoch, position = divmod(step, self.steps_per_epoch)
        rng = np.random.Generator(np.random.PCG64([self.seed, epoch]))
        first = position * self.batch_size
        batch = rng.permutation(len(self.images))[first : first + self.batch_size]
        return [(epoch, int(index)) for index in batch[self.rank :: self.world]]

    def _view(self, epoch: int, index: int) -> Tensor | str:
        """Return the view of an image in an epoch, or the error if it cannot be read."""
        try:
            image = self.images.images[index]
        except NeurofitError as error:
            return str(error)
        rng = np.random.Generator(np.random.PCG64([self.seed, epoch, index]))
        return training_view(image, rng, size=self.size, views=self.views)

    def _collate(self, step: int, views: list[Tensor | str]) -> Batch:
        labels = [int(self.images.labels[index]) for _, index in self._members(step)]
        readable = [
            (view, label)
            for view, label in zip(views, labels, strict=True)
            if isinstance(view, Tensor)
        ]
        self.unreadable.extend(view for view in views if isinstance(view, str))
        n_unreadable = len(set(self.unreadable))
        n_seen = min(len(self.images) // self.world, (step + 1) * len(views))
        if not readable or (
            n_unreadable > TOLERATED_UNREADABLE and n_unreadable > self.max_unreadable * n_seen
        ):
            raise NeurofitError(
                f"{n_unreadable} of about {n_seen} images cannot be read, more than "
                f"{self.max_unreadable:.1%}. The last: {self.unreadable[-1]}"
            )
        return (
            torch.stack([view for view, _ in readable]),
            torch.tensor([label for _, label in readable]),
        )


def evaluation_batches(
    images: LabelledImages, *, size: int, views: str, batch_size: int, n_workers: int = 2
) -> Iterator[Batch]:
    """Yield all images in order, as evaluation shows them.

    Parameters
    ----------
    images
        Test images.
    size, views
        Height and width in pixels and kind of views, see `neurofit.training.views.evaluation_view`.
    batch_size
        Images per batch; the last batch may be smaller.
    n_workers
        Number of threads that decode images.

    Raises
    ------
    NeurofitError
        If `batch_size` is less than 1, or an image cannot be read: an accuracy must cover all
        images.
    """
    if batch_size < 1:
        raise NeurofitError(
            f"batch_size must be at least 1; got {batch_size}.", option="batch_size"
        )
    with ThreadPoolExecutor(n_workers) as pool:
        for start in range(0, len(images), batch_size):
            rows = range(start, min(start + batch_size, len(images)))
            shown = pool.map(
                lambda row: evaluation_view(images.images[row], size=size, views=views), rows
            )
            labels = np.asarray(images.labels[rows.start : rows.stop], dtype=np.int64)
            yield torch.stack(list(shown)), torch.from_numpy(labels)
