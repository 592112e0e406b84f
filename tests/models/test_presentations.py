"""What the model is shown: images, blanks, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from neurofit.activations.presentation import Presentation
from neurofit.errors import NeurofitError
from neurofit.models import (
    create_model,
    list_models,
    model_info,
)

Images = Callable[..., Tensor]
Unrolled = Callable[..., list[dict[str, Tensor]]]
TINY = list_models("*_tiny")
SIZES = {"tiny": 32, "intermediate": 48, "shallow": 66}
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(-1, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(-1, 1, 1)


@pytest.mark.parametrize("name", ["rgc_tiny", "rgc_intermediate_tmaxconf"])
def test_the_minimal_presentation_ends_when_the_image_reaches_the_readout(
    random_images: Images, unrolled: Unrolled, name: str
) -> None:
    model = create_model(name, weights="random", input_size=32)
    steps = unrolled(model, random_images(), "minimal")
    assert len(steps) == len(model.layers) == 1 + model.first_timestep["imnetds"]
    assert torch.equal(model(random_images(), "minimal"), steps[-1]["imnetds"].flatten(1))


@pytest.mark.parametrize("name", ["rgc_tiny", "ugrnn_shallow", "rgc_intermediate"])
def test_what_all_images_share_is_computed_for_one(
    random_images: Images, unrolled: Unrolled, name: str
) -> None:
    size = SIZES[model_info(name).family]
    model = create_model(name, weights="random", input_size=size)
    batches: dict[str, list[int]] = {}
    for layer in model.layers:
        conv = model.get_submodule(f"net.{layer}.conv")
        conv.register_forward_hook(
            lambda _, inputs, output, layer=layer: batches.setdefault(layer, []).append(len(output))
        )
    unrolled(model, random_images(3, size), "neural")
    assert batches["conv1"] == [3, 1]  # the image and the blank
    assert batches["conv2"] == [1, 3, 1]  # zeros before the image, the image, the blank
    for layer in model.layers[2:]:
        driven_by_memory = (
            "memoryless" not in model.get_submodule(f"net.{model.below[layer]}").spec.cell
        )
        assert batches[layer].count(1) >= min(model.first_timestep[layer], 2), layer
        assert batches[layer][-1] == (3 if driven_by_memory else 1), layer


@pytest.mark.parametrize("name", ["rgc_intermediate_tmaxconf", "simplernn_tiny"])
def test_there_is_nothing_to_decode_before_the_image_reaches_the_readout(
    random_images: Images, name: str
) -> None:
    size = SIZES[model_info(name).family]
    model = create_model(name, weights="random", input_size=size)
    n = len(model.layers)
    with pytest.raises(
        NeurofitError,
        match=f"reaches the readout of {name} at timestep {n - 1}, "
        f"but the presentation has {n - 1}",
    ):
        model(random_images(2, size), Presentation(n_timesteps=n - 1))
    with torch.no_grad():
        assert not torch.equal(*model(random_images(2, size), Presentation(n_timesteps=n)))


def test_a_constant_image_is_convolved_once(
    random_images: Images, unrolled: Unrolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = create_model("rgc_tiny", weights="random", input_size=32)
    calls = []
    model.get_submodule("net.conv1.conv").register_forward_hook(lambda *_: calls.append(1))
    unrolled(model, random_images(), "neural")
    assert len(calls) == 2  # the image and the blank


@pytest.mark.parametrize("name", TINY)
def test_neural_is_what_is_shown_for_longer_until_the_image_goes_off(
    random_images: Images, unrolled: Unrolled, name: str
) -> None:
    model = create_model(name, weights="random", input_size=32)
    default, neural = (
        unrolled(model, random_images(), Presentation(n_timesteps=16, image_off=12)),
        unrolled(model, random_images(), "neural"),
    )
    assert (len(default), len(neural)) == (16, 26)
    for timestep in range(16):
        for layer in model.layers:
            gone = timestep >= 10 + model.first_timestep[layer]
            if not gone:
                assert torch.equal(default[timestep][layer], neural[timestep][layer]), (
                    timestep,
                    layer,
                )
            elif timestep < 12:
                assert not torch.equal(default[timestep][layer], neural[timestep][layer]), (
                    timestep,
                    layer,
                )


def test_the_blank_never_reaches_the_default_logits(
    random_images: Images, unrolled: Unrolled
) -> None:
    model = create_model("rgc_tiny", weights="random", input_size=32)
    constant = unrolled(model, random_images(), "constant", layers=["imnetds"])
    assert torch.equal(model(random_images()), constant[-1]["imnetds"].flatten(1))


@pytest.mark.parametrize(
    ("space", "seen"), [("normalized", torch.full((3, 1, 1), 0.5)), ("pixel", (0.5 - MEAN) / STD)]
)
def test_the_blank_is_in_its_colour_space(
    random_images: Images, unrolled: Unrolled, space: Any, seen: Tensor
) -> None:
    model = create_model("timedecay_tiny", weights="random", input_size=32)
    presentation = Presentation(n_timesteps=2, image_off=1, blank=0.5, blank_space=space)
    conv1 = unrolled(model, random_images(), presentation, layers=["conv1"])[1]["conv1"]
    with torch.no_grad():
        expected = F.elu(model.get_submodule("net.conv1.conv")(seen.expand(2, 3, 32, 32)))
    torch.testing.assert_close(conv1, expected)


def test_the_model_normalises_the_images(random_images: Images, unrolled: Unrolled) -> None:
    model = create_model("timedecay_tiny", weights="random", input_size=32)
    conv1 = unrolled(model, random_images(), "constant", layers=["conv1"])[0]["conv1"]
    with torch.no_grad():
        torch.testing.assert_close(
            conv1, F.elu(model.get_submodule("net.conv1.conv")((random_images() - MEAN) / STD))
        )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (torch.zeros(2, 3, 64, 64), r"takes images \(batch, 3, 32, 32\); got \(2, 3, 64, 64\)"),
        (torch.zeros(3, 32, 32), r"got \(3, 32, 32\)"),
        (torch.zeros(2, 32, 32, 3), r"got \(2, 32, 32, 3\)"),
        (torch.zeros(0, 3, 32, 32), r"got \(0, 3, 32, 32\)"),
        (
            torch.zeros(2, 3, 32, 32, dtype=torch.uint8),
            r"in \[0, 1\] of the same dtype and device; got torch.uint8 on cpu",
        ),
        (torch.zeros(2, 3, 32, 32, dtype=torch.float64), "got torch.float64 on cpu"),
        (torch.full((2, 3, 32, 32), 255.0), "got values from 255 to 255"),
        (torch.full((2, 3, 32, 32), -1.0), "got values from -1 to -1"),
        (torch.full((2, 3, 32, 32), float("nan")), "got values from nan to nan"),
    ],
)
def test_wrong_images_are_refused_at_once_and_in_one_line(given: Tensor, message: str) -> None:
    model = create_model("rgc_tiny", weights="random", input_size=32)
    with pytest.raises(NeurofitError, match=message) as error:
        model.unroll(given)
    assert "\n" not in str(error.value)


def test_a_resize_may_round_a_little_out_of_range(random_images: Images) -> None:
    create_model("rgc_tiny", weights="random", input_size=32).unroll(random_images() * 1.00001)
