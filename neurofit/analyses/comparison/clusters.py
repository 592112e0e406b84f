"""Clusters of neighbouring time bins in which two models differ, tested by their mass.

A cluster is a run of time bins whose t has one sign and lies beyond its pointwise quantile; its
mass is the sum of |t|. It is compared with the largest mass of each draw of random signs of the
influences (`neurofit.metrics.two_way.signed_t`), over all pairs together. A cluster that is too
large for chance shows that two curves differ, and neither where nor when: its first bin is no onset
(Sassenhagen & Draschkow 2019, Psychophysiology 56:e13335).
Source: Maris & Oostenveld (2007), J Neurosci Methods 164:177.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import numpy as np
from jaxtyping import Float
from scipy import stats

from neurofit.analyses.comparison.config import CompareConfig
from neurofit.analyses.comparison.families import Family
from neurofit.metrics.two_way import N_DRAWS, signed_t


@dataclass(frozen=True)
class Clusters:
    """Clusters of all pairs.

    Parameters
    ----------
    number
        Number of the cluster that a bin is part of, counted from 1 in each pair; 0 for none.
    p
        Adjusted p value of the bin's cluster; NaN for none.
    """

    number: np.ndarray
    p: Float[np.ndarray, "pair time_bin"]


def find_clusters(family: Family, config: CompareConfig) -> Clusters:
    """Find and test the clusters of a family of differences in time bins."""
    shape = family.values.shape
    number, p = np.zeros(shape, dtype=np.int16), np.full(shape, np.nan)
    tested = family.tests.se > 0
    if not tested.any():
        return Clusters(number, p)
    limits = np.reshape(stats.t.ppf((1 + config.level) / 2, family.tests.df), shape)
    parts = family.influences.sampled(tested).rows(config.over)
    drawn = np.zeros((N_DRAWS, tested.size))
    drawn[:, tested] = signed_t(parts, seed=config.seed)
    null = np.max(
        [
            _largest_mass(each, limits[pair])
            for pair, each in enumerate(np.moveaxis(drawn.reshape(-1, *shape), 1, 0))
        ],
        axis=0,
    )
    t = np.zeros(shape)
    t[tested.reshape(shape)] = family.values.ravel()[tested] / family.tests.se[tested]
    for pair in range(shape[0]):
        for count, (bins, mass) in enumerate(_clusters(t[pair], limits[pair]), start=1):
            number[pair, bins] = count
            p[pair, bins] = (1 + (null >= mass).sum()) / (len(null) + 1)
    return Clusters(number, p)


def _clusters(t: np.ndarray, limits: np.ndarray) -> list[tuple[list[int], float]]:
    """Return the bins and the mass of each cluster of a curve."""
    signs = np.where(np.abs(t) > limits, np.sign(t), 0)
    runs = [(sign, list(run)) for sign, run in groupby(range(len(t)), key=lambda b: signs[b])]
    return [(run, float(np.abs(t[run]).sum())) for sign, run in runs if sign]


def _largest_mass(t: Float[np.ndarray, "draw time_bin"], limits: np.ndarray) -> np.ndarray:
    """Return the mass of the largest cluster of each draw."""
    largest = np.zeros(len(t))
    for sign in (1, -1):
        mass = np.zeros(len(t))
        for value, limit in zip(sign * t.T, limits, strict=True):
            mass = np.where(value > limit, mass + value, 0.0)
            largest = np.maximum(largest, mass)
    return largest
