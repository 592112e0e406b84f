"""Predictivity corrected for the noise of the recording, and of the map that was fitted to it.

    noise_corrected_r          = r_xy / sqrt(r_xx r_yy)             two-sided, per neuroid and time bin
    noise_corrected_r2         = r_xy^2 / (r_xx r_yy)               its square
    percent_explained_variance = 100 (r_xy / sqrt(r_xx r_yy))^2     in per cent
    explained_variance         = median(r_xy)^2 / median(r_yy)      Brain-Score's, per time bin

r_xy: prediction of the map fitted on all trials against the mean response, test stimuli. r_xx, r_yy: Spearman-Brown corrected
consistency of the maps fitted on two trial halves, and of the two half means.
Nayebi et al. (2018, 2022); Kar et al. (2019); Schrimpf et al. (2018).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

NOISE_CORRECTED_R = "r_xy / sqrt(r_xx * r_yy)"
NOISE_CORRECTED_R2 = "r_xy^2 / (r_xx * r_yy)"
PERCENT_EXPLAINED_VARIANCE = "100 (r_xy / sqrt(r_xx * r_yy))^2"
EXPLAINED_VARIANCE = "median(r_xy)^2 / median(r_yy)"


def noise_corrected_r(
    r_xy: Float[np.ndarray, "*#any"], r_xx: Float[np.ndarray, "*#any"], r_yy: Float[np.ndarray, "*#any"]
) -> Float[np.ndarray, "*#any"]:
    """Return r_xy / sqrt(r_xx r_yy); NaN where the product is not positive. Not clipped: noise can carry it over 1."""
    product = np.asarray(r_xx * r_yy)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(r_xy / np.sqrt(np.where(product > 0, product, np.nan)))


def explained_variance(
    r_xy: Float[np.ndarray, "split neuroid time_bin"], r_yy: Float[np.ndarray, "half neuroid time_bin"]
) -> Float[np.ndarray, " time_bin"]:
    """Return Brain-Score's score per bin: the mean over splits of the median r over neuroids, squared, over the ceiling.

    The ceiling is, in the same order, the mean over halves of the median Spearman-Brown corrected r_yy over neuroids, as its
    `CrossRegressedCorrelation` and `InternalConsistency` average (brainscore_vision 2.4). NaN where it is not positive.
    """
    raw, ceiling = (nanmean(nanmedian(r, axis=1), axis=0) for r in (r_xy, r_yy))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(ceiling > 0, raw**2 / ceiling, np.nan))


def bootstrap_neuroids(
    statistic: Callable[[Int[np.ndarray, " draw"]], Float[np.ndarray, " time_bin"]],
    n_neuroids: int,
    *,
    n_bootstraps: int,
    interval: float,
    seed: int,
) -> tuple[Float[np.ndarray, " time_bin"], Float[np.ndarray, " time_bin"]]:
    """Return the percentile bootstrap interval of a statistic over neuroids; the same draws serve all bins.

    Parameters
    ----------
    statistic
        From the positions of the drawn neuroids to a value per bin.
    n_neuroids
        Neuroids to draw from, with replacement.
    n_bootstraps, interval, seed
        Number of draws, coverage, seed.
    """
    draws = draw(n_neuroids, n_bootstraps=n_bootstraps, seed=seed)
    return percentile_interval(np.stack([statistic(neuroids) for neuroids in draws]), interval=interval)


def draw(n: int, *, n_bootstraps: int, seed: int | tuple[int, ...]) -> Int[np.ndarray, "draw n"]:
    """Return bootstrap samples: positions among `n`, drawn with replacement."""
    return np.random.default_rng(seed).integers(n, size=(n_bootstraps, n))


def percentile_interval(
    values: Float[np.ndarray, "draw time_bin"], *, interval: float
) -> tuple[Float[np.ndarray, " time_bin"], Float[np.ndarray, " time_bin"]]:
    """Return the quantiles of bootstrapped values that hold a share `interval` of them; NaN where there is none."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN", RuntimeWarning)
        low, high = np.nanquantile(values, [(1 - interval) / 2, (1 + interval) / 2], axis=0)
    return low, high


def nanmedian(values: np.ndarray, *, axis: int) -> np.ndarray:
    """Median over what is there; NaN, without a warning, where nothing is. Numpy's takes five times as long."""
    ordered = np.moveaxis(np.sort(values, axis=axis), axis, 0)  # NaN last
    count = (~np.isnan(ordered)).sum(axis=0, keepdims=True)
    low, high = (
        np.take_along_axis(ordered, middle, axis=0)[0]
        for middle in (np.maximum(count - 1, 0) // 2, np.minimum(count // 2, len(ordered) - 1))
    )
    return np.asarray(np.where(low == high, low, (low + high) / 2))


def nanmean(values: np.ndarray, *, axis: int | tuple[int, ...]) -> np.ndarray:
    """Mean over what is there; NaN, without a warning, where nothing is."""
    there = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(there, values, 0.0).sum(axis=axis) / there.sum(axis=axis))
