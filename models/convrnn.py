"""Layers, cells and feedback unrolled in time: (out_n(t), s_n(t)) = layer_n(out_p(t-1) for its predecessors p, s_n(t-1)).

One edge is one step: only the first layer sees image(t), every other input is an output of t-1, zero before the first step.

Three things make the loop fast and leave its numbers as they are. Only layers on a way to an asked one are computed, and only at
steps that still reach it. What a layer computes from its feedforward input alone (its drive) is kept while that input stays the
same: above an image that is on, and a blank, layers without memory are computed once. Where all images of a batch are alike
(before the image has arrived, and the blank) one is computed for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import FunctionType
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from neurofit.errors import NeurofitError, check_option
from neurofit.models.cells import Shape, State
from neurofit.models.decoders import DECODERS
from neurofit.models.images import IMAGENET_MEAN, IMAGENET_STD, check_images, per_channel
from neurofit.models.initialisers import Initialiser, initialise, prefixed
from neurofit.models.layer import BuiltLayer, Layer, LayerDrive
from neurofit.presentation import NEURAL, Presentation
from neurofit.protocol import find_layers, find_presentation

UNROLLS = ("biological", "feedforward-per-step")
"""Whether an edge takes a step, or an image passes through all layers at each step and only feedback and states take one."""


def presentations(n_layers: int, default: Presentation) -> Mapping[str, Presentation]:
    """Return how a ConvRNN of so many layers is shown images; see docs/zoo.md, section 6.2.

    "default" as in its training, "neural" as in the recordings, "constant" for as long as by default with the image always on, and
    "minimal": just until the image has reached the readout, the control that uses its recurrence least.
    """
    return {
        "default": default,
        "neural": NEURAL,
        "constant": Presentation(n_timesteps=default.n_timesteps),
        "minimal": Presentation(n_timesteps=n_layers),
    }


SIX_LAYER_PRESENTATIONS = presentations(6, Presentation(n_timesteps=16, image_off=12))


class ConvRNN(nn.Module):
    """A convolutional recurrent network; implements `neurofit.protocol.Model`.

    Parameters
    ----------
    name
        Registered name.
    specs
        The layers in feedforward order; the first sees the image, the last is the readout.
    feedback
        Further edges (source, target). What arrives is resized to the target's feedforward input and joined in the sources'
        string order; the target's cell must take feedback.
    region_layers, input_size, visual_degrees, presentations, mean, std, ms_per_timestep
        See `neurofit.protocol.Model`.
    decoder
        Name of the decoder in `neurofit.models.decoders` that gives the logits.
    unroll
        "biological", or "feedforward-per-step": at every step the image passes through all layers, and only feedback and states
        are of t-1 (the reference's TensorFlow-style unrolling). Then every layer is image-driven from timestep 0 on.
    seed
        Of the weights; None leaves them at zero, for weights that are loaded right after.

    Raises
    ------
    NeurofitError
        If a name, an edge or a size does not fit.

    Notes
    -----
    Source: docs/zoo.md, section 3; Nayebi et al. 2018 and 2022.
    """

    memory_format = torch.channels_last
    """How its tensors are laid out where that is free to choose: 1.1 to 1.2 times as fast on a CPU, and more on a GPU's tensor cores."""

    def __init__(
        self,
        name: str,
        specs: Sequence[Layer],
        *,
        feedback: Iterable[tuple[str, str]] = (),
        region_layers: Mapping[str, tuple[str, ...]],
        input_size: int,
        visual_degrees: float = 8.0,
        presentations: Mapping[str, Presentation] = SIX_LAYER_PRESENTATIONS,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
        ms_per_timestep: int = 10,
        decoder: str = "last",
        unroll: str = "biological",
        seed: int | None = 0,
    ) -> None:
        super().__init__()
        if input_size < 1:
            raise NeurofitError(f"The input size is at least one pixel; got {input_size}.")
        self.name = name
        self.layers = tuple(spec.name for spec in specs)
        self.region_layers = region_layers
        self.input_size = input_size
        self.visual_degrees = visual_degrees
        self.presentations = presentations
        self.mean = mean
        self.std = std
        self.ms_per_timestep = ms_per_timestep
        self.unrolling = check_option("unroll", unroll, UNROLLS)
        self._compiled: dict[tuple[str, str], Callable[..., Any]] = {}
        self.recompute = False
        """Whether a training keeps only what steps give, and computes the rest of a step again for its gradient."""
        self.decoder = DECODERS[check_option("decoder", decoder, DECODERS)]()
        # Not persistent: they belong to the model's definition, not to its weights.
        self.image_mean: Tensor
        self.image_std: Tensor
        self.register_buffer("image_mean", per_channel(mean), persistent=False)
        self.register_buffer("image_std", per_channel(std), persistent=False)

        self.feedback = _sources(self.layers, feedback)
        channels = {spec.name: spec.channels for spec in specs}
        self.net = nn.ModuleDict()
        self.shapes: dict[str, Shape] = {}
        u: Shape = (len(mean), input_size, input_size)
        for spec in specs:
            sources = self.feedback[spec.name]
            built = BuiltLayer(spec, u=u, fb=(sum(channels[s] for s in sources), *u[1:]) if sources else None)
            self.net[spec.name] = built
            u = self.shapes[spec.name] = built.shape

        self.below = dict(zip(self.layers[1:], self.layers, strict=False))
        forward_steps = 1 if unroll == "biological" else 0
        self.edges = {(source, target): 1 for target, sources in self.feedback.items() for source in sources} | {
            (source, target): forward_steps for target, source in self.below.items()
        }
        # As in the reference, one step after the readout's first image-driven one.
        self.decoded_from = len(self.layers) if unroll == "biological" else 0
        self.first_timestep: Mapping[str, int] = _delays(self.layers[:1], self.edges)
        if seed is not None:
            initialise(self, seed)

    def forward(self, images: Tensor, presentation: str | Presentation = "default") -> Tensor:
        """Return the decoder's logits (batch class) for images (batch channel height width) in [0, 1]."""
        logits: Tensor = self.decoder(readout for _, readout in self.readouts(images, presentation))
        return logits

    def readouts(self, images: Tensor, presentation: str | Presentation = "default") -> Iterator[tuple[int, Tensor]]:
        """Yield (timestep, the readout's logits (batch class)) from the first timestep on that decoders see.

        Raises
        ------
        NeurofitError
            At once, if the presentation ends before the image reaches the readout.
        """
        layer = self.layers[-1]
        shown = find_presentation(self, presentation)
        if shown.n_timesteps <= self.first_timestep[layer]:
            raise NeurofitError(
                f"There is nothing to decode: the image reaches the readout of {self.name} at timestep {self.first_timestep[layer]}, "
                f"and the presentation ends after {shown.n_timesteps}."
            )
        start = min(self.decoded_from, shown.n_timesteps - 1)
        steps = self.unroll(images, shown, layers=(layer,))
        return ((timestep, activations[layer].flatten(1)) for timestep, activations in steps if timestep >= start)

    def unroll(
        self, images: Tensor, presentation: str | Presentation = "default", *, layers: Sequence[str] | None = None
    ) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """Show images and yield (timestep, {layer: activations (batch channel height width)}).

        Parameters
        ----------
        images
            (batch channel height width), in [0, 1], of the model's dtype and device. They are normalised here.
        presentation
            Name of one of the model's, or an explicit one.
        layers
            Which to yield, None for all. Only what these need is computed.

        Returns
        -------
        Iterator[tuple[int, dict[str, Tensor]]]
            A generator from timestep 0 on. A yielded tensor is also the input of the next step, and the same tensor may be
            yielded again: do not change it in place. Weights are not to change either until the generator ends.

        Raises
        ------
        NeurofitError
            At once, if the images, the presentation or a layer do not suit the model.
        """
        shown = find_presentation(self, presentation)
        asked = find_layers(self, layers)
        check_images(images, model=self.name, n_channels=len(self.mean), size=self.input_size, like=self.image_mean)
        return self._steps(images, shown, asked)

    def compile(self, **options: Any) -> None:
        """Compile what the layers compute at a step, each with `torch.compile` and its options; the numbers stay to rounding.

        The unroll itself stays a plain loop. It fuses what lies between convolutions, for which it needs a compiler on the
        machine: for GPUs; on a CPU the convolutions take nearly all the time, and nothing was gained (benchmarks/README.md).
        """
        for layer in self.layers:
            for half in ("drive", "step"):
                function = _with_its_own_code(getattr(BuiltLayer, half), f"{half}_{layer}")
                self._compiled[half, layer] = torch.compile(function, **options)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what was compiled: a copy compiles for itself."""
        return {**super().__getstate__(), "_compiled": {}}  # type: ignore[no-untyped-call]

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return those of all layers and of the decoder."""
        found = prefixed("decoder", self.decoder.initialisers())
        for layer in self.layers:
            found |= prefixed(f"net.{layer}", self._built(layer).initialisers())
        return found

    def weight_decays(self) -> Mapping[str, float]:
        """Return lambda of the training penalty lambda / 2 |w|^2 per parameter, for all layers.

        Published values: see docs/zoo.md, section 8.1.
        """
        return {f"net.{layer}.{name}": decay for layer in self.layers for name, decay in self._built(layer).weight_decays().items()}

    def _steps(self, images: Tensor, shown: Presentation, asked: tuple[str, ...]) -> Iterator[tuple[int, dict[str, Tensor]]]:
        normalized = (images - self.image_mean) / self.image_std
        blank = self._blank(normalized, shown)
        # What a layer gives at a timestep reaches the nearest asked one so many steps later; after the end it is not needed.
        delays = _delays(asked, {(target, source): steps for (source, target), steps in self.edges.items()})
        before = {layer: images.new_zeros(1, *self.shapes[layer]) for layer in delays}
        done: dict[str, _Step] = {}
        for timestep in range(shown.n_timesteps):
            seen = normalized if shown.shows_image(timestep) else blank
            now = dict(before)
            forward = before if self.unrolling == "biological" else now
            for layer in self.layers:
                if layer in delays and timestep + delays[layer] < shown.n_timesteps:
                    u = seen if layer == self.layers[0] else forward[self.below[layer]]
                    fb = _join([before[source] for source in self.feedback[layer]], u)
                    done[layer] = self._step(layer, u, fb, done.get(layer))
                    now[layer] = done[layer].output
            before = now
            yield timestep, {layer: _for_all(now[layer], len(images)) for layer in asked}

    def _step(self, layer: str, u: Tensor, fb: Tensor | None, last: _Step | None) -> _Step:
        """Advance one layer; what depends on the same input as in its last step (an image that stays) is not computed again."""
        built = self._built(layer)
        drive_of, step = (
            partial(self._compiled[half, layer], built) if (half, layer) in self._compiled else getattr(built, half)
            for half in ("drive", "step")
        )
        same_u = last is not None and last.u is u
        if last is not None and same_u and fb is None and last.state == ():
            return last
        drive = last.drive if last is not None and same_u else drive_of(u)
        state = built.initial_state(drive) if last is None else last.state
        given = _of_one_batch(drive, fb, state)
        if self.recompute and torch.is_grad_enabled():
            return _Step(u, drive, *checkpoint(step, *given, use_reentrant=False, preserve_rng_state=False))
        return _Step(u, drive, *step(*given))

    def _blank(self, normalized: Tensor, shown: Presentation) -> Tensor:
        blank = normalized.new_tensor(shown.blank)
        if shown.blank_space == "pixel":
            blank = (blank - self.image_mean) / self.image_std
        return blank.expand(1, *normalized.shape[1:])

    def _built(self, layer: str) -> BuiltLayer:
        return cast(BuiltLayer, self.net[layer])


def _with_its_own_code(function: Any, name: str) -> FunctionType:
    """Return a function that torch compiles apart from those of other layers: it keeps few variants of one code object."""
    code = function.__code__.replace(co_name=name)
    return FunctionType(code, function.__globals__, name, function.__defaults__, function.__closure__)


class _Step(NamedTuple):
    """What a layer had and gave at its last step."""

    u: Tensor
    drive: LayerDrive
    output: Tensor
    state: State


def _for_all(maps: Tensor, n_images: int) -> Tensor:
    """Return the maps of one image for all of a batch, those of a batch as they are (the same tensor)."""
    return maps if len(maps) == n_images else maps.expand(n_images, *maps.shape[1:])


def _of_one_batch(drive: LayerDrive, fb: Tensor | None, state: State) -> tuple[LayerDrive, Tensor | None, State]:
    """Return a layer's inputs, some of which may be alike for all images and stand for one, as those of one batch."""
    n = max(len(each) for each in (drive.x, *state, *(() if fb is None else (fb,))))
    if n == 1:
        return drive, fb, state

    def spread(maps: Iterable[Tensor]) -> tuple[Tensor, ...]:
        return tuple(_for_all(each, n) for each in maps)

    drive = LayerDrive(_for_all(drive.x, n), spread(drive.cell), spread(drive.residual))
    return drive, None if fb is None else _for_all(fb, n), spread(state)


def _join(feedback: list[Tensor], u: Tensor) -> Tensor | None:
    """Resize maps to those of `u`, corners aligned, and concatenate their channels.

    The result is None if there are none. Source: docs/zoo.md, section 3.2.
    """
    size, n = u.shape[2:], max((len(maps) for maps in feedback), default=0)
    resized = [m if m.shape[2:] == size else F.interpolate(m, size=size, mode="bilinear", align_corners=True) for m in feedback]
    return torch.cat([_for_all(maps, n) for maps in resized], dim=1) if resized else None


def _sources(layers: tuple[str, ...], feedback: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """Return layer -> sources of its feedback, in string order ("conv10" before "conv2", as in the reference)."""
    if not layers or len(set(layers)) != len(layers):
        raise NeurofitError(f"A model needs layers, each with its own name; got {', '.join(layers) or 'none'}.")
    edges = {
        (check_option("source of feedback", source, layers), check_option("target of feedback", target, layers))
        for source, target in feedback
    }
    return {layer: tuple(sorted(source for source, target in edges if target == layer)) for layer in layers}


def _delays(start: Iterable[str], edges: Mapping[tuple[str, str], int]) -> dict[str, int]:
    """Return the fewest steps from one of `start` to every layer that can be reached; edges are (source, target) -> steps."""
    delays = dict.fromkeys(start, 0)
    for _ in edges:  # no way is longer
        for (source, target), steps in edges.items():
            if source in delays:
                delays[target] = min(delays.get(target, delays[source] + steps), delays[source] + steps)
    return delays
