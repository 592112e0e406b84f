"""The reciprocal gated cell: cell and output gate each other (RGC-S, and the cell of 2018)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from neurofit.models.cells.cell import (
    WEIGHT_DECAY,
    Cell,
    CellShapes,
    Drive,
    State,
    closing_gate,
    register_cell,
)
from neurofit.models.convolution import Convolution
from neurofit.models.initialisers import GlorotUniform, Initialiser, Stacked
from neurofit.models.nonlinearities import elu


@register_cell("rgc")
class RGC(Cell):
    """Reciprocal gated cell of rgc_shallow (RGC-S) with state (c, o) and output o'.

    c' = ELU((1 - sigmoid(W_ctau * c)) c + (1 - sigmoid(W_cg * o)) (W_ic * x))
    o' = ELU((1 - sigmoid(W_otau * o)) o + (1 - sigmoid(W_og * c + W_rg * u)) (x + W_fb * fb))

    Both lines use the old c and o. Kernels are 3 x 3 and W_fb is 1 x 1, all without bias. Without
    bypassing, W_io * x replaces x in the second line. Without gating, all four gates are 1 / 2.
    The cell of 2018 has no W_rg, and a W_fb of 3 x 3.

    Parameters
    ----------
    shapes
        See `CellShapes`. c, o and `x` have the same number of channels, and `u` has the height and
        width of `x`. The feedback term exists only with `fb`; rgc_shallow has none.
    input_gate
        Whether the input u of the layer also gates the output, by W_rg.
    feedback_kernel
        Height and width of W_fb, in pixels.
    bypassing, gating
        Switches of the 2018 ablations. The published model has both.

    Raises
    ------
    NeurofitError
        If output and `x` differ in their number of channels, or `u` and `x` in height or width.

    Notes
    -----
    Source: docs/zoo.md, sections 4.5 and 5.7; `ReciprocalGateCell` of the reference. Kernels with
    the same input are joined: `cell_to_gates` is (W_ctau, W_og), `out_to_gates` is (W_otau, W_cg).

    Examples
    --------
    >>> import torch
    >>> from neurofit.models.cells import RGC, CellShapes
    >>> cell = RGC(CellShapes(x=(4, 6, 6), u=(3, 6, 6), channels=4))
    >>> x, c, o = torch.rand(3, 2, 4, 6, 6)

    While the kernels are zero, all gates are 1 / 2, and x does not reach c:

    >>> output, (c_new, o_new) = cell(x, x[:, :3], None, (c, o))
    >>> torch.allclose(c_new, c / 2), torch.allclose(o_new, (o + x) / 2)
    (True, True)
    """

    takes_feedback = True

    def __init__(
        self,
        shapes: CellShapes,
        *,
        input_gate: bool = True,
        feedback_kernel: int = 1,
        bypassing: bool = True,
        gating: bool = True,
    ) -> None:
        super().__init__(shapes)
        self.require_equal_channels()
        self.require_equal_maps()
        channels = shapes.channels

        def conv(in_channels: int, out_channels: int = channels, kernel: int = 3) -> Convolution:
            return Convolution(in_channels, out_channels, kernel=kernel, bias=False)

        self.input_to_cell = conv(channels)  # W_ic
        self.input_to_out = None if bypassing else conv(channels)  # W_io
        self.feedback = (
            None if shapes.fb is None else conv(shapes.fb[0], kernel=feedback_kernel)
        )  # W_fb
        self.cell_to_gates = conv(channels, 2 * channels) if gating else None  # W_ctau, W_og
        self.out_to_gates = conv(channels, 2 * channels) if gating else None  # W_otau, W_cg
        self.raw_to_out_gate = conv(shapes.u[0]) if gating and input_gate else None  # W_rg

    def drive(self, x: Tensor, u: Tensor) -> Drive:
        """Return the inputs of cell and output, and W_rg * u."""
        to_out = x if self.input_to_out is None else self.input_to_out(x)
        to_gate = () if self.raw_to_out_gate is None else (self.raw_to_out_gate(u),)
        return self.input_to_cell(x), to_out, *to_gate

    def step(self, drive: Drive, fb: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Return the output o' and the state (c', o')."""
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
            out_gate = sum(to_gate, start=out_gate)
        c_new = elu(closing_gate(cell_tau) * c + closing_gate(cell_gate) * to_cell)
        o_new = elu(closing_gate(out_tau) * o + closing_gate(out_gate) * to_out)
        return o_new, (c_new, o_new)

    def initial_state(self, x: Tensor) -> State:
        """Return c = o = 0."""
        return self.zeros(x), self.zeros(x)

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return Glorot uniform kernels."""
        two = Stacked(((self.shapes.channels, GlorotUniform()),) * 2)
        return {
            name: two if "_to_gates" in name else GlorotUniform()
            for name, _ in self.named_parameters()
        }

    def weight_decays(self) -> Mapping[str, float]:
        """Return the weight decay of the kernels."""
        return {name: WEIGHT_DECAY for name, _ in self.named_parameters()}
