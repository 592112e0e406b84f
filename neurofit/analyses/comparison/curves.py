"""The variables of a comparison that belong to a model: its curve, its ranks, and the ceiling."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neurofit.analyses.analysis import ENDS, banded_variables, score_variable, variable
from neurofit.analyses.comparison.config import CompareConfig
from neurofit.analyses.comparison.pairing import Influenced
from neurofit.analyses.comparison.ranks import common_bins, rank_curves
from neurofit.metrics.two_way import describe_band, describe_interval


def model_variables(
    curves: list[xr.Dataset],
    areas: list[Influenced],
    pairs: list[tuple[int, int]],
    config: CompareConfig,
) -> dict[str, Any]:
    """Return the curve of each model with its interval, their ranks, and the ceiling."""
    intervals = [
        each.interval(over=config.over, level=config.level, seed=config.seed) for each in areas
    ]
    dims = ("model", "time_bin")
    score = np.stack([each.score for each in areas])
    common = common_bins(areas)
    mean = score[:, common].mean(axis=1) if common.any() else np.full(len(score), np.nan)
    made: dict[str, Any] = {
        **banded_variables(
            "curve",
            dims,
            score,
            {end: np.stack([getattr(each, end) for each in intervals]) for end in ENDS},
            interval=describe_interval(config.level, config.over),
            band=describe_band(config.level),
            long_name=curves[0].curve.attrs["long_name"],
            formula=curves[0].curve.attrs["formula"],
            bound="ceiling",
            reason="reason",
        ),
        "reason": _reasons(curves, score),
        "ceiling": ("time_bin", curves[0].ceiling.values, dict(curves[0].ceiling.attrs)),
        "mean_curve": score_variable(
            ("model",),
            mean,
            long_name=f"{curves[0].curve.attrs['long_name']}, mean over common time bins",
            formula=f"mean over the {common.sum()} time bins in which all models have a score",
            column="mean",
        ),
    }
    if len(pairs) < len(areas) * (len(areas) - 1) / 2:
        return made  # ranks need all pairs
    _, *ranks = rank_curves(areas, pairs, common, config)
    return made | {
        f"{which}_rank": variable(
            ("model",), rank, "count", f"{which} rank that the data allow", column=f"{which} rank"
        )
        for which, rank in zip(("best", "worst"), ranks, strict=True)
    }


def _reasons(curves: list[xr.Dataset], score: np.ndarray) -> Any:
    """Return why a model has no score in a time bin: the most frequent reason of its neuroids."""
    attrs = curves[0].reason.attrs
    flags = np.zeros(score.shape, dtype=np.int8)
    for model, bin_ in zip(*np.nonzero(np.isnan(score)), strict=True):
        values, counts = np.unique(curves[model].reason.values[:, bin_], return_counts=True)
        flags[model, bin_] = values[counts.argmax()]
    return ("model", "time_bin"), flags, {**attrs, "long_name": "why there is a score or none"}
