"""Dimensionality of a recording and a model's layer over time, with planted latents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from neurofit.activations.activations import Activations
from neurofit.analyses.dimensionality import DimensionalityConfig, dimensionality
from neurofit.errors import NeurofitError
from neurofit.recordings.recording import Recording

Plant = Callable[..., tuple[Activations, Recording]]

N_LATENTS = (4, 12)
"""Latents of equal variance in the two time bins: their participation ratio."""


@pytest.fixture
def plant(courses: Any) -> Plant:
    """Plant responses of so many latents in 60 sites (120 stimuli, 6 trials), and a layer."""
    return lambda *, noise, seed=0: courses.Dimensions(noise=noise, n_latents=N_LATENTS).draw(seed)


@pytest.mark.parametrize("noise", [0.3, 1.0, 3.0])
def test_planted_dimensions_are_recovered_at_any_noise(plant: Plant, noise: float) -> None:
    values, inside = [], []
    for seed in range(12):
        result = dimensionality(*plant(noise=noise, seed=seed))
        own = result.dimensionality.values
        values.append(own)
        low, high = result.dimensionality_low.values, result.dimensionality_high.values
        inside.append((low <= N_LATENTS) & (high >= N_LATENTS))
        assert (low < own).all()
        assert (high > own).all()
    truth = np.array([N_LATENTS, N_LATENTS])
    assert np.mean(values, axis=0) == pytest.approx(truth, rel=0.12)
    assert np.mean(inside) > 0.8
    assert result.model.values.tolist() == ["IT of planted", "planted a"]
    assert result.n_units.values.tolist() == [[60, 60], [90, 90]]


def test_the_sites_themselves_have_fewer_dimensions_than_their_population(
    plant: Plant,
) -> None:
    result = dimensionality(*plant(noise=0.5))
    assert (result.dimensionality_of_sites < result.dimensionality).all()


def test_the_spectrum_has_no_noise_in_it(plant: Plant) -> None:
    """The variance of 4 and of 12 latents, and about none beyond, where plain PCA finds noise."""
    activations, recording = plant(noise=1.0)
    spectrum = dimensionality(activations, recording).spectrum
    for b, n_latents in enumerate(N_LATENTS):
        own = spectrum.values[0, :, b]
        assert own[:n_latents].min() > 20 * np.abs(own[n_latents:]).max()
        assert own[:n_latents].sum() == pytest.approx(60, rel=0.3)
        features = activations.blocks["a", 7 + b].astype(float)
        expected = np.linalg.eigvalsh(np.cov(features.T))[::-1][:50]
        assert spectrum.values[1, :n_latents, b] == pytest.approx(expected[:n_latents], rel=1e-5)


def test_a_bin_of_noise_has_no_dimensionality(plant: Plant) -> None:
    activations, recording = plant(noise=1.0)
    responses = recording.responses.copy(deep=True)
    responses.values[:, :, 0] = np.random.default_rng(1).standard_normal(responses.shape[:2])
    result = dimensionality(activations, replace(recording, responses=responses))
    assert np.isnan(result.dimensionality.values[0, 0])
    assert np.isfinite(result.dimensionality.values[:, 1]).all()


def test_a_layer_that_does_not_change_has_one_dimensionality(plant: Plant) -> None:
    activations, recording = plant(noise=1.0)
    same = {("a", step): activations.blocks["a", 7] for step in (7, 8)}
    result = dimensionality(replace(activations, blocks=same), recording)
    assert result.dimensionality.values[1, 0] == result.dimensionality.values[1, 1]


def test_no_layers_are_refused() -> None:
    with pytest.raises(NeurofitError, match="layers must name at least one layer"):
        DimensionalityConfig(layers=())
