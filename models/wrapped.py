"""Any torch module as a model that unfolds in time: layer_l(t) is what its module l gives at its t-th call in one forward.

A recurrent net calls the same modules again and again; each call is a timestep. A static net calls each once: its layers are as
they are at every timestep, one tensor for all.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from neurofit.errors import NeurofitError, NeurofitWarning, check_option
from neurofit.models.images import IMAGENET_MEAN, IMAGENET_STD, check_images, per_channel
from neurofit.presentation import NEURAL, Presentation
from neurofit.protocol import find_layers, find_presentation, refuse_text

Call = Callable[[nn.Module, Tensor], object]
"""Runs a module on normalised images (batch channel height width)."""

N_PROBES = 7
"""Random images that a module is tried on when it is wrapped; no usual number of timesteps, to tell the batch from time."""


STATIC_PRESENTATIONS: Mapping[str, Presentation] = {
    "default": Presentation(n_timesteps=1),
    "neural": NEURAL,
    "constant": Presentation(n_timesteps=NEURAL.n_timesteps),
}
"""How a model without time is shown images: as every other; it makes no difference to it."""


def wrap(
    module: nn.Module,
    layers: Sequence[str],
    *,
    name: str | None = None,
    recurrent: bool | None = None,
    first_call: Mapping[str, int] | None = None,
    call: Call | None = None,
    region_layers: Mapping[str, Sequence[str]] | None = None,
    input_size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    visual_degrees: float = 8.0,
    ms_per_timestep: int = 10,
) -> WrappedModel:
    """Bring in a torch module; it is tried on a few random images, once.

    Parameters
    ----------
    module
        Takes images (batch channel height width), normalised. It is used as it is, not copied; `extract` sets it to evaluation.
    layers
        Names of the modules inside it to record, as `module.named_modules()` has them.
    name
        Of the model; by default the class's.
    recurrent
        Whether it unfolds in time: True claims that recorded layers are called several times in one forward and change from call to
        call; False that each is called once. None takes what the probe finds.
    first_call
        Layer -> the timestep of its first call, 0 by default: a latency. Needed where layers are called a different number of times,
        or once behind a recurrent one. Before its first call a layer is 0, after its last it stays as it is.
    call
        Runs the module, for one that takes more than images: `lambda module, images: module(images, n_steps=8)`.
    region_layers
        Area -> the layers that stand for it, say {"V4": ["layer2"], "IT": ["layer4"]}.
    input_size, mean, std
        Size of its images in pixels, and how they are normalised per channel; by default those of a timm model's
        `pretrained_cfg`, else 224 and ImageNet's.
    visual_degrees
        Width of its field in degrees of visual angle.
    ms_per_timestep
        Duration of a call in ms: eight calls of 10 ms end before IT answers.

    Returns
    -------
    WrappedModel
        Keeps the contract `neurofit.protocol.Model`.

    Raises
    ------
    NeurofitError
        If a layer does not exist, is never called, gives no tensor with the batch first, changes its shape from call to call, or is
        the same for every image; if the number of calls is not what `recurrent` says, or does not tell when a layer is called.

    Warns
    -----
    NeurofitWarning
        If a layer is the same for every image at some timestep: its image-driven ones begin later, or have a gap.
    """
    if not isinstance(module, nn.Module):
        raise NeurofitError(f"wrap takes a torch module, an instance and not its class; got {module!r}.")
    refuse_text("layers", layers)
    for region, own in (region_layers or {}).items():
        refuse_text(f"layers of {region}", own)
    config = getattr(module, "pretrained_cfg", None) or {}
    size = input_size if input_size is not None else int(config.get("input_size", (3, 224, 224))[-1])
    for what, value in (("input_size", size), ("ms_per_timestep", ms_per_timestep), ("the number of layers", len(layers))):
        if value < 1:
            raise NeurofitError(f"{what} is at least 1; got {value}.")
    name = name or type(module).__name__
    return WrappedModel(
        name,
        module,
        _existing(module, layers),
        recurrent=recurrent,
        first_call=first_call or {},
        call=call or _call,
        region_layers={
            region: tuple(check_option(f"layer for {region} of {name}", layer, layers) for layer in own)
            for region, own in (region_layers or {}).items()
        },
        input_size=size,
        mean=_rgb(mean if mean is not None else config.get("mean", IMAGENET_MEAN)),
        std=_rgb(std if std is not None else config.get("std", IMAGENET_STD), positive=True),
        visual_degrees=visual_degrees,
        ms_per_timestep=ms_per_timestep,
    )


@dataclass(frozen=True)
class Timeline:
    """When layers are called.

    Parameters
    ----------
    n_timesteps
        Length of the unroll; 1 for a static model, whose timesteps are all alike.
    first
        Layer -> timestep of its first call.
    calls
        Layer -> number of calls in one forward.
    """

    n_timesteps: int
    first: Mapping[str, int]
    calls: Mapping[str, int]

    def call_at(self, layer: str, timestep: int) -> int:
        """Return which of a layer's calls stands at a timestep; below 0 before its first."""
        return min(timestep - self.first[layer], self.calls[layer] - 1)


class WrappedModel(nn.Module):
    """A torch module with the contract `neurofit.protocol.Model`; `wrap` makes it and describes the arguments."""

    def __init__(
        self,
        name: str,
        module: nn.Module,
        layers: tuple[str, ...],
        *,
        recurrent: bool | None,
        first_call: Mapping[str, int],
        call: Call,
        region_layers: Mapping[str, tuple[str, ...]],
        input_size: int,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        visual_degrees: float,
        ms_per_timestep: int,
    ) -> None:
        super().__init__()
        self.name = name
        self.module = module
        self.layers = layers
        self.call = call
        self.region_layers = region_layers
        self.input_size = input_size
        self.mean = mean
        self.std = std
        self.visual_degrees = visual_degrees
        self.ms_per_timestep = ms_per_timestep
        self.image_mean: Tensor
        self.image_std: Tensor
        weight = next((each for each in module.parameters() if each.is_floating_point()), torch.empty(0))
        self.register_buffer("image_mean", per_channel(mean).to(weight), persistent=False)
        self.register_buffer("image_std", per_channel(std).to(weight), persistent=False)
        self.training = module.training
        order = _probe(self)
        calls = _by_layer(order, layers)
        _check_calls(self, calls)
        self.timeline = _timeline(self, calls, [layer for layer, _ in order], recurrent=recurrent, first_call=first_call)
        self.first_timestep: Mapping[str, int] = _image_driven_from(self, calls)
        # A static model is shown images as every other, a recurrent one for as long as its forward lasts.
        own = Presentation(n_timesteps=self.timeline.n_timesteps)
        self.presentations = dict.fromkeys(STATIC_PRESENTATIONS, own) if self.recurrent else STATIC_PRESENTATIONS

    @property
    def recurrent(self) -> bool:
        """Whether its layers unfold in time."""
        return self.timeline.n_timesteps > 1

    def forward(self, images: Tensor) -> object:
        """Return what the module gives for images (batch channel height width) in [0, 1]."""
        return self.call(self.module, self._normalised(images))

    def unroll(
        self, images: Tensor, presentation: str | Presentation = "default", *, layers: Sequence[str] | None = None
    ) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """Show images and yield (timestep, {layer: activations (batch ...), as the layer gives them}).

        One forward records all calls of the asked layers. A static model answers alike at every timestep, whatever follows the image;
        a recurrent one sees the image throughout, for as many timesteps as it has calls.

        Raises
        ------
        NeurofitError
            At once, if the images, the presentation or a layer do not suit the model.
        """
        shown = find_presentation(self, presentation)
        asked = find_layers(self, layers)
        if self.recurrent and (shown.n_timesteps > self.timeline.n_timesteps or not shown.shows_image(shown.n_timesteps - 1)):
            off = "" if shown.image_off is None else f" with image_off={shown.image_off}"
            raise NeurofitError(
                f"{self.name} has {self.timeline.n_timesteps} timesteps in one forward, with the image always on; "
                f"got a presentation of {shown.n_timesteps}{off}."
            )
        return self._steps(self._normalised(images), shown, asked)

    def _steps(self, normalised: Tensor, shown: Presentation, asked: tuple[str, ...]) -> Iterator[tuple[int, dict[str, Tensor]]]:
        calls = _by_layer(record(self, normalised, asked), asked)
        for layer in asked:
            if len(calls[layer]) != self.timeline.calls[layer]:
                raise NeurofitError(
                    f"{self.name}, layer {layer}: it was called {self.timeline.calls[layer]} times in a forward when it was wrapped, "
                    f"and {len(calls[layer])} times now. Layers need the same number of timesteps for all images."
                )
        blank = {layer: torch.zeros_like(calls[layer][0]) for layer in asked if self.timeline.first[layer]}
        for timestep in range(shown.n_timesteps):
            at = {layer: self.timeline.call_at(layer, timestep) for layer in asked}
            yield timestep, {layer: calls[layer][number] if number >= 0 else blank[layer] for layer, number in at.items()}

    def _normalised(self, images: Tensor) -> Tensor:
        check_images(images, model=self.name, n_channels=len(self.mean), size=self.input_size, like=self.image_mean)
        return (images - self.image_mean) / self.image_std


def record(model: WrappedModel, normalised: Tensor, layers: Sequence[str]) -> list[tuple[str, Tensor]]:
    """Return (layer, what it gives (batch ...)) for each call of a layer in one forward, in the order of the calls.

    The forward runs to its end, so that a module which keeps a state can put it in order.

    Raises
    ------
    NeurofitError
        If a layer gives no tensor with the batch first.
    """
    calls: list[tuple[str, Tensor]] = []

    def note(layer: str, module: nn.Module, args: Any, output: object) -> None:
        # A copy: what follows a module may change its output in place.
        calls.append((layer, _tensor(output, len(normalised), where=f"{model.name}, layer {layer}").clone()))

    with ExitStack() as hooks:
        for layer in dict.fromkeys(layers):
            hooks.callback(model.module.get_submodule(layer).register_forward_hook(partial(note, layer)).remove)
        model.call(model.module, normalised)
    return calls


def _by_layer(calls: Sequence[tuple[str, Tensor]], layers: Sequence[str]) -> dict[str, list[Tensor]]:
    return {layer: [output for name, output in calls if name == layer] for layer in layers}


def _rgb(values: Sequence[float], *, positive: bool = False) -> tuple[float, float, float]:
    if len(values) != 3 or (positive and min(values) <= 0):
        raise NeurofitError(f"Images are RGB, with a mean and a positive standard deviation for each of 3 channels; got {tuple(values)}.")
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _call(module: nn.Module, images: Tensor) -> object:
    return module(images)


def _tensor(output: object, n_images: int, *, where: str) -> Tensor:
    """Return a module's output, or the first tensor of a tuple, list or dict."""
    values = list(output.values()) if isinstance(output, Mapping) else output
    found = next((each for each in values if isinstance(each, Tensor)), None) if isinstance(values, tuple | list) else values
    if not isinstance(found, Tensor):
        raise NeurofitError(f"{where}: a recorded layer gives a tensor, or a tuple that holds one; got {type(output).__name__}.")
    if found.ndim < 2 or len(found) != n_images:
        raise NeurofitError(f"{where}: the first axis must be the batch ({n_images} images); got shape {tuple(found.shape)}.")
    return found


def _existing(module: nn.Module, layers: Sequence[str]) -> tuple[str, ...]:
    names = [name for name, _ in module.named_modules(remove_duplicate=False) if name]
    for layer in layers:
        if layer not in names:
            near = ", ".join(difflib.get_close_matches(layer, names, n=4, cutoff=0.0))
            raise NeurofitError(f"{type(module).__name__} has no module {layer!r}; nearest of its {len(names)}: {near}.")
    if len(set(layers)) < len(layers):
        raise NeurofitError(f"Layers are recorded once each; got {', '.join(layers)}.")
    return tuple(layers)


def _probe(model: WrappedModel) -> list[tuple[str, Tensor]]:
    """Return every call of every layer on a few random images; modes and torch's generators are left as they were."""
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(N_PROBES, len(model.mean), model.input_size, model.input_size, generator=rng).to(model.image_mean)
    modes = {each: each.training for each in model.modules()}
    model.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(range(torch.cuda.device_count())):
            return record(model, (images - model.image_mean) / model.image_std, model.layers)
    except NeurofitError:
        raise
    except Exception as error:  # whatever a module raises on images that it cannot take
        raise NeurofitError(
            f"{model.name} cannot be run on {tuple(images.shape)} images: {type(error).__name__}: {str(error).splitlines()[0]}\n"
            "Give input_size=PIXELS for other images, or call=FUNCTION of module and images for a module that takes more than images."
        ) from error
    finally:
        for each, mode in modes.items():
            each.training = mode


def _check_calls(model: WrappedModel, calls: Mapping[str, list[Tensor]]) -> None:
    """Refuse a layer that is never called, or whose calls cannot be timesteps."""
    for layer, outputs in calls.items():
        if not outputs:
            raise NeurofitError(f"{model.name}, layer {layer}: it exists, but the forward never calls it. Record another, or give `call`.")
        shapes = {tuple(output.shape[1:]) for output in outputs}
        if len(shapes) > 1:
            raise NeurofitError(
                f"{model.name}, layer {layer}: its {len(outputs)} calls give different shapes ({', '.join(map(str, sorted(shapes)))}), "
                "so it is one module in several places. Record the modules around it."
            )


def _timeline(
    model: WrappedModel,
    calls: Mapping[str, list[Tensor]],
    order: Sequence[str],
    *,
    recurrent: bool | None,
    first_call: Mapping[str, int],
) -> Timeline:
    """Return when layers are called, from what each call gave and from the order of all calls."""
    counts = {layer: len(outputs) for layer, outputs in calls.items()}
    often = [layer for layer, count in counts.items() if count > 1]
    for layer, timestep in first_call.items():
        check_option(f"layer in first_call of {model.name}", layer, model.layers)
        if timestep < 0:
            raise NeurofitError(f"{model.name}, layer {layer}: a first call is at timestep 0 or later; got {timestep}.")
    if recurrent is False and often:
        raise NeurofitError(
            f"{model.name} is said to be static, but {often[0]} is called {counts[often[0]]} times in one forward. "
            "Record the module around it, or drop recurrent=False."
        )
    if recurrent is None:
        for layer in often:
            if not list(model.module.get_submodule(layer).parameters()):
                raise NeurofitError(
                    f"{model.name}, layer {layer}: a module without weights that is called {counts[layer]} times in one forward may just "
                    "stand in several places. Record the module around it, or say recurrent=True if its calls are timesteps."
                )
    changing = [layer for layer in often if any(not torch.equal(a, b) for a, b in zip(calls[layer], calls[layer][1:], strict=False))]
    if (recurrent or often) and not changing:
        found = f"what {', '.join(often)} gives is the same at every call" if often else "each recorded layer is called once"
        repair = "Record others, or drop recurrent=True." if recurrent else "Record a layer that changes from call to call."
        raise NeurofitError(f"{model.name} is not recurrent in these layers: {found} in one forward. {repair}")
    first = {layer: first_call.get(layer, 0) for layer in model.layers}
    n_timesteps = max(first[layer] + counts[layer] for layer in model.layers)
    # A layer that is called once is static where it comes before all recurrence; behind that, only its caller knows its time.
    begun = min((order.index(layer) for layer in often), default=len(order))
    unplaced = [
        layer
        for layer in model.layers
        if layer not in first_call and counts[layer] != n_timesteps and (counts[layer] > 1 or order.index(layer) > begun)
    ]
    if unplaced:
        said = ", ".join(f"{layer} {counts[layer]} time{'s' * (counts[layer] > 1)}" for layer in model.layers)
        raise NeurofitError(
            f"{model.name} calls {said} in one forward of {n_timesteps} timesteps. Say when {unplaced[0]} is called first: "
            f"first_call={{{unplaced[0]!r}: TIMESTEP}}."
        )
    return Timeline(n_timesteps, first, counts)


def _image_driven_from(model: WrappedModel, calls: Mapping[str, list[Tensor]]) -> dict[str, int]:
    """Return layer -> first timestep at which images differ, and warn of timesteps at which they do not."""
    found = {}
    for layer, outputs in calls.items():
        told = [_tells_images_apart(output) for output in outputs]
        first = model.timeline.first[layer]
        if not any(told):
            raise NeurofitError(f"{model.name}, layer {layer}: it is the same for every image, so nothing can be predicted from it.")
        found[layer] = first + told.index(True)
        if not all(told):
            alike = ", ".join(str(first + number) for number, tells in enumerate(told) if not tells)
            warnings.warn(
                f"{model.name}, layer {layer}: it is the same for every image at timestep {alike}, where it predicts nothing.",
                NeurofitWarning,
                stacklevel=4,
            )
    return found


def _tells_images_apart(values: Tensor) -> bool:
    """Return whether two of a batch differ by more than rounding."""
    rounding = 1e-6 * float(values.abs().max())
    return not all(torch.allclose(values[0], other, rtol=1e-5, atol=rounding) for other in values[1:])
