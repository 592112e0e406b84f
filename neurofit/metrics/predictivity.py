"""Predictivity, corrected for the noise of the recording and of the map fitted to it.

    pooled_r                   = sum_j X_j / sum_j sqrt(P_j Y_j)    neurofit.metrics.pooled
    noise_corrected_r          = r_xy / sqrt(r_xx r_yy)             per neuroid and time bin
    noise_corrected_r2         = r_xy |r_xy| / (r_xx r_yy)          its square, with its sign
    percent_explained_variance = 100 r_xy |r_xy| / (r_xx r_yy)      in per cent
    explained_variance         = median(r_xy)^2 / median(r_yy)      Brain-Score's, per time bin

Squares carry the sign of r_xy, so that they are 0 on average if a map predicts nothing; that of
Brain-Score does not. r_xy is the correlation of the prediction of the map fitted on all trials with
the mean response, over test stimuli. r_xx and r_yy are the correlations of the predictions of the
maps fitted on two halves of the trials, and of the two half means, corrected to all trials.
Nayebi et al. (2018, 2022); Kar et al. (2019); Schrimpf et al. (2018).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from neurofit.metrics.averages import nanmean, nanmedian


@dataclass(frozen=True)
class Formula:
    """Formula of a score and its description in results.

    Parameters
    ----------
    text
        Formula.
    long_name
        Name in words.
    aggregate
        Summary over neuroids, in words.
    units
        Units.
    best
        Score of a perfect model.
    """

    text: str
    long_name: str
    aggregate: str = ", median over neuroids"
    units: str = "1"
    best: float = 1.0


FORMULAS = {
    "pooled_r": Formula(
        "sum_j X_j / sum_j sqrt(P_j Y_j), where X_j, P_j and Y_j are r_xy, r_xx and r_yy pooled "
        "over the neuroids of stratum j",
        "noise-corrected predictivity (r)",
        "",
    ),
    "noise_corrected_r": Formula(
        "r_xy / sqrt(r_xx * r_yy)", "median noise-corrected predictivity (r)"
    ),
    "noise_corrected_r2": Formula(
        "r_xy |r_xy| / (r_xx * r_yy)", "median noise-corrected predictivity (r²)"
    ),
    "percent_explained_variance": Formula(
        "100 r_xy |r_xy| / (r_xx * r_yy)", "explained variance", units="%", best=100.0
    ),
    "explained_variance": Formula(
        "median(r_xy)^2 / median(r_yy)",
        "explained variance (Brain-Score, not negative)",
        " over neuroids",
    ),
}
"""Scores -> their formulas."""

AVERAGES = {
    "terms": "terms averaged first",
    "correlations": "correlations averaged first",
    "ratios": "averaged after the division",
}
"""Orders of averaging over splits and halves -> their descriptions in results."""


def describe_formula(name: str, average: str) -> str:
    """Return a formula with its name, the summary over neuroids and the order of averaging."""
    formula = FORMULAS[name]
    own = name in ("explained_variance", "pooled_r")
    order = "" if own else f", {AVERAGES[average]}"
    return f"{name} = {formula.text}{formula.aggregate}{order}"


def noise_corrected_r(
    r_xy: Float[np.ndarray, "*#any"],
    r_xx: Float[np.ndarray, "*#any"],
    r_yy: Float[np.ndarray, "*#any"],
) -> Float[np.ndarray, "*#any"]:
    """Return r_xy / sqrt(r_xx r_yy); NaN unless r_xx r_yy is positive.

    The value is not clipped: noise can raise it above 1.
    """
    product = np.asarray(r_xx * r_yy)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(r_xy / np.sqrt(np.where(product > 0, product, np.nan)))


def signed_square(r: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    """Return r |r|, the square with its sign."""
    return np.asarray(r * np.abs(r))


def explained_variance(
    r_xy: Float[np.ndarray, "split neuroid time_bin"],
    r_yy: Float[np.ndarray, "half neuroid time_bin"],
) -> Float[np.ndarray, " time_bin"]:
    """Return Brain-Score's score per time bin: the squared raw score over the ceiling.

    The raw score is the mean over splits of the median r_xy over neuroids, the ceiling the mean
    over halves of the median Spearman-Brown corrected r_yy, as `CrossRegressedCorrelation` and
    `InternalConsistency` average (brainscore_vision 2.4). NaN unless the ceiling is positive.
    """
    raw, ceiling = (nanmean(nanmedian(r, axis=1), axis=0) for r in (r_xy, r_yy))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(ceiling > 0, raw**2 / ceiling, np.nan))
