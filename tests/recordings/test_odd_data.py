"""Odd data: the score is that of the planted truth, or a sentence names what changes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurofit import Selection, write_recording
from neurofit.analyses.encoding.splits import draw_splits
from neurofit.analyses.predictivity.config import ScoreConfig
from neurofit.errors import NeurofitWarning
from neurofit.recordings.drift import find_order, find_sessions
from neurofit.recordings.plausibility import plausibility_warnings
from neurofit.recordings.recording import Recording
from neurofit.recordings.trial_checks import check_trials

Record = Callable[..., Recording]
Scored = Callable[[np.ndarray, Recording], xr.Dataset]
Run = Callable[..., tuple[int, str, str]]

N_STIMULI, N_NEUROIDS, N_FEATURES = 240, 24, 6
STIMULI = np.arange(N_STIMULI)


def in_blocks(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return an order in which each stimulus is presented once before any is repeated."""
    return np.concatenate([rng.permutation(N_STIMULI) for _ in range(n)])


def planted(rng: np.random.Generator, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return features, and trials that they predict but for noise of the signal's variance."""
    features = rng.standard_normal((N_STIMULI, N_FEATURES))
    signal = features @ rng.standard_normal((N_FEATURES, N_NEUROIDS))
    signal /= signal.std(axis=0)
    return features, signal[rows] + rng.standard_normal((len(rows), N_NEUROIDS))


def with_sessions(recording: Recording, sessions: np.ndarray) -> Recording:
    named = {"session": ("presentation", sessions)}
    return replace(recording, responses=recording.responses.assign_coords(named))


def score_of(result: xr.Dataset) -> float:
    return float(result.curve.values[0, 0])


def notes_of(result: xr.Dataset) -> list[str]:
    return list(json.loads(result.attrs["notes"]))


# Categories


@pytest.mark.parametrize("missing", [np.nan, None, "", " "])
@pytest.mark.parametrize("numbers", [False, True])
def test_stimuli_without_a_category_are_drawn_as_one_and_said(
    record: Record, scored: Scored, missing: Any, numbers: bool
) -> None:
    rng = np.random.default_rng(0)
    features, trials = planted(rng, np.tile(STIMULI, 8))
    category = (STIMULI % 4).astype(object if not numbers else float)
    without = STIMULI % 6 == 0
    if numbers:
        category[without] = np.nan
    else:
        category = np.array(["face", "car", "tree", "dog"], dtype=object)[STIMULI % 4]
        category[without] = missing
    recording = record(trials, np.tile(STIMULI, 8), category=category)
    result = scored(features, recording)
    assert result.attrs["stratified_by"] == "category"
    assert notes_of(result) == [
        "category is missing for 40 of 240 stimuli, which are drawn as a category of their own."
    ]
    assert score_of(result) == pytest.approx(1, abs=0.03)
    train = draw_splits(recording, ScoreConfig(train_size=0.75)).train
    assert (train[:, without].sum(axis=1) == 30).all(), "as many in each split"


def test_a_single_stimulus_without_a_category_is_drawn_with_another(record: Record) -> None:
    category = np.array(["face", "car"], dtype=object)[STIMULI % 2]
    category[7] = np.nan
    trials = np.random.default_rng(0).standard_normal((2 * N_STIMULI, 3))
    notes = draw_splits(record(trials, np.tile(STIMULI, 2), category=category), ScoreConfig()).notes
    assert notes[0].startswith("category is missing for 1 of 240 stimuli")
    assert notes[1].startswith("category '': a category with a single stimulus")


# Neuroids


@pytest.mark.parametrize("stuck", [0.0, 255.0])
def test_silent_neuroids_are_named_and_not_scored(
    record: Record, scored: Scored, stuck: float
) -> None:
    features, trials = planted(np.random.default_rng(1), np.tile(STIMULI, 8))
    trials[:, [2, 5]] = stuck
    recording = record(trials, np.tile(STIMULI, 8))
    assert "Neuroids with constant responses: n2, n5." in plausibility_warnings(recording)
    result = scored(features, recording)
    assert result.n_neuroids.values.tolist() == [[N_NEUROIDS - 2]]
    assert score_of(result) == pytest.approx(1, abs=0.03)


def saturation(recording: Recording) -> list[str]:
    return [each for each in plausibility_warnings(recording) if "saturated" in each]


@pytest.mark.parametrize(("n_bins", "units"), [(1, "unknown"), (4, "spikes per bin")])
def test_saturated_neuroids_are_named(record: Record, n_bins: int, units: str) -> None:
    rng = np.random.default_rng(2)
    rates = np.linspace(4, 12, n_bins)  # the last bin reaches the limit
    trials = rng.poisson(rates, (4 * N_STIMULI, 5, n_bins)).astype(float)
    recording = record(trials, np.tile(STIMULI, 4))
    recording.responses.attrs["units"] = units
    assert saturation(recording) == []
    limit = np.quantile(trials[:, 1, -1], 0.3)
    for neuroid, shift in ((1, 0.0), (3, 20.0)):  # also where all responses are below zero
        own = np.minimum(trials[:, neuroid], limit)
        recording.responses.values[:, neuroid] = own if units != "unknown" else own - shift
    assert saturation(recording) == [
        "Neuroids at their largest response in 50% of the trials of a time bin or more: n1, n3. "
        "Their responses may be saturated."
    ]


def test_a_spike_or_none_is_not_saturated(record: Record) -> None:
    trials = np.random.default_rng(3).random((4 * N_STIMULI, 3, 2)) < 0.6
    recording = record(trials.astype(float), np.tile(STIMULI, 4))
    recording.responses.attrs["units"] = "spikes per bin"
    assert saturation(recording) == []


# Blocks and drifts


def inflated(n: int, drift: float) -> float:
    """Return the score of a true model where signal and noise of a trial have variance 1.

    A linear drift has a share 1 / n^2 of its variance within blocks, which is noise. The rest is
    opposite in two halves, with 1 / (n - 1) of its variance, and has no part in the mean.
    """
    noise, opposite = (1 + drift / n**2) / n, drift * (1 - n**-2) / (n - 1)
    r = (1 - opposite) / (1 + 2 * noise + opposite)
    return float(np.sqrt(1 / (1 + noise) / (2 * r / (1 + r))))


@pytest.mark.parametrize("n", [2, 4, 8])
def test_a_drift_over_blocks_raises_the_score_as_computed_and_is_said(
    record: Record, scored: Scored, n: int
) -> None:
    rng = np.random.default_rng(n)
    rows = in_blocks(rng, n)
    features, trials = planted(rng, rows)
    drift = np.linspace(-1.2, 1.2, len(rows))
    recording = record(trials + drift[:, None], rows)
    with pytest.warns(NeurofitWarning, match="spread evenly over the order .* scores are too high"):
        result = scored(features, recording)
    assert notes_of(result) == list(check_trials(recording).biasing)
    assert score_of(result) == pytest.approx(inflated(n, drift.var()), abs=0.2 / n)
    assert score_of(result) > 1.02
    with pytest.warns(NeurofitWarning, match="Detrended"):
        detrended = Selection(detrend=True).apply(recording)
    assert check_trials(detrended).biasing == ()
    assert score_of(scored(features, detrended)) == pytest.approx(1, abs=0.04)


def test_a_random_order_is_neither_even_nor_together(record: Record) -> None:
    rng = np.random.default_rng(4)
    for n in (2, 8):
        rows = rng.permutation(np.repeat(STIMULI, n))
        order = find_order(record(rng.standard_normal((len(rows), 2)), rows))
        assert not order.even
        assert not order.together
        even = find_order(record(rng.standard_normal((len(rows), 2)), in_blocks(rng, n)))
        assert even.even
        assert not even.together


# Sessions


def test_sessions_that_differ_and_share_stimuli_raise_the_score_and_are_said(
    record: Record, scored: Scored
) -> None:
    rng = np.random.default_rng(5)
    rows = in_blocks(rng, 4)
    features, trials = planted(rng, rows)
    second = np.repeat([0, 1, 0, 1], N_STIMULI)  # so that no slow change follows the order
    sessions = np.where(second, "tuesday", "monday")
    recording = with_sessions(record(trials + 1.5 * second[:, None], rows), sessions)
    with pytest.warns(NeurofitWarning, match="Differences between sessions in 24 of 24 neuroids"):
        result = scored(features, recording)
    assert score_of(result) > 1.05
    level = with_sessions(record(trials, rows), sessions)
    assert check_trials(level).biasing == ()
    assert score_of(scored(features, level)) == pytest.approx(1, abs=0.03)


def test_sessions_that_differ_and_show_other_stimuli_count_as_signal_and_are_said(
    record: Record, scored: Scored
) -> None:
    rng = np.random.default_rng(6)
    rows = in_blocks(rng, 6)
    later = STIMULI % 2 == 1
    trials = rng.standard_normal((len(rows), N_NEUROIDS)) + 3 * later[rows][:, None]
    features = rng.standard_normal((N_STIMULI, N_FEATURES))
    features[:, 0] += 5 * later
    sessions = np.where(later[rows], "tuesday", "monday")
    recording = with_sessions(record(trials, rows), sessions)
    assert not find_order(recording).together, "nothing but the sessions tells"
    said = "^Sessions: the mean responses of 24 of 24 neuroids differ between sessions"
    with pytest.warns(NeurofitWarning, match=said):
        assert score_of(scored(features, recording)) > 0.8, "without any signal"
    monday = Selection(stimuli="session=monday").apply(recording)
    assert check_trials(monday).biasing == ()
    assert scored(features[~later], monday).n_neuroids.values.tolist() == [[0]]


@pytest.mark.parametrize("kind", ["Gaussian", "Poisson", "log-normal"])
def test_neuroids_of_sessions_with_other_stimuli_are_scored_without_a_false_alarm(
    record: Record, scored: Scored, kind: str
) -> None:
    rng = np.random.default_rng(7)
    rows = in_blocks(rng, 6)
    features, trials = planted(rng, rows)
    if kind == "Poisson":
        trials = rng.poisson(np.exp(trials)).astype(float)
    elif kind == "log-normal":
        trials = np.exp(0.5 * trials)
    later = STIMULI[rows] % 2 == 1
    trials[np.ix_(later, np.arange(12))] = np.nan
    trials[np.ix_(~later, np.arange(12, 24))] = np.nan
    recording = with_sessions(record(trials, rows), np.where(later, "tuesday", "monday"))
    sessions = find_sessions(recording)
    assert sessions is not None
    assert sessions.together
    assert [each for each in check_trials(recording).biasing if "essions" in each] == []
    if kind == "Gaussian":
        result = scored(features, recording)
        assert result.n_neuroids.values.tolist() == [[24]]
        assert score_of(result) == pytest.approx(1, abs=0.03)
        assert "120 of 240 for 24 of 24 neuroids" in notes_of(result)[0]


# The command


def test_check_names_what_is_odd(neurofit: Run, record: Record, tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    rows = in_blocks(rng, 4)
    trials = rng.poisson(8, (len(rows), 8)).astype(float)
    trials[:, 0] = 0
    trials[:, 1] = np.minimum(trials[:, 1], 7)
    trials[:, 2:6] += np.rint(np.linspace(0, 12, len(rows)))[:, None]
    trials[17, 6] = 4000
    recording = record(trials, rows)
    images = np.array(recording.stimuli.images)
    images[5] = images[3]
    recording = replace(recording, stimuli=replace(recording.stimuli, images=images))
    write_recording(recording, tmp_path / "odd.nc")
    code, out, _ = neurofit("check", str(tmp_path / "odd.nc"))
    said = " ".join(out.split())
    assert code == 0
    for sentence in (
        "Neuroids with constant responses: n0.",
        "50% of the trials of a time bin or more: n1.",
        "Artefacts: 1 trial of 1 neuroid, in 1 presentation (17)",
        "in 4 of 8 neuroids (share of the variance of trials:",
        "noise-corrected scores are too high; --detrend removes it.",
        "Identical images under different identifiers: 2 stimuli, 's0003' = 's0005'.",
    ):
        assert sentence in said, (sentence, said)
