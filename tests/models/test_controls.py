"""Controls at published size: their parameters, layers and steps."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from neurofit.models import create_model, list_models, model_info
from neurofit.models.catalogue import build_model

ROOT = Path(__file__).resolve().parents[2]
FULL_PASSES = list_models("*_full_pass")


def shapes(name: str) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in build_model(name, seed=None).named_parameters()}


def n_parameters(name: str) -> int:
    return sum(shape.numel() for shape in shapes(name).values())


@pytest.mark.parametrize("kind", ["wide", "deep"])
@pytest.mark.parametrize("depth", ["shallow", "intermediate"])
def test_feedforward_controls_have_the_parameters_of_the_recurrent_net(
    kind: str, depth: str
) -> None:
    recurrent = n_parameters(f"rgc_{depth}")
    assert n_parameters(f"feedforward_{kind}_{depth}") == pytest.approx(recurrent, rel=0.05)


@pytest.mark.parametrize("depth", ["shallow", "intermediate"])
def test_a_wide_control_has_the_layers_of_the_recurrent_net(depth: str) -> None:
    own = create_model(f"feedforward_wide_{depth}", weights="random", input_size=72)
    recurrent = create_model(f"rgc_{depth}", weights="random", input_size=72)
    assert own.layers == recurrent.layers
    factors = {own.shapes[each][0] / recurrent.shapes[each][0] for each in own.layers[:-1]}
    assert min(factors) > 1.6
    assert max(factors) < 1.03 * min(factors)  # rounded to whole channels
    for layer in own.layers:
        assert own.shapes[layer][1:] == recurrent.shapes[layer][1:]


@pytest.mark.parametrize("depth", ["shallow", "intermediate"])
def test_a_deep_control_keeps_the_maps_and_the_areas_of_the_recurrent_net(depth: str) -> None:
    name = f"feedforward_deep_{depth}"
    own, recurrent = (
        create_model(each, weights="random", input_size=72) for each in (name, f"rgc_{depth}")
    )
    assert [layer for layer in own.layers if layer in recurrent.layers] == list(recurrent.layers)
    assert {layer: own.shapes[layer] for layer in recurrent.layers} == recurrent.shapes
    assert model_info(name).region_layers == model_info(f"rgc_{depth}").region_layers
    minimal = model_info(name).presentations["minimal"].n_timesteps
    assert minimal == len(own.layers) > len(recurrent.layers)
    assert model_info(name).presentations["default"].n_timesteps > minimal


@pytest.mark.parametrize("name", list_models("feedforward_*_shallow"))
def test_feedforward_controls_hold_a_constant_image(
    name: str, random_images: Callable[..., Tensor]
) -> None:
    model = create_model(name, weights="random", input_size=72)
    with torch.no_grad():
        steps = [maps["conv5"] for _, maps in model.unroll(random_images(1, 72), "constant")]
    first = model.first_timestep["conv5"]
    assert all(torch.equal(each, steps[first]) for each in steps[first:])
    assert not torch.equal(steps[first], steps[first - 1])


@pytest.mark.parametrize("name", FULL_PASSES)
def test_a_full_pass_is_its_model_unrolled_in_another_order(
    name: str, random_images: Callable[..., Tensor]
) -> None:
    stem = name.removesuffix("_full_pass")
    assert shapes(name) == shapes(stem)
    own = create_model(name, weights="random", input_size=72)
    again = create_model(stem, weights="random", input_size=72, unroll="feedforward-per-step")
    layers = [layer for layer in own.layers if own.first_timestep[layer] == 0]
    assert layers == list(own.layers)  # the image reaches every layer in the first step
    with torch.no_grad():
        pairs = zip(
            own.unroll(random_images(1, 72), "minimal"),
            again.unroll(random_images(1, 72), "minimal"),
            strict=True,
        )
        for (_, mine), (_, theirs) in pairs:
            assert all(torch.equal(mine[layer], theirs[layer]) for layer in own.layers)


def test_the_docs_state_the_parameters_of_the_controls() -> None:
    page = (ROOT / "docs" / "zoo.md").read_text(encoding="utf-8")
    stated = re.findall(r"^\| `(feedforward_\w+)` \| ([\d,]+) \|", page, re.MULTILINE)
    assert len(stated) == 6
    for name, number in stated:
        assert n_parameters(name) == int(number.replace(",", "")), name


def test_there_is_a_full_pass_and_a_minimal_unroll_of_the_same_models() -> None:
    minimal = list_models("*_minimal")
    assert [name.removesuffix("_minimal") for name in minimal] == [
        name.removesuffix("_full_pass") for name in FULL_PASSES
    ]
    assert minimal == [
        "rgc_intermediate_minimal",
        "rgc_shallow_minimal",
        "ugrnn_intermediate_minimal",
    ]
