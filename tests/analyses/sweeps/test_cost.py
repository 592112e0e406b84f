"""What a dry run says that a study takes is what the study then takes."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import numpy as np
import pytest

import neurofit
from neurofit.activations.model import Model
from neurofit.analyses.sweeps.cost import Cost, estimate_cost, flops_per_second
from neurofit.analyses.sweeps.plan import make_cells
from neurofit.analyses.sweeps.study import Study
from tests.analyses.sweeps.conftest import make_study


def size_of(folder: Path, pattern: str) -> int:
    return sum(path.stat().st_size for path in folder.rglob(pattern))


def test_disk_and_arithmetic_are_those_of_the_sweep(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurofit.analyses.sweeps.cost.flops_per_second", lambda: 1.0)
    expected = estimate_cost(make_cells(study))
    ended = neurofit.sweep(study)
    results = [result for _, result in ended.results()]
    assert len(results) == 8
    plans = [json.loads(result.attrs["plan"]) for result in results]
    flops = sum(
        (layer["gram"]["flops"] + layer["maps"]["flops"]) * result.sizes["time_bin"]
        for result, plan in zip(results, plans, strict=True)
        for mapping in plan.values()
        for layer in mapping.values()
    )
    assert expected.fit_seconds == pytest.approx(flops)  # one operation per second
    assert expected.n_extractions == 2
    assert expected.extraction_seconds > 0
    assert expected.n_left_out == 0
    grams = size_of(tmp_path / "home" / "grams", "*")
    assert expected.gram_bytes == pytest.approx(grams, rel=0.1)
    stored = size_of(tmp_path / "home" / "cells", "*.nc")
    assert stored / 3 < expected.result_bytes < stored * 3


def test_seeds_are_counted_and_a_model_is_timed_once(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: list[str] = []

    def timer(network: Model, _: str) -> float:
        timed.append(network.name)
        return 0.5

    monkeypatch.setattr("neurofit.analyses.sweeps.cost.flops_per_second", lambda: 1.0)
    monkeypatch.setattr("neurofit.analyses.sweeps.cost._seconds_per_image", timer)
    once = estimate_cost(make_cells(study))
    several = Study(**{**vars(study), "seeds": [0, 1, 2]})
    found = estimate_cost(make_cells(several))
    assert timed == ["timedecay_tiny", "feedforward_tiny"] * 2
    assert found.fit_seconds == pytest.approx(3 * once.fit_seconds)
    assert found.result_bytes == 3 * once.result_bytes
    assert (found.gram_bytes, found.memory) == (once.gram_bytes, once.memory)
    n_images = len(neurofit.load_recording(study.recordings[0]).stimuli)
    assert found.extraction_seconds == 2 * 0.5 * n_images


def test_many_models_are_estimated_from_some(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurofit.analyses.sweeps.cost.MAX_MODELS", 2)
    cells = make_cells(Study(**{**vars(study), "model_seeds": [0, 1, 2], "weights": "random"}))
    assert estimate_cost(cells).n_extractions == 6


def test_what_cannot_be_built_is_left_out_and_nothing_costs_nothing(study: Study) -> None:
    absent = make_study(recordings=study.recordings, models=["nowhere.py:make", "feedforward_tiny"])
    found = estimate_cost(make_cells(absent))
    assert found.n_left_out == 4
    assert "nowhere.py:make" in found.reason
    assert "There is no file" in found.reason
    assert estimate_cost([]) == Cost()


def test_the_speed_of_a_product_is_that_of_numpy() -> None:
    assert 1e8 < flops_per_second(200) < 1e13
    assert np.isfinite(flops_per_second(100))


def test_what_processes_take_to_start_is_counted(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = make_cells(study)
    monkeypatch.setattr("neurofit.analyses.sweeps.cost.start_seconds", lambda: 100.0)
    assert 200 < estimate_cost(cells).start_seconds < 210  # a process for each of two models
    assert 400 < estimate_cost(cells, n_tasks=4).start_seconds < 410


def test_a_small_sweep_takes_the_cpu_time_that_is_estimated(study: Study) -> None:
    """Its arithmetic takes a second, and its processes import torch."""
    cost = estimate_cost(make_cells(study))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    neurofit.sweep(study)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    taken = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    estimate = cost.extraction_seconds + cost.fit_seconds + cost.start_seconds
    assert taken / 3 < estimate < 3 * taken
