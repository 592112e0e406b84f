"""Ceilings: planted reliability is found, gaps and uneven repetitions are no trouble, real recordings have the known figures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import neurofit
from neurofit.assemblies import Recording
from neurofit.ceiling import ceiling, keep_reliable, reliabilities
from neurofit.data_loaders import load_recording, open_recording, write_recording
from neurofit.errors import NeurofitError
from neurofit.metrics import split_halves
from neurofit.selection import rebin
from neurofit.stimuli import NoImages, StimulusSet

Make = Callable[..., Recording]
FIND = Callable[[str], Path]


def planted(*, n_stimuli: int = 400, n_repetitions: int = 10, reliability: tuple[float, ...] = (0.0, 0.5, 0.9), seed: int = 0) -> Recording:
    """Return 40 neuroids whose mean over trials has a known reliability in each bin: var(signal) / (var(signal) + var(noise) / n)."""
    import pandas as pd

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


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    held = []
    for seed in range(40):
        made = planted(n_stimuli=120, n_repetitions=6, reliability=(0.6,), seed=seed)
        found = ceiling(made, n_halves=20, n_bootstraps=200, interval=0.9)
        held.append(bool(found.curve_low[0] <= 0.6 <= found.curve_high[0]))
    assert 0.78 <= np.mean(held) <= 1.0


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
    whole = ceiling(made, n_halves=4)
    np.testing.assert_allclose(found.r_halves.values[:, 4:], whole.r_halves.values[:, 4:], rtol=1e-10)
    kept = replace(
        made,
        responses=made.responses.isel(presentation=made.stimulus_rows >= 20),
        stimuli=made.stimuli.only(range(20, 60)),
    )
    halves = split_halves(made.stimulus_rows, n_halves=4, seed=0)[:, made.stimulus_rows >= 20]
    values, rows = kept.responses.values[:, 3, 2], kept.stimulus_rows
    sides = [[np.array([values[(rows == row) & side].mean() for row in range(40)]) for side in (half, ~half)] for half in halves]
    np.testing.assert_allclose(found.r_halves.values[:, 3, 2], [stats.pearsonr(*both).statistic for both in sides], rtol=1e-5)


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
    best = np.argsort(window.reliability.values[:, 0])[-40:]  # as for zhang2011
    curve = ceiling(replace(recording, responses=recording.responses.isel(neuroid=np.sort(best), time_bin=slice(5, 40))), n_halves=20)
    assert int(curve.time_bin_start[int(np.argmax(curve.curve.values))]) in (160, 170, 180, 190)
    assert float(curve.curve[curve.time_bin_start.values.tolist().index(180)]) == pytest.approx(0.46, abs=0.03)


def test_cowley2023_has_the_known_reliability(mirror: FIND, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROFIT_MIRROR", str(mirror("cowley2023").parent))
    found = reliabilities(load_recording("cowley2023"))
    assert float(np.median(found)) == pytest.approx(0.75, abs=0.03)
    assert (found.min(), found.max()) == (pytest.approx(0.51, abs=0.05), pytest.approx(0.93, abs=0.02))
