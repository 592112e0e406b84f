"""Models from any torch module, whose timesteps the probe finds.

A recurrent network calls the same submodules repeatedly in one forward pass, or returns a list over
time: each is a timestep. A network that takes frames is shown the image as a clip, and each frame
is a timestep. A static network calls each submodule once, and its activations are the same at all
timesteps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from neurofit.activations.model import find_layers, find_presentation, refuse_text
from neurofit.activations.presentation import NEURAL, Presentation
from neurofit.activations.screen import RESIZE
from neurofit.errors import NeurofitError, check_option
from neurofit.models.calls import Way, find_tensor, group_by_layer, record_calls, select_tokens
from neurofit.models.clips import Clip, find_clip
from neurofit.models.frame_times import FrameTimeline, FrameTimes
from neurofit.models.images import Rgb, check_images, image_settings, per_channel
from neurofit.models.layer_choice import choose_layers
from neurofit.models.probe import check_module, check_tokens
from neurofit.models.probing import find_frame_times, find_lists, probe, random_images
from neurofit.models.survey import survey_images
from neurofit.models.timeline import Timeline, check_time, find_image_driven, find_timeline

Call = Callable[[nn.Module, Tensor], object]
"""Runs a module on normalised images (batch channel height width)."""

STATIC_PRESENTATIONS: Mapping[str, Presentation] = {
    "default": Presentation(n_timesteps=1),
    "neural": NEURAL,
    "constant": Presentation(n_timesteps=NEURAL.n_timesteps),
}
"""Presentations of a static model, which do not affect its activations."""


def wrap(
    module: nn.Module,
    layers: Sequence[str] | None = None,
    *,
    name: str | None = None,
    recurrent: bool | None = None,
    first_call: Mapping[str, int] | None = None,
    call: Call | None = None,
    region_layers: Mapping[str, Sequence[str]] | None = None,
    input_size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    interpolation: str = "bilinear",
    tokens: str = "all",
    visual_degrees: float = 8.0,
    ms_per_timestep: int = 10,
    time: str | int = "auto",
    clip: Clip | None = None,
) -> WrappedModel:
    """Wrap a torch module as a model, after probing it with a few random images.

    Parameters
    ----------
    module
        Module that takes normalised images (batch channel height width), or their frames (`Clip`).
        It is not copied, runs in evaluation mode, and is left as it was.
    layers
        Submodules to record: names as in `module.named_modules()`, or patterns, which choose among
        those that can be recorded (`neurofit.activations.layer_names.match_layers`). None chooses
        at most 12, evenly spaced over the depth of the network.
    name
        Name of the model; by default that of the class.
    recurrent
        True: recorded layers must be called several times in one forward pass, and change between
        calls. False: each must be called once. None: the probe decides.
    first_call
        Layer -> timestep of its first call, 0 by default. Required if layers differ in their number
        of calls, or if one is called once after a recurrent one. Before its first call a layer is
        0; after its last call it is constant.
    call
        Function that runs the module, if it takes more than images, such as
        `lambda module, images: module(images, n_steps=8)`.
    region_layers
        Area -> layers that are compared with it, such as {"V4": ["layer2"], "IT": ["layer4"]}.
    input_size, mean, std
        Size of the images in pixels, and their normalisation per channel. The default is the
        `pretrained_cfg` of a timm model, or else 224 and the values of ImageNet.
    interpolation
        Interpolation by which images are resized: "bilinear" or "bicubic", both antialiased.
    tokens
        What is recorded of a sequence of tokens (batch token channel): "all" of them, or the
        "class" token, the first.
    visual_degrees
        Width of the visual field, in degrees of visual angle.
    ms_per_timestep
        Duration of a timestep, in ms. Eight timesteps of 10 ms end before IT responds. For a
        network that takes frames it is that of a frame.
    time
        Where the timesteps of a network that takes images are: "calls" of a layer; "outputs", the
        entries of a list or tuple that a layer returns; or the number of an axis of its output.
        "auto" takes the calls, and the entries of a list of tensors of one shape.
    clip
        How an image is shown to a network that takes frames, which the probe finds; None for the
        defaults of `Clip`.

    Returns
    -------
    WrappedModel
        Model with the interface `neurofit.activations.model.Model`.

    Raises
    ------
    NeurofitError
        If a layer does not exist, is never called, returns no tensor with the batch as its first
        axis, changes its shape between calls, or is the same for all images; if the numbers of
        calls contradict `recurrent` or leave the timesteps of a layer open; if activations are not
        finite, or depend on chance, on earlier calls or on the rest of the batch; or if the module
        is scripted, compiled or exported, has half precision, or changes its training mode.

    Warns
    -----
    NeurofitWarning
        If a layer is the same for all images at some timesteps.
    """
    if not isinstance(module, nn.Module):
        raise NeurofitError(
            f"wrap takes an instance of torch.nn.Module, not a class; got {module!r}."
        )
    for region, names in (region_layers or {}).items():
        refuse_text(f"layers of {region}", names)
    name = name or type(module).__name__
    check_module(module, name=name)
    size, mean, std = image_settings(module, input_size, mean, std)
    for what, value in (("input_size", size), ("ms_per_timestep", ms_per_timestep)):
        if value < 1:
            raise NeurofitError(f"{what} must be at least 1; got {value}.")
    check_option("interpolation", interpolation, RESIZE)
    check_time(time)
    call = call or call_module
    found = find_clip(
        module, call, random_images(module, (2, len(mean), size, size)), clip or Clip()
    )
    shown = partial(
        survey_images,
        module,
        call if found is None else found.still(call),
        input_size=size,
        mean=mean,
        std=std,
        name=name,
        tokens=tokens,
        time=time,
        n_frames=1 if found is None else found.n_frames,
    )
    chosen = choose_layers(module, layers, shown, name=name, frames=found is not None)
    return WrappedModel(
        name,
        module,
        chosen,
        recurrent=recurrent,
        first_call=first_call or {},
        call=call,
        region_layers={
            region: tuple(
                check_option(f"layer for {region} of {name}", layer, chosen) for layer in names
            )
            for region, names in (region_layers or {}).items()
        },
        input_size=size,
        mean=mean,
        std=std,
        interpolation=interpolation,
        tokens=tokens,
        visual_degrees=visual_degrees,
        ms_per_timestep=ms_per_timestep,
        time=time,
        clip=found,
    )


class WrappedModel(nn.Module):
    """A torch module with the interface `neurofit.activations.model.Model`, made by `wrap`."""

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
        mean: Rgb,
        std: Rgb,
        interpolation: str,
        tokens: str,
        visual_degrees: float,
        ms_per_timestep: int,
        time: str | int,
        clip: Clip | None,
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
        self.interpolation = interpolation
        self.tokens = check_tokens(module, tokens, name=name)
        self.visual_degrees = visual_degrees
        self.ms_per_timestep = ms_per_timestep
        self.image_mean: Tensor
        self.image_std: Tensor
        self.first_timestep: Mapping[str, int]
        self.presentations: Mapping[str, Presentation]
        weight = next(
            (each for each in module.parameters() if each.is_floating_point()), torch.empty(0)
        )
        self.register_buffer("image_mean", per_channel(mean).to(weight), persistent=False)
        self.register_buffer("image_std", per_channel(std).to(weight), persistent=False)
        self.training = module.training
        self.clip = clip
        self.offset_ms = None if clip is None else clip.offset_ms
        self.onset = 0 if clip is None else clip.onset(ms_per_timestep)
        self.frame_times: Mapping[str, FrameTimes] = {}
        self.ways: Mapping[str, Way] = dict.fromkeys(layers, time)
        if clip is not None:
            self.frame_times = find_frame_times(self)
            self.ways = {layer: each.way for layer, each in self.frame_times.items()}
        elif time == "auto":
            self.ways = find_lists(self)
        order = probe(self)
        calls = group_by_layer(order, layers)
        self.timeline: Timeline | FrameTimeline
        if clip is None:
            self.timeline = find_timeline(
                module,
                calls,
                [layer for layer, _ in order],
                recurrent=recurrent,
                first_call=first_call,
                name=name,
                layers=self.layers,
            )
            self.timeline = replace(self.timeline, ways=self.ways)
            self.first_timestep = find_image_driven(calls, self.timeline, name=name)
            # Any presentation suits a static model; a recurrent model shows the image throughout.
            own = Presentation(n_timesteps=self.timeline.n_timesteps)
            self.presentations = (
                dict.fromkeys(STATIC_PRESENTATIONS, own) if self.recurrent else STATIC_PRESENTATIONS
            )
        else:
            self.timeline = FrameTimeline(clip.n_frames - self.onset, self.onset, self.frame_times)
            self.first_timestep = find_image_driven(
                self.timeline.at_timesteps(calls), self.timeline, name=name
            )
            self.presentations = clip.presentations(ms_per_timestep)

    @property
    def timing(self) -> dict[str, Any]:
        """Facts that results record: how an image is shown, and where each layer's time is."""
        shown = {} if self.clip is None else {"image": self.clip.describe(self.ms_per_timestep)}
        timeline, ms = self.timeline, self.ms_per_timestep
        times = {layer: timeline.describe(layer, ms) for layer in self.layers}
        return {**shown, "time": times} if self.recurrent else shown

    @property
    def recurrent(self) -> bool:
        """Whether the layers have more than one timestep, or the network takes frames."""
        return self.timeline.n_timesteps > 1

    def forward(self, images: Tensor) -> Tensor:
        """Return the output of the module for images (batch channel height width) in [0, 1].

        Of an output with several tensors, such as that of transformers, it is the first.
        """
        output = self.call(self.module, self._inputs(self._normalised(images), None))
        if isinstance(output, Tensor):
            return output
        return find_tensor(output, len(images), where=f"the output of {self.name}")

    def unroll(
        self,
        images: Tensor,
        presentation: str | Presentation = "default",
        *,
        layers: Sequence[str] | None = None,
    ) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """Show images and yield (timestep, {layer: activations (batch ...)}).

        The activations of a static model are the same at every timestep. A recurrent model sees
        the image at all timesteps of its forward pass, and a model that takes frames in those of
        the presentation.

        Parameters
        ----------
        images
            Images (batch channel height width) in [0, 1], with the dtype and device of the model,
            which normalises them.
        presentation
            Name of a presentation of the model, or an explicit presentation.
        layers
            Layers to yield; None for all.

        Raises
        ------
        NeurofitError
            On the call, if the images, the presentation or a layer do not suit the model.
        """
        shown = find_presentation(self, presentation)
        requested = find_layers(self, layers)
        always_on = shown.shows_image(shown.n_timesteps - 1)
        if self.recurrent and (
            shown.n_timesteps > self.timeline.n_timesteps or not (self.clip or always_on)
        ):
            off = "" if shown.image_off is None else f" with image_off={shown.image_off}"
            with_image = "" if self.clip else ", with the image always on"
            raise NeurofitError(
                f"{self.name} has {self.timeline.n_timesteps} timesteps in one forward pass"
                f"{with_image}; got a presentation of {shown.n_timesteps}{off}."
            )
        return self._steps(self._normalised(images), shown, requested)

    def _steps(
        self, normalised: Tensor, shown: Presentation, requested: tuple[str, ...]
    ) -> Iterator[tuple[int, dict[str, Tensor]]]:
        calls = group_by_layer(self.record(normalised, requested, shown), requested)
        for layer in requested:
            if len(calls[layer]) != self.timeline.calls[layer]:
                raise NeurofitError(
                    f"{self.name}, layer {layer}: every forward pass must call it as often as "
                    f"the probe did, {self.timeline.calls[layer]} times; got {len(calls[layer])}."
                )
        before = {
            layer: torch.zeros_like(calls[layer][0])
            for layer in requested
            if self.timeline.first[layer]
        }
        for timestep in range(shown.n_timesteps):
            activations = {}
            for layer in requested:
                number = self.timeline.call_at(layer, timestep)
                activations[layer] = calls[layer][number] if number >= 0 else before[layer]
            yield timestep, activations

    def record(
        self, normalised: Tensor, layers: Sequence[str], shown: Presentation | None = None
    ) -> list[tuple[str, Tensor]]:
        """Return (layer, output (batch ...)) for every step of the layers, in order.

        Without a presentation the image is shown throughout.
        """
        inputs = self._inputs(normalised, shown)
        calls = record_calls(
            self.module,
            layers,
            lambda: self.call(self.module, inputs),
            n_images=len(normalised),
            name=self.name,
            ways={layer: self.ways.get(layer, "calls") for layer in layers},
        )
        return [(layer, select_tokens(maps, self.tokens)) for layer, maps in calls]

    def _inputs(self, normalised: Tensor, shown: Presentation | None) -> Tensor:
        """Return what the network takes: images, or clips of them."""
        if self.clip is None:
            return normalised
        shown = shown or self.clip.presentations(self.ms_per_timestep)["default"]
        blank = self.image_mean.new_full((len(self.mean), 1, 1), shown.blank)
        if shown.blank_space == "pixel":
            blank = (blank - self.image_mean) / self.image_std
        return self.clip.make(normalised, shown, blank, self.onset)

    def _normalised(self, images: Tensor) -> Tensor:
        images = images.to(self.image_mean.dtype)
        check_images(
            images,
            model=self.name,
            n_channels=len(self.mean),
            size=self.input_size,
            like=self.image_mean,
        )
        return (images - self.image_mean) / self.image_std


def call_module(module: nn.Module, images: Tensor) -> object:
    """Run a module on its input."""
    return module(images)
