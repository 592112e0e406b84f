"""Build a model of a source from its name: the one resolver that every command uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from neurofit.activations.model import evaluating, validate_model, weights_sha256
from neurofit.errors import NeurofitError
from neurofit.models.clips import Clip, find_clip
from neurofit.models.images import image_settings
from neurofit.models.probing import random_images
from neurofit.models.sources.contract import OWN, Network, Source
from neurofit.models.sources.files import check_pin
from neurofit.models.sources.names import Name
from neurofit.models.survey import Surveyed, survey_images
from neurofit.models.weight_files import load_weights
from neurofit.models.wrapping import call_module, wrap

WRAPPED = ("input_size", "ms_per_timestep", "visual_degrees", "tokens", "time")
"""Options of a name that are arguments of `wrap`."""


def create(
    name: Name,
    *,
    weights: str | Path = "auto",
    seed: int = 0,
    layers: Sequence[str] = (),
    **overrides: Any,
) -> Any:
    """Build the network of a name as a model.

    Parameters
    ----------
    name
        Result of `parse`.
    weights
        "auto": those that the source publishes, in safetensors. "random", or the path of a
        .safetensors file. Those of a factory are as it makes them, unless a file is given.
    seed
        Random seed of random weights.
    layers
        Layers to record: names of modules, or patterns ("layer3.*"). Without any, at most 12 are
        spread over the depth of the network (`neurofit.models.survey`).
    **overrides
        Options besides those of the name, which they replace.

    Returns
    -------
    WrappedModel
        Or the neurofit model that a factory returns.

    Raises
    ------
    NeurofitError
        If there is no such network, option or file, the weights differ from those that are
        pinned, or the probe refuses the network.
    """
    built = build_network(name, weights=weights, seed=seed, **overrides)
    return built.model(layers)


@dataclass(frozen=True, kw_only=True)
class Built:
    """A network of a source with its weights, before it is probed.

    Parameters
    ----------
    name
        Its name.
    network
        What the source provides.
    origin
        Where the weights come from, in words.
    own
        Options of the name for neurofit, `OWN`.
    n_classes
        Number of classes that the network has to return; None for any.
    pinned
        Whether the weights are published ones, which are not to change.
    """

    name: Name
    network: Network
    origin: str
    own: Mapping[str, Any]
    n_classes: int | None
    pinned: bool

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `wrap` besides the layers."""
        declared = self.network.preprocessing
        stated = {
            "input_size": declared.input_size,
            "mean": declared.mean,
            "std": declared.std,
            "interpolation": declared.interpolation,
            "visual_degrees": self.network.visual_degrees,
        }
        own = {key: each for key, each in self.own.items() if key in WRAPPED}
        return {
            "name": str(self.name),
            "call": self.network.call,
            **({} if self.name.runs_code else stated),
            **own,
            **read_clip(self.name, self.network.clip, self.own),
        }

    @property
    def provenance(self) -> dict[str, Any]:
        """Facts that results record: the source, and the preprocessing that it declares."""
        declared = self.network.preprocessing
        stated = asdict(declared) if declared.declared else "none declared: that of ImageNet"
        return {"source": str(self.name), **self.network.provenance, "preprocessing": stated}

    def survey(self) -> list[Surveyed]:
        """Return what each module does with two random images."""
        module, given = self.network.module, self.arguments()
        size, mean, std = image_settings(
            module, *(given.get(key) for key in ("input_size", "mean", "std"))
        )
        call = self.network.call or call_module
        images = random_images(module, (2, len(mean), size, size))
        clip = find_clip(module, call, images, given["clip"] or Clip())
        return survey_images(
            module,
            call if clip is None else clip.still(call),
            input_size=size,
            mean=mean,
            std=std,
            name=str(self.name),
            time=given.get("time", "auto"),
            n_frames=1 if clip is None else clip.n_frames,
        )

    @property
    def unrolls(self) -> bool:
        """Whether a factory has returned a neurofit model, which is not wrapped."""
        return hasattr(self.network.module, "unroll")

    def model(self, layers: Sequence[str] = ()) -> Any:
        """Return the network as a model, after the probe."""
        model = self.network.module
        if isinstance(model, nn.Module):
            model.eval()
        if self.unrolls:
            validate_model(model)
        else:
            named = tuple(layers) or self.network.layers
            areas = {} if layers else self.network.region_layers
            model = wrap(model, named or None, region_layers=areas, **self.arguments())
        ms = self.own.get("ms_per_timestep", model.ms_per_timestep)
        if model.ms_per_timestep != ms:
            raise NeurofitError(
                f"{self.name} states timesteps of {model.ms_per_timestep} ms; got {ms} ms.",
                option="ms_per_timestep",
            )
        model.weights_origin = self.origin
        model.provenance = {**self.provenance, **getattr(model, "timing", {})}
        self.check_weights(model)
        return model

    def check_weights(self, model: Any) -> None:
        """Check the pinned sha256 of the weights, and the number of classes that is asked for."""
        stated = str(self.own.get("sha256", ""))
        if self.pinned or stated:
            check_pin(str(self.name), weights_sha256(model), stated=stated)
        if self.n_classes is None:
            return
        with torch.no_grad(), evaluating(model):
            logits = model(torch.zeros(1, 3, model.input_size, model.input_size))
        if logits.shape[1:] != (self.n_classes,):
            raise NeurofitError(
                f"{self.name} returns {tuple(logits.shape[1:])} for each image, not logits of "
                f"{self.n_classes} classes."
            )


def read_clip(name: Name, clip: Clip | None, own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `wrap` that the options for networks of frames stand for.

    Raises
    ------
    NeurofitError
        If an option is out of its range, or a frame does not last a whole number of ms.
    """
    named = {"frames": "frames", "onset": "onset_ms", "offset": "offset_ms", "after": "after"}
    changes = {field: own[key] for key, field in named.items() if key in own}
    found: dict[str, Any] = {"clip": replace(clip or Clip(), **changes) if changes else clip}
    if "frame_rate" in own:
        rate = own["frame_rate"]
        if "ms_per_timestep" in own or not isinstance(rate, int) or rate < 1 or 1000 % rate:
            raise NeurofitError(
                f"{name}: frame_rate is a number of frames per second that divides 1000, in place "
                f"of ms_per_timestep; got {rate!r}."
            )
        found["ms_per_timestep"] = 1000 // rate
    return found


def build_network(
    name: Name, *, weights: str | Path = "auto", seed: int = 0, **overrides: Any
) -> Built:
    """Return the network of a name with its weights; for parameters and errors see `create`."""
    source: Source = import_module(f"neurofit.models.sources.{name.source}")
    wanted = overrides.pop("n_classes", None)
    options = {**name.options, **overrides}
    own = {key: options[key] for key in OWN if key in options}
    rest = {key: each for key, each in options.items() if name.takes_own or key not in OWN}
    if own.get("pretrained", True) is False and not name.has_weights:
        if weights not in ("auto", "random"):
            raise NeurofitError(f"{name} states pretrained=false; got weights {str(weights)!r}.")
        weights = "random"
    if name.source == "brainscore" and weights == "random":
        raise NeurofitError(f"{name} has the weights that Brain-Score loads, not random ones.")
    if wanted and weights == "random" and not name.has_weights:
        rest["n_classes"] = wanted  # a trained readout is kept: `check_weights` says if it fits
    file = source.find_weights(name.network, rest) if weights == "auto" else None
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        network = source.build(name.network, rest, file)
    if weights not in ("auto", "random"):
        _load(network.module, Path(weights))
    return Built(
        name=name,
        network=network,
        origin=_origin(name, weights, seed),
        own=own,
        n_classes=wanted,
        pinned=weights == "auto" and file is not None and not Path(name.network).exists(),
    )


def _load(module: Any, path: Path) -> None:
    if not isinstance(module, nn.Module):
        raise NeurofitError(f"{type(module).__name__} has no weights to load; got {path}.")
    if not path.is_file():
        raise NeurofitError(
            f'weights is "auto", "random" or the path of a .safetensors file; got {str(path)!r}.'
        )
    load_weights(module, path)


def _origin(name: Name, weights: str | Path, seed: int) -> str:
    if weights not in ("auto", "random"):
        return f"weights of {weights}"
    if name.source == "brainscore":
        return "weights that Brain-Score loads"
    if name.has_weights:
        return f"weights as its function makes them, seed {seed}"
    return "trained weights" if weights == "auto" else f"random weights, seed {seed}"
