"""The convolutional GRU: h' = z h + (1 - z) tanh(W_c * [x; r h] + b_c)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from neurofit.models.cells.cell import WEIGHT_DECAY, Cell, CellShapes, Drive, State, gate, register_cell
from neurofit.models.cells.switches import Bypass
from neurofit.models.convolution import Convolution
from neurofit.models.initialisers import Constant, GlorotUniform, Initialiser, Stacked, prefixed


@register_cell("gru")
class GRU(Cell):
    """Gates r (reset) and z (update, which here keeps the old state), state h', output = h'; `*` is a 3 x 3 convolution.

    [r; z] = sigmoid(W_g * [x; h] + b_g + [1; 0])
    h' = z h + (1 - z) tanh(W_c * [x; r h] + b_c)

    The 1 is fixed, on top of b_g, which starts at 1 itself. With bypassing output = h' + S(x). Without gating r and z are what
    they are without drive, sigmoid(1) and one half.

    Parameters
    ----------
    shapes
        See `CellShapes`; `channels` are the hidden ones.
    bypassing, gating
        The switches of the 2018 ablations; gating alone is on in the published models.

    Notes
    -----
    Source: docs/zoo.md, section 5.3; `ConvGRUCell` of the reference. The kernels' parts that read
    x stand together in `input` (reset, update, candidate); `gates` (reset, update) and `candidate`
    read h.
    """

    def __init__(self, shapes: CellShapes, *, bypassing: bool = False, gating: bool = True) -> None:
        super().__init__(shapes)
        channels = shapes.channels
        self.gating = gating
        self.input = Convolution(shapes.x[0], (3 if gating else 1) * channels, kernel=3)
        self.gates = Convolution(channels, 2 * channels, kernel=3, bias=False) if gating else None
        self.candidate = Convolution(channels, channels, kernel=3, bias=False)
        self.bypass = Bypass(shapes.x[0], channels, on=bypassing)

    def drive(self, x: Tensor, u: Tensor) -> Drive:
        """Return what x gives the gates, what it gives the candidate, and what bypasses."""
        driven = self.input(x)
        return *driven.tensor_split((driven.shape[1] - self.shapes.channels,), dim=1), *self.bypass.drive(x)

    def step(self, drive: Drive, fb: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Return h' (and what bypasses) as output, h' as state."""
        (to_gates, to_candidate, *carried), (h,) = drive, state
        reset, update = (None, None) if self.gates is None else (to_gates + self.gates(h)).chunk(2, dim=1)
        r, z = gate(reset, bias=1.0), gate(update)
        h = z * h + (1 - z) * torch.tanh(to_candidate + self.candidate(r * h))
        return self.bypass.add(h, carried), (h,)

    def initial_state(self, x: Tensor) -> State:
        """Return h = 0."""
        return (self.zeros(x),)

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return Glorot uniform kernels, gate biases of 1 and candidate biases of 0."""
        channels = self.shapes.channels
        kernel = GlorotUniform(in_channels=self.shapes.x[0] + channels)
        gates = ((2 * channels, kernel),) if self.gating else ()
        ones = ((2 * channels, Constant(1.0)),) if self.gating else ()
        return {
            "input.weight": Stacked((*gates, (channels, kernel))),
            "input.bias": Stacked((*ones, (channels, Constant(0.0)))),
            **({"gates.weight": kernel} if self.gating else {}),
            "candidate.weight": kernel,
            **prefixed("bypass", self.bypass.initialisers()),
        }

    def weight_decays(self) -> Mapping[str, float]:
        """Return that of kernels and biases, of all but a bypass."""
        return {name: WEIGHT_DECAY for name, _ in self.named_parameters() if not name.startswith("bypass")}
