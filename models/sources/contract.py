"""What a source of models provides: a module, the preprocessing it declares, and its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from neurofit.errors import NeurofitError
from neurofit.models.clips import Clip
from neurofit.models.images import IMAGENET_MEAN, IMAGENET_STD, Rgb

SHOWN = ("frames", "frame_rate", "onset", "offset", "after")
"""Options of a name that say how an image is shown to a network that takes frames."""

OWN = (
    *("input_size", "ms_per_timestep", "visual_degrees", "tokens", "time", "sha256", "pretrained"),
    *SHOWN,
)
"""Options of every name, which are not passed to the source (but to a factory that takes them)."""

INTERPOLATIONS = {"bilinear": "bilinear", "bicubic": "bicubic", "lanczos": "bicubic"}
"""Interpolation that a source declares -> the one by which images are resized."""


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """What a source declares about the images of a network.

    Parameters
    ----------
    input_size
        Height and width in pixels.
    mean, std
        Normalisation per channel, for images in [0, 1].
    interpolation
        Interpolation by which images are resized, one of `INTERPOLATIONS`.
    crop
        Share of the width of a resized image that the declared central crop keeps. It is recorded
        and not applied: the visual degrees decide what the network sees.
    declared
        Whether the source declares it, or the values are those usual for ImageNet.
    """

    input_size: int = 224
    mean: Rgb = IMAGENET_MEAN
    std: Rgb = IMAGENET_STD
    interpolation: str = "bilinear"
    crop: float = 1.0
    declared: bool = False


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network of a source.

    Parameters
    ----------
    module
        Torch module from normalised images (batch channel height width), or a neurofit model.
    preprocessing
        What the source declares about images.
    call
        Function that runs the module on images, if it takes something else.
    clip
        How an image is shown to a video model; None lets the probe find out.
    layers, region_layers
        Layers that the source names, and those of areas.
    visual_degrees
        Width of the visual field.
    provenance
        Facts that results record: versions, hashes of files, how an image is shown.
    """

    module: Any
    preprocessing: Preprocessing = Preprocessing()
    call: Callable[[Any, Tensor], object] | None = None
    clip: Clip | None = None
    layers: tuple[str, ...] = ()
    region_layers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    visual_degrees: float = 8.0
    provenance: Mapping[str, Any] = field(default_factory=dict)


class Source(Protocol):
    """A module of `neurofit.models.sources`: functions from the name of a network."""

    def find_weights(self, name: str, options: Mapping[str, Any]) -> Path | None:
        """Return the safetensors file of the trained weights; None if the factory makes them.

        Raises
        ------
        NeurofitError
            If there is no such network, or its weights are not here or not in safetensors.
        """
        ...

    def build(self, name: str, options: Mapping[str, Any], weights: Path | None) -> Network:
        """Return the network with weights, or with random ones for None.

        Raises
        ------
        NeurofitError
            If there is no such network or option.
        """
        ...


def import_extra(package: str, *, extra: str = "") -> Any:
    """Return a package that an extra of neurofit installs.

    Raises
    ------
    NeurofitError
        If it cannot be imported, with how to install it.
    """
    try:
        return import_module(package)
    except (ImportError, RuntimeError) as error:  # RuntimeError: built for another torch
        reason = str(error).partition("\n")[0]
        raise NeurofitError(
            f"{package.partition('.')[0]} cannot be imported ({reason}). "
            f"Install it: pip install 'neurofit[{extra or package}]'."
        ) from error


def describe_package(package: str) -> dict[str, str]:
    """Return the name and version of a package, as results record them."""
    return {"package": f"{package} {version(package)}"}


@contextmanager
def translate(what: str) -> Any:
    """Turn whatever the code of a network raises into a sentence that names the network."""
    try:
        yield
    except (NeurofitError, MemoryError):
        raise
    except Exception as error:  # the code of a network may fail in any way
        first_line = str(error).strip().partition("\n")[0]
        raise NeurofitError(
            f"{what} cannot be built: {type(error).__name__}: {first_line}\n"
            "neurofit --debug COMMAND prints the traceback."
        ) from error
