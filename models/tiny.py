"""The tiny ConvRNNs: six layers for images of 32 pixels, with weights trained on CIFAR-10.

The maps of conv1 to conv5 have 16, 8, 4, 4 and 4 pixels. All models have 209,000 to 223,000
parameters, so that their accuracies are comparable (docs/tiny_zoo.md). Their weights were trained
by `neurofit train --model NAME --data cifar10 --recipe cifar10-tiny`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Unpack

from neurofit.activations.presentation import Presentation
from neurofit.models.catalogue import ModelOptions, assemble, register_model
from neurofit.models.convrnn import ConvRNN, presentations
from neurofit.models.initialisers import KernelInitialiser, VarianceScaling
from neurofit.models.layer import Conv, Layer

_WEIGHT = VarianceScaling()

_FAMILY: dict[str, Any] = {
    "family": "tiny",
    "region_layers": {"V4": ("conv3",), "IT": ("conv5",)},
    "input_size": 32,
    "n_classes": 10,
    # The image is on for 100 ms, as in the recordings.
    "presentations": presentations(6, Presentation(n_timesteps=10)),
    "reference": "neurofit; cells of Nayebi et al. 2022, Neural Computation 34(8)",
}


@register_model(cell="memoryless", **_FAMILY)
def feedforward_tiny(**options: Unpack[ModelOptions]) -> ConvRNN:
    """Control without recurrence, with wider layers."""
    return assemble("feedforward_tiny", _layers("memoryless", 92), **options)


@register_model(cell="timedecay", **_FAMILY)
def timedecay_tiny(**options: Unpack[ModelOptions]) -> ConvRNN:
    """Leaky integrators in conv3 to conv5."""
    # With the reference's initial decay of 0, an untrained model has no memory. A decay of 0.8 per
    # step is a time constant of 45 ms. It amplifies a constant input five times, hence the smaller
    # kernels.
    table = _layers(
        "timedecay", 92, weight=VarianceScaling(0.2), cell_options={"initial_decay": 0.8}
    )
    return assemble("timedecay_tiny", table, **options)


@register_model(cell="simplernn", **_FAMILY)
def simplernn_tiny(**options: Unpack[ModelOptions]) -> ConvRNN:
    """SimpleRNN ("vanilla" recurrent) cells, without layer norm."""
    return assemble(
        "simplernn_tiny", _layers("simplernn", 50, cell_options={"norm": False}), **options
    )


@register_model(cell="simplernn", **_FAMILY)
def rnn_bypass_tiny(**options: Unpack[ModelOptions]) -> ConvRNN:
    """simplernn_tiny with bypassing: the input also reaches the output directly."""
    return assemble(
        "rnn_bypass_tiny",
        _layers("simplernn", 50, cell_options={"norm": False, "bypassing": True}),
        **options,
    )


@register_model(cell="simplernn", **_FAMILY)
def rnn_gating_tiny(**options: Unpack[ModelOptions]) -> ConvRNN:
    """simplernn_tiny with gating: the state gates itself and the input."""
    return assemble(
        "rnn_gating_tiny",
        _layers("simplernn", 38, cell_options={"norm": False, "gating": True}),
        **options,
    )


@register_model(cell="simplernn", **_FAMILY)
def rnn_bypass_gating_tiny(**options: Unpack[ModelOptions]) -> ConvRNN:
    """simplernn_tiny with bypassing and gating."""
    table = _layers(
        "simplernn", 38, cell_options={"norm": False, "bypassing": True, "gating": True}
    )
    return assemble("rnn_bypass_gating_tiny", table, **options)


@register_model(cell="gru", **_FAMILY)
def gru_tiny(**options: Unpack[ModelOptions]) -> ConvRNN:
    """GRUs."""
    return assemble("gru_tiny", _layers("gru", 32), **options)


@register_model(cell="lstm", **_FAMILY)
def lstm_tiny(**options: Unpack[ModelOptions]) -> ConvRNN:
    """LSTMs with 3 x 3 kernels, without layer norm or peepholes."""
    # With Glorot uniform kernels the activity decreases from layer to layer.
    return assemble(
        "lstm_tiny", _layers("lstm", 28, cell_options={"weight": VarianceScaling(4.0)}), **options
    )


@register_model(cell="ugrnn", **_FAMILY)
def ugrnn_tiny(**options: Unpack[ModelOptions]) -> ConvRNN:
    """UGRNNs."""
    return assemble("ugrnn_tiny", _layers("ugrnn", 38), **options)


@register_model(cell="intersectionrnn", **_FAMILY)
def intersectionrnn_tiny(**options: Unpack[ModelOptions]) -> ConvRNN:
    """Intersection RNNs."""
    return assemble("intersectionrnn_tiny", _layers("intersectionrnn", 28), **options)


@register_model(cell="rgc", **_FAMILY)
def rgc_tiny(**options: Unpack[ModelOptions]) -> ConvRNN:
    """Reciprocal gated cells (RGC-S)."""
    return assemble("rgc_tiny", _layers("rgc", 32), **options)


@register_model(cell="rgc", **_FAMILY)
def rgc_feedback_tiny(**options: Unpack[ModelOptions]) -> ConvRNN:
    """rgc_tiny with feedback: conv4 to conv3, conv5 to conv3 and conv5 to conv4."""
    feedback = (("conv4", "conv3"), ("conv5", "conv3"), ("conv5", "conv4"))
    return assemble("rgc_feedback_tiny", _layers("rgc", 32), feedback=feedback, **options)


def _layers(
    cell: str,
    channels: int,
    *,
    weight: KernelInitialiser = _WEIGHT,
    cell_options: Mapping[str, Any] | None = None,
) -> Callable[[int], tuple[Layer, ...]]:
    """Return the layers for one cell, with `channels` channels in conv3 to conv5.

    They are returned as a function of the number of classes.
    """

    def recurrent(name: str, *, pool: bool = False) -> Layer:
        return Layer(
            name,
            Conv(channels, 3, weight=weight),
            before_cell=("elu",),  # for every cell, so that the leaky integrator is nonlinear
            cell=cell,
            cell_options=cell_options or {},
            after_cell=("max_pool",) if pool else (),
        )

    return lambda n_classes: (
        Layer("conv1", Conv(32, 5, stride=2), before_cell=("elu",)),
        Layer("conv2", Conv(48, 3), before_cell=("elu",), after_cell=("max_pool",)),
        recurrent("conv3", pool=True),
        recurrent("conv4"),
        recurrent("conv5"),
        Layer("imnetds", Conv(n_classes, 1), before_conv=("mean",)),
    )
