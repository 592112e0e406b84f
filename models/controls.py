"""Controls for the recurrent models.

- Networks without recurrence: the same layers with the cell `memoryless`.
- Minimally unrolled models: recurrent, with only the steps the image needs to reach the readout.
- The ablations of 2018, see docs/zoo.md, section 5.10.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from neurofit.activations.presentation import Presentation
from neurofit.models.catalogue import ModelOptions, assemble, register_model
from neurofit.models.convrnn import ConvRNN
from neurofit.models.intermediate import INTERMEDIATE, RGC_FEEDBACK, residual_layers, rgc_layers
from neurofit.models.shallow import SHALLOW, shallow_layers

_REFERENCE_2018 = (
    "Nayebi et al. 2018, Task-driven convolutional recurrent models of the visual system, NeurIPS"
)

_ABLATION: Mapping[str, Any] = {**SHALLOW, "reference": _REFERENCE_2018}


def _minimal(family: Mapping[str, Any], n_layers: int) -> dict[str, Any]:
    names = ("default", "neural", "constant", "minimal")
    return {
        **family,
        "presentations": dict.fromkeys(names, Presentation(n_timesteps=n_layers)),
    }


@register_model(cell="memoryless", **SHALLOW)
def feedforward_shallow(**options: Unpack[ModelOptions]) -> ConvRNN:
    """Shallow control without recurrence, with an ELU in every layer as in rgc_shallow."""
    return assemble(
        "feedforward_shallow", shallow_layers("memoryless", before_cell=("elu",)), **options
    )


@register_model(cell="memoryless", **INTERMEDIATE)
def feedforward_intermediate(**options: Unpack[ModelOptions]) -> ConvRNN:
    """Intermediate control without recurrence, with residual blocks."""
    return assemble("feedforward_intermediate", residual_layers("memoryless"), **options)


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
