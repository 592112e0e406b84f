"""Pearson's r over stimuli, for every neuroid at once; undefined (NaN) where one side does not vary."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

CONSTANT = 1e-12
"""A standard deviation below this share of the values' size is rounding: the side is constant."""


def pearson(
    a: Float[np.ndarray, "*sets stimulus neuroid"], b: Float[np.ndarray, "*sets stimulus neuroid"]
) -> Float[np.ndarray, "*sets neuroid"]:
    """Return the correlation of `a` and `b` over stimuli.

    Returns
    -------
    r in [-1, 1] per neuroid; NaN, never 0 or 1, where either side is constant over stimuli.
    """
    (a, a_norm), (b, b_norm) = _standardise(a), _standardise(b)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.clip((a * b).sum(axis=-2) / (a_norm * b_norm), -1.0, 1.0))


def pearson_influence(
    a: Float[np.ndarray, "set *any stimulus neuroid"],
    b: Float[np.ndarray, "set *any stimulus neuroid"],
    weight: Float[np.ndarray, "set *any neuroid"],
) -> Float[np.ndarray, "*any stimulus neuroid"]:
    """Return how much each stimulus carries the sum over sets of weight times r.

    With sides a, b of zero mean and unit norm, the derivative of r to the weight of stimulus i in it is

        influence_i = a_i b_i - r (a_i^2 + b_i^2) / 2,      r(w) = r + sum_i (w_i - 1) influence_i + ...

    for a sample in which stimulus i occurs w_i times. So resampling stimuli needs one number for each of them, whatever the number
    of sets. Devlin, Gnanadesikan & Kettenring (1975), Biometrika 62:531; the linearised bootstrap: Efron (1982), chapter 6. A set
    whose r or weight is undefined adds nothing.
    """
    (a, a_norm), (b, b_norm) = _standardise(a), _standardise(b)
    with np.errstate(invalid="ignore", divide="ignore"):
        a, b = a / a_norm[..., None, :], b / b_norm[..., None, :]
    r = (a * b).sum(axis=-2, keepdims=True)
    influence = a * b - r * (a**2 + b**2) / 2
    return np.asarray(np.einsum("k...sn,k...n->...sn", np.nan_to_num(influence), np.nan_to_num(weight)))


def _standardise(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    centred = values - values.mean(axis=-2, keepdims=True)
    norm = np.sqrt((centred**2).sum(axis=-2))
    size = np.abs(values).max(axis=-2) * np.sqrt(values.shape[-2])
    return centred, np.where(norm > CONSTANT * size, norm, np.nan)
