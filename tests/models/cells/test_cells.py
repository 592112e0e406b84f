"""Every registered cell keeps the contract."""

from __future__ import annotations

import inspect
import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from neurofit.errors import NeurofitError
from neurofit.models.cells import CELLS, Cell, CellShapes, State
from neurofit.models.initialisers import initialise

OPTIONS: list[tuple[str, dict[str, object]]] = [
    ("lstm", {"norm": True, "peepholes": True, "kernel": 2}),
    ("simplernn", {"norm": False}),
]
SWITCHES = ("bypassing", "gating")


def switchable(name: str) -> list[str]:
    return [switch for switch in SWITCHES if switch in inspect.signature(CELLS[name]).parameters]


SWITCHED = [
    (name, dict(zip(switchable(name), values, strict=True)))
    for name in CELLS
    for values in itertools.product((False, True), repeat=len(switchable(name)))
    if values
]
VARIANTS = [*((name, {}) for name in CELLS), *OPTIONS, *SWITCHED]


@pytest.fixture(
    params=VARIANTS,
    ids=lambda variant: "-".join(
        [variant[0], *(f"{key}={value}" for key, value in variant[1].items())]
    ),
)
def cell(request: pytest.FixtureRequest) -> Cell:
    name, options = request.param
    return build(name, **options)


def build(name: str, *, channels: int = 3, **options: object) -> Cell:
    fb = (2, 4, 5) if CELLS[name].takes_feedback else None
    made = CELLS[name](CellShapes(x=(3, 4, 5), u=(2, 4, 5), fb=fb, channels=channels), **options)
    initialise(made, 0)
    return made.double()


def inputs(cell: Cell, *, seed: int = 0) -> tuple[Tensor, Tensor, Tensor | None, State]:
    """Return x, u, fb and a nonzero state."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(2, *shape, dtype=torch.float64, generator=generator)

    x, u = draw(*cell.shapes.x), draw(*cell.shapes.u)
    fb = draw(*cell.shapes.fb) if cell.shapes.fb else None
    return x, u, fb, tuple(draw(*part.shape[1:]) for part in cell.initial_state(x))


def test_a_step_returns_the_declared_shape_and_a_state_like_the_old_one(cell: Cell) -> None:
    x, u, fb, state = inputs(cell)
    output, new = cell(x, u, fb, state)
    assert output.shape == (2, cell.shapes.channels, 4, 5)
    assert [part.shape for part in new] == [part.shape for part in state]
    assert output.dtype == torch.float64


def test_the_initial_state_is_zero_and_follows_its_input(cell: Cell) -> None:
    for x in (torch.ones(1, 3, 4, 5), torch.ones(3, 3, 4, 5, dtype=torch.float64)):
        for part in cell.initial_state(x):
            assert not part.any()
            assert len(part) == len(x)
            assert part.dtype == x.dtype


def test_a_step_changes_nothing_in_place_and_remembers_only_its_state(cell: Cell) -> None:
    x, u, fb, state = inputs(cell)
    before = [x.clone(), u.clone(), *(part.clone() for part in state)]
    first, _ = cell(x, u, fb, state)
    second, _ = cell(x, u, fb, state)
    assert torch.equal(first, second)
    assert all(torch.equal(a, b) for a, b in zip(before, [x, u, *state], strict=True))


def test_the_gradient_is_right_through_two_steps(cell: Cell) -> None:
    x, u, fb, state = inputs(cell)
    tensors = [t.requires_grad_() for t in (x, u, *([] if fb is None else [fb]), *state)]

    def two_steps(x: Tensor, u: Tensor, *rest: Tensor) -> Tensor:
        fed, old = (rest[0], rest[1:]) if fb is not None else (None, rest)
        _, new = cell(x, u, fed, old)
        return cell(x, u, fed, new)[0].sum(dim=(2, 3))  # type: ignore[no-any-return]

    assert torch.autograd.gradcheck(two_steps, tensors, fast_mode=True)


def test_every_parameter_gets_a_gradient(cell: Cell) -> None:
    x, u, fb, state = inputs(cell)
    output, new = cell(x.requires_grad_(), u, fb, state)
    loss = torch.cat([part.flatten() for part in (output, *new)]).square().sum()
    loss.backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    for name, parameter in cell.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_images_of_a_batch_do_not_touch_each_other(cell: Cell) -> None:
    cell.eval()  # batch norm mixes them in training
    x, u, fb, state = inputs(cell)
    together, _ = cell(x, u, fb, state)
    alone, _ = cell(x[:1], u[:1], None if fb is None else fb[:1], tuple(part[:1] for part in state))
    torch.testing.assert_close(together[:1], alone)


def test_feedback_is_refused_where_it_would_be_lost() -> None:
    with pytest.raises(
        NeurofitError, match=r"TimeDecay does not support feedback; got shape \(2, 4, 5\)"
    ):
        CELLS["timedecay"](CellShapes(x=(3, 4, 5), u=(2, 4, 5), fb=(2, 4, 5), channels=3))


@pytest.mark.parametrize(
    "name", ["intersectionrnn", "memoryless", "rgc", "rgc_median", "timedecay"]
)
def test_a_number_of_channels_that_the_cell_cannot_change_is_required(name: str) -> None:
    with pytest.raises(
        NeurofitError, match="needs as many output channels as input channels, 3; got 5"
    ):
        build(name, channels=5)


def test_rgc_refuses_a_convolution_with_a_stride() -> None:
    with pytest.raises(
        NeurofitError, match=r"preserves height and width; got \(4, 4\) to \(2, 2\)"
    ):
        CELLS["rgc"](CellShapes(x=(3, 2, 2), u=(3, 4, 4), channels=3))


PUBLISHED = (
    "gru",
    "intersectionrnn",
    "lstm",
    "rgc",
    "rgc_median",
    "simplernn",
    "timedecay",
    "ugrnn",
)


def test_the_published_cells_have_the_switches_of_the_2018_ablations() -> None:
    assert {name: switchable(name) for name in PUBLISHED if switchable(name) != list(SWITCHES)} == {
        "timedecay": ["gating"]
    }


@pytest.mark.parametrize(("name", "options"), [each for each in SWITCHED if "bypassing" in each[1]])
def test_on_the_first_pass_the_input_reaches_the_output_by_the_bypass_alone(
    name: str, options: dict[str, bool]
) -> None:
    cell = CELLS[name](
        CellShapes(x=(3, 4, 5), u=(3, 4, 5), channels=3), **options
    )  # all kernels are zero
    x = torch.rand(2, 3, 4, 5)
    output, _ = cell(x, x, None, cell.initial_state(x))
    assert bool(output.any()) == options["bypassing"]
    if options["bypassing"]:
        ratio = output / x
        torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio))


@pytest.mark.parametrize("name", ["gru", "lstm", "simplernn", "ugrnn"])
def test_a_bypass_is_projected_where_the_channels_differ(name: str) -> None:
    cell, plain = build(name, channels=5, bypassing=True), build(name, channels=5)
    plain.load_state_dict(
        {key: value for key, value in cell.state_dict().items() if "bypass" not in key}
    )
    x, u, _, state = inputs(cell)
    carried = F.conv2d(x, cell.get_parameter("bypass.shortcut.weight"))
    torch.testing.assert_close(cell(x, u, None, state)[0], plain(x, u, None, state)[0] + carried)


@pytest.mark.parametrize("name", [name for name in CELLS if "gating" in switchable(name)])
def test_without_gating_no_parameter_of_a_gate_is_left(name: str) -> None:
    with_gates, without = build(name, gating=True), build(name, gating=False)
    assert sum(p.numel() for p in without.parameters()) < sum(
        p.numel() for p in with_gates.parameters()
    )
    # With zero kernels a trained gate has the value that it has without gating.
    shapes = CellShapes(x=(3, 4, 5), u=(3, 4, 5), channels=3)
    zero = CELLS[name](shapes, gating=True)  # type: ignore[call-arg]
    fixed = CELLS[name](shapes, gating=False)  # type: ignore[call-arg]
    x = torch.rand(1, 3, 4, 5)
    state = tuple(torch.rand_like(part) for part in fixed.initial_state(x))
    if name in (
        "simplernn",
        "timedecay",
    ):  # they gain gates that start half open; zero kernels leave nothing else in a simplernn
        state = tuple(torch.zeros_like(part) for part in state)
        x = torch.zeros_like(x)
    if name == "gru":
        torch.nn.init.zeros_(zero.get_parameter("input.bias"))
    torch.testing.assert_close(zero(x, x, None, state)[0], fixed(x, x, None, state)[0])


def test_the_state_of_a_gated_simplernn_gates_input_and_state() -> None:
    cell = build("simplernn", gating=True, norm=False)
    x, u, _, (h,) = inputs(cell)
    weight = dict(cell.named_parameters())
    keep, admit = (
        1 - torch.sigmoid(F.conv2d(h, kernel, padding=1))
        for kernel in weight["state_gates.conv.weight"].chunk(2)
    )
    driven = F.conv2d(x, weight["input.weight"], weight["input.bias"], padding=1)
    kept = F.conv2d(h, weight["state.weight"], weight["state.bias"], padding=1)
    torch.testing.assert_close(cell(x, u, None, (h,))[0], F.elu(admit * driven + keep * kept))


def test_peepholes_need_gates() -> None:
    with pytest.raises(NeurofitError, match="peepholes=True needs gating=True"):
        build("lstm", peepholes=True, gating=False)


def test_timedecay_is_a_running_sum_with_decay() -> None:
    shapes = CellShapes(x=(1, 1, 1), u=(1, 1, 1), channels=1)
    cell = CELLS["timedecay"](shapes, initial_decay=0.5)  # type: ignore[call-arg]
    initialise(cell, 0)
    x, state = torch.ones(1, 1, 1, 1), cell.initial_state(torch.ones(1, 1, 1, 1))
    outputs = []
    for _ in range(3):
        output, state = cell(x, x, None, state)
        outputs.append(output.item())
    assert outputs == [1.0, 1.5, 1.75]


def test_the_lstm_forgets_with_its_constant_bias() -> None:
    # Zero kernels: i = j = f = o = 0, so c' = c sigmoid(phi) and h' = tanh(c') / 2.
    shapes = CellShapes(x=(1, 1, 1), u=(1, 1, 1), channels=1)
    cell = CELLS["lstm"](shapes, forget_bias=2.0)  # type: ignore[call-arg]
    x, c = torch.ones(1, 1, 1, 1), torch.full((1, 1, 1, 1), 3.0)
    output, (c_new, _) = cell(x, x, None, (c, c))
    torch.testing.assert_close(c_new, 3 * torch.sigmoid(torch.tensor([[[[2.0]]]])))
    torch.testing.assert_close(output, torch.tanh(c_new) / 2)


def test_rgc_with_closed_kernels_leaks_by_half_and_takes_half_of_its_input() -> None:
    cell = CELLS["rgc"](CellShapes(x=(1, 1, 1), u=(1, 1, 1), channels=1))
    x, c, o = (torch.full((1, 1, 1, 1), value) for value in (1.0, -4.0, 2.0))
    output, (c_new, _) = cell(x, x, None, (c, o))
    torch.testing.assert_close(c_new, F.elu(c / 2))
    torch.testing.assert_close(output, (o + x) / 2)
