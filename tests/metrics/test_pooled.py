"""Pooled scores: the formula in plain loops, and derivatives by finite differences."""

import numpy as np
import pytest

from neurofit.metrics.pooled import deal_strata, pool, pool_reliability

N_SPLITS, N_NEUROIDS, N_BINS = 3, 20, 2

Correlations = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture
def correlations(rng: np.random.Generator) -> Correlations:
    """r_xy, r_xx and r_yy (split neuroid time_bin) around .3, .5 and .4."""
    shape = (N_SPLITS, N_NEUROIDS, N_BINS)
    x, xx, yy = (np.clip(rng.normal(mean, 0.1, shape), -0.9, 0.95) for mean in (0.3, 0.5, 0.4))
    return x, xx, yy


@pytest.fixture
def strata(rng: np.random.Generator) -> np.ndarray:
    return deal_strata(rng.random((N_SPLITS, N_NEUROIDS)))


@pytest.fixture
def shares(rng: np.random.Generator) -> np.ndarray:
    """Unequal halves, as with missing trials."""
    first, second = rng.uniform(0.1, 0.3, (2, N_NEUROIDS, N_BINS))
    return np.stack([first, second, 1 / (1 / first + 1 / second)])


def test_neuroids_are_dealt_into_strata_of_equal_size_by_reliability() -> None:
    z = np.array([np.arange(64) / 64, np.arange(64)[::-1] / 64])
    dealt = deal_strata(z)
    assert (np.bincount(dealt[0]) == 8).all()
    assert len(np.bincount(dealt[0])) == 8
    assert (np.diff(dealt[0]) >= 0).all()
    assert (dealt[1] == dealt[0][::-1]).all()


@pytest.mark.parametrize(("n_neuroids", "n_strata"), [(1, 1), (15, 1), (16, 2), (40, 5), (900, 8)])
def test_strata_have_at_least_eight_neuroids(n_neuroids: int, n_strata: int) -> None:
    z = np.linspace(0, 1, n_neuroids)[None]
    assert len(np.unique(deal_strata(z))) == n_strata


def test_a_neuroid_without_reliability_is_in_no_stratum_and_counts_in_none() -> None:
    z = np.linspace(0.1, 1, 35)[None]
    z = np.concatenate([z, np.full((1, 45), np.nan)], axis=1)
    dealt = deal_strata(z)[0]
    assert (dealt[35:] == -1).all()
    assert np.bincount(dealt[:35]).tolist() == [9, 9, 9, 8]


def test_the_score_is_that_of_plain_loops(correlations: Correlations, strata: np.ndarray) -> None:
    equal = np.broadcast_to(np.array([2.0, 2.0, 1.0])[:, None, None], (3, N_NEUROIDS, N_BINS)) / 10
    pooled = pool(*correlations, equal, strata)
    for b in range(N_BINS):
        above = below = one_sided = 0.0
        for j in np.unique(strata):
            members = [
                (k, n) for k in range(N_SPLITS) for n in range(N_NEUROIDS) if strata[k, n] == j
            ]
            x, xx, yy = (np.mean([r[k, n, b] for k, n in members]) for r in correlations)
            p, y = 2 * xx / (1 + xx), 2 * yy / (1 + yy)  # Spearman-Brown
            above, below, one_sided = above + x, below + np.sqrt(p * y), one_sided + np.sqrt(y)
        assert pooled.score[b] == pytest.approx(above / below, rel=1e-12)
        assert pooled.one_sided[b] == pytest.approx(above / one_sided, rel=1e-12)


def test_the_derivatives_are_those_of_finite_differences(
    correlations: Correlations, strata: np.ndarray, shares: np.ndarray
) -> None:
    pooled, step = pool(*correlations, shares, strata), 1e-6
    for which, slopes in enumerate(pooled.slopes(strata)):
        for k, n in ((0, 0), (1, 7), (2, 19)):
            x, xx, yy = moved = tuple(r.copy() for r in correlations)
            moved[which][k, n] += step
            difference = (pool(x, xx, yy, shares, strata).score - pooled.score) / step
            np.testing.assert_allclose(slopes[k, n], difference, rtol=1e-4)


def test_the_influence_of_a_neuroid_is_what_the_score_loses_without_it(
    correlations: Correlations, shares: np.ndarray
) -> None:
    one = np.zeros((N_SPLITS, N_NEUROIDS), dtype=int)
    pooled = pool(*correlations, shares, one)
    np.testing.assert_allclose(pooled.neuroids.sum(axis=0), 0, atol=1e-12)
    lost = []
    for n in range(N_NEUROIDS):
        without = one.copy()
        without[:, n] = -1
        lost.append(pooled.score - pool(*correlations, shares, without).score)
    assert np.corrcoef(np.ravel(lost), pooled.neuroids.ravel())[0, 1] > 0.99


def test_a_missing_correlation_takes_no_part_with_the_others_of_its_neuroid(
    correlations: Correlations, shares: np.ndarray
) -> None:
    one = np.zeros((N_SPLITS, N_NEUROIDS), dtype=int)
    x, xx, yy = (r.copy() for r in correlations)
    xx[:, 3] = np.nan
    score = pool(x, xx, yy, shares, one).score
    left = np.delete(np.arange(N_NEUROIDS), 3)
    x, xx, yy = (r[:, left] for r in correlations)
    expected = pool(x, xx, yy, shares[:, left], one[:, left]).score
    np.testing.assert_allclose(score, expected, rtol=1e-12)


def test_without_any_reliability_there_is_no_score(strata: np.ndarray, shares: np.ndarray) -> None:
    shape = (N_SPLITS, N_NEUROIDS, N_BINS)
    pooled = pool(np.full(shape, 0.1), np.full(shape, -0.2), np.full(shape, -0.1), shares, strata)
    assert np.isnan(pooled.score).all()
    for slopes in pooled.slopes(strata):
        assert (slopes == 0).all()


def test_the_reliability_of_a_recording_is_pooled_over_the_same_strata(
    correlations: Correlations, strata: np.ndarray, shares: np.ndarray
) -> None:
    pooled = pool(*correlations, shares, strata)
    reliability = pool_reliability(correlations[2], shares, strata)
    np.testing.assert_allclose(reliability, pooled.r_yy.mean(axis=0), rtol=1e-12)


def test_without_any_reliable_neuroid_there_is_no_score(correlations: Correlations) -> None:
    none = np.full((N_SPLITS, N_NEUROIDS), -1)
    pooled = pool(*correlations, np.full((3, N_NEUROIDS, N_BINS), 0.2), none)
    assert np.isnan(pooled.score).all()
    assert np.isnan(pooled.one_sided).all()
    assert not np.nan_to_num(pooled.neuroids).any()
