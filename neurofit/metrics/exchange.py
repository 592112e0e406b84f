"""Is one more member like the members of a group? They predict each other, and it predicts them.

Members k predict members i with scores s(k, i), k not i. In

    s(k, i) = m + a_k + b_i + noise

a_k says how well k predicts others, and b_i how well i is predicted. One more member x that
predicts all of them has the effect a_x = mean_i s(x, i) - m. If it is drawn from the same
population, with normal effects,

    a_x / (sd(a_k) sqrt(1 + 1 / n))    is at most as spread as a t of n - 1 degrees of freedom

for n members: equal if effects vary more than the noise of single scores, narrower otherwise, since
a_k is estimated from n - 1 scores and a_x from n.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import stats

LEAST_MEMBERS = 3
"""Members below which effects of sources and of targets cannot be told apart."""


def source_effects(scores: Float[np.ndarray, "source target"]) -> Float[np.ndarray, " source"]:
    """Return a_k by least squares, of sum 0; the diagonal of the scores is not used.

    Raises
    ------
    ValueError
        With fewer than `LEAST_MEMBERS` members.
    """
    n = len(scores)
    if n < LEAST_MEMBERS:
        raise ValueError(f"effects need {LEAST_MEMBERS} members; got {n}")
    off = ~np.eye(n, dtype=bool)
    centred = np.where(off, scores - scores[off].mean(), 0.0)
    rows, columns = centred.sum(axis=1), centred.sum(axis=0)
    # normal equations: (n - 1) a_k + sum of b_i for i not k = rows, and alike for columns
    return np.asarray(((n - 1) * rows + columns) / (n * (n - 2)))


def interval_of_member(
    scores: Float[np.ndarray, "source target"], *, level: float
) -> tuple[float, float, float]:
    """Return the mean score, and the interval in which one more source's mean over targets lies.

    Parameters
    ----------
    scores
        Scores of members; the diagonal is not used.
    level
        Coverage if the source is one more member.

    Returns
    -------
    Mean, low and high; the ends are NaN with fewer than `LEAST_MEMBERS` members, all are NaN if a
    score is missing.
    """
    n = len(scores)
    off = ~np.eye(n, dtype=bool)
    mean = float(scores[off].mean())
    if n < LEAST_MEMBERS or np.isnan(mean):
        return mean, np.nan, np.nan
    spread = float(source_effects(scores).std(ddof=1)) * np.sqrt(1 + 1 / n)
    margin = spread * float(stats.t.ppf((1 + level) / 2, n - 1))
    return mean, mean - margin, mean + margin
