"""Dimensionality of a recording and a model's layer over time, with planted latents."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurofit.activations.activations import Activations
from neurofit.analyses.dimensionality import DimensionalityConfig, dimensionality
from neurofit.errors import NeurofitError
from neurofit.recordings.recording import Recording

Inputs = tuple[Activations, Recording]

N_LATENTS = (4, 12)
"""Latents of equal variance in the two time bins: their participation ratio."""


def plant(recording: Recording, *, noise: float, seed: int = 0) -> Inputs:
    """Give both bins of a recording a signal of `N_LATENTS` dimensions, and a model the same."""
    rng = np.random.default_rng(seed)
    n, (n_trials, n_sites, _) = len(recording.stimuli), recording.responses.shape
    latents = [rng.standard_normal((n, size)) for size in N_LATENTS]
    responses = np.stack(
        [
            each[recording.stimulus_rows]
            @ rng.standard_normal((each.shape[1], n_sites))
            / np.sqrt(each.shape[1])
            + noise * rng.standard_normal((n_trials, n_sites))
            for each in latents
        ],
        axis=-1,
    )
    blocks = {
        ("a", step): (each @ rng.standard_normal((each.shape[1], 90))).astype(np.float32)
        for step, each in zip((7, 8), latents, strict=True)
    }
    activations = Activations(
        model="m",
        stimulus_ids=recording.stimuli.ids,
        blocks=blocks,
        first_timestep={"a": 7},
        ms_per_timestep=10,
        n_timesteps=9,
        region_layers={"IT": ("a",)},
    )
    made = recording.responses.copy(data=responses.astype(np.float32))
    return activations, replace(recording, responses=made)


@pytest.fixture
def empty(make_recording: object) -> Recording:
    """Make a recording of 120 stimuli, 60 sites, 6 trials and two time bins."""
    return make_recording(  # type: ignore[operator,no-any-return]
        n_stimuli=120, n_repetitions=6, n_neuroids=60, n_bins=2, regions=("IT",)
    )


@pytest.mark.parametrize("noise", [0.3, 1.0, 3.0])
def test_planted_dimensions_are_recovered_at_any_noise(empty: Recording, noise: float) -> None:
    values, inside = [], []
    for seed in range(12):
        result = dimensionality(*plant(empty, noise=noise, seed=seed))
        own = result.dimensionality.values
        values.append(own)
        low, high = result.dimensionality_low.values, result.dimensionality_high.values
        inside.append((low <= N_LATENTS) & (high >= N_LATENTS))
        assert (low < own).all()
        assert (high > own).all()
    truth = np.array([N_LATENTS, N_LATENTS])
    assert np.mean(values, axis=0) == pytest.approx(truth, rel=0.12)
    assert np.mean(inside) > 0.8
    assert result.model.values.tolist() == ["IT of small", "m a"]
    assert result.n_units.values.tolist() == [[60, 60], [90, 90]]


def test_the_sites_themselves_have_fewer_dimensions_than_their_population(
    empty: Recording,
) -> None:
    result = dimensionality(*plant(empty, noise=0.5))
    assert (result.dimensionality_of_sites < result.dimensionality).all()


def test_the_spectrum_has_no_noise_in_it(empty: Recording) -> None:
    """The variance of 4 and of 12 latents, and about none beyond, where plain PCA finds noise."""
    activations, recording = plant(empty, noise=1.0)
    spectrum = dimensionality(activations, recording).spectrum
    for b, n_latents in enumerate(N_LATENTS):
        own = spectrum.values[0, :, b]
        assert own[:n_latents].min() > 20 * np.abs(own[n_latents:]).max()
        assert own[:n_latents].sum() == pytest.approx(60, rel=0.3)
        features = activations.blocks["a", 7 + b].astype(float)
        expected = np.linalg.eigvalsh(np.cov(features.T))[::-1][:50]
        assert spectrum.values[1, :n_latents, b] == pytest.approx(expected[:n_latents], rel=1e-5)


def test_a_bin_of_noise_has_no_dimensionality(empty: Recording) -> None:
    activations, recording = plant(empty, noise=1.0)
    responses = recording.responses.copy(deep=True)
    responses.values[:, :, 0] = np.random.default_rng(1).standard_normal(responses.shape[:2])
    result = dimensionality(activations, replace(recording, responses=responses))
    assert np.isnan(result.dimensionality.values[0, 0])
    assert np.isfinite(result.dimensionality.values[:, 1]).all()


def test_a_layer_that_does_not_change_has_one_dimensionality(empty: Recording) -> None:
    activations, recording = plant(empty, noise=1.0)
    same = {("a", step): activations.blocks["a", 7] for step in (7, 8)}
    result = dimensionality(replace(activations, blocks=same), recording)
    assert result.dimensionality.values[1, 0] == result.dimensionality.values[1, 1]


def test_no_layers_are_refused() -> None:
    with pytest.raises(NeurofitError, match="layers must name at least one layer"):
        DimensionalityConfig(layers=())
