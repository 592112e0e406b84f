"""What is known of fits: before the start their way and cost; after it the scores and loadings from which predictions are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

TEST_SHARE = 0.25
"""Share of the rows that tests, for estimates."""

ITERATIONS = 50
"""Power iterations of a component, for estimates: 48 on average with 168 simulated neuroids."""


@dataclass(frozen=True)
class MappingPlan:
    """How fits will be made and what they cost, known before the start; the Gram has its own plan.

    Parameters
    ----------
    way
        "dual", "cross products", "passes over the features" or "eigenvectors".
    flops, n_bytes
        Floating point operations, and memory beside the Gram and the targets.
    """

    way: str
    flops: float
    n_bytes: int


@dataclass(frozen=True)
class Fit:
    """One split's maps of every target set.

    Parameters
    ----------
    scores
        Of the test rows, orthonormal over the training rows (set component test).
    loadings
        C (set component neuroid).
    means
        Of the training rows' targets (set neuroid).
    used
        Components that the rank of the training features allowed (set).
    """

    scores: Float[np.ndarray, "set component test"]
    loadings: Float[np.ndarray, "set component neuroid"]
    means: Float[np.ndarray, "set neuroid"]
    used: Int[np.ndarray, " set"]

    def predict(self, n_components: int | None = None) -> Float[np.ndarray, "set test neuroid"]:
        """Predict the test rows with the first `n_components` (default all): yhat = mean + T C."""
        scores, loadings = self.scores[:, :n_components], self.loadings[:, :n_components]
        return np.asarray(self.means[:, None] + scores.swapaxes(1, 2) @ loadings)


def join(fits: Sequence[Fit]) -> Fit:
    """Return one split's fits of several groups of target sets as one."""
    parts = zip(*((fit.scores, fit.loadings, fit.means, fit.used) for fit in fits), strict=True)
    return fits[0] if len(fits) == 1 else Fit(*(np.concatenate(part) for part in parts))
