"""Batches to train on, a pure function of (seed, step): a run that is continued sees what it would have seen.

Epoch e visits every image once, in the order of PCG64([seed, e]); image i gets the view of PCG64([seed, e, i]). Of each global
batch, process r of w takes every w-th image from the r-th on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from neurofit.errors import NeurofitError
from neurofit.image_sets import LabelledImages, evaluation_view, training_view

Batch = tuple[Tensor, Tensor]
"""Images (batch channel height width), float32 in [0, 1], and labels (batch)."""

READY_BATCHES = 2
"""Batches that are prepared while one is computed with."""

FEW = 10
"""Unreadable images that never stop a run, however small their share."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingBatches:
    """The batches of one process.

    Parameters
    ----------
    images
        Training images.
    size, views
        See `neurofit.image_sets.training_view`.
    batch_size
        Images per step, of all processes together.
    seed
        Of order and views.
    rank, world
        Which process this is, and of how many.
    n_workers
        Threads that decode images.
    max_unreadable
        Share of images that may be unreadable; they are left out of their batch and listed in `unreadable`.

    Raises
    ------
    NeurofitError
        If a batch cannot be filled, or divided among the processes.
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
            raise NeurofitError(f"A batch has 1 to {len(self.images):,} images, as many as there are; got batch_size={self.batch_size}.")
        if self.batch_size % self.world:
            raise NeurofitError(f"A batch is divided evenly among processes; got batch_size={self.batch_size} for {self.world}.")

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in an epoch; what remains of it is left out, other images each time."""
        return len(self.images) // self.batch_size

    def since(self, step: int, stop: int) -> Iterator[tuple[int, Batch]]:
        """Yield (step, batch) from one step up to another; the next ones are prepared meanwhile."""
        with ThreadPoolExecutor(self.n_workers) as pool:
            ready: deque[list[Future[Tensor | str]]] = deque()
            steps = iter(range(step, stop))
            for now in range(step, stop):
                while len(ready) <= READY_BATCHES and (ahead := next(steps, None)) is not None:
                    ready.append([pool.submit(self._view, epoch, int(index)) for epoch, index in self._members(ahead)])
                views = [future.result() for future in ready.popleft()]
                yield now, self._collate(now, views)

    def _members(self, step: int) -> list[tuple[int, int]]:
        epoch, position = divmod(step, self.steps_per_epoch)
        order = self._order(epoch)[position * self.batch_size : (position + 1) * self.batch_size]
        return [(epoch, int(index)) for index in order[self.rank :: self.world]]

    def _order(self, epoch: int) -> np.ndarray:
        return np.random.Generator(np.random.PCG64([self.seed, epoch])).permutation(len(self.images))

    def _view(self, epoch: int, index: int) -> Tensor | str:
        """Return an image's view in an epoch, or why it cannot be read."""
        try:
            image = self.images.images[index]
        except NeurofitError as error:
            return str(error)
        rng = np.random.Generator(np.random.PCG64([self.seed, epoch, index]))
        return training_view(image, rng, size=self.size, views=self.views)

    def _collate(self, step: int, views: list[Tensor | str]) -> Batch:
        labels = [int(self.images.labels[index]) for _, index in self._members(step)]
        good = [(view, label) for view, label in zip(views, labels, strict=True) if isinstance(view, Tensor)]
        self.unreadable.extend(view for view in views if isinstance(view, str))
        bad, seen = len(set(self.unreadable)), min(len(self.images) // self.world, (step + 1) * len(views))
        if not good or (bad > FEW and bad > self.max_unreadable * seen):
            raise NeurofitError(
                f"{bad} of about {seen} images cannot be read, more than {self.max_unreadable:.1%}. The last: {self.unreadable[-1]}"
            )
        return torch.stack([view for view, _ in good]), torch.tensor([label for _, label in good])


def evaluation_batches(images: LabelledImages, *, size: int, views: str, batch_size: int, n_workers: int = 2) -> Iterator[Batch]:
    """Yield all images in order, as they are tested.

    Raises
    ------
    NeurofitError
        If an image cannot be read: an accuracy is of all of them.
    """
    with ThreadPoolExecutor(n_workers) as pool:
        for start in range(0, len(images), batch_size):
            rows = range(start, min(start + batch_size, len(images)))
            shown = list(pool.map(lambda row: evaluation_view(images.images[row], size=size, views=views), rows))
            yield torch.stack(shown), torch.from_numpy(np.asarray(images.labels[rows.start : rows.stop], dtype=np.int64))
