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
"""Shape (channel, height, width) of the maps of one image, the latter two in pixels.

Examples
--------
>>> from neurofit.models.cells import CellShapes, Shape
>>> maps: Shape = (8, 16, 16)
>>> CellShapes(x=maps, u=maps, channels=8).fb is None
True
"""

State = tuple[Tensor, ...]
"""State of a cell, tensors (batch channel height width); empty for a cell without memory.

Examples
--------
>>> import torch
>>> from neurofit.models.cells import LSTM, CellShapes, State
>>> cell = LSTM(CellShapes(x=(3, 8, 8), u=(3, 8, 8), channels=4))
>>> state: State = cell.initial_state(torch.rand(2, 3, 8, 8))
>>> [tuple(maps.shape) for maps in state]
[(2, 4, 8, 8), (2, 4, 8, 8)]
"""

Drive = tuple[Tensor, ...]
"""Result of the feedforward input alone, tensors (batch channel height width).

Examples
--------
>>> import torch
>>> from neurofit.models.cells import GRU, CellShapes, Drive
>>> cell = GRU(CellShapes(x=(3, 8, 8), u=(3, 8, 8), channels=4))
>>> x = torch.rand(2, 3, 8, 8)
>>> drive: Drive = cell.drive(x, x)  # to both gates, and to the candidate
>>> [tuple(maps.shape) for maps in drive]
[(2, 8, 8, 8), (2, 4, 8, 8)]
"""


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

    Examples
    --------
    >>> from neurofit.models.cells import CellShapes
    >>> CellShapes(x=(8, 16, 16), u=(3, 32, 32), channels=8)
    CellShapes(x=(8, 16, 16), u=(3, 32, 32), fb=None, channels=8)
    """

    x: Shape
    u: Shape
    fb: Shape | None = None
    channels: int


class Cell(nn.Module, ABC):
    """One step of a recurrence, in two parts: `drive` and `step`.

    `drive` depends on the feedforward input alone, and is called once while that input is constant.
    Inputs, outputs and states are tensors (batch channel height width). A cell of your own defines
    `step`, `initial_state` and `initialisers`, and is used in a `neurofit.models.Layer` by the name
    that `register_cell` gives it. Parameters are zero until `ConvRNN` initialises or loads them.

    Parameters
    ----------
    shapes
        See `CellShapes`. Further options of a cell are keyword-only.

    Raises
    ------
    NeurofitError
        If the cell does not support the shapes.

    Notes
    -----
    Source: docs/zoo.md, section 3; Nayebi et al. 2018.

    Examples
    --------
    >>> import torch
    >>> from neurofit.models import Cell, CellShapes
    >>> class Accumulator(Cell):
    ...     def step(self, drive, fb, state):
    ...         total = state[0] + drive[0]
    ...         return total, (total,)
    ...     def initial_state(self, x):
    ...         return (self.zeros(x),)
    ...     def initialisers(self):
    ...         return {}
    >>> cell = Accumulator(CellShapes(x=(1, 2, 2), u=(1, 2, 2), channels=1))
    >>> x = torch.ones(1, 1, 2, 2)
    >>> output, state = cell(x, x, None, cell.initial_state(x))
    >>> output, state = cell(x, x, None, state)
    >>> output.mean()
    tensor(2.)
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
        """Return the output (batch channel height width) and the new state.

        Parameters
        ----------
        x, u
            Input of the cell and of its layer, (batch channel height width).
        fb
            Feedback, resized to `u`; None without feedback.
        state
            State after the step before, or `initial_state`.
        """
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
"""Weight decay of most published parameters, lambda of the penalty lambda / 2 sum w^2.

Source: docs/zoo.md, section 8.1.

Examples
--------
>>> from neurofit.models.cells import GRU, WEIGHT_DECAY, CellShapes
>>> cell = GRU(CellShapes(x=(3, 8, 8), u=(3, 8, 8), channels=4))
>>> set(cell.weight_decays().values()) == {WEIGHT_DECAY}
True
"""

CELLS: Registry[type[Cell]] = Registry("cell")
"""Name -> class of a recurrent cell, a `neurofit.config.registry.Registry`.

`CELLS[name](shapes, **options)` builds a cell; `register_cell` adds one of your own.

Examples
--------
>>> from neurofit.models import CELLS, CellShapes
>>> list(CELLS)
['egu', 'gru', 'intersectionrnn', 'lstm', 'memoryless', ...]
>>> cell = CELLS["timedecay"](CellShapes(x=(8, 16, 16), u=(3, 32, 32), channels=8))
>>> [name for name, _ in cell.named_parameters()]
['decay']
"""


def register_cell(name: str | None = None) -> Callable[[type[Cell]], type[Cell]]:
    """Return a decorator that registers a class as a cell.

    Parameters
    ----------
    name
        Name of the cell, by default that of the class.

    Returns
    -------
    Callable
        Decorator of a subclass of `Cell`, which it returns unchanged.

    Raises
    ------
    NeurofitError
        If another cell has this name.

    Examples
    --------
    >>> from neurofit.models import CELLS, register_cell
    >>> from neurofit.models.cells import TimeDecay
    >>> @register_cell("slow_decay")
    ... class SlowDecay(TimeDecay):
    ...     def __init__(self, shapes):
    ...         super().__init__(shapes, initial_decay=0.9)
    >>> CELLS["slow_decay"] is SlowDecay
    True
    """
    return CELLS.register(name)
