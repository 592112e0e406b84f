"""Ranks of models by their whole curves, with ties where the data cannot tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from neurofit.analyses.comparison.config import CompareConfig
from neurofit.analyses.comparison.families import Family, make_family, over_all_bins
from neurofit.analyses.comparison.pairing import (
    Influenced,
    check_pairs,
    choose_curve,
    one_curve,
    whole_area,
    without_neuroids,
)
from neurofit.errors import NeurofitError, counted

MAX_MODELS = 128
"""Largest number of models that are ranked: all pairs are tested at once, in about 1 GB."""


@dataclass(frozen=True)
class Ranking:
    """Ranks of models by their means over common time bins, and the differences behind them.

    Parameters
    ----------
    best, worst
        Best and worst rank that each model can have.
    common
        Time bins in which all models have a score.
    pairs
        Positions of the models of each pair.
    family
        Differences of the pairs with their intervals and p values.
    notes
        Sentences that a reader should see.
    """

    best: Int[np.ndarray, " model"]
    worst: Int[np.ndarray, " model"]
    common: Bool[np.ndarray, " time_bin"]
    pairs: list[tuple[int, int]]
    family: Family
    notes: list[str]


def rank_results(
    results: Sequence[xr.Dataset], labels: Sequence[str], config: CompareConfig
) -> Ranking:
    """Rank models by their stored scores, with ties where the data cannot tell.

    Parameters
    ----------
    results
        Two or more pooled scores with a single layer and mapping, of the same neuroids, stimuli,
        time bins, splits and halves.
    labels
        Their names in messages.
    config
        What the claim is over, level and seed.

    Raises
    ------
    NeurofitError
        If they cannot be paired, have no common time bin, or are more than `MAX_MODELS`.
    """
    if len(results) > MAX_MODELS:
        raise NeurofitError(
            f"At most {MAX_MODELS} models are ranked, since all pairs are tested; "
            f"got {counted(len(results), 'model')}."
        )
    chosen = [choose_curve(each, name, config) for each, name in zip(results, labels, strict=True)]
    curves = list(map(one_curve, chosen))
    check_pairs(curves, labels)
    config, notes = without_neuroids(config, n_neuroids=curves[0].sizes["neuroid"])
    areas = list(map(whole_area, curves))
    common = common_bins(areas)
    if not common.any():
        raise NeurofitError("The models have no rank: in no time bin do all have a score.")
    pairs = list(combinations(range(len(areas)), 2))
    family, best, worst = rank_curves(areas, pairs, common, config)
    return Ranking(best, worst, common, pairs, family, notes)


def common_bins(areas: Sequence[Influenced]) -> Bool[np.ndarray, " time_bin"]:
    """Return the time bins in which all models have a score."""
    return np.asarray(np.isfinite([each.score for each in areas]).all(axis=0))


def rank_curves(
    areas: Sequence[Influenced],
    pairs: Sequence[tuple[int, int]],
    common: Bool[np.ndarray, " time_bin"],
    config: CompareConfig,
) -> tuple[Family, np.ndarray, np.ndarray]:
    """Return the differences of means over common time bins, and the best and worst ranks."""
    means = [over_all_bins(each, common) for each in areas]
    family = make_family([means[a].minus(means[b]) for a, b in pairs], config)
    best, worst = find_ranks(
        len(areas),
        pairs,
        family.values[:, 0],
        family.of("p_adjusted")[:, 0],
        alpha=1 - config.level,
    )
    return family, best, worst


def find_ranks(
    n_models: int,
    pairs: Sequence[tuple[int, int]],
    differences: Float[np.ndarray, " pair"],
    p: Float[np.ndarray, " pair"],
    *,
    alpha: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best and the worst rank that each model can have.

    A model's best rank is 1 plus the number of models that are significantly better, its worst rank
    the number of models minus that of those that are significantly worse.

    Parameters
    ----------
    n_models
        Number of models.
    pairs
        Positions of the models of each pair; all pairs.
    differences, p
        Score of the first minus that of the second, and adjusted p value.
    alpha
        Level of the tests.
    """
    best, worst = np.ones(n_models, dtype=int), np.full(n_models, n_models)
    for (one, other), difference, value in zip(pairs, differences, p, strict=True):
        if value <= alpha and difference != 0:
            higher, lower = (one, other) if difference > 0 else (other, one)
            best[lower] += 1
            worst[higher] -= 1
    return best, worst
