"""Regression with robust intervals: closed forms, planted effects, coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from neurofit.errors import NeurofitError
from neurofit.metrics.regression import regress


def test_one_predictor_gives_the_line_of_scipy() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=30)
    y = 2.0 + 0.5 * x + rng.normal(size=30)
    found, line = regress(y, {"x": x}), stats.linregress(x, y)
    assert found.coefficients[0] == pytest.approx(line.slope, rel=1e-12)
    assert found.intercept == pytest.approx(line.intercept, rel=1e-12)
    assert found.r2 == pytest.approx(line.rvalue**2, rel=1e-12)
    assert found.n == 30


def test_two_groups_have_the_variance_of_welch() -> None:
    """Degrees of freedom are those of Welch and Satterthwaite for equal variances, by hand."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, 9), rng.normal(1, 3, 14)
    group = np.repeat([0.0, 1.0], [9, 14])
    found = regress(np.concatenate([a, b]), {"group": group})
    error = np.sqrt(a.var(ddof=1) / 9 + b.var(ddof=1) / 14)
    df = (1 / 9 + 1 / 14) ** 2 / (1 / (9**2 * 8) + 1 / (14**2 * 13))
    half = stats.t.ppf(0.975, df) * error
    difference = b.mean() - a.mean()
    assert found.df[0] == pytest.approx(df, rel=1e-10)
    assert found.coefficients[0] == pytest.approx(difference, rel=1e-10)
    assert found.low[0] == pytest.approx(difference - half, rel=1e-10)
    assert found.high[0] == pytest.approx(difference + half, rel=1e-10)
    welch = stats.ttest_ind(b, a, equal_var=False)
    assert found.p[0] == pytest.approx(2 * stats.t.sf(welch.statistic, df), rel=1e-9)


def test_several_predictors_have_the_textbook_formula() -> None:
    """White's sandwich written with explicit inverses and diagonal matrices."""
    rng = np.random.default_rng(2)
    x, z = rng.normal(size=(2, 25))
    y = rng.normal(size=25) * (1 + x**2)
    design = np.column_stack([np.ones(25), x, z])
    inverse = np.linalg.inv(design.T @ design)
    hat = design @ inverse @ design.T
    e = (y - hat @ y) / np.sqrt(1 - np.diag(hat))
    covariance = inverse @ design.T @ np.diag(e**2) @ design @ inverse
    found = regress(y, {"x": x, "z": z}, level=0.9)
    half = (found.high - found.low) / 2 / stats.t.ppf(0.95, found.df)
    assert half == pytest.approx(np.sqrt(np.diag(covariance))[1:], rel=1e-10)
    # the estimate of a variance of 1 over many samples: df = 2 mean^2 / variance
    residuals = (rng.normal(size=(200_000, 25)) @ (np.eye(25) - hat)) / np.sqrt(1 - np.diag(hat))
    estimates = (residuals * (inverse @ design.T)[1]) ** 2 @ np.ones(25)
    assert found.df[0] == pytest.approx(2 * estimates.mean() ** 2 / estimates.var(), rel=0.02)
    # other units change the coefficients alone
    far = regress(y, {"x": 1e9 * x, "z": 1e-9 * z}, level=0.9)
    assert far.coefficients * [1e9, 1e-9] == pytest.approx(found.coefficients, rel=1e-8)
    assert far.p == pytest.approx(found.p, rel=1e-8)


def nets(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    """Return predictors like those of searched nets: correlated numbers, and kinds of cells."""
    cells = rng.permutation(np.arange(n) % 4)
    depth = rng.integers(4, 7, n).astype(float)
    size = 3.5 + 0.15 * depth + rng.normal(0, 0.3, n)
    return {
        "accuracy": 0.5 + 0.1 * (size - 4) + rng.normal(0, 0.08, n),
        "log parameters": size,
        "log time": 0.5 * size + rng.normal(0, 0.2, n),
        "depth": depth,
        "timesteps": rng.integers(8, 13, n).astype(float),
        **{f"cell {kind}": (cells == kind).astype(float) for kind in range(1, 4)},
    }


PLANTED = np.array([0.4, 0.03, -0.05, 0.0, 0.01, 0.0, 0.05, -0.03])


@pytest.mark.simulation
@pytest.mark.parametrize("n", [40, 100])
@pytest.mark.parametrize("unequal", [False, True])
def test_intervals_contain_planted_effects_as_often_as_they_say(n: int, unequal: bool) -> None:
    """Small nets have a larger spread; new nets in each simulation."""
    rng = np.random.default_rng(n)
    inside, found = [], []
    for _ in range(3000):
        predictors = nets(rng, n)
        spread = 0.03 * (np.exp(4 - predictors["log parameters"]) if unequal else 1.0)
        y = 0.2 + np.column_stack(list(predictors.values())) @ PLANTED
        made = regress(y + spread * rng.normal(size=n), predictors)
        inside.append((made.low <= PLANTED) & (made.high >= PLANTED))
        found.append(made.coefficients)
    coverage = np.mean(inside, axis=0)
    assert ((coverage > 0.93) & (coverage < 0.97)).all(), coverage
    error = np.mean(found, axis=0) - PLANTED
    assert (np.abs(error) < 4 * np.std(found, axis=0) / np.sqrt(3000)).all(), error


REFUSED = [
    ({"x": np.arange(5.0), "y": 2 * np.arange(5.0)}, "constant or a linear combination"),
    ({"x": np.ones(5)}, "constant or a linear combination"),
    ({"x": np.array([1.0, 0, 0, 0, 0])}, "Observations 0 alone determine a coefficient"),
    ({"x": np.array([1.0, 2, 3, 4, np.nan])}, "finite"),
    ({name: np.arange(5.0) ** i for i, name in enumerate("abcd", 1)}, "more than 5 observations"),
]


@pytest.mark.parametrize(("predictors", "message"), REFUSED)
def test_a_regression_that_cannot_be_is_refused(
    predictors: dict[str, np.ndarray], message: str
) -> None:
    with pytest.raises(NeurofitError, match=message):
        regress(np.array([1.0, 3, 2, 5, 4]), predictors)
