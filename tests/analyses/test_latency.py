"""Latencies of sites, areas and layers that are planted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from neurofit.activations.activations import Activations
from neurofit.analyses.latency import LatencyConfig, latency
from neurofit.errors import NeurofitError
from neurofit.recordings.recording import Recording

Plant = Callable[..., tuple[Activations, Recording]]


@pytest.fixture
def plant(courses: Any) -> Plant:
    """Plant signals of 20 sites that begin 90 to 100 ms after the image, in 16 time bins."""
    return lambda *, seed=0, **options: courses.Latency(**options).draw(seed)


@pytest.mark.parametrize("noise", [0.3, 1.0])
def test_planted_latencies_are_recovered_with_coverage(
    courses: Any, plant: Plant, noise: float
) -> None:
    """The truth is what the same signals give without noise, of many sites."""
    config = LatencyConfig(n_bootstraps=200, n_halves=2)
    truth = courses.Latency().truth()
    found: dict[str, list[float]] = {"onset": [], "peak": []}
    inside = []
    for seed in range(16):
        result = latency(*plant(noise=noise, seed=seed), config)
        for name, values in found.items():
            values.append(float(result[name][0]))
        low, high = float(result.onset_low[0]), float(result.onset_high[0])
        inside.append(low <= truth["onset"] <= high)
        assert high - low < 10
    assert np.mean(found["onset"]) == pytest.approx(truth["onset"], abs=1.0)
    assert np.mean(found["peak"]) == pytest.approx(truth["peak"], abs=4.0)
    assert np.mean(inside) > 0.8


def test_a_layer_begins_when_its_features_do(courses: Any, plant: Plant) -> None:
    result = latency(*plant(noise=0.3), LatencyConfig(n_bootstraps=20))
    assert result.model.values.tolist() == ["IT of planted", "planted a"]
    # bins of 10 ms flatten the peak to .83, and half of that is reached 1.9 ms earlier
    flat = 90 + courses.RISE * np.sqrt(0.5 * 0.83)
    assert float(result.onset[1]) == pytest.approx(flat, abs=0.5)
    assert result.course.values[1, :2].tolist() == [0, 0], "before it sees the image"


def test_each_site_has_its_own_latency(courses: Any, plant: Plant) -> None:
    activations, recording = plant(noise=0.3)
    result = latency(activations, recording, LatencyConfig(n_bootstraps=50))
    expected = courses.Latency().starts(0) + courses.RISE * np.sqrt(0.5)
    assert np.abs(result.onset_of_site.values - expected).max() < 3
    assert np.corrcoef(result.onset_of_site.values, expected)[0, 1] > 0.9
    assert (result.onset_of_site_low <= result.onset_of_site).all()


def test_more_images_do_not_make_an_onset_earlier(plant: Plant) -> None:
    """As the first significant bin would be."""
    found = []
    for n_stimuli in (40, 250):
        values = [
            float(latency(*plant(noise=1.0, n_stimuli=n_stimuli, seed=seed), FEW).onset[0])
            for seed in range(6)
        ]
        found.append(np.mean(values))
    assert found[0] == pytest.approx(found[1], abs=1.0)


FEW = LatencyConfig(n_bootstraps=20, n_halves=2)


def test_sites_of_noise_have_no_latency_and_no_part_in_the_area(plant: Plant) -> None:
    activations, recording = plant(noise=0.3)
    responses = recording.responses.copy(deep=True)
    responses.values[:, 5] = np.random.default_rng(1).standard_normal(responses[:, 5].shape)
    made = latency(activations, replace(recording, responses=responses), FEW)
    assert np.isnan(made.onset_of_site.values[5])
    assert np.isfinite(np.delete(made.onset_of_site.values, 5)).all()
    without = latency(
        activations, replace(recording, responses=responses[:, np.arange(20) != 5]), FEW
    )
    assert float(made.onset[0]) == pytest.approx(float(without.onset[0]), abs=1e-6)


def test_one_bin_has_no_latency(plant: Plant) -> None:
    activations, recording = plant(noise=0.3)
    with pytest.raises(
        NeurofitError, match="needs 3 time bins or more; planted has 1, of 70-80 ms"
    ):
        latency(activations, replace(recording, responses=recording.responses[:, :, :1]))
