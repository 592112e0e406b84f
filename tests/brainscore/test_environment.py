"""What Brain-Score writes during the tests lies in a folder of this run."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from brainscore_core.supported_data_standards.brainio import fetch
from brainscore_vision.benchmark_helpers import screen

from neurofit.brainscore import TemporalPredictivityBenchmark, to_stimulus_set
from neurofit.recordings.recording import Recording


def test_ceilings_are_cached_in_the_folder_of_this_run(
    planted: Callable[..., Recording], brainscore_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RESULTCACHING_DISABLE", raising=False)
    benchmark = TemporalPredictivityBenchmark(planted(seed=5), region="IT", mapping="ridge")
    cached = brainscore_home / "resultcaching_home"
    before = set(cached.rglob("*.pkl"))
    assert benchmark.ceiling.item() > 0
    (made,) = set(cached.rglob("*.pkl")) - before
    assert benchmark.identifier in made.name
    made.unlink()


def test_images_on_a_screen_are_written_into_the_folder_of_this_run(
    planted: Callable[..., Recording], brainscore_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESULTCACHING_DISABLE", "1")
    stimuli = planted(n_stimuli=4, seed=6).stimuli
    theirs = to_stimulus_set(replace(stimuli, name="screened"))
    shown = screen.place_on_screen(theirs, target_visual_degrees=16, source_visual_degrees=8)
    paths = [Path(shown.get_stimulus(each)) for each in shown["stimulus_id"]]
    assert len(paths) == 4
    assert all(path.is_relative_to(brainscore_home / "brainscore_home") for path in paths)
    assert all(path.is_file() for path in paths)


def test_the_environment_names_the_folder_of_this_run(brainscore_home: Path) -> None:
    assert Path(fetch.get_local_data_path()).is_relative_to(brainscore_home)
    for name in ("RESULTCACHING_HOME", "BRAINSCORE_HOME", "BRAINIO_HOME"):
        assert Path(os.environ[name]).is_relative_to(brainscore_home)
