"""Centring on training rows: over all of them, or in each of several groups of rows.

A map with one intercept is fitted to features and responses without their means over the training
rows. Where rows are (time_bin, stimulus) pairs and every bin has an intercept of its own, the means
of each bin are removed, by the projection

    P = I - sum_g 1_g 1_g' / n_g    over the training rows of each group g,

of which one group is the ordinary case. Groups are blocks of equally many rows in which the same
stimuli train.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurofit.mapping.linalg import Backend


def in_groups(values: Any, groups: int) -> Any:
    """Return a view of values (row *rest) as (group row_of_group *rest)."""
    return values.reshape(groups, len(values) // groups, *values.shape[1:])


def remove_means(values: Any, groups: int) -> Any:
    """Remove the means over the rows of each group in place; return them (group *rest)."""
    split = in_groups(values, groups)
    means = split.mean(1)
    split -= means[:, None]
    return means


def add_means(values: Any, means: Any) -> Any:
    """Return values (row *rest) plus the means (group *rest) of their groups."""
    return (in_groups(values, len(means)) + means[:, None]).reshape(values.shape)


@dataclass(frozen=True)
class Centring:
    """The projection for several splits at once.

    Parameters
    ----------
    mask
        1 for the training rows of each split and 0 elsewhere (split row).
    groups
        Number of groups of rows.
    """

    mask: Any
    groups: int

    @classmethod
    def of(cls, train: np.ndarray, groups: int, backend: Backend) -> Centring:
        """Return the projection for training masks (split row), on a backend."""
        return cls(backend.array(train), groups)

    @property
    def grouped(self) -> Any:
        """Mask as (split group row_of_group)."""
        return self.mask.reshape(len(self.mask), self.groups, -1)

    @property
    def n_train(self) -> Any:
        """Number of training rows of a group (split)."""
        return self.mask.sum(-1) / self.groups

    def sums(self, values: Any) -> Any:
        """Sum values (*set row column) over training rows: (*set split group column)."""
        *sets, _, n_columns = values.shape
        split = values.reshape(*sets, self.groups, -1, n_columns)
        return (self.grouped.swapaxes(0, 1) @ split).swapaxes(-3, -2)

    def subtract(self, vectors: Any, shifts: Any) -> None:
        """Subtract a number per group (set split group) from vectors (set split row), in place."""
        split = vectors.reshape(*shifts.shape, -1)
        split -= shifts[..., None]

    def centre(self, vectors: Any, backend: Backend) -> None:
        """Remove the training means of vectors (set split row), in place."""
        split = vectors.reshape(*vectors.shape[:-1], self.groups, -1)
        sums = backend.xp.einsum("fkgr,kgr->fkg", split, self.grouped)
        split -= (sums / self.n_train[:, None])[..., None]

    def parts(self, rows: slice) -> Iterator[tuple[int, slice]]:
        """Yield the groups of a chunk of rows, and their positions in it."""
        size = self.mask.shape[1] // self.groups
        for group in range(rows.start // size, (rows.stop - 1) // size + 1):
            start, stop = max(rows.start, group * size), min(rows.stop, (group + 1) * size)
            yield group, slice(start - rows.start, stop - rows.start)
