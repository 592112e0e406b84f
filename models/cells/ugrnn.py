"""The convolutional UGRNN (update gate RNN): h' = g h + (1 - g) tanh(c)."""

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
from neurofit.models.initialisers import Constant, GlorotUniform, Initialiser, prefixed


@register_cell("ugrnn")
class UGRNN(Cell):
    """Convolutional UGRNN with one gate, state h' and output h'.

    [g; c] = W * [x; h] + b
    h' = sigmoid(g + 1) h + (1 - sigmoid(g + 1)) tanh(c)

    `*` is a 3 x 3 convolution. With bypassing, output = h' + S(x). Without gating, g = 0.

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
    Source: docs/zoo.md, section 5.5; `ConvUGRNNCell` of the reference; Collins, Sohl-Dickstein and
    Sussillo 2017. `input` and `state` are the parts of W that read x and h.

    Examples
    --------
    >>> import torch
    >>> from neurofit.models.cells import UGRNN, CellShapes
    >>> cell = UGRNN(CellShapes(x=(3, 6, 6), u=(3, 6, 6), channels=4))
    >>> x = torch.rand(2, 3, 6, 6)

    While the kernels are zero, a share of sigmoid(1) of the state remains:

    >>> h = torch.rand(2, 4, 6, 6)
    >>> output, (h_new,) = cell(x, x, None, (h,))
    >>> torch.allclose(h_new, torch.tensor(1.0).sigmoid() * h), torch.equal(output, h_new)
    (True, True)
    """

    def __init__(self, shapes: CellShapes, *, bypassing: bool = False, gating: bool = True) -> None:
        super().__init__(shapes)
        parts = 2 if gating else 1
        self.gating = gating
        self.input = Convolution(shapes.x[0], parts * shapes.channels, kernel=3)
        self.state = Convolution(shapes.channels, parts * shapes.channels, kernel=3, bias=False)
        self.bypass = Bypass(shapes.x[0], shapes.channels, on=bypassing)

    def drive(self, x: Tensor, u: Tensor) -> Drive:
        """Return the parts of gate and candidate that depend on x, and the bypass."""
        return self.input(x), *self.bypass.drive(x)

    def step(self, drive: Drive, fb: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Return the output h', plus the bypass, and the state h'."""
        (driven, *carried), (h,) = drive, state
        total = driven + self.state(h)
        to_gate, candidate = total.chunk(2, dim=1) if self.gating else (None, total)
        g = gate(to_gate, bias=1.0)
        h = g * h + (1 - g) * torch.tanh(candidate)
        return self.bypass.add(h, carried), (h,)

    def initial_state(self, x: Tensor) -> State:
        """Return h = 0."""
        return (self.zeros(x),)

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return Glorot uniform kernels and zero biases."""
        kernel = GlorotUniform(in_channels=self.shapes.x[0] + self.shapes.channels)
        bypass = prefixed("bypass", self.bypass.initialisers())
        return {
            "input.weight": kernel,
            "input.bias": Constant(0.0),
            "state.weight": kernel,
            **bypass,
        }

    def weight_decays(self) -> Mapping[str, float]:
        """Return the weight decay of kernels and biases; a bypass has none."""
        return {
            name: WEIGHT_DECAY
            for name, _ in self.named_parameters()
            if not name.startswith("bypass")
        }
