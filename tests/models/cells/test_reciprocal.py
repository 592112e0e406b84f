"""The reciprocal cell with chosen paths: the published cell, and single paths by hand."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from neurofit.errors import NeurofitError
from neurofit.models.cells import CELLS, Cell, CellShapes, Reciprocal
from neurofit.models.cells.reciprocal import PATHS, RGC_PATHS, live_paths
from neurofit.models.initialisers import initialise

SHAPES = CellShapes(x=(3, 4, 5), u=(2, 4, 5), fb=(2, 4, 5), channels=3)


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, *shape, dtype=torch.float64, generator=generator)


def unroll(cell: Cell, n: int = 4) -> Tensor:
    """Return the outputs of some steps with a changing input, (step batch ...)."""
    outputs, state = [], cell.initial_state(draw(3, 4, 5))
    for step in range(n):
        x, u, fb = (draw(c, 4, 5, seed=10 * step + c) for c in (3, 2, 2))
        output, state = cell(x, u, fb, state)
        outputs.append(output)
    return torch.stack(outputs)


def build(**options: object) -> Reciprocal:
    made = Reciprocal(SHAPES, **options)  # type: ignore[arg-type]
    initialise(made, 0)
    return made.double()


@pytest.mark.parametrize("input_gate", [False, True])
def test_with_its_paths_it_is_the_reciprocal_gated_cell(input_gate: bool) -> None:
    make: Any = CELLS["rgc"]
    published = make(SHAPES, input_gate=input_gate, feedback_kernel=3)
    initialise(published, 1)
    published.double()
    own = build(paths=[*RGC_PATHS, *(["layer_in_gates_out"] if input_gate else [])])
    weights = published.state_dict()
    ctau, og = weights["cell_to_gates.weight"].chunk(2)
    otau, cg = weights["out_to_gates.weight"].chunk(2)
    kernels = {
        "in_to_cell": weights["input_to_cell.weight"],
        "cell_gates_memory": ctau,
        "cell_gates_out": og,
        "out_gates_memory": otau,
        "out_gates_cell": cg,
        "feedback": weights["feedback.weight"],
    }
    if input_gate:
        kernels["layer_in_gates_out"] = weights["raw_to_out_gate.weight"]
    own.load_state_dict({f"convs.{path}.weight": kernel for path, kernel in kernels.items()})
    torch.testing.assert_close(unroll(own), unroll(published), rtol=1e-12, atol=1e-12)


def test_each_path_is_the_term_of_its_equation() -> None:
    cell = build(paths=list(PATHS), gate="tanh")
    x, u, fb = (draw(c, 4, 5, seed=c) for c in (3, 2, 2))
    c, o = draw(3, 4, 5, seed=7), draw(3, 4, 5, seed=8)

    def conv(path: str, maps: Tensor) -> Tensor:
        return F.conv2d(maps, cell.convs[path].weight, padding=1)  # type: ignore[arg-type]

    def g(v: Tensor) -> Tensor:
        return 1 - torch.tanh(v)

    new_c = F.elu(
        g(conv("cell_gates_memory", c)) * c
        + g(conv("out_gates_cell", o)) * (conv("in_to_cell", x) + conv("out_to_cell", o))
    )
    new_o = F.elu(
        g(conv("out_gates_memory", o)) * o
        + g(conv("cell_gates_out", c) + conv("layer_in_gates_out", u))
        * (x + conv("in_conv_to_out", x) + conv("cell_to_out", c) + conv("feedback", fb))
    )
    output, (found_c, found_o) = cell(x, u, fb, (c, o))
    torch.testing.assert_close(output, new_o)
    torch.testing.assert_close(found_o, new_o)
    torch.testing.assert_close(found_c, new_c)


def test_every_parameter_of_every_set_of_paths_changes_the_output() -> None:
    n_built = 0
    for chosen in itertools.product((False, True), repeat=len(PATHS)):
        paths = [path for path, there in zip(PATHS, chosen, strict=True) if there]
        try:
            kept = live_paths(paths)
        except NeurofitError:
            continue
        n_built += 1
        if n_built % 61:  # every set is checked for its paths, some for their gradients
            continue
        cell = build(paths=paths)
        unroll(cell, 5).square().sum().backward()  # type: ignore[no-untyped-call]
        for name, parameter in cell.named_parameters():
            assert parameter.grad is not None, (paths, name)
            assert parameter.grad.abs().max() > 0, (paths, name)
        assert live_paths(kept) == kept
    assert n_built > 3000


def test_separable_kernels_are_depthwise_and_pointwise() -> None:
    n_dense = sum(each.numel() for each in build(gate_kernel=7).parameters())
    separable = build(gate_kernel=7, separable=True)
    gates: Any = separable.convs["cell_gates_out"]
    assert gates.depthwise.weight.shape == (3, 1, 7, 7)
    assert sum(each.numel() for each in separable.parameters()) < n_dense


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"paths": ["cell_to_out", "cell_to_cell"]}, "No path leads from the input"),
        ({"paths": ["in_to_oup"]}, "Did you mean 'in_to_out'"),
        ({"gate": "relu"}, "Unknown gate of a reciprocal cell 'relu'"),
    ],
)
def test_what_cannot_be_a_cell_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(NeurofitError, match=message):
        build(**options)
