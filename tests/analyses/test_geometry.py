"""Geometries of a model and a recording over time, with planted patterns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from neurofit.activations.activations import Activations
from neurofit.analyses.geometry import GeometryConfig, geometry
from neurofit.errors import NeurofitError
from neurofit.metrics.geometry import debiased_cka
from neurofit.recordings.recording import Recording

Plant = Callable[..., tuple[Activations, Recording]]

N_STIMULI = 60


@pytest.fixture
def plant(courses: Any) -> Plant:
    """Plant responses with a share of the latents that a layer has in each time bin."""
    return lambda *, seed=0, **options: courses.Geometry(
        **{"n_stimuli": N_STIMULI, **options}
    ).draw(seed)


def means(result_of: Callable[[int], np.ndarray], *, n: int = 20) -> tuple[np.ndarray, np.ndarray]:
    values = np.stack([result_of(seed) for seed in range(n)])
    return values.mean(axis=0), values.std(axis=0) / np.sqrt(n)


@pytest.mark.parametrize("measure", ["cka", "rdm"])
def test_trial_noise_does_not_change_what_is_estimated(plant: Plant, measure: str) -> None:
    """On average over data sets; noise halves the uncorrected value."""
    config = GeometryConfig(measure=measure, layers=("a",), whiten=False, min_z=None, n_groups=3)

    def curves(noise: float) -> tuple[np.ndarray, np.ndarray]:
        return means(lambda seed: geometry(*plant(noise=noise, seed=seed), config).curve.values[0])

    (clean, _), (noisy, error) = curves(0.01), curves(2.5)
    assert clean[0] > 0.75
    assert clean[0] > clean[1] + 0.1 > clean[2] + 0.2
    assert np.abs(noisy - clean).max() < 3 * error.max() + 0.03


def test_unrelated_geometries_are_at_zero(plant: Plant) -> None:
    for measure in ("cka", "rdm"):
        config = GeometryConfig(measure=measure, layers=("b",), n_groups=3, min_z=None)
        mean, error = means(
            lambda seed, config=config: geometry(  # type: ignore[misc]
                *plant(noise=1.0, seed=seed), config
            ).curve.values[0]
        )
        assert (np.abs(mean) < 3 * error + 0.005).all()


def test_without_noise_it_is_the_debiased_cka(plant: Plant) -> None:
    activations, recording = plant(noise=0.0)
    config = GeometryConfig(layers=("a",), whiten=False, min_z=None)
    result = geometry(activations, recording, config)
    features = activations.blocks["a", 7].astype(float)
    rows = recording.stimulus_rows
    for b in range(3):
        block = recording.block(b).astype(float)
        responses = np.stack([block[rows == s].mean(axis=0) for s in range(N_STIMULI)])
        expected = debiased_cka(features @ features.T, responses @ responses.T)
        assert result.geometry.values[0, :, b] == pytest.approx(expected, abs=1e-5)
        assert result.curve.values[0, b] == result.geometry.values[0, b, b]


def test_the_recording_turns_as_it_was_planted(plant: Plant) -> None:
    """Shares of the same latents: those of two bins have their product in common."""
    _, recording = plant(noise=0.5, shares=(1.0, 1.0, 0.0), n_stimuli=120)
    activations, _ = plant(noise=0.5, n_stimuli=120)
    result = geometry(activations, recording, GeometryConfig(layers=("a",)))
    own = result.recording_geometry.values
    assert np.diagonal(own) == pytest.approx(1)
    assert own[0, 1] > 0.6
    assert abs(own[0, 2]) < 0.15
    assert own == pytest.approx(own.T)


def test_the_layer_is_chosen_on_other_images(plant: Plant) -> None:
    result = geometry(*plant(noise=1.0))
    assert result.layer.values.tolist() == ["a"]
    assert "Layers that other images choose (divisions): a (5)." in result.attrs["notes"]


def test_choosing_among_unrelated_layers_adds_nothing(plant: Plant) -> None:
    """The best of eight layers of noise, chosen and tested on the same images, would be above 0."""

    def curve(seed: int) -> np.ndarray:
        activations, recording = plant(noise=1.0, seed=seed)
        rng = np.random.default_rng(seed)
        names = tuple("cdefghij")
        blocks = {
            (name, step): block
            for name in names
            for block in [rng.standard_normal((N_STIMULI, 3)).astype(np.float32)]
            for step in (7, 8, 9)
        }
        activations = replace(
            activations,
            blocks=blocks,
            first_timestep=dict.fromkeys(names, 7),
            region_layers={"IT": names},
        )
        return np.asarray(
            geometry(activations, recording, GeometryConfig(n_groups=3, min_z=None)).curve.values[0]
        )

    mean, error = means(curve)
    assert (np.abs(mean) < 3 * error + 0.01).all()


def test_noise_has_no_value(plant: Plant) -> None:
    activations, recording = plant(noise=1.0, n_stimuli=120)
    responses = recording.responses.copy(deep=True)
    responses.values[:, :, 1] = np.random.default_rng(0).standard_normal(responses.shape[:2])
    result = geometry(
        activations, replace(recording, responses=responses), GeometryConfig(layers=("a",))
    )
    assert np.isnan(result.geometry.values[..., 1]).all()
    assert np.isfinite(result.geometry.values[..., [0, 2]]).all()


def test_distances_need_four_trials(plant: Plant) -> None:
    with pytest.raises(
        NeurofitError, match=r"needs 4 trials of each image; one has 3\. Give measure"
    ):
        geometry(*plant(noise=1.0, n_trials=3), GeometryConfig(measure="rdm"))
