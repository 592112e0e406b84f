"""Ceilings: planted reliability is found, gaps and uneven repetitions are no trouble, real recordings have the known figures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import neurofit
from neurofit.assemblies import Recording
from neurofit.ceiling import ceiling, keep_reliable, reliabilities
from neurofit.data_loaders import load_recording, open_recording, write_recording
from neurofit.errors import NeurofitError
from neurofit.metrics import TrialSets, find_trial_sessions, pearson, split_halves
from neurofit.selection import rebin
from neurofit.stimuli import NoImages, StimulusSet

Make = Callable[..., Recording]
FIND = Callable[[str], Path]


def planted(*, n_stimuli: int = 400, n_repetitions: int = 10, reliability: tuple[float, ...] = (0.0, 0.5, 0.9), seed: int = 0) -> Recording:
    """Return 40 neuroids whose mean over trials has a known reliability in each bin: var(signal) / (var(signal) + var(noise) / n)."""
    rng = np.random.default_rng(seed)
    n_neuroids = 40
    signal = rng.standard_normal((n_stimuli, 1, n_neuroids, len(reliability))) * np.sqrt(reliability)
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


def test_a_planted_reliability_is_found() -> None:
    found = ceiling(planted(n_stimuli=1500))
    np.testing.assert_allclose(found.curve.values, [0.0, 0.5, 0.9], atol=0.03)
    assert (found.curve_low <= found.curve).all()
    assert (found.curve <= found.curve_high).all()
    assert found.n_neuroids.values.tolist() == [40, 40, 40]


def with_common_stimuli(seed: int, *, n_stimuli: int = 100, n_neuroids: int = 60) -> Recording:
    """Return a recording whose neuroids, of reliabilities around 0.6, see the same four things, strongly in some of the stimuli."""
    rng = np.random.default_rng((9, seed))
    reliability = rng.uniform(0.5, 0.7, n_neuroids)
    strength = np.exp(0.4 * rng.standard_normal((n_stimuli, 1)) - 0.4**2)  # of mean square 1
    weights = rng.standard_normal((4, n_neuroids))
    seen = strength * rng.standard_normal((n_stimuli, 4)) @ (weights / np.linalg.norm(weights, axis=0))
    signal = np.sqrt(0.9) * seen + np.sqrt(0.1) * rng.standard_normal((n_stimuli, n_neuroids))
    made = planted(n_stimuli=n_stimuli, n_repetitions=6, reliability=(0.0,))
    noise = rng.standard_normal((len(made.stimulus_rows), n_neuroids)) * np.sqrt(6 * (1 - reliability))
    trials = (np.sqrt(reliability) * signal)[made.stimulus_rows] + noise
    coords = {name: coord for name, coord in made.responses.coords.items() if coord.dims != ("neuroid",)}
    coords |= {"neuroid_id": ("neuroid", np.arange(n_neuroids).astype(str)), "region": ("neuroid", ["IT"] * n_neuroids)}
    return replace(made, responses=xr.DataArray(trials[..., None].astype(np.float32), dims=made.responses.dims, coords=coords))


def holds(found: xr.Dataset, truth: float) -> bool:
    return bool(found.curve_low[0] <= truth <= found.curve_high[0])


N_SIMULATED = 60
LEAST = stats.binom.ppf(0.001, N_SIMULATED, 0.95)
"""Of so many intervals of 95 %, at least so many hold the truth, but for one series in a thousand."""


def test_the_interval_holds_the_truth_as_often_as_it_says_where_neuroids_see_the_same() -> None:
    both, alone = [], []
    for seed in range(N_SIMULATED):
        made = with_common_stimuli(seed)
        both.append(holds(ceiling(made, n_bootstraps=300), 0.6))
        alone.append(holds(ceiling(made, n_bootstraps=300, bootstrap_over="neuroids"), 0.6))
    assert sum(both) >= LEAST
    assert sum(alone) < stats.binom.ppf(1e-6, N_SIMULATED, 0.95), "neuroids alone do not know what other stimuli would do"


def test_the_interval_holds_the_truth_as_often_as_it_says_where_neuroids_are_unrelated() -> None:
    held, wider = [], []
    for seed in range(N_SIMULATED):
        made = planted(n_stimuli=120, n_repetitions=6, reliability=(0.6,), seed=seed)
        both = ceiling(made, n_bootstraps=300)
        alone = ceiling(made, n_bootstraps=300, bootstrap_over="neuroids")
        held.append(holds(both, 0.6))
        wider.append(float((both.curve_high - both.curve_low)[0] / (alone.curve_high - alone.curve_low)[0]))
    assert sum(held) >= LEAST
    assert np.median(wider) < 1.15  # what each neuroid owes to the stimuli is in the spread of the neuroids, and counts once


def test_the_interval_of_a_neuroid_holds_its_reliability_on_other_stimuli() -> None:
    held = []
    for seed in range(5):
        found = ceiling(planted(n_stimuli=200, n_repetitions=6, reliability=(0.3, 0.8), seed=seed), n_bootstraps=300)
        held.append((found.reliability_low <= [0.3, 0.8]) & (found.reliability_high >= [0.3, 0.8]))
    assert np.mean(held) == pytest.approx(
        0.95, abs=4 * np.sqrt(0.95 * 0.05 / np.size(held)) + 0.01
    )  # a percentile interval is a little narrow


def test_the_interval_is_that_of_a_plain_loop() -> None:
    made = planted(n_stimuli=25, n_repetitions=5, reliability=(0.5, 0.8))
    found = ceiling(made, n_halves=4, n_bootstraps=60, seed=3)
    rows, r = made.stimulus_rows, found.r_halves.values.mean(axis=0)
    halves = split_halves(rows, n_halves=4, seed=3)
    sides = [
        np.stack([[made.responses.values[(rows == i) & h].astype(float).mean(axis=0) for i in range(25)] for h in s])
        for s in (halves, ~halves)
    ]
    rng, rng_stimuli = np.random.default_rng(3), np.random.default_rng((3, 1))
    drawn = [(rng.integers(40, size=40), rng_stimuli.integers(25, size=25)) for _ in range(60)]

    def pooled(stimuli: np.ndarray, neuroid: int, position: int) -> float:
        a, b = (side[:, :, neuroid, position] - np.mean([each[..., neuroid, position] for each in sides]) for side in sides)
        mean, totals = ((a + b) / 2).mean(axis=0), []
        for values in ((a * b).mean(axis=0), ((a**2 + b**2) / 2).mean(axis=0)):
            again = sum((stimuli == i).sum() ** 2 * (values[i] - mean[i] ** 2) for i in range(25))
            totals.append(sum(values[i] for i in stimuli) - (sum(mean[i] for i in stimuli) ** 2 + again) / 25)
        return float(totals[0] / totals[1])

    for position in range(2):
        base = np.array([pooled(np.arange(25), neuroid, position) for neuroid in range(40)])
        samples = np.array([[pooled(stimuli, neuroid, position) for neuroid in range(40)] for _, stimuli in drawn]) - base + r[:, position]
        medians = [np.median(each) for each in samples]
        common = [np.mean(each - r[:, position]) for each in samples]
        own = [np.var([samples[k, neuroid] - r[neuroid, position] - common[k] for k in range(60)]) for neuroid in range(40)]
        share = np.sqrt(max(0.0, np.var(common) - np.mean(own) / 39) / np.var(common))
        curves = []
        for (neuroids, _), median in zip(drawn, medians, strict=True):
            values = [min(1.0, r[neuroid, position] + share * (median - np.mean(medians))) for neuroid in neuroids]
            curves.append(np.median([2 * each / (1 + each) for each in values]))
        bounds = [float(found[name][position]) for name in ("curve_low", "curve_high")]
        np.testing.assert_allclose(bounds, np.quantile(curves, [0.025, 0.975]), rtol=0, atol=1e-10)
        low, high = (2 * each / (1 + each) for each in np.quantile(samples, [0.025, 0.975], axis=0))
        np.testing.assert_allclose(found.reliability_low.values[:, position], low, rtol=0, atol=1e-10)
        np.testing.assert_allclose(found.reliability_high.values[:, position], high, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n_halves": 0}, "n_halves is at least 1; got 0"),
        ({"n_bootstraps": 0}, "n_bootstraps is at least 1; got 0"),
        ({"seed": -1}, "seed is at least 0; got -1"),
        ({"interval": 95.0}, "interval must lie between 0 and 1; got 95.0"),
    ],
)
def test_numbers_out_of_range_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(NeurofitError, match=said):
        ceiling(planted(n_stimuli=10, n_repetitions=2), **options)


def test_what_the_interval_runs_over_is_kept() -> None:
    made = planted(n_stimuli=40, n_repetitions=4, reliability=(0.5,))
    said = {"neuroids": "neuroids", "stimuli": "stimuli", "both": "neuroids and stimuli"}
    for over, words in said.items():
        found = ceiling(made, n_bootstraps=50, bootstrap_over=over)
        assert found.attrs["interval"] == f"95%, 50 bootstraps over {words}"
        assert ("reliability_low" in found) == (over != "neuroids")
        assert float(found.curve_low[0]) < float(found.curve[0]) < float(found.curve_high[0])
    with pytest.raises(NeurofitError, match=r"Unknown bootstrap_over 'neuroid'\. Did you mean 'neuroids'"):
        ceiling(made, bootstrap_over="neuroid")


def test_it_is_the_correlation_of_half_means_corrected() -> None:
    made = planted(n_stimuli=60, n_repetitions=5)
    found = ceiling(made, n_halves=3, seed=4)
    halves = split_halves(made.stimulus_rows, n_halves=3, seed=4)
    values = made.responses.values[:, 7, 2]
    plain = []
    for half in halves:
        first, second = (np.array([values[(made.stimulus_rows == row) & side].mean() for row in range(60)]) for side in (half, ~half))
        plain.append(stats.pearsonr(first, second).statistic)
    np.testing.assert_allclose(found.r_halves.values[:, 7, 2], plain, rtol=1e-5)
    r = np.mean(plain)
    assert float(found.reliability[7, 2]) == pytest.approx(2 * r / (1 + r), rel=1e-5)


def test_missing_trials_cost_a_neuroid_the_stimuli_that_lack_them() -> None:
    made = planted(n_stimuli=60, n_repetitions=5)
    gaps = made.responses.copy(deep=True)
    gaps.values[made.stimulus_rows < 20, 3] = np.nan
    found = ceiling(replace(made, responses=gaps), n_halves=4)
    kept = replace(
        made,
        responses=made.responses.isel(presentation=made.stimulus_rows >= 20),
        stimuli=made.stimuli.only(range(20, 60)),
    )
    sessions = find_trial_sessions(~np.isnan(gaps.values[..., 0]))
    halves = split_halves(made.stimulus_rows, n_halves=4, seed=0, session=sessions)[:, made.stimulus_rows >= 20]
    same = TrialSets(made.stimulus_rows, split_halves(made.stimulus_rows, n_halves=4, seed=0, session=sessions))
    for position in range(3):  # the others are as without the gap, in these halves
        first, second = np.split(same.means(made.responses.values[:, 4:, position])[1:], 2)
        np.testing.assert_allclose(found.r_halves.values[:, 4:, position], pearson(first, second), rtol=1e-10)
    values, rows = kept.responses.values[:, 3, 2], kept.stimulus_rows
    sides = [[np.array([values[(rows == row) & side].mean() for row in range(40)]) for side in (half, ~half)] for half in halves]
    np.testing.assert_allclose(found.r_halves.values[:, 3, 2], [stats.pearsonr(*both).statistic for both in sides], rtol=1e-5)


def test_a_neuroid_of_a_few_stimuli_has_no_reliability() -> None:
    made = planted(n_stimuli=60, n_repetitions=5)
    gaps = made.responses.copy(deep=True)
    gaps.values[made.stimulus_rows >= 9, 3] = np.nan
    gaps.values[made.stimulus_rows >= 10, 4] = np.nan
    found = ceiling(replace(made, responses=gaps), n_halves=4, n_bootstraps=5).reliability.values
    assert np.isnan(found[3]).all()
    assert np.isfinite(np.delete(found, 3, axis=0)).all()


@pytest.mark.parametrize("n_trials", [(4, 4), (4, 8), (10, 10)])
def test_neuroids_of_joined_sessions_have_the_reliability_of_each_session(n_trials: tuple[int, int]) -> None:
    rng, noise, n_stimuli, n_each = np.random.default_rng(5), 2.0, 400, 20
    rows = np.concatenate([np.repeat(np.arange(n_stimuli), n) for n in n_trials])
    session = np.repeat([0, 1], [n * n_stimuli for n in n_trials])
    signal = rng.standard_normal((n_stimuli, 2 * n_each))
    values = signal[rows] + noise * rng.standard_normal((len(rows), 2 * n_each))
    values[(session[:, None] == 1) == (np.arange(2 * n_each) < n_each)] = np.nan  # the others are of the other session
    ids = np.array([f"s{row:03d}" for row in range(n_stimuli)])
    responses = xr.DataArray(
        values[..., None].astype(np.float32),
        dims=("presentation", "neuroid", "time_bin"),
        coords={
            "stimulus_id": ("presentation", ids[rows]),
            "repetition": ("presentation", np.zeros(len(rows), dtype=int)),
            "neuroid_id": ("neuroid", np.arange(2 * n_each)),
            "region": ("neuroid", ["IT"] * 2 * n_each),
            "time_bin_start": ("time_bin", [70]),
            "time_bin_end": ("time_bin", [170]),
        },
    )
    pictures = NoImages(n_stimuli, "joined")
    stimuli = StimulusSet(name="s", table=pd.DataFrame({"stimulus_id": ids}), images=pictures, visual_degrees=8.0, duration_ms=100.0)
    found = ceiling(Recording(name="joined", responses=responses, stimuli=stimuli), n_bootstraps=2).reliability.values[:, 0]
    for half, n in zip((found[:n_each], found[n_each:]), n_trials, strict=True):
        assert half.mean() == pytest.approx(1 / (1 + noise**2 / n), abs=3 * half.std() / np.sqrt(n_each))


def test_reading_in_blocks_changes_nothing_but_the_last_rounding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import import_module

    made = planted(n_stimuli=30, n_repetitions=4)
    write_recording(made, tmp_path / "planted.nc")
    at_once = ceiling(made)
    monkeypatch.setattr(import_module("neurofit.ceiling"), "BLOCK_BYTES", 1)
    for together in ("time_bin", "neuroid"):
        lazy = open_recording(tmp_path / "planted.nc")
        lazy.responses.encoding["together"] = together
        in_blocks = ceiling(lazy)
        for name in at_once.data_vars:
            np.testing.assert_allclose(in_blocks[name].values, at_once[name].values, rtol=1e-10)


def test_unreliable_neuroids_can_be_left_out_and_are_counted() -> None:
    made = planted(reliability=(0.8,))
    made.responses.values[:, :10] = np.random.default_rng(1).standard_normal((len(made.stimulus_rows), 10, 1))
    kept, left_out = keep_reliable(made, 0.4)
    assert left_out == 10
    assert kept.responses.neuroid_id.values.tolist() == [f"n{number}" for number in range(10, 40)]
    with pytest.raises(NeurofitError, match=r"No neuroid of planted has a reliability of 0.99; the highest is 0\."):
        keep_reliable(made, 0.99)


def test_it_needs_two_repetitions() -> None:
    with pytest.raises(NeurofitError, match="at least 2 repetitions"):
        ceiling(planted(n_repetitions=1))


# Real recordings: the figures were measured on them by other programs.


def test_zhang2011_has_the_known_reliability_in_time(mirror: FIND, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROFIT_MIRROR", str(mirror("zhang2011").parent))
    recording = load_recording("zhang2011")
    window = ceiling(rebin(recording, [(100, 400), (-300, 0)]), n_halves=20)
    assert float(window.curve[0]) == pytest.approx(0.80, abs=0.02)
    assert int((window.reliability[:, 0] > 0.5).sum()) == pytest.approx(112, abs=3)
    assert abs(float(window.curve[1])) < 0.08
    best = np.argsort(window.reliability.values[:, 0])[-40:]
    curve = ceiling(replace(recording, responses=recording.responses.isel(neuroid=np.sort(best))), n_halves=20)
    at = dict(zip(curve.time_bin_start.values.tolist(), curve.curve.values.tolist(), strict=True))
    assert np.mean([at[start] for start in range(-200, 80, 10)]) == pytest.approx(0.0, abs=0.05)
    assert at[90] == pytest.approx(0.2, abs=0.12)
    late = [at[start] for start in range(110, 300, 10)]
    assert 0.3 < np.mean(late) < 0.55
    assert np.mean([0.25 < each < 0.62 for each in late]) > 0.9


def test_zhang2011_is_refused_for_scoring(mirror: FIND, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROFIT_MIRROR", str(mirror("zhang2011").parent))
    recording = load_recording("zhang2011", window=(100, 120))
    with pytest.raises(NeurofitError, match="zhang2011 comes without pictures: no model can be scored against it"):
        neurofit.extract(neurofit.create_model("timedecay_tiny"), recording.stimuli, layers=["conv3"])


def test_face_patch_am_has_the_known_reliability(shared: FIND, tmp_path: Path) -> None:
    shutil.copy(shared("data/check/ft_am_10ms.npz"), tmp_path / "am.npz")
    (tmp_path / "am.json").write_text(json.dumps({"region": "AM"}))
    recording = open_recording(tmp_path / "am.npz")
    repetitions = np.bincount(recording.stimulus_rows)
    assert repetitions.min() < repetitions.max()
    window = ceiling(rebin(recording, [(100, 450)]), n_halves=10)
    assert float(window.curve[0]) == pytest.approx(0.62, abs=0.02)
    known = recording.responses.split_half_sb_100_450ms.values
    assert stats.pearsonr(window.reliability.values[:, 0], known).statistic > 0.99
    best = np.argsort(known)[-40:]  # as for zhang2011
    curve = ceiling(replace(recording, responses=recording.responses.isel(neuroid=np.sort(best), time_bin=slice(5, 40))), n_halves=20)
    assert int(curve.time_bin_start[int(np.argmax(curve.curve.values))]) in (160, 170, 180, 190)
    assert float(curve.curve[curve.time_bin_start.values.tolist().index(180)]) == pytest.approx(0.46, abs=0.03)


def test_cowley2023_has_the_known_reliability(mirror: FIND, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROFIT_MIRROR", str(mirror("cowley2023").parent))
    found = reliabilities(load_recording("cowley2023"))
    assert float(np.median(found)) == pytest.approx(0.75, abs=0.03)
    assert (found.min(), found.max()) == (pytest.approx(0.51, abs=0.05), pytest.approx(0.93, abs=0.02))
