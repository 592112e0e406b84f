"""Curves that are medians over neuroids, and their bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurofit.analyses.analysis import score_variable, variable
from neurofit.analyses.encoding.reliability import Reliability
from neurofit.analyses.predictivity.config import ScoreConfig
from neurofit.analyses.predictivity.terms import Predictivity, corrected_r
from neurofit.metrics.averages import nanmean, nanmedian
from neurofit.metrics.bootstrap import describe_bootstrap, draw, percentile_interval
from neurofit.metrics.consistency import reliability_of_halves
from neurofit.metrics.predictivity import (
    FORMULAS,
    describe_formula,
    explained_variance,
    noise_corrected_r,
    signed_square,
)


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


def layer_terms(reliability: Reliability, predictivity: Predictivity, average: str) -> list[Terms]:
    """Return the terms of each layer, averaged as configured."""
    shares = reliability.shares.value[:, None, None]
    every_yy = reliability_of_halves(reliability.r_yy, *shares)
    halves_yy = every_yy.reshape(-1, *every_yy.shape[2:])
    corrected = corrected_r(reliability, predictivity)[average]
    return [Terms(*terms, halves_yy) for terms in zip(corrected, predictivity.r_xy, strict=True)]


SCORES: dict[str, Callable[[Terms], np.ndarray]] = {
    "noise_corrected_r": lambda terms: nanmedian(terms.corrected, axis=0),
    "noise_corrected_r2": lambda terms: nanmedian(signed_square(terms.corrected), axis=0),
    "percent_explained_variance": lambda terms: (
        100 * nanmedian(signed_square(terms.corrected), axis=0)
    ),
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
    groups: np.ndarray | None = None,
) -> Iterator[Terms]:
    """Return the terms of layer i in bootstrap samples of neuroids, stimuli or both.

    Neuroids and stimuli (or whole groups of stimuli) are drawn independently. Stimuli are resampled
    to first order: each term is shifted by their influence on it
    (`neurofit.metrics.correlation.pearson_influence`), and maps are not fitted again.
    """
    n_draws, n_neuroids = config.n_bootstraps, len(terms.corrected)
    neuroids = draw(n_neuroids, n_bootstraps=n_draws, seed=config.seed)
    if config.interval_over == "neuroids":
        return (terms.take(drawn) for drawn in neuroids)
    if config.interval_over == "stimuli":
        neuroids = np.broadcast_to(np.arange(n_neuroids), neuroids.shape)
    influence = predictivity.mean_xy.influence
    assert influence is not None
    n_stimuli = influence.shape[1]
    groups = np.arange(n_stimuli) if groups is None else groups
    n_groups = int(groups.max()) + 1
    draws = draw(n_groups, n_bootstraps=n_draws, seed=(config.seed, 1))
    times = np.stack([np.bincount(drawn, minlength=n_groups)[groups] for drawn in draws])
    mean_xy = predictivity.mean_xy.resampled(times, (i,))
    if config.average == "correlations":
        shares = reliability.shares.value
        mean_xx = reliability_of_halves(predictivity.raw.resampled(times, (i,)), *shares)
        mean_yy = reliability_of_halves(reliability.raw.resampled(times), *shares)
    else:
        mean_xx = predictivity.corrected.resampled(times, (i,))
        mean_yy = reliability.corrected.resampled(times)
    shift_yy = mean_yy - reliability.value(config.average)
    corrected = (
        predictivity.ratios.resampled(times, (i,))
        if config.average == "ratios"
        else noise_corrected_r(mean_xy, np.maximum(mean_xx, predictivity.floor), mean_yy)
    )
    shift_xy = mean_xy - predictivity.mean_xy.value[i]
    return (
        Terms(corrected[k], terms.r_xy + shift_xy[k], terms.r_yy + shift_yy[k])
        .mask(scored)
        .take(neuroids[k])
        for k in range(n_draws)
    )


def median_variables(
    every: list[Terms],
    scored: np.ndarray,
    reliability: Reliability,
    predictivity: Predictivity,
    config: ScoreConfig,
    groups: np.ndarray | None,
) -> dict[str, Any]:
    """Return the curves of all formulas that take a median over neuroids.

    The configured one, unless it is pooled, is `curve`, with bootstrap intervals.

    Parameters
    ----------
    every
        Terms of each layer.
    scored
        Which neuroids count: boolean (layer neuroid time_bin).
    reliability, predictivity
        Statistics with influences, for bootstrap samples.
    config
        Formula and interval.
    groups
        Group of each stimulus, if stimuli come in groups.
    """
    dims = ("layer", "time_bin")
    enough = scored.sum(axis=1) >= max(1, min(config.min_neuroids, scored.shape[1]))
    masked = [terms.mask(inside) for terms, inside in zip(every, scored, strict=True)]
    made: dict[str, Any] = {}

    def curve_of(name: str, values: list[np.ndarray], **attrs: Any) -> Any:
        formula = FORMULAS[name]
        return score_variable(
            dims,
            np.where(enough, np.stack(values), np.nan),
            long_name=formula.long_name,
            formula=describe_formula(name, config.average),
            units=formula.units,
            best=formula.best,
            **attrs,
        )

    if config.formula in SCORES:
        score = SCORES[config.formula]
        words = describe_bootstrap(
            config.interval, config.n_bootstraps, config.interval_over, config.groups
        )
        ends = []
        for i, (terms, inside) in enumerate(zip(masked, scored, strict=True)):
            draws = resample(
                terms, inside, reliability, predictivity, i, config=config, groups=groups
            )
            samples = np.stack([score(drawn) for drawn in draws])
            ends.append(percentile_interval(samples, interval=config.interval))
        made["curve"] = curve_of(
            config.formula,
            [score(terms) for terms in masked],
            column="score",
            bound="ceiling",
            count="n_neuroids",
            reason="reason",
            low="curve_low",
            high="curve_high",
            interval=words,
        )
        for end, values in zip(("low", "high"), zip(*ends, strict=True), strict=True):
            bounds = np.where(enough, np.stack(values), np.nan)
            made[f"curve_{end}"] = variable(
                dims, bounds, "interval", f"{end} end of the interval: {words}"
            )
        made["n_neuroids"] = variable(
            dims, scored.sum(axis=1), "count", "number of scored neuroids", column="neuroids"
        )
    raw = [nanmedian(nanmean(terms.r_xy, axis=0), axis=0) for terms in masked]
    made["curve_r_xy"] = score_variable(
        dims,
        np.where(enough, np.stack(raw), np.nan),
        long_name="correlation of prediction and response, not corrected for noise",
        formula="r_xy, mean over splits, median over neuroids",
        column="r",
    )
    headed = "explained_variance" if config.formula in SCORES else ""  # 80 columns are not enough
    for name, formula in SCORES.items():
        heading = {"column": "expl. var."} if name == headed else {}
        values = [formula(terms) for terms in masked]
        made[f"curve_{name}"] = curve_of(name, values, **heading)
    return made
