"""The leaky integrator: s' = d s + x."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from neurofit.models.cells.cell import WEIGHT_DECAY, Cell, CellShapes, Drive, State, register_cell
from neurofit.models.cells.switches import StateGates
from neurofit.models.initialisers import Constant, Initialiser, prefixed


@register_cell("timedecay")
class TimeDecay(Cell):
    """Leaky integrator with one trained decay d per layer, state s' and output s'.

    s' = d s + x

    Bypassing cannot be switched off, since the input reaches the output directly. With gating,
    s' = p d s + q x; see `neurofit.models.cells.switches.StateGates`.

    Parameters
    ----------
    shapes
        See `CellShapes`. Output and `x` have the same number of channels.
    initial_decay
        Initial value of d. The reference starts at 0, so that an untrained layer has no memory.
    gating
        Whether the state gates both terms.

    Raises
    ------
    NeurofitError
        If output and `x` differ in their number of channels, or there is feedback.

    Notes
    -----
    Source: docs/zoo.md, section 5.1. d is not constrained to values below 1.

    Examples
    --------
    >>> import torch
    >>> from neurofit.models.cells import CellShapes, TimeDecay
    >>> cell = TimeDecay(CellShapes(x=(1, 1, 1), u=(1, 1, 1), channels=1))
    >>> _ = torch.nn.init.constant_(cell.decay, 0.5)
    >>> x = torch.ones(1, 1, 1, 1)
    >>> state = cell.initial_state(x)
    >>> for _ in range(3):
    ...     output, state = cell(x, x, None, state)
    ...     print(output.item())
    1.0
    1.5
    1.75
    """

    def __init__(
        self, shapes: CellShapes, *, initial_decay: float = 0.0, gating: bool = False
    ) -> None:
        super().__init__(shapes)
        self.require_equal_channels()
        self.initial_decay = initial_decay
        self.decay = nn.Parameter(torch.zeros(1))
        self.state_gates = StateGates(shapes.channels) if gating else None

    def step(self, drive: Drive, fb: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Return s' as output and state."""
        (x,), (s,) = drive, state
        retained = self.decay * s
        if self.state_gates is not None:
            retain, admit = self.state_gates(s)
            retained, x = retain * retained, admit * x
        s = retained + x
        return s, (s,)

    def initial_state(self, x: Tensor) -> State:
        """Return s = 0."""
        return (self.zeros(x),)

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return the initial decay and Glorot uniform gates."""
        gates = (
            {}
            if self.state_gates is None
            else prefixed("state_gates", self.state_gates.initialisers())
        )
        return {"decay": Constant(self.initial_decay), **gates}

    def weight_decays(self) -> Mapping[str, float]:
        """Return the weight decay of the kernels of the gates."""
        return {name: WEIGHT_DECAY for name, _ in self.named_parameters() if name != "decay"}
