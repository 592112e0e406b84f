"""Brain-Score's benchmarks as recordings and its models as activations, for our scores."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import brainscore_core.benchmarks
import numpy as np
import xarray as xr
from brainscore_core.supported_data_standards.brainio.stimuli import (
    StimulusSet as BrainScoreStimulusSet,
)
from brainscore_vision.benchmark_helpers.screen import place_on_screen
from brainscore_vision.model_interface import BrainModel

from neurofit.activations.activations import Activations
from neurofit.brainscore.benchmark import TemporalPredictivityBenchmark
from neurofit.brainscore.conversion import (
    as_time_bins,
    flat_coords,
    from_assembly,
    to_stimulus_set,
)
from neurofit.brainscore.features import check_time_bins, from_chunks
from neurofit.brainscore.loading import load, translate_download_errors
from neurofit.errors import MachineError, NeurofitError
from neurofit.recordings.recording import Recording
from neurofit.recordings.time_bins import TimeBin

CHUNK_BYTES = 1e9
"""Size of the outputs that are requested from a model at once.

Brain-Score aligns them to time bins in float64, even if they are the same in all.
"""


def recording_of(benchmark: Any) -> Recording:
    """Return the recording of a neural benchmark of Brain-Score.

    The benchmark's own assembly is averaged over trials; the recording has the single trials from
    which its ceiling is computed.

    Parameters
    ----------
    benchmark
        Neural benchmark or its identifier.

    Returns
    -------
    Recording
        Responses (presentation neuroid time_bin) of single trials, and stimuli in Brain-Score's
        order.

    Raises
    ------
    NeurofitError
        If the benchmark is unknown or has no single trials.
    MachineError
        If its files cannot be downloaded.
    """
    if isinstance(benchmark, str):
        benchmark = load("benchmark", benchmark)
    if isinstance(benchmark, TemporalPredictivityBenchmark):
        return benchmark.recording
    name = str(benchmark.identifier)
    with translate_download_errors("benchmark", name):
        assemblies = _assemblies(getattr(benchmark, "_ceiling_func", None))
    trials = next((each for each in assemblies if "repetition" in flat_coords(each)), None)
    if trials is None:
        raise NeurofitError(
            f"{name} has no single trials, which noise correction needs: the assembly of its "
            "ceiling has no coordinate repetition."
        )
    return from_assembly(
        trials, visual_degrees=float(getattr(benchmark, "_visual_degrees", 8.0)), name=name
    )


def _assemblies(function: Any) -> list[xr.DataArray]:
    """Return the assemblies in the closure of a function; `isinstance` loads lazy ones."""
    cells = getattr(function, "__closure__", None) or ()
    return [cell.cell_contents for cell in cells if isinstance(cell.cell_contents, xr.DataArray)]


def activations_of(
    candidate: BrainModel | str, recording: Recording, *, region: str
) -> Activations:
    """Return the activations of a Brain-Score model in response to the stimuli of a recording.

    Parameters
    ----------
    candidate
        BrainModel or its identifier.
    recording
        Recording whose images, scaled to the model's field of view, and time bins are used.
    region
        Region of the model that is recorded.

    Returns
    -------
    Activations
        One layer, named as the region, with a timestep (stimulus unit) for each time bin.

    Raises
    ------
    NeurofitError
        If the model is unknown or cannot be recorded in these time bins.
    MachineError
        If its files cannot be downloaded.
    """
    if isinstance(candidate, str):
        candidate = load("model", candidate)
    check_time_bins(recording.time_bins)
    shown = place_on_screen(
        to_stimulus_set(recording.stimuli),
        target_visual_degrees=candidate.visual_degrees(),
        source_visual_degrees=recording.stimuli.visual_degrees,
    )
    chunks = _record(candidate, shown, region=region, time_bins=recording.time_bins)
    return from_chunks(
        chunks, model=str(candidate.identifier), region=region, stimulus_ids=recording.stimuli.ids
    )


def _record(
    candidate: BrainModel,
    shown: BrainScoreStimulusSet,
    *,
    region: str,
    time_bins: Sequence[TimeBin],
) -> Iterator[tuple[Sequence[TimeBin], xr.DataArray]]:
    """Yield time bins and the outputs of a model in them, as many as fit into `CHUNK_BYTES`.

    The number of outputs is measured with one image.
    """
    probe = shown.iloc[:1].copy()
    probe.identifier = None  # otherwise, Brain-Score's caches would mistake it for the whole set
    candidate.start_recording(region, time_bins=list(time_bins[:1]))
    width = candidate.look_at(probe).sizes["neuroid"]
    n_bins = max(1, int(CHUNK_BYTES / (len(shown) * width * np.dtype(np.float64).itemsize)))
    for first in range(0, len(time_bins), n_bins):
        chunk = list(time_bins[first : first + n_bins])
        candidate.start_recording(region, time_bins=chunk)
        yield chunk, candidate.look_at(shown)


@dataclass(frozen=True, kw_only=True)
class BenchmarkScore:
    """A score of Brain-Score as plain numbers; values per time bin are averaged.

    Parameters
    ----------
    value, error
        Score and its standard error; the error is None if the benchmark does not give one.
    raw, ceiling
        Uncorrected score and ceiling; the ceiling is None if the benchmark has none.
    curve
        ((start, end) in ms, score) per time bin; empty for a static benchmark.
    """

    value: float
    error: float | None
    raw: float
    ceiling: float | None
    curve: tuple[tuple[tuple[int, int], float], ...] = ()


def score_benchmark(model: str, benchmark: str) -> BenchmarkScore:
    """Score a model on a benchmark of Brain-Score.

    Unlike `brainscore_vision.score`, this writes no files into the package of Brain-Score. The
    estimate of memory that Brain-Score prints goes to stderr.

    Parameters
    ----------
    model, benchmark
        Identifiers.

    Returns
    -------
    BenchmarkScore
        Plain numbers: `value`, `error`, `raw`, `ceiling`, and `curve` over time bins in ms.

    Raises
    ------
    NeurofitError
        If an identifier is unknown.
    MachineError
        If files cannot be downloaded, or memory does not suffice by Brain-Score's estimate.

    Notes
    -----
    `neurofit brainscore score` prints the same numbers.
    """
    loaded_model, loaded_benchmark = load("model", model), load("benchmark", benchmark)
    try:
        with translate_download_errors("benchmark", benchmark), redirect_stdout(sys.stderr):
            score = brainscore_core.benchmarks.score_benchmark(loaded_benchmark, loaded_model)
    except MemoryError as error:
        reason = str(error).partition("\n")[0].removeprefix("preallocate_memory: ")
        raise MachineError(
            f"{model} on {benchmark}: {reason}\n"
            "Set BRAINSCORE_SKIP_MEMORY_CHECK=1 to run it anyway."
        ) from error
    values = np.atleast_1d(np.asarray(score.values, dtype=float))
    curve = score.attrs.get("curve")
    bins: list[TimeBin] = []
    curve_values = values
    if curve is not None:
        coords = flat_coords(curve)
        starts, ends = (coords[f"time_bin_{edge}"][1].tolist() for edge in ("start", "end"))
        bins = list(zip(starts, ends, strict=True))
        curve_values = np.asarray(curve.values, dtype=float)
    elif values.size > 1:  # spantime metrics return one value per time bin, without coordinates
        bins = as_time_bins(loaded_benchmark.timebins)
    value = float(np.nanmean(values))
    raw = _mean(score.attrs["raw"].values) if "raw" in score.attrs else None
    return BenchmarkScore(
        value=value,
        error=_mean(score.attrs.get("error")),
        raw=value if raw is None else raw,
        ceiling=_mean(score.attrs.get("ceiling")),
        curve=tuple(zip(bins, curve_values.tolist(), strict=True)) if bins else (),
    )


def _mean(value: Any) -> float | None:
    return None if value is None else float(np.nanmean(np.asarray(value, dtype=float)))
