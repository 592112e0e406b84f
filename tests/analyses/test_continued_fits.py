"""Fits that a killed score has finished are not made again, and the result has the same bits."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import neurofit
from neurofit import RunConfig, Selection
from neurofit.analyses.encoding import finished
from neurofit.analyses.encoding.fitting import Fitting
from neurofit.analyses.predictivity.presets import make_config
from neurofit.config.compute import Compute
from neurofit.data_loaders import load_recording, write_recording
from neurofit.errors import NeurofitWarning
from neurofit.recordings.recording import Recording
from neurofit.storage.unfinished import CONTINUED

N_BINS = 4

KILLED = """
import os, pickle, signal, sys
from neurofit.analyses.encoding import finished
import neurofit

finished.LEAST_SECONDS = 0.0
store, stored = finished.FinishedBins._store, []

def killing(self, name, bins):
    store(self, name, bins)
    stored.append(name)
    if stored.count("fit") == 2:
        os.kill(os.getpid(), signal.SIGKILL)

finished.FinishedBins._store = killing
neurofit.run(pickle.loads(bytes.fromhex(sys.argv[1])))
"""

CASES: dict[str, dict[str, Any]] = {
    "each split chooses its layer": {"learning_curve": True, "jackknife": 3},
    "all layers": {"layers": "all", "mapping": ("ridge", "pls")},
    "terms of each neuroid": {"preset": "nayebi2022"},
}


@pytest.fixture
def config(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, evoked: Callable[[], Recording]
) -> RunConfig:
    monkeypatch.setenv("NEUROFIT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(finished, "LEAST_SECONDS", 0.0)
    write_recording(evoked(), tmp_path / "small.nc")
    return RunConfig(
        model="rgc_tiny",
        recording=tmp_path / "small.nc",
        selection=Selection(region="IT"),
        compute=Compute(n_jobs=1),
    )


def configured(config: RunConfig, preset: str = "pooled", **options: Any) -> RunConfig:
    few = {"n_splits": 2, "n_halves": 2, **({"min_z": 0.0} if preset == "pooled" else {})}
    return replace(config, analysis=make_config(preset, **few, **options))


def kill(config: RunConfig) -> None:
    """Score in another process, which is killed after the fits of two time bins."""
    import pickle

    given = pickle.dumps(config).hex()
    done = subprocess.run([sys.executable, "-c", KILLED, given], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def without_attrs(result: xr.Dataset) -> xr.Dataset:
    bare = result.copy()
    bare.attrs = {}
    return bare


def count_fits(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """Count the bins that each step works on from now on."""
    worked: dict[str, list[int]] = {"hold_out": [], "fit": []}
    for name, own in worked.items():
        step = getattr(Fitting, name)

        def work(
            self: Fitting, bins: np.ndarray, *rest: Any, step: Any = step, own: list[int] = own
        ) -> None:
            own.extend(bins.tolist())
            step(self, bins, *rest)

        monkeypatch.setattr(Fitting, name, work)
    return worked


@pytest.mark.parametrize("name", CASES)
def test_finished_bins_are_not_fitted_again(
    config: RunConfig, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = configured(config, **CASES[name])
    kill(given)
    worked = count_fits(monkeypatch)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        found = neurofit.run(given)
    assert CONTINUED in {str(each.message) for each in seen}
    assert len(worked["fit"]) == N_BINS - 2
    assert worked["hold_out"] == []
    assert list((tmp_path / "home" / "unfinished").iterdir()) == []
    monkeypatch.setenv("NEUROFIT_HOME", str(tmp_path / "calm"))
    calm = neurofit.run(given)
    assert len(worked["fit"]) == N_BINS - 2 + N_BINS
    assert without_attrs(found).identical(without_attrs(calm))
    assert json.loads(found.attrs["plan"]) == json.loads(calm.attrs["plan"])


@pytest.mark.filterwarnings(f"ignore:{CONTINUED}")
def test_other_responses_or_options_are_fitted_from_the_beginning(
    config: RunConfig,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    registered: Callable[[Recording], None],
) -> None:
    """Trials that differ under the same hash of the recording are told apart, too."""
    given = configured(config)
    kill(given)
    worked = count_fits(monkeypatch)
    neurofit.run(configured(config, seed=1))
    assert len(worked["fit"]) == N_BINS
    recording = load_recording(tmp_path / "small.nc")
    values = recording.responses.copy(data=recording.responses.values[::-1])
    registered(replace(recording, responses=values))
    neurofit.run(replace(given, recording="small"))
    assert len(worked["fit"]) == 2 * N_BINS


def test_damaged_files_of_finished_bins_are_fitted_again(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = configured(config)
    kill(given)
    for path in (tmp_path / "home" / "unfinished").glob("*/fit-*.npz"):
        path.write_bytes(path.read_bytes()[:-100])
    worked = count_fits(monkeypatch)
    with pytest.warns(NeurofitWarning, match=CONTINUED):
        neurofit.run(given)
    assert len(worked["fit"]) == N_BINS
