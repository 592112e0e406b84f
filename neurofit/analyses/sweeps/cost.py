"""What a study will take, estimated before it is run: time, memory and disk."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import median
from typing import Any

import numpy as np

from neurofit.analyses.analysis import analysis_of
from neurofit.analyses.checks import check_recording
from neurofit.analyses.encoding.config import EncodingConfig
from neurofit.analyses.encoding.cost import n_learning_parts
from neurofit.analyses.encoding.mappings import find_mappings, gram_precision
from neurofit.analyses.inputs import find_recording, needed_layers
from neurofit.analyses.prepare import RunPart
from neurofit.analyses.run import RunConfig
from neurofit.analyses.sweeps.cells import Cell
from neurofit.analyses.sweeps.plan import extraction_of
from neurofit.config.compute import Progress
from neurofit.errors import NeurofitError
from neurofit.mapping.gram import plan_gram
from neurofit.metrics.sketch import N_BUCKETS
from neurofit.recordings.recording import Recording
from neurofit.recordings.validation import validate_recording

MAX_MODELS = 24
"""Largest number of models that are built for an estimate; others are taken to be as these."""

ATTRIBUTES_BYTES = 100_000
"""About what the attributes and coordinates of a result take."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What the unfinished cells of a study will take on this machine.

    Parameters
    ----------
    extraction_seconds, fit_seconds
        CPU time to show the images to the models, and to build Gram matrices and fit maps.
    start_seconds
        CPU time to start the processes of the tasks, and to read the recording of each cell.
    n_extractions
        How often a set of images is shown to a model.
    memory
        Largest memory of a cell in bytes.
    gram_bytes, result_bytes
        Disk space of the Gram matrices and of the results.
    n_left_out, reason
        Cells that are not counted, since they will be refused or their model cannot be built here,
        and why the first of them will be.
    """

    extraction_seconds: float = 0.0
    fit_seconds: float = 0.0
    start_seconds: float = 0.0
    n_extractions: int = 0
    memory: int = 0
    gram_bytes: int = 0
    result_bytes: int = 0
    n_left_out: int = 0
    reason: str = ""


def estimate_cost(
    cells: Sequence[Cell], *, n_tasks: int | None = None, progress: Progress | None = None
) -> Cost:
    """Estimate what cells will take, from a few images and the sizes of layers and recordings.

    A few images pass through each model, and the arithmetic of the maps is divided by the speed
    of a matrix product on this machine. Larger batches, GPUs and cached Gram matrices make a study
    faster.

    Parameters
    ----------
    cells
        Cells that are to be computed.
    n_tasks
        Number of processes that compute them; one for each extraction by default.
    progress
        Called with (what is being done, steps done, steps in total).
    """
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(extraction_of(cell), []).append(cell)
    shown = list(groups.values())[:MAX_MODELS]
    if not shown:
        return Cost()
    parts, speed = _Parts(), flops_per_second()
    found = []
    for done, group in enumerate(shown, start=1):
        found.append(_cost_of_group(group, parts, speed))
        if progress:
            progress("models timed", done, len(shown))
    sums = {
        each.name: sum(getattr(cost, each.name) for cost in found) * len(groups) / len(found)
        for each in fields(Cost)
        if each.name not in ("memory", "reason")
    }
    numbers = {name: sum_ if "seconds" in name else round(sum_) for name, sum_ in sums.items()}
    numbers["start_seconds"] += start_seconds() * (n_tasks or len(groups))
    return Cost(
        **numbers,
        memory=max(cost.memory for cost in found),
        reason=next((cost.reason for cost in found if cost.reason), ""),
    )


class _Parts:
    """Parts of recordings that cells select, each made once, and the CPU time that this takes."""

    def __init__(self) -> None:
        self.recordings: dict[str, tuple[Recording, float]] = {}
        self.parts: dict[str, tuple[Recording, float]] = {}

    def of(self, config: RunConfig) -> tuple[Recording, float]:
        name, chosen = str(config.recording), str((config.recording, config.selection))
        if chosen not in self.parts:
            if name not in self.recordings:
                begun = time.process_time()
                whole = check_recording(config, find_recording(config))
                self.recordings[name] = whole, time.process_time() - begun
            (whole, seconds), begun = self.recordings[name], time.process_time()
            part = config.selection.apply(whole)
            validate_recording(part)
            self.parts[chosen] = part, seconds + time.process_time() - begun
        return self.parts[chosen]


def _cost_of_group(cells: Sequence[Cell], parts: _Parts, speed: float) -> Cost:
    """Return the cost of cells that share an extraction."""
    from neurofit.activations.memory import count_units
    from neurofit.models import create_model

    kinds: dict[str, list[Cell]] = {}
    for cell in cells:  # seeds do not change a cost
        kinds.setdefault(str({**cell.choices, "seed": ""}), []).append(cell)
    first = cells[0].config
    counted: list[tuple[RunPart, int]] = []
    reading = 0.0
    try:
        network = create_model(str(first.model), weights=first.weights, seed=first.model_seed)
        seconds = _seconds_per_image(network, first.presentation)
        units = count_units(network)
        for kind in kinds.values():
            config = kind[0].config
            recording, read_seconds = parts.of(config)
            reading += read_seconds * len(kind)
            layers = needed_layers(config.analysis, network, recording.regions[0])
            counted.append((RunPart(config, recording, layers), len(kind)))
    except NeurofitError as error:
        return Cost(n_left_out=len(cells), reason=f"{cells[0].name}: {error}")
    grams: dict[Any, int] = {}
    for part, _ in counted:
        grams |= _gram_bytes(part, units)
    return Cost(
        extraction_seconds=seconds * max(len(part.recording.stimuli) for part, _ in counted),
        fit_seconds=sum(n * _fit_flops(part, units) for part, n in counted) / speed,
        start_seconds=reading,
        n_extractions=1,
        memory=max(_memory(part, units) for part, _ in counted),
        gram_bytes=sum(grams.values()),
        result_bytes=sum(n * _result_bytes(part) for part, n in counted),
    )


def _seconds_per_image(network: Any, presentation: str, n_images: int = 8) -> float:
    """Return the CPU time of an image, all timesteps included."""
    import torch

    from neurofit.activations.model import evaluating, find_presentation

    shape = (n_images, 3, network.input_size, network.input_size)
    seconds = []
    with torch.no_grad(), evaluating(network):
        for _ in range(2):  # the first pass is slower
            begun = time.process_time()
            for _ in network.unroll(torch.zeros(shape), find_presentation(network, presentation)):
                pass
            seconds.append(time.process_time() - begun)
    return min(seconds) / n_images


def _fit_flops(part: RunPart, units: Mapping[str, int]) -> float:
    """Return the arithmetic of the Gram matrices and maps of a cell."""
    analysis, recording = part.config.analysis, part.recording
    if not isinstance(analysis, EncodingConfig):
        return 0.0
    mappings = find_mappings(analysis)
    fixed, n_bins = analysis.time_mode == "fixed", len(recording.time_bins)
    n_rows = len(recording.stimuli) * (n_bins if fixed else 1)
    again = 1 + n_learning_parts(analysis) + int(getattr(analysis, "jackknife", 0))
    flops = 0.0
    for layer in part.layers:
        gram = plan_gram(n_rows, units[layer], precision=gram_precision(analysis, mappings))
        maps = sum(
            mapping.plan(
                gram,
                n_sets=analysis.n_sets,
                n_splits=analysis.n_splits,
                n_neuroids=int(recording.responses.sizes["neuroid"]),
            ).flops
            for mapping in mappings
        )
        flops += (1 if fixed else n_bins) * (gram.flops + again * maps)
    return flops


def _gram_bytes(part: RunPart, units: Mapping[str, int]) -> dict[Any, int]:
    """Return the size of each Gram matrix of a cell that is cached, by what identifies it."""
    analysis, recording = part.config.analysis, part.recording
    if not isinstance(analysis, EncodingConfig) or analysis.time_mode == "fixed":
        return {}
    precision = gram_precision(analysis, find_mappings(analysis))
    n_rows = len(recording.stimuli)
    return {
        (layer, time_bin, precision): 8 * n_rows * min(n_rows, units[layer])
        for layer in part.layers
        for time_bin in recording.time_bins
    }


def _memory(part: RunPart, units: Mapping[str, int]) -> int:
    cost = analysis_of(part.config.analysis).cost
    sizes = {layer: units[layer] for layer in part.layers}
    config = part.config
    return cost(part.recording, config.analysis, sizes, config.compute).n_bytes if cost else 0


def _result_bytes(part: RunPart) -> int:
    """Return the size of a result: the terms of each split and half, and influences."""
    analysis, recording = part.config.analysis, part.recording
    n_neuroids, n_stimuli = int(recording.responses.sizes["neuroid"]), len(recording.stimuli)
    halves = getattr(analysis, "n_splits", 1) * getattr(analysis, "n_halves", 1)
    curves = len(part.layers) * len(getattr(analysis, "mappings", ("",)))
    terms = 2 * halves * (1 + curves) * n_neuroids
    of_curves = curves * (16 * n_neuroids + n_stimuli + N_BUCKETS)
    return ATTRIBUTES_BYTES + 8 * len(recording.time_bins) * (terms + of_curves)


def start_seconds() -> float:
    """Return the CPU time of a process of a task until its work begins: that of its imports."""
    before = os.times()
    modules = "neurofit.analyses.prepare, neurofit.analyses.run, neurofit.activations.extract"
    subprocess.run([sys.executable, "-c", f"import {modules}, neurofit.models"], check=False)
    after = os.times()
    return (
        after.children_user + after.children_system - before.children_user - before.children_system
    )


def flops_per_second(n: int = 1000) -> float:
    """Return operations of a float64 matrix product per second of CPU time, the median of five."""
    matrix = np.random.default_rng(0).normal(size=(n, n))
    seconds = []
    for _ in range(5):
        begun = time.process_time()
        matrix @ matrix
        seconds.append(time.process_time() - begun)
    return 2 * n**3 / median(seconds)
