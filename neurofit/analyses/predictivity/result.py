"""The result of a score: correlations per split, half, neuroid and time bin, averaged last."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import xarray as xr

from neurofit.analyses.analysis import score_variable, variable
from neurofit.analyses.encoding.fitting import Fitting
from neurofit.analyses.predictivity.config import ScoreConfig
from neurofit.analyses.predictivity.curves import Terms, layer_curves, resample
from neurofit.analyses.predictivity.statistics import Predictivity, Reliability, Statistics
from neurofit.metrics.averages import nanmedian
from neurofit.metrics.bootstrap import describe_interval
from neurofit.metrics.consistency import null_reliability_sd, reliable, spearman_brown
from neurofit.metrics.predictivity import FORMULAS, describe_formula, noise_corrected_r
from neurofit.results.schema import time_coords

REASONS = (
    "scored",
    "no_prediction",
    "missing_trials",
    "unreliable_recording",
    "unreliable_prediction",
)
"""Why a neuroid is scored in a time bin or not; positions are the values of `reason`."""

MAX_INFLUENCE_BYTES = 256e6
"""Largest size of the influences of stimuli that a result stores."""


def make_result(fitting: Fitting, statistics: Statistics, config: ScoreConfig) -> xr.Dataset:
    """Average the statistics as configured and return everything as one Dataset.

    Returns
    -------
    Dataset with dims layer, split (one for all folds together), half, neuroid, time_bin, and
    mapping if there are several. With layers "auto" and several candidates, the only layer is
    called "auto", or by its name if all splits agree; `layer_choice` names it for each split.
    """
    parts = [
        _one_mapping(fitting, statistics.reliability, predictivity, position, config)
        for position, predictivity in enumerate(statistics.predictivities)
    ]
    result = parts[0] if len(parts) == 1 else _along_mappings(parts, config.mapping_names)
    table = fitting.recording.stimuli.table
    names = ", ".join(mapping.name for mapping in fitting.mappings)
    reduced = f" of features reduced by {config.reduce}" * config.reduce.startswith("srp")
    plans = {
        key: json.loads(fitting.describe(mapping))
        for key, mapping in zip(config.mapping_names, fitting.mappings, strict=True)
    }
    result.attrs |= {
        "method": f"{names}{reduced}, {config.time_mode}, {config.preset}",
        "stratified_by": config.stratify_by(map(str, table)) or "none",
        "mapping_device": fitting.grams.device,
        "splits_sha256": _sha256(fitting.train),
        "halves_sha256": _sha256(fitting.trials.halves),
        "plan": json.dumps(plans),
        "notes": json.dumps(_notes(result, fitting)),
    }
    return result


def _one_mapping(
    fitting: Fitting,
    reliability: Reliability,
    predictivity: Predictivity,
    position: int,
    config: ScoreConfig,
) -> xr.Dataset:
    covered, names = fitting.covered, fitting.layers
    over = "fold" if config.splits == "folds" else "split"
    choice: dict[str, Any] = {}
    if fitting.held_out.size:
        best = fitting.best_layers(position)
        chosen = np.array(names, dtype=str)[best]
        choice["layer_choice"] = variable(
            (over,), chosen, "detail", "layer that held-out training stimuli choose"
        )
        if fitting.layer_per_split:
            covered = covered[best].any(axis=0)[None]
            names = (chosen[0],) if len(set(chosen)) == 1 else ("auto",)
    mean_xx, mean_yy = predictivity.corrected.value, reliability.corrected.value
    raw_xx, raw_yy = spearman_brown(predictivity.raw.value), spearman_brown(reliability.raw.value)
    mean_of = {
        "correlations": noise_corrected_r(predictivity.mean_xy.value, raw_xx, raw_yy),
        "terms": noise_corrected_r(predictivity.mean_xy.value, mean_xx, mean_yy),
        "ratios": predictivity.ratios.value,
    }
    corrected = mean_of[config.average]
    reason = _reasons(reliability, predictivity, covered, config=config)
    scored = reason == REASONS.index("scored")

    xx_sb, yy_sb = spearman_brown(predictivity.r_xx), spearman_brown(reliability.r_yy)
    halves_yy = yy_sb.reshape(-1, *mean_yy.shape)
    per_layer = []
    for i in range(len(names)):
        terms = Terms(corrected[i], predictivity.r_xy[i], halves_yy).mask(scored[i])
        draws = resample(terms, scored[i], reliability, predictivity, i, config=config)
        per_layer.append(layer_curves(terms, draws, scored[i], config=config))
    curves = {name: np.stack([curve[name] for curve in per_layer]) for name in per_layer[0]}
    neuroid = ("neuroid", "time_bin")
    half, corrects = ("split", "half", *neuroid), "Spearman-Brown corrected"
    details: dict[str, tuple[tuple[str, ...], np.ndarray, str]] = {
        "noise_corrected_r": (("layer", *neuroid), corrected, "noise-corrected r of each neuroid"),
        **{
            f"noise_corrected_r_of_{what}": (
                ("layer", *neuroid),
                r,
                f"noise-corrected r, {what} averaged",
            )
            for what, r in mean_of.items()
        },
        "r_xy": (("layer", "split", *neuroid), predictivity.r_xy, "prediction, r_xy"),
        "r_xx": (("layer", *half), predictivity.r_xx, "consistency of maps, r_xx"),
        "r_xx_sb": (("layer", *half), xx_sb, f"consistency of maps, {corrects}"),
        "r_yy": (half, reliability.r_yy, "split-half correlation, r_yy"),
        "r_yy_sb": (half, yy_sb, f"split-half reliability, {corrects}"),
        "missing_halves": (
            neuroid,
            reliability.missing_halves,
            "halves that lack a trial of some stimulus",
        ),
        "train": (
            (over, "stimulus"),
            fitting.train.astype(np.int8),
            f"training stimuli of each {over}",
        ),
    }
    responses = fitting.recording.responses
    return xr.Dataset(
        {
            **_scores(curves, config),
            "ceiling": variable(
                ("time_bin",),
                nanmedian(mean_yy, axis=0),
                "bound",
                "split-half reliability, Spearman-Brown corrected, median over neuroids",
                column="ceiling",
            ),
            "n_neuroids": variable(
                ("layer", "time_bin"),
                curves["n_neuroids"],
                "count",
                "number of scored neuroids",
                column="neuroids",
            ),
            "reason": variable(
                ("layer", *neuroid),
                reason.astype(np.int8),
                "detail",
                "why a neuroid is scored or not",
                flag_values=np.arange(len(REASONS), dtype=np.int8),
                flag_meanings=" ".join(REASONS),
            ),
            **{
                name: variable(dims, values, "detail", long_name)
                for name, (dims, values, long_name) in details.items()
            },
            **_influences(reliability, predictivity),
            **choice,
        },
        coords={
            "layer": list(names),
            "neuroid_id": ("neuroid", responses.neuroid_id.values.astype(str)),
            "stimulus_id": ("stimulus", fitting.recording.stimuli.ids.astype(str)),
            **time_coords(responses.time_bin_start.values, responses.time_bin_end.values),
        },
    )


def _scores(curves: dict[str, np.ndarray], config: ScoreConfig) -> dict[str, Any]:
    """Return the curve with its interval, and the curves of the other formulas."""
    dims = ("layer", "time_bin")
    words = describe_interval(config.interval, config.n_bootstraps, config.bootstrap_over)

    def curve_of(name: str, values: np.ndarray, **attrs: Any) -> Any:
        formula = FORMULAS[name]
        return score_variable(
            dims,
            values,
            long_name=formula.long_name,
            formula=describe_formula(name, config.average),
            units=formula.units,
            best=formula.best,
            **attrs,
        )

    pointers = {"bound": "ceiling", "count": "n_neuroids", "reason": "reason"}
    ends = {"low": "curve_low", "high": "curve_high", "interval": words}
    made = {"curve": curve_of(config.formula, curves["curve"], column="score", **pointers, **ends)}
    for end in ("low", "high"):
        made[f"curve_{end}"] = variable(
            dims, curves[f"curve_{end}"], "interval", f"{end} end of the interval: {words}"
        )
    made["curve_r_xy"] = score_variable(
        dims,
        curves["curve_r_xy"],
        long_name="raw r",
        formula="r_xy, mean over splits, median over neuroids",
        column="r",
    )
    for name in FORMULAS:
        heading = {"column": "expl. var."} if name == "explained_variance" else {}
        made[f"curve_{name}"] = curve_of(name, curves[f"curve_{name}"], **heading)
    return made


def _along_mappings(parts: list[xr.Dataset], names: tuple[str, ...]) -> xr.Dataset:
    """Return one Dataset with a dimension `mapping` for all variables that depend on it."""
    layers = [part.layer.values.tolist() for part in parts]
    if any(each != layers[0] for each in layers):  # each mapping chooses its own layer
        parts = [part.assign_coords(layer=["auto"]) for part in parts]
    own = [n for n, v in parts[0].data_vars.items() if "layer" in v.dims or n == "layer_choice"]
    index = xr.DataArray(list(names), dims="mapping", name="mapping")
    joined = xr.concat([part[own] for part in parts], dim=index, combine_attrs="override")
    shared = parts[0].drop_vars(own)
    order = list(parts[0].data_vars)
    merged = xr.merge([joined, shared], combine_attrs="override")
    for name in order:
        merged[name].attrs = parts[0][name].attrs
    return merged[order]


def _notes(result: xr.Dataset, fitting: Fitting) -> list[str]:
    """Return sentences on missing trials, chosen layers and unreliable time bins."""
    notes = []
    axes = [dim for dim in ("mapping", "layer") if dim in result.reason.dims]
    dropped = (result.reason == REASONS.index("missing_trials")).any(axes).values
    partly = int(((result.missing_halves.values > 0) & ~dropped).any(axis=1).sum())
    if dropped.any() or partly:
        notes.append(
            f"Trials are missing: {int(dropped.any(axis=1).sum())} neuroids are not scored in some "
            f"time bin, {partly} lack some trial halves."
        )
    if "layer_choice" in result:
        names, counts = np.unique(result.layer_choice.values, return_counts=True)
        listed = ", ".join(f"{name} ({n})" for name, n in zip(names, counts, strict=True))
        notes.append(f"Layers that held-out training stimuli choose (splits): {listed}.")
    unreliable = (result.reason == REASONS.index("unreliable_recording")).any("neuroid")
    none = (result.n_neuroids == 0) & unreliable
    unused = none.all(axes).values & (result.ceiling.values > 0.5)
    if unused.any():
        n_test = int((~fitting.train).sum(axis=1).min())
        notes.append(
            f"None reliable: with {n_test} test stimuli a ceiling above 0.5 can arise by chance. "
            "Use more stimuli."
        )
    return notes


def _sha256(mask: np.ndarray) -> str:
    return hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()


def _influences(reliability: Reliability, predictivity: Predictivity) -> dict[str, Any]:
    """Return the stored influences of each stimulus on the means over splits and halves.

    They allow a result to be resampled and compared without fitting again.
    """
    dims = ("stimulus", "neuroid", "time_bin")
    means = {
        "r_xy": (("layer", *dims), predictivity.mean_xy),
        "r_xx": (("layer", *dims), predictivity.raw),
        "r_xx_sb": (("layer", *dims), predictivity.corrected),
        "noise_corrected_r_of_ratios": (("layer", *dims), predictivity.ratios),
        "r_yy": (dims, reliability.raw),
        "r_yy_sb": (dims, reliability.corrected),
    }
    return {
        f"influence_on_{name}": variable(
            own, mean.mean_influence(), "detail", f"influence on {name}", influence_on=name
        )
        for name, (own, mean) in means.items()
        if mean.influence is not None
    }


def _reasons(
    reliability: Reliability,
    predictivity: Predictivity,
    covered: np.ndarray,
    *,
    config: ScoreConfig,
) -> np.ndarray:
    """Return the first reason that applies: position in `REASONS` (layer neuroid time_bin)."""
    no_halves = config.fit_halves & (reliability.missing_halves == config.n_halves)
    floor = -np.inf if config.reliability_floor is None else config.reliability_floor
    all_stimuli = config.ceiling_stimuli == "all" or config.splits == "folds"
    null_sd = null_reliability_sd(
        n_test=1,
        n_splits=len(reliability.r_yy),
        n_halves=config.n_halves,
        test_share=1.0 if all_stimuli else config.test_share,
    )
    good = reliable(
        reliability.corrected.value,
        floor=floor,
        false_discovery_rate=config.false_discovery_rate,
        null_sd=null_sd / np.sqrt(reliability.n_test),
        min_neuroids=config.min_neuroids,
    )
    has_floor = config.reliability_floor is not None
    selects = has_floor or config.false_discovery_rate != 1 or config.fit_halves
    unreliable_maps = ~(predictivity.corrected.value > floor)
    rules = [
        ("no_prediction", ~covered[:, None]),
        ("missing_trials", reliability.missing | no_halves),
        ("no_prediction", np.isnan(predictivity.r_xy).all(axis=1)),
        ("unreliable_recording", selects & ~good),
        ("unreliable_prediction", has_floor & config.fit_halves & unreliable_maps),
    ]
    positions = [REASONS.index(name) for name, _ in rules]
    return np.select([applies for _, applies in rules], positions, REASONS.index("scored"))
