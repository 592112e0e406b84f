"""Joint PLS regression of all neuroids, as scikit-learn's `PLSRegression(scale=False)`: many target sets and splits share one Gram.

Where the features' Gram matrix (n x n) is at hand, `pls_dual` works on it; where the units are fewer than the rows, or both are too
many, `pls_primal` works on cross-products or on the features themselves. The equations stand there.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float

from neurofit.errors import NeurofitError, NeurofitWarning, check_option
from neurofit.mapping.direction import RULES
from neurofit.mapping.fits import Fit, MappingPlan, join
from neurofit.mapping.gram import Gram, GramPlan
from neurofit.mapping.linalg import find_device
from neurofit.mapping.pls_dual import fit_dual, plan_dual
from neurofit.mapping.pls_primal import fit_primal, plan_primal
from neurofit.mapping.splits import inner_split

EXHAUSTED = {"float64": 1e-11, "float32": 1e-6}
"""A component whose score is this small a share of the largest is rounding of the Gram: the rank of the features is exhausted."""

SCORES_BYTES = 2**30
"""Held at once for fits; more splits than fit into it are worked on in turns."""

PASS_BYTES = 2**32
"""The same where the features are read again for every turn: a pass over them is worth memory."""

SETS_TOGETHER = 24
"""Target sets worked on together from a Gram: more of them leave the cache and take half as long again."""


@dataclass(frozen=True, kw_only=True)
class PLSMapping:
    """PLS with one fit for all neuroids, unscaled.

    Parameters
    ----------
    n_components
        Number of components; fewer are used, with a warning, where the training features have a smaller rank.
    convergence
        "sklearn": each component stops where scikit-learn's power iteration does, at an angle of 1e-3. "exact": its direction is the
        eigenvector; predictions differ from scikit-learn's default by some per cent of a standard deviation.
    choose_components
        Take, per split, the number of components up to `n_components` that predicts held-out training stimuli best (the mean
        correlation over neuroids, first target set); a fifth of the training stimuli is held out.
    precision
        Of the products of the Gram to build for it.
    device
        "cpu", "torch-cpu", "cuda", "cuda:1".
    """

    linear: ClassVar[bool] = False

    n_components: int = 25
    convergence: str = "sklearn"
    choose_components: bool = False
    precision: str = "auto"
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_option("convergence of PLS", self.convergence, RULES)
        if self.n_components < 1:
            raise NeurofitError(f"n_components must be at least 1; got {self.n_components}.")

    @property
    def name(self) -> str:
        """What it is, with all that is not the default: "pls", "pls (exact, components chosen among 25)"."""
        said = [self.convergence] * (self.convergence != "sklearn") + [
            f"components chosen among {self.n_components}"
        ] * self.choose_components
        return f"pls ({', '.join(said)})" if said else "pls"

    def plan(self, gram: GramPlan, *, n_sets: int, n_splits: int, n_neuroids: int) -> MappingPlan:
        """Choose the way and estimate the cost of `cross_predict`."""
        size = {"n_splits": n_splits, "n_sets": n_sets, "n_components": self.n_components}
        if gram.face == "dense":
            return plan_dual(gram.n_rows, n_neuroids, turn_bytes=SCORES_BYTES, sets_together=SETS_TOGETHER, **size)
        turn_bytes = SCORES_BYTES if gram.face == "factor" else PASS_BYTES
        return plan_primal(gram.n_rows, gram.n_units, n_neuroids, turn_bytes=turn_bytes, **size)

    def cross_predict(
        self, gram: Gram, targets: Float[np.ndarray, "set row neuroid"], train: Bool[np.ndarray, "split row"], *, times: int = 1
    ) -> list[Float[np.ndarray, "set test neuroid"]]:
        """Fit every target set on every split's training rows and predict its test rows.

        Parameters
        ----------
        gram
            Of the features of all rows.
        targets
            Target sets (mean over trials, half means), finite.
        train
            True for training rows.
        times
            The rows are so many time bins of the same stimuli, bin after bin; a stimulus is held out with all of them.

        Returns
        -------
        One array per split: predictions of the rows that are not in training.

        Warns
        -----
        NeurofitWarning
            If the rank of the training features is smaller than the number of components.
        """
        chosen = self.chosen_components(gram, targets, train, times=times) if self.choose_components else [self.n_components] * len(train)
        fits = self._fits(gram, targets, train)
        self._warn_if_exhausted(gram, fits)
        return [fit.predict(n) for n, fit in zip(chosen, fits, strict=True)]

    def component_path(
        self,
        gram: Gram,
        targets: Float[np.ndarray, "set row neuroid"],
        train: Bool[np.ndarray, "split row"],
        *,
        components: Sequence[int] | None = None,
    ) -> list[Float[np.ndarray, "component set test neuroid"]]:
        """Predict as `cross_predict` with each number of components (default 1 to `n_components`), from one fit."""
        wanted = range(1, self.n_components + 1) if components is None else components
        if any(not 1 <= n <= self.n_components for n in wanted):
            raise NeurofitError(f"components must lie between 1 and n_components = {self.n_components}; got {list(wanted)}.")
        fits = self._fits(gram, targets, train)
        self._warn_if_exhausted(gram, fits)
        return [np.stack([fit.predict(n) for n in wanted]) for fit in fits]

    def chosen_components(
        self, gram: Gram, targets: Float[np.ndarray, "set row neuroid"], train: Bool[np.ndarray, "split row"], *, times: int = 1
    ) -> list[int]:
        """Return, per split, the number of components that predicts held-out training stimuli best."""
        stimuli = train[:, : train.shape[1] // times]
        inner = np.tile(np.stack([inner_split(rows) for rows in stimuli]), times)
        chosen = []
        for fit, outer, rows in zip(self._fits(gram, targets[:1], inner), train, inner, strict=True):
            held = outer[~rows]  # of the inner test rows, those that train outside
            truth = targets[0, outer & ~rows]
            r = [_mean_correlation(fit.predict(n)[0, held], truth) for n in range(1, self.n_components + 1)]
            chosen.append(1 + int(np.argmax(r)))
        return chosen

    def _fits(self, gram: Gram, targets: np.ndarray, train: np.ndarray) -> list[Fit]:
        """Return each split's fit."""
        step = len(targets) if gram.dense is None else SETS_TOGETHER
        parts = [list(self._fit_sets(gram, targets[begin : begin + step], train)) for begin in range(0, len(targets), step)]
        return [join(fits) for fits in zip(*parts, strict=True)]

    def _fit_sets(self, gram: Gram, targets: np.ndarray, train: np.ndarray) -> Iterator[Fit]:
        """Yield each split's fit, with the means of the targets put back."""
        device = find_device(self.device)
        _, n_rows, n_neuroids = targets.shape
        offset = targets.mean(axis=1)
        demeaned = np.ascontiguousarray(targets - offset[:, None])  # products with another layout would copy it each time
        start = _first_varying(targets, train)
        back = None
        if n_neuroids > n_rows:  # Y = L Q' with Q orthonormal: PLS of L is that of Y, rotated, and its M is n x n
            back = np.linalg.qr(demeaned.swapaxes(1, 2))[0]  # (set neuroid row)
            demeaned, start = demeaned @ back, start @ back
        fit_all = fit_primal if gram.dense is None else fit_dual
        fits = fit_all(
            gram,
            device.array(demeaned),
            train,
            device.array(start),
            n_components=self.n_components,
            rule=RULES[self.convergence],
            exhausted=EXHAUSTED[gram.precision],
            turn_bytes=SCORES_BYTES if gram.blocks is None else PASS_BYTES,
            device=device,
        )
        for fit in fits:
            means, loadings = fit.means, fit.loadings
            if back is not None:
                turned = back.swapaxes(1, 2)
                means, loadings = (means[:, None] @ turned)[:, 0], loadings @ turned
            yield replace(fit, means=means + offset, loadings=loadings)

    def _warn_if_exhausted(self, gram: Gram, fits: Sequence[Fit]) -> None:
        least = min(int(fit.used.min()) for fit in fits)
        if least < self.n_components:
            limit = "the rank of the training features" + (" (or the precision of a float32 Gram)" if gram.precision == "float32" else "")
            note = f"{gram.name}: {limit} allows {least} of {self.n_components} components; those are used."
            warnings.warn(note, NeurofitWarning, stacklevel=3)


def _first_varying(targets: np.ndarray, train: np.ndarray) -> Float[np.ndarray, "set split neuroid"]:
    """Return the unit vector of the first neuroid that varies over the training rows: scikit-learn's iteration starts from it."""
    n_sets, _, n_neuroids = targets.shape
    start = np.zeros((n_sets, len(train), n_neuroids))
    for split, rows in enumerate(train):
        for target, vector in zip(targets, start[:, split], strict=True):
            for neuroid in range(n_neuroids):
                held = target[rows, neuroid]
                if np.abs(held - held.mean()).max() > 10 * np.finfo(float).eps:
                    break
            else:
                neuroid = 0
            vector[neuroid] = 1.0
    return start


def _mean_correlation(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Mean over neuroids of r; one that does not vary counts as 0."""
    a, b = predicted - predicted.mean(axis=0), truth - truth.mean(axis=0)
    size = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return float(np.mean(np.divide((a * b).sum(axis=0), size, out=np.zeros_like(size), where=size > 0)))
