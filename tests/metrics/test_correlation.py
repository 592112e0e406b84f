"""Pearson's r over stimuli equals scipy's, and is undefined where a side is constant."""

import numpy as np
from scipy import stats

from neurofit.metrics import pearson


def test_equals_scipy_for_every_set_and_neuroid() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 3, 40, 5)) + 100.0
    r = pearson(a, b)
    expected = [[stats.pearsonr(a[k, :, s], b[k, :, s]).statistic for s in range(5)] for k in range(3)]
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
