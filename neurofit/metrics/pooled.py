"""Pooled noise-corrected r: correlations are averaged over neuroids alike before they are divided.

    score = sum_j X_j / sum_j sqrt(P_j Y_j)

In each stratum j of neuroids with similar reliability on the training stimuli, X_j is the mean of
r_xy, and P_j and Y_j are the reliabilities that belong to the means of r_xx and r_yy. It estimates
the mean over neuroids of the noise-corrected r, weighted by sqrt(r_xx r_yy). No neuroid is divided
by its own noisy reliability, and none is left out on the stimuli that are scored: strata depend on
training stimuli only. One stratum for all would be too low where reliabilities differ, by the
inequality of Cauchy and Schwarz.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from neurofit.metrics.averages import nanmean
from neurofit.metrics.consistency import reliability_of_halves, reliability_of_halves_slope

MAX_STRATA = 8
"""Largest number of strata, and the smallest number of neuroids in each."""


def deal_strata(z: Float[np.ndarray, "split neuroid"]) -> Int[np.ndarray, "split neuroid"]:
    """Return strata of equal size by reliability on training stimuli, the least reliable first.

    Parameters
    ----------
    z
        Half correlation on the training stimuli of each split; a neuroid with NaN is in stratum -1,
        which is not pooled.
    """
    valid = np.isfinite(z)
    counts = valid.sum(axis=1, keepdims=True)
    n_strata = max(1, min(MAX_STRATA, int(counts.min(initial=z.shape[1])) // MAX_STRATA))
    rank = np.where(valid, z, np.inf).argsort(axis=1, kind="stable").argsort(axis=1)
    return np.asarray(np.where(valid, rank * n_strata // np.maximum(counts, 1), -1))


@dataclass(frozen=True)
class Pooled:
    """A pooled score and its derivatives.

    Parameters
    ----------
    score
        Noise-corrected r; NaN where no stratum has a positive P_j Y_j.
    one_sided
        sum_j X_j / sum_j sqrt(Y_j), corrected for the noise of the recording only: a lower bound
        that needs no consistent map.
    r_xy, r_xx, r_yy
        X_j, P_j and Y_j of each stratum; NaN in a stratum without values.
    by_xy, by_xx, by_yy
        Derivatives of the score with respect to a single correlation of each stratum.
    valid
        Whether correlations of a split and neuroid take part.
    neuroids
        Influence of each neuroid on the score; the influences sum to 0.
    """

    score: Float[np.ndarray, " time_bin"]
    one_sided: Float[np.ndarray, " time_bin"]
    r_xy: Float[np.ndarray, "stratum time_bin"]
    r_xx: Float[np.ndarray, "stratum time_bin"]
    r_yy: Float[np.ndarray, "stratum time_bin"]
    by_xy: Float[np.ndarray, "stratum time_bin"]
    by_xx: Float[np.ndarray, "stratum time_bin"]
    by_yy: Float[np.ndarray, "stratum time_bin"]
    valid: Bool[np.ndarray, "split neuroid time_bin"]
    neuroids: Float[np.ndarray, "neuroid time_bin"]

    def slopes(
        self, strata: Int[np.ndarray, "split neuroid"]
    ) -> Iterator[Float[np.ndarray, "split neuroid time_bin"]]:
        """Yield the derivatives with respect to r_xy, r_xx and r_yy of each split and neuroid."""
        for by in (self.by_xy, self.by_xx, self.by_yy):
            yield np.where(self.valid, np.nan_to_num(by)[strata], 0.0)


def pool(
    r_xy: Float[np.ndarray, "split neuroid time_bin"],
    r_xx: Float[np.ndarray, "split neuroid time_bin"],
    r_yy: Float[np.ndarray, "split neuroid time_bin"],
    shares: Float[np.ndarray, "3 neuroid time_bin"],
    strata: Int[np.ndarray, "split neuroid"],
) -> Pooled:
    """Return the pooled score of each time bin.

    Parameters
    ----------
    r_xy
        Correlations of predictions and responses.
    r_xx, r_yy
        Correlations of the predictions from two trial halves, and of these halves, averaged over
        halves and not corrected.
    shares
        Noise of the first halves, second halves and all trials, in units of the noise of a single
        trial; see `neurofit.metrics.consistency.reliability_of_halves`.
    strata
        Stratum of each neuroid in each split, see `deal_strata`; a negative one leaves it out.

    Notes
    -----
    A correlation that is NaN takes no part, with the other two of its split, neuroid and bin.
    """
    valid = np.isfinite(r_xy) & np.isfinite(r_xx) & np.isfinite(r_yy)
    valid &= (strata >= 0)[..., None]
    (x, m_xx, m_yy), noise, count = _stratum_means([r_xy, r_xx, r_yy], valid, shares, strata)
    p, y = reliability_of_halves(m_xx, *noise), reliability_of_halves(m_yy, *noise)
    positive = (p > 0) & (y > 0)
    root = np.sqrt(np.where(positive, p * y, 0.0))
    total, one_sided = root.sum(axis=0), np.sqrt(np.maximum(np.nan_to_num(y), 0.0)).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        score = np.where(total > 0, np.nansum(x, axis=0) / total, np.nan)
        lower = np.where(one_sided > 0, np.nansum(x, axis=0) / one_sided, np.nan)
        # d score / d P_j = -score sqrt(P_j Y_j) / (2 P_j sum of roots)
        half = -score * root / (2 * total)
        by_xx, by_yy = (
            np.where(positive, half / value * reliability_of_halves_slope(m, *noise), 0.0) / count
            for m, value in ((m_xx, p), (m_yy, y))
        )
        by_xy = np.where(total > 0, 1 / total, np.nan) / count
    pooled = Pooled(score, lower, x, p, y, by_xy, by_xx, by_yy, valid, np.zeros(r_xy.shape[1:]))
    centres = (score * root, m_xx, m_yy)
    terms = (
        by * np.where(valid, r - np.nan_to_num(centre)[strata], 0.0)
        for by, r, centre in zip(pooled.slopes(strata), (r_xy, r_xx, r_yy), centres, strict=True)
    )
    return replace(pooled, neuroids=np.asarray(sum(term.sum(axis=0) for term in terms)))


def pool_reliability(
    r_yy: Float[np.ndarray, "split neuroid time_bin"],
    shares: Float[np.ndarray, "3 neuroid time_bin"],
    strata: Int[np.ndarray, "split neuroid"],
) -> Float[np.ndarray, " time_bin"]:
    """Return the mean over strata of Y_j, the reliability of a recording; see `pool`."""
    return nanmean(stratum_reliability(r_yy, shares, strata), axis=0)


def stratum_reliability(
    r_yy: Float[np.ndarray, "split neuroid time_bin"],
    shares: Float[np.ndarray, "3 neuroid time_bin"],
    strata: Int[np.ndarray, "split neuroid"],
) -> Float[np.ndarray, "stratum time_bin"]:
    """Return Y_j of each stratum j; see `pool`."""
    (mean,), noise, _ = _stratum_means([r_yy], np.isfinite(r_yy), shares, strata)
    return np.asarray(reliability_of_halves(mean, *noise))


def _stratum_means(
    correlations: list[np.ndarray], valid: np.ndarray, shares: np.ndarray, strata: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Return mean correlations (stratum time_bin), mean shares (3 ...) and numbers of values."""
    n_strata, n_bins = max(int(strata.max()) + 1, 1), valid.shape[2]
    means = [np.full((n_strata, n_bins), np.nan) for _ in correlations]
    noise, count = np.full((3, n_strata, n_bins), np.nan), np.zeros((n_strata, n_bins))
    for j in range(n_strata):
        inside = valid & (strata == j)[..., None]
        count[j] = np.where(inside.any(axis=(0, 1)), inside.sum(axis=(0, 1)), np.nan)
        for mean, r in zip(means, correlations, strict=True):
            mean[j] = np.where(inside, r, 0.0).sum(axis=(0, 1)) / count[j]
        noise[:, j] = np.nansum(shares * (inside.sum(axis=0) / count[j]), axis=1)
    return means, noise, count
