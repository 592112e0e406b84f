"""Model + stimuli -> activations, one (layer, timestep) block at a time; nobody holds all timesteps in memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from neurofit.errors import MachineError, NeurofitError
from neurofit.home import home
from neurofit.presentation import Presentation
from neurofit.protocol import Model, find_layers, find_presentation, weights_sha256
from neurofit.stimuli import StimulusSet
from neurofit.time_bins import TimeBin, covered_bins, timestep_weights

GRAY = 128 / 255
"""What surrounds an image that is smaller than the model's field, in [0, 1]; Brain-Score's gray."""

Progress = Callable[[int, int], None]


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
        What else a result should record (weights' hash, device, image size).
    """

    model: str
    stimulus_ids: np.ndarray
    blocks: Mapping[tuple[str, int], np.ndarray]
    first_timestep: Mapping[str, int]
    ms_per_timestep: int
    n_timesteps: int
    region_layers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    presentation: Presentation | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    _storage: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False)

    @property
    def layers(self) -> tuple[str, ...]:
        """The extracted layers, in the model's order."""
        return tuple(dict.fromkeys(layer for layer, _ in self.blocks))

    def covered(self, layer: str, time_bins: Sequence[TimeBin]) -> np.ndarray:
        """Return which bins the layer can predict: boolean array (time_bin)."""
        return covered_bins(self._weights(time_bins), first_timestep=self.first_timestep[layer])

    def features(self, layer: str, time_bin: TimeBin) -> np.ndarray:
        """Return the layer's activations in a recorded bin: the mean of the timesteps it overlaps, array (stimulus unit)."""
        weights = self._weights([time_bin])[0]
        steps = np.flatnonzero(weights)
        if len(steps) == 1:
            return self.blocks[layer, int(steps[0])]
        return sum(np.float32(weights[step]) * self.blocks[layer, int(step)] for step in steps)  # type: ignore[return-value]

    def _weights(self, time_bins: Sequence[TimeBin]) -> np.ndarray:
        return timestep_weights(time_bins, n_timesteps=self.n_timesteps, ms_per_timestep=self.ms_per_timestep)


def extract(
    model: Model,
    stimuli: StimulusSet,
    *,
    layers: Sequence[str] | None = None,
    time_bins: Iterable[TimeBin] | None = None,
    presentation: str | Presentation = "neural",
    batch_size: int = 32,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> Activations:
    """Show every stimulus to a model and keep the activations of some layers, on disk.

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
        Images per batch.
    device
        Where the model runs.
    progress
        Called with (images done, images in all).

    Returns
    -------
    Activations whose files vanish with the object (they lie in NEUROFIT_HOME).

    Raises
    ------
    NeurofitError
        Unknown layer or presentation; unreadable image; activations that are not finite.
    MachineError
        If the disk is full.
    """
    shown = find_presentation(model, presentation)
    names = find_layers(model, layers)
    wanted = _wanted_timesteps(model, shown, time_bins)
    (home() / "activations").mkdir(parents=True, exist_ok=True)
    storage = tempfile.TemporaryDirectory(dir=home() / "activations")
    blocks: dict[tuple[str, int], np.ndarray] = {}
    network = model.to(device).eval() if isinstance(model, torch.nn.Module) else model
    with torch.inference_mode():
        for start in range(0, len(stimuli), batch_size):
            rows = slice(start, min(start + batch_size, len(stimuli)))
            images = load_images(stimuli, range(rows.start, rows.stop), size=model.input_size, field_degrees=model.visual_degrees)
            for timestep, activations in network.unroll(images.to(device), shown, layers=names):
                if timestep not in wanted:
                    continue
                for layer in names:
                    values = activations[layer].flatten(1).float().cpu().numpy()
                    if not np.isfinite(values).all():
                        raise NeurofitError(f"{model.name}, layer {layer}, timestep {timestep}: activations are not finite.")
                    if (layer, timestep) not in blocks:
                        shape = (len(stimuli), values.shape[1])
                        blocks[layer, timestep] = _allocate(f"{storage.name}/{layer}-{timestep}.npy", shape)
                    blocks[layer, timestep][rows] = values
                if timestep == max(wanted):
                    break
            if progress:
                progress(rows.stop, len(stimuli))
    return Activations(
        model=model.name,
        stimulus_ids=stimuli.ids,
        blocks={(layer, step): blocks[layer, step] for layer in names for step in sorted(wanted)},
        first_timestep=dict(model.first_timestep),
        ms_per_timestep=model.ms_per_timestep,
        n_timesteps=shown.n_timesteps,
        region_layers=dict(model.region_layers),
        presentation=shown,
        provenance={
            "weights_sha256": weights_sha256(network) if isinstance(network, torch.nn.Module) else "",
            "device": str(device),
            "input_size": model.input_size,
            "visual_degrees": model.visual_degrees,
            "stimuli": stimuli.name,
        },
        _storage=storage,
    )


def count_units(model: Model, layers: Sequence[str] | None = None) -> dict[str, int]:
    """Return the number of units of each layer, from one step on a blank image."""
    names = find_layers(model, layers)
    blank = torch.zeros(1, 3, model.input_size, model.input_size)
    with torch.inference_mode():
        _, activations = next(iter(model.unroll(blank, Presentation(n_timesteps=1), layers=names)))
    return {layer: activations[layer].numel() for layer in names}


def load_images(stimuli: StimulusSet, rows: Iterable[int], *, size: int, field_degrees: float) -> Tensor:
    """Return stimuli as a model sees them: float32 (batch channel height width) in [0, 1].

    The picture keeps its visual degrees: in a larger field it is surrounded by gray, in a smaller one its centre is seen.
    Resizing is bilinear with anti-aliasing.
    """
    return torch.stack([_fit_to_field(stimuli.images[row], stimuli.visual_degrees, field_degrees, size) for row in rows])


def _fit_to_field(image: np.ndarray, image_degrees: float, field_degrees: float, size: int) -> Tensor:
    if image.ndim != 3 or image.shape[2] != 3 or image.shape[0] != image.shape[1]:
        raise NeurofitError(f"Stimuli must be square RGB pictures (height width 3); got {image.shape}.")
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float()[None] / 255
    extent = max(1, round(size * image_degrees / field_degrees))
    if pixels.shape[-1] != extent:
        pixels = functional.interpolate(pixels, size=(extent, extent), mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)
    if extent < size:
        before = (size - extent) // 2
        after = size - extent - before
        pixels = functional.pad(pixels, (before, after, before, after), value=GRAY)
    elif extent > size:
        before = (extent - size) // 2
        pixels = pixels[..., before : before + size, before : before + size]
    return pixels[0]


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
