"""The lag and the pace of the best candidate, with intervals from random weights of influences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from neurofit.analyses.lag.candidates import Candidates
from neurofit.analyses.lag.profile import Profile

N_DRAWS = 1000
"""Number of profiles that intervals are drawn from."""

BLOCK = 250
"""Number of them drawn at a time, to save memory."""

EQUAL = 1e-6
"""Candidates whose mean correlations differ by less are equally good."""

PARAMETERS = ("lag", "pace", "intercept")


@dataclass(frozen=True)
class Estimate:
    """The best candidate.

    Parameters
    ----------
    best
        Position of the best candidate: of equally good ones, that most alike to one-to-one.
    values, low, high
        Lag, pace and intercept with the ends of their intervals.
    values_of_candidates
        Mean correlation of each candidate over the compared bins.
    """

    best: int
    values: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    values_of_candidates: Float[np.ndarray, " candidate"]


def best_of(values: Float[np.ndarray, " candidate"]) -> int:
    """Return the best candidate: of equally good ones the first, most alike to one-to-one."""
    return int(np.argmax(values >= values.max() - EQUAL))


def estimate(
    profile: Profile, candidates: Candidates, *, over: str, level: float, seed: int
) -> Estimate:
    """Return the best candidate on all stimuli, with intervals.

    In each draw the influences of neuroids and stimuli on all candidates get random weights
    (normal, of variance 1), which gives another profile with another best candidate; the intervals
    are percentiles of these. What cells (stimulus, neuroid) contribute to both is counted once, as
    in `neurofit.metrics.two_way`.

    Parameters
    ----------
    profile, candidates
        Correlations at each model time and recorded bin, and the affine maps.
    over
        "neuroids", "stimuli" or "both".
    level
        Coverage of the intervals.
    seed
        Random seed of the weights.
    """
    asked = (candidates.weights != 0).any(axis=0)
    weights = candidates.weights[:, asked]
    values = weights @ profile.r[asked]
    weights = weights - weights.mean(axis=0)  # only differences of candidates count
    products = weights.T @ weights
    n = max(int(profile.neuroids.any(axis=(1, 2)).sum()), 1)
    v_stimuli, v_cells = (
        float(((each @ products) * each).sum())
        for each in (profile.stimuli[:, asked], profile.cells[:, asked].astype(np.float64))
    )
    once = max(0.0, 1 - n / max(n - 1, 1) * v_cells / max(v_stimuli, 1e-300))
    scales = {"neuroids": (1.0, 0.0), "stimuli": (0.0, 1.0)}
    of_neuroids, of_stimuli = scales.get(over, (1.0, np.sqrt(once))) if n > 1 else (0.0, 1.0)
    rows = np.concatenate(
        [of_neuroids * profile.neuroids[:, asked], of_stimuli * profile.stimuli[:, asked]]
    )
    rows = rows[rows.any(axis=1)]
    parameters = dict(
        zip(PARAMETERS, (candidates.lags, candidates.paces, candidates.intercepts), strict=True)
    )
    ends: dict[str, list[np.ndarray]] = {name: [] for name in PARAMETERS}
    rng = np.random.default_rng(seed)
    across, centre = weights.T.astype(np.float32), (values - values.mean()).astype(np.float32)
    for start in range(0, N_DRAWS, BLOCK):
        count = min(BLOCK, N_DRAWS - start)
        moved = rng.standard_normal((count, len(rows))) @ rows
        profiles = centre + moved.astype(np.float32) @ across
        top = profiles >= profiles.max(axis=1, keepdims=True) - EQUAL
        for name, given in parameters.items():
            ends[name].append(
                np.stack(
                    [
                        np.where(top, given, np.inf).min(axis=1),
                        np.where(top, given, -np.inf).max(axis=1),
                    ]
                )
            )
    low, high, best, tail = {}, {}, best_of(values), (1 - level) / 2
    for name, blocks in ends.items():
        lowest, highest = np.concatenate(blocks, axis=1)
        low[name] = float(np.quantile(lowest, tail, method="lower"))
        high[name] = float(np.quantile(highest, 1 - tail, method="higher"))
    return Estimate(
        best, {name: float(given[best]) for name, given in parameters.items()}, low, high, values
    )
