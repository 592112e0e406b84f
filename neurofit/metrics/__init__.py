"""Measures of agreement: pure functions of arrays, one file per measure."""

from neurofit.metrics.consistency import (
    TrialSets,
    find_trial_sessions,
    null_reliability_sd,
    reliable,
    spearman_brown,
    spearman_brown_slope,
    split_halves,
)
from neurofit.metrics.correlation import pearson, pearson_influence
from neurofit.metrics.predictivity import (
    EXPLAINED_VARIANCE,
    NOISE_CORRECTED_R,
    NOISE_CORRECTED_R2,
    PERCENT_EXPLAINED_VARIANCE,
    bootstrap_neuroids,
    draw,
    explained_variance,
    nanmean,
    nanmedian,
    noise_corrected_r,
    percentile_interval,
)
from neurofit.metrics.resampled_halves import PooledHalves, moves_of_the_median

__all__ = [
    "EXPLAINED_VARIANCE",
    "NOISE_CORRECTED_R",
    "NOISE_CORRECTED_R2",
    "PERCENT_EXPLAINED_VARIANCE",
    "PooledHalves",
    "TrialSets",
    "bootstrap_neuroids",
    "draw",
    "explained_variance",
    "find_trial_sessions",
    "moves_of_the_median",
    "nanmean",
    "nanmedian",
    "noise_corrected_r",
    "null_reliability_sd",
    "pearson",
    "pearson_influence",
    "percentile_interval",
    "reliable",
    "spearman_brown",
    "spearman_brown_slope",
    "split_halves",
]
