"""What a cell is: one step, (x, u, fb, state) -> (output, state), that knows nothing of time or of other layers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from neurofit.errors import NeurofitError
from neurofit.models.initialisers import Initialiser
from neurofit.registry import Registry

Shape = tuple[int, int, int]
"""(channel, height, width) of one image's map."""

State = tuple[Tensor, ...]
"""What a cell remembers, each (batch channel height width); empty for a cell without memory."""

Drive = tuple[Tensor, ...]
"""What a cell computes from the feedforward input alone, each (batch channel height width)."""


@dataclass(frozen=True, kw_only=True)
class CellShapes:
    """What a layer tells its cell when it is built.

    Parameters
    ----------
    x
        After the layer's own convolution: the cell's input.
    u
        The layer's raw input, before that convolution.
    fb
        The layer's feedback, resized to `u`; None without any.
    channels
        Channels of the cell's output; its height and width are those of `x`.
    """

    x: Shape
    u: Shape
    fb: Shape | None = None
    channels: int


class Cell(nn.Module, ABC):
    """One step of a layer's recurrence, in two halves: `drive` depends on the feedforward input alone, `step` on the rest too.

    Whoever unrolls the cell calls `drive` once for as long as its input stays the same (an image that is on, a blank).

    Parameters
    ----------
    shapes
        See `CellShapes`; further options of a cell are keyword-only.

    Raises
    ------
    NeurofitError
        If the shapes do not suit the cell.
    """

    takes_feedback: ClassVar[bool] = False

    def __init__(self, shapes: CellShapes) -> None:
        super().__init__()
        if shapes.fb is not None and not self.takes_feedback:
            raise NeurofitError(f"{type(self).__name__} does not take feedback; got some of shape {shapes.fb}.")
        self.shapes = shapes

    def forward(self, x: Tensor, u: Tensor, fb: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Return the output and the new state, from the input, the layer's raw input, its feedback and the old state."""
        return self.step(self.drive(x, u), fb, state)

    def drive(self, x: Tensor, u: Tensor) -> Drive:
        """Return what the input and the layer's raw input give, whatever the state; the input itself if a cell does not say."""
        return (x,)

    @abstractmethod
    def step(self, drive: Drive, fb: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Return the output and the new state, from the drive, the layer's feedback and the old state."""

    @abstractmethod
    def initial_state(self, x: Tensor) -> State:
        """Return the state before the first step: zeros with the batch, dtype and device of `x`."""

    @abstractmethod
    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return an initialiser for every parameter."""

    def weight_decays(self) -> Mapping[str, float]:
        """Return lambda of the training penalty lambda / 2 |w|^2 per parameter.

        A parameter that is not named has none. Published values: see docs/zoo.md, section 8.1.
        """
        return {}

    def zeros(self, x: Tensor, channels: int | None = None) -> Tensor:
        """Return zeros (batch channel height width) with the maps of `x` and so many channels, or else this cell's."""
        return x.new_zeros(len(x), channels or self.shapes.channels, *x.shape[2:])

    def need_channels_of_x(self) -> None:
        """Refuse to be built with output channels that differ from those of `x`."""
        if self.shapes.channels != self.shapes.x[0]:
            raise NeurofitError(f"{type(self).__name__} keeps the channels of its input, {self.shapes.x[0]}; got {self.shapes.channels}.")


def gate(drive: Tensor | None, bias: float = 0.0) -> Tensor | float:
    """Return sigmoid(drive + bias); without a drive, where gating is off, the constant sigmoid(bias) that is left of the gate."""
    return 1 / (1 + math.exp(-bias)) if drive is None else torch.sigmoid(drive + bias if bias else drive)


def closing_gate(drive: Tensor | None) -> Tensor | float:
    """Return 1 - sigmoid(drive), the more drive the more closed; without a drive, where gating is off, one half."""
    return 0.5 if drive is None else torch.sigmoid(-drive)


WEIGHT_DECAY = 1e-4
"""Weight decay of most parameters of the published models, see docs/zoo.md, section 8.1."""

CELLS: Registry[type[Cell]] = Registry("cell")
register_cell = CELLS.register
