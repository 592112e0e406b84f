"""Linear regression with intervals that hold for errors of unequal variance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from neurofit.errors import NeurofitError


@dataclass(frozen=True)
class Regression:
    """A linear regression.

    Parameters
    ----------
    names
        Names of the predictors.
    coefficients, low, high, p
        Coefficient of each predictor, its interval, and the p value of a coefficient of zero.
    intercept
        Value where all predictors are zero.
    r2
        Share of the variance that the predictors explain.
    n
        Number of observations.
    df
        Degrees of freedom of the interval of each coefficient.
    """

    names: tuple[str, ...]
    coefficients: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    intercept: float
    r2: float
    n: int
    df: np.ndarray


def regress(
    values: np.ndarray, predictors: Mapping[str, np.ndarray], *, level: float = 0.95
) -> Regression:
    """Return the least-squares regression of values on predictors and an intercept.

    The variance of a coefficient is HC2: squared residuals e^2 / (1 - h), h the leverage of an
    observation, take the place of one common variance. Intervals use t with the degrees of freedom
    that this estimate would have if variances were equal (Bell and McCaffrey). With HC3, 95%
    intervals of 40 observations and 9 coefficients contain 97% or more.

    Parameters
    ----------
    values
        Observations, float array (observation).
    predictors
        Name -> float array (observation).
    level
        Probability that an interval contains its coefficient.

    Raises
    ------
    NeurofitError
        If a value is not finite, there are no more observations than coefficients, a predictor is a
        linear combination of others, or one observation alone determines a coefficient.

    Notes
    -----
    Source: Bell and McCaffrey 2002, Bias reduction in standard errors for linear regression with
    multi-stage samples, Survey Methodology 28; Imbens and Kolesar 2016, Robust standard errors in
    small samples: some practical advice, Rev. Econ. Stat. 98, equations 9 to 12.
    """
    names = tuple(predictors)
    design = np.column_stack([np.ones(len(values)), *(predictors[name] for name in names)])
    n, k = design.shape
    if not (np.isfinite(design).all() and np.isfinite(values).all()):
        raise NeurofitError("A regression needs finite values and predictors.")
    if n <= k:
        raise NeurofitError(
            f"A regression of {k} coefficients needs more than {k} observations; got {n}."
        )
    # in units of their spread, so that the rank does not depend on the units
    scale = np.append(1.0, design[:, 1:].std(axis=0))
    if not scale.all() or np.linalg.matrix_rank(design / scale) < k:
        raise NeurofitError(
            f"A predictor is constant or a linear combination of others: {', '.join(names)}."
        )
    q, r = np.linalg.qr(design / scale)
    solve = np.linalg.solve(r, q.T) / scale[:, None]
    beta = solve @ values
    residuals, leverage = values - design @ beta, (q**2).sum(axis=1)
    if (leverage > 1 - 1e-9).any():
        alone = ", ".join(map(str, np.flatnonzero(leverage > 1 - 1e-9)))
        raise NeurofitError(
            f"Observations {alone} alone determine a coefficient, as the only one of a kind."
        )
    weights = solve / np.sqrt(1 - leverage)  # (coefficient observation)
    errors = np.sqrt(((weights * residuals) ** 2).sum(axis=1))
    # the estimate is a quadratic form of the errors: its matrix is M diag(weights^2) M
    residual_maker = np.eye(n) - q @ q.T
    halves = residual_maker * weights[:, None, :]  # (coefficient observation observation)
    forms = halves @ halves.transpose(0, 2, 1)
    df = np.trace(forms, axis1=1, axis2=2) ** 2 / (forms**2).sum(axis=(1, 2))
    half = stats.t.ppf((1 + level) / 2, df) * errors
    p = 2 * stats.t.sf(np.abs(beta) / errors, df)
    total = ((values - values.mean()) ** 2).sum()
    return Regression(
        names=names,
        coefficients=beta[1:],
        low=(beta - half)[1:],
        high=(beta + half)[1:],
        p=p[1:],
        intercept=float(beta[0]),
        r2=float(1 - (residuals**2).sum() / total) if total else float("nan"),
        n=n,
        df=df[1:],
    )
