"""Models of timm, `timm:NAME` or `timm:NAME.TAG`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neurofit.errors import NeurofitError, unknown_name
from neurofit.models.sources.contract import (
    INTERPOLATIONS,
    Network,
    Preprocessing,
    describe_package,
    import_extra,
    translate,
)
from neurofit.models.sources.files import download, refuse_pickle


def find_weights(name: str, options: Mapping[str, Any]) -> Path | None:
    """Return the safetensors file of a tag's weights, after downloading it if necessary."""
    _check_name(name)
    timm = import_extra("timm")
    config = timm.get_pretrained_cfg(name, allow_unregistered=False)
    if config is None or not config.has_weights:
        raise NeurofitError(
            f"timm publishes no weights of {name}. Give a file by --weights, or --weights random."
        )
    if not config.hf_hub_id:
        raise refuse_pickle(f"timm's weights of {name}", config.url)
    return download(str(config.hf_hub_id), str(config.hf_hub_filename or "model.safetensors"))


def build(name: str, options: Mapping[str, Any], weights: Path | None) -> Network:
    """Return a model of timm."""
    _check_name(name)
    timm = import_extra("timm")
    given: dict[str, Any] = dict(options)
    if "n_classes" in given:
        given["num_classes"] = given.pop("n_classes")
    if weights is not None:  # timm maps the names of old files, and checks them
        given |= {"pretrained": True, "pretrained_cfg_overlay": {"file": str(weights)}}
    with translate(f"timm:{name}"):
        module = timm.create_model(name, **given)
    declared = timm.data.resolve_model_data_config(module)
    height, width = declared["input_size"][-2:]
    if height != width or declared["input_size"][0] != 3:
        raise NeurofitError(
            f"Images are square and in colour; timm:{name} takes {declared['input_size']}."
        )
    return Network(
        module=module,
        preprocessing=Preprocessing(
            input_size=height,
            mean=tuple(declared["mean"]),
            std=tuple(declared["std"]),
            interpolation=INTERPOLATIONS.get(declared["interpolation"], "bicubic"),
            crop=float(declared["crop_pct"]),
            declared=True,
        ),
        provenance=describe_package("timm"),
    )


def _check_name(name: str) -> None:
    timm = import_extra("timm")
    if not timm.is_model(name.partition(".")[0]):
        raise unknown_name("model of timm", name, timm.list_models())
    tags = timm.list_models(f"{name.partition('.')[0]}.*", pretrained=True)
    if "." in name and name not in tags:
        raise unknown_name("model of timm", name, tags)
