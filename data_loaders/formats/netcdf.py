"""Recordings as netCDF: Brain-Score's assemblies and our own, read a block at a time without Brain-Score, written whole or not at all.

One variable of numbers, of any name, with flat coordinates; netcdf_axes.py says which axis is which. Ours is chunked so that a time bin
lies together; Brain-Score's as its packaging writes it (one variable `data`, no MultiIndex).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from neurofit.assemblies import COORDS, DIMS, Recording
from neurofit.data_loaders.formats.by_bin import by_time_bin
from neurofit.data_loaders.formats.limits import HDF5, short
from neurofit.data_loaders.formats.named import count_up
from neurofit.data_loaders.formats.netcdf_axes import find_variable, only_bin, our_word
from neurofit.data_loaders.formats.netcdf_fills import fill_of, never_written, numbers_of, unwritten, without
from neurofit.data_loaders.formats.pictures import find_stimuli, with_pictures
from neurofit.data_loaders.formats.probe import check_hdf5
from neurofit.data_loaders.formats.sidecar import Said, said_beside, sidecar_of
from neurofit.data_loaders.formats.words import as_text, number_told, was_simulated
from neurofit.errors import NeurofitError, check_option
from neurofit.home import atomic_file, need_room, sha256_of
from neurofit.stimuli import StimulusSet
from neurofit.time_bins import TimeBin

LAYOUTS = ("neurofit", "brainscore")
CHUNK_BYTES = 2**22

MAX_LENGTH = 10_000_000
MAX_COORD_BYTES = 2**30
MAX_BIN_BYTES = 2**32
"""Of a dimension, of all coordinates, which are read at once, and of one time bin: the largest experiments have a tenth of each.
What a broken file declares must not be allocated."""


def recognises(path: Path, head: bytes) -> bool:
    """Return whether a file is HDF5 with dimension scales (netCDF4), or classic netCDF."""
    return head.startswith(b"CDF") or (head.startswith(HDF5) and _has_dimensions(path))


def read_netcdf(
    path: str | Path,
    *,
    stimuli: StimulusSet | None = None,
    pictures: Path | None = None,
    time_bin: TimeBin | None = None,
    name: str | None = None,
    sha256: str | None = None,
) -> Recording:
    """Return the recording of a netCDF file; responses are read when a block of them is used.

    Parameters
    ----------
    path
        netCDF4 (HDF5) or classic netCDF, in any order of presentation, neuroid and time_bin, or without the last; NAME.json beside it
        says what it does not, see `neurofit.data_loaders.formats.sidecar.Said`.
    stimuli
        Its pictures; None: those beside the file, see `neurofit.data_loaders.formats.pictures.find_stimuli`.
    pictures
        Where these are, if not beside it.
    time_bin
        (start, end) in ms of its only bin, if neither the file nor NAME.json says it.
    name
        Of the recording; None: the file's attribute `identifier`, or its name.
    sha256
        Of the recording, where that of its files is known; None: the file, what is said of it and the pictures are read for it.

    Raises
    ------
    NeurofitError
        If it is no netCDF, or its content no recording.
    """
    path = Path(path)
    said = said_beside(path, time_bin=time_bin)
    try:
        responses, attrs = _responses(path, said)
        told = {key: number_told(attrs, key, path) or getattr(said, key) for key in ("visual_degrees", "duration_ms")}
    except NeurofitError:
        raise
    except Exception as error:  # the libraries below raise nearly anything on broken bytes
        raise NeurofitError(f"Cannot read {path} as netCDF: {short(error)}.") from error
    if stimuli is None:
        stimuli = find_stimuli(path, responses, given=pictures, visual_degrees=told["visual_degrees"], duration_ms=told["duration_ms"])
    return Recording(
        name=name or str(attrs.get("identifier") or path.stem),
        responses=responses,
        stimuli=stimuli,
        simulated=was_simulated(attrs),
        sha256=sha256 or with_pictures(_sha256(path, said), stimuli),
        citation=str(attrs.get("citation", "")),
    )


def write_netcdf(recording: Recording, path: str | Path, *, layout: str = "neurofit") -> None:
    """Write the responses of a recording, a time bin at a time; the pictures go elsewhere, see `write_recording`.

    Parameters
    ----------
    recording
        Whose responses may be larger than memory.
    path
        A file, replaced if it exists.
    layout
        "neurofit": chunks of one time bin, so that reading a bin reads nothing else. "brainscore": the variable `data` as Brain-Score's
        packaging stores it.

    Raises
    ------
    NeurofitError
        If the layout is unknown or the path cannot be written to.
    MachineError
        If the disk is full; nothing is left.
    """
    import h5netcdf

    check_option("layout", layout, LAYOUTS)
    responses = recording.responses
    variable = "responses" if layout == "neurofit" else "data"
    n_presentations, n_neuroids, n_bins = responses.shape
    rows = max(1, min(n_presentations, CHUNK_BYTES // (4 * n_neuroids)))
    chunks = {"chunks": (rows, n_neuroids, 1)} if layout == "neurofit" else {}
    coords = xr.Dataset(coords={n: (c.dims, as_text(c.values)) for n, c in responses.coords.items() if c.ndim == 1})
    coords.attrs = attributes_of(recording)
    with atomic_file(Path(path)) as temporary:
        need_room(temporary, 4 * responses.size)
        coords.to_netcdf(temporary, engine="h5netcdf")
        with h5netcdf.File(temporary, "a") as file:
            written = file.create_variable(variable, DIMS, dtype="float32", fillvalue=np.float32(np.nan), **chunks)
            written.attrs["coordinates"] = " ".join(map(str, coords.coords))
            for key, value in responses.attrs.items():
                if isinstance(value, str | int | float | np.number):
                    written.attrs[key] = value
            for position in range(n_bins):
                written[:, :, position] = recording.block(position)


def _sha256(path: Path, said: Said) -> str:
    """Return the hash of a file, and of what is said of it, if anything is."""
    own = sha256_of(path)
    return own if said == Said() else hashlib.sha256(f"{own} {said}".encode()).hexdigest()


def attributes_of(recording: Recording) -> dict[str, Any]:
    """Return what a file says of a recording beside its responses and their coordinates."""
    return {
        "identifier": recording.name,
        "stimulus_set_identifier": recording.stimuli.name,
        "citation": recording.citation,
        "visual_degrees": recording.stimuli.visual_degrees,
        "duration_ms": recording.stimuli.duration_ms,
        "simulated": int(recording.simulated),
    }


def _has_dimensions(path: Path) -> bool:
    import h5py

    with h5py.File(path, "r") as file:
        return any(item.attrs.get("CLASS") == b"DIMENSION_SCALE" for item in file.values() if isinstance(item, h5py.Dataset))


def _responses(path: Path, said: Said) -> tuple[xr.DataArray, dict[str, Any]]:
    with open(path, "rb") as file:
        engine = "scipy" if file.read(3) == b"CDF" else "h5netcdf"
    if engine == "h5netcdf":
        check_hdf5(path)
        _check_declared(path)
    with xr.open_dataset(path, engine=engine, decode_times=False) as dataset:
        name, dims = find_variable(dataset, said, path)
        variable = dataset[name]
        empty = [dim for dim, length in zip(dims, variable.shape, strict=True) if not length]
        if empty:
            raise NeurofitError(f"{path}: {name} is empty: there is no {' and no '.join(empty)}.")
        attrs = {**dataset.attrs, **variable.attrs}
        coords = _coords(dataset, variable, dims, attrs, said, path)
        packed = {"scale_factor", "add_offset", "_Unsigned"} & set(variable.encoding)
        fills = np.concatenate([numbers_of(variable.encoding.get(key, ())) for key in ("_FillValue", "missing_value")])
        fills = fills if said.missing is None else np.append(fills, said.missing)
        if packed:
            lazy: Any = variable.values if said.missing is None else np.where(variable.values == said.missing, np.nan, variable.values)
            lazy = np.where(never_written(path, name, engine), np.nan, lazy)
        elif engine == "scipy":
            lazy = without(variable.values, np.append(fills, unwritten(variable.encoding.get("dtype", variable.dtype))))
        else:
            lazy = indexing.LazilyIndexedArray(_Stored(path, name, dict(zip(dims, variable.shape, strict=True)), fills))
    responses: Any = _in_order(lazy, dims) if isinstance(lazy, np.ndarray) else lazy
    chunks = variable.encoding.get("chunksizes")
    bins_apart = chunks is not None and "time_bin" in dims and chunks[dims.index("time_bin")] == 1
    if not isinstance(lazy, np.ndarray) and "time_bin" in dims[1:] and not bins_apart:
        responses = by_time_bin(xr.Variable(DIMS, lazy), along=dims[0], multiple=chunks[0] if chunks else 1)
    kept = {key: value for key, value in variable.attrs.items() if key != "coordinates"}
    if said.units is not None:
        kept.setdefault("units", said.units)
    array = xr.DataArray(responses, dims=DIMS, coords=coords, attrs=kept)  # not of a Variable: xarray 2022.3 would read it all
    array.encoding["together"] = "neuroid" if dims[0] == "neuroid" and not bins_apart else "time_bin"  # what lies together in the file
    return array, attrs


def _in_order(values: np.ndarray, dims: tuple[str, ...]) -> np.ndarray:
    """Return values (presentation neuroid time_bin), whatever the order of their axes; without bins there is one."""
    if "time_bin" not in dims:
        values, dims = values[..., None], (*dims, "time_bin")
    return np.asarray(values.transpose([dims.index(dim) for dim in DIMS]), dtype=np.float32)


class _Stored(BackendArray):  # xarray's own protocol for arrays on disk
    """A variable of a netCDF4 file as float32 (presentation neuroid time_bin), NaN for fill; the file is open only while it is read."""

    def __init__(self, path: Path, name: str, sizes: dict[str, int], fills: np.ndarray) -> None:
        self.path, self.name, self.dims, self.fills = path, name, tuple(sizes), fills
        self.shape = tuple(sizes.get(dim, 1) for dim in DIMS)
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, key: Any) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER_1VECTOR, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        import h5py

        asked = dict(zip(DIMS, key, strict=True))
        try:
            with h5py.File(self.path, "r") as file:
                dataset = file[self.name]
                stored = np.asarray(dataset[tuple(asked[dim] for dim in self.dims)])
                fills = np.append(self.fills, fill_of(dataset))
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            raise NeurofitError(f"Cannot read {self.path}: {short(error)}. It is damaged, or was changed while it was in use.") from error
        values = without(stored, fills)
        kept = [dim for dim in self.dims if not isinstance(asked[dim], int | np.integer)]
        wanted = [dim for dim in DIMS if dim in kept]
        values = values.transpose([kept.index(dim) for dim in wanted])
        if "time_bin" not in self.dims and not isinstance(asked["time_bin"], int | np.integer):
            values = values[..., None]
        return values


def _check_declared(path: Path) -> None:
    """Refuse sizes that are none of a recording before xarray allocates them."""
    import h5py

    with h5py.File(path, "r") as file:
        held = {name: item for name, item in file.items() if isinstance(item, h5py.Dataset)}
        longest = max((n for item in held.values() for n in item.shape or ()), default=0)
        if longest > MAX_LENGTH:
            raise NeurofitError(f"{path}: a dimension of {longest:,} is none of a recording (at most {MAX_LENGTH:,}).")
        coords = sum(item.nbytes for item in held.values() if item.ndim < 2)
        one_bin = max((4 * item.size / min(item.shape) for item in held.values() if item.ndim == 3 and item.size), default=0)
        one_bin = max([one_bin, *(4 * item.size for item in held.values() if item.ndim == 2)])
        for what, n_bytes, most in (("coordinates", coords, MAX_COORD_BYTES), ("one time bin", one_bin, MAX_BIN_BYTES)):
            if n_bytes > most:
                raise NeurofitError(f"{path} declares {n_bytes / 1e9:,.1f} GB of {what}; a recording has at most {most / 1e9:.1f}.")


def _coords(
    dataset: xr.Dataset, variable: xr.DataArray, dims: tuple[str, ...], attrs: Mapping[str, Any], said: Said, path: Path
) -> dict[str, Any]:
    ours = dict(zip(variable.dims, dims, strict=True))
    coords: dict[str, Any] = {}
    edges: dict[str, np.ndarray] = {}
    held = {**dataset.data_vars, **dataset.coords}
    for name, values in held.items():
        own = our_word(str(name), held, said)
        if values.ndim == 1 and values.dims[0] in ours and name != variable.name and own not in DIMS:
            coords[own] = (ours[values.dims[0]], as_text(values.values))
        if own in ("time_bin_start", "time_bin_end") and values.size == 1:
            edges[own] = values.values
    sizes = dict(zip(dims, variable.shape, strict=True))
    for name, value in (("region", said.region), ("subject", said.subject)):
        if name not in coords and value is not None:
            coords[name] = ("neuroid", np.full(sizes["neuroid"], value))
    only = only_bin(edges, attrs, said, n_bins=sizes.get("time_bin", 1), path=path)
    if only is not None:
        coords |= {name: ("time_bin", np.array([edge])) for name, edge in zip(("time_bin_start", "time_bin_end"), only, strict=True)}
    missing = [name for name in COORDS if name not in coords and name != "repetition"]
    if missing:
        raise NeurofitError(
            f"{path} lacks the coordinate{'s' * (len(missing) > 1)} {', '.join(missing)}; it has {', '.join(sorted(coords))}."
            + (f' Say {{"region": "IT"}} in {sidecar_of(path)}.' if "region" in missing else "")
        )
    if coords["stimulus_id"][0] != "presentation":  # whoever looks for pictures needs it there
        raise NeurofitError(f"{path}: coordinate stimulus_id lies on {coords['stimulus_id'][0]}, it belongs on presentation.")
    for name in ("time_bin_start", "time_bin_end"):
        coords[name] = (coords[name][0], _whole(coords[name][1]))
    if "repetition" not in coords:
        coords["repetition"] = ("presentation", count_up(coords["stimulus_id"][1]))
    return coords


def _whole(edges: np.ndarray) -> np.ndarray:
    """Return whole numbers as integers; others as they are, for the check of the recording to name."""
    return edges.astype(np.int64) if edges.dtype.kind == "f" and np.isfinite(edges).all() and (edges == np.round(edges)).all() else edges
