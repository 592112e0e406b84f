"""Tests of differences between scores, over many pairs of models and time bins at once.

A contrast is a difference of two scores in a time bin, or a linear combination of such differences,
as their mean in a window. Its influences are the same combination of those of the scores, so that
what two models share cancels. Standard errors are those of `neurofit.metrics.two_way`, for each
pair on its own. All contrasts of a family share the random signs of neuroids and stimuli; the
largest |t| of a draw, over all of them, gives simultaneous bands and adjusted p values.

With fewer than 20 neuroids or stimuli, signs alone are too few: the larger of their quantile and of
that of a multivariate t with the same correlations is taken.
References: Romano & Wolf (2005), Econometrica 73:1237, for the single-step method; Benjamini &
Hochberg (1995), J R Stat Soc B 57:289.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from neurofit.metrics.two_way import N_DRAWS, Influences, signed_t, standard_error

FEW = 20
"""Below so many sampled rows, a multivariate t is taken into account."""


@dataclass(frozen=True)
class Contrasts:
    """Intervals and p values of contrasts.

    Parameters
    ----------
    se, df
        Standard error and degrees of freedom.
    low, high
        Interval of each contrast on its own.
    band_low, band_high
        Intervals that hold for all contrasts of the family at once.
    p
        Two-sided p value of each contrast on its own.
    p_adjusted
        Adjusted so that, without any difference, one of the family is below alpha with probability
        alpha (familywise).
    p_false_discovery
        Adjusted so that among those below alpha the expected share of false ones is alpha (false
        discovery rate), over the family.
    """

    se: Float[np.ndarray, " contrast"]
    df: Float[np.ndarray, " contrast"]
    low: Float[np.ndarray, " contrast"]
    high: Float[np.ndarray, " contrast"]
    band_low: Float[np.ndarray, " contrast"]
    band_high: Float[np.ndarray, " contrast"]
    p: Float[np.ndarray, " contrast"]
    p_adjusted: Float[np.ndarray, " contrast"]
    p_false_discovery: Float[np.ndarray, " contrast"]


def compare_contrasts(
    values: Float[np.ndarray, " contrast"],
    influences: Influences,
    pairs: Int[np.ndarray, " contrast"],
    *,
    over: str,
    level: float,
    seed: int,
) -> Contrasts:
    """Test a family of contrasts.

    Parameters
    ----------
    values
        Differences; NaN where there is none, which takes no part in the family.
    influences
        Influences on the contrasts, which take the place of time bins.
    pairs
        Pair of models that each contrast belongs to.
    over
        "neuroids", "stimuli" or "both".
    level
        Coverage, such as 0.95.
    seed
        Random seed of the signs.

    Returns
    -------
    Contrasts
        NaN where the value is. A difference of exactly 0 without any influence, as of a model and
        itself, has an interval of 0 and p = 1.
    """
    se, df = np.full((2, len(values)), np.nan)
    defined = np.isfinite(values)
    for pair in np.unique(pairs[defined]):
        own = defined & (pairs == pair)
        if not (influences.stimuli[:, own].any() or influences.neuroids[:, own].any()):
            continue  # a model and itself
        se[own], df[own] = standard_error(influences.sampled(own), over=over)
    nothing = defined & (values == 0) & ~(se > 0)
    tested = defined & (se > 0)
    t = np.abs(values) / np.where(tested, se, np.nan)
    p = 2 * stats.t.sf(t, df)
    quantile, p_adjusted = _largest(t, df, tested, influences, over=over, level=level, seed=seed)
    margin = se * stats.t.ppf((1 + level) / 2, df)
    wide = np.maximum(se * quantile, margin)
    p_adjusted = np.maximum(p_adjusted, p)
    discovered = np.full(len(values), np.nan)
    se, margin, wide = (np.where(nothing, 0.0, each) for each in (se, margin, wide))
    p, p_adjusted = (np.where(nothing, 1.0, each) for each in (p, p_adjusted))
    if np.isfinite(p).any():
        discovered[np.isfinite(p)] = stats.false_discovery_control(p[np.isfinite(p)])
    ends = (values - margin, values + margin, values - wide, values + wide)
    return Contrasts(se, df, *ends, p, p_adjusted, discovered)


def _largest(
    t: np.ndarray,
    df: np.ndarray,
    tested: np.ndarray,
    influences: Influences,
    *,
    over: str,
    level: float,
    seed: int,
) -> tuple[float, np.ndarray]:
    """Return the quantile of the largest |t| of a family, and adjusted p values."""
    p = np.full(len(t), np.nan)
    if not tested.any():
        return np.nan, p
    parts = influences.sampled(tested).rows(over)
    drawn = signed_t(parts, seed=seed)
    tops = [np.abs(drawn).max(axis=1)]
    if min(map(len, parts)) < FEW:
        tops.append(_multivariate_t(drawn, float(df[tested].min()), seed=seed))
    # "higher": a band leaves out 0 exactly where the adjusted p value is at most 1 - level
    quantile = max(float(np.quantile(top, level, method="higher")) for top in tops)
    for top in tops:
        above = len(top) - np.searchsorted(np.sort(top), t[tested])
        p[tested] = np.fmax(p[tested], (1 + above) / (len(top) + 1))
    return quantile, p


def _multivariate_t(drawn: np.ndarray, df: float, *, seed: int) -> np.ndarray:
    """Return the largest |t| of draws of a multivariate t with the correlations of `drawn`."""
    rng = np.random.default_rng(seed)
    centred = (drawn - drawn.mean(axis=0)) / np.maximum(drawn.std(axis=0), 1e-300)
    normal = rng.standard_normal((N_DRAWS, len(drawn))) @ centred / np.sqrt(len(drawn))
    shares = np.maximum(rng.chisquare(df, N_DRAWS) / df, np.finfo(float).tiny)  # 0 for a tiny df
    return np.asarray(np.abs(normal).max(axis=1) / np.sqrt(shares))
