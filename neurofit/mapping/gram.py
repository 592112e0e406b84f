"""The Gram matrix of the features, K = X X': all that unscaled PLS and ridge ever see of them.

Three faces of one object, chosen by size: `dense` holds K (n x n); `factor` holds the centred X (n x p) itself where p < n, as in
the fixed time mode, whose rows are (time_bin, stimulus); `blocks` holds the features where they lie, for what fits into memory
neither way. Any constant shift of X leaves every train-centred quantity unchanged, so the mean over all rows is removed once: it
only removes cancellation.

Products of centred float32 chunks, summed in float64, give predictions to 1e-6 of a standard deviation; they are used where there
are at least twice as many units as rows (K is far from singular) and the work is worth it. Everything else is float64.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from neurofit.errors import NeurofitError, NeurofitWarning, check_option
from neurofit.mapping.linalg import CPU, Device, find_device

CHUNK_UNITS = 4096
"""Units (columns) read at a time: 4096 float32 units of 2,560 stimuli are 42 MB."""

CHUNK_VALUES = 2**24
"""Most values (rows x units) read at a time."""

MEMORY_BYTES = 2**31
"""A face larger than this is not held: the features stay where they are."""

WORTH_ROUNDING = 1e10
"""Multiplications from which a faster way is worth its rounding: a tenth of a second."""

PRECISIONS = ("auto", "float32", "float64")

RANK_TOLERANCE = {"float64": 1e-12, "float32": 1e-6}
"""Eigenvalues below this share of the largest are rounding of the Gram."""

LOPSIDED = 1e3
"""Where the variance of a unit, or the sum of squares of a stimulus, exceeds the median by this factor, "auto" takes float64."""

DWARFING = 1e6
"""A unit whose variance exceeds the median by this factor leaves float32 products no digits for the others."""


@dataclass(frozen=True)
class GramPlan:
    """How a Gram is held and what it costs, known before a feature is read.

    Parameters
    ----------
    face
        "dense", "factor" or "blocks".
    precision
        Of the products: "float32" or "float64".
    n_rows, n_units
        Size of the features.
    flops, n_bytes
        Floating point operations for all inner products, K or X'X, and memory that the Gram takes while it is built.
    """

    face: str
    precision: str
    n_rows: int
    n_units: int
    flops: float
    n_bytes: int


def plan_gram(n_rows: int, n_units: int, *, precision: str = "auto", single: bool = True, memory: int = MEMORY_BYTES) -> GramPlan:
    """Choose the face and the precision of a Gram.

    Parameters
    ----------
    n_rows, n_units
        Size of the features.
    precision
        "float32", "float64", or "auto": see the module.
    single
        Whether the features are float32; those given in float64 keep it under "auto".
    memory
        Bytes that the features or their Gram may take.
    """
    check_option("precision of a Gram", precision, PRECISIONS)
    face = "factor" if n_units < n_rows else "dense"
    held = 8 * n_rows * min(n_rows, n_units)
    if held > memory:
        face, held = "blocks", 8 * n_units
    flops = float(n_rows) * n_units * min(n_rows, n_units)
    held += 3 * 8 * min(CHUNK_VALUES, n_rows * min(CHUNK_UNITS, n_units))
    if face != "dense":
        return GramPlan(face, "float64", n_rows, n_units, flops, held)
    if precision == "auto":
        precision = "float32" if single and n_units >= 2 * n_rows and flops > WORTH_ROUNDING else "float64"
    return GramPlan(face, precision, n_rows, n_units, flops, held + n_rows**2 * np.dtype(precision).itemsize)


@dataclass(frozen=True)
class Gram:
    """Inner products of feature rows; exactly one of the three faces is there.

    Parameters
    ----------
    dense
        K = X X', float64 (row row).
    factor
        X without its column means, float64 (row unit).
    blocks
        The features themselves (stimulus unit), possibly mapped from disk, one after the other along the rows.
    kept
        With `blocks`: the rows of each block that count; None for all.
    precision
        Of the products that made it: "float64" or "float32".
    name
        Whose features these are, for messages: "conv5 at 120 ms".
    n_constant
        Units that do not vary; they were skipped.
    notes
        What looked wrong with the features, in words.
    plan
        How it was made and what it cost; None for one made by hand.
    mean
        With `blocks`: the mean over all rows, which `pieces` removes.
    memory
        Principal scores by training rows, for a Gram that is asked for the same splits again; see `remembering`.
    """

    dense: Float[np.ndarray, "row row"] | None = None
    factor: Float[np.ndarray, "row unit"] | None = None
    blocks: tuple[np.ndarray, ...] | None = None
    kept: tuple[np.ndarray, ...] | None = None
    precision: str = "float64"
    name: str = "features"
    n_constant: int = 0
    notes: tuple[str, ...] = ()
    plan: GramPlan | None = None
    mean: Float[np.ndarray, " unit"] | None = field(default=None, repr=False)
    memory: dict[tuple[str, bytes], tuple[Any, Any, Any]] | None = field(default=None, repr=False, compare=False)

    @property
    def n_rows(self) -> int:
        """Number of rows: stimuli, or (time_bin, stimulus) pairs."""
        if self.blocks is not None:
            return sum(len(part) for part in self.kept or self.blocks)
        face = self.factor if self.dense is None else self.dense
        assert face is not None
        return len(face)

    @property
    def n_units(self) -> int:
        """Number of units, of the faces that know it."""
        face = self.factor if self.blocks is None else self.blocks[0]
        assert face is not None
        return int(face.shape[1])

    def pieces(self) -> Iterator[tuple[slice, Float[np.ndarray, "some unit"]]]:
        """Yield the centred features piece by piece, float64, with the rows that each holds; not for the dense face."""
        if self.factor is not None:
            yield slice(0, len(self.factor)), self.factor
            return
        assert self.blocks is not None
        for rows, piece in _row_pieces(self.blocks, self.kept):
            yield rows, piece - self.mean

    def subset(self, rows: Bool[np.ndarray, " row"]) -> Gram:
        """Return the Gram of some rows; the shift by the mean of all rows stays, which a map centred on its training rows does not see."""
        if rows.all():
            return self
        if self.factor is not None:
            return replace(self, factor=self.factor[rows], memory=None)
        if self.dense is not None:
            return replace(self, dense=self.dense[np.ix_(rows, rows)], memory=None)
        assert self.blocks is not None
        kept = self.kept or tuple(np.arange(len(block)) for block in self.blocks)
        chosen = np.split(rows, np.cumsum([len(part) for part in kept])[:-1])
        return replace(self, kept=tuple(part[inside] for part, inside in zip(kept, chosen, strict=True)), memory=None)

    def remembering(self) -> Gram:
        """Return a Gram that decomposes itself once for each set of training rows, and keeps what came of it."""
        return replace(self, memory={})

    def dot(self, vectors: Float[np.ndarray, "row vector"]) -> Float[np.ndarray, "row vector"]:
        """Return K @ vectors."""
        if self.dense is not None:
            return np.asarray(self.dense @ vectors)
        inner = np.zeros((self.n_units, vectors.shape[1]))
        for rows, piece in self.pieces():
            inner += piece.T @ vectors[rows]
        return np.concatenate([piece @ inner for _, piece in self.pieces()])

    def dot_block(self, rows: Bool[np.ndarray, " row"], vectors: Float[np.ndarray, "some vector"]) -> Float[np.ndarray, "some vector"]:
        """Return K[rows, rows] @ vectors, where `vectors` has a row for each selected one."""
        if self.dense is not None:
            return np.asarray(self.dense[np.ix_(rows, rows)] @ vectors)
        spread = np.zeros((len(rows), vectors.shape[1]))
        spread[rows] = vectors
        return np.asarray(self.dot(spread)[rows])

    @cached_property
    def cross_product(self) -> Float[np.ndarray, "unit unit"]:
        """X'X over all rows; not for the dense face."""
        total = np.zeros((self.n_units, self.n_units))
        for _, piece in self.pieces():
            total += piece.T @ piece
        return total

    def train_cross_product(self, train: Bool[np.ndarray, " row"]) -> tuple[Float[np.ndarray, "unit unit"], Float[np.ndarray, " unit"]]:
        """Return X'X of the training rows, centred on them, and their mean; large ones by taking the (fewer) test rows from all."""
        if self.factor is not None and len(train) * self.n_units**2 < WORTH_ROUNDING:
            held = self.factor[train]
            mean = held.mean(axis=0)
            held -= mean
            return held.T @ held, mean
        cross, total = self.cross_product.copy(), np.zeros(self.n_units)
        for rows, piece in self.pieces():
            test = piece[~train[rows]]
            cross -= test.T @ test
            total += piece[train[rows]].sum(axis=0)
        mean = total / train.sum()
        cross -= np.outer(mean, total)
        return cross, mean

    def principal_scores(self, train: Bool[np.ndarray, " row"]) -> tuple[Float[np.ndarray, "row rank"], Float[np.ndarray, " rank"]]:
        """Return the principal component scores of all rows, for axes fitted on the training rows.

        Returns
        -------
        Scores Z (row rank), centred on the training rows, and eigenvalues L (rank), descending, of the train-centred Gram:
        Z_train' Z_train = diag(L).
        """
        trained, tested, eigenvalues = self.split_scores(train, CPU)
        scores = np.empty((len(train), len(eigenvalues)))
        scores[train], scores[~train] = trained, tested
        return scores, eigenvalues

    def split_scores(self, train: Bool[np.ndarray, " row"], device: Device) -> tuple[Any, Any, Any]:
        """Return the same scores of training rows and of test rows, and the eigenvalues, as arrays of a device."""
        if self.memory is None:
            return self._decompose(train, device)
        key = device.name, train.tobytes()
        if key not in self.memory:
            self.memory[key] = self._decompose(train, device)
        return self.memory[key]

    def _decompose(self, train: np.ndarray, device: Device) -> tuple[Any, Any, Any]:
        xp, tolerance = device.xp, RANK_TOLERANCE[self.precision]
        inside, outside = (device.array(np.flatnonzero(rows), "int64") for rows in (train, ~train))
        if self.dense is None:
            cross, center = (device.array(x) for x in self.train_cross_product(train))
            eigenvalues, axes = _above_rounding(xp, xp.linalg.eigh(cross), tolerance)
            scores = xp.concatenate([device.array(piece) @ axes for _, piece in self.pieces()]) - center @ axes
            return scores[inside], scores[outside], eigenvalues
        kernel = device.array(self.dense)
        trained, tested = kernel[inside][:, inside], kernel[outside][:, inside]
        mean = trained.mean(0)
        trained -= mean + (mean - mean.mean())[:, None]
        eigenvalues, vectors = _above_rounding(xp, xp.linalg.eigh(trained), tolerance)
        roots = xp.sqrt(eigenvalues)
        tested -= mean
        return vectors * roots, tested @ (vectors / roots), eigenvalues


def gram_of(
    blocks: Sequence[Float[np.ndarray, "stimulus unit"]],
    *,
    name: str = "features",
    precision: str = "auto",
    device: str = "cpu",
    memory: int = MEMORY_BYTES,
) -> Gram:
    """Build the Gram of one or more stacked blocks of features, reading each value once, in column chunks.

    Parameters
    ----------
    blocks
        Features (stimulus unit), float32, possibly memory-mapped; more than one are stacked along the rows (the fixed time
        mode stacks time bins).
    name
        Whose features these are, for messages.
    precision
        Of the products: "auto" (see the module), "float32" or "float64".
    device
        Where the products are made: "cpu", "torch-cpu", "cuda".
    memory
        Bytes that the features, copied, or their Gram may take; beyond it the features are read again when they are needed.

    Returns
    -------
    The factor face where the units are fewer than the rows, otherwise the dense one; `blocks` where that one exceeds `memory`.

    Raises
    ------
    NeurofitError
        If a feature is not finite.

    Warns
    -----
    NeurofitWarning
        If no unit varies, or if some units' scale dwarfs all others'.
    """
    n_rows, n_units = sum(len(block) for block in blocks), blocks[0].shape[1]
    plan = plan_gram(n_rows, n_units, precision=precision, single=blocks[0].dtype != np.float64, memory=memory)
    watch = _Watch(name, n_rows)
    if plan.face == "blocks":
        gram = Gram(blocks=tuple(blocks), mean=watch.see_rows(blocks))
    elif plan.face == "factor":
        factor = np.concatenate(blocks, dtype=np.float64)
        watch.centre(factor, 0)
        gram = Gram(factor=factor)
    else:
        place = find_device(device)
        total = place.zeros(n_rows, n_rows)
        width = max(1, min(CHUNK_UNITS, CHUNK_VALUES // n_rows))
        with place.full_precision():
            for start in range(0, n_units, width):
                columns = np.concatenate([block[:, start : start + width] for block in blocks], dtype=plan.precision)
                if watch.centre(columns, start):
                    moved = place.array(columns, plan.precision)
                    total += moved @ moved.T
        dense = place.numpy(total)
        if plan.precision == "float32" and precision == "auto" and (watch.is_lopsided() or _lopsided(np.diagonal(dense))):
            return gram_of(blocks, name=name, precision="float64", device=device, memory=memory)
        gram = Gram(dense=dense, precision=plan.precision)
    gram = replace(gram, name=name, n_constant=watch.n_constant, notes=watch.notes(), plan=plan)
    for note in gram.notes:
        warnings.warn(note, NeurofitWarning, stacklevel=2)
    return gram


class _Watch:
    """Looks at every unit while it passes by: finite, varying, of a scale like the others'."""

    def __init__(self, name: str, n_rows: int) -> None:
        self.name, self.n_rows = name, n_rows
        self.variances: list[np.ndarray] = []
        self.n_constant = 0

    def centre(self, columns: np.ndarray, start: int) -> bool:
        """Remove the mean over rows, computed in float64, in place; return whether any of the columns varies."""
        mean = np.add.reduce(columns, axis=0, dtype=np.float64) / self.n_rows
        self._check_finite(mean, start)
        columns -= mean.astype(columns.dtype)
        squares = np.einsum("ij,ij->j", columns, columns)
        constant = self._note(squares, mean, float(np.finfo(columns.dtype).eps))
        columns[:, constant] = 0.0
        return not constant.all()

    def see_rows(self, blocks: Sequence[np.ndarray]) -> np.ndarray:
        """Look at features that stay where they are, in one pass by rows; return their mean over rows."""
        shift = blocks[0][0].astype(np.float64)
        total, squares = np.zeros_like(shift), np.zeros_like(shift)
        for _, piece in _row_pieces(blocks):
            shifted = piece - shift
            total += shifted.sum(axis=0)
            squares += np.einsum("ij,ij->j", shifted, shifted)
        mean = shift + total / self.n_rows
        self._check_finite(mean, 0)
        self._note(np.maximum(squares - total**2 / self.n_rows, 0.0), mean, float(np.finfo(np.float64).eps))
        return np.asarray(mean)

    def notes(self) -> tuple[str, ...]:
        """Say what looked wrong."""
        variances = np.concatenate(self.variances)
        varying = variances[variances > 0]
        if not len(varying):
            return (f"{self.name}: none of the {len(variances)} units varies over the {self.n_rows} rows; it predicts the mean.",)
        large = variances > DWARFING * np.median(varying)
        if not large.any() or variances[large].sum() < 0.9 * variances.sum():
            return ()
        first = int(np.argmax(large))
        sd, median_sd = np.sqrt(variances[first] / self.n_rows), np.sqrt(np.median(varying) / self.n_rows)
        return (
            f"{self.name}: the scale of {large.sum()} of {len(variances)} units (first: unit {first}, sd {sd:.3g}) dwarfs all others' "
            f"(median sd {median_sd:.3g}); an unscaled map sees little else.",
        )

    def is_lopsided(self) -> bool:
        """Return whether a few units are so much larger than the others that these lose digits in float32."""
        return _lopsided(np.concatenate(self.variances))

    def _note(self, squares: np.ndarray, mean: np.ndarray, eps: float) -> np.ndarray:
        constant = squares <= self.n_rows * (4 * eps * np.abs(mean)) ** 2
        self.n_constant += int(constant.sum())
        self.variances.append(np.where(constant, 0.0, squares))
        return np.asarray(constant)

    def _check_finite(self, mean: np.ndarray, start: int) -> None:
        bad = np.flatnonzero(~np.isfinite(mean))
        if len(bad):
            raise NeurofitError(
                f"Features must be finite; {self.name} has NaN or infinity in {len(bad)} of units {start} to {start + len(mean) - 1} "
                f"(first: unit {start + bad[0]})."
            )


def _lopsided(sizes: np.ndarray) -> bool:
    positive = sizes[sizes > 0]
    return bool(len(positive) and positive.max() > LOPSIDED * np.median(positive))


def _row_pieces(blocks: Sequence[np.ndarray], kept: Sequence[np.ndarray] | None = None) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield row pieces of the stacked blocks, float64, of at most `CHUNK_VALUES` values."""
    begin = 0
    for block, rows in zip(blocks, kept or [np.arange(len(block)) for block in blocks], strict=True):
        step = max(1, CHUNK_VALUES // block.shape[1])
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            whole = len(rows) == len(block)
            piece = np.asarray(block[start : start + step] if whole else block[part], dtype=np.float64)
            yield slice(begin + start, begin + start + len(part)), piece
        begin += len(rows)


def _above_rounding(xp: Any, decomposition: tuple[Any, Any], tolerance: float) -> tuple[Any, Any]:
    """Return the eigenvalues that are not rounding, largest first, and their vectors."""
    eigenvalues, vectors = decomposition
    largest = max(float(eigenvalues[-1]), float(np.finfo(float).tiny))
    first = len(eigenvalues) - int((eigenvalues > tolerance * largest).sum())
    return xp.flip(eigenvalues[first:], (0,)), xp.flip(vectors[:, first:], (1,))
