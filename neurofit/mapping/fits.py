"""What a fitted PLS keeps of one split: scores of its test rows and loadings, from which any number of components is read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


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
