"""Models from any torch module, whose timesteps the probe finds.

A recurrent network calls the same submodules repeatedly in one forward pass, or returns a list over
time: each is a timestep. A network that takes frames is shown the image as a clip, and each frame
is a timestep. A static network calls each submodule once, and its activations are the same at all
timesteps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from neurofit.activations.model import find_layers, find_presentation
from neurofit.activations.presentation import NEURAL, Presentation
from neurofit.errors import NeurofitError
from neurofit.models.calls import Way, find_tensor, group_by_layer, record_calls, select_tokens
from neurofit.models.clips import Clip
from neurofit.models.facts import ModelFacts
from neurofit.models.frame_times import FrameTimeline, FrameTimes
from neurofit.models.images import Rgb, check_images, per_channel
from neurofit.models.probe import check_tokens
from neurofit.models.probing import find_frame_times, probe
from neurofit.models.timeline import Timeline, find_image_driven, find_timeline

Call = Callable[[nn.Module, Tensor], object]
"""Runs a module on normalised images (batch channel height width)."""

STATIC_PRESENTATIONS: Mapping[str, Presentation] = {
    "default": Presentation(n_timesteps=1),
    "neural": NEURAL,
    "constant": Presentation(n_timesteps=NEURAL.n_timesteps),
}
"""Presentations of a static model, which do not affect its activations."""


class WrappedModel(ModelFacts, nn.Module):
    """A torch module with the interface `neurofit.Model`, made by `neurofit.wrap`.

    Parameters
    ----------
    name, module, layers, recurrent, first_call, call, region_layers, input_size, mean, std
        See `neurofit.wrap`, which chooses what is not given and checks the rest.
    interpolation, tokens, visual_degrees, ms_per_timestep, time
        See `neurofit.wrap`.
    clip
        How an image is shown to a network that takes frames; None for one that takes images.

    Raises
    ------
    NeurofitError
        If the probe finds that the module cannot be recorded; see `neurofit.wrap`.

    Examples
    --------
    >>> import neurofit, torch
    >>> from torch import nn
    >>> class Twice(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.conv = nn.Conv2d(3, 3, 3, padding=1)
    ...     def forward(self, images):
    ...         return self.conv(self.conv(images))
    >>> model = neurofit.wrap(Twice(), ["conv"], input_size=16)
    >>> type(model).__name__, model.recurrent, model.first_timestep
    ('WrappedModel', True, {'conv': 0})
    >>> for timestep, activations in model.unroll(torch.rand(2, 3, 16, 16)):
    ...     print(timestep, tuple(activations["conv"].shape))
    0 (2, 3, 16, 16)
    1 (2, 3, 16, 16)
    """

    takes_clips = True

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
        self.ways: dict[str, Way] = dict.fromkeys(layers, time)
        if clip is not None:
            self.frame_times = find_frame_times(self)
            self.ways = {layer: each.way for layer, each in self.frame_times.items()}
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
        if images.ndim == 5 and self.recurrent and self.clip is None:
            raise NeurofitError(
                f"{self.name} takes one image for all of its timesteps, and no clips: let its "
                "forward pass take frames (batch time channel height width)."
            )
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
        if normalised.ndim == 5 and not self.recurrent:
            yield from self._each_frame(normalised, shown, requested)
            return
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

    def _each_frame(
        self, clips: Tensor, shown: Presentation, requested: tuple[str, ...]
    ) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """Yield the activations of a static network for each frame, and for the last one then."""
        for timestep in range(shown.n_timesteps):
            if timestep < clips.shape[1]:
                activations = dict(self.record(clips[:, timestep], requested))
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
            ways=self.ways,
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
