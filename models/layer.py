"""Layers of a model, as a declaration and as a module with parameters.

x = before_cell(norm(conv(before_conv(u))))
y, state' = cell(x, u, fb, state)
output = after_cell(post_conv(y) + R(u))
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neurofit.errors import NeurofitError, check_option
from neurofit.models.cells import CELLS, WEIGHT_DECAY, CellShapes, Drive, Shape, State
from neurofit.models.convolution import Convolution, Padding, shortcut
from neurofit.models.initialisers import (
    Constant,
    GlorotUniform,
    Initialiser,
    VarianceScaling,
    prefixed,
)
from neurofit.models.nonlinearities import elu
from neurofit.models.normalisation import BatchNorm

Op = Literal["elu", "swish", "max_pool", "max_pool_3", "mean"]
"""ELU; swish; max pooling with stride 2, 2 x 2 or 3 x 3; mean over height and width.

Pooling includes partial windows, as TensorFlow's padding "SAME" does.
"""


def _max_pool_3(maps: Tensor) -> Tensor:
    # TensorFlow pads odd sizes on both sides, and even ones at the bottom and right.
    height, width = maps.shape[2:]
    return F.max_pool2d(maps, 3, 2, padding=(height % 2, width % 2), ceil_mode=True)


_OPS: Mapping[Op, Callable[[Tensor], Tensor]] = {
    "elu": elu,
    "swish": F.silu,
    "max_pool": lambda maps: F.max_pool2d(maps, 2, 2, ceil_mode=True),
    "max_pool_3": _max_pool_3,
    "mean": lambda maps: maps.mean(dim=(2, 3), keepdim=True),
}

_WEIGHT = VarianceScaling()
_BIAS = Constant(0.0)


@dataclass(frozen=True)
class Conv:
    """Declaration of a convolution with bias.

    Parameters
    ----------
    channels
        Number of output channels.
    kernel, stride
        Size and stride of the kernel, in pixels.
    padding
        "same" or "valid", see `neurofit.models.convolution`.
    weight, bias
        Initialisers.
    norm
        Function from the number of channels to the batch norm of the output; None for none.

    Notes
    -----
    Source: docs/zoo.md, section 4; the padding is TensorFlow's.

    Examples
    --------
    >>> from neurofit.models import Conv
    >>> conv = Conv(64, kernel=5, stride=2)
    >>> conv.channels, conv.kernel, conv.stride, conv.padding
    (64, 5, 2, 'same')
    """

    channels: int
    kernel: int
    _: KW_ONLY
    stride: int = 1
    padding: Padding = "same"
    weight: Initialiser = _WEIGHT
    bias: Initialiser = _BIAS
    norm: Callable[[int], BatchNorm] | None = None


@dataclass(frozen=True)
class Layer:
    """Declaration of a layer.

    Parameters
    ----------
    name
        Name of the layer.
    conv
        Convolution of the input.
    before_conv, before_cell, after_cell
        Operations at these places, in order. `after_cell` follows `post_conv` and the residual.
    cell
        Registered name of the cell.
    cell_channels
        Channels of the cell's output; None for those of the convolution.
    cell_options
        Keyword arguments of the cell.
    post_conv
        Convolution of the cell's output, with stride 1.
    residual
        Whether the input u is added, through a 1 x 1 convolution if the channels differ.
    weight_decay
        Weight decay of all parameters that have one; None for the published values.

    Notes
    -----
    Source: docs/zoo.md, section 4. An unknown cell or option is an error of the `ConvRNN` in which
    the layer is used.

    Examples
    --------
    >>> from neurofit.models import Conv, Layer
    >>> conv3 = Layer(
    ...     "conv3",
    ...     Conv(32, kernel=3),
    ...     before_cell=("elu",),
    ...     cell="rgc",
    ...     cell_options={"input_gate": False},
    ...     after_cell=("max_pool",),
    ... )
    >>> conv3.channels
    32
    """

    name: str
    conv: Conv
    _: KW_ONLY
    before_conv: tuple[Op, ...] = ()
    before_cell: tuple[Op, ...] = ()
    cell: str = "memoryless"
    cell_channels: int | None = None
    cell_options: Mapping[str, Any] = field(default_factory=dict)
    post_conv: Conv | None = None
    residual: bool = False
    after_cell: tuple[Op, ...] = ()
    weight_decay: float | None = None

    @property
    def channels(self) -> int:
        """Channels of the layer's output."""
        return self.post_conv.channels if self.post_conv else self.channels_of_cell

    @property
    def channels_of_cell(self) -> int:
        """Channels of the cell's output."""
        return self.cell_channels or self.conv.channels


class LayerDrive(NamedTuple):
    """Result of the feedforward input alone, each tensor (batch channel height width).

    Parameters
    ----------
    x
        Input of the cell.
    cell
        Drive of the cell.
    residual
        R(u), or an empty tuple without a residual.
    """

    x: Tensor
    cell: Drive
    residual: tuple[Tensor, ...]


class BuiltLayer(nn.Module):
    """A layer with its parameters.

    Parameters
    ----------
    spec
        Declaration of the layer.
    u
        Shape (channel, height, width) of the feedforward input.
    fb
        Shape of the feedback, resized to `u`; None without feedback.

    Raises
    ------
    NeurofitError
        If the kernel does not fit the input, or the cell does not support the shapes or options.
    """

    def __init__(self, spec: Layer, *, u: Shape, fb: Shape | None) -> None:
        super().__init__()
        self.spec = spec
        channels, height, width = _shape_after(spec.before_conv, u)
        self.conv = _convolution(spec.conv, channels)
        self.norm = spec.conv.norm(spec.conv.channels) if spec.conv.norm else None
        size = self.conv.size_after(height), self.conv.size_after(width)
        if min(size) < 1:
            raise NeurofitError(
                f"Layer {spec.name}: a kernel of {spec.conv.kernel} x {spec.conv.kernel} pixels "
                f"does not fit a map of {height} x {width}; use larger images."
            )
        x = _shape_after(spec.before_cell, (spec.conv.channels, *size))
        options = [
            name for name in inspect.signature(CELLS[spec.cell]).parameters if name != "shapes"
        ]
        for option in spec.cell_options:
            check_option(f"option of the cell {spec.cell}", option, options)
        self.cell = CELLS[spec.cell](
            CellShapes(x=x, u=u, fb=fb, channels=spec.channels_of_cell), **spec.cell_options
        )
        self.post_conv = (
            _convolution(spec.post_conv, spec.channels_of_cell) if spec.post_conv else None
        )
        self.residual = shortcut(u[0], spec.channels) if spec.residual else None
        if spec.residual and u[1:] != x[1:]:
            raise NeurofitError(
                f"Layer {spec.name}: a residual needs a cell with maps of the input's size, "
                f"{u[1:]}; got {x[1:]}."
            )
        self.shape = _shape_after(spec.after_cell, (spec.channels, *x[1:]))

    def forward(self, u: Tensor, fb: Tensor | None, state: State | None) -> tuple[Tensor, State]:
        """Return output and new state; a state of None is the initial one."""
        drive = self.drive(u)
        return self.step(drive, fb, self.initial_state(drive) if state is None else state)

    def drive(self, u: Tensor) -> LayerDrive:
        """Return what depends on the feedforward input alone."""
        x = self.conv(_apply(self.spec.before_conv, u))
        x = _apply(self.spec.before_cell, x if self.norm is None else self.norm(x))
        return LayerDrive(
            x, self.cell.drive(x, u), () if self.residual is None else (self.residual(u),)
        )

    def initial_state(self, drive: LayerDrive) -> State:
        """Return the state before the first step."""
        return self.cell.initial_state(drive.x)

    def step(self, drive: LayerDrive, fb: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Return output and new state."""
        maps, state = self.cell.step(drive.cell, fb, state)
        if self.post_conv is not None:
            maps = self.post_conv(maps)
        return _apply(self.spec.after_cell, sum(drive.residual, start=maps)), state

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return an initialiser for every parameter."""
        own: dict[str, Initialiser] = {}
        for name, conv in self._convs().items():
            own |= {f"{name}.weight": conv.weight, f"{name}.bias": conv.bias}
        if self.residual is not None:
            projection = [name for name, _ in self.residual.named_parameters()]
            own |= prefixed("residual", dict.fromkeys(projection, GlorotUniform()))
        if self.norm is not None:
            own |= prefixed("norm", self.norm.initialisers())
        return own | prefixed("cell", self.cell.initialisers())

    def weight_decays(self) -> Mapping[str, float]:
        """Return the weight decays of convolutions and cell; residual and norm have none."""
        own = {
            f"{name}.{part}": WEIGHT_DECAY for name in self._convs() for part in ("weight", "bias")
        }
        own |= {f"cell.{name}": decay for name, decay in self.cell.weight_decays().items()}
        decay = self.spec.weight_decay
        return own if decay is None else dict.fromkeys(own, decay)

    @property
    def can_recompute(self) -> bool:
        """Whether a step has no effect but its result: a batch norm in the cell would update."""
        return not any(isinstance(module, BatchNorm) for module in self.cell.modules())

    def _convs(self) -> dict[str, Conv]:
        convs = {"conv": self.spec.conv, "post_conv": self.spec.post_conv}
        return {name: conv for name, conv in convs.items() if conv is not None}


def _convolution(conv: Conv, in_channels: int) -> Convolution:
    return Convolution(
        in_channels, conv.channels, kernel=conv.kernel, stride=conv.stride, padding=conv.padding
    )


def _apply(ops: tuple[Op, ...], maps: Tensor) -> Tensor:
    for op in ops:
        maps = _OPS[op](maps)
    return maps


def _shape_after(ops: tuple[Op, ...], shape: Shape) -> Shape:
    # No image rather than device="meta", whose elu imports torch._dynamo and takes seconds.
    channels, height, width = _apply(ops, torch.empty(0, *shape, device="cpu")).shape[1:]
    return channels, height, width
