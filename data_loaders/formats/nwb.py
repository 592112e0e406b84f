"""Read Neurodata Without Borders files: spike counts around the onsets of a trials table.

Several sessions (a folder of .nwb files) are joined; a unit that a session did not record is NaN in
its trials. Needs pynwb (extra nwb).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neurofit.data_loaders.formats.limits import HDF5, dataset_nbytes, refuse_large, short
from neurofit.data_loaders.formats.probe import check_hdf5
from neurofit.data_loaders.formats.sidecar import Sidecar, read_sidecar, sidecar_path
from neurofit.data_loaders.formats.spikes import BINS, as_responses, empty_counts
from neurofit.errors import NeurofitError, NeurofitWarning, counted, fault, report
from neurofit.recordings.identifiers import (
    MORE_PRECISE,
    are_numbers,
    as_identifiers,
    as_texts,
    block_fault,
    fixed_width,
    is_missing,
    neuroid_faults,
    number_repetitions,
)
from neurofit.recordings.lazy import PROCESSING
from neurofit.recordings.recording import DIMS
from neurofit.recordings.time_bins import make_time_bins
from neurofit.recordings.times import ASSUMED, ONSET, ROUNDING, clock_faults, onset_faults, twinned

STIMULUS = (
    "stimulus_id",
    "image_id",
    "stimulus",
    "stim_id",
    "image",
    "stimulus_name",
    "condition",
    "stimulus_filename",
    "stimulus_presented",
)
ONSETS = (
    "stimulus_onset",
    "stimulus_onset_time",
    "stimulus_on_time",
    "stimulus_start",
    "stimulus_start_time",
    "stim_onset",
    "stim_on",
    "stim_on_time",
    "image_onset",
    "image_on",
    "onset",
    "onset_time",
    "start_time",
)
REGION = ("region", "area", "brain_area", "location")
"""Column names that are searched, in this order."""


def recognises(path: Path, head: bytes) -> bool:
    """Return whether a path is an NWB file (HDF5 with nwb_version) or a folder of .nwb files."""
    if path.is_dir():
        return any(path.glob("*.nwb"))
    if not head.startswith(HDF5):
        return False
    import h5py

    with h5py.File(path, "r") as file:
        return "nwb_version" in file.attrs


def read_nwb(path: Path) -> xr.DataArray:
    """Return spike counts (presentation neuroid time_bin) of an NWB file or folder of sessions.

    Raises
    ------
    NeurofitError
        If pynwb is not installed, or a file lacks units, trials, or a column of stimuli.
    """
    try:
        import pynwb  # noqa: F401 - checked first
    except ImportError as error:
        raise NeurofitError("Reading NWB needs pynwb: pip install 'neurofit[nwb]'.") from error
    sidecar = read_sidecar(path)
    files = session_files(path)
    sessions = []
    names: dict[str, Path] = {}
    for file in files:
        with open_nwb(file) as nwb:
            name = str(nwb.identifier)
            other = names.setdefault(name, file)
            if other != file:
                name = file.stem
                warnings.warn(
                    f"{other.name} and {file.name} have the identifier {nwb.identifier!r}: if they "
                    f"are one session, keep one. Units of {file.name} are called {name}-NUMBER.",
                    NeurofitWarning,
                    stacklevel=2,
                )
            ids = _ids(nwb, file, sidecar, name, alone=len(files) == 1)
            sessions.append(_read_session(nwb, ids, file, sidecar, sidecar_file=sidecar_path(path)))
    stems = [file.stem for file in files]
    return sessions[0] if len(sessions) == 1 else _join_sessions(sessions, stems)


def session_files(path: Path) -> list[Path]:
    """Return the .nwb files of a folder, sorted by name, or the file itself."""
    return sorted(path.glob("*.nwb")) if path.is_dir() else [path]


@contextmanager
def open_nwb(file: Path) -> Iterator[Any]:
    """Open an NWB file as a context manager; errors while reading it become NeurofitError.

    Raises
    ------
    NeurofitError
        If the file is damaged, or declares more data than it can contain.
    """
    import pynwb

    check_hdf5(file)
    _check_declared(file)
    try:
        with pynwb.NWBHDF5IO(str(file), "r", load_namespaces=True) as io:
            yield io.read()
    except NeurofitError:
        raise
    except Exception as error:  # pynwb and hdmf may raise any error on damaged files
        *_, cause = error.args or (error,)  # hdmf puts the cause last, after a long description
        cause = cause if isinstance(cause, Exception) else type(error)(cause)
        raise NeurofitError(f"Cannot read {file} as NWB: {short(cause)}.") from error


def read_trials(nwb: Any, file: Path, sidecar: Sidecar) -> tuple[pd.DataFrame, str, str]:
    """Return the trials that show a stimulus, and the names of the stimulus and onset (s) columns.

    A trial without an onset or a stimulus (a gray screen, say) showed none.

    Raises
    ------
    NeurofitError
        If the file has no units, no trials, no such columns, or no onset.
    """
    if nwb.units is None or "spike_times" not in nwb.units.colnames or nwb.trials is None:
        raise NeurofitError(f"{file} needs units with spike times and a table of trials.")
    trials = nwb.trials.to_dataframe()
    stimulus = find_column(trials, STIMULUS, sidecar, "stimulus_id")
    onset = find_column(trials, ONSETS, sidecar, "onset")
    if stimulus is None or onset is None:
        raise NeurofitError(
            f"{file}: the trials need a column of stimuli ({', '.join(STIMULUS[:4])} ...) and one "
            f"of onsets; they have {', '.join(map(str, trials))}."
        )
    trials = trials[np.isfinite(trials[onset].to_numpy(dtype=np.float64))]
    trials = trials[~is_missing(texts(trials[stimulus]))]
    if not len(trials):
        raise NeurofitError(f"{file}: no trial has an onset; the column {onset} has no numbers.")
    return trials, stimulus, onset


def texts(column: pd.Series[Any]) -> np.ndarray:
    """Return a column of a table as strings."""
    own = as_identifiers(column.to_numpy(dtype=object), name=str(column.name))
    return fixed_width(as_texts(own.tolist(), name=str(column.name)), name=str(column.name))


def _check_declared(file: Path) -> None:
    """Refuse implausible sizes of tables (units, electrodes, trials), which are read whole."""
    import h5py

    sizes: dict[tuple[int, int], float] = {}

    def add(item: Any) -> None:
        """Add the sizes of all datasets reachable from an item by links and references."""
        info = h5py.h5o.get_info(item.id)
        if (info.fileno, info.addr) in sizes:
            return
        sizes[info.fileno, info.addr] = (
            dataset_nbytes(item) if isinstance(item, h5py.Dataset) else 0.0
        )
        members = [item.get(name) for name in item] if isinstance(item, h5py.Group) else []
        referenced = [
            item.file[value]
            for value in item.attrs.values()
            if isinstance(value, h5py.Reference) and value
        ]
        for each in [*members, *referenced]:
            if isinstance(each, h5py.Group | h5py.Dataset):
                add(each)

    try:
        with h5py.File(file, "r") as root:
            for group in ("units", "intervals", "general/extracellular_ephys"):
                if isinstance(root.get(group), h5py.Group):
                    add(root[group])
    except Exception as error:
        raise NeurofitError(f"Cannot read {file} as NWB: {short(error)}.") from error
    refuse_large(file, n_values=0, n_bytes=sum(sizes.values()), stored=file.stat().st_size)


def _read_session(
    nwb: Any, ids: list[str], file: Path, sidecar: Sidecar, *, sidecar_file: Path
) -> xr.DataArray:
    (trials, stimulus, onset), units = read_trials(nwb, file, sidecar), nwb.units
    shown = texts(trials[stimulus])
    onsets, begun, ended = (
        trials[name].to_numpy(dtype=np.float64) for name in (onset, "start_time", "stop_time")
    )
    columns = {str(name): texts(trials[name]) for name in trials if name in MORE_PRECISE}
    columns.pop(stimulus, None)
    faults = onset_faults(onsets, starts=begun, stops=ended, name=onset)
    report(file, [*faults, block_fault(shown, columns)])
    rows = pd.DataFrame({"presentation": np.arange(len(trials)), "stimulus_id": shown})
    for name in trials:
        if trials[name].dtype.kind in "iufb" and name not in (
            stimulus,
            onset,
            "start_time",
            "stop_time",
            *rows,
        ):
            rows[str(name)] = trials[name].to_numpy()
    regions = _regions(units, sidecar, file, sidecar_file=sidecar_file)
    subject = sidecar.subject or (nwb.subject.subject_id if nwb.subject is not None else None)
    sites = pd.DataFrame({"neuroid_id": ids, "region": regions})
    if subject is not None:
        sites["subject"] = subject
    bins = make_time_bins(*(sidecar.bins or BINS))
    # half of the tolerance keeps spikes on an edge in the bin that begins there
    edges = np.array([bins[0][0], *(end for _, end in bins)]) / 1e3 - ROUNDING / 2e3
    counts = empty_counts(rows, sites, bins=bins, source=file)
    n_spikes, first, last, n_descents, least = 0, np.inf, -np.inf, 0, 2**62
    _check_index(units, file)
    for number in range(len(sites)):
        times = np.asarray(units.get_unit_spike_times(number), dtype=np.float64)
        n_descents = max(n_descents, int((np.diff(times) < -ROUNDING).sum()))
        if n_invalid := int((~np.isfinite(times)).sum()):
            fault(f"{file}: {n_invalid} spike times of unit {units.id[number]} are not numbers.")
        times = np.sort(times[np.isfinite(times)])
        least = min([least, *np.unique(times, return_counts=True)[1].tolist()])
        counts[:, number] = np.diff(np.searchsorted(times, onsets[:, None] + edges))
        n_spikes += len(times)
        first, last = min([first, *times[:1]]), max([last, *times[-1:]])
    if n_spikes and not counts.any():
        fault(
            f"{file}: none of {n_spikes:,} spikes lies near a trial. Spike times and onsets must "
            "both be in seconds from the start of the session."
        )
    elif n_spikes:
        clock = clock_faults(first, last, n_descents, onsets)
        report(file, [*clock, twinned(least, n_spikes)])
    responses = as_responses(counts, rows, sites, bins=bins)
    if "obs_intervals" in units.colnames:
        for number in range(len(sites)):
            observed = _observed(units, number, file, onsets[:, None, None] + np.array(bins) / 1e3)
            responses.values[:, number][~observed] = np.nan
    assumed = onset == "start_time" and onset not in sidecar.words
    responses.attrs[ONSET] = f"start of the trial {ASSUMED}" if assumed else onset
    n_left = len(nwb.trials) - len(trials)
    if n_left:
        responses.attrs[PROCESSING] = (
            f"Left out {counted(n_left, 'trial')} of {file.name} without {onset} or {stimulus}."
        )
    return responses


def _observed(units: Any, number: int, file: Path, windows: np.ndarray) -> np.ndarray:
    """Return whether a unit was observed during each window (..., start and end in seconds).

    A unit without intervals was observed throughout.
    """
    intervals = np.asarray(units["obs_intervals"][number], dtype=np.float64)
    if not intervals.size:
        return np.ones(windows.shape[:-1], dtype=bool)
    if intervals.ndim != 2 or intervals.shape[1] != 2 or (np.diff(intervals) < 0).any():
        fault(
            f"{file}: obs_intervals must be rows of start and end; "
            f"those of unit {units.id[number]} are not."
        )
        return np.ones(windows.shape[:-1], dtype=bool)
    intervals = intervals[np.argsort(intervals[:, 0])]
    ends = np.maximum.accumulate(intervals[:, 1])
    apart = np.flatnonzero(intervals[1:, 0] > ends[:-1] + ROUNDING)  # adjacent ones are merged
    starts, ends = intervals[np.r_[0, apart + 1], 0], ends[np.r_[apart, -1]]
    within = np.searchsorted(starts, windows[..., 0] + ROUNDING, side="right") - 1
    return np.asarray((within >= 0) & (windows[..., 1] <= ends[within] + ROUNDING))


def _check_index(units: Any, file: Path) -> None:
    """Refuse an index of spike times that does not increase from 0 to their number."""
    column = units["spike_times"]
    ends = np.asarray(column.data[:])
    if (
        ends.dtype.kind not in "iu"
        or len(ends) != len(units.id)
        or (np.diff([0, *ends.tolist()]) < 0).any()
        or ends[-1] > len(column.target)
    ):
        raise NeurofitError(
            f"{file} is damaged: the index of its spike times does not increase from 0 to their "
            f"number, {len(column.target):,}."
        )


def find_column(
    table: pd.DataFrame, names: tuple[str, ...], sidecar: Sidecar, standard: str
) -> str | None:
    """Return the column that the sidecar gives for a standard name, else the first of `names`."""
    given = [name for name, word in sidecar.words.items() if word == standard][:1]
    return next((name for name in (*given, *names) if name in table), None)


def _ids(nwb: Any, file: Path, sidecar: Sidecar, session: str, *, alone: bool) -> list[str]:
    """Return unit ids from a column `neuroid_id`, shared by sessions, else SESSION-NUMBER.

    Numbers in that column are not shared by sessions, see `are_numbers`.
    """
    if nwb.units is None:
        return []  # reported with the trials
    given = [name for name, word in sidecar.words.items() if word == "neuroid_id"]
    name = next(iter(given), "neuroid_id")
    if name not in nwb.units.colnames:
        return [f"{session}-{number}" for number in nwb.units.id[:]]
    own = texts(pd.Series(list(nwb.units[name][:]), name=name, dtype=object)).tolist()
    report(file, neuroid_faults(np.array(own)))
    return [f"{session}-{each}" for each in own] if are_numbers(own) and not alone else own


def _regions(units: Any, sidecar: Sidecar, file: Path, *, sidecar_file: Path) -> list[str]:
    for name in REGION:
        if name in units.colnames:
            return [str(value) for value in units[name][:]]
    if "electrodes" in units.colnames:
        regions = []
        for number in range(len(units.id)):
            electrodes = units["electrodes"][number]
            column = next((each for each in REGION if each in electrodes), None)
            if column is None:
                break
            regions.append(str(electrodes[column].iloc[0]))
        else:
            return regions
    if sidecar.region is None:
        fault(
            f"{file} does not state the area of its units: no region or electrodes. "
            f'Write {{"region": "IT"}} into {sidecar_file}.'
        )
    return [sidecar.region or ""] * len(units.id)


def _join_sessions(sessions: list[xr.DataArray], names: list[str]) -> xr.DataArray:
    """Concatenate sessions along presentation; units with the same id are the same neuroid."""
    shared = sorted(set.intersection(*(set(map(str, s.coords)) for s in sessions)))
    ids = list(dict.fromkeys(str(i) for s in sessions for i in s.neuroid_id.values))
    column = {name: number for number, name in enumerate(ids)}
    n_rows = sum(s.sizes["presentation"] for s in sessions)
    trials = np.full((n_rows, len(ids), sessions[0].sizes["time_bin"]), np.nan, dtype=np.float32)
    begin = 0
    for session in sessions:
        end = begin + session.sizes["presentation"]
        trials[begin:end, [column[str(i)] for i in session.neuroid_id.values]] = session.values
        begin = end
    coords: dict[str, Any] = {}
    for name in shared:
        dim = str(sessions[0][name].dims[0])
        if dim == "presentation":
            coords[name] = (dim, np.concatenate([s[name].values for s in sessions]))
        elif dim == "neuroid":
            known: dict[str, Any] = {}
            for session in sessions:
                for i, value in zip(session.neuroid_id.values, session[name].values, strict=True):
                    if known.setdefault(str(i), value) != value:
                        raise NeurofitError(
                            f"NWB sessions disagree: neuroid {i} has the {name} {known[str(i)]} in "
                            f"one and {value} in another. Units with the same id are one neuroid."
                        )
            coords[name] = (dim, np.array([known[i] for i in ids]))
        else:
            coords[name] = (dim, sessions[0][name].values)
    coords["session"] = (
        "presentation",
        np.repeat(names, [s.sizes["presentation"] for s in sessions]),
    )
    coords["repetition"] = ("presentation", number_repetitions(coords["stimulus_id"][1]))
    attrs = dict(sessions[0].attrs)
    for name, between in ((ONSET, "; "), (PROCESSING, " ")):
        said = dict.fromkeys(str(s.attrs[name]) for s in sessions if name in s.attrs)
        attrs |= {name: between.join(said)} if said else {}
    return xr.DataArray(trials, dims=DIMS, coords=coords, attrs=attrs)
