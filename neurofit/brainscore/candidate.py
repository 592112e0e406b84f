"""Theirs in ours: the recording behind a Brain-Score benchmark, and the outputs of a Brain-Score model as activations."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import brainscore_core.benchmarks
import numpy as np
import xarray as xr
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet as TheirStimulusSet
from brainscore_vision.benchmark_helpers.screen import place_on_screen
from brainscore_vision.model_interface import BrainModel

from neurofit.assemblies import Recording
from neurofit.brainscore.benchmark import TemporalPredictivityBenchmark
from neurofit.brainscore.conversion import bins_of, check_bins, flat_coords, from_answers, from_assembly, to_stimulus_set
from neurofit.brainscore.loading import find, loading
from neurofit.errors import MachineError, NeurofitError
from neurofit.extract import Activations
from neurofit.time_bins import TimeBin

ANSWER_BYTES = 1e9
"""Outputs of a model that are asked for at once; Brain-Score aligns them to time bins in float64, also those that are alike in all."""


def recording_of(benchmark: Any) -> Recording:
    """Return the trials that a Brain-Score neural benchmark holds.

    Parameters
    ----------
    benchmark
        A neural benchmark, or its identifier. Its assembly is averaged; the single trials are those that its ceiling is made of.

    Raises
    ------
    NeurofitError
        If it is unknown or holds no single trials.
    MachineError
        If its files cannot be downloaded.
    """
    if isinstance(benchmark, str):
        benchmark = find("benchmark", benchmark)
    if isinstance(benchmark, TemporalPredictivityBenchmark):
        return benchmark.recording
    name = str(benchmark.identifier)
    with loading("benchmark", name):
        kept = _assemblies(getattr(benchmark, "_ceiling_func", None))
    trials = next((found for found in kept if "repetition" in flat_coords(found)), None)
    if trials is None:
        raise NeurofitError(
            f"{name} holds no single trials: what its ceiling is made of has no coordinate repetition. Nothing can be corrected for noise."
        )
    return from_assembly(trials, visual_degrees=float(getattr(benchmark, "_visual_degrees", 8.0)), name=name)


def _assemblies(function: Any) -> list[xr.DataArray]:
    """Return the assemblies that a function keeps; asking what one is loads it where Brain-Score's `LazyLoad` stands for it."""
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

    Raises
    ------
    NeurofitError
        If the model is unknown or does not answer in these time bins, or they overlap.
    MachineError
        If its files cannot be downloaded.
    """
    if isinstance(candidate, str):
        candidate = find("model", candidate)
    check_bins(recording.time_bins)
    shown = place_on_screen(
        to_stimulus_set(recording.stimuli),
        target_visual_degrees=candidate.visual_degrees(),
        source_visual_degrees=recording.stimuli.visual_degrees,
    )
    answers = _answers(candidate, shown, region=region, time_bins=recording.time_bins)
    return from_answers(answers, model=str(candidate.identifier), region=region, stimulus_ids=recording.stimuli.ids)


def _answers(
    candidate: BrainModel, shown: TheirStimulusSet, *, region: str, time_bins: Sequence[TimeBin]
) -> Iterator[tuple[Sequence[TimeBin], xr.DataArray]]:
    """Yield what a model answers, in as many time bins at once as fit into `ANSWER_BYTES`; one nameless picture tells its size."""
    probe = shown.iloc[:1].copy()
    probe.identifier = None  # else caches would take it for the whole set
    candidate.start_recording(region, time_bins=list(time_bins[:1]))
    width = candidate.look_at(probe).sizes["neuroid"]
    at_once = max(1, int(ANSWER_BYTES / (len(shown) * width * np.dtype(np.float64).itemsize)))
    for first in range(0, len(time_bins), at_once):
        asked = list(time_bins[first : first + at_once])
        candidate.start_recording(region, time_bins=asked)
        yield asked, candidate.look_at(shown)


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
    """Score a Brain-Score model on a Brain-Score benchmark, without the files that `brainscore_vision.score` leaves in its package.

    What Brain-Score prints of the memory that it expects to need goes to stderr.

    Raises
    ------
    NeurofitError
        If one of them is unknown.
    MachineError
        If files cannot be downloaded, or Brain-Score expects that the memory does not suffice.
    """
    subject, test = find("model", model), find("benchmark", benchmark)
    try:
        with loading("benchmark", benchmark), redirect_stdout(sys.stderr):
            found = brainscore_core.benchmarks.score_benchmark(test, subject)
    except MemoryError as error:
        said = str(error).partition("\n")[0].removeprefix("preallocate_memory: ")
        raise MachineError(f"{model} on {benchmark}: {said}\nBRAINSCORE_SKIP_MEMORY_CHECK=1 tries it all the same.") from error
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


def _mean(value: Any) -> float | None:
    return None if value is None else float(np.nanmean(np.asarray(value, dtype=float)))
