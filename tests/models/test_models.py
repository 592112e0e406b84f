"""Every registered model keeps the contract, and its metadata are known without building it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from neurofit.errors import NeurofitError
from neurofit.models import ConvRNN, create_model, list_models, model_info, register_model, save_weights, weights_sha256
from neurofit.models.catalogue import INFO
from neurofit.protocol import Model, validate_model

# zoo_facts 12.1: trainable parameters of conv1 ... conv5, imnetds.
COUNTS = {
    "timedecay_shallow": (9_472, 73_856, 295_169, 590_081, 1_180_161, 2_049_000),
    "simplernn_shallow": (9_472, 73_856, 738_048, 1_475_840, 2_950_656, 1_025_000),
    "lstm_shallow": (9_472, 73_856, 1_083_392, 5_167_872, 13_766_656, 1_025_000),
    "rgc_shallow": (9_472, 73_856, 3_539_200, 4_129_024, 14_156_288, 2_049_000),
}
TOTALS = {"timedecay_shallow": 4_197_739, "simplernn_shallow": 6_272_872, "lstm_shallow": 21_126_248, "rgc_shallow": 23_956_840}


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


@pytest.mark.parametrize("name", list_models())
def test_every_model_keeps_the_contract(name: str) -> None:
    model = create_model(name)
    assert isinstance(model, Model)
    validate_model(model)


@pytest.mark.parametrize("name", list_models())
def test_what_is_known_of_a_model_is_what_is_built(name: str) -> None:
    info, model = model_info(name), create_model(name)
    for attribute in ("name", "region_layers", "input_size", "visual_degrees", "presentations", "mean", "std"):
        assert getattr(info, attribute) == getattr(model, attribute), attribute
    assert model.shapes[model.layers[-1]] == (info.n_classes, 1, 1)
    assert name == f"{info.cell}_{info.family}"
    assert info.cell in {layer.spec.cell for layer in model.net.values()}  # type: ignore[union-attr]
    assert not info.has_weights


@pytest.mark.parametrize("name", COUNTS)
def test_the_shallow_models_have_the_parameters_of_the_zoo(name: str) -> None:
    model = create_model(name)
    assert tuple(parameters(layer) for layer in model.net.values()) == COUNTS[name]
    assert parameters(model) == TOTALS[name]
    assert model.presentations["neural"].n_timesteps == 26
    assert (model.presentations["default"].n_timesteps, model.presentations["default"].image_off) == (16, 12)


@pytest.mark.parametrize("name", list_models("*_tiny"))
def test_a_tiny_model_is_tiny(name: str) -> None:
    model = create_model(name)
    assert parameters(model) < 700_000
    assert [model.shapes[layer][1] for layer in model.layers] == [32, 16, 8, 8, 4, 1]


@pytest.mark.parametrize("name", list_models("*_tiny"))
@pytest.mark.parametrize("size", [32, 33, 97])
def test_a_tiny_model_takes_other_sizes_and_classes(name: str, size: int, random_images: Callable[..., Tensor]) -> None:
    model = create_model(name, input_size=size, n_classes=7)
    with torch.no_grad():
        for timestep, activations in model.unroll(random_images(1, size)):
            assert {layer: tuple(maps.shape[1:]) for layer, maps in activations.items()} == model.shapes
            if timestep == 5:
                break
    assert activations["imnetds"].shape == (1, 7, 1, 1)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", list_models("*_tiny"))
def test_an_untrained_tiny_model_neither_fades_nor_bursts_nor_forgets_at_once(
    name: str, seed: int, random_images: Callable[..., Tensor]
) -> None:
    model = create_model(name, seed=seed)
    images = torch.nn.functional.interpolate(random_images(8, 8), size=64, mode="bilinear")  # patches, as scenes have
    with torch.no_grad():
        for timestep, activations in model.unroll(images, "neural"):
            for layer in model.layers[2:5]:
                since = timestep - model.first_timestep[layer]
                maps = activations[layer]
                if since >= 4:
                    assert 0.02 < float(maps.std()) < 10, (layer, timestep)
                if 4 <= since < 10:
                    assert float((maps.std(dim=0) > 1e-4).float().mean()) > 0.99, (layer, timestep)
                if 4 <= since < 14:  # the image is gone since 4 steps at most
                    assert float(maps.std(dim=0).mean()) > 0.02 * float(maps.std()), (layer, timestep)


def test_patterns_choose_models() -> None:
    assert list_models("*_tiny") == ["lstm_tiny", "rgc_tiny", "simplernn_tiny", "timedecay_tiny"]
    assert list_models("rgc*") == ["rgc_shallow", "rgc_tiny"]
    assert list_models("nothing*") == []


def test_unknown_names_and_options_get_the_nearest_one() -> None:
    for wrong in (create_model, model_info):
        with pytest.raises(NeurofitError, match=r"Unknown model 'rgc_tinny'\. Did you mean 'rgc_tiny'"):
            wrong("rgc_tinny")
    with pytest.raises(NeurofitError, match=r"Unknown option of rgc_tiny 'inputsize'\. Did you mean 'input_size'"):
        create_model("rgc_tiny", inputsize=32)


def test_a_size_that_cannot_be_is_refused() -> None:
    with pytest.raises(NeurofitError, match="at least one pixel; got 0"):
        create_model("rgc_tiny", input_size=0)
    with pytest.raises(NeurofitError, match=r"Layer imnetds: .* take larger images"):
        create_model("timedecay_shallow", input_size=64)


def test_weights_that_do_not_come_with_neurofit_are_not_invented() -> None:
    with pytest.raises(NeurofitError, match=r"No weights of rgc_tiny come with neurofit. Give pretrained=PATH"):
        create_model("rgc_tiny", pretrained=True)


def test_a_model_comes_back_from_its_file(tmp_path: Path) -> None:
    model = create_model("lstm_tiny", seed=5)
    save_weights(model, tmp_path / "w.safetensors")
    for path in (tmp_path / "w.safetensors", str(tmp_path / "w.safetensors")):
        assert weights_sha256(create_model("lstm_tiny", pretrained=path)) == weights_sha256(model)


def test_weights_that_come_with_neurofit_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurofit.models.catalogue.WEIGHTS", tmp_path)
    model = create_model("lstm_tiny", seed=5)
    save_weights(model, tmp_path / "lstm_tiny.safetensors")
    assert model_info("lstm_tiny").has_weights
    assert weights_sha256(create_model("lstm_tiny", pretrained=True)) == weights_sha256(model)


def test_two_models_of_one_name_are_refused() -> None:
    def rgc_tiny(*, seed: int | None = 0) -> ConvRNN:
        raise AssertionError(seed)

    before = INFO["rgc_tiny"]
    metadata = {"family": "tiny", "cell": "rgc", "region_layers": {}, "input_size": 1, "n_classes": 1, "reference": ""}
    with pytest.raises(NeurofitError, match=r"Two models are called 'rgc_tiny': in neurofit.models.tiny and in"):
        register_model(**metadata)(rgc_tiny)
    assert INFO["rgc_tiny"] is before
