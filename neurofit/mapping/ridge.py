"""Ridge regression with a penalty per neuroid, chosen on training stimuli by cross-validation.

With principal scores Z (train-centred, Z'Z = diag(L)) and train-centred targets Y,

    yhat_i = mean_train(y) + Z_i (Z'Y / (L + alpha)),    h_ii = 1/n + sum_k Z_ik^2 / (L_k + alpha),
    leave-one-out residual_i = (y_i - yhat_i) / (1 - h_ii),
    generalised residual_i = (y_i - yhat_i) / (1 - mean(h)).

Where every stimulus is one row, this is scikit-learn's `RidgeCV(alpha_per_target=True)`. Rows g of
one stimulus (its time bins), or of one group of stimuli, are left out together:
residual_g = (1 - H_gg)^-1 (y - yhat)_g. One eigendecomposition per split serves all target sets and
penalties. Penalties are chosen on the mean over all trials and reused for the half means, which
should differ in their data only. Generalised cross-validation: Golub, Heath & Wahba (1979),
Technometrics 21:215.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int

from neurofit.config.options import check_fields, option
from neurofit.errors import NeurofitError, NeurofitWarning
from neurofit.mapping.centring import add_means, remove_means
from neurofit.mapping.contract import register_mapping
from neurofit.mapping.fits import TEST_SHARE, MappingPlan, Smoother
from neurofit.mapping.gram import Gram, GramPlan
from neurofit.mapping.gram_building import gram_of
from neurofit.mapping.linalg import Backend, array_backend
from neurofit.mapping.penalties import penalty_errors

RELATIVE_ALPHAS = tuple(float(a) for a in np.logspace(-4, 6, 21))
"""Default penalties in units of the mean eigenvalue of the training Gram.

The choice does therefore not depend on the scale of the features.
"""

SELECTIONS = ("loo", "gcv")

MIN_REMAINDER = 1e-9
"""Least 1 - h of a training row, below which leave-one-out residuals are rounding errors."""

MIN_FLOAT32_ALPHA = 1e-4
"""Penalty, as a share of the largest eigenvalue, below which float32 rounding may exceed it."""


SmootherMatrices = list[tuple[Int[np.ndarray, " _"], Any]]
"""Neuroids, by position, and the matrix (test train) that maps their targets to predictions."""


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
    """Ridge regression with a penalty per neuroid.

    Parameters
    ----------
    alphas
        Penalties to choose from, as in scikit-learn; None takes `RELATIVE_ALPHAS` times the mean
        eigenvalue.
    select
        "loo": smallest leave-one-out error, as in scikit-learn. "gcv": smallest error of
        generalised cross-validation, which needs no residual of a single stimulus, knows no groups,
        and chooses the same penalty for nine neuroids in ten.
    precision
        Precision of the Gram's products: float32 rounding exceeds small penalties.
    device
        "cpu", "torch-cpu", "cuda" or "cuda:N".

    Raises
    ------
    NeurofitError
        If `select` is unknown.

    Notes
    -----
    Source: scikit-learn's `RidgeCV(alpha_per_target=True)`, which it equals with the same penalties
    where every stimulus is one row; Golub, Heath & Wahba (1979), Technometrics 21:215.

    Examples
    --------
    >>> import numpy as np
    >>> from neurofit.mapping import RidgeMapping, gram_of
    >>> from sklearn.linear_model import RidgeCV
    >>> rng = np.random.default_rng(0)
    >>> features, noise = rng.normal(size=(40, 100)), rng.normal(size=(40, 5))
    >>> responses = features[:, :5] + noise
    >>> train = np.arange(40) < 30
    >>> mapping = RidgeMapping(alphas=(0.1, 1.0, 10.0))
    >>> (predicted,) = mapping.cross_predict(gram_of([features]), responses[None], train[None])
    >>> theirs = RidgeCV(mapping.alphas, alpha_per_target=True)
    >>> expected = theirs.fit(features[train], responses[train]).predict(features[~train])
    >>> np.allclose(predicted[0], expected)
    True
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
        with all its `times` rows, or one of the Gram's `stimulus_groups`.

        Warns
        -----
        NeurofitWarning
            If features are too large to be copied, because ridge needs memory for them
            nevertheless; if a penalty is smaller than the rounding of a float32 Gram.
        """
        return [
            predict_tests(
                trained, tested, eigenvalues, targets, rows, alphas, backend, groups=gram.groups
            )
            for rows, trained, tested, eigenvalues, alphas, backend in self._splits(
                gram, targets, train, times=times
            )
        ]

    def cross_smooth(
        self,
        gram: Gram,
        targets: Float[np.ndarray, "set row neuroid"],
        train: Bool[np.ndarray, "split row"],
    ) -> Iterator[tuple[Float[np.ndarray, "set test neuroid"], Smoother]]:
        """Yield the predictions of each split and their smoother, with penalties as if fixed."""
        for rows, trained, tested, eigenvalues, alphas, backend in self._splits(
            gram, targets, train, times=1
        ):
            yield smooth(trained, tested, eigenvalues, targets, rows, alphas, backend)

    def _splits(
        self, gram: Gram, targets: np.ndarray, train: np.ndarray, *, times: int
    ) -> Iterator[tuple[np.ndarray, Any, Any, Any, np.ndarray, Backend]]:
        """Yield (train, scores of training and test rows, eigenvalues, penalties, backend)."""
        if gram.blocks is not None:
            gram = self._load_blocks(gram, targets, n_splits=len(train))
        backend = array_backend(self.device)
        unsafe = False
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
            remove_means(first, gram.groups)
            errors = penalty_errors(
                trained,
                eigenvalues,
                first,
                alphas,
                times=times,
                groups=gram.groups,
                select=self.select,
                backend=backend,
                stimulus_groups=(
                    None if gram.stimulus_groups is None else gram.stimulus_groups[rows]
                ),
            )
            yield rows, trained, tested, eigenvalues, alphas[errors.argmin(axis=0)], backend
        if unsafe:
            warnings.warn(
                f"{gram.name}: some penalties are below {MIN_FLOAT32_ALPHA:g} of the largest "
                "eigenvalue; they need a float64 Gram.",
                NeurofitWarning,
                stacklevel=2,
            )

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
        built = gram_of(blocks, name=gram.name, precision=self.precision, memory=n_bytes)
        return replace(built, groups=gram.groups, stimulus_groups=gram.stimulus_groups)


def predict_tests(
    trained: Any,
    tested: Any,
    eigenvalues: Any,
    targets: np.ndarray,
    train: np.ndarray,
    alphas: np.ndarray,
    backend: Backend,
    *,
    groups: int,
    matrices: SmootherMatrices | None = None,
) -> np.ndarray:
    """Predict the test rows set by set: Z_test (Z'Y / (L + alpha)).

    Where it is less work, predictions come from one (test train) matrix per penalty; `matrices`
    are these, if they are known.
    """
    n_sets, _, n_neuroids = targets.shape
    by_matrix = len(np.unique(alphas)) * len(tested) < n_sets * n_neuroids
    if by_matrix and matrices is None:
        matrices = smoother_matrices(trained, tested, eigenvalues, alphas, backend)
    weights = 1 / (eigenvalues[:, None] + backend.array(alphas))  # (rank neuroid)
    out = np.empty((n_sets, len(tested), n_neuroids))
    for target, predicted in zip(targets, out, strict=True):
        centred = backend.array(target[train])
        means = remove_means(centred, groups)
        if not by_matrix or matrices is None:
            coefficients = weights * (trained.swapaxes(0, 1) @ centred)
            predicted[:] = backend.numpy(add_means(tested @ coefficients, means))
            continue
        for columns, matrix in matrices:
            part = add_means(matrix @ centred[:, columns], means[:, columns])
            predicted[:, columns] = backend.numpy(part)
    return out


def smoother_matrices(
    trained: Any, tested: Any, eigenvalues: Any, alphas: np.ndarray, backend: Backend
) -> SmootherMatrices:
    """Return Q = Z_test Z' / (L + alpha) (test train) of each penalty, with its neuroids."""
    return [
        (np.flatnonzero(alphas == alpha), (tested / (eigenvalues + float(alpha))) @ trained.T)
        for alpha in np.unique(alphas)
    ]


def smooth(
    trained: Any,
    tested: Any,
    eigenvalues: Any,
    targets: np.ndarray,
    train: np.ndarray,
    alphas: np.ndarray,
    backend: Backend,
) -> tuple[Float[np.ndarray, "set test neuroid"], Smoother]:
    """Predict the test rows; return also leave-one-out residuals and smoothers as float32.

    With axes U = Z / sqrt(L), residuals are y - U (L / (L + alpha)) U'y. Where U spans all centred
    targets, they are U (alpha / (L + alpha)) U'y, as 1 - h is the sum of U^2 alpha / (L + alpha):
    these subtract nothing, so that float32 does for the variances that they enter. Elsewhere 1 - h
    may be a rounding error; it is not taken to be smaller than `MIN_REMAINDER`.
    """
    xp, n_rows = backend.xp, len(trained)
    given = (trained, tested, eigenvalues)
    matrices = smoother_matrices(*given, alphas, backend)
    predicted = predict_tests(*given, targets, train, alphas, backend, groups=1, matrices=matrices)
    spanned = len(eigenvalues) == n_rows - 1
    penalties, column = backend.array(alphas), eigenvalues[:, None]
    share = (penalties if spanned else -column) / (column + penalties)  # (rank neuroid)
    rows = targets[:, train].transpose(2, 0, 1).reshape(-1, n_rows)  # as `Smoother` wants them
    rows = rows - rows.mean(axis=1, keepdims=True)
    axes, share, rows = (
        backend.array(values, "float32" if spanned else "float64")
        for values in (trained / xp.sqrt(eigenvalues), share, rows)
    )
    remainder = share.T @ axes.T**2  # 1 - h
    shrunk = (rows @ axes).reshape(targets.shape[2], len(targets), len(share)) * share.T[:, None]
    residuals = shrunk.reshape(len(rows), len(share)) @ axes.T
    if not spanned:
        residuals += rows
        remainder += 1 - 1 / n_rows
    residuals = residuals.reshape(-1, len(targets), n_rows)
    residuals /= xp.clip(remainder, MIN_REMAINDER, None)[:, None]
    residuals = backend.numpy(residuals).astype(np.float32).transpose(1, 2, 0)
    single = ((at, backend.numpy(matrix).astype(np.float32)) for at, matrix in matrices)
    return predicted, Smoother(residuals, tuple(single))
