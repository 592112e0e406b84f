"""Plans of fits (algorithm and cost), fitted PLS maps, and linear smoothers.

A smoother is what the influence of training stimuli on a score needs of a fitted map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

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
        Means of the training targets in each group of rows (set group neuroid).
    used
        Number of components that training features and targets allow (set).
    rank
        Numerical rank of the training features, up to the number of components requested.
    """

    scores: Float[np.ndarray, "set component test"]
    loadings: Float[np.ndarray, "set component neuroid"]
    means: Float[np.ndarray, "set group neuroid"]
    used: Int[np.ndarray, " set"]
    rank: int = 0

    def predict(self, n_components: int | None = None) -> Float[np.ndarray, "set test neuroid"]:
        """Predict the test rows with the first `n_components` (default all): yhat = means + T'C."""
        scores, loadings = self.scores[:, :n_components], self.loadings[:, :n_components]
        predicted = scores.swapaxes(1, 2) @ loadings
        in_groups = predicted.reshape(*self.means.shape[:2], -1, self.means.shape[2])
        in_groups += self.means[:, :, None]
        return np.asarray(predicted)


def join(fits: Sequence[Fit]) -> Fit:
    """Concatenate fits of one split along the target sets."""
    if len(fits) == 1:
        return fits[0]
    names = ("scores", "loadings", "means", "used")
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(fit, name) for fit in fits]) for name in names
    }
    return replace(fits[0], **joined)


@dataclass(frozen=True)
class Smoother:
    """A map of one split that is linear in its targets: predictions of the test rows are Q y.

    Products are fastest where residuals and slopes are contiguous as (neuroid set row).

    Parameters
    ----------
    residuals
        Leave-one-out residuals of the training rows, e / (1 - h) (set train neuroid).
    matrices
        Neuroids, by position, and their Q (test train), without the part of the intercept.
    """

    residuals: Float[np.ndarray, "set train neuroid"]
    matrices: tuple[tuple[Int[np.ndarray, " _"], Float[np.ndarray, "test train"]], ...]

    def adjoint(
        self, slopes: Float[np.ndarray, "set test neuroid"]
    ) -> Float[np.ndarray, "set train neuroid"]:
        """Return Q' c for slopes c of a statistic with respect to the predictions."""
        n_sets, n_test, n_neuroids = slopes.shape
        by_neuroid = slopes.transpose(2, 0, 1)
        out = np.empty((n_neuroids, n_sets, self.residuals.shape[1]), slopes.dtype)
        for neuroids, matrix in self.matrices:
            moved = by_neuroid[neuroids].reshape(-1, n_test) @ matrix
            out[neuroids] = moved.reshape(len(neuroids), n_sets, -1)
        return out.transpose(1, 2, 0)

    def pairs(
        self,
        slopes: Float[np.ndarray, "set test neuroid"],
        inside: Bool[np.ndarray, " neuroid"],
        sets: slice = slice(None),
    ) -> Float[np.ndarray, "test train"]:
        """Return c_s Q_st e_t for slopes c and residuals e, summed over sets and some neuroids."""
        n_test, n_train = slopes.shape[1], self.residuals.shape[1]
        slopes, residuals = (each[sets].transpose(2, 0, 1) for each in (slopes, self.residuals))
        total = np.zeros((n_test, n_train), dtype=np.float32)
        for neuroids, matrix in self.matrices:
            own = neuroids[inside[neuroids]]
            product = slopes[own].reshape(-1, n_test).T @ residuals[own].reshape(-1, n_train)
            product *= matrix
            total += product
        return total
