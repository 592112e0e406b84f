"""A layer without recurrence: output = x."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from neurofit.models.cells.cell import Cell, CellShapes, Drive, State, register_cell
from neurofit.models.initialisers import Initialiser


@register_cell("memoryless")
class Memoryless(Cell):
    """No recurrence: output = x.

    Notes
    -----
    Source: docs/zoo.md, section 5.1; a leaky integrator with a fixed decay of 0 in the reference.
    """

    def __init__(self, shapes: CellShapes) -> None:
        super().__init__(shapes)
        self.require_equal_channels()

    def step(self, drive: Drive, fb: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Return `x`."""
        (x,) = drive
        return x, state

    def initial_state(self, x: Tensor) -> State:
        """Return the empty state."""
        return ()

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return an empty mapping, since there are no parameters."""
        return {}
