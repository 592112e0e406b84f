"""What every mapping is: something that cross-validates a linear map from the features' Gram matrix."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from neurofit.mapping.fits import MappingPlan
from neurofit.mapping.gram import Gram, GramPlan


@runtime_checkable
class Mapping(Protocol):
    """A linear map from features to the responses of all neuroids, cross-validated from the features' Gram matrix."""

    @property
    def name(self) -> str:
        """What it is, with all that is not the default."""
        ...

    @property
    def linear(self) -> bool:
        """Whether the predictions of target sets after the first are linear in them."""
        ...

    @property
    def precision(self) -> str:
        """Of the products of the Gram that it wants: "auto", "float32" or "float64"."""
        ...

    def plan(self, gram: GramPlan, *, n_sets: int, n_splits: int, n_neuroids: int) -> MappingPlan:
        """Choose the way and estimate the cost of `cross_predict`, before a feature is read."""
        ...

    def cross_predict(self, gram: Gram, targets: np.ndarray, train: np.ndarray, *, times: int = 1) -> list[np.ndarray]:
        """Predict each split's test rows, for every target set: list over splits of (set test neuroid).

        The rows are `times` time bins of the same stimuli, bin after bin.
        """
        ...
