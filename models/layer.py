"""One layer, declared and built.

x = before_cell(conv(before_conv(u))), (y, state) = cell(x, u, fb, state), output = after_cell(post_conv(y) + R(u)).
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
from neurofit.models.initialisers import Constant, GlorotUniform, Initialiser, VarianceScaling, prefixed

Op = Literal["elu", "max_pool", "mean"]
"""ELU; 2 x 2 max pool of stride 2 that keeps an odd last row; mean over height and width, which stay as axes of length 1."""

_OPS: Mapping[Op, Callable[[Tensor], Tensor]] = {
    "elu": F.elu,
    "max_pool": lambda maps: F.max_pool2d(maps, 2, 2, ceil_mode=True),
    "mean": lambda maps: maps.mean(dim=(2, 3), keepdim=True),
}

_WEIGHT = VarianceScaling()
_BIAS = Constant(0.0)


@dataclass(frozen=True)
class Conv:
    """A convolution of a layer, with bias.

    Parameters
    ----------
    channels
        Of the output.
    kernel, stride
        In pixels.
    padding
        "same" or "valid", see `neurofit.models.convolution`.
    weight, bias
        How they start.
    """

    channels: int
    kernel: int
    _: KW_ONLY
    stride: int = 1
    padding: Padding = "same"
    weight: Initialiser = _WEIGHT
    bias: Initialiser = _BIAS


@dataclass(frozen=True)
class Layer:
    """A layer as a model's table states it.

    Parameters
    ----------
    name
        Of the layer, as it is recorded.
    conv
        Its convolution.
    before_conv, before_cell, after_cell
        Operations at these three places, in order; `after_cell` come last, after `post_conv` and the residual.
    cell
        Registered name of its cell.
    cell_channels
        Channels of the cell's output; None keeps those of the convolution.
    cell_options
        Keyword arguments of the cell.
    post_conv
        A convolution of the cell's output, of stride 1.
    residual
        Whether the raw input u is added after that: itself, or its 1 x 1 convolution where the channels differ.

    Notes
    -----
    Source: docs/zoo.md, section 4.
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

    @property
    def channels(self) -> int:
        """Channels of the layer's output."""
        return self.post_conv.channels if self.post_conv else self.channels_of_cell

    @property
    def channels_of_cell(self) -> int:
        """Channels of the cell's output."""
        return self.cell_channels or self.conv.channels


class LayerDrive(NamedTuple):
    """What a layer computes from its feedforward input alone, each (batch channel height width).

    Parameters
    ----------
    x
        Input of the cell.
    cell
        What the cell makes of it.
    residual
        What is added behind the cell, in a tuple of one, or of none.
    """

    x: Tensor
    cell: Drive
    residual: tuple[Tensor, ...]


class BuiltLayer(nn.Module):
    """A layer with its parameters; the shapes are those of one image, (channel, height, width).

    Parameters
    ----------
    spec
        The declaration.
    u
        Shape of its feedforward input.
    fb
        Shape of its feedback, resized to `u`; None without any.

    Raises
    ------
    NeurofitError
        If the kernel does not fit the input, or the cell refuses the shapes.
    """

    def __init__(self, spec: Layer, *, u: Shape, fb: Shape | None) -> None:
        super().__init__()
        self.spec = spec
        channels, height, width = _shape_after(spec.before_conv, u)
        self.conv = _convolution(spec.conv, channels)
        size = self.conv.size_after(height), self.conv.size_after(width)
        if min(size) < 1:
            raise NeurofitError(
                f"Layer {spec.name}: a kernel of {spec.conv.kernel} x {spec.conv.kernel} pixels does not fit a map of "
                f"{height} x {width}; take larger images."
            )
        x = _shape_after(spec.before_cell, (spec.conv.channels, *size))
        taken = [name for name in inspect.signature(CELLS[spec.cell]).parameters if name != "shapes"]
        for option in spec.cell_options:
            check_option(f"option of the cell {spec.cell}", option, taken)
        self.cell = CELLS[spec.cell](CellShapes(x=x, u=u, fb=fb, channels=spec.channels_of_cell), **spec.cell_options)
        self.post_conv = _convolution(spec.post_conv, spec.channels_of_cell) if spec.post_conv else None
        self.residual = shortcut(u[0], spec.channels) if spec.residual else None
        if spec.residual and u[1:] != x[1:]:
            raise NeurofitError(f"Layer {spec.name}: a residual needs maps of the input's size, {u[1:]}; those of the cell are {x[1:]}.")
        self.shape = _shape_after(spec.after_cell, (spec.channels, *x[1:]))

    def forward(self, u: Tensor, fb: Tensor | None, state: State | None) -> tuple[Tensor, State]:
        """Return the layer's output and its cell's new state; a state of None is the one before the first step."""
        drive = self.drive(u)
        return self.step(drive, fb, self.initial_state(drive) if state is None else state)

    def drive(self, u: Tensor) -> LayerDrive:
        """Return what the raw input gives, whatever the state."""
        x = _apply(self.spec.before_cell, self.conv(_apply(self.spec.before_conv, u)))
        return LayerDrive(x, self.cell.drive(x, u), () if self.residual is None else (self.residual(u),))

    def initial_state(self, drive: LayerDrive) -> State:
        """Return the state before the first step."""
        return self.cell.initial_state(drive.x)

    def step(self, drive: LayerDrive, fb: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Return the layer's output and its cell's new state."""
        maps, state = self.cell.step(drive.cell, fb, state)
        if self.post_conv is not None:
            maps = self.post_conv(maps)
        return _apply(self.spec.after_cell, sum(drive.residual, start=maps)), state

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return those of the convolutions and of the cell."""
        convs = {"conv": self.spec.conv} | ({"post_conv": self.spec.post_conv} if self.spec.post_conv else {})
        own = {f"{name}.weight": conv.weight for name, conv in convs.items()} | {f"{name}.bias": conv.bias for name, conv in convs.items()}
        projection = {} if self.residual is None else {f"residual.{name}": GlorotUniform() for name, _ in self.residual.named_parameters()}
        return own | projection | prefixed("cell", self.cell.initialisers())

    def weight_decays(self) -> Mapping[str, float]:
        """Return those of the convolutions, kernels and biases, and of the cell; a residual has none."""
        own = dict.fromkeys(
            ("conv.weight", "conv.bias", *(() if self.post_conv is None else ("post_conv.weight", "post_conv.bias"))), WEIGHT_DECAY
        )
        return own | {f"cell.{name}": decay for name, decay in self.cell.weight_decays().items()}


def _convolution(conv: Conv, in_channels: int) -> Convolution:
    return Convolution(in_channels, conv.channels, kernel=conv.kernel, stride=conv.stride, padding=conv.padding)


def _apply(ops: tuple[Op, ...], maps: Tensor) -> Tensor:
    for op in ops:
        maps = _OPS[op](maps)
    return maps


def _shape_after(ops: tuple[Op, ...], shape: Shape) -> Shape:
    channels, height, width = _apply(ops, torch.empty(1, *shape, device="meta")).shape[1:]
    return channels, height, width
