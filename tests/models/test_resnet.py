"""ResNets are those of torchvision, with weights as safetensors."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from neurofit.activations.model import validate_model
from neurofit.errors import NeurofitError
from neurofit.models import create_model, list_models, load_weights, model_info, weights_sha256
from neurofit.models.published import get_weights
from neurofit.models.tensorflow import state_dict
from neurofit.storage.home import home, sha256_of

RESNETS = ("resnet18", "resnet34")
PARAMETERS = {"resnet18": 11_689_512, "resnet34": 21_797_672}  # torchvision's documentation


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROFIT_HOME", str(tmp_path / "home"))


def test_the_resnets_are_registered_with_their_layers_and_accuracies() -> None:
    assert list_models("resnet*") == list(RESNETS)
    for name in RESNETS:
        info = model_info(name)
        assert info.is_published
        assert info.weights_url
        assert info.weights_url.endswith(".safetensors")
        assert set(info.region_layers) == {"V4", "IT"}


@pytest.mark.usefixtures("torchvision")
@pytest.mark.parametrize("name", RESNETS)
def test_a_resnet_is_constant_over_time_and_seeded(name: str) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    model = create_model(name, weights="random", seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]
    validate_model(model)
    info = model_info(name)
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
    assert (
        weights_sha256(model)
        == weights_sha256(create_model(name, weights="random", seed=3))
        != weights_sha256(create_model(name, weights="random", seed=4))
    )
    with torch.no_grad():
        first, *others = (
            activations for _, activations in model.unroll(torch.rand(2, 3, 224, 224), "neural")
        )
    assert len(others) == 25
    assert all(other[layer] is first[layer] for other in others for layer in model.layers)


def test_without_torchvision_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    for wrong in (partial(create_model, weights="random"), get_weights):
        with pytest.raises(NeurofitError, match="pip install torch torchvision"):
            wrong("resnet18")


@pytest.fixture
def published(
    torchvision: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Tensor]:
    """Make a mirror with weights of torchvision's names, without the counters of batch norm."""
    torch.manual_seed(0)
    weights = {
        key: torch.randn(values.shape)
        for key, values in torchvision.models.resnet18().state_dict().items()
        if values.ndim
    }
    (tmp_path / "mirror" / "resnet18").mkdir(parents=True)
    save_file(weights, tmp_path / "mirror" / "resnet18" / "model.safetensors")
    monkeypatch.setenv("NEUROFIT_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("NEUROFIT_OFFLINE", "1")
    return weights


@pytest.mark.usefixtures("torchvision")
def test_published_weights_are_converted_with_their_source(
    published: dict[str, Tensor], tmp_path: Path
) -> None:
    with pytest.raises(
        NeurofitError,
        match=r"weights of resnet18 are not downloaded\. Run: neurofit weights get resnet18",
    ):
        create_model("resnet18")
    path = get_weights("resnet18")
    assert [file for file in home().rglob("*") if file.is_file()] == [path]
    model = create_model("resnet18")
    assert model.weights_origin == "trained weights"
    for key, values in published.items():
        assert torch.equal(model.state_dict()[f"module.{key}"], values), key
    source = json.loads(load_weights(model, path)["source_sha256"])
    assert source == {
        "model.safetensors": sha256_of(tmp_path / "mirror" / "resnet18" / "model.safetensors")
    }


@pytest.mark.usefixtures("torchvision")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fc.bias": None}, r"1 missing \(module.fc.bias\)"),
        ({"more": torch.zeros(1)}, r"1 unexpected \(module.more\)"),
        (
            {"fc.bias": torch.zeros(3)},
            r"1 of another shape \(module.fc.bias \(3,\), not \(1000,\)\)",
        ),
    ],
)
def test_other_weights_are_refused_and_no_file_remains(
    published: dict[str, Tensor], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    weights = {key: values for key, values in {**published, **change}.items() if values is not None}
    save_file(weights, tmp_path / "mirror" / "resnet18" / "model.safetensors")
    with pytest.raises(NeurofitError, match=message):
        get_weights("resnet18")
    assert not [file for file in home().rglob("*") if file.is_file()]


def test_a_resnet_has_no_tensorflow_variables() -> None:
    with pytest.raises(NeurofitError, match="resnet18 is not a model of the TensorFlow reference"):
        state_dict("resnet18", {})
