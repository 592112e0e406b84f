"""Layers and feedback unroll as the equations say: one edge is one step."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from neurofit.errors import NeurofitError
from neurofit.models import Cell, CellShapes, Conv, ConvRNN, Layer, create_model, list_models, model_info
from neurofit.models import layer as layer_module
from neurofit.models.cells import CELLS, Drive, Memoryless, State
from neurofit.models.convolution import Convolution
from neurofit.models.initialisers import Constant, GlorotUniform, Initialiser
from neurofit.presentation import Presentation
from neurofit.protocol import validate_model
from neurofit.registry import Registry

TINY = list_models("*_tiny")
SMALL = [*TINY, "rgc_intermediate", "gru_intermediate", "intersectionrnn_shallow", "ugrnn_shallow", "feedforward_shallow"]
SIZES = {"tiny": 32, "intermediate": 48, "shallow": 66}
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


def plainly_unrolled(model: ConvRNN, shown: Tensor, presentation: Presentation) -> list[dict[str, Tensor]]:
    """Return every layer at every step, computed for every image, with nothing kept but outputs and states."""
    outputs = {layer: shown.new_zeros(len(shown), *model.shapes[layer]) for layer in model.layers}
    states: dict[str, State | None] = dict.fromkeys(model.layers)
    steps = []
    with torch.no_grad():
        for timestep in range(presentation.n_timesteps):
            seen = (shown - MEAN) / STD if presentation.shows_image(timestep) else torch.full_like(shown, presentation.blank)
            before = dict(outputs)
            for layer in model.layers:
                forward = before if model.unrolling == "biological" else outputs
                u = seen if layer == model.layers[0] else forward[model.below[layer]]
                sources = [F.interpolate(before[s], size=u.shape[2:], mode="bilinear", align_corners=True) for s in model.feedback[layer]]
                fb = torch.cat(sources, 1) if sources else None
                outputs[layer], states[layer] = model.net[layer](u, fb, states[layer])
            steps.append(dict(outputs))
    return steps


# Random rgc_intermediate grows without bound when unrolled by full passes, and its gates amplify rounding: float64 shows equality.
@pytest.mark.parametrize(
    ("unroll", "dtype", "tolerance"), [("biological", torch.float32, 1e-5), ("feedforward-per-step", torch.float64, 1e-9)]
)
@pytest.mark.parametrize("name", SMALL)
def test_the_fast_loop_gives_the_numbers_of_the_plain_one(name: str, unroll: str, dtype: torch.dtype, tolerance: float) -> None:
    size = SIZES[model_info(name).family]
    model = create_model(name, input_size=size, unroll=unroll).to(dtype)
    shown = images(3, size).to(dtype)
    every = unrolled(model, shown, "neural")
    for timestep, plain in enumerate(plainly_unrolled(model, shown, model.presentations["neural"])):
        for layer in model.layers:
            error, scale = float((every[timestep][layer] - plain[layer]).abs().max()), float(plain[layer].abs().max())
            assert error <= tolerance * scale, f"{layer}, timestep {timestep}: {error:.1e} of {scale:.1e}"


@pytest.mark.parametrize("layer", ["conv3", "conv5"])
@pytest.mark.parametrize("name", TINY)
def test_a_layer_alone_is_that_of_full_passes_up_to_the_last_step(name: str, layer: str) -> None:
    model = create_model(name, input_size=32, unroll="feedforward-per-step").double()
    shown = images().double()
    presentation = Presentation(n_timesteps=6, image_off=3)
    alone = unrolled(model, shown, presentation, layers=[layer])
    plain = plainly_unrolled(model, shown, presentation)
    assert len(alone) == len(plain) == 6
    for timestep, (ours, expected) in enumerate(zip(alone, plain, strict=True)):
        said = f"timestep {timestep}"
        torch.testing.assert_close(ours[layer], expected[layer], rtol=1e-9, atol=1e-9, msg=said)


@pytest.mark.parametrize("name", ["rgc_intermediate", "ugrnn_shallow"])
def test_the_fast_loop_gives_the_gradients_of_the_plain_one(name: str) -> None:
    size = SIZES[model_info(name).family]
    model = create_model(name, input_size=size).double()
    shown, presentation = images(2, size).double(), Presentation(n_timesteps=13, image_off=6)
    last = model.layers[-1]

    def gradients(readout: Tensor) -> list[Tensor]:
        weights = (torch.arange(readout.numel(), dtype=readout.dtype) / readout.numel()).view_as(readout)
        return list(torch.autograd.grad((weights * readout).sum(), list(model.parameters())))

    fast = gradients([step[last] for _, step in model.unroll(shown, presentation, layers=[last])][-1])
    outputs = {layer: torch.zeros(2, *model.shapes[layer]).double() for layer in model.layers}
    states: dict[str, State | None] = dict.fromkeys(model.layers)
    for timestep in range(13):
        seen = (shown - MEAN) / STD if timestep < 6 else torch.full_like(shown, 0.5)
        before = dict(outputs)
        for layer in model.layers:
            u = seen if layer == model.layers[0] else before[model.below[layer]]
            sources = [F.interpolate(before[s], size=u.shape[2:], mode="bilinear", align_corners=True) for s in model.feedback[layer]]
            outputs[layer], states[layer] = model.net[layer](u, torch.cat(sources, 1) if sources else None, states[layer])
    for (name, _), ours, plain in zip(model.named_parameters(), fast, gradients(outputs[last]), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-6, atol=1e-9, msg=name)


@pytest.mark.parametrize("name", TINY)
def test_a_full_pass_at_each_step_brings_the_image_to_every_layer_at_once(name: str) -> None:
    model = create_model(name, input_size=32, unroll="feedforward-per-step")
    assert set(model.first_timestep.values()) == {0}
    validate_model(model)
    alike = torch.equal(model(images()), create_model(name, input_size=32)(images()))
    assert alike == (name == "feedforward_tiny")  # what has no recurrence ends the same way


def test_a_full_pass_of_a_net_without_recurrence_is_its_last_biological_step() -> None:
    biological = create_model("feedforward_intermediate", input_size=32)
    full_pass = create_model("feedforward_intermediate", input_size=32, unroll="feedforward-per-step")
    assert torch.equal(unrolled(full_pass, images(), "minimal")[0]["imnetds"], unrolled(biological, images(), "minimal")[-1]["imnetds"])


@pytest.mark.parametrize("name", ["rgc_tiny", "rgc_intermediate_tmaxconf"])
def test_the_minimal_presentation_ends_when_the_image_reaches_the_readout(name: str) -> None:
    model = create_model(name, input_size=32)
    steps = unrolled(model, images(), "minimal")
    assert len(steps) == len(model.layers) == 1 + model.first_timestep["imnetds"]
    assert torch.equal(model(images(), "minimal"), steps[-1]["imnetds"].flatten(1))


def test_unrolls_have_names() -> None:
    with pytest.raises(NeurofitError, match=r"Unknown unroll 'biologic'\. Did you mean 'biological'"):
        create_model("rgc_tiny", unroll="biologic")


@pytest.mark.parametrize("name", ["rgc_tiny", "ugrnn_shallow", "rgc_intermediate"])
def test_what_all_images_share_is_computed_for_one(name: str) -> None:
    size = SIZES[model_info(name).family]
    model = create_model(name, input_size=size)
    batches: dict[str, list[int]] = {}
    for layer in model.layers:
        conv = model.get_submodule(f"net.{layer}.conv")
        conv.register_forward_hook(lambda _, inputs, output, layer=layer: batches.setdefault(layer, []).append(len(output)))
    unrolled(model, images(3, size), "neural")
    assert batches["conv1"] == [3, 1]  # the image and the blank
    assert batches["conv2"] == [1, 3, 1]  # what conv1 gives from nothing is zero; then the image, the blank
    for layer in model.layers[2:]:
        driven_by_memory = "memoryless" not in model.get_submodule(f"net.{model.below[layer]}").spec.cell
        assert batches[layer].count(1) >= min(model.first_timestep[layer], 2), layer
        assert batches[layer][-1] == (3 if driven_by_memory else 1), layer


@pytest.mark.parametrize("name", ["rgc_tiny", "lstm_tiny"])
def test_a_model_can_be_exported_and_the_export_compiled(name: str) -> None:
    model = create_model(name, input_size=32).eval()
    exported = torch.export.export(model, (images(),)).module()
    with torch.no_grad():
        expected = model(images(seed=1))
        torch.testing.assert_close(exported(images(seed=1)), expected)
        torch.testing.assert_close(torch.compile(exported, backend="eager", fullgraph=True)(images(seed=1)), expected)


def test_the_layers_can_be_compiled() -> None:
    torch.compiler.reset()
    size = SIZES["tiny"]
    model = create_model("rgc_tiny", input_size=size).eval()
    layers = model.layers[-4:-1]
    with torch.inference_mode():
        plain = unrolled(model, images(2, size), "default", layers=layers)
        compiled_frames: list[str] = []

        def backend(graph: torch.fx.GraphModule, example: list[Tensor]) -> Callable[..., Any]:
            compiled_frames.append(str(graph.graph))
            return graph.forward

        model.compile(backend=backend)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            compiled = unrolled(model, images(2, size), "default", layers=layers)
    assert any("conv2d" in frame for frame in compiled_frames)
    assert not [str(warning.message) for warning in said if "recompile" in str(warning.message)]
    for a, b in zip(compiled, plain, strict=True):
        for layer in layers:
            torch.testing.assert_close(a[layer], b[layer])


def test_a_copy_of_a_compiled_model_is_a_model_of_its_own() -> None:
    torch.compiler.reset()
    model = create_model("timedecay_tiny", input_size=32).eval()
    for _ in range(2):
        model.compile(backend="eager")
    copies = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
    with torch.inference_mode():
        expected = model(images())
        for each in copies:
            torch.testing.assert_close(each(images()), expected)
            for parameter in each.parameters():
                parameter.zero_()
            assert not each(images()).any()
        torch.testing.assert_close(model(images()), expected)


@pytest.mark.parametrize("name", ["rgc_intermediate_tmaxconf", "simplernn_tiny"])
def test_there_is_nothing_to_decode_before_the_image_reaches_the_readout(name: str) -> None:
    size = SIZES[model_info(name).family]
    model = create_model(name, input_size=size)
    n = len(model.layers)
    with pytest.raises(NeurofitError, match=f"reaches the readout of {name} at timestep {n - 1}, and the presentation ends after {n - 1}"):
        model(images(2, size), Presentation(n_timesteps=n - 1))
    with torch.no_grad():
        assert not torch.equal(*model(images(2, size), Presentation(n_timesteps=n)))


@pytest.mark.parametrize("name", ["rgc_tiny", "rgc_intermediate", "gru_intermediate"])
def test_a_channels_last_or_half_precision_model_unrolls(name: str) -> None:
    size = SIZES[model_info(name).family]
    model, shown = create_model(name, input_size=size), images(2, size)
    with torch.no_grad():
        expected = model(shown)
        last = model.to(memory_format=torch.channels_last)
        torch.testing.assert_close(last(shown.contiguous(memory_format=torch.channels_last)), expected, rtol=1e-4, atol=1e-4)
        maps = unrolled(last, shown.contiguous(memory_format=torch.channels_last), layers=["conv4"])[-1]["conv4"]
        assert maps.is_contiguous(memory_format=torch.channels_last)
        half = model.to(torch.bfloat16)(shown.to(torch.bfloat16))
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), expected, rtol=0.1, atol=0.1 * float(expected.abs().max()))


@pytest.mark.parametrize("name", TINY)
def test_asking_for_a_lower_layer_changes_nothing_in_it(name: str) -> None:
    model = create_model(name, input_size=32)
    every = unrolled(model, images())
    one = unrolled(model, images(), layers=("conv4", "conv3"))
    for a, b in zip(one, every, strict=True):
        assert list(a) == ["conv4", "conv3"]
        assert all(torch.equal(a[layer], b[layer]) for layer in a)


@pytest.mark.parametrize("name", [name for name in TINY if "feedback" not in name])
def test_layers_above_the_asked_ones_are_not_computed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = create_model(name, input_size=32)
    monkeypatch.setattr(model.get_submodule("net.conv5"), "step", None)
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
def test_neural_is_what_is_shown_for_longer_until_the_image_goes_off(name: str) -> None:
    model = create_model(name, input_size=32)
    default, neural = unrolled(model, images(), Presentation(n_timesteps=16, image_off=12)), unrolled(model, images(), "neural")
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
