"""What is known of each registered model without building it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurofit.models.convrnn import IMAGENET_MEAN, IMAGENET_STD, SIX_LAYER_PRESENTATIONS, ConvRNN
from neurofit.presentation import Presentation
from neurofit.registry import Registry

WEIGHTS = Path(__file__).resolve().parent / "weights"
"""Where weights that come with neurofit lie, as NAME.safetensors."""

Build = Callable[..., ConvRNN]


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
        The depth: "shallow", "tiny".
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
    reference
        The paper that the model comes from.
    top1, top5
        ImageNet accuracies of the published weights in percent, as their authors report them; None without any.
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
    reference: str
    top1: float | None = None
    top5: float | None = None

    @property
    def weights(self) -> Path:
        """Where its weights lie, if they come with neurofit."""
        return WEIGHTS / f"{self.name}.safetensors"

    @property
    def has_weights(self) -> bool:
        """Whether weights for it come with neurofit."""
        return self.weights.is_file()


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


def assemble(name: str, specs: Any, *, input_size: int, seed: int | None, **options: Any) -> ConvRNN:
    """Return the model of these layers with the registered metadata of `name`."""
    info = INFO[name]
    return ConvRNN(
        name,
        specs,
        region_layers=info.region_layers,
        input_size=input_size,
        visual_degrees=info.visual_degrees,
        presentations=info.presentations,
        mean=info.mean,
        std=info.std,
        seed=seed,
        **options,
    )
