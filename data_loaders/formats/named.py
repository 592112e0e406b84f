"""Named arrays, from whatever file they come, as a recording: which axis is which, and what lies along it.

A file says what its axes are by an array or attribute `dims`, by a sidecar NAME.json beside it ({"dims": ["neuroid", "stimulus",
"repetition", "time_bin"], "region": "IT", "missing": 255}), or by lengths: an axis as long as the stimulus ids is theirs.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from neurofit.data_loaders.formats.sidecar import Said, sidecar_of
from neurofit.data_loaders.formats.words import AXES, DIM_OF, RESPONSES, TOLD, in_our_words
from neurofit.errors import NeurofitError, NeurofitWarning, some_of


def responses_from(
    arrays: Mapping[str, np.ndarray], said: Said, *, source: Path, tables: Mapping[str, Mapping[str, np.ndarray]] | None = None
) -> xr.DataArray:
    """Return the responses (presentation neuroid time_bin) that named arrays hold.

    Parameters
    ----------
    arrays
        An array of responses, and arrays along its axes: `stimulus_id`, `neuroid_id`, `region`, `time_bin_start` ..., under these
        names or those of `WORDS`.
    said
        What is said beside the arrays.
    source
        The file of the arrays, for messages.
    tables
        Axis -> columns along it, where a file says so ("stimulus", "neuroid", "presentation", "time_bin").

    Raises
    ------
    NeurofitError
        If there are no responses, or an axis or a coordinate that every recording has cannot be found.
    """
    ours = in_our_words(arrays, said.words)
    name = _responses_name(ours, source)
    values = ours.pop(name)
    if values.dtype.kind not in "iufb":
        raise NeurofitError(f"{source}: {name} holds {values.dtype}; responses are numbers.")
    placed = {dim: in_our_words(columns, said.words) for dim, columns in (tables or {}).items()}
    lengths = {dim: len(next(iter(columns.values()))) for dim, columns in placed.items()}
    dims = _find_dims(values, ours, said, lengths, source=f"{source}: {name}", file=source)
    missing = said.missing if said.missing is not None else _scalar(ours.pop("missing", None))
    if values.dtype.kind in "iu" and values.size and max(int(values.max()), -int(values.min())) > 2**24:
        warnings.warn(f"{source}: {name} has whole numbers above {2**24:,}, which float32 rounds.", NeurofitWarning, stacklevel=2)
    trials = values.astype(np.float32)
    if missing is not None:
        trials[values == missing] = np.nan
    coords = _coords(ours, placed, dict(zip(dims, values.shape, strict=True)), said, source=source)
    attrs = {key: text for key in TOLD if (text := _scalar_text(ours.get(key))) is not None}
    array = xr.DataArray(trials, dims=dims, attrs=attrs | {"units": said.units or attrs.get("units") or _units(name, values)})
    for dim in ("time_bin", "neuroid"):
        if dim not in dims:
            array = array.expand_dims(dim)
    return _one_row_a_trial(array, coords, source)


def _responses_name(arrays: Mapping[str, np.ndarray], source: Path) -> str:
    for name in RESPONSES:
        if name in arrays and arrays[name].ndim >= 2:
            return name
    large = [name for name, values in arrays.items() if values.ndim >= 2 and values.dtype.kind in "iufb"]
    if not large:
        listed = ", ".join(f"{name} {values.shape}" for name, values in list(arrays.items())[:8]) or "nothing"
        raise NeurofitError(
            f"{source} has no array of responses (two axes or more, called {' or '.join(RESPONSES[:4])}); it holds {listed}."
        )
    return max(large, key=lambda name: arrays[name].size)


def _find_dims(
    values: np.ndarray, arrays: dict[str, np.ndarray], said: Said, tables: Mapping[str, int], *, source: str, file: Path
) -> tuple[str, ...]:
    given: Sequence[str] | None = said.dims
    if given is None and "dims" in arrays:
        given = [str(dim) for dim in np.atleast_1d(arrays.pop("dims"))]
    if given is None:
        given = _dims_by_length(values.shape, arrays, tables, source=source, file=file)
    wrong = [dim for dim in given if dim not in AXES]
    if len(given) != values.ndim or len(set(given)) != len(given) or wrong:
        raise NeurofitError(f"{source} {values.shape} needs a name for each axis, of {', '.join(AXES)}; got {', '.join(given) or 'none'}.")
    if ("presentation" in given) == ("stimulus" in given):
        raise NeurofitError(f"{source} needs either an axis presentation, or stimulus (and repetition); got {', '.join(given)}.")
    return tuple(given)


def _dims_by_length(
    shape: tuple[int, ...], arrays: Mapping[str, np.ndarray], tables: Mapping[str, int], *, source: str, file: Path
) -> list[str]:
    lengths: dict[str, int] = dict(tables)
    if "presentation" in lengths:
        lengths.pop("stimulus", None)  # a table of the pictures only
    for word, dim in DIM_OF.items():
        if word in arrays and arrays[word].ndim == 1 and not _is_of_all(word, arrays[word]):
            lengths.setdefault(dim, len(arrays[word]))
    if "repetition" in lengths and lengths["repetition"] == lengths.get("stimulus"):  # a row for each trial
        lengths["presentation"] = lengths.pop("repetition")
        del lengths["stimulus"]
    repair = f'Say {{"dims": [...]}}, of {", ".join(AXES)}, in {sidecar_of(file)}.'
    dims: list[str] = []
    for axis, n in enumerate(shape):
        fitting = [dim for dim, length in lengths.items() if length == n and dim not in dims]
        if len(fitting) > 1 or shape.count(n) > 1:
            raise NeurofitError(f"{source} {shape}: axis {axis} of length {n} may be several things. {repair}")
        dims.append(fitting[0] if fitting else "")
    left = [dim for dim in ("repetition", "time_bin", "neuroid") if dim not in dims and dim not in lengths]
    placed = all(dim in dims or length == 1 for dim, length in lengths.items())
    if placed and dims.count("") == 1 and "stimulus" in dims:
        if len(left) > 1:
            said = f"axis {dims.index('')} of length {shape[dims.index('')]} may be {' or '.join(left)}"
            raise NeurofitError(f"{source} {shape}: {said}. {repair}")
        dims[dims.index("")] = left[0]
    if "" in dims:
        known = ", ".join(f"{word} {len(arrays[word])}" for word in DIM_OF if word in arrays and arrays[word].ndim == 1)
        known = known or ", ".join(f"a table of {length} along {dim}" for dim, length in tables.items()) or "nothing"
        raise NeurofitError(
            f"{source} {shape}: nothing is as long as axis {dims.index('')}; there is {known}. Add or correct arrays such as stimulus_id, "
            f"neuroid_id and time_bin_start, or name the axes. {repair}"
        )
    return dims


def _is_of_all(word: str, values: np.ndarray) -> bool:
    """Return whether an array says one thing of all neuroids, and nothing of their number."""
    return word in ("region", "subject") and len(values) == 1


def _coords(
    arrays: Mapping[str, np.ndarray], tables: Mapping[str, Mapping[str, np.ndarray]], sizes: Mapping[str, int], said: Said, *, source: Path
) -> dict[str, tuple[str, np.ndarray]]:
    """Return name -> (axis, values) of what lies along the axes; all that is wrong with it is said at once."""
    faults: dict[str, str] = {}
    coords: dict[str, tuple[str, np.ndarray]] = {}
    axes = {str(name): str(dim) for name, dim in np.atleast_2d(arrays.get("axes", np.empty((0, 2), dtype=str)))}
    for dim, columns in tables.items():
        if dim in sizes or dim in ("neuroid", "time_bin"):
            coords |= {name: (dim, values) for name, values in columns.items()}
            wrong = next((name for name, values in columns.items() if len(values) != sizes.get(dim, 1)), None)
            if wrong:
                faults[wrong] = f"{wrong} has {len(columns[wrong])} values, but the responses have {sizes.get(dim, 1)} along {dim}."
    for name, values in arrays.items():
        if values.ndim != 1 or name == "bin_width_ms" or name in coords or (_is_of_all(name, values) and sizes.get("neuroid", 1) != 1):
            continue
        known = axes.get(name) or DIM_OF.get(name)
        if known in ("stimulus", "repetition") and "presentation" in sizes:
            known = "presentation"
        fitting = [known] if known else [dim for dim, n in sizes.items() if n == len(values)]
        if len(fitting) == 1 and sizes.get(fitting[0], 1) == len(values):
            coords[name] = (fitting[0], values)
        elif known:
            faults[name] = f"{name} has {len(values)} values, but the responses have {sizes.get(known, 1)} along {known}."
    n_neuroids = sizes.get("neuroid", 1)
    for name, told in (("region", said.region), ("subject", said.subject)):
        value = told or _scalar_text(arrays.get(name))
        if name not in coords and value is not None:
            coords[name] = ("neuroid", np.full(n_neuroids, value))
    if "region" not in coords:
        faults.setdefault("region", f'it does not say which area was recorded. Write {{"region": "IT"}} into {sidecar_of(source)}.')
    coords.setdefault("neuroid_id", ("neuroid", np.array([f"{source.stem}-{number:04d}" for number in range(n_neuroids)])))
    rows = "presentation" if "presentation" in sizes else "stimulus"
    if "stimulus_id" not in coords:
        faults.setdefault("stimulus_id", f"it does not say what was shown. Add an array stimulus_id, of {sizes[rows]} values.")
    try:
        coords |= _bin_coords(arrays, coords, sizes, said, source)
    except NeurofitError as error:
        faults["time_bin"] = str(error)
    if faults:
        named = [f"{source}: {each}" for each in faults.values()]
        raise NeurofitError("\n".join(named), faults=named)
    return coords


def _bin_coords(
    arrays: Mapping[str, np.ndarray], coords: Mapping[str, tuple[str, np.ndarray]], sizes: Mapping[str, int], said: Said, source: Path
) -> dict[str, tuple[str, np.ndarray]]:
    if said.time_bin is not None and sizes.get("time_bin", 1) != 1:
        raise NeurofitError(f"time_bin is for a file with one bin; this one has {sizes['time_bin']}.")
    if "time_bin_start" in coords and "time_bin_end" in coords:
        return {}
    starts: np.ndarray | None = coords["time_bin_start"][1] if "time_bin_start" in coords else None
    if starts is not None and starts.dtype.kind in "iuf":
        ends = _ends(starts.astype(np.float64), _scalar(arrays.get("bin_width_ms")))
        if ends is not None:
            return {"time_bin_end": ("time_bin", ends)}
    if sizes.get("time_bin", 1) == 1 and said.time_bin is not None:
        return {"time_bin_start": ("time_bin", np.array([said.time_bin[0]])), "time_bin_end": ("time_bin", np.array([said.time_bin[1]]))}
    if sizes.get("time_bin", 1) != 1:
        raise NeurofitError(
            f"it does not say when its {sizes['time_bin']} time bins are. Add time_bin_start and time_bin_end (ms from onset)."
        )
    raise NeurofitError(
        "it does not say when its one time bin is. Add time_bin_start and time_bin_end (ms from onset), or say --time-bin 50:150, or "
        f'{{"time_bin": [50, 150]}} in {sidecar_of(source)}.'
    )


def _ends(starts: np.ndarray, width: float | None) -> np.ndarray | None:
    """Return the ends of bins of which the starts are known, and perhaps the width; None: of a single one it is not known."""
    listed = f"{', '.join(f'{start:g}' for start in starts[:4])}{', ...' * (len(starts) > 4)}"
    if width is None:
        if len(starts) < 2:
            return None
        widths = np.unique(np.diff(starts))
        if len(widths) > 1:
            raise NeurofitError(f"bins that start at {listed} ms are not evenly spaced, so where they end has to be said: time_bin_end.")
        width = float(widths[0])
    if not (np.append(starts, width) % 1 == 0).all() or width <= 0:
        raise NeurofitError(f"time bins are whole ms; they start at {listed} ms and are {width:g} ms wide.")
    return np.asarray(starts + width).astype(np.int64)


def _one_row_a_trial(array: xr.DataArray, coords: Mapping[str, tuple[str, np.ndarray]], source: Path) -> xr.DataArray:
    """Return (presentation neuroid time_bin) of an array that may have stimulus and repetition; trials nobody had are left out."""
    if "presentation" in array.dims:
        array = array.transpose("presentation", "neuroid", "time_bin").assign_coords(coords)
        if "repetition" not in array.coords:
            array = array.assign_coords(repetition=("presentation", count_up(array.stimulus_id.values)))
        return array
    ids, times = np.unique(coords["stimulus_id"][1], return_counts=True)
    if "repetition" in array.dims and (times > 1).any():
        several = some_of(ids[times > 1].tolist())
        raise NeurofitError(f"{source}: stimulus_id is unique along the axis stimulus; several times there: {several}.")
    if (times > 1).any():
        array = array.rename(stimulus="presentation")  # a stimulus has several rows: a row is a trial
        along = {name: ("presentation" if dim == "stimulus" else dim, values) for name, (dim, values) in coords.items()}
        return _one_row_a_trial(array, along, source)
    if "repetition" not in array.dims:
        array = array.expand_dims("repetition")
    array = array.transpose("stimulus", "repetition", "neuroid", "time_bin")
    n_stimuli, n_repetitions, n_neuroids, n_bins = array.shape
    trials = array.values.reshape(n_stimuli * n_repetitions, n_neuroids, n_bins)
    shown = ~np.isnan(trials).all(axis=(1, 2))
    rows: dict[str, tuple[str, np.ndarray]] = {"repetition": ("presentation", np.tile(np.arange(n_repetitions), n_stimuli)[shown])}
    for name, (dim, values) in coords.items():
        if dim == "stimulus":
            rows[name] = ("presentation", np.repeat(values, n_repetitions)[shown])
        elif dim != "repetition":
            rows[name] = (dim, values)
    return xr.DataArray(trials[shown], dims=("presentation", "neuroid", "time_bin"), coords=rows, attrs=array.attrs)


def count_up(stimulus_ids: np.ndarray) -> np.ndarray:
    """Return the number of each presentation among those of its stimulus, from 0 in their order."""
    _, rows = np.unique(stimulus_ids, return_inverse=True)
    order = np.argsort(rows, kind="stable")
    counts = np.bincount(rows)
    ranks = np.empty(len(rows), dtype=np.int64)
    ranks[order] = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    return ranks


def _units(name: str, values: np.ndarray) -> str:
    if name == "rates":
        return name
    return "spikes per bin" if name in ("counts", "spikes", "raster_data") or values.dtype.kind in "iub" else "unknown"


def _scalar(values: np.ndarray | None) -> float | None:
    return float(values.ravel()[0]) if values is not None and values.size == 1 and values.dtype.kind in "iuf" else None


def _scalar_text(values: np.ndarray | None) -> str | None:
    return str(values.ravel()[0]) if values is not None and values.size == 1 else None
