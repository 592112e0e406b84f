"""The interface of cells: one step, (x, u, fb, state) -> (output, state)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from neurofit.config.registry import Registry
from neurofit.errors import NeurofitError
from neurofit.models.initialisers import Initialiser

Shape = tuple[int, int, int]
"""(channel, height, width)."""

State = tuple[Tensor, ...]
"""State of a cell, tensors (batch channel height width); empty for a cell without memory."""

Drive = tuple[Tensor, ...]
"""Result of the feedforward input alone, tensors (batch channel height width)."""


@dataclass(frozen=True, kw_only=True)
class CellShapes:
    """Shapes (channel, height, width) from which a cell is built.

    Parameters
    ----------
    x
        Shape of the cell's input, after the convolution of the layer.
    u
        Shape of the layer's input, before its convolution.
    fb
        Shape of the feedback, resized to `u`; None without feedback.
    channels
        Number of output channels. Height and width are those of `x`.
    """

    x: Shape
    u: Shape
    fb: Shape | None = None
    channels: int


class Cell(nn.Module, ABC):
    """One step of a recurrence, in two parts: `drive` and `step`.

    `drive` depends on the feedforward input alone, and is called once while that input is constant.

    Parameters
    ----------
    shapes
        See `CellShapes`. Further options of a cell are keyword-only.

    Raises
    ------
    NeurofitError
        If the cell does not support the shapes.
    """

    takes_feedback: ClassVar[bool] = False

    def __init__(self, shapes: CellShapes) -> None:
        super().__init__()
        if shapes.fb is not None and not self.takes_feedback:
            raise NeurofitError(
                f"{type(self).__name__} does not support feedback; got shape {shapes.fb}."
            )
        self.shapes = shapes

    def forward(
        self, x: Tensor, u: Tensor, fb: Tensor | None, state: State
    ) -> tuple[Tensor, State]:
        """Return the output and the new state."""
        return self.step(self.drive(x, u), fb, state)

    def drive(self, x: Tensor, u: Tensor) -> Drive:
        """Return what depends on x and u alone; by default x itself."""
        return (x,)

    @abstractmethod
    def step(self, drive: Drive, fb: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Return the output and the new state from the drive, the feedback and the old state."""

    @abstractmethod
    def initial_state(self, x: Tensor) -> State:
        """Return the state before the first step: zeros of the batch size of `x`."""

    @abstractmethod
    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return an initialiser for every parameter."""

    def weight_decays(self) -> Mapping[str, float]:
        """Return lambda of the penalty lambda / 2 sum w^2, for parameters that have one.

        Published values: docs/zoo.md, section 8.1.
        """
        return {}

    def zeros(self, x: Tensor, channels: int | None = None) -> Tensor:
        """Return zeros like `x` with this number of channels, by default that of the output."""
        return x.new_zeros(len(x), channels or self.shapes.channels, *x.shape[2:])

    def require_equal_channels(self) -> None:
        """Raise NeurofitError unless input and output have the same number of channels."""
        if self.shapes.channels != self.shapes.x[0]:
            raise NeurofitError(
                f"{type(self).__name__} needs as many output channels as input channels, "
                f"{self.shapes.x[0]}; got {self.shapes.channels}."
            )

    def require_equal_maps(self) -> None:
        """Raise NeurofitError unless `u` and `x` have the same height and width."""
        if self.shapes.u[1:] != self.shapes.x[1:]:
            raise NeurofitError(
                f"{type(self).__name__} needs a layer convolution that preserves height and width; "
                f"got {self.shapes.u[1:]} to {self.shapes.x[1:]}."
            )


def gate(drive: Tensor | None, bias: float = 0.0) -> Tensor | float:
    """Return sigmoid(drive + bias); sigmoid(bias) if `drive` is None, that is without gating."""
    return (
        1 / (1 + math.exp(-bias))
        if drive is None
        else torch.sigmoid(drive + bias if bias else drive)
    )


def closing_gate(drive: Tensor | None) -> Tensor | float:
    """Return 1 - sigmoid(drive); one half if `drive` is None, that is without gating."""
    return 0.5 if drive is None else torch.sigmoid(-drive)


WEIGHT_DECAY = 1e-4
"""Weight decay of most published parameters, see docs/zoo.md, section 8.1."""

CELLS: Registry[type[Cell]] = Registry("cell")


def register_cell(name: str | None = None) -> Callable[[type[Cell]], type[Cell]]:
    """Return a decorator that registers a class as a cell.

    Parameters
    ----------
    name
        Name of the cell, by default that of the class.

    Raises
    ------
    NeurofitError
        If another cell has this name.
    """
    return CELLS.register(name)
