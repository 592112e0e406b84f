"""Storage of activations, one (layer, timestep) block at a time."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from neurofit.errors import MachineError, NeurofitError, check_option
from neurofit.storage.home import home

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class Blocks(Protocol):
    """Mapping from (layer, timestep) to features, which may be computed on access."""

    def __getitem__(self, key: tuple[str, int], /) -> np.ndarray: ...

    def __iter__(self) -> Iterator[tuple[str, int]]: ...

    def __len__(self) -> int: ...


class LazyBlocks:
    """Blocks with known keys, whose values are all computed when the first is looked up."""

    def __init__(self, keys: tuple[tuple[str, int], ...], make: Callable[[], Blocks]) -> None:
        self._keys = keys
        self._make = make
        self._made: Blocks | None = None
        self._lock = threading.Lock()

    def __getitem__(self, key: tuple[str, int]) -> np.ndarray:
        with self._lock:
            if self._made is None:
                self._made = self._make()
        return self._made[key]

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


class BlockWriter:
    """Arrays (stimulus unit) that are filled batch by batch, in files or in memory.

    A timestep shares the array of the one before as long as a layer's values are equal.

    Parameters
    ----------
    n_stimuli
        Number of rows of every array.
    storage
        "disk" (temporary files in NEUROFIT_HOME) or "memory".
    """

    def __init__(self, n_stimuli: int, storage: str) -> None:
        self.n_stimuli = n_stimuli
        self.blocks: dict[tuple[str, int], np.ndarray] = {}
        self.folder: tempfile.TemporaryDirectory[str] | None = None
        self.varying: set[tuple[str, int]] = set()
        """Blocks with stimuli that differ by more than rounding."""
        self._first: dict[tuple[str, int], np.ndarray] = {}  # row of the first stimulus, until then
        self._n_files = 0
        self._last_step: dict[str, int] = {}  # layer -> last timestep written
        self._shared: set[tuple[str, int]] = set()  # keys with the array of the timestep before
        if check_option("storage", storage, ("disk", "memory")) == "disk":
            (home() / "activations").mkdir(parents=True, exist_ok=True)
            self.folder = tempfile.TemporaryDirectory(dir=home() / "activations")

    def write(self, layer: str, timestep: int, rows: slice, maps: Tensor, *, where: str) -> None:
        """Fill in the rows of a batch; raise NeurofitError if its values are not finite."""
        values = maps.detach().cpu().flatten(1).float().numpy()
        if not np.isfinite(values).all():
            raise NeurofitError(f"{where}, timestep {timestep}: activations are not finite.")
        key, before = (layer, timestep), self._last_step.get(layer, timestep)
        if key not in self.varying:
            first = self._first.setdefault(key, values[:1].copy())
            if not (_alike(first, values[-1:]) and _alike(first, values)):
                self.varying.add(key)
                del self._first[key]
        self._last_step[layer] = timestep
        needs_array = key not in self.blocks or key in self._shared
        if before < timestep and needs_array and _equal(values, self.blocks[layer, before][rows]):
            self.blocks[key] = self.blocks[layer, before]
            self._shared.add(key)
            return
        if needs_array:
            array = self._allocate(values.shape[1])
            if key in self._shared:  # equal to the timestep before in earlier batches only
                array[: rows.start] = self.blocks[key][: rows.start]
            self.blocks[key] = array
            self._shared.discard(key)
        self.blocks[key][rows] = values

    def _allocate(self, n_units: int) -> np.ndarray:
        shape = (self.n_stimuli, n_units)
        if self.folder is None:
            return np.empty(shape, np.float32)
        self._n_files += 1  # files are numbered, since a layer's name need not be a valid file name
        return _allocate(f"{self.folder.name}/{self._n_files}.npy", shape)


def _allocate(path: str, shape: tuple[int, int]) -> np.ndarray:
    """Map a new file whose space is allocated, so that a full disk raises here, not on writing."""
    size = shape[0] * shape[1] * 4
    try:
        with open(path, "wb") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
    except OSError as error:
        raise MachineError(
            f"Cannot allocate {size / 1e6:.0f} MB for activations at {path} ({error.strerror})."
        ) from error
    return np.memmap(path, dtype=np.float32, mode="r+", shape=shape)


def _alike(first: np.ndarray, values: np.ndarray) -> bool:
    """Return whether all rows are the first one, up to rounding."""
    return np.allclose(values, first, rtol=1e-5, atol=1e-6 * float(np.abs(first).max(initial=0)))


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    # Arrays that differ nearly always differ in the first row.
    return np.array_equal(a[:1], b[:1]) and np.array_equal(a, b)
