"""Ridge regression with a penalty per neuroid, chosen on training stimuli by cross-validation.

With principal scores Z (train-centred, Z'Z = diag(L)) and train-centred targets Y,

    yhat_i = mean_train(y) + Z_i (Z'Y / (L + alpha)),    h_ii = 1/n + sum_k Z_ik^2 / (L_k + alpha),
    leave-one-out residual_i = (y_i - yhat_i) / (1 - h_ii),
    generalised residual_i = (y_i - yhat_i) / (1 - mean(h)).

Where every stimulus is one row, this is scikit-learn's `RidgeCV(alpha_per_target=True)`. One
eigendecomposition per split serves all target sets and penalties. Penalties are chosen on the mean
over all trials and reused for the half means, which should differ in their data only. Generalised
cross-validation: Golub, Heath & Wahba (1979), Technometrics 21:215.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float

from neurofit.config.options import check_fields, option
from neurofit.errors import NeurofitError, NeurofitWarning
from neurofit.mapping.contract import register_mapping
from neurofit.mapping.fits import TEST_SHARE, MappingPlan
from neurofit.mapping.gram import Gram, GramPlan
from neurofit.mapping.gram_building import gram_of
from neurofit.mapping.linalg import Backend, array_backend

RELATIVE_ALPHAS = tuple(float(a) for a in np.logspace(-4, 6, 21))
"""Default penalties in units of the mean eigenvalue of the training Gram.

The choice does therefore not depend on the scale of the features.
"""

SELECTIONS = ("loo", "gcv")

MIN_FLOAT32_ALPHA = 1e-4
"""Penalty, as a share of the largest eigenvalue, below which float32 rounding may exceed it."""

BATCH_VALUES = 2**22
"""Number of values (rows x penalties x neuroids, or rows x rank) processed together."""


def parse_alphas(text: str) -> tuple[float, ...]:
    """Return penalties joined by commas as numbers.

    Raises
    ------
    NeurofitError
        If a part is not a number.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise NeurofitError(
            f"Ridge penalties are numbers joined by commas; got {text!r}."
        ) from None


@register_mapping("ridge")
@dataclass(frozen=True, kw_only=True)
class RidgeMapping:
    """Ridge with a penalty per neuroid.

    Parameters
    ----------
    alphas
        Penalties to choose from, as in scikit-learn; None takes `RELATIVE_ALPHAS` times the mean
        eigenvalue.
    select
        "loo": smallest leave-one-out error, as in scikit-learn. "gcv": smallest error of
        generalised cross-validation, which needs no residual of a single stimulus and chooses the
        same penalty for nine neuroids in ten.
    precision
        Precision of the Gram's products: float32 rounding exceeds small penalties.
    device
        "cpu", "torch-cpu", "cuda" or "cuda:N".
    """

    linear: ClassVar[bool] = True  # in the targets after the first, which chooses the penalties

    alphas: tuple[float, ...] | None = option(
        None,
        parse=parse_alphas,
        metavar="ALPHA,...",
        help="Ridge penalties to choose from.",
        default_text="a grid scaled by the features",
    )
    select: str = option(
        "loo", choices=SELECTIONS, help="Cross-validation that chooses the penalties: loo or gcv."
    )
    precision: str = "float64"
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def name(self) -> str:
        """Name with the selection unless it is the default: "ridge" or "ridge (gcv)"."""
        return "ridge" if self.select == "loo" else f"ridge ({self.select})"

    def plan(self, gram: GramPlan, *, n_sets: int, n_splits: int, n_neuroids: int) -> MappingPlan:
        """Estimate the cost of `cross_predict`, assuming that a quarter of the rows are tested."""
        n, rank = gram.n_rows, min(gram.n_rows, gram.n_units)
        n_alphas = len(self.alphas or RELATIVE_ALPHAS)
        train, test = (1 - TEST_SHARE) * n, TEST_SHARE * n
        per_split = (
            9 * min(train, rank) ** 3
            + 2 * n * rank**2
            + 2 * train * rank * n_neuroids * (n_alphas + 1)
        )
        projection = test * rank**2 if gram.storage != "dense" else 0
        per_split += 2 * n * rank * n_neuroids * n_sets + projection
        n_bytes = 8 * (3 * rank**2 + n * rank + n * n_neuroids * n_sets)
        return MappingPlan("eigenvectors", n_splits * per_split, n_bytes)

    def cross_predict(
        self,
        gram: Gram,
        targets: Float[np.ndarray, "set row neuroid"],
        train: Bool[np.ndarray, "split row"],
        *,
        times: int = 1,
    ) -> list[Float[np.ndarray, "set test neuroid"]]:
        """Predict the test rows of each split; see `GramMapping.cross_predict`.

        The first target set chooses the penalties for all, by leaving out one stimulus at a time
        with all its `times` rows.

        Warns
        -----
        NeurofitWarning
            If features are too large to be copied, because ridge needs memory for them
            nevertheless; if a penalty is smaller than the rounding of a float32 Gram.
        """
        if gram.blocks is not None:
            gram = self._load_blocks(gram, targets, n_splits=len(train))
        backend = array_backend(self.device)
        predictions, unsafe = [], False
        for rows in train:
            trained, tested, eigenvalues = gram.split_scores(rows, backend)
            alphas = np.asarray(self.alphas or RELATIVE_ALPHAS, dtype=np.float64)
            if self.alphas is None and len(eigenvalues):
                alphas = alphas * float(eigenvalues.sum()) / rows.sum()
            unsafe |= (
                gram.precision == "float32"
                and len(eigenvalues) > 0
                and alphas.min() < MIN_FLOAT32_ALPHA * float(eigenvalues[0])
            )
            first = backend.array(targets[0, rows])
            choice = choose_penalties(
                trained,
                eigenvalues,
                first - first.mean(0),
                alphas,
                times=times,
                select=self.select,
                backend=backend,
            )
            predictions.append(
                _predict(trained, tested, eigenvalues, targets, rows, alphas[choice], backend)
            )
        if unsafe:
            warnings.warn(
                f"{gram.name}: some penalties are below {MIN_FLOAT32_ALPHA:g} of the largest "
                "eigenvalue; they need a float64 Gram.",
                NeurofitWarning,
                stacklevel=2,
            )
        return predictions

    def _load_blocks(self, gram: Gram, targets: np.ndarray, *, n_splits: int) -> Gram:
        """Warn of the memory that ridge takes, and build K if it is smaller than the features."""
        n_sets, _, n_neuroids = targets.shape
        plan = GramPlan("blocks", gram.precision, gram.n_rows, gram.n_units, 0.0, 0)
        n_bytes = self.plan(plan, n_sets=n_sets, n_splits=n_splits, n_neuroids=n_neuroids).n_bytes
        warnings.warn(
            f"{gram.name}: ridge of {gram.n_rows} rows x {gram.n_units} units takes "
            f"{n_bytes / 1e9:.1f} GB for eigenvectors and scores.",
            NeurofitWarning,
            stacklevel=3,
        )
        if gram.n_units < gram.n_rows:
            return gram
        assert gram.blocks is not None
        blocks = list(gram.blocks)
        if gram.block_rows is not None:
            blocks = [block[rows] for block, rows in zip(blocks, gram.block_rows, strict=True)]
        return gram_of(blocks, name=gram.name, precision=self.precision, memory=n_bytes)


def _predict(
    trained: Any,
    tested: Any,
    eigenvalues: Any,
    targets: np.ndarray,
    train: np.ndarray,
    alphas: np.ndarray,
    backend: Backend,
) -> np.ndarray:
    """Predict the test rows set by set: Z_test (Z'Y / (L + alpha)).

    Where it is less work, predictions come from one (test train) matrix per penalty.
    """
    n_sets, _, n_neuroids = targets.shape
    weights = 1 / (eigenvalues[:, None] + backend.array(alphas))  # (rank neuroid)
    groups = [np.flatnonzero(alphas == alpha) for alpha in np.unique(alphas)]
    matrices = None
    if len(groups) * len(tested) < n_sets * n_neuroids:
        matrices = [
            (tested * weights[:, int(group[0])]) @ trained.swapaxes(0, 1) for group in groups
        ]
    out = np.empty((n_sets, len(tested), n_neuroids))
    for target, predicted in zip(targets, out, strict=True):
        centred = backend.array(target[train])
        mean = centred.mean(0)
        centred = centred - mean
        if matrices is None:
            coefficients = weights * (trained.swapaxes(0, 1) @ centred)
            predicted[:] = backend.numpy(mean + tested @ coefficients)
            continue
        for group, matrix in zip(groups, matrices, strict=True):
            predicted[:, group] = backend.numpy(mean[group] + matrix @ centred[:, group])
    return out


def choose_penalties(
    scores: Any,
    eigenvalues: Any,
    targets: Any,
    alphas: np.ndarray,
    *,
    times: int,
    select: str,
    backend: Backend,
) -> np.ndarray:
    """Return the position of each neuroid's penalty with the smallest cross-validation error.

    With several `times`, a stimulus is left out with all its rows g, because its other time bins,
    which look alike, would leak the target: residual_g = (1 - H_gg)^-1 (y - yhat)_g. Generalised
    cross-validation uses the mean of H_gg over stimuli.

    Parameters
    ----------
    scores, eigenvalues
        Principal scores of the training rows (row rank) and their eigenvalues (rank).
    targets
        Train-centred targets (row neuroid).
    alphas
        Penalties (alpha).
    times
        Number of time bins of the same stimuli that are stacked along the rows, bin after bin.
    select
        "loo" or "gcv".
    backend
        Backend of the arrays.
    """
    xp = backend.xp
    n_rows, n_neuroids = targets.shape
    if not len(eigenvalues):
        return np.zeros(n_neuroids, dtype=int)
    shrinkage = 1 / (eigenvalues[:, None] + backend.array(alphas))  # (rank alpha)
    correlations = scores.swapaxes(0, 1) @ targets
    if select == "gcv" and times == 1:
        explained = correlations**2 / eigenvalues[:, None]
        outside = (targets**2).sum(0) - explained.sum(0)  # unexplained at any penalty
        share = 1 - eigenvalues[:, None] * shrinkage  # alpha / (L + alpha)
        squares = (share**2).swapaxes(0, 1) @ explained + outside
        errors = squares / (n_rows - 1 - (eigenvalues[:, None] * shrinkage).sum(0))[:, None] ** 2
        return np.asarray(backend.numpy(errors).argmin(axis=0))
    errors = backend.zeros(len(alphas), n_neuroids)
    if times == 1:
        remainder = 1 - 1 / n_rows - scores**2 @ shrinkage  # 1 - h_ii: (row alpha)
        step = max(1, BATCH_VALUES // (n_rows * n_neuroids))
        for batch in (slice(begin, begin + step) for begin in range(0, len(alphas), step)):
            shrunk = shrinkage[:, batch, None] * correlations[:, None]  # (rank alpha neuroid)
            residual = (scores @ shrunk.reshape(len(shrunk), -1)).reshape(n_rows, -1, n_neuroids)
            residual -= targets[:, None]
            residual /= remainder[:, batch, None]
            errors[batch] = xp.einsum("ras,ras->as", residual, residual)
        return np.asarray(backend.numpy(errors).argmin(axis=0))
    n_stimuli, rank = n_rows // times, len(eigenvalues)
    scores = scores.reshape(times, n_stimuli, rank).swapaxes(0, 1)  # (stimulus time rank)
    targets = targets.reshape(times, n_stimuli, n_neuroids).swapaxes(0, 1)
    identity = backend.array(np.eye(times))
    step = max(1, BATCH_VALUES // (times * max(rank, n_neuroids)))
    batches = [slice(begin, begin + step) for begin in range(0, n_stimuli, step)]
    for a in range(len(alphas)):
        shrink = shrinkage[:, a]
        shrunk = shrink[:, None] * correlations
        mean_hat = None
        if select == "gcv":
            sums = (_hat_blocks(scores[batch], shrink, n_rows).sum(0) for batch in batches)
            mean_hat = (sum(sums) / n_stimuli)[None]
        for batch in batches:
            some = scores[batch]
            predicted = (some.reshape(-1, rank) @ shrunk).reshape(*some.shape[:2], n_neuroids)
            hat = _hat_blocks(some, shrink, n_rows) if mean_hat is None else mean_hat
            left_out = xp.linalg.solve(identity - hat, targets[batch] - predicted)
            errors[a] += xp.einsum("gts,gts->s", left_out, left_out)
    return np.asarray(backend.numpy(errors).argmin(axis=0))


def _hat_blocks(scores: Any, shrink: Any, n_rows: int) -> Any:
    """Return H_gg = 1/n + Z_g diag(1/(L + alpha)) Z_g' of stimuli g: (stimulus time time)."""
    return 1 / n_rows + (scores * shrink) @ scores.swapaxes(1, 2)
