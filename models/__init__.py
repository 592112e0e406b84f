"""Recurrent vision models that unfold in time: `create_model`, `list_models` and `wrap`."""

from __future__ import annotations

import fnmatch
import inspect
from pathlib import Path
from typing import Any

from neurofit.activations.model import weights_sha256
from neurofit.errors import NeurofitError, check_option
from neurofit.models import (  # noqa: F401 - these modules register their models
    baselines,
    controls,
    five_layer,
    intermediate,
    resnet,
    shallow,
    tiny,
)
from neurofit.models.catalogue import (
    BASELINE,
    INFO,
    MODELS,
    ModelInfo,
    ModelOptions,
    build_model,
    register_model,
)
from neurofit.models.cells import CELLS, Cell, CellShapes, register_cell
from neurofit.models.convrnn import ConvRNN
from neurofit.models.layer import Conv, Layer
from neurofit.models.sources.create import create
from neurofit.models.sources.names import Name, parse, unknown_model
from neurofit.models.weight_files import load_weights, save_weights, training_card
from neurofit.models.wrapped import WrappedModel
from neurofit.models.wrapping import wrap

if __name__ != "neurofit.models":
    raise ImportError(
        f"Import this folder as neurofit.models, not as {__name__}: `import neurofit.models`."
    )

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


def create_model(
    name: str, *, weights: str | Path = "auto", seed: int = 0, **overrides: Any
) -> Any:
    """Build a model by its name.

    Parameters
    ----------
    name
        Registered name (`list_models`), or a name of a source: timm:NAME, torchvision:NAME,
        hf:OWNER/NAME, hf:FOLDER, brainscore:NAME, file:PATH or FILE.py:FACTORY, each with options
        as in "timm:resnet18?pretrained=false"; see `neurofit.models.sources` and docs/models.md.
    weights
        "auto": the weights that come with neurofit, else the published ones, which are downloaded
        by `neurofit weights get`, else those that a registered function of your own makes; without
        any it is an error. "random": random weights. Otherwise the path of a .safetensors file. A
        baseline has none. The weights of a source are those that it publishes in safetensors.
    seed
        Random seed for random weights, which the name of the model and the seed determine.
    **overrides
        Options of the model, such as `input_size` in pixels and `n_classes`; by default those that
        the weights were trained with. For a network of a source also `layers`: names or patterns of
        the modules to record.

    Returns
    -------
    ConvRNN
        In float32 on the CPU, or a WrappedModel for the ResNets and for networks of sources. Its
        attribute `weights_origin` says in words where the weights come from.

    Raises
    ------
    NeurofitError
        If the name, an option, the seed or the file of weights is wrong, or weights are neither on
        this machine nor random by request.

    Examples
    --------
    >>> import neurofit
    >>> neurofit.create_model("rgc_tiny")
    ConvRNN('rgc_tiny', 6 layers conv1 to imnetds, V4 in conv3 and IT in conv5, ...)
    >>> untrained = neurofit.create_model("rgc_tiny", weights="random", seed=1)

    A network of timm needs ``pip install neurofit[timm]``, and downloads its weights:

    >>> resnet = neurofit.create_model("timm:resnet18")  # doctest: +SKIP
    """
    if (sourced := find_name(name)) is not None:
        return create(sourced, weights=weights, seed=seed, **overrides)
    info = model_info(name)
    options = model_options(name)
    for option in overrides:
        check_option(f"option of {name}", option, options)
    path = find_weights(info, weights)
    if path is None:
        model = build_model(name, seed=seed, **overrides)
        if info.family == BASELINE:
            model.weights_origin = "no weights"
        elif weights == "random":
            model.weights_origin = f"random weights, seed {seed}"
        else:
            model.weights_origin = f"weights as its function makes them, seed {seed}"
        return model
    trained_as = {
        key: value
        for key, value in training_card(path).items()
        if key in ("input_size", "n_classes") and key in options
    }
    model = build_model(name, seed=None, **{**trained_as, **overrides})
    load_weights(model, path)
    model.weights_origin = "trained weights" if weights == "auto" else f"weights of {weights}"
    return model


def find_weights(info: ModelInfo, weights: str | Path) -> Path | None:
    """Return the file with the weights of a registered model.

    Parameters
    ----------
    info
        The model.
    weights
        As for `create_model`.

    Returns
    -------
    Path or None
        None if the weights are random or made by the model's function, or it has none.

    Raises
    ------
    NeurofitError
        If there is no such file, or the model has no weights to choose.
    """
    if info.family == BASELINE and weights != "auto":
        raise NeurofitError(f"{info.name} has no weights; got {str(weights)!r}.", option="weights")
    if info.family == BASELINE or weights == "random":
        return None
    if weights == "auto" and not info.has_weights:
        if info.makes_weights:
            return None
        raise _no_weights(info)
    path = info.weights if weights == "auto" else Path(weights)
    if not path.is_file():
        raise NeurofitError(
            'weights is "auto", "random" or the path of a .safetensors file; '
            f"got {str(weights)!r}.",
            option="weights",
        )
    return path


def _no_weights(info: ModelInfo) -> NeurofitError:
    """Return the error for a model whose weights are not on this machine."""
    if info.is_published:
        return NeurofitError(
            f"The published weights of {info.name} are not downloaded. Run: "
            f"neurofit weights get {info.name}\nOr ask for random weights by --weights random."
        )
    return NeurofitError(
        f"Nobody has published weights of {info.name}. Train it with `neurofit train --model "
        f"{info.name} ...`,\ngive a file by --weights FILE, or ask for --weights random."
    )


def list_models(pattern: str | None = None) -> list[str]:
    """Return the names of the registered models.

    Parameters
    ----------
    pattern
        Pattern that the names match, such as ``"*_tiny"``. None returns all.

    Returns
    -------
    list of str
        Names in alphabetical order, which `create_model` takes.

    Examples
    --------
    >>> import neurofit
    >>> neurofit.list_models("rgc_shallow*")
    ['rgc_shallow', 'rgc_shallow_full_pass', 'rgc_shallow_minimal']
    """
    return [name for name in MODELS if pattern is None or fnmatch.fnmatchcase(name, pattern)]


def find_name(name: str) -> Name | None:
    """Return the name of a network of a source taken apart; None for other names."""
    return None if name in MODELS or name.startswith(f"{BASELINE}:") else parse(name)


def model_info(name: str) -> ModelInfo:
    """Return the metadata of a registered model without building it.

    Parameters
    ----------
    name
        Registered name, see `neurofit.list_models`.

    Returns
    -------
    ModelInfo
        Areas and their layers, sizes, presentations, source and published accuracy.

    Raises
    ------
    NeurofitError
        If there is no such model.

    Examples
    --------
    >>> from neurofit.models import model_info
    >>> info = model_info("rgc_shallow")
    >>> info.family, info.input_size, info.n_classes
    ('shallow', 224, 1000)
    """
    if name not in MODELS:
        raise unknown_model(name, MODELS)
    return INFO[name]


def model_options(name: str) -> list[str]:
    """Return the names of the options that `create_model` accepts for a model, without `seed`.

    Parameters
    ----------
    name
        Registered name, see `neurofit.list_models`.

    Returns
    -------
    list of str
        Names of the keyword arguments; models/README.md says what they mean.

    Raises
    ------
    NeurofitError
        If there is no such model.

    Examples
    --------
    >>> from neurofit.models import model_options
    >>> model_options("rgc_tiny")
    ['input_size', 'n_classes', 'unroll', 'decoder', 'bypassing', 'gating']
    """
    parameters = inspect.signature(MODELS[name]).parameters.values()
    named = [each.name for each in parameters if each.kind is not inspect.Parameter.VAR_KEYWORD]
    common = ModelOptions.__annotations__ if len(named) < len(parameters) else ()
    return [option for option in (*named, *common) if option != "seed"]
