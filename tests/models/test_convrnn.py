"""Layers and feedback unroll as the equations say: one edge is one step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from neurofit.errors import NeurofitError
from neurofit.models import Cell, CellShapes, Conv, ConvRNN, Layer, create_model, list_models
from neurofit.models import layer as layer_module
from neurofit.models.cells import CELLS, Memoryless, State
from neurofit.models.convolution import Convolution
from neurofit.models.initialisers import Constant, GlorotUniform, Initialiser
from neurofit.presentation import Presentation
from neurofit.protocol import validate_model
from neurofit.registry import Registry

TINY = list_models("*_tiny")
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(-1, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(-1, 1, 1)


def images(n: int = 2, size: int = 32, *, seed: int = 0) -> Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def unrolled(
    model: ConvRNN, shown: Tensor, presentation: str | Presentation = "default", layers: Sequence[str] | None = None
) -> list[dict[str, Tensor]]:
    with torch.no_grad():
        return [activations for _, activations in model.unroll(shown, presentation, layers=layers)]


class Additive(Cell):
    """h' = x + h / 2 + W * fb: the least cell that takes feedback."""

    takes_feedback: ClassVar[bool] = True

    def __init__(self, shapes: CellShapes) -> None:
        super().__init__(shapes)
        self.feedback = Convolution(shapes.fb[0] if shapes.fb else 1, shapes.channels, kernel=1)

    def forward(self, x: Tensor, u: Tensor, fb: Tensor | None, state: State) -> tuple[Tensor, State]:
        (h,) = state
        h = x + h / 2 + (0 if fb is None else self.feedback(fb))
        return h, (h,)

    def initial_state(self, x: Tensor) -> State:
        return (self.zeros(x),)

    def initialisers(self) -> Mapping[str, Initialiser]:
        return {"feedback.weight": GlorotUniform(), "feedback.bias": Constant(0.3)}


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> ConvRNN:
    """Return "a" at 16 pixels, "b" and "c" at 8: b -> a and c -> a are feedback, c -> c a loop over one step."""
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


def test_feedback_is_the_hand_written_recurrence(toy: ConvRNN) -> None:
    shown = images(2, 16)
    weights = dict(toy.named_parameters())

    def conv(maps: Tensor, name: str, pad: tuple[int, int, int, int] = (0, 0, 0, 0)) -> Tensor:
        return F.conv2d(F.pad(maps, pad), weights[f"net.{name}.weight"], weights[f"net.{name}.bias"])

    def enlarged(maps: Tensor) -> Tensor:
        return F.interpolate(maps, size=(16, 16), mode="bilinear", align_corners=True)

    a, b, c = torch.zeros(2, 4, 8, 8), torch.zeros(2, 5, 8, 8), torch.zeros(2, 2, 8, 8)
    state_a, state_c = torch.zeros(2, 4, 16, 16), torch.zeros(2, 2, 8, 8)
    presentation = Presentation(n_timesteps=6, image_off=3, blank=0.25)
    with torch.no_grad():
        for timestep, activations in toy.unroll(shown, presentation):
            seen = (shown - MEAN) / STD if timestep < 3 else torch.full_like(shown, 0.25)
            # Sources in string order, whatever the order of the edges.
            state_a = conv(seen, "a.conv", (1, 1, 1, 1)) + state_a / 2 + conv(torch.cat([enlarged(b), enlarged(c)], 1), "a.cell.feedback")
            state_c = conv(b, "c.conv") + state_c / 2 + conv(c, "c.cell.feedback")
            a, b, c = F.max_pool2d(state_a, 2), F.elu(conv(a, "b.conv", (0, 1, 0, 1))), state_c
            for layer, expected in (("a", a), ("b", b), ("c", c)):
                torch.testing.assert_close(activations[layer], expected, msg=f"{layer}, timestep {timestep}")
    assert timestep == 5


def test_a_model_with_feedback_keeps_the_contract(toy: ConvRNN) -> None:
    validate_model(toy)
    assert toy.first_timestep == {"a": 0, "b": 1, "c": 2}


def test_asking_for_one_layer_changes_nothing_in_it(toy: ConvRNN) -> None:
    for layer in toy.layers:
        for one, every in zip(unrolled(toy, images(2, 16), layers=[layer]), unrolled(toy, images(2, 16)), strict=True):
            assert torch.equal(one[layer], every[layer])


def test_an_edge_that_skips_layers_brings_the_image_earlier(toy: ConvRNN) -> None:
    specs = [Layer(name, Conv(2, 1), cell="additive") for name in ("a", "b", "c")]
    model = ConvRNN("skipping", specs, feedback=[("a", "c")], region_layers={}, input_size=8)
    assert model.first_timestep == {"a": 0, "b": 1, "c": 1}
    validate_model(model)


@pytest.mark.parametrize("name", TINY)
def test_asking_for_a_lower_layer_changes_nothing_in_it(name: str) -> None:
    model = create_model(name, input_size=32)
    every = unrolled(model, images())
    one = unrolled(model, images(), layers=("conv4", "conv3"))
    for a, b in zip(one, every, strict=True):
        assert list(a) == ["conv4", "conv3"]
        assert all(torch.equal(a[layer], b[layer]) for layer in a)


@pytest.mark.parametrize("name", TINY)
def test_layers_above_the_asked_ones_are_not_computed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = create_model(name, input_size=32)
    monkeypatch.setattr(model.get_submodule("net.conv5"), "forward", None)
    unrolled(model, images(), layers=["conv4"])
    with pytest.raises(TypeError):
        unrolled(model, images())


def test_a_constant_image_is_convolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = create_model("rgc_tiny", input_size=32)
    calls = []
    model.get_submodule("net.conv1.conv").register_forward_hook(lambda *_: calls.append(1))
    unrolled(model, images(), "neural")
    assert len(calls) == 2  # the image and the blank


@pytest.mark.parametrize("name", TINY)
def test_neural_is_default_until_the_image_goes_off(name: str) -> None:
    model = create_model(name, input_size=32)
    default, neural = unrolled(model, images()), unrolled(model, images(), "neural")
    assert (len(default), len(neural)) == (16, 26)
    for timestep in range(16):
        for layer in model.layers:
            gone = timestep >= 10 + model.first_timestep[layer]
            if not gone:
                assert torch.equal(default[timestep][layer], neural[timestep][layer]), (timestep, layer)
            elif timestep < 12:
                assert not torch.equal(default[timestep][layer], neural[timestep][layer]), (timestep, layer)


def test_the_blank_never_reaches_the_default_logits() -> None:
    model = create_model("rgc_tiny", input_size=32)
    constant = unrolled(model, images(), "constant", layers=["imnetds"])
    assert torch.equal(model(images()), constant[-1]["imnetds"].flatten(1))


@pytest.mark.parametrize(("space", "seen"), [("normalized", torch.full((3, 1, 1), 0.5)), ("pixel", (0.5 - MEAN) / STD)])
def test_the_blank_is_kept_in_its_space(space: str, seen: Tensor) -> None:
    model = create_model("timedecay_tiny", input_size=32)
    presentation = Presentation(n_timesteps=2, image_off=1, blank=0.5, blank_space=space)  # type: ignore[arg-type]
    conv1 = unrolled(model, images(), presentation, layers=["conv1"])[1]["conv1"]
    with torch.no_grad():
        expected = F.elu(model.get_submodule("net.conv1.conv")(seen.expand(2, 3, 32, 32)))
    torch.testing.assert_close(conv1, expected)


def test_normalising_is_the_models_business() -> None:
    model = create_model("timedecay_tiny", input_size=32)
    conv1 = unrolled(model, images(), "constant", layers=["conv1"])[0]["conv1"]
    with torch.no_grad():
        torch.testing.assert_close(conv1, F.elu(model.get_submodule("net.conv1.conv")((images() - MEAN) / STD)))


@pytest.mark.parametrize("name", TINY)
def test_a_batch_of_one_gives_what_it_gives_in_company(name: str) -> None:
    model = create_model(name, input_size=32)
    alone, company = model(images()[:1]), model(images(2))
    assert alone.shape == (1, 10)
    torch.testing.assert_close(alone, company[:1])


@pytest.mark.parametrize("name", TINY)
def test_float64_gives_float64_and_the_same_numbers(name: str) -> None:
    single, double = create_model(name, input_size=32), create_model(name, input_size=32).double()
    for a, b in zip(unrolled(single, images()), unrolled(double, images().double()), strict=True):
        for layer in single.layers:
            assert b[layer].dtype == torch.float64
            torch.testing.assert_close(a[layer].double(), b[layer], rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("name", TINY)
def test_a_loss_trains_every_parameter(name: str) -> None:
    model = create_model(name, input_size=32)
    F.cross_entropy(model(images()), torch.tensor([1, 7])).backward()  # type: ignore[no-untyped-call]
    for parameter, tensor in model.named_parameters():
        assert tensor.grad is not None, parameter
        assert tensor.grad.isfinite().all(), parameter
        assert tensor.grad.any(), parameter


def test_a_yielded_step_does_not_hold_the_earlier_ones() -> None:
    steps = create_model("rgc_tiny", input_size=32).unroll(images())
    assert next(steps)[0] == 0
    assert next(steps)[0] == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (torch.zeros(2, 3, 64, 64), r"takes images \(batch, 3, 32, 32\); got \(2, 3, 64, 64\)"),
        (torch.zeros(3, 32, 32), r"got \(3, 32, 32\)"),
        (torch.zeros(2, 32, 32, 3), r"got \(2, 32, 32, 3\)"),
        (torch.zeros(0, 3, 32, 32), r"got \(0, 3, 32, 32\)"),
        (torch.zeros(2, 3, 32, 32, dtype=torch.uint8), r"in \[0, 1\]; got torch.uint8 on cpu"),
        (torch.zeros(2, 3, 32, 32, dtype=torch.float64), "got torch.float64 on cpu"),
        (torch.full((2, 3, 32, 32), 255.0), "got values from 255 to 255"),
        (torch.full((2, 3, 32, 32), -1.0), "got values from -1 to -1"),
        (torch.full((2, 3, 32, 32), float("nan")), "got values from nan to nan"),
    ],
)
def test_wrong_images_are_refused_at_once_and_in_one_line(given: Tensor, said: str) -> None:
    model = create_model("rgc_tiny", input_size=32)
    with pytest.raises(NeurofitError, match=said) as error:
        model.unroll(given)
    assert "\n" not in str(error.value)


def test_a_resize_may_round_a_little_out_of_range() -> None:
    create_model("rgc_tiny", input_size=32).unroll(images() * 1.00001)


def test_unknown_layers_and_presentations_get_the_nearest_name() -> None:
    model = create_model("rgc_tiny", input_size=32)
    with pytest.raises(NeurofitError, match="Did you mean 'conv3'"):
        model.unroll(images(), layers=["con3"])
    with pytest.raises(NeurofitError, match="Did you mean 'neural'"):
        model.unroll(images(), "neurla")


def test_wrong_tables_are_refused() -> None:
    def build(*specs: Layer, feedback: Sequence[tuple[str, str]] = ()) -> None:
        ConvRNN("wrong", specs, feedback=feedback, region_layers={}, input_size=4)

    plain = Layer("a", Conv(2, 3))
    with pytest.raises(NeurofitError, match="each with its own name; got a, a"):
        build(plain, plain)
    with pytest.raises(NeurofitError, match="each with its own name; got none"):
        build()
    with pytest.raises(NeurofitError, match="Unknown source of feedback 'b'"):
        build(plain, feedback=[("b", "a")])
    with pytest.raises(NeurofitError, match="Memoryless does not take feedback"):
        build(plain, feedback=[("a", "a")])
    with pytest.raises(NeurofitError, match=r"Unknown cell 'lstn'\. Did you mean 'lstm'"):
        build(Layer("a", Conv(2, 3), cell="lstn"))
    with pytest.raises(NeurofitError, match="Layer a: a kernel of 5 x 5 pixels does not fit a map of 4 x 4"):
        build(Layer("a", Conv(2, 5, padding="valid")))


def test_the_registered_cells_are_still_there() -> None:
    assert "additive" not in CELLS
