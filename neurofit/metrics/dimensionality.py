"""Participation ratio of a population code, without the biases of few stimuli, sites and trials.

    PR = (tr C)^2 / tr(C^2),    C the covariance of the sites over stimuli

Both traces are averages over products of distinct stimuli, each of which pairs a response x of one
trial half with a response y of the other, so that neither the noise of trials nor the number of
stimuli biases them:

    (tr C)^2    mean of (d_i - M_ij) (d_k - M_kl),    tr(C^2)    mean of the covariances of
    M_ij = x_i . y_j,    d_i = x_i . y_i              M_ij M_ji,    i, j, k, l distinct

Terms of one site with itself make PR grow with the number of recorded sites; without them it is
that of the population from which the sites were drawn. Chun, Canatar, Chung & Lee (2025),
arXiv 2509.26560; without noise and with all sites, it is the classical participation ratio.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from neurofit.errors import NeurofitError

COLUMNS = 256
"""Sites whose own terms are computed at a time."""


@dataclass(frozen=True)
class Traces:
    """Estimates of (tr C)^2 and tr(C^2), over all pairs of sites and over sites with themselves.

    They can be averaged over trial halves before they are divided.
    """

    square_of_trace: float
    trace_of_square: float
    own_square_of_trace: float
    own_trace_of_square: float

    def __add__(self, other: Traces) -> Traces:
        """Return the sum, for a mean over halves; the ratios do not depend on the number."""
        return Traces(*(a + b for a, b in zip(_values(self), _values(other), strict=True)))

    @property
    def recorded(self) -> float:
        """Participation ratio of the recorded sites; NaN if tr(C^2) is not positive."""
        return _ratio(self.square_of_trace, self.trace_of_square)

    @property
    def population(self) -> float:
        """Participation ratio of the population that the sites are drawn from."""
        return _ratio(
            self.square_of_trace - self.own_square_of_trace,
            self.population_trace,
        )

    @property
    def population_trace(self) -> float:
        """Trace tr(C^2) over pairs of different sites."""
        return self.trace_of_square - self.own_trace_of_square


def _values(traces: Traces) -> tuple[float, ...]:
    return (
        traces.square_of_trace,
        traces.trace_of_square,
        traces.own_square_of_trace,
        traces.own_trace_of_square,
    )


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0 else float("nan")


def traces(
    x: Float[np.ndarray, "stimulus site"],
    y: Float[np.ndarray, "stimulus site"],
    groups: Bool[np.ndarray, "group stimulus"] | None = None,
) -> list[Traces]:
    """Return the traces of a signal from two measurements with independent noise.

    Parameters
    ----------
    x, y
        Responses of two trial halves; the same array twice for features without noise.
    groups
        Groups of stimuli of a jackknife.

    Returns
    -------
    list[Traces]
        Over all stimuli, then without each group.

    Raises
    ------
    NeurofitError
        If fewer than four stimuli are left.
    """
    if groups is None:
        groups = np.zeros((0, len(x)), dtype=bool)
    left = np.concatenate([np.ones((1, len(x)), dtype=bool), ~groups])
    if left.sum(axis=1).min() < 4:
        raise NeurofitError(
            f"A dimensionality needs four stimuli; {left.sum(axis=1).min()} are left."
        )
    products = np.zeros((len(x), len(x)))
    own = np.zeros((2, len(left)))
    for start in range(0, x.shape[1], COLUMNS):
        a, b = (np.asarray(z[:, start : start + COLUMNS], dtype=np.float64) for z in (x, y))
        products += a @ b.T
        own += _distinct(*_sums_of_sites(a, b, left), n=left.sum(axis=1)[:, None]).sum(axis=2)
    found = []
    for number, rows in enumerate(left):
        sums = _sums_of_products(products[np.ix_(rows, rows)])
        whole = _distinct(*sums, n=np.array(rows.sum()))
        found.append(Traces(*whole.tolist(), *own[:, number].tolist()))
    return found


Sums = tuple[Any, ...]
"""Sums over stimuli of d, d^2, M_ij, d (row sum + column sum), row sum^2 + column sum^2, row sum
times column sum, M_ij M_ji and M_ij^2, where i and j differ and rows and columns lack i = j."""


def _sums_of_products(m: Float[np.ndarray, "stimulus stimulus"]) -> Sums:
    d = np.diagonal(m)
    off = m - np.diag(d)
    rows, columns = off.sum(axis=1), off.sum(axis=0)
    return (
        d.sum(),
        d @ d,
        rows.sum(),
        d @ (rows + columns),
        rows @ rows + columns @ columns,
        rows @ columns,
        (off * off.T).sum(),
        (off**2).sum(),
    )


def _sums_of_sites(
    x: Float[np.ndarray, "stimulus site"],
    y: Float[np.ndarray, "stimulus site"],
    left: Bool[np.ndarray, "part stimulus"],
) -> Sums:
    """Return the sums for M_ij = x_i y_j of each site on its own, over parts of the stimuli."""
    part = left.astype(np.float64)
    a, b, aa, bb = (part @ each for each in (x, y, x**2, y**2))
    ab, aab, abb, aabb = (part @ each for each in (x * y, x**2 * y, x * y**2, (x * y) ** 2))
    return (
        ab,
        aabb,
        a * b - ab,
        b * aab + a * abb - 2 * aabb,
        b**2 * aa - 2 * b * aab + a**2 * bb - 2 * a * abb + 2 * aabb,
        a * b * ab - a * abb - b * aab + aabb,
        ab**2 - aabb,
        aa * bb - aabb,
    )


def _distinct(
    d: Any,
    d_squared: Any,
    total: Any,
    d_sums: Any,
    sums_squared: Any,
    met: Any,
    crossed: Any,
    squares: Any,
    *,
    n: Any,
) -> np.ndarray:
    """Return unbiased (tr C)^2 and tr(C^2), from means over distinct stimuli."""
    two, three = n * (n - 1), n * (n - 1) * (n - 2)
    apart = (total**2 - sums_squared - 2 * met + squares + crossed) / (three * (n - 3))
    square_of_trace = (d**2 - d_squared) / two - 2 * (d * total - d_sums) / three + apart
    trace_of_square = crossed / two - 2 * (met - crossed) / three + apart
    return np.stack([square_of_trace, trace_of_square])
