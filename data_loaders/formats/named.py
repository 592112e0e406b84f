"""Named arrays, from whatever file they come, as a recording: the words other people use for our dimensions, and finding the axes.

A file says what its axes are by an array or attribute `dims`, by a sidecar NAME.json beside it ({"dims": ["neuroid", "stimulus",
"repetition", "time_bin"], "region": "IT", "missing": 255}), or by lengths: an axis as long as the stimulus ids is theirs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurofit.errors import NeurofitError
from neurofit.time_bins import TimeBin

WORDS: Mapping[str, str] = {
    "image_id": "stimulus_id",
    "stim_id": "stimulus_id",
    "stimulus": "stimulus_id",
    "condition": "stimulus_id",
    "image": "stimulus_id",
    "site": "neuroid_id",
    "unit": "neuroid_id",
    "unit_id": "neuroid_id",
    "neuron": "neuroid_id",
    "channel": "neuroid_id",
    "area": "region",
    "brain_area": "region",
    "animal": "subject",
    "monkey": "subject",
    "object": "object_name",
    "trial": "repetition",
    "repeat": "repetition",
    "time_bin_stop": "time_bin_end",
    "bin_start_ms": "time_bin_start",
    "bin_end_ms": "time_bin_end",
}
"""Other people's word -> ours. A file that has both keeps its own use of ours."""

DIM_OF = {
    "stimulus_id": "stimulus",
    "object_name": "stimulus",
    "category": "stimulus",
    "repetition": "repetition",
    "neuroid_id": "neuroid",
    "region": "neuroid",
    "subject": "neuroid",
    "subregion": "neuroid",
    "time_bin_start": "time_bin",
    "time_bin_end": "time_bin",
}
"""Our word -> the axis of a dense array that it lies on."""

RESPONSES = ("responses", "data", "counts", "rates", "spikes", "raster_data")
"""What the array of responses may be called; the largest array of two axes or more, otherwise."""

AXES = ("presentation", "stimulus", "repetition", "neuroid", "time_bin")

TOLD = ("units", "visual_degrees", "duration_ms", "simulated", "citation", "identifier")
"""Single values that a file of arrays may hold beside them; they are the attributes of what is read, as texts."""

HDF5 = b"\x89HDF\r\n\x1a\n"
"""How such a file begins."""

MAX_BYTES = 2**33
"""What a file that is read whole may take in memory, as float32 or as it is; netCDF is the form for more."""

MAX_RATIO, FREE_BYTES = 200, 2**26
"""What is larger than `FREE_BYTES` may be so many times larger than its file: counts compress by 50, a bomb by 1000."""

MAX_BINS = 100_000
"""Time bins that spikes may be counted into."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """What is said of a file beside its arrays.

    Parameters
    ----------
    dims
        Names of the axes of the responses, of `AXES`; None: found by lengths.
    region, subject
        Of all neuroids, where there is no array of them.
    missing
        Number that stands for a missing trial.
    time_bin
        (start, end) in ms of the only bin, where there is no axis of bins.
    units
        "spikes per bin" (counts) or "spikes per second" (rates).
    bins
        (start, end, width) in ms that spike times are counted into.
    words
        Further words: theirs -> ours.
    visual_degrees, duration_ms
        Of the pictures.
    picture_axes
        ("height", "width") or ("width", "height"): the order in which an NWB file has the axes of its pictures.
    """

    dims: tuple[str, ...] | None = None
    region: str | None = None
    subject: str | None = None
    missing: float | None = None
    time_bin: tuple[int, int] | None = None
    units: str | None = None
    bins: tuple[int, int, int] | None = None
    words: Mapping[str, str] = field(default_factory=dict)
    visual_degrees: float | None = None
    duration_ms: float | None = None
    picture_axes: tuple[str, ...] | None = None


def said_beside(path: Path, *, time_bin: TimeBin | None = None) -> Said:
    """Return what NAME.json beside a file (or in a folder) says; nothing, if there is none.

    Parameters
    ----------
    path
        The file or folder.
    time_bin
        As the caller says, which goes before the file.

    Raises
    ------
    NeurofitError
        If it is not a JSON object of the fields of `Said`.
    """
    beside = path / "recording.json" if path.is_dir() else path.with_suffix(".json")
    told: dict[str, Any] = {} if time_bin is None else {"time_bin": time_bin}
    if not beside.is_file():
        return Said(**told)
    try:
        given: Any = json.loads(beside.read_text(encoding="utf-8"))
        if not isinstance(given, dict):
            raise ValueError("it is not an object")
        unknown = [name for name in given if name not in Said.__dataclass_fields__]
        if unknown:
            raise ValueError(f"it has {unknown[0]!r}")
        wrong = [f"{name} is {_KINDS[name][0]}, not {value!r:.60}" for name, value in given.items() if not _KINDS[name][1](value)]
        if wrong:
            raise ValueError(wrong[0])
        fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
        fields |= {name: float(fields[name]) for name in ("missing", "visual_degrees", "duration_ms") if name in fields}
        return Said(**fields | told)
    except (OSError, ValueError, RecursionError) as error:
        raise NeurofitError(f"{beside} has to be a JSON object of {', '.join(Said.__dataclass_fields__)}: {error}.") from error


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12


def _are_ms(value: Any, n: int) -> bool:
    return isinstance(value, list) and len(value) == n and all(isinstance(v, int) and _is_number(v) for v in value) and value[0] < value[1]


def _is_positive(value: Any) -> bool:
    return _is_number(value) and value > 0


_KINDS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "dims": ("a list of names", lambda value: isinstance(value, list) and all(isinstance(v, str) for v in value)),
    "region": ("a text", lambda value: isinstance(value, str)),
    "subject": ("a text", lambda value: isinstance(value, str)),
    "missing": ("a number", _is_number),
    "time_bin": ("[start, end] in ms", lambda value: _are_ms(value, 2)),
    "units": ("a text", lambda value: isinstance(value, str)),
    "bins": (
        f"[start, end, width] in ms, at most {MAX_BINS:,} bins",
        lambda value: _are_ms(value, 3) and value[2] > 0 and value[1] - value[0] <= MAX_BINS * value[2],
    ),
    "words": ("an object of texts", lambda value: isinstance(value, dict) and all(isinstance(v, str) for v in value.values())),
    "visual_degrees": ("a positive number", _is_positive),
    "duration_ms": ("a positive number", _is_positive),
    "picture_axes": (
        '["height", "width"] or ["width", "height"]',
        lambda value: value in (["height", "width"], ["width", "height"]),
    ),
}
"""Field of `Said` -> what it is in words, and whether a value is it."""


def head_of(path: Path) -> bytes:
    """Return the first bytes of a file: enough to know its form, or a table's columns."""
    with open(path, "rb") as file:
        return file.read(4096)


def short(error: BaseException) -> str:
    """Return what an error of a library says in part of a line."""
    said = str(error).strip().partition("\n")[0] or type(error).__name__
    return said if len(said) <= 160 else f"{said[:160]} ..."


def refuse_large(source: str | Path, *, n_values: float | int, n_bytes: float | int, stored: float | int) -> None:
    """Refuse what would not fit into memory, or declares far more than a file of its size holds.

    Parameters
    ----------
    source
        Of the numbers, for the message.
    n_values, n_bytes
        That it declares; responses take 4 bytes a value once they are read.
    stored
        Bytes of the file.

    Raises
    ------
    NeurofitError
        Saying what is declared.
    """
    takes = max(n_bytes, 4 * n_values)
    if takes > MAX_BYTES:
        raise NeurofitError(
            f"{source} declares {takes / 1e9:,.1f} GB; such files are read whole, up to {MAX_BYTES / 1e9:.1f} GB. "
            "netCDF is the form for more."
        )
    if takes > max(FREE_BYTES, MAX_RATIO * stored):
        raise NeurofitError(f"{source} is damaged, or made to fill memory: it declares {takes / 1e9:,.1f} GB in {stored / 1e6:,.2f} MB.")


def bytes_of(dataset: Any) -> float:
    """Return the bytes that reading an HDF5 dataset takes: its own, or those of one of its chunks, which are decompressed whole."""
    sizes = [dataset.shape or (), dataset.chunks or ()]
    return max(float(np.prod(shape, dtype=np.float64)) for shape in sizes) * float(dataset.dtype.itemsize)


def in_our_words(arrays: Mapping[str, np.ndarray], words: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Return arrays under our names, texts as texts; what has no name of ours keeps its own, and what is no array of values is left.

    Raises
    ------
    ValueError
        If an array under a name of ours holds neither numbers nor texts.
    """
    ours: dict[str, np.ndarray] = {}
    for name, word in in_words(list(arrays), words).items():
        values = arrays[name]
        if values.dtype.kind in "iufbSUOMm":
            ours[word] = as_text(values)
        elif word in DIM_OF or word in RESPONSES:
            raise ValueError(f"{name} holds {values.dtype!s:.60} in place of numbers or texts")
    return ours


def in_words(names: Sequence[str], words: Mapping[str, str], known: Mapping[str, str] = WORDS) -> dict[str, str]:
    """Return theirs -> ours; what is said comes before what is known, and the second of two that mean the same keeps its name.

    Parameters
    ----------
    names
        Of columns or arrays.
    words
        What is said beside them: theirs -> ours.
    known
        Other people's words, in small letters, that are understood.
    """
    found: dict[str, str] = {}
    for name in sorted(names, key=lambda name: name not in words):
        word = words.get(name, known.get(name.lower(), name))
        found[name] = name if word in names or word in found.values() else word
    return {name: found[name] for name in names}


def as_text(values: np.ndarray) -> np.ndarray:
    """Return bytes and objects as texts of a fixed width; numbers as they are."""
    values = np.asarray(values)
    if values.dtype.kind == "S":
        return np.char.decode(values, "utf-8", "replace")
    if values.dtype.kind == "O":
        flat = [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in values.ravel().tolist()]
        texts = any(isinstance(value, str) for value in flat)
        return np.array([str(value) for value in flat] if texts else flat).reshape(values.shape)
    return values


def responses_from(
    arrays: Mapping[str, np.ndarray], said: Said, *, source: str, tables: Mapping[str, Mapping[str, np.ndarray]] | None = None
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
        Of the arrays, for messages.
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
        raise NeurofitError(f"{source}: {name} holds {values.dtype}, responses are numbers.")
    placed = {dim: in_our_words(columns, said.words) for dim, columns in (tables or {}).items()}
    lengths = {dim: len(next(iter(columns.values()))) for dim, columns in placed.items()}
    dims = _find_dims(values, ours, said, lengths, source=f"{source}: {name}")
    missing = said.missing if said.missing is not None else _scalar(ours.pop("missing", None))
    trials = values.astype(np.float32)
    if missing is not None:
        trials[values == missing] = np.nan
    coords = _coords(ours, placed, dict(zip(dims, values.shape, strict=True)), said, source=source)
    attrs = {key: text for key in TOLD if (text := _scalar_text(ours.get(key))) is not None}
    array = xr.DataArray(trials, dims=dims, attrs=attrs | {"units": said.units or attrs.get("units") or _units(name, values)})
    for dim in ("time_bin", "neuroid"):
        if dim not in dims:
            array = array.expand_dims(dim)
    return _one_row_a_trial(array, coords)


def _responses_name(arrays: Mapping[str, np.ndarray], source: str) -> str:
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


def _find_dims(values: np.ndarray, arrays: dict[str, np.ndarray], said: Said, tables: Mapping[str, int], *, source: str) -> tuple[str, ...]:
    given: Sequence[str] | None = said.dims
    if given is None and "dims" in arrays:
        given = [str(dim) for dim in np.atleast_1d(arrays.pop("dims"))]
    if given is None:
        given = _dims_by_length(values.shape, arrays, tables, source)
    wrong = [dim for dim in given if dim not in AXES]
    if len(given) != values.ndim or len(set(given)) != len(given) or wrong:
        raise NeurofitError(f"{source} {values.shape} needs a name for each axis, of {', '.join(AXES)}; got {', '.join(given) or 'none'}.")
    if ("presentation" in given) == ("stimulus" in given):
        raise NeurofitError(f"{source} needs either an axis presentation, or stimulus (and repetition); got {', '.join(given)}.")
    return tuple(given)


def _dims_by_length(shape: tuple[int, ...], arrays: Mapping[str, np.ndarray], tables: Mapping[str, int], source: str) -> list[str]:
    lengths: dict[str, int] = dict(tables)
    if "presentation" in lengths:
        lengths.pop("stimulus", None)  # a table of the pictures only
    for word, dim in DIM_OF.items():
        if word in arrays and arrays[word].ndim == 1:
            lengths.setdefault(dim, len(arrays[word]))
    if "repetition" in lengths and lengths["repetition"] == lengths.get("stimulus"):  # a row for each trial
        lengths["presentation"] = lengths.pop("repetition")
        del lengths["stimulus"]
    dims: list[str] = []
    for axis, n in enumerate(shape):
        fitting = [dim for dim, length in lengths.items() if length == n and dim not in dims]
        if len(fitting) > 1 or shape.count(n) > 1:
            raise NeurofitError(
                f"{source} {shape}: axis {axis} of length {n} may be several things. Name the axes: dims in NAME.json beside it."
            )
        dims.append(fitting[0] if fitting else "")
    left = [dim for dim in ("repetition", "time_bin", "neuroid") if dim not in dims and dim not in lengths]
    if dims.count("") == 1 and "stimulus" in dims:
        if len(left) > 1:
            said = f"axis {dims.index('')} of length {shape[dims.index('')]} may be {' or '.join(left)}"
            raise NeurofitError(f"{source} {shape}: {said}. Name the axes: dims in NAME.json beside it.")
        dims[dims.index("")] = left[0]
    if "" in dims:
        raise NeurofitError(
            f"{source} {shape}: no coordinate is as long as axis {dims.index('')}. Add arrays such as stimulus_id, neuroid_id and "
            "time_bin_start, or name the axes: dims in NAME.json beside the file."
        )
    return dims


def _coords(
    arrays: Mapping[str, np.ndarray], tables: Mapping[str, Mapping[str, np.ndarray]], sizes: Mapping[str, int], said: Said, *, source: str
) -> dict[str, tuple[str, np.ndarray]]:
    coords: dict[str, tuple[str, np.ndarray]] = {}
    axes = {str(name): str(dim) for name, dim in np.atleast_2d(arrays.get("axes", np.empty((0, 2), dtype=str)))}
    for dim, columns in tables.items():
        if dim in sizes or dim in ("neuroid", "time_bin"):
            coords |= {name: (dim, values) for name, values in columns.items()}
            wrong = next((name for name, values in columns.items() if len(values) != sizes.get(dim, 1)), None)
            if wrong:
                raise NeurofitError(
                    f"{source}: {wrong} has {len(columns[wrong])} values, but the responses have {sizes.get(dim, 1)} along {dim}."
                )
    for name, values in arrays.items():
        if values.ndim != 1 or name == "bin_width_ms" or name in coords:
            continue
        known = axes.get(name) or DIM_OF.get(name)
        if known in ("stimulus", "repetition") and "presentation" in sizes:
            known = "presentation"
        fitting = [known] if known else [dim for dim, n in sizes.items() if n == len(values)]
        if len(fitting) == 1 and sizes.get(fitting[0], 1) == len(values):
            coords[name] = (fitting[0], values)
        elif known:
            raise NeurofitError(f"{source}: {name} has {len(values)} values, but the responses have {sizes.get(known, 1)} along {known}.")
    n_neuroids = sizes.get("neuroid", 1)
    for name, value in (("region", said.region or _scalar_text(arrays.get("region"))), ("subject", said.subject)):
        if name not in coords and value is not None:
            coords[name] = ("neuroid", np.full(n_neuroids, value))
    if "region" not in coords:
        raise NeurofitError(f'{source} does not say which area was recorded. Write {{"region": "IT"}} into NAME.json beside it.')
    coords.setdefault("neuroid_id", ("neuroid", np.array([f"{Path(source).stem}-{number:04d}" for number in range(n_neuroids)])))
    rows = "presentation" if "presentation" in sizes else "stimulus"
    if "stimulus_id" not in coords:
        raise NeurofitError(f"{source} does not say what was shown. Add an array stimulus_id, of {sizes[rows]} values.")
    coords |= _bin_coords(arrays, coords, sizes, said, source)
    return coords


def _bin_coords(
    arrays: Mapping[str, np.ndarray], coords: Mapping[str, tuple[str, np.ndarray]], sizes: Mapping[str, int], said: Said, source: str
) -> dict[str, tuple[str, np.ndarray]]:
    if "time_bin_start" in coords and "time_bin_end" in coords:
        return {}
    starts: np.ndarray | None = coords["time_bin_start"][1] if "time_bin_start" in coords else None
    if starts is not None and starts.dtype.kind in "iuf":
        ends = _ends(starts.astype(np.float64), _scalar(arrays.get("bin_width_ms")), source)
        if ends is not None:
            return {"time_bin_end": ("time_bin", ends)}
    if sizes.get("time_bin", 1) == 1 and said.time_bin is not None:
        return {"time_bin_start": ("time_bin", np.array([said.time_bin[0]])), "time_bin_end": ("time_bin", np.array([said.time_bin[1]]))}
    raise NeurofitError(
        f"{source} does not say when its {sizes.get('time_bin', 1)} time bins are. Add time_bin_start and time_bin_end (ms from onset), "
        'or, for a single one, say --time-bin 50:150 or {"time_bin": [50, 150]} in NAME.json beside the file.'
    )


def _ends(starts: np.ndarray, width: float | None, source: str) -> np.ndarray | None:
    """Return the ends of bins of which the starts are known, and perhaps the width; None: of a single one it is not known."""
    listed = f"{', '.join(f'{start:g}' for start in starts[:4])}{', ...' * (len(starts) > 4)}"
    if width is None:
        if len(starts) < 2:
            return None
        widths = np.unique(np.diff(starts))
        if len(widths) > 1:
            raise NeurofitError(
                f"{source}: bins that start at {listed} ms are not evenly spaced, so where they end has to be said: time_bin_end."
            )
        width = float(widths[0])
    if not (np.append(starts, width) % 1 == 0).all() or width <= 0:
        raise NeurofitError(f"{source}: time bins are whole ms; they start at {listed} ms and are {width:g} ms wide.")
    return np.asarray(starts + width).astype(np.int64)


def _one_row_a_trial(array: xr.DataArray, coords: Mapping[str, tuple[str, np.ndarray]]) -> xr.DataArray:
    """Return (presentation neuroid time_bin) of an array that may have stimulus and repetition; trials nobody had are left out."""
    if "presentation" in array.dims:
        array = array.transpose("presentation", "neuroid", "time_bin").assign_coords(coords)
        if "repetition" not in array.coords:
            array = array.assign_coords(repetition=("presentation", count_up(array.stimulus_id.values)))
        return array
    ids, times = np.unique(coords["stimulus_id"][1], return_counts=True)
    if "repetition" in array.dims and (times > 1).any():
        raise NeurofitError(f"stimulus_id is unique along the axis stimulus; {ids[times.argmax()]} occurs {times.max()} times.")
    if (times > 1).any():
        array = array.rename(stimulus="presentation")  # a stimulus has several rows: a row is a trial
        along = {name: ("presentation" if dim == "stimulus" else dim, values) for name, (dim, values) in coords.items()}
        return _one_row_a_trial(array, along)
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


def number_told(told: Mapping[str, Any], key: str, source: str | Path) -> float | None:
    """Return a positive number that a file says of itself; None if it says nothing."""
    if key not in told:
        return None
    try:
        number = float(told[key])
    except ValueError:
        number = np.nan
    if not 0 < number < np.inf:
        raise NeurofitError(f"{source}: {key} is a positive number; got {str(told[key])[:60]!r}.")
    return number


def was_simulated(told: Mapping[str, Any]) -> bool:
    """Return whether a file says of itself that it was simulated."""
    return str(told.get("simulated", 0)).lower() in ("1", "true")


def _scalar(values: np.ndarray | None) -> float | None:
    return float(values.ravel()[0]) if values is not None and values.size == 1 and values.dtype.kind in "iuf" else None


def _scalar_text(values: np.ndarray | None) -> str | None:
    return str(values.ravel()[0]) if values is not None and values.size == 1 else None
