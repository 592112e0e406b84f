"""Differences of accuracies, with intervals over seeds and images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Estimate:
    """A difference of accuracies with half the width of its interval."""

    value: float
    half: float


def differences(
    correct: Mapping[str, np.ndarray], reference: str, *, level: float = 0.95
) -> dict[str, Estimate]:
    """Return the difference of each model's accuracy from that of a reference.

    Seeds and images are both random: the variance of a difference is that over images of the mean
    over seeds, plus that over seeds of the mean over images, less that of their interaction, which
    both contain (a two-way random effects analysis of variance). Seeds are few, so that their part
    is pooled over the models, which assumes that it is the same for all of them. The intervals hold
    for all models together (Bonferroni), with Satterthwaite's degrees of freedom.

    Parameters
    ----------
    correct
        Model -> whether an image is right, bool (seed image); all models have the same images.
    reference
        One of the models.
    level
        Probability that all intervals contain their differences.
    """
    n_seeds, n_images = next(iter(correct.values())).shape
    others = [name for name in correct if name != reference]
    means = {name: each.mean() for name, each in correct.items()}
    # Per model: variance over seeds of its accuracy, which contains the interaction.
    over_seeds = np.mean([each.mean(axis=1).var(ddof=1) for each in correct.values()]) / n_seeds
    degrees = len(correct) * (n_seeds - 1)
    found = {}
    for name in others:
        change = correct[name].astype(float) - correct[reference]
        over_images = change.mean(axis=0).var(ddof=1) / n_images
        residual = change - change.mean(axis=0) - change.mean(axis=1, keepdims=True) + change.mean()
        interaction = (residual**2).sum() / ((n_seeds - 1) * (n_images - 1)) / (n_seeds * n_images)
        seeds = 2 * over_seeds
        variance = max(seeds + over_images - interaction, over_images, seeds)
        df = variance**2 / (seeds**2 / degrees + (variance - seeds) ** 2 / (n_images - 1))
        quantile = stats.t.ppf(1 - (1 - level) / 2 / len(others), df)
        found[name] = Estimate(
            float(means[name] - means[reference]), float(quantile * np.sqrt(variance))
        )
    return found
