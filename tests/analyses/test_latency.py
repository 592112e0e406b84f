"""Latencies of sites, areas and layers that are planted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from neurofit.activations.activations import Activations
from neurofit.analyses.latency import LatencyConfig, latency
from neurofit.errors import NeurofitError
from neurofit.metrics.latency import onset, peak
from neurofit.recordings.recording import Recording

Inputs = tuple[Activations, Recording]

N_BINS = 16
RISE, FALL = 30.0, 80.0
"""Duration of the rise to the peak and of the fall after it, in ms."""


def amplitude(latencies: np.ndarray) -> np.ndarray:
    """Return the mean amplitude in 10 ms bins from 70 ms of rises that begin at these times.

    The signal's variance is its square: half of its peak is at sqrt(1/2) of the amplitude's.
    """
    ms = np.arange(70, 70 + 10 * N_BINS, 0.5) + 0.25
    after = ms - latencies[:, None]
    shape = np.where(after < RISE, after / RISE, np.maximum(1 - (after - RISE) / FALL, 0.3))
    return np.asarray(np.where(after > 0, shape, 0).reshape(len(latencies), N_BINS, 20).mean(2))


def plant(recording: Recording, *, noise: float, seed: int, start: float = 90.0) -> Inputs:
    """Give sites signals that begin 0 to 10 ms after `start`, and a layer one that begins then."""
    rng = np.random.default_rng(seed)
    n, n_sites = len(recording.stimuli), recording.responses.sizes["neuroid"]
    starts = start + rng.uniform(0, 10, n_sites)
    signal = rng.standard_normal((n, n_sites))[recording.stimulus_rows]
    responses = signal[..., None] * amplitude(starts)
    responses = responses + noise * rng.standard_normal(responses.shape)
    features = rng.standard_normal((n, 40))
    shape = amplitude(np.array([start]))[0]
    blocks = {
        ("a", 7 + b): (features * shape[b]).astype(np.float32)
        for b in range(N_BINS)
        if 7 + b >= start / 10
    }
    activations = Activations(
        model="m",
        stimulus_ids=recording.stimuli.ids,
        blocks=blocks,
        first_timestep={"a": int(start / 10)},
        ms_per_timestep=10,
        n_timesteps=7 + N_BINS,
        region_layers={"IT": ("a",)},
    )
    made = recording.responses.copy(data=responses.astype(np.float32))
    return activations, replace(recording, responses=made)


@pytest.fixture
def empty(make_recording: Callable[..., Recording]) -> Recording:
    return make_recording(
        n_stimuli=80, n_repetitions=6, n_neuroids=20, n_bins=N_BINS, regions=("IT",)
    )


@pytest.mark.parametrize("noise", [0.3, 1.0])
def test_planted_latencies_are_recovered_with_coverage(empty: Recording, noise: float) -> None:
    """The truth is what the same signals give without noise, of many sites."""
    config = LatencyConfig(n_bootstraps=200, n_halves=2)
    many = 90.0 + np.linspace(0, 10, 500)
    course = (amplitude(many) ** 2 / (amplitude(many) ** 2).max(axis=1, keepdims=True)).mean(0)
    middles = 75.0 + 10 * np.arange(N_BINS)
    truth = {"onset": onset(course, middles, share=0.5), "peak": peak(course, middles)}
    found: dict[str, list[float]] = {"onset": [], "peak": []}
    inside = []
    for seed in range(16):
        result = latency(*plant(empty, noise=noise, seed=seed), config)
        for name, values in found.items():
            values.append(float(result[name][0]))
        low, high = float(result.onset_low[0]), float(result.onset_high[0])
        inside.append(low <= truth["onset"] <= high)
        assert high - low < 10
    assert np.mean(found["onset"]) == pytest.approx(truth["onset"], abs=1.0)
    assert np.mean(found["peak"]) == pytest.approx(truth["peak"], abs=4.0)
    assert np.mean(inside) > 0.8


def test_a_layer_begins_when_its_features_do(empty: Recording) -> None:
    result = latency(*plant(empty, noise=0.3, seed=0), LatencyConfig(n_bootstraps=20))
    assert result.model.values.tolist() == ["IT of small", "m a"]
    # bins of 10 ms flatten the peak to .83, and half of that is reached 1.9 ms earlier
    flat = 90 + RISE * np.sqrt(0.5 * 0.83)
    assert float(result.onset[1]) == pytest.approx(flat, abs=0.5)
    assert result.course.values[1, :2].tolist() == [0, 0], "before it sees the image"


def test_each_site_has_its_own_latency(empty: Recording) -> None:
    activations, recording = plant(empty, noise=0.3, seed=0)
    starts = 90 + np.random.default_rng(0).uniform(0, 10, 20)
    result = latency(activations, recording, LatencyConfig(n_bootstraps=50))
    expected = starts + RISE * np.sqrt(0.5)
    assert np.abs(result.onset_of_site.values - expected).max() < 3
    assert np.corrcoef(result.onset_of_site.values, expected)[0, 1] > 0.9
    assert (result.onset_of_site_low <= result.onset_of_site).all()


def test_more_images_do_not_make_an_onset_earlier(make_recording: Callable[..., Recording]) -> None:
    """As the first significant bin would be."""
    found = []
    for n_stimuli in (40, 250):
        empty = make_recording(
            n_stimuli=n_stimuli, n_repetitions=6, n_neuroids=20, n_bins=N_BINS, regions=("IT",)
        )
        values = [
            float(latency(*plant(empty, noise=1.0, seed=seed), FEW).onset[0]) for seed in range(6)
        ]
        found.append(np.mean(values))
    assert found[0] == pytest.approx(found[1], abs=1.0)


FEW = LatencyConfig(n_bootstraps=20, n_halves=2)


def test_sites_of_noise_have_no_latency_and_no_part_in_the_area(empty: Recording) -> None:
    activations, recording = plant(empty, noise=0.3, seed=0)
    responses = recording.responses.copy(deep=True)
    responses.values[:, 5] = np.random.default_rng(1).standard_normal(responses[:, 5].shape)
    made = latency(activations, replace(recording, responses=responses), FEW)
    assert np.isnan(made.onset_of_site.values[5])
    assert np.isfinite(np.delete(made.onset_of_site.values, 5)).all()
    without = latency(
        activations, replace(recording, responses=responses[:, np.arange(20) != 5]), FEW
    )
    assert float(made.onset[0]) == pytest.approx(float(without.onset[0]), abs=1e-6)


def test_one_bin_has_no_latency(empty: Recording) -> None:
    activations, recording = plant(empty, noise=0.3, seed=0)
    with pytest.raises(NeurofitError, match="needs at least 3 time bins; small has 1"):
        latency(activations, replace(recording, responses=recording.responses[:, :, :1]))
