"""Read files of named arrays: .npz, .npy with CSV tables, HDF5, and MATLAB v5 to v7.3.

Files are read whole; no code or object in them is ever loaded. A folder contains responses.npy and
a table per axis: stimuli.csv, neuroids.csv, presentations.csv, time_bins.csv.
"""

from __future__ import annotations

import warnings
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurofit.data_loaders.formats.limits import (
    HDF5,
    dataset_nbytes,
    read_head,
    refuse_large,
    refuse_many,
)
from neurofit.data_loaders.formats.matlab import MAX_CELLS, LeftOut, from_columns, read_mat
from neurofit.data_loaders.formats.named import make_responses
from neurofit.data_loaders.formats.names import RESPONSES
from neurofit.data_loaders.formats.netcdf_fills import LIMITS, MISSING, PACKED, decode
from neurofit.data_loaders.formats.sidecar import Sidecar
from neurofit.data_loaders.formats.tables import read_table
from neurofit.errors import NeurofitError, NeurofitWarning, some_of
from neurofit.recordings.identifiers import as_text, as_texts, fixed_width
from neurofit.recordings.recording import DIMS

TABLES = {"stimuli": "stimulus"} | {f"{axis}s": axis for axis in DIMS}
"""Name of a table -> axis that it describes."""

PLAIN = (
    *("", "double", "single", "logical", "char", "cell"),
    *(f"{sign}int{size}" for sign in ("", "u") for size in (8, 16, 32, 64)),
)
"""Classes of MATLAB v7.3 that are read; "" if a file does not state it."""


def recognises_numpy(path: Path, head: bytes) -> bool:
    """Return whether a path is a .npy file, a .npz file or a folder with responses.npy."""
    if path.is_dir():
        return (path / "responses.npy").is_file()
    if not head.startswith(b"PK"):
        return head.startswith(b"\x93NUMPY")
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(".npy") for name in archive.namelist())


def recognises_matlab(path: Path, head: bytes) -> bool:
    """Return whether a file is a MATLAB file of v5 to v7 (v7.3 is HDF5)."""
    return head.startswith(b"MATLAB 5.0")


def recognises_hdf5(path: Path, head: bytes) -> bool:
    """Return whether a file is HDF5, including MATLAB v7.3."""
    return head.startswith((HDF5, b"MATLAB 7.3"))


def read_numpy(path: Path, sidecar: Sidecar) -> xr.DataArray:
    """Read responses from a .npz file, or from responses.npy with its tables."""
    if zipfile.is_zipfile(path):
        return make_responses(_npz(path), sidecar, source=path)
    array = path / "responses.npy" if path.is_dir() else path
    tables = {}
    for name, dim in TABLES.items():
        if (file := array.parent / f"{name}.csv").is_file():
            table = read_table(file, words=sidecar.words)
            tables[dim] = {str(column): table[column].to_numpy() for column in table}
    if "presentation" in tables:
        tables.pop("stimulus", None)
    return make_responses({"responses": _npy(array)}, sidecar, source=path, tables=tables)


def read_matlab(path: Path, sidecar: Sidecar) -> xr.DataArray:
    """Read responses from a MATLAB file of v5 to v7.

    Structs, objects and other values that are not arrays are left out with a warning.
    """
    variables = read_mat(path)
    only = next(iter(variables.values())) if len(variables) == 1 else None
    if isinstance(only, dict) and only and all(len(values) == 1 for values in only.values()):
        variables = {name: values[0] for name, values in only.items()}  # a single struct
    return _without_objects(variables, sidecar, path)


def _without_objects(variables: Mapping[str, Any], sidecar: Sidecar, path: Path) -> xr.DataArray:
    """Return the responses among the variables of a MATLAB file; objects are left out by name."""
    values = {name: _squeezed(value) for name, value in variables.items()}
    kinds = {name: each.kind for name, each in values.items() if isinstance(each, LeftOut)}
    arrays = {name: each for name, each in values.items() if isinstance(each, np.ndarray)}
    if not any(each.ndim > 1 and each.dtype.kind in "iufb" for each in arrays.values()):
        arrays |= {name: np.asarray(variables[name]) for name in RESPONSES if name in arrays}
    left_out = (
        f"{path}: {', '.join(f'{name} is {kind}' for name, kind in kinds.items())}; only arrays of "
        "numbers or text, cells of text and the fields of a single struct are read."
    )
    try:
        responses = make_responses(arrays, sidecar, source=path)
    except NeurofitError as error:
        if not kinds:
            raise
        faults = (*error.faults, left_out)
        raise NeurofitError("\n".join(faults), faults=faults) from error
    if kinds:
        warnings.warn(left_out, NeurofitWarning, stacklevel=2)
    return responses


def read_hdf5(path: Path, sidecar: Sidecar) -> xr.DataArray:
    """Read responses from an HDF5 file.

    Arrays are in the root group or in its only group; an attribute `dims` of the responses names
    their axes.
    """
    import h5py

    matlab = read_head(path).startswith(b"MATLAB 7.3")
    with h5py.File(path, "r") as file:
        refuse_many(path, len(file))
        group = _group(file)
        refuse_many(path, len(group))
        arrays: dict[str, Any] = {}
        units: dict[str, str] = {}
        datasets = {name: item for name, item in group.items() if isinstance(item, h5py.Dataset)}
        n_bytes = sum(max(dataset_nbytes(item), 4 * (item.size or 0)) for item in datasets.values())
        refuse_large(path, n_bytes, stored=path.stat().st_size)
        if not datasets and len(group) and not matlab:
            raise NeurofitError(
                f"{path} contains only groups: {', '.join(group)}. "
                "Store the arrays in the root group, or in a single group."
            )
        for name, item in (group if matlab else datasets).items():
            if not matlab:
                arrays[name] = _decoded(item, path)
            elif not name.startswith("#"):
                arrays[name] = _from_matlab(item, path)
        for name, item in datasets.items():
            if "dims" in item.attrs:
                arrays["dims"] = np.asarray(item.attrs["dims"])
            if "units" in item.attrs and not matlab:
                units[name] = str(as_text(item.attrs["units"]))
        for name in ("region", "missing"):
            if name in group.attrs:
                arrays.setdefault(name, np.asarray(group.attrs[name]))
    if matlab:
        return _without_objects(arrays, sidecar, path)
    return make_responses(arrays, sidecar, source=path, units=units)


def _npz(path: Path) -> dict[str, np.ndarray]:
    n_bytes = 0.0
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
        refuse_many(path, len(members))
        twice = [name for name, n in Counter(m.filename for m in members).items() if n > 1]
        if twice:
            raise NeurofitError(f"{path} has several arrays of one name: {some_of(twice)}.")
        for member in members:
            with archive.open(member) as stream:
                name = f"{member.filename} in {path}"
                n_bytes += _declared_bytes(stream, member.file_size, name)
    refuse_large(path, n_bytes, stored=path.stat().st_size)
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _npy(path: Path) -> np.ndarray:
    size = path.stat().st_size
    with open(path, "rb") as stream:
        refuse_large(path, _declared_bytes(stream, size, str(path)), stored=size)
    return np.asarray(np.load(path, allow_pickle=False))


def _declared_bytes(stream: Any, size: int, source: str) -> float:
    """Return the bytes in memory that a .npy header declares; on disk, at most those present."""
    npy = np.lib.format
    try:
        first = npy.read_magic(stream) == (1, 0)
        read = npy.read_array_header_1_0 if first else npy.read_array_header_2_0
        shape, _, dtype = read(stream)
    except Exception as error:  # the header is parsed as a Python literal: any error may occur
        raise NeurofitError(f"{source} is damaged: it has no valid .npy header.") from error
    if dtype.hasobject:
        raise NeurofitError(
            f"{source} contains Python objects, which are never loaded. Save numbers and text."
        )
    n_values = float(np.prod(shape, dtype=np.float64))
    n_bytes, held = n_values * dtype.itemsize, size - stream.tell()
    if n_bytes > held:
        raise NeurofitError(
            f"{source} is damaged: it declares {n_bytes:,.0f} bytes and contains {held:,}."
        )
    return n_values * max(4, dtype.itemsize)  # as float32 or as stored


def _group(file: Any) -> Any:
    """Return the root group of an HDF5 file, or its only group if the root has no array."""
    import h5py

    items = {name: item for name, item in file.items() if not name.startswith("#")}
    groups = [item for item in items.values() if isinstance(item, h5py.Group)]
    has_arrays = any(isinstance(item, h5py.Dataset) for item in file.values())
    if has_arrays or len(groups) != 1 or "MATLAB_sparse" in groups[0].attrs:
        return file
    return groups[0]


def _decoded(item: Any, path: Path) -> np.ndarray:
    """Return the values of a dataset; responses are decoded as in netCDF if attributes say how."""
    values, known = _values(item), {*PACKED, *MISSING, *LIMITS}
    if values.ndim > 1 and values.dtype.kind in "iuf" and not known.isdisjoint(item.attrs):
        return decode(values, dict(item.attrs), f"{path}: {item.name}", item.fillvalue)
    return values


def _values(item: Any) -> np.ndarray:
    """Return the values of a dataset; references are refused."""
    import h5py

    if h5py.check_ref_dtype(item.dtype) is not None:
        raise ValueError(f"{item.name} contains references, not numbers or text")
    return np.asarray(item[()])


def _from_matlab(item: Any, path: Path) -> np.ndarray | LeftOut:
    """Return a v7.3 array as in MATLAB: axes reversed, characters and cells as text."""
    import h5py

    kind, source, stored = _class(item), f"{path}: {item.name}", path.stat().st_size
    if isinstance(item, h5py.Group):
        if "MATLAB_sparse" not in item.attrs or kind not in PLAIN:
            return LeftOut("a struct" if kind in (*PLAIN, "struct") else f"a {kind} object")
        shape = (int(item.attrs["MATLAB_sparse"]), max(0, item["jc"].size - 1))
        n_bytes = sum(map(dataset_nbytes, item.values())) + 8.0 * shape[0] * shape[1]
        refuse_large(source, n_bytes, stored=stored)
        parts = (
            _values(item[name]) if name in item else np.empty(0) for name in ("data", "ir", "jc")
        )
        return from_columns(*parts, shape=shape)
    if kind not in PLAIN or "MATLAB_object_decode" in item.attrs:
        return LeftOut(f"a {kind} object")
    if item.attrs.get("MATLAB_empty", 0):
        return np.array([])
    if item.dtype.kind == "V":
        return LeftOut("an array of complex numbers")
    if h5py.check_ref_dtype(item.dtype) is None:
        return _letters(item) if kind == "char" else _values(item).T
    if item.size > MAX_CELLS:
        raise NeurofitError(f"{source} has {item.size:,} cells; at most {MAX_CELLS:,} are read.")
    texts = []
    for reference in np.asarray(item[()]).ravel():
        cell = item.file[reference]
        if not isinstance(cell, h5py.Dataset) or _class(cell) not in PLAIN:
            return LeftOut(f"a cell array that holds a {_class(cell)} object")
        refuse_large(source, 4 * item.size * dataset_nbytes(cell), stored=stored)
        if (text := _cell(cell)) is None:
            return LeftOut("a cell array that holds arrays")
        texts.append(text)
    return fixed_width(texts, name=item.name)


def _class(item: Any) -> str:
    """Return the class of a v7.3 variable in MATLAB; "" if the file does not state it."""
    kind = item.attrs.get("MATLAB_class", b"")
    return kind.decode("ascii", "replace")[:60] if isinstance(kind, bytes) else ""


def _cell(item: Any) -> str | None:
    """Return the content of a cell as text; None if it is not a text or a number."""
    if item.attrs.get("MATLAB_empty", 0):
        return ""
    letters = item.attrs.get("MATLAB_class", b"char") == b"char" and item.dtype.kind == "u"
    if not letters and item.dtype.kind not in "iufb":
        return None
    values = _letters(item) if letters else np.squeeze(_values(item))
    return None if values.ndim else as_texts([values[()]])[0]


def _letters(item: Any) -> np.ndarray:
    """Return characters, stored as UTF-16, as text; an array of strings for several rows."""
    if item.dtype.kind != "u" or item.dtype.itemsize > 2:
        raise ValueError(f"{item.name} contains {item.dtype}, not characters")
    rows = np.atleast_2d(np.asarray(item[()]).T).astype("<u2")
    found = [np.ascontiguousarray(row).tobytes().decode("utf-16-le", "replace") for row in rows]
    return np.array(found[0] if len(found) == 1 else [row.rstrip() for row in found], dtype=str)


def _squeezed(value: Any) -> np.ndarray | LeftOut:
    """Return row and column arrays as vectors, and cells as text in MATLAB's order."""
    if isinstance(value, LeftOut | dict):
        return LeftOut("a struct") if isinstance(value, dict) else value
    values = np.asarray(value)
    if values.dtype == object:
        cells = [_squeezed(each) for each in values.ravel(order="F")]
        other = next((each.kind for each in cells if isinstance(each, LeftOut)), "")
        whole = [each for each in cells if isinstance(each, np.ndarray)]
        if other or any(each.size > 1 for each in whole):
            return LeftOut(f"a cell array that holds {other or 'arrays'}")
        texts = as_texts([np.squeeze(each)[()] if each.size else "" for each in whole])
        return np.array(texts, dtype=str)
    return values.ravel() if values.ndim == 2 and 1 in values.shape else values
