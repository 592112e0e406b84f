"""Turn named arrays into responses: name the axes and attach coordinates.

The axes are named by an array or attribute `dims`, by a sidecar NAME.json ({"dims": ["neuroid",
"stimulus", "repetition", "time_bin"], "region": "IT", "missing": 255}), or inferred from lengths:
an axis as long as the array of stimulus ids is the stimulus axis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from neurofit.data_loaders.formats.coordinates import Coords, complete
from neurofit.data_loaders.formats.limits import as_float32
from neurofit.data_loaders.formats.names import (
    AXES,
    DIM_OF,
    METADATA_KEYS,
    RESPONSES,
    rename_arrays,
    split_edges,
)
from neurofit.data_loaders.formats.sidecar import Sidecar, sidecar_path
from neurofit.errors import NeurofitError, some_of
from neurofit.recordings.rebinning import COUNTS
from neurofit.recordings.recording import DIMS
from neurofit.recordings.times import ASSUMED

Arrays = Mapping[str, np.ndarray]


def make_responses(
    arrays: Arrays,
    sidecar: Sidecar,
    *,
    source: Path,
    tables: Mapping[str, Arrays] = {},
    units: Mapping[str, str] = {},
) -> xr.DataArray:
    """Return the responses (presentation neuroid time_bin) in named arrays.

    Trials that are missing at every neuroid are dropped.

    Parameters
    ----------
    arrays
        An array of responses, and arrays along its axes: `stimulus_id`, `neuroid_id`, `region`,
        `time_bin_start` ..., under these names or those of `ALIASES`.
    sidecar
        Sidecar of the file.
    source
        File of the arrays, for messages.
    tables
        Axis ("stimulus", "neuroid", "presentation", "time_bin") -> columns along it.
    units
        Name of an array -> units that the file gives for it.

    Raises
    ------
    NeurofitError
        If there is no array of responses, or an axis or required coordinate cannot be identified.
    """
    renamed = rename_arrays(arrays, sidecar.words, units)
    name = _responses_name(renamed, source)
    values = renamed.pop(name)
    split_edges(renamed, source)
    if values.dtype.kind not in "iufb":
        raise NeurofitError(f"{source}: {name} contains {values.dtype}; responses must be numbers.")
    placed = {dim: rename_arrays(columns, sidecar.words) for dim, columns in tables.items()}
    dims = _find_dims(f"{source}: {name}", values.shape, renamed, placed, sidecar, source)
    trials = as_float32(values, f"{source}: {name}")
    scalars = {key: value.ravel() for key, value in renamed.items() if value.size == 1}
    missing = np.ravel(renamed.pop("missing", np.empty(0)))
    if missing.dtype.kind not in "iuf":
        raise NeurofitError(f"{source}: missing must be numbers, those of missing trials.")
    missing = missing if sidecar.missing is None else np.array([sidecar.missing])
    missing = missing.astype(values.dtype) if values.dtype.kind == "f" else missing
    trials[np.isin(values, missing)] = np.nan
    if _rows_are_trials(dims, placed.get("stimulus", renamed), source):
        dims = tuple("presentation" if dim == "stimulus" else dim for dim in dims)
        placed["presentation"] = placed.pop("stimulus", {})
    sizes = dict(zip(dims, values.shape, strict=True))
    coords, faults = _placed(renamed, placed, sizes)
    numbers = range(sizes.get("neuroid", 1))
    ids = np.array([f"{source.stem}-{number:04d}" for number in numbers])
    coords.setdefault("neuroid_id", ("neuroid", ids))
    coords = complete(coords, sizes, sidecar, source=source, scalars=scalars, faults=faults)
    attrs = {key: str(scalars[key][0]) for key in METADATA_KEYS if key in scalars}
    attrs["units"] = sidecar.units or attrs.get("units") or _units(name, values)
    array = xr.DataArray(trials, dims=dims, attrs=attrs)
    return _flattened(array.expand_dims([dim for dim in DIMS[1:] if dim not in dims]), coords)


def _responses_name(arrays: Arrays, source: Path) -> str:
    several = {name: values for name, values in arrays.items() if values.ndim >= 2}
    for name in RESPONSES:
        if name in several:
            return name
    sizes = {name: each.size for name, each in several.items() if each.dtype.kind in "iufb"}
    if not sizes:
        listed = [f"{name} {values.shape}" for name, values in list(arrays.items())[:8]]
        raise NeurofitError(
            f"{source} has no array of responses (two or more axes, called "
            f"{' or '.join(RESPONSES[:4])}); it contains {', '.join(listed) or 'nothing'}."
        )
    largest = [name for name, size in sizes.items() if size == max(sizes.values())]
    if len(largest) > 1:
        raise NeurofitError(
            f"{source}: {some_of(largest)} could each be the responses; call one of them responses."
        )
    return largest[0]


def _find_dims(
    source: str,
    shape: tuple[int, ...],
    arrays: dict[str, np.ndarray],
    tables: Mapping[str, Arrays],
    sidecar: Sidecar,
    file: Path,
) -> tuple[str, ...]:
    given: Sequence[str] | None = sidecar.dims
    if given is None and "dims" in arrays:
        given = [str(dim) for dim in np.atleast_1d(arrays.pop("dims"))]
    if given is None:
        given = _dims_by_length(source, shape, arrays, tables, file)
    wrong = [dim for dim in given if dim not in AXES]
    if len(given) != len(shape) or len(set(given)) != len(given) or wrong:
        raise NeurofitError(
            f"{source} {shape} needs a name for each axis, from {', '.join(AXES)}; "
            f"got {', '.join(given) or 'none'}."
        )
    if ("presentation" in given) == ("stimulus" in given):
        raise NeurofitError(
            f"{source} needs either an axis presentation, or stimulus (and repetition); "
            f"got {', '.join(given)}."
        )
    return tuple(given)


def _dims_by_length(
    source: str, shape: tuple[int, ...], arrays: Arrays, tables: Mapping[str, Arrays], file: Path
) -> list[str]:
    lengths = {dim: len(next(iter(columns.values()))) for dim, columns in tables.items()}
    along = {word: len(arrays[word]) for word in DIM_OF if np.ndim(arrays.get(word, 0)) == 1}
    for word, length in along.items():
        if not _is_shared_by_all(word, length):
            lengths.setdefault(DIM_OF[word], length)
    if "repetition" in lengths and lengths["repetition"] == lengths.get("stimulus"):
        lengths["presentation"] = lengths.pop("repetition")  # a row for each trial
        del lengths["stimulus"]
    repair = f'Write {{"dims": [...]}}, from {", ".join(AXES)}, into {sidecar_path(file)}.'
    dims: list[str] = []
    for axis, n in enumerate(shape):
        fitting = [dim for dim, length in lengths.items() if length == n and dim not in dims]
        if len(fitting) > 1 or shape.count(n) > 1:
            raise NeurofitError(
                f"{source} {shape}: axis {axis} of length {n} is ambiguous. {repair}"
            )
        dims.append(fitting[0] if fitting else "")
    if "" not in dims:
        return dims
    axis = dims.index("")
    ids = tables.get("stimulus", arrays).get("stimulus_id", np.empty(0))
    repeated = len(np.unique(ids)) < len(ids)  # its rows are trials
    left = [
        dim
        for dim in ("repetition", "neuroid", "time_bin")[repeated:]
        # one bin over all of a response in time does not make its time axis repetitions
        if dim not in dims and (dim not in lengths or dim == "time_bin")
    ]
    placed = all(dim in dims or length == 1 for dim, length in lengths.items())
    if placed and dims.count("") == 1 and "stimulus" in dims:
        if len(left) > 1:
            raise NeurofitError(
                f"{source} {shape}: axis {axis} of length {shape[axis]} may be "
                f"{' or '.join(left)}. {repair}"
            )
        return [*dims[:axis], left[0], *dims[axis + 1 :]]
    found = [f"{word} ({n})" for word, n in along.items()]
    found = found or [f"a table along {dim} ({lengths[dim]})" for dim in tables]
    raise NeurofitError(
        f"{source} {shape}: no array has the length of axis {axis} ({shape[axis]}); "
        f"found {', '.join(found) or 'no coordinate arrays'}. Add or correct arrays such as "
        f"stimulus_id, neuroid_id and time_bin_start, or name the axes. {repair}"
    )


def _is_shared_by_all(word: str, length: int) -> bool:
    """Return whether an array has a single value for all neuroids."""
    return word in ("region", "subject") and length == 1


def _placed(
    arrays: Arrays, tables: Mapping[str, Arrays], sizes: Mapping[str, int]
) -> tuple[Coords, dict[str, str]]:
    """Return coordinate -> (axis, values), and coordinate -> fault of its length."""
    coords: Coords = {}
    faults: dict[str, str] = {}

    def place(name: str, dim: str, values: np.ndarray) -> None:
        n = sizes.get(dim, 1)
        if len(values) == n:
            coords[name] = (dim, values)
        else:
            faults[name] = (
                f"{name} has {len(values)} values, but the responses have {n} along {dim}."
            )

    for dim, columns in tables.items():
        if dim in sizes or dim in ("neuroid", "time_bin"):
            for name, values in columns.items():
                place(name, dim, values)
    axes = {str(name): str(dim) for name, dim in arrays.get("axes", ())}
    for name, values in arrays.items():
        shared = _is_shared_by_all(name, values.size) and sizes.get("neuroid", 1) != 1
        shared |= name == "bin_width_ms" and values.size == 1
        if values.ndim != 1 or name in coords or shared:
            continue
        known = axes.get(name) or DIM_OF.get(name)
        known = "time_bin" if name == "bin_width_ms" else known
        if known in ("stimulus", "repetition") and "presentation" in sizes:
            known = "presentation"
        fitting = [known] if known else [dim for dim, n in sizes.items() if n == len(values)]
        if len(fitting) == 1:
            place(name, fitting[0], values)
    return coords, faults


def _rows_are_trials(dims: tuple[str, ...], columns: Arrays, source: Path) -> bool:
    """Return whether stimuli repeat along their axis, so that each of its rows is a trial."""
    ids, times = np.unique(columns.get("stimulus_id", np.empty(0)), return_counts=True)
    repeat = "stimulus" in dims and bool((times > 1).any())
    if repeat and "repetition" in dims:
        several = some_of(ids[times > 1].tolist())
        raise NeurofitError(
            f"{source}: stimulus_id must be unique along the axis stimulus; repeated: {several}."
        )
    return repeat


def _flattened(array: xr.DataArray, coords: Coords) -> xr.DataArray:
    """Return (presentation neuroid time_bin), dropping trials that are missing at every neuroid."""
    if "presentation" in array.dims:
        return array.transpose(*DIMS).assign_coords(coords)
    if "repetition" not in array.dims:
        array = array.expand_dims("repetition")
    array = array.transpose("stimulus", "repetition", "neuroid", "time_bin")
    n_stimuli, n_repetitions, *others = array.shape
    trials = array.values.reshape(n_stimuli * n_repetitions, *others)
    shown = ~np.isnan(trials).all(axis=(1, 2))
    rows: Coords = {
        name: ("presentation", np.repeat(values, n_repetitions)[shown])
        if dim == "stimulus"
        else (dim, values)
        for name, (dim, values) in coords.items()
        if dim != "repetition"
    }
    rows["repetition"] = ("presentation", np.tile(np.arange(n_repetitions), n_stimuli)[shown])
    return xr.DataArray(trials[shown], dims=DIMS, coords=rows, attrs=array.attrs)


def _units(name: str, values: np.ndarray) -> str:
    if name == "rates":
        return name
    if name in ("counts", "spikes", "raster_data"):
        return COUNTS[0]
    return f"{COUNTS[0]} {ASSUMED}" if values.dtype.kind in "iub" else "unknown"
