"""Combinations of scores to one or several targets, with intervals from their influences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from neurofit.analyses.analysis import ENDS
from neurofit.metrics.contrasts import Contrasts, compare_contrasts
from neurofit.metrics.sketch import squared_norm
from neurofit.metrics.two_way import Influences

if TYPE_CHECKING:
    from neurofit.analyses.recorded.config import RecordedConfig
    from neurofit.analyses.recorded.fits import Scores


@dataclass(frozen=True)
class Tested:
    """Combinations of scores and their tests, as one family.

    Parameters
    ----------
    values
        Combinations; NaN where a score that is part of one is not defined.
    tests
        Intervals, bands and p values.
    influences
        Influences on the values.
    """

    values: Float[np.ndarray, " contrast"]
    tests: Contrasts
    influences: Influences


def combine(
    parts: Sequence[Scores],
    weights: Sequence[Float[np.ndarray, "map contrast"]],
    config: RecordedConfig,
    *,
    values: Float[np.ndarray, " contrast"] | None = None,
) -> Tested:
    """Return combinations of the scores of several targets with different neuroids.

    Parameters
    ----------
    parts, weights
        Scores of each target, and their weights in the combinations.
    config
        Coverage and seed.
    values
        Values of functions of the scores whose derivatives the weights are; None for sums.
    """
    undefined = np.any(
        [
            (np.isnan(part.score)[:, None] & (each != 0)).any(axis=0)
            for part, each in zip(parts, weights, strict=True)
        ],
        axis=0,
    )
    sums = np.sum(
        [np.nan_to_num(part.score) @ each for part, each in zip(parts, weights, strict=True)],
        axis=0,
    )
    if values is None:
        used = np.any([(each != 0).any(axis=0) for each in weights], axis=0)
        values = np.where(used, sums, np.nan)
    values = np.where(undefined, np.nan, values)
    neuroids = np.concatenate(
        [part.neuroids @ each for part, each in zip(parts, weights, strict=True)]
    )
    stimuli = np.sum(
        [part.stimuli @ each for part, each in zip(parts, weights, strict=True)], axis=0
    )
    n = int((neuroids != 0).any(axis=1).sum())
    cells = np.sum(
        [squared_norm(part.cells @ each) for part, each in zip(parts, weights, strict=True)],
        axis=0,
    )
    influences = Influences(neuroids, stimuli, n / max(n - 1, 1) * cells, np.zeros(len(values)))
    tests = compare_contrasts(
        values,
        influences,
        np.arange(len(values)),
        over=config.interval_over,
        level=config.interval,
        seed=config.seed,
    )
    ends = {end: getattr(tests, end) for end in ENDS}  # without degrees of freedom they are endless
    known = {end: np.where(np.isfinite(each), each, np.nan) for end, each in ends.items()}
    return Tested(values, replace(tests, **known), influences)
