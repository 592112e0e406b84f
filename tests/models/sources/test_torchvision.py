"""Image and video models of torchvision by name; its pickled weights are not loaded."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import neurofit
from neurofit.errors import NeurofitError


def test_features_of_a_resnet_are_those_of_torchvision(torchvision: Any) -> None:
    model = neurofit.create_model("torchvision:resnet18", weights="random", seed=2)
    assert model.layers[3:-2] == (
        "layer1.0", "layer1.1", "layer2.0", "layer2.1", "layer3.0", "layer3.1", "layer4.1"
    )  # fmt: skip
    assert model.region_layers == {}
    torch.manual_seed(2)
    net = torchvision.models.resnet18().eval()
    shown = torch.rand(2, 3, 224, 224)
    transforms = torchvision.models.ResNet18_Weights.DEFAULT.transforms()
    normalised = torchvision.transforms.functional.normalize(shown, transforms.mean, transforms.std)
    with torch.no_grad():
        ((_, found),) = model.unroll(shown, layers=["fc"])
        torch.testing.assert_close(found["fc"], net(normalised))
        torch.testing.assert_close(model(shown), net(normalised))
    declared = model.provenance["preprocessing"]
    assert (declared["crop"], declared["interpolation"]) == (224 / 256, "bilinear")


def test_a_video_model_is_shown_a_still_clip(torchvision: Any) -> None:
    name = "torchvision:r3d_18?frames=4"
    model = neurofit.create_model(name, weights="random", seed=2, layers=["layer2", "fc"])
    assert (model.input_size, model.mean) == (112, (0.43216, 0.394666, 0.37645))
    assert model.provenance["image"] == "a clip of 4 equal frames"
    torch.manual_seed(2)
    net = torchvision.models.video.r3d_18().eval()
    shown = torch.rand(2, 3, 112, 112)
    clip = ((shown - model.image_mean) / model.image_std)[:, :, None].repeat(1, 1, 4, 1, 1)
    with torch.no_grad():
        ((_, found),) = model.unroll(shown)
        torch.testing.assert_close(found["fc"], net(clip))
    assert found["layer2"].shape[:3] == (2, 128, 2)  # (batch channel time ...)


def test_pickled_weights_are_refused_with_how_to_convert_them(torchvision: Any) -> None:
    with pytest.raises(NeurofitError) as error:
        neurofit.create_model("torchvision:resnet18")
    said = str(error.value)
    assert "https://download.pytorch.org/models/resnet18-f37072fd.pth" in said
    assert "torch.load('resnet18-f37072fd.pth', weights_only=True)" in said
    assert "--weights random" in said
    assert len(said.splitlines()) == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torchvision:resnet17", r"Unknown model of torchvision 'resnet17'\. Did you mean 'resne"),
        ("torchvision:resnet50?weights=V3", r"Unknown weights of torchvision:resnet50 'V3'"),
        ("torchvision:resnet50?pretrained=false&depth=3", r"cannot be built: TypeError: .*depth"),
    ],
)
def test_wrong_names_and_options_are_answered(torchvision: Any, name: str, message: str) -> None:
    with pytest.raises(NeurofitError, match=message) as error:
        neurofit.create_model(name)
    assert len(str(error.value).splitlines()) <= 2
