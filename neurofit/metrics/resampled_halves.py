"""Split-half correlations in bootstrap samples of the stimuli, computed by matrix products.

For each stimulus, let M, P and Q be the means over halvings of (a + b) / 2, a b and
(a^2 + b^2) / 2, where a and b are the mean responses of the two halves, and let w be the number of
times that the stimulus occurs in a sample of n stimuli. With all sums over stimuli,

    r(w) = (sum w P - C(P)) / (sum w Q - C(Q)),    C(X) = ((sum w M)^2 + sum w^2 (X - M^2)) / n

is the covariance of the two halves over their variance, both averaged over halvings before the
division. C is the mean over halvings of a product of two sums: the deviation of a halving from M is
independent between stimuli, because the trials of each stimulus are split separately.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

SAMPLES_PER_CHUNK = 250
"""Bootstrap samples that are computed at a time."""


@dataclass(frozen=True)
class PooledHalves:
    """Sufficient statistics of all halvings for the correlation in any sample of the stimuli.

    Parameters
    ----------
    mean, product, square
        M, P and Q of the module; 0 where undefined. The last axis may also be time bins.
    valid
        Whether any halving has a trial in both halves.
    """

    mean: Float[np.ndarray, "stimulus neuroid"]
    product: Float[np.ndarray, "stimulus neuroid"]
    square: Float[np.ndarray, "stimulus neuroid"]
    valid: Bool[np.ndarray, "stimulus neuroid"]

    @classmethod
    def from_halves(
        cls,
        first: Float[np.ndarray, "half stimulus neuroid"],
        second: Float[np.ndarray, "half stimulus neuroid"],
    ) -> PooledHalves:
        """Pool the mean responses of both halves; NaN is ignored. The arrays are overwritten."""
        sums = first.sum(axis=0) + second.sum(axis=0)
        count: Any = len(first)
        valid = np.ones(sums.shape, dtype=bool)
        missing: np.ndarray | None = None
        if np.isnan(sums).any():
            missing = np.isnan(first) | np.isnan(second)
            first[missing] = second[missing] = 0.0
            count = (~missing).sum(axis=0)
            valid, count = count > 0, np.maximum(count, 1)
            sums = first.sum(axis=0) + second.sum(axis=0)
        mean = sums / (2 * count)
        # Centring leaves r unchanged and preserves the digits of the sums of squares.
        centre = mean.sum(axis=0) / np.maximum(valid.sum(axis=0), 1)
        for half in (first, second):
            half -= centre
            if missing is not None:
                half[missing] = 0.0
        aa, bb, ab = (
            np.einsum("hsn,hsn->sn", *halves)
            for halves in ((first, first), (second, second), (first, second))
        )
        return cls(
            mean=(mean - centre) * valid,
            product=ab / count,
            square=(aa + bb) / (2 * count),
            valid=valid,
        )

    def correlation(
        self, times: Int[np.ndarray, "draw stimulus"]
    ) -> Float[np.ndarray, "draw neuroid"]:
        """Return r(w) in each sample; NaN without variance.

        Parameters
        ----------
        times
            Number of times that each stimulus occurs in each sample.
        """
        r, squares = np.empty((len(times), self.mean.shape[1])), self.mean**2
        for start in range(0, len(times), SAMPLES_PER_CHUNK):
            chunk = slice(start, start + SAMPLES_PER_CHUNK)
            r[chunk] = self._correlation(times[chunk].astype(np.float64), squares)
        return r

    def _correlation(self, times: np.ndarray, squares: np.ndarray) -> np.ndarray:
        times_squared, complete = times**2, bool(self.valid.all())
        n = times.sum(axis=1)[:, None] if complete else times @ self.valid.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            from_means = (times_squared @ squares - (times @ self.mean) ** 2) / n
            if complete:
                weights = times - times_squared / n
                covariance, variance = (
                    weights @ values + from_means for values in (self.product, self.square)
                )
            else:
                covariance, variance = (
                    times @ values - times_squared @ values / n + from_means
                    for values in (self.product, self.square)
                )
            return np.asarray(np.where(variance > 0, covariance / variance, np.nan))


def median_shifts(
    samples: Float[np.ndarray, "draw neuroid"],
    r: Float[np.ndarray, " neuroid"],
    *,
    neuroids_resampled: bool,
) -> Float[np.ndarray, " draw"]:
    """Return how far each sample of the stimuli shifts the median correlation over neuroids.

    The mean over samples is 0. If the neuroids are resampled too, their spread already contains
    the part of the stimuli's effect that is independent between neuroids, which must not be
    counted twice. The shifts are then scaled down to the part that neuroids have in common: the
    variance over samples of the mean over neuroids, minus the independent variance that remains
    in that mean.

    Parameters
    ----------
    samples
        Correlation in each sample.
    r
        Correlation in the recording; a neuroid with NaN is ignored.
    neuroids_resampled
        Whether the interval also resamples neuroids.

    Returns
    -------
    Shift per sample; NaN without a neuroid.
    """
    valid = ~np.isnan(r)
    n_neuroids = int(valid.sum())
    if not n_neuroids:
        return np.full(len(samples), np.nan)
    shifted = np.where(np.isnan(samples[:, valid]), r[valid], samples[:, valid])
    shifts = np.median(shifted, axis=1)
    shifts -= shifts.mean()
    if not neuroids_resampled:
        return np.asarray(shifts)
    deviations = shifted - r[valid]
    common = deviations.mean(axis=1)
    independent = 0.0  # variance in a mean over n neuroids
    if n_neuroids > 1:
        independent = (deviations - common[:, None]).var(axis=0).mean() / (n_neuroids - 1)
    if common.var() == 0:
        return np.asarray(0.0 * shifts)
    return np.asarray(shifts * np.sqrt(max(0.0, common.var() - independent) / common.var()))
