"""The plain layer: output = x."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from neurofit.models.cells.cell import Cell, CellShapes, Drive, State, register_cell
from neurofit.models.initialisers import Initialiser


@register_cell("memoryless")
class Memoryless(Cell):
    """No recurrence: the output is the input.

    Notes
    -----
    Source: docs/zoo.md, section 5.1. The reference has a leaky integrator with a fixed decay of 0
    in such layers, which is the same.
    """

    def __init__(self, shapes: CellShapes) -> None:
        super().__init__(shapes)
        self.need_channels_of_x()

    def step(self, drive: Drive, fb: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Return `x` as it is."""
        (x,) = drive
        return x, state

    def initial_state(self, x: Tensor) -> State:
        """Return the empty state."""
        return ()

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return nothing: there are no parameters."""
        return {}
