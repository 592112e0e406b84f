"""Fewer features before a map is fitted: a seeded sparse random projection, or principal components of the training stimuli.

Off by default, because exact maps need neither: it is here for comparison with work that reduced its features. A projection is drawn
once for all blocks of as many units; principal components are fitted per split and see training stimuli only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float
from scipy import sparse
from sklearn.random_projection import SparseRandomProjection

from neurofit.errors import NeurofitError
from neurofit.mapping.contract import Mapping
from neurofit.mapping.fits import MappingPlan
from neurofit.mapping.gram import Gram, GramPlan


@dataclass(frozen=True)
class Reduction:
    """How features are reduced, as a configuration says it.

    Parameters
    ----------
    rule
        "none"; "srp:4096" (sparse random projection to so many dimensions, as scikit-learn's `SparseRandomProjection`);
        "pca:1000" (so many principal components).
    seed
        Of the projection.

    Raises
    ------
    NeurofitError
        For any other rule.
    """

    rule: str = "none"
    seed: int = 0

    def __post_init__(self) -> None:
        kind, _, number = self.rule.partition(":")
        if self.rule != "none" and (kind not in ("srp", "pca") or not (number.isascii() and number.isdigit()) or int(number) < 1):
            raise NeurofitError(f'A reduction is "none", "srp:DIMENSIONS" or "pca:COMPONENTS"; got {self.rule!r}.')

    def features(self, block: Float[np.ndarray, "stimulus unit"]) -> Float[np.ndarray, "stimulus dimension"]:
        """Return a block of features as the Gram should see it: projected under "srp" (float32), unless it is small already."""
        kind, _, number = self.rule.partition(":")
        if kind != "srp" or block.shape[1] <= int(number):
            return block
        return np.asarray(block @ _projection(block.shape[1], int(number), self.seed).T, dtype=np.float32)

    def mapping(self, mapping: Mapping) -> Mapping:
        """Return the mapping as it should be fitted: on principal components under "pca"."""
        kind, _, number = self.rule.partition(":")
        return PrincipalComponentsMapping(mapping, int(number)) if kind == "pca" else mapping


@dataclass(frozen=True)
class PrincipalComponentsMapping:
    """A mapping from the first principal components of the training stimuli, taken from the Gram of each split.

    Parameters
    ----------
    mapping
        What is fitted on them.
    n_components
        How many; all there are where there are fewer.
    """

    mapping: Mapping
    n_components: int

    @property
    def name(self) -> str:
        """What it is: "pls on 1000 principal components"."""
        return f"{self.mapping.name} on {self.n_components} principal components"

    @property
    def linear(self) -> bool:
        """As the mapping's."""
        return self.mapping.linear

    @property
    def precision(self) -> str:
        """Of the products of the Gram: float64, for its eigenvectors."""
        return "float64"

    def plan(self, gram: GramPlan, *, n_sets: int, n_splits: int, n_neuroids: int) -> MappingPlan:
        """Estimate the cost of `cross_predict`: an eigendecomposition and a map of its own per split."""
        kept, side = min(self.n_components, gram.n_rows, gram.n_units), min(gram.n_rows, gram.n_units)
        one = self.mapping.plan(GramPlan("factor", "float64", gram.n_rows, kept, 0.0, 0), n_sets=n_sets, n_splits=1, n_neuroids=n_neuroids)
        flops = n_splits * (one.flops + 9.0 * side**3 + 2.0 * gram.n_rows * side**2)
        return MappingPlan(one.way, flops, one.n_bytes + 8 * (3 * side**2 + gram.n_rows * side))

    def cross_predict(
        self, gram: Gram, targets: Float[np.ndarray, "set row neuroid"], train: Bool[np.ndarray, "split row"], *, times: int = 1
    ) -> list[Float[np.ndarray, "set test neuroid"]]:
        """Fit and predict as the mapping's `cross_predict`, split by split."""
        predictions = []
        for rows in train:
            scores = gram.principal_scores(rows)[0][:, : self.n_components]
            predictions += self.mapping.cross_predict(Gram(factor=scores, name=gram.name), targets, rows[None], times=times)
        return predictions


@lru_cache(maxsize=4)
def _projection(n_units: int, n_dimensions: int, seed: int) -> sparse.csr_matrix:
    """Return the projection (dimension unit); it depends on nothing but these numbers."""
    drawn = SparseRandomProjection(n_dimensions, random_state=seed).fit(np.zeros((1, n_units)))
    return sparse.csr_matrix(drawn.components_, dtype=np.float32)
