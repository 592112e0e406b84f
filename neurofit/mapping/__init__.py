"""Mappings from features to responses: one file each, all with `cross_predict(gram, targets, train, times=1)`."""

from collections.abc import Callable

from neurofit.mapping.contract import Mapping
from neurofit.mapping.gram import Gram, GramPlan, gram_of, plan_gram
from neurofit.mapping.pls import PLSMapping
from neurofit.mapping.reduce import Reduction
from neurofit.mapping.ridge import RidgeMapping
from neurofit.mapping.splits import fold_splits, inner_split, train_splits
from neurofit.registry import Registry

MAPPINGS: Registry[Callable[..., Mapping]] = Registry("mapping")
MAPPINGS.register("pls")(PLSMapping)
MAPPINGS.register("ridge")(RidgeMapping)

__all__ = [
    "MAPPINGS",
    "Gram",
    "GramPlan",
    "Mapping",
    "PLSMapping",
    "Reduction",
    "RidgeMapping",
    "fold_splits",
    "gram_of",
    "inner_split",
    "plan_gram",
    "train_splits",
]
