"""The convolutional intersection RNN, whose gated output differs from its gated state."""

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
from neurofit.models.convolution import Convolution
from neurofit.models.initialisers import Constant, GlorotUniform, Initialiser


@register_cell("intersectionrnn")
class IntersectionRNN(Cell):
    """Convolutional intersection RNN with one gate for the state h and one for the output.

    [gh; h^; gy; y^] = W * [x; h] + b
    h' = sigmoid(gh + 1) h + (1 - sigmoid(gh + 1)) tanh(h^)
    output = sigmoid(gy + 1) x + (1 - sigmoid(gy + 1)) ReLU(y^)

    `*` is a 3 x 3 convolution. Without bypassing, the output has no term in x. Without gating,
    gh = gy = 0.

    Parameters
    ----------
    shapes
        See `CellShapes`. Output and `x` have the same number of channels.
    bypassing, gating
        Switches of the 2018 ablations. The published models have both.

    Raises
    ------
    NeurofitError
        If output and `x` differ in their number of channels, or there is feedback.

    Notes
    -----
    Source: docs/zoo.md, section 5.6; `ConvIntersectionRNNCell` of the reference; Collins,
    Sohl-Dickstein and Sussillo 2017. `input` and `state` are the parts of W that read x and h.

    Examples
    --------
    >>> import torch
    >>> from neurofit.models.cells import CellShapes, IntersectionRNN
    >>> cell = IntersectionRNN(CellShapes(x=(4, 6, 6), u=(3, 6, 6), channels=4))

    While the kernels are zero, both gates keep a share of sigmoid(1), of h and of x:

    >>> x, h = torch.rand(2, 4, 6, 6), torch.rand(2, 4, 6, 6)
    >>> output, (h_new,) = cell(x, x[:, :3], None, (h,))
    >>> share = torch.tensor(1.0).sigmoid()
    >>> torch.allclose(h_new, share * h), torch.allclose(output, share * x)
    (True, True)
    """

    def __init__(self, shapes: CellShapes, *, bypassing: bool = True, gating: bool = True) -> None:
        super().__init__(shapes)
        self.require_equal_channels()
        parts = 4 if gating else 2
        self.bypassing = bypassing
        self.gating = gating
        self.input = Convolution(shapes.x[0], parts * shapes.channels, kernel=3)
        self.state = Convolution(shapes.channels, parts * shapes.channels, kernel=3, bias=False)

    def drive(self, x: Tensor, u: Tensor) -> Drive:
        """Return the parts of gates and candidates that depend on x, and x."""
        return self.input(x), x

    def step(self, drive: Drive, fb: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Return the output y and the state h'."""
        (driven, x), (h,) = drive, state
        parts = (driven + self.state(h)).chunk(4 if self.gating else 2, dim=1)
        to_gh, to_h, to_gy, to_y = parts if self.gating else (None, parts[0], None, parts[1])
        gh, gy = gate(to_gh, bias=1.0), gate(to_gy, bias=1.0)
        h = gh * h + (1 - gh) * torch.tanh(to_h)
        y = (1 - gy) * torch.relu(to_y)
        return gy * x + y if self.bypassing else y, (h,)

    def initial_state(self, x: Tensor) -> State:
        """Return h = 0."""
        return (self.zeros(x),)

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return Glorot uniform kernels and zero biases."""
        kernel = GlorotUniform(in_channels=self.shapes.x[0] + self.shapes.channels)
        return {"input.weight": kernel, "input.bias": Constant(0.0), "state.weight": kernel}

    def weight_decays(self) -> Mapping[str, float]:
        """Return the weight decay of kernels and biases."""
        return {name: WEIGHT_DECAY for name, _ in self.named_parameters()}
