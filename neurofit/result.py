"""The result of a score: correlations per split, half, neuroid and bin, aggregated late, with how they were made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
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
    bootstrap_neuroids,
    explained_variance,
    nanmean,
    nanmedian,
    noise_corrected_r,
    null_reliability_sd,
    reliable,
    spearman_brown,
)
from neurofit.presets import ScoreConfig

FORMULAS = {
    "noise_corrected_r": f"noise_corrected_r = {NOISE_CORRECTED_R}, median over neuroids",
    "explained_variance": f"explained_variance = {EXPLAINED_VARIANCE} over neuroids",
}
REASONS = ("kept", "no_prediction", "missing_trials", "unreliable_recording", "unreliable_prediction")
"""Why a neuroid does not count in a bin; positions are the values of `reason`."""


@dataclass(frozen=True)
class Statistics:
    """Correlations before any averaging; NaN where a layer cannot predict or a side does not vary."""

    r_xy: np.ndarray  # (layer split neuroid time_bin)
    r_xx: np.ndarray  # (layer split half neuroid time_bin): maps fitted on two halves, not yet Spearman-Brown corrected
    r_yy: np.ndarray  # (split half neuroid time_bin): two half means, not yet corrected
    held_out: np.ndarray  # (layer split neuroid time_bin): r_xy on training stimuli held out to choose the layer
    missing: np.ndarray  # (neuroid time_bin): no trial of some stimulus in some half
    covered: np.ndarray  # (layer time_bin): whether the image-driven timesteps of the layer cover the bin

    @classmethod
    def empty(cls, covered: np.ndarray, *, n_splits: int, n_halves: int, n_neuroids: int) -> Statistics:
        """Return statistics for bins that layers cover or not (layer time_bin), all undefined."""
        n_layers, n_bins = covered.shape
        per_layer = (n_layers, n_splits, n_neuroids, n_bins)
        return cls(
            r_xy=np.full(per_layer, np.nan),
            r_xx=np.full((n_layers, n_splits, n_halves, n_neuroids, n_bins), np.nan),
            r_yy=np.full((n_splits, n_halves, n_neuroids, n_bins), np.nan),
            held_out=np.full(per_layer, np.nan),
            missing=np.zeros((n_neuroids, n_bins), dtype=bool),
            covered=covered,
        )

    def best_layer(self) -> np.ndarray:
        """Return each split's best layer on held-out training stimuli: array (split).

        Layers are compared in the bins that all of them predict; one that predicts nothing does not take part.
        """
        per_bin = nanmedian(self.held_out, axis=2)  # (layer split time_bin)
        takes_part = ~np.isnan(per_bin).all(axis=(1, 2))
        common = ~np.isnan(per_bin[takes_part]).any(axis=(0, 1))
        shown = common if common.any() else np.ones_like(common)
        return np.asarray(np.nan_to_num(nanmean(per_bin[..., shown], axis=-1), nan=-np.inf).argmax(axis=0))

    def choose(self, layer_of_split: np.ndarray) -> Statistics:
        """Return the statistics of one layer per split, as those of a single layer."""
        splits = np.arange(len(layer_of_split))
        return replace(
            self,
            r_xy=self.r_xy[layer_of_split, splits][None],
            r_xx=self.r_xx[layer_of_split, splits][None],
            covered=self.covered[layer_of_split].any(axis=0)[None],
        )


def make_result(
    statistics: Statistics,
    *,
    layers: tuple[str, ...],
    train: np.ndarray,
    activations: Activations,
    recording: Recording,
    config: ScoreConfig,
) -> xr.Dataset:
    """Average the statistics as the configuration says and return everything as one Dataset.

    Parameters
    ----------
    statistics
        Of the layers, in their order.
    layers, train
        Fitted layers; training masks (split stimulus).
    activations, recording, config
        What was scored and how.

    Returns
    -------
    Dataset with dims layer, split, half, neuroid, time_bin. With "auto" and several candidates the one layer is called "auto" and
    `layer_choice` names it for each split (or its own name, if all splits agree).
    """
    attrs = _provenance(train, activations=activations, recording=recording, config=config)
    if config.layers == "auto" and len(layers) > 1:
        choice = statistics.best_layer()
        statistics = statistics.choose(choice)
        attrs["layer_choice"] = json.dumps([layers[c] for c in choice])
        layers = (layers[choice[0]],) if len(set(choice.tolist())) == 1 else ("auto",)

    r_xx_sb, r_yy_sb = spearman_brown(statistics.r_xx), spearman_brown(statistics.r_yy)
    mean_xy = nanmean(statistics.r_xy, axis=1)
    mean_xx, mean_yy = nanmean(r_xx_sb, axis=(1, 2)), nanmean(r_yy_sb, axis=(0, 1))
    mean_of = {
        "correlations": noise_corrected_r(
            mean_xy, spearman_brown(nanmean(statistics.r_xx, axis=(1, 2))), spearman_brown(nanmean(statistics.r_yy, axis=(0, 1)))
        ),
        "terms": noise_corrected_r(mean_xy, mean_xx, mean_yy),
        "ratios": nanmean(noise_corrected_r(statistics.r_xy[:, :, None], r_xx_sb, r_yy_sb[None]), axis=(1, 2)),
    }
    corrected = mean_of[config.average]
    reason = _reasons(statistics, mean_xx, mean_yy, train=train, config=config)

    per_layer = [
        _curves(corrected[i], statistics.r_xy[i], mean_yy, reason[i] == REASONS.index("kept"), config=config) for i in range(len(layers))
    ]
    curves = {name: ("layer time_bin", np.stack([curve[name] for curve in per_layer])) for name in per_layer[0]}
    by_neuroid = "layer neuroid time_bin"
    variables: dict[str, tuple[str, np.ndarray]] = {
        **curves,
        "ceiling": ("time_bin", nanmedian(mean_yy, axis=0)),
        "noise_corrected_r": (by_neuroid, corrected),
        **{f"noise_corrected_r_of_{what}": (by_neuroid, values) for what, values in mean_of.items()},
        "reason": (by_neuroid, reason.astype(np.int8)),
        "r_xy": ("layer split neuroid time_bin", statistics.r_xy),
        "r_xx": ("layer split half neuroid time_bin", statistics.r_xx),
        "r_xx_sb": ("layer split half neuroid time_bin", r_xx_sb),
        "r_yy": ("split half neuroid time_bin", statistics.r_yy),
        "r_yy_sb": ("split half neuroid time_bin", r_yy_sb),
        "train": ("split stimulus", train.astype(np.int8)),
    }
    responses = recording.responses
    result = xr.Dataset(
        {name: (dims.split(), values) for name, (dims, values) in variables.items()},
        coords={
            "layer": list(layers),
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


def _reasons(statistics: Statistics, mean_xx: np.ndarray, mean_yy: np.ndarray, *, train: np.ndarray, config: ScoreConfig) -> np.ndarray:
    """Say why each (layer neuroid time_bin) counts or does not: position in `REASONS`; the first reason that applies."""
    no_prediction = np.isnan(statistics.r_xy).all(axis=1)
    reason = np.where(~statistics.covered[:, None], 1, np.where(statistics.missing, 2, np.where(no_prediction, 1, 0)))
    floor = -np.inf if config.reliability_floor is None else config.reliability_floor
    n_test = int((~train[0]).sum())
    share = n_test / train.shape[1]
    if config.ceiling_stimuli == "all":
        n_test, share = train.shape[1], 1.0
    null_sd = null_reliability_sd(n_test=n_test, n_splits=config.n_splits, n_halves=config.n_halves, test_share=share)
    good = reliable(
        mean_yy,
        floor=floor,
        false_discovery_rate=config.false_discovery_rate,
        null_sd=null_sd,
        min_neuroids=config.min_neuroids,
    )
    reason = np.where((reason == 0) & ~good, 3, reason)
    if config.reliability_floor is not None:
        reason = np.where((reason == 0) & ~(mean_xx > floor), 4, reason)
    return np.asarray(reason)


def _curves(corrected: np.ndarray, r_xy: np.ndarray, r_yy: np.ndarray, keep: np.ndarray, *, config: ScoreConfig) -> dict[str, np.ndarray]:
    """Return one layer's curve, its interval, both scores and the number of neuroids, per time bin."""
    kept = np.where(keep, corrected, np.nan)
    kept_xy, kept_yy = np.where(keep, r_xy, np.nan), np.where(keep, r_yy, np.nan)
    enough = keep.sum(axis=0) >= max(1, min(config.min_neuroids, len(keep)))
    scores: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "noise_corrected_r": lambda neuroids: nanmedian(kept[neuroids], axis=0),
        "explained_variance": lambda neuroids: explained_variance(kept_xy[:, neuroids], kept_yy[neuroids]),
    }
    chosen, everyone = scores[config.formula], np.arange(len(keep))
    low, high = bootstrap_neuroids(chosen, len(keep), n_bootstraps=config.n_bootstraps, interval=config.interval, seed=config.seed)
    values = {
        "curve": chosen(everyone),
        "curve_low": low,
        "curve_high": high,
        "curve_noise_corrected_r": scores["noise_corrected_r"](everyone),
        "curve_explained_variance": scores["explained_variance"](everyone),
        "curve_r_xy": nanmedian(nanmean(kept_xy, axis=0), axis=0),
    }
    return {**{name: np.where(enough, value, np.nan) for name, value in values.items()}, "n_neuroids": keep.sum(axis=0)}


def _provenance(train: np.ndarray, *, activations: Activations, recording: Recording, config: ScoreConfig) -> dict[str, Any]:
    shown = activations.presentation
    return {
        "model": activations.model,
        "region": config.region,
        "recording": recording.name,
        "simulated": int(recording.simulated),
        "preset": config.preset,
        "formula": FORMULAS[config.formula],
        "time_mode": config.time_mode,
        "mapping": config.mapping,
        "seed": config.seed,
        "config": json.dumps(config.as_attrs()),
        "splits_sha256": hashlib.sha256(np.packbits(train).tobytes()).hexdigest(),
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
        **{name: result.attrs[name] for name in ("preset", "formula", "time_mode", "mapping")},
        "layer": layers if len(layers) > 1 else layers[0],
        "layer_choice": json.loads(result.attrs.get("layer_choice", "null")),
        "time_bins": bins.tolist(),
        **{name: per_layer(name) for name in ("curve", "curve_low", "curve_high", "curve_noise_corrected_r", "curve_explained_variance")},
        "ceiling": _plain(result.ceiling.values),
        "n_neuroids": per_layer("n_neuroids"),
        "seed": int(result.attrs["seed"]),
        "versions": json.loads(result.attrs["versions"]),
    }


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


def _plain(values: np.ndarray) -> list[float | int | None]:
    return [None if np.isnan(v) else v.item() for v in values]
