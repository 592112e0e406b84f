"""Convolutional recurrent networks, unrolled in time.

    out_n(t), s_n(t) = layer_n(out_p(t-1) for all predecessors p, s_n(t-1))

One edge is one step: the first layer receives image(t), and every other input is an output of t-1,
with zeros before the first step (docs/zoo.md, section 3.1).

Three optimisations leave the results unchanged:

- Only layers that can still influence a requested layer are computed.
- The drive, which depends on the feedforward input alone, is reused while that input is constant.
- Inputs that do not depend on the image are computed once for the batch.
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

from neurofit.activations.model import find_layers, find_presentation
from neurofit.activations.presentation import NEURAL, Presentation
from neurofit.errors import NeurofitError, check_option
from neurofit.models.cells import Shape, State
from neurofit.models.decoders import DECODERS
from neurofit.models.edges import find_delays, find_sources
from neurofit.models.facts import ModelFacts
from neurofit.models.images import IMAGENET_MEAN, IMAGENET_STD, check_images, frame_at, per_channel
from neurofit.models.initialisers import Initialiser, initialise, prefixed
from neurofit.models.layer import BuiltLayer, Layer, LayerDrive

UNROLLS = ("biological", "feedforward-per-step")
"""One step per edge; or all layers at every step, with feedback and states of the step before."""


def presentations(n_layers: int, default: Presentation) -> Mapping[str, Presentation]:
    """Return the presentations of a ConvRNN with this number of layers, by name.

    "default" is that of training and "neural" that of the recordings. "constant" has the length of
    the default with the image always on. "minimal" ends when the image has reached the readout, as
    a control with the least recurrence. See docs/zoo.md, section 6.2.
    """
    return {
        "default": default,
        "neural": NEURAL,
        "constant": Presentation(n_timesteps=default.n_timesteps),
        "minimal": Presentation(n_timesteps=n_layers),
    }


SIX_LAYER_PRESENTATIONS = presentations(6, Presentation(n_timesteps=16, image_off=12))


class ConvRNN(ModelFacts, nn.Module):
    """Convolutional recurrent network, a `neurofit.activations.model.Model`.

    Parameters
    ----------
    name
        Registered name.
    specs
        Layers in feedforward order. The first receives the image, the last is the readout.
    feedback
        Feedback edges (source, target), whose target needs a cell with feedback. Several sources
        are resized to the target's feedforward input and joined in the string order of their names.
    region_layers, input_size, visual_degrees, presentations, mean, std, ms_per_timestep
        See `neurofit.activations.model.Model`.
    decoder
        Name of the decoder that computes the logits, see `neurofit.models.decoders`.
    unroll
        "biological", with one step per edge, or "feedforward-per-step", where the image passes
        through all layers at every step and only feedback and states come from t-1.
    seed
        Random seed for the weights; None leaves them at zero for loading.

    Raises
    ------
    NeurofitError
        If a name is unknown or not unique, or sizes do not fit.

    Notes
    -----
    Source: docs/zoo.md, section 3; Nayebi et al. 2018 and 2022.

    Examples
    --------
    >>> import neurofit, torch
    >>> from neurofit.models import Conv, ConvRNN, Layer
    >>> layers = [
    ...     Layer("conv1", Conv(8, kernel=3, stride=2), after_cell=("elu",)),
    ...     Layer("conv2", Conv(8, kernel=3), cell="gru"),
    ...     Layer("readout", Conv(10, kernel=1), before_conv=("mean",)),
    ... ]
    >>> areas = {"V4": ("conv1",), "IT": ("conv2",)}
    >>> model = ConvRNN("mine", layers, region_layers=areas, input_size=16)
    >>> images = torch.rand(2, 3, 16, 16)
    >>> model(images).shape  # logits
    torch.Size([2, 10])

    Each edge takes a step, so that the image reaches the second layer at timestep 1:

    >>> model.first_timestep
    {'conv1': 0, 'conv2': 1, 'readout': 2}
    >>> shown = neurofit.Presentation(n_timesteps=3)
    >>> for timestep, activations in model.unroll(images, shown, layers=["conv2"]):
    ...     print(timestep, tuple(activations["conv2"].shape), bool(activations["conv2"].any()))
    0 (2, 8, 8, 8) False
    1 (2, 8, 8, 8) True
    2 (2, 8, 8, 8) True
    """

    memory_format = torch.channels_last
    """Preferred memory format: 1.1 to 1.2 times as fast on a CPU, more on a GPU's tensor cores."""

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
            raise NeurofitError(f"input_size must be at least 1 pixel; got {input_size}.")
        self.name = name
        self.layers = tuple(spec.name for spec in specs)
        self.region_layers = region_layers
        self.input_size = input_size
        self.visual_degrees = visual_degrees
        self.presentations = presentations
        self.takes_clips = True
        self.mean, self.std = mean, std
        self.ms_per_timestep = ms_per_timestep
        self.unrolling = check_option("unroll", unroll, UNROLLS)
        self._compiled: dict[tuple[str, str], Callable[..., Any]] = {}
        self.recompute = False
        """Whether gradients recompute the inside of a step instead of storing it."""
        self.decoder_name = check_option("decoder", decoder, DECODERS)
        self.decoder = DECODERS[decoder]()
        # Not persistent: the normalisation belongs to the definition, not to the weights.
        self.image_mean: Tensor
        self.image_std: Tensor
        self.register_buffer("image_mean", per_channel(mean), persistent=False)
        self.register_buffer("image_std", per_channel(std), persistent=False)

        self.feedback = find_sources(self.layers, feedback)
        channels = {spec.name: spec.channels for spec in specs}
        self.net, self.shapes = nn.ModuleDict(), dict[str, Shape]()
        u: Shape = (len(mean), input_size, input_size)
        for spec in specs:
            sources = self.feedback[spec.name]
            built = BuiltLayer(
                spec, u=u, fb=(sum(channels[s] for s in sources), *u[1:]) if sources else None
            )
            self.net[spec.name] = built
            u = self.shapes[spec.name] = built.shape

        self.below = dict(zip(self.layers[1:], self.layers, strict=False))
        forward_steps = 1 if unroll == "biological" else 0
        self.edges = {
            (source, target): 1 for target, sources in self.feedback.items() for source in sources
        } | {(source, target): forward_steps for target, source in self.below.items()}
        # As in the reference, one step after the image first reaches the readout.
        self.decoded_from = len(self.layers) if unroll == "biological" else 0
        self.first_timestep: Mapping[str, int] = find_delays(self.layers[:1], self.edges)
        if seed is not None:
            initialise(self, seed)

    def forward(self, images: Tensor, presentation: str | Presentation = "default") -> Tensor:
        """Return logits (batch class) for images (batch channel height width) in [0, 1]."""
        logits: Tensor = self.decoder(readout for _, readout in self.readouts(images, presentation))
        return logits

    def readouts(
        self, images: Tensor, presentation: str | Presentation = "default"
    ) -> Iterator[tuple[int, Tensor]]:
        """Yield (timestep, readout (batch class)) for the timesteps that decoders use.

        Raises
        ------
        NeurofitError
            On the call, if the presentation ends before the image reaches the readout.
        """
        layer = self.layers[-1]
        shown = find_presentation(self, presentation)
        if shown.n_timesteps <= self.first_timestep[layer]:
            raise NeurofitError(
                f"No logits to decode: the image reaches the readout of {self.name} at timestep "
                f"{self.first_timestep[layer]}, but the presentation has {shown.n_timesteps}."
            )
        start = min(self.decoded_from, shown.n_timesteps - 1)
        steps = self.unroll(images, shown, layers=(layer,))
        return (
            (timestep, activations[layer].flatten(1))
            for timestep, activations in steps
            if timestep >= start
        )

    def unroll(
        self,
        images: Tensor,
        presentation: str | Presentation = "default",
        *,
        layers: Sequence[str] | None = None,
    ) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """Show images and yield (timestep, {layer: activations (batch channel height width)}).

        Parameters
        ----------
        images
            Images (batch channel height width) in [0, 1], with the dtype and device of the model,
            which normalises them.
        presentation
            Name of a presentation of the model, or an explicit presentation.
        layers
            Layers to yield; None for all. Only what these need is computed.

        Returns
        -------
        Iterator[tuple[int, dict[str, Tensor]]]
            Generator from timestep 0 on. Do not change a yielded tensor in place: it is an input of
            the next step, and may be yielded again. Do not change weights before the end.

        Raises
        ------
        NeurofitError
            On the call, if the images, the presentation or a layer do not suit the model.
        """
        shown = find_presentation(self, presentation)
        requested = find_layers(self, layers)
        check_images(
            images,
            model=self.name,
            n_channels=len(self.mean),
            size=self.input_size,
            like=self.image_mean,
        )
        return self._steps(images, shown, requested)

    def compile(self, **options: Any) -> None:
        """Compile the computations of each layer with `torch.compile`; results differ by rounding.

        This fuses the operations between convolutions, for GPUs; on a CPU nothing was gained
        (benchmarks/README.md). The options are those of `torch.compile`.
        """
        for layer in self.layers:
            for half in ("drive", "step"):
                function = _copy_function(getattr(BuiltLayer, half), f"{half}_{layer}")
                self._compiled[half, layer] = torch.compile(function, **options)

    def __getstate__(self) -> dict[str, Any]:
        """Drop compiled functions, which cannot be copied."""
        return {**super().__getstate__(), "_compiled": {}}  # type: ignore[no-untyped-call]

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return an initialiser for every parameter."""
        found = prefixed("decoder", self.decoder.initialisers())
        for layer in self.layers:
            found |= prefixed(f"net.{layer}", self.built_layer(layer).initialisers())
        return found

    def weight_decays(self) -> Mapping[str, float]:
        """Return lambda of the penalty lambda / 2 sum w^2, for parameters that have one.

        Published values: docs/zoo.md, section 8.1.
        """
        return {
            f"net.{layer}.{name}": decay
            for layer in self.layers
            for name, decay in self.built_layer(layer).weight_decays().items()
        }

    def built_layer(self, layer: str) -> BuiltLayer:
        """Return the module of a layer."""
        return cast(BuiltLayer, self.net[layer])

    def _steps(
        self, images: Tensor, shown: Presentation, requested: tuple[str, ...]
    ) -> Iterator[tuple[int, dict[str, Tensor]]]:
        normalized = (images - self.image_mean) / self.image_std
        blank = self._blank(normalized, shown)
        # Steps until an output reaches the nearest requested layer; not needed beyond the end.
        delays = find_delays(
            requested, {(target, source): steps for (source, target), steps in self.edges.items()}
        )
        before = {layer: images.new_zeros(1, *self.shapes[layer]) for layer in delays}
        done: dict[str, _Step] = {}
        for timestep in range(shown.n_timesteps):
            image = frame_at(normalized, timestep, shown, blank)
            now = dict(before)
            forward = before if self.unrolling == "biological" else now
            for layer in self.layers:
                if layer in delays and timestep + delays[layer] < shown.n_timesteps:
                    u = image if layer == self.layers[0] else forward[self.below[layer]]
                    fb = _join([before[source] for source in self.feedback[layer]], u)
                    done[layer] = self._step(layer, u, fb, done.get(layer))
                    now[layer] = done[layer].output
            before = now
            yield timestep, {layer: _expand_batch(now[layer], len(images)) for layer in requested}

    def _step(self, layer: str, u: Tensor, fb: Tensor | None, last: _Step | None) -> _Step:
        """Advance one layer, reusing the drive if the input is the same tensor as before."""
        built = self.built_layer(layer)
        compute_drive, step = (
            partial(self._compiled[half, layer], built)
            if (half, layer) in self._compiled
            else getattr(built, half)
            for half in ("drive", "step")
        )
        same_u = last is not None and last.u is u
        if last is not None and same_u and fb is None and last.state == ():
            return last
        drive = last.drive if last is not None and same_u else compute_drive(u)
        state = built.initial_state(drive) if last is None else last.state
        inputs = _match_batches(drive, fb, state)
        if self.recompute and built.can_recompute and torch.is_grad_enabled():
            return _Step(
                u, drive, *checkpoint(step, *inputs, use_reentrant=False, preserve_rng_state=False)
            )
        return _Step(u, drive, *step(*inputs))

    def _blank(self, normalized: Tensor, shown: Presentation) -> Tensor:
        blank = normalized.new_tensor(shown.blank)
        if shown.blank_space == "pixel":
            blank = (blank - self.image_mean) / self.image_std
        return blank.expand(1, *normalized.shape[-3:])


def _copy_function(function: Any, name: str) -> FunctionType:
    """Copy a function for one layer: PyTorch limits the compiled variants of a code object."""
    code = function.__code__.replace(co_name=name)
    return FunctionType(
        code, function.__globals__, name, function.__defaults__, function.__closure__
    )


class _Step(NamedTuple):
    """Inputs and results of a layer at its last step."""

    u: Tensor
    drive: LayerDrive
    output: Tensor
    state: State


def _expand_batch(maps: Tensor, n_images: int) -> Tensor:
    """Expand the maps of one image to a batch; those of a batch are returned unchanged."""
    return maps if len(maps) == n_images else maps.expand(n_images, *maps.shape[1:])


def _match_batches(
    drive: LayerDrive, fb: Tensor | None, state: State
) -> tuple[LayerDrive, Tensor | None, State]:
    """Expand inputs of a layer that were computed for one image to the batch of the others."""
    n = max(len(each) for each in (drive.x, *state, *(() if fb is None else (fb,))))
    if n == 1:
        return drive, fb, state
    x, cell, residual = drive
    drive = LayerDrive(_expand_batch(x, n), _expand_all(cell, n), _expand_all(residual, n))
    return drive, None if fb is None else _expand_batch(fb, n), _expand_all(state, n)


def _expand_all(maps: Iterable[Tensor], n_images: int) -> tuple[Tensor, ...]:
    return tuple(_expand_batch(each, n_images) for each in maps)


def _join(feedback: list[Tensor], u: Tensor) -> Tensor | None:
    """Resize feedback maps to `u` and concatenate their channels; see docs/zoo.md, section 3.2."""
    size, n = u.shape[2:], max((len(maps) for maps in feedback), default=0)
    resized = [
        m
        if m.shape[2:] == size
        else F.interpolate(m, size=size, mode="bilinear", align_corners=True)
        for m in feedback
    ]
    return torch.cat([_expand_batch(maps, n) for maps in resized], dim=1) if resized else None
