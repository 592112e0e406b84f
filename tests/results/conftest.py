"""Planted results: scores of models with known curves, and their comparison."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurofit.analyses.analysis import score_variable, variable
from neurofit.results.schema import CONTRACT, time_coords, validate_result

STARTS = np.arange(60, 160, 10)
DIMS = ("layer", "time_bin")
REASONS = "scored before_model_responds recording_not_reliable"
WINDOWS = ["70-130 ms", "130-260 ms", "130-260 minus 70-130 ms"]


def attributes(**given: Any) -> dict[str, Any]:
    """Return the attributes of a valid result; objects become JSON."""
    attrs = {
        "contract": CONTRACT,
        "analysis": "score",
        "model": "net",
        "recording": "planted",
        "recording_sha256": "ab" * 32,
        "region": "IT",
        "simulated": 1,
        "control": "",
        "seed": 0,
        "method": "ridge, per-bin, pooled",
        "config": {"n_splits": 10, "n_halves": 10, "interval": 0.95, "mapping": "ridge"},
        "selection": {},
        "activations": {"weights": "trained weights"},
        "versions": {"neurofit": "0.1.0", "numpy": "2.0"},
        "notes": ["A note on the trials."],
        **given,
    }
    plain = (str, int)
    return {key: v if isinstance(v, plain) else json.dumps(v) for key, v in attrs.items()}


def ended(name: str, dims: tuple[str, ...], values: Any, half: Any, **attrs: Any) -> dict[str, Any]:
    """Return a score with an interval of half width `half` and a band of twice that."""
    values, half = np.broadcast_arrays(values, half)
    ends = {"low": -half, "high": half, "band_low": -2 * half, "band_high": 2 * half}
    pointers: Any = {end: f"{name}_{end}" for end in ends}
    about: dict[str, Any] = {
        "long_name": "pooled r",
        "formula": "pooled_r = X / Y",
        "interval": "95% interval over neuroids, for each time bin on its own",
        "band": "95% band, for all time bins at once",
        **attrs,
    }
    return {
        name: score_variable(dims, values, **about, **pointers),
        **{
            f"{name}_{end}": variable(dims, values + margin, "interval", f"{end} end")
            for end, margin in ends.items()
        },
    }


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Start Chromium; skip without it, but never in CI."""
    program = shutil.which("chromium")
    if program is None:
        missing = "chromium is not installed (apt-get install chromium)"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    spec = importlib.util.spec_from_file_location("browser", Path(__file__).parent / "browser.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    started = module.Browser(program, tmp_path_factory.mktemp("chromium"))
    yield started
    started.close()


@pytest.fixture
def make_result() -> Callable[..., xr.Dataset]:
    """Make the score of a model: values in ten bins from 60 ms, the first without a score."""

    def make(
        model: str = "net",
        *,
        level: float = 0.3,
        half: float = 0.0123,
        layers: Sequence[str] = ("conv5",),
        subjects: Sequence[str] = (),
        training: Sequence[int] = (),
        **attrs: Any,
    ) -> xr.Dataset:
        shape = (len(layers), len(STARTS))
        curve = np.broadcast_to(level + 0.05 * np.sin(STARTS / 20), shape).copy()
        curve[:, 0] = np.nan
        reason = np.zeros((len(layers), 4, len(STARTS)), np.int8)
        reason[:, :, 0] = 1
        pointers = {"bound": "ceiling", "count": "n_neuroids", "reason": "reason"}
        made = {
            **ended("curve", DIMS, curve, half, column="score", **pointers),
            "n_neuroids": variable(
                DIMS, np.where(np.isnan(curve), 0, 168), "count", "number of neuroids",
                column="neuroids",
            ),
            "ceiling": variable(
                ("time_bin",), np.linspace(0.4, 0.7, len(STARTS)), "bound",
                "split-half reliability, pooled over neuroids", column="ceiling",
            ),
            "reason": variable(
                ("layer", "neuroid", "time_bin"), reason, "detail", "why",
                flag_values=np.arange(3, dtype=np.int8), flag_meanings=REASONS,
            ),
            "train": variable(
                ("split", "stimulus"), np.ones((10, 640), np.int8), "detail", "training stimuli"
            ),
        }  # fmt: skip
        coords: dict[str, Any] = {"layer": list(layers), **time_coords(STARTS, STARTS + 10)}
        if subjects:
            shifts = np.arange(len(subjects))[:, None, None] / 10
            of = ("subject", *DIMS)
            made |= ended("curve_of_subject", of, curve + shifts, 2 * half, column="score")
            coords["subject"] = list(subjects)
        if training:
            parts = np.arange(1, 1 + len(training))[:, None, None] / len(training)
            made["curve_of_training"] = score_variable(
                ("training", *DIMS), curve * parts, long_name="curve with parts", formula="f",
                column="score",
            )  # fmt: skip
            coords["training"] = ("training", list(training), {"long_name": "training stimuli"})
        result = xr.Dataset(made, coords=coords, attrs=attributes(model=model, **attrs))
        validate_result(result)
        return result

    return make


@pytest.fixture
def make_comparison() -> Callable[..., xr.Dataset]:
    """Make the comparison of models whose curves differ by 0.1 each."""

    def make(models: Sequence[str] = ("a", "b", "c"), **attrs: Any) -> xr.Dataset:
        pairs = list(combinations(range(len(models)), 2))
        names = [f"{models[i]} - {models[j]}" for i, j in pairs]
        gap = np.array([(j - i) / 10 for i, j in pairs])
        time, window = ("pair", "time_bin"), ("pair", "window")
        p = np.broadcast_to(np.linspace(0.0001, 0.2, len(STARTS)), (len(pairs), len(STARTS)))
        gaps, n_bins = gap[:, None], (1, len(STARTS))
        made = {
            **ended("difference", time, gaps * np.ones(n_bins), 0.02, column="difference",
                    long_name="difference of pooled r", best=float("nan")),
            "p_adjusted": variable(time, p, "p_value", "adjusted p", column="p"),
            "p_false_discovery": variable(time, p / 2, "p_value", "false discovery rate"),
            **ended("curve", ("model", "time_bin"),
                    0.5 - np.arange(len(models))[:, None] / 10 * np.ones(n_bins), 0.03),
            "ceiling": variable(("time_bin",), np.full(len(STARTS), 0.6), "bound", "reliability"),
            **ended("window_difference", window, gaps * np.array([1, 2, 1]), 0.01,
                    column="difference", long_name="difference of mean pooled r"),
            "window_p_adjusted": variable(
                window, np.full((len(pairs), 3), 0.0123), "p_value", "adjusted p"
            ),
            **ended("whole_difference", ("pair",), gap, 0.004, column="difference",
                    long_name="difference of mean pooled r, all bins"),
            "whole_p_adjusted": variable(
                ("pair",), np.full(len(pairs), 0.00001), "p_value", "adjusted p"
            ),
            "rank_low": variable(
                ("model",), np.arange(len(models)) + 1, "count", "lowest rank"
            ),
            "rank_high": variable(
                ("model",), np.arange(len(models)) + 1, "count", "highest rank"
            ),
        }  # fmt: skip
        about = {
            "analysis": "compare",
            "model": "",
            "conclusion": [f"{models[0]} predicts IT better than {models[1]}."],
        }
        coords = {
            "pair": names,
            "model": list(models),
            "window": WINDOWS,
            **time_coords(STARTS, STARTS + 10),
        }
        result = xr.Dataset(made, coords=coords, attrs=attributes(**{**about, **attrs}))
        validate_result(result)
        return result

    return make
