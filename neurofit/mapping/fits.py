"""Plans of fits (algorithm and cost), and fitted PLS maps as scores and loadings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

TEST_SHARE = 0.25
"""Share of test rows assumed in estimates."""

POWER_ITERATIONS = 50
"""Power iterations per component assumed in estimates: 48 on average for 168 simulated neuroids."""


@dataclass(frozen=True)
class MappingPlan:
    """Algorithm and estimated cost of fits; the Gram matrix has its own plan.

    Parameters
    ----------
    method
        "dual", "cross products", "passes over the features" or "eigenvectors".
    flops, n_bytes
        Floating point operations, and memory besides the Gram and the targets.
    """

    method: str
    flops: float
    n_bytes: int


@dataclass(frozen=True)
class Fit:
    """PLS maps of one split to every target set.

    Parameters
    ----------
    scores
        Scores T of the test rows (set component test); those of the training rows are orthonormal.
    loadings
        Target loadings C (set component neuroid).
    means
        Means of the training targets (set neuroid).
    used
        Number of components that the rank of the training features allows (set).
    """

    scores: Float[np.ndarray, "set component test"]
    loadings: Float[np.ndarray, "set component neuroid"]
    means: Float[np.ndarray, "set neuroid"]
    used: Int[np.ndarray, " set"]

    def predict(self, n_components: int | None = None) -> Float[np.ndarray, "set test neuroid"]:
        """Predict the test rows with the first `n_components` (default all): yhat = mean + T'C."""
        scores, loadings = self.scores[:, :n_components], self.loadings[:, :n_components]
        return np.asarray(self.means[:, None] + scores.swapaxes(1, 2) @ loadings)


def join(fits: Sequence[Fit]) -> Fit:
    """Concatenate fits of one split along the target sets."""
    parts = zip(*((fit.scores, fit.loadings, fit.means, fit.used) for fit in fits), strict=True)
    return fits[0] if len(fits) == 1 else Fit(*(np.concatenate(part) for part in parts))
