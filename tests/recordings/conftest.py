"""Encoded images, a recording of two animals, recordings of planted trials and their scores."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image

from neurofit.activations.activations import Activations
from neurofit.analyses.predictivity.config import ScoreConfig
from neurofit.analyses.predictivity.score import score
from neurofit.recordings.recording import DIMS, Recording
from neurofit.recordings.stimuli import StimulusSet


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """Encode pixels (height width channel) in a format that Pillow writes."""
    return _encode


def _encode(picture: np.ndarray, *, form: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.fromarray(picture).save(content, format=form)
    return content.getvalue()


@pytest.fixture
def recording(make_recording: Callable[..., Recording]) -> Recording:
    """Return 8 bins of 10 ms from 0 on, two animals."""
    made = make_recording(n_bins=8)
    made.responses.coords["time_bin_start"] = ("time_bin", 10 * np.arange(8))
    made.responses.coords["time_bin_end"] = ("time_bin", 10 * np.arange(1, 9))
    n = made.responses.sizes["neuroid"]
    made.responses.coords["subject"] = (
        "neuroid",
        ["Chabo", "Tito"] * (n // 2) + ["Chabo"] * (n % 2),
    )
    return made


@pytest.fixture(scope="session")
def record() -> Callable[..., Recording]:
    """Make a recording of trials (presentation neuroid [time_bin]) of stimuli in some order."""
    return _record


@pytest.fixture(scope="session")
def scored() -> Callable[[np.ndarray, Recording], xr.Dataset]:
    """Score features (stimulus unit) that do not change in time, with a ridge."""
    return _scored


def _record(trials: np.ndarray, rows: np.ndarray, **table: Any) -> Recording:
    """Return trials (presentation neuroid [time_bin]) as a recording."""
    trials = trials.reshape(*trials.shape[:2], -1).astype(np.float32)
    ids = np.array([f"s{i:04d}" for i in range(rows.max() + 1)])
    starts = 10 * np.arange(trials.shape[2])
    repetition = pd.Series(rows).groupby(rows).cumcount().to_numpy()
    responses = xr.DataArray(
        trials,
        dims=DIMS,
        coords={
            "stimulus_id": ("presentation", ids[rows]),
            "repetition": ("presentation", repetition),
            "neuroid_id": ("neuroid", [f"n{i}" for i in range(trials.shape[1])]),
            "region": ("neuroid", ["IT"] * trials.shape[1]),
            "time_bin_start": ("time_bin", starts),
            "time_bin_end": ("time_bin", starts + 10),
        },
    )
    stimuli = StimulusSet(
        name="planted",
        table=pd.DataFrame({"stimulus_id": ids, **table}),
        images=np.random.default_rng(0).integers(0, 256, (len(ids), 8, 8, 3), np.uint8),
        visual_degrees=8.0,
        duration_ms=100.0,
    )
    return Recording(name="planted", responses=responses, stimuli=stimuli, simulated=True)


def _scored(features: np.ndarray, recording: Recording) -> xr.Dataset:
    activations = Activations(
        model="m",
        stimulus_ids=recording.stimuli.ids,
        blocks={("l", 0): features.astype(np.float32)},
        first_timestep={"l": 0},
        ms_per_timestep=10,
        n_timesteps=1,
        region_layers={"IT": ("l",)},
    )
    config = ScoreConfig(mapping="ridge", n_splits=4, n_halves=3, n_bootstraps=20)
    return score(activations, recording, config)
