"""Slow drift: planted drift is found and removed, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import neurofit
from neurofit import Selection
from neurofit.analyses.ceiling import CeilingConfig, ceiling
from neurofit.errors import NeurofitError, NeurofitWarning
from neurofit.recordings.drift import detrend, find_order
from neurofit.recordings.recording import Recording
from neurofit.recordings.reliability import half_correlations
from neurofit.recordings.trial_checks import check_trials

N_STIMULI, N_REPETITIONS, N_NEUROIDS, N_FEATURES = 300, 10, 30, 8
DENSE = np.tile(np.arange(N_STIMULI), N_REPETITIONS)
BLOCKS = np.repeat(np.arange(N_STIMULI), N_REPETITIONS)

Record = Callable[..., Recording]
Scored = Callable[[np.ndarray, Recording], xr.Dataset]


def slow(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Return a drift with variance 3 over the stimuli."""
    time = np.linspace(-1, 1, N_STIMULI)
    made = {
        "linear": time,
        "sine": np.sin(3 * np.pi * time + 0.3),
        "random walk": np.cumsum(rng.standard_normal(N_STIMULI)),
    }[kind]
    return np.asarray(3**0.5 * (made - made.mean()) / made.std())


@pytest.mark.parametrize("kind", ["linear", "sine", "random walk"])
def test_drift_with_stimuli_in_blocks_is_named_and_detrended(
    record: Record, scored: Scored, kind: str
) -> None:
    rng = np.random.default_rng(0)
    drift = slow(kind, rng)
    trials = drift[BLOCKS][:, None] + 2 * rng.standard_normal((len(BLOCKS), N_NEUROIDS))
    follows = drift / 3**0.5 + 0.3 * rng.standard_normal(N_STIMULI)
    features = np.column_stack([rng.standard_normal((N_STIMULI, N_FEATURES - 1)), follows])
    recording = record(trials, BLOCKS)
    said = "in the order in which presentations are stored, the mean responses of 30 of 30 neuroids"
    with pytest.warns(NeurofitWarning, match=said):
        before = scored(features, recording)
    assert before.curve.values[0, 0] > 0.8, "the drift is predicted"
    with pytest.warns(NeurofitWarning, match="signal that changes slowly"):
        cleaned = Selection(detrend=True).apply(recording)
    if kind == "random walk":  # it has fast steps too
        assert half_correlations(cleaned, n_halves=3).r.mean() < 0.5
        return
    assert check_trials(cleaned).biasing == ()
    after = scored(features, cleaned)
    assert after.n_neuroids.values.tolist() == [[0]], "no bin is reliable"
    assert abs(after.curve_r_xy.fillna(0).values[0, 0]) < 0.1
    assert json.loads(after.attrs["selection"]) == {"detrend": True}
    assert json.loads(after.attrs["notes"])[0].startswith("Detrended: 20 slow cosines over")


def test_a_ceiling_says_it_too(record: Record) -> None:
    rng = np.random.default_rng(0)
    trials = slow("sine", rng)[BLOCKS][:, None] + rng.standard_normal((len(BLOCKS), 4))
    config = CeilingConfig(n_bootstraps=10)
    with pytest.warns(NeurofitWarning, match="Slow drift: in the order in which presentations"):
        result = ceiling(record(trials, BLOCKS), config)
    assert json.loads(result.attrs["notes"])[0].startswith("Slow drift: ")


def test_stimuli_sorted_by_a_category_that_is_known_are_no_drift(record: Record) -> None:
    rng = np.random.default_rng(2)
    category = np.arange(N_STIMULI) // 40
    means = rng.standard_normal((8, N_NEUROIDS))[category] + 0.5 * rng.standard_normal(
        (N_STIMULI, N_NEUROIDS)
    )
    trials = means[BLOCKS] + rng.standard_normal((len(BLOCKS), N_NEUROIDS))
    named = [f"c{i}" for i in category]
    assert check_trials(record(trials, BLOCKS, object_name=named)).biasing == ()
    (note,) = check_trials(record(trials, BLOCKS)).biasing
    assert "stimuli sorted by content look the same" in note
    drifting = trials + slow("sine", rng)[BLOCKS][:, None]
    assert len(check_trials(record(drifting, BLOCKS, object_name=named)).biasing) == 1


def with_order(recording: Recording, **coords: Any) -> Recording:
    added = {name: ("presentation", values) for name, values in coords.items()}
    return replace(recording, responses=recording.responses.assign_coords(added))


def test_the_order_is_that_of_a_coordinate_before_that_of_storage(record: Record) -> None:
    rng = np.random.default_rng(4)
    trials = rng.standard_normal((len(BLOCKS), 3))
    time = rng.permutation(len(BLOCKS))
    found = find_order(with_order(record(trials, BLOCKS), presentation_time=0.5 * time))
    assert (found.words, found.together) == ("the order of the coordinate presentation_time", False)
    np.testing.assert_array_equal(found.position, time)
    # Numbers that start again in each session, and those of repetitions, which order nothing.
    session = np.where(time < 1000, "b", "a")
    again = with_order(record(trials, BLOCKS), trial=time % 1000 + 1000 * (time >= 2000))
    assert find_order(again).words == "the order in which presentations are stored"
    again = with_order(again, session=session)
    first = session[0]
    place = find_order(again).position
    assert place[session == first].max() < place[session != first].min()
    assert find_order(record(trials, BLOCKS)).together
    assert find_order(record(trials, DENSE)).words == "the order of repetitions"
    shuffled = find_order(record(trials, rng.permutation(BLOCKS)))
    assert (shuffled.words, shuffled.together, shuffled.known) == (
        "the order in which presentations are stored",
        False,
        True,
    )


def test_drift_with_interleaved_stimuli_is_noise_and_detrended(record: Record) -> None:
    rng = np.random.default_rng(6)
    rows = rng.permutation(BLOCKS)
    drift = 2 * np.sin(np.arange(len(rows)) / 300)[:, None]
    signal = rng.standard_normal((N_STIMULI, N_NEUROIDS))[rows]
    still = signal + rng.standard_normal((len(rows), N_NEUROIDS))
    recording = record(still + drift, rows)
    found = check_trials(recording)
    assert found.biasing == ()
    (note,) = found.noise
    assert "30 of 30 neuroids" in note
    assert "It adds noise; --detrend removes it." in note
    cleaned, said = detrend(recording)
    assert "20 slow cosines over the order in which presentations are stored" in said
    left = cleaned.responses.values[:, :, 0] - still
    assert (left - left.mean(axis=0)).std() < 0.1, "the drift is gone, the signal is not"


@pytest.mark.parametrize("drift", [0.0, 5.0])
def test_detrending_makes_no_signal_from_noise(record: Record, drift: float) -> None:
    rng = np.random.default_rng(7)
    found = []
    for _ in range(5):
        rows = rng.permutation(BLOCKS)
        trials = rng.standard_normal((len(rows), 100))
        trials += drift * np.sin(np.arange(len(rows)) / 500)[:, None]
        found.append(half_correlations(detrend(record(trials, rows))[0], n_halves=3).r.mean())
    # K / n = 0.007 is expected; one correlation of 100 neuroids has a standard error of 0.006.
    assert abs(np.mean(found)) < 0.015


def test_missing_trials_are_left_out_of_the_fit_and_stay_missing(record: Record) -> None:
    rng = np.random.default_rng(8)
    rows = rng.permutation(BLOCKS)
    trials = rng.standard_normal((len(rows), 4)) + 3 * np.cos(np.arange(len(rows)) / 900)[:, None]
    trials[rng.random(trials.shape) < 0.3] = np.nan
    trials[:, 3] = np.nan
    trials[:1000, 2] = np.nan
    recording = record(trials, rows)
    cleaned = detrend(recording)[0].responses.values[:, :, 0]
    np.testing.assert_array_equal(np.isnan(cleaned), np.isnan(trials))
    # Least squares with indicators of the stimuli, one neuroid at a time.
    cosines = find_order(recording).cosines
    own = np.flatnonzero(~np.isnan(trials[:, 0]))
    design = np.column_stack([np.eye(N_STIMULI)[rows[own]], cosines[own]])
    fitted = np.linalg.lstsq(design, trials[own, 0], rcond=None)[0][N_STIMULI:]
    waves = cosines[own] - cosines[own].mean(axis=0)
    np.testing.assert_allclose(cleaned[own, 0], trials[own, 0] - waves @ fitted, atol=1e-5)


def test_an_order_that_storage_contradicts_is_not_detrended(record: Record) -> None:
    rng = np.random.default_rng(9)
    recording = record(rng.standard_normal((len(DENSE), 3)), DENSE)
    shuffled = replace(
        recording, responses=recording.responses.isel(presentation=rng.permutation(len(DENSE)))
    )
    with pytest.raises(NeurofitError, match="Add a coordinate presentation_order"):
        Selection(detrend=True).apply(shuffled)
    short = record(rng.standard_normal((80, 3)), np.tile(np.arange(20), 4))
    with pytest.raises(NeurofitError, match="at least 100 presentations; planted has 80"):
        Selection(detrend=True).apply(short)


def test_a_real_recording_sorted_by_objects_gives_no_false_alarm(
    mirror: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEUROFIT_MIRROR", str(mirror("cowley2023").parent))
    found = check_trials(neurofit.load_recording("cowley2023"))
    assert (found.biasing, found.noise) == ((), ())
