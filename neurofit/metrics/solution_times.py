"""How well a decoder identifies each image, and when: image-level d' and object solution times.

A decoder gives each image a probability of each label. In the task "label c or distractor d", its
rate of false alarms for an image of c is p(d) / (p(c) + p(d)), and for image i of label c

    d'(i, d) = z(1 - false alarms of i for d) - z(mean false alarms of the images of d for c)

with z the quantile of the normal distribution, clipped at +-5. Its mean over distractors is `i1`
(Rajalingham et al. 2018, J. Neurosci. 38:7255). An image's solution time is when i1 reaches a
threshold, which is the behavioural i1 of the animals in Kar et al. (2019, Nat. Neurosci. 22:974).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import norm, rankdata

from neurofit.metrics.averages import nanmean

CAP = 5.0
"""Largest size of d'."""

MIN_IMAGES = 10
"""Smallest number of images whose solution times are correlated."""


def image_dprimes(
    probabilities: Float[np.ndarray, "*any image label"], truth: Int[np.ndarray, " image"]
) -> Float[np.ndarray, "*any image"]:
    """Return i1, the mean d' of each image over distractors.

    Parameters
    ----------
    probabilities
        Probability of each label.
    truth
        Position of each image's own label.

    Returns
    -------
    d'; distractors of which there is no image have no part in it.
    """
    labels = np.arange(probabilities.shape[-1])
    own = truth[:, None] == labels
    known = own.any(axis=0)
    right = np.take_along_axis(
        probabilities, np.broadcast_to(truth, probabilities.shape[:-1])[..., None], axis=-1
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        alarms = probabilities / (probabilities + right)
        of_label = (own / own.sum(axis=0)).T[known] @ alarms  # images of a label, taken for another
        hits = norm.ppf(1 - alarms[..., known])
        found = hits - np.swapaxes(norm.ppf(of_label)[..., truth], -1, -2)
    found = np.clip(found, -CAP, CAP)
    return nanmean(np.where(own[:, known], np.nan, found), axis=-1)


def solution_times(
    dprimes: Float[np.ndarray, "*any image time_bin"],
    thresholds: Float[np.ndarray, " image"],
    times: Float[np.ndarray, " time_bin"],
) -> Float[np.ndarray, "*any image"]:
    """Return when each image's d' first reaches its threshold.

    The time lies on the straight line between the first bin that reaches the threshold and the bin
    before it with the largest d', as in Brain-Score's benchmark of Kar et al. (2019).

    Parameters
    ----------
    dprimes
        d' of each image in each time bin; NaN does not reach a threshold.
    thresholds
        d' at which an image counts as identified.
    times
        Time of each bin.

    Returns
    -------
    Times; that of the first bin if its d' is large enough, NaN if none is.
    """
    level = thresholds[:, None]
    reached = dprimes >= level
    at = reached.argmax(axis=-1)[..., None]
    earlier = np.where(np.arange(len(times)) < at, dprimes, -np.inf)
    earlier = np.where(np.isnan(earlier), -np.inf, earlier)
    before = earlier.argmax(axis=-1)[..., None]
    low, high = (np.take_along_axis(dprimes, each, axis=-1) for each in (before, at))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (level - low) / (high - low)
        between = times[before] + share * (times[at] - times[before])
    first = ~np.isfinite(earlier.max(axis=-1, keepdims=True))
    found = np.where(first, times[at], between)[..., 0]
    return np.asarray(np.where(reached.any(axis=-1), found, np.nan))


@dataclass(frozen=True)
class Agreement:
    """Rank correlations of solution times over images.

    Parameters
    ----------
    halves
        Correlation of those of two trial halves, mean over halvings.
    across
        Correlation of those of another system with those of a trial half, mean over all halves.
    """

    halves: Float[np.ndarray, "*draw"]
    across: Float[np.ndarray, "*draw"]

    @property
    def corrected(self) -> Float[np.ndarray, "*draw"]:
        """Return across / sqrt(halves), the correlation without trial noise."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.halves > 0, self.across / np.sqrt(self.halves), np.nan)


def rank_correlation(x: Float[np.ndarray, " image"], y: Float[np.ndarray, " image"]) -> float:
    """Return Spearman's correlation over the images that have both; NaN with too few."""
    return float(_rank_correlations(np.stack([x, y]))[0, 1])


def agreement(
    other: Float[np.ndarray, " image"],
    halves: Float[np.ndarray, "2 half image"],
    *,
    drawn: Int[np.ndarray, "draw image"] | None = None,
) -> Agreement:
    """Correlate solution times with those of trial halves, over the images that have all three.

    Both correlations are those of half the trials, so that their ratio needs no formula for more
    trials: with errors that are independent between halves and of the other system, it is the
    correlation with what a half has on average.

    Parameters
    ----------
    other
        Solution times of another system; NaN is an image that is not solved.
    halves
        Those of both halves of each halving.
    drawn
        Bootstrap samples of the images; None takes each once.
    """
    every = np.arange(len(other))[None] if drawn is None else drawn
    found = np.array(
        [
            [_rank_correlations(np.stack([other, *pair])[:, draw]) for draw in every]
            for pair in np.swapaxes(halves, 0, 1)
        ]
    )
    means = nanmean(found, axis=0)  # (draw 3 3)
    shape = () if drawn is None else (len(drawn),)
    within, across = means[:, 1, 2], (means[:, 0, 1] + means[:, 0, 2]) / 2
    return Agreement(within.reshape(shape), across.reshape(shape))


def _rank_correlations(
    times: Float[np.ndarray, "system image"],
) -> Float[np.ndarray, "system system"]:
    """Return Spearman's correlations over the images that all have."""
    ranks = times[:, np.isfinite(times).all(axis=0)]
    if ranks.shape[1] < MIN_IMAGES:
        return np.full((len(times),) * 2, np.nan)
    ranks = rankdata(ranks, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.corrcoef(ranks))
