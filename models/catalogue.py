"""The registered models: their functions, and their metadata without building them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

from torch import nn

from neurofit.activations.presentation import Presentation
from neurofit.config.registry import Registry
from neurofit.errors import NeurofitError, check_option
from neurofit.models.convrnn import SIX_LAYER_PRESENTATIONS, ConvRNN
from neurofit.models.images import IMAGENET_MEAN, IMAGENET_STD
from neurofit.models.layer import Layer
from neurofit.storage.home import find_cached, home

BASELINE = "baseline"
"""Family, and prefix of the names, of models without weights."""

WEIGHTS = Path(__file__).resolve().parent / "weights"
"""Folder of the weights included in neurofit, NAME.safetensors."""

Build = Callable[..., Any]
"""Builds a ConvRNN or a WrappedModel."""


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """Metadata of a model.

    Parameters
    ----------
    name
        Registered name, [cell]_[depth]_[variant].
    summary
        Description in one line.
    family
        Depth of the network ("shallow", "intermediate" or "tiny"), "resnet", or "baseline" for a
        model without weights.
    cell
        Registered name of the cell in the recurrent layers.
    region_layers
        Area -> layers that are compared with it.
    input_size
        Default height and width of the images, in pixels.
    n_classes
        Default length of the logits.
    visual_degrees
        Width of the visual field, in degrees of visual angle.
    presentations
        Name -> presentation of images over time.
    mean, std
        Normalisation per channel, for images in [0, 1].
    decoder
        Name of the decoder that computes the logits.
    reference
        Source of the model.
    top1, top5
        ImageNet accuracies of the published weights in per cent, as reported by their authors;
        None if no weights are published.
    weights_url
        Address of published weights in a .safetensors file; None if they are a TensorFlow
        checkpoint or do not exist.
    makes_weights
        Whether the function of the model makes its weights, which are then taken as they are. A
        model without such a function, published weights or a file is refused, unless random weights
        are asked for.

    Examples
    --------
    >>> from neurofit.models import ModelInfo, model_info
    >>> info = model_info("rgc_tiny")
    >>> isinstance(info, ModelInfo)
    True
    >>> info.cell, dict(info.region_layers), info.has_weights
    ('rgc', {'V4': ('conv3',), 'IT': ('conv5',)}, True)
    """

    name: str
    summary: str
    family: str
    cell: str
    region_layers: Mapping[str, tuple[str, ...]]
    input_size: int
    n_classes: int
    visual_degrees: float = 8.0
    presentations: Mapping[str, Presentation]
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    decoder: str = "last"
    reference: str
    top1: float | None = None
    top5: float | None = None
    weights_url: str | None = None
    makes_weights: bool = False

    @property
    def weights(self) -> Path:
        """Path of the weights: included in neurofit, or else downloaded into NEUROFIT_HOME."""
        included = WEIGHTS / f"{self.name}.safetensors"
        if included.is_file():
            return included
        return find_cached("weights", included.name) or home() / "weights" / included.name

    @property
    def has_weights(self) -> bool:
        """Whether weights are available on this machine."""
        return self.weights.is_file()

    @property
    def is_published(self) -> bool:
        """Whether the authors published weights."""
        return self.top1 is not None


MODELS: Registry[Build] = Registry("model")
"""Name -> function that builds a model, a `neurofit.config.registry.Registry`.

`neurofit.create_model` calls the function and loads the weights, and `neurofit.register_model` adds
a model.

Examples
--------
>>> from neurofit.models import MODELS
>>> "rgc_tiny" in MODELS
True
>>> MODELS["rgc_tiny"](seed=0, n_classes=5).shapes["imnetds"]
(5, 1, 1)
"""

INFO: dict[str, ModelInfo] = {}


def register_model(**metadata: Any) -> Callable[[Build], Build]:
    """Return a decorator that registers a function as the model of its name.

    Parameters
    ----------
    **metadata
        Fields of `ModelInfo`. The name is the function's unless it is given, and the summary the
        first line of its docstring. `presentations` defaults to those of six layers, and
        `makes_weights` to whether the function is defined outside of neurofit.models.

    Returns
    -------
    Callable
        Decorator of a function that takes options, such as `seed`, and returns a ConvRNN or a
        model made by `neurofit.wrap`.

    Raises
    ------
    NeurofitError
        If the name is already registered.

    Examples
    --------
    >>> import neurofit
    >>> from torch import nn
    >>> areas = {"V4": ("0",), "IT": ("2",)}
    >>> facts = {"family": "mine", "cell": "memoryless", "reference": "My lab (2026)"}
    >>> @neurofit.register_model(region_layers=areas, input_size=32, n_classes=10, **facts)
    ... def small_cnn(**options):
    ...     '''Two convolutions, untrained.'''
    ...     network = nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.Conv2d(8, 8, 5))
    ...     return neurofit.wrap(network, name="small_cnn", input_size=32, region_layers=areas)
    >>> neurofit.create_model("small_cnn").weights_origin
    'weights as its function makes them, seed 0'
    """

    def decorate(build: Build) -> Build:
        name = str(metadata.get("name", build.__name__))
        summary = (build.__doc__ or "").strip().partition("\n")[0]
        info = ModelInfo(
            **{
                "name": name,
                "summary": summary,
                "presentations": SIX_LAYER_PRESENTATIONS,
                "makes_weights": not build.__module__.startswith("neurofit.models."),
                **metadata,
            }
        )
        MODELS.register(name)(build)
        INFO[name] = info
        return build

    return decorate


def build_model(name: str, **options: Any) -> Any:
    """Call the function that is registered for a model.

    Raises
    ------
    NeurofitError
        If there is no such model, or its function raises an error or returns no torch module.
    """
    build = MODELS[name]
    place = f"{getattr(build, '__qualname__', name)} in {build.__module__}"
    try:
        model = build(**options)
    except (NeurofitError, MemoryError):
        raise
    except Exception as error:  # an added model may fail in any way
        raise NeurofitError(
            f"Model {name} cannot be built: its function, {place}, raises "
            f"{type(error).__name__}: {error}."
        ) from error
    if not isinstance(model, nn.Module):
        raise NeurofitError(
            f"Model {name} cannot be built: its function, {place}, must return a torch module; "
            f"it returns {type(model).__name__}."
        )
    return model


class ModelOptions(TypedDict, total=False):
    """Options of every registered ConvRNN.

    Attributes
    ----------
    seed
        Random seed for the weights; None leaves them at zero for loading.
    input_size
        Height and width of the images, in pixels.
    n_classes
        Length of the logits.
    unroll
        "biological" or "feedforward-per-step", see `neurofit.models.convrnn`.
    decoder
        "last", "max_conf" or "thresh", see `neurofit.models.decoders`.
    bypassing, gating
        Switches of the 2018 ablations, set in every cell; see docs/zoo.md, section 5.10.
    """

    seed: int | None
    input_size: int
    n_classes: int
    unroll: str
    decoder: str
    bypassing: bool
    gating: bool


def assemble(
    name: str,
    table: Callable[[int], Sequence[Layer]],
    *,
    feedback: Iterable[tuple[str, str]] = (),
    **options: Unpack[ModelOptions],
) -> ConvRNN:
    """Build a ConvRNN with the registered metadata of `name`.

    Parameters
    ----------
    name
        Registered name of the model.
    table
        Function from the number of classes to the layers, in feedforward order.
    feedback
        Feedback edges, (source, target).
    **options
        See `ModelOptions`.

    Raises
    ------
    NeurofitError
        If an option is invalid, or the layers do not fit together.
    """
    info = INFO[check_option("model", name, INFO)]
    n_classes = options.get("n_classes", info.n_classes)
    if n_classes < 1:
        raise NeurofitError(f"{name} needs at least 1 class; got n_classes={n_classes}.")
    switches = {
        switch: value for switch, value in options.items() if switch in ("bypassing", "gating")
    }
    return ConvRNN(
        name,
        [_set_switches(layer, switches) for layer in table(n_classes)],
        feedback=feedback,
        region_layers=info.region_layers,
        input_size=options.get("input_size", info.input_size),
        visual_degrees=info.visual_degrees,
        presentations=info.presentations,
        mean=info.mean,
        std=info.std,
        decoder=options.get("decoder", info.decoder),
        unroll=options.get("unroll", "biological"),
        seed=options.get("seed", 0),
    )


def _set_switches(layer: Layer, switches: Mapping[str, object]) -> Layer:
    """Return a layer with the switches of its cell set; memoryless cells have none."""
    return (
        layer
        if layer.cell == "memoryless"
        else replace(layer, cell_options={**layer.cell_options, **switches})
    )
