"""The models: recurrent networks that unfold in time. Table of contents, `create_model` and `list_models`."""

from __future__ import annotations

import fnmatch
import inspect
from pathlib import Path
from typing import Any

from neurofit.errors import NeurofitError, check_option
from neurofit.models import controls, intermediate, resnet, shallow, tiny  # noqa: F401 - registers their models
from neurofit.models.catalogue import INFO, MODELS, ModelInfo, ModelOptions, register_model
from neurofit.models.cells import CELLS, Cell, CellShapes, register_cell
from neurofit.models.convrnn import ConvRNN
from neurofit.models.layer import Conv, Layer
from neurofit.models.weight_files import load_weights, save_weights, training_card
from neurofit.models.wrapped import WrappedModel, wrap
from neurofit.protocol import weights_sha256

if __name__ != "neurofit.models":
    raise ImportError(f"This folder is imported as neurofit.models, not as {__name__}: write `import neurofit.models`.")

__all__ = [
    "CELLS",
    "MODELS",
    "Cell",
    "CellShapes",
    "Conv",
    "ConvRNN",
    "Layer",
    "ModelInfo",
    "WrappedModel",
    "create_model",
    "list_models",
    "load_weights",
    "model_info",
    "model_options",
    "register_cell",
    "register_model",
    "save_weights",
    "weights_sha256",
    "wrap",
]


def create_model(name: str, *, pretrained: bool | str | Path = False, seed: int = 0, **overrides: Any) -> Any:
    """Build a registered model.

    Parameters
    ----------
    name
        See `list_models`.
    pretrained
        False for random weights of this seed, True for trained ones (those that come with neurofit, else the published ones from
        `neurofit weights get`), or the path of a .safetensors file.
    seed
        Of the random weights: name of the model and seed fix them.
    **overrides
        Options of the model, such as `input_size` in pixels and `n_classes`; by default those that the weights were trained with.

    Returns
    -------
    ConvRNN
        In float32 on the CPU; a WrappedModel for the ResNets.

    Raises
    ------
    NeurofitError
        If the name, an option or the seed is wrong, or there are no such weights.
    """
    build = MODELS[name]
    options = model_options(name)
    for option in overrides:
        check_option(f"option of {name}", option, options)
    if pretrained is False:
        return build(seed=seed, **overrides)
    path = INFO[name].weights if pretrained is True else Path(pretrained)
    if pretrained is True and not path.is_file():
        advice = f"`neurofit weights get {name}` brings the published ones. Or give" if INFO[name].is_published else "Give"
        raise NeurofitError(
            f"No weights of {name} come with neurofit. {advice} pretrained=PATH of a .safetensors file, "
            "or pretrained=False for seeded random weights."
        )
    trained_as = {name: value for name, value in training_card(path).items() if name in ("input_size", "n_classes") and name in options}
    model = build(seed=None, **{**trained_as, **overrides})
    load_weights(model, path)
    return model


def list_models(pattern: str | None = None) -> list[str]:
    """Return the registered names, sorted; with a pattern such as "rgc*" or "*_tiny", those that match."""
    return [name for name in MODELS if pattern is None or fnmatch.fnmatchcase(name, pattern)]


def model_info(name: str) -> ModelInfo:
    """Return a model's metadata without building it.

    Raises
    ------
    NeurofitError
        If there is no such model.
    """
    return INFO[check_option("model", name, MODELS)]


def model_options(name: str) -> list[str]:
    """Return the options that `create_model` passes on to a model, beside its seed: its own, and those of all ConvRNNs if it is one."""
    parameters = inspect.signature(MODELS[name]).parameters.values()
    named = [each.name for each in parameters if each.kind is not inspect.Parameter.VAR_KEYWORD]
    common = ModelOptions.__annotations__ if len(named) < len(parameters) else ()
    return [option for option in (*named, *common) if option != "seed"]
