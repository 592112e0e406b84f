"""The reciprocal gated cell, in which the cell gates the output and the output gates the cell."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from neurofit.errors import NeurofitError
from neurofit.models.cells.cell import Cell, CellShapes, State, register_cell
from neurofit.models.convolution import Convolution
from neurofit.models.initialisers import GlorotUniform, Initialiser


@register_cell("rgc")
class RGC(Cell):
    """RGC-S, the dense form of rgc_shallow, state (c, o), output = o'.

    c' = ELU((1 - sigmoid(W_ctau * c)) c + (1 - sigmoid(W_cg * o)) (W_ic * x))
    o' = ELU((1 - sigmoid(W_otau * o)) o + (1 - sigmoid(W_og * c + W_rg * u)) x)

    Both lines use the old c and o; all kernels are 3 x 3 without bias. `u` is the layer's raw input.

    Parameters
    ----------
    shapes
        See `CellShapes`; the channels of c, o and `x` are equal, and `u` has the height and width of `x`.

    Notes
    -----
    Source: zoo_facts 8.7, `ReciprocalGateCell` of the reference. The reference cuts its kernels to the map where that is
    smaller than 3 x 3; here they are not cut, so that the weights do not depend on the input size.
    """

    def __init__(self, shapes: CellShapes) -> None:
        super().__init__(shapes)
        self.need_channels_of_x()
        if shapes.u[1:] != shapes.x[1:]:
            raise NeurofitError(f"RGC needs a layer convolution that keeps the map's size; it goes from {shapes.u[1:]} to {shapes.x[1:]}.")
        channels = shapes.channels
        self.input_to_cell = Convolution(channels, channels, kernel=3, bias=False)  # W_ic
        self.cell_tau = Convolution(channels, channels, kernel=3, bias=False)  # W_ctau
        self.cell_gate = Convolution(channels, channels, kernel=3, bias=False)  # W_cg
        self.out_tau = Convolution(channels, channels, kernel=3, bias=False)  # W_otau
        self.out_gate = Convolution(channels, channels, kernel=3, bias=False)  # W_og
        self.raw_to_out_gate = Convolution(shapes.u[0], channels, kernel=3, bias=False)  # W_rg

    def forward(self, x: Tensor, u: Tensor, fb: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Return o' and (c', o')."""
        c, o = state
        kept_cell = _closing(self.cell_tau(c)) * c
        kept_out = _closing(self.out_tau(o)) * o
        c_new = F.elu(kept_cell + _closing(self.cell_gate(o)) * self.input_to_cell(x))
        o_new = F.elu(kept_out + _closing(self.out_gate(c) + self.raw_to_out_gate(u)) * x)
        return o_new, (c_new, o_new)

    def initial_state(self, x: Tensor) -> State:
        """Return c = o = 0."""
        return self.zeros(x), self.zeros(x)

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return Glorot uniform kernels."""
        return {name: GlorotUniform() for name, _ in self.named_parameters()}


def _closing(drive: Tensor) -> Tensor:
    """Return 1 - sigmoid(drive): the more drive, the more the gate closes."""
    return torch.sigmoid(-drive)
