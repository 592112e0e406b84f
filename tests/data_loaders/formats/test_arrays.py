"""Named arrays of every kind of file become the same recording; what is wrong with them is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io

from neurofit.data_loaders import open_recording
from neurofit.errors import NeurofitError, NeurofitWarning
from neurofit.recordings.rebinning import are_counts
from neurofit.recordings.validation import validate_recording

N_STIMULI, N_REPETITIONS, N_NEUROIDS, N_BINS = 5, 3, 4, 2


COUNTS = (
    np.random.default_rng(0)
    .poisson(3, (N_STIMULI, N_REPETITIONS, N_NEUROIDS, N_BINS))
    .astype(np.float64)
)
COUNTS[1, 2] = np.nan  # a trial that nobody had
COUNTS[3, 0, 2] = np.nan  # a trial that one neuroid lacks


TABLES: dict[str, Any] = {
    "stimulus_id": np.array([f"s{i}" for i in range(N_STIMULI)]),
    "object_name": np.array(["car", "dog", "car", "dog", "pig"]),
    "neuroid_id": np.array([f"n{i}" for i in range(N_NEUROIDS)]),
    "region": np.array(["V4", "IT", "V4", "IT"]),
    "time_bin_start": np.array([70, 80]),
    "time_bin_end": np.array([80, 90]),
}


def assert_is_it(path: Path) -> None:
    """Check that a file holds `COUNTS` with `TABLES`, trial by trial."""
    recording = open_recording(path)
    validate_recording(recording)
    responses = recording.responses
    assert responses.dims == ("presentation", "neuroid", "time_bin")
    assert responses.shape == (N_STIMULI * N_REPETITIONS - 1, N_NEUROIDS, N_BINS)
    assert recording.time_bins == [(70, 80), (80, 90)]
    assert responses.region.values.tolist() == TABLES["region"].tolist()
    assert responses.neuroid_id.values.tolist() == TABLES["neuroid_id"].tolist()
    for row in range(len(responses)):
        stimulus = TABLES["stimulus_id"].tolist().index(responses.stimulus_id.values[row])
        assert responses.object_name.values[row] == TABLES["object_name"][stimulus]
        expected = COUNTS[stimulus, int(responses.repetition.values[row])].astype(np.float32)
        np.testing.assert_array_equal(responses.values[row], expected)


def filled(values: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(values), 255, values).astype(np.uint8)


def test_npz_with_axes_by_name(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "r.npz",
        responses=COUNTS,
        dims=np.array(["stimulus", "repetition", "neuroid", "time_bin"]),
        **TABLES,
    )
    assert_is_it(tmp_path / "r.npz")


def test_npz_with_axes_by_length_other_words_and_a_number_for_what_is_missing(
    tmp_path: Path,
) -> None:
    words = {
        "stimulus_id": "stim_id",
        "neuroid_id": "site",
        "region": "area",
        "time_bin_start": "bin_start_ms",
        "object_name": "object",
    }
    tables = {
        words.get(name, name): values for name, values in TABLES.items() if name != "time_bin_end"
    }
    np.savez_compressed(
        tmp_path / "r.npz",
        counts=filled(COUNTS).transpose(2, 0, 1, 3),
        missing=255,
        bin_width_ms=10,
        **tables,
    )
    assert_is_it(tmp_path / "r.npz")
    assert open_recording(tmp_path / "r.npz").responses.attrs["units"] == "spikes per bin"


def test_npz_with_a_row_for_each_trial(tmp_path: Path) -> None:
    shown = ~np.isnan(COUNTS).all(axis=(2, 3))
    stimulus, repetition = np.nonzero(shown)
    tables = {
        **TABLES,
        "stimulus_id": TABLES["stimulus_id"][stimulus],
        "object_name": TABLES["object_name"][stimulus],
        "repetition": repetition,
    }
    np.savez(tmp_path / "r.npz", responses=COUNTS[shown], **tables)
    assert_is_it(tmp_path / "r.npz")


def test_a_row_for_each_trial_without_repetitions_is_counted_up(tmp_path: Path) -> None:
    shown = np.array(["a", "b", "c", "d"] * 3)
    trials = np.random.default_rng(0).poisson(3, (12, 3, 2)).astype(float)
    trials[5] = np.nan
    arrays: dict[str, Any] = {name: TABLES[name] for name in ("time_bin_start", "time_bin_end")} | {
        "neuroid_id": np.array(["x", "y", "z"])
    }
    np.savez(tmp_path / "r.npz", rates=trials, stimulus_id=shown, region=np.array("IT"), **arrays)
    recording = open_recording(tmp_path / "r.npz")
    assert recording.responses.stimulus_id.values.tolist() == shown.tolist()
    assert recording.responses.repetition.values.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    np.testing.assert_array_equal(recording.responses.values, trials.astype(np.float32))
    (tmp_path / "r").mkdir()
    np.save(tmp_path / "r" / "responses.npy", trials)
    pd.DataFrame({"stimulus_id": shown}).to_csv(tmp_path / "r" / "stimuli.csv", index=False)
    pd.DataFrame({"neuroid_id": ["x", "y", "z"], "region": "IT"}).to_csv(
        tmp_path / "r" / "neuroids.csv", index=False
    )
    pd.DataFrame({"time_bin_start": [70, 80], "time_bin_end": [80, 90]}).to_csv(
        tmp_path / "r" / "time_bins.csv", index=False
    )
    assert (
        open_recording(tmp_path / "r").responses.repetition.values.tolist()
        == [0] * 4 + [1] * 4 + [2] * 4
    )


@pytest.mark.parametrize(
    ("name", "units", "counts"),
    [
        ("rates", None, False),
        ("counts", None, True),
        ("responses", None, True),
        ("responses", "Spikes", True),
        ("counts", "Hz", False),
    ],
)
def test_whole_numbers_are_counts_unless_they_are_called_otherwise(
    tmp_path: Path, name: str, units: str | None, counts: bool
) -> None:
    told: dict[str, Any] = {} if units is None else {"units": np.array(units)}
    dims = np.array(["stimulus", "repetition", "neuroid", "time_bin"])
    np.savez(tmp_path / "r.npz", dims=dims, **{**TABLES, **told, name: filled(COUNTS)})
    assert are_counts(open_recording(tmp_path / "r.npz").responses) == counts


def test_npy_with_tables_beside_it(tmp_path: Path) -> None:
    np.save(tmp_path / "responses.npy", COUNTS)
    pd.DataFrame({name: TABLES[name] for name in ("stimulus_id", "object_name")}).to_csv(
        tmp_path / "stimuli.csv", index=False
    )
    pd.DataFrame({name: TABLES[name] for name in ("neuroid_id", "region")}).to_csv(
        tmp_path / "neuroids.csv", index=False
    )
    pd.DataFrame({name: TABLES[name] for name in ("time_bin_start", "time_bin_end")}).to_csv(
        tmp_path / "time_bins.csv", index=False
    )
    assert_is_it(tmp_path)
    assert_is_it(tmp_path / "responses.npy")
    before = open_recording(tmp_path).sha256
    pd.DataFrame({"neuroid_id": TABLES["neuroid_id"], "region": ["IT"] * 4}).to_csv(
        tmp_path / "neuroids.csv", index=False
    )
    assert (
        open_recording(tmp_path).sha256 != before
    )  # the hash is of what is read, in however many files


def test_hdf5_with_axes_as_an_attribute(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "r.h5", "w") as file:
        group = file.create_group("recording")
        data = group.create_dataset("responses", data=COUNTS)
        data.attrs["dims"] = ["stimulus", "repetition", "neuroid", "time_bin"]
        for name, values in TABLES.items():
            group[name] = values.astype("S") if values.dtype.kind == "U" else values
    assert_is_it(tmp_path / "r.h5")


def test_matlab_up_to_v7(tmp_path: Path) -> None:
    cells = {
        name: values.astype(object) if values.dtype.kind == "U" else values
        for name, values in TABLES.items()
    }
    dims = np.array(["stimulus", "repetition", "neuroid", "time_bin"], dtype=object)
    scipy.io.savemat(
        tmp_path / "r.mat", {"responses": COUNTS, "dims": dims, **cells}, do_compression=True
    )
    assert_is_it(tmp_path / "r.mat")


def test_matlab_v7_3(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "r.mat", "w", userblock_size=512) as file:
        for name, values in {"responses": COUNTS, **TABLES}.items():
            if values.dtype.kind == "U":
                texts = [
                    file.create_dataset(
                        f"#refs#/{name}{i}", data=np.array([ord(c) for c in t], np.uint16)[:, None]
                    )
                    for i, t in enumerate(values)
                ]
                cell = file.create_dataset(
                    name,
                    data=np.array([[t.ref for t in texts]], dtype=h5py.ref_dtype),
                    dtype=h5py.ref_dtype,
                )
                cell.attrs["MATLAB_class"] = np.bytes_("cell")
            else:
                data = file.create_dataset(name, data=np.atleast_2d(values).T)
                data.attrs["MATLAB_class"] = np.bytes_("double")
    with open(tmp_path / "r.mat", "r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    (tmp_path / "r.json").write_text(
        json.dumps({"dims": ["stimulus", "repetition", "neuroid", "time_bin"]})
    )
    assert_is_it(tmp_path / "r.mat")


def test_fields_of_the_only_struct_of_matlab_are_arrays_and_several_are_refused(
    tmp_path: Path,
) -> None:
    fields = {
        name: values.astype(object) if values.dtype.kind == "U" else values
        for name, values in TABLES.items()
    }
    fields |= {
        "responses": COUNTS,
        "dims": np.array(["stimulus", "repetition", "neuroid", "time_bin"], dtype=object),
    }
    scipy.io.savemat(tmp_path / "one.mat", {"data": fields})
    assert_is_it(tmp_path / "one.mat")
    scipy.io.savemat(tmp_path / "two.mat", {"first": fields, "second": fields})
    with pytest.raises(
        NeurofitError,
        match=r"two.mat has no array of responses[\s\S]*first is a struct, second is a str",
    ):
        open_recording(tmp_path / "two.mat")
    many = np.zeros((1, 3), dtype=[("responses", object), ("stimulus_id", object)])
    for i in range(3):
        many[0, i] = (COUNTS[i], "s")
    scipy.io.savemat(tmp_path / "many.mat", {"trials": many})
    with pytest.raises(NeurofitError, match=r"many.mat: trials is a struct; only"):
        open_recording(tmp_path / "many.mat")
    with h5py.File(tmp_path / "two.h5", "w") as file:
        for name in ("first", "second"):
            file.create_group(name)["responses"] = COUNTS
    with pytest.raises(
        NeurofitError,
        match=r"two.h5 contains only groups: first, second. Store the arrays in the root group",
    ):
        open_recording(tmp_path / "two.h5")


def test_references_are_no_values(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "r.h5", "w") as file:
        file["responses"] = np.zeros((4, 2))
        file["stimulus_id"] = np.full(4, file["responses"].ref, h5py.ref_dtype)
    (tmp_path / "r.json").write_text(
        json.dumps({"dims": ["presentation", "neuroid"], "region": "IT", "time_bin": [0, 100]})
    )
    with pytest.raises(
        NeurofitError, match="/stimulus_id contains references, not numbers or text"
    ):
        open_recording(tmp_path / "r.h5")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"region": None}, r'the recorded area is missing. Write \{"region": "IT"\} into .*r.json'),
        (
            {"stimulus_id": None},
            "the stimulus ids are missing. Add an array stimulus_id of 5 values",
        ),
        (
            {"time_bin_start": None, "time_bin_end": None},
            "the times of its 2 time bins are missing. Add time_bin_start and time_bin_end",
        ),
        (
            {"neuroid_id": np.arange(7)},
            "neuroid_id has 7 values, but the responses have 4 along neuroid",
        ),
        (
            {"responses": np.zeros((5, 3, 4, 2), dtype="U3")},
            "responses contains <U3; responses must be numbers",
        ),
        (
            {"responses": np.zeros((5, 3, 4))},
            r"needs a name for each axis.*got stimulus, repetition, neuroid, time_bin",
        ),
        ({"responses": np.zeros(5)}, r"no array of responses.*responses \(5,\)"),
        (
            {"dims": np.array(["stimulus", "stimulus", "neuroid", "time_bin"])},
            "needs a name for each axis",
        ),
        (
            {"dims": np.array(["trial", "stimulus", "neuroid", "time_bin"])},
            "needs a name for each axis",
        ),
        (
            {"responses": np.zeros((5, 3, 4, 2), dtype=object)},
            "contains Python objects, which are never loaded",
        ),
    ],
)
def test_what_is_wrong_with_arrays_is_said(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    dims = np.array(["stimulus", "repetition", "neuroid", "time_bin"])
    arrays = {"responses": COUNTS, "dims": dims, **TABLES, **change}
    np.savez(
        tmp_path / "r.npz",
        **{name: values for name, values in arrays.items() if values is not None},
    )
    with pytest.raises(NeurofitError, match=said):
        open_recording(tmp_path / "r.npz")


def test_a_stimulus_twice_among_those_that_have_repetitions_is_refused(tmp_path: Path) -> None:
    ids = TABLES["stimulus_id"].copy()
    ids[4] = ids[0]
    dims = np.array(["stimulus", "repetition", "neuroid", "time_bin"])
    np.savez(tmp_path / "r.npz", responses=COUNTS, dims=dims, **{**TABLES, "stimulus_id": ids})
    with pytest.raises(
        NeurofitError, match="stimulus_id must be unique along the axis stimulus; repeated: s0"
    ):
        open_recording(tmp_path / "r.npz")


def test_whole_numbers_that_float32_rounds_are_warned_of_and_units_are_part_of_the_hash(
    tmp_path: Path,
) -> None:
    dims = ["stimulus", "repetition", "neuroid", "time_bin"]
    told: dict[str, Any] = {
        "dims": dims,
        "stimulus_id": np.arange(5),
        "region": "IT",
        "time_bin_start": [0, 10],
    }
    values = np.full((5, 3, 4, 2), 2**24)
    np.savez(tmp_path / "r.npz", responses=values, **told)
    before = open_recording(tmp_path / "r.npz").sha256
    np.savez(tmp_path / "r.npz", responses=values, units="rates", **told)
    assert open_recording(tmp_path / "r.npz").sha256 != before
    np.savez(tmp_path / "r.npz", responses=values + 1, **told)
    with pytest.warns(
        NeurofitWarning, match="responses has integers above 16,777,216, which float32 rounds"
    ):
        open_recording(tmp_path / "r.npz")


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("[1]", "it is not an object"),
        ("{", "JSON object"),
        ('{"area": "IT"}', "unknown field 'area'"),
        ('{"dims": "neuroid"}', "dims must be a list of names, not 'neuroid'"),
        ('{"region": 5}', "region must be a string, not 5"),
        ('{"time_bin": [170, 70]}', r"time_bin must be \[start, end\] in ms"),
        ('{"bins": [0, 1000000000000, 1]}', "bins must be"),
        ('{"bins": [0, 100, 0]}', "bins must be"),
        ('{"words": {"a": 1}}', "words must be an object of strings"),
        ('{"visual_degrees": -1}', "visual_degrees must be a positive number"),
        ('{"missing": true}', "missing must be a number"),
        ('{"missing": NaN}', "missing must be a number"),
        ("[" * 100_000, "JSON object"),
    ],
)
def test_what_is_wrong_beside_a_file_is_said(tmp_path: Path, told: str, said: str) -> None:
    np.savez(tmp_path / "r.npz", responses=COUNTS, **TABLES)
    (tmp_path / "r.json").write_text(told)
    with pytest.raises(NeurofitError, match=said):
        open_recording(tmp_path / "r.npz")
