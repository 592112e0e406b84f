"""The torch module inside a model of Brain-Score, with its preprocessing and its layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from neurofit.brainscore.brain_model import NeurofitBrainModel
from neurofit.brainscore.loading import load
from neurofit.errors import NeurofitError


@dataclass(frozen=True, kw_only=True)
class BrainScoreNetwork:
    """What Brain-Score knows of a network.

    Parameters
    ----------
    module
        Torch module, or the neurofit model that a `NeurofitBrainModel` adapts.
    input_size
        Height and width of the images in pixels; None if it is not known.
    preprocessing
        "normalize_mean" and "normalize_std" where they are not those of ImageNet.
    layers
        Layers that the model commits to; empty if it names none.
    region_layers
        Area -> layer, where it is committed.
    visual_degrees
        Width of the visual field.
    """

    module: Any
    input_size: int | None = None
    preprocessing: Mapping[str, Sequence[float]] = field(default_factory=dict)
    layers: tuple[str, ...] = ()
    region_layers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    visual_degrees: float = 8.0


def network_of(identifier: str) -> BrainScoreNetwork:
    """Return the network of a model of Brain-Score.

    Raises
    ------
    NeurofitError
        If the model is unknown, or is no torch module with the usual preprocessing.
    MachineError
        If its files cannot be loaded.
    """
    candidate = load("model", identifier)
    if isinstance(candidate, NeurofitBrainModel):
        return BrainScoreNetwork(module=candidate.model)
    base = getattr(candidate, "activations_model", candidate)
    preprocess = getattr(getattr(base, "_extractor", None), "preprocess", None)
    given = dict(getattr(preprocess, "keywords", {}))
    module = getattr(base, "_model", None)
    if not hasattr(module, "named_modules") or "image_size" not in given:
        raise NeurofitError(
            f"{identifier} of Brain-Score is no torch module with the usual preprocessing "
            "(load_preprocess_images), so that only `neurofit score` takes it."
        )
    if given.get("preprocess_type") == "inception":
        given |= {"normalize_mean": (0.5,) * 3, "normalize_std": (0.5,) * 3}
    committed = getattr(getattr(candidate, "layer_model", None), "_layer_model", None)
    regions = getattr(committed, "region_layer_map", {})
    return BrainScoreNetwork(
        module=module,
        input_size=int(given["image_size"]),
        preprocessing={key: each for key, each in given.items() if key.startswith("normalize_")},
        layers=tuple(getattr(candidate, "layers", ())),
        region_layers={
            # others are chosen by running benchmarks when they are looked up
            region: (layers,) if isinstance(layers, str) else tuple(layers)
            for region, layers in (regions.items() if type(regions) is dict else ())
        },
        visual_degrees=float(candidate.visual_degrees())
        if hasattr(candidate, "visual_degrees")
        else 8.0,
    )
