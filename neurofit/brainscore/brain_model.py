"""Any neurofit model as a subject of Brain-Score: look at stimuli, record from a region in time bins.

Timestep t covers onset_ms + [t, t + 1) * ms_per_timestep; a bin sees the mean of the timesteps it overlaps, weighted by the overlap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet as TheirStimulusSet
from brainscore_vision.model_interface import BrainModel

from neurofit.brainscore.conversion import bins_of, features_assembly
from neurofit.errors import NeurofitError, check_option
from neurofit.extract import Activations, extract
from neurofit.presentation import NEURAL, Presentation
from neurofit.protocol import Model, find_presentation
from neurofit.stimuli import ImageFiles, StimulusSet
from neurofit.time_bins import TimeBin, timestep_weights

RECORDED = replace(NEURAL, n_timesteps=30)
"""As `NEURAL`, for 300 ms: Brain-Score's temporal benchmarks ask for bins up to 290 ms."""


class NeurofitBrainModel(BrainModel):  # type: ignore[misc]  # Brain-Score has no types
    """A model of the contract `neurofit.protocol.Model` as Brain-Score's BrainModel.

    A model without time is flat over whatever bins are asked for. Bins before the image reaches a layer are answered, alike for all
    images: Brain-Score asks for them and cannot be told that they are missing. Nothing is cached: Brain-Score's caches know stimuli by
    name only.

    Parameters
    ----------
    model
        The model.
    identifier
        By which Brain-Score knows it; "neurofit-NAME" by default.
    presentation
        How it is shown the images; by default `RECORDED`, or for as long as its forward lasts (a wrapped recurrent module).
    ms_per_timestep
        Duration of its timesteps; the model's own by default.
    onset_ms
        When its timestep 0 is, in ms from the stimulus onset of the recording.
    layers
        Region -> layers that are recorded, side by side; the model's own by default.
    device
        "cpu" or "cuda".
    """

    Task = BrainModel.Task
    RecordingTarget = BrainModel.RecordingTarget

    def __init__(
        self,
        model: Model,
        *,
        identifier: str = "",
        presentation: str | Presentation | None = None,
        ms_per_timestep: int | None = None,
        onset_ms: int = 0,
        layers: Mapping[str, tuple[str, ...]] | None = None,
        device: str = "cpu",
    ) -> None:
        self.model = model
        # A ConvRNN can be unrolled for any time; of the others, `recurrent` says whether there is time in them at all.
        self.static = getattr(model, "recurrent", True) is False
        fixed = getattr(model, "recurrent", False) is True
        shown = presentation or ("neural" if fixed else RECORDED)
        self.presentation = Presentation(n_timesteps=1) if self.static else find_presentation(model, shown)
        self.ms_per_timestep = ms_per_timestep or model.ms_per_timestep
        self.onset_ms = onset_ms
        self.region_layer_map = dict(layers or model.region_layers)
        self.device = device
        self._identifier = identifier or f"neurofit-{model.name}"
        self._region = ""
        self._time_bins: list[TimeBin] = []

    @property
    def identifier(self) -> str:
        """The name by which Brain-Score knows the model."""
        return self._identifier

    def visual_degrees(self) -> float:
        """Return the width of the model's field in degrees of visual angle."""
        return self.model.visual_degrees

    def start_task(self, task: Any, fitting_stimuli: Any = None) -> None:
        """Do nothing for passive viewing; any other task is not implemented."""
        if task != BrainModel.Task.passive:
            raise NotImplementedError(f"{self.identifier} records neurons; the task {task!r} is not implemented. Existing: passive.")

    def start_recording(self, recording_target: Any, time_bins: Any = None) -> None:
        """Record from a region in time bins, in any form that Brain-Score passes.

        Raises
        ------
        NeurofitError
            If the model has no such region, or its unroll does not cover a bin.
        """
        region = check_option(f"region of {self.identifier}", str(recording_target), self.region_layer_map)
        bins = bins_of(time_bins if time_bins is not None else [(70, 170)])
        covered = np.isclose(self._weights(bins).sum(axis=1), 1.0)
        if not covered.all():
            outside = ", ".join(f"{start}-{end}" for (start, end), inside in zip(bins, covered, strict=True) if not inside)
            last = self.onset_ms + self.presentation.n_timesteps * self.ms_per_timestep
            raise NeurofitError(f"{self.identifier} unrolls from {self.onset_ms} to {last} ms; it does not cover the bins {outside} ms.")
        self._region, self._time_bins = region, bins

    def look_at(
        self, stimuli: TheirStimulusSet | Sequence[str | Path], number_of_trials: int = 1, require_variance: bool = False
    ) -> NeuroidAssembly:
        """Return activations (presentation neuroid time_bin), float32; trials do not differ, so there is one.

        Raises
        ------
        NeurofitError
            If nothing is recorded yet.
        """
        if not self._time_bins:
            raise NeurofitError(f"{self.identifier} records nothing yet: call start_recording first.")
        theirs = _as_stimulus_set(stimuli)
        paths = [Path(theirs.get_stimulus(each)) for each in theirs.stimulus_id]
        # Brain-Score has placed the pictures on the model's screen: they have its degrees.
        ours = StimulusSet(
            name=str(theirs.identifier),
            table=pd.DataFrame({"stimulus_id": np.arange(len(theirs))}),
            images=ImageFiles(paths),
            visual_degrees=float(self.model.visual_degrees),
            duration_ms=100.0,
        )
        layers = self.region_layer_map[self._region]
        weights = self._weights(self._time_bins)
        step = self.model.ms_per_timestep
        needed = [(int(t) * step, (int(t) + 1) * step) for t in np.flatnonzero(weights.any(axis=0))]
        found = extract(
            self.model, ours, layers=layers, time_bins=needed, presentation=self.presentation, device=self.device, storage="memory"
        )
        parts = [np.stack([_mean(found, layer, row) for row in weights], axis=-1) for layer in layers]
        widths = [part.shape[1] for part in parts]
        units = np.concatenate([np.arange(width) for width in widths])
        of_layer = np.repeat(layers, widths)
        neuroids: dict[str, Any] = {
            "neuroid_id": [f"{self.identifier}.{layer}.{unit}" for layer, unit in zip(of_layer, units, strict=True)],
            "region": [self._region] * len(units),
            "layer": of_layer,
            "neuroid_num": units,
            "model": [self.identifier] * len(units),
        }
        return features_assembly(np.concatenate(parts, axis=1), theirs, neuroids, self._time_bins)

    def _weights(self, time_bins: Sequence[TimeBin]) -> np.ndarray:
        """Return how much of each bin each timestep is: (time_bin timestep)."""
        if self.static:
            return np.ones((len(time_bins), 1))
        moved = [(start - self.onset_ms, end - self.onset_ms) for start, end in time_bins]
        return timestep_weights(moved, n_timesteps=self.presentation.n_timesteps, ms_per_timestep=self.ms_per_timestep)


def _mean(found: Activations, layer: str, weights: np.ndarray) -> np.ndarray:
    """Return the weighted mean of a layer's timesteps: float32 (stimulus unit)."""
    steps = np.flatnonzero(weights)
    first, *others = (np.float32(weights[t]) * found.blocks[layer, int(t)] for t in steps)
    return np.asarray(sum(others, first))


def _as_stimulus_set(stimuli: TheirStimulusSet | Sequence[str | Path]) -> TheirStimulusSet:
    if isinstance(stimuli, TheirStimulusSet):
        return stimuli
    paths = [str(path) for path in stimuli]
    theirs = TheirStimulusSet(pd.DataFrame({"stimulus_id": paths, "filename": [Path(path).name for path in paths]}))
    theirs.stimulus_paths = dict(zip(paths, paths, strict=True))
    theirs.identifier = None
    return theirs
