"""The leaky integrator: s(t) = d s(t-1) + x(t)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from neurofit.models.cells.cell import WEIGHT_DECAY, Cell, CellShapes, Drive, State, register_cell
from neurofit.models.cells.switches import StateGates
from neurofit.models.initialisers import Constant, Initialiser, prefixed


@register_cell("timedecay")
class TimeDecay(Cell):
    """A leaky integrator with one trained decay d for the whole layer, output = s(t).

    Its input reaches the output by itself: it cannot be without bypassing.

    Parameters
    ----------
    shapes
        See `CellShapes`; the output has the channels of `x`.
    initial_decay
        Where d starts, per step. The reference starts at 0, where an untrained layer has no memory.
    gating
        Whether the state gates both terms: s' = p d s + q x, see `neurofit.models.cells.switches.StateGates`.

    Notes
    -----
    Source: docs/zoo.md, section 5.1. The decay is not squashed: nothing but training holds it
    below 1.
    """

    def __init__(self, shapes: CellShapes, *, initial_decay: float = 0.0, gating: bool = False) -> None:
        super().__init__(shapes)
        self.need_channels_of_x()
        self.initial_decay = initial_decay
        self.decay = nn.Parameter(torch.zeros(1))
        self.state_gates = StateGates(shapes.channels) if gating else None

    def step(self, drive: Drive, fb: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Return s(t) as output and state."""
        (x,), (s,) = drive, state
        kept = self.decay * s
        if self.state_gates is not None:
            keep, admit = self.state_gates(s)
            kept, x = keep * kept, admit * x
        s = kept + x
        return s, (s,)

    def initial_state(self, x: Tensor) -> State:
        """Return s = 0."""
        return (self.zeros(x),)

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return the decay's, and the gates'."""
        gates = {} if self.state_gates is None else prefixed("state_gates", self.state_gates.initialisers())
        return {"decay": Constant(self.initial_decay), **gates}

    def weight_decays(self) -> Mapping[str, float]:
        """Return that of the gates' kernels."""
        return {name: WEIGHT_DECAY for name, _ in self.named_parameters() if name != "decay"}
