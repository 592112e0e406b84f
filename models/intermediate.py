"""The intermediate ConvRNNs: ten convolutions, conv4 to conv10 recurrent, and a readout.

Images have 224 pixels. Layers: docs/zoo.md, sections 4.2 and 4.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Unpack

from neurofit.activations.presentation import Presentation
from neurofit.models.catalogue import ModelOptions, assemble, register_model
from neurofit.models.convrnn import ConvRNN, presentations
from neurofit.models.initialisers import Constant, Normal
from neurofit.models.layer import Conv, Layer, Op
from neurofit.models.shallow import SHALLOW

INTERMEDIATE: Mapping[str, Any] = {
    **SHALLOW,
    "family": "intermediate",
    # Suggested by the authors, see docs/zoo.md, section 2.
    "region_layers": {"V4": ("conv5", "conv6"), "IT": ("conv7", "conv8", "conv9", "conv10")},
    "presentations": presentations(11, Presentation(n_timesteps=17, image_off=12)),
}
"""Metadata of the family."""

_T22: Mapping[str, Any] = {
    **INTERMEDIATE,
    "presentations": presentations(11, Presentation(n_timesteps=22)),
}
_T30: Mapping[str, Any] = {
    **INTERMEDIATE,
    "presentations": presentations(11, Presentation(n_timesteps=30)),
}

RGC_FEEDBACK = (
    ("conv8", "conv5"),
    ("conv9", "conv6"),
    ("conv10", "conv7"),
    ("conv7", "conv6"),
    ("conv10", "conv9"),
)
"""(source, target) of the feedback connections, see docs/zoo.md, section 4.3."""


@register_model(cell="timedecay", top1=67.52, top5=87.80, **INTERMEDIATE)
def timedecay_intermediate(**options: Unpack[ModelOptions]) -> ConvRNN:
    """Leaky integrators in conv4 to conv10."""
    return assemble("timedecay_intermediate", residual_layers("timedecay"), **options)


@register_model(cell="simplernn", top1=70.47, top5=89.48, **INTERMEDIATE)
def simplernn_intermediate(**options: Unpack[ModelOptions]) -> ConvRNN:
    """SimpleRNN cells, without layer norm."""
    return assemble(
        "simplernn_intermediate", residual_layers("simplernn", {"norm": False}), **options
    )


@register_model(cell="gru", top1=69.81, top5=89.25, **INTERMEDIATE)
def gru_intermediate(**options: Unpack[ModelOptions]) -> ConvRNN:
    """GRUs."""
    return assemble("gru_intermediate", residual_layers("gru"), **options)


@register_model(cell="lstm", top1=69.57, top5=89.18, **INTERMEDIATE)
def lstm_intermediate(**options: Unpack[ModelOptions]) -> ConvRNN:
    """LSTMs, without layer norm or peepholes."""
    return assemble("lstm_intermediate", residual_layers("lstm"), **options)


@register_model(cell="intersectionrnn", top1=68.98, top5=88.67, **INTERMEDIATE)
def intersectionrnn_intermediate(**options: Unpack[ModelOptions]) -> ConvRNN:
    """Intersection RNNs."""
    return assemble("intersectionrnn_intermediate", residual_layers("intersectionrnn"), **options)


@register_model(cell="ugrnn", top1=69.78, top5=89.21, **INTERMEDIATE)
def ugrnn_intermediate(**options: Unpack[ModelOptions]) -> ConvRNN:
    """UGRNNs."""
    return assemble("ugrnn_intermediate", residual_layers("ugrnn"), **options)


@register_model(cell="ugrnn", top1=70.09, top5=89.29, **_T30)
def ugrnn_intermediate_t30(**options: Unpack[ModelOptions]) -> ConvRNN:
    """UGRNNs, trained with 30 steps of a constant image."""
    return assemble("ugrnn_intermediate_t30", residual_layers("ugrnn"), **options)


@register_model(cell="ugrnn", decoder="thresh", top1=69.30, top5=88.97, **_T30)
def ugrnn_intermediate_t30_dthresh(**options: Unpack[ModelOptions]) -> ConvRNN:
    """UGRNNs with 30 steps of a constant image, read out at the first confident step."""
    return assemble("ugrnn_intermediate_t30_dthresh", residual_layers("ugrnn"), **options)


@register_model(cell="ugrnn", decoder="max_conf", top1=70.04, top5=89.29, **_T30)
def ugrnn_intermediate_t30_tmaxconf(**options: Unpack[ModelOptions]) -> ConvRNN:
    """UGRNNs, trained with 30 steps of a constant image and read out at the most confident step."""
    return assemble("ugrnn_intermediate_t30_tmaxconf", residual_layers("ugrnn"), **options)


@register_model(cell="rgc_median", top1=73.0, top5=91.16, **INTERMEDIATE)
def rgc_intermediate(**options: Unpack[ModelOptions]) -> ConvRNN:
    """Median reciprocal gated cells (RGC-M) with five feedback connections."""
    return assemble("rgc_intermediate", rgc_layers(), feedback=RGC_FEEDBACK, **options)


@register_model(cell="rgc_median", decoder="thresh", top1=71.81, top5=90.16, **INTERMEDIATE)
def rgc_intermediate_dthresh(**options: Unpack[ModelOptions]) -> ConvRNN:
    """RGC-M with feedback, read out at the first confident step."""
    return assemble("rgc_intermediate_dthresh", rgc_layers(), feedback=RGC_FEEDBACK, **options)


@register_model(cell="rgc_median", decoder="max_conf", top1=72.29, top5=90.52, **INTERMEDIATE)
def rgc_intermediate_tmaxconf(**options: Unpack[ModelOptions]) -> ConvRNN:
    """RGC-M with feedback, trained with a readout at the most confident step."""
    return assemble("rgc_intermediate_tmaxconf", rgc_layers(), feedback=RGC_FEEDBACK, **options)


@register_model(cell="rgc_median", decoder="max_conf", top1=72.98, top5=90.80, **_T22)
def rgc_intermediate_t22_tmaxconf(**options: Unpack[ModelOptions]) -> ConvRNN:
    """RGC-M with feedback, trained with 22 steps and read out at the most confident step."""
    return assemble("rgc_intermediate_t22_tmaxconf", rgc_layers(), feedback=RGC_FEEDBACK, **options)


def residual_layers(
    cell: str, cell_options: Mapping[str, Any] | None = None
) -> Callable[[int], tuple[Layer, ...]]:
    """Return the layers of docs/zoo.md, section 4.2, as a function of the number of classes."""

    def block(number: int, channels: int, *, pool: bool = False) -> Layer:
        recurrent: dict[str, Any] = {"cell": cell, "cell_options": cell_options or {}}
        return Layer(
            f"conv{number}",
            Conv(channels, 3),
            before_cell=("elu",),
            **(recurrent if number >= 4 else {}),
            post_conv=Conv(channels, 3),
            residual=True,
            after_cell=("elu", "max_pool") if pool else ("elu",),
        )

    return lambda n_classes: (
        Layer("conv1", Conv(64, 7, stride=2), after_cell=("elu", "max_pool")),
        block(2, 64),
        block(3, 64),
        block(4, 128, pool=True),
        block(5, 128),
        block(6, 256, pool=True),
        block(7, 256, pool=True),
        block(8, 512),
        block(9, 512),
        block(10, 512, pool=True),
        _readout(n_classes),
    )


def rgc_layers(
    cell: str = "rgc_median", *, before_cell: tuple[Op, ...] = ()
) -> Callable[[int], tuple[Layer, ...]]:
    """Return the layers of docs/zoo.md, section 4.3, as a function of the number of classes.

    Parameters
    ----------
    cell
        Registered name of the cell in conv4 to conv10.
    before_cell
        Operations before each cell.
    """

    def recurrent(number: int, channels: int, *, pool: bool = False) -> Layer:
        return Layer(
            f"conv{number}",
            Conv(channels, 3),
            before_cell=before_cell,
            cell=cell,
            after_cell=("max_pool",) if pool else (),
        )

    return lambda n_classes: (
        Layer("conv1", Conv(64, 7, stride=2), after_cell=("elu", "max_pool")),
        Layer("conv2", Conv(128, 3), after_cell=("elu",)),
        Layer("conv3", Conv(128, 3), after_cell=("elu",)),
        recurrent(4, 128, pool=True),
        recurrent(5, 128),
        recurrent(6, 256, pool=True),
        recurrent(7, 256, pool=True),
        recurrent(8, 256),
        recurrent(9, 512),
        recurrent(10, 512, pool=True),
        _readout(n_classes),
    )


def _readout(n_classes: int) -> Layer:
    return Layer(
        "imnetds",
        Conv(n_classes, 1, weight=Normal(0.01), bias=Constant(1.0)),
        before_conv=("mean",),
    )
