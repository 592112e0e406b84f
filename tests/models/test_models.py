"""Every registered model keeps the contract, and its metadata are available without building it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from neurofit.activations.model import Model, validate_model
from neurofit.models import (
    MODELS,
    ConvRNN,
    create_model,
    list_models,
    model_info,
)
from neurofit.models.decoders import DECODERS

# Trainable parameters of conv1 ... conv5 (conv10), imnetds: docs/zoo.md, section 10.
COUNTS = {
    "timedecay_shallow": (9_472, 73_856, 295_169, 590_081, 1_180_161, 2_049_000),
    "simplernn_shallow": (9_472, 73_856, 738_048, 1_475_840, 2_950_656, 1_025_000),
    "gru_shallow": (9_472, 73_856, 3_834_880, 4_129_792, 15_337_472, 2_049_000),
    "lstm_shallow": (9_472, 73_856, 1_083_392, 5_167_872, 13_766_656, 1_025_000),
    "intersectionrnn_shallow": (9_472, 73_856, 5_014_784, 5_309_696, 20_056_576, 2_049_000),
    "ugrnn_shallow": (9_472, 73_856, 2_654_976, 2_949_888, 10_618_368, 2_049_000),
    "rgc_shallow": (9_472, 73_856, 3_539_200, 4_129_024, 14_156_288, 2_049_000),
    **{
        f"{cell}_intermediate": (9_472, 73_856, 73_856, *recurrent, 513_000)
        for cell, recurrent in {
            "timedecay": (229_633, 295_169, 918_017, 1_180_161, 3_671_041, 4_719_617, 4_719_617),
            "simplernn": (524_800, 590_336, 2_098_176, 2_360_320, 8_390_656, 9_439_232, 9_439_232),
            "gru": (1_114_752, 1_180_288, 4_457_728, 4_719_872, 17_828_352, 18_876_928, 18_876_928),
            "lstm": (
                1_409_792,
                1_475_328,
                5_637_632,
                5_899_776,
                22_547_456,
                23_596_032,
                23_596_032,
            ),
            "intersectionrnn": (
                1_409_792,
                1_475_328,
                5_637_632,
                5_899_776,
                22_547_456,
                23_596_032,
                23_596_032,
            ),
            "ugrnn": (819_712, 885_248, 3_277_824, 3_539_968, 13_109_248, 14_157_824, 14_157_824),
        }.items()
    },
    "rgc_intermediate": (
        9_472,
        73_856,
        147_584,
        384_064,
        416_960,
        1_314_880,
        1_511_488,
        1_380_160,
        4_454_208,
        5_240_128,
        513_000,
    ),
}
TOTALS = {
    "timedecay_shallow": 4_197_739,
    "simplernn_shallow": 6_272_872,
    "gru_shallow": 25_434_472,
    "lstm_shallow": 21_126_248,
    "intersectionrnn_shallow": 32_513_384,
    "ugrnn_shallow": 18_355_560,
    "rgc_shallow": 23_956_840,
    "timedecay_intermediate": 16_403_439,
    "simplernn_intermediate": 33_512_936,
    "gru_intermediate": 67_725_032,
    "lstm_intermediate": 84_832_232,
    "intersectionrnn_intermediate": 84_832_232,
    "ugrnn_intermediate": 50_617_832,
    "rgc_intermediate": 15_445_800,
}
# Variant -> (model with the same graph, number of further trainable scalars).
VARIANTS = {
    "ugrnn_intermediate_t30": ("ugrnn_intermediate", 0),
    "ugrnn_intermediate_t30_dthresh": ("ugrnn_intermediate", 0),
    "ugrnn_intermediate_t30_tmaxconf": ("ugrnn_intermediate", 1),
    "rgc_intermediate_dthresh": ("rgc_intermediate", 0),
    "rgc_intermediate_tmaxconf": ("rgc_intermediate", 1),
    "rgc_intermediate_t22_tmaxconf": ("rgc_intermediate", 1),
}
CONVRNNS = [
    name for name in list_models() if model_info(name).family in ("shallow", "intermediate", "tiny")
]


def small(name: str) -> ConvRNN:
    """Return a model for small images, which is faster."""
    size = 32 if model_info(name).family == "tiny" else 72
    model = create_model(name, weights="random", input_size=size)
    assert isinstance(model, ConvRNN)
    return model


def on_meta(name: str) -> ConvRNN:
    with torch.device("meta"):
        model = MODELS[name](seed=None)
    assert isinstance(model, ConvRNN)
    return model


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


@pytest.mark.parametrize("name", CONVRNNS)
def test_every_model_keeps_the_contract(name: str) -> None:
    model = small(name)
    assert isinstance(model, Model)
    validate_model(model)


@pytest.mark.parametrize("name", CONVRNNS)
def test_the_metadata_are_those_of_the_built_model(name: str) -> None:
    info, model = model_info(name), on_meta(name)
    for attribute in (
        "name",
        "region_layers",
        "input_size",
        "visual_degrees",
        "presentations",
        "mean",
        "std",
    ):
        assert getattr(info, attribute) == getattr(model, attribute), attribute
    assert model.shapes[model.layers[-1]] == (info.n_classes, 1, 1)
    assert info.family in name.split("_")
    assert name.split("_")[0] in (info.cell.split("_")[0], "feedforward", "rnn")
    layers: Any = model.net.values()
    assert info.cell in {layer.spec.cell for layer in layers}
    assert type(model.decoder) is DECODERS[info.decoder]
    assert {"default", "neural", "constant", "minimal"} <= set(model.presentations)
    assert info.has_weights == (info.family == "tiny")


PUBLISHED = [*COUNTS, *VARIANTS]


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_models_stand_for_the_areas_that_their_authors_suggest(name: str) -> None:
    suggested = {  # README of their code (zoo_facts 9): V4, then pIT, then cIT and aIT
        "shallow": (["conv3"], ["conv4"], ["conv5"]),
        "intermediate": (["conv5", "conv6"], ["conv7", "conv8"], ["conv9", "conv10"]),
    }
    v4, posterior, anterior = suggested[name.split("_")[1]]
    layers = {area: list(own) for area, own in model_info(name).region_layers.items()}
    assert layers == {"V4": v4, "IT": posterior + anterior}


@pytest.mark.parametrize("name", COUNTS)
def test_the_published_models_have_the_parameters_of_the_zoo(name: str) -> None:
    model = on_meta(name)
    assert tuple(parameters(layer) for layer in model.net.values()) == COUNTS[name]
    assert parameters(model) == TOTALS[name] == sum(COUNTS[name])


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_have_the_parameters_of_their_graph_and_of_their_decoder(name: str) -> None:
    graph, more = VARIANTS[name]
    assert parameters(on_meta(name)) == TOTALS[graph] + more


def test_all_published_models_are_registered_with_their_accuracies() -> None:
    published = [name for name in CONVRNNS if model_info(name).is_published]
    assert sorted(published) == sorted([*COUNTS, *VARIANTS])
    assert len(published) == 20
    for name in published:
        info = model_info(name)
        assert 50 < info.top1 < info.top5 < 92, name  # type: ignore[operator]
        assert "2022" in info.reference


@pytest.mark.parametrize(
    ("name", "n_timesteps", "image_off"),
    [
        ("gru_shallow", 16, 12),
        ("gru_intermediate", 17, 12),
        ("rgc_intermediate_dthresh", 17, 12),
        ("rgc_intermediate_t22_tmaxconf", 22, None),
        ("ugrnn_intermediate_t30_dthresh", 30, None),
    ],
)
def test_the_published_presentations(name: str, n_timesteps: int, image_off: int | None) -> None:
    shown = model_info(name).presentations
    assert (shown["default"].n_timesteps, shown["default"].image_off) == (n_timesteps, image_off)
    assert (shown["neural"].n_timesteps, shown["neural"].image_off) == (26, 10)
    assert (shown["constant"].n_timesteps, shown["constant"].image_off) == (n_timesteps, None)


@pytest.mark.parametrize("name", list_models("simplernn_shallow_*"))
def test_the_2018_ablations_differ_from_the_plain_cell_by_their_switch(name: str) -> None:
    plain = {key: value.shape for key, value in on_meta("simplernn_shallow").named_parameters()}
    own = {key: value.shape for key, value in on_meta(name).named_parameters()}
    assert plain.items() <= own.items()
    more = {key.split(".cell.")[1].split(".")[0] for key in own.keys() - plain.keys()}
    assert more == {
        {"bypass": "bypass", "gating": "state_gates"}[switch] for switch in name.split("_")[2:]
    }


@pytest.mark.parametrize("name", list_models("*_tiny"))
def test_a_tiny_model_is_tiny(name: str) -> None:
    model = create_model(name, weights="random")
    assert 209_000 < parameters(model) < 223_000  # so that accuracies are comparable
    assert [model.shapes[layer][1] for layer in model.layers] == [16, 8, 4, 4, 4, 1]


@pytest.mark.parametrize("name", list_models("*_tiny"))
@pytest.mark.parametrize("size", [32, 33, 97])
def test_a_tiny_model_takes_other_sizes_and_classes(
    name: str, size: int, random_images: Callable[..., Tensor]
) -> None:
    model = create_model(name, weights="random", input_size=size, n_classes=7)
    with torch.no_grad():
        for timestep, activations in model.unroll(random_images(1, size)):
            assert {
                layer: tuple(maps.shape[1:]) for layer, maps in activations.items()
            } == model.shapes
            if timestep == 5:
                break
    assert activations["imnetds"].shape == (1, 7, 1, 1)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", list_models("*_tiny"))
def test_an_untrained_tiny_model_neither_fades_nor_bursts_nor_forgets_at_once(
    name: str, seed: int, random_images: Callable[..., Tensor]
) -> None:
    model = create_model(name, weights="random", seed=seed)
    images = torch.nn.functional.interpolate(
        random_images(8, 8), size=32, mode="bilinear"
    )  # patches, as in natural scenes
    with torch.no_grad():
        for timestep, activations in model.unroll(images, "neural"):
            for layer in model.layers[2:5]:
                since = timestep - model.first_timestep[layer]
                maps = activations[layer]
                if since >= 4:
                    assert 0.02 < float(maps.std()) < 10, (layer, timestep)
                if 4 <= since < 10:
                    assert float((maps.std(dim=0) > 1e-4).float().mean()) > 0.99, (layer, timestep)
                if (
                    4 <= since < (10 if name == "feedforward_tiny" else 14)
                ):  # at most 4 steps after the image
                    assert float(maps.std(dim=0).mean()) > 0.02 * float(maps.std()), (
                        layer,
                        timestep,
                    )
