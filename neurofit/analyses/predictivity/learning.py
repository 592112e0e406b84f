"""The curve as it grows with the number of training stimuli: how much more of them would add.

Maps are fitted to nested parts of each split's training stimuli. Test stimuli, halves, layers,
strata and scored neuroids are those of all training stimuli, so that only the maps differ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from neurofit.analyses.analysis import score_variable, variable
from neurofit.analyses.encoding.fitting import Fitting
from neurofit.analyses.predictivity.config import ScoreConfig
from neurofit.analyses.predictivity.curves import SCORES, layer_terms
from neurofit.analyses.predictivity.statistics import Statistics
from neurofit.analyses.predictivity.terms import Predictivity, pooled_score
from neurofit.metrics.averages import nanmean
from neurofit.metrics.bootstrap import draw
from neurofit.metrics.predictivity import FORMULAS, describe_formula

N_BOOTSTRAPS = 200
"""Samples of neuroids for the standard error of the last rise."""

LEAST_RISE = 0.01
"""Smallest last rise that counts, as a share of the score of a perfect model."""


def learning_variables(
    fitting: Fitting,
    statistics: Statistics,
    position: int,
    curve: Float[np.ndarray, "layer time_bin"],
    scored: Bool[np.ndarray, "layer neuroid time_bin"],
    config: ScoreConfig,
) -> dict[str, Any]:
    """Return the curve of each number of training stimuli, and its last rise.

    Parameters
    ----------
    fitting, statistics
        Fits with parts of the training stimuli, and what was gathered of them.
    position
        Position of the mapping.
    curve
        Curve of all training stimuli, NaN where a bin is not scored.
    scored
        Neuroids that count.
    config
        Formula and averages.
    """
    made = [*statistics.partial[position], statistics.predictivities[position]]
    scorers = [_scorer(each, statistics, scored, config) for each in made]
    everyone = np.arange(scored.shape[1])

    def score_of(part: int, neuroids: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(curve), np.nan, scorers[part](neuroids))

    parts = range(len(made) - 1)
    values = np.stack([*(score_of(part, everyone) for part in parts), curve])
    common = np.isfinite(values).all(axis=0)

    def last_rise(neuroids: np.ndarray) -> np.ndarray:
        rise = score_of(-1, neuroids) - score_of(-2, neuroids)
        return nanmean(np.where(common, rise, np.nan), axis=1)

    draws = draw(len(everyone), n_bootstraps=N_BOOTSTRAPS, seed=config.seed)
    error = np.std([last_rise(neuroids) for neuroids in draws], axis=0, ddof=1)
    what = "from 3/4 of the training stimuli to all, mean over time bins"
    return {
        "curve_of_training": score_variable(
            ("training", "layer", "time_bin"),
            values,
            long_name="curve with parts of the training stimuli",
            formula=describe_formula(config.formula, config.average),
            units=FORMULAS[config.formula].units,
            best=FORMULAS[config.formula].best,
            column="score",
        ),
        "last_rise": variable(("layer",), last_rise(everyone), "detail", f"rise {what}"),
        "last_rise_error": variable(
            ("layer",), error, "detail", f"standard error over neuroids of the rise {what}"
        ),
        "training_stimuli": variable(
            ("training", "fold" if config.splits == "folds-together" else "split", "stimulus"),
            _trained(fitting).astype(np.int8),
            "detail",
            "stimuli that a map is fitted to",
        ),
    }


def learning_coords(fitting: Fitting) -> dict[str, Any]:
    """Return the numbers of training stimuli, means over splits; nothing without parts."""
    counts = _trained(fitting).sum(axis=2).mean(axis=1).round().astype(int)
    named = {"long_name": "number of training stimuli"}
    return {"training": ("training", counts, named)} if len(fitting.train_parts) else {}


def learning_notes(result: xr.Dataset, config: ScoreConfig) -> list[str]:
    """Return a sentence for each curve: whether it still rises with training stimuli.

    It does if the last rise exceeds its standard error and `LEAST_RISE`. Nothing is extrapolated.
    """
    if "curve_of_training" not in result:
        return []
    least = LEAST_RISE * FORMULAS[config.formula].best
    stacked = result.curve_of_training.transpose(..., "training", "time_bin")
    axes = stacked.dims[:-2]
    notes = []
    for place in np.ndindex(*stacked.shape[:-2]):
        values = stacked.values[place]
        common = np.isfinite(values).all(axis=0)
        if not common.any():
            continue
        at = dict(zip(axes, place, strict=True))
        rise, error = (float(result[name][at]) for name in ("last_rise", "last_rise_error"))
        rises = rise > max(least, error)
        ends = [-3 if rises else -2, -1]
        (few, every), (low, high) = (
            (each[ends[0]], each[ends[1]])
            for each in (result.training.values, values[:, common].mean(axis=1))
        )
        names = [str(result[axis].values[i]) for axis, i in at.items() if result.sizes[axis] > 1]
        told = (
            f"From {few:,} to {every:,} training images the mean score over bins rises from "
            f"{low:.2f} to {high:.2f}: more images would raise it further."
            if rises
            else f"From {few:,} to {every:,} training images the mean score over bins no longer "
            f"rises clearly ({low:.3f} and {high:.3f}; standard error of the rise {error:.3f})."
        )
        notes.append(", ".join(names) + ": " * bool(names) + told)
    return notes


def _trained(fitting: Fitting) -> Bool[np.ndarray, "training split stimulus"]:
    """Return the stimuli that each map is fitted to, the smallest part first."""
    return np.concatenate([fitting.train_parts, fitting.train[None]])


def _scorer(
    predictivity: Predictivity, statistics: Statistics, scored: np.ndarray, config: ScoreConfig
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function of positions of neuroids: their curves (layer time_bin)."""
    reliability = statistics.reliability
    if config.formula in SCORES:
        every = layer_terms(reliability, predictivity, config.average)
        masked = [terms.mask(inside) for terms, inside in zip(every, scored, strict=True)]
        score = SCORES[config.formula]
        return lambda neuroids: np.stack([score(terms.take(neuroids)) for terms in masked])
    strata = statistics.parts[0].strata
    return lambda neuroids: pooled_score(reliability, predictivity, strata, neuroids)
