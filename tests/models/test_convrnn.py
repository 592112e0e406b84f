"""Layers and feedback are unrolled with one step per edge."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from neurofit.activations.model import find_presentation, validate_model
from neurofit.activations.presentation import Presentation
from neurofit.errors import NeurofitError
from neurofit.models import (
    ConvRNN,
    create_model,
    list_models,
    model_info,
)
from neurofit.models.cells import State

Images = Callable[..., Tensor]
Unrolled = Callable[..., list[dict[str, Tensor]]]
TINY = list_models("*_tiny")
SMALL = [
    *TINY,
    "rgc_intermediate",
    "gru_intermediate",
    "intersectionrnn_shallow",
    "ugrnn_shallow",
    "feedforward_shallow",
]
SIZES = {"tiny": 32, "intermediate": 48, "shallow": 66}
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(-1, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(-1, 1, 1)


def plainly_unrolled(
    model: ConvRNN, shown: Tensor, presentation: Presentation
) -> list[dict[str, Tensor]]:
    """Return every layer at every step, from a loop without optimisations."""
    outputs = {layer: shown.new_zeros(len(shown), *model.shapes[layer]) for layer in model.layers}
    states: dict[str, State | None] = dict.fromkeys(model.layers)
    steps = []
    with torch.no_grad():
        for timestep in range(presentation.n_timesteps):
            seen = (
                (shown - MEAN) / STD
                if presentation.shows_image(timestep)
                else torch.full_like(shown, presentation.blank)
            )
            before = dict(outputs)
            for layer in model.layers:
                forward = before if model.unrolling == "biological" else outputs
                u = seen if layer == model.layers[0] else forward[model.below[layer]]
                sources = [
                    F.interpolate(before[s], size=u.shape[2:], mode="bilinear", align_corners=True)
                    for s in model.feedback[layer]
                ]
                fb = torch.cat(sources, 1) if sources else None
                outputs[layer], states[layer] = model.net[layer](u, fb, states[layer])
            steps.append(dict(outputs))
    return steps


# With random weights and full passes, rgc_intermediate grows without bound and its gates amplify
# rounding errors, hence float64. A full pass reaches every layer in one step, hence fewer steps.
@pytest.mark.parametrize(
    ("unroll", "dtype", "tolerance", "presentation"),
    [
        ("biological", torch.float32, 1e-5, "neural"),
        (
            "feedforward-per-step",
            torch.float64,
            1e-9,
            Presentation(n_timesteps=13, image_off=6),
        ),
    ],
    ids=["biological", "feedforward-per-step"],
)
@pytest.mark.parametrize("name", SMALL)
def test_the_fast_loop_gives_the_numbers_of_the_plain_one(
    random_images: Images,
    unrolled: Unrolled,
    name: str,
    unroll: str,
    dtype: torch.dtype,
    tolerance: float,
    presentation: str | Presentation,
) -> None:
    size = SIZES[model_info(name).family]
    model = create_model(name, weights="random", input_size=size, unroll=unroll).to(dtype)
    shown, presentation = random_images(3, size).to(dtype), find_presentation(model, presentation)
    every = unrolled(model, shown, presentation)
    for timestep, plain in enumerate(plainly_unrolled(model, shown, presentation)):
        for layer in model.layers:
            error, scale = (
                float((every[timestep][layer] - plain[layer]).abs().max()),
                float(plain[layer].abs().max()),
            )
            assert error <= tolerance * scale, (
                f"{layer}, timestep {timestep}: {error:.1e} of {scale:.1e}"
            )


@pytest.mark.parametrize("layer", ["conv3", "conv5"])
@pytest.mark.parametrize("name", TINY)
def test_a_layer_alone_is_that_of_full_passes_up_to_the_last_step(
    random_images: Images, unrolled: Unrolled, name: str, layer: str
) -> None:
    model = create_model(
        name, weights="random", input_size=32, unroll="feedforward-per-step"
    ).double()
    shown = random_images().double()
    presentation = Presentation(n_timesteps=6, image_off=3)
    alone = unrolled(model, shown, presentation, layers=[layer])
    plain = plainly_unrolled(model, shown, presentation)
    assert len(alone) == len(plain) == 6
    for timestep, (ours, expected) in enumerate(zip(alone, plain, strict=True)):
        said = f"timestep {timestep}"
        torch.testing.assert_close(ours[layer], expected[layer], rtol=1e-9, atol=1e-9, msg=said)


@pytest.mark.parametrize("name", ["rgc_intermediate", "ugrnn_shallow"])
def test_the_fast_loop_gives_the_gradients_of_the_plain_one(
    random_images: Images, name: str
) -> None:
    size = SIZES[model_info(name).family]
    model = create_model(name, weights="random", input_size=size).double()
    shown, presentation = random_images(2, size).double(), Presentation(n_timesteps=13, image_off=6)
    last = model.layers[-1]

    def gradients(readout: Tensor) -> list[Tensor]:
        weights = (torch.arange(readout.numel(), dtype=readout.dtype) / readout.numel()).view_as(
            readout
        )
        return list(torch.autograd.grad((weights * readout).sum(), list(model.parameters())))

    fast = gradients(
        [step[last] for _, step in model.unroll(shown, presentation, layers=[last])][-1]
    )
    outputs = {layer: torch.zeros(2, *model.shapes[layer]).double() for layer in model.layers}
    states: dict[str, State | None] = dict.fromkeys(model.layers)
    for timestep in range(13):
        seen = (shown - MEAN) / STD if timestep < 6 else torch.full_like(shown, 0.5)
        before = dict(outputs)
        for layer in model.layers:
            u = seen if layer == model.layers[0] else before[model.below[layer]]
            sources = [
                F.interpolate(before[s], size=u.shape[2:], mode="bilinear", align_corners=True)
                for s in model.feedback[layer]
            ]
            outputs[layer], states[layer] = model.net[layer](
                u, torch.cat(sources, 1) if sources else None, states[layer]
            )
    for (name, _), ours, plain in zip(
        model.named_parameters(), fast, gradients(outputs[last]), strict=True
    ):
        torch.testing.assert_close(ours, plain, rtol=1e-6, atol=1e-9, msg=name)


@pytest.mark.parametrize("name", TINY)
def test_a_full_pass_at_each_step_shows_the_image_to_every_layer_at_once(
    random_images: Images, name: str
) -> None:
    model = create_model(name, weights="random", input_size=32, unroll="feedforward-per-step")
    assert set(model.first_timestep.values()) == {0}
    validate_model(model)
    alike = torch.equal(
        model(random_images()), create_model(name, weights="random", input_size=32)(random_images())
    )
    assert alike == (name == "feedforward_tiny")  # without recurrence the logits are the same


def test_a_full_pass_of_a_net_without_recurrence_is_its_last_biological_step(
    random_images: Images, unrolled: Unrolled
) -> None:
    biological = create_model("feedforward_intermediate", weights="random", input_size=32)
    full_pass = create_model(
        "feedforward_intermediate", weights="random", input_size=32, unroll="feedforward-per-step"
    )
    assert torch.equal(
        unrolled(full_pass, random_images(), "minimal")[0]["imnetds"],
        unrolled(biological, random_images(), "minimal")[-1]["imnetds"],
    )


def test_an_unknown_unroll_gets_the_nearest_name() -> None:
    with pytest.raises(
        NeurofitError, match=r"Unknown unroll 'biologic'\. Did you mean 'biological'"
    ):
        create_model("rgc_tiny", weights="random", unroll="biologic")


@pytest.mark.parametrize("name", ["rgc_tiny", "lstm_tiny"])
def test_a_model_can_be_exported_and_the_export_compiled(random_images: Images, name: str) -> None:
    model = create_model(name, weights="random", input_size=32).eval()
    exported = torch.export.export(model, (random_images(),)).module()
    with torch.no_grad():
        expected = model(random_images(seed=1))
        torch.testing.assert_close(exported(random_images(seed=1)), expected)
        torch.testing.assert_close(
            torch.compile(exported, backend="eager", fullgraph=True)(random_images(seed=1)),
            expected,
        )


def test_the_layers_can_be_compiled(random_images: Images, unrolled: Unrolled) -> None:
    torch.compiler.reset()
    size = SIZES["tiny"]
    model = create_model("rgc_tiny", weights="random", input_size=size).eval()
    layers = model.layers[-4:-1]
    with torch.inference_mode():
        plain = unrolled(model, random_images(2, size), "default", layers=layers)
        compiled_frames: list[str] = []

        def backend(graph: torch.fx.GraphModule, example: list[Tensor]) -> Callable[..., Any]:
            compiled_frames.append(str(graph.graph))
            return graph.forward

        model.compile(backend=backend)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            compiled = unrolled(model, random_images(2, size), "default", layers=layers)
    assert any("conv2d" in frame for frame in compiled_frames)
    assert not [str(warning.message) for warning in caught if "recompile" in str(warning.message)]
    for a, b in zip(compiled, plain, strict=True):
        for layer in layers:
            torch.testing.assert_close(a[layer], b[layer])


def test_a_copy_of_a_compiled_model_is_a_model_of_its_own(random_images: Images) -> None:
    torch.compiler.reset()
    model = create_model("timedecay_tiny", weights="random", input_size=32).eval()
    for _ in range(2):
        model.compile(backend="eager")
    copies = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
    with torch.inference_mode():
        expected = model(random_images())
        for each in copies:
            torch.testing.assert_close(each(random_images()), expected)
            for parameter in each.parameters():
                parameter.zero_()
            assert not each(random_images()).any()
        torch.testing.assert_close(model(random_images()), expected)


@pytest.mark.parametrize("name", ["rgc_tiny", "rgc_intermediate", "gru_intermediate"])
def test_a_channels_last_or_half_precision_model_unrolls(
    random_images: Images, unrolled: Unrolled, name: str
) -> None:
    size = SIZES[model_info(name).family]
    model, shown = create_model(name, weights="random", input_size=size), random_images(2, size)
    with torch.no_grad():
        expected = model(shown)
        last = model.to(memory_format=torch.channels_last)
        torch.testing.assert_close(
            last(shown.contiguous(memory_format=torch.channels_last)),
            expected,
            rtol=1e-4,
            atol=1e-4,
        )
        maps = unrolled(
            last, shown.contiguous(memory_format=torch.channels_last), layers=["conv4"]
        )[-1]["conv4"]
        assert maps.is_contiguous(memory_format=torch.channels_last)
        half = model.to(torch.bfloat16)(shown.to(torch.bfloat16))
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(
        half.float(), expected, rtol=0.1, atol=0.1 * float(expected.abs().max())
    )


@pytest.mark.parametrize("name", TINY)
def test_asking_for_a_lower_layer_changes_nothing_in_it(
    random_images: Images, unrolled: Unrolled, name: str
) -> None:
    model = create_model(name, weights="random", input_size=32)
    every = unrolled(model, random_images())
    one = unrolled(model, random_images(), layers=("conv4", "conv3"))
    for a, b in zip(one, every, strict=True):
        assert list(a) == ["conv4", "conv3"]
        assert all(torch.equal(a[layer], b[layer]) for layer in a)


@pytest.mark.parametrize("name", [name for name in TINY if "feedback" not in name])
def test_layers_above_the_asked_ones_are_not_computed(
    random_images: Images, unrolled: Unrolled, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = create_model(name, weights="random", input_size=32)
    monkeypatch.setattr(model.get_submodule("net.conv5"), "step", None)
    unrolled(model, random_images(), layers=["conv4"])
    with pytest.raises(TypeError):
        unrolled(model, random_images())


@pytest.mark.parametrize("name", TINY)
def test_an_image_has_the_same_logits_alone_and_in_a_batch(
    random_images: Images, name: str
) -> None:
    model = create_model(name, weights="random", input_size=32)
    alone, company = model(random_images()[:1]), model(random_images(2))
    assert alone.shape == (1, 10)
    torch.testing.assert_close(alone, company[:1])


@pytest.mark.parametrize("name", TINY)
def test_float64_gives_float64_and_the_same_numbers(
    random_images: Images, unrolled: Unrolled, name: str
) -> None:
    single, double = (
        create_model(name, weights="random", input_size=32),
        create_model(name, weights="random", input_size=32).double(),
    )
    for a, b in zip(
        unrolled(single, random_images()), unrolled(double, random_images().double()), strict=True
    ):
        for layer in single.layers:
            assert b[layer].dtype == torch.float64
            torch.testing.assert_close(a[layer].double(), b[layer], rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("name", TINY)
def test_a_loss_trains_every_parameter(random_images: Images, name: str) -> None:
    model = create_model(name, weights="random", input_size=32)
    loss = F.cross_entropy(model(random_images()), torch.tensor([1, 7]))
    loss.backward()  # type: ignore[no-untyped-call]
    for parameter, tensor in model.named_parameters():
        assert tensor.grad is not None, parameter
        assert tensor.grad.isfinite().all(), parameter
        assert tensor.grad.any(), parameter


def test_a_yielded_step_does_not_hold_the_earlier_ones(random_images: Images) -> None:
    steps = create_model("rgc_tiny", weights="random", input_size=32).unroll(random_images())
    assert next(steps)[0] == 0
    assert next(steps)[0] == 1


def test_unknown_layers_and_presentations_get_the_nearest_name(random_images: Images) -> None:
    model = create_model("rgc_tiny", weights="random", input_size=32)
    with pytest.raises(NeurofitError, match="Did you mean 'conv3'"):
        model.unroll(random_images(), layers=["con3"])
    with pytest.raises(NeurofitError, match="Did you mean 'neural'"):
        model.unroll(random_images(), "neurla")


@pytest.mark.parametrize(
    ("name", "region", "share"),
    [
        ("rgc_tiny", "V4", 0.26),
        ("rgc_tiny", "IT", 0.42),
        ("rgc_intermediate", "V4", 0.56),
        ("rgc_intermediate", "IT", 0.56),
        ("ugrnn_shallow", "V4", 0.26),
        ("ugrnn_shallow", "IT", 0.63),
        ("feedforward_shallow", "IT", 0.1),
    ],
)
def test_convolutions_that_no_requested_layer_needs_are_not_computed(
    random_images: Images, name: str, region: str, share: float
) -> None:
    size = SIZES[name.split("_")[-1]]
    model = create_model(name, weights="random", input_size=size).eval()
    shown, presentation = random_images(2, size), model.presentations["neural"]
    with FlopCounterMode(display=False) as plain:
        plainly_unrolled(model, shown, presentation)
    with FlopCounterMode(display=False) as fast, torch.no_grad():
        for _ in model.unroll(shown, presentation, layers=model.region_layers[region]):
            pass
    assert fast.get_total_flops() <= share * plain.get_total_flops()
