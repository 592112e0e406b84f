"""The shallow ConvRNNs: five convolutions, the last three recurrent, and a readout.

Images have 224 pixels and the default presentation 16 steps. Layers: docs/zoo.md, section 4.1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Unpack

from neurofit.models.catalogue import ModelOptions, assemble, register_model
from neurofit.models.convrnn import ConvRNN
from neurofit.models.initialisers import Normal, VarianceScaling
from neurofit.models.layer import Conv, Layer, Op

SHALLOW: Mapping[str, Any] = {
    "family": "shallow",
    # Suggested by the authors, see docs/zoo.md, section 2.
    "region_layers": {"V4": ("conv3",), "IT": ("conv4", "conv5")},
    "input_size": 224,
    "n_classes": 1000,
    "reference": "Nayebi et al. 2022, Recurrent connections in the primate ventral visual stream "
    "mediate a trade-off between task performance and network size during core object recognition, "
    "Neural Computation 34(8)",
}
"""Metadata of the family."""


@register_model(cell="timedecay", top1=50.06, top5=72.97, **SHALLOW)
def timedecay_shallow(**options: Unpack[ModelOptions]) -> ConvRNN:
    """Leaky integrators in conv3 to conv5, whose only nonlinearity is max pooling."""
    return assemble("timedecay_shallow", shallow_layers("timedecay"), **options)


@register_model(cell="simplernn", top1=61.11, top5=83.15, **SHALLOW)
def simplernn_shallow(**options: Unpack[ModelOptions]) -> ConvRNN:
    """SimpleRNN cells with layer norm."""
    return assemble(
        "simplernn_shallow", shallow_layers("simplernn", cell_channels=(128, 256, 256)), **options
    )


@register_model(cell="gru", top1=62.16, top5=84.02, **SHALLOW)
def gru_shallow(**options: Unpack[ModelOptions]) -> ConvRNN:
    """GRUs."""
    return assemble("gru_shallow", shallow_layers("gru"), **options)


@register_model(cell="lstm", top1=63.43, top5=84.89, **SHALLOW)
def lstm_shallow(**options: Unpack[ModelOptions]) -> ConvRNN:
    """LSTMs with layer norm; peepholes in conv4 restrict the input size to 224 pixels."""
    return assemble(
        "lstm_shallow",
        shallow_layers("lstm", cell_channels=(128, 256, 256), cell_options=_LSTM),
        **options,
    )


@register_model(cell="ugrnn", top1=60.82, top5=83.23, **SHALLOW)
def ugrnn_shallow(**options: Unpack[ModelOptions]) -> ConvRNN:
    """UGRNNs."""
    return assemble("ugrnn_shallow", shallow_layers("ugrnn"), **options)


@register_model(cell="intersectionrnn", top1=65.42, top5=86.02, **SHALLOW)
def intersectionrnn_shallow(**options: Unpack[ModelOptions]) -> ConvRNN:
    """Intersection RNNs."""
    return assemble("intersectionrnn_shallow", shallow_layers("intersectionrnn"), **options)


@register_model(cell="rgc", top1=66.97, top5=87.02, **SHALLOW)
def rgc_shallow(**options: Unpack[ModelOptions]) -> ConvRNN:
    """Reciprocal gated cells (RGC-S)."""
    return assemble("rgc_shallow", shallow_layers("rgc", before_cell=("elu",)), **options)


# Results of a hyperparameter search, see docs/zoo.md, sections 5.4, 8.1 and 8.2.
_LSTM: tuple[Mapping[str, Any], ...] = (
    {
        "norm": True,
        "kernel": 2,
        "forget_bias": 1.3561755203084322,
        "weight": VarianceScaling(0.7008842622125534),
        "gate_bias": 1.6427688907776656,
        "weight_decay": 5.434329000564743e-6,
    },
    {
        "norm": True,
        "kernel": 3,
        "forget_bias": 0.977962918535079,
        "weight": VarianceScaling(1.8314561102978617),
        "gate_bias": -1.166018906771675,
        "weight_decay": 7.612613874483112e-6,
        "peepholes": True,
    },
    {
        "norm": True,
        "kernel": 4,
        "forget_bias": 0.9249280259963113,
        "weight": VarianceScaling(0.8937636886958731),
        "gate_bias": -1.3495015766804237,
        "weight_decay": 3.038054940623377e-6,
    },
)


def shallow_layers(
    cell: str,
    *,
    before_cell: tuple[Op, ...] = (),
    cell_channels: tuple[int | None, ...] = (None, None, None),
    cell_options: tuple[Mapping[str, Any], ...] = ({}, {}, {}),
) -> Callable[[int], tuple[Layer, ...]]:
    """Return the layers of docs/zoo.md, section 4.1, as a function of the number of classes.

    Parameters
    ----------
    cell
        Registered name of the cell in conv3 to conv5.
    before_cell
        Operations before each cell.
    cell_channels
        Channels of the cells' outputs in conv3 to conv5; None for those of the convolution.
    cell_options
        Options of the cells in conv3 to conv5.
    """
    recurrent = [
        Layer(
            f"conv{number}",
            Conv(channels, 3),
            before_cell=before_cell,
            cell=cell,
            cell_channels=hidden,
            cell_options=options,
            after_cell=("max_pool",),
        )
        for number, channels, hidden, options in zip(
            (3, 4, 5), (256, 256, 512), cell_channels, cell_options, strict=True
        )
    ]
    return lambda n_classes: (
        Layer("conv1", Conv(64, 7, stride=2), before_cell=("elu",), after_cell=("max_pool",)),
        Layer("conv2", Conv(128, 3), before_cell=("elu",), after_cell=("max_pool",)),
        *recurrent,
        Layer(
            "imnetds",
            Conv(n_classes, 2, padding="valid", weight=Normal(0.01)),
            after_cell=("mean",),
        ),
    )
