"""The simple recurrent cell: h' = ELU(N(W_i * x + b_i + W_s * h + b_s))."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from neurofit.models.cells.cell import WEIGHT_DECAY, Cell, CellShapes, Drive, State, register_cell
from neurofit.models.cells.switches import Bypass, StateGates
from neurofit.models.convolution import Convolution
from neurofit.models.initialisers import Constant, GlorotUniform, Initialiser, prefixed
from neurofit.models.nonlinearities import elu
from neurofit.models.normalisation import layer_norm


@register_cell("simplernn")
class SimpleRNN(Cell):
    """Simple convolutional RNN with state h' and output h'.

    h' = ELU(N(W_i * x + b_i + W_s * h + b_s))

    `*` is a 3 x 3 convolution. With gating, h' = ELU(N(q (W_i * x + b_i) + p (W_s * h + b_s))), and
    with bypassing, output = h' + S(x); see `neurofit.models.cells.switches`.

    Parameters
    ----------
    shapes
        See `CellShapes`; `channels` is the number of hidden channels.
    norm
        Whether N is the layer norm (shallow models) or the identity (intermediate models).
    bypassing, gating
        Switches of the 2018 ablations. The published models have neither.

    Raises
    ------
    NeurofitError
        If there is feedback, which the cell does not support.

    Notes
    -----
    Source: docs/zoo.md, section 5.2; `ConvNormBasicCell` of the reference.

    Examples
    --------
    >>> import torch
    >>> from neurofit.models.cells import CellShapes, SimpleRNN
    >>> cell = SimpleRNN(CellShapes(x=(4, 6, 6), u=(3, 6, 6), channels=4), norm=False)
    >>> for kernel in (cell.input.weight, cell.state.weight):
    ...     _ = torch.nn.init.dirac_(kernel)

    With kernels that change nothing, the inputs add up:

    >>> x = torch.rand(2, 4, 6, 6)
    >>> output, state = cell(x, x[:, :3], None, cell.initial_state(x))
    >>> output, state = cell(x, x[:, :3], None, state)
    >>> torch.allclose(output, 2 * x)
    True
    """

    def __init__(
        self,
        shapes: CellShapes,
        *,
        norm: bool = True,
        bypassing: bool = False,
        gating: bool = False,
    ) -> None:
        super().__init__(shapes)
        self.input = Convolution(shapes.x[0], shapes.channels, kernel=3)
        self.state = Convolution(shapes.channels, shapes.channels, kernel=3)
        self.norm = layer_norm(shapes.channels) if norm else nn.Identity()
        self.state_gates = StateGates(shapes.channels) if gating else None
        self.bypass = Bypass(shapes.x[0], shapes.channels, on=bypassing)

    def drive(self, x: Tensor, u: Tensor) -> Drive:
        """Return W_i * x + b_i, and the bypass."""
        return self.input(x), *self.bypass.drive(x)

    def step(self, drive: Drive, fb: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Return the output h', plus the bypass, and the state h'."""
        (driven, *carried), (h,) = drive, state
        retained = self.state(h)
        if self.state_gates is not None:
            retain, admit = self.state_gates(h)
            retained, driven = retain * retained, admit * driven
        h = elu(self.norm(driven + retained))
        return self.bypass.add(h, carried), (h,)

    def initial_state(self, x: Tensor) -> State:
        """Return h = 0."""
        return (self.zeros(x),)

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return Glorot uniform kernels, zero biases and a norm with gamma = 1 and beta = 0."""
        kernels: dict[str, Initialiser] = {
            f"{part}.weight": GlorotUniform() for part in ("input", "state")
        }
        biases = {f"{part}.bias": Constant(0.0) for part in ("input", "state")}
        norm = (
            {"norm.weight": Constant(1.0), "norm.bias": Constant(0.0)}
            if isinstance(self.norm, nn.GroupNorm)
            else {}
        )
        gates = (
            {}
            if self.state_gates is None
            else prefixed("state_gates", self.state_gates.initialisers())
        )
        return kernels | biases | norm | gates | prefixed("bypass", self.bypass.initialisers())

    def weight_decays(self) -> Mapping[str, float]:
        """Return the weight decay of kernels and biases; the norm and a bypass have none."""
        return {
            name: WEIGHT_DECAY
            for name, _ in self.named_parameters()
            if not name.startswith(("norm", "bypass"))
        }
