"""The median reciprocal gated cell (RGC-M): separable gates, a residual and feedback."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from neurofit.models.cells.cell import Cell, CellShapes, Drive, State, register_cell
from neurofit.models.convolution import Convolution, SeparableConvolution, shortcut
from neurofit.models.initialisers import Constant, GlorotUniform, Initialiser, VarianceScaling
from neurofit.models.nonlinearities import elu

# Results of a hyperparameter search, see docs/zoo.md, sections 5.8, 8.1 and 8.2.
TAU_SCALE = 0.9219348064291611
GATE_SCALE = 0.7006566684988862
WEIGHT_SCALE = 0.6393378386273998
WEIGHT_DECAY = 2.033999204146308e-4


@register_cell("rgc_median")
class RGCMedian(Cell):
    """Reciprocal gated cell of rgc_intermediate (RGC-M) with state (c, o) and output o'.

    c' = ELU(alpha (1 - sigmoid(D_ctau(c))) c + beta (1 - tanh(D_cg(o))) (W_ic * x~ + b_ic))
    o' = ELU(alpha (1 - sigmoid(D_otau(o))) o + beta (1 - tanh(D_og(c))) o_in)
    o_in = W_io * x~ + b_io + R(u) + W_fb * fb + b_fb

    x~ = ELU(x), alpha = 0.9219... and beta = 0.7007... All lines use the old c and o. D is a 7 x 7
    depthwise, then a 1 x 1 convolution with bias; W_ic is 2 x 2, W_io 3 x 3 and W_fb 1 x 1. R is
    the identity, or a 1 x 1 convolution if the channels differ. Without bypassing, R(u) is dropped.
    Without gating, D = 0.

    Parameters
    ----------
    shapes
        See `CellShapes`. o and `x` have the same number of channels, and `u` has the height and
        width of `x`. The feedback term exists only with `fb`.
    cell_channels
        Number of channels of c.
    bypassing, gating
        Switches of the 2018 ablations. The published models have both.

    Raises
    ------
    NeurofitError
        If output and `x` differ in their number of channels, or `u` and `x` in height or width.

    Notes
    -----
    Source: docs/zoo.md, section 5.8; `ReciprocalGateCell` of the reference's `median_rgcell.py`.

    Examples
    --------
    >>> import torch
    >>> from neurofit.models.cells import CellShapes, RGCMedian
    >>> cell = RGCMedian(CellShapes(x=(4, 6, 6), u=(4, 6, 6), channels=4), cell_channels=8)
    >>> x = torch.rand(2, 4, 6, 6)

    While the kernels are zero, beta u alone reaches the output:

    >>> output, (c, o) = cell(x, x, None, cell.initial_state(x))
    >>> round((output / x).mean().item(), 4), tuple(c.shape)
    (0.7007, (2, 8, 6, 6))
    """

    takes_feedback = True

    def __init__(
        self,
        shapes: CellShapes,
        *,
        cell_channels: int = 64,
        bypassing: bool = True,
        gating: bool = True,
    ) -> None:
        super().__init__(shapes)
        self.require_equal_channels()
        self.require_equal_maps()
        channels = shapes.channels
        self.cell_channels = cell_channels
        self.input_to_cell = Convolution(channels, cell_channels, kernel=2)  # W_ic
        self.input_to_out = Convolution(channels, channels, kernel=3)  # W_io
        self.gating = gating
        if gating:
            self.cell_tau = SeparableConvolution(cell_channels, cell_channels, kernel=7)  # D_ctau
            self.cell_gate = SeparableConvolution(channels, cell_channels, kernel=7)  # D_cg
            self.out_tau = SeparableConvolution(channels, channels, kernel=7)  # D_otau
            self.out_gate = SeparableConvolution(cell_channels, channels, kernel=7)  # D_og
        self.residual = shortcut(shapes.u[0], channels) if bypassing else None  # R
        feedback = None if shapes.fb is None else Convolution(shapes.fb[0], channels, kernel=1)
        self.feedback = feedback  # W_fb

    def drive(self, x: Tensor, u: Tensor) -> Drive:
        """Return the inputs of cell and output."""
        x = elu(x)
        to_out = self.input_to_out(x)
        return self.input_to_cell(x), to_out if self.residual is None else to_out + self.residual(u)

    def step(self, drive: Drive, fb: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Return the output o' and the state (c', o')."""
        (to_cell, to_out), (c, o) = drive, state
        if self.feedback is not None and fb is not None:
            to_out = to_out + self.feedback(fb)
        c_new = elu(self._retain("cell_tau", c) + self._gate("cell_gate", o) * to_cell)
        o_new = elu(self._retain("out_tau", o) + self._gate("out_gate", c) * to_out)
        return o_new, (c_new, o_new)

    def initial_state(self, x: Tensor) -> State:
        """Return c = o = 0."""
        return self.zeros(x, self.cell_channels), self.zeros(x)

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return scaled kernels, a Glorot uniform residual and zero biases."""
        scaled = VarianceScaling(WEIGHT_SCALE)
        found: dict[str, Initialiser] = {}
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                found[name] = Constant(0.0)
            elif name.startswith("residual"):
                found[name] = GlorotUniform()
            elif "depthwise" in name:  # as in TensorFlow, all channels count in the fan-in
                found[name] = VarianceScaling(WEIGHT_SCALE, in_channels=len(parameter))
            else:
                found[name] = scaled
        return found

    def weight_decays(self) -> Mapping[str, float]:
        """Return the weight decay of the kernels; the residual has none."""
        kernels = (
            name
            for name, _ in self.named_parameters()
            if name.endswith("weight") and not name.startswith("residual")
        )
        return dict.fromkeys(kernels, WEIGHT_DECAY)

    def _retain(self, name: str, memory: Tensor) -> Tensor:
        """Return alpha (1 - sigmoid(D(memory))) memory."""
        tau = torch.sigmoid(-self.get_submodule(name)(memory)) if self.gating else 0.5
        return TAU_SCALE * tau * memory

    def _gate(self, name: str, memory: Tensor) -> Tensor | float:
        """Return beta (1 - tanh(D(memory)))."""
        closed = torch.tanh(self.get_submodule(name)(memory)) if self.gating else 0
        return GATE_SCALE * (1 - closed)
