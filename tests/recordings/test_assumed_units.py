"""Units that nothing states are marked, and do not decide how unequal bins are joined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurofit.data_loaders.formats import open_recording
from neurofit.data_loaders.formats.netcdf import write_netcdf
from neurofit.errors import NeurofitError
from neurofit.recordings.rebinning import are_counts, rebin
from neurofit.recordings.recording import Recording

Make = Callable[..., Recording]


def write(folder: Path, *, name: str = "responses", dtype: str = "i8", sidecar: str = "") -> Path:
    arrays: dict[str, Any] = {
        name: np.random.default_rng(0).poisson(3, (6, 2, 3)).astype(dtype),
        "dims": np.array(["presentation", "neuroid", "time_bin"]),
        "stimulus_id": np.repeat(list("abc"), 2),
        "region": np.array(["IT", "IT"]),
        "time_bin_start": np.array([0, 10, 30]),
        "time_bin_end": np.array([10, 30, 50]),
    }
    np.savez(folder / "r.npz", **arrays)
    if sidecar:
        (folder / "r.json").write_text(sidecar)
    return folder / "r.npz"


@pytest.mark.parametrize("dtype", ["i8", "f8"])
def test_unequal_bins_are_joined_only_if_units_are_stated(tmp_path: Path, dtype: str) -> None:
    recording = open_recording(write(tmp_path, dtype=dtype))
    with pytest.raises(NeurofitError, match="does not state its units, and bins of 10 to 20 ms"):
        rebin(recording, [(0, 30)])
    equal = rebin(recording, [(10, 50)])
    own = recording.responses.values[:, :, 1:]
    together = own.sum(axis=2) if dtype == "i8" else own.mean(axis=2)
    np.testing.assert_allclose(equal.block(0), together, rtol=1e-6)


def test_units_that_may_be_counts_are_not_averaged(tmp_path: Path) -> None:
    recording = open_recording(write(tmp_path, sidecar='{"units": "spikes per bin (10 ms)"}'))
    with pytest.raises(
        NeurofitError, match=r"clearly \(spikes per bin \(10 ms\)\), and bins of 10"
    ):
        rebin(recording, [(0, 30)])


def test_the_sidecar_of_a_netcdf_file_says_what_its_units_are(tmp_path: Path) -> None:
    converted = tmp_path / "c.nc"
    write_netcdf(open_recording(write(tmp_path, dtype="f8")), converted)
    assert open_recording(converted).responses.attrs["units"] == "unknown"
    converted.with_suffix(".json").write_text('{"units": "spikes per bin"}')
    assert are_counts(open_recording(converted).responses)


@pytest.mark.parametrize(
    ("name", "sidecar", "weights"),
    [
        ("counts", "", (1, 1)),
        ("rates", "", (1 / 3, 2 / 3)),
        ("responses", '{"units": "spikes per bin"}', (1, 1)),
        ("responses", '{"units": "spikes per second"}', (1 / 3, 2 / 3)),
    ],
)
def test_stated_units_decide(
    tmp_path: Path, name: str, sidecar: str, weights: tuple[float, float]
) -> None:
    recording = open_recording(write(tmp_path, name=name, sidecar=sidecar))
    joined = rebin(recording, [(0, 30)]).block(0)
    np.testing.assert_allclose(joined, recording.responses.values[..., :2] @ weights, rtol=1e-6)


def test_assumed_counts_stay_assumed(tmp_path: Path) -> None:
    recording = open_recording(write(tmp_path))
    joined = rebin(recording, [(10, 50)])
    for each in (recording, joined):
        assert each.responses.attrs["units"] == "spikes per bin (assumed)"
        assert are_counts(each.responses)


def test_a_recording_made_in_python_states_its_units_too(make_recording: Make) -> None:
    recording = make_recording(n_bins=2)
    ends = recording.responses.assign_coords(time_bin_end=("time_bin", [80, 110]))
    unequal = replace(recording, responses=ends)
    with pytest.raises(NeurofitError, match=r"or set responses.attrs\['units'\]"):
        rebin(unequal, [(70, 110)])
