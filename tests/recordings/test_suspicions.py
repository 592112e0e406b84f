"""What is rarely what was recorded is named, and a plain recording is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from neurofit.recordings.recording import Recording
from neurofit.recordings.stimuli import NoImages, StimulusSet
from neurofit.recordings.suspicions import suspicions

N_STIMULI, N_REPETITIONS, N_NEUROIDS, N_BINS = 60, 6, 8, 10


def counts(seed: int = 0, *, onset: int = 5, shared: bool = False) -> Recording:
    """Make Poisson counts in bins of 10 ms whose rate depends on the stimulus from a bin on."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.arange(N_STIMULI), N_REPETITIONS)
    tuned = rng.gamma(2.0, 40.0, (N_STIMULI, N_NEUROIDS, 1)) * (np.arange(N_BINS) >= onset)
    rates = np.where(np.arange(N_BINS) >= onset, tuned, 60.0)[rows]
    if shared:
        rates = rates * rng.gamma(4.0, 0.25, (len(rows), 1, 1))
    ids = np.array([f"s{number:02d}" for number in range(N_STIMULI)])
    starts = 10 * np.arange(N_BINS)
    responses = xr.DataArray(
        rng.poisson(rates / 100).astype(np.float32),
        dims=("presentation", "neuroid", "time_bin"),
        coords={
            "stimulus_id": ("presentation", ids[rows]),
            "repetition": ("presentation", np.tile(np.arange(N_REPETITIONS), N_STIMULI)),
            "neuroid_id": ("neuroid", np.array([f"n{each}" for each in range(N_NEUROIDS)])),
            "region": ("neuroid", np.repeat(["IT", "V4"], N_NEUROIDS // 2)),
            "time_bin_start": ("time_bin", starts),
            "time_bin_end": ("time_bin", starts + 10),
        },
        attrs={"units": "spikes per bin"},
    )
    stimuli = StimulusSet(
        name="made",
        table=pd.DataFrame({"stimulus_id": ids}),
        images=NoImages(N_STIMULI, "made"),
        visual_degrees=8.0,
        duration_ms=100.0,
    )
    return Recording(name="made", responses=responses, stimuli=stimuli)


@pytest.mark.parametrize("shared", [False, True])
def test_a_plain_recording_is_not_suspicious(shared: bool) -> None:
    for seed in range(30):
        assert suspicions(counts(seed, shared=shared)) == []


def changed(change: Callable[[np.ndarray], object], *, onset: int = 5) -> Recording:
    recording = counts(onset=onset)
    values = recording.responses.values.copy()
    change(values)
    return replace(recording, responses=recording.responses.copy(data=values))


def test_rates_that_no_neuron_has_are_named() -> None:
    def scale(values: np.ndarray) -> None:
        values[:, 2] *= 100
        values[:, 5] = 0
        values[7, 5, 3] = 0.3  # in 36 s

    (high, low) = suspicions(changed(scale))
    rate = changed(scale).responses.values[:, 2].mean() * 100
    assert f"above 500 spikes/s: 1 neuroid (n2 {rate:.3g})" in high
    assert "below 0.01 spikes/s: 1 neuroid (n5 0.00833)" in low


def test_rates_in_other_units_are_read_as_they_say() -> None:
    recording = counts()
    for units, scale, said in (("spikes per second", 100, 0), ("spikes per second", 1, 0)):
        values = recording.responses.copy(data=recording.responses.values * scale)
        assert (
            len(suspicions(replace(recording, responses=values.assign_attrs(units=units)))) == said
        )
    values = recording.responses.copy(data=recording.responses.values * 1e6)
    unknown = replace(recording, responses=values.assign_attrs(units="z-scores"))
    assert suspicions(unknown) == []
    high = replace(recording, responses=values.assign_attrs(units="Hz"))
    assert "above 500 spikes/s: 8 neuroids" in suspicions(high)[0]


def test_a_trial_that_was_read_twice_is_named() -> None:
    def repeat(values: np.ndarray) -> None:
        values[100] = values[17]
        values[[3, 4]] = 0  # silence is no copy

    zeros, found = suspicions(changed(repeat))
    assert zeros.startswith("Presentations in which all responses are 0: 2 (number 3, 4).")
    assert found.startswith("Presentations with equal responses of all neuroids in all bins: 17 ")
    assert "17 and 100" in found


def test_an_area_that_knows_the_stimulus_before_its_latency_is_named() -> None:
    found = suspicions(counts(onset=0))
    assert len(found) == 2
    assert found[0].startswith("IT tells stimuli apart before 30 ms, earlier than any latency")
    (only,) = suspicions(
        changed(lambda values: np.random.default_rng(1).shuffle(values[:, 4:]), onset=0)
    )
    assert only.startswith("IT ")


def test_trials_of_zeros_are_named() -> None:
    recording = counts()
    recording.responses.values[[3, 9]] = 0
    (said,) = suspicions(recording)
    assert said.startswith("Presentations in which all responses are 0: 2 (number 3, 9).")
    recording.responses.values[[3, 9]] = np.nan
    assert suspicions(recording) == []
