"""Activations of one model over a stimulus set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from neurofit.activations.blocks import Blocks, LazyBlocks
from neurofit.activations.layer_names import match_layers
from neurofit.activations.presentation import Presentation
from neurofit.config.notebook import Facts
from neurofit.errors import NeurofitError, check_option, some_of
from neurofit.recordings.time_bins import TimeBin, covered_bins, timestep_weights
from neurofit.storage.unfinished import Unfinished


@dataclass(frozen=True, kw_only=True, repr=False)
class Activations(Facts):
    """Activations of one model over a stimulus set.

    Parameters
    ----------
    model
        Name of the model.
    stimulus_ids
        Ids of the rows of every block: array (stimulus).
    blocks
        (layer, timestep) -> float32 array (stimulus unit), in memory or mapped from disk.
    first_timestep
        Layer -> first image-driven timestep.
    ms_per_timestep
        Duration of a timestep, in ms.
    n_timesteps
        Number of timesteps of the unroll.
    region_layers
        Area -> layers that model it.
    presentation
        Presentation of the images.
    provenance
        Other facts that results record, such as the weights' hash and the image preprocessing.
    fingerprint
        Hash of what all blocks depend on: weights, images and presentation; empty if unknown.
    probes
        (layer, timestep) -> hash of the activations of a few stimuli, which also depend on the
        architecture, the precision and the machine.
    unseen
        Layer -> timestep from which on its features are the same for all stimuli, if there is one:
        the image is off, and nothing in the layer remembers it.

    Examples
    --------
    >>> import neurofit
    >>> recording = neurofit.load_recording("hvm-sim", region="V4", window=(90, 110))
    >>> model = neurofit.create_model("rgc_tiny")
    >>> activations = neurofit.extract(model, recording.stimuli, layers=["conv3"])
    >>> activations
    Activations('rgc_tiny', layer conv3, 640 stimuli, 26 timesteps of 10 ms)
    >>> activations.features("conv3", (90, 110)).shape
    (640, 512)
    """

    model: str
    stimulus_ids: np.ndarray
    blocks: Blocks
    first_timestep: Mapping[str, int]
    ms_per_timestep: int
    n_timesteps: int
    region_layers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    presentation: Presentation | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    probes: Mapping[tuple[str, int], str] = field(default_factory=dict)
    unseen: Mapping[str, int] = field(default_factory=dict)
    _storage: Unfinished | None = None

    def facts(self) -> dict[str, str]:
        """Return model, layers and sizes."""
        return {
            "model": repr(self.model),
            "layers": f"layer{'s' * (len(self.layers) > 1)} {', '.join(self.layers)}",
            "stimuli": f"{len(self.stimulus_ids):,} stimuli",
            "timesteps": f"{self.n_timesteps} timesteps of {self.ms_per_timestep} ms",
        }

    @property
    def layers(self) -> tuple[str, ...]:
        """Extracted layers, in the model's order."""
        return tuple(dict.fromkeys(layer for layer, _ in self.blocks))

    @property
    def folder(self) -> Path | None:
        """Folder of unfinished work that goes with the activations, if they are on disk."""
        return self._storage.path if self._storage else None

    @property
    def holds_blocks(self) -> bool:
        """Whether each block is one array that is not replaced, so that its `id` identifies it."""
        return isinstance(self.blocks, dict | LazyBlocks)

    def covered(self, layer: str, time_bins: Sequence[TimeBin]) -> np.ndarray:
        """Return which bins (start, end), in ms, a layer can predict: boolean array (time_bin)."""
        return covered_bins(self._weights(time_bins), first_timestep=self.first_timestep[layer])

    def features(self, layer: str, time_bin: TimeBin) -> np.ndarray:
        """Return a layer's mean activations over the timesteps of a bin: array (stimulus unit)."""
        weights = self._weights([time_bin])[0]
        steps = np.flatnonzero(weights)
        first = self.blocks[layer, int(steps[0])]
        whole = np.isclose(weights.sum(), 1.0)
        if whole and all(self.blocks[layer, int(step)] is first for step in steps):
            return first
        parts = (np.float32(weights[step]) * self.blocks[layer, int(step)] for step in steps)
        return sum(parts)  # type: ignore[return-value]

    def timesteps(self, time_bin: TimeBin) -> list[tuple[int, float]]:
        """Return the timesteps that a bin overlaps, and the share of the bin that each covers."""
        weights = self._weights([time_bin])[0]
        return [(int(step), float(weights[step])) for step in np.flatnonzero(weights)]

    def identity(self, layer: str, time_bin: TimeBin) -> str:
        """Return the hash of what the features of a bin depend on; empty if it is unknown.

        It does not depend on which other layers and timesteps were extracted.
        """
        if not self.fingerprint:
            return ""
        steps = [
            (step, share, self.probes.get((layer, step), ""))
            for step, share in self.timesteps(time_bin)
        ]
        what = json.dumps([self.fingerprint, layer, steps])
        return hashlib.sha256(what.encode()).hexdigest()

    def _weights(self, time_bins: Sequence[TimeBin]) -> np.ndarray:
        return timestep_weights(
            time_bins, n_timesteps=self.n_timesteps, ms_per_timestep=self.ms_per_timestep
        )


def find_names(source: Any, layers: Sequence[str]) -> tuple[str, ...]:
    """Return layers of activations or of a model (`source`) by name or pattern (`match_layers`).

    Raises
    ------
    NeurofitError
        If there is no such layer; the message gives the nearest name.
    """
    name = getattr(source, "model", None) or source.name
    return match_layers(layers, source.layers, of=name)


def region_layers(source: Any, region: str) -> tuple[str, ...]:
    """Return the layers of activations or of a model (`source`) that model a region.

    A model that names no layers for any region may use all of them for each.

    Raises
    ------
    NeurofitError
        If there are none; the message lists the regions that have layers.
    """
    name = getattr(source, "model", None) or source.name
    known: Mapping[str, tuple[str, ...]] = source.region_layers
    if not known:
        return tuple(source.layers)
    return known[check_option(f"region of {name}", region, known)]


def check_inputs(activations: Activations, recording: Any) -> None:
    """Check that activations belong to a recording of one region.

    Raises
    ------
    NeurofitError
        If the stimuli differ or are in another order, the recording has several regions, or a
        layer lacks timesteps that a time bin needs.
    """
    if not np.array_equal(activations.stimulus_ids, recording.stimuli.ids):
        raise NeurofitError(
            f"The activations of {activations.model} do not match the stimuli of "
            f"{recording.name} (other ids, or another order)."
        )
    if len(recording.regions) != 1:
        raise NeurofitError(
            f"An analysis of a model is about one region; {recording.name} has "
            f"{', '.join(recording.regions)}. Select one: recording.select(region=...)."
        )
    known, bins = set(activations.blocks), recording.time_bins
    for layer in activations.layers:
        covered = activations.covered(layer, bins)
        shown = [bin_ for bin_, there in zip(bins, covered, strict=True) if there]
        needed = {step for bin_ in shown for step, _ in activations.timesteps(bin_)}
        if missing := sorted(step for step in needed if (layer, step) not in known):
            raise NeurofitError(
                f"The activations of {activations.model} have no {layer} for the timesteps "
                f"{some_of(missing)}, which the time bins of {recording.name} need."
            )
