"""Variables of a result that belong to the pooled score."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from neurofit.analyses.analysis import ENDS, banded_variables, score_variable, variable
from neurofit.analyses.predictivity.config import ScoreConfig
from neurofit.analyses.predictivity.pooling import Part, PooledScores
from neurofit.analyses.predictivity.reasons import REASONS
from neurofit.metrics.predictivity import FORMULAS, describe_formula
from neurofit.metrics.sketch import N_BUCKETS
from neurofit.metrics.two_way import Interval, describe_band, describe_interval, interval_of

POINTERS: dict[str, Any] = {"bound": "ceiling", "count": "n_neuroids", "reason": "reason"}


def pooled_variables(
    pooled: PooledScores, parts: list[Part], reason: np.ndarray, config: ScoreConfig
) -> dict[str, Any]:
    """Return the curve with its interval, its terms, and the curve of each subject.

    Parameters
    ----------
    pooled
        Pooled scores.
    parts
        All neuroids and, if there are several subjects, those of each.
    reason
        Why each neuroid is scored or not (layer neuroid time_bin).
    config
        Interval.
    """
    defined = (reason == REASONS.index("scored")).any(axis=1)
    reached = defined | (reason == REASONS.index("map_not_consistent")).any(axis=1)
    score = np.where(defined, pooled.score[:, 0], np.nan)
    dims, terms = ("layer", "time_bin"), ("layer", "stratum", "time_bin")
    if pooled.neuroids.shape[2] == 1 and config.interval_over == "both":
        config = replace(config, interval_over="stimuli")  # no interval over a single neuroid
    made = {
        **_with_interval("curve", dims, score, _intervals(pooled, score, 0, config), config),
        "n_neuroids": variable(
            dims,
            np.where(defined, pooled.n_neuroids[:, 0], 0),
            "count",
            "number of neuroids that are pooled",
            column="neuroids",
        ),
        "curve_one_sided": score_variable(
            dims,
            np.where(reached, pooled.one_sided[:, 0], np.nan),
            long_name="r corrected for the noise of the recording only, a lower bound",
            formula="sum_j X_j / sum_j sqrt(Y_j)",
            column="one-sided",
        ),
        **{
            f"pooled_{name}": variable(terms, values, "detail", f"{meaning} of each stratum")
            for name, values, meaning in (
                ("r_xy", pooled.r_xy, "X_j, mean correlation of predictions and responses"),
                ("r_xx", pooled.r_xx, "P_j, pooled consistency of maps"),
                ("r_yy", pooled.r_yy, "Y_j, pooled reliability"),
            )
        },
        **{
            f"z_{name}": variable(
                dims, values[:, 0], "detail", f"{meaning} in standard errors over stimuli"
            )
            for name, values, meaning in (
                ("r_xx", pooled.z_xx, "pooled consistency of maps"),
                ("r_yy", pooled.z_yy, "pooled reliability"),
            )
        },
        **_influences(pooled, config),
    }
    if len(parts) > 1:
        made |= _subjects(pooled, parts, defined, config)
    return made


def stored_coords(parts: list[Part]) -> dict[str, Any]:
    """Return the coordinates of strata, of sketches and of subjects."""
    coords: dict[str, Any] = {
        "stratum": np.arange(int(parts[0].strata.max()) + 1),
        "bucket": np.arange(N_BUCKETS),
    }
    return coords | ({"subject": [part.name for part in parts[1:]]} if len(parts) > 1 else {})


def _intervals(
    pooled: PooledScores, score: np.ndarray, part: int, config: ScoreConfig
) -> list[Interval]:
    return [
        interval_of(
            score[row],
            pooled.influences(row, part),
            over=config.interval_over,
            level=config.interval,
            seed=config.seed,
        )
        for row in range(len(score))
    ]


def _with_interval(
    name: str,
    dims: tuple[str, ...],
    score: np.ndarray,
    intervals: list[Interval],
    config: ScoreConfig,
) -> dict[str, Any]:
    """Return a score with both ends of its interval and of its band."""
    return banded_variables(
        name,
        dims,
        score,
        {end: np.stack([getattr(each, end) for each in intervals]) for end in ENDS},
        interval=describe_interval(config.interval, config.interval_over, config.groups),
        band=describe_band(config.interval),
        long_name=FORMULAS["pooled_r"].long_name,
        formula=describe_formula("pooled_r", config.average),
        column="score",
        **(POINTERS if name == "curve" else {}),
    )


def _subjects(
    pooled: PooledScores, parts: list[Part], defined: np.ndarray, config: ScoreConfig
) -> dict[str, Any]:
    """Return the curve of each subject; an interval over two animals would mean nothing."""
    dims = ("subject", "layer", "time_bin")
    least = -np.inf if config.min_z is None else config.min_z
    made: list[dict[str, Any]] = []
    for position in range(1, len(parts)):
        clear = (pooled.z_xx[:, position] >= least) & (pooled.z_yy[:, position] >= least)
        score = np.where(defined & clear, pooled.score[:, position], np.nan)
        intervals = _intervals(pooled, score, position, config)
        made.append(_with_interval("curve_of_subject", dims, score, intervals, config))
    return {
        name: (dims, np.stack([each[name][1] for each in made]), made[0][name][2])
        for name in made[0]
    }


def _influences(pooled: PooledScores, config: ScoreConfig) -> dict[str, Any]:
    """Return what comparisons need: influences on the curve, and sketches of what is doubled."""
    stored = {
        "neuroids": (("layer", "neuroid", "time_bin"), pooled.neuroids[:, 0], "each neuroid"),
        "stimuli": (("layer", "stimulus", "time_bin"), pooled.stimuli[:, 0], "each stimulus"),
        "cells": (("layer", "bucket", "time_bin"), pooled.cells[:, 0], "cells, sketched"),
        "pairs": (("layer", "bucket", "time_bin"), pooled.pairs, "pairs of stimuli, sketched"),
    }
    made = {
        f"influence_of_{what}": variable(
            dims, values, "detail", f"influence on the curve of {of}", influence_on="curve"
        )
        for what, (dims, values, of) in stored.items()
    }
    if pooled.neuroids.shape[1] > 1:
        for what, values in (
            ("neuroids", pooled.neuroids),
            ("stimuli", pooled.stimuli),
            ("cells", pooled.cells),
        ):
            dims = stored[what][0]
            made[f"influence_of_{what}_on_subject"] = variable(
                ("subject", *dims),
                np.moveaxis(values[:, 1:], 1, 0),
                "detail",
                f"influence on the curve of a subject of {stored[what][2]}",
                influence_on="curve_of_subject",
            )
    return made
