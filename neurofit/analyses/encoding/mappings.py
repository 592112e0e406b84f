"""The mappings of a configuration: found by name, adapted, reduced, on a device."""

from __future__ import annotations

from collections.abc import Sequence

from neurofit.analyses.encoding.config import EncodingConfig
from neurofit.config.compute import find_device
from neurofit.mapping.contract import GramMapping, find_mapping, on_device
from neurofit.mapping.feature_mapping import as_gram_mapping, needs_features
from neurofit.mapping.reduce import Reduction


def mapping_device(device: str) -> str:
    """Return where maps are fitted: "cpu" (numpy), "torch-cpu" or a CUDA device.

    With a model on a TPU ("xla") they are fitted on the CPU.
    """
    found = device if device in ("cpu", "torch-cpu") else find_device(device)
    return "cpu" if found == "xla" else found


def find_mappings(config: EncodingConfig, *, device: str = "cpu") -> list[GramMapping]:
    """Return the mappings of a configuration, on a device and with its reduction of features."""
    reduction = Reduction(config.reduce, config.seed)
    found = (as_gram_mapping(find_mapping(each)) for each in config.mappings)
    return [reduction.mapping(on_device(mapping, device)) for mapping in found]


def gram_precision(config: EncodingConfig, mappings: Sequence[GramMapping]) -> str:
    """Return the precision of the Grams that all mappings share; float64 where they disagree."""
    if config.gram_precision != "auto":
        return config.gram_precision
    wanted = {mapping.precision for mapping in mappings if not needs_features(mapping)}
    return wanted.pop() if len(wanted) == 1 else "float64"
