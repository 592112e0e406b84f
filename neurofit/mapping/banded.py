"""Banded ridge: two sources of features, each with a weight of its own, in kernel form.

    K = a K_A / v_A + (1 - a) K_B / v_B,    v = tr(K of the training rows, centred on them) / n

A ridge on K with penalty alpha is a ridge on the features of both sources, side by side, with the
penalties alpha v_A / a and alpha v_B / (1 - a). A source of several parts, as the layers of a
model, is the sum of their kernels, each divided by its own v. The share a and alpha are chosen
together on the training rows, from a grid of shares and the penalties of `RidgeMapping`. A map of
both sources has a between 0 and 1, also where one source is of no use, so that its small influence
is seen and has an interval; with a = 1 and a = 0 it is the ridge of one source alone. There are two
ways to choose:

"area": one share and one penalty for all neuroids, by the smallest cross-validation error that
responses without trial noise would have. Squares of residuals are replaced by the products of those
of two trial halves, summed over halves and neuroids. With S = sum (y1 y2' + y2 y1') / 2 over
these, and its eigenvectors and eigenvalues, it is the error for the targets sqrt(|l|) u, with the
sign of l. This is generalised cross-validation; where groups of stimuli are kept together, it
leaves one group out at a time.

"neuroid": a share and a penalty for each neuroid, by cross-validation on the mean over all trials
(leave-one-out by default), as is usual. Trial noise makes penalties large, and the best of many
candidates is chosen from few data, so that a source that explains nothing lowers what both explain.

Nunez-Elizalde, Huth & Gallant (2019), NeuroImage 197:482; Dupré la Tour, Eickenberg,
Nunez-Elizalde & Gallant (2022), NeuroImage 264:119728, whose package himalaya searches shares at
random, for any number of sources, and chooses for each neuroid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from neurofit.mapping.centring import remove_means
from neurofit.mapping.fits import Smoother
from neurofit.mapping.gram import Gram
from neurofit.mapping.gram_building import gram_of
from neurofit.mapping.linalg import array_backend
from neurofit.mapping.penalties import penalty_errors
from neurofit.mapping.ridge import RELATIVE_ALPHAS, RidgeMapping, smooth

SHARES = (0.001, 0.03, 0.2, 0.5, 0.8, 0.97, 0.999)
"""Shares of the first source to choose from: penalties of both are in a ratio of up to 1 to 999.

With at most 1 to 49, an unrelated source lowered what both explain by 0.01 (400 images)."""

CHOICES = ("area", "neuroid")
"""Whether all neuroids have one share and one penalty, or each its own."""

SOURCES = ("first", "second", "both")
"""What a map is fitted to: one source alone, or both."""


@dataclass(frozen=True)
class BandedFit:
    """Map of one split from one source or both.

    Parameters
    ----------
    predicted
        Predictions of the test rows.
    smoother
        Smoother of the map, with share and penalty as if fixed.
    shares, alphas
        Share of the first source and penalty of each neuroid.
    """

    predicted: Float[np.ndarray, "set test neuroid"]
    smoother: Smoother
    shares: Float[np.ndarray, " neuroid"]
    alphas: Float[np.ndarray, " neuroid"]


@dataclass(frozen=True, kw_only=True)
class BandedRidge:
    """Ridge from two sources of features with a share and a penalty per neuroid.

    Parameters
    ----------
    ridge
        Penalties, as multiples of the mean eigenvalue of K, the cross-validation that chooses them
        for each neuroid, and the device.
    choice
        "area" or "neuroid".
    shares
        Shares of the first source to choose from, between 0 and 1.
    """

    ridge: RidgeMapping = field(default_factory=RidgeMapping)
    choice: str = "area"
    shares: tuple[float, ...] = SHARES

    def cross_fit(
        self,
        first: Sequence[Gram],
        second: Sequence[Gram],
        targets: Float[np.ndarray, "set row neuroid"],
        train: Bool[np.ndarray, "split row"],
    ) -> Iterator[dict[str, BandedFit]]:
        """Yield the fits of each split, by `SOURCES`.

        Parameters
        ----------
        first, second
            Grams of the parts of each source, of the same rows.
        targets
            Means over all trials, over first halves and over second halves.
        train
            Training rows of each split.
        """
        parts = _alike((*first, *second))
        numbers = np.repeat([0, 1], [len(first), len(second)])
        for rows in train:
            scales = np.array([_variance(gram, rows) for gram in parts])
            scales = np.divide(1, scales, out=np.zeros_like(scales), where=scales > 0)
            scales /= np.where(numbers == 0, len(first), len(second))
            yield self._fit(parts, scales, numbers, targets, rows)

    def _fit(
        self,
        parts: list[Gram],
        scales: np.ndarray,
        numbers: np.ndarray,
        targets: np.ndarray,
        rows: np.ndarray,
    ) -> dict[str, BandedFit]:
        """Fit one split: decompose K for each share, and choose among those of each source."""
        backend = array_backend(self.ridge.device)
        alphas = np.asarray(self.ridge.alphas or RELATIVE_ALPHAS, dtype=np.float64)
        groups = parts[0].stimulus_groups
        options: dict[str, Any] = {"times": 1, "select": self.ridge.select, "backend": backend}
        if groups is not None:
            options["stimulus_groups"] = groups[rows]
        if self.choice == "area":
            options["select"] = "gcv" if groups is None else "loo"
            columns, signs = signal_columns(targets[1:, rows])
        else:
            columns = targets[0, rows].copy()
            remove_means(columns, 1)
        columns = backend.array(columns)
        decomposed, errors = [], []
        shares = (0.0, *self.shares, 1.0)
        for share in shares:
            weights = scales * np.where(numbers == 0, share, 1 - share)
            decomposed.append(_mix(parts, weights).split_scores(rows, backend))
            trained, _, eigenvalues = decomposed[-1]
            found = penalty_errors(trained, eigenvalues, columns, alphas, **options)
            if self.choice == "area":
                found = np.repeat((found @ signs)[:, None], targets.shape[2], axis=1)
            errors.append(found)
        every = np.stack(errors)  # (share alpha neuroid)
        ends = {"first": [len(shares) - 1], "second": [0]}
        made = {}
        for source in SOURCES:
            among = np.array(ends.get(source, range(1, len(shares) - 1)))
            best = every[among].reshape(-1, every.shape[2]).argmin(axis=0)
            at, penalty = among[best // len(alphas)], alphas[best % len(alphas)]
            made[source] = self._predict(decomposed, at, penalty, targets, rows, backend)
        return made

    def _predict(
        self,
        decomposed: list[tuple[Any, Any, Any]],
        at: np.ndarray,
        alphas: np.ndarray,
        targets: np.ndarray,
        rows: np.ndarray,
        backend: Any,
    ) -> BandedFit:
        """Predict the test rows of each neuroid with its share (by position) and penalty."""
        n_sets, _, n_neuroids = targets.shape
        predicted = np.empty((n_sets, int((~rows).sum()), n_neuroids))
        residuals = np.empty((n_neuroids, n_sets, int(rows.sum())), dtype=np.float32)
        residuals = residuals.transpose(1, 2, 0)  # as `Smoother` wants them
        matrices: list[tuple[np.ndarray, np.ndarray]] = []
        for position in np.unique(at):
            own = np.flatnonzero(at == position)
            given = (*decomposed[position], targets[..., own], rows, alphas[own], backend)
            predicted[..., own], smoother = smooth(*given)
            residuals[..., own] = smoother.residuals
            matrices += [(own[columns], matrix) for columns, matrix in smoother.matrices]
        shares = np.array([0.0, *self.shares, 1.0])[at]
        return BandedFit(predicted, Smoother(residuals, tuple(matrices)), shares, alphas)


def signal_columns(
    halves: Float[np.ndarray, "set row neuroid"],
) -> tuple[Float[np.ndarray, "row column"], Float[np.ndarray, " column"]]:
    """Return targets and signs whose signed errors add up to those of responses without noise.

    Parameters
    ----------
    halves
        Means over first halves and over second halves, of the training rows. Each neuroid is
        divided by the standard deviation of the mean of all of them.
    """
    halves = halves - halves.mean(axis=1, keepdims=True)
    scale = halves.mean(axis=0).std(axis=0)
    halves = halves[..., scale > 0] / scale[scale > 0]
    first, second = (
        part.swapaxes(0, 1).reshape(halves.shape[1], -1) for part in np.split(halves, 2)
    )
    products = first @ second.T
    values, vectors = np.linalg.eigh((products + products.T) / 2)
    return vectors * np.sqrt(np.abs(values)), np.sign(values)


def _alike(grams: Sequence[Gram]) -> list[Gram]:
    """Return Grams in memory: all as features if these are fewer than the rows, else all as K."""
    grams = [_in_memory(gram) for gram in grams]
    wide = any(gram.factor is None for gram in grams)
    if not wide and sum(gram.n_units for gram in grams) < grams[0].n_rows:
        return grams
    return [
        replace(gram, factor=None, dense=gram.factor @ gram.factor.T)
        if gram.factor is not None
        else gram
        for gram in grams
    ]


def _in_memory(gram: Gram) -> Gram:
    """Return a Gram that is not read from the disk again for each split."""
    if gram.blocks is None:
        return gram
    rows = gram.block_rows or tuple(np.arange(len(block)) for block in gram.blocks)
    blocks = [block[own] for block, own in zip(gram.blocks, rows, strict=True)]
    n_bytes = 8 * gram.n_rows * min(gram.n_rows, gram.n_units)
    made = gram_of(blocks, name=gram.name, precision=gram.precision, memory=n_bytes)
    return replace(made, stimulus_groups=gram.stimulus_groups)


def _variance(gram: Gram, rows: Bool[np.ndarray, " row"]) -> float:
    """Return the mean eigenvalue of the Gram of the training rows, centred on them."""
    n = int(rows.sum())
    if gram.factor is not None:
        own = gram.factor[rows]
        return float(((own - own.mean(axis=0)) ** 2).sum() / n)
    assert gram.dense is not None
    own = gram.dense[np.ix_(rows, rows)]
    return float((np.trace(own) - own.sum() / n) / n)


def _mix(parts: Sequence[Gram], weights: Float[np.ndarray, " part"]) -> Gram:
    """Return the weighted sum of Grams, which are all features or all K."""
    precision = "float32" if any(gram.precision == "float32" for gram in parts) else "float64"
    used = [(gram, weight) for gram, weight in zip(parts, weights, strict=True) if weight > 0]
    used = used or [(parts[0], 0.0)]  # nothing varies
    if used[0][0].factor is not None:
        factors = [np.sqrt(weight) * gram.factor for gram, weight in used]
        return Gram(factor=np.concatenate(factors, axis=1), precision=precision)
    return Gram(dense=sum(weight * gram.dense for gram, weight in used), precision=precision)
