"""Files of named arrays: NumPy's .npz and .npy with CSV tables, HDF5, MATLAB v7 and v7.3. They are read whole, and nothing in them is run.

A folder holds responses.npy and tables by axis: stimuli.csv, neuroids.csv, presentations.csv, time_bins.csv.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurofit.data_loaders.formats.limits import HDF5, bytes_of, head_of, refuse_large
from neurofit.data_loaders.formats.matlab import read_mat
from neurofit.data_loaders.formats.named import responses_from
from neurofit.data_loaders.formats.sidecar import Said, said_beside
from neurofit.data_loaders.formats.tables import read_table
from neurofit.errors import NeurofitError
from neurofit.time_bins import TimeBin

TABLES = {"stimuli": "stimulus", "neuroids": "neuroid", "presentations": "presentation", "time_bins": "time_bin"}
"""Name of a table -> the axis that it lies along."""

MAX_CELLS = 200_000
"""Cells of an array that are read as texts; the largest experiments have some 100,000 presentations."""


def recognises_numpy(path: Path, head: bytes) -> bool:
    """Return whether a path is a .npy, a .npz or a folder with responses.npy."""
    if path.is_dir():
        return (path / "responses.npy").is_file()
    return head.startswith(b"\x93NUMPY") or (head.startswith(b"PK") and _holds_npy(path))


def recognises_matlab(path: Path, head: bytes) -> bool:
    """Return whether a file is MATLAB's, v5 to v7 (not v7.3, which is HDF5)."""
    return head.startswith(b"MATLAB 5.0")


def recognises_hdf5(path: Path, head: bytes) -> bool:
    """Return whether a file is HDF5, MATLAB's v7.3 included."""
    return head.startswith((HDF5, b"MATLAB 7.3"))


def read_numpy(path: Path, *, time_bin: TimeBin | None = None) -> xr.DataArray:
    """Return the responses of a .npz, or of responses.npy with its tables; `time_bin` as of `open_recording`, here and below."""
    said = said_beside(path, time_bin=time_bin)
    if zipfile.is_zipfile(path):
        return responses_from(_npz(path), said, source=path)
    array = path / "responses.npy" if path.is_dir() else path
    tables = {dim: _columns(file, said) for name, dim in TABLES.items() if (file := array.parent / f"{name}.csv").is_file()}
    if "presentation" in tables:
        tables.pop("stimulus", None)
    return responses_from({"responses": _npy(array)}, said, source=path, tables=tables)


def read_matlab(path: Path, *, time_bin: TimeBin | None = None) -> xr.DataArray:
    """Return the responses of a MATLAB file of v5 to v7."""
    held = read_mat(path)
    fields = next((value for value in held.values() if isinstance(value, dict)), {})
    if len(held) == 1 and fields and all(len(values) == 1 for values in fields.values()):  # its fields are what there is
        held = {name: values[0] for name, values in fields.items()}
    arrays = {name: _squeezed(np.asarray(value)) for name, value in held.items() if value is not None and not isinstance(value, dict)}
    structs = {name: value for name, value in held.items() if isinstance(value, dict)}
    if structs and not any(values.ndim > 1 and values.dtype.kind in "iufb" for values in arrays.values()):
        raise NeurofitError(
            f"{path} has structs ({', '.join(structs)}), and no array of responses beside them. Save their fields as arrays of their own, "
            "or one struct alone."
        )
    return responses_from(arrays, said_beside(path, time_bin=time_bin), source=path)


def read_hdf5(path: Path, *, time_bin: TimeBin | None = None) -> xr.DataArray:
    """Return the responses of an HDF5 file; attributes `dims` of the responses, and arrays at the top or in one group."""
    import h5py

    with h5py.File(path, "r") as file:
        matlab = head_of(path).startswith(b"MATLAB 7.3")
        group = _group(file)
        arrays: dict[str, np.ndarray] = {}
        held = [item for item in group.values() if isinstance(item, h5py.Dataset)]
        n_values, n_bytes = sum(float(item.size or 0) for item in held), sum(map(bytes_of, held))
        refuse_large(path, n_values=n_values, n_bytes=n_bytes, stored=path.stat().st_size)
        for name, item in group.items():
            if isinstance(item, h5py.Dataset):
                arrays[name] = _from_matlab(item, path) if matlab else _values(item)
                if "dims" in item.attrs:
                    arrays["dims"] = np.asarray(item.attrs["dims"])
        if not held and len(group):
            raise NeurofitError(f"{path} holds groups only: {', '.join(group)}. Its arrays have to be at the top, or in its only group.")
        for name, value in group.attrs.items():
            if name in ("region", "missing") and name not in arrays:
                arrays[name] = np.asarray(value)
    return responses_from(arrays, said_beside(path, time_bin=time_bin), source=path)


def _npz(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
        declared = [_declared(archive, member, path) for member in members]
        n_values, n_bytes = sum(n for n, _ in declared), sum(n for _, n in declared)
        refuse_large(path, n_values=n_values, n_bytes=n_bytes, stored=path.stat().st_size)
    with np.load(path, allow_pickle=False) as held:
        return {name: held[name] for name in held.files}


def _npy(path: Path) -> np.ndarray:
    size = path.stat().st_size
    with open(path, "rb") as stream:
        n_values, n_bytes = _check_header(stream, size, str(path))
    refuse_large(path, n_values=n_values, n_bytes=n_bytes, stored=size)
    return np.asarray(np.load(path, allow_pickle=False))


def _declared(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> tuple[float, float]:
    with archive.open(member) as stream:
        return _check_header(stream, member.file_size, f"{member.filename} in {path}")


def _check_header(stream: Any, size: int, source: str) -> tuple[float, float]:
    """Return values and bytes that an array's header declares: more than there is would be allocated before it is missed."""
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
    except Exception as error:  # the header is parsed as Python, which raises nearly anything on broken bytes
        raise NeurofitError(f"{source} is damaged: it does not begin as an array does.") from error
    if dtype.hasobject:
        raise NeurofitError(f"{source} holds Python objects, which are never loaded. Save numbers and texts.")
    n_values = float(np.prod(shape, dtype=np.float64))
    n_bytes = n_values * dtype.itemsize
    if n_bytes > size:
        raise NeurofitError(f"{source} is damaged: it declares {n_bytes:,.0f} bytes and holds {size:,}.")
    return n_values, n_bytes


def _columns(path: Path, said: Said) -> Mapping[str, np.ndarray]:
    table = read_table(path, words=said.words)
    return {str(name): table[name].to_numpy() for name in table}


def _holds_npy(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(".npy") for name in archive.namelist())


def _group(file: Any) -> Any:
    """Return the top of an HDF5 file, or its only group where the top has no array."""
    import h5py

    if any(isinstance(item, h5py.Dataset) for item in file.values()):
        return file
    groups = [item for name, item in file.items() if isinstance(item, h5py.Group) and not name.startswith("#")]
    return groups[0] if len(groups) == 1 else file


def _values(item: Any) -> np.ndarray:
    """Return the values of a dataset; references to others are none."""
    import h5py

    if h5py.check_ref_dtype(item.dtype) is not None:
        raise ValueError(f"{item.name} holds references in place of numbers or texts")
    return np.asarray(item[()])


def _from_matlab(item: Any, path: Path) -> np.ndarray:
    """Return a v7.3 array as MATLAB shows it: axes reversed, characters as text, cells as texts."""
    import h5py

    if item.attrs.get("MATLAB_empty", 0):
        return np.array([])
    if h5py.check_ref_dtype(item.dtype) is None:
        return _letters(item) if item.attrs.get("MATLAB_class", b"") == b"char" else _squeezed(_values(item).T)
    if item.size > MAX_CELLS:
        raise NeurofitError(f"{path}: {item.name} has {item.size:,} cells; cells are read as texts, up to {MAX_CELLS:,}.")
    texts = []
    for reference in np.asarray(item[()]).ravel():
        cell = item.file[reference]
        refuse_large(f"{path}: {item.name}", n_values=0, n_bytes=4 * item.size * bytes_of(cell), stored=path.stat().st_size)
        texts.append(_cell(cell))
    return np.array(texts, dtype=str)


def _cell(item: Any) -> str:
    """Return what a cell holds as a text."""
    if item.attrs.get("MATLAB_empty", 0):
        return ""
    letters = item.attrs.get("MATLAB_class", b"char") == b"char" and item.dtype.kind == "u"
    if not letters and item.dtype.kind not in "iufb":
        raise ValueError(f"{item.name} holds {item.dtype!s:.60} in place of letters or numbers")
    return str(_letters(item) if letters else np.squeeze(_values(item)))


def _letters(item: Any) -> np.ndarray:
    """Return characters, which are stored as UTF-16, as a text; several rows as texts."""
    if item.dtype.kind != "u" or item.dtype.itemsize > 2:
        raise ValueError(f"{item.name} holds {item.dtype} in place of letters")
    rows = np.atleast_2d(np.asarray(item[()]).T).astype("<u2")
    found = [np.ascontiguousarray(row).tobytes().decode("utf-16-le", "replace") for row in rows]
    return np.array(found[0] if len(found) == 1 else [row.rstrip() for row in found], dtype=str)


def _squeezed(values: np.ndarray) -> np.ndarray:
    """Return MATLAB's rows and columns as vectors, cells of text as texts, and larger arrays as they are."""
    if values.dtype == object:
        return np.array([str(np.squeeze(value)) for value in values.ravel(order="F")])  # as MATLAB counts cells
    return values.ravel() if values.ndim == 2 and 1 in values.shape else values
