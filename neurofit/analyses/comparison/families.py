"""Families of contrasts: all time bins, all windows, or the whole curves of all pairs of models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float

from neurofit.analyses.comparison.config import CompareConfig
from neurofit.analyses.comparison.pairing import Influenced
from neurofit.analyses.windows import Bins, Window, in_window
from neurofit.metrics.contrasts import Contrasts, compare_contrasts
from neurofit.metrics.two_way import Influences, sum_of_squares


@dataclass(frozen=True)
class Family:
    """Contrasts of pairs of models that are adjusted for each other.

    Parameters
    ----------
    values
        Differences; NaN where one of a pair has no score.
    influences
        Influences on all of them, pair by pair.
    tests
        Intervals and p values, pair by pair.
    """

    values: Float[np.ndarray, "pair contrast"]
    influences: Influences
    tests: Contrasts

    def of(self, name: str) -> Float[np.ndarray, "pair contrast"]:
        """Return an array of the tests."""
        return np.asarray(getattr(self.tests, name).reshape(self.values.shape))

    @property
    def twice(self) -> Float[np.ndarray, " pair_contrast"]:
        """Share of the variance over stimuli that pairs of stimuli count twice."""
        v_stimuli = sum_of_squares(self.influences.stimuli)
        return np.asarray(self.influences.pairs / np.maximum(v_stimuli, 1e-300))


def make_family(
    contrasts: Sequence[Influenced], config: CompareConfig, *, like: Family | None = None
) -> Family:
    """Test the contrasts of all pairs as one family.

    Parameters
    ----------
    contrasts
        Contrasts of each pair.
    config
        What the claim is over, level and seed.
    like
        Family of all neuroids whose share of pairs of stimuli holds for a subject too, of which
        pairs are not stored.

    Notes
    -----
    A contrast whose influences are not known is not tested, nor is any about other neuroids with a
    single one, such as that of a subject.
    """
    values = np.stack([each.score for each in contrasts])
    given = [
        np.concatenate([getattr(each, name) for each in contrasts], axis=1)
        for name in ("neuroids", "stimuli", "cells", "pairs")
    ]
    unknown = np.any([np.isnan(each).any(axis=0) for each in given], axis=0)
    neuroids, stimuli, cells, pairs = map(np.nan_to_num, given)
    influences = Influences.of_sketches(neuroids, stimuli, cells, pairs)
    if like is not None:
        influences = replace(influences, pairs=like.twice * sum_of_squares(stimuli))
    unknown |= (neuroids != 0).any(axis=1).sum() < 2 and stimuli.any() and config.over != "stimuli"
    tests = compare_contrasts(
        np.where(unknown, np.nan, values.ravel()),
        influences,
        np.repeat(np.arange(len(values)), values.shape[1]),
        over=config.over,
        level=config.level,
        seed=config.seed,
    )
    return Family(values, influences, tests)


def name_windows(windows: list[Window]) -> list[str]:
    """Return the names of windows and of the differences between neighbouring ones."""
    names = [f"{start}-{end} ms" for start, end in windows]
    return names + [f"{late} less {early}" for early, late in pairwise(names)]


def over_windows(difference: Influenced, bins: Bins, windows: list[Window]) -> Influenced:
    """Return mean differences in windows, and differences of these between neighbouring windows."""
    means = np.stack([in_window(bins, window) for window in windows], axis=1).astype(float)
    shown = np.isfinite(difference.score)
    counts = means[shown].sum(axis=0)
    means /= np.where(counts > 0, counts, np.nan)
    return difference.weighted(np.concatenate([means, np.diff(means, axis=1)], axis=1))


def over_all_bins(
    difference: Influenced, bins: Bool[np.ndarray, " time_bin"] | None = None
) -> Influenced:
    """Return the mean difference over bins, by default over all that have a score."""
    shown = np.isfinite(difference.score) if bins is None else bins
    weight = 1 / shown.sum() if shown.any() else np.nan
    return difference.weighted(np.where(shown, weight, 0.0 * weight)[:, None])
