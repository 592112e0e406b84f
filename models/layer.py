"""One layer, declared and built: x = before_cell(conv(before_conv(u))), (cell's output, state) = cell(x, u, fb, state), then after_cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neurofit.errors import NeurofitError
from neurofit.models.cells import CELLS, CellShapes, Shape, State
from neurofit.models.convolution import Convolution, Padding
from neurofit.models.initialisers import Constant, Initialiser, VarianceScaling, prefixed

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
    """A layer's own convolution, with bias.

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
        Operations at these three places, in order.
    cell
        Registered name of its cell.
    cell_channels
        Channels of the cell's, and so of the layer's, output; None keeps those of the convolution.
    cell_options
        Keyword arguments of the cell.

    Notes
    -----
    Source: zoo_facts 3 and 15. The residual sums and post-convolutions of the intermediate models will be further fields.
    """

    name: str
    conv: Conv
    _: KW_ONLY
    before_conv: tuple[Op, ...] = ()
    before_cell: tuple[Op, ...] = ()
    cell: str = "memoryless"
    cell_channels: int | None = None
    cell_options: Mapping[str, Any] = field(default_factory=dict)
    after_cell: tuple[Op, ...] = ()

    @property
    def channels(self) -> int:
        """Channels of the layer's output."""
        return self.cell_channels or self.conv.channels


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
        conv = spec.conv
        channels, height, width = _shape_after(spec.before_conv, u)
        self.conv = Convolution(channels, conv.channels, kernel=conv.kernel, stride=conv.stride, padding=conv.padding)
        size = self.conv.size_after(height), self.conv.size_after(width)
        if min(size) < 1:
            raise NeurofitError(
                f"Layer {spec.name}: a kernel of {conv.kernel} x {conv.kernel} pixels does not fit a map of {height} x {width}; "
                "take larger images."
            )
        x = _shape_after(spec.before_cell, (conv.channels, *size))
        self.cell = CELLS[spec.cell](CellShapes(x=x, u=u, fb=fb, channels=spec.channels), **spec.cell_options)
        self.shape = _shape_after(spec.after_cell, (spec.channels, *x[1:]))

    def drive(self, u: Tensor) -> Tensor:
        """Return x, what the raw input gives the cell."""
        return _apply(self.spec.before_cell, self.conv(_apply(self.spec.before_conv, u)))

    def forward(self, x: Tensor, u: Tensor, fb: Tensor | None, state: State | None) -> tuple[Tensor, State]:
        """Return the layer's output and its cell's new state; a state of None is the one before the first step."""
        output, state = self.cell(x, u, fb, self.cell.initial_state(x) if state is None else state)
        return _apply(self.spec.after_cell, output), state

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return those of the convolution and of the cell."""
        return {"conv.weight": self.spec.conv.weight, "conv.bias": self.spec.conv.bias, **prefixed("cell", self.cell.initialisers())}


def _apply(ops: tuple[Op, ...], maps: Tensor) -> Tensor:
    for op in ops:
        maps = _OPS[op](maps)
    return maps


def _shape_after(ops: tuple[Op, ...], shape: Shape) -> Shape:
    channels, height, width = _apply(ops, torch.empty(1, *shape, device="meta")).shape[1:]
    return channels, height, width
