"""Curves of a score, and their bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from neurofit.analyses.predictivity.config import ScoreConfig
from neurofit.analyses.predictivity.statistics import Predictivity, Reliability
from neurofit.metrics.averages import nanmean, nanmedian
from neurofit.metrics.bootstrap import draw, percentile_interval
from neurofit.metrics.consistency import spearman_brown
from neurofit.metrics.predictivity import explained_variance, noise_corrected_r


@dataclass(frozen=True)
class Terms:
    """Terms of the scores of one layer.

    Parameters
    ----------
    corrected
        Noise-corrected r, averaged as configured (neuroid time_bin).
    r_xy
        Correlations of predictions and responses (split neuroid time_bin).
    r_yy
        Spearman-Brown corrected split-half correlations of all test sets (half neuroid time_bin).
    """

    corrected: np.ndarray
    r_xy: np.ndarray
    r_yy: np.ndarray

    def take(self, neuroids: np.ndarray) -> Terms:
        """Return the terms of neuroids, by position."""
        return Terms(self.corrected[neuroids], self.r_xy[:, neuroids], self.r_yy[:, neuroids])

    def mask(self, scored: np.ndarray) -> Terms:
        """Return the terms with NaN where a neuroid is not scored (neuroid time_bin)."""
        arrays = (self.corrected, self.r_xy, self.r_yy)
        return Terms(*(np.where(scored, values, np.nan) for values in arrays))


SCORES: dict[str, Callable[[Terms], np.ndarray]] = {
    "noise_corrected_r": lambda terms: nanmedian(terms.corrected, axis=0),
    "noise_corrected_r2": lambda terms: nanmedian(terms.corrected**2, axis=0),
    "percent_explained_variance": lambda terms: 100 * nanmedian(terms.corrected**2, axis=0),
    "explained_variance": lambda terms: explained_variance(terms.r_xy, terms.r_yy),
}
"""Formulas -> curves of one layer."""


def resample(
    terms: Terms,
    scored: np.ndarray,
    reliability: Reliability,
    predictivity: Predictivity,
    i: int,
    *,
    config: ScoreConfig,
) -> Iterator[Terms]:
    """Return the terms of layer i in bootstrap samples of neuroids, stimuli or both.

    Neuroids and stimuli are drawn independently. Stimuli are resampled to first order: each term is
    shifted by their influence on it (`neurofit.metrics.correlation.pearson_influence`), and maps
    are not fitted again.
    """
    n_draws, n_neuroids = config.n_bootstraps, len(terms.corrected)
    neuroids = draw(n_neuroids, n_bootstraps=n_draws, seed=config.seed)
    if config.bootstrap_over == "neuroids":
        return (terms.take(drawn) for drawn in neuroids)
    if config.bootstrap_over == "stimuli":
        neuroids = np.broadcast_to(np.arange(n_neuroids), neuroids.shape)
    influence = predictivity.mean_xy.influence
    assert influence is not None
    n_stimuli = influence.shape[1]
    stimuli = draw(n_stimuli, n_bootstraps=n_draws, seed=(config.seed, 1))
    times = np.stack([np.bincount(drawn, minlength=n_stimuli) for drawn in stimuli])
    mean_xy = predictivity.mean_xy.resampled(times, (i,))
    if config.average == "correlations":
        mean_xx = spearman_brown(predictivity.raw.resampled(times, (i,)))
        mean_yy = spearman_brown(reliability.raw.resampled(times))
        shift_yy = mean_yy - spearman_brown(reliability.raw.value)
    else:
        mean_xx = predictivity.corrected.resampled(times, (i,))
        mean_yy = reliability.corrected.resampled(times)
        shift_yy = mean_yy - reliability.corrected.value
    corrected = (
        predictivity.ratios.resampled(times, (i,))
        if config.average == "ratios"
        else noise_corrected_r(mean_xy, mean_xx, mean_yy)
    )
    shift_xy = mean_xy - predictivity.mean_xy.value[i]
    return (
        Terms(corrected[k], terms.r_xy + shift_xy[k], terms.r_yy + shift_yy[k])
        .mask(scored)
        .take(neuroids[k])
        for k in range(n_draws)
    )


def layer_curves(
    terms: Terms, draws: Iterable[Terms], scored: np.ndarray, *, config: ScoreConfig
) -> dict[str, np.ndarray]:
    """Return a layer's curve, interval, curves of all formulas and number of scored neuroids."""
    enough = scored.sum(axis=0) >= max(1, min(config.min_neuroids, len(scored)))
    score = SCORES[config.formula]
    low, high = percentile_interval(
        np.stack([score(drawn) for drawn in draws]), interval=config.interval
    )
    curves = {
        "curve": score(terms),
        "curve_low": low,
        "curve_high": high,
        **{f"curve_{name}": formula(terms) for name, formula in SCORES.items()},
        "curve_r_xy": nanmedian(nanmean(terms.r_xy, axis=0), axis=0),
    }
    masked = {name: np.where(enough, curve, np.nan) for name, curve in curves.items()}
    return {**masked, "n_neuroids": scored.sum(axis=0)}
