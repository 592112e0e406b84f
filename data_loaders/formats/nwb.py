"""Read Neurodata Without Borders files: spike counts around the onsets of a trials table.

Several sessions (a folder of .nwb files) are joined; a unit that a session did not record is NaN in
its trials. Needs pynwb (extra nwb).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neurofit.data_loaders.formats.limits import HDF5, dataset_nbytes, refuse_large, short
from neurofit.data_loaders.formats.named import number_repetitions
from neurofit.data_loaders.formats.names import as_text
from neurofit.data_loaders.formats.probe import check_hdf5
from neurofit.data_loaders.formats.sidecar import Sidecar, read_sidecar, sidecar_path
from neurofit.data_loaders.formats.spikes import BINS, count_spikes
from neurofit.data_loaders.formats.tables import as_text_column
from neurofit.errors import NeurofitError, fault, some_of
from neurofit.recordings.time_bins import make_time_bins

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
ONSET = ("stimulus_onset", "stim_on", "stimulus_start", "onset", "onset_time", "start_time")
REGION = ("region", "area", "brain_area", "location")
"""Column names that are searched, in this order."""

ROUNDING = 1e-6
"""Tolerance in seconds for equal times."""


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
    for file in files:
        with open_nwb(file) as nwb:
            sessions.append(_read_session(nwb, file, sidecar, sidecar_file=sidecar_path(path)))
    names = [file.stem for file in files]
    return sessions[0] if len(sessions) == 1 else _join_sessions(sessions, names)


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
    """Return the trials with an onset, and the names of the stimulus and onset (s) columns.

    Raises
    ------
    NeurofitError
        If the file has no units, no trials, no such columns, or no onset.
    """
    if nwb.units is None or "spike_times" not in nwb.units.colnames or nwb.trials is None:
        raise NeurofitError(f"{file} needs units with spike times and a table of trials.")
    trials = nwb.trials.to_dataframe()
    stimulus = find_column(trials, STIMULUS, sidecar, "stimulus_id")
    onset = find_column(trials, ONSET, sidecar, "onset")
    if stimulus is None or onset is None:
        raise NeurofitError(
            f"{file}: the trials need a column of stimuli ({', '.join(STIMULUS[:4])} ...) and one "
            f"of onsets; they have {', '.join(map(str, trials))}."
        )
    trials = trials[np.isfinite(trials[onset].to_numpy(dtype=np.float64))]
    if not len(trials):
        raise NeurofitError(f"{file}: no trial has an onset; the column {onset} has no numbers.")
    return trials, stimulus, onset


def texts(column: pd.Series[Any]) -> np.ndarray:
    """Return a column of a table as strings."""
    return as_text(column.to_numpy(dtype=object)).astype(str)


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


def _read_session(nwb: Any, file: Path, sidecar: Sidecar, *, sidecar_file: Path) -> xr.DataArray:
    (trials, stimulus, onset), units = read_trials(nwb, file, sidecar), nwb.units
    rows = pd.DataFrame(
        {"presentation": np.arange(len(trials)), "stimulus_id": texts(trials[stimulus])}
    )
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
    sites = pd.DataFrame({"neuroid_id": _ids(nwb, file, sidecar), "region": regions})
    if subject is not None:
        sites["subject"] = subject
    bins = make_time_bins(*(sidecar.bins or BINS))
    # the tolerance keeps spikes on the first edge; count_spikes assigns them to bins
    begin, end = bins[0][0] / 1e3 - ROUNDING, bins[-1][1] / 1e3
    onsets = trials[onset].to_numpy(dtype=np.float64)
    spike_units, spike_times, spike_trials, n_spikes, n_all = [], [], [], 0, 0
    _check_index(units, file)
    for number in range(len(sites)):
        times = np.sort(np.asarray(units.get_unit_spike_times(number), dtype=np.float64))
        if not np.isfinite(times).all():
            n_invalid = int((~np.isfinite(times)).sum())
            fault(f"{file}: {n_invalid} spike times of unit {units.id[number]} are not numbers.")
            times = times[np.isfinite(times)]
        first, last = np.searchsorted(times, onsets + begin), np.searchsorted(times, onsets + end)
        counts = last - first
        n_spikes, n_all = n_spikes + int(counts.sum()), n_all + len(times)
        refuse_large(
            f"Spikes around the trials of {file}",
            n_values=0,
            n_bytes=24 * n_spikes,
            stored=file.stat().st_size,
        )
        at = (
            np.arange(counts.sum())
            - np.repeat(np.cumsum(counts) - counts, counts)
            + np.repeat(first, counts)
        )
        trial = np.repeat(np.arange(len(onsets)), counts)
        spike_units.append(np.full(len(at), number))
        spike_trials.append(trial)
        spike_times.append(1e3 * (times[at] - onsets[trial]))
    if n_all and not n_spikes:
        fault(
            f"{file}: none of {n_all:,} spikes lies near a trial. Spike times and onsets must both "
            "be in seconds from the start of the session."
        )
    spikes = pd.DataFrame(
        {
            "neuroid_id": sites.neuroid_id.to_numpy()[np.concatenate(spike_units)],
            "presentation": np.concatenate(spike_trials),
        }
    )
    times_ms = np.round(np.concatenate(spike_times), 6)
    responses = count_spikes(spikes, rows, sites, bins=bins, times_ms=times_ms, source=file)
    if "obs_intervals" in units.colnames:
        for number in range(len(sites)):
            observed = _observed(units, number, file, onsets[:, None, None] + np.array(bins) / 1e3)
            responses.values[:, number][~observed] = np.nan
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


def _ids(nwb: Any, file: Path, sidecar: Sidecar) -> list[str]:
    """Return unit ids from a column `neuroid_id`, shared by sessions, else SESSION-NUMBER."""
    given = [name for name, word in sidecar.words.items() if word == "neuroid_id"]
    name = next(iter(given), "neuroid_id")
    if name in nwb.units.colnames:
        own = as_text_column(pd.Series(np.asarray(nwb.units[name][:])))
        if "" in own:
            raise NeurofitError(
                f"{file}: every unit needs a {name}; it is missing in unit {own.index('')}."
            )
        several = sorted({each for each in own if own.count(each) > 1})
        if several:
            raise NeurofitError(
                f"{file}: {name} must be unique; several units are called {some_of(several)}."
            )
        return own
    return [f"{nwb.identifier}-{number}" for number in nwb.units.id[:]]


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
    return xr.DataArray(
        trials, dims=("presentation", "neuroid", "time_bin"), coords=coords, attrs=sessions[0].attrs
    )
