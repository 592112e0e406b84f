"""Planted results for figures: a score and a comparison, whose numbers are all different."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurofit.analyses.analysis import score_variable, variable
from neurofit.results.schema import time_coords, validate_result

INTERVAL = "95% interval over neuroids and stimuli, for each time bin on its own"
BAND = "95% band, for all time bins at once"
ENDS = {"low": -0.04, "high": 0.05, "band_low": -0.07, "band_high": 0.08}


def with_ends(name: str, dims: tuple[str, ...], values: Any, **attrs: Any) -> dict[str, Any]:
    """Return a score with its interval and band."""
    ends: dict[str, Any] = {end: f"{name}_{end}" for end in ENDS}
    words: dict[str, Any] = {"interval": INTERVAL, "band": BAND}
    return {
        name: score_variable(dims, values, **words, **ends, **attrs),
        **{
            ends[end]: variable(dims, values + shift, "interval", f"{end} end")
            for end, shift in ENDS.items()
        },
    }


def described(made: xr.Dataset, **attrs: Any) -> xr.Dataset:
    """Return a result with the attributes of the contract."""
    shown = {"presentation": {"n_timesteps": 26, "image_off": 10}, "ms_per_timestep": 10}
    made.attrs = {
        "contract": "neurofit/1",
        "analysis": "score",
        "model": "net",
        "recording": "planted",
        "recording_sha256": "",
        "region": "IT",
        "simulated": 1,
        "control": "",
        "seed": 0,
        "config": "{}",
        "selection": "{}",
        "versions": "{}",
        "activations": json.dumps(shown),
        **attrs,
    }
    validate_result(made)
    return made


@pytest.fixture
def planted_score() -> Callable[..., xr.Dataset]:
    """Make a pooled score of 30 neuroids of two subjects; the first bin has no score."""
    return _planted_score


def _planted_score(
    model: str = "net",
    *,
    layers: Sequence[str] = ("conv5",),
    n_bins: int = 8,
    subjects: bool = False,
    learning: bool = False,
    seed: int = 0,
    **attrs: Any,
) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    dims, shape = ("layer", "time_bin"), (len(layers), n_bins)
    curve = rng.uniform(0.1, 0.5, shape)
    if n_bins > 1:
        curve[:, 0] = np.nan
    own = ("neuroid", "time_bin")
    made: dict[str, Any] = with_ends(
        "curve",
        dims,
        curve,
        long_name="noise-corrected predictivity (r)",
        formula="pooled_r = x / y",
        bound="ceiling",
        count="n_neuroids",
        column="score",
    )
    r_xy = rng.uniform(-0.1, 0.4, (len(layers), 3, 30, n_bins))
    made |= {
        "curve_r_xy": score_variable(
            dims, curve / 3, long_name="correlation of prediction and response", formula="r_xy"
        ),
        "ceiling": variable(
            ("time_bin",),
            rng.uniform(-0.01, 0.6, n_bins),
            "bound",
            "split-half reliability, pooled",
        ),
        "n_neuroids": variable(dims, np.full(shape, 30), "count", "number", column="neuroids"),
        "noise_corrected_r": variable(
            ("layer", *own), rng.normal(0.4, 0.2, (len(layers), 30, n_bins)), "detail", "r"
        ),
        "r_xy": variable(("layer", "split", *own), r_xy, "detail", "prediction, r_xy"),
    }
    if len(layers) > 1:
        chosen = [layers[-1], layers[-1], layers[0]]
        made["layer_choice"] = variable(("split",), chosen, "detail", "chosen layer")
    coords: dict[str, Any] = {"layer": list(layers)}
    if subjects:
        made["curve_of_subject"] = variable(
            ("subject", *dims), np.stack([curve - 0.02, curve + 0.03]), "detail", "of each subject"
        )
        coords["subject"] = ["A", "B"]
    if learning:
        parts = curve - np.array([0.09, 0.04, 0.01, 0.0])[:, None, None]
        made["curve_of_training"] = variable(("training", *dims), parts, "detail", "parts")
        made["last_rise_error"] = variable(("layer",), np.full(len(layers), 0.006), "detail", "se")
        coords["training"] = [100, 200, 300, 400]
    starts = 80 + 10 * np.arange(n_bins)
    coords |= time_coords(starts, starts + 10)
    coords["neuroid_id"] = ("neuroid", [f"n{i}" for i in range(30)])
    coords["subject_of_neuroid"] = ("neuroid", ["A"] * 20 + ["B"] * 10)
    return described(xr.Dataset(made, coords=coords), model=model, **attrs)


@pytest.fixture
def planted_comparison() -> Callable[..., xr.Dataset]:
    """Make a comparison of models, with every pair of them."""
    return _planted_comparison


def _planted_comparison(*models: str, n_bins: int = 12) -> xr.Dataset:
    steps = np.arange(n_bins)
    curve = np.stack([0.3 + 0.1 * i + 0.1 * np.sin(steps / 3 + i) for i in range(len(models))])
    pairs = list(itertools.combinations(range(len(models)), 2))
    gap = np.stack([curve[a] - curve[b] for a, b in pairs])
    words = "difference of noise-corrected r"
    nothing = float("nan")
    made = {
        **with_ends(
            "difference", ("pair", "time_bin"), gap, long_name=words, formula="A - B", best=nothing
        ),
        "p_adjusted": variable(("pair", "time_bin"), np.abs(gap), "p_value", "adjusted p"),
        **with_ends(
            "curve",
            ("model", "time_bin"),
            curve,
            long_name="noise-corrected predictivity (r)",
            formula="pooled_r = x / y",
        ),
        "ceiling": variable(("time_bin",), 0.5 + 0 * steps, "bound", "split-half reliability"),
    }
    coords: dict[str, Any] = {
        "pair": [f"{models[a]} - {models[b]}" for a, b in pairs],
        "model": list(models),
        **time_coords(100 + 10 * steps, 110 + 10 * steps),
    }
    conclusion = json.dumps(["The models differ in the first bins."])
    return described(
        xr.Dataset(made, coords=coords), analysis="compare", model="", conclusion=conclusion
    )
