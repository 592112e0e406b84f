"""A small study on a recording file, which processes of their own can read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neurofit.analyses.sweeps.study import Machine, Study
from neurofit.data_loaders import write_recording
from neurofit.recordings.recording import Recording


@pytest.fixture
def study(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, evoked: Callable[[], Recording]
) -> Study:
    """Two models, V4 and IT, two mappings: eight cells of a second each, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEUROFIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    write_recording(evoked(), tmp_path / "small.nc")
    return make_study(recordings=[str(tmp_path / "small.nc")])


def make_study(**changes: Any) -> Study:
    """Return a study with some fields changed."""
    fields: dict[str, Any] = {
        "name": "small",
        "models": ["timedecay_tiny", "feedforward_tiny"],
        "regions": ["V4", "IT"],
        "mappings": ["ridge", "pls"],
        "windows": ["80:100"],
        "options": {"n_splits": 2, "n_halves": 2, "min_z": 0.0},
        "machine": Machine(workers=2),
    }
    return Study(**{**fields, **changes})
