"""Artefact trials: planted ones are found and excluded, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import neurofit
from neurofit import Selection
from neurofit.analyses.ceiling import CeilingConfig, ceiling
from neurofit.errors import NeurofitError, NeurofitWarning
from neurofit.recordings.artefacts import find_outlying, largest_z
from neurofit.recordings.plausibility import plausibility_warnings
from neurofit.recordings.recording import Recording
from neurofit.recordings.trial_checks import check_trials

N_STIMULI, N_REPETITIONS, N_NEUROIDS, N_FEATURES = 300, 10, 30, 8
DENSE = np.tile(np.arange(N_STIMULI), N_REPETITIONS)
BLOCKS = np.repeat(np.arange(N_STIMULI), N_REPETITIONS)
SIGMA = 1.4826

Record = Callable[..., Recording]
Scored = Callable[[np.ndarray, Recording], xr.Dataset]


def predictable(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return features, and trials (presentation neuroid) that they predict but for the noise."""
    features = rng.standard_normal((N_STIMULI, N_FEATURES))
    signal = features @ rng.standard_normal((N_FEATURES, N_NEUROIDS)) / N_FEATURES**0.5
    return features, signal[DENSE] + rng.standard_normal((len(DENSE), N_NEUROIDS))


def plant_share(rng: np.random.Generator, share: float) -> Callable[[np.ndarray], None]:
    def plant(trials: np.ndarray) -> None:
        trials[rng.random(len(trials)) < share] *= 100

    return plant


def plant_one(trials: np.ndarray) -> None:
    trials[3 * N_STIMULI + 17] = 1000


@pytest.mark.parametrize("share", [0.001, 0.01, None])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_perfect_model_scores_1_once_artefacts_are_excluded(
    record: Record, scored: Scored, share: float | None, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    features, trials = predictable(rng)
    (plant_one if share is None else plant_share(rng, share))(trials)
    recording = record(trials, DENSE)
    with pytest.warns(NeurofitWarning, match=r"^Artefacts: \d+ trials of \d+ neuroids"):
        before = scored(features, recording)
    assert not before.curve.values[0, 0] > 0.97
    (note,) = json.loads(before.attrs["notes"])[:1]
    assert note.startswith("Artefacts: ")
    doubts = plausibility_warnings(recording)
    # The planted signal begins with the first bin, which no area's does.
    assert [doubt for doubt in doubts if "tells stimuli apart" not in doubt] == [note]
    with pytest.warns(
        NeurofitWarning, match=r"Excluded \d+ of 90,000 trials with z > 10, of \d+ neuroids"
    ):
        cleaned = Selection(exclude_trials="z > 10").apply(recording)
    after = scored(features, cleaned)
    np.testing.assert_allclose(after.curve.values, 1, rtol=0, atol=0.03)
    n_excluded = int(np.isnan(cleaned.responses.values).sum())
    assert json.loads(after.attrs["selection"]) == {
        "exclude_trials": "z>10",
        "excluded_trials": n_excluded,
    }
    assert f"Excluded {n_excluded:,} of" in json.loads(after.attrs["notes"])[0]


def test_the_single_artefact_is_named_with_its_place(record: Record) -> None:
    trials = predictable(np.random.default_rng(0))[1]
    plant_one(trials)
    (note,) = check_trials(record(trials, DENSE)).biasing
    assert "30 trials of 30 neuroids, in 1 presentation (917), more than 20" in note
    assert "(presentation 917, neuroid 'n" in note
    assert "--exclude-trials 'z>20'" in note


def test_z_is_that_of_the_formula() -> None:
    rng = np.random.default_rng(3)
    rows = rng.permutation(np.repeat(np.arange(12), 5))
    trials = rng.standard_t(1.5, (60, 40)).astype(np.float32)
    trials[:, 20:] = rng.poisson(0.3, (60, 20)) * rng.integers(1, 30, (60, 20))
    trials[rng.random(trials.shape) < 0.2] = np.nan
    expected = {}
    for column in range(40):
        own = trials[:, column].astype(float)
        present = np.sort(own[~np.isnan(own)])
        c = present[(len(present) - 1) // 2]
        deviations = np.sort(np.abs(present - c)[present != c])
        s = SIGMA * deviations[len(deviations) // 2]
        for row in np.flatnonzero(~np.isnan(own)):
            others = own[(rows == rows[row]) & (np.arange(60) != row)]
            m = np.nanmedian(others) if np.isfinite(others).any() else c
            z = abs(own[row] - m) / (s + abs(m - c))
            if z > 3:
                expected[row, column] = z
    presentations, columns, z_found = find_outlying(trials, rows, 3.0)
    at = zip(presentations.tolist(), columns.tolist(), strict=True)
    found = dict(zip(at, z_found.tolist(), strict=True))
    assert len(expected) > 50
    assert found.keys() == expected.keys()
    for key, z in expected.items():
        assert found[key] == pytest.approx(z, rel=1e-5)


def test_a_trial_is_missing_in_all_bins_for_the_neuroids_that_it_disturbs(record: Record) -> None:
    trials = np.random.default_rng(0).standard_normal((120, 3, 4))
    trials[50, 1, 2], trials[7, 2, 0] = -90, 200
    recording = record(trials, np.tile(np.arange(30), 4))
    with pytest.warns(NeurofitWarning, match="Excluded 2 of 360 trials with z > 20, of 2 neuroids"):
        cleaned = Selection(exclude_trials="z>20").apply(recording)
    expected = recording.responses.values.copy()
    expected[50, 1] = expected[7, 2] = np.nan
    np.testing.assert_array_equal(cleaned.responses.values, expected)
    for key in (
        {"neuroid": [2, 0], "time_bin": 1},
        {"presentation": [50, 7, 3], "neuroid": 1},
        {"presentation": 50, "neuroid": slice(1, 3), "time_bin": [3, 0]},
    ):
        np.testing.assert_array_equal(
            cleaned.responses.isel(key).values,
            recording.responses.copy(data=expected).isel(key).values,
        )


def gaussian(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((N_STIMULI, 200))[DENSE] + rng.standard_normal((len(DENSE), 200))


def poisson(rate: float) -> Callable[[np.random.Generator], np.ndarray]:
    return lambda rng: rng.poisson(rate, (len(DENSE), 200))


def lognormal(rate: float) -> Callable[[np.random.Generator], np.ndarray]:
    """Poisson counts of neuroids that respond to few stimuli, strongly."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        drive = np.exp(1.5 * rng.standard_normal((N_STIMULI, 200)) - 1.125)
        return rng.poisson(rate * drive[DENSE])

    return draw


def lognormal_trials(rng: np.random.Generator) -> np.ndarray:
    """Draw responses of which the logarithm has drive and noise."""
    return np.exp(rng.standard_normal((N_STIMULI, 200))[DENSE] + 0.3 * gaussian(rng))


CLEAN: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "gaussian": gaussian,
    **{f"poisson {rate}": poisson(rate) for rate in (0.05, 0.2, 1)},
    **{f"lognormal {rate}": lognormal(rate) for rate in (0.05, 1, 5)},
    "lognormal trials": lognormal_trials,
}


@pytest.mark.parametrize("rows", [DENSE, BLOCKS], ids=["interleaved", "blocks"])
@pytest.mark.parametrize("name", CLEAN)
def test_there_is_no_false_alarm(record: Record, name: str, rows: np.ndarray) -> None:
    trials = CLEAN[name](np.random.default_rng(5))
    if rows is BLOCKS:
        trials = trials[np.argsort(DENSE, kind="stable")]
    found = check_trials(record(trials, rows))
    assert (found.biasing, found.noise) == ((), ())


@pytest.mark.parametrize("n_repetitions", [2, 3])
def test_few_repetitions_give_no_false_alarm_and_name_the_artefact_alone(
    record: Record, n_repetitions: int
) -> None:
    rows = np.tile(np.arange(40), n_repetitions)
    trials = np.random.default_rng(1).standard_normal((len(rows), 500)).astype(np.float32)
    assert not largest_z(record(trials, rows), 20.0).any()
    trials[5, 3] = 1000
    assert np.argwhere(largest_z(record(trials, rows), 20.0)).tolist() == [[5, 3]]


@pytest.mark.parametrize("wrong", ["10", "z<3", "z>0.5", "z>x", "z>-1"])
def test_a_limit_has_one_form(wrong: Any) -> None:
    with pytest.raises(
        NeurofitError, match=r'exclude_trials takes "z>N", such as "z>20", with N at least 1; got'
    ):
        Selection(exclude_trials=wrong)


def test_what_was_done_is_kept_in_files_and_said_in_results(record: Record, tmp_path: Path) -> None:
    rng = np.random.default_rng(10)
    rows = rng.permutation(np.repeat(np.arange(60), 4))
    trials = rng.standard_normal((240, 5, 2))
    trials[17, 2, 1] = 300
    with (
        pytest.warns(NeurofitWarning, match="Excluded 1 of"),
        pytest.warns(NeurofitWarning, match="Detrended: 2 slow cosines over"),
    ):
        cleaned = Selection(exclude_trials="z>20", detrend=True).apply(record(trials, rows))
    for name in ("r.nc", "r.npz"):
        neurofit.write_recording(cleaned, tmp_path / name, overwrite=True)
        read = neurofit.load_recording(tmp_path / name)
        np.testing.assert_array_equal(read.responses.values, cleaned.responses.values)
        (note,) = json.loads(ceiling(read, CeilingConfig(n_bootstraps=10)).attrs["notes"])
        assert note.startswith("Excluded 1 of 1,200 trials with z > 20, of 1 neuroid; ")
        assert "Detrended: 2 slow cosines over" in note
