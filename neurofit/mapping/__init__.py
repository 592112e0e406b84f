"""Mappings from features to responses: one file each, all with `cross_predict(gram, targets, train, times=1)`."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np

from neurofit.mapping.gram import Gram, gram_of
from neurofit.mapping.pls import PLSMapping
from neurofit.mapping.ridge import RidgeMapping
from neurofit.mapping.splits import fold_splits, inner_split, train_splits
from neurofit.registry import Registry


@runtime_checkable
class Mapping(Protocol):
    """A linear map from features to the responses of all neuroids, cross-validated from the features' Gram matrix."""

    @property
    def name(self) -> str:
        """Registered name."""
        ...

    @property
    def linear(self) -> bool:
        """Whether the predictions of target sets after the first are linear in them."""
        ...

    def cross_predict(self, gram: Gram, targets: np.ndarray, train: np.ndarray, *, times: int = 1) -> list[np.ndarray]:
        """Predict each split's test rows, for every target set: list over splits of (set test neuroid).

        The rows are `times` time bins of the same stimuli, bin after bin.
        """
        ...


MAPPINGS: Registry[Callable[..., Mapping]] = Registry("mapping")
MAPPINGS.register("pls")(PLSMapping)
MAPPINGS.register("ridge")(RidgeMapping)

__all__ = ["MAPPINGS", "Gram", "Mapping", "PLSMapping", "RidgeMapping", "fold_splits", "gram_of", "inner_split", "train_splits"]
