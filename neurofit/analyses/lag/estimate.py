"""The lag and the pace of the best candidate, with intervals from random weights of influences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from neurofit.analyses.lag.candidates import Candidates
from neurofit.analyses.lag.profile import Profile
from neurofit.metrics.sketch import squared_norm

N_DRAWS = 2000
"""Number of profiles that intervals are drawn from."""

BLOCK = 250
"""Number of them drawn at a time, to save memory."""

EQUAL = 1e-9
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
    weights = candidates.weights.reshape(len(candidates.lags), -1)
    values = weights @ profile.r.ravel()
    centred = weights - weights.mean(axis=0)
    neuroids, stimuli, cells = (
        each.reshape(len(each), -1) @ centred.T
        for each in (profile.neuroids, profile.stimuli, profile.cells)
    )
    n = max(int((neuroids != 0).any(axis=1).sum()), 1)
    v_stimuli = float((stimuli**2).sum())
    rows, scales = [], {"neuroids": (1.0, 0.0), "stimuli": (0.0, 1.0)}
    once = 1 - n / max(n - 1, 1) * float(squared_norm(cells).sum()) / max(v_stimuli, 1e-300)
    of_neuroids, of_stimuli = scales.get(over, (1.0, np.sqrt(max(once, 0.0))))
    if n < 2:
        of_neuroids, of_stimuli = 0.0, 1.0
    rows = np.concatenate([of_neuroids * neuroids, of_stimuli * stimuli])
    rows = rows[(rows != 0).any(axis=1)]
    parameters = dict(
        zip(PARAMETERS, (candidates.lags, candidates.paces, candidates.intercepts), strict=True)
    )
    drawn: dict[str, list[np.ndarray]] = {
        f"{name} {end}": [] for name in PARAMETERS for end in "<>"
    }
    rng = np.random.default_rng(seed)
    for start in range(0, N_DRAWS, BLOCK):
        count = min(BLOCK, N_DRAWS - start)
        profiles = values + rng.standard_normal((count, len(rows))) @ rows
        top = profiles >= profiles.max(axis=1, keepdims=True) - EQUAL
        for name, given in parameters.items():
            drawn[f"{name} <"].append(np.where(top, given, np.inf).min(axis=1))
            drawn[f"{name} >"].append(np.where(top, given, -np.inf).max(axis=1))
    tail, best = (1 - level) / 2, best_of(values)
    low, high = (
        {
            name: float(np.quantile(np.concatenate(drawn[f"{name} {end}"]), at, method=method))
            for name in PARAMETERS
        }
        for end, at, method in (("<", tail, "lower"), (">", 1 - tail, "higher"))
    )
    return Estimate(
        best, {name: float(given[best]) for name, given in parameters.items()}, low, high, values
    )
