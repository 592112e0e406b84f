"""ResNets are those of torchvision, with weights as safetensors."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from neurofit.activations.model import validate_model
from neurofit.errors import NeurofitError, NeurofitWarning
from neurofit.models import create_model, list_models, load_weights, model_info, weights_sha256
from neurofit.models.published import get_weights
from neurofit.models.tensorflow import state_dict
from neurofit.storage.home import home, sha256_of

RESNETS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
PARAMETERS = {"resnet18": 11_689_512, "resnet34": 21_797_672}  # torchvision's documentation


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROFIT_HOME", str(tmp_path / "home"))


class Small(nn.Module):
    """A network of two channels with the module names of a ResNet."""

    def __init__(self, depths: tuple[int, ...]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 2, 7, stride=16)
        self.bn1 = nn.BatchNorm2d(2)
        for i, depth in enumerate(depths, start=1):
            setattr(self, f"layer{i}", nn.Sequential(*(nn.Conv2d(2, 2, 1) for _ in range(depth))))
        self.fc = nn.Linear(2, 1000)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.bn1(self.conv1(images))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            maps = layer(maps)  # type: ignore[operator]
        logits: Tensor = self.fc(maps.mean(dim=(2, 3)))
        return logits


@pytest.fixture
def _small_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace torchvision by a module whose ResNets are small."""
    models = ModuleType("torchvision.models")
    for name, depths in RESNETS.items():
        setattr(models, name, lambda weights, depths=depths: Small(depths))
    package = ModuleType("torchvision")
    package.models = models  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", package)
    monkeypatch.setitem(sys.modules, "torchvision.models", models)


def test_the_resnets_are_registered_with_their_layers_and_accuracies() -> None:
    assert list_models("resnet*") == sorted(RESNETS)
    for name in RESNETS:
        info = model_info(name)
        assert info.is_published
        assert info.weights_url
        assert info.weights_url.endswith(".safetensors")
        assert set(info.region_layers) == {"V4", "IT"}


@pytest.mark.usefixtures("_small_torchvision")
@pytest.mark.parametrize("name", RESNETS)
def test_a_resnet_is_constant_over_time_and_seeded(name: str) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    model = create_model(name, weights="random", seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)
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


@pytest.mark.parametrize("name", RESNETS)
def test_a_real_resnet_has_torchvisions_parameters(name: str) -> None:
    try:
        import torchvision.models  # noqa: F401
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"torchvision cannot be imported: {error}")
    model = create_model(name, weights="random")
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]
    validate_model(model)


def test_without_torchvision_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    for wrong in (partial(create_model, weights="random"), get_weights):
        with pytest.raises(NeurofitError, match="pip install torch torchvision"):
            wrong("resnet18")


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Make a mirror with weights of torchvision's names, without the counters of batch norm."""
    torch.manual_seed(0)
    weights = {
        key: torch.randn(values.shape)
        for key, values in Small(RESNETS["resnet18"]).state_dict().items()
        if values.ndim
    }
    (tmp_path / "mirror" / "resnet18").mkdir(parents=True)
    save_file(weights, tmp_path / "mirror" / "resnet18" / "model.safetensors")
    monkeypatch.setenv("NEUROFIT_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("NEUROFIT_OFFLINE", "1")
    return weights


@pytest.mark.usefixtures("_small_torchvision")
def test_published_weights_are_converted_with_their_source(
    published: dict[str, Tensor], tmp_path: Path
) -> None:
    with pytest.warns(
        NeurofitWarning,
        match="Using random weights: the published .* Run: neurofit weights get resnet18",
    ):
        before = create_model("resnet18")
    assert before.weights_origin == "random weights, seed 0"
    assert weights_sha256(before) == weights_sha256(create_model("resnet18", weights="random"))
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


@pytest.mark.usefixtures("_small_torchvision")
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
