"""A layer without recurrence: output = x."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from neurofit.models.cells.cell import Cell, CellShapes, Drive, State, register_cell
from neurofit.models.initialisers import Initialiser


@register_cell("memoryless")
class Memoryless(Cell):
    """No recurrence: output = x.

    Parameters
    ----------
    shapes
        See `CellShapes`. Output and `x` have the same number of channels.

    Raises
    ------
    NeurofitError
        If these numbers differ, or there is feedback.

    Notes
    -----
    Source: docs/zoo.md, section 5.1; a leaky integrator with a fixed decay of 0 in the reference.

    Examples
    --------
    >>> import torch
    >>> from neurofit.models.cells import CellShapes, Memoryless
    >>> cell = Memoryless(CellShapes(x=(4, 6, 6), u=(3, 6, 6), channels=4))
    >>> x = torch.rand(2, 4, 6, 6)
    >>> output, state = cell(x, x[:, :3], None, cell.initial_state(x))
    >>> torch.equal(output, x), state
    (True, ())
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
