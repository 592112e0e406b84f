"""The Gram matrix of the features, K = X X': all that unscaled PLS and ridge ever see of them.

Two faces of one object: `dense` holds K (n x n), `factor` holds the centred X (n x p) itself and is chosen where p < n, as in
the fixed time mode, whose rows are (time_bin, stimulus). Any constant shift of X leaves every train-centred quantity
unchanged, so the mean over all rows is removed once: it only removes cancellation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float

CHUNK_UNITS = 4096
"""Units (columns) read at a time: 4096 float32 units of 2,560 stimuli are 42 MB."""

RANK_TOLERANCE = 1e-12
"""Eigenvalues below this share of the largest are rounding of a float64 Gram."""


@dataclass(frozen=True)
class Gram:
    """Inner products of feature rows; exactly one of the two faces is there.

    Parameters
    ----------
    dense
        K = X X', float64 (row row).
    factor
        X without its column means, float64 (row unit).
    memory
        Principal scores by training rows, for a Gram that is asked for the same splits again; see `remembering`.
    """

    dense: Float[np.ndarray, "row row"] | None = None
    factor: Float[np.ndarray, "row unit"] | None = None
    memory: dict[bytes, tuple[np.ndarray, np.ndarray]] | None = field(default=None, repr=False, compare=False)

    @property
    def n_rows(self) -> int:
        """Number of rows: stimuli, or (time_bin, stimulus) pairs."""
        face = self.factor if self.dense is None else self.dense
        assert face is not None
        return len(face)

    def subset(self, rows: Bool[np.ndarray, " row"]) -> Gram:
        """Return the Gram of some rows; the shift by the mean of all rows stays, which a map centred on its training rows does not see."""
        if rows.all():
            return self
        if self.factor is not None:
            return Gram(factor=self.factor[rows])
        assert self.dense is not None
        return Gram(dense=self.dense[np.ix_(rows, rows)])

    def remembering(self) -> Gram:
        """Return a Gram that decomposes itself once for each set of training rows, and keeps what came of it."""
        return replace(self, memory={})

    def dot(self, vectors: Float[np.ndarray, "row vector"]) -> Float[np.ndarray, "row vector"]:
        """Return K @ vectors."""
        if self.factor is not None:
            return np.asarray(self.factor @ (self.factor.T @ vectors))
        return np.asarray(self.dense @ vectors)

    def dot_block(self, rows: Bool[np.ndarray, " row"], vectors: Float[np.ndarray, "some vector"]) -> Float[np.ndarray, "some vector"]:
        """Return K[rows, rows] @ vectors, where `vectors` has a row for each selected one."""
        if self.factor is not None:
            part = self.factor[rows]
            return np.asarray(part @ (part.T @ vectors))
        assert self.dense is not None
        return np.asarray(self.dense[np.ix_(rows, rows)] @ vectors)

    def principal_scores(self, train: Bool[np.ndarray, " row"]) -> tuple[Float[np.ndarray, "row rank"], Float[np.ndarray, " rank"]]:
        """Return the principal component scores of all rows, for axes fitted on the training rows.

        Returns
        -------
        Scores Z (row rank), centred on the training rows, and eigenvalues L (rank), descending, of the train-centred Gram:
        Z_train' Z_train = diag(L).
        """
        if self.memory is None:
            return self._decompose(train)
        key = train.tobytes()
        if key not in self.memory:
            self.memory[key] = self._decompose(train)
        return self.memory[key]

    def _decompose(self, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.factor is not None:
            centred = self.factor - self.factor[train].mean(axis=0)
            eigenvalues, axes = np.linalg.eigh(centred[train].T @ centred[train])
            keep = _above_rounding(eigenvalues)
            return centred @ axes[:, keep], eigenvalues[keep]
        assert self.dense is not None
        mean = self.dense[:, train].mean(axis=1)
        centred = self.dense[:, train] - mean[:, None]
        centred -= centred[train].mean(axis=0)
        eigenvalues, vectors = np.linalg.eigh(centred[train])
        keep = _above_rounding(eigenvalues)
        return centred @ (vectors[:, keep] / np.sqrt(eigenvalues[keep])), eigenvalues[keep]


def gram_of(blocks: Sequence[Float[np.ndarray, "stimulus unit"]]) -> Gram:
    """Build the Gram of one or more stacked blocks of features, reading each block once, in column chunks.

    Parameters
    ----------
    blocks
        Features (stimulus unit), float32, possibly memory-mapped; more than one are stacked along the rows (the fixed time
        mode stacks time bins).

    Returns
    -------
    The factor face where the units are fewer than the rows, otherwise the dense one; float64 throughout.
    """
    n_rows, n_units = sum(len(block) for block in blocks), blocks[0].shape[1]
    if n_units < n_rows:
        return Gram(factor=_centred(blocks, slice(None)))
    dense = np.zeros((n_rows, n_rows))
    for start in range(0, n_units, CHUNK_UNITS):
        columns = _centred(blocks, slice(start, start + CHUNK_UNITS))
        dense += columns @ columns.T
    return Gram(dense=dense)


def _centred(blocks: Sequence[np.ndarray], columns: slice) -> np.ndarray:
    stacked = np.concatenate([np.asarray(block[:, columns], dtype=np.float64) for block in blocks])
    return np.asarray(stacked - stacked.mean(axis=0))


def _above_rounding(eigenvalues: np.ndarray) -> np.ndarray:
    """Positions of the eigenvalues that are not rounding, largest first."""
    order = np.argsort(eigenvalues)[::-1]
    return np.asarray(order[eigenvalues[order] > RANK_TOLERANCE * max(eigenvalues[order[0]], np.finfo(float).tiny)])
