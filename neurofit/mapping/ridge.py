"""Ridge regression with one penalty per neuroid, chosen by leaving out one training stimulus at a time.

With the principal scores Z (train-centred, Z'Z = diag(L)) and train-centred targets Y

    yhat_i = mean_train(y) + Z_i (Z'Y / (L + alpha)),       h_ii = 1/n + sum_k Z_ik^2 / (L_k + alpha),
    leave-one-out residual_i = (y_i - yhat_i) / (1 - h_ii),

which is scikit-learn's `RidgeCV(alpha_per_target=True)` where every stimulus is one row. The penalty is chosen on the mean over all
trials and kept for the half means: they are to be the same map with less data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

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

    linear: ClassVar[bool] = True  # in the targets after the first, which chooses the penalties

    alphas: tuple[float, ...] | None = None
    name: str = "ridge"

    def cross_predict(
        self, gram: Gram, targets: Float[np.ndarray, "set row neuroid"], train: Bool[np.ndarray, "split row"], *, times: int = 1
    ) -> list[Float[np.ndarray, "set test neuroid"]]:
        """Fit every target set on every split's training rows and predict its test rows; as `PLSMapping.cross_predict`.

        The first target set chooses the penalties of all, by leaving out one stimulus at a time with all its `times` rows.
        """
        return [self._predict_split(gram, targets, rows, times=times) for rows in train]

    def _predict_split(self, gram: Gram, targets: np.ndarray, train: np.ndarray, *, times: int) -> np.ndarray:
        scores, eigenvalues = gram.principal_scores(train)
        held = targets[:, train]
        means = held.mean(axis=1, keepdims=True)
        correlations = scores[train].T @ (held - means)  # Z'Y: (set, rank, neuroid)
        alphas = np.asarray(self.alphas or RELATIVE_ALPHAS, dtype=np.float64)
        if self.alphas is None and len(eigenvalues):
            alphas = alphas * eigenvalues.sum() / train.sum()
        chosen = choose_alphas(scores[train], eigenvalues, held[0] - means[0], alphas=alphas, times=times)
        return np.asarray(means + scores[~train] @ (correlations / (eigenvalues[:, None] + chosen)))


def choose_alphas(
    scores: Float[np.ndarray, "train rank"],
    eigenvalues: Float[np.ndarray, " rank"],
    targets: Float[np.ndarray, "train neuroid"],
    *,
    alphas: Float[np.ndarray, " alpha"],
    times: int = 1,
) -> Float[np.ndarray, " neuroid"]:
    """Return, per neuroid, the penalty with the smallest mean squared leave-one-out error; targets are train-centred.

    With several `times` (rows are time bins of the same stimuli, bin after bin) a stimulus is left out with all its rows,
    residual_g = (1 - H_gg)^-1 (y - yhat)_g: its other bins, which look alike, would give the answer away.
    """
    correlations = scores.T @ targets
    shrinkage = 1 / (eigenvalues[:, None] + alphas)  # (rank alpha)
    by_stimulus = scores.reshape(times, len(scores) // times, scores.shape[1]).swapaxes(0, 1)  # (stimulus time rank)
    errors = np.empty((len(alphas), targets.shape[1]))
    for position, shrink in enumerate(shrinkage.T):
        residual = targets - scores @ (shrink[:, None] * correlations)
        if times == 1:
            left_out = residual / (1 - 1 / len(scores) - scores**2 @ shrink)[:, None]
        else:
            hat = 1 / len(scores) + (by_stimulus * shrink) @ by_stimulus.swapaxes(1, 2)  # (stimulus time time)
            left_out = np.linalg.solve(np.eye(times) - hat, residual.reshape(times, -1, residual.shape[1]).swapaxes(0, 1))
        errors[position] = (left_out**2).reshape(-1, targets.shape[1]).mean(axis=0)
    return np.asarray(alphas[errors.argmin(axis=0)])
