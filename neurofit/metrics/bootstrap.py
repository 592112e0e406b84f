"""Bootstrap samples and percentile intervals."""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Float, Int

from neurofit.metrics.two_way import describe_samples, percent


def describe_bootstrap(
    interval: float, n_bootstraps: int, interval_over: str, groups: str | None = None
) -> str:
    """Describe a bootstrap interval: "95%, 1000 bootstraps over neuroids"."""
    samples = describe_samples(interval_over, groups)
    return f"{percent(interval)}, {n_bootstraps} bootstraps over {samples}"


def draw(n: int, *, n_bootstraps: int, seed: int | tuple[int, ...]) -> Int[np.ndarray, "draw n"]:
    """Return bootstrap samples: indices below `n`, drawn with replacement."""
    return np.random.default_rng(seed).integers(n, size=(n_bootstraps, n))


def percentile_interval(
    values: Float[np.ndarray, "draw time_bin"], *, interval: float
) -> tuple[Float[np.ndarray, " time_bin"], Float[np.ndarray, " time_bin"]]:
    """Return the bounds of the percentile bootstrap interval per time bin.

    Parameters
    ----------
    values
        Statistic of each bootstrap sample; NaN is ignored.
    interval
        Coverage, such as 0.95.

    Returns
    -------
    low, high
        Bounds; NaN in a time bin without values.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN", RuntimeWarning)
        low, high = np.nanquantile(values, [(1 - interval) / 2, (1 + interval) / 2], axis=0)
    return low, high
