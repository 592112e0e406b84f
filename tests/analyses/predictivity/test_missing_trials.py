"""Missing trials: what can be fitted is fitted exactly, what cannot is left out and counted."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import Ridge

from neurofit.activations.activations import Activations
from neurofit.analyses.encoding import fitting, targets
from neurofit.analyses.encoding.targets import chunk_halves, find_sessions
from neurofit.analyses.predictivity.presets import make_config
from neurofit.analyses.predictivity.result import REASONS
from neurofit.analyses.predictivity.score import score
from neurofit.errors import NeurofitError
from neurofit.mapping.contract import GramMapping, mapping_key
from neurofit.mapping.pls import PLSMapping
from neurofit.mapping.ridge import RidgeMapping
from neurofit.recordings.recording import Recording
from neurofit.recordings.stimuli import StimulusSet
from neurofit.recordings.trials import recording_sessions, split_halves

N_STIMULI, N_UNITS, N_NEUROIDS, N_BINS, N_COMPONENTS, N_HALVES = 80, 100, 8, 2, 3, 8

PLS = PLSMapping(n_components=N_COMPONENTS)

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


def without(
    recording: Recording, lost: Callable[[np.ndarray], np.ndarray], neuroids: list[int]
) -> Recording:
    """Lose trials of some neuroids: those that a function of the stimulus rows picks."""
    responses = recording.responses.copy(deep=True)
    responses.values[
        np.ix_(lost(recording.stimulus_rows), np.isin(np.arange(N_NEUROIDS), neuroids))
    ] = np.nan
    return replace(recording, responses=responses)


def run(recording: Recording, features: np.ndarray = FEATURES, **changes: Any) -> xr.Dataset:
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
    return score(activations, recording, make_config("nayebi2022", **options))


def few_trials() -> tuple[Recording, np.ndarray]:
    """Leave neuroid 3 two trials of a stimulus, recorded with different neuroids.

    Also return which halves have both on one side.
    """
    recording = record()
    trials = np.flatnonzero(recording.stimulus_rows == 9)
    responses = recording.responses.copy(deep=True)
    responses.values[trials[2:], 3] = np.nan
    responses.values[trials[[0, 2]], 6] = np.nan
    holes = replace(recording, responses=responses)
    halves = split_halves(
        holes.stimulus_rows, n_halves=N_HALVES, seed=0, session=recording_sessions(holes)
    )
    lacking = halves[:, trials[0]] == halves[:, trials[1]]
    assert 0 < lacking.sum() < N_HALVES
    return holes, lacking


@pytest.mark.parametrize("time_mode", ["per-bin", "fixed"])
@pytest.mark.parametrize("mapping", [RidgeMapping(), PLS], ids=mapping_key)
def test_a_half_that_a_neuroid_lacks_is_left_out_for_it_alone(
    mapping: GramMapping, time_mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    holes, lacking = few_trials()
    result = run(holes, mapping=mapping, time_mode=time_mode)
    left_out = np.isnan(result.r_xx.values[0])  # (split half neuroid bin)
    assert left_out[:, lacking, 3].all()
    assert left_out.sum() == left_out[:, lacking, 3].size
    assert (np.isnan(result.r_yy.values) == left_out).all()
    assert (
        result.missing_halves.values == lacking.sum() * np.eye(N_NEUROIDS, dtype=int)[3][:, None]
    ).all()
    assert (result.reason.values == REASONS.index("scored")).all()
    if isinstance(mapping, RidgeMapping):  # its neuroids are on their own
        others = np.arange(N_NEUROIDS) != 3
        same_halves = split_halves(
            holes.stimulus_rows, n_halves=N_HALVES, seed=0, session=recording_sessions(holes)
        )
        monkeypatch.setattr(fitting, "draw_halves", lambda *_: same_halves)
        alone = run(
            replace(holes, responses=holes.responses.isel(neuroid=others)),
            mapping=mapping,
            time_mode=time_mode,
        )
        np.testing.assert_allclose(
            result.r_xx.values[..., others, :], alone.r_xx.values, atol=1e-12
        )


def test_joint_pls_of_a_half_is_fitted_to_the_neuroids_that_have_it() -> None:
    holes, lacking = few_trials()
    result = run(holes)
    trials, rows = holes.responses.values[..., 0], holes.stimulus_rows
    h = int(np.flatnonzero(lacking)[0])
    half = split_halves(rows, n_halves=N_HALVES, seed=0, session=recording_sessions(holes))[h]
    train = result.train.values[0].astype(bool)
    have = [n for n in range(N_NEUROIDS) if n != 3]

    def predict(chosen: np.ndarray, neuroids: list[int]) -> np.ndarray:
        means = np.stack(
            [
                np.nanmean(trials[chosen & (rows == i)][:, neuroids], axis=0)
                for i in range(N_STIMULI)
            ]
        )
        return np.asarray(
            PLSRegression(N_COMPONENTS, scale=False)
            .fit(FEATURES[0][train], means[train])
            .predict(FEATURES[0][~train])
        )

    one, two = predict(half, have), predict(~half, have)
    r_xx = [np.corrcoef(one[:, i], two[:, i])[0, 1] for i in range(len(have))]
    np.testing.assert_allclose(result.r_xx.values[0, 0, h, have, 0], r_xx, atol=1e-6)
    everything = np.ones(len(rows), dtype=bool)
    means = np.stack([np.nanmean(trials[rows == i], axis=0) for i in range(N_STIMULI)])
    r_xy = [
        np.corrcoef(x, y)[0, 1]
        for x, y in zip(
            predict(everything, list(range(N_NEUROIDS))).T, means[~train].T, strict=True
        )
    ]
    np.testing.assert_allclose(result.r_xy.values[0, 0, :, 0], r_xy, atol=1e-6)


def test_ridge_of_halves_with_missing_trials_equals_plain_loops() -> None:
    recording = record(n_trials=10)
    responses = recording.responses.copy(deep=True)
    responses.values[np.random.default_rng(3).random(responses.shape[:2]) < 0.2] = np.nan
    holes = replace(recording, responses=responses)
    result = run(holes, mapping=RidgeMapping(alphas=(10.0,)), n_halves=3)
    sessions, rows = recording_sessions(holes), holes.stimulus_rows
    halves = split_halves(rows, n_halves=3, seed=0, session=sessions)
    n_compared = 0
    for k, train in enumerate(result.train.values.astype(bool)):
        for b in range(N_BINS):
            x = FEATURES[b].astype(float)
            for n in range(N_NEUROIDS):
                trials = responses.values[:, n, b].astype(float)
                there = ~np.isnan(trials)
                for h, half in enumerate(halves):
                    sides = (there & half, there & ~half)
                    chosen = [side & (rows == i) for side in sides for i in range(N_STIMULI)]
                    if not all(each.any() for each in chosen):
                        assert np.isnan(result.r_xx.values[0, k, h, n, b])
                        continue
                    means = np.split(np.array([trials[each].mean() for each in chosen]), 2)
                    maps = (Ridge(10.0).fit(x[train], y[train]) for y in means)
                    one, two = (each.predict(x[~train]) for each in maps)
                    r_xx = np.corrcoef(one, two)[0, 1]
                    assert float(result.r_xx[0, k, h, n, b]) == pytest.approx(r_xx, abs=1e-6)
                    n_compared += 1
    assert n_compared > 60


@pytest.mark.parametrize("mapping", [RidgeMapping(), PLS], ids=mapping_key)
def test_one_map_for_all_bins_leaves_out_a_half_that_one_bin_lacks(mapping: GramMapping) -> None:
    recording = record()
    responses = recording.responses.copy(deep=True)
    trials = np.flatnonzero(recording.stimulus_rows == 9)
    responses.values[trials[2:], 3, 1] = np.nan  # neuroid 3 keeps two trials in the second bin
    halves = split_halves(recording.stimulus_rows, n_halves=N_HALVES, seed=0)
    lacking = halves[:, trials[0]] == halves[:, trials[1]]
    assert 0 < lacking.sum() < N_HALVES
    holes = replace(recording, responses=responses)
    for time_mode, bins in (("fixed", [0, 1]), ("per-bin", [1])):
        result = run(holes, mapping=mapping, time_mode=time_mode)
        expected = np.zeros((N_HALVES, N_NEUROIDS, N_BINS), dtype=bool)
        for b in bins:
            expected[lacking, 3, b] = True
        for name in ("r_xx", "r_yy"):
            for found in np.isnan(result[name].values.reshape(-1, *expected.shape)):
                np.testing.assert_array_equal(found, expected, err_msg=name)
        np.testing.assert_array_equal(result.missing_halves.values, expected.sum(axis=0))


def test_two_sessions_on_the_same_stimuli_with_few_trials_each_lose_no_half() -> None:
    recording = record(n_trials=6)
    responses = recording.responses.copy(deep=True)
    for neuroid in range(N_NEUROIDS):
        responses.values[recording.responses.repetition.values % 2 == neuroid % 2, neuroid] = np.nan
    result = run(replace(recording, responses=responses), mapping="ridge")
    assert (result.missing_halves.values == 0).all()
    assert not np.isnan(result.r_xx.values).any()


def test_a_neuroid_without_any_whole_half_is_missing() -> None:
    recording = record()
    # One trial is left: a half has it, the other does not.
    one_left = without(recording, lambda rows: (rows == 5) & (np.cumsum(rows == 5) > 1), [3])
    result = run(one_left, mapping="ridge")
    assert (result.missing_halves.values[3] == N_HALVES).all()
    assert (result.reason.values[0, 3] == REASONS.index("missing_trials")).all()
    assert not np.isnan(result.r_xy.values[0, :, 3]).any()


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
        both = without(both, lambda rows, s=session: ~shown[s][rows], members[session])  # type: ignore[misc]
    together = run(both, mapping=mapping, time_mode=time_mode)
    train = together.train.values.astype(bool)
    halves = split_halves(
        both.stimulus_rows, n_halves=N_HALVES, seed=0, session=recording_sessions(both)
    )
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
            "draw_train_splits",
            lambda *_, s=session: train[:, shown[s]],
        )
        monkeypatch.setattr(fitting, "draw_halves", lambda *_, i=inside: halves[:, i])
        alone = run(apart, FEATURES[:, shown[session]], mapping=mapping, time_mode=time_mode)
        for name in ("r_xy", "r_xx", "r_yy", "noise_corrected_r"):
            np.testing.assert_allclose(
                together[name].isel(neuroid=members[session]).values, alone[name].values, atol=1e-9
            )


def test_a_session_with_too_few_stimuli_is_refused_by_name_and_number() -> None:
    small = without(record(), lambda rows: rows >= 20, [1, 3, 5, 6])
    with pytest.raises(
        NeurofitError,
        match=r"4 neuroids \(n1, n3, n5 and 1 more\) have responses to 20 of 80 stimuli",
    ) as caught:
        run(small)
    assert len(str(caught.value).splitlines()) <= 2


def test_sessions_are_found_by_their_stimuli_and_strays_are_left_out() -> None:
    there = np.ones((6, 8), dtype=bool)
    there[:2, [1, 4, 5]] = False
    there[3, 7] = False
    sessions = find_sessions(there, min_neuroids=3)
    assert [np.flatnonzero(s.neuroids).tolist() for s in sessions] == [[0, 2, 3, 6], [1, 4, 5]]
    assert [s.stimuli.sum() for s in sessions] == [6, 4]


def test_parts_hold_every_half_once() -> None:
    parts = chunk_halves(1000, bytes_per_half=2**24)
    assert [h for part in parts for h in part] == list(range(1000))
    assert max(map(len, parts)) == 64
    assert chunk_halves(3, bytes_per_half=2**40) == [range(0, 1), range(1, 2), range(2, 3)]


@pytest.mark.parametrize("mapping", [RidgeMapping(), PLS], ids=mapping_key)
def test_halves_in_parts_give_the_numbers_of_all_at_once(
    mapping: GramMapping, monkeypatch: pytest.MonkeyPatch
) -> None:
    holes, _ = few_trials()
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
