"""Pearson's r over stimuli equals scipy's, and is undefined where a side is constant."""

import numpy as np
from scipy import stats

from neurofit.metrics.correlation import pearson, pearson_influence


def test_equals_scipy_for_every_set_and_neuroid() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 3, 40, 5)) + 100.0
    r = pearson(a, b)
    expected = [
        [stats.pearsonr(a[k, :, s], b[k, :, s]).statistic for s in range(5)] for k in range(3)
    ]
    np.testing.assert_allclose(r, expected, atol=1e-10)


def test_a_constant_side_gives_nan_and_not_0_or_1() -> None:
    values = np.random.default_rng(0).standard_normal((20, 3))
    constant = values.copy()
    constant[:, 1] = 0.1 + 0.2
    r = pearson(values, constant)
    assert np.isnan(r[1])
    np.testing.assert_allclose(r[[0, 2]], 1.0)
    assert np.isnan(pearson(values, np.zeros((20, 3)))).all()


def test_never_exceeds_1() -> None:
    values = np.random.default_rng(0).standard_normal((7, 1000))
    assert pearson(values, values * 3).max() <= 1.0


def test_an_influence_is_the_derivative_of_r_to_the_weight_of_a_stimulus() -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((3, 15, 2))
    b, slope = a + rng.standard_normal(a.shape), rng.standard_normal((3, 2))
    influence = pearson_influence(a, b, slope)

    def weighted(weights: np.ndarray) -> np.ndarray:
        r = [
            [np.cov(a[k, :, s], b[k, :, s], aweights=weights, ddof=0) for s in range(2)]
            for k in range(3)
        ]
        return np.asarray(
            (slope * [[c[0, 1] / np.sqrt(c[0, 0] * c[1, 1]) for c in row] for row in r]).sum(axis=0)
        )

    for i, step in enumerate(1e-5 * np.eye(15)):
        np.testing.assert_allclose(
            influence[i], (weighted(1 + step) - weighted(1 - step)) / 2e-5, atol=1e-8
        )
    np.testing.assert_allclose(influence.sum(axis=0), 0.0, atol=1e-12)


def test_a_set_without_r_has_no_influence() -> None:
    a = np.random.default_rng(0).standard_normal((2, 9, 1))
    flat = np.concatenate([a[:1], np.ones((1, 9, 1))])
    np.testing.assert_array_equal(
        pearson_influence(a, flat, np.ones((2, 1))),
        pearson_influence(a[:1], flat[:1], np.ones((1, 1))),
    )
