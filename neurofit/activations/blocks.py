"""Storage of activations, one (layer, timestep) block at a time."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from neurofit.errors import MachineError, NeurofitError, check_option
from neurofit.storage.claims import machine_id
from neurofit.storage.unfinished import Unfinished

if TYPE_CHECKING:
    from torch import Tensor


STATE = "state.json"
"""File that says which rows of which arrays are written."""


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
    folder
        Folder of the files, by default a new one. Rows that a killed process has written whole into
        it are kept.

    Attributes
    ----------
    n_done
        Number of rows that are written in every array.
    batch_size
        Number of rows of each batch that they were written in; None if there is none.
    """

    def __init__(self, n_stimuli: int, storage: str, *, folder: Unfinished | None = None) -> None:
        self.n_stimuli, self.n_done = n_stimuli, 0
        self.batch_size: int | None = None
        self.blocks: dict[tuple[str, int], np.ndarray] = {}
        self.folder: Unfinished | None = None
        self.varying: set[tuple[str, int]] = set()
        """Blocks with stimuli that differ by more than rounding."""
        self._first: dict[tuple[str, int], np.ndarray] = {}  # row of the first stimulus, until then
        self._files: dict[tuple[str, int], int] = {}  # number of the file of each block
        self._last_step: dict[str, int] = {}  # layer -> last timestep written
        self._shared: set[tuple[str, int]] = set()  # keys with the array of the timestep before
        if check_option("storage", storage, ("disk", "memory")) == "disk":
            self.folder = folder or Unfinished()
            self._continue()

    def write(self, layer: str, timestep: int, rows: slice, maps: Tensor, *, where: str) -> None:
        """Fill in the rows of a batch; raise NeurofitError if its values are not finite."""
        values = maps.detach().cpu().flatten(1).float().numpy()
        if not np.isfinite(values).all():
            raise NeurofitError(f"{where}, timestep {timestep}: activations are not finite.")
        key, before = (layer, timestep), self._last_step.get(layer, timestep)
        self._compare(key, values)
        self._last_step[layer] = timestep
        needs_array = key not in self.blocks or key in self._shared
        if before < timestep and needs_array and _equal(values, self.blocks[layer, before][rows]):
            self.blocks[key] = self.blocks[layer, before]
            self._files[key] = self._files.get((layer, before), 0)
            self._shared.add(key)
            return
        if needs_array:
            array = self._allocate(key, values.shape[1])
            if key in self._shared:  # equal to the timestep before in earlier batches only
                array[: rows.start] = self.blocks[key][: rows.start]
            self.blocks[key] = array
            self._shared.discard(key)
        self.blocks[key][rows] = values

    def _compare(self, key: tuple[str, int], values: np.ndarray) -> None:
        """Note whether rows of a block differ from that of the first stimulus."""
        if key in self.varying:
            return
        first = self._first.setdefault(key, values[:1].copy())
        if not (_alike(first, values[-1:]) and _alike(first, values)):
            self.varying.add(key)
            del self._first[key]

    def note(self, n_done: int, batch_size: int) -> None:
        """Note that so many rows are written in every array, should the process be killed."""
        self.n_done, self.batch_size = n_done, batch_size
        if self.folder is None or not self.folder.continuable:
            return
        blocks = [
            [layer, step, self._files[layer, step], array.shape[1]]
            for (layer, step), array in self.blocks.items()
        ]
        rows = {"n_done": n_done, "batch_size": batch_size, "n_stimuli": self.n_stimuli}
        state = json.dumps({"machine": machine_id(), **rows, "blocks": blocks})
        temporary = self.folder.path / f".{STATE}"
        with suppress(OSError):  # on a full disk it cannot be continued, no more
            temporary.write_text(state, encoding="utf-8")
            temporary.replace(self.folder.path / STATE)

    def _continue(self) -> None:
        """Take over what a killed process has noted, and remove its other arrays.

        What it wrote is whole only if this machine has not been started anew in the meantime, and
        only on this one.
        """
        assert self.folder is not None
        try:
            state: Any = json.loads((self.folder.path / STATE).read_text(encoding="utf-8"))
            if (state["machine"], state["n_stimuli"]) == (machine_id(), self.n_stimuli):
                self._open(state["blocks"])
                self.n_done, self.batch_size = int(state["n_done"]), int(state["batch_size"])
                for key, array in self.blocks.items():
                    self._compare(key, array[: self.n_done])
        except (OSError, ValueError, TypeError, KeyError):
            self.blocks, self._files, self._shared = {}, {}, set()
            self.n_done, self.batch_size = 0, None
        kept = {str(number) for number in self._files.values()}
        for path in self.folder.path.glob("*.npy"):
            if path.stem not in kept:
                path.unlink()

    def _open(self, blocks: list[Any]) -> None:
        opened: dict[int, np.ndarray] = {}
        last: dict[str, int] = {}  # layer -> file of the timestep before
        for layer, step, number, n_units in sorted(blocks):
            if number not in opened:
                shape = (self.n_stimuli, n_units)
                if os.path.getsize(self._path(number)) != 4 * shape[0] * shape[1]:
                    raise ValueError(f"{self._path(number)} is damaged")
                opened[number] = np.memmap(self._path(number), np.float32, "r+", shape=shape)
            key = (layer, step)
            self.blocks[key], self._files[key] = opened[number], number
            if last.get(layer) == number:
                self._shared.add(key)
            last[layer] = number

    def _path(self, number: int) -> str:
        assert self.folder is not None
        return str(self.folder.path / f"{number}.npy")

    def _allocate(self, key: tuple[str, int], n_units: int) -> np.ndarray:
        shape = (self.n_stimuli, n_units)
        if self.folder is None:
            return np.empty(shape, np.float32)
        # files are numbered, since a layer's name need not be a valid file name
        self._files[key] = max(self._files.values(), default=0) + 1
        return _allocate(self._path(self._files[key]), shape)


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
