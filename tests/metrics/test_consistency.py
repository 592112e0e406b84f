"""Split halves and Spearman-Brown against hand-computed cases, and what noise alone gives."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from neurofit.errors import NeurofitError
from neurofit.metrics.consistency import null_reliability_sd, reliable, spearman_brown
from neurofit.metrics.correlation import pearson
from neurofit.recordings.trials import TrialSets, split_halves


def test_spearman_brown_by_hand() -> None:
    np.testing.assert_allclose(
        spearman_brown(np.array([0.0, 0.5, 1.0, -0.5])), [0.0, 2 / 3, 1.0, -2.0]
    )
    assert np.isnan(spearman_brown(np.array([-1.0])))[0]


def test_every_stimulus_is_split_into_two_halves_that_differ_by_at_most_one_trial() -> None:
    rows = np.random.default_rng(0).permutation(
        np.repeat(np.arange(50), np.random.default_rng(1).integers(2, 12, 50))
    )
    for half in split_halves(rows, n_halves=6, seed=3):
        assert (
            np.abs(
                np.bincount(rows[half], minlength=50) - np.bincount(rows[~half], minlength=50)
            ).max()
            <= 1
        )


def test_halves_repeat_with_the_seed_and_differ_from_each_other() -> None:
    rows = np.repeat(np.arange(10), 6)
    first = split_halves(rows, n_halves=4, seed=0)
    assert (first == split_halves(rows, n_halves=4, seed=0)).all()
    assert len({half.tobytes() for half in first}) == 4
    assert (split_halves(rows, n_halves=4, seed=1) != first).any()


def test_halves_by_repetition_are_the_same_for_all_stimuli() -> None:
    rows, repetition = np.repeat(np.arange(10), 6), np.tile(np.arange(6), 10)
    for half in split_halves(rows, n_halves=3, seed=1, by="repetition", repetition=repetition):
        assert (half.reshape(10, 6) == half[:6]).all()
        assert half[:6].sum() == 3


def test_a_stimulus_with_one_trial_is_refused() -> None:
    with pytest.raises(NeurofitError, match="at least 2 repetitions"):
        split_halves(np.array([0, 0, 1]), n_halves=1, seed=0)


def test_means_of_uneven_and_missing_trials_by_hand() -> None:
    rows = np.array([0, 0, 0, 1, 1])
    trials = np.array(
        [[1.0, 1.0], [2.0, np.nan], [6.0, 3.0], [4.0, np.nan], [8.0, np.nan]], dtype=np.float32
    )
    halves = np.array([[True, False, False, True, False]])
    means = TrialSets(rows, halves).means(trials)
    np.testing.assert_allclose(means[0], [[3.0, 2.0], [6.0, np.nan]])
    np.testing.assert_allclose(means[1], [[1.0, 1.0], [4.0, np.nan]])
    np.testing.assert_allclose(means[2], [[4.0, 3.0], [8.0, np.nan]])


def test_reliability_of_a_hand_made_recording() -> None:
    first, second = np.array([[1.0], [2.0], [3.0], [4.0]]), np.array([[1.0], [3.0], [2.0], [4.0]])
    np.testing.assert_allclose(spearman_brown(pearson(first, second)), [2 * 0.8 / 1.8])


def test_missing_trials_of_one_neuroid_do_not_touch_another() -> None:
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(20), 8)
    trials = rng.standard_normal((160, 2)).astype(np.float32)
    sets = TrialSets(rows, split_halves(rows, n_halves=3, seed=0))
    holes = trials.copy()
    holes[::9, 0] = np.nan
    np.testing.assert_allclose(sets.means(trials)[..., 1], sets.means(holes)[..., 1], atol=1e-12)


def test_the_order_of_presentations_changes_no_mean() -> None:
    rows = np.repeat(np.arange(12), 5)
    trials = np.random.default_rng(0).standard_normal((60, 3)).astype(np.float32)
    halves = split_halves(rows, n_halves=2, seed=0)
    order = np.random.default_rng(1).permutation(60)
    np.testing.assert_allclose(
        TrialSets(rows[order], halves[:, order]).means(trials[order]),
        TrialSets(rows, halves).means(trials),
        atol=1e-12,
    )


def test_the_null_standard_deviation_is_that_of_simulated_noise() -> None:
    n, repetitions, n_splits, n_halves = 160, 20, 5, 5
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(n), repetitions)
    sets = TrialSets(rows, split_halves(rows, n_halves=n_halves, seed=0))
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


def test_halves_of_even_trials_mirror_each_other_and_of_odd_ones_do_not() -> None:
    even, odd = np.repeat(np.arange(5), 4), np.repeat(np.arange(5), [4, 4, 3, 4, 4])
    trials = np.random.default_rng(0).standard_normal((20, 2)).astype(np.float32)
    sets = TrialSets(even, split_halves(even, n_halves=3, seed=0))
    means = sets.means(trials)
    assert sets.mirrored.tolist() == [True] * 3
    np.testing.assert_allclose(means[4:], 2 * means[:1] - means[1:4], atol=1e-12)
    assert not TrialSets(odd, split_halves(odd, n_halves=3, seed=0)).mirrored.any()


def test_some_halves_are_the_same_as_of_all() -> None:
    rows = np.repeat(np.arange(5), 4)
    trials = np.random.default_rng(0).standard_normal((20, 2)).astype(np.float32)
    sets = TrialSets(rows, split_halves(rows, n_halves=5, seed=0))
    np.testing.assert_allclose(
        sets.means(trials, range(2, 4)), sets.means(trials)[[0, 3, 4, 8, 9]], atol=1e-12
    )


def test_trials_of_a_stimulus_are_split_evenly_within_each_session_too() -> None:
    rng = np.random.default_rng(0)
    rows, session = rng.permutation(np.repeat(np.arange(30), 9)), rng.integers(3, size=270)
    for half in split_halves(rows, n_halves=5, seed=0, session=session):
        for among in (rows, 3 * rows + session):
            assert (
                np.abs(
                    np.bincount(among[half], minlength=90) - np.bincount(among[~half], minlength=90)
                ).max()
                <= 1
            )


@pytest.mark.parametrize("n", [3, 4])
def test_presentations_each_in_a_session_of_its_own_are_split_at_random(n: int) -> None:
    rows = np.repeat(np.arange(40), n)
    halves = split_halves(rows, n_halves=2000, seed=0, session=np.arange(40 * n))
    assert halves.mean(axis=0) == pytest.approx(0.5, abs=0.05)  # a standard deviation of 0.011 each
    for one in range(n):
        for other in range(one):  # two of three or four trials share a side in a third of halves
            together = (halves[:, one::n] == halves[:, other::n]).mean(axis=0)
            assert together == pytest.approx(1 / 3, abs=0.05)
