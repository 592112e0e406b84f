"""The reciprocal gated cell, in which the cell gates the output and the output gates the cell."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from neurofit.errors import NeurofitError
from neurofit.models.cells.cell import WEIGHT_DECAY, Cell, CellShapes, Drive, State, closing_gate, register_cell
from neurofit.models.convolution import Convolution
from neurofit.models.initialisers import GlorotUniform, Initialiser, Stacked


@register_cell("rgc")
class RGC(Cell):
    """RGC-S, the dense form of rgc_shallow, state (c, o), output = o'.

    c' = ELU((1 - sigmoid(W_ctau * c)) c + (1 - sigmoid(W_cg * o)) (W_ic * x))
    o' = ELU((1 - sigmoid(W_otau * o)) o + (1 - sigmoid(W_og * c + W_rg * u)) (x + W_fb * fb))

    Both lines use the old c and o; all kernels are 3 x 3 without bias but W_fb, which is 1 x 1. `u` is the layer's raw input.
    Without bypassing W_io * x takes the place of x in the second line. Without gating all four gates are one half.

    Parameters
    ----------
    shapes
        See `CellShapes`; the channels of c, o and `x` are equal, and `u` has the height and width of `x`. With `fb` there is a
        feedback term, which enters where that of `RGCMedian` does; rgc_shallow has none.
    bypassing, gating
        The switches of the 2018 ablations; both are on in the published model.

    Notes
    -----
    Source: docs/zoo.md, section 5.7; `ReciprocalGateCell` of the reference. Kernels with the same
    input stand together: `cell_to_gates` is (W_ctau, W_og), `out_to_gates` is (W_otau, W_cg). The
    reference cuts its kernels to maps that are smaller than 3 x 3; neurofit does not, so that the
    weights do not depend on the input size.
    """

    takes_feedback = True

    def __init__(self, shapes: CellShapes, *, bypassing: bool = True, gating: bool = True) -> None:
        super().__init__(shapes)
        self.need_channels_of_x()
        if shapes.u[1:] != shapes.x[1:]:
            raise NeurofitError(f"RGC needs a layer convolution that keeps the map's size; it goes from {shapes.u[1:]} to {shapes.x[1:]}.")
        channels = shapes.channels
        self.input_to_cell = Convolution(channels, channels, kernel=3, bias=False)  # W_ic
        self.input_to_out = None if bypassing else Convolution(channels, channels, kernel=3, bias=False)  # W_io
        self.feedback = None if shapes.fb is None else Convolution(shapes.fb[0], channels, kernel=1, bias=False)  # W_fb
        self.cell_to_gates = self.out_to_gates = self.raw_to_out_gate = None
        if gating:
            self.cell_to_gates = Convolution(channels, 2 * channels, kernel=3, bias=False)  # W_ctau, W_og
            self.out_to_gates = Convolution(channels, 2 * channels, kernel=3, bias=False)  # W_otau, W_cg
            self.raw_to_out_gate = Convolution(shapes.u[0], channels, kernel=3, bias=False)  # W_rg

    def drive(self, x: Tensor, u: Tensor) -> Drive:
        """Return what the input gives the cell, what it gives the output, and what the raw input gives the output's gate."""
        to_out = x if self.input_to_out is None else self.input_to_out(x)
        return self.input_to_cell(x), to_out, *(() if self.raw_to_out_gate is None else (self.raw_to_out_gate(u),))

    def step(self, drive: Drive, fb: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Return o' and (c', o')."""
        (to_cell, to_out, *to_gate), (c, o) = drive, state
        if self.feedback is not None and fb is not None:
            to_out = to_out + self.feedback(fb)
        cell_tau: Tensor | None = None
        cell_gate: Tensor | None = None
        out_tau: Tensor | None = None
        out_gate: Tensor | None = None
        if self.cell_to_gates is not None and self.out_to_gates is not None:
            cell_tau, out_gate = self.cell_to_gates(c).chunk(2, dim=1)
            out_tau, cell_gate = self.out_to_gates(o).chunk(2, dim=1)
            out_gate = out_gate + to_gate[0]
        c_new = F.elu(closing_gate(cell_tau) * c + closing_gate(cell_gate) * to_cell)
        o_new = F.elu(closing_gate(out_tau) * o + closing_gate(out_gate) * to_out)
        return o_new, (c_new, o_new)

    def initial_state(self, x: Tensor) -> State:
        """Return c = o = 0."""
        return self.zeros(x), self.zeros(x)

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return Glorot uniform kernels."""
        two = Stacked(((self.shapes.channels, GlorotUniform()),) * 2)
        return {name: two if "_to_gates" in name else GlorotUniform() for name, _ in self.named_parameters()}

    def weight_decays(self) -> Mapping[str, float]:
        """Return that of the kernels."""
        return {name: WEIGHT_DECAY for name, _ in self.named_parameters()}
