"""Seeded weights: each parameter is drawn from PCG64([crc32(its name), seed]), whatever else the model holds and torch has drawn."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from neurofit.errors import NeurofitError

Array = npt.NDArray[np.float64]

TRUNCATED_STD = 0.87962566103423978
"""Standard deviation of a unit normal cut at two standard deviations; TensorFlow divides by it."""


Initialiser = Callable[[np.random.Generator, tuple[int, ...]], Array]
"""Draws the values of one parameter of a shape, which is (out in height width) for a kernel."""


@dataclass(frozen=True)
class Constant:
    """The same value everywhere."""

    value: float

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Return float64 values of this shape."""
        return np.full(shape, self.value)


@dataclass(frozen=True)
class Normal:
    """A normal distribution of mean 0."""

    std: float

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Return float64 values of this shape."""
        return self.std * rng.standard_normal(shape)


@dataclass(frozen=True)
class VarianceScaling:
    """A normal cut at two standard deviations, with variance scale / fan_in after the cut (TensorFlow's `variance_scaling`).

    The fan-in is the product of all axes but the first. For peepholes (channel height width) that is height x width, which is
    also what TensorFlow takes for [height, width, channel].

    Parameters
    ----------
    scale
        Variance times fan-in.
    in_channels
        How many input channels the fan counts, where the kernel is the part of a larger one that reads one of several inputs.
    """

    scale: float = 1.0
    in_channels: int | None = None

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Return float64 values of this shape."""
        values = rng.standard_normal(shape)
        flat = values.reshape(-1)
        outside = np.flatnonzero(np.abs(flat) > 2)
        while len(outside):
            flat[outside] = rng.standard_normal(len(outside))
            outside = outside[np.abs(flat[outside]) > 2]
        fan_in = (self.in_channels or shape[1]) * math.prod(shape[2:])
        values *= math.sqrt(self.scale / fan_in) / TRUNCATED_STD
        return values


@dataclass(frozen=True)
class GlorotUniform:
    """Uniform in plus or minus sqrt(6 / (fan_in + fan_out)), both fans counting the kernel's positions.

    Parameters
    ----------
    in_channels
        See `VarianceScaling`.
    """

    in_channels: int | None = None

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Return float64 values of this shape."""
        limit = math.sqrt(6 / ((shape[0] + (self.in_channels or shape[1])) * math.prod(shape[2:])))
        return rng.uniform(-limit, limit, shape)


KernelInitialiser = VarianceScaling | GlorotUniform
"""Those that depend on the fan, and can be told of a larger one."""


@dataclass(frozen=True)
class Stacked:
    """Several kernels or biases one after the other along the output axis, each drawn on its own.

    Parameters
    ----------
    parts
        (output channels, initialiser) of each.
    """

    parts: tuple[tuple[int, Initialiser], ...]

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Return float64 values of this shape."""
        return np.concatenate([initialiser(rng, (channels, *shape[1:])) for channels, initialiser in self.parts])


def initialise(module: torch.nn.Module, seed: int) -> None:
    """Fill the parameters of a module whose `initialisers()` gives an `Initialiser` for each, by dotted name.

    Parameters
    ----------
    module
        A cell, a layer or a model.
    seed
        A whole number from 0 on; with the parameter's name it fixes every value.

    Raises
    ------
    NeurofitError
        If the seed is not such a number.
    """
    if seed < 0:
        raise NeurofitError(f"A seed is a whole number from 0 on; got {seed!r}.")
    initialisers = module.initialisers()  # type: ignore[operator]  # torch types attributes of a Module as Tensor or Module
    parameters = dict(module.named_parameters())
    if initialisers.keys() != parameters.keys():
        odd = sorted(initialisers.keys() ^ parameters.keys())
        raise NeurofitError(f"{type(module).__name__}.initialisers() must name every parameter once; check {', '.join(odd)}.")
    with torch.no_grad():
        for name, parameter in parameters.items():
            rng = np.random.Generator(np.random.PCG64([zlib.crc32(name.encode()), seed]))
            parameter.copy_(torch.from_numpy(initialisers[name](rng, tuple(parameter.shape))))


def prefixed(prefix: str, initialisers: Mapping[str, Initialiser]) -> dict[str, Initialiser]:
    """Return the initialisers of a submodule under its name."""
    return {f"{prefix}.{name}": initialiser for name, initialiser in initialisers.items()}
