"""Ranks of models by their whole curves, with ties where the data cannot tell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


def find_ranks(
    n_models: int,
    pairs: Sequence[tuple[int, int]],
    differences: Float[np.ndarray, " pair"],
    p: Float[np.ndarray, " pair"],
    *,
    alpha: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best and the worst rank that each model can have.

    A model's best rank is 1 plus the number of models that are significantly better, its worst rank
    the number of models less that of those that are significantly worse.

    Parameters
    ----------
    n_models
        Number of models.
    pairs
        Positions of the models of each pair; all pairs.
    differences, p
        Score of the first less that of the second, and adjusted p value.
    alpha
        Level of the tests.
    """
    best, worst = np.ones(n_models, dtype=int), np.full(n_models, n_models)
    for (one, other), difference, value in zip(pairs, differences, p, strict=True):
        if value <= alpha and difference != 0:
            higher, lower = (one, other) if difference > 0 else (other, one)
            best[lower] += 1
            worst[higher] -= 1
    return best, worst
