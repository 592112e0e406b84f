"""Controls for the recurrent models.

- Networks without recurrence: the same layers with the cell `memoryless`, also made wider or deeper
  until they have as many parameters as the network with reciprocal gated cells.
- Minimally unrolled models: recurrent, with only the steps the image needs to reach the readout.
- Full passes: the image passes through all layers at every step.
- The ablations of 2018, see docs/zoo.md, section 5.10.

What each one controls for: docs/zoo.md, section 4.6.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Unpack

from neurofit.activations.presentation import Presentation
from neurofit.models.catalogue import ModelOptions, assemble, register_model
from neurofit.models.convrnn import SIX_LAYER_PRESENTATIONS, ConvRNN, presentations
from neurofit.models.intermediate import INTERMEDIATE, RGC_FEEDBACK, residual_layers, rgc_layers
from neurofit.models.layer import Layer
from neurofit.models.shallow import SHALLOW, shallow_layers

Table = Callable[[int], Sequence[Layer]]
"""Layers of a model as a function of the number of classes."""

_REFERENCE_2018 = (
    "Nayebi et al. 2018, Task-driven convolutional recurrent models of the visual system, NeurIPS"
)

_ABLATION: Mapping[str, Any] = {**SHALLOW, "reference": _REFERENCE_2018}


SHALLOW_BASE: Table = shallow_layers("memoryless", before_cell=("elu",))
INTERMEDIATE_BASE: Table = rgc_layers(cell="memoryless", before_cell=("elu",))
"""Layers of rgc_shallow and of rgc_intermediate without recurrence or feedback."""

FULL_PASS: ModelOptions = {"unroll": "feedforward-per-step"}

SHALLOW_WIDTH, INTERMEDIATE_WIDTH = 2.9, 1.625
"""Factors of the channels of all convolutions."""

SHALLOW_DEPTHS: Mapping[str, int] = {"conv3": 7, "conv4": 7, "conv5": 6}
INTERMEDIATE_DEPTHS: Mapping[str, int] = {**{f"conv{k}": 2 for k in range(4, 11)}, "conv9": 3}
"""Layer -> convolutions in its place, all but the first with a residual.

Parameters: docs/zoo.md, section 4.6.
"""


def _minimal(family: Mapping[str, Any], n_layers: int) -> dict[str, Any]:
    names = ("default", "neural", "constant", "minimal")
    return {
        **family,
        "presentations": dict.fromkeys(names, Presentation(n_timesteps=n_layers)),
    }


@register_model(cell="memoryless", **SHALLOW)
def feedforward_shallow(**options: Unpack[ModelOptions]) -> ConvRNN:
    """Shallow control without recurrence, with an ELU in every layer as in rgc_shallow."""
    return assemble("feedforward_shallow", SHALLOW_BASE, **options)


@register_model(cell="memoryless", **INTERMEDIATE)
def feedforward_intermediate(**options: Unpack[ModelOptions]) -> ConvRNN:
    """Intermediate control without recurrence, with residual blocks."""
    return assemble("feedforward_intermediate", residual_layers("memoryless"), **options)


def _wider(table: Table, factor: float) -> Table:
    """Return layers with more channels, except in the readout."""

    def layers(n_classes: int) -> list[Layer]:
        *hidden, readout = table(n_classes)
        return [
            replace(layer, conv=replace(layer.conv, channels=round(factor * layer.conv.channels)))
            for layer in hidden
        ] + [readout]

    return layers


def _deeper(table: Table, depths: Mapping[str, int]) -> Table:
    """Return layers with conv3_1, conv3_2, ..., conv3 in place of conv3, for example."""

    def parts(layer: Layer) -> list[Layer]:
        depth = depths.get(layer.name, 1)
        inner = [
            replace(layer, name=f"{layer.name}_{part}", residual=part > 1, after_cell=())
            for part in range(1, depth)
        ]
        return [*inner, replace(layer, residual=layer.residual or depth > 1)]

    return lambda n_classes: [part for layer in table(n_classes) for part in parts(layer)]


def _shown(family: Mapping[str, Any], depths: Mapping[str, int], default: Presentation) -> Any:
    """Return the metadata of a deeper network, whose image takes more steps to the readout."""
    n_layers = (6 if family is SHALLOW else 11) + sum(depths.values()) - len(depths)
    n_timesteps = max(default.n_timesteps, n_layers + 1)
    shown = presentations(n_layers, replace(default, n_timesteps=n_timesteps))
    return {**family, "presentations": shown}


@register_model(cell="memoryless", **SHALLOW)
def feedforward_wide_shallow(**options: Unpack[ModelOptions]) -> ConvRNN:
    """Shallow control without recurrence, as many parameters as rgc_shallow by its width."""
    table = _wider(SHALLOW_BASE, SHALLOW_WIDTH)
    return assemble("feedforward_wide_shallow", table, **options)


@register_model(
    cell="memoryless",
    **_shown(SHALLOW, SHALLOW_DEPTHS, SIX_LAYER_PRESENTATIONS["default"]),
)
def feedforward_deep_shallow(**options: Unpack[ModelOptions]) -> ConvRNN:
    """Shallow control without recurrence, as many parameters as rgc_shallow by its depth."""
    table = _deeper(SHALLOW_BASE, SHALLOW_DEPTHS)
    return assemble("feedforward_deep_shallow", table, **options)


@register_model(cell="memoryless", **INTERMEDIATE)
def feedforward_wide_intermediate(**options: Unpack[ModelOptions]) -> ConvRNN:
    """Intermediate control without recurrence, parameters of rgc_intermediate by its width."""
    table = _wider(INTERMEDIATE_BASE, INTERMEDIATE_WIDTH)
    return assemble("feedforward_wide_intermediate", table, **options)


@register_model(
    cell="memoryless",
    **_shown(INTERMEDIATE, INTERMEDIATE_DEPTHS, INTERMEDIATE["presentations"]["default"]),
)
def feedforward_deep_intermediate(**options: Unpack[ModelOptions]) -> ConvRNN:
    """Intermediate control without recurrence, parameters of rgc_intermediate by its depth."""
    table = _deeper(INTERMEDIATE_BASE, INTERMEDIATE_DEPTHS)
    return assemble("feedforward_deep_intermediate", table, **options)


@register_model(cell="rgc", **SHALLOW)
def rgc_shallow_full_pass(**options: Unpack[ModelOptions]) -> ConvRNN:
    """rgc_shallow, with the image passing through all layers at every step."""
    table = shallow_layers("rgc", before_cell=("elu",))
    return assemble("rgc_shallow_full_pass", table, **FULL_PASS | options)


@register_model(cell="ugrnn", **INTERMEDIATE)
def ugrnn_intermediate_full_pass(**options: Unpack[ModelOptions]) -> ConvRNN:
    """ugrnn_intermediate, with the image passing through all layers at every step."""
    table = residual_layers("ugrnn")
    return assemble("ugrnn_intermediate_full_pass", table, **FULL_PASS | options)


@register_model(cell="rgc_median", **INTERMEDIATE)
def rgc_intermediate_full_pass(**options: Unpack[ModelOptions]) -> ConvRNN:
    """rgc_intermediate, with the image passing through all layers at every step."""
    table = rgc_layers()
    return assemble(
        "rgc_intermediate_full_pass", table, feedback=RGC_FEEDBACK, **FULL_PASS | options
    )


@register_model(cell="rgc", **_minimal(SHALLOW, 6))
def rgc_shallow_minimal(**options: Unpack[ModelOptions]) -> ConvRNN:
    """rgc_shallow, minimally unrolled: 6 steps of a constant image."""
    return assemble("rgc_shallow_minimal", shallow_layers("rgc", before_cell=("elu",)), **options)


@register_model(cell="ugrnn", **_minimal(INTERMEDIATE, 11))
def ugrnn_intermediate_minimal(**options: Unpack[ModelOptions]) -> ConvRNN:
    """ugrnn_intermediate, minimally unrolled: 11 steps of a constant image."""
    return assemble("ugrnn_intermediate_minimal", residual_layers("ugrnn"), **options)


@register_model(cell="rgc_median", **_minimal(INTERMEDIATE, 11))
def rgc_intermediate_minimal(**options: Unpack[ModelOptions]) -> ConvRNN:
    """rgc_intermediate, minimally unrolled: 11 steps of a constant image."""
    return assemble("rgc_intermediate_minimal", rgc_layers(), feedback=RGC_FEEDBACK, **options)


@register_model(cell="simplernn", **_ABLATION)
def simplernn_shallow_bypass(**options: Unpack[ModelOptions]) -> ConvRNN:
    """simplernn_shallow with bypassing: the input also reaches the output directly."""
    return _simplernn("simplernn_shallow_bypass", {"bypassing": True}, **options)


@register_model(cell="simplernn", **_ABLATION)
def simplernn_shallow_gating(**options: Unpack[ModelOptions]) -> ConvRNN:
    """simplernn_shallow with gating: the state gates itself and the input."""
    return _simplernn("simplernn_shallow_gating", {"gating": True}, **options)


@register_model(cell="simplernn", **_ABLATION)
def simplernn_shallow_bypass_gating(**options: Unpack[ModelOptions]) -> ConvRNN:
    """simplernn_shallow with bypassing and gating."""
    return _simplernn(
        "simplernn_shallow_bypass_gating", {"bypassing": True, "gating": True}, **options
    )


def _simplernn(name: str, switches: Mapping[str, Any], **options: Unpack[ModelOptions]) -> ConvRNN:
    table = shallow_layers("simplernn", cell_channels=(128, 256, 256), cell_options=(switches,) * 3)
    return assemble(name, table, **options)
