"""Small ConvRNNs of the shallow shape for 64 pixels and a laptop: maps of 32, 16, 8, 8, 4 pixels, then a mean and a linear readout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Unpack

from neurofit.models.catalogue import ModelOptions, assemble, register_model
from neurofit.models.convrnn import ConvRNN
from neurofit.models.initialisers import KernelInitialiser, VarianceScaling
from neurofit.models.layer import Conv, Layer

_WEIGHT = VarianceScaling()

_FAMILY: dict[str, Any] = {
    "family": "tiny",
    "region_layers": {"V4": ("conv3",), "IT": ("conv5",)},
    "input_size": 64,
    "n_classes": 10,
    "reference": "neurofit; cells of Nayebi et al. 2022, Neural Computation 34(8)",
}


@register_model(cell="timedecay", **_FAMILY)
def timedecay_tiny(**options: Unpack[ModelOptions]) -> ConvRNN:
    """Leaky integrators in conv3 to conv5."""
    # At the reference's initial decay of 0 an untrained model has no memory at all. At 0.8 a step of 10 ms it forgets with a
    # time constant of 45 ms: 150 ms after the image conv3 still tells images apart (std over images 0.06 of 0.7; at 0.5 it is
    # 0.0003). A lasting input grows 5 times, so the kernels start smaller, which keeps the standard deviations at 1 to 3.5.
    specs = _layers("timedecay", weight=VarianceScaling(0.2), cell_options={"initial_decay": 0.8})
    return assemble("timedecay_tiny", specs, **options)


@register_model(cell="simplernn", **_FAMILY)
def simplernn_tiny(**options: Unpack[ModelOptions]) -> ConvRNN:
    """SimpleRNN cells with layer norm."""
    # The layer norm holds the activity: standard deviations 0.8, whatever the kernels.
    return assemble("simplernn_tiny", _layers("simplernn"), **options)


@register_model(cell="lstm", **_FAMILY)
def lstm_tiny(**options: Unpack[ModelOptions]) -> ConvRNN:
    """LSTMs with 3 x 3 kernels, without layer norm or peepholes."""
    # 48 hidden channels throughout: with 64 in conv4 and conv5 it would have more parameters than the largest of the others.
    # Glorot's kernels let the activity fade from layer to layer (standard deviations 0.25, 0.1, 0.03 at step 8); with a scale of
    # 4 they are 0.3, 0.25, 0.15.
    specs = _layers("lstm", cell_channels=48, cell_options={"weight": VarianceScaling(4.0)})
    return assemble("lstm_tiny", specs, **options)


@register_model(cell="rgc", **_FAMILY)
def rgc_tiny(**options: Unpack[ModelOptions]) -> ConvRNN:
    """Reciprocal gated cells (RGC-S)."""
    # Glorot uniform as in rgc_shallow: standard deviations 0.3 to 1.3. The gates start half open: a step keeps about half, and
    # 150 ms after the image conv3 has under 1 % of it left. Larger tau kernels remember longer, but conv5 then grows without bound.
    return assemble("rgc_tiny", _layers("rgc"), **options)


def _layers(
    cell: str,
    *,
    weight: KernelInitialiser = _WEIGHT,
    cell_channels: int | None = None,
    cell_options: Mapping[str, Any] | None = None,
) -> Callable[[int], tuple[Layer, ...]]:
    def recurrent(name: str, channels: int, *, pool: bool) -> Layer:
        return Layer(
            name,
            Conv(channels, 3, weight=weight),
            before_cell=("elu",),  # for every cell, so that also the leaky integrator is nonlinear
            cell=cell,
            cell_channels=cell_channels,
            cell_options=cell_options or {},
            after_cell=("max_pool",) if pool else (),
        )

    return lambda n_classes: (
        Layer("conv1", Conv(32, 7, stride=2), before_cell=("elu",)),
        Layer("conv2", Conv(48, 3), before_cell=("elu",), after_cell=("max_pool",)),
        recurrent("conv3", 48, pool=True),
        recurrent("conv4", 64, pool=False),
        recurrent("conv5", 64, pool=True),
        Layer("imnetds", Conv(n_classes, 1), before_conv=("mean",)),
    )
