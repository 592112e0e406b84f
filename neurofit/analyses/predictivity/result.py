"""The result of a score: correlations per split, half, neuroid and time bin, averaged last."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import xarray as xr

from neurofit.analyses.analysis import score_variable, variable
from neurofit.analyses.encoding.fitting import Fitting
from neurofit.analyses.encoding.reliability import Reliability
from neurofit.analyses.predictivity.config import ScoreConfig
from neurofit.analyses.predictivity.curves import layer_terms, median_variables
from neurofit.analyses.predictivity.learning import learning_coords, learning_variables
from neurofit.analyses.predictivity.notes import score_notes
from neurofit.analyses.predictivity.pooled_curves import pooled_variables, stored_coords
from neurofit.analyses.predictivity.presets import describe_preset
from neurofit.analyses.predictivity.reasons import REASONS, find_reasons, recorded_reliably
from neurofit.analyses.predictivity.statistics import Statistics
from neurofit.analyses.predictivity.terms import (
    Predictivity,
    corrected_r,
    pooled_score,
)
from neurofit.metrics.averages import nanmedian
from neurofit.metrics.consistency import reliability_of_halves
from neurofit.metrics.pooled import pool_reliability
from neurofit.metrics.predictivity import FORMULAS, describe_formula
from neurofit.results.schema import time_coords

MAX_INFLUENCE_BYTES = 256e6
"""Largest size of the influences of stimuli on every neuroid that a result stores."""


def make_result(fitting: Fitting, statistics: Statistics, config: ScoreConfig) -> xr.Dataset:
    """Average the statistics as configured and return everything as one Dataset.

    Returns
    -------
    Dataset with dims layer, split (one for all folds together), half, neuroid, time_bin, and
    mapping if there are several. With layers "auto" and several candidates, the only layer is
    called "auto", or by its name if all splits agree; `layer_choice` names it for each split.
    """
    parts = [
        _one_mapping(fitting, statistics, position, config)
        for position in range(len(statistics.predictivities))
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
        "method": f"{names}{reduced}, {config.time_mode}, {describe_preset(config)}",
        "stratified_by": config.stratify_by(map(str, table)) or "none",
        "grouped_by": config.groups or "none",
        "mapping_device": fitting.grams.device,
        "splits_sha256": _sha256(fitting.train),
        "halves_sha256": _sha256(fitting.trials.halves),
        "plan": json.dumps(plans),
        "notes": json.dumps(score_notes(result, fitting, config)),
    }
    return result


def _one_mapping(
    fitting: Fitting, statistics: Statistics, position: int, config: ScoreConfig
) -> xr.Dataset:
    """Return the result of one mapping."""
    reliability, predictivity = statistics.reliability, statistics.predictivities[position]
    pooled = statistics.pooled[position] if statistics.pooled else None
    names, best = fitting.layers, None
    over = "fold" if config.splits == "folds-together" else "split"
    choice: dict[str, Any] = {}
    if fitting.held_out.size:
        layers = fitting.best_layers(position)
        chosen = np.array(names, dtype=str)[layers]
        choice["layer_choice"] = variable(
            (over,), chosen, "detail", "layer that held-out training stimuli choose"
        )
        if fitting.layer_per_split:
            best = layers
            names = (chosen[0],) if len(set(chosen)) == 1 else ("auto",)
    reason = find_reasons(fitting, reliability, predictivity, pooled, best, config=config)
    scored = reason == REASONS.index("scored")
    corrected = corrected_r(reliability, predictivity)
    every = layer_terms(reliability, predictivity, config.average)
    medians = median_variables(
        every, scored, reliability, predictivity, config, fitting.splits.groups
    )
    made = medians
    if config.formula == "explained_variance":  # divides by a ceiling that need not be positive
        undefined = scored.any(axis=1) & np.isnan(medians["curve"][1])
        reason = np.where(
            scored & undefined[:, None], REASONS.index("recording_not_reliable"), reason
        )
    strata = statistics.parts[0].strata
    if pooled is not None:
        made = {**pooled_variables(pooled, statistics.parts, reason, config), **medians}
    elif config.pools:
        score = pooled_score(reliability, predictivity, strata)
        made["curve_pooled_r"] = score_variable(
            ("layer", "time_bin"),
            np.where(scored.any(axis=1), score, np.nan),
            long_name=FORMULAS["pooled_r"].long_name,
            formula=describe_formula("pooled_r", config.average),
        )
    count = made.pop("n_neuroids")
    learning: dict[str, Any] = {}
    if len(fitting.train_parts):
        learning = learning_variables(
            fitting, statistics, position, made["curve"][1], scored, config
        )
    neuroid = ("neuroid", "time_bin")
    pooling: dict[str, Any] = {}
    if config.pools:
        pooling = {
            "training_r_yy": variable(
                ("split", "neuroid"), statistics.z, "detail", "half correlation, training stimuli"
            ),
            "stratum_of_neuroid": variable(
                ("split", "neuroid"), strata, "detail", "stratum of a neuroid"
            ),
        }
    if len(fitting.deleted):
        pooling["jackknife_group"] = variable(
            ("stimulus",),
            fitting.deleted.argmax(axis=0),
            "detail",
            "group of a stimulus in the jackknife",
        )
    responses = fitting.recording.responses
    subject: dict[str, Any] = {}
    if "subject" in responses.coords:
        subject["subject_of_neuroid"] = ("neuroid", responses.subject.values.astype(str))
    return xr.Dataset(
        {
            **made,
            **learning,
            "ceiling": _ceiling(fitting, statistics, config),
            "n_neuroids": count,
            "reason": variable(
                ("layer", *neuroid),
                reason.astype(np.int8),
                "detail",
                "why a neuroid is scored or not",
                flag_values=np.arange(len(REASONS), dtype=np.int8),
                flag_meanings=" ".join(REASONS),
            ),
            **_details(fitting, reliability, predictivity, corrected, config),
            "train": variable(
                (over, "stimulus"),
                fitting.train.astype(np.int8),
                "detail",
                f"training stimuli of each {over}",
            ),
            **pooling,
            **_time_courses(fitting, position),
            **_influences(reliability, predictivity),
            **choice,
        },
        coords={
            "layer": list(names),
            "neuroid_id": ("neuroid", responses.neuroid_id.values.astype(str)),
            **subject,
            "stimulus_id": ("stimulus", fitting.recording.stimuli.ids.astype(str)),
            **learning_coords(fitting),
            **(stored_coords(statistics.parts) if pooled is not None else {}),
            **time_coords(responses.time_bin_start.values, responses.time_bin_end.values),
        },
    )


def _ceiling(fitting: Fitting, statistics: Statistics, config: ScoreConfig) -> Any:
    """Return the reliability of the neuroids that make a score, or of all where none does."""
    reliability = statistics.reliability
    if config.formula == "pooled_r":
        values = pool_reliability(
            reliability.per_test.value, reliability.shares.value, statistics.parts[0].strata
        )
        words = "split-half reliability, pooled over neuroids"
    else:
        counts = recorded_reliably(fitting, reliability, config=config)
        counts |= ~counts.any(axis=0)
        values = nanmedian(np.where(counts, reliability.value(config.average), np.nan), axis=0)
        words = "split-half reliability, median over neuroids"
    return variable(("time_bin",), values, "bound", words, column="ceiling")


def _time_courses(fitting: Fitting, position: int) -> dict[str, Any]:
    """Return how well a map shared by all bins predicts mean time courses."""
    if fitting.config.time_mode != "fixed":
        return {}
    long_name = "r of predicted and recorded mean time courses over bins, mean over splits"
    psth_r = fitting.findings.mean_psth_r(position)
    return {"psth_r": variable(("layer", "neuroid"), psth_r, "detail", long_name)}


def _per_half(reliability: Reliability) -> np.ndarray:
    """Return the noise shares as they apply to correlations (test half neuroid time_bin)."""
    return reliability.shares.value[:, None, None]


def _details(
    fitting: Fitting,
    reliability: Reliability,
    predictivity: Predictivity,
    corrected: dict[str, np.ndarray],
    config: ScoreConfig,
) -> dict[str, Any]:
    """Return the correlations of every neuroid."""
    neuroid = ("neuroid", "time_bin")
    half, all_trials = ("split", "half", *neuroid), "corrected to all trials"
    shares = _per_half(reliability)
    xx_sb = reliability_of_halves(predictivity.r_xx, *shares)
    yy_sb = reliability_of_halves(reliability.r_yy, *shares)
    layered: tuple[str, ...] = ("layer", *neuroid)
    details: dict[str, tuple[tuple[str, ...], np.ndarray, str]] = {
        "noise_corrected_r": (
            layered,
            corrected[config.average],
            "noise-corrected r of each neuroid",
        ),
        **{
            f"noise_corrected_r_of_{what}": (layered, r, f"noise-corrected r, {what} averaged")
            for what, r in corrected.items()
        },
        "r_xy": (("layer", "split", *neuroid), predictivity.r_xy, "prediction, r_xy"),
        "r_xx": (("layer", *half), predictivity.r_xx, "consistency of maps, r_xx"),
        "r_xx_sb": (("layer", *half), xx_sb, f"consistency of maps, {all_trials}"),
        "r_yy": (half, reliability.r_yy, "split-half correlation, r_yy"),
        "r_yy_sb": (half, yy_sb, f"split-half reliability, {all_trials}"),
        "stimuli_left_out": (
            neuroid,
            fitting.left_out.stimuli,
            "stimuli with fewer than 2 valid trials, which are left out",
        ),
    }
    return {
        name: variable(dims, values, "detail", long_name)
        for name, (dims, values, long_name) in details.items()
    }


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
