"""What a cell is: one step, (x, u, fb, state) -> (output, state), that knows nothing of time or of other layers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from neurofit.errors import NeurofitError
from neurofit.models.initialisers import Initialiser
from neurofit.registry import Registry

Shape = tuple[int, int, int]
"""(channel, height, width) of one image's map."""

State = tuple[Tensor, ...]
"""What a cell remembers, each (batch channel height width); empty for a cell without memory."""


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
    """One step of a layer's recurrence.

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

    @abstractmethod
    def forward(self, x: Tensor, u: Tensor, fb: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Return the output and the new state, from the input, the layer's raw input, its feedback and the old state."""

    @abstractmethod
    def initial_state(self, x: Tensor) -> State:
        """Return the state before the first step: zeros with the batch, dtype and device of `x`."""

    @abstractmethod
    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return an initialiser for every parameter."""

    def zeros(self, x: Tensor) -> Tensor:
        """Return zeros (batch channel height width) with this cell's channels and the maps of `x`."""
        return x.new_zeros(len(x), self.shapes.channels, *x.shape[2:])

    def need_channels_of_x(self) -> None:
        """Refuse to be built with output channels that differ from those of `x`."""
        if self.shapes.channels != self.shapes.x[0]:
            raise NeurofitError(f"{type(self).__name__} keeps the channels of its input, {self.shapes.x[0]}; got {self.shapes.channels}.")


CELLS: Registry[type[Cell]] = Registry("cell")
register_cell = CELLS.register
