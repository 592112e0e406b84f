"""Lags and paces: planted ones, models that have none, and predictions of left-out stimuli."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from sklearn.linear_model import Ridge as PlainRidge

import neurofit
from neurofit.activations.activations import Activations
from neurofit.analyses.lag.candidates import Candidates
from neurofit.analyses.lag.config import LagConfig, parse_range
from neurofit.analyses.lag.lag import lag
from neurofit.analyses.lag.left_out import Ridge
from neurofit.errors import NeurofitError
from neurofit.recordings.recording import Recording

Inputs = tuple[Activations, Recording]
Draw = Callable[..., Inputs]
Scripts = Callable[[str], AbstractContextManager[Callable[[str], Any]]]

SMALL: dict[str, Any] = {"n_stimuli": 120, "n_neuroids": 16, "n_bins": 14}
FEW: dict[str, Any] = {"n_splits": 3, "n_halves": 2}
ALPHAS = (0.1, 1.0, 10.0, 100.0)


@pytest.fixture
def lags(scripts: Scripts) -> Iterator[Any]:
    """Return the script that plants lags and paces."""
    with scripts("validity") as imported:
        yield imported("lags")


@pytest.fixture
def draw(lags: Any) -> Draw:
    """Draw activations and a recording with a planted lag and pace."""
    return lambda seed=0, **options: lags.Planted(**{**SMALL, **options}).draw(seed)


@pytest.mark.parametrize(
    ("planted", "pace"), [(0.0, 1.0), (14.0, 1.0), (-13.0, 1.0), (0.0, 1.25), (9.0, 0.85)]
)
def test_planted_lags_and_paces_are_recovered(lags: Any, planted: float, pace: float) -> None:
    """The largest error allowed is a tenth of a bin for ten of noise-free trials' bins."""
    found = lags.one(lags.Planted(lag=planted, pace=pace, noise=1.0), 0)
    for name, within in (("lag", 2.0), ("pace", 0.05), ("intercept", 6.0)):
        value, low, high = found[name]
        assert value == pytest.approx(found["truth"][name], abs=within)
        assert low <= value <= high
        assert high - low < 4 * within
    gain, low, high = found["gain"]
    assert low <= gain <= high
    assert (low > 0) == (planted != 0 or pace != 1.0)


def test_the_one_to_one_map_has_the_curve_of_a_score(draw: Draw) -> None:
    inputs = draw(lag=12.0)
    result = lag(*inputs, LagConfig(**FEW))
    score = neurofit.score(*inputs, neurofit.ScoreConfig(**FEW))
    shown = np.isfinite(result.curve_one_to_one.values)
    assert shown.sum() >= 5
    assert not shown[result.compared.values == 0].any()
    for name in ("curve", "curve_low", "curve_high"):
        own = result[name.replace("curve", "curve_one_to_one")].values[shown]
        assert own == pytest.approx(score[name].values[shown], abs=2e-3 if "_" in name else 1e-12)
    assert (result.curve - result.curve_one_to_one).mean().item() == pytest.approx(
        result.gain.item(), abs=1e-12
    )


def test_a_steady_model_has_no_lag_and_nothing_to_gain(draw: Draw) -> None:
    result = lag(*draw(kind="steady"), LagConfig(**FEW))
    for name in ("lag", "pace", "intercept"):
        assert np.isnan(result[name].item())
    assert result.lag_low.item() == -40
    assert result.pace_high.item() > 1.4
    assert np.isnan(result.model_time.values).all()
    assert (result.lag_of_split.values == 0).all(), "of equal candidates the one-to-one map"
    assert result.gain.item() == result.gain_low.item() == result.gain_high.item() == 0
    assert "layer has no lag and no pace" in result.attrs["notes"]
    assert "No lag of IT behind layer is defined." in result.attrs["conclusion"]


def test_an_unrelated_model_has_no_lag(draw: Draw) -> None:
    result = lag(*draw(kind="unrelated"), LagConfig(min_z=None, **FEW))
    assert np.isnan(result.lag.item())
    assert result.gain_low.item() < 0 < result.gain_high.item()


def test_a_lag_beyond_the_range_is_not_reported(draw: Draw) -> None:
    inputs = draw(lag=30.0, noise=1.0)
    within, beyond = (lag(*inputs, LagConfig(lags=(-20, end), **FEW)) for end in (40, 20))
    assert within.lag.item() == pytest.approx(30, abs=2)
    assert "The lag of IT behind layer is 30 (95% interval" in within.attrs["conclusion"]
    assert "From those times layer predicts other images better" in within.attrs["conclusion"]
    assert np.isnan(beyond.lag.item())
    assert beyond.lag_high.item() == 20
    assert "an end of the candidates (-20 to 20 ms)" in beyond.attrs["notes"]


def test_test_stimuli_have_no_part_in_the_choice(draw: Draw) -> None:
    """Other responses to the test stimuli of the first split leave its choice as it is."""
    activations, recording = draw(lag=10.0, noise=3.0)
    config = LagConfig(interval_over="stimuli", **FEW)
    from neurofit.analyses.encoding.fitting import Fitting

    train = Fitting(activations, recording, config).train[0]
    responses, rows = recording.responses.copy(deep=True), recording.stimulus_rows
    tested = np.flatnonzero(~train[rows])
    responses.values[tested] = responses.values[tested, :, ::-1]
    changed = replace(recording, responses=responses)
    one, other = (lag(activations, each, config) for each in (recording, changed))
    for name in ("lag_of_split", "pace_of_split"):
        assert one[name].values[0, 0] == other[name].values[0, 0]
    assert (one.lag_of_split.values[0, 1:] != other.lag_of_split.values[0, 1:]).any()


def test_every_candidate_is_compared_in_the_same_known_bins(draw: Draw) -> None:
    activations, recording = draw(n_bins=19)
    candidates = Candidates.of(activations, "layer", recording, LagConfig())
    used, asked = candidates.compared, candidates.model_time
    assert (candidates.lags[0], candidates.paces[0]) == (0, 1)
    assert asked[:, used].max() <= 255, "the middle of the last timestep"
    wider = candidates.middles[used].max() + 10
    latest = candidates.pivot + 5 + 40 + (wider - candidates.pivot - 5) / candidates.paces.min()
    assert latest > 255, "with another bin some candidate would ask for more"
    driven = asked[:, used].min(axis=1) >= 55
    sums = candidates.weights.sum(axis=(1, 2))
    assert sums[driven] == pytest.approx(1, abs=1e-12)
    assert (sums <= 1 + 1e-12).all()
    assert not candidates.weights[:, :5].any(), "the image has not reached the layer"


def test_values_between_model_times_are_interpolated(draw: Draw) -> None:
    """A parabola is found everywhere, also in the first and in the last timestep."""
    activations, recording = draw(n_bins=19)
    candidates = Candidates.of(activations, "layer", recording, LagConfig())
    times = candidates.times.middles
    values = np.where(times >= 55, (times - 140) ** 2 / 1000, 0.0)
    found = np.einsum("cmb,m->c", candidates.weights, values)
    asked = candidates.model_time[:, candidates.compared]
    driven = asked.min(axis=1) >= 55
    expected = ((asked - 140) ** 2 / 1000).mean(axis=1)
    assert 0 < driven.sum() < len(driven)
    assert found[driven] == pytest.approx(expected[driven], abs=1e-9)


@pytest.mark.parametrize("grouped", [False, True])
def test_left_out_predictions_equal_a_loop(grouped: bool) -> None:
    rng = np.random.default_rng(0)
    features, targets = rng.standard_normal((24, 6)), rng.standard_normal((24, 5))
    targets += features @ rng.standard_normal((6, 5)) * [0.0, 0.1, 0.5, 1.0, 3.0]
    groups = np.arange(24) // 3 if grouped else None
    centred = features - features.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    made = Ridge.of(u * s, s**2, ALPHAS, groups).predict(targets)
    errors = []
    for alpha in ALPHAS:
        hat = np.full((24, 24), 1 / 24) + (u * s**2 / (s**2 + alpha)) @ u.T
        rest = targets - hat @ targets
        errors.append((rest**2).sum(axis=0) / (1 - np.trace(hat) / 24) ** 2)
    assert made.choice.tolist() == np.argmin(errors, axis=0).tolist()
    assert len(set(made.choice.tolist())) > 1
    numbers = np.arange(24) if groups is None else groups
    for number in np.unique(numbers):
        out = numbers == number
        for n in range(5):
            plain = PlainRidge(ALPHAS[made.choice[n]]).fit(features[~out], targets[~out, n])
            expected = plain.predict(features[out]) - targets[~out, n].mean()
            assert made.predicted[out, n] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("grouped", [False, True])
def test_influences_are_those_of_leaving_a_row_or_a_group_out(grouped: bool) -> None:
    """To first order r falls by the influence of what is left out, also from the training."""
    rng = np.random.default_rng(1)
    n, size = 240, 3 if grouped else 1
    features = rng.standard_normal((n, 40))
    targets = features[:, :10] @ rng.standard_normal((10, 4)) + 3 * rng.standard_normal((n, 4))

    def fit(rows: np.ndarray) -> Any:
        centred = features[rows] - features[rows].mean(axis=0)
        u, s, _ = np.linalg.svd(centred, full_matrices=False)
        groups = (np.arange(n) // size)[rows] if grouped else None
        return Ridge.of(u * s, s**2, (30.0,), groups).predict(targets[rows])

    whole = fit(np.arange(n))
    summed = whole.influences().reshape(-1, size, 4).sum(axis=1)
    fell = np.stack(
        [whole.r - fit(np.flatnonzero(np.arange(n) // size != g)).r for g in range(n // size)]
    )
    for one, other in zip(summed.T, fell.T, strict=True):
        assert np.corrcoef(one, other)[0, 1] > 0.97
        assert one.std() / other.std() == pytest.approx(1, abs=0.1)


@pytest.mark.filterwarnings("ignore::neurofit.errors.NeurofitWarning")
@pytest.mark.simulation
def test_intervals_hold_planted_lags_and_paces(lags: Any) -> None:
    """A bin is 10 ms; a pace that is off by 0.16 is off by a bin after 60 ms, half of the bins."""
    planted = lags.Planted(lag=13.0, pace=1.15, noise=5.0, n_stimuli=100, n_neuroids=20)
    found = lags.summarise([lags.one(planted, number) for number in range(30)])
    for name, within in (("lag", 10.0), ("pace", 0.16)):
        own = found[name]
        assert own["defined"] == 1
        assert own["coverage"] >= 25 / 30  # fewer at 95 % in 1.6 % of simulations
        assert abs(own["bias"]) < 0.05 * within + 2.5 * own["sd"] / np.sqrt(30)
        assert own["largest error"] < within
        assert own["width"] / 3.92 == pytest.approx(own["sd"], rel=0.5)


@pytest.mark.filterwarnings("ignore::neurofit.errors.NeurofitWarning")
@pytest.mark.simulation
def test_a_short_unroll_moves_neither_a_lag_of_0_nor_a_choice_by_chance(lags: Any) -> None:
    short = {"n_bins": 13, "n_steps": 20, "n_stimuli": 60, "n_neuroids": 10}
    right, chance = (
        lags.summarise([lags.one(lags.Planted(**short, **kind), seed) for seed in range(24)])
        for kind in ({"noise": 4.0}, {"noise": 4.0, "kind": "unrelated"})
    )
    assert abs(right["lag"]["bias"]) < 1 + 2.5 * right["lag"]["sd"] / np.sqrt(24)
    assert right["lag"]["coverage"] >= 20 / 24
    assert abs(chance["chosen lag"]["mean"]) < 2.5 * chance["chosen lag"]["se"]
    assert abs(chance["gain"]["mean"]) < 2.5 * chance["gain"]["se"]


def test_bins_that_lack_stimuli_or_that_are_grouped_are_taken_as_they_are(draw: Draw) -> None:
    activations, recording = draw(lag=12.0, noise=1.0)
    responses = recording.responses.copy(deep=True)
    responses.values[:16, 3, 4] = np.nan  # two stimuli of one neuroid in one bin
    table = recording.stimuli.table.assign(object=np.arange(120) // 4)
    stimuli = replace(recording.stimuli, table=table)
    odd = replace(recording, responses=responses, stimuli=stimuli)
    result = lag(activations, odd, LagConfig(groups="object", **FEW))
    assert result.lag.item() == pytest.approx(12, abs=2)
    assert "left out: 2 of 120 for 1 of 16 neuroids" in result.attrs["notes"]
    assert "30 groups of 4 stimuli" in result.attrs["notes"]


def test_layers_have_lags_of_their_own(draw: Draw) -> None:
    activations, recording = draw(lag=5.0, noise=1.0)
    own = {key: activations.blocks[key] for key in activations.blocks}
    late = {("late", min(step + 1, 25)): block for (_, step), block in sorted(own.items())[:25]}
    both = replace(
        activations,
        blocks={**own, **late, ("late", 0): own["layer", 0]},
        first_timestep={"layer": 5, "late": 6},
        region_layers={"IT": ("layer", "late")},
    )
    result = lag(both, recording, LagConfig(**FEW))
    assert result.layer.values.tolist() == ["layer", "late"]
    assert result.lag.values == pytest.approx([5, -5], abs=2)
    assert result.predictivity.dims == ("layer", "time_bin_model", "time_bin")
    one, other = result.predictivity.values
    assert other[6:] == pytest.approx(one[5:-1], abs=1e-9, nan_ok=True)


def test_the_pace_may_be_given(draw: Draw) -> None:
    result = lag(*draw(lag=9.0, noise=1.0), LagConfig(paces=(1, 1), **FEW))
    assert result.pace.item() == result.pace_low.item() == result.pace_high.item() == 1
    assert result.lag.item() == result.intercept.item() == pytest.approx(9, abs=2)


def test_the_numbers_do_not_depend_on_the_number_of_cores(draw: Draw) -> None:
    inputs = draw(lag=7.0)
    one, two = (
        lag(*inputs, LagConfig(**FEW), compute=neurofit.Compute(n_jobs=jobs)) for jobs in (1, 2)
    )
    xr.testing.assert_identical(one, two)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mapping": "pls"}, "A lag takes the mapping ridge; got pls"),
        ({"mapping": ("ridge", "pls")}, "A lag takes the mapping ridge; got ridge, pls"),
        ({"time_mode": "fixed"}, "A lag has time_mode per-bin"),
        ({"reduce": "pca:5"}, "A lag has reduce none"),
        (
            {"lags": (10, 40)},
            "lags must be a range START:END within -1000:1000 that holds 0.*10:40",
        ),
        ({"paces": (0, 2)}, "paces must be a range START:END within 0.1:10 that holds 1.*0:2"),
        ({"paces": "1:2"}, "paces must be a range"),
    ],
)
def test_options_without_a_meaning_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(NeurofitError, match=words):
        LagConfig(**options)


def test_a_range_is_two_numbers() -> None:
    assert parse_range("-20:30.5", name="lags") == (-20, 30.5)
    with pytest.raises(NeurofitError, match="lags takes START:END; got '20'"):
        parse_range("20", name="lags")


def test_bins_without_a_lag_are_refused(draw: Draw) -> None:
    activations, recording = draw()
    with pytest.raises(NeurofitError, match=r"must leave 3 time bins of planted .*0-260 ms"):
        lag(activations, recording, LagConfig(lags=(-150, 0)))
    with pytest.raises(NeurofitError, match=r"needs time bins of equal width; .* 10 to 20 ms"):
        responses = recording.responses.assign_coords(
            time_bin_end=("time_bin", np.r_[90, recording.responses.time_bin_end.values[1:]])
        )
        lag(activations, replace(recording, responses=responses))
