"""Planted truth: each baseline scores what the recording takes from it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurofit.activations.activations import Activations
from neurofit.activations.baselines import BASELINES, baselines_of
from neurofit.activations.presentation import Presentation
from neurofit.analyses.predictivity.config import ScoreConfig
from neurofit.analyses.predictivity.score import score
from neurofit.metrics.sketch import squared_norm
from neurofit.metrics.two_way import Influences, Interval, interval_of
from neurofit.recordings.recording import Recording

N_STIMULI, N_UNITS, N_BINS, N_NEUROIDS, N_TRIALS = 240, 8, 4, 24, 16
CONFIG = ScoreConfig(n_splits=3, n_halves=3, layers=("deep",))

Plant = Callable[..., tuple[Activations, Recording]]


@pytest.fixture
def drive(as_recording: Any, as_activations: Any) -> Plant:
    """Make a model of two layers, and a recording of which each bin is linear in given blocks."""

    def make(truth: Mapping[int, tuple[str, int]], *, static: bool = False) -> Any:
        rng = np.random.default_rng(0)
        steps = {
            layer: rng.standard_normal((1 if static else N_BINS, N_STIMULI, N_UNITS))
            for layer in ("shallow", "deep")
        }
        blocks = {
            (layer, step): values[min(step, len(values) - 1)].astype(np.float32)
            for layer, values in steps.items()
            for step in range(N_BINS)
        }
        weights = rng.standard_normal((N_UNITS, N_NEUROIDS)) / np.sqrt(N_UNITS)
        rates = np.stack([blocks[truth[b]] @ weights for b in range(N_BINS)])
        shape = (N_BINS, N_TRIALS, N_STIMULI, N_NEUROIDS)
        recording = as_recording(rates[:, None] + 1.5 * rng.standard_normal(shape))
        activations = as_activations(blocks, recording)
        return replace(activations, presentation=Presentation(n_timesteps=N_BINS)), recording

    return make


def scores(activations: Activations, recording: Recording) -> dict[str, xr.Dataset]:
    """Score a model ("") and its baselines."""
    made = baselines_of(activations, recording.time_bins, layers=("deep",), seed=0)
    return {
        name: score(each, recording, CONFIG) for name, each in {"": activations, **made}.items()
    }


def advantage(model: xr.Dataset, baseline: xr.Dataset) -> Interval:
    """Return the paired difference with its interval, from stored influences alone."""
    parts = {
        name: (model[name] - baseline[name]).values[0].astype(float)
        for name in ("curve", *(f"influence_of_{of}" for of in OF))
    }
    n, s, c, p = (parts[f"influence_of_{of}"] for of in OF)
    cells = len(n) / (len(n) - 1) * squared_norm(c)
    return interval_of(
        parts["curve"], Influences(n, s, cells, squared_norm(p)), over="both", level=0.95, seed=0
    )


OF = ("neuroids", "stimuli", "cells", "pairs")
DEEP = {b: ("deep", b) for b in range(N_BINS)}
LAST = dict.fromkeys(range(N_BINS), ("deep", N_BINS - 1))
DEPTH = {0: ("shallow", 3), 1: ("shallow", 3), 2: ("deep", 3), 3: ("deep", 3)}


def test_a_model_that_is_static_equals_its_last_step_and_its_mean(drive: Plant) -> None:
    found = scores(*drive(LAST, static=True))
    for name in ("last-step", "mean-over-time"):
        xr.testing.assert_equal(found[name], found[""])  # with all influences, to the bit
    assert np.isfinite(found[""].curve).all()


def test_responses_to_the_last_step_are_predicted_by_it_alone(drive: Plant) -> None:
    found = scores(*drive(LAST))
    np.testing.assert_allclose(found["last-step"].curve, 1, atol=0.05)
    model = found[""].curve_one_sided.values[0]
    assert np.abs(model[:-1]).max() < 0.1
    assert model[-1] > 0.9
    xr.testing.assert_equal(
        found["last-step"].isel(time_bin=-1).curve, found[""].isel(time_bin=-1).curve
    )


def test_responses_to_changing_activations_are_predicted_by_the_model_alone(drive: Plant) -> None:
    found = scores(*drive(DEEP))
    np.testing.assert_allclose(found[""].curve, 1, atol=0.05)
    for name in BASELINES:
        other = found[name].curve_one_sided.values[0]
        expected = 0.5 if name == "mean-over-time" else 0.0  # corr(x_b, mean of 4) = 1 / 2
        np.testing.assert_allclose(other[:-1], expected, atol=0.15)
    difference = advantage(found[""], found["mean-over-time"])
    assert (difference.low > 0).all()
    np.testing.assert_allclose(found["shuffled"].curve_one_sided, 0, atol=0.1)


def test_responses_that_go_from_shallow_to_deep_are_those_of_layers_over_time(drive: Plant) -> None:
    found = scores(*drive(DEPTH))
    np.testing.assert_allclose(found["layers-over-time"].curve, 1, atol=0.05)
    assert np.abs(found[""].curve_one_sided.values[0, :3]).max() < 0.1
    np.testing.assert_allclose(found["last-step"].curve[0, 2:], 1, atol=0.05)


def test_all_are_scored_on_the_same_splits_halves_strata_and_neuroids(drive: Plant) -> None:
    model, *others = scores(*drive(DEEP)).values()
    assert [each.attrs["control"] for each in others] == list(BASELINES)
    for each in others:
        for name in ("splits_sha256", "halves_sha256"):
            assert each.attrs[name] == model.attrs[name]
        for name in ("stratum_of_neuroid", "r_yy", "ceiling", "layer", "neuroid_id"):
            xr.testing.assert_equal(each[name], model[name])
