"""Maps between areas: planted delays and directions, plain loops, and what trials share."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy import stats
from sklearn.linear_model import Ridge

import neurofit
from neurofit.analyses.encoding.splits import draw_splits, draw_trials
from neurofit.analyses.recorded.areas import AreasConfig, areas
from neurofit.analyses.recorded.fits import Target, fit_maps
from neurofit.analyses.recorded.populations import Population, aligned
from neurofit.errors import NeurofitError
from neurofit.mapping import PLSMapping, RidgeMapping
from neurofit.recordings.recording import Recording
from neurofit.recordings.selection import keep_stimuli

FEW = AreasConfig(max_lag=20, n_halves=2, n_splits=3)


def analysed(plan: Any, number: int, config: AreasConfig) -> xr.Dataset:
    source, recording = plan.draw(number)
    return areas(source, recording, config)


@pytest.mark.parametrize("delay", [-1, 0, 2])
def test_a_planted_delay_and_direction_are_recovered(planting: Any, delay: int) -> None:
    result = analysed(planting.Areas(delay=delay), 0, AreasConfig(max_lag=30))
    assert result.best_lag.item() == pytest.approx(10 * delay, abs=0.6)
    assert result.best_lag_low.item() < 10 * delay < result.best_lag_high.item()
    assert result.chosen_lag.values.tolist() == [10.0 * delay] * 5
    assert result.held_out_score.item() == pytest.approx(1, abs=0.03)
    peak = result.profile.sel(lag=10.0 * delay)
    assert peak.item() == result.profile.max().item() == pytest.approx(1, abs=0.03)
    neighbours = [lag for lag in (10.0 * delay - 10, 10.0 * delay + 10) if abs(lag) <= 30]
    assert result.profile.sel(lag=neighbours).values == pytest.approx(0.7, abs=0.08)
    lag, direction = json.loads(result.attrs["conclusion"])
    assert lag.startswith("V4 explains IT best at a lag of ")
    words = {
        -1: "V4 runs behind IT (",
        0: "It was not found that V4 runs",
        2: "V4 runs ahead of IT (",
    }
    assert direction.startswith(words[delay])
    if delay:
        assert np.sign(result.direction_mean.item()) == np.sign(delay)
        assert result.direction_mean_p.item() < 1e-6
        assert (result.direction_p.values < 0.01).all()
    else:
        assert abs(result.direction_mean.item()) < 0.03
        assert result.direction_mean_p.item() > 0.05


def test_opposite_noise_of_the_areas_makes_no_direction(planting: Any) -> None:
    plan = planting.AREAS["no delay, opposite noise"]
    result = analysed(plan, 0, AreasConfig(max_lag=30))
    assert abs(result.direction_mean.item()) < 0.03
    assert result.direction_mean_low.item() < 0 < result.direction_mean_high.item()


def test_the_scores_equal_a_plain_loop(planting: Any) -> None:
    """Ridge with one penalty between different trial halves, split by split, pooled."""
    plan = planting.Areas(source_noise=(1.0, 2.0, 1.0), target_noise=(1.0, 1.0, 2.0))
    source, recording = replace(plan, n_stimuli=40, n_source=6, n_target=9).draw(3)
    config = replace(FEW, mapping=RidgeMapping(alphas=(3.0,)), min_z=None)
    result = areas(source, recording, config)
    trials, train = draw_trials(recording, config), draw_splits(recording, config).train
    x, y = (
        np.stack([trials.means(each.block(b))[1:] for b in range(3)]).astype(np.float32)
        for each in (source, recording)
    )

    def correlate(a: np.ndarray, b: np.ndarray) -> float:
        pairs = zip(a.T, b.T, strict=True)
        return float(np.mean([stats.pearsonr(one, other)[0] for one, other in pairs]))

    for a in range(3):
        for b in range(3):
            found = []
            for inside in train:
                for half in range(2):
                    x1, x2, y1, y2 = x[a, half], x[a, 2 + half], y[b, half], y[b, 2 + half]
                    one = Ridge(3.0).fit(x1[inside], y2[inside]).predict(x1[~inside])
                    other = Ridge(3.0).fit(x2[inside], y1[inside]).predict(x2[~inside])
                    t1, t2 = y1[~inside], y2[~inside]
                    r_xy = (correlate(one, t2) + correlate(other, t1)) / 2
                    found.append((r_xy, correlate(one, other), correlate(t1, t2)))
            r_xy, r_xx, r_yy = np.mean(found, axis=0)
            expected = r_xy / np.sqrt(r_xx * r_yy)
            assert result.lag_map.values[a, b] == pytest.approx(expected, abs=1e-5)


def test_a_pls_is_fitted_bin_by_bin(planting: Any) -> None:
    plan = planting.Areas(source_noise=(1.0,) * 3, target_noise=(1.0,) * 3, n_target=12)
    source, recording = plan.draw(0)
    config = replace(FEW, mapping=PLSMapping(n_components=5), min_z=None)
    every = areas(source, recording, config)
    window = (80, 100)
    two = areas(source.select(window=window), recording.select(window=window), config)
    assert two.lag_map.values == pytest.approx(every.lag_map.values[1:, 1:], abs=1e-9)
    assert every.lag_map.values[0, 1] == pytest.approx(1, abs=0.2)
    assert np.isnan(every.chosen_lag.values).all(), "a PLS states no smoother"


def test_noise_that_both_areas_share_in_a_trial_predicts_nothing(planting: Any) -> None:
    plan = planting.Areas(related=False, shared_noise=1.5, n_stimuli=300)
    source, recording = plan.draw(0)
    config = AreasConfig(min_z=None)
    splits = draw_splits(recording, config)
    target = Target.of(Population.read(recording, config, name="IT"), splits)
    first = Population.read(source, config, name="V4")
    mapping, at = RidgeMapping(select="gcv"), np.array([3])
    crossed = fit_maps(first, (3,), target, at, mapping)
    same = replace(first, halves=first.halves[:, ::-1])
    shared = fit_maps(same, (3,), target, at, mapping)
    assert shared.r_xy.mean() > 0.15, "the same trials on both sides seem to predict"
    assert abs(crossed.r_xy.mean()) < 0.03


def test_what_a_lag_adds_to_lag_0_is_its_own_share(planting: Any) -> None:
    """A target whose signal is half that of now, half of 10 ms ago, of unrelated latents."""
    rng = np.random.default_rng(0)
    drawn = planting.latents(6, 250, 6, 0.0, rng)
    mix, now, before = (planting.ways(6, n, rng) for n in (20, 15, 15))
    target = np.sqrt(0.5) * (drawn[1:] @ now + drawn[:-1] @ before)
    noise = rng.standard_normal((6, 5, 250, 20))
    source = planting.record(drawn[1:] @ mix, noise, region="V4")
    recording = planting.record(target, noise[..., :15])
    result = areas(source, recording, replace(FEW, max_lag=10, unique=True))
    assert result.profile.values == pytest.approx([0, 0.5**0.5, 0.5**0.5], abs=0.06)
    unique = result.unique.values
    assert unique[2] == pytest.approx(0.5, abs=0.06)
    assert unique[0] == pytest.approx(0, abs=0.01)
    assert np.isnan(unique[1])
    assert 0.4 < result.unique_low.values[2] < unique[2] < result.unique_high.values[2] < 0.6


def test_another_order_of_the_source_changes_nothing_but_its_halves(planting: Any) -> None:
    source, recording = planting.Areas().draw(0)
    ids = recording.stimuli.ids
    shuffled = replace(source, stimuli=source.stimuli.only([*range(7, len(ids)), *range(7)]))
    assert not np.array_equal(shuffled.stimuli.ids, ids)
    same = aligned(shuffled, recording)
    assert np.array_equal(same.stimuli.ids, ids)
    xr.testing.assert_identical(areas(same, recording, FEW), areas(source, recording, FEW))
    fewer = keep_stimuli(recording, [str(each) for each in ids[:100]])
    assert np.array_equal(aligned(source, fewer).stimuli.ids, fewer.stimuli.ids)


def test_sources_that_do_not_fit_are_refused(planting: Any) -> None:
    source, recording = planting.Areas().draw(0)
    fewer = keep_stimuli(source, [str(each) for each in source.stimuli.ids[:100]])
    with pytest.raises(NeurofitError, match=r"lacks 50 of 150 stimuli of planted, the first 's100"):
        areas(fewer, recording, FEW)
    with pytest.raises(NeurofitError, match="needs the time bins of the recording"):
        areas(source.select(window=(70, 100)), recording, FEW)
    two = source.responses.assign_coords(region=("neuroid", ["V4", "IT"] * 15))
    with pytest.raises(NeurofitError, match="is from one to one; planted has IT, V4"):
        areas(replace(source, responses=two), recording, FEW)
    with pytest.raises(NeurofitError, match=r"need 3 neuroids .*; V4 has 2 of 2"):
        areas(replace(source, responses=source.responses.isel(neuroid=[0, 1])), recording, FEW)


def test_neuroids_that_lack_trials_are_left_out_of_their_bins_and_noted(planting: Any) -> None:
    source, recording = planting.Areas().draw(0)
    for each in (source, recording):
        each.responses[:6, 4, 2] = np.nan  # all trials of a stimulus
    result = areas(source, recording, FEW)
    assert result.n_neuroids.values[2, 2] == result.n_neuroids.values[3, 2] == 23
    assert result.n_neuroids.values[2, 3] == 24
    assert "1 of 30 neuroids of V4 lack 2 valid trials" in result.attrs["notes"]
    assert "1 of 24 neuroids of IT lack 2 valid trials" in result.attrs["notes"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mapping": ("ridge", "pls")}, "take one mapping; got ridge, pls"),
        ({"time_mode": "fixed"}, "have time_mode per-bin"),
        ({"splits": "folds-together"}, "Unknown splits .folds-together"),
    ],
)
def test_options_without_a_meaning_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(NeurofitError, match=words):
        AreasConfig(**options)


def test_without_a_score_at_every_lag_there_is_no_profile(planting: Any) -> None:
    result = analysed(planting.Areas(), 1, replace(FEW, max_lag=60))
    assert np.isnan(result.best_lag.item())
    assert np.isnan(result.held_out_score.item())
    assert np.isnan(result.chosen_lag.values).all()
    assert "No target bin has a score at every lag" in result.attrs["notes"]


def test_the_lag_of_unrelated_areas_is_anywhere(planting: Any) -> None:
    result = analysed(planting.Areas(related=False), 1, replace(FEW, max_lag=30))
    assert abs(result.profile.values).max() < 0.15
    assert result.best_lag_high.item() - result.best_lag_low.item() > 30


def test_the_numbers_do_not_depend_on_the_number_of_cores(planting: Any) -> None:
    source, recording = planting.Areas().draw(0)
    one, two = (
        areas(source, recording, FEW, compute=neurofit.Compute(n_jobs=jobs)) for jobs in (1, 2)
    )
    xr.testing.assert_identical(one, two)


@pytest.fixture
def both(planting: Any, registered: Callable[[Recording], None]) -> Recording:
    """Register a recording of both areas as "small"."""
    source, recording = planting.Areas(n_source=12, n_target=12).draw(0)
    joined = xr.concat([source.responses, recording.responses], dim="neuroid")
    made: Recording = replace(recording, name="small", responses=joined)
    registered(made)
    return made


def test_a_source_is_an_area_of_the_recording_or_of_another(both: Recording) -> None:
    run = neurofit.RunConfig(
        recording="small",
        selection=neurofit.Selection(region="IT", window=(80, 130)),
        analysis=replace(FEW, source="V4"),
    )
    result = neurofit.run(run)
    window = (80, 130)
    source, recording = (both.select(region=each, window=window) for each in ("V4", "IT"))
    assert result.attrs["source"] == "V4 of small"
    expected = areas(source, recording, FEW).lag_map.values
    assert result.lag_map.values == pytest.approx(expected, nan_ok=True)
    named = replace(run, analysis=replace(FEW, source="small:V4"))
    assert neurofit.run(named).lag_map.equals(result.lag_map)
    assert neurofit.verify(result).holds
    with pytest.raises(NeurofitError, match=r"Name the area that predicts.*small has IT, V4"):
        neurofit.run(replace(run, analysis=FEW))
    with pytest.raises(NeurofitError, match="Unknown region of small 'V5'"):
        neurofit.run(replace(run, analysis=replace(FEW, source="V5")))


def test_the_command_writes_table_picture_and_report(
    neurofit: Any, both: Recording, tmp_path: Any
) -> None:
    options = ["--max-lag", "20", "--n-halves", "2", "--n-splits", "3", "--n-jobs", "1"]
    call = ["--recording", "small", "--region", "IT", "--source", "V4", *options]
    code, out, err = neurofit("analyse", "areas", *call, "--out", str(tmp_path / "made"))
    assert code == 0, err
    assert "V4 of small as the source" in out
    assert "lag that explains best" in out
    assert (tmp_path / "made" / "plot.png").is_file()
    code, out, err = neurofit("report", str(tmp_path / "made"), "--out", str(tmp_path / "report"))
    assert code == 0, err
