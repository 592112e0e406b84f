"""Ridge regression with one penalty per neuroid, chosen on training stimuli by leave-one-out or generalised cross-validation.

With the principal scores Z (train-centred, Z'Z = diag(L)) and train-centred targets Y

    yhat_i = mean_train(y) + Z_i (Z'Y / (L + alpha)),       h_ii = 1/n + sum_k Z_ik^2 / (L_k + alpha),
    leave-one-out residual_i = (y_i - yhat_i) / (1 - h_ii),         generalised: (y_i - yhat_i) / (1 - mean(h)),

which is scikit-learn's `RidgeCV(alpha_per_target=True)` where every stimulus is one row. One eigendecomposition per split serves all
target sets and penalties. The penalty is chosen on the mean over all trials and kept for the half means: they are to be the same map
with less data. Generalised cross-validation: Golub, Heath & Wahba (1979), Technometrics 21:215.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float

from neurofit.errors import NeurofitWarning, check_option
from neurofit.mapping.fits import TEST_SHARE, MappingPlan
from neurofit.mapping.gram import Gram, GramPlan, gram_of
from neurofit.mapping.linalg import Device, find_device

RELATIVE_ALPHAS = tuple(float(a) for a in np.logspace(-4, 6, 21))
"""Default penalties, in units of the mean eigenvalue of the training Gram: the choice does not depend on the features' scale."""

SELECTIONS = ("loo", "gcv")

SAFE_IN_FLOAT32 = 1e-4
"""Penalties below this share of the largest eigenvalue are no larger than what float32 products round away."""

PART_VALUES = 2**22
"""Values (rows x penalties x neuroids, rows x rank) that are worked on together."""


@dataclass(frozen=True, kw_only=True)
class RidgeMapping:
    """Ridge with a penalty per neuroid.

    Parameters
    ----------
    alphas
        Penalties to choose from, as scikit-learn's; None takes `RELATIVE_ALPHAS` times the mean eigenvalue.
    select
        "loo": the smallest leave-one-out error, as scikit-learn. "gcv": of generalised cross-validation, which needs no residual of
        a single stimulus and chooses the same penalty for nine neuroids in ten.
    precision
        Of the products of the Gram to build for it: rounding of float32 is larger than small penalties.
    device
        "cpu", "torch-cpu", "cuda", "cuda:1".
    """

    linear: ClassVar[bool] = True  # in the targets after the first, which chooses the penalties

    alphas: tuple[float, ...] | None = None
    select: str = "loo"
    precision: str = "float64"
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_option("choice of ridge penalties", self.select, SELECTIONS)

    @property
    def name(self) -> str:
        """What it is, with all that is not the default: "ridge", "ridge (gcv)"."""
        return "ridge" if self.select == "loo" else f"ridge ({self.select})"

    def plan(self, gram: GramPlan, *, n_sets: int, n_splits: int, n_neuroids: int) -> MappingPlan:
        """Estimate the cost of `cross_predict`; a quarter of the rows are test rows."""
        n, rank, n_alphas = gram.n_rows, min(gram.n_rows, gram.n_units), len(self.alphas or RELATIVE_ALPHAS)
        train, test = (1 - TEST_SHARE) * n, TEST_SHARE * n
        per_split = 9 * min(train, rank) ** 3 + 2 * n * rank**2 + 2 * train * rank * n_neuroids * (n_alphas + 1)
        per_split += 2 * n * rank * n_neuroids * n_sets + (test * rank**2 if gram.face != "dense" else 0)
        return MappingPlan("eigenvectors", n_splits * per_split, 8 * (3 * rank**2 + n * rank + n * n_neuroids * n_sets))

    def cross_predict(
        self, gram: Gram, targets: Float[np.ndarray, "set row neuroid"], train: Bool[np.ndarray, "split row"], *, times: int = 1
    ) -> list[Float[np.ndarray, "set test neuroid"]]:
        """Fit every target set on every split's training rows and predict its test rows; as `PLSMapping.cross_predict`.

        The first target set chooses the penalties of all, by leaving out one stimulus at a time with all its `times` rows.

        Warns
        -----
        NeurofitWarning
            If the features were left where they are, with the memory that ridge takes nevertheless; if a penalty is smaller than
            the rounding of a float32 Gram.
        """
        if gram.blocks is not None:
            n_sets, _, n_neuroids = targets.shape
            face = GramPlan("blocks", gram.precision, gram.n_rows, gram.n_units, 0.0, 0)
            n_bytes = self.plan(face, n_sets=n_sets, n_splits=len(train), n_neuroids=n_neuroids).n_bytes
            note = (
                f"{gram.name}: ridge of {gram.n_rows} rows x {gram.n_units} units takes {n_bytes / 1e9:.1f} GB for eigenvectors and scores."
            )
            warnings.warn(note, NeurofitWarning, stacklevel=2)
            if gram.n_units >= gram.n_rows:
                blocks = gram.blocks if gram.kept is None else [block[rows] for block, rows in zip(gram.blocks, gram.kept, strict=True)]
                gram = gram_of(blocks, name=gram.name, precision=self.precision, memory=n_bytes)
        device = find_device(self.device)
        predictions, unsafe = [], False
        for rows in train:
            trained, tested, eigenvalues = gram.split_scores(rows, device)
            alphas = np.asarray(self.alphas or RELATIVE_ALPHAS, dtype=np.float64)
            if self.alphas is None and len(eigenvalues):
                alphas = alphas * float(eigenvalues.sum()) / rows.sum()
            unsafe |= gram.precision == "float32" and len(eigenvalues) > 0 and alphas.min() < SAFE_IN_FLOAT32 * float(eigenvalues[0])
            first = device.array(targets[0, rows])
            position = _choose(trained, eigenvalues, first - first.mean(0), alphas, times=times, select=self.select, device=device)
            predictions.append(_predict(trained, tested, eigenvalues, targets, rows, alphas[position], device))
        if unsafe:
            note = f"{gram.name}: some penalties are below {SAFE_IN_FLOAT32:g} of the largest eigenvalue; they need a float64 Gram."
            warnings.warn(note, NeurofitWarning, stacklevel=2)
        return predictions


def _predict(
    trained: Any, tested: Any, eigenvalues: Any, targets: np.ndarray, train: np.ndarray, alphas: np.ndarray, device: Device
) -> np.ndarray:
    """Predict the test rows, set by set: Z_test (Z'Y / (L + alpha)), from one (test train) matrix per penalty where that is less work."""
    n_sets, _, n_neuroids = targets.shape
    weights = 1 / (eigenvalues[:, None] + device.array(alphas))  # (rank neuroid)
    groups = [np.flatnonzero(alphas == alpha) for alpha in np.unique(alphas)]
    matrices = None
    if len(groups) * len(tested) < n_sets * n_neuroids:
        matrices = [(tested * weights[:, int(group[0])]) @ trained.swapaxes(0, 1) for group in groups]
    out = np.empty((n_sets, len(tested), n_neuroids))
    for target, predicted in zip(targets, out, strict=True):
        held = device.array(target[train])
        mean = held.mean(0)
        held = held - mean
        if matrices is None:
            predicted[:] = device.numpy(mean + tested @ (weights * (trained.swapaxes(0, 1) @ held)))
            continue
        for group, matrix in zip(groups, matrices, strict=True):
            predicted[:, group] = device.numpy(mean[group] + matrix @ held[:, group])
    return out


def choose_alphas(
    scores: Float[np.ndarray, "train rank"],
    eigenvalues: Float[np.ndarray, " rank"],
    targets: Float[np.ndarray, "train neuroid"],
    *,
    alphas: Float[np.ndarray, " alpha"],
    times: int = 1,
    select: str = "loo",
) -> Float[np.ndarray, " neuroid"]:
    """Return, per neuroid, the penalty with the smallest mean squared cross-validation error; targets are train-centred.

    With several `times` (rows are time bins of the same stimuli, bin after bin) a stimulus is left out with all its rows,
    residual_g = (1 - H_gg)^-1 (y - yhat)_g: its other bins, which look alike, would give the answer away. The generalised error
    takes the mean of H_gg over stimuli.
    """
    return np.asarray(alphas[_choose(scores, eigenvalues, targets, alphas, times=times, select=select, device=find_device("cpu"))])


def _choose(scores: Any, eigenvalues: Any, targets: Any, alphas: np.ndarray, *, times: int, select: str, device: Device) -> np.ndarray:
    """Return the position of each neuroid's penalty."""
    xp = device.xp
    n_rows, n_neuroids = targets.shape
    if not len(eigenvalues):
        return np.zeros(n_neuroids, dtype=int)
    shrinkage = 1 / (eigenvalues[:, None] + device.array(alphas))  # (rank alpha)
    correlations = scores.swapaxes(0, 1) @ targets
    if select == "gcv" and times == 1:
        outside = (targets**2).sum(0) - (correlations**2 / eigenvalues[:, None]).sum(0)  # what no penalty reaches
        share = 1 - eigenvalues[:, None] * shrinkage  # alpha / (L + alpha)
        squares = (share**2).swapaxes(0, 1) @ (correlations**2 / eigenvalues[:, None]) + outside
        errors = squares / (n_rows - 1 - (eigenvalues[:, None] * shrinkage).sum(0))[:, None] ** 2
        return np.asarray(device.numpy(errors).argmin(axis=0))
    errors = device.zeros(len(alphas), n_neuroids)
    if times == 1:
        left = 1 - 1 / n_rows - scores**2 @ shrinkage  # 1 - h_ii: (row alpha)
        step = max(1, PART_VALUES // (n_rows * n_neuroids))
        for part in (slice(begin, begin + step) for begin in range(0, len(alphas), step)):
            shrunk = shrinkage[:, part, None] * correlations[:, None]  # (rank alpha neuroid)
            residual = (scores @ shrunk.reshape(len(shrunk), -1)).reshape(n_rows, -1, n_neuroids)
            residual -= targets[:, None]
            residual /= left[:, part, None]
            errors[part] = xp.einsum("ras,ras->as", residual, residual)
        return np.asarray(device.numpy(errors).argmin(axis=0))
    n_stimuli, rank = n_rows // times, len(eigenvalues)
    by_stimulus = scores.reshape(times, n_stimuli, rank).swapaxes(0, 1)  # (stimulus time rank)
    answers = targets.reshape(times, n_stimuli, n_neuroids).swapaxes(0, 1)  # (stimulus time neuroid)
    one = device.array(np.eye(times))
    step = max(1, PART_VALUES // (times * max(rank, n_neuroids)))
    parts = [slice(begin, begin + step) for begin in range(0, n_stimuli, step)]
    for a in range(len(alphas)):
        shrink = shrinkage[:, a]
        shrunk = shrink[:, None] * correlations
        mean_hat = sum(_hats(by_stimulus[part], shrink, n_rows).sum(0) for part in parts) / n_stimuli if select == "gcv" else None
        for part in parts:
            held = by_stimulus[part]
            residual = answers[part] - (held.reshape(-1, rank) @ shrunk).reshape(*held.shape[:2], n_neuroids)
            left_out = xp.linalg.solve(one - (_hats(held, shrink, n_rows) if mean_hat is None else mean_hat[None]), residual)
            errors[a] += xp.einsum("gts,gts->s", left_out, left_out)
    return np.asarray(device.numpy(errors).argmin(axis=0))


def _hats(scores: Any, shrink: Any, n_rows: int) -> Any:
    """Return the blocks H_gg = 1/n + Z_g diag(1/(L + alpha)) Z_g' of stimuli: (stimulus time time)."""
    return 1 / n_rows + (scores * shrink) @ scores.swapaxes(1, 2)
