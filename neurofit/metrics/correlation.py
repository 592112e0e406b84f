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


def _standardise(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    centred = values - values.mean(axis=-2, keepdims=True)
    norm = np.sqrt((centred**2).sum(axis=-2))
    size = np.abs(values).max(axis=-2) * np.sqrt(values.shape[-2])
    return centred, np.where(norm > CONSTANT * size, norm, np.nan)
