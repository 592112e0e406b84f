"""The convolutional LSTM: c' = LN(c sigmoid(f + phi + w_f c) + sigmoid(i + w_i c) tanh(j)), h' = tanh(c') sigmoid(o + w_o c)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from neurofit.models.cells.cell import Cell, CellShapes, State, register_cell
from neurofit.models.convolution import Convolution
from neurofit.models.initialisers import Constant, GlorotUniform, Initialiser
from neurofit.models.normalisation import layer_norm

_GATES = ("input", "transform", "forget", "output")  # i, j, f, o: the order of the channels of the one convolution
_PEEPHOLES = ("forget", "input", "output")


@register_cell("lstm")
class LSTM(Cell):
    """[i; j; f; o] = LN(W * [x; h] + b), state (c', h'), output = h'.

    c' = LN_state(c sigmoid(f + phi + w_f c) + sigmoid(i + w_i c) tanh(j))
    h' = tanh(c') sigmoid(o + w_o c)

    The output peephole, too, sees the old c. The stored c' is the normalised one.

    Parameters
    ----------
    shapes
        See `CellShapes`; `channels` are the hidden ones. Peepholes tie the cell to the height and width of `x`.
    kernel
        Height and width of the kernel, in pixels.
    forget_bias
        phi, a constant.
    norm
        Whether the four gates and the new c go through a layer norm each; otherwise LN is the identity.
    peepholes
        Whether w_f, w_i, w_o (channel height width) exist; otherwise they are 0.
    weight
        How the kernel starts, and the peepholes with it.
    gate_bias
        Where b starts, in all four gates.

    Notes
    -----
    Source: zoo_facts 8.4, `ConvLSTMCell` of the reference.
    """

    def __init__(
        self,
        shapes: CellShapes,
        *,
        kernel: int = 3,
        forget_bias: float = 1.0,
        norm: bool = False,
        peepholes: bool = False,
        weight: Initialiser | None = None,
        gate_bias: float = 0.0,
    ) -> None:
        super().__init__(shapes)
        self.forget_bias = forget_bias
        self.weight = weight or GlorotUniform()
        self.gate_bias = gate_bias
        self.gates = Convolution(shapes.x[0] + shapes.channels, 4 * shapes.channels, kernel=kernel)
        self.norms = nn.ModuleDict({part: layer_norm(shapes.channels) for part in (*_GATES, "state")} if norm else {})
        maps = (shapes.channels, *shapes.x[1:])
        self.peepholes = nn.ParameterDict({part: nn.Parameter(torch.zeros(maps)) for part in _PEEPHOLES} if peepholes else {})

    def forward(self, x: Tensor, u: Tensor, fb: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Return h' and (c', h')."""
        c, h = state
        parts = self.gates(torch.cat([x, h], dim=1)).chunk(4, dim=1)
        i, j, f, o = (self._norm(gate, part) for gate, part in zip(_GATES, parts, strict=True))
        kept = c * torch.sigmoid(self._peep("forget", f + self.forget_bias, c))
        c_new = self._norm("state", kept + torch.sigmoid(self._peep("input", i, c)) * torch.tanh(j))
        h_new = torch.tanh(c_new) * torch.sigmoid(self._peep("output", o, c))
        return h_new, (c_new, h_new)

    def initial_state(self, x: Tensor) -> State:
        """Return c = h = 0."""
        return self.zeros(x), self.zeros(x)

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return the kernel's and peepholes', the gate bias's, and norms that start as one."""
        norms = {f"norms.{part}.weight": Constant(1.0) for part in self.norms} | {
            f"norms.{part}.bias": Constant(0.0) for part in self.norms
        }
        peepholes = {f"peepholes.{part}": self.weight for part in self.peepholes}
        return {"gates.weight": self.weight, "gates.bias": Constant(self.gate_bias), **norms, **peepholes}

    def _norm(self, part: str, values: Tensor) -> Tensor:
        return self.norms[part](values) if part in self.norms else values

    def _peep(self, part: str, gate: Tensor, c: Tensor) -> Tensor:
        return gate + self.peepholes[part] * c if part in self.peepholes else gate
