"""Recordings larger than memory: files are read once, and the numbers are those of memory.

An analysis reads a file once more, to check the trials before the work begins.
"""

from __future__ import annotations

import shutil
import tempfile
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np
import pytest
import xarray as xr

from neurofit.activations.activations import Activations
from neurofit.analyses.ceiling import ceiling
from neurofit.analyses.predictivity.config import ScoreConfig
from neurofit.analyses.predictivity.score import score
from neurofit.data_loaders.formats import by_bin, netcdf
from neurofit.data_loaders.formats.netcdf import read_netcdf, write_netcdf
from neurofit.errors import MachineError
from neurofit.recordings import reliability, trials
from neurofit.recordings.rebinning import over_all_bins, rebin
from neurofit.recordings.recording import DIMS, Recording
from neurofit.recordings.reliability import reliabilities
from neurofit.recordings.trials import TrialSets, deal_trials

N_STIMULI, N_NEUROIDS, N_BINS = 60, 7, 6
ORDERS = {
    "brainscore": ("neuroid", "presentation", "time_bin"),
    "trials": DIMS,
    "neurofit": ("time_bin", "presentation", "neuroid"),
}

Make = Callable[..., Recording]


@pytest.fixture
def recording(make_recording: Make) -> Recording:
    """Return uneven repetitions (4 to 6), reliable neuroids, and a trial that one of them lacks."""
    made = make_recording(
        n_stimuli=N_STIMULI, n_repetitions=6, n_neuroids=N_NEUROIDS, n_bins=N_BINS, regions=("IT",)
    )
    kept = ~((made.stimulus_rows % 3 == 0) & (made.responses.repetition.values > 3))
    responses = made.responses.isel(presentation=np.flatnonzero(kept)).copy(deep=True)
    rates = np.random.default_rng(1).gamma(2.0, 2.0, (N_STIMULI, N_NEUROIDS, N_BINS))
    rows = replace(made, responses=responses).stimulus_rows
    responses.values[:] = np.random.default_rng(2).poisson(rates[rows])
    responses.values[11, 3, :] = np.nan
    return replace(made, responses=responses)


@pytest.fixture
def bytes_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the bytes read from a file, with the smallest blocks, and copies whatever the size."""
    counted: list[int] = []
    read = netcdf._Stored._read

    def counting(self: Any, key: Any) -> np.ndarray:
        values = read(self, key)
        counted.append(values.nbytes)
        return values

    monkeypatch.setattr(netcdf._Stored, "_read", counting)
    monkeypatch.setattr(by_bin, "SMALL_BYTES", 0)
    monkeypatch.setattr(by_bin, "BLOCK_BYTES", 1)
    return counted


def stored(
    recording: Recording, path: Path, order: str, chunks: tuple[int, ...] | None = None
) -> Recording:
    """Write a recording with its axes in another order, and open it."""
    write_netcdf(recording, path)
    dims = ORDERS[order]
    with h5netcdf.File(path, "a") as file:
        attrs = dict(file["responses"].attrs)
        del file._h5file["responses"]
    with h5netcdf.File(path, "a") as file:
        variable = file.create_variable(
            "data", dims, dtype="float32", fillvalue=np.float32(np.nan), chunks=chunks
        )
        variable[...] = recording.responses.transpose(*dims).values
        variable.attrs["coordinates"] = attrs["coordinates"]
    return read_netcdf(path, stimuli=recording.stimuli)


@pytest.mark.parametrize(
    ("order", "chunks"),
    [*((order, None) for order in ORDERS), ("brainscore", (2, 50, 3)), ("trials", (32, 7, 6))],
)
def test_bins_read_one_by_one_read_the_file_once(
    recording: Recording,
    tmp_path: Path,
    bytes_read: list[int],
    order: str,
    chunks: tuple[int, ...] | None,
) -> None:
    lazy = stored(recording, tmp_path / "r.nc", order, chunks)
    assert bytes_read == []
    for position in (3, *range(N_BINS)):
        np.testing.assert_array_equal(lazy.block(position), recording.block(position))
    again = 1 if order == "neurofit" else 0  # a bin is read from the file itself each time
    assert sum(bytes_read) == recording.responses.nbytes // N_BINS * (N_BINS + again)


@pytest.mark.parametrize("order", ORDERS)
def test_parts_of_a_bin_are_those_of_memory(
    recording: Recording, tmp_path: Path, bytes_read: list[int], order: str
) -> None:
    lazy, held = stored(recording, tmp_path / "r.nc", order).responses, recording.responses
    parts: list[dict[str, Any]] = [
        {"neuroid": [1, 4, 5], "time_bin": 2},
        {"neuroid": slice(2, 4), "presentation": [3, 7, 100], "time_bin": [4]},
        {"neuroid": 6, "time_bin": 0},
        {"presentation": 5, "neuroid": 0, "time_bin": 5},
        {"presentation": slice(10, 40, 3), "time_bin": slice(1, 2)},
        {"neuroid": [5, 0, 3, 1, 2, 4, 6], "time_bin": 1},
        {"time_bin": slice(0, 3)},
    ]
    for part in parts:
        np.testing.assert_array_equal(lazy.isel(part).values, held.isel(part).values)


def test_of_neuroids_that_are_not_asked_for_nothing_is_read(
    recording: Recording, tmp_path: Path, bytes_read: list[int]
) -> None:
    lazy = stored(recording, tmp_path / "r.nc", "brainscore")
    some = replace(lazy, responses=lazy.responses.isel(neuroid=[1, 2, 6]))
    for position in range(N_BINS):
        some.block(position)
    assert sum(bytes_read) == recording.responses.nbytes * 3 // N_NEUROIDS


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("order", ORDERS)
def test_a_ceiling_reads_the_checked_file_once_and_is_that_of_memory(
    recording: Recording,
    tmp_path: Path,
    bytes_read: list[int],
    monkeypatch: pytest.MonkeyPatch,
    order: str,
    complete: bool,
) -> None:
    if complete:
        recording = replace(recording, responses=recording.responses.fillna(0.0))
    expected = ceiling(recording)
    some_columns = 8 * recording.responses.nbytes // N_BINS // N_NEUROIDS * 4
    monkeypatch.setattr(reliability, "BLOCK_BYTES", some_columns)
    found = ceiling(stored(recording, tmp_path / "r.nc", order))
    checked = 1  # trials are examined for artefacts and drift
    assert sum(bytes_read) == recording.responses.nbytes * (1 + checked)
    np.testing.assert_allclose(found.r_halves.values, expected.r_halves.values, rtol=0, atol=1e-15)
    np.testing.assert_allclose(found.curve.values, expected.curve.values, rtol=1e-14)


@pytest.mark.parametrize("overlap", [0, 10])
def test_reliabilities_over_all_bins_read_the_file_once(
    recording: Recording, tmp_path: Path, bytes_read: list[int], overlap: int
) -> None:
    ends = recording.responses.time_bin_start.values + 10 + overlap
    recording = replace(
        recording, responses=recording.responses.assign_coords(time_bin_end=("time_bin", ends))
    )
    found = reliabilities(stored(recording, tmp_path / "r.nc", "brainscore"))
    assert sum(bytes_read) == recording.responses.nbytes
    starts = recording.responses.time_bin_start.values
    mean = recording.responses.mean("time_bin", skipna=False).expand_dims("time_bin", axis=2)
    mean = mean.assign_coords(
        time_bin_start=("time_bin", starts[:1]), time_bin_end=("time_bin", ends[-1:])
    ).astype(np.float32)
    np.testing.assert_allclose(
        found, ceiling(replace(recording, responses=mean)).reliability.values[:, 0], rtol=1e-6
    )


@pytest.mark.parametrize("order", ORDERS)
def test_a_score_reads_the_file_three_times_and_is_that_of_memory_to_the_bit(
    recording: Recording, tmp_path: Path, bytes_read: list[int], order: str
) -> None:
    recording = replace(recording, responses=recording.responses.fillna(0.0))
    features = np.random.default_rng(3).standard_normal((N_STIMULI, 20)).astype(np.float32)
    features[:, :N_NEUROIDS] += TrialSets(
        recording.stimulus_rows, deal_trials(recording.stimulus_rows, n_halves=1, seed=0)
    ).means(recording.block(2))[0]
    activations = Activations(
        model="planted",
        stimulus_ids=recording.stimuli.ids,
        blocks={("layer", step): features for step in range(20)},
        first_timestep={"layer": 0},
        ms_per_timestep=10,
        n_timesteps=20,
        region_layers={"IT": ("layer",)},
    )
    config = ScoreConfig(mapping="ridge", n_splits=2, n_halves=2, n_bootstraps=20)
    expected = score(activations, recording, config)
    lazy = stored(recording, tmp_path / "r.nc", order)
    found = score(activations, lazy, config)
    whole = recording.responses.nbytes
    # Trials are examined for artefacts, neuroids are ranked by reliability, and maps are fitted.
    # What trials are ranked and fitted from is read once where blocks are whole in the file.
    assert sum(bytes_read) in (2 * whole, 3 * whole)
    for name in expected.data_vars:
        np.testing.assert_array_equal(found[name].values, expected[name].values, err_msg=str(name))


def test_other_bins_read_what_they_take_once(
    recording: Recording, tmp_path: Path, bytes_read: list[int]
) -> None:
    lazy = rebin(
        stored(recording, tmp_path / "r.nc", "brainscore"), [(70, 90), (90, 100), (100, 130)]
    )
    held = rebin(recording, [(70, 90), (90, 100), (100, 130)])
    np.testing.assert_array_equal(lazy.responses.values, held.responses.values)
    assert sum(bytes_read) == recording.responses.nbytes


def test_a_bin_made_of_many_holds_few_of_them(recording: Recording) -> None:
    many = np.tile(
        recording.responses.values, (8, 1, 20)
    )  # a block is large beside what else there is
    starts = 10 * np.arange(many.shape[2])
    presentations = {
        name: ("presentation", np.tile(recording.responses[name].values, 8))
        for name in ("stimulus_id", "repetition")
    }
    neuroids = {
        name: ("neuroid", recording.responses[name].values) for name in ("neuroid_id", "region")
    }
    bins = {"time_bin_start": ("time_bin", starts), "time_bin_end": ("time_bin", starts + 10)}
    long = replace(
        recording,
        responses=xr.DataArray(many, dims=DIMS, coords={**presentations, **neuroids, **bins}),
    )
    for made in (
        over_all_bins(long),
        rebin(long, [(0, int(starts[-1]) + 10)]),
        rebin(long, [(0, 50), (50, 110)]),
    ):
        tracemalloc.start()
        made.block(0)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 6 * 8 * many[..., 0].size, "the bins that it is made of are not held together"


def test_a_recording_in_another_order_is_converted_in_one_pass(
    recording: Recording, tmp_path: Path, bytes_read: list[int]
) -> None:
    write_netcdf(stored(recording, tmp_path / "theirs.nc", "brainscore"), tmp_path / "ours.nc")
    assert sum(bytes_read) == recording.responses.nbytes
    np.testing.assert_array_equal(
        read_netcdf(tmp_path / "ours.nc", stimuli=recording.stimuli).responses.values,
        recording.responses.values,
    )


def test_means_hold_a_few_columns_at_a_time_and_are_the_same_to_the_bit(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = TrialSets(
        recording.stimulus_rows, deal_trials(recording.stimulus_rows, n_halves=3, seed=0)
    )
    responses = recording.responses.values.reshape(len(recording.stimulus_rows), -1)
    whole = sets.means(responses)
    monkeypatch.setattr(trials, "COLUMNS", 4)
    np.testing.assert_array_equal(sets.means(responses), whole)
    np.testing.assert_array_equal(sets.means(responses, range(1, 3)), whole[[0, 2, 3, 5, 6]])


def test_no_room_for_the_copy_is_said(
    recording: Recording, tmp_path: Path, bytes_read: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    lazy = stored(recording, tmp_path / "r.nc", "brainscore")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10}))
    with pytest.raises(
        MachineError,
        match=rf"temporary copy of 0\.0 GB, and {tempfile.gettempdir()} is too full\.\nSet TMPDIR",
    ):
        lazy.block(0)


def test_a_copy_of_the_recording_shares_what_was_copied(
    recording: Recording, tmp_path: Path, bytes_read: list[int]
) -> None:
    lazy = stored(recording, tmp_path / "r.nc", "brainscore")
    lazy.block(0)
    other = lazy.responses.copy(deep=False)
    np.testing.assert_array_equal(other.isel(time_bin=1).values, recording.block(1))
    assert sum(bytes_read) == recording.responses.nbytes
