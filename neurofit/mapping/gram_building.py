"""Build Gram matrices from features, in one pass over their columns."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from neurofit.errors import NeurofitError, NeurofitWarning
from neurofit.mapping.gram import (
    CHUNK_UNITS,
    CHUNK_VALUES,
    MEMORY_BYTES,
    Gram,
    plan_gram,
    row_chunks,
)
from neurofit.mapping.linalg import array_backend

FLOAT32_VARIANCE_RATIO = 1e3
"""Largest ratio of a unit's variance (or a row's sum of squares) to the median for float32."""

MAX_VARIANCE_RATIO = 1e6
"""Ratio to the median variance above which a unit is reported: float32 loses all other units."""


def gram_of(
    blocks: Sequence[Float[np.ndarray, "stimulus unit"]],
    *,
    name: str = "features",
    precision: str = "auto",
    device: str = "cpu",
    memory: int = MEMORY_BYTES,
) -> Gram:
    """Build the Gram of features in column chunks, reading each value once.

    Parameters
    ----------
    blocks
        Features (stimulus unit), float32, possibly memory-mapped; several are stacked along the
        rows, as time bins are in the fixed time mode.
    name
        Name of the features in messages.
    precision
        Precision of the products: "auto" (see `neurofit.mapping.gram`), "float32" or "float64".
    device
        Device that computes the products: "cpu", "torch-cpu" or "cuda".
    memory
        Bytes that a copy of the features or their Gram may take; beyond it the features are read
        again whenever they are needed.

    Returns
    -------
    Gram
        In the factor representation if there are fewer units than rows, in the dense one
        otherwise, and as `blocks` if this would exceed `memory`.

    Raises
    ------
    NeurofitError
        If a feature is not finite, or the precision is unknown.

    Warns
    -----
    NeurofitWarning
        If no unit varies, or if the variance of some units is a million times the median.

    Examples
    --------
    >>> import numpy as np
    >>> from neurofit.mapping import gram_of
    >>> features = np.random.default_rng(0).normal(size=(20, 100))
    >>> centred = features - features.mean(axis=0)
    >>> np.allclose(gram_of([features]).dense, centred @ centred.T)
    True
    """
    n_rows, n_units = sum(len(block) for block in blocks), blocks[0].shape[1]
    single = blocks[0].dtype != np.float64
    plan = plan_gram(n_rows, n_units, precision=precision, single=single, memory=memory)
    check = _FeatureCheck(name, n_rows)
    if plan.storage == "blocks":
        gram = Gram(blocks=tuple(blocks), mean=check.mean_over_rows(blocks))
    elif plan.storage == "factor":
        factor = np.concatenate(blocks, dtype=np.float64)
        check.centre(factor, 0)
        gram = Gram(factor=factor)
    else:
        backend = array_backend(device)
        total = backend.zeros(n_rows, n_rows)
        width = max(1, min(CHUNK_UNITS, CHUNK_VALUES // n_rows))
        with backend.full_precision():
            for start in range(0, n_units, width):
                parts = [block[:, start : start + width] for block in blocks]
                columns = np.concatenate(parts, dtype=plan.precision)
                if check.centre(columns, start):
                    moved = backend.array(columns, plan.precision)
                    total += moved @ moved.T
        dense = backend.numpy(total)
        if plan.precision == "float32" and precision == "auto":
            sizes = (np.concatenate(check.variances), np.diagonal(dense))
            if any(_is_uneven(each) for each in sizes):
                return gram_of(blocks, name=name, precision="float64", device=device, memory=memory)
        gram = Gram(dense=dense, precision=plan.precision)
    gram = replace(gram, name=name, n_constant=check.n_constant, notes=check.notes(), plan=plan)
    for note in gram.notes:
        warnings.warn(note, NeurofitWarning, stacklevel=2)
    return gram


class _FeatureCheck:
    """Check of every unit while the features are read: finite, varying, of a common scale."""

    def __init__(self, name: str, n_rows: int) -> None:
        self.name, self.n_rows = name, n_rows
        self.variances: list[np.ndarray] = []
        self.n_constant = 0

    def centre(self, columns: np.ndarray, start: int) -> bool:
        """Remove the mean over rows (computed in float64) in place; return whether any varies."""
        mean = np.add.reduce(columns, axis=0, dtype=np.float64) / self.n_rows
        self._check_finite(mean, start)
        columns -= mean.astype(columns.dtype)
        squares = np.einsum("ij,ij->j", columns, columns)
        constant = self._find_constant(squares, mean, float(np.finfo(columns.dtype).eps))
        columns[:, constant] = 0.0
        return not constant.all()

    def mean_over_rows(self, blocks: Sequence[np.ndarray]) -> np.ndarray:
        """Check features that stay in place in one pass over the rows, and return their mean."""
        shift = blocks[0][0].astype(np.float64)
        total, squares = np.zeros_like(shift), np.zeros_like(shift)
        for _, chunk in row_chunks(blocks):
            shifted = chunk - shift
            total += shifted.sum(axis=0)
            squares += np.einsum("ij,ij->j", shifted, shifted)
        mean = shift + total / self.n_rows
        self._check_finite(mean, 0)
        centred = np.maximum(squares - total**2 / self.n_rows, 0.0)
        self._find_constant(centred, mean, float(np.finfo(np.float64).eps))
        return np.asarray(mean)

    def notes(self) -> tuple[str, ...]:
        """Return warnings about the units' variances."""
        variances = np.concatenate(self.variances)
        varying = variances[variances > 0]
        if not len(varying):
            return (
                f"{self.name}: none of the {len(variances)} units varies over the {self.n_rows} "
                "rows; every prediction is the mean.",
            )
        median = np.median(varying)
        large = variances > MAX_VARIANCE_RATIO * median
        if not large.any() or variances[large].sum() < 0.9 * variances.sum():
            return ()
        first = int(np.argmax(large))
        sd, median_sd = np.sqrt(variances[first] / self.n_rows), np.sqrt(median / self.n_rows)
        return (
            f"{self.name}: {large.sum()} of {len(variances)} units (first: unit {first}, sd "
            f"{sd:.3g}) dominate all others (median sd {median_sd:.3g}); an unscaled map depends "
            "on little else.",
        )

    def _find_constant(self, squares: np.ndarray, mean: np.ndarray, eps: float) -> np.ndarray:
        """Record the variances of some units and return which of these do not vary."""
        constant = squares <= self.n_rows * (4 * eps * np.abs(mean)) ** 2
        self.n_constant += int(constant.sum())
        self.variances.append(np.where(constant, 0.0, squares))
        return np.asarray(constant)

    def _check_finite(self, mean: np.ndarray, start: int) -> None:
        bad = np.flatnonzero(~np.isfinite(mean))
        if len(bad):
            raise NeurofitError(
                f"Features must be finite; {self.name} has NaN or infinity in {len(bad)} of units "
                f"{start} to {start + len(mean) - 1} (first: unit {start + bad[0]})."
            )


def _is_uneven(sizes: np.ndarray) -> bool:
    """Return whether a few sizes are so large that the others would lose digits in float32."""
    positive = sizes[sizes > 0]
    return bool(len(positive) and positive.max() > FLOAT32_VARIANCE_RATIO * np.median(positive))
