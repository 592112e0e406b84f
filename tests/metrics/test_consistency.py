"""Split halves and Spearman-Brown against hand-computed cases, and what noise alone gives."""

from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.model_selection import ShuffleSplit

from neurofit.errors import NeurofitError
from neurofit.metrics.consistency import (
    null_reliability_sd,
    reliability_of_halves,
    reliability_of_halves_slope,
    reliable,
    spearman_brown,
)
from neurofit.metrics.correlation import pearson
from neurofit.recordings.trials import TrialSets, count_trials, deal_trials


def test_spearman_brown_by_hand() -> None:
    np.testing.assert_allclose(
        spearman_brown(np.array([0.0, 0.5, 1.0, -0.5])), [0.0, 2 / 3, 1.0, -2.0]
    )
    assert np.isnan(spearman_brown(np.array([-1.0])))[0]


def test_every_stimulus_is_split_into_two_halves_that_differ_by_at_most_one_trial() -> None:
    rows = np.random.default_rng(0).permutation(
        np.repeat(np.arange(50), np.random.default_rng(1).integers(2, 12, 50))
    )
    for half in deal_trials(rows, n_halves=6, seed=3) % 2 == 0:
        assert (
            np.abs(
                np.bincount(rows[half], minlength=50) - np.bincount(rows[~half], minlength=50)
            ).max()
            <= 1
        )


def test_halves_repeat_with_the_seed_and_differ_from_each_other() -> None:
    rows = np.repeat(np.arange(10), 6)
    first = deal_trials(rows, n_halves=4, seed=0)
    assert (first == deal_trials(rows, n_halves=4, seed=0)).all()
    assert len({half.tobytes() for half in first}) == 4
    assert (deal_trials(rows, n_halves=4, seed=1) != first).any()


def test_halves_by_repetition_are_the_same_for_all_stimuli() -> None:
    rows, repetition = np.repeat(np.arange(10), 6), np.tile(np.arange(6), 10)
    places = deal_trials(rows, n_halves=3, seed=1, by="repetition", repetition=repetition)
    for half in places % 2 == 0:
        assert (half.reshape(10, 6) == half[:6]).all()
        assert half[:6].sum() == 3


def test_a_stimulus_with_one_trial_is_refused() -> None:
    with pytest.raises(NeurofitError, match="at least 2 repetitions"):
        deal_trials(np.array([0, 0, 1]), n_halves=1, seed=0)


def test_means_of_uneven_and_missing_trials_by_hand() -> None:
    rows = np.array([0, 0, 0, 1, 1])
    trials = np.array(
        [[1.0, 1.0], [2.0, np.nan], [6.0, 3.0], [4.0, np.nan], [8.0, np.nan]], dtype=np.float32
    )
    places = np.array([[2, 1, 3, 0, 1]])  # the second and the first half begin
    means = TrialSets(rows, places).means(trials)
    np.testing.assert_allclose(means[0], [[3.0, 2.0], [6.0, np.nan]])
    np.testing.assert_allclose(means[1], [[1.0, 3.0], [4.0, np.nan]])
    np.testing.assert_allclose(means[2], [[4.0, 1.0], [8.0, np.nan]])


def test_reliability_of_a_hand_made_recording() -> None:
    first, second = np.array([[1.0], [2.0], [3.0], [4.0]]), np.array([[1.0], [3.0], [2.0], [4.0]])
    np.testing.assert_allclose(spearman_brown(pearson(first, second)), [2 * 0.8 / 1.8])


def test_missing_trials_of_one_neuroid_do_not_touch_another() -> None:
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(20), 8)
    trials = rng.standard_normal((160, 2)).astype(np.float32)
    sets = TrialSets(rows, deal_trials(rows, n_halves=3, seed=0))
    holes = trials.copy()
    holes[::9, 0] = np.nan
    np.testing.assert_allclose(sets.means(trials)[..., 1], sets.means(holes)[..., 1], atol=1e-12)


def test_the_order_of_presentations_changes_no_mean() -> None:
    rows = np.repeat(np.arange(12), 5)
    trials = np.random.default_rng(0).standard_normal((60, 3)).astype(np.float32)
    places = deal_trials(rows, n_halves=2, seed=0)
    order = np.random.default_rng(1).permutation(60)
    np.testing.assert_allclose(
        TrialSets(rows[order], places[:, order]).means(trials[order]),
        TrialSets(rows, places).means(trials),
        atol=1e-12,
    )


def test_the_null_standard_deviation_is_that_of_simulated_noise() -> None:
    n, repetitions, n_splits, n_halves = 160, 20, 5, 5
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(n), repetitions)
    sets = TrialSets(rows, deal_trials(rows, n_halves=n_halves, seed=0))
    means = sets.means(rng.standard_normal((n * repetitions, 1500)).astype(np.float32))
    test = np.stack([rng.permutation(n) < n // 4 for _ in range(n_splits)])
    r = np.stack(
        [
            spearman_brown(pearson(means[1 : 1 + n_halves, t], means[1 + n_halves :, t]))
            for t in (np.flatnonzero(t) for t in test)
        ]
    )
    measured = r.mean(axis=(0, 1)).std()
    assert null_reliability_sd(
        n_test=n // 4, n_splits=n_splits, n_halves=n_halves, test_share=0.25
    ) == pytest.approx(measured, rel=0.1)


def test_noise_alone_is_not_reliable_and_a_good_bin_keeps_what_is_above_the_floor() -> None:
    rng = np.random.default_rng(0)
    noise = 0.06 * rng.standard_normal((168, 200))
    options: dict[str, Any] = {
        "floor": 0.1,
        "false_discovery_rate": 0.01,
        "null_sd": 0.06,
        "min_neuroids": 3,
    }
    assert not reliable(noise, **options).any()
    good = reliable(0.3 + 0.06 * rng.standard_normal((168, 10)), **options)
    assert good.mean() > 0.99
    mixed = np.full((168, 1), 0.05)
    mixed[:100] = 0.4
    assert reliable(mixed, **options)[:, 0].tolist() == [True] * 100 + [False] * 68
    assert not reliable(np.full((5, 1), np.nan), **options).any()


def test_false_discoveries_are_controlled_among_the_neuroids_of_each_bin() -> None:
    sd, rate, fewest, floor = 0.06, 0.05, 4, 0.05
    rng = np.random.default_rng(0)
    table = sd * (rng.standard_normal((12, 40)) + np.linspace(0.0, 4.0, 40))
    expected = np.zeros(table.shape, dtype=bool)
    for time_bin in range(40):
        p = sorted(stats.norm.sf(r / sd) for r in table[:, time_bin])
        passed = [rank for rank, each in enumerate(p, start=1) if each <= rate * rank / len(p)]
        if max(passed, default=0) >= fewest:
            expected[:, time_bin] = table[:, time_bin] > floor
    found = reliable(table, floor=floor, false_discovery_rate=rate, null_sd=sd, min_neuroids=fewest)
    np.testing.assert_array_equal(found, expected)
    assert 10 < expected.any(axis=0).sum() < 30


def test_some_halves_are_the_same_as_of_all() -> None:
    rows = np.repeat(np.arange(5), 4)
    trials = np.random.default_rng(0).standard_normal((20, 2)).astype(np.float32)
    sets = TrialSets(rows, deal_trials(rows, n_halves=5, seed=0))
    np.testing.assert_allclose(
        sets.means(trials, range(2, 4)), sets.means(trials)[[0, 3, 4, 8, 9]], atol=1e-12
    )


def first_halves_of(rows: np.ndarray, places: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return which trials are in each first half, told by the means of a single 1 among 0."""
    sets = TrialSets(rows, places)
    single = np.where(valid[:, None], np.eye(len(rows)), np.nan)
    firsts = sets.means(single)[1 : 1 + len(places)]
    return np.asarray(np.nan_to_num(firsts).sum(axis=1) > 0)


@pytest.mark.parametrize("by", ["stimulus", "repetition"])
def test_valid_trials_take_turns_in_the_order_of_all(by: str) -> None:
    rng = np.random.default_rng(0)
    rows, repetition = np.repeat(np.arange(20), 9), np.tile(np.arange(9), 20)
    shuffled = rng.permutation(180)
    rows, repetition = rows[shuffled], repetition[shuffled]
    places = deal_trials(rows, n_halves=5, seed=0, by=by, repetition=repetition)
    everything = first_halves_of(rows, places, np.ones(180, dtype=bool))
    np.testing.assert_array_equal(everything, places % 2 == 0)
    valid = rng.random(180) < 0.6
    for half, first in enumerate(first_halves_of(rows, places, valid)):
        for stimulus in range(20):
            shown = np.flatnonzero((rows == stimulus) & valid)
            in_turn = first[shown[np.argsort(places[half, shown])]]
            assert (in_turn[1:] != in_turn[:-1]).all()
            begins = places[half, rows == stimulus].min() == 0
            assert in_turn[0] == begins
    sets = TrialSets(rows, places)
    column = np.where(valid, 0.0, np.nan)[:, None]
    counts = count_trials(rows, column)
    assert counts[:, 0].tolist() == np.bincount(rows[valid], minlength=20).tolist()
    used = counts[:, 0] > 1
    for half, first in enumerate(first_halves_of(rows, places, valid)):
        sizes = [np.bincount(rows[side], minlength=20) for side in (first, valid & ~first, valid)]
        np.testing.assert_allclose(
            sets.noise_shares(counts)[:, half, 0], [np.mean(1 / n[used]) for n in sizes]
        )


def test_halves_of_all_trials_are_those_of_the_random_permutations() -> None:
    rows = np.repeat(np.arange(10), [2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
    rng = np.random.default_rng(4)
    for half in deal_trials(rows, n_halves=3, seed=4) % 2 == 0:
        shuffled = rng.permutation(len(rows))
        starts = rng.integers(2, size=10)
        for stimulus in range(10):
            own = shuffled[rows[shuffled] == stimulus]
            assert half[own].tolist() == [(i + starts[stimulus]) % 2 == 0 for i in range(len(own))]


@pytest.mark.parametrize("n", [4, 7])
def test_equal_repetitions_are_split_as_in_brain_score(n: int) -> None:
    rows, repetition = np.repeat(np.arange(10), n), np.tile(np.arange(n), 10)
    halves = deal_trials(rows, n_halves=5, seed=1, by="repetition", repetition=repetition) % 2 == 0
    splits = ShuffleSplit(5, train_size=0.5, random_state=1).split(np.arange(n))
    for half, (first, _) in zip(halves, splits, strict=True):
        assert np.flatnonzero(half[:n]).tolist() == sorted(first)
        assert (half.reshape(10, n) == half[:n]).all()


def test_uneven_repetitions_are_halved_evenly_and_an_odd_one_falls_in_either_half() -> None:
    kept = np.random.default_rng(0).integers(2, 31, 60)
    rows = np.repeat(np.arange(60), kept)
    halves = deal_trials(rows, n_halves=400, seed=0) % 2 == 0
    first = np.stack([np.bincount(rows[half], minlength=60) for half in halves])
    more = 2 * first - kept
    assert (np.abs(more) == kept % 2).all()
    assert more[:, kept % 2 == 1].mean(axis=0) == pytest.approx(0.0, abs=0.2)  # sd 0.05


def test_uneven_repetitions_keep_the_sides_that_brain_score_draws() -> None:
    kept = np.random.default_rng(0).integers(2, 8, 60)
    rows = np.repeat(np.arange(60), kept)
    repetition = np.concatenate([np.arange(n) for n in kept])
    halves = deal_trials(rows, n_halves=20, seed=0, by="repetition", repetition=repetition) % 2 == 0
    drawn = ShuffleSplit(20, train_size=0.5, random_state=0).split(np.arange(7))
    for half, (first, _) in zip(halves, drawn, strict=True):
        side = np.isin(repetition, first)
        for stimulus in range(60):
            own = rows == stimulus
            if side[own].any() and not side[own].all():
                assert (half[own] == side[own]).all()
            else:
                assert abs(2 * half[own].sum() - kept[stimulus]) <= 1, "they take turns"


def test_one_repetition_number_cannot_be_halved() -> None:
    rows, zeros = np.array([0, 0, 1, 1]), np.zeros(4, dtype=int)
    with pytest.raises(NeurofitError, match="at least 2 repetition numbers; all are 0"):
        deal_trials(rows, n_halves=1, seed=0, by="repetition", repetition=zeros)


def test_the_reliability_of_equal_halves_is_spearman_browns_with_its_slope() -> None:
    r = np.linspace(-0.99, 1.0, 400)
    shares = np.array([[0.4], [0.4], [0.2]])
    np.testing.assert_allclose(reliability_of_halves(r, *shares), spearman_brown(r), rtol=1e-12)
    np.testing.assert_allclose(
        reliability_of_halves_slope(r, *shares), 2 / (1 + r) ** 2, rtol=1e-11
    )


@pytest.mark.parametrize("shares", [(1.0, 0.5, 1 / 3), (0.75, 0.75, 1 / 3), (0.07, 0.9, 0.05)])
def test_the_reliability_of_unequal_halves_inverts_their_correlation(
    shares: tuple[float, float, float],
) -> None:
    one, two, whole = np.array(shares)[:, None]
    signal = np.concatenate([-np.geomspace(1e-9, 0.04, 50), [0.0], np.geomspace(1e-9, 1e9, 100)])
    r = signal / np.sqrt((signal + one) * (signal + two))
    found = reliability_of_halves(r, one, two, whole)
    np.testing.assert_allclose(found, signal / (signal + whole), rtol=1e-11, atol=1e-15)
    inside, step = np.linspace(-0.5, 0.99, 100), 1e-6
    numeric = (
        reliability_of_halves(inside + step, one, two, whole)
        - reliability_of_halves(inside - step, one, two, whole)
    ) / (2 * step)
    np.testing.assert_allclose(
        reliability_of_halves_slope(inside, one, two, whole), numeric, rtol=1e-7
    )


def test_the_reliability_of_halves_is_one_at_one_and_undefined_at_minus_one() -> None:
    one, two, whole = np.array([[0.5, 1.0], [0.3, 0.1], [1 / 6, 0.09]])[..., None]
    r = np.array([-1.0, 0.0, 1.0 - 1e-15, 1.0, np.nan])
    with np.errstate(all="raise"):
        found = reliability_of_halves(r, one, two, whole)
        slope = reliability_of_halves_slope(r, one, two, whole)
    assert found.shape == slope.shape == (2, 5)
    np.testing.assert_allclose(found[:, 1:4], [[0.0, 1.0, 1.0]] * 2, atol=1e-14)
    assert np.isnan(found[:, [0, 4]]).all()
    assert np.isnan(slope[:, [0, 4]]).all()
    assert (slope[:, 1:4] > 0).all()


def test_three_trials_are_as_reliable_as_simulated_where_spearman_brown_says_less() -> None:
    true, n_stimuli, n_neuroids = 0.6, 2000, 400
    rng, rows = np.random.default_rng(0), np.repeat(np.arange(n_stimuli), 3)
    rates = rng.standard_normal((n_stimuli, n_neuroids))
    noise = rng.standard_normal((len(rows), n_neuroids)) * np.sqrt(3 * (1 / true - 1))
    sets = TrialSets(rows, deal_trials(rows, n_halves=10, seed=0))
    means = sets.means(rates[rows] + noise)
    assert np.mean(pearson(rates, means[0]) ** 2) == pytest.approx(true, abs=0.003)
    r = pearson(*np.split(means[1:], 2)).mean(axis=0)
    assert spearman_brown(r).mean() == pytest.approx(0.570, abs=0.003)
    first, second, whole = sets.noise_shares(count_trials(rows, noise)).mean(axis=1)
    assert (first + second).tolist() == pytest.approx([1.5] * n_neuroids)
    assert whole.tolist() == pytest.approx([1 / 3] * n_neuroids)
    corrected = reliability_of_halves(r, first, second, whole)
    assert corrected.mean() == pytest.approx(true, abs=0.003)
