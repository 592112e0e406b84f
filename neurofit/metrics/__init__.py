"""Measures of agreement: pure functions of arrays, one file per measure."""

from neurofit.metrics.consistency import TrialSets, null_reliability_sd, reliable, spearman_brown, split_halves
from neurofit.metrics.correlation import pearson
from neurofit.metrics.predictivity import (
    EXPLAINED_VARIANCE,
    NOISE_CORRECTED_R,
    bootstrap_neuroids,
    explained_variance,
    nanmean,
    nanmedian,
    noise_corrected_r,
)

__all__ = [
    "EXPLAINED_VARIANCE",
    "NOISE_CORRECTED_R",
    "TrialSets",
    "bootstrap_neuroids",
    "explained_variance",
    "nanmean",
    "nanmedian",
    "noise_corrected_r",
    "null_reliability_sd",
    "pearson",
    "reliable",
    "spearman_brown",
    "split_halves",
]
