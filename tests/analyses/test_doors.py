"""A recording that is not valid is refused by whatever takes it, and a valid one is read once."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import neurofit
from neurofit.analyses.ceiling import ceiling
from neurofit.data_loaders.formats.netcdf import write_netcdf
from neurofit.data_loaders.recordings import load_recording
from neurofit.errors import NeurofitError
from neurofit.recordings import validation
from neurofit.recordings.recording import Recording
from neurofit.recordings.times import TIME_BINS

Make = Callable[..., Recording]
Run = Callable[..., tuple[int, str, str]]


def bins_twice(responses: xr.DataArray) -> xr.DataArray:
    """Let two time bins be one."""
    same = {name: ("time_bin", responses[name].values[[0, 0]]) for name in TIME_BINS}
    return responses.assign_coords(same)


def neuroids_twice(responses: xr.DataArray) -> xr.DataArray:
    """Let two neuroids be one."""
    return responses.assign_coords(neuroid_id=("neuroid", ["n"] * responses.sizes["neuroid"]))


def infinite(responses: xr.DataArray) -> xr.DataArray:
    """Let a response be infinite."""
    changed = responses.copy(deep=True)
    changed.values[3, 2, 1] = np.inf
    return changed


FAULTS = {
    bins_twice: "time_bin 1 .70-80 ms. occurs twice",
    neuroids_twice: "neuroid_id 'n' occurs",
    infinite: "1 infinite values, the first at presentation 3",
}
"""Function that plants a fault -> what is said."""


def score(recording: Recording) -> Any:
    blocks = {
        ("a", step): np.random.default_rng(step).standard_normal((30, 8)).astype(np.float32)
        for step in (7, 8)
    }
    activations = neurofit.Activations(
        model="m",
        stimulus_ids=recording.stimuli.ids,
        blocks=blocks,
        first_timestep={"a": 7},
        ms_per_timestep=10,
        n_timesteps=9,
        region_layers={"IT": ("a",)},
    )
    return activations, recording


DOORS: dict[str, Callable[[Recording], Any]] = {
    "score": lambda recording: neurofit.score(*score(recording)),
    "similarity": lambda recording: neurofit.similarity(*score(recording)),
    "ceiling": neurofit.ceiling,
    "validate_recording": neurofit.validate_recording,
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("plant", FAULTS)
def test_what_computes_refuses_it(
    make_recording: Make, plant: Callable[..., Any], door: str
) -> None:
    recording = make_recording(n_stimuli=30, n_bins=2, regions=("IT",))
    broken = replace(recording, responses=plant(recording.responses))
    with pytest.raises(NeurofitError, match=FAULTS[plant]):
        DOORS[door](broken)


@pytest.mark.parametrize("plant", FAULTS)
def test_what_reads_a_file_refuses_it(
    make_recording: Make, plant: Callable[..., Any], tmp_path: Path, neurofit: Run
) -> None:
    """Responses are not read before they are used."""
    recording = make_recording(n_stimuli=30, n_bins=2, regions=("IT",))
    path = tmp_path / "r.nc"
    write_netcdf(replace(recording, responses=plant(recording.responses)), path)
    (tmp_path / "r.stimuli.csv").write_text("stimulus_id\n" + "\n".join(recording.stimuli.ids))
    code, said, _ = neurofit("check", str(path))
    assert code == 2
    assert re.search(FAULTS[plant], said)
    with pytest.raises(NeurofitError, match=FAULTS[plant]):
        ceiling(load_recording(path))


@pytest.mark.parametrize("plant", [bins_twice, neuroids_twice])
def test_no_conversion_writes_it(
    make_recording: Make, plant: Callable[..., Any], tmp_path: Path
) -> None:
    recording = make_recording(n_bins=2)
    broken = replace(recording, responses=plant(recording.responses))
    with pytest.raises(NeurofitError, match=FAULTS[plant]):
        neurofit.write_recording(broken, tmp_path / "made" / "r.nc")
    assert not (tmp_path / "made").exists()


def test_an_array_is_no_recording() -> None:
    """In a process of its own, whose functions do not check the types of what they are given."""
    program = "import neurofit, xarray; neurofit.ceiling(xarray.DataArray([1.0]))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    said = "NeurofitError: A recording is a neurofit.Recording; got DataArray."
    assert said in done.stderr.splitlines()[-1]


def test_an_analysis_checks_values_while_it_looks_for_artefacts(
    make_recording: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No further pass over a recording that may be larger than memory."""
    read: list[Recording] = []
    whole = validation._value_faults

    def noted(recording: Recording) -> list[str]:
        read.append(recording)
        return whole(recording)

    monkeypatch.setattr(validation, "_value_faults", noted)
    recording = make_recording(n_stimuli=30, n_bins=2, regions=("IT",))
    for each in DOORS.values():
        each(recording)
    assert read == []
    validated = replace(recording)
    for each in reversed(DOORS.values()):
        each(validated)
    assert read == [validated]
