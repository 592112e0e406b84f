"""ResNets of torchvision as static controls, whose activations are constant over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from neurofit.errors import NeurofitError
from neurofit.models.catalogue import register_model
from neurofit.models.wrapped import STATIC_PRESENTATIONS, WrappedModel
from neurofit.models.wrapping import wrap


def _hub(name: str) -> str:
    """Return the address of torchvision's weights as safetensors; its own files are pickles."""
    return f"https://huggingface.co/timm/{name}.tv_in1k/resolve/main/model.safetensors"


_RESNET: Mapping[str, Any] = {
    "family": "resnet",
    "cell": "memoryless",
    "input_size": 224,
    "n_classes": 1000,
    "presentations": STATIC_PRESENTATIONS,
    "reference": "He et al. 2016, Deep residual learning for image recognition, CVPR; "
    "weights: torchvision's IMAGENET1K_V1",
}
# Our choice, since no layers are published: ends of blocks in the second half of the network.
_RESNET18_LAYERS = {"V4": ("layer2.1", "layer3.0"), "IT": ("layer3.1", "layer4.0", "layer4.1")}
_RESNET34_LAYERS = {"V4": ("layer2.3", "layer3.2"), "IT": ("layer3.5", "layer4.0", "layer4.2")}


@register_model(
    region_layers=_RESNET18_LAYERS,
    top1=69.758,
    top5=89.078,
    weights_url=_hub("resnet18"),
    **_RESNET,
)
def resnet18(*, seed: int | None = 0) -> WrappedModel:
    """ResNet-18 of torchvision, a static feedforward control."""
    return _torchvision("resnet18", _RESNET18_LAYERS, seed=seed)


@register_model(
    region_layers=_RESNET34_LAYERS,
    top1=73.314,
    top5=91.420,
    weights_url=_hub("resnet34"),
    **_RESNET,
)
def resnet34(*, seed: int | None = 0) -> WrappedModel:
    """ResNet-34 of torchvision, a static feedforward control."""
    return _torchvision("resnet34", _RESNET34_LAYERS, seed=seed)


def _torchvision(
    name: str, region_layers: Mapping[str, Sequence[str]], *, seed: int | None
) -> WrappedModel:
    try:
        from torchvision import models
    except (ImportError, RuntimeError) as error:  # RuntimeError: built for another torch
        raise NeurofitError(
            f"{name} needs torchvision, which cannot be imported ({error}).\n"
            "Install the torchvision that matches your torch: pip install torch torchvision."
        ) from error
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(seed or 0)
        module = getattr(models, name)(weights=None).eval()
    layers = [layer for layers in region_layers.values() for layer in layers]
    return wrap(module, layers, name=name, region_layers=region_layers)
