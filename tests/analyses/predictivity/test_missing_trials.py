"""Missing trials: what can be fitted is fitted exactly, what cannot is left out and counted."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.linear_model import Ridge

from neurofit.activations.activations import Activations
from neurofit.analyses.encoding import fitting, targets
from neurofit.analyses.encoding.splits import Splits
from neurofit.analyses.encoding.targets import chunk_halves, find_sessions
from neurofit.analyses.predictivity.presets import PRESETS, make_config
from neurofit.analyses.predictivity.reasons import REASONS
from neurofit.analyses.predictivity.score import score
from neurofit.errors import NeurofitError
from neurofit.mapping.contract import GramMapping, mapping_key
from neurofit.mapping.pls import PLSMapping
from neurofit.mapping.ridge import RidgeMapping
from neurofit.recordings.recording import Recording
from neurofit.recordings.stimuli import StimulusSet
from neurofit.recordings.trials import TrialSets, deal_trials

N_STIMULI, N_UNITS, N_NEUROIDS, N_BINS, N_COMPONENTS, N_HALVES = 80, 100, 8, 2, 3, 8

PLS = PLSMapping(n_components=N_COMPONENTS, convergence="sklearn")

FEATURES = np.random.default_rng(0).standard_normal((N_BINS, N_STIMULI, N_UNITS)).astype(np.float32)


def record(*, n_trials: int = 6) -> Recording:
    """Return responses that are linear in `FEATURES`, with noise."""
    rng = np.random.default_rng(1)
    rates = FEATURES @ rng.standard_normal((N_UNITS, N_NEUROIDS)).astype(np.float32) / 10
    ids = np.array([f"s{i}" for i in range(N_STIMULI)])
    stimulus = rng.permutation(np.tile(np.arange(N_STIMULI), n_trials))
    trials = rates[:, stimulus] + rng.standard_normal((N_BINS, len(stimulus), N_NEUROIDS))
    responses = xr.DataArray(
        trials.transpose(1, 2, 0).astype(np.float32),
        dims=("presentation", "neuroid", "time_bin"),
        coords={
            "stimulus_id": ("presentation", ids[stimulus]),
            "repetition": ("presentation", _count_up(stimulus)),
            "neuroid_id": ("neuroid", [f"n{i}" for i in range(N_NEUROIDS)]),
            "region": ("neuroid", ["IT"] * N_NEUROIDS),
            "time_bin_start": ("time_bin", 10 * np.arange(N_BINS)),
            "time_bin_end": ("time_bin", 10 * np.arange(N_BINS) + 10),
        },
    )
    return Recording(name="r", responses=responses, stimuli=stimulus_set(ids), simulated=True)


def _count_up(stimulus: np.ndarray) -> np.ndarray:
    return np.array([(stimulus[:i] == s).sum() for i, s in enumerate(stimulus)])


def stimulus_set(ids: np.ndarray) -> StimulusSet:
    table, images = pd.DataFrame({"stimulus_id": ids}), np.zeros((len(ids), 2, 2, 3), np.uint8)
    return StimulusSet(name="s", table=table, images=images, visual_degrees=8.0, duration_ms=100.0)


def without(recording: Recording, lost: np.ndarray, neuroids: list[int]) -> Recording:
    """Lose the trials of some neuroids where `lost` (presentation) is true."""
    responses = recording.responses.copy(deep=True)
    responses.values[np.ix_(lost, np.isin(np.arange(N_NEUROIDS), neuroids))] = np.nan
    return replace(recording, responses=responses)


def run(
    recording: Recording,
    features: np.ndarray = FEATURES,
    preset: str = "nayebi2022",
    **changes: Any,
) -> xr.Dataset:
    activations = Activations(
        model="m",
        stimulus_ids=recording.stimuli.ids,
        blocks={("layer", step): block for step, block in enumerate(features)},
        first_timestep={"layer": 0},
        ms_per_timestep=10,
        n_timesteps=N_BINS,
        region_layers={"IT": ("layer",)},
    )
    options = {"n_splits": 2, "n_halves": N_HALVES, "n_bootstraps": 10, "mapping": PLS, **changes}
    return score(activations, recording, make_config(preset, **options))


def with_gaps(share: float, recording: Recording, seed: int = 3) -> Recording:
    """Lose a share of the trials at random, of each neuroid in each bin on its own."""
    responses = recording.responses.copy(deep=True)
    responses.values[np.random.default_rng(seed).random(responses.shape) < share] = np.nan
    return replace(recording, responses=responses)


def deal_valid(places: np.ndarray, rows: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return the valid trials of a first half: they take turns, in the order of their places."""
    first = np.zeros(len(rows), dtype=bool)
    for stimulus in range(rows.max() + 1):
        shown = np.flatnonzero(rows == stimulus)
        start = places[shown].min()
        own = [i for i in shown[np.argsort(places[shown])] if valid[i]]
        first[own[start::2]] = True
    return first


def predict(x: np.ndarray, y: np.ndarray, fitted: np.ndarray, tested: np.ndarray) -> np.ndarray:
    return np.asarray(Ridge(10.0).fit(x[fitted], y[fitted]).predict(x[tested]))


def test_ridge_with_missing_trials_equals_plain_loops() -> None:
    holes = with_gaps(0.3, record(n_trials=6))
    result = run(holes, mapping=RidgeMapping(alphas=(10.0,)), n_halves=2)
    rows, values = holes.stimulus_rows, holes.responses.values.astype(float)
    places = deal_trials(rows, n_halves=2, seed=0)
    left_out = np.zeros((N_NEUROIDS, N_BINS), dtype=int)
    for b in range(N_BINS):
        x = FEATURES[b].astype(float)
        for n in range(N_NEUROIDS):
            trials = values[:, n, b]
            there = ~np.isnan(trials)
            used = np.bincount(rows[there], minlength=N_STIMULI) > 1
            left_out[n, b] = N_STIMULI - used.sum()

            def mean(chosen: np.ndarray, trials: np.ndarray = trials) -> np.ndarray:
                sums = np.bincount(rows[chosen], trials[chosen], minlength=N_STIMULI)
                with np.errstate(invalid="ignore"):
                    return sums / np.bincount(rows[chosen], minlength=N_STIMULI)

            for k, train in enumerate(result.train.values.astype(bool)):
                fitted, tested = train & used, ~train & used
                y = mean(there)
                r_xy = np.corrcoef(predict(x, y, fitted, tested), y[tested])[0, 1]
                assert float(result.r_xy[0, k, n, b]) == pytest.approx(r_xy, abs=1e-6)
                for h, place in enumerate(places):
                    first = deal_valid(place, rows, there)
                    one, two = mean(first), mean(there & ~first)
                    r_yy = np.corrcoef(one[tested], two[tested])[0, 1]
                    assert float(result.r_yy[k, h, n, b]) == pytest.approx(r_yy, abs=1e-6)
                    p, q = (predict(x, half, fitted, tested) for half in (one, two))
                    r_xx = np.corrcoef(p, q)[0, 1]
                    assert float(result.r_xx[0, k, h, n, b]) == pytest.approx(r_xx, abs=1e-6)
    np.testing.assert_array_equal(result.stimuli_left_out.values, left_out)
    assert (left_out > 0).any(axis=1).sum() > 5


def test_a_third_of_the_trials_missing_at_random_keeps_all_neuroids() -> None:
    result = run(with_gaps(0.3, record(n_trials=8)), mapping="ridge")
    assert (result.reason.values == REASONS.index("scored")).all()
    assert not np.isnan(result.r_xx.values).any()
    assert not np.isnan(result.r_yy.values).any()


@pytest.mark.parametrize("left", [0, 1])
def test_a_stimulus_with_fewer_than_two_trials_costs_its_neuroids_only_this_stimulus(
    left: int,
) -> None:
    recording = record()
    holes, rows = recording, recording.stimulus_rows
    for n in range(5):  # each another one
        holes = without(holes, (rows == n) & (np.cumsum(rows == n) > left), [n])
    whole, result = run(recording, mapping="ridge"), run(holes, mapping="ridge")
    assert (result.n_neuroids.values == N_NEUROIDS).all()
    assert result.stimuli_left_out.values[:, 0].tolist() == [1] * 5 + [0] * 3
    for name in ("r_xy", "r_xx", "r_yy"):  # ridge fits each neuroid on its own
        np.testing.assert_allclose(
            result[name].values[..., 5:, :], whole[name].values[..., 5:, :], atol=1e-12
        )
        assert np.isfinite(result[name].values).all()
    few = "Stimuli with fewer than 2 valid trials are left out"
    (note,) = (each for each in json.loads(result.attrs["notes"]) if each.startswith(few))
    assert note.startswith(f"{few}: 1 of 80 for 5 of 8 neuroids.")
    assert "in up to 6 groups" in note


def test_a_stimulus_that_nobody_has_two_trials_of_is_left_out_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recording = record()
    everybody, rows = list(range(N_NEUROIDS)), recording.stimulus_rows
    result = run(without(recording, (rows == 7) & (np.cumsum(rows == 7) > 1), everybody))
    assert (result.n_neuroids.values == N_NEUROIDS).all()
    others, inside = np.arange(N_STIMULI) != 7, np.flatnonzero(rows != 7)
    apart = replace(
        recording,
        responses=recording.responses.isel(presentation=inside),
        stimuli=stimulus_set(recording.stimuli.ids[others]),
    )
    train = result.train.values.astype(bool)
    places = deal_trials(rows, n_halves=N_HALVES, seed=0)[:, inside]
    monkeypatch.setattr(fitting, "draw_splits", lambda *_: Splits(train[:, others], None, ()))
    monkeypatch.setattr(fitting, "draw_trials", lambda *_: TrialSets(apart.stimulus_rows, places))
    alone = run(apart, FEATURES[:, others])
    for name in ("r_xy", "r_xx", "r_yy"):
        np.testing.assert_allclose(result[name].values, alone[name].values, atol=1e-9)


@pytest.mark.parametrize("mapping", [RidgeMapping(), PLS], ids=mapping_key)
def test_one_map_for_all_bins_leaves_out_a_stimulus_that_one_bin_lacks(
    mapping: GramMapping,
) -> None:
    recording = record()
    responses = recording.responses.copy(deep=True)
    trials = np.flatnonzero(recording.stimulus_rows == 9)
    responses.values[trials[1:], 3, 1] = np.nan  # neuroid 3 keeps one trial in the second bin
    holes = replace(recording, responses=responses)
    for time_mode, bins in (("fixed", [0, 1]), ("per-bin", [1])):
        result = run(holes, mapping=mapping, time_mode=time_mode)
        expected = np.zeros((N_NEUROIDS, N_BINS), dtype=int)
        expected[3, bins] = 1
        np.testing.assert_array_equal(result.stimuli_left_out.values, expected)
        assert np.isfinite(result.r_xx.values).all()


def test_halves_are_even_in_each_bin_whatever_the_first_bin_lacks() -> None:
    recording = record()
    lost = np.zeros(recording.responses.shape[:2], dtype=bool)
    for neuroid in range(N_NEUROIDS):  # two sessions of three trials
        lost[recording.responses.repetition.values % 2 == neuroid % 2, neuroid] = True
    found = []
    for first_bin in ("as the second", "complete", "empty"):
        values = recording.responses.values.copy()
        values[lost, 1] = np.nan
        if first_bin != "complete":
            values[lost | (first_bin == "empty"), 0] = np.nan
        holes = replace(recording, responses=recording.responses.copy(data=values))
        result = run(holes, mapping="ridge")
        assert (result.reason.values[0, :, 1] != REASONS.index("too_few_stimuli")).all()
        assert (result.reason.values[0, :, 0] == REASONS.index("too_few_stimuli")).all() == (
            first_bin == "empty"
        )
        found.append(result.r_yy.values[..., 1])
        assert not np.isnan(result.r_xx.values[..., 1]).any()
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])


@pytest.mark.parametrize("preset", PRESETS)
def test_any_numbers_of_repetitions_from_two_are_scored(preset: str) -> None:
    recording = record(n_trials=30)
    kept = np.random.default_rng(3).integers(2, 31, N_STIMULI)
    shown = recording.responses.repetition.values < kept[recording.stimulus_rows]
    uneven = replace(recording, responses=recording.responses.isel(presentation=shown))
    result = run(uneven, preset=preset)
    assert np.isfinite(result.r_yy.values).all()
    assert (result.stimuli_left_out.values == 0).all()


@pytest.mark.parametrize("time_mode", ["per-bin", "fixed"])
@pytest.mark.parametrize("mapping", [RidgeMapping(), PLS], ids=mapping_key)
def test_two_sessions_in_one_recording_score_as_each_apart_on_the_same_splits(
    mapping: GramMapping, time_mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = record()
    shown = {0: np.arange(N_STIMULI) < 50, 1: np.arange(N_STIMULI) >= 30}  # twenty stimuli in both
    members = {0: [0, 2, 4, 6], 1: [1, 3, 5, 7]}
    both = recording
    for session in (0, 1):
        both = without(both, ~shown[session][recording.stimulus_rows], members[session])
    together = run(both, mapping=mapping, time_mode=time_mode)
    train = together.train.values.astype(bool)
    places = deal_trials(both.stimulus_rows, n_halves=N_HALVES, seed=0)
    for session in (0, 1):
        inside = shown[session][both.stimulus_rows]
        apart = replace(
            both,
            responses=both.responses.isel(
                presentation=np.flatnonzero(inside), neuroid=members[session]
            ),
            stimuli=stimulus_set(both.stimuli.ids[shown[session]]),
        )
        monkeypatch.setattr(
            fitting,
            "draw_splits",
            lambda *_, s=session: Splits(train[:, shown[s]], None, ()),
        )
        sets = TrialSets(apart.stimulus_rows, places[:, inside])
        monkeypatch.setattr(fitting, "draw_trials", lambda *_, sets=sets: sets)
        alone = run(apart, FEATURES[:, shown[session]], mapping=mapping, time_mode=time_mode)
        for name in ("r_xy", "r_xx", "r_yy", "noise_corrected_r"):
            np.testing.assert_allclose(
                together[name].isel(neuroid=members[session]).values, alone[name].values, atol=1e-9
            )


def test_neuroids_with_too_few_stimuli_are_not_scored_and_said() -> None:
    recording = record()
    late = recording.stimulus_rows >= 20
    result = run(without(recording, late, [1, 3, 5, 6]))
    missing = result.reason.values[0] == REASONS.index("too_few_stimuli")
    assert np.flatnonzero(missing.all(axis=1)).tolist() == [1, 3, 5, 6]
    assert missing.sum() == 4 * N_BINS
    assert (
        "Trials are missing for 4 of 8 neuroids, which are not scored in some time bins: each "
        "split needs at least 10 test stimuli with 2 valid trials."
    ) in json.loads(result.attrs["notes"])
    with pytest.raises(
        NeurofitError, match="which no neuroid of r has: at most 20 of 80 stimuli have them"
    ) as caught:
        run(without(recording, late, list(range(N_NEUROIDS))))
    assert len(str(caught.value).splitlines()) <= 2


def test_sessions_are_found_by_their_stimuli_and_may_be_single_neuroids() -> None:
    there = np.ones((60, 9), dtype=bool)
    there[:2, [1, 4, 5]] = False
    there[3, 7] = False
    there[11:, 8] = False
    tests = np.arange(60) % 2 < np.array([[2], [1]])  # all, and every second
    sessions = find_sessions(there, tests)
    found = [np.flatnonzero(s.neuroids).tolist() for s in sessions]
    assert found == [[0, 2, 3, 6], [1, 4, 5], [7]]
    assert [s.stimuli.sum() for s in sessions] == [60, 58, 59]


def test_parts_hold_every_half_once() -> None:
    parts = chunk_halves(1000, bytes_per_half=2**24)
    assert [h for part in parts for h in part] == list(range(1000))
    assert max(map(len, parts)) == 64
    assert chunk_halves(3, bytes_per_half=2**40) == [range(0, 1), range(1, 2), range(2, 3)]


@pytest.mark.parametrize("mapping", [RidgeMapping(), PLS], ids=mapping_key)
def test_halves_in_parts_give_the_numbers_of_all_at_once(
    mapping: GramMapping, monkeypatch: pytest.MonkeyPatch
) -> None:
    holes = with_gaps(0.2, record())
    at_once = run(holes, mapping=mapping)
    monkeypatch.setattr(targets, "CHUNK_BYTES", 1)
    in_parts = run(holes, mapping=mapping)
    for name in (
        "r_xy",
        "r_xx",
        "r_yy",
        "noise_corrected_r_of_terms",
        "noise_corrected_r_of_ratios",
        "noise_corrected_r_of_correlations",
    ):
        np.testing.assert_allclose(in_parts[name].values, at_once[name].values, atol=1e-9)
