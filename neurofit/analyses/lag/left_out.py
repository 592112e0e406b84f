"""Ridge predictions of rows that are left out in turn, and influences on their correlations.

With principal scores Z (Z'Z = diag(L)) and centred responses y, the map of all rows has the hat
matrix H = 1/n + Z diag(1 / (L + alpha)) Z'. Without row i,

    y_i - prediction_i = (y - H y)_i / (1 - h_ii)

and rows of one group g are left out together, (1 - H_gg)^-1 (y - H y)_g. What is correlated with
the responses is the prediction less the mean without the row, because that mean alone falls where
y_i rises. The penalty has the smallest error of generalised cross-validation, for each neuroid
(Golub, Heath & Wahba 1979, Technometrics 21:215).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from neurofit.mapping.ridge import MIN_REMAINDER, RELATIVE_ALPHAS
from neurofit.metrics.correlation import pearson, pearson_influence, pearson_slope


@dataclass(frozen=True)
class Ridge:
    """Ridge of some rows with each of several penalties.

    Parameters
    ----------
    scores
        Principal scores of all rows.
    eigenvalues
        Squared norms of the scores.
    shrinkage
        1 / (L + alpha).
    own
        h_ii without the part of the intercept.
    groups
        Group of each row, left out together; None if every row is its own.
    """

    scores: Float[np.ndarray, "row rank"]
    eigenvalues: Float[np.ndarray, " rank"]
    shrinkage: Float[np.ndarray, "rank alpha"]
    own: Float[np.ndarray, "row alpha"]
    groups: Int[np.ndarray, " row"] | None

    @classmethod
    def of(
        cls,
        scores: Float[np.ndarray, "row rank"],
        eigenvalues: Float[np.ndarray, " rank"],
        alphas: tuple[float, ...] | None,
        groups: Int[np.ndarray, " row"] | None,
    ) -> Ridge:
        """Return the ridge with penalties `alphas`, by default those of `RidgeMapping`."""
        penalties = np.asarray(RELATIVE_ALPHAS if alphas is None else alphas)
        if alphas is None:
            penalties = penalties * eigenvalues.sum() / len(scores)
        shrinkage = 1 / np.maximum(eigenvalues[:, None] + penalties, np.finfo(float).tiny)
        return cls(scores, eigenvalues, shrinkage, scores**2 @ shrinkage, groups)

    def predict(self, targets: Float[np.ndarray, "row neuroid"]) -> LeftOut:
        """Choose a penalty for each neuroid, and predict its responses to each row."""
        n = len(targets)
        targets = targets - targets.mean(axis=0)
        components = self.scores.T @ targets
        explained = components**2 / self.eigenvalues[:, None]
        outside = (targets**2).sum(axis=0) - explained.sum(axis=0)  # whatever the penalty
        kept = self.eigenvalues[:, None] * self.shrinkage
        errors = ((1 - kept) ** 2).T @ explained + outside
        errors /= (1 - (1 + kept.sum(axis=0)) / n)[:, None] ** 2
        made = LeftOut(self, errors.argmin(axis=0), targets, targets, targets)
        residuals = made.without(targets - self.scores @ (made.shrinkage * components))
        sums, sizes = targets, np.ones((n, 1))
        if self.groups is not None:
            same = (self.groups[:, None] == self.groups).astype(float)
            sums, sizes = same @ targets, same.sum(axis=1, keepdims=True)
        predicted = targets - residuals + sums / np.maximum(n - sizes, 1)
        return LeftOut(self, made.choice, targets, residuals, predicted)


@dataclass(frozen=True)
class LeftOut:
    """Predictions of rows that are left out in turn.

    Parameters
    ----------
    ridge
        Map of all rows.
    choice
        Position of each neuroid's penalty.
    targets
        Centred responses.
    residuals
        Responses minus the prediction without the row, or without its group.
    predicted
        Predictions minus the mean without the row, or without its group.
    """

    ridge: Ridge
    choice: Int[np.ndarray, " neuroid"]
    targets: Float[np.ndarray, "row neuroid"]
    residuals: Float[np.ndarray, "row neuroid"]
    predicted: Float[np.ndarray, "row neuroid"]

    @property
    def shrinkage(self) -> Float[np.ndarray, "rank neuroid"]:
        """1 / (L + alpha) with each neuroid's penalty."""
        return np.asarray(self.ridge.shrinkage[:, self.choice])

    @property
    def r(self) -> Float[np.ndarray, " neuroid"]:
        """Correlation of predictions and responses; 0 where predictions are constant."""
        return np.asarray(np.nan_to_num(pearson(self.predicted, self.targets)))

    def influences(self) -> Float[np.ndarray, "row neuroid"]:
        """Return the influence of each row on r: as one that is predicted, and as one that trains.

        Row t moves the predictions p of all others s by H_st e_t / (1 - h_ss), with its residual
        e_t when it is left out; its influence is e_t sum_s H_st c_s / (1 - h_ss), with c = dr / dp.
        See `neurofit.analyses.encoding.influences`.
        """
        one = np.ones((1, self.targets.shape[1]))
        tested = pearson_influence(self.predicted[None], self.targets[None], one)
        slopes = self.without(pearson_slope(self.predicted, self.targets))
        moved = self.ridge.scores @ (self.shrinkage * (self.ridge.scores.T @ slopes))
        trained = self.residuals * (moved - self._own(slopes))
        return np.asarray(tested + trained - trained.mean(axis=0))

    def without(self, values: Float[np.ndarray, "row neuroid"]) -> Float[np.ndarray, "row neuroid"]:
        """Return (1 - H_gg)^-1 values of each row, or of each group."""
        n = len(values)
        if self.ridge.groups is None:
            remainder = np.maximum(1 - 1 / n - self.ridge.own, MIN_REMAINDER)
            return np.asarray(values / remainder[:, self.choice])
        return self._in_groups(
            values, lambda hat, own: np.linalg.solve(np.eye(len(hat)) - 1 / n - hat, own)
        )

    def _own(self, values: np.ndarray) -> np.ndarray:
        """Return H_gg values without the part of the intercept."""
        if self.ridge.groups is None:
            return np.asarray(self.ridge.own[:, self.choice] * values)
        return self._in_groups(values, lambda hat, own: hat @ own)

    def _in_groups(
        self, values: np.ndarray, apply: Callable[[np.ndarray, np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """Return a function of H_gg, without the intercept, and the values of each group."""
        groups = np.asarray(self.ridge.groups)
        members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
        made = np.empty_like(values)
        for alpha in np.unique(self.choice):
            columns = np.flatnonzero(self.choice == alpha)
            for rows in members:
                own, place = self.ridge.scores[rows], np.ix_(rows, columns)
                made[place] = apply((own * self.ridge.shrinkage[:, alpha]) @ own.T, values[place])
        return made
