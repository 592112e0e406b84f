"""Adapter that scores any regression with `fit` and `predict` as neurofit's own mappings are."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float

from neurofit.mapping.centring import add_means, remove_means
from neurofit.mapping.contract import FeatureMapping, GramMapping, mapping_key
from neurofit.mapping.fits import MappingPlan
from neurofit.mapping.gram import Gram, GramPlan


@dataclass(frozen=True)
class FittedFromFeatures:
    """A `FeatureMapping` behind the contract of `GramMapping`.

    Parameters
    ----------
    mapping
        The regression; a copy of it is fitted for each split and target set. If it draws random
        numbers, give it a `random_state`: time bins are fitted side by side in any order.
    """

    mapping: FeatureMapping
    linear: ClassVar[bool] = False
    needs_features: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """Name of the regression."""
        return str(getattr(self.mapping, "name", mapping_key(self.mapping)))

    @property
    def precision(self) -> str:
        """Precision of the features."""
        return "float64"

    def plan(self, gram: GramPlan, *, n_sets: int, n_splits: int, n_neuroids: int) -> MappingPlan:
        """Return the memory of the features; a foreign fit counts as no operations."""
        return MappingPlan("fit and predict", 0.0, 2 * 8 * gram.n_rows * gram.n_units)

    def cross_predict(
        self,
        gram: Gram,
        targets: Float[np.ndarray, "set row neuroid"],
        train: Bool[np.ndarray, "split row"],
        *,
        times: int = 1,
    ) -> list[Float[np.ndarray, "set test neuroid"]]:
        """Fit a copy per split and target set, and predict the test rows.

        Where groups of rows have intercepts of their own, features and responses are centred in
        each group on the training rows.
        """
        features = gram.features
        n_neuroids = targets.shape[2]
        predictions = []
        for rows in train:
            inside, outside, fit_to = features[rows], features[~rows], targets[:, rows]
            if gram.groups > 1:
                outside = add_means(outside, -remove_means(inside, gram.groups))
                means = [remove_means(target, gram.groups) for target in fit_to]
            fitted = [copy.deepcopy(self.mapping) for _ in targets]
            for each, target in zip(fitted, fit_to, strict=True):
                each.fit(inside, target)
            found = [np.asarray(each.predict(outside), dtype=np.float64) for each in fitted]
            found = [each.reshape(-1, n_neuroids) for each in found]
            if gram.groups > 1:
                found = [add_means(*each) for each in zip(found, means, strict=True)]
            predictions.append(np.stack(found))
        return predictions


def as_gram_mapping(mapping: GramMapping | FeatureMapping) -> GramMapping:
    """Return a mapping with `cross_predict`, adapted if it has `fit` and `predict` only."""
    return mapping if isinstance(mapping, GramMapping) else FittedFromFeatures(mapping)


def needs_features(mapping: GramMapping) -> bool:
    """Return whether a mapping sees the features themselves and not only their Gram matrix."""
    return bool(getattr(mapping, "needs_features", False))
