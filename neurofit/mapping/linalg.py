"""Array operations for numpy on a CPU and torch on any device, chosen by name and passed down.

The algorithms use what both libraries spell alike (operators, slices, `sum(axis)`, `xp.where`,
`xp.linalg.eigh`); `Backend` covers what they spell differently. On a CPU numpy is faster: its
`A @ A.T` computes one triangle only, and its batched products of small matrices have a tenth of
torch's overhead. The tests run torch on a CPU in float64; it has not been run on CUDA yet.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurofit.errors import NeurofitError

MATRICES_IN_CACHE = 24
"""Small matrices processed together on a CPU: 24 of 168 x 168 are 5 MB."""


@dataclass(frozen=True)
class Backend:
    """An array library on a device.

    Parameters
    ----------
    name
        "cpu" (numpy), "torch-cpu", or a CUDA device of torch ("cuda", "cuda:1").
    xp
        The library: the module numpy or torch.
    """

    name: str
    xp: Any

    @property
    def is_numpy(self) -> bool:
        """Whether the library is numpy."""
        return self.xp is np

    def array(self, values: Any, dtype: str = "float64") -> Any:
        """Return values as an array of this backend, without a copy where none is needed."""
        if self.is_numpy:
            return np.asarray(values, dtype=dtype)
        device = self.name.removeprefix("torch-")
        if isinstance(values, np.ndarray) and not values.flags.writeable:
            values = values.copy()  # torch has no read-only arrays
        return self.xp.as_tensor(values, dtype=getattr(self.xp, dtype), device=device)

    def numpy(self, values: Any) -> np.ndarray:
        """Return an array of this backend as a numpy array."""
        return np.asarray(values) if self.is_numpy else np.asarray(values.cpu().numpy())

    def zeros(self, *shape: int) -> Any:
        """Return float64 zeros."""
        return self.array(np.zeros(shape)) if self.is_numpy else self.array(self.xp.zeros(shape))

    def batches(self, n_matrices: int) -> Iterator[slice]:
        """Yield slices of a stack of small matrices: as many as fit a CPU's cache, all on a GPU."""
        step = MATRICES_IN_CACHE if self.is_numpy else n_matrices
        for begin in range(0, n_matrices, max(step, 1)):
            yield slice(begin, begin + step)

    @contextmanager
    def full_precision(self) -> Iterator[None]:
        """Switch TF32 off: its 10-bit mantissa would be as inexact as float16 features."""
        if self.is_numpy:
            yield
            return
        matmul = self.xp.backends.cuda.matmul
        before, matmul.allow_tf32 = matmul.allow_tf32, False
        try:
            yield
        finally:
            matmul.allow_tf32 = before


CPU = Backend("cpu", np)
"""numpy."""


def array_backend(name: str) -> Backend:
    """Return the backend of a device.

    Parameters
    ----------
    name
        "cpu", "torch-cpu", "cuda" or "cuda:N".

    Raises
    ------
    NeurofitError
        If the name is unknown, or torch finds no CUDA device.
    """
    if name == "cpu":
        return CPU
    if name != "torch-cpu" and name.split(":")[0] != "cuda":
        raise NeurofitError(
            f"Unknown device {name!r} for a mapping.\nExisting: cpu, torch-cpu, cuda, cuda:N."
        )
    torch = importlib.import_module("torch")  # takes a second, and most mappings never need it
    if name != "torch-cpu" and not torch.cuda.is_available():
        raise NeurofitError(
            f"Device {name!r} needs a CUDA device; torch {torch.__version__} finds none."
        )
    return Backend(name, torch)


def times_sets(matrix: Any, targets: Any) -> Any:
    """Multiply a matrix (m row) with each target set (set row neuroid): (set m neuroid)."""
    n_sets, n_rows, n_neuroids = targets.shape
    flat = matrix @ targets.swapaxes(0, 1).reshape(n_rows, n_sets * n_neuroids)
    return flat.reshape(len(matrix), n_sets, n_neuroids).swapaxes(0, 1)
