"""Model files, `file:PATH`: weights with the architecture that they belong to, or it alone.

A .safetensors file that `neurofit search export` or a training of such a model has written is a
whole model; a .json file is an architecture without weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from neurofit.errors import NeurofitError
from neurofit.models.architecture import read_architecture, with_options
from neurofit.models.sources.contract import Network
from neurofit.models.weight_files import load_weights
from neurofit.storage.home import sha256_of


def find_weights(name: str, options: Mapping[str, Any]) -> Path | None:
    """Return the file itself, unless it has an architecture only."""
    if Path(name).suffix == ".json":
        raise NeurofitError(
            f"{name} is an architecture without weights: give --weights FILE or --weights random."
        )
    return Path(name)


def build(name: str, options: Mapping[str, Any], weights: Path | None) -> Network:
    """Return the network; random weights depend on torch's seed."""
    changes = {key: each for key, each in options.items() if key not in ("sha256", "pretrained")}
    architecture = with_options(read_architecture(name), **changes)
    network = architecture.build(seed=torch.initial_seed() if weights is None else None)
    if weights is not None:
        load_weights(network, weights)
    return Network(
        module=network,
        provenance={"file": name, "file_sha256": sha256_of(Path(name))},
    )
