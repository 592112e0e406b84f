"""Joint PLS regression of all neuroids, as scikit-learn's `PLSRegression(scale=False)`.

It stops at the numerical rank of the training features (`neurofit.mapping.rank`), after which
scikit-learn goes on with rounding errors, and its directions have converged unless told to stop
where scikit-learn's do.

Many target sets and splits share one Gram matrix. Where K (n x n) fits into memory, `pls_dual`
works on it; where there are fewer units than rows, or too many of both, `pls_primal` works on
cross-products or on the features. The equations are in these modules.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float

from neurofit.config.options import check_fields, option
from neurofit.errors import NeurofitWarning
from neurofit.mapping.centring import in_groups, remove_means
from neurofit.mapping.contract import register_mapping
from neurofit.mapping.direction import RULES
from neurofit.mapping.fits import Fit, MappingPlan, join
from neurofit.mapping.gram import Gram, GramPlan
from neurofit.mapping.linalg import array_backend
from neurofit.mapping.pls_dual import fit_dual, plan_dual
from neurofit.mapping.pls_primal import fit_primal, plan_primal
from neurofit.mapping.rank import training_ranks
from neurofit.mapping.splits import inner_split

COMPONENT_TOLERANCE = {"float64": 1e-11, "float32": 1e-6}
"""Relative norm of a component's scores below which it is a rounding error of the Gram.

The features explain nothing more of the targets by then, although their rank may be larger.
"""

SCORES_BYTES = 2**30
"""Memory for the fits of a batch of splits."""

PASS_BYTES = 2**32
"""The same where every batch reads the features again: a pass over them is worth the memory."""

SETS_TOGETHER = 24
"""Target sets fitted together: with more they leave the CPU's cache and take half as long again."""


@register_mapping("pls")
@dataclass(frozen=True, kw_only=True)
class PLSMapping:
    """PLS with one fit for all neuroids, unscaled.

    Parameters
    ----------
    n_components
        Number of components; fewer are used, with a warning, if the training features have a
        smaller rank.
    convergence
        "exact": the direction of each component is the dominant singular vector. "sklearn": it
        stops where scikit-learn's power iteration does, at an angle of 1e-3, which depends on the
        order of the neuroids; predictions then differ from the exact ones by up to 2 to 7 % of
        their standard deviation (simulated data).
    choose_components
        Whether each split uses the number of components, up to `n_components`, that predicts
        held-out training stimuli best (mean correlation over neuroids, first target set). A fifth
        of the training stimuli (or groups of them) is held out.
    precision
        Precision of the Gram's products: "auto", "float32" or "float64", see `gram_of`.
    device
        "cpu", "torch-cpu", "cuda" or "cuda:N".

    Raises
    ------
    NeurofitError
        If `n_components` is below 1, or `convergence` is unknown.

    Notes
    -----
    Source: scikit-learn's `PLSRegression(scale=False)`, which it equals where the features have a
    rank of at least `n_components`, up to the convergence of the latter.

    Examples
    --------
    >>> import numpy as np
    >>> from neurofit.mapping import PLSMapping, gram_of
    >>> from sklearn.cross_decomposition import PLSRegression
    >>> rng = np.random.default_rng(0)
    >>> features, noise = rng.normal(size=(40, 100)), rng.normal(size=(40, 5))
    >>> responses = features[:, :5] + noise
    >>> train = np.arange(40) < 30
    >>> mapping = PLSMapping(n_components=3)
    >>> (predicted,) = mapping.cross_predict(gram_of([features]), responses[None], train[None])
    >>> theirs = PLSRegression(3, scale=False, tol=1e-24, max_iter=10_000)
    >>> expected = theirs.fit(features[train], responses[train]).predict(features[~train])
    >>> np.allclose(predicted[0], expected)
    True
    """

    linear: ClassVar[bool] = False

    n_components: int = option(25, least=1, help="Number of PLS components.")
    convergence: str = option(
        "exact",
        choices=RULES,
        help="Convergence of PLS directions: exact, or as early as in sklearn.",
    )
    choose_components: bool = option(
        False, help="Choose the number of components on held-out training stimuli."
    )
    precision: str = "auto"
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def name(self) -> str:
        """Name with non-default options, such as "pls (sklearn, components chosen among 25)"."""
        options = [self.convergence] * (self.convergence != "exact")
        options += [f"components chosen among {self.n_components}"] * self.choose_components
        return f"pls ({', '.join(options)})" if options else "pls"

    def plan(self, gram: GramPlan, *, n_sets: int, n_splits: int, n_neuroids: int) -> MappingPlan:
        """Choose the algorithm and estimate the cost of `cross_predict`."""
        size = {"n_splits": n_splits, "n_sets": n_sets, "n_components": self.n_components}
        if gram.storage == "dense":
            return plan_dual(
                gram.n_rows,
                n_neuroids,
                batch_bytes=SCORES_BYTES,
                sets_together=SETS_TOGETHER,
                **size,
            )
        batch_bytes = SCORES_BYTES if gram.storage == "factor" else PASS_BYTES
        return plan_primal(gram.n_rows, gram.n_units, n_neuroids, batch_bytes=batch_bytes, **size)

    def cross_predict(
        self,
        gram: Gram,
        targets: Float[np.ndarray, "set row neuroid"],
        train: Bool[np.ndarray, "split row"],
        *,
        times: int = 1,
    ) -> list[Float[np.ndarray, "set test neuroid"]]:
        """Predict the test rows of each split; see `GramMapping.cross_predict`.

        Parameters
        ----------
        gram
            Gram matrix of the features of all rows.
        targets
            Finite target sets (set row neuroid); the first is the mean over all trials.
        train
            Training rows of each split (split row).
        times
            Number of time bins stacked along the rows, bin after bin; where components are chosen,
            a stimulus is held out with all of them.

        Returns
        -------
        list of numpy.ndarray
            Predictions (set test neuroid) of each split.

        Warns
        -----
        NeurofitWarning
            If the rank of the training features is smaller than the number of components.
        """
        chosen = (
            self.chosen_components(gram, targets, train, times=times)
            if self.choose_components
            else [self.n_components] * len(train)
        )
        fits = self.fit_splits(gram, targets, train)
        gram.exhausted.update(fit.rank for fit in fits if fit.rank < self.n_components)
        least = min(int(fit.used.min()) for fit in fits)
        if least < self.n_components:
            limit = "the rank of the training features"
            if gram.precision == "float32":
                limit += " (or the precision of a float32 Gram)"
            warnings.warn(
                f"{gram.name}: {limit} allows {least} of {self.n_components} components; "
                "only these are used.",
                NeurofitWarning,
                stacklevel=2,
            )
        return [fit.predict(n) for n, fit in zip(chosen, fits, strict=True)]

    def chosen_components(
        self,
        gram: Gram,
        targets: Float[np.ndarray, "set row neuroid"],
        train: Bool[np.ndarray, "split row"],
        *,
        times: int = 1,
    ) -> list[int]:
        """Return each split's number of components that predicts held-out training stimuli best."""
        stimuli = train[:, : train.shape[1] // times]
        groups = gram.stimulus_groups
        groups = None if groups is None else groups[: stimuli.shape[1]]
        inner = np.tile(np.stack([inner_split(rows, groups=groups) for rows in stimuli]), times)
        chosen = []
        fits = self.fit_splits(gram, targets[:1], inner)
        for fit, outer, rows in zip(fits, train, inner, strict=True):
            held_out = outer[~rows]  # test rows of the inner split that train in the outer one
            truth = targets[0, outer & ~rows]
            r = [
                _mean_correlation(fit.predict(n)[0, held_out], truth, gram.groups)
                for n in range(1, self.n_components + 1)
            ]
            chosen.append(1 + int(np.argmax(r)))
        return chosen

    def fit_splits(
        self,
        gram: Gram,
        targets: Float[np.ndarray, "set row neuroid"],
        train: Bool[np.ndarray, "split row"],
    ) -> list[Fit]:
        """Return the fit of each split, from which any number of components predicts."""
        step = len(targets) if gram.dense is None else SETS_TOGETHER
        backend = array_backend(self.device)
        ranks = training_ranks(gram, train, backend, most=self.n_components)
        groups = [
            list(self._fit_sets(gram, targets[begin : begin + step], train, ranks))
            for begin in range(0, len(targets), step)
        ]
        return [join(fits) for fits in zip(*groups, strict=True)]

    def _fit_sets(
        self, gram: Gram, targets: np.ndarray, train: np.ndarray, ranks: np.ndarray
    ) -> Iterator[Fit]:
        backend = array_backend(self.device)
        _, n_rows, n_neuroids = targets.shape
        offset = targets.mean(axis=1)
        # Products with another memory layout would copy it each time.
        demeaned = np.ascontiguousarray(targets - offset[:, None])
        if self.convergence == "sklearn":
            start = _first_varying(targets, train, gram.groups)
        else:
            start = np.ones((len(targets), len(train), n_neuroids))
        rotation = None
        if n_neuroids > n_rows:
            # Y = L Q' with orthonormal Q: PLS of Y is that of L, rotated, whose M is n x n.
            rotation = np.linalg.qr(demeaned.swapaxes(1, 2))[0]  # Q: (set neuroid row)
            demeaned, start = demeaned @ rotation, start @ rotation
        fit_all = fit_primal if gram.dense is None else fit_dual
        fits = fit_all(
            gram,
            backend.array(demeaned),
            train,
            backend.array(start),
            ranks,
            n_components=self.n_components,
            rule=RULES[self.convergence],
            tolerance=COMPONENT_TOLERANCE[gram.precision],
            batch_bytes=SCORES_BYTES if gram.blocks is None else PASS_BYTES,
            backend=backend,
        )
        for fit, rank in zip(fits, ranks, strict=True):
            means, loadings = fit.means, fit.loadings
            if rotation is not None:
                back = rotation.swapaxes(1, 2)
                means, loadings = means @ back, loadings @ back
            yield replace(fit, means=means + offset[:, None], loadings=loadings, rank=int(rank))


def _first_varying(
    targets: np.ndarray, train: np.ndarray, groups: int
) -> Float[np.ndarray, "set split neuroid"]:
    """Return unit vectors of the first neuroid that varies over the training rows.

    scikit-learn's iteration starts from it.
    """
    n_sets, _, n_neuroids = targets.shape
    start = np.zeros((n_sets, len(train), n_neuroids))
    for split, rows in enumerate(train):
        for target, vector in zip(targets, start[:, split], strict=True):
            for neuroid in range(n_neuroids):
                values = target[rows, neuroid]
                remove_means(values, groups)
                if np.abs(values).max() > 10 * np.finfo(float).eps:
                    break
            else:
                neuroid = 0
            vector[neuroid] = 1.0
    return start


def _mean_correlation(predicted: np.ndarray, truth: np.ndarray, groups: int) -> float:
    """Return the mean over groups of rows and neuroids of r, 0 for one that does not vary."""
    a, b = in_groups(predicted, groups), in_groups(truth, groups)
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    size = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    r = np.divide((a * b).sum(axis=1), size, out=np.zeros_like(size), where=size > 0)
    return float(np.mean(r))
