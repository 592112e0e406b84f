"""Layers, cells and feedback unrolled in time: (out_n(t), s_n(t)) = layer_n(out_p(t-1) for its predecessors p, s_n(t-1)).

One edge is one step: only the first layer sees image(t), every other input is an output of t-1, zero before the first step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neurofit.errors import NeurofitError, check_option
from neurofit.models.cells import Shape, State
from neurofit.models.decoders import DECODERS
from neurofit.models.initialisers import Initialiser, initialise, prefixed
from neurofit.models.layer import BuiltLayer, Layer
from neurofit.presentation import NEURAL, Presentation
from neurofit.protocol import find_layers, find_presentation

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

SIX_LAYER_PRESENTATIONS: Mapping[str, Presentation] = {
    "default": Presentation(n_timesteps=16, image_off=12),
    "neural": NEURAL,
    "constant": Presentation(n_timesteps=16),
}
"""How the models of six layers are shown images (zoo_facts 9)."""

_ROUNDING = 1e-4  # how far out of [0, 1] a resized image may be


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
        Name of the function in `neurofit.models.decoders` that gives the logits.
    seed
        Of the weights; None leaves them at zero, for weights that are loaded right after.

    Raises
    ------
    NeurofitError
        If a name, an edge or a size does not fit.

    Notes
    -----
    Source: zoo_facts 2; Nayebi et al. 2018 and 2022, "biological" unrolling.
    """

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
        self.decoder = check_option("decoder", decoder, DECODERS)
        # Not persistent: they belong to the model's definition, not to its weights.
        self.image_mean: Tensor
        self.image_std: Tensor
        self.register_buffer("image_mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("image_std", torch.tensor(std).view(-1, 1, 1), persistent=False)

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

        self.predecessors = {
            layer: (*self.layers[max(index - 1, 0) : index], *self.feedback[layer]) for index, layer in enumerate(self.layers)
        }
        self.first_timestep: Mapping[str, int] = _distances((self.layers[0],), _reversed(self.predecessors))
        if seed is not None:
            initialise(self, seed)

    def forward(self, images: Tensor) -> Tensor:
        """Return the decoder's logits (batch class) for images (batch channel height width) in [0, 1], shown as in "default"."""
        readout = self.layers[-1]
        steps = self.unroll(images, layers=(readout,))
        return DECODERS[self.decoder]((timestep, activations[readout].flatten(1)) for timestep, activations in steps)

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
            yielded again: do not change it in place.

        Raises
        ------
        NeurofitError
            At once, if the images, the presentation or a layer do not suit the model.
        """
        shown = find_presentation(self, presentation)
        asked = find_layers(self, layers)
        self._check_images(images)
        return self._steps(images, shown, asked)

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return those of all layers."""
        found: dict[str, Initialiser] = {}
        for layer in self.layers:
            found |= prefixed(f"net.{layer}", self._built(layer).initialisers())
        return found

    def _steps(self, images: Tensor, shown: Presentation, asked: tuple[str, ...]) -> Iterator[tuple[int, dict[str, Tensor]]]:
        normalized = (images - self.image_mean) / self.image_std
        blank = self._blank(normalized, shown)
        # A layer k edges before the nearest asked one is not needed in the last k steps.
        distance = _distances(asked, self.predecessors)
        outputs = {layer: images.new_zeros(len(images), *self.shapes[layer]) for layer in distance}
        done: dict[str, _Step] = {}
        for timestep in range(shown.n_timesteps):
            seen = normalized if shown.shows_image(timestep) else blank
            needed = [layer for layer in distance if timestep + distance[layer] < shown.n_timesteps]
            for layer in needed:
                done[layer] = self._step(layer, seen, outputs, done.get(layer))
            outputs |= {layer: done[layer].output for layer in needed}
            yield timestep, {layer: outputs[layer] for layer in asked}

    def _step(self, layer: str, seen: Tensor, outputs: Mapping[str, Tensor], last: _Step | None) -> _Step:
        """Advance one layer; whatever has the same input as in the last step (an image that stays) is not computed again."""
        built = self._built(layer)
        u = seen if layer == self.layers[0] else outputs[self.predecessors[layer][0]]
        fb = _join([outputs[source] for source in self.feedback[layer]], u)
        same_u = last is not None and last.u is u
        if last is not None and same_u and fb is None and last.state == ():
            return last
        x = last.x if last is not None and same_u else built.drive(u)
        output, state = built(x, u, fb, None if last is None else last.state)
        return _Step(u, x, output, state)

    def _blank(self, normalized: Tensor, shown: Presentation) -> Tensor:
        blank = normalized.new_tensor(shown.blank)
        if shown.blank_space == "pixel":
            blank = (blank - self.image_mean) / self.image_std
        return blank.expand_as(normalized)

    def _check_images(self, images: Tensor) -> None:
        expected = (len(self.mean), self.input_size, self.input_size)
        if images.ndim != 4 or tuple(images.shape[1:]) != expected or len(images) < 1:
            raise NeurofitError(f"{self.name} takes images (batch, {', '.join(map(str, expected))}); got {tuple(images.shape)}.")
        weight = next(self.parameters())
        if images.dtype != weight.dtype or images.device != weight.device:
            raise NeurofitError(
                f"{self.name} has {weight.dtype} weights on {weight.device} and takes images alike, in [0, 1]; "
                f"got {images.dtype} on {images.device}."
            )
        low, high = (float(bound) for bound in images.detach().aminmax())
        if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):  # also catches NaN
            raise NeurofitError(f"{self.name} takes images in [0, 1] and normalises them itself; got values from {low:g} to {high:g}.")

    def _built(self, layer: str) -> BuiltLayer:
        return cast(BuiltLayer, self.net[layer])


class _Step(NamedTuple):
    """What a layer had and gave at its last step."""

    u: Tensor
    x: Tensor
    output: Tensor
    state: State


def _join(feedback: list[Tensor], u: Tensor) -> Tensor | None:
    """Resize maps to those of `u`, corners aligned, and concatenate their channels; None if there are none (zoo_facts 2.1)."""
    size = u.shape[2:]
    resized = [m if m.shape[2:] == size else F.interpolate(m, size=size, mode="bilinear", align_corners=True) for m in feedback]
    return torch.cat(resized, dim=1) if resized else None


def _sources(layers: tuple[str, ...], feedback: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """Return layer -> sources of its feedback, in string order ("conv10" before "conv2", as in the reference)."""
    if not layers or len(set(layers)) != len(layers):
        raise NeurofitError(f"A model needs layers, each with its own name; got {', '.join(layers) or 'none'}.")
    edges = {
        (check_option("source of feedback", source, layers), check_option("target of feedback", target, layers))
        for source, target in feedback
    }
    return {layer: tuple(sorted(source for source, target in edges if target == layer)) for layer in layers}


def _reversed(predecessors: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    return {layer: tuple(target for target, sources in predecessors.items() if layer in sources) for layer in predecessors}


def _distances(start: tuple[str, ...], neighbours: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    """Return the number of edges from the nearest of `start` to every layer that can be reached."""
    distance = dict.fromkeys(start, 0)
    queue = list(start)
    for layer in queue:
        for neighbour in neighbours[layer]:
            if neighbour not in distance:
                distance[neighbour] = distance[layer] + 1
                queue.append(neighbour)
    return distance
