"""Models of Brain-Score, `brainscore:NAME`, in its environment.

`neurofit score` lets Brain-Score run them; elsewhere the torch module inside of them is a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from neurofit.errors import NeurofitError, check_option
from neurofit.models.images import IMAGENET_MEAN, IMAGENET_STD
from neurofit.models.sources.contract import Network, Preprocessing, describe_package


def find_weights(name: str, options: Mapping[str, Any]) -> Path | None:
    """Return None: Brain-Score loads the weights."""
    return None


def build(name: str, options: Mapping[str, Any], weights: Path | None) -> Network:
    """Return the network of a model of Brain-Score, with the weights that it loads."""
    for key in options:
        check_option(f"option of brainscore:{name}", key, ())
    try:
        networks = import_module("neurofit.brainscore.networks")
    except ImportError as error:
        raise NeurofitError(str(error)) from error
    found = networks.network_of(name)
    return Network(
        module=found.module,
        preprocessing=Preprocessing(
            input_size=found.input_size or 224,
            mean=tuple(found.preprocessing.get("normalize_mean", IMAGENET_MEAN)),
            std=tuple(found.preprocessing.get("normalize_std", IMAGENET_STD)),
            declared=True,
        ),
        layers=found.layers,
        region_layers=found.region_layers,
        visual_degrees=found.visual_degrees,
        provenance=describe_package("brainscore-vision"),
    )
