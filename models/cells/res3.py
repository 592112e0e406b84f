"""The Res3 cell: a residual block of three convolutions, unrolled in time."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from neurofit.models.cells.cell import (
    WEIGHT_DECAY,
    Cell,
    CellShapes,
    Drive,
    State,
    register_cell,
)
from neurofit.models.convolution import Convolution
from neurofit.models.initialisers import Constant, GlorotUniform, Initialiser


@register_cell("res3")
class Res3(Cell):
    """Res3 cell with state (c, o) and output o'.

    c' = ReLU(tau_c c + W_xc * ReLU(x + fb) + W_cc * c + b_c)
    o' = tau_o ReLU(o) + W_co * c' + b_o + x + fb

    W_xc and W_co are 1 x 1, W_cc is 3 x 3. With tau_c = 0, tau_o = 1 and an input at a single
    timestep, W_co * c' at the next one is the residual branch of a ResNet block with three
    convolutions (He et al. 2016), to which the skip connection ReLU(o) is added; each further
    timestep is one more 3 x 3 convolution in the branch of a further block.

    Parameters
    ----------
    shapes
        See `CellShapes`. o, `x` and the feedback have the same number of channels, and `u` has the
        height and width of `x` if there is feedback.
    cell_channels
        Number of channels of c; None for a quarter of the output's, as in a ResNet.
    tau_cell, tau_out
        Constants tau_c and tau_o.

    Raises
    ------
    NeurofitError
        If output and `x` differ in their number of channels, or, with feedback, `u` and `x` in
        height or width.

    Notes
    -----
    Source: docs/zoo.md, section 5.11; `Res3Cell` of the reference's `median_rgcell.py`.

    Examples
    --------
    >>> import torch
    >>> from neurofit.models.cells import CellShapes, Res3
    >>> cell = Res3(CellShapes(x=(8, 6, 6), u=(8, 6, 6), channels=8), tau_out=1.0)
    >>> x = torch.rand(2, 8, 6, 6)

    While the kernels are zero, the inputs add up with tau_o = 1:

    >>> output, state = cell(x, x, None, cell.initial_state(x))
    >>> output, (c, o) = cell(x, x, None, state)
    >>> torch.allclose(output, 2 * x), tuple(c.shape)
    (True, (2, 2, 6, 6))
    """

    takes_feedback = True

    def __init__(
        self,
        shapes: CellShapes,
        *,
        cell_channels: int | None = None,
        tau_cell: float = 0.0,
        tau_out: float = 0.0,
    ) -> None:
        super().__init__(shapes)
        self.require_equal_channels()
        if shapes.fb is not None:
            self.require_equal_maps()
        channels = shapes.channels
        self.cell_channels = cell_channels or max(1, channels // 4)
        self.tau_cell, self.tau_out = tau_cell, tau_out
        self.input_to_cell = Convolution(channels, self.cell_channels, kernel=1)  # W_xc, b_c
        self.cell_to_cell = Convolution(
            self.cell_channels, self.cell_channels, kernel=3, bias=False
        )  # W_cc
        self.cell_to_out = Convolution(self.cell_channels, channels, kernel=1)  # W_co, b_o
        projects = shapes.fb is not None and shapes.fb[0] != channels
        self.feedback = (
            Convolution(shapes.fb[0], channels, kernel=1, bias=False)
            if projects and shapes.fb is not None
            else None
        )

    def step(self, drive: Drive, fb: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Return the output o' and the state (c', o')."""
        (x,), (c, o) = drive, state
        if fb is not None:
            x = x + (fb if self.feedback is None else self.feedback(fb))
        c_new = F.relu(self.tau_cell * c + self.input_to_cell(F.relu(x)) + self.cell_to_cell(c))
        o_new = self.tau_out * F.relu(o) + self.cell_to_out(c_new) + x
        return o_new, (c_new, o_new)

    def initial_state(self, x: Tensor) -> State:
        """Return c = o = 0."""
        return self.zeros(x, self.cell_channels), self.zeros(x)

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return Glorot uniform kernels and zero biases."""
        return {
            name: Constant(0.0) if name.endswith("bias") else GlorotUniform()
            for name, _ in self.named_parameters()
        }

    def weight_decays(self) -> Mapping[str, float]:
        """Return the weight decay of the kernels."""
        return {
            name: WEIGHT_DECAY for name, _ in self.named_parameters() if name.endswith("weight")
        }
