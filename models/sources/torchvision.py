"""Image and video models of torchvision, `torchvision:NAME`.

torchvision publishes its weights as pickles, which are not loaded: they have to be converted.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neurofit.errors import NeurofitError, check_option, unknown_name
from neurofit.models.clips import Clip
from neurofit.models.sources.contract import (
    INTERPOLATIONS,
    Network,
    Preprocessing,
    describe_package,
    import_extra,
    translate,
)
from neurofit.models.sources.files import refuse_pickle


def find_weights(name: str, options: Mapping[str, Any]) -> Path | None:
    """Refuse to load torchvision's weights, which are pickles."""
    published = _published(name, options)
    if published is None:
        raise NeurofitError(
            f"torchvision publishes no weights of {name}. Give a file by --weights, or "
            "--weights random."
        )
    raise refuse_pickle(f"torchvision's weights of {name}", published.url)


def build(name: str, options: Mapping[str, Any], weights: Path | None) -> Network:
    """Return a model of torchvision with random weights."""
    models = import_extra("torchvision.models", extra="torchvision")
    published, given = _published(name, options), dict(options)
    given.pop("weights", None)
    video = name in models.list_models(module=models.video)
    if "n_classes" in given:
        given["num_classes"] = given.pop("n_classes")
    if "init_weights" in inspect.signature(models.get_model_builder(name)).parameters:
        given.setdefault("init_weights", True)
    with translate(f"torchvision:{name}"):
        module = models.get_model(name, weights=None, **given)
    return Network(
        module=module,
        preprocessing=_preprocessing(published),
        clip=Clip(axis=2) if video else None,
        provenance=describe_package("torchvision"),
    )


def _published(name: str, options: Mapping[str, Any]) -> Any:
    """Return torchvision's description of weights: those that are named, or the default ones."""
    models = import_extra("torchvision.models", extra="torchvision")
    known = [
        *models.list_models(module=models),
        *models.list_models(module=models.video),
    ]
    if name not in known:
        raise unknown_name("model of torchvision", name, known)
    weights = models.get_model_weights(name)
    if "weights" in options:
        check_option(f"weights of torchvision:{name}", options["weights"], weights.__members__)
        return weights[options["weights"]]
    return getattr(weights, "DEFAULT", None)


def _preprocessing(published: Any) -> Preprocessing:
    if published is None:
        return Preprocessing()
    declared = published.transforms()
    size, resized = declared.crop_size[0], declared.resize_size[0]
    return Preprocessing(
        input_size=int(size),
        mean=tuple(declared.mean),
        std=tuple(declared.std),
        interpolation=INTERPOLATIONS[declared.interpolation.value],
        crop=size / resized,
        declared=True,
    )
