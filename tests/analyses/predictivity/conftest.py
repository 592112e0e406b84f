"""Planted truth: activations, and recordings of rates that are linear in them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from neurofit.activations.activations import Activations
from neurofit.analyses.predictivity.presets import make_config
from neurofit.analyses.predictivity.score import score
from neurofit.recordings.recording import Recording
from neurofit.recordings.stimuli import StimulusSet

N_STIMULI, N_LATENTS, N_NEUROIDS, N_TRIALS, N_BINS = 640, 12, 40, 30, 2

Blocks = dict[tuple[str, int], np.ndarray]


@pytest.fixture
def plant() -> Callable[..., tuple[Blocks, Recording]]:
    """Plant rates: by default 640 stimuli, 30 trials, 40 neuroids, two bins and 12 latents."""
    return _plant


@pytest.fixture
def as_recording() -> Callable[[np.ndarray], Recording]:
    """Wrap trials (bin repetition stimulus neuroid)."""
    return _as_recording


@pytest.fixture
def as_activations() -> Callable[..., Activations]:
    """Wrap blocks of features as the activations of a model."""
    return _as_activations


@pytest.fixture
def run() -> Callable[..., xr.Dataset]:
    """Score blocks of features with ridge, in few splits and halves."""
    return _run


def _plant(
    *,
    noise: float,
    share: float | np.ndarray = 1.0,
    seed: int = 0,
    poisson: bool = False,
    n_stimuli: int = N_STIMULI,
    n_latents: int = N_LATENTS,
    n_trials: int = N_TRIALS,
    n_neuroids: int = N_NEUROIDS,
    n_bins: int = N_BINS,
) -> tuple[dict[tuple[str, int], np.ndarray], Recording]:
    """Return latents (bin -> stimulus latent) and rates; of them `share` of the variance.

    `noise` is the standard deviation of a trial over that of the rates. Poisson rates keep 3.5
    standard deviations above zero.
    """
    rng = np.random.default_rng(seed)
    latents = rng.standard_normal((n_bins, n_stimuli, n_latents))
    signal = latents @ rng.standard_normal((n_latents, n_neuroids))
    signal /= signal.std(axis=(0, 1))
    rest = rng.standard_normal(signal.shape)
    rates = np.sqrt(share) * signal + np.sqrt(1 - share) * rest  # (bin stimulus neuroid)
    trials = np.repeat(rates[:, None], n_trials, axis=1)
    if poisson:
        size = 3.5 / noise**2  # the variance of a count is noise^2 size^2
        trials = rng.poisson(np.maximum(size * (3.5 + trials), 0.0)).astype(float)
    else:
        trials = trials + noise * rng.standard_normal(trials.shape)
    blocks = {("latent", step): latents[step].astype(np.float32) for step in range(n_bins)}
    return blocks, _as_recording(trials)


def _as_recording(trials: np.ndarray) -> Recording:
    """Wrap trials (bin repetition stimulus neuroid)."""
    n_bins, n_trials, n_stimuli, n_neuroids = trials.shape
    ids = np.array([f"s{i:04d}" for i in range(n_stimuli)])
    responses = xr.DataArray(
        trials.transpose(1, 2, 3, 0)
        .reshape(n_trials * n_stimuli, n_neuroids, n_bins)
        .astype(np.float32),
        dims=("presentation", "neuroid", "time_bin"),
        coords={
            "stimulus_id": ("presentation", np.tile(ids, n_trials)),
            "repetition": ("presentation", np.repeat(np.arange(n_trials), n_stimuli)),
            "neuroid_id": ("neuroid", [f"n{i}" for i in range(n_neuroids)]),
            "region": ("neuroid", ["IT"] * n_neuroids),
            "time_bin_start": ("time_bin", 10 * np.arange(n_bins)),
            "time_bin_end": ("time_bin", 10 * np.arange(n_bins) + 10),
        },
    )
    stimuli = StimulusSet(
        name="planted",
        table=pd.DataFrame({"stimulus_id": ids}),
        images=np.zeros((n_stimuli, 2, 2, 3), np.uint8),
        visual_degrees=8.0,
        duration_ms=100.0,
    )
    return Recording(name="planted", responses=responses, stimuli=stimuli, simulated=True)


def _as_activations(
    blocks: dict[tuple[str, int], np.ndarray], recording: Recording, *, first_timestep: int = 0
) -> Activations:
    layers = tuple(dict.fromkeys(layer for layer, _ in blocks))
    return Activations(
        model="planted-model",
        stimulus_ids=recording.stimuli.ids,
        blocks=blocks,
        first_timestep=dict.fromkeys(layers, first_timestep),
        ms_per_timestep=10,
        n_timesteps=1 + max(step for _, step in blocks),
        region_layers={"IT": layers},
    )


def _run(
    blocks: dict[tuple[str, int], np.ndarray],
    recording: Recording,
    preset: str = "nayebi2022",
    **changes: Any,
) -> xr.Dataset:
    options = {
        "mapping": "ridge",
        "n_splits": 5,
        "n_halves": 5,
        "n_bootstraps": 50,
        **changes,
    }
    return score(
        _as_activations(blocks, recording),
        recording,
        make_config(preset, **options),
    )
