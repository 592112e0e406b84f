"""Network behind the simulated responses: ten layers of 10 ms each, with recurrent dynamics.

At timestep t, with F_l, B_kl and R_l fixed random convolutions (3 x 3, 1 x 1, 1 x 1) and layer 1 a
Gabor bank,

    e_l(t) = (F_l x_{l-1}(t-1) - m_l) / s_l + feedback sum_k B_kl x_k(t-1)
             + memory (own I + mixed R_l) b_l(t-1) - fatigue a_l(t-1)
    v_l(t) = v_l(t-1) + leak_l (e_l(t) - v_l(t-1)),     p = max(v_l(t) + offset, 0)
    x_l(t) = p / (semi + mean of p over channels and neighbours)
    a_l(t) = a_l(t-1) + (x_l(t) - a_l(t-1)) / fast
    b_l(t) = b_l(t-1) + (x_l(t) - b_l(t-1)) / slow

with mixed = sqrt(1 - own^2). No cell of the zoo has these dynamics. m_l and s_l are the mean and
standard deviation of each channel over a fixed set of images; without them every image would soon
drive the same units.

The network has the same bits on every machine (`exact`). Images, weights, p, x and what the filters
see of b are multiples of `GRID`, so that convolutions add multiples of GRID^2; as long as these sum
to less than 2^24 GRID^2 = 256 in absolute value, float32 is exact in any order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neurofit.activations.model import find_layers, find_presentation
from neurofit.activations.presentation import Presentation
from neurofit.data_loaders.hvm_sim import exact

GRID = 2.0**-8
"""Spacing of activations and weights."""


@dataclass(frozen=True, kw_only=True)
class TeacherConfig:
    """Constants of the teacher.

    Parameters
    ----------
    seed
        Random seed for all weights (PCG64).
    input_size
        Side length of the images in pixels.
    channels, stride
        Channels and stride of each layer; the stride of the first, the Gabor bank, is in pixels.
    leak
        Fraction of the difference to its input by which the potential of each layer changes in a
        timestep.
    feedback_edges
        (source, target) pairs of layer numbers, counted from 1.
    feedback, memory, own, fatigue, offset, semi
        Constants in the equations of the module.
    fast, slow
        Time constants of fatigue and memory in timesteps.
    smooth
        Weight of a 3 x 3 Gaussian in the forward filters, relative to independent noise. A larger
        weight gives larger features and fewer dimensions to learn.
    """

    seed: int = 2015
    input_size: int = 128
    channels: tuple[int, ...] = (36, 24, 32, 32, 40, 48, 48, 48, 64, 96)
    stride: tuple[int, ...] = (4, 2, 1, 1, 2, 1, 1, 2, 1, 1)
    leak: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0, 0.9, 0.6, 1.0, 1.0, 0.9, 0.6)
    feedback_edges: tuple[tuple[int, int], ...] = ((6, 3), (10, 6), (10, 8))
    feedback: float = 0.2
    memory: float = 0.75
    own: float = 0.85
    fatigue: float = 0.35
    offset: float = -0.1
    semi: float = 0.5
    fast: float = 4.0
    slow: float = 12.0
    smooth: float = 0.28


class Teacher(nn.Module):
    """Network whose units the simulated sites read; implements `neurofit.activations.model.Model`.

    Parameters
    ----------
    calibration
        Images (batch channel height width) in [0, 1] over which the channels are standardised.
    config
        Constants of the network.

    Notes
    -----
    Timestep t is the 10 ms bin t of the recording. The image first drives layer l (from 1) at
    timestep l - 1: V4 is layer 6 (50 ms), IT is layer 10 (90 ms). Before the image the network is
    in its steady state for a uniform gray field, which also follows the image.
    """

    name = "hvm-sim-teacher"
    ms_per_timestep = 10
    mean = (0.5, 0.5, 0.5)
    std = (0.25, 0.25, 0.25)
    visual_degrees = 8.0

    def __init__(self, calibration: Tensor, *, config: TeacherConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or TeacherConfig()
        depth = len(config.channels)
        self.input_size = config.input_size
        self.layers: tuple[str, ...] = tuple(f"layer{number}" for number in range(1, depth + 1))
        self.region_layers: Mapping[str, tuple[str, ...]] = {"V4": ("layer6",), "IT": ("layer10",)}
        self.first_timestep: Mapping[str, int] = {
            layer: index for index, layer in enumerate(self.layers)
        }
        gray = Presentation(n_timesteps=26, image_off=10, blank=0.0)
        self.presentations: Mapping[str, Presentation] = {
            "default": gray,
            "neural": gray,
            "constant": Presentation(n_timesteps=26, blank=0.0),
        }
        rng = np.random.Generator(np.random.PCG64(config.seed))
        self.register_buffer("gabors", _weights(_gabor_bank(), _GABOR_GRID))
        self.first_scale: Tensor
        self.register_buffer("first_scale", torch.ones(config.channels[0], 1, 1))
        for index in range(depth):
            self.register_buffer(f"bias_{index}", torch.zeros(config.channels[index]))
        for index in range(1, depth):
            mixing = _balanced(rng, config.channels[index], config.channels[index - 1], 1)
            noise = _balanced(rng, config.channels[index], config.channels[index - 1], 3)
            self.register_buffer(
                f"forward_{index}",
                _weights(config.smooth * mixing * _BUMP + (1 - config.smooth) * noise),
            )
            mixed = _balanced(rng, config.channels[index], config.channels[index], 1)
            own = np.eye(config.channels[index])[:, :, None, None]
            self.register_buffer(
                f"memory_{index}",
                _weights(config.memory * (config.own * own + math.sqrt(1 - config.own**2) * mixed)),
            )
        for source, target in config.feedback_edges:
            weights = _balanced(rng, config.channels[target - 1], config.channels[source - 1], 1)
            self.register_buffer(f"feedback_{source}_{target}", _weights(weights))
        with torch.no_grad():
            self._calibrate(calibration)
            self._rest = self._settle()

    def shape_of(self, layer: str) -> tuple[int, int, int]:
        """Return channels, height and width of a layer."""
        channels, height, width = self._rest[self.layers.index(layer)].x.shape[1:]
        return channels, height, width

    def unroll(
        self,
        images: Tensor,
        presentation: str | Presentation = "default",
        *,
        layers: Sequence[str] | None = None,
    ) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """Yield (timestep, {layer: activations (batch channel height width)}).

        Parameters
        ----------
        images
            Images (batch channel height width) in [0, 1], height = width = `input_size`.
        presentation
            Name of a presentation, or a presentation.
        layers
            Layers to return. Default: all.
        """
        shown = find_presentation(self, presentation)
        names = find_layers(self, layers)
        mean, std = (images.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        blank = images.new_full((1, 3, self.input_size, self.input_size), shown.blank)
        if shown.blank_space == "pixel":
            blank = (blank - mean) / std
        first = {
            True: self._first((images - mean) / std),
            False: self._first(blank).expand(len(images), -1, -1, -1),
        }
        state = [rest.repeated(images) for rest in self._rest]
        needed = self._needed_until(names, shown.n_timesteps - 1)
        for timestep in range(shown.n_timesteps):
            # layers that the image has not reached yet are still at rest
            reached = enumerate(needed[: timestep + 1])
            active = [index for index, last in reached if timestep <= last]
            state = self._step(first[shown.shows_image(timestep)], state, active)
            yield timestep, {name: state[self.layers.index(name)].x for name in names}

    def _needed_until(self, names: Sequence[str], last: int) -> list[int]:
        """Return the last timestep of each layer that layers with a name depend on up to `last`."""
        needed = [last if layer in names else -1 for layer in self.layers]
        forward = [(index, index + 1) for index in range(len(needed) - 1)]
        edges = forward + [
            (source - 1, target - 1) for source, target in self.config.feedback_edges
        ]
        for _ in range(last + 1):
            for source, target in edges:
                needed[source] = max(needed[source], needed[target] - 1)
        return needed

    def _first(self, images: Tensor) -> Tensor:
        """Return the input of layer 1 from normalised images: rectified, pooled Gabor responses."""
        padded = F.pad(exact.on_grid(images, GRID), (7, 7, 7, 7), mode="replicate")
        filtered = F.conv2d(padded, self.get_buffer("gabors"), stride=2)
        pooled = F.avg_pool2d(torch.relu(filtered), self.config.stride[0] // 2)
        return pooled * self.first_scale + self.get_buffer("bias_0")[:, None, None]

    def _forward_input(self, index: int, below: Tensor) -> Tensor:
        stride = self.config.stride[index]
        pooled = exact.on_grid(F.avg_pool2d(below, stride), GRID) if stride > 1 else below
        return F.conv2d(
            pooled, self.get_buffer(f"forward_{index}"), self.get_buffer(f"bias_{index}"), padding=1
        )

    def _step(self, first: Tensor, state: list[_State], layers: Iterable[int]) -> list[_State]:
        """Return the next state, in which the other layers are as before."""
        after = list(state)
        for index in layers:
            below = self._forward_input(index, state[index - 1].x) if index else first
            after[index] = self._update(index, below, state)
        return after

    def _update(self, index: int, below: Tensor, state: list[_State]) -> _State:
        config, old = self.config, state[index]
        drive = (old.a * -config.fatigue).add_(below)
        if index:
            drive += F.conv2d(exact.on_grid(old.b, GRID), self.get_buffer(f"memory_{index}"))
        for source, target in config.feedback_edges:
            if target - 1 == index:
                back = F.conv2d(state[source - 1].x, self.get_buffer(f"feedback_{source}_{target}"))
                drive += config.feedback * F.interpolate(
                    back, size=drive.shape[-2:], mode="nearest"
                )
        v = _towards(old.v, drive, config.leak[index])
        x = self._normalised(v)
        return _State(
            v=v,
            x=x,
            a=_towards(old.a, x, 1 / config.fast),
            b=_towards(old.b, x, 1 / config.slow) if index else old.b,  # layer 1 has no memory
        )

    def _normalised(self, v: Tensor) -> Tensor:
        rate = exact.on_grid(v + self.config.offset, GRID).relu_()
        total = rate.sum(dim=1, keepdim=True)
        pool, count = (
            F.avg_pool2d(values, 3, stride=1, padding=1, divisor_override=1)
            for values in (total, torch.ones_like(total[:1]))
        )
        return exact.on_grid(rate.div_(self.config.semi + pool / (count * rate.shape[1])), GRID)

    def _calibrate(self, images: Tensor) -> None:
        """Standardise the input of each channel over the images, in weights and biases."""
        mean, std = (images.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        below = self._first((images - mean) / std)
        for index in range(len(self.layers)):
            values = below.double()
            centre = exact.on_grid(values.mean(dim=(0, 2, 3)), GRID**2).float()
            scale = exact.round_off(1 / (values.std(dim=(0, 2, 3)) + 1e-6), GRID).float()
            self.get_buffer(f"bias_{index}").copy_(exact.on_grid(-centre * scale, GRID))
            if index:
                weights = self.get_buffer(f"forward_{index}")
                weights.copy_(exact.on_grid(weights * scale[:, None, None, None], GRID))
            else:
                self.first_scale.copy_(scale[:, None, None])
            if index + 1 < len(self.layers):
                x = self._normalised((below - centre[:, None, None]) * scale[:, None, None])
                below = self._forward_input(index + 1, x)

    def _settle(self) -> list[_State]:
        """Return the steady state for a uniform gray field."""
        first = self._first(torch.zeros(1, 3, self.input_size, self.input_size))
        state, size = [], first.shape[-1]
        for index, channels in enumerate(self.config.channels):
            size //= self.config.stride[index] if index else 1
            nothing = torch.zeros(1, channels, size, size)
            state.append(_State(v=nothing, x=nothing, a=nothing, b=nothing))
        for _ in range(_SETTLING_STEPS):
            state = self._step(first, state, range(len(state)))
        return state


@dataclass(frozen=True, kw_only=True)
class _State:
    """Potential v, output x, fatigue a and memory b of a layer (batch channel height width)."""

    v: Tensor
    x: Tensor
    a: Tensor
    b: Tensor

    def repeated(self, images: Tensor) -> _State:
        """Return the state repeated for every image, on their device."""
        v, x, a, b = (
            tensor.to(images).expand(len(images), -1, -1, -1)
            for tensor in (self.v, self.x, self.a, self.b)
        )
        return _State(v=v, x=x, a=a, b=b)


def _towards(old: Tensor, new: Tensor, share: float) -> Tensor:
    """Return old + share (new - old); torch.lerp fuses operations on some machines."""
    return new if share == 1 else (new - old).mul_(share).add_(old)


def _weights(values: np.ndarray, grid: float = GRID) -> Tensor:
    """Return weights, computed in float64 and rounded, as float32, channels last."""
    weights = torch.from_numpy(exact.round_off(values, grid).astype(np.float32))
    return weights.contiguous(memory_format=torch.channels_last)


def _balanced(
    rng: np.random.Generator, out_channels: int, in_channels: int, size: int
) -> np.ndarray:
    """Draw weights (out in height width) with zero mean and unit norm over the inputs."""
    weights = rng.standard_normal((out_channels, in_channels, size, size))
    weights -= weights.mean(axis=(1, 2, 3), keepdims=True)
    weights /= np.sqrt((weights**2).sum(axis=(1, 2, 3), keepdims=True))
    return weights


def _gabor_bank() -> np.ndarray:
    """Return Gabor filters (36, 3, 15, 15), on luminance and, coarser, on opponent colours."""
    colours = {
        "luminance": (1 / 3, 1 / 3, 1 / 3),
        "red-green": (1.0, -1.0, 0.0),
        "blue-yellow": (-0.5, -0.5, 1.0),
    }
    x, y = np.meshgrid(np.arange(-7, 8), np.arange(-7, 8))
    kinds = [("luminance", w, o, p) for w in (4.0, 8.0) for o in range(6) for p in (0.0, math.pi)]
    kinds += [
        (c, 14.0, o, p)
        for c in ("red-green", "blue-yellow", "luminance")
        for o in (0, 3)
        for p in (0.0, math.pi)
    ]
    bank = []
    for colour, wavelength, orientation, phase in kinds:
        angle = orientation * math.pi / 6
        along = x * math.cos(angle) + y * math.sin(angle)
        window = np.exp(-(x**2 + y**2) / (2 * (0.45 * min(wavelength, 9.0)) ** 2))
        carrier = np.cos(2 * math.pi * along / wavelength + phase)
        if colour == "luminance":  # no response to a uniform field
            carrier = carrier - (window * carrier).sum() / window.sum()
        wave = window * carrier
        bank.append(np.array(colours[colour])[:, None, None] * wave / np.abs(wave).sum())
    return np.stack(bank)


_GABOR_GRID = 2.0**-13
"""Spacing of the Gabor filters, whose 225 weights are small."""
_SETTLING_STEPS = 150
_BUMP = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 6
"""Gaussian of unit norm."""
