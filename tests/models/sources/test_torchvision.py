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


def test_a_video_model_is_shown_a_clip_in_time(torchvision: Any) -> None:
    name = "torchvision:r3d_18?frames=12&input_size=32&frame_rate=25&onset=80&offset=120"
    layers = ["stem", "layer1.0", "layer2.0", "fc"]
    model = neurofit.create_model(name, weights="random", seed=2, layers=layers)
    assert (model.mean, model.ms_per_timestep) == ((0.43216, 0.394666, 0.37645), 40)
    assert model.provenance["image"] == (
        "clip (batch channel time height width) of 12 frames of 40 ms; the image comes on at 80 ms "
        "and is off after 120 ms; gray before and after it"
    )
    # Kernels of 3 frames, and the first convolution of layer2 has stride 2: 3 + 2 * 2, and then
    # 7 + 2 * 2 (layer1.1), + 2, and + 2 * 2 at the stride of 2.
    assert model.provenance["time"] == {
        "stem": "12 places on axis 2, at -80 ms and every 40 ms; receptive field 3 frames; placed "
        "at the centre of the receptive field",
        "layer1.0": "12 places on axis 2, at -80 ms and every 40 ms; receptive field 7 frames; "
        "placed at the centre of the receptive field",
        "layer2.0": "6 places on axis 2, at -80 ms and every 80 ms; receptive field 17 frames; "
        "placed at the centre of the receptive field",
        "fc": "one output for the whole clip, the same at all timesteps",
    }
    torch.manual_seed(2)
    net = torchvision.models.video.r3d_18().eval()
    shown = torch.rand(2, 3, 32, 32)
    frames = [shown if 2 <= frame < 5 else torch.full_like(shown, 128 / 255) for frame in range(12)]
    clip = (torch.stack(frames, dim=2) - model.image_mean[:, None]) / model.image_std[:, None]
    with torch.no_grad():
        stem = net.stem(clip)
        layer2 = net.layer2[0](net.layer1(stem))
        steps = list(model.unroll(shown, "neural"))
        for timestep, found in steps:
            torch.testing.assert_close(found["stem"], stem[:, :, timestep + 2])
            torch.testing.assert_close(
                found["layer2.0"], layer2[:, :, min(5, (timestep + 3) // 2)], rtol=1e-4, atol=1e-5
            )
            torch.testing.assert_close(found["fc"], net(clip))
    assert len(steps) == 10


@pytest.mark.parametrize("option", ["frame_rate=30", "frame_rate=25&ms_per_timestep=40"])
def test_a_frame_lasts_a_whole_number_of_ms(torchvision: Any, option: str) -> None:
    with pytest.raises(NeurofitError, match="frame_rate is a number of frames per second that div"):
        neurofit.create_model(f"torchvision:r3d_18?{option}", weights="random")


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
