"""A recording whose reliability is planted, and the script that plants courses over time."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from neurofit.recordings.recording import Recording
from neurofit.recordings.stimuli import NoImages, StimulusSet


@pytest.fixture
def courses(
    scripts: Callable[[str], AbstractContextManager[Callable[[str], Any]]],
) -> Iterator[Any]:
    """Return the script that plants codes, geometries, dimensions and latencies over time."""
    with scripts("validity") as imported:
        yield imported("courses")


@pytest.fixture
def planted() -> Callable[..., Recording]:
    """Plant a reliability in each time bin of 40 neuroids; 400 stimuli, 10 trials by default."""
    return _planted


def _planted(
    *,
    n_stimuli: int = 400,
    n_repetitions: int = 10,
    reliability: tuple[float, ...] = (0.0, 0.5, 0.9),
    seed: int = 0,
) -> Recording:
    """Return 40 neuroids whose mean over trials has a known reliability in each bin.

    It is var(signal) / (var(signal) + var(noise) / n).
    """
    rng = np.random.default_rng(seed)
    n_neuroids = 40
    signal = rng.standard_normal((n_stimuli, 1, n_neuroids, len(reliability))) * np.sqrt(
        reliability
    )
    noise = rng.standard_normal((n_stimuli, n_repetitions, n_neuroids, len(reliability))) * np.sqrt(
        n_repetitions * (1 - np.array(reliability))
    )
    trials = (signal + noise).reshape(n_stimuli * n_repetitions, n_neuroids, -1).astype(np.float32)
    ids = np.array([f"s{number}" for number in range(n_stimuli)])
    starts = 10 * np.arange(len(reliability))
    responses = xr.DataArray(
        trials,
        dims=("presentation", "neuroid", "time_bin"),
        coords={
            "stimulus_id": ("presentation", np.repeat(ids, n_repetitions)),
            "repetition": ("presentation", np.tile(np.arange(n_repetitions), n_stimuli)),
            "neuroid_id": ("neuroid", [f"n{number}" for number in range(n_neuroids)]),
            "region": ("neuroid", ["IT"] * n_neuroids),
            "time_bin_start": ("time_bin", starts),
            "time_bin_end": ("time_bin", starts + 10),
        },
    )
    stimuli = StimulusSet(
        name="planted",
        table=pd.DataFrame({"stimulus_id": ids}),
        images=NoImages(n_stimuli, "planted"),
        visual_degrees=8.0,
        duration_ms=100.0,
    )
    return Recording(name="planted", responses=responses, stimuli=stimuli, simulated=True)


@pytest.fixture
def with_objects(
    registered: Callable[[Recording], None], evoked: Callable[[], Recording]
) -> Recording:
    """Register a recording as "small" whose stimuli show six objects and whose sites two animals.

    Rates drift and one trial is an artefact.
    """
    recording = evoked()
    table = recording.stimuli.table
    stimuli = replace(
        recording.stimuli, table=table.assign(object=[f"o{i % 6}" for i in range(len(table))])
    )
    responses = recording.responses.copy(deep=True)
    responses[3, 2] += 500.0
    responses = responses.assign_coords(
        subject=("neuroid", ["A", "B"] * (responses.sizes["neuroid"] // 2))
    )
    recording = replace(recording, stimuli=stimuli, responses=responses)
    registered(recording)
    return recording
