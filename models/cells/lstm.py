"""The convolutional LSTM, with optional layer norm and peepholes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from neurofit.errors import NeurofitError
from neurofit.models.cells.cell import (
    WEIGHT_DECAY,
    Cell,
    CellShapes,
    Drive,
    State,
    gate,
    register_cell,
)
from neurofit.models.cells.switches import Bypass
from neurofit.models.convolution import Convolution
from neurofit.models.initialisers import (
    Constant,
    GlorotUniform,
    Initialiser,
    KernelInitialiser,
    prefixed,
)
from neurofit.models.normalisation import layer_norm

_PARTS = ("input", "transform", "forget", "output")  # i, j, f, o, in the order of channels
_PEEPHOLES = ("forget", "input", "output")


@register_cell("lstm")
class LSTM(Cell):
    """Convolutional LSTM with state (c', h') and output h'.

    [i; j; f; o] = LN(W * [x; h] + b)
    c' = LN_state(c sigmoid(f + phi + w_f c) + sigmoid(i + w_i c) tanh(j))
    h' = tanh(c') sigmoid(o + w_o c)

    All peepholes read the old c. The stored c' is the normalised one. With bypassing,
    output = h' + S(x). Without gating, i = f = o = 0.

    Parameters
    ----------
    shapes
        See `CellShapes`; `channels` is the number of hidden channels. Peepholes have the height and
        width of `x`.
    kernel
        Height and width of the kernel, in pixels.
    forget_bias
        Constant phi.
    norm
        Whether i, j, f, o and c' each have a layer norm; otherwise LN is the identity.
    peepholes
        Whether there are w_f, w_i and w_o (channel height width); otherwise they are 0.
    weight
        Initialiser of the kernel and of the peepholes; Glorot uniform by default.
    gate_bias
        Initial value of b, in all four parts.
    weight_decay
        Weight decay of W and b.
    bypassing, gating
        Switches of the 2018 ablations. The published models have gating only.

    Raises
    ------
    NeurofitError
        If there are peepholes without gating, or there is feedback.

    Notes
    -----
    Source: docs/zoo.md, section 5.4; `ConvLSTMCell` of the reference. `input` and `state` are the
    parts of W that read x and h.

    Examples
    --------
    >>> import torch
    >>> from neurofit.models.cells import LSTM, CellShapes
    >>> cell = LSTM(CellShapes(x=(3, 6, 6), u=(3, 6, 6), channels=4), peepholes=True)
    >>> x = torch.rand(2, 3, 6, 6)

    While the kernels are zero, a share of sigmoid(phi) of c remains, and the output gate is 1 / 2:

    >>> c, h = torch.rand(2, 4, 6, 6), torch.rand(2, 4, 6, 6)
    >>> output, (c_new, h_new) = cell(x, x, None, (c, h))
    >>> torch.allclose(c_new, torch.tensor(1.0).sigmoid() * c)
    True
    >>> torch.allclose(output, c_new.tanh() / 2), torch.equal(output, h_new)
    (True, True)
    """

    def __init__(
        self,
        shapes: CellShapes,
        *,
        kernel: int = 3,
        forget_bias: float = 1.0,
        norm: bool = False,
        peepholes: bool = False,
        weight: KernelInitialiser | None = None,
        gate_bias: float = 0.0,
        weight_decay: float = WEIGHT_DECAY,
        bypassing: bool = False,
        gating: bool = True,
    ) -> None:
        super().__init__(shapes)
        if peepholes and not gating:
            raise NeurofitError(
                "Peepholes belong to the gates of an LSTM: peepholes=True needs gating=True."
            )
        self.forget_bias = forget_bias
        self.weight = weight or GlorotUniform()
        self.gate_bias = gate_bias
        self.weight_decay = weight_decay
        self.parts = _PARTS if gating else ("transform",)
        self.input = Convolution(shapes.x[0], len(self.parts) * shapes.channels, kernel=kernel)
        self.state = Convolution(
            shapes.channels, len(self.parts) * shapes.channels, kernel=kernel, bias=False
        )
        self.norms = nn.ModuleDict(
            {part: layer_norm(shapes.channels) for part in (*self.parts, "state")} if norm else {}
        )
        maps = (shapes.channels, *shapes.x[1:])
        self.peepholes = nn.ParameterDict(
            {part: nn.Parameter(torch.zeros(maps)) for part in _PEEPHOLES} if peepholes else {}
        )
        self.bypass = Bypass(shapes.x[0], shapes.channels, on=bypassing)

    def drive(self, x: Tensor, u: Tensor) -> Drive:
        """Return the parts of i, j, f and o that depend on x, and the bypass."""
        return self.input(x), *self.bypass.drive(x)

    def step(self, drive: Drive, fb: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Return the output h', plus the bypass, and the state (c', h')."""
        (driven, *carried), (c, h) = drive, state
        sums = (driven + self.state(h)).chunk(len(self.parts), dim=1)
        part = {
            name: self._norm(name, values) for name, values in zip(self.parts, sums, strict=True)
        }
        retained = c * gate(self._drive_gate("forget", part, c), bias=self.forget_bias)
        admitted = gate(self._drive_gate("input", part, c)) * torch.tanh(part["transform"])
        c_new = self._norm("state", retained + admitted)
        h_new = torch.tanh(c_new) * gate(self._drive_gate("output", part, c))
        return self.bypass.add(h_new, carried), (c_new, h_new)

    def initial_state(self, x: Tensor) -> State:
        """Return c = h = 0."""
        return self.zeros(x), self.zeros(x)

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return initialisers; a layer norm starts with gamma = 1 and beta = 0."""
        kernel = replace(self.weight, in_channels=self.shapes.x[0] + self.shapes.channels)
        norms = {f"norms.{part}.weight": Constant(1.0) for part in self.norms} | {
            f"norms.{part}.bias": Constant(0.0) for part in self.norms
        }
        peepholes = {f"peepholes.{part}": self.weight for part in self.peepholes}
        own: dict[str, Initialiser] = {
            "input.weight": kernel,
            "input.bias": Constant(self.gate_bias),
            "state.weight": kernel,
        }
        return own | norms | peepholes | prefixed("bypass", self.bypass.initialisers())

    def weight_decays(self) -> Mapping[str, float]:
        """Return the weight decay of W and b; norms, peepholes and a bypass have none."""
        return dict.fromkeys(("input.weight", "input.bias", "state.weight"), self.weight_decay)

    def _norm(self, part: str, values: Tensor) -> Tensor:
        return self.norms[part](values) if part in self.norms else values

    def _drive_gate(self, name: str, part: Mapping[str, Tensor], c: Tensor) -> Tensor | None:
        """Return the input of a gate, with its peephole if there is one; None without gating."""
        if name not in part:
            return None
        return part[name] + self.peepholes[name] * c if name in self.peepholes else part[name]
