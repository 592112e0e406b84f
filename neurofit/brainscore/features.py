"""Outputs of models: from Brain-Score's assemblies to our activations and back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from brainscore_core.supported_data_standards.brainio.stimuli import (
    StimulusSet as BrainScoreStimulusSet,
)

from neurofit.activations.activations import Activations
from neurofit.brainscore.conversion import flat_coords, to_text
from neurofit.errors import NeurofitError
from neurofit.recordings.recording import DIMS
from neurofit.recordings.time_bins import TimeBin


def check_time_bins(bins: Sequence[TimeBin]) -> None:
    """Check that a model of Brain-Score can be recorded in these time bins.

    Raises
    ------
    NeurofitError
        If they overlap or start before the stimulus.
    """
    if any(start < end for (_, end), (start, _) in pairwise(bins)) or bins[0][0] < 0:
        raise NeurofitError(
            "Time bins of a Brain-Score model must start at 0 ms or later and must not overlap; "
            f"got {str(list(bins[:3]))[1:-1]} ...\nChoose others with --bins START:END:WIDTH."
        )


def features_assembly(
    features: np.ndarray,
    stimuli: BrainScoreStimulusSet,
    neuroids: dict[str, Sequence[Any] | np.ndarray],
    time_bins: Sequence[TimeBin],
) -> NeuroidAssembly:
    """Return the features of a model as an assembly for Brain-Score's metrics.

    Parameters
    ----------
    features
        Features (presentation neuroid time_bin).
    stimuli
        Stimuli, in the order of the presentations.
    neuroids
        Coordinates of the neuroids.
    time_bins
        (start, end) in ms.
    """
    columns = {str(name): ("presentation", stimuli[name].to_numpy()) for name in stimuli}
    columns["stimulus_path"] = (
        "presentation",
        np.array([str(stimuli.get_stimulus(each)) for each in stimuli.stimulus_id]),
    )
    starts, ends = np.array(time_bins).T
    coords = {
        **columns,
        **{name: ("neuroid", np.asarray(values)) for name, values in neuroids.items()},
        "time_bin_start": ("time_bin", starts),
        "time_bin_end": ("time_bin", ends),
    }
    return NeuroidAssembly(features, coords=coords, dims=DIMS)


def from_features(
    assembly: xr.DataArray, *, model: str, region: str, stimulus_ids: np.ndarray
) -> Activations:
    """Return the outputs of a Brain-Score model as activations; time bins become timesteps.

    Parameters
    ----------
    assembly
        Outputs (presentation neuroid time_bin) of one region. Without time bins, the activations
        are the same at all times up to 1 s.
    model
        Name of the model.
    region
        Region, which is also the name of the only layer.
    stimulus_ids
        Stimuli in the order of the activations.

    Raises
    ------
    NeurofitError
        If time bins overlap, or the assembly has other stimuli or one of them more than once.
    """
    return from_chunks(
        [([(0, 1000)], assembly)], model=model, region=region, stimulus_ids=stimulus_ids
    )


def from_chunks(
    chunks: Iterable[tuple[Sequence[TimeBin], xr.DataArray]],
    *,
    model: str,
    region: str,
    stimulus_ids: np.ndarray,
) -> Activations:
    """Return outputs that were requested for several groups of time bins as activations.

    Consecutive time bins with equal outputs share one block of memory.

    Parameters
    ----------
    chunks
        Requested time bins, and the outputs as in `from_features`. Outputs without time bins are
        used for all requested ones.
    model, region, stimulus_ids
        See `from_features`.

    Raises
    ------
    NeurofitError
        See `from_features`.
    """
    bins: list[TimeBin] = []
    outputs: list[np.ndarray] = []
    for chunk_bins, assembly in chunks:
        coords = flat_coords(assembly)
        shown = to_text(coords["stimulus_id"][1])
        if sorted(shown.tolist()) != sorted(stimulus_ids.tolist()):
            raise NeurofitError(
                f"The outputs of {model} must have the stimuli of the recording, each once."
            )
        row_of = {stimulus: row for row, stimulus in enumerate(shown.tolist())}
        rows = [row_of[stimulus] for stimulus in stimulus_ids.tolist()]
        values = assembly.transpose(*(dim for dim in DIMS if dim in assembly.dims)).values
        if "time_bin" in assembly.dims:
            chunk_bins = [
                (int(coords["time_bin_start"][1][t]), int(coords["time_bin_end"][1][t]))
                for t in range(values.shape[2])
            ]
        else:
            values = np.broadcast_to(values[..., None], (*values.shape, len(chunk_bins)))
        for position, time_bin in enumerate(chunk_bins):
            block = np.ascontiguousarray(values[rows, :, position], dtype=np.float32)
            outputs.append(outputs[-1] if outputs and np.array_equal(outputs[-1], block) else block)
            bins.append(time_bin)
    check_time_bins(bins)
    step = math.gcd(*(edge for pair in bins for edge in pair))
    blocks: dict[tuple[str, int], np.ndarray] = {}
    for (start, end), block in zip(bins, outputs, strict=True):
        blocks |= {(region, timestep): block for timestep in range(start // step, end // step)}
    return Activations(
        model=model,
        stimulus_ids=stimulus_ids,
        blocks=blocks,
        first_timestep={region: bins[0][0] // step},
        ms_per_timestep=step,
        n_timesteps=bins[-1][1] // step,
        region_layers={region: (region,)},
        presentation=None,
        provenance={"from": "Brain-Score"},
    )
