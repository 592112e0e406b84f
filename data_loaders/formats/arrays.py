"""Read files of named arrays: .npz, .npy with CSV tables, HDF5, and MATLAB v5 to v7.3.

Files are read whole; no code or object in them is ever loaded. A folder contains responses.npy and
a table per axis: stimuli.csv, neuroids.csv, presentations.csv, time_bins.csv.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurofit.data_loaders.formats.limits import HDF5, dataset_nbytes, read_head, refuse_large
from neurofit.data_loaders.formats.matlab import read_mat
from neurofit.data_loaders.formats.named import make_responses
from neurofit.data_loaders.formats.sidecar import Sidecar, read_sidecar
from neurofit.data_loaders.formats.tables import read_table
from neurofit.errors import NeurofitError
from neurofit.recordings.identifiers import as_text
from neurofit.recordings.time_bins import TimeBin

TABLES = {
    "stimuli": "stimulus",
    "neuroids": "neuroid",
    "presentations": "presentation",
    "time_bins": "time_bin",
}
"""Name of a table -> axis that it describes."""

MAX_CELLS = 200_000
"""Largest number of cells in an array; the largest experiments have some 100,000 presentations."""


def recognises_numpy(path: Path, head: bytes) -> bool:
    """Return whether a path is a .npy file, a .npz file or a folder with responses.npy."""
    if path.is_dir():
        return (path / "responses.npy").is_file()
    return head.startswith(b"\x93NUMPY") or (head.startswith(b"PK") and _contains_npy(path))


def recognises_matlab(path: Path, head: bytes) -> bool:
    """Return whether a file is a MATLAB file of v5 to v7 (v7.3 is HDF5)."""
    return head.startswith(b"MATLAB 5.0")


def recognises_hdf5(path: Path, head: bytes) -> bool:
    """Return whether a file is HDF5, including MATLAB v7.3."""
    return head.startswith((HDF5, b"MATLAB 7.3"))


def read_numpy(path: Path, *, time_bin: TimeBin | None = None) -> xr.DataArray:
    """Read responses from a .npz file, or from responses.npy with its tables.

    Parameters
    ----------
    path
        File or folder.
    time_bin
        (start, end) in ms of the only time bin, see `open_recording`.
    """
    sidecar = read_sidecar(path, time_bin=time_bin)
    if zipfile.is_zipfile(path):
        return make_responses(_npz(path), sidecar, source=path)
    array = path / "responses.npy" if path.is_dir() else path
    tables = {
        dim: _columns(file, sidecar)
        for name, dim in TABLES.items()
        if (file := array.parent / f"{name}.csv").is_file()
    }
    if "presentation" in tables:
        tables.pop("stimulus", None)
    return make_responses({"responses": _npy(array)}, sidecar, source=path, tables=tables)


def read_matlab(path: Path, *, time_bin: TimeBin | None = None) -> xr.DataArray:
    """Read responses from a MATLAB file of v5 to v7; parameters as for `read_numpy`."""
    variables = read_mat(path)
    fields = next((value for value in variables.values() if isinstance(value, dict)), {})
    if len(variables) == 1 and fields and all(len(values) == 1 for values in fields.values()):
        variables = {name: values[0] for name, values in fields.items()}  # a single struct
    arrays = {
        name: _squeezed(np.asarray(value))
        for name, value in variables.items()
        if value is not None and not isinstance(value, dict)
    }
    structs = [name for name, value in variables.items() if isinstance(value, dict)]
    numeric = [values for values in arrays.values() if values.dtype.kind in "iufb"]
    if structs and not any(values.ndim > 1 for values in numeric):
        raise NeurofitError(
            f"{path} contains structs ({', '.join(structs)}) but no array of responses. "
            "Save their fields as variables, or save a single struct."
        )
    return make_responses(arrays, read_sidecar(path, time_bin=time_bin), source=path)


def read_hdf5(path: Path, *, time_bin: TimeBin | None = None) -> xr.DataArray:
    """Read responses from an HDF5 file; parameters as for `read_numpy`.

    Arrays are in the root group or in its only group; an attribute `dims` of the responses names
    their axes.
    """
    import h5py

    with h5py.File(path, "r") as file:
        matlab = read_head(path).startswith(b"MATLAB 7.3")
        group = _group(file)
        arrays: dict[str, np.ndarray] = {}
        units: dict[str, str] = {}
        datasets = [item for item in group.values() if isinstance(item, h5py.Dataset)]
        n_values = sum(float(item.size or 0) for item in datasets)
        n_bytes = sum(map(dataset_nbytes, datasets))
        refuse_large(path, n_values=n_values, n_bytes=n_bytes, stored=path.stat().st_size)
        for name, item in group.items():
            if isinstance(item, h5py.Dataset):
                arrays[name] = _from_matlab(item, path) if matlab else _values(item)
                if "units" in item.attrs:
                    units[name] = str(as_text(item.attrs["units"]))
                if "dims" in item.attrs:
                    arrays["dims"] = np.asarray(item.attrs["dims"])
        if not datasets and len(group):
            raise NeurofitError(
                f"{path} contains only groups: {', '.join(group)}. "
                "Store the arrays in the root group, or in a single group."
            )
        for name, value in group.attrs.items():
            if name in ("region", "missing") and name not in arrays:
                arrays[name] = np.asarray(value)
    sidecar = read_sidecar(path, time_bin=time_bin)
    return make_responses(arrays, sidecar, source=path, units=units)


def _npz(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
        declared = [_declared(archive, member, path) for member in members]
        n_values, n_bytes = sum(n for n, _ in declared), sum(n for _, n in declared)
        refuse_large(path, n_values=n_values, n_bytes=n_bytes, stored=path.stat().st_size)
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


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
    """Return the number of values and bytes that a .npy header declares, at most those present."""
    try:
        version = np.lib.format.read_magic(stream)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(stream)
    except Exception as error:  # the header is parsed as a Python literal: any error may occur
        raise NeurofitError(f"{source} is damaged: it has no valid .npy header.") from error
    if dtype.hasobject:
        raise NeurofitError(
            f"{source} contains Python objects, which are never loaded. Save numbers and text."
        )
    n_values = float(np.prod(shape, dtype=np.float64))
    n_bytes = n_values * dtype.itemsize
    if n_bytes > size:
        raise NeurofitError(
            f"{source} is damaged: it declares {n_bytes:,.0f} bytes and contains {size:,}."
        )
    return n_values, n_bytes


def _columns(path: Path, sidecar: Sidecar) -> Mapping[str, np.ndarray]:
    table = read_table(path, words=sidecar.words)
    return {str(name): table[name].to_numpy() for name in table}


def _contains_npy(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(".npy") for name in archive.namelist())


def _group(file: Any) -> Any:
    """Return the root group of an HDF5 file, or its only group if the root has no array."""
    import h5py

    if any(isinstance(item, h5py.Dataset) for item in file.values()):
        return file
    groups = [
        item
        for name, item in file.items()
        if isinstance(item, h5py.Group) and not name.startswith("#")
    ]
    return groups[0] if len(groups) == 1 else file


def _values(item: Any) -> np.ndarray:
    """Return the values of a dataset; references are refused."""
    import h5py

    if h5py.check_ref_dtype(item.dtype) is not None:
        raise ValueError(f"{item.name} contains references, not numbers or text")
    return np.asarray(item[()])


def _from_matlab(item: Any, path: Path) -> np.ndarray:
    """Return a v7.3 array as in MATLAB: axes reversed, characters and cells as text."""
    import h5py

    if item.attrs.get("MATLAB_empty", 0):
        return np.array([])
    if h5py.check_ref_dtype(item.dtype) is None:
        return (
            _letters(item)
            if item.attrs.get("MATLAB_class", b"") == b"char"
            else _squeezed(_values(item).T)
        )
    if item.size > MAX_CELLS:
        raise NeurofitError(
            f"{path}: {item.name} has {item.size:,} cells; at most {MAX_CELLS:,} are read."
        )
    texts = []
    for reference in np.asarray(item[()]).ravel():
        cell = item.file[reference]
        refuse_large(
            f"{path}: {item.name}",
            n_values=0,
            n_bytes=4 * item.size * dataset_nbytes(cell),
            stored=path.stat().st_size,
        )
        texts.append(_cell(cell))
    return np.array(texts, dtype=str)


def _cell(item: Any) -> str:
    """Return the content of a cell as text."""
    if item.attrs.get("MATLAB_empty", 0):
        return ""
    letters = item.attrs.get("MATLAB_class", b"char") == b"char" and item.dtype.kind == "u"
    if not letters and item.dtype.kind not in "iufb":
        raise ValueError(f"{item.name} contains {item.dtype!s:.60}, not characters or numbers")
    return str(_letters(item) if letters else np.squeeze(_values(item)))


def _letters(item: Any) -> np.ndarray:
    """Return characters, stored as UTF-16, as text; an array of strings for several rows."""
    if item.dtype.kind != "u" or item.dtype.itemsize > 2:
        raise ValueError(f"{item.name} contains {item.dtype}, not characters")
    rows = np.atleast_2d(np.asarray(item[()]).T).astype("<u2")
    found = [np.ascontiguousarray(row).tobytes().decode("utf-16-le", "replace") for row in rows]
    return np.array(found[0] if len(found) == 1 else [row.rstrip() for row in found], dtype=str)


def _squeezed(values: np.ndarray) -> np.ndarray:
    """Return row and column arrays as vectors, and cells as text in MATLAB's order."""
    if values.dtype == object:
        return np.array([str(np.squeeze(value)) for value in values.ravel(order="F")])
    return values.ravel() if values.ndim == 2 and 1 in values.shape else values
