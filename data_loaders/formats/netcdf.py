"""Recordings as netCDF: Brain-Score's assemblies and neurofit's own files, read lazily.

A file contains one numeric variable, of any name, with flat coordinates; netcdf_axes.py identifies
its axes. neurofit's layout stores each time bin contiguously; Brain-Score's layout is that of its
packaging (one variable `data`, no MultiIndex). Brain-Score is not needed.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.core import indexing

from neurofit.data_loaders.formats.by_bin import ByTimeBin
from neurofit.data_loaders.formats.coordinates import Coords, complete
from neurofit.data_loaders.formats.limits import HDF5, read_head, refuse_many, short
from neurofit.data_loaders.formats.names import IDENTIFIERS, MARK, as_coordinate
from neurofit.data_loaders.formats.netcdf_axes import (
    find_variable,
    groups_in,
    only_group,
    standard_name,
)
from neurofit.data_loaders.formats.netcdf_fills import decode, stored_values
from neurofit.data_loaders.formats.probe import check_hdf5
from neurofit.data_loaders.formats.sidecar import Sidecar, read_sidecar, sidecar_path
from neurofit.data_loaders.formats.stimuli import DEFAULTS, as_recording
from neurofit.errors import NeurofitError, check_option
from neurofit.recordings.identifiers import as_text
from neurofit.recordings.lazy import LazyArray
from neurofit.recordings.recording import DIMS, Recording
from neurofit.recordings.stimuli import StimulusSet
from neurofit.recordings.time_bins import TimeBin
from neurofit.storage.home import atomic_file, check_free_space, sha256_of

LAYOUTS = ("neurofit", "brainscore")
CHUNK_BYTES = 2**22

MAX_LENGTH = 10_000_000
MAX_COORD_BYTES = 2**30
MAX_BIN_BYTES = 2**32
"""Limits on a dimension, on all coordinates (which are read at once) and on one time bin, checked
before anything is allocated. The largest experiments reach a tenth of each."""


def recognises(path: Path, head: bytes) -> bool:
    """Return whether a file is HDF5 with dimension scales (netCDF4), or classic netCDF."""
    return head.startswith(b"CDF") or (head.startswith(HDF5) and bool(groups_in(path)))


def read_netcdf(
    path: str | Path,
    *,
    stimuli: StimulusSet | None = None,
    images: Path | None = None,
    time_bin: TimeBin | None = None,
    name: str | None = None,
    sha256: str | None = None,
) -> Recording:
    """Return the recording of a netCDF file; responses are read lazily.

    Parameters
    ----------
    path
        netCDF4 (HDF5) or classic netCDF, with axes presentation, neuroid and (optionally) time_bin
        in any order. NAME.json beside it adds what is missing, see
        `neurofit.data_loaders.formats.sidecar.Sidecar`.
    stimuli
        Stimulus set. Default: see `neurofit.data_loaders.formats.stimuli.as_recording`.
    images
        Stimulus images: a table (.csv), zip archive or folder. Default: those beside the file.
    time_bin
        (start, end) in ms of the only time bin, if neither the file nor NAME.json states it.
    name
        Name of the recording. Default: the attribute `identifier`, else the file name.
    sha256
        Hash of the recording, if known. Default: computed from the file, its sidecar and images.

    Raises
    ------
    NeurofitError
        If the file is not netCDF, or does not contain a recording.
    """
    path = Path(path)
    sidecar = read_sidecar(path, time_bin=time_bin)
    try:
        responses, attrs = _responses(path, sidecar)
    except NeurofitError:
        raise
    except Exception as error:  # the libraries may raise any error on damaged files
        raise NeurofitError(f"Cannot read {path} as netCDF: {short(error)}.") from error
    return as_recording(
        path,
        responses,
        attrs | ({"identifier": name} if name else {}),
        sidecar,
        sha256=sha256 or (lambda: _sha256(path, sidecar)),
        images=images,
        stimuli=stimuli,
    )


def write_netcdf(recording: Recording, path: str | Path, *, layout: str = "neurofit") -> None:
    """Write the responses of a recording, one time bin at a time; `write_recording` adds images.

    Parameters
    ----------
    recording
        Recording, which may be larger than memory.
    path
        Output file, replaced if it exists.
    layout
        "neurofit": chunks of one time bin, so that reading a bin reads nothing else. "brainscore":
        the variable `data` as Brain-Score's packaging stores it.

    Raises
    ------
    NeurofitError
        If the layout is unknown or the path cannot be written.
    MachineError
        If the disk is full; no partial file is left.
    """
    import h5netcdf

    check_option("layout", layout, LAYOUTS)
    responses = recording.responses
    variable = "responses" if layout == "neurofit" else "data"
    n_presentations, n_neuroids, n_bins = responses.shape
    rows = max(1, min(n_presentations, CHUNK_BYTES // (4 * n_neuroids)))
    chunks = {"chunks": (rows, n_neuroids, 1)} if layout == "neurofit" else {}
    coords = xr.Dataset(
        coords={n: (c.dims, as_text(c.values)) for n, c in responses.coords.items() if c.ndim == 1}
    )
    coords.attrs = recording_attributes(recording)
    with atomic_file(Path(path)) as temporary:
        check_free_space(temporary, 4 * responses.size)
        coords.to_netcdf(temporary, engine="h5netcdf")
        with h5netcdf.File(temporary, "a") as file:
            written = file.create_variable(
                variable, DIMS, dtype="float32", fillvalue=np.float32(np.nan), **chunks
            )
            written.attrs["coordinates"] = " ".join(map(str, coords.coords))
            for key, value in responses.attrs.items():
                if isinstance(value, str | int | float | np.number):
                    written.attrs[key] = value
            for position in range(n_bins):
                written[:, :, position] = recording.block(position)


def _sha256(path: Path, sidecar: Sidecar) -> str:
    """Return the hash of a file, combined with its sidecar if there is one."""
    own, given = sha256_of(path), sidecar.fingerprint()
    return hashlib.sha256(f"{own} {given}".encode()).hexdigest() if given else own


def recording_attributes(recording: Recording) -> dict[str, Any]:
    """Return the metadata of a recording that are stored as attributes of a file.

    What is assumed is not stored, as the file would state it.
    """
    stimuli = recording.stimuli
    stated = {key: getattr(stimuli, key) for key in DEFAULTS if key not in stimuli.assumed}
    return {
        "identifier": recording.name,
        "stimulus_set_identifier": stimuli.name,
        "citation": recording.citation,
        **stated,
        "simulated": int(recording.simulated),
        MARK: mark_of(recording),
    }


def mark_of(recording: Recording) -> str:
    """Return what ties the files of a converted recording together."""
    return f"neurofit {recording.sha256[:16]}".strip()


def _responses(path: Path, sidecar: Sidecar) -> tuple[xr.DataArray, dict[str, Any]]:
    """Return lazy responses, and the attributes of the variable and of the file."""
    group, classic = None, read_head(path).startswith(b"CDF")
    if not classic:
        check_hdf5(path)
        group = only_group(path)
        _check_declared(path, group)
    engine: Any = "scipy" if classic else "h5netcdf"
    with (
        xr.open_dataset(path, engine=engine, group=group, decode_times=False) as dataset,
        xr.open_dataset(path, engine=engine, group=group, decode_cf=False) as raw,
    ):
        name, dims = find_variable(dataset, sidecar, path)
        variable, coding = dataset[name], dict(raw[name].attrs)
        sizes = dict(zip(dims, variable.shape, strict=True))
        empty = [dim for dim, length in sizes.items() if not length]
        if empty:
            raise NeurofitError(f"{path}: {name} is empty along {', '.join(empty)}.")
        attrs = {**dataset.attrs, **variable.attrs}
        coords = _coords(dataset, raw, name, sizes, attrs, sidecar, path)
        missing = np.float32(np.nan if sidecar.missing is None else sidecar.missing)
        values = decode(raw[name].values, coding, f"{path}: {name}") if classic else np.empty(0)
    chunks = variable.encoding.get("chunksizes")
    bins_apart = chunks is not None and "time_bin" in dims and chunks[dims.index("time_bin")] == 1
    responses: Any
    if classic:
        values[values == missing] = np.nan
        responses = _in_order(values, dims)
    else:
        where = name if group is None else f"{group}/{name}"
        responses = indexing.LazilyIndexedArray(_Stored(path, where, sizes, coding, missing))
        if "time_bin" in dims[1:] and not bins_apart:
            stored, multiple = xr.Variable(DIMS, responses), chunks[0] if chunks else 1
            responses = ByTimeBin(stored, along=dims[0], multiple=multiple)
            responses = indexing.LazilyIndexedArray(responses)
    own = {key: value for key, value in variable.attrs.items() if key != "coordinates"}
    if sidecar.units is not None:
        own["units"] = sidecar.units
    # not built from a Variable, which xarray 2022.3 would load
    array = xr.DataArray(responses, dims=DIMS, coords=coords, attrs=own)
    by_neuroid = dims[0] == "neuroid" and not bins_apart
    array.encoding["together"] = "neuroid" if by_neuroid else "time_bin"
    return array, attrs


def _in_order(values: np.ndarray, dims: tuple[str, ...]) -> np.ndarray:
    """Return values transposed to (presentation neuroid time_bin), adding a missing time axis."""
    if "time_bin" not in dims:
        values, dims = values[..., None], (*dims, "time_bin")
    return np.asarray(values.transpose([dims.index(dim) for dim in DIMS]), dtype=np.float32)


class _Stored(LazyArray):
    """Variable of a netCDF4 file, decoded; the file is opened for each read only."""

    indexing_support = indexing.IndexingSupport.OUTER_1VECTOR

    def __init__(
        self, path: Path, name: str, sizes: dict[str, int], attrs: dict[str, Any], missing: Any
    ) -> None:
        super().__init__(tuple(sizes.get(dim, 1) for dim in DIMS))
        self.path, self.name, self.dims = path, name, tuple(sizes)
        self.attrs, self.missing = attrs, missing

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        import h5py

        asked = dict(zip(DIMS, key, strict=True))
        try:
            with h5py.File(self.path, "r") as file:
                dataset = file[self.name]
                stored = np.asarray(dataset[tuple(asked[dim] for dim in self.dims)])
                values = decode(stored, self.attrs, f"{self.path}: {self.name}", dataset.fillvalue)
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            raise NeurofitError(
                f"Cannot read {self.path}: {short(error)}. "
                "It is damaged, or was changed while it was in use."
            ) from error
        values[values == self.missing] = np.nan
        kept = [dim for dim in DIMS if not isinstance(asked[dim], int | np.integer)]
        dims = [dim for dim in self.dims if dim in kept]
        values = values.transpose([dims.index(dim) for dim in kept if dim in dims])
        return values if len(dims) == len(kept) else values[..., None]  # the file has no time axis


def _check_declared(path: Path, group: str | None) -> None:
    """Refuse implausible sizes before xarray allocates them."""
    import h5py

    with h5py.File(path, "r") as file:
        items = (file if group is None else file[group]).values()
        refuse_many(path, len(items))
        datasets = [item for item in items if isinstance(item, h5py.Dataset)]
        longest = max((n for item in datasets for n in item.shape or ()), default=0)
        if longest > MAX_LENGTH:
            raise NeurofitError(
                f"{path} declares a dimension of length {longest:,}; the limit is {MAX_LENGTH:,}."
            )
        coords = sum(item.nbytes for item in datasets if item.ndim < 2)
        bins = [
            4 * item.size / (min(item.shape) if item.ndim == 3 else 1)
            for item in datasets
            if item.ndim in (2, 3) and item.size
        ]
        for what, n_bytes, most in (
            ("coordinates", coords, MAX_COORD_BYTES),
            ("one time bin", max(bins, default=0), MAX_BIN_BYTES),
        ):
            if n_bytes > most:
                raise NeurofitError(
                    f"{path} declares {n_bytes / 1e9:,.1f} GB of {what}; "
                    f"the limit is {most / 1e9:.1f} GB."
                )


def _coords(
    dataset: xr.Dataset,
    raw: xr.Dataset,
    variable: str,
    sizes: dict[str, int],
    attrs: dict[str, Any],
    sidecar: Sidecar,
    path: Path,
) -> Coords:
    """Return the coordinates along the axes of a variable, which `sizes` names in its order."""
    renamed = dict(zip(dataset[variable].dims, sizes, strict=True))
    coords: Coords = {}
    scalars: dict[str, np.ndarray] = {}
    for name, values in dataset.variables.items():
        standard = standard_name(str(name), dataset.variables, sidecar)
        if values.ndim > 1:
            continue
        exact = stored_values(values, raw.variables[name], exact=standard in IDENTIFIERS)
        own = as_coordinate(standard, exact, str(values.attrs.get("units", "")))
        if values.size == 1:
            scalars[standard] = np.ravel(own)
        if values.ndim and values.dims[0] in renamed and standard not in DIMS:
            coords[standard] = (renamed[values.dims[0]], own)
    for name in ("time_bin_start", "time_bin_stop", "time_bin_end"):
        if name in attrs:
            standard = standard_name(name, (), sidecar)
            scalars.setdefault(standard, as_coordinate(standard, np.ravel(attrs[name])))
    known = {*coords, *scalars, *(["region"] if sidecar.region else [])}
    missing = [name for name in ("stimulus_id", "neuroid_id", "region") if name not in known]
    if missing:
        raise NeurofitError(
            f"{path} lacks the coordinate{'s' * (len(missing) > 1)} {', '.join(missing)}; "
            f"it has {', '.join(sorted(coords))}."
            + (f' Write {{"region": "IT"}} into {sidecar_path(path)}.' * ("region" in missing))
        )
    return complete(coords, sizes, sidecar, source=path, scalars=scalars)
