"""What is known of each registered model without building it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

from neurofit.errors import NeurofitError
from neurofit.home import home
from neurofit.models.convrnn import SIX_LAYER_PRESENTATIONS, ConvRNN
from neurofit.models.images import IMAGENET_MEAN, IMAGENET_STD
from neurofit.models.layer import Layer
from neurofit.presentation import Presentation
from neurofit.registry import Registry

WEIGHTS = Path(__file__).resolve().parent / "weights"
"""Where weights that come with neurofit lie, as NAME.safetensors."""

Build = Callable[..., Any]
"""Builds a model: a ConvRNN, or a WrappedModel."""


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """A model's metadata.

    Parameters
    ----------
    name
        Registered name, [cell]_[depth]_[variant].
    summary
        What it is, in a line.
    family
        The depth: "shallow", "intermediate", "tiny"; or "resnet".
    cell
        Registered name of the cell in its recurrent layers.
    region_layers
        Area -> the layers that stand for it.
    input_size
        Height and width of its images by default, in pixels.
    n_classes
        Length of its logits by default.
    visual_degrees
        Width of its field, in degrees of visual angle.
    presentations
        Name -> how images are shown.
    mean, std
        Per channel, of images in [0, 1].
    decoder
        Name of the decoder that gives its logits.
    reference
        The paper that the model comes from.
    top1, top5
        ImageNet accuracies of the published weights in percent, as their authors report them; None without any.
    weights_url
        Address of the published weights as a .safetensors file; None where they are a TensorFlow checkpoint of the zoo, or nowhere.
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

    @property
    def weights(self) -> Path:
        """Where its weights lie: those that come with neurofit, else those that `neurofit weights get` leaves in NEUROFIT_HOME."""
        shipped = WEIGHTS / f"{self.name}.safetensors"
        return shipped if shipped.is_file() else home() / "weights" / shipped.name

    @property
    def has_weights(self) -> bool:
        """Whether weights for it are on this machine."""
        return self.weights.is_file()

    @property
    def is_published(self) -> bool:
        """Whether its authors have published weights for it."""
        return self.top1 is not None


MODELS: Registry[Build] = Registry("model")
INFO: dict[str, ModelInfo] = {}


def register_model(**metadata: Any) -> Callable[[Build], Build]:
    """Return a decorator that registers a function as the model of its name.

    Parameters
    ----------
    **metadata
        The fields of `ModelInfo` but name and summary (the docstring's first line); `presentations` are those of six layers by default.

    Raises
    ------
    NeurofitError
        If the name is taken.
    """

    def decorate(build: Build) -> Build:
        name = build.__name__
        summary = (build.__doc__ or "").strip().partition("\n")[0]
        info = ModelInfo(**{"name": name, "summary": summary, "presentations": SIX_LAYER_PRESENTATIONS, **metadata})
        MODELS.register(name)(build)
        INFO[name] = info
        return build

    return decorate


class ModelOptions(TypedDict, total=False):
    """Options that every ConvRNN of the catalogue takes.

    Attributes
    ----------
    seed
        Of random weights; None leaves them at zero, for weights that are loaded right after.
    input_size
        Height and width of its images, in pixels.
    n_classes
        Length of its logits.
    unroll
        "biological" or "feedforward-per-step", see `neurofit.models.convrnn`.
    decoder
        "last", "max_conf" or "thresh", see `neurofit.models.decoders`.
    bypassing, gating
        The switches of the 2018 ablations, set in every cell of the model; a cell says what it does without or with them.
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
    """Return the model of a table of layers, a function of the number of classes, with the registered metadata of `name`."""
    info = INFO[name]
    n_classes = options.get("n_classes", info.n_classes)
    if n_classes < 1:
        raise NeurofitError(f"{name} needs at least 1 class; got n_classes={n_classes}.")
    switches = {switch: value for switch, value in options.items() if switch in ("bypassing", "gating")}
    return ConvRNN(
        name,
        [_switched(layer, switches) for layer in table(n_classes)],
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


def _switched(layer: Layer, switches: Mapping[str, object]) -> Layer:
    """Return a layer with its cell's switches set; one without memory has none."""
    return layer if layer.cell == "memoryless" else replace(layer, cell_options={**layer.cell_options, **switches})
