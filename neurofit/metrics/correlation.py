"""Pearson's r over stimuli, for every neuroid at once."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

MIN_RELATIVE_SD = 1e-12
"""Values are constant if their standard deviation, relative to their largest, is smaller."""


MIN_REMAINING = 1e-10
"""Share of the sum of squares below which what remains without a group is rounding error."""


def pearson(
    a: Float[np.ndarray, "*sets stimulus neuroid"], b: Float[np.ndarray, "*sets stimulus neuroid"]
) -> Float[np.ndarray, "*sets neuroid"]:
    """Return the correlation of `a` and `b` over stimuli.

    Returns
    -------
    r in [-1, 1] per neuroid; NaN, never 0 or 1, if `a` or `b` is constant over stimuli.
    """
    (a, a_norm), (b, b_norm) = _centre(a), _centre(b)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.clip(_products(a, b) / (a_norm * b_norm), -1.0, 1.0))


def pearson_without(
    a: Float[np.ndarray, "*sets stimulus neuroid"],
    b: Float[np.ndarray, "*sets stimulus neuroid"],
    groups: Bool[np.ndarray, "group stimulus"],
) -> Float[np.ndarray, "*sets group neuroid"]:
    """Return the correlation of `a` and `b` without each group of stimuli in turn.

    Sums of squares and products are subtracted from those over all stimuli.

    Returns
    -------
    r as from `pearson`; NaN where all variance is in the group.
    """
    a, b = (np.asarray(values, dtype=np.float64) for values in (a, b))
    (a, a_norm), (b, b_norm) = _centre(a), _centre(b)
    with np.errstate(invalid="ignore", divide="ignore"):
        a, b = a / a_norm[..., None, :], b / b_norm[..., None, :]
    inside = groups.astype(np.float64)
    n = (~groups).sum(axis=1)[:, None]
    a_sum, b_sum = -(inside @ a), -(inside @ b)  # those over all stimuli are 0, and of squares 1
    a_square, b_square = (
        1 - inside @ values**2 - total**2 / np.maximum(n, 1)
        for values, total in ((a, a_sum), (b, b_sum))
    )
    product = (a * b).sum(axis=-2, keepdims=True) - inside @ (a * b)
    product = product - a_sum * b_sum / np.maximum(n, 1)
    varies = (a_square > MIN_REMAINING) & (b_square > MIN_REMAINING)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.where(varies, product / np.sqrt(a_square * b_square), np.nan)
    return np.asarray(np.clip(r, -1.0, 1.0))


def pearson_influence(
    a: Float[np.ndarray, "set *any stimulus neuroid"],
    b: Float[np.ndarray, "set *any stimulus neuroid"],
    weight: Float[np.ndarray, "set *any neuroid"],
) -> Float[np.ndarray, "*any stimulus neuroid"]:
    """Return the influence of each stimulus on the weighted sum of r over sets.

    For a and b of zero mean and unit norm, the derivative of r with respect to the weight of
    stimulus i is

        influence_i = a_i b_i - r (a_i^2 + b_i^2) / 2,
        r(w) = r + sum_i (w_i - 1) influence_i + ...

    in a sample that contains stimulus i w_i times. Resampling stimuli therefore needs one number
    per stimulus, whatever the number of sets.

    Parameters
    ----------
    a, b
        Values to correlate.
    weight
        Weight of each set's r. A set with an undefined r or weight contributes nothing.

    References
    ----------
    Devlin, Gnanadesikan & Kettenring (1975), Biometrika 62:531; linearised bootstrap: Efron (1982),
    chapter 6.
    """
    (a, a_norm), (b, b_norm) = _centre(a), _centre(b)
    with np.errstate(invalid="ignore", divide="ignore"):
        a, b = a / a_norm[..., None, :], b / b_norm[..., None, :]
    r = _products(a, b)[..., None, :]
    influence = a * b - r * (a**2 + b**2) / 2
    return np.asarray(
        np.einsum("k...sn,k...n->...sn", np.nan_to_num(influence), np.nan_to_num(weight))
    )


def pearson_slope(
    a: Float[np.ndarray, "*sets stimulus neuroid"], b: Float[np.ndarray, "*sets stimulus neuroid"]
) -> Float[np.ndarray, "*sets stimulus neuroid"]:
    """Return the derivative of r with respect to each value of `a`; 0 where r is undefined.

    For a and b of zero mean and unit norm, it is (b - r a) / |a|.
    """
    (a, a_norm), (b, b_norm) = _centre(a), _centre(b)
    with np.errstate(invalid="ignore", divide="ignore"):
        a, b = a / a_norm[..., None, :], b / b_norm[..., None, :]
        r = _products(a, b)[..., None, :]
        return np.asarray(np.nan_to_num((b - r * a) / a_norm[..., None, :]))


def _centre(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the values minus their mean over stimuli, and their norm: NaN if they are constant."""
    centred = values - values.mean(axis=-2, keepdims=True)
    norm = np.sqrt(_products(centred, centred))
    largest = np.maximum(values.max(axis=-2), -values.min(axis=-2))
    size = largest * np.sqrt(values.shape[-2])
    return centred, np.where(norm > MIN_RELATIVE_SD * size, norm, np.nan)


def _products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the sums of products over stimuli, without an array of the products."""
    return np.asarray(np.einsum("...sn,...sn->...n", a, b))
