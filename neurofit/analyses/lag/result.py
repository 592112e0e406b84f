"""The result of a lag: the best map of each layer, and what it is worth on test stimuli."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from neurofit.analyses.analysis import ENDS, banded_variables, score_variable, variable
from neurofit.analyses.encoding.fitting import Fitting
from neurofit.analyses.lag.config import LagConfig
from neurofit.analyses.lag.estimate import PARAMETERS
from neurofit.analyses.lag.layer import Layer
from neurofit.analyses.lag.responses import Responses
from neurofit.metrics.contrasts import compare_contrasts
from neurofit.metrics.two_way import (
    describe_band,
    describe_interval,
    describe_samples,
    interval_of,
    percent,
)
from neurofit.results.schema import time_coords

MIN_ROOT = 0.1
"""Least square root of a bin's pooled reliability that `predictivity` is divided by."""

UNITS = {"lag": "ms", "pace": "1", "intercept": "ms"}

MEANINGS = {
    "lag": "lag of the recording behind the model in the middle of the compared time bins",
    "pace": "pace, ms of the recording per ms of the model",
    "intercept": "recorded time of the model's image onset",
}


def make_result(
    fitting: Fitting, found: list[Layer], responses: Responses, config: LagConfig
) -> xr.Dataset:
    """Return everything as one Dataset; the fits are those of the last layer."""
    bins = np.array(fitting.recording.time_bins)
    windows = np.array(sorted({each for own in found for each in own.candidates.times.windows}))
    splits = np.arange(len(fitting.train))
    result = xr.Dataset(
        {
            "predictivity": score_variable(
                ("layer", "time_bin_model", "time_bin"),
                np.stack([_predictivity(each, responses, windows) for each in found]),
                long_name="r corrected for the noise of the recording",
                formula="mean r of left-out stimuli / mean over strata of sqrt(Y_j)",
                column="r",
                path="model_time",
            ),
            **_parameters(found, config),
            **_gains(found, config),
            **_curves(found, config),
            "model_time": variable(
                ("layer", "time_bin"),
                np.stack([each.model_time(config) for each in found]),
                "detail",
                "model time of the best map",
                units="ms",
            ),
            "compared": variable(
                ("layer", "time_bin"),
                np.stack([each.candidates.compared for each in found]).astype(np.int8),
                "detail",
                "whether candidates are compared in a time bin",
            ),
            **{
                f"{name}_of_split": variable(
                    ("layer", "split"),
                    np.stack([getattr(each.candidates, values)[each.chosen] for each in found]),
                    "detail",
                    f"{name} that the training stimuli of a split choose",
                    units=UNITS[name],
                )
                for name, values in (("lag", "lags"), ("pace", "paces"))
            },
        },
        coords={
            "layer": [each.name for each in found],
            "split": splits,
            **time_coords(*windows.T, dim="time_bin_model"),
            **time_coords(*bins.T),
        },
        attrs={
            "method": f"{fitting.mappings[0].name}, lag and pace by left-out stimuli",
            "notes": json.dumps(
                [*_notes(found, config), *fitting.splits.notes, *fitting.left_out.notes()]
            ),
        },
    )
    area = fitting.recording.regions[0]
    result.attrs["conclusion"] = json.dumps(list(_conclude(result, area, config)))
    return result


def _predictivity(
    layer: Layer, responses: Responses, windows: np.ndarray
) -> Float[np.ndarray, "window time_bin"]:
    """Return r of each model time, corrected for the noise of the recording."""
    root, times = responses.root, layer.candidates.times
    made = np.full((len(windows), len(root)), np.nan)
    places = [windows.tolist().index([*each]) for each in times.windows[times.first :]]
    with np.errstate(invalid="ignore", divide="ignore"):
        made[places] = np.where(root >= MIN_ROOT, layer.profile.r[times.first :] / root, np.nan)
    return made


def _parameters(found: list[Layer], config: LagConfig) -> dict[str, Any]:
    """Return lag, pace and intercept with their intervals."""
    words = (
        f"{percent(config.interval)} interval over "
        f"{describe_samples(config.interval_over, config.groups)} (random weights)"
    )
    made: dict[str, Any] = {}
    for name in PARAMETERS:
        values = [
            each.best.values[name] if each.defined(config)[name] else np.nan for each in found
        ]
        made[name] = score_variable(
            ("layer",),
            values,
            long_name=MEANINGS[name],
            formula="recorded time = intercept + pace model time",
            units=UNITS[name],
            best=1.0 if name == "pace" else 0.0,
            low=f"{name}_low",
            high=f"{name}_high",
            interval=words,
            **({} if name == "intercept" else {"column": name + " (ms)" * (name == "lag")}),
        )
        for side in ("low", "high"):
            made[f"{name}_{side}"] = variable(
                ("layer",),
                [getattr(each.best, side)[name] for each in found],
                "interval",
                f"{side} end: {words}",
                units=UNITS[name],
            )
    return made


def _gains(found: list[Layer], config: LagConfig) -> dict[str, Any]:
    """Return the mean difference of the chosen and the one-to-one map on test stimuli."""
    made = []
    for each in found:
        clear = each.clear(config)
        weights = (clear / max(int(clear.sum()), 1))[:, None]
        value = np.nan_to_num(each.scores.score[1] - each.scores.score[0]) @ weights
        value = value if clear.any() else np.full(1, np.nan)
        made.append(
            (
                value,
                compare_contrasts(
                    value,
                    each.scores.influences((-1.0, 1.0), weights),
                    np.zeros(1, dtype=np.int64),
                    over=config.interval_over,
                    level=config.interval,
                    seed=config.seed,
                ),
            )
        )
    words = describe_interval(config.interval, config.interval_over, config.groups, each="layer")
    return {
        "gain": score_variable(
            ("layer",),
            np.concatenate([value for value, _ in made]),
            long_name="gain of the chosen over the one-to-one map, test stimuli",
            formula="mean over bins of curve - curve_one_to_one",
            best=np.nan,
            low="gain_low",
            high="gain_high",
            interval=words,
            column="gain",
        ),
        **{
            f"gain_{end}": variable(
                ("layer",),
                np.concatenate([getattr(tests, end) for _, tests in made]),
                "interval",
                f"{end} end of the {words}",
            )
            for end in ("low", "high")
        },
    }


def _curves(found: list[Layer], config: LagConfig) -> dict[str, Any]:
    """Return the scores on test stimuli with intervals and bands."""
    made: dict[str, Any] = {}
    names = {"curve_one_to_one": "of the recorded time", "curve": "of the chosen model time"}
    for curve, (name, meaning) in enumerate(names.items()):
        scores, intervals, signs = [], [], (1.0 - curve, float(curve))
        for each in found:
            score = np.where(each.clear(config), each.scores.score[curve], np.nan)
            scores.append(score)
            intervals.append(
                interval_of(
                    score,
                    each.scores.influences(signs, np.eye(len(score))),
                    over=config.interval_over,
                    level=config.interval,
                    seed=config.seed,
                )
            )
        made |= banded_variables(
            name,
            ("layer", "time_bin"),
            np.stack(scores),
            {end: np.stack([getattr(each, end) for each in intervals]) for end in ENDS},
            interval=describe_interval(config.interval, config.interval_over, config.groups),
            band=describe_band(config.interval),
            long_name=f"noise-corrected r from features {meaning}, test stimuli",
            formula="sum_j X_j / sum_j sqrt(P_j Y_j)",
        )
    return made


def _notes(found: list[Layer], config: LagConfig) -> list[str]:
    """Return the bins that candidates are compared in, and the layers without a lag or a pace."""
    notes = []
    for each in found:
        used = each.candidates.middles[each.candidates.compared]
        width = each.candidates.width
        notes.append(
            f"{each.name}: lags and paces are compared in the {len(used)} time bins of "
            f"{used[0] - width / 2:g}-{used[-1] + width / 2:g} ms, for which the model's time is "
            f"known whichever holds; the lag is at {each.candidates.pivot:g} ms."
        )
        defined = each.defined(config)
        lacking = [name for name in ("lag", "pace") if not defined[name]]
        if lacking:
            ranges = [
                f"{getattr(config, name + 's')[0]:g} to {getattr(config, name + 's')[1]:g}"
                + " ms" * (name == "lag")
                for name in lacking
            ]
            notes.append(
                f"{each.name} has no {' and no '.join(lacking)}: the interval reaches an end of "
                f"the candidates ({' and '.join(ranges)}). Either the features hardly change, or "
                "the range is too narrow."
            )
    return notes


def _conclude(result: xr.Dataset, area: str, config: LagConfig) -> Iterator[str]:
    """Yield what each layer's lag, pace and gain are, in sentences that a paper can use."""
    level = percent(config.interval)

    def of(name: str, decimals: int) -> str:
        value, low, high = (float(own[f"{name}{end}"]) for end in ("", "_low", "_high"))
        return (
            f"{value:z.{decimals}f} ({level} interval {low:z.{decimals}f} to {high:z.{decimals}f})"
        )

    for layer in result.layer.values:
        own = result.sel(layer=layer)
        if np.isnan(own.lag):
            yield f"No lag of {area} behind {layer} is defined."
        else:
            pace = f", at a pace of {of('pace', 2)}" if np.isfinite(own.pace) else ""
            yield f"The lag of {area} behind {layer} is {of('lag', 0)} ms{pace}."
        if np.isnan(own.gain):
            yield f"Nothing can be said of what it is worth: {layer} has no score."
        elif own.gain_low > 0:
            yield f"From those times {layer} predicts other images better, by {of('gain', 3)}."
        else:
            yield f"No gain over the one-to-one map was found for {layer}: {of('gain', 3)}."
