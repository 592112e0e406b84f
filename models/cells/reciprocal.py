"""The reciprocal cell whose paths are chosen one by one: the space in which cells are searched."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neurofit.errors import NeurofitError, check_option
from neurofit.models.cells.cell import (
    WEIGHT_DECAY,
    Cell,
    CellShapes,
    Drive,
    State,
    register_cell,
)
from neurofit.models.convolution import Convolution, SeparableConvolution
from neurofit.models.initialisers import Constant, GlorotUniform, Initialiser
from neurofit.models.nonlinearities import elu

GATES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "hard_sigmoid": F.hardsigmoid,
    "tanh": torch.tanh,
}
"""Nonlinearities s of the gates 1 - s."""

PATHS: Mapping[str, str] = {
    "in_to_cell": "W_ic * x is admitted to the cell",
    "out_to_cell": "W_oc * o is admitted to the cell",
    "cell_to_cell": "the cell keeps c",
    "cell_gates_memory": "W_ctau * c closes what the cell keeps",
    "out_gates_cell": "W_cg * o closes what is admitted to the cell",
    "in_to_out": "x itself is admitted to the output (bypassing)",
    "in_conv_to_out": "W_io * x is admitted to the output",
    "cell_to_out": "W_co * c is admitted to the output",
    "out_to_out": "the output keeps o",
    "out_gates_memory": "W_otau * o closes what the output keeps",
    "cell_gates_out": "W_og * c closes what is admitted to the output",
    "layer_in_gates_out": "W_rg * u, of the layer's input, closes it too",
}
"""Paths inside the cell -> what they do."""

RGC_PATHS = (
    "in_to_cell",
    "cell_to_cell",
    "cell_gates_memory",
    "out_gates_cell",
    "in_to_out",
    "out_to_out",
    "out_gates_memory",
    "cell_gates_out",
)
"""Paths of the reciprocal gated cell of 2018; that of rgc_shallow has `layer_in_gates_out` too."""

_READS_CELL = ("cell_to_out", "cell_gates_out")


@register_cell("reciprocal")
class Reciprocal(Cell):
    """Reciprocal cell with state (c, o), output o' and any set of paths.

    c' = ELU(g(W_ctau * c) c + g(W_cg * o) (W_ic * x + W_oc * o))
    o' = ELU(g(W_otau * o) o + g(W_og * c + W_rg * u) (x + W_io * x + W_co * c + W_fb * fb))

    g(v) = 1 - s(v). Both lines use the old c and o. The term of a path that is not there is left
    out, and the input of a gate without paths is 0. With the paths `RGC_PATHS` this is the
    reciprocal gated cell of 2018. Kernels have no bias.

    Parameters
    ----------
    shapes
        See `CellShapes`. c, o and `x` have the same number of channels; `u` has the height and
        width of `x` if it gates or there is feedback.
    paths
        Names from `PATHS`. Paths that cannot reach the output are left out (`live_paths`).
    kernel, gate_kernel
        Height and width of the kernels of terms and of gates, in pixels.
    separable
        Whether kernels are depthwise, then 1 x 1 with a bias.
    gate
        Nonlinearity s, one of `GATES`.
    feedback_kernel
        Height and width of W_fb, in pixels.

    Raises
    ------
    NeurofitError
        If a path or a gate is unknown, no path leads from the input to the output, or the shapes
        do not fit as stated.

    Notes
    -----
    Source: the paths are those between the two populations of the cell of Nayebi et al. 2018,
    whose search has an edge for each; docs/searches.md.

    Examples
    --------
    >>> import torch
    >>> from neurofit.models.cells import CellShapes, Reciprocal
    >>> shapes = CellShapes(x=(4, 6, 6), u=(4, 6, 6), channels=4)
    >>> cell = Reciprocal(shapes)
    >>> x = torch.rand(2, 4, 6, 6)
    >>> output, (c, o) = cell(x, x, None, cell.initial_state(x))
    >>> torch.allclose(output, x / 2)  # c = o = 0 before the first step, and the gates are 1 / 2
    True

    A path that cannot reach the output is left out:

    >>> Reciprocal(shapes, paths=("in_to_cell", "cell_to_cell", "in_to_out")).paths
    ('in_to_out',)
    """

    takes_feedback = True

    def __init__(
        self,
        shapes: CellShapes,
        *,
        paths: Sequence[str] = RGC_PATHS,
        kernel: int = 3,
        gate_kernel: int = 3,
        separable: bool = False,
        gate: str = "sigmoid",
        feedback_kernel: int = 3,
    ) -> None:
        super().__init__(shapes)
        self.require_equal_channels()
        self.closed = GATES[check_option("gate of a reciprocal cell", gate, GATES)]
        self.paths = live_paths(paths)
        if "layer_in_gates_out" in self.paths or shapes.fb is not None:
            self.require_equal_maps()
        channels = shapes.channels

        def conv(size: int, in_channels: int = channels) -> nn.Module:
            if separable:
                return SeparableConvolution(in_channels, channels, kernel=size)
            return Convolution(in_channels, channels, kernel=size, bias=False)

        self.convs = nn.ModuleDict()
        for path in self.paths:
            if "_gates_" in path:
                from_u = path == "layer_in_gates_out"
                self.convs[path] = conv(gate_kernel, shapes.u[0] if from_u else channels)
            elif path not in ("in_to_out", "cell_to_cell", "out_to_out"):
                self.convs[path] = conv(kernel)
        if shapes.fb is not None:
            self.convs["feedback"] = conv(feedback_kernel, shapes.fb[0])

    def drive(self, x: Tensor, u: Tensor) -> Drive:
        """Return what depends on x and u: the inputs of cell and output, and W_rg * u."""
        to_cell = self._sum([self._conv("in_to_cell", x)], x)
        direct = x if "in_to_out" in self.paths else None
        to_out = self._sum([direct, self._conv("in_conv_to_out", x)], x)
        gating = self._conv("layer_in_gates_out", u)
        return (to_cell, to_out) if gating is None else (to_cell, to_out, gating)

    def step(self, drive: Drive, fb: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Return the output o' and the state (c', o')."""
        (to_cell, to_out, *gating), (c, o) = drive, state
        fed = None if fb is None else self._conv("feedback", fb)
        admitted = self._sum([to_out, self._conv("cell_to_out", c), fed], o)
        out = self._gate([self._conv("cell_gates_out", c), *gating], admitted)
        if "out_to_out" in self.paths:
            out = out + self._gate([self._conv("out_gates_memory", o)], o)
        if not self._has_cell:
            return (o := elu(out)), (c, o)
        cell = self._gate(
            [self._conv("out_gates_cell", o)],
            self._sum([to_cell, self._conv("out_to_cell", o)], c),
        )
        if "cell_to_cell" in self.paths:
            cell = cell + self._gate([self._conv("cell_gates_memory", c)], c)
        return (o := elu(out)), (elu(cell), o)

    def initial_state(self, x: Tensor) -> State:
        """Return c = o = 0."""
        return self.zeros(x), self.zeros(x)

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return Glorot uniform kernels, and zero biases of separable ones."""
        return {
            name: Constant(0.0) if name.endswith("bias") else GlorotUniform()
            for name, _ in self.named_parameters()
        }

    def weight_decays(self) -> Mapping[str, float]:
        """Return the weight decay of the kernels."""
        return {
            name: WEIGHT_DECAY for name, _ in self.named_parameters() if name.endswith("weight")
        }

    @property
    def _has_cell(self) -> bool:
        return any(path in self.paths for path in _READS_CELL)

    def _conv(self, path: str, maps: Tensor) -> Tensor | None:
        """Return the convolution of a path; None without the path."""
        if path not in self.convs:
            return None
        convolved: Tensor = self.convs[path](maps)
        return convolved

    def _sum(self, terms: Sequence[Tensor | None], like: Tensor) -> Tensor:
        """Return the sum of the terms that there are; zeros like a tensor if there are none."""
        found = [term for term in terms if term is not None]
        return sum(found[1:], start=found[0]) if found else torch.zeros_like(like)

    def _gate(self, inputs: Sequence[Tensor | None], maps: Tensor) -> Tensor:
        """Return g(sum of inputs) maps; g(0) maps without inputs."""
        found = [each for each in inputs if each is not None]
        if not found:
            return maps * (1 - self.closed(maps.new_zeros(())))
        return maps * (1 - self.closed(sum(found[1:], start=found[0])))


def live_paths(paths: Collection[str]) -> tuple[str, ...]:
    """Return the paths that can change the output, in the order of `PATHS`.

    A cell that the output does not read is left out, and so are gates of what is not there.

    Raises
    ------
    NeurofitError
        If a path is unknown, or none leads from the input to the output.
    """
    for path in paths:
        check_option("path of a reciprocal cell", path, PATHS)
    kept = set(paths)
    if not kept & {"in_to_cell", "out_to_cell"}:  # c stays 0
        kept -= {"cell_to_cell", "cell_gates_memory", "out_gates_cell", *_READS_CELL}
    if not kept & set(_READS_CELL):
        kept -= {
            "in_to_cell", "out_to_cell", "cell_to_cell", "cell_gates_memory", "out_gates_cell"
        }  # fmt: skip
    for path, gate in (("cell_to_cell", "cell_gates_memory"), ("out_to_out", "out_gates_memory")):
        if path not in kept:
            kept.discard(gate)
    if not (kept & {"in_to_out", "in_conv_to_out"} or {"in_to_cell", "cell_to_out"} <= kept):
        raise NeurofitError(
            "No path leads from the input of a reciprocal cell to its output: it needs in_to_out, "
            f"in_conv_to_out, or in_to_cell and cell_to_out; got {', '.join(paths) or 'no path'}."
        )
    return tuple(path for path in PATHS if path in kept)
