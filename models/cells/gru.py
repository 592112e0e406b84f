"""The convolutional GRU: h' = z h + (1 - z) tanh(W_c * [x; r h] + b_c)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

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
from neurofit.models.initialisers import Constant, GlorotUniform, Initialiser, Stacked, prefixed


@register_cell("gru")
class GRU(Cell):
    """Convolutional GRU with reset gate r and update gate z, state h' and output h'.

    [r; z] = sigmoid(W_g * [x; h] + b_g + [1; 0])
    h' = z h + (1 - z) tanh(W_c * [x; r h] + b_c)

    `*` is a 3 x 3 convolution. z retains the old state. The 1 is a constant, and b_g starts at 1 in
    addition. With bypassing, output = h' + S(x). Without gating, r = sigmoid(1) and z = 1 / 2.

    Parameters
    ----------
    shapes
        See `CellShapes`; `channels` is the number of hidden channels.
    bypassing, gating
        Switches of the 2018 ablations. The published models have gating only.

    Raises
    ------
    NeurofitError
        If there is feedback, which the cell does not support.

    Notes
    -----
    Source: docs/zoo.md, section 5.3; `ConvGRUCell` of the reference. `input` joins the parts of the
    kernels that read x (reset, update, candidate); `gates` (reset, update) and `candidate` read h.

    Examples
    --------
    >>> import torch
    >>> from neurofit.models.cells import GRU, CellShapes
    >>> cell = GRU(CellShapes(x=(3, 6, 6), u=(3, 6, 6), channels=4))
    >>> x = torch.rand(2, 3, 6, 6)

    While the kernels are zero, z is 1 / 2 and the candidate 0, so that half of the state remains:

    >>> h = torch.rand(2, 4, 6, 6)
    >>> output, (h_new,) = cell(x, x, None, (h,))
    >>> torch.allclose(h_new, h / 2), torch.equal(output, h_new)
    (True, True)
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
        """Return the parts of gates and candidate that depend on x, and the bypass."""
        driven = self.input(x)
        return *driven.tensor_split(
            (driven.shape[1] - self.shapes.channels,), dim=1
        ), *self.bypass.drive(x)

    def step(self, drive: Drive, fb: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Return the output h', plus the bypass, and the state h'."""
        (to_gates, to_candidate, *carried), (h,) = drive, state
        reset, update = (
            (None, None) if self.gates is None else (to_gates + self.gates(h)).chunk(2, dim=1)
        )
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
        """Return the weight decay of kernels and biases; a bypass has none."""
        return {
            name: WEIGHT_DECAY
            for name, _ in self.named_parameters()
            if not name.startswith("bypass")
        }
