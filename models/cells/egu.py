"""The efficient gated unit: a leaky state updated by depthwise convolutions."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neurofit.models.cells.cell import (
    WEIGHT_DECAY,
    Cell,
    CellShapes,
    Drive,
    State,
    register_cell,
)
from neurofit.models.convolution import Convolution
from neurofit.models.initialisers import Constant, Initialiser, VarianceScaling, prefixed
from neurofit.models.normalisation import BatchNorm


@register_cell("egu")
class EGU(Cell):
    """Efficient gated unit with state h' and one output.

    h' = h + swish(BN(D * (x + h))) + swish(BN(W_fb * fb))
    output = BN(W_o * S(h')) + u

    D is a depthwise convolution; W_fb and W_o are 1 x 1. S multiplies each channel by a gate that
    depends on the means of all channels (squeeze and excitation); without it, S is the identity.
    The input u of the layer is added if its shape is that of the output.

    Parameters
    ----------
    shapes
        See `CellShapes`. h has the channels of `x`.
    kernel
        Height and width of D, in pixels.
    squeeze
        Channels between the two convolutions of S, as a share of the channels of `u`; 0 for no S.

    Raises
    ------
    NeurofitError
        If there is feedback, and `u` and `x` differ in height or width.

    Notes
    -----
    Source: docs/zoo.md, section 5.12; `EfficientGateCell` of github.com/neuroailab/tnn, used in
    Bear et al. 2020, Learning physical graph representations from visual scenes, NeurIPS. Its batch
    norm has parameters of its own for each timestep; here all timesteps share them. Drop connect is
    left out.

    Examples
    --------
    >>> import torch
    >>> from neurofit.models.cells import EGU, CellShapes
    >>> cell = EGU(CellShapes(x=(4, 6, 6), u=(4, 6, 6), channels=4)).eval()
    >>> x = torch.rand(2, 4, 6, 6)

    While all kernels are zero, only the input of the layer is left:

    >>> output, (h,) = cell(x, x, None, cell.initial_state(x))
    >>> torch.equal(output, x)
    True
    """

    takes_feedback = True

    def __init__(self, shapes: CellShapes, *, kernel: int = 3, squeeze: float = 0.0) -> None:
        super().__init__(shapes)
        state = shapes.x[0]
        self.update = _NormalisedConvolution(state, state, kernel=kernel, groups=state)  # D
        self.out = _NormalisedConvolution(state, shapes.channels, kernel=1)  # W_o
        self.feedback = (
            None if shapes.fb is None else _NormalisedConvolution(shapes.fb[0], state, kernel=1)
        )  # W_fb
        if shapes.fb is not None:
            self.require_equal_maps()
        hidden = max(1, round(squeeze * shapes.u[0])) if squeeze else 0
        self.reduce = Convolution(state, hidden, kernel=1) if hidden else None
        self.expand = Convolution(hidden, state, kernel=1) if hidden else None
        self.adds_input = shapes.u == (shapes.channels, *shapes.x[1:])

    def drive(self, x: Tensor, u: Tensor) -> Drive:
        """Return x, and u if it is added to the output."""
        return (x, u) if self.adds_input else (x,)

    def step(self, drive: Drive, fb: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Return the output and the state h'."""
        (x, *carried), (h,) = drive, state
        h_new = h + F.silu(self.update(x + h))
        if self.feedback is not None and fb is not None:
            h_new = h_new + F.silu(self.feedback(fb))
        return sum(carried, start=self.out(self._excite(h_new))), (h_new,)

    def initial_state(self, x: Tensor) -> State:
        """Return h = 0."""
        return (torch.zeros_like(x),)

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return kernels of variance 2 / fan-in, zero biases and the norms' own values."""
        found: dict[str, Initialiser] = {}
        for name, module in self.named_children():
            if isinstance(module, _NormalisedConvolution):
                found |= prefixed(name, module.initialisers())
            else:
                found |= {f"{name}.weight": _KERNEL, f"{name}.bias": Constant(0.0)}
        return found

    def weight_decays(self) -> Mapping[str, float]:
        """Return the weight decay of the kernels."""
        return {
            name: WEIGHT_DECAY
            for name, _ in self.named_parameters()
            if name.endswith("weight") and "norm" not in name
        }

    def _excite(self, maps: Tensor) -> Tensor:
        if self.reduce is None or self.expand is None:
            return maps
        means = maps.mean(dim=(2, 3), keepdim=True)
        return maps * torch.sigmoid(self.expand(F.silu(self.reduce(means))))


_KERNEL = VarianceScaling(2.0)


class _NormalisedConvolution(nn.Module):
    """Convolution without bias, and batch norm."""

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel: int, groups: int = 1
    ) -> None:
        super().__init__()
        self.conv = Convolution(in_channels, out_channels, kernel=kernel, bias=False, groups=groups)
        self.norm = BatchNorm(out_channels)

    def forward(self, input: Tensor) -> Tensor:
        maps: Tensor = self.norm(self.conv(input))
        return maps

    def initialisers(self) -> Mapping[str, Initialiser]:
        return {"conv.weight": _KERNEL} | prefixed("norm", self.norm.initialisers())
