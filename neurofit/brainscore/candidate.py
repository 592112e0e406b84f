"""Theirs in ours: the recording behind a Brain-Score benchmark, and the outputs of a Brain-Score model as activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import brainscore_core.benchmarks
import brainscore_vision
import numpy as np
import xarray as xr
from brainscore_vision.benchmark_helpers.screen import place_on_screen
from brainscore_vision.model_interface import BrainModel

from neurofit.assemblies import Recording
from neurofit.brainscore.conversion import bins_of, flat_coords, from_assembly, from_features, to_stimulus_set
from neurofit.brainscore.registration import register
from neurofit.errors import NeurofitError
from neurofit.extract import Activations
from neurofit.time_bins import TimeBin


def recording_of(benchmark: Any) -> Recording:
    """Return the trials that a Brain-Score neural benchmark holds.

    Parameters
    ----------
    benchmark
        A `NeuralBenchmark`, or its identifier. Its assembly is averaged; the single trials are those that its ceiling is made of.

    Raises
    ------
    NeurofitError
        If it holds no single trials.
    """
    if isinstance(benchmark, str):
        benchmark = _found("benchmark", benchmark)
    trials = next((found for found in _assemblies(getattr(benchmark, "_ceiling_func", None)) if "repetition" in flat_coords(found)), None)
    if trials is None:
        raise NeurofitError(f"{getattr(benchmark, 'identifier', benchmark)} holds no single trials.")
    return from_assembly(trials, visual_degrees=float(getattr(benchmark, "_visual_degrees", 8.0)), name=str(benchmark.identifier))


def _assemblies(function: Any) -> list[xr.DataArray]:
    """Return the assemblies that a function keeps."""
    cells = getattr(function, "__closure__", None) or ()
    return [cell.cell_contents for cell in cells if isinstance(cell.cell_contents, xr.DataArray)]


def activations_of(candidate: BrainModel | str, recording: Recording, *, region: str) -> Activations:
    """Show a recording's pictures to a Brain-Score model and return what it answers in the recording's time bins.

    Parameters
    ----------
    candidate
        A BrainModel, or its identifier.
    recording
        Its pictures are placed on the model's screen, and its time bins asked for.
    region
        Which the model is recorded from.
    """
    if isinstance(candidate, str):
        candidate = _found("model", candidate)
    candidate.start_recording(region, time_bins=recording.time_bins)
    shown = place_on_screen(
        to_stimulus_set(recording.stimuli),
        target_visual_degrees=candidate.visual_degrees(),
        source_visual_degrees=recording.stimuli.visual_degrees,
    )
    return from_features(candidate.look_at(shown), model=str(candidate.identifier), region=region, stimulus_ids=recording.stimuli.ids)


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A score of Brain-Score in plain numbers.

    Parameters
    ----------
    value, error
        The score; of a benchmark in time its mean over bins.
    raw, ceiling
        What it is made of; None where the benchmark has none.
    curve
        ((start, end) in ms, value) per bin; empty without time.
    """

    value: float
    error: float | None
    raw: float
    ceiling: float | None
    curve: tuple[tuple[tuple[int, int], float], ...] = ()


def score_benchmark(model: str, benchmark: str) -> Scored:
    """Score a Brain-Score model on a Brain-Score benchmark, without the files that `brainscore_vision.score` leaves in its package."""
    subject, test = _found("model", model), _found("benchmark", benchmark)
    found = brainscore_core.benchmarks.score_benchmark(test, subject)
    curve = found.attrs.get("curve")
    values = np.atleast_1d(np.asarray(found.values, dtype=float))
    bins: list[TimeBin] = []
    if curve is not None:
        coords = flat_coords(curve)
        bins = list(zip(coords["time_bin_start"][1].tolist(), coords["time_bin_end"][1].tolist(), strict=True))
        values_in_time = np.asarray(curve.values, dtype=float)
    elif values.size > 1:  # spantime metrics return a value for each bin, and lose which it is
        bins, values_in_time = bins_of(test.timebins), values
    return Scored(
        value=float(np.nanmean(values)),
        error=_mean(found.attrs.get("error")),
        raw=float(np.nanmean(np.asarray(found.attrs["raw"].values, dtype=float))) if "raw" in found.attrs else float(np.nanmean(values)),
        ceiling=_mean(found.attrs.get("ceiling")),
        curve=tuple(zip(bins, values_in_time.tolist(), strict=True)) if bins else (),
    )


def _found(kind: str, identifier: str) -> Any:
    """Return a model or benchmark by identifier, ours included; Brain-Score's search fails with a bare assertion."""
    register()
    try:
        return getattr(brainscore_vision, f"load_{kind}")(identifier)
    except AssertionError as error:
        raise NeurofitError(f"Brain-Score has no {kind} {identifier!r}: {error}. Ours are called neurofit-NAME.") from error


def _mean(value: Any) -> float | None:
    return None if value is None else float(np.nanmean(np.asarray(value, dtype=float)))
