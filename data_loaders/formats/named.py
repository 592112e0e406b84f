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
from neurofit.recordings.identifiers import fixed_width, number_repetitions
from neurofit.recordings.rebinning import COUNTS
from neurofit.recordings.times import ASSUMED, TIME_BINS, bin_edges


def make_responses(
    arrays: Mapping[str, np.ndarray],
    sidecar: Sidecar,
    *,
    source: Path,
    tables: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    units: Mapping[str, str] = {},
) -> xr.DataArray:
    """Return the responses (presentation neuroid time_bin) in named arrays.

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
    placed = {dim: rename_arrays(columns, sidecar.words) for dim, columns in (tables or {}).items()}
    lengths = {dim: len(next(iter(columns.values()))) for dim, columns in placed.items()}
    dims = _find_dims(values, renamed, sidecar, lengths, source=f"{source}: {name}", file=source)
    missing = _scalar(renamed.pop("missing", None)) if sidecar.missing is None else sidecar.missing
    trials = as_float32(values, f"{source}: {name}")
    if missing is not None:
        trials[values == missing] = np.nan
    sizes = dict(zip(dims, values.shape, strict=True))
    coords = _coords(renamed, placed, sizes, sidecar, source=source)
    attrs = {
        key: text for key in METADATA_KEYS if (text := _scalar_text(renamed.get(key))) is not None
    }
    array = xr.DataArray(
        trials,
        dims=dims,
        attrs=attrs | {"units": sidecar.units or attrs.get("units") or _units(name, values)},
    )
    for dim in ("time_bin", "neuroid"):
        if dim not in dims:
            array = array.expand_dims(dim)
    return _flatten_trials(array, coords, source)


def _responses_name(arrays: Mapping[str, np.ndarray], source: Path) -> str:
    for name in RESPONSES:
        if name in arrays and arrays[name].ndim >= 2:
            return name
    large = [
        name for name, values in arrays.items() if values.ndim >= 2 and values.dtype.kind in "iufb"
    ]
    if not large:
        listed = (
            ", ".join(f"{name} {values.shape}" for name, values in list(arrays.items())[:8])
            or "nothing"
        )
        raise NeurofitError(
            f"{source} has no array of responses (two or more axes, called "
            f"{' or '.join(RESPONSES[:4])}); it contains {listed}."
        )
    return max(large, key=lambda name: arrays[name].size)


def _find_dims(
    values: np.ndarray,
    arrays: dict[str, np.ndarray],
    sidecar: Sidecar,
    tables: Mapping[str, int],
    *,
    source: str,
    file: Path,
) -> tuple[str, ...]:
    given: Sequence[str] | None = sidecar.dims
    if given is None and "dims" in arrays:
        given = [str(dim) for dim in np.atleast_1d(arrays.pop("dims"))]
    if given is None:
        given = _dims_by_length(values.shape, arrays, tables, source=source, file=file)
    wrong = [dim for dim in given if dim not in AXES]
    if len(given) != values.ndim or len(set(given)) != len(given) or wrong:
        raise NeurofitError(
            f"{source} {values.shape} needs a name for each axis, from {', '.join(AXES)}; "
            f"got {', '.join(given) or 'none'}."
        )
    if ("presentation" in given) == ("stimulus" in given):
        raise NeurofitError(
            f"{source} needs either an axis presentation, or stimulus (and repetition); "
            f"got {', '.join(given)}."
        )
    return tuple(given)


def _dims_by_length(
    shape: tuple[int, ...],
    arrays: Mapping[str, np.ndarray],
    tables: Mapping[str, int],
    *,
    source: str,
    file: Path,
) -> list[str]:
    lengths: dict[str, int] = dict(tables)
    if "presentation" in lengths:
        lengths.pop("stimulus", None)  # this table describes the images only
    for word, dim in DIM_OF.items():
        if word in arrays and arrays[word].ndim == 1 and not _is_shared_by_all(word, arrays[word]):
            lengths.setdefault(dim, len(arrays[word]))
    if "repetition" in lengths and lengths["repetition"] == lengths.get(
        "stimulus"
    ):  # a row for each trial
        lengths["presentation"] = lengths.pop("repetition")
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
    left = [
        dim
        for dim in ("repetition", "neuroid", "time_bin")
        # one bin over all of a response in time does not make its time axis repetitions
        if dim not in dims and (dim not in lengths or dim == "time_bin")
    ]
    placed = all(dim in dims or length == 1 for dim, length in lengths.items())
    if placed and dims.count("") == 1 and "stimulus" in dims:
        if len(left) > 1:
            axis = dims.index("")
            raise NeurofitError(
                f"{source} {shape}: axis {axis} of length {shape[axis]} may be "
                f"{' or '.join(left)}. {repair}"
            )
        dims[dims.index("")] = left[0]
    if "" in dims:
        coords = [word for word in DIM_OF if word in arrays and arrays[word].ndim == 1]
        found = [f"{word} ({len(arrays[word])})" for word in coords]
        found = found or [f"a table along {dim} ({length})" for dim, length in tables.items()]
        axis = dims.index("")
        raise NeurofitError(
            f"{source} {shape}: no array has the length of axis {axis} ({shape[axis]}); "
            f"found {', '.join(found) or 'no coordinate arrays'}. Add or correct arrays such as "
            f"stimulus_id, neuroid_id and time_bin_start, or name the axes. {repair}"
        )
    return dims


def _is_shared_by_all(word: str, values: np.ndarray) -> bool:
    """Return whether an array has a single value for all neuroids."""
    return word in ("region", "subject") and len(values) == 1


def _coords(
    arrays: Mapping[str, np.ndarray],
    tables: Mapping[str, Mapping[str, np.ndarray]],
    sizes: Mapping[str, int],
    sidecar: Sidecar,
    *,
    source: Path,
) -> dict[str, tuple[str, np.ndarray]]:
    """Return coordinate -> (axis, values); all faults are reported in one error."""
    faults: dict[str, str] = {}
    coords: dict[str, tuple[str, np.ndarray]] = {}
    axes = {
        str(name): str(dim)
        for name, dim in np.atleast_2d(arrays.get("axes", np.empty((0, 2), dtype=str)))
    }
    for dim, columns in tables.items():
        if dim in sizes or dim in ("neuroid", "time_bin"):
            coords |= {name: (dim, values) for name, values in columns.items()}
            n = sizes.get(dim, 1)
            wrong = next((name for name, values in columns.items() if len(values) != n), None)
            if wrong:
                faults[wrong] = (
                    f"{wrong} has {len(columns[wrong])} values, "
                    f"but the responses have {n} along {dim}."
                )
    for name, values in arrays.items():
        if (
            values.ndim != 1
            or name == "bin_width_ms"
            or name in coords
            or (_is_shared_by_all(name, values) and sizes.get("neuroid", 1) != 1)
        ):
            continue
        known = axes.get(name) or DIM_OF.get(name)
        if known in ("stimulus", "repetition") and "presentation" in sizes:
            known = "presentation"
        fitting = [known] if known else [dim for dim, n in sizes.items() if n == len(values)]
        if len(fitting) == 1 and sizes.get(fitting[0], 1) == len(values):
            coords[name] = (fitting[0], values)
        elif known:
            faults[name] = (
                f"{name} has {len(values)} values, "
                f"but the responses have {sizes.get(known, 1)} along {known}."
            )
    n_neuroids = sizes.get("neuroid", 1)
    for name, given in (("region", sidecar.region), ("subject", sidecar.subject)):
        value = given or _scalar_text(arrays.get(name))
        if name not in coords and value is not None:
            coords[name] = ("neuroid", np.repeat(fixed_width([value], name=name), n_neuroids))
    if "region" not in coords:
        faults.setdefault(
            "region",
            f'the recorded area is missing. Write {{"region": "IT"}} into {sidecar_path(source)}.',
        )
    coords.setdefault(
        "neuroid_id",
        ("neuroid", np.array([f"{source.stem}-{number:04d}" for number in range(n_neuroids)])),
    )
    rows = "presentation" if "presentation" in sizes else "stimulus"
    if "stimulus_id" not in coords:
        faults.setdefault(
            "stimulus_id",
            f"the stimulus ids are missing. Add an array stimulus_id of {sizes[rows]} values.",
        )
    try:
        edges = bin_edges(
            *(coords[name][1] if name in coords else None for name in TIME_BINS),
            n_bins=sizes.get("time_bin", 1),
            width=_scalar(arrays.get("bin_width_ms")),
            given=sidecar.time_bin,
        )
        coords |= {name: ("time_bin", edge) for name, edge in zip(TIME_BINS, edges, strict=True)}
    except NeurofitError as error:
        faults["time_bin"] = str(error)
    if faults:
        named = [f"{source}: {each}" for each in faults.values()]
        raise NeurofitError("\n".join(named), faults=named)
    return coords


def _flatten_trials(
    array: xr.DataArray, coords: Mapping[str, tuple[str, np.ndarray]], source: Path
) -> xr.DataArray:
    """Return (presentation neuroid time_bin), dropping trials that are missing at every neuroid."""
    if "presentation" in array.dims:
        array = array.transpose("presentation", "neuroid", "time_bin").assign_coords(coords)
        if "repetition" not in array.coords:
            array = array.assign_coords(
                repetition=("presentation", number_repetitions(array.stimulus_id.values))
            )
        return array
    ids, times = np.unique(coords["stimulus_id"][1], return_counts=True)
    if "repetition" in array.dims and (times > 1).any():
        several = some_of(ids[times > 1].tolist())
        raise NeurofitError(
            f"{source}: stimulus_id must be unique along the axis stimulus; repeated: {several}."
        )
    if (times > 1).any():
        array = array.rename(stimulus="presentation")  # stimuli repeat: each row is a trial
        along = {
            name: ("presentation" if dim == "stimulus" else dim, values)
            for name, (dim, values) in coords.items()
        }
        return _flatten_trials(array, along, source)
    if "repetition" not in array.dims:
        array = array.expand_dims("repetition")
    array = array.transpose("stimulus", "repetition", "neuroid", "time_bin")
    n_stimuli, n_repetitions, n_neuroids, n_bins = array.shape
    trials = array.values.reshape(n_stimuli * n_repetitions, n_neuroids, n_bins)
    shown = ~np.isnan(trials).all(axis=(1, 2))
    rows: dict[str, tuple[str, np.ndarray]] = {
        "repetition": ("presentation", np.tile(np.arange(n_repetitions), n_stimuli)[shown])
    }
    for name, (dim, values) in coords.items():
        if dim == "stimulus":
            rows[name] = ("presentation", np.repeat(values, n_repetitions)[shown])
        elif dim != "repetition":
            rows[name] = (dim, values)
    return xr.DataArray(
        trials[shown], dims=("presentation", "neuroid", "time_bin"), coords=rows, attrs=array.attrs
    )


def _units(name: str, values: np.ndarray) -> str:
    if name == "rates":
        return name
    if name in ("counts", "spikes", "raster_data"):
        return COUNTS[0]
    return f"{COUNTS[0]} {ASSUMED}" if values.dtype.kind in "iub" else "unknown"


def _scalar(values: np.ndarray | None) -> float | None:
    return (
        float(values.ravel()[0])
        if values is not None and values.size == 1 and values.dtype.kind in "iuf"
        else None
    )


def _scalar_text(values: np.ndarray | None) -> str | None:
    return str(values.ravel()[0]) if values is not None and values.size == 1 else None
