"""The reciprocal gated cell of the median circuit of the 2018 search: depthwise-separable gates, a residual and feedback."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from neurofit.errors import NeurofitError
from neurofit.models.cells.cell import Cell, CellShapes, Drive, State, register_cell
from neurofit.models.convolution import Convolution, SeparableConvolution, shortcut
from neurofit.models.initialisers import Constant, GlorotUniform, Initialiser, VarianceScaling

# Numbers that the search found, see docs/zoo.md, sections 5.8, 8.1 and 8.2.
TAU_SCALE = 0.9219348064291611
GATE_SCALE = 0.7006566684988862
WEIGHT_SCALE = 0.6393378386273998
WEIGHT_DECAY = 2.033999204146308e-4


@register_cell("rgc_median")
class RGCMedian(Cell):
    """RGC-M, state (c, o), output = o'; alpha = 0.9219..., beta = 0.7007..., x~ = ELU(x).

    c' = ELU(alpha (1 - sigmoid(D_ctau(c))) c + beta (1 - tanh(D_cg(o))) (W_ic * x~ + b_ic))
    o' = ELU(alpha (1 - sigmoid(D_otau(o))) o + beta (1 - tanh(D_og(c))) (W_io * x~ + b_io + R(u) + W_fb * fb + b_fb))

    Both lines use the old c and o. D is a 7 x 7 depthwise, then a 1 x 1 convolution with bias; W_ic is 2 x 2, W_io 3 x 3, W_fb
    1 x 1. `u` is the layer's raw input and R the identity, or a 1 x 1 convolution where the channels differ. Without bypassing
    R(u) is dropped. Without gating D = 0.

    Parameters
    ----------
    shapes
        See `CellShapes`; o has the channels of `x`, and `u` the height and width of `x`. With `fb` there is a feedback term.
    cell_channels
        Channels of c.
    bypassing, gating
        The switches of the 2018 ablations; both are on in the published models.

    Notes
    -----
    Source: docs/zoo.md, section 5.8; `ReciprocalGateCell` of the reference under the settings of
    its median circuit. The reference cuts the depthwise kernels to maps that are smaller than
    7 x 7; neurofit does not, so that the weights do not depend on the input size. At 224 pixels
    there is no difference.
    """

    takes_feedback = True

    def __init__(self, shapes: CellShapes, *, cell_channels: int = 64, bypassing: bool = True, gating: bool = True) -> None:
        super().__init__(shapes)
        self.need_channels_of_x()
        if shapes.u[1:] != shapes.x[1:]:
            raise NeurofitError(
                f"RGCMedian needs a layer convolution that keeps the map's size; it goes from {shapes.u[1:]} to {shapes.x[1:]}."
            )
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
        self.feedback = None if shapes.fb is None else Convolution(shapes.fb[0], channels, kernel=1)  # W_fb

    def drive(self, x: Tensor, u: Tensor) -> Drive:
        """Return what the input gives the cell and the output."""
        x = F.elu(x)
        to_out = self.input_to_out(x)
        return self.input_to_cell(x), to_out if self.residual is None else to_out + self.residual(u)

    def step(self, drive: Drive, fb: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Return o' and (c', o')."""
        (to_cell, to_out), (c, o) = drive, state
        if self.feedback is not None and fb is not None:
            to_out = to_out + self.feedback(fb)
        c_new = F.elu(self._kept("cell_tau", c) + self._let_in("cell_gate", o) * to_cell)
        o_new = F.elu(self._kept("out_tau", o) + self._let_in("out_gate", c) * to_out)
        return o_new, (c_new, o_new)

    def initial_state(self, x: Tensor) -> State:
        """Return c = o = 0."""
        return self.zeros(x, self.cell_channels), self.zeros(x)

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return kernels of the search's variance, a Glorot uniform residual and zero biases."""
        scaled = VarianceScaling(WEIGHT_SCALE)
        found: dict[str, Initialiser] = {}
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                found[name] = Constant(0.0)
            elif name.startswith("residual"):
                found[name] = GlorotUniform()
            elif "depthwise" in name:  # TensorFlow counts all channels in the fan-in
                found[name] = VarianceScaling(WEIGHT_SCALE, in_channels=len(parameter))
            else:
                found[name] = scaled
        return found

    def weight_decays(self) -> Mapping[str, float]:
        """Return that of the search for the kernels, but not of the residual."""
        kernels = (name for name, _ in self.named_parameters() if name.endswith("weight") and not name.startswith("residual"))
        return dict.fromkeys(kernels, WEIGHT_DECAY)

    def _kept(self, gate: str, memory: Tensor) -> Tensor:
        """Return alpha (1 - sigmoid(D(memory))) memory."""
        return TAU_SCALE * (torch.sigmoid(-self.get_submodule(gate)(memory)) if self.gating else 0.5) * memory

    def _let_in(self, gate: str, memory: Tensor) -> Tensor | float:
        """Return beta (1 - tanh(D(memory)))."""
        return GATE_SCALE * (1 - torch.tanh(self.get_submodule(gate)(memory))) if self.gating else GATE_SCALE
