"""The simple recurrent cell: h' = ELU(N(W_i * x + b_i + W_s * h + b_s))."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from neurofit.models.cells.cell import Cell, CellShapes, State, register_cell
from neurofit.models.convolution import Convolution
from neurofit.models.initialisers import Constant, GlorotUniform, Initialiser
from neurofit.models.normalisation import layer_norm


@register_cell("simplernn")
class SimpleRNN(Cell):
    """h' = ELU(N(W_i * x + b_i + W_s * h + b_s)), output = h'; `*` is a 3 x 3 convolution.

    Parameters
    ----------
    shapes
        See `CellShapes`; `channels` are the hidden ones.
    norm
        Whether N is the layer norm (shallow models) or the identity.

    Notes
    -----
    Source: zoo_facts 8.2, `ConvNormBasicCell` of the reference.
    """

    def __init__(self, shapes: CellShapes, *, norm: bool = True) -> None:
        super().__init__(shapes)
        self.input = Convolution(shapes.x[0], shapes.channels, kernel=3)
        self.state = Convolution(shapes.channels, shapes.channels, kernel=3)
        self.norm = layer_norm(shapes.channels) if norm else nn.Identity()

    def forward(self, x: Tensor, u: Tensor, fb: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Return h' as output and state."""
        (h,) = state
        h = F.elu(self.norm(self.input(x) + self.state(h)))
        return h, (h,)

    def initial_state(self, x: Tensor) -> State:
        """Return h = 0."""
        return (self.zeros(x),)

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return Glorot uniform kernels, zero biases and a norm that starts as one."""
        kernels: dict[str, Initialiser] = {f"{part}.weight": GlorotUniform() for part in ("input", "state")}
        biases = {f"{part}.bias": Constant(0.0) for part in ("input", "state")}
        norm = {"norm.weight": Constant(1.0), "norm.bias": Constant(0.0)} if isinstance(self.norm, nn.GroupNorm) else {}
        return kernels | biases | norm
