"""Reliability of each neuroid on the training stimuli, which ranks neuroids."""

from __future__ import annotations

import numpy as np

from neurofit.analyses.encoding.fitting import Fitting
from neurofit.analyses.encoding.predictions import in_parallel
from neurofit.metrics.correlation import pearson_without

MAX_TRAINING_HALVES = 10
"""Number of halves that the reliability on training stimuli, which only ranks, is averaged over."""


def training_reliability(fitting: Fitting) -> np.ndarray:
    """Return the half correlation of each neuroid on the training stimuli of each split.

    It is averaged over halves (at most `MAX_TRAINING_HALVES`) and over all time bins; test stimuli
    have no part in it: they are taken out of the sums over all stimuli. Array (split neuroid); NaN
    for a neuroid that is not fitted.
    """
    halves = [range(min(fitting.config.n_halves, MAX_TRAINING_HALVES))]
    n_neuroids, n_bins = fitting.shape
    sums = np.zeros((2, n_bins, len(fitting.train), n_neuroids))

    def add(bins: np.ndarray) -> None:
        means = fitting.means(bins, halves)
        first, second = np.split(means.sets[1:], 2)
        for session in means.sessions:
            tests = ~fitting.train[:, session.stimuli]
            r = pearson_without(session.select(first), session.select(second), tests)
            found = np.isfinite(r)  # (half 1 split neuroid)
            sums[0, bins[0]][:, session.neuroids] = np.where(found, r, 0.0).sum(axis=(0, 1))
            sums[1, bins[0]][:, session.neuroids] = found.sum(axis=(0, 1))

    for _ in in_parallel(add, list(np.arange(n_bins)[:, None]), n_jobs=fitting.compute.jobs):
        pass
    total, count = sums.sum(axis=1)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))
