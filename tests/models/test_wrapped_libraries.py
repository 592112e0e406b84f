"""Models of torchvision and timm are wrapped with their layers and their normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from neurofit.activations.model import validate_model
from neurofit.errors import NeurofitError
from neurofit.models import wrap


def test_a_timm_configuration_sets_size_and_normalisation() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3))
    net.pretrained_cfg = {
        "input_size": (3, 24, 24),
        "mean": (0.5, 0.5, 0.5),
        "std": (0.25, 0.25, 0.25),
    }  # type: ignore[assignment]
    model = wrap(net, ["0"])
    assert (model.input_size, model.mean, model.std) == (24, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    assert wrap(net, ["0"], input_size=20, mean=(0.0, 0.0, 0.0)).mean == (0, 0, 0)


def test_torchvision_models_are_constant_over_time(torchvision: Any) -> None:
    resnet = torchvision.models.resnet18(weights=None).eval()
    model = wrap(
        resnet,
        ["layer2", "layer4.1.conv2"],
        region_layers={"V4": ["layer2"], "IT": ["layer4.1.conv2"]},
    )
    validate_model(model)
    assert not model.recurrent
    shown = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        ((_, activations),) = model.unroll(shown, layers=["layer2"])
        normalised = (shown - model.image_mean) / model.image_std
        expected = resnet.layer2(
            resnet.layer1(resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(normalised)))))
        )
    torch.testing.assert_close(activations["layer2"], expected)
    validate_model(
        wrap(
            torchvision.models.alexnet(weights=None).eval(),
            ["features.5", "features.12", "classifier.5"],
        )
    )
    with pytest.raises(
        NeurofitError, match=r"layer layer1.0.relu: a module without weights that is called 2 times"
    ):
        wrap(resnet, ["layer1.0.relu"])


def test_a_timm_model_has_its_own_normalisation(timm: Any) -> None:
    vit = timm.create_model("vit_tiny_patch16_224.augreg_in21k_ft_in1k", pretrained=False).eval()
    model = wrap(vit, ["blocks.3", "blocks.11"], region_layers={"V4": ["blocks.3"]})
    assert model.mean == (0.5, 0.5, 0.5)
    validate_model(model)
    shown = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        ((_, activations),) = model.unroll(shown)
        expected = vit.forward_intermediates(
            (shown - 0.5) / 0.5, indices=[3, 11], output_fmt="NLC", intermediates_only=True
        )
    for layer, maps in zip(model.layers, expected, strict=True):
        np.testing.assert_allclose(activations[layer][:, 1:].numpy(), maps.numpy(), atol=1e-5)
