"""A recording: every breach of the contract is located, and only what is needed is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from neurofit.errors import NeurofitError
from neurofit.recordings import validation
from neurofit.recordings.recording import Recording
from neurofit.recordings.validation import find_faults, validate_recording

Make = Callable[..., Recording]


def with_coord(responses: xr.DataArray, name: str, values: Any) -> xr.DataArray:
    return responses.assign_coords({name: (responses[name].dims[0], values)})


def swapped(responses: xr.DataArray, name: str, first: int, second: int) -> list[Any]:
    values = list(responses[name].values)
    values[first], values[second] = values[second], values[first]
    return values


def in_data(responses: xr.DataArray, index: tuple[Any, ...], value: float) -> xr.DataArray:
    changed = responses.copy()
    changed.values[index] = value
    return changed


FAULTS: dict[str, tuple[Callable[[xr.DataArray], xr.DataArray], str]] = {
    "wrong dims": (
        lambda r: r.rename(neuroid="unit"),
        "dims must be presentation, neuroid, time_bin; got presentation, unit, time_bin.",
    ),
    "two dims": (
        lambda r: r.isel(time_bin=0, drop=True),
        "dims must be .*; got presentation, neuroid",
    ),
    "transposed": (
        lambda r: r.transpose("time_bin", ...),
        "in the order time_bin, presentation, neuroid. Repair: .*transpose.'presentation'",
    ),
    "missing coord": (
        lambda r: r.drop_vars("repetition"),
        "coordinate repetition on presentation is missing",
    ),
    "displaced coord": (
        lambda r: r.drop_vars("region").assign_coords(
            region=("time_bin", ["IT"] * r.sizes["time_bin"])
        ),
        "coordinate region lies on time_bin; it must lie on neuroid",
    ),
    "scalar coord": (
        lambda r: r.drop_vars("region").assign_coords(region="IT"),
        "coordinate region lies on no dim; it must lie on neuroid",
    ),
    "empty": (lambda r: r.isel(neuroid=slice(0)), "dim neuroid is empty"),
    "duplicate bin": (
        lambda r: r.isel(time_bin=[0, 1, 1, 2]),
        r"time_bin 2 \(80-90 ms\) occurs twice",
    ),
    "bins out of order": (
        lambda r: r.isel(time_bin=[0, 1, 3, 2, 4]),
        r"time_bin 3 \(90-100 ms\) comes after 100-110 ms.*sortby",
    ),
    "negative width": (
        lambda r: with_coord(r, "time_bin_end", [80, 70, 100, 110, 120]),
        r"time_bin 1 \(80 to 70 ms\) has no positive width",
    ),
    "empty bin": (
        lambda r: with_coord(r, "time_bin_end", [80, 90, 90, 110, 120]),
        r"time_bin 2 \(90 to 90 ms\) has no positive width",
    ),
    "broken bin": (
        lambda r: with_coord(r, "time_bin_start", [70, 80, 90.5, 100, 110]),
        "time_bin_start 2 is 90.5. Give whole numbers",
    ),
    "missing bin": (
        lambda r: with_coord(r, "time_bin_end", [80, 90, 100, np.nan, 120]),
        "time_bin_end 3 is nan. Give whole numbers",
    ),
    "endless bin": (
        lambda r: with_coord(r, "time_bin_end", [80, 90, 100, 110, np.inf]),
        "time_bin_end 4 is inf. Give whole numbers",
    ),
    "bins as text": (
        lambda r: with_coord(r, "time_bin_start", list("abcde")),
        "time_bin_start has the type <U1. Give whole numbers",
    ),
    "unknown stimulus": (
        lambda r: with_coord(
            r, "stimulus_id", ["s9" if i == 7 else s for i, s in enumerate(r.stimulus_id.values)]
        ),
        r"stimulus 's9' \(1 in all\) is shown at presentation 7 but not in the stimulus set",
    ),
    "unseen stimulus": (
        lambda r: r.isel(presentation=r.stimulus_id.values != "s4"),
        "stimulus 's4' .1 in all. is in the stimulus set but never",
    ),
    "one repetition": (
        lambda r: r.isel(presentation=(r.stimulus_id.values != "s2") | (r.repetition.values == 0)),
        r"stimulus 's2' \(1 of 6\) has only one repetition",
    ),
    "all NaN": (
        lambda r: in_data(r, (slice(None), 4), np.nan),
        "neuroid 'IT-1' is NaN in every trial and bin",
    ),
    "infinite": (
        lambda r: in_data(r, (7, 2, 3), np.inf),
        "1 infinite values, the first at presentation 7, neuroid 'V4-2', time_bin 100-110 ms",
    ),
    "minus infinite": (
        lambda r: in_data(r, (0, 0, 0), -np.inf),
        "first at presentation 0, neuroid 'V4-0', time_bin 70-80 ms",
    ),
    "duplicate neuroid": (
        lambda r: with_coord(r, "neuroid_id", ["a", "b", "c", "b", "d", "e"]),
        "neuroid_id 'b' occurs 2 times, at neuroid 1, 3; ids must be unique",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_with_its_place(make_recording: Make, fault: str) -> None:
    plant, expected = FAULTS[fault]
    recording = make_recording()
    if fault == "unknown stimulus":  # 5 repetitions of the others remain valid
        recording = make_recording(n_repetitions=5)
    with pytest.raises(NeurofitError, match=expected) as caught:
        validate_recording(replace(recording, responses=plant(recording.responses)))
    said = str(caught.value).splitlines()
    if fault == "unknown stimulus":
        said = [
            line for line in said if "only one repetition" not in line
        ]  # the same presentation is also the only one of s9
    assert said[0].startswith("Recording small")
    assert len(said) <= 2


def test_a_recording_is_shown_in_a_line(make_recording: Make) -> None:
    assert repr(make_recording()) == (
        "Recording('small', simulated, 3 IT and 3 V4 neuroids, 24 presentations, 6 stimuli, "
        "5 time bins in 70-120 ms)"
    )


def test_a_valid_recording_passes(make_recording: Make) -> None:
    validate_recording(make_recording())
    validate_recording(
        make_recording(n_stimuli=2, n_repetitions=2, n_neuroids=1, n_bins=1, regions=("IT",))
    )


def test_missing_trials_uneven_repetitions_and_overlapping_bins_are_normal(
    make_recording: Make,
) -> None:
    recording = make_recording()
    responses = recording.responses.isel(presentation=slice(5, None))
    responses = in_data(in_data(responses, (slice(None, 9), 1), np.nan), (3, 4, 2), np.nan)
    responses = with_coord(responses, "time_bin_end", responses.time_bin_end.values + 10)
    validate_recording(replace(recording, responses=responses))


def test_ids_may_be_numbers_and_bins_may_be_whole_floats(make_recording: Make) -> None:
    recording = make_recording(n_stimuli=3)
    responses = with_coord(
        recording.responses,
        "stimulus_id",
        [int(s[1:]) for s in recording.responses.stimulus_id.values],
    )
    responses = with_coord(
        responses, "time_bin_start", responses.time_bin_start.values.astype(float)
    )
    stimuli = replace(recording.stimuli, table=recording.stimuli.table.assign(stimulus_id=range(3)))
    recording = replace(recording, responses=responses, stimuli=stimuli)
    validate_recording(recording)
    assert recording.time_bins[0] == (70, 80)
    assert recording.stimulus_rows.tolist() == [0, 1, 2] * 4


def test_two_faults_are_two_lines(make_recording: Make) -> None:
    recording = make_recording()
    responses = with_coord(recording.responses, "neuroid_id", list("aabcde"))
    responses = with_coord(responses, "time_bin_end", [80, 90, 90, 110, 120])
    with pytest.raises(NeurofitError) as caught:
        validate_recording(replace(recording, responses=responses))
    said = str(caught.value).splitlines()
    assert said[0] == "Recording small has 2 problems:"
    assert len(said) == 3


def test_a_neuroid_has_a_name(make_recording: Make) -> None:
    recording = make_recording()
    ids = ["", "a", "b", "", "c", "c"]
    faults = find_faults(
        replace(recording, responses=with_coord(recording.responses, "neuroid_id", ids))
    )
    assert faults[0] == "neuroid 0, 3 has no neuroid_id (2 in all)."
    assert faults[1].startswith("neuroid_id 'c' occurs 2 times, at neuroid 4, 5")
    assert len(faults) == 2


@pytest.mark.parametrize("nothing", ["", np.nan])
def test_what_was_shown_has_a_name(make_recording: Make, nothing: Any) -> None:
    recording = make_recording()
    ids = recording.responses.stimulus_id.values.copy() if nothing == "" else np.arange(24.0) % 6
    ids[[3, 9]] = nothing
    table = recording.stimuli.table.assign(stimulus_id=np.unique(ids)[:6])
    responses = with_coord(recording.responses, "stimulus_id", ids)
    named = replace(recording, responses=responses, stimuli=replace(recording.stimuli, table=table))
    assert any(
        "presentation 3, 9 has no stimulus_id (2 in all). Name it or drop it." in fault
        for fault in find_faults(named)
    )


def test_many_faults_of_one_kind_do_not_fill_the_screen(make_recording: Make) -> None:
    recording = make_recording(n_neuroids=200)
    with pytest.raises(NeurofitError) as caught:
        validate_recording(replace(recording, responses=recording.responses * np.nan))
    said = str(caught.value).splitlines()
    assert "400 problems" in said[0]
    assert len(said) < 25
    assert said[-1] == "- and 380 more."


def test_an_area_is_not_one_whose_name_has_it_in_it(make_recording: Make) -> None:
    recording = make_recording(n_neuroids=2, regions=("pIT", "IT", "ITv"))
    chosen = recording.select(region="IT")
    assert chosen.responses.neuroid_id.values.tolist() == ["IT-0", "IT-1"]
    np.testing.assert_array_equal(chosen.responses.values, recording.responses.values[:, 2:4])


def test_a_recording_knows_its_areas_bins_and_stimuli(make_recording: Make) -> None:
    recording = make_recording(n_bins=2)
    assert recording.regions == ("IT", "V4")
    assert recording.time_bins == [(70, 80), (80, 90)]
    assert recording.stimulus_rows.tolist() == [0, 1, 2, 3, 4, 5] * 4
    block = recording.block(1)
    assert block.dtype == np.float32
    np.testing.assert_array_equal(block, recording.responses.values[:, :, 1])


def test_select_keeps_an_area_and_the_bins_inside_a_window(make_recording: Make) -> None:
    recording = make_recording()
    truth = xr.DataArray(
        np.arange(6 * 6 * 5).reshape(6, 6, 5), dims=("stimulus", "neuroid", "time_bin")
    )
    selected = replace(recording, truth=truth).select(region="IT", window=(75, 110))
    assert selected.regions == ("IT",)
    assert selected.responses.neuroid_id.values.tolist() == ["IT-0", "IT-1", "IT-2"]
    assert selected.time_bins == [(80, 90), (90, 100), (100, 110)]
    np.testing.assert_array_equal(selected.responses.values, recording.responses.values[:, 3:, 1:4])
    assert selected.truth is not None
    np.testing.assert_array_equal(selected.truth.values, truth.values[:, 3:, 1:4])
    assert recording.select().responses.identical(recording.responses)


def test_select_takes_an_area_whose_neuroids_are_scattered(make_recording: Make) -> None:
    recording = make_recording()
    scattered = replace(recording, responses=recording.responses.isel(neuroid=[0, 3, 1, 4, 2, 5]))
    assert scattered.select(region="V4").responses.neuroid_id.values.tolist() == [
        "V4-0",
        "V4-1",
        "V4-2",
    ]


def test_select_names_what_exists(make_recording: Make) -> None:
    with pytest.raises(
        NeurofitError, match=r"Unknown region of small 'V1'\. Did you mean 'V4'\?\nExisting: IT, V4"
    ):
        make_recording().select(region="V1")
    with pytest.raises(
        NeurofitError, match="No time bin of small lies inside 0-70 ms; it has 70-120 ms"
    ):
        make_recording().select(window=(0, 70))


class CountingArray(BackendArray):
    """An array that remembers what was read of it."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        self.shape, self.dtype = values.shape, values.dtype
        self.read: list[tuple[int, ...]] = []

    def __getitem__(self, key: Any) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key: Any) -> np.ndarray:
        values = self.values[
            np.ix_(*(np.atleast_1d(np.arange(n)[k]) for k, n in zip(key, self.shape, strict=True)))
        ]
        self.read.append(values.shape)
        return np.asarray(
            values[tuple(0 if isinstance(k, int | np.integer) else slice(None) for k in key)]
        )


def lazy(recording: Recording) -> tuple[Recording, CountingArray]:
    counting = CountingArray(recording.responses.values)
    variable = xr.Variable(recording.responses.dims, indexing.LazilyIndexedArray(counting))
    # by way of a Dataset: the DataArray of xarray 2022.3 reads the variable that it is given
    opened = xr.Dataset({"responses": variable}, coords=dict(recording.responses.coords))
    return replace(recording, responses=opened["responses"]), counting


def test_select_reads_nothing_and_validation_reads_blocks(
    make_recording: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording, counting = lazy(make_recording())
    selected = recording.select(region="IT", window=(80, 110))
    _ = selected.regions, selected.time_bins, selected.stimulus_rows
    assert counting.read == []
    np.testing.assert_array_equal(selected.block(0), counting.values[:, 3:, 1])
    assert counting.read == [(24, 3, 1)]
    counting.read.clear()
    validate_recording(recording)
    assert counting.read == [(24, 6, 5)]
    counting.read.clear()
    monkeypatch.setattr(validation, "BLOCK_BYTES", 2 * 4 * 24 * 6)
    validate_recording(replace(recording))
    assert counting.read == [(24, 6, 2), (24, 6, 2), (24, 6, 1)]


def test_structural_faults_are_found_without_reading(make_recording: Make) -> None:
    recording, counting = lazy(make_recording())
    broken = replace(
        recording, responses=with_coord(recording.responses, "neuroid_id", list("aabcde"))
    )
    with pytest.raises(NeurofitError, match="occurs 2 times"):
        validate_recording(broken)
    assert counting.read == []


def test_a_netcdf_file_works_without_being_loaded(make_recording: Make, tmp_path: Path) -> None:
    recording = make_recording()
    recording.responses.rename("responses").to_netcdf(tmp_path / "recording.nc", engine="h5netcdf")
    with xr.open_dataarray(tmp_path / "recording.nc", engine="h5netcdf") as responses:
        opened = replace(recording, responses=responses)
        validate_recording(opened)
        selected = opened.select(region="V4", window=(70, 100))
        assert not selected.responses.variable._in_memory
        assert selected.time_bins == [(70, 80), (80, 90), (90, 100)]
        np.testing.assert_array_equal(selected.block(2), recording.responses.values[:, :3, 2])
        assert opened.stimulus_rows.tolist() == recording.stimulus_rows.tolist()
