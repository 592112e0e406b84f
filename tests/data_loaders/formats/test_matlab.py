"""The reader of MATLAB files agrees with SciPy's where that reads, and refuses what crashes it.

Cells are texts in MATLAB's order, whichever version wrote them.
"""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neurofit.data_loaders import open_recording
from neurofit.data_loaders.formats.matlab import LeftOut, read_mat
from neurofit.errors import NeurofitError

NUMBERS = st.sampled_from(["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])


@given(
    values=NUMBERS.flatmap(
        lambda dtype: hnp.arrays(
            dtype, hnp.array_shapes(min_dims=2, max_dims=4, max_side=4, min_side=0)
        )
    ),
    compressed=st.booleans(),
)
def test_arrays_of_numbers_are_those_that_scipy_reads(
    tmp_path_factory: pytest.TempPathFactory, values: np.ndarray, compressed: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "numbers.mat"
    scipy.io.savemat(path, {"values": values}, do_compression=compressed)
    theirs, ours = scipy.io.loadmat(path)["values"], read_mat(path)["values"]
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    assert ours.tobytes() == theirs.tobytes()


def test_big_numbers_first_are_read_too(tmp_path: Path) -> None:
    def element(kind: int, data: bytes) -> bytes:
        return struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)

    matrix = (
        element(6, struct.pack(">II", 6, 0))
        + element(5, struct.pack(">ii", 1, 2))
        + element(1, b"x")
        + element(9, struct.pack(">dd", 1.5, -2))
    )
    (tmp_path / "r.mat").write_bytes(b"MATLAB 5.0".ljust(124) + b"\x01\x00MI" + element(14, matrix))
    assert (
        read_mat(tmp_path / "r.mat")["x"].tolist()
        == scipy.io.loadmat(tmp_path / "r.mat")["x"].tolist()
        == [[1.5, -2.0]]
    )


def test_texts_cells_structures_and_sparse_matrices_are_read_and_the_rest_is_left_out(
    tmp_path: Path,
) -> None:
    held: dict[str, Any] = {
        "text": "IT",
        "rows": np.array(["V4", "aIT"]),
        "cell": np.array(["a", np.arange(3.0), "größer"], dtype=object),
        "inside": {"names": np.array(["x", "y"], dtype=object), "onset": 501},
        "complex": np.array([1 + 2j]),
        "sparse": scipy.sparse.eye(3).tocsc(),
    }
    scipy.io.savemat(tmp_path / "r.mat", held)
    found = read_mat(tmp_path / "r.mat")
    assert sorted(found) == ["cell", "complex", "inside", "rows", "sparse", "text"]
    assert found["complex"] == LeftOut("an array of complex numbers")
    np.testing.assert_array_equal(found["sparse"], np.eye(3))
    assert found["text"] == "IT"
    assert found["rows"].tolist() == ["V4", "aIT"]
    assert [found["cell"][0, 0], found["cell"][0, 2]] == ["a", "größer"]
    assert found["cell"][0, 1].tolist() == [[0, 1, 2]]
    assert found["inside"]["names"][0].ravel().tolist() == ["x", "y"]
    assert found["inside"]["onset"][0].tolist() == [[501]]


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


def matrix(shape: tuple[int, ...], data: bytes = bytes(8), kind: int = 6) -> bytes:
    """Return an array of numbers that declares a shape."""
    dims = struct.pack(f"<{len(shape)}i", *shape)
    parts = [(6, struct.pack("<II", kind, 0)), (5, dims), (1, b"x"), (9, data)]
    body = b"".join(struct.pack("<II", t, len(d)) + d + bytes(-len(d) % 8) for t, d in parts)
    return struct.pack("<II", 14, len(body)) + body


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (matrix((10**6, 10**6)), r"x has 1 numbers, but the shape \(1000000, 1000000\)"),
        (matrix((-1, -1)), r"an array has the shape \(-1, -1\)"),
        (matrix((10**6, 10**6), kind=1), "1,000,000,000,000 arrays in"),
        (matrix((1, 1))[:-4], "declares .* bytes, .* are left"),
        (struct.pack("<II", 14, 2**31), "an element declares 2,147,483,648 bytes, 0 are left"),
        (struct.pack("<II", 15, 8) + bytes(8), "damaged MATLAB file"),
        (struct.pack("<II", 14, 3) + b"abc", "damaged MATLAB file"),
    ],
)
def test_lengths_that_are_not_there_are_refused(tmp_path: Path, body: bytes, said: str) -> None:
    (tmp_path / "r.mat").write_bytes(b"MATLAB 5.0".ljust(124) + b"\x00\x01IM" + body)
    with pytest.raises(NeurofitError, match=said):
        read_mat(tmp_path / "r.mat")


def test_what_inflates_to_fill_memory_is_refused(tmp_path: Path) -> None:
    bomb = zlib.compress(bytes(2**27), 9)
    (tmp_path / "r.mat").write_bytes(
        b"MATLAB 5.0".ljust(124) + b"\x00\x01IM" + struct.pack("<II", 15, len(bomb)) + bomb
    )
    with pytest.raises(NeurofitError, match="made to fill memory"):
        read_mat(tmp_path / "r.mat")
