"""Seeded initial weights.

Each parameter is drawn from PCG64([crc32(name), seed]), so that its values depend neither on other
parameters nor on PyTorch's random generator.
"""

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
"""Standard deviation of the standard normal distribution truncated at plus or minus 2."""

Initialiser = Callable[[np.random.Generator, tuple[int, ...]], Array]
"""Draws float64 values of a given shape, (out in height width) for a kernel."""


@dataclass(frozen=True)
class Constant:
    """One value for all elements."""

    value: float

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Return float64 values of this shape."""
        return np.full(shape, self.value)


@dataclass(frozen=True)
class Normal:
    """Normal distribution with mean 0."""

    std: float

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Return float64 values of this shape."""
        return self.std * rng.standard_normal(shape)


@dataclass(frozen=True)
class VarianceScaling:
    """Truncated normal distribution with variance scale / fan_in, TensorFlow's `variance_scaling`.

    The distribution is truncated at two standard deviations; the variance is that of the truncated
    distribution. The fan-in is the product of all axes but the first, hence height x width for
    peepholes (channel height width), as in TensorFlow.

    Parameters
    ----------
    scale
        Variance times fan-in.
    in_channels
        Number of input channels in the fan-in, if the kernel is part of one that reads more inputs.
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
    """Uniform distribution in plus or minus sqrt(6 / (fan_in + fan_out)).

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
"""Initialisers that depend on the fan-in."""


@dataclass(frozen=True)
class Stacked:
    """Several kernels or biases, drawn one by one and joined along the output axis.

    Parameters
    ----------
    parts
        (output channels, initialiser) of each part.
    """

    parts: tuple[tuple[int, Initialiser], ...]

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Return float64 values of this shape."""
        return np.concatenate(
            [initialiser(rng, (channels, *shape[1:])) for channels, initialiser in self.parts]
        )


def initialise(module: torch.nn.Module, seed: int) -> None:
    """Draw the parameters of a cell, a layer or a model in place.

    Parameters
    ----------
    module
        Module whose method `initialisers()` maps the name of every parameter to an `Initialiser`.
    seed
        Random seed, a non-negative integer.

    Raises
    ------
    NeurofitError
        If the seed is negative, or `initialisers()` does not name exactly the parameters.
    """
    if seed < 0:
        raise NeurofitError(f"The random seed must be a non-negative integer; got {seed!r}.")
    initialisers = module.initialisers()  # type: ignore[operator]
    parameters = dict(module.named_parameters())
    if initialisers.keys() != parameters.keys():
        differing = sorted(initialisers.keys() ^ parameters.keys())
        raise NeurofitError(
            f"{type(module).__name__}.initialisers() must name exactly the parameters; "
            f"missing or unknown: {', '.join(differing)}."
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            rng = np.random.Generator(np.random.PCG64([zlib.crc32(name.encode()), seed]))
            parameter.copy_(torch.from_numpy(initialisers[name](rng, tuple(parameter.shape))))


def prefixed(prefix: str, initialisers: Mapping[str, Initialiser]) -> dict[str, Initialiser]:
    """Return initialisers with the name of their submodule before each name."""
    return {f"{prefix}.{name}": initialiser for name, initialiser in initialisers.items()}
