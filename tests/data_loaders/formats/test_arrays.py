"""Named arrays of every kind of file become the same recording; what is unknown is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io

from neurofit.data_loaders import open_recording
from neurofit.errors import NeurofitError, NeurofitWarning
from neurofit.metrics.consistency import spearman_brown
from neurofit.metrics.correlation import pearson
from neurofit.recordings.rebinning import are_counts
from neurofit.recordings.trials import TrialSets, deal_trials
from neurofit.recordings.validation import validate_recording

Find = Callable[[str], Path]
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
        match=r"two.mat contains structs \(first, second\) but no array of responses. Save",
    ):
        open_recording(tmp_path / "two.mat")
    many = np.zeros((1, 3), dtype=[("responses", object), ("stimulus_id", object)])
    for i in range(3):
        many[0, i] = (COUNTS[i], "s")
    scipy.io.savemat(tmp_path / "many.mat", {"trials": many})
    with pytest.raises(NeurofitError, match=r"many.mat contains structs \(trials\) but no array"):
        open_recording(tmp_path / "many.mat")
    with h5py.File(tmp_path / "two.h5", "w") as file:
        for name in ("first", "second"):
            file.create_group(name)["responses"] = COUNTS
    with pytest.raises(
        NeurofitError,
        match=r"two.h5 contains only groups: first, second. Store the arrays in the root group",
    ):
        open_recording(tmp_path / "two.h5")


def test_an_axis_is_not_repetitions_where_ids_of_another_length_wait_for_one(
    tmp_path: Path,
) -> None:
    np.savez(
        tmp_path / "r.npz",
        responses=np.ones((24, 10, 3)),
        stimulus_id=np.arange(24),
        neuroid_id=np.arange(11),
        region="IT",
    )
    with pytest.raises(
        NeurofitError,
        match=r"no array has the length of axis 1 \(10\); "
        r"found stimulus_id \(24\), neuroid_id \(11\)",
    ):
        open_recording(tmp_path / "r.npz")


def test_cells_of_matlab_v7_3_are_texts_whatever_they_hold(tmp_path: Path) -> None:
    def letters(*rows: str) -> np.ndarray:
        return np.array([np.frombuffer(row.encode("utf-16-le"), np.uint16) for row in rows]).T

    held = {
        "a": (letters("größer"), "char", 0),
        "b": (letters("\U0001f600"), "char", 0),
        "c": (np.array([[2.5]]), "double", 0),
    }
    held["d"] = (np.zeros(2, np.uint64), "char", 1)
    with h5py.File(tmp_path / "r.mat", "w", userblock_size=512) as file:
        file["responses"] = np.arange(8.0).reshape(2, 4)
        file["rows"] = letters("V4", "IT", "a ", "b ")
        file["rows"].attrs["MATLAB_class"] = np.bytes_("char")
        for name, (values, kind, empty) in held.items():
            file[f"#refs#/{name}"] = values
            file[f"#refs#/{name}"].attrs["MATLAB_class"] = np.bytes_(kind)
            if empty:
                file[f"#refs#/{name}"].attrs["MATLAB_empty"] = np.int32(1)
        file.create_dataset(
            "stimulus_id",
            data=np.array([[file[f"#refs#/{n}"].ref for n in held]], h5py.ref_dtype),
            dtype=h5py.ref_dtype,
        )
        file["stimulus_id"].attrs["MATLAB_class"] = np.bytes_("cell")
    with open(tmp_path / "r.mat", "r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    (tmp_path / "r.json").write_text(
        json.dumps({"dims": ["presentation", "neuroid"], "region": "IT", "time_bin": [0, 100]})
    )
    responses = open_recording(tmp_path / "r.mat").responses
    assert responses.stimulus_id.values.tolist() == ["größer", "\U0001f600", "2.5", ""]
    assert responses["rows"].values.tolist() == ["V4", "IT", "a", "b"]
    np.testing.assert_array_equal(responses.values[..., 0], np.arange(8.0).reshape(2, 4).T)


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


def test_two_axes_and_a_single_bin_are_told_beside_the_file(tmp_path: Path) -> None:
    rates = np.random.default_rng(0).normal(size=(6, 3))
    np.savez(tmp_path / "r.npz", rates=rates, stimulus_id=np.array(list("aabbcc")))
    told = {
        "dims": ["presentation", "neuroid"],
        "region": "IT",
        "time_bin": [70, 170],
        "subject": "m1",
        "units": "spikes per second",
    }
    (tmp_path / "r.json").write_text(json.dumps(told))
    recording = open_recording(tmp_path / "r.npz")
    validate_recording(recording)
    np.testing.assert_array_equal(recording.block(0), rates.astype(np.float32))
    assert recording.time_bins == [(70, 170)]
    assert recording.responses.repetition.values.tolist() == [0, 1] * 3
    assert recording.responses.subject.values.tolist() == ["m1"] * 3
    assert recording.responses.attrs["units"] == "spikes per second"


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


@pytest.mark.parametrize(
    ("starts", "width", "said"),
    [
        (
            [0, 50, 150],
            None,
            "time bins that start at 0, 50, 150 ms are not evenly spaced; add time_bin_end",
        ),
        (
            [0, 25, 50],
            12.5,
            (
                "time bins must be whole ms of positive width; "
                "they start at 0, 25, 50 ms and are 12.5 ms wide"
            ),
        ),
        (
            [0, 12.5, 25, 37.5, 50],
            None,
            (
                r"whole ms of positive width; "
                r"they start at 0, 12.5, 25, 37.5, ... ms and are 12.5 ms wide"
            ),
        ),
        (
            [0.5, 10.5, 20.5],
            10,
            "whole ms of positive width; they start at 0.5, 10.5, 20.5 ms and are 10 ms wide",
        ),
        ([20, 10, 0], None, "they start at 20, 10, 0 ms and are -10 ms wide"),
        ([0, 50, 150], 50, [(0, 50), (50, 100), (150, 200)]),
        ([-10.0, 0.0, 10.0], None, [(-10, 0), (0, 10), (10, 20)]),
    ],
)
def test_ends_of_bins_follow_from_their_starts_or_are_asked_for(
    tmp_path: Path, starts: list[float], width: float | None, said: Any
) -> None:
    held: dict[str, Any] = {} if width is None else {"bin_width_ms": np.array(width)}
    dims = np.array(["presentation", "neuroid", "time_bin"])
    held |= {
        "responses": np.zeros((4, 2, len(starts))),
        "dims": dims,
        "stimulus_id": np.arange(4),
        "region": np.array("IT"),
    }
    np.savez(tmp_path / "r.npz", bin_start_ms=np.array(starts), **held)
    if isinstance(said, list):
        assert open_recording(tmp_path / "r.npz").time_bins == said
        return
    with pytest.raises(NeurofitError, match=said):
        open_recording(tmp_path / "r.npz")


@pytest.mark.parametrize("version", ["v7", "v7.3"])
def test_cells_in_rows_and_columns_are_counted_as_matlab_does(tmp_path: Path, version: str) -> None:
    cells = np.array([["c11", "c12", "c13"], ["c21", "c22", "c23"]], dtype=object)
    if version == "v7":
        scipy.io.savemat(
            tmp_path / "r.mat", {"responses": np.arange(24.0).reshape(6, 4), "stimulus_id": cells}
        )
    else:
        with h5py.File(tmp_path / "r.mat", "w", userblock_size=512) as file:
            file["responses"] = np.arange(24.0).reshape(6, 4).T
            kept = file.create_dataset("stimulus_id", (3, 2), dtype=h5py.ref_dtype)
            for (row, column), text in np.ndenumerate(cells):
                file[f"#refs#/{text}"] = np.frombuffer(text.encode("utf-16-le"), np.uint16)[:, None]
                kept[column, row] = file[f"#refs#/{text}"].ref
            kept.attrs["MATLAB_class"] = np.bytes_("cell")
        with open(tmp_path / "r.mat", "r+b") as raw:
            raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    (tmp_path / "r.json").write_text(
        json.dumps({"dims": ["presentation", "neuroid"], "region": "IT", "time_bin": [0, 100]})
    )
    responses = open_recording(tmp_path / "r.mat").responses
    assert responses.stimulus_id.values.tolist() == [
        "c11",
        "c21",
        "c12",
        "c22",
        "c13",
        "c23",
    ]  # cells(:)
    np.testing.assert_array_equal(responses.values[..., 0], np.arange(24.0).reshape(6, 4))


@pytest.mark.parametrize("told", [{}, {"time_bin": [0, 300]}])
def test_an_axis_that_nothing_names_is_not_guessed(tmp_path: Path, told: dict[str, Any]) -> None:
    means = np.random.default_rng(0).random((5, 4, 30))  # a response over time, without trials
    np.savez(
        tmp_path / "r.npz",
        responses=means,
        **{name: TABLES[name] for name in ("stimulus_id", "neuroid_id", "region")},
    )
    (tmp_path / "r.json").write_text(json.dumps(told))
    with pytest.raises(
        NeurofitError,
        match=r"axis 2 of length 30 may be repetition or time_bin\. Write .*dims.* into .*r\.json",
    ):
        open_recording(tmp_path / "r.npz")
    (tmp_path / "r.json").write_text(
        json.dumps({"dims": ["stimulus", "neuroid", "repetition"], "time_bin": [0, 300]})
    )
    assert open_recording(tmp_path / "r.npz").responses.shape == (150, 4, 1)


@pytest.mark.parametrize(
    "of_all", [{"region": "IT"}, {"region": np.array(["IT"])}, {"region": ["IT"], "subject": ["M"]}]
)
@pytest.mark.parametrize("shape", [(24, 10), (24, 10, 3)])
def test_one_area_of_all_says_nothing_of_how_many_neuroids_there_are(
    tmp_path: Path, of_all: dict[str, Any], shape: tuple[int, ...]
) -> None:
    bins = (
        {"time_bin_start": np.arange(shape[2]) * 10}
        if len(shape) == 3
        else {"time_bin_start": [70], "time_bin_end": [170]}
    )
    values = np.random.default_rng(0).random(shape)
    np.savez(tmp_path / "r.npz", responses=values, stimulus_id=np.arange(24), **bins, **of_all)
    with pytest.raises(NeurofitError, match="axis 1 of length 10 may be repetition or neuroid"):
        open_recording(tmp_path / "r.npz")
    dims = ["stimulus", "neuroid", "time_bin"][: len(shape)]
    (tmp_path / "r.json").write_text(json.dumps({"dims": dims}))
    responses = open_recording(tmp_path / "r.npz").responses
    assert responses.region.values.tolist() == ["IT"] * 10
    assert ("subject" in of_all) == ("subject" in responses.coords)
    np.testing.assert_array_equal(responses.values.reshape(shape), values.astype(np.float32))


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


def test_axes_of_equal_length_have_to_be_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "r.npz", responses=np.zeros((5, 5)), stimulus_id=np.arange(5), region="IT")
    with pytest.raises(
        NeurofitError, match=r"axis 0 of length 5 is ambiguous. Write .*dims.* into .*r.json"
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


def test_freiwald_and_tsao_are_read_with_a_line_beside_the_file(
    shared: Find, tmp_path: Path
) -> None:
    path = shared("data/check/ft_am_10ms.npz")
    (tmp_path / "ft.npz").symlink_to(path)
    (tmp_path / "ft.json").write_text('{"region": "AM"}')
    recording = open_recording(tmp_path / "ft.npz")
    with np.load(path, allow_pickle=False) as held:
        counts, published = held["counts"], held["split_half_sb_100_450ms"]
    assert recording.responses.shape == (int((counts != 255).any(axis=(0, 3)).sum()), 193, 80)
    assert recording.responses.sum() == counts[counts != 255].sum()
    window = recording.select(window=(100, 450)).responses.values.mean(axis=2)
    rows = recording.stimulus_rows
    reliabilities = []
    for site in range(193):
        mine = ~np.isnan(window[:, site])
        if np.bincount(rows[mine], minlength=200).min() < 2:
            continue
        means = TrialSets(rows[mine], deal_trials(rows[mine], n_halves=5, seed=0)).means(
            window[mine, site : site + 1]
        )
        reliabilities.append(
            (np.nanmean(spearman_brown(pearson(means[1:6], means[6:]))), published[site])
        )
    ours, theirs = np.array(reliabilities).T
    assert len(ours) > 100
    assert np.median(ours) == pytest.approx(np.median(theirs), abs=0.03)
