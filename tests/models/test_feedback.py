"""Feedback takes one step per edge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from neurofit.activations.model import validate_model
from neurofit.activations.presentation import Presentation
from neurofit.config.registry import Registry
from neurofit.errors import NeurofitError
from neurofit.models import (
    Cell,
    CellShapes,
    Conv,
    ConvRNN,
    Layer,
)
from neurofit.models import layer as layer_module
from neurofit.models.cells import CELLS, Drive, Memoryless, State
from neurofit.models.convolution import Convolution
from neurofit.models.initialisers import Constant, GlorotUniform, Initialiser

Images = Callable[..., Tensor]
Unrolled = Callable[..., list[dict[str, Tensor]]]
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(-1, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(-1, 1, 1)


class Additive(Cell):
    """h' = x + h / 2 + W * fb, a minimal cell with feedback."""

    takes_feedback: ClassVar[bool] = True

    def __init__(self, shapes: CellShapes) -> None:
        super().__init__(shapes)
        self.feedback = Convolution(shapes.fb[0] if shapes.fb else 1, shapes.channels, kernel=1)

    def step(self, drive: Drive, fb: Tensor | None, state: State) -> tuple[Tensor, State]:
        (x,), (h,) = drive, state
        h = x + h / 2 + (0 if fb is None else self.feedback(fb))
        return h, (h,)

    def initial_state(self, x: Tensor) -> State:
        return (self.zeros(x),)

    def initialisers(self) -> Mapping[str, Initialiser]:
        return {"feedback.weight": GlorotUniform(), "feedback.bias": Constant(0.3)}


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> ConvRNN:
    """Return layers a (16 pixels), b and c (8 pixels) with feedback b -> a, c -> a and c -> c."""
    cells: Registry[type[Cell]] = Registry("cell")
    cells.register("memoryless")(Memoryless)
    cells.register("additive")(Additive)
    monkeypatch.setattr(layer_module, "CELLS", cells)
    specs = (
        Layer("a", Conv(4, 3, bias=Constant(0.1)), cell="additive", after_cell=("max_pool",)),
        Layer("b", Conv(5, 2, bias=Constant(0.2)), before_cell=("elu",)),
        Layer("c", Conv(2, 1), cell="additive"),
    )
    feedback = [("c", "a"), ("b", "a"), ("c", "c")]
    return ConvRNN("toy", specs, feedback=feedback, region_layers={}, input_size=16)


def test_feedback_is_the_hand_written_recurrence(random_images: Images, toy: ConvRNN) -> None:
    shown = random_images(2, 16)
    weights = dict(toy.named_parameters())

    def conv(maps: Tensor, name: str, pad: tuple[int, int, int, int] = (0, 0, 0, 0)) -> Tensor:
        return F.conv2d(
            F.pad(maps, pad), weights[f"net.{name}.weight"], weights[f"net.{name}.bias"]
        )

    def enlarged(maps: Tensor) -> Tensor:
        return F.interpolate(maps, size=(16, 16), mode="bilinear", align_corners=True)

    a, b, c = torch.zeros(2, 4, 8, 8), torch.zeros(2, 5, 8, 8), torch.zeros(2, 2, 8, 8)
    state_a, state_c = torch.zeros(2, 4, 16, 16), torch.zeros(2, 2, 8, 8)
    presentation = Presentation(n_timesteps=6, image_off=3, blank=0.25)
    with torch.no_grad():
        for timestep, activations in toy.unroll(shown, presentation):
            seen = (shown - MEAN) / STD if timestep < 3 else torch.full_like(shown, 0.25)
            # Sources are in string order, not in that of the edges.
            state_a = (
                conv(seen, "a.conv", (1, 1, 1, 1))
                + state_a / 2
                + conv(torch.cat([enlarged(b), enlarged(c)], 1), "a.cell.feedback")
            )
            state_c = conv(b, "c.conv") + state_c / 2 + conv(c, "c.cell.feedback")
            a, b, c = F.max_pool2d(state_a, 2), F.elu(conv(a, "b.conv", (0, 1, 0, 1))), state_c
            for layer, expected in (("a", a), ("b", b), ("c", c)):
                torch.testing.assert_close(
                    activations[layer], expected, msg=f"{layer}, timestep {timestep}"
                )
    assert timestep == 5


def test_a_model_with_feedback_keeps_the_contract(toy: ConvRNN) -> None:
    validate_model(toy)
    assert toy.first_timestep == {"a": 0, "b": 1, "c": 2}


def test_asking_for_one_layer_changes_nothing_in_it(
    random_images: Images, unrolled: Unrolled, toy: ConvRNN
) -> None:
    for layer in toy.layers:
        for one, every in zip(
            unrolled(toy, random_images(2, 16), layers=[layer]),
            unrolled(toy, random_images(2, 16)),
            strict=True,
        ):
            assert torch.equal(one[layer], every[layer])


def test_an_edge_that_skips_layers_shows_the_image_earlier(toy: ConvRNN) -> None:
    specs = [Layer(name, Conv(2, 1), cell="additive") for name in ("a", "b", "c")]
    model = ConvRNN("skipping", specs, feedback=[("a", "c")], region_layers={}, input_size=8)
    assert model.first_timestep == {"a": 0, "b": 1, "c": 1}
    validate_model(model)


def test_wrong_tables_are_refused() -> None:
    def build(*specs: Layer, feedback: Sequence[tuple[str, str]] = ()) -> None:
        ConvRNN("wrong", specs, feedback=feedback, region_layers={}, input_size=4)

    plain = Layer("a", Conv(2, 3))
    with pytest.raises(NeurofitError, match="layers with unique names; got a, a"):
        build(plain, plain)
    with pytest.raises(NeurofitError, match="layers with unique names; got none"):
        build()
    with pytest.raises(NeurofitError, match="Unknown source of feedback 'b'"):
        build(plain, feedback=[("b", "a")])
    with pytest.raises(NeurofitError, match="Memoryless does not support feedback"):
        build(plain, feedback=[("a", "a")])
    with pytest.raises(NeurofitError, match=r"Unknown cell 'lstn'\. Did you mean 'lstm'"):
        build(Layer("a", Conv(2, 3), cell="lstn"))
    with pytest.raises(
        NeurofitError, match="Layer a: a kernel of 5 x 5 pixels does not fit a map of 4 x 4"
    ):
        build(Layer("a", Conv(2, 5, padding="valid")))


def test_the_cell_of_these_tests_is_not_registered() -> None:
    assert "additive" not in CELLS
