"""Objects in MATLAB files are refused by name, and what is beside them is read."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse

from neurofit.data_loaders import open_recording
from neurofit.errors import NeurofitError, NeurofitWarning

ARRAYS: dict[str, Any] = {
    "responses": np.random.default_rng(0).poisson(3, (12, 4, 3)).astype("f8"),
    "stimulus_id": np.repeat(np.arange(1.0, 7), 2),
    "neuroid_id": np.arange(1.0, 5),
    "region": "IT",
    "time_bin_start": np.array([70.0, 80, 90]),
}
OBJECTS = ("string", "datetime", "table", "categorical", "duration", "containers.Map")
HANDLE = np.array([0xDD000000, 2, 1, 1, 1, 1], "u4")
"""What MATLAB stores of an object: numbers that refer to its data elsewhere in the file."""


def element(kind: int, data: bytes) -> bytes:
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def write_v5(path: Path, arrays: Mapping[str, Any], objects: Mapping[str, str]) -> None:
    """Write arrays with SciPy, and objects as in files that MATLAB wrote."""
    scipy.io.savemat(path, dict(arrays))
    content = path.read_bytes()
    flags = element(6, struct.pack("<II", 17, 0))
    for name, kind in objects.items():
        shape = element(5, struct.pack("<ii", 6, 1))
        data = (
            element(6, struct.pack("<II", 13, 0))
            + shape
            + element(1, b"")
            + element(6, HANDLE.tobytes())
        )
        names = (name.encode(), b"MCOS", kind.encode())
        content += element(
            14, flags + b"".join(element(1, each) for each in names) + element(14, data)
        )
    n = element(5, struct.pack("<ii", 1, 4)) + element(1, b"") + element(2, b"\0\1IM")
    content += element(14, element(6, struct.pack("<II", 9, 0)) + n)  # their data, without a name
    path.write_bytes(content)


def write_v7_3(path: Path, arrays: Mapping[str, Any], objects: Mapping[str, str]) -> None:
    """Write arrays and objects as MATLAB does."""
    with h5py.File(path, "w", userblock_size=512) as file:

        def put(name: str, values: np.ndarray, kind: str) -> h5py.Dataset:
            made = file.create_dataset(name, data=values)
            made.attrs["MATLAB_class"] = np.bytes_(kind)
            return made

        for name, value in arrays.items():
            if isinstance(value, str):
                put(name, np.frombuffer(value.encode("utf-16-le"), np.uint16)[:, None], "char")
            elif isinstance(value, np.ndarray) and value.dtype == object:
                cells = [put(f"#refs#/{name}{i}", each.T, "double") for i, each in enumerate(value)]
                kept = file.create_dataset(name, (1, len(cells)), h5py.ref_dtype)
                kept[0] = [each.ref for each in cells]
                kept.attrs["MATLAB_class"] = np.bytes_("cell")
            elif isinstance(columns := value, scipy.sparse.csc_matrix):
                group = file.create_group(name)
                group.attrs["MATLAB_class"] = np.bytes_("double")
                group.attrs["MATLAB_sparse"] = np.uint64(columns.shape[0])
                for part, values in (("data", columns.data), ("ir", columns.indices)):
                    group[part] = values
                group["jc"] = columns.indptr
            elif np.iscomplexobj(value):
                pairs = np.zeros((1, value.size), [("real", "f8"), ("imag", "f8")])
                put(name, pairs, "double")
            else:
                put(name, np.atleast_2d(value).T, "double")
        for name, kind in objects.items():
            put(name, HANDLE[None], kind).attrs["MATLAB_object_decode"] = np.int32(3)
        file["#subsystem#/MCOS"] = np.zeros((1, 3))
    with open(path, "r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")


WRITERS: dict[str, Callable[[Path, Mapping[str, Any], Mapping[str, str]], None]] = {
    "v5": write_v5,
    "v7.3": write_v7_3,
}
versions = pytest.mark.parametrize("version", WRITERS)


@versions
@pytest.mark.parametrize("kind", OBJECTS)
@pytest.mark.parametrize("name", ["stimulus_id", "region", "responses"])
def test_an_object_in_place_of_an_array_is_named(
    tmp_path: Path, version: str, kind: str, name: str
) -> None:
    arrays = {other: value for other, value in ARRAYS.items() if other != name}
    WRITERS[version](tmp_path / "r.mat", arrays, {name: kind})
    with pytest.raises(NeurofitError, match=f"r.mat: {name} is a {kind} object; only arrays of"):
        open_recording(tmp_path / "r.mat")


@versions
def test_objects_beside_arrays_are_left_out_by_name(tmp_path: Path, version: str) -> None:
    objects = {f"of_{kind.lower().replace('.', '')}": kind for kind in OBJECTS}
    more = {"phase": np.array([1 + 2j, 3, 4])}
    WRITERS[version](tmp_path / "r.mat", ARRAYS | more, objects)
    with pytest.warns(NeurofitWarning) as said:
        responses = open_recording(tmp_path / "r.mat").responses
    message = str(said[0].message)
    for name, kind in objects.items():
        assert f"{name} is a {kind} object" in message
    assert "phase is an array of complex numbers" in message
    np.testing.assert_array_equal(responses.values, ARRAYS["responses"])
    assert set(responses.coords) == {
        *("stimulus_id", "repetition", "neuroid_id", "region", "time_bin_start", "time_bin_end")
    }


@versions
def test_a_sparse_matrix_is_read_as_it_is(tmp_path: Path, version: str) -> None:
    counts = np.random.default_rng(0).poisson(0.3, (12, 4)).astype("f8")
    arrays = ARRAYS | {"responses": scipy.sparse.csc_matrix(counts)}
    arrays |= {"time_bin_start": np.array([70.0]), "time_bin_end": np.array([80.0])}
    WRITERS[version](tmp_path / "r.mat", arrays, {})
    np.testing.assert_array_equal(open_recording(tmp_path / "r.mat").responses[..., 0], counts)


@versions
def test_a_sparse_matrix_that_fills_memory_or_is_damaged_is_refused(
    tmp_path: Path, version: str
) -> None:
    large = scipy.sparse.csc_matrix((2**16, 2**16))
    WRITERS[version](tmp_path / "r.mat", ARRAYS | {"responses": large}, {})
    with pytest.raises(NeurofitError, match=r"declares .* GB"):
        open_recording(tmp_path / "r.mat")
    wrong: Any = scipy.sparse.csc_matrix(np.eye(4))
    wrong.indices = wrong.indices + 100
    WRITERS[version](tmp_path / "r.mat", ARRAYS | {"responses": wrong}, {})
    with pytest.raises(NeurofitError, match=r"r\.mat"):
        open_recording(tmp_path / "r.mat")


@versions
def test_cells_of_unequal_trials_are_named(tmp_path: Path, version: str) -> None:
    cells = np.empty(3, dtype=object)
    cells[:] = [np.ones((n, 4)) for n in (2, 3, 5)]
    WRITERS[version](tmp_path / "r.mat", ARRAYS | {"responses": cells}, {})
    with pytest.raises(NeurofitError, match="responses is a cell array that holds arrays; only"):
        open_recording(tmp_path / "r.mat")


@versions
@pytest.mark.parametrize("shape", [(12, 1, 3), (12, 1)])
def test_a_single_site_is_a_recording(tmp_path: Path, version: str, shape: tuple[int, ...]) -> None:
    values = ARRAYS["responses"].ravel()[: np.prod(shape)].reshape(shape)
    starts = np.array([70.0, 80, 90])[: 3 if len(shape) == 3 else 1]
    bins = {"time_bin_start": starts, "time_bin_end": starts + 10, "neuroid_id": np.array([1.0])}
    arrays = ARRAYS | bins | {"responses": values}
    WRITERS[version](tmp_path / "r.mat", arrays, {})
    dims = '{"dims": ["presentation", "neuroid"%s]}' % (', "time_bin"' if len(shape) == 3 else "")
    (tmp_path / "r.json").write_text(dims)
    found = open_recording(tmp_path / "r.mat").responses
    np.testing.assert_array_equal(found.values, values.reshape(12, 1, -1))
