"""Ridge regression with one penalty per neuroid, chosen by leave-one-out inside the training rows.

With the principal scores Z (train-centred, Z'Z = diag(L)) and train-centred targets Y

    yhat_i = mean_train(y) + Z_i (Z'Y / (L + alpha)),       h_ii = 1/n + sum_k Z_ik^2 / (L_k + alpha),
    leave-one-out residual_i = (y_i - yhat_i) / (1 - h_ii),

which is scikit-learn's `RidgeCV(alpha_per_target=True)`. The penalty is chosen on the mean over all trials and kept for the
half means: they are to be the same map with less data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from neurofit.mapping.gram import Gram

RELATIVE_ALPHAS = tuple(float(a) for a in np.logspace(-4, 6, 21))
"""Default penalties, in units of the mean eigenvalue of the training Gram: the choice does not depend on the features' scale."""


@dataclass(frozen=True, kw_only=True)
class RidgeMapping:
    """Ridge with a penalty per neuroid.

    Parameters
    ----------
    alphas
        Penalties to choose from, as scikit-learn's; None takes `RELATIVE_ALPHAS` times the mean eigenvalue.
    """

    alphas: tuple[float, ...] | None = None
    name: str = "ridge"

    def cross_predict(
        self, gram: Gram, targets: Float[np.ndarray, "set row neuroid"], train: Bool[np.ndarray, "split row"]
    ) -> list[Float[np.ndarray, "set test neuroid"]]:
        """Fit every target set on every split's training rows and predict its test rows; as `PLSMapping.cross_predict`.

        The first target set chooses the penalties of all.
        """
        return [self._predict_split(gram, targets, rows) for rows in train]

    def _predict_split(self, gram: Gram, targets: np.ndarray, train: np.ndarray) -> np.ndarray:
        scores, eigenvalues = gram.principal_scores(train)
        held = targets[:, train]
        means = held.mean(axis=1, keepdims=True)
        correlations = scores[train].T @ (held - means)  # Z'Y: (set, rank, neuroid)
        alphas = np.asarray(self.alphas or RELATIVE_ALPHAS, dtype=np.float64)
        if self.alphas is None and len(eigenvalues):
            alphas = alphas * eigenvalues.sum() / train.sum()
        chosen = choose_alphas(scores[train], eigenvalues, held[0] - means[0], alphas=alphas)
        return np.asarray(means + scores[~train] @ (correlations / (eigenvalues[:, None] + chosen)))


def choose_alphas(
    scores: Float[np.ndarray, "train rank"],
    eigenvalues: Float[np.ndarray, " rank"],
    targets: Float[np.ndarray, "train neuroid"],
    *,
    alphas: Float[np.ndarray, " alpha"],
) -> Float[np.ndarray, " neuroid"]:
    """Return, per neuroid, the penalty with the smallest mean squared leave-one-out error; targets are train-centred."""
    correlations = scores.T @ targets
    shrinkage = 1 / (eigenvalues[:, None] + alphas)  # (rank alpha)
    leverage = 1 / len(scores) + scores**2 @ shrinkage  # (train alpha)
    errors = np.empty((len(alphas), targets.shape[1]))
    for position, shrink in enumerate(shrinkage.T):
        residual = targets - scores @ (shrink[:, None] * correlations)
        errors[position] = ((residual / (1 - leverage[:, position, None])) ** 2).mean(axis=0)
    return np.asarray(alphas[errors.argmin(axis=0)])
