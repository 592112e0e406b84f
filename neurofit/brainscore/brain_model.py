"""neurofit models as Brain-Score's BrainModel, which views stimuli and is recorded in time bins.

Timestep t covers onset_ms + [t, t + 1) * ms_per_timestep. The response in a time bin is the mean of
the timesteps that overlap with it, weighted by the overlap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from brainscore_core.supported_data_standards.brainio.stimuli import (
    StimulusSet as BrainScoreStimulusSet,
)
from brainscore_vision.model_interface import BrainModel

from neurofit.activations.activations import Activations
from neurofit.activations.extract import extract
from neurofit.activations.model import Model, find_presentation
from neurofit.activations.presentation import NEURAL, Presentation
from neurofit.brainscore.conversion import as_time_bins
from neurofit.brainscore.features import features_assembly
from neurofit.errors import NeurofitError, check_option
from neurofit.recordings.stimuli import ImageFiles, StimulusSet
from neurofit.recordings.time_bins import TimeBin, timestep_weights

RECORDING_PRESENTATION = replace(NEURAL, n_timesteps=30)
"""`NEURAL` for 300 ms, because Brain-Score's temporal benchmarks use time bins up to 290 ms."""


class NeurofitBrainModel(BrainModel):  # type: ignore[misc]  # Brain-Score has no types
    """A `neurofit.activations.model.Model` as Brain-Score's BrainModel.

    A model without recurrence has the same response in all time bins. In time bins before the
    image reaches a layer, the response is the same for all images: Brain-Score requests these bins,
    and a missing response cannot be expressed. Responses are not cached, because Brain-Score's
    caches identify stimuli by name only.

    Parameters
    ----------
    model
        Model.
    identifier
        Identifier in Brain-Score; "neurofit-NAME" by default.
    presentation
        Presentation of the images. The default is `RECORDING_PRESENTATION`, or the number of
        timesteps of its forward pass for a wrapped recurrent module.
    ms_per_timestep
        Duration of a timestep in ms; by default that of the model.
    onset_ms
        Start of timestep 0, in ms from the stimulus onset of the recording.
    layers
        Region -> layers whose units are recorded together; by default those of the model.
    device
        "cpu" or "cuda".

    Raises
    ------
    NeurofitError
        If the model has no presentation of this name.

    Notes
    -----
    Timestep t covers onset_ms + [t, t + 1) * ms_per_timestep.
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
        # Wrapped modules have `recurrent`; a ConvRNN has not, and can be unrolled for any time.
        recurrent = getattr(model, "recurrent", None)
        self.static = recurrent is False
        if self.static:
            self.presentation = Presentation(n_timesteps=1)
        else:
            default = "neural" if recurrent is True else RECORDING_PRESENTATION
            self.presentation = find_presentation(model, presentation or default)
        self.ms_per_timestep = ms_per_timestep or model.ms_per_timestep
        self.onset_ms = onset_ms
        self.region_layer_map = dict(layers or model.region_layers)
        self.device = device
        self._identifier = identifier or f"neurofit-{model.name}"
        self._region = ""
        self._time_bins: list[TimeBin] = []

    @property
    def identifier(self) -> str:
        """Identifier of the model in Brain-Score."""
        return self._identifier

    def visual_degrees(self) -> float:
        """Return the width of the model's field of view, in degrees of visual angle."""
        return self.model.visual_degrees

    def start_task(self, task: Any, fitting_stimuli: Any = None) -> None:
        """Accept passive viewing, the only task that is implemented."""
        if task != BrainModel.Task.passive:
            raise NotImplementedError(
                f"{self.identifier} does not implement the task {task!r}. Existing: passive."
            )

    def start_recording(self, recording_target: Any, time_bins: Any = None) -> None:
        """Set the region and the time bins of the following recordings.

        Parameters
        ----------
        recording_target
            Region.
        time_bins
            (start, end) in ms, see `neurofit.brainscore.conversion.as_time_bins`; 70-170 ms by
            default.

        Raises
        ------
        NeurofitError
            If the model has no such region, or its timesteps do not cover a time bin.
        """
        region = check_option(
            f"region of {self.identifier}", str(recording_target), self.region_layer_map
        )
        bins = as_time_bins(time_bins if time_bins is not None else [(70, 170)])
        covered = np.isclose(self._weights(bins).sum(axis=1), 1.0)
        if not covered.all():
            outside = ", ".join(
                f"{start}-{end}"
                for (start, end), inside in zip(bins, covered, strict=True)
                if not inside
            )
            end = self.onset_ms + self.presentation.n_timesteps * self.ms_per_timestep
            raise NeurofitError(
                f"The timesteps of {self.identifier} cover {self.onset_ms} to {end} ms, "
                f"not the time bins {outside} ms."
            )
        self._region, self._time_bins = region, bins

    def look_at(
        self,
        stimuli: BrainScoreStimulusSet | Sequence[str | Path],
        number_of_trials: int = 1,
        require_variance: bool = False,
    ) -> NeuroidAssembly:
        """Return the activations in response to stimuli.

        Parameters
        ----------
        stimuli
            Stimulus set of Brain-Score, or paths of image files.
        number_of_trials, require_variance
            Ignored: the model is deterministic, so that one trial is returned.

        Returns
        -------
        NeuroidAssembly
            Activations (presentation neuroid time_bin), float32.

        Raises
        ------
        NeurofitError
            If `start_recording` has not been called.
        """
        if not self._time_bins:
            raise NeurofitError(
                f"{self.identifier} is not being recorded: call start_recording first."
            )
        shown = _as_stimulus_set(stimuli)
        paths = [Path(shown.get_stimulus(each)) for each in shown.stimulus_id]
        # Brain-Score has already scaled the images to the model's field of view.
        converted = StimulusSet(
            name=str(shown.identifier),
            table=pd.DataFrame({"stimulus_id": np.arange(len(shown))}),
            images=ImageFiles(paths),
            visual_degrees=float(self.model.visual_degrees),
            duration_ms=100.0,
        )
        layers = self.region_layer_map[self._region]
        weights = self._weights(self._time_bins)
        step = self.model.ms_per_timestep
        needed = [(int(t) * step, (int(t) + 1) * step) for t in np.flatnonzero(weights.any(axis=0))]
        activations = extract(
            self.model,
            converted,
            layers=layers,
            time_bins=needed,
            presentation=self.presentation,
            device=self.device,
            storage="memory",
        )
        parts = [
            np.stack([_mean(activations, layer, row) for row in weights], axis=-1)
            for layer in layers
        ]
        widths = [part.shape[1] for part in parts]
        units = np.concatenate([np.arange(width) for width in widths])
        unit_layers = np.repeat(layers, widths)
        neuroids: dict[str, Any] = {
            "neuroid_id": [
                f"{self.identifier}.{layer}.{unit}"
                for layer, unit in zip(unit_layers, units, strict=True)
            ],
            "region": [self._region] * len(units),
            "layer": unit_layers,
            "neuroid_num": units,
            "model": [self.identifier] * len(units),
        }
        return features_assembly(np.concatenate(parts, axis=1), shown, neuroids, self._time_bins)

    def _weights(self, time_bins: Sequence[TimeBin]) -> np.ndarray:
        """Return the weight of each timestep in the mean of each time bin (time_bin timestep)."""
        if self.static:
            return np.ones((len(time_bins), 1))
        shifted = [(start - self.onset_ms, end - self.onset_ms) for start, end in time_bins]
        return timestep_weights(
            shifted, n_timesteps=self.presentation.n_timesteps, ms_per_timestep=self.ms_per_timestep
        )


def _mean(activations: Activations, layer: str, weights: np.ndarray) -> np.ndarray:
    """Return the weighted mean of a layer's timesteps: float32 (stimulus unit)."""
    steps = np.flatnonzero(weights)
    first, *others = (np.float32(weights[t]) * activations.blocks[layer, int(t)] for t in steps)
    return np.asarray(sum(others, first))


def _as_stimulus_set(
    stimuli: BrainScoreStimulusSet | Sequence[str | Path],
) -> BrainScoreStimulusSet:
    if isinstance(stimuli, BrainScoreStimulusSet):
        return stimuli
    paths = [str(path) for path in stimuli]
    stimulus_set = BrainScoreStimulusSet(
        pd.DataFrame({"stimulus_id": paths, "filename": [Path(path).name for path in paths]})
    )
    stimulus_set.stimulus_paths = dict(zip(paths, paths, strict=True))
    stimulus_set.identifier = None
    return stimulus_set
