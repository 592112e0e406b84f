"""Mappings from features to responses, one per file, all seen through `GramMapping`."""

from neurofit.mapping.contract import (
    MAPPINGS,
    FeatureMapping,
    GramMapping,
    find_mapping,
    register_mapping,
)
from neurofit.mapping.gram_building import gram_of
from neurofit.mapping.pls import PLSMapping
from neurofit.mapping.ridge import RidgeMapping

__all__ = [
    "MAPPINGS",
    "FeatureMapping",
    "GramMapping",
    "PLSMapping",
    "RidgeMapping",
    "find_mapping",
    "gram_of",
    "register_mapping",
]
