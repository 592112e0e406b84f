"""Reduction of features before a map is fitted: random projection or principal components.

It is off by default, because exact maps do not need it, and serves comparison with studies that
reduced their features. A projection is drawn once from its seed for all blocks of the same width;
principal components are fitted in each split, on training stimuli only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float
from scipy import sparse
from sklearn.random_projection import SparseRandomProjection

from neurofit.errors import NeurofitError
from neurofit.mapping.contract import GramMapping, SmoothingMapping
from neurofit.mapping.fits import MappingPlan, Smoother
from neurofit.mapping.gram import Gram, GramPlan


@dataclass(frozen=True)
class Reduction:
    """Reduction of features, by rule.

    Parameters
    ----------
    rule
        "none"; "srp:4096", a sparse random projection to 4096 dimensions (scikit-learn's
        `SparseRandomProjection`); or "pca:1000", the first 1000 principal components.
    seed
        Random seed for the projection.

    Raises
    ------
    NeurofitError
        If the rule is unknown.
    """

    rule: str = "none"
    seed: int = 0

    def __post_init__(self) -> None:
        kind, _, number = self.rule.partition(":")
        positive = number.isascii() and number.isdigit() and int(number) >= 1
        if self.rule != "none" and not (kind in ("srp", "pca") and positive):
            raise NeurofitError(
                f'A reduction is "none", "srp:DIMENSIONS" or "pca:COMPONENTS"; got {self.rule!r}.'
            )

    def features(
        self, block: Float[np.ndarray, "stimulus unit"]
    ) -> Float[np.ndarray, "stimulus dimension"]:
        """Return features for the Gram: projected (float32) under "srp", if that is narrower."""
        kind, _, number = self.rule.partition(":")
        if kind != "srp" or block.shape[1] <= int(number):
            return block
        projection = _projection(block.shape[1], int(number), self.seed)
        return np.asarray(block @ projection.T, dtype=np.float32)

    def mapping(self, mapping: GramMapping) -> GramMapping:
        """Return the mapping to fit: from principal components under "pca"."""
        kind, _, number = self.rule.partition(":")
        return PrincipalComponentsMapping(mapping, int(number)) if kind == "pca" else mapping


@dataclass(frozen=True)
class PrincipalComponentsMapping:
    """A mapping from principal components of the training stimuli, from the Gram of each split.

    Parameters
    ----------
    mapping
        Mapping fitted to the components.
    n_components
        Number of components; all of them if there are fewer.
    """

    mapping: GramMapping
    n_components: int

    @property
    def name(self) -> str:
        """Name with the number of components, such as "pls on 1000 principal components"."""
        return f"{self.mapping.name} on {self.n_components} principal components"

    @property
    def linear(self) -> bool:
        """Whether the inner mapping is linear in the target sets after the first."""
        return self.mapping.linear

    @property
    def precision(self) -> str:
        """Precision of the Gram's products: float64, for its eigenvectors."""
        return "float64"

    def plan(self, gram: GramPlan, *, n_sets: int, n_splits: int, n_neuroids: int) -> MappingPlan:
        """Estimate the cost of an eigendecomposition and a map for each split."""
        n, side = gram.n_rows, min(gram.n_rows, gram.n_units)
        one = self.mapping.plan(
            GramPlan("factor", "float64", n, min(self.n_components, side), 0.0, 0),
            n_sets=n_sets,
            n_splits=1,
            n_neuroids=n_neuroids,
        )
        flops = n_splits * (one.flops + 9.0 * side**3 + 2.0 * n * side**2)
        return MappingPlan(one.method, flops, one.n_bytes + 8 * (3 * side**2 + n * side))

    def cross_predict(
        self,
        gram: Gram,
        targets: Float[np.ndarray, "set row neuroid"],
        train: Bool[np.ndarray, "split row"],
        *,
        times: int = 1,
    ) -> list[Float[np.ndarray, "set test neuroid"]]:
        """Predict the test rows split by split; see `GramMapping.cross_predict`."""
        predictions = []
        for rows in train:
            predictions += self.mapping.cross_predict(
                self._components(gram, rows), targets, rows[None], times=times
            )
        return predictions

    def cross_smooth(
        self,
        gram: Gram,
        targets: Float[np.ndarray, "set row neuroid"],
        train: Bool[np.ndarray, "split row"],
    ) -> Iterator[tuple[Float[np.ndarray, "set test neuroid"], Smoother]]:
        """Yield predictions and smoother of each split; see `SmoothingMapping`."""
        assert isinstance(self.mapping, SmoothingMapping)
        for rows in train:
            yield from self.mapping.cross_smooth(self._components(gram, rows), targets, rows[None])

    def _components(self, gram: Gram, train: np.ndarray) -> Gram:
        scores = gram.principal_scores(train)[0][:, : self.n_components]
        return replace(
            Gram(factor=scores, name=gram.name),
            groups=gram.groups,
            stimulus_groups=gram.stimulus_groups,
            exhausted=gram.exhausted,
        )


@lru_cache(maxsize=4)
def _projection(n_units: int, n_dimensions: int, seed: int) -> sparse.csr_matrix:
    """Return the projection (dimension unit)."""
    drawn = SparseRandomProjection(n_dimensions, random_state=seed).fit(np.zeros((1, n_units)))
    return sparse.csr_matrix(drawn.components_, dtype=np.float32)
