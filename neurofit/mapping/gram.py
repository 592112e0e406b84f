"""The Gram matrix of the features, K = X X': all that unscaled PLS and ridge need of them.

One of three representations is chosen by size: `dense` holds K (n x n); `factor` holds the centred
X (n x p) where p < n, as in the fixed time mode, whose rows are (time_bin, stimulus) pairs;
`blocks` refers to the features in place (on disk, for example), if neither fits into memory. A
constant shift of X leaves every train-centred quantity unchanged, so the mean over all rows is
removed once, against cancellation.

Products of centred float32 chunks, summed in float64, give predictions to 1e-6 of a standard
deviation. They are used where there are at least twice as many units as rows (K is far from
singular) and float64 products would take long; everything else is float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from neurofit.errors import check_option
from neurofit.mapping.centring import Centring, in_groups, remove_means
from neurofit.mapping.linalg import CPU, Backend

CHUNK_UNITS = 4096
"""Units (columns) read at a time: 4096 float32 units of 2,560 stimuli are 42 MB."""

CHUNK_VALUES = 2**24
"""Maximum number of values (rows x units) read at a time."""

MEMORY_BYTES = 2**31
"""Maximum size of K or X in memory; larger features are read again whenever they are needed."""

MIN_FLOPS_FOR_FLOAT32 = 1e10
"""Multiplications (a tenth of a second) below which the most exact algorithm is always used."""

PRECISIONS = ("auto", "float32", "float64")

RANK_TOLERANCE = {"float64": 1e-12, "float32": 1e-6}
"""Eigenvalues below this share of the largest are rounding errors of the Gram."""


@dataclass(frozen=True)
class GramPlan:
    """Representation and estimated cost of a Gram.

    Parameters
    ----------
    storage
        "dense", "factor" or "blocks".
    precision
        Precision of the products: "float32" or "float64".
    n_rows, n_units
        Size of the features.
    flops, n_bytes
        Floating point operations for K or X'X, and memory that the Gram takes while it is built.
    """

    storage: str
    precision: str
    n_rows: int
    n_units: int
    flops: float
    n_bytes: int


def plan_gram(
    n_rows: int,
    n_units: int,
    *,
    precision: str = "auto",
    single: bool = True,
    memory: int = MEMORY_BYTES,
) -> GramPlan:
    """Choose the representation and the precision of a Gram.

    Parameters
    ----------
    n_rows, n_units
        Size of the features.
    precision
        "float32", "float64", or "auto" as described in the module.
    single
        Whether the features are float32; "auto" never rounds features given in float64.
    memory
        Bytes that the features or their Gram may take.

    Raises
    ------
    NeurofitError
        If the precision is unknown.
    """
    check_option("precision of a Gram", precision, PRECISIONS)
    storage = "factor" if n_units < n_rows else "dense"
    n_bytes = 8 * n_rows * min(n_rows, n_units)
    if n_bytes > memory:
        storage, n_bytes = "blocks", 8 * n_units
    flops = float(n_rows) * n_units * min(n_rows, n_units)
    n_bytes += 3 * 8 * min(CHUNK_VALUES, n_rows * min(CHUNK_UNITS, n_units))
    if storage != "dense":
        return GramPlan(storage, "float64", n_rows, n_units, flops, n_bytes)
    if precision == "auto":
        rounds = single and n_units >= 2 * n_rows and flops > MIN_FLOPS_FOR_FLOAT32
        precision = "float32" if rounds else "float64"
    n_bytes += n_rows**2 * np.dtype(precision).itemsize
    return GramPlan(storage, precision, n_rows, n_units, flops, n_bytes)


@dataclass(frozen=True)
class Gram:
    """Inner products of feature rows, in exactly one of three representations.

    Parameters
    ----------
    dense
        K = X X', float64 (row row).
    factor
        X without its column means, float64 (row unit).
    blocks
        Features (stimulus unit), possibly memory-mapped, stacked along the rows.
    block_rows
        Rows of each block that belong to the Gram; None for all. With `blocks` only.
    precision
        Precision of the products: "float64" or "float32".
    name
        Name of the features in messages, such as "conv5 at 120 ms".
    n_constant
        Number of units that do not vary; they are left out.
    notes
        Warnings about the features.
    plan
        How the Gram was built and at what estimated cost; None if it was not built by `gram_of`.
    mean
        Mean over all rows, which `chunks` removes. With `blocks` only.
    cache
        Principal scores by training rows; see `with_cache`.
    stimulus_groups
        Group of each row's stimulus; see `with_stimulus_groups`.
    groups
        Number of groups of rows, such as time bins, each with training means of its own; see
        `neurofit.mapping.centring`.
    exhausted
        Ranks of training features at which a mapping stopped, which it adds here.
    """

    dense: Float[np.ndarray, "row row"] | None = None
    factor: Float[np.ndarray, "row unit"] | None = None
    blocks: tuple[np.ndarray, ...] | None = None
    block_rows: tuple[np.ndarray, ...] | None = None
    precision: str = "float64"
    name: str = "features"
    n_constant: int = 0
    notes: tuple[str, ...] = ()
    plan: GramPlan | None = None
    mean: Float[np.ndarray, " unit"] | None = field(default=None, repr=False)
    cache: dict[tuple[str, bytes], tuple[Any, Any, Any]] | None = field(
        default=None, repr=False, compare=False
    )
    stimulus_groups: Int[np.ndarray, " row"] | None = field(default=None, repr=False)
    groups: int = 1
    exhausted: set[int] = field(default_factory=set, repr=False, compare=False)

    @property
    def n_rows(self) -> int:
        """Number of rows: stimuli, or (time_bin, stimulus) pairs."""
        if self.blocks is not None:
            return sum(len(rows) for rows in self.block_rows or self.blocks)
        matrix = self.factor if self.dense is None else self.dense
        assert matrix is not None
        return len(matrix)

    @property
    def n_units(self) -> int:
        """Number of units; undefined for the dense representation."""
        matrix = self.factor if self.blocks is None else self.blocks[0]
        assert matrix is not None
        return int(matrix.shape[1])

    def chunks(self) -> Iterator[tuple[slice, Float[np.ndarray, "chunk unit"]]]:
        """Yield row slices and their centred features in float64; not if dense."""
        if self.factor is not None:
            yield slice(0, len(self.factor)), self.factor
            return
        assert self.blocks is not None
        for rows, chunk in row_chunks(self.blocks, self.block_rows):
            yield rows, chunk - self.mean

    @property
    def features(self) -> Float[np.ndarray, "row unit"]:
        """Features of all rows without `mean`, float64; undefined for the dense representation."""
        return np.concatenate([chunk for _, chunk in self.chunks()])

    def subset(self, rows: Bool[np.ndarray, " row"]) -> Gram:
        """Return the Gram of some rows.

        The mean over all rows stays removed, which makes no difference to a map that is centred on
        its training rows.
        """
        if rows.all():
            return self
        rest: dict[str, Any] = {
            "cache": None,
            "stimulus_groups": (
                None if self.stimulus_groups is None else self.stimulus_groups[rows]
            ),
        }
        if self.factor is not None:
            return replace(self, factor=self.factor[rows], **rest)
        if self.dense is not None:
            return replace(self, dense=self.dense[np.ix_(rows, rows)], **rest)
        assert self.blocks is not None
        before = self.block_rows or tuple(np.arange(len(block)) for block in self.blocks)
        inside = np.split(rows, np.cumsum([len(each) for each in before])[:-1])
        after = tuple(each[chosen] for each, chosen in zip(before, inside, strict=True))
        return replace(self, block_rows=after, **rest)

    def with_stimulus_groups(self, groups: Int[np.ndarray, " row"] | None) -> Gram:
        """Return a Gram whose mappings hold out groups of rows when they choose their options."""
        return self if groups is None else replace(self, stimulus_groups=groups)

    def with_blank(self) -> Gram:
        """Return the Gram with a further row at the end of each group: the mean over all rows.

        These rows have the same features in all groups. Where they are test rows, predictions less
        those of the blank row of their group are free of the group's intercept.
        """
        if self.stimulus_groups is not None:
            own = np.pad(in_groups(self.stimulus_groups, self.groups), ((0, 0), (0, 1)))
            return (
                replace(self, stimulus_groups=None).with_blank().with_stimulus_groups(own.ravel())
            )
        if self.blocks is not None:
            assert self.mean is not None
            assert len(self.blocks) == self.groups
            blank, blocks, rows = self.mean[None], self.blocks, self.block_rows
            return replace(
                self,
                blocks=tuple(each for block in blocks for each in (block, blank)),
                block_rows=rows and tuple(each for own in rows for each in (own, np.arange(1))),
            )
        n_rows, groups, size = self.n_rows, self.groups, self.n_rows // self.groups
        one, none = (0, 1), (0, 0)
        if self.factor is not None:
            factor = np.pad(in_groups(self.factor, groups), (none, one, none))
            return replace(self, factor=factor.reshape(n_rows + groups, -1))
        assert self.dense is not None
        dense = np.pad(self.dense.reshape(groups, size, groups, size), (none, one, none, one))
        return replace(self, dense=dense.reshape(n_rows + groups, -1))

    def with_cache(self) -> Gram:
        """Return a Gram that decomposes itself only once for each set of training rows."""
        return replace(self, cache={})

    @cached_property
    def cross_product(self) -> Float[np.ndarray, "unit unit"]:
        """X'X over all rows; undefined for the dense representation."""
        total = np.zeros((self.n_units, self.n_units))
        for _, chunk in self.chunks():
            total += chunk.T @ chunk
        return total

    def train_cross_product(
        self, train: Bool[np.ndarray, " row"]
    ) -> tuple[Float[np.ndarray, "unit unit"], Float[np.ndarray, "group unit"]]:
        """Return X'X of the training rows, centred on them, and the mean of each group.

        Large ones are down-dated: the products of the (fewer) test rows are subtracted from X'X.
        """
        if self.factor is not None and len(train) * self.n_units**2 < MIN_FLOPS_FOR_FLOAT32:
            trained = self.factor[train]
            mean = remove_means(trained, self.groups)
            return trained.T @ trained, mean
        centring = Centring(train[None], self.groups)
        cross, total = self.cross_product.copy(), np.zeros((self.groups, self.n_units))
        for rows, chunk in self.chunks():
            test = chunk[~train[rows]]
            cross -= test.T @ test
            for group, own in centring.parts(rows):
                total[group] += chunk[own][train[rows][own]].sum(axis=0)
        mean = total / (train.sum() / self.groups)
        cross -= mean.T @ total
        return cross, mean

    def principal_scores(
        self, train: Bool[np.ndarray, " row"]
    ) -> tuple[Float[np.ndarray, "row rank"], Float[np.ndarray, " rank"]]:
        """Return the principal component scores of all rows, for axes fitted on the training rows.

        Returns
        -------
        Scores Z (row rank), centred on the training rows, and eigenvalues L (rank), descending, of
        the train-centred Gram: Z_train' Z_train = diag(L).
        """
        trained, tested, eigenvalues = self.split_scores(train, CPU)
        scores = np.empty((len(train), len(eigenvalues)))
        scores[train], scores[~train] = trained, tested
        return scores, eigenvalues

    def split_scores(
        self, train: Bool[np.ndarray, " row"], backend: Backend
    ) -> tuple[Any, Any, Any]:
        """Return principal scores of training rows and test rows, and eigenvalues, on a backend."""
        if self.cache is None:
            return self._decompose(train, backend)
        key = backend.name, train.tobytes()
        if key not in self.cache:
            self.cache[key] = self._decompose(train, backend)
        return self.cache[key]

    def _decompose(self, train: np.ndarray, backend: Backend) -> tuple[Any, Any, Any]:
        xp, tolerance = backend.xp, RANK_TOLERANCE[self.precision]
        inside, outside = (backend.array(np.flatnonzero(each), "int64") for each in (train, ~train))
        if self.dense is None:
            cross, center = (backend.array(x) for x in self.train_cross_product(train))
            eigenvalues, axes = _above_rounding(xp, xp.linalg.eigh(cross), tolerance)
            projected = [backend.array(chunk) @ axes for _, chunk in self.chunks()]
            scores = xp.concatenate(projected)
            split = in_groups(scores, self.groups)
            split -= (center @ axes)[:, None]
            return scores[inside], scores[outside], eigenvalues
        kernel = backend.array(self.dense)
        trained, tested = kernel[inside][:, inside], kernel[outside][:, inside]
        split = trained.reshape(self.groups, len(trained) // self.groups, self.groups, -1)
        mean = split.mean(1)  # (group group row_of_group)
        # The mean of each column; and, because K is symmetric, of each row that is left.
        split -= mean[:, None] + xp.moveaxis(mean - mean.mean(-1)[..., None], 0, 2)[..., None]
        eigenvalues, vectors = _above_rounding(xp, xp.linalg.eigh(trained), tolerance)
        roots = xp.sqrt(eigenvalues)
        split = in_groups(tested, self.groups)
        split -= mean.reshape(self.groups, 1, -1)
        return vectors * roots, tested @ (vectors / roots), eigenvalues


def row_chunks(
    blocks: Sequence[np.ndarray], block_rows: Sequence[np.ndarray] | None = None
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield chunks of at most `CHUNK_VALUES` values of stacked blocks, in float64, with rows."""
    begin = 0
    for i, block in enumerate(blocks):
        rows = np.arange(len(block)) if block_rows is None else block_rows[i]
        whole, step = len(rows) == len(block), max(1, CHUNK_VALUES // block.shape[1])
        for start in range(0, len(rows), step):
            stop = min(start + step, len(rows))
            chunk = block[start:stop] if whole else block[rows[start:stop]]
            yield slice(begin + start, begin + stop), np.asarray(chunk, dtype=np.float64)
        begin += len(rows)


def _above_rounding(xp: Any, decomposition: tuple[Any, Any], tolerance: float) -> tuple[Any, Any]:
    """Return the eigenvalues that exceed rounding errors, descending, and their vectors."""
    eigenvalues, vectors = decomposition
    largest = max(float(eigenvalues[-1]), float(np.finfo(float).tiny))
    first = len(eigenvalues) - int((eigenvalues > tolerance * largest).sum())
    return xp.flip(eigenvalues[first:], (0,)), xp.flip(vectors[:, first:], (1,))
