"""Model + stimuli -> activations, one (layer, timestep) block at a time; nobody holds all timesteps in memory."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from neurofit.errors import MachineError, NeurofitError, check_option
from neurofit.home import home
from neurofit.presentation import Presentation
from neurofit.protocol import PRECISIONS, Model, find_layers, find_presentation, layout_of, weights_sha256
from neurofit.screen import describe_screen, load_images
from neurofit.stimuli import StimulusSet
from neurofit.time_bins import TimeBin, covered_bins, timestep_weights

LARGEST_BATCH = (32, 256)
"""Images per batch at most, on a CPU and on a GPU; larger ones are no faster."""

N_PROBES = 4
"""Stimuli whose activations are part of a fingerprint, from the first to the last."""

Progress = Callable[[int, int], None]


@runtime_checkable
class Blocks(Protocol):
    """A mapping from (layer, timestep) to features, whose values may be made when one is looked up."""

    def __getitem__(self, key: tuple[str, int], /) -> np.ndarray: ...

    def __iter__(self) -> Iterator[tuple[str, int]]: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class Activations:
    """Features of one model over a stimulus set.

    Parameters
    ----------
    model
        Name of the model.
    stimulus_ids
        Rows of every block: array (stimulus).
    blocks
        (layer, timestep) -> float32 array (stimulus unit), in memory or mapped from disk.
    first_timestep
        Layer -> first image-driven timestep.
    ms_per_timestep, n_timesteps
        Of the unroll.
    region_layers
        Area -> layers that stand for it.
    presentation
        How the images were shown.
    provenance
        What else a result should record (weights' hash, device, what was done to the pictures).
    fingerprint
        Hash of all that the blocks depend on; empty where it is not known.
    """

    model: str
    stimulus_ids: np.ndarray = field(repr=False)
    blocks: Blocks = field(repr=False)
    first_timestep: Mapping[str, int]
    ms_per_timestep: int
    n_timesteps: int
    region_layers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    presentation: Presentation | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    _storage: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False)

    @property
    def layers(self) -> tuple[str, ...]:
        """The extracted layers, in the model's order."""
        return tuple(dict.fromkeys(layer for layer, _ in self.blocks))

    @property
    def holds_blocks(self) -> bool:
        """Whether looking up a block twice gives the same array, which nothing else takes the place of."""
        return isinstance(self.blocks, dict | _WhenNeeded)

    def covered(self, layer: str, time_bins: Sequence[TimeBin]) -> np.ndarray:
        """Return which bins the layer can predict: boolean array (time_bin)."""
        return covered_bins(self._weights(time_bins), first_timestep=self.first_timestep[layer])

    def features(self, layer: str, time_bin: TimeBin) -> np.ndarray:
        """Return the layer's activations in a recorded bin: the mean of the timesteps it overlaps, array (stimulus unit)."""
        weights = self._weights([time_bin])[0]
        steps = np.flatnonzero(weights)
        first = self.blocks[layer, int(steps[0])]
        if np.isclose(weights.sum(), 1.0) and all(self.blocks[layer, int(step)] is first for step in steps):
            return first
        return sum(np.float32(weights[step]) * self.blocks[layer, int(step)] for step in steps)  # type: ignore[return-value]

    def timesteps(self, time_bin: TimeBin) -> list[tuple[int, float]]:
        """Return the timesteps that a recorded bin overlaps, and how much of the bin each covers."""
        weights = self._weights([time_bin])[0]
        return [(int(step), float(weights[step])) for step in np.flatnonzero(weights)]

    def _weights(self, time_bins: Sequence[TimeBin]) -> np.ndarray:
        return timestep_weights(time_bins, n_timesteps=self.n_timesteps, ms_per_timestep=self.ms_per_timestep)


def extract(
    model: Model,
    stimuli: StimulusSet,
    *,
    layers: Sequence[str] | None = None,
    time_bins: Iterable[TimeBin] | None = None,
    presentation: str | Presentation = "neural",
    batch_size: int | None = None,
    device: str | torch.device = "cpu",
    precision: str = "float32",
    storage: str = "disk",
    progress: Progress | None = None,
) -> Activations:
    """Show every stimulus to a model and keep the activations of some layers.

    Parameters
    ----------
    model
        A model of the contract `neurofit.protocol.Model`.
    stimuli
        The pictures; shown at their visual degrees in the model's field.
    layers
        Layers to keep; None keeps all.
    time_bins
        Only timesteps that one of these bins overlaps are kept; None keeps all.
    presentation
        Name of one of the model's presentations, or an explicit one.
    batch_size
        Images per batch; None takes as many as the device's free memory allows, see `fitting_batch_size`.
    device
        Where the model runs.
    precision
        Of the model's convolutions: "float32", or "bfloat16" (torch's autocast), which is faster where the hardware has it and
        changes activations by about a percent. They are kept as float32.
    storage
        "disk" (in NEUROFIT_HOME), or "memory", which never touches it.
    progress
        Called with (images done, images in all).

    Returns
    -------
    Activations
        Their files vanish with the object. A layer whose activations stay as they are from timestep to timestep is kept once.

    Raises
    ------
    NeurofitError
        Unknown layer, presentation, precision or storage; unreadable image; activations that are not finite.
    MachineError
        If the disk is full.
    """
    shown = find_presentation(model, presentation)
    names = find_layers(model, layers)
    wanted = _wanted_timesteps(model, shown, time_bins)
    if not wanted:
        raise NeurofitError(
            f"None of the time bins lies in the unroll of {model.name}: {shown.n_timesteps} timesteps of {model.ms_per_timestep} ms."
        )
    dtype = PRECISIONS[check_option("precision", precision, PRECISIONS)]
    layout = layout_of(model)
    network = model.to(device, memory_format=layout).eval() if isinstance(model, torch.nn.Module) else model  # type: ignore[call-overload]
    if batch_size is not None and batch_size < 1:
        raise NeurofitError(f"A batch has at least 1 image; got batch_size={batch_size}.")
    per_batch = batch_size or fitting_batch_size(network, device=device)
    blocks = _Blocks(len(stimuli), storage)
    with torch.inference_mode(), torch.autocast(torch.device(device).type, dtype=dtype, enabled=dtype != torch.float32):
        for start in range(0, len(stimuli), per_batch):
            rows = slice(start, min(start + per_batch, len(stimuli)))
            images = load_images(stimuli, range(rows.start, rows.stop), size=model.input_size, field_degrees=model.visual_degrees)
            for timestep, activations in network.unroll(images.to(device, memory_format=layout), shown, layers=names):
                if timestep in wanted:
                    for layer in names:
                        blocks.write(layer, timestep, rows, activations[layer], where=f"{model.name}, layer {layer}")
                if timestep == max(wanted):
                    break
            if progress:
                progress(rows.stop, len(stimuli))
    return Activations(
        model=model.name,
        stimulus_ids=stimuli.ids,
        blocks={(layer, step): blocks.kept[layer, step] for layer in names for step in sorted(wanted)},
        first_timestep=dict(model.first_timestep),
        ms_per_timestep=model.ms_per_timestep,
        n_timesteps=shown.n_timesteps,
        region_layers=dict(model.region_layers),
        presentation=shown,
        provenance={
            "weights_sha256": weights_sha256(network) if isinstance(network, torch.nn.Module) else "",
            "device": str(device),
            "precision": precision,
            "input_size": model.input_size,
            "visual_degrees": model.visual_degrees,
            "stimuli": stimuli.name,
            "screen": describe_screen(stimuli, size=model.input_size, field_degrees=model.visual_degrees),
        },
        _storage=blocks.folder,
    )


def extract_when_needed(
    model: Model,
    stimuli: StimulusSet,
    *,
    layers: Sequence[str] | None = None,
    time_bins: Iterable[TimeBin] | None = None,
    presentation: str | Presentation = "neural",
    batch_size: int | None = None,
    device: str | torch.device = "cpu",
    precision: str = "float32",
    storage: str = "disk",
    progress: Progress | None = None,
) -> Activations:
    """Return activations that are extracted the first time one of them is asked for, and a fingerprint of them at once.

    Parameters, errors: as `extract`. The fingerprint is the sha256 of the weights, of the pixels of all stimuli, and of the activations
    of a few of them, on which everything else that matters leaves its mark: architecture, presentation, precision, machine.
    """
    bins = None if time_bins is None else list(time_bins)
    common: dict[str, Any] = {"layers": layers, "time_bins": bins, "presentation": presentation, "device": device, "precision": precision}
    digest = hashlib.sha256(f"{stimuli.visual_degrees} {len(stimuli)}".encode())
    for row in range(len(stimuli)):
        image = stimuli.images[row]
        digest.update(f"{image.shape} {image.dtype}".encode() + np.ascontiguousarray(image).tobytes())
    probes = sorted({round(row) for row in np.linspace(0, len(stimuli) - 1, N_PROBES)})
    probe = extract(model, stimuli.only(probes), storage="memory", batch_size=N_PROBES, **common)
    digest.update(json.dumps([probe.model, probe.provenance["weights_sha256"], repr(probe.presentation)]).encode())
    for layer, timestep in probe.blocks:
        block = probe.blocks[layer, timestep]
        digest.update(f"{layer} {timestep} {block.shape}".encode() + np.ascontiguousarray(block).tobytes())
    made: list[Activations] = []

    def make() -> Blocks:
        made.append(extract(model, stimuli, batch_size=batch_size, storage=storage, progress=progress, **common))
        return made[0].blocks

    blocks = _WhenNeeded(tuple(iter(probe.blocks)), make)
    return replace(probe, stimulus_ids=stimuli.ids, blocks=blocks, fingerprint=digest.hexdigest())


class _WhenNeeded:
    """Blocks whose names are known and whose values are made the first time one is looked up, whoever comes first."""

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


class _Blocks:
    """Arrays (stimulus unit) that fill up batch by batch, in files or in memory.

    A timestep at which a layer's values are those of the one before, in every batch so far, has the same array.
    """

    def __init__(self, n_stimuli: int, storage: str) -> None:
        self.n_stimuli = n_stimuli
        self.kept: dict[tuple[str, int], np.ndarray] = {}
        self.folder: tempfile.TemporaryDirectory[str] | None = None
        self._before: dict[str, int] = {}  # layer -> the timestep that was written last
        self._shared: set[tuple[str, int]] = set()  # those that have the array of the timestep before
        if check_option("storage", storage, ("disk", "memory")) == "disk":
            (home() / "activations").mkdir(parents=True, exist_ok=True)
            self.folder = tempfile.TemporaryDirectory(dir=home() / "activations")

    def write(self, layer: str, timestep: int, rows: slice, maps: Tensor, *, where: str) -> None:
        """Fill in the rows of a batch; raise NeurofitError if they are not finite."""
        values = maps.flatten(1).float().cpu().numpy()
        if not np.isfinite(values).all():
            raise NeurofitError(f"{where}, timestep {timestep}: activations are not finite.")
        key, before = (layer, timestep), self._before.get(layer, timestep)
        self._before[layer] = timestep
        may_share = before < timestep and (key not in self.kept or key in self._shared)
        if may_share and _equal(values, self.kept[layer, before][rows]):
            self.kept[key] = self.kept[layer, before]
            self._shared.add(key)
            return
        if key not in self.kept or key in self._shared:  # new, or unlike the batches before no longer the same
            array = self._allocate(layer, timestep, values.shape[1])
            if key in self._shared:
                array[: rows.start] = self.kept[key][: rows.start]
            self.kept[key] = array
            self._shared.discard(key)
        self.kept[key][rows] = values

    def _allocate(self, layer: str, timestep: int, n_units: int) -> np.ndarray:
        shape = (self.n_stimuli, n_units)
        return np.empty(shape, np.float32) if self.folder is None else _allocate(f"{self.folder.name}/{layer}-{timestep}.npy", shape)


def fitting_batch_size(model: Model, *, device: str | torch.device = "cpu") -> int:
    """Return how many images one batch can hold: half of the device's free memory, at least 1, at most `LARGEST_BATCH`.

    An image is taken to need twice what all modules together give for it in one step (a wrapped module: in its whole forward).
    """
    largest = LARGEST_BATCH[torch.device(device).type == "cuda"]
    if not isinstance(model, torch.nn.Module):
        return largest
    sizes: list[int] = []
    hooks = [
        module.register_forward_hook(lambda module, args, output: sizes.append(_n_bytes(output)))
        for module in model.modules()
        if not list(module.children())
    ]
    try:
        count_units(model)
    finally:
        for hook in hooks:
            hook.remove()
    return max(1, min(largest, _free_bytes(torch.device(device)) // (4 * max(sum(sizes), 1))))


def count_units(model: Model, layers: Sequence[str] | None = None) -> dict[str, int]:
    """Return the number of units of each layer, from one step on a blank image."""
    names = find_layers(model, layers)
    weight = next(model.parameters(), torch.empty(0)) if isinstance(model, torch.nn.Module) else torch.empty(0)
    blank = torch.zeros(1, 3, model.input_size, model.input_size, dtype=weight.dtype, device=weight.device)
    with torch.inference_mode():
        _, activations = next(iter(model.unroll(blank, Presentation(n_timesteps=1), layers=names)))
    return {layer: activations[layer].numel() for layer in names}


def _wanted_timesteps(model: Model, shown: Presentation, time_bins: Iterable[TimeBin] | None) -> set[int]:
    if time_bins is None:
        return set(range(shown.n_timesteps))
    weights = timestep_weights(list(time_bins), n_timesteps=shown.n_timesteps, ms_per_timestep=model.ms_per_timestep)
    return {int(step) for step in np.flatnonzero(weights.any(axis=0))}


def _allocate(path: str, shape: tuple[int, int]) -> np.ndarray:
    """Map a new file whose space is really there: a full disk is an error here, not a crash at the first write."""
    size = shape[0] * shape[1] * 4
    try:
        with open(path, "wb") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
    except OSError as error:
        raise MachineError(f"No room for activations: {size / 1e6:.0f} MB at {path} ({error.strerror}).") from error
    return np.memmap(path, dtype=np.float32, mode="r+", shape=shape)


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    return np.array_equal(a[:1], b[:1]) and np.array_equal(a, b)  # nearly always the first row tells


def _n_bytes(output: object) -> int:
    """Return the size of the tensors in a module's output."""
    if isinstance(output, Tensor):
        return output.numel() * output.element_size()
    return sum(_n_bytes(each) for each in output) if isinstance(output, tuple | list) else 0


def _free_bytes(device: torch.device) -> int:
    """Return the free memory of a GPU, or what this process can still take of the machine's."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2]
    with suppress(OSError):
        free = [1024 * int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable")]
    with suppress(OSError, ValueError):  # a container's own limit; "max" without one
        group = Path("/sys/fs/cgroup")
        free.append(int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    return max(min(free), 0)
