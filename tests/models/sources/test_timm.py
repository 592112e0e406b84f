"""Models of timm by name: their features, preprocessing and pinned weights are timm's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import neurofit
from neurofit.errors import NeurofitError
from neurofit.models import weights_sha256

Place = Callable[[str, str], Path]
VIT = "timm:vit_tiny_patch16_224?pretrained=false"


@pytest.mark.parametrize("tokens", ["all", "class"])
def test_features_are_those_of_timm(timm: Any, tokens: str) -> None:
    model = neurofit.create_model(f"{VIT}&tokens={tokens}", seed=3, layers=["blocks.3", "blocks.9"])
    assert model.name == f"{VIT}&tokens={tokens}"
    assert (model.input_size, model.mean, model.interpolation) == (224, (0.5,) * 3, "bicubic")
    torch.manual_seed(3)
    vit = timm.create_model("vit_tiny_patch16_224").eval()
    shown = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        ((_, found),) = model.unroll(shown)
        expected = vit.forward_intermediates(
            (shown - 0.5) / 0.5,
            indices=[3, 9],
            output_fmt="NLC",
            intermediates_only=True,
            return_prefix_tokens=True,
        )
    for layer, (patches, prefix) in zip(model.layers, expected, strict=True):
        own = prefix[:, 0] if tokens == "class" else torch.cat([prefix, patches], dim=1)
        torch.testing.assert_close(found[layer], own)


def test_a_convnext_without_stated_layers_has_some_of_every_stage(timm: Any) -> None:
    model = neurofit.create_model("timm:convnext_atto", weights="random")
    assert {f"stages.{i}" for i in range(4)} < set(model.layers)
    assert len(model.layers) <= 12
    assert model.provenance["package"] == f"timm {timm.__version__}"
    declared = model.provenance["preprocessing"]
    assert (declared["crop"], declared["interpolation"]) == (0.875, "bicubic")


def test_without_its_weights_a_name_is_an_error_that_says_how_to_go_on(
    timm: Any, hub: Place
) -> None:
    with pytest.raises(NeurofitError) as error:
        neurofit.create_model("timm:resnet10t")
    said = str(error.value)
    assert said.startswith("model.safetensors of timm/resnet10t.c3_in1k is not in the cache")
    assert said.endswith("Give --weights FILE, or --weights random.")
    assert len(said.splitlines()) == 2


def test_weights_are_pinned_at_their_first_use(timm: Any, hub: Place, tmp_path: Path) -> None:
    torch.manual_seed(1)
    state = timm.create_model("resnet10t").state_dict()
    file = hub("timm/resnet10t.c3_in1k", "model.safetensors")
    save_file(state, file)
    model = neurofit.create_model("timm:resnet10t", layers=["layer4"])
    assert model.weights_origin == "trained weights"
    assert all(
        torch.equal(model.state_dict()[f"module.{key}"], each) for key, each in state.items()
    )
    neurofit.create_model("timm:resnet10t", layers=["layer4"])
    first = weights_sha256(model)
    changed = load_file(file)
    changed["fc.bias"] += 1
    save_file(changed, file)
    with pytest.raises(NeurofitError, match=r"weights of timm:resnet10t have changed") as error:
        neurofit.create_model("timm:resnet10t", layers=["layer4"])
    stated = str(error.value).rpartition(": ")[2]  # the name that the message offers
    assert stated.startswith("timm:resnet10t?sha256=")
    again = neurofit.create_model(stated, layers=["layer4"])
    assert again.name == "timm:resnet10t"
    with pytest.raises(NeurofitError, match=f"that of the weights, .*; got {first[:12]}"):
        neurofit.create_model(f"timm:resnet10t?sha256={first[:12]}", layers=["layer4"])
    own = tmp_path / "own.safetensors"
    save_file(state, own)
    assert weights_sha256(neurofit.create_model("timm:resnet10t", weights=own)) == first


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:resnt18", r"Unknown model of timm 'resnt18'\. Did you mean 'resnet18'"),
        (
            "timm:resnet18.a1",
            r"Unknown model of timm 'resnet18\.a1'\. Did you mean 'resnet18.a",
        ),
        ("timm:resnet10t?pretrained=false&colour=1", r"cannot be built: TypeError: .*'colour'"),
        ("timm:resnet10t?pretrained", r"NAME\?key=value&key=value; got 'pretrained'"),
        ("timm:resnet10t?pretrained=false&tokens=class", r"has no class token"),
        ("timm:resnet10t?pretrained=false&tokens=cls", r"Unknown choice of tokens 'cls'"),
        ("timm:botnet50ts_256", r"timm publishes no weights of botnet50ts_256"),
    ],
)
def test_wrong_names_and_options_are_answered(timm: Any, name: str, message: str) -> None:
    with pytest.raises(NeurofitError, match=message) as error:
        neurofit.create_model(name)
    assert len(str(error.value).splitlines()) <= 2


def test_the_number_of_classes_is_checked(timm: Any, hub: Place) -> None:
    random = neurofit.create_model("timm:resnet10t", weights="random", n_classes=7)
    assert random(torch.rand(2, 3, 176, 176)).shape == (2, 7)
    file = hub("timm/resnet10t.c3_in1k", "model.safetensors")
    save_file(timm.create_model("resnet10t").state_dict(), file)
    neurofit.create_model("timm:resnet10t", n_classes=1000, layers=["layer4"])
    with pytest.raises(
        NeurofitError, match=r"returns \(1000,\) for each .*not logits of 7 classes"
    ):
        neurofit.create_model("timm:resnet10t", n_classes=7, layers=["layer4"])


@pytest.mark.usefixtures("registered")
def test_a_declared_crop_is_said_not_to_be_applied(
    timm: Any, neurofit: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, err = neurofit("describe", "timm:resnet10t?input_size=64")
    assert code == 0, err
    lines = [line.rstrip() for line in out.splitlines()]
    assert "crop        87.5% declared, not applied: it would cut the stimulus" in lines
    assert "weights     random, seed 0, for this table" in lines
    code, out, err = neurofit(
        *("score", "--model", "timm:resnet10t?input_size=64", "--weights", "random"),
        *("--recording", "small", "--region", "IT", "--layer", "conv1.0"),
    )
    assert code == 0, err
    assert (
        "the declared central crop (87.5% of the width) is not applied, since it would cut the "
        "stimulus." in " ".join(out.split())
    )
