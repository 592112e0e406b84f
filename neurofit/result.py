"""The result of a score: correlations per split, half, neuroid and bin, aggregated late, with how they were made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import neurofit
from neurofit.assemblies import Recording
from neurofit.extract import Activations
from neurofit.home import atomic_file
from neurofit.metrics import (
    EXPLAINED_VARIANCE,
    NOISE_CORRECTED_R,
    NOISE_CORRECTED_R2,
    PERCENT_EXPLAINED_VARIANCE,
    draw,
    explained_variance,
    nanmean,
    nanmedian,
    noise_corrected_r,
    null_reliability_sd,
    percentile_interval,
    reliable,
    spearman_brown,
)
from neurofit.presets import ScoreConfig
from neurofit.statistics import Predictivity, Reliability

FORMULAS = {
    "noise_corrected_r": f"noise_corrected_r = {NOISE_CORRECTED_R}, median over neuroids",
    "noise_corrected_r2": f"noise_corrected_r2 = {NOISE_CORRECTED_R2}, median over neuroids",
    "percent_explained_variance": f"percent_explained_variance = {PERCENT_EXPLAINED_VARIANCE}, median over neuroids",
    "explained_variance": f"explained_variance = {EXPLAINED_VARIANCE} over neuroids",
}
AVERAGES = {
    "terms": "terms averaged first",
    "correlations": "correlations averaged first",
    "ratios": "averaged after the division",
}
BOOTSTRAPPED = {"neuroids": "neuroids", "stimuli": "test stimuli", "both": "neuroids and test stimuli"}
REASONS = ("kept", "no_prediction", "missing_trials", "unreliable_recording", "unreliable_prediction")
"""Why a neuroid does not count in a bin; positions are the values of `reason`."""


def make_result(
    reliability: Reliability,
    predictivity: Predictivity,
    *,
    layers: tuple[str, ...],
    covered: np.ndarray,
    train: np.ndarray,
    halves: np.ndarray,
    activations: Activations,
    recording: Recording,
    config: ScoreConfig,
    how: dict[str, str],
) -> xr.Dataset:
    """Average the statistics as the configuration says and return everything as one Dataset.

    Parameters
    ----------
    reliability, predictivity
        Of the recording, and of the layers in their order.
    layers, covered
        Fitted layers, and whether their image-driven timesteps cover a bin (layer time_bin).
    train, halves
        Training masks (split stimulus); trials of the first halves (half presentation).
    activations, recording, config
        What was scored and how.

    Returns
    -------
    Dataset with dims layer, split (one, of all folds together), half, neuroid, time_bin. With "auto" and several candidates the one
    layer is called "auto" and `layer_choice` names it for each split (or its own name, if all splits agree). With "all",
    `layer_choice` is what "auto" would choose among them.
    """
    attrs = _provenance(train, halves, activations=activations, recording=recording, config=config) | how
    names = layers
    if config.layers in ("auto", "all") and len(layers) > 1:
        choice = predictivity.best_layer()
        attrs["layer_choice"] = json.dumps([layers[c] for c in choice])
        if config.layers == "auto":
            covered = covered[choice].any(axis=0)[None]
            names = (layers[choice[0]],) if len(set(choice.tolist())) == 1 else ("auto",)

    mean_xx, mean_yy = predictivity.corrected.value, reliability.corrected.value
    mean_of = {
        "correlations": noise_corrected_r(
            predictivity.mean_xy.value, spearman_brown(predictivity.raw.value), spearman_brown(reliability.raw.value)
        ),
        "terms": noise_corrected_r(predictivity.mean_xy.value, mean_xx, mean_yy),
        "ratios": predictivity.ratios.value,
    }
    corrected = mean_of[config.average]
    reason = _reasons(reliability, predictivity, covered, config=config)
    kept = reason == REASONS.index("kept")

    halves_yy = spearman_brown(reliability.r_yy).reshape(-1, *mean_yy.shape)
    per_layer = []
    for i in range(len(names)):
        values = _Values(corrected[i], predictivity.r_xy[i], halves_yy).where(kept[i])
        draws = _resample(values, kept[i], reliability, predictivity, i, config=config)
        per_layer.append(_curves(values, draws, kept[i], config=config))
    curves = {name: ("layer time_bin", np.stack([curve[name] for curve in per_layer])) for name in per_layer[0]}
    by_neuroid = "layer neuroid time_bin"
    variables: dict[str, tuple[str, np.ndarray]] = {
        **curves,
        "ceiling": ("time_bin", nanmedian(mean_yy, axis=0)),
        "noise_corrected_r": (by_neuroid, corrected),
        **{f"noise_corrected_r_of_{what}": (by_neuroid, values) for what, values in mean_of.items()},
        "reason": (by_neuroid, reason.astype(np.int8)),
        "r_xy": ("layer split neuroid time_bin", predictivity.r_xy),
        "r_xx": ("layer split half neuroid time_bin", predictivity.r_xx),
        "r_xx_sb": ("layer split half neuroid time_bin", spearman_brown(predictivity.r_xx)),
        "r_yy": ("split half neuroid time_bin", reliability.r_yy),
        "r_yy_sb": ("split half neuroid time_bin", spearman_brown(reliability.r_yy)),
        "missing_halves": ("neuroid time_bin", reliability.missing_halves),
        **_influences(reliability, predictivity),
        "train": ("fold stimulus" if config.splits == "folds" else "split stimulus", train.astype(np.int8)),
    }
    responses = recording.responses
    result = xr.Dataset(
        {name: (dims.split(), values) for name, (dims, values) in variables.items()},
        coords={
            "layer": list(names),
            "neuroid_id": ("neuroid", responses.neuroid_id.values.astype(str)),
            "time_bin_start": ("time_bin", responses.time_bin_start.values.astype(np.int64)),
            "time_bin_end": ("time_bin", responses.time_bin_end.values.astype(np.int64)),
            "stimulus_id": ("stimulus", recording.stimuli.ids.astype(str)),
        },
        attrs=attrs,
    )
    result.reason.attrs["flag_meanings"] = " ".join(REASONS)
    result.ceiling.attrs["long_name"] = "median split-half reliability over neuroids, Spearman-Brown corrected"
    return result


def _reasons(reliability: Reliability, predictivity: Predictivity, covered: np.ndarray, *, config: ScoreConfig) -> np.ndarray:
    """Say why each (layer neuroid time_bin) counts or does not: position in `REASONS`; the first reason that applies."""
    no_prediction = np.isnan(predictivity.r_xy).all(axis=1)
    missing = reliability.missing | (config.fit_halves & (reliability.missing_halves == config.n_halves))
    reason = np.where(~covered[:, None], 1, np.where(missing, 2, np.where(no_prediction, 1, 0)))
    floor = -np.inf if config.reliability_floor is None else config.reliability_floor
    share = 1.0 if config.ceiling_stimuli == "all" or config.splits == "folds" else config.test_share
    null_sd = null_reliability_sd(n_test=1, n_splits=len(reliability.r_yy), n_halves=config.n_halves, test_share=share)
    good = reliable(
        reliability.corrected.value,
        floor=floor,
        false_discovery_rate=config.false_discovery_rate,
        null_sd=null_sd / np.sqrt(reliability.n_test),
        min_neuroids=config.min_neuroids,
    )
    everything = config.reliability_floor is None and config.false_discovery_rate == 1 and not config.fit_halves
    reason = np.where((reason == 0) & ~good & (not everything), 3, reason)
    if config.reliability_floor is not None and config.fit_halves:
        reason = np.where((reason == 0) & ~(predictivity.corrected.value > floor), 4, reason)
    return np.asarray(reason)


@dataclass(frozen=True)
class _Values:
    """What the scores of one layer are made of."""

    corrected: np.ndarray  # (neuroid time_bin): as the configuration averages
    r_xy: np.ndarray  # (split neuroid time_bin)
    r_yy: np.ndarray  # (half neuroid time_bin), Spearman-Brown corrected, of each test set

    def of(self, neuroids: np.ndarray) -> _Values:
        """Return the values of drawn neuroids."""
        return _Values(self.corrected[neuroids], self.r_xy[:, neuroids], self.r_yy[:, neuroids])

    def where(self, keep: np.ndarray) -> _Values:
        """Return the values of what counts (neuroid time_bin), the rest undefined."""
        return _Values(*(np.where(keep, value, np.nan) for value in (self.corrected, self.r_xy, self.r_yy)))


SCORES: dict[str, Callable[[_Values], np.ndarray]] = {
    "noise_corrected_r": lambda values: nanmedian(values.corrected, axis=0),
    "noise_corrected_r2": lambda values: nanmedian(values.corrected**2, axis=0),
    "percent_explained_variance": lambda values: 100 * nanmedian(values.corrected**2, axis=0),
    "explained_variance": lambda values: explained_variance(values.r_xy, values.r_yy),
}


def _resample(
    values: _Values, keep: np.ndarray, reliability: Reliability, predictivity: Predictivity, i: int, *, config: ScoreConfig
) -> Iterator[_Values]:
    """Yield a layer's values in bootstrap samples of neuroids, of stimuli, or of both, each drawn on its own.

    Stimuli are resampled to first order, each term shifted by their influence on it (`metrics.pearson_influence`); the maps stay.
    """
    n_draws, n_neuroids = config.n_bootstraps, len(values.corrected)
    neuroids = draw(n_neuroids, n_bootstraps=n_draws, seed=config.seed)
    if config.bootstrap_over == "neuroids":
        return (values.of(drawn) for drawn in neuroids)
    if config.bootstrap_over == "stimuli":
        neuroids = np.broadcast_to(np.arange(n_neuroids), neuroids.shape)
    assert predictivity.mean_xy.influence is not None
    n_stimuli = predictivity.mean_xy.influence.shape[1]
    stimuli = draw(n_stimuli, n_bootstraps=n_draws, seed=(config.seed, 1))
    times = np.stack([np.bincount(drawn, minlength=n_stimuli) for drawn in stimuli])
    mean_xy = predictivity.mean_xy.resampled(times, (i,))
    if config.average == "correlations":
        mean_yy = spearman_brown(reliability.raw.resampled(times))
        corrected = noise_corrected_r(mean_xy, spearman_brown(predictivity.raw.resampled(times, (i,))), mean_yy)
    else:
        mean_yy = reliability.corrected.resampled(times)
        if config.average == "terms":
            corrected = noise_corrected_r(mean_xy, predictivity.corrected.resampled(times, (i,)), mean_yy)
        else:
            corrected = predictivity.ratios.resampled(times, (i,))
    shift_xy = mean_xy - predictivity.mean_xy.value[i]
    shift_yy = mean_yy - (spearman_brown(reliability.raw.value) if config.average == "correlations" else reliability.corrected.value)
    return (_Values(corrected[k], values.r_xy + shift_xy[k], values.r_yy + shift_yy[k]).where(keep).of(neuroids[k]) for k in range(n_draws))


def _influences(reliability: Reliability, predictivity: Predictivity) -> dict[str, tuple[str, np.ndarray]]:
    """Return the influence of each stimulus on the means over splits and halves, where there is one: to resample again without fits."""
    by_stimulus = "stimulus neuroid time_bin"
    means = {
        "r_xy": (f"layer {by_stimulus}", predictivity.mean_xy),
        "r_xx": (f"layer {by_stimulus}", predictivity.raw),
        "r_xx_sb": (f"layer {by_stimulus}", predictivity.corrected),
        "noise_corrected_r_of_ratios": (f"layer {by_stimulus}", predictivity.ratios),
        "r_yy": (by_stimulus, reliability.raw),
        "r_yy_sb": (by_stimulus, reliability.corrected),
    }
    return {f"influence_on_{name}": (dims, mean.mean_influence()) for name, (dims, mean) in means.items() if mean.influence is not None}


def _curves(values: _Values, draws: Iterable[_Values], keep: np.ndarray, *, config: ScoreConfig) -> dict[str, np.ndarray]:
    """Return one layer's curve, its interval, that of every formula and the number of neuroids, per time bin."""
    enough = keep.sum(axis=0) >= max(1, min(config.min_neuroids, len(keep)))
    chosen = SCORES[config.formula]
    low, high = percentile_interval(np.stack([chosen(drawn) for drawn in draws]), interval=config.interval)
    shown = {
        "curve": chosen(values),
        "curve_low": low,
        "curve_high": high,
        **{f"curve_{name}": score(values) for name, score in SCORES.items()},
        "curve_r_xy": nanmedian(nanmean(values.r_xy, axis=0), axis=0),
    }
    return {**{name: np.where(enough, value, np.nan) for name, value in shown.items()}, "n_neuroids": keep.sum(axis=0)}


def _provenance(
    train: np.ndarray, halves: np.ndarray, *, activations: Activations, recording: Recording, config: ScoreConfig
) -> dict[str, Any]:
    shown = activations.presentation
    return {
        "model": activations.model,
        "region": config.region,
        "recording": recording.name,
        "simulated": int(recording.simulated),
        "preset": config.preset,
        "formula": FORMULAS[config.formula] + ("" if config.formula == "explained_variance" else f", {AVERAGES[config.average]}"),
        "perfect_score": 100.0 if config.formula == "percent_explained_variance" else 1.0,
        "time_mode": config.time_mode,
        "mapping": config.mapping,
        "interval": f"{config.interval:.0%}, {config.n_bootstraps} bootstraps over {BOOTSTRAPPED[config.bootstrap_over]}",
        "seed": config.seed,
        "stratified_by": config.stratify_by(map(str, recording.stimuli.table)) or "none",
        "config": json.dumps(config.as_attrs()),
        "splits_sha256": hashlib.sha256(np.packbits(train).tobytes()).hexdigest(),
        "halves_sha256": hashlib.sha256(np.packbits(halves).tobytes()).hexdigest(),
        "recording_sha256": recording.sha256,
        "presentation": json.dumps(asdict(shown) if shown else None),
        "activations": json.dumps(dict(activations.provenance)),
        "versions": json.dumps({"neurofit": neurofit.__version__, **{name: version(name) for name in VERSIONS}}),
    }


VERSIONS = ("numpy", "scipy", "scikit-learn", "xarray", "torch")


def save_result(result: xr.Dataset, path: Path) -> None:
    """Write a result as netCDF, whole or not at all."""
    with atomic_file(path) as temporary:
        result.to_netcdf(temporary, engine="h5netcdf")


def summarise(result: xr.Dataset) -> dict[str, Any]:
    """Return the few numbers people quote, ready for JSON; undefined values are null. Several layers: one entry each by name."""
    layers = [str(layer) for layer in result.layer.values]

    def per_layer(name: str) -> Any:
        rows = {layer: _plain(result[name].values[i]) for i, layer in enumerate(layers)}
        return rows if len(layers) > 1 else rows[layers[0]]

    bins = np.stack([result.time_bin_start.values, result.time_bin_end.values], axis=1)
    return {
        **{name: result.attrs[name] for name in ("model", "region", "recording")},
        "simulated": bool(result.attrs["simulated"]),
        "selection": json.loads(result.attrs.get("selection", "{}")),
        **{name: result.attrs[name] for name in ("preset", "formula", "time_mode", "mapping", "mapping_name")},
        "layer": layers if len(layers) > 1 else layers[0],
        "layer_choice": json.loads(result.attrs.get("layer_choice", "null")),
        "time_bins": bins.tolist(),
        **{name: per_layer(name) for name in ("curve", "curve_low", "curve_high", *(f"curve_{formula}" for formula in FORMULAS))},
        "ceiling": _plain(result.ceiling.values),
        "n_neuroids": per_layer("n_neuroids"),
        "interval": result.attrs["interval"],
        **dict(zip(("n_neuroids_missing", "n_neuroids_missing_halves"), count_missing(result), strict=True)),
        "seed": int(result.attrs["seed"]),
        "versions": json.loads(result.attrs["versions"]),
    }


def selection_of(result: xr.Dataset) -> str:
    """Return in words which part of its recording a score or a ceiling is of; empty of the whole."""
    return ", ".join(f"{name} {value}" for name, value in json.loads(result.attrs.get("selection", "{}")).items())


def count_missing(result: xr.Dataset) -> tuple[int, int]:
    """Return how many neuroids lack trials: left out altogether in some bin; left out in some trial halves of a bin."""
    left_out = (result.reason.values == REASONS.index("missing_trials")).any(axis=0)  # (neuroid time_bin)
    return int(left_out.any(axis=1).sum()), int(((result.missing_halves.values > 0) & ~left_out).any(axis=1).sum())


def bin_groups(result: xr.Dataset, layer: int, *, most: int = 13) -> list[tuple[int, int, dict[str, float]]]:
    """Return at most `most` rows (start ms, end ms, mean of each curve over the bins that have one) for a layer, for tables."""
    names = ("curve", "curve_low", "curve_high", "curve_r_xy", "curve_explained_variance", "n_neuroids", "ceiling")
    values = {name: result[name].values[layer] if "layer" in result[name].dims else result[name].values for name in names}
    n_bins = result.sizes["time_bin"]
    size = -(-n_bins // most)
    return [
        (
            int(result.time_bin_start.values[begin]),
            int(result.time_bin_end.values[min(begin + size, n_bins) - 1]),
            {name: float(nanmean(values[name][begin : begin + size].astype(float), axis=0)) for name in names},
        )
        for begin in range(0, n_bins, size)
    ]


def layer_rows(result: xr.Dataset) -> list[dict[str, Any]]:
    """Return a row per layer, for tables: its best bin, and means over the bins that have a score.

    Keys: layer; best, start, end (ms): of the best bin; bins: how many have a score; score, r_xy, ceiling: over these; chosen: in how
    many splits held-out training stimuli choose the layer (None where there is no choice).
    """
    choice = json.loads(result.attrs.get("layer_choice", "null"))
    rows = []
    for i, layer in enumerate(result.layer.values.tolist()):
        curve = result.curve.values[i]
        scored = ~np.isnan(curve)
        best = int(np.nan_to_num(curve, nan=-np.inf).argmax())
        rows.append(
            {
                "layer": layer,
                "best": float(curve[best]),
                "start": int(result.time_bin_start.values[best]),
                "end": int(result.time_bin_end.values[best]),
                "score": float(nanmean(curve, axis=0)),
                "r_xy": float(nanmean(result.curve_r_xy.values[i][scored], axis=0)),
                "ceiling": float(nanmean(result.ceiling.values[scored], axis=0)),
                "bins": int(scored.sum()),
                "chosen": None if choice is None else choice.count(layer),
            }
        )
    return rows


def _plain(values: np.ndarray) -> list[float | int | None]:
    return [None if np.isnan(v) else v.item() for v in values]
