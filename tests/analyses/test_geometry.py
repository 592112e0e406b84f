"""Geometries of a model and a recording over time, with planted patterns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from neurofit.activations.activations import Activations
from neurofit.analyses.geometry import GeometryConfig, geometry
from neurofit.errors import NeurofitError
from neurofit.metrics.geometry import debiased_cka
from neurofit.recordings.recording import Recording

Inputs = tuple[Activations, Recording]

N_STIMULI, N_SITES = 60, 30


def plant(
    recording: Recording,
    *,
    noise: float,
    seed: int = 0,
    shares: tuple[float, ...] = (1.0, 0.5, 0.0),
) -> Inputs:
    """Give each bin a share of the latents that a layer has, the rest being latents of its own."""
    rng = np.random.default_rng(seed)
    latents = rng.standard_normal((N_STIMULI, 8))
    signals = []
    for share in shares:
        own = rng.standard_normal((N_STIMULI, 8))
        mixed = np.concatenate([np.sqrt(share) * latents, np.sqrt(1 - share) * own], axis=1)
        signals.append(mixed @ rng.standard_normal((16, N_SITES)) / np.sqrt(8))
    trials = np.stack(signals, axis=-1)[recording.stimulus_rows]
    trials = trials + noise * rng.standard_normal(trials.shape)
    features = (latents @ rng.standard_normal((8, 200))).astype(np.float32)
    other = rng.standard_normal((N_STIMULI, 200)).astype(np.float32)
    steps = range(7, 7 + len(shares))
    activations = Activations(
        model="m",
        stimulus_ids=recording.stimuli.ids,
        blocks={
            (name, step): block for name, block in (("a", features), ("b", other)) for step in steps
        },
        first_timestep={"a": 7, "b": 7},
        ms_per_timestep=10,
        n_timesteps=steps.stop,
        region_layers={"IT": ("a", "b")},
    )
    made = recording.responses.copy(data=trials.astype(np.float32))
    return activations, replace(recording, responses=made)


@pytest.fixture
def empty(make_recording: Callable[..., Recording]) -> Recording:
    return make_recording(
        n_stimuli=N_STIMULI, n_repetitions=8, n_neuroids=N_SITES, n_bins=3, regions=("IT",)
    )


def means(result_of: Callable[[int], np.ndarray], *, n: int = 20) -> tuple[np.ndarray, np.ndarray]:
    values = np.stack([result_of(seed) for seed in range(n)])
    return values.mean(axis=0), values.std(axis=0) / np.sqrt(n)


@pytest.mark.parametrize("measure", ["cka", "rdm"])
def test_trial_noise_does_not_change_what_is_estimated(empty: Recording, measure: str) -> None:
    """On average over data sets; noise halves the uncorrected value."""
    config = GeometryConfig(measure=measure, layers=("a",), whiten=False, min_z=None, n_groups=3)

    def curves(noise: float) -> tuple[np.ndarray, np.ndarray]:
        return means(
            lambda seed: geometry(*plant(empty, noise=noise, seed=seed), config).curve.values[0]
        )

    (clean, _), (noisy, error) = curves(0.01), curves(2.5)
    assert clean[0] > 0.75
    assert clean[0] > clean[1] + 0.1 > clean[2] + 0.2
    assert np.abs(noisy - clean).max() < 3 * error.max() + 0.03


def test_unrelated_geometries_are_at_zero(empty: Recording) -> None:
    for measure in ("cka", "rdm"):
        config = GeometryConfig(measure=measure, layers=("b",), n_groups=3, min_z=None)
        mean, error = means(
            lambda seed, config=config: geometry(  # type: ignore[misc]
                *plant(empty, noise=1.0, seed=seed), config
            ).curve.values[0]
        )
        assert (np.abs(mean) < 3 * error + 0.005).all()


def test_without_noise_it_is_the_debiased_cka(empty: Recording) -> None:
    activations, recording = plant(empty, noise=0.0)
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


def test_the_recording_turns_as_it_was_planted(empty: Recording) -> None:
    """Shares of the same latents: those of two bins have their product in common."""
    _, recording = plant(empty, noise=0.5, shares=(1.0, 1.0, 0.0))
    activations, _ = plant(empty, noise=0.5)
    result = geometry(activations, recording, GeometryConfig(layers=("a",)))
    own = result.recording_geometry.values
    assert np.diagonal(own) == pytest.approx(1)
    assert own[0, 1] > 0.6
    assert abs(own[0, 2]) < 0.15
    assert own == pytest.approx(own.T)


def test_the_layer_is_chosen_on_other_images(empty: Recording) -> None:
    result = geometry(*plant(empty, noise=1.0))
    assert result.layer.values.tolist() == ["a"]
    assert "Layers that other images choose (divisions): a (5)." in result.attrs["notes"]


def test_choosing_among_unrelated_layers_adds_nothing(empty: Recording) -> None:
    """The best of eight layers of noise, chosen and tested on the same images, would be above 0."""

    def curve(seed: int) -> np.ndarray:
        activations, recording = plant(empty, noise=1.0, seed=seed)
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


def test_noise_has_no_value(empty: Recording) -> None:
    activations, recording = plant(empty, noise=1.0)
    responses = recording.responses.copy(deep=True)
    responses.values[:, :, 1] = np.random.default_rng(0).standard_normal(responses.shape[:2])
    result = geometry(
        activations, replace(recording, responses=responses), GeometryConfig(layers=("a",))
    )
    assert np.isnan(result.geometry.values[..., 1]).all()
    assert np.isfinite(result.geometry.values[..., [0, 2]]).all()


def test_distances_need_four_trials(make_recording: Callable[..., Recording]) -> None:
    empty = make_recording(
        n_stimuli=N_STIMULI, n_repetitions=3, n_neuroids=N_SITES, n_bins=3, regions=("IT",)
    )
    with pytest.raises(
        NeurofitError, match=r"needs 4 trials of each image; one has 3\. Give measure"
    ):
        geometry(*plant(empty, noise=1.0), GeometryConfig(measure="rdm"))
