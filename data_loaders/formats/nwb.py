"""Neurodata Without Borders: spike times of units around the onsets of a trials table, counted into bins; needs pynwb (extra nwb).

Several sessions (a folder of .nwb) are joined: a unit that a session did not record is NaN in its trials.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neurofit.data_loaders.formats.limits import HDF5, bytes_of, refuse_large, short
from neurofit.data_loaders.formats.named import count_up
from neurofit.data_loaders.formats.probe import check_hdf5
from neurofit.data_loaders.formats.sidecar import Said, said_beside, sidecar_of
from neurofit.data_loaders.formats.spikes import BINS, counted
from neurofit.data_loaders.formats.tables import as_written
from neurofit.data_loaders.formats.words import as_text
from neurofit.errors import NeurofitError, fault, some_of
from neurofit.time_bins import make_time_bins

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
"""Columns that are looked for, in this order."""

ROUNDING = 1e-6
"""Seconds by which times that are meant to be the same may differ."""


def recognises(path: Path, head: bytes) -> bool:
    """Return whether a file is NWB (HDF5 that says its nwb_version), or a folder of such."""
    if path.is_dir():
        return any(path.glob("*.nwb"))
    if not head.startswith(HDF5):
        return False
    import h5py

    with h5py.File(path, "r") as file:
        return "nwb_version" in file.attrs


def read_nwb(path: Path) -> xr.DataArray:
    """Return spike counts (presentation neuroid time_bin) of an NWB file or of a folder of sessions.

    Raises
    ------
    NeurofitError
        If pynwb is not installed, or a file lacks units, trials, or a column of stimuli.
    """
    try:
        import pynwb  # noqa: F401 - to say so before anything else
    except ImportError as error:
        raise NeurofitError("Reading NWB needs pynwb: pip install 'neurofit[nwb]'.") from error
    said = said_beside(path)
    files = files_of(path)
    sessions = []
    for file in files:
        with opened(file) as nwb:
            sessions.append(_session(nwb, file, said, beside=sidecar_of(path)))
    return sessions[0] if len(sessions) == 1 else _joined(sessions, [file.stem for file in files])


def files_of(path: Path) -> list[Path]:
    """Return the sessions of a recording: the files of a folder, in the order of their names, or the file itself."""
    return sorted(path.glob("*.nwb")) if path.is_dir() else [path]


@contextmanager
def opened(file: Path) -> Iterator[Any]:
    """Open an NWB file for as long as it is read; what goes wrong meanwhile is said of the file.

    Raises
    ------
    NeurofitError
        If it is damaged, or declares more than it holds.
    """
    import pynwb

    check_hdf5(file)
    _check_declared(file)
    try:
        with pynwb.NWBHDF5IO(str(file), "r", load_namespaces=False) as io:
            yield io.read()
    except NeurofitError:
        raise
    except Exception as error:  # pynwb and hdmf raise nearly anything on broken files
        *_, said = error.args or (error,)  # hdmf's errors begin with what they were building, at length
        raise NeurofitError(f"Cannot read {file} as NWB: {short(said if isinstance(said, Exception) else type(error)(said))}.") from error


def trials_of(nwb: Any, file: Path, said: Said) -> tuple[pd.DataFrame, str, str]:
    """Return the table of trials, and its columns that say what was shown, and when (in seconds); what has no onset was not shown.

    Raises
    ------
    NeurofitError
        If the file has no units, no trials, no column of either, or no onset.
    """
    if nwb.units is None or "spike_times" not in nwb.units.colnames or nwb.trials is None:
        raise NeurofitError(f"{file} needs units with spike times and a table of trials.")
    trials = nwb.trials.to_dataframe()
    stimulus, onset = column_of(trials, STIMULUS, said, "stimulus_id"), column_of(trials, ONSET, said, "onset")
    if stimulus is None or onset is None:
        raise NeurofitError(
            f"{file}: the trials need a column of stimuli ({', '.join(STIMULUS[:4])} ...) and of onsets; "
            f"they have {', '.join(map(str, trials))}."
        )
    trials = trials[np.isfinite(trials[onset].to_numpy(dtype=np.float64))]
    if not len(trials):
        raise NeurofitError(f"{file}: no trial has an onset; the column {onset} has no number.")
    return trials, stimulus, onset


def texts(column: pd.Series[Any]) -> np.ndarray:
    """Return a column of a table as texts."""
    return as_text(column.to_numpy(dtype=object)).astype(str)


def _check_declared(file: Path) -> None:
    """Refuse a file whose tables of units, electrodes and trials, which are read whole, declare more than it holds."""
    import h5py

    sizes: dict[tuple[int, int], float] = {}

    def add(item: Any) -> None:
        """Add up what there is below an item, wherever links and references lead."""
        info = h5py.h5o.get_info(item.id)
        if (info.fileno, info.addr) in sizes:
            return
        sizes[info.fileno, info.addr] = bytes_of(item) if isinstance(item, h5py.Dataset) else 0.0
        below = [item.get(name) for name in item] if isinstance(item, h5py.Group) else []
        named = [item.file[value] for value in item.attrs.values() if isinstance(value, h5py.Reference) and value]
        for each in [*below, *named]:
            if isinstance(each, h5py.Group | h5py.Dataset):
                add(each)

    try:
        with h5py.File(file, "r") as held:
            for group in ("units", "intervals", "general/extracellular_ephys"):
                if isinstance(held.get(group), h5py.Group):
                    add(held[group])
    except Exception as error:
        raise NeurofitError(f"Cannot read {file} as NWB: {short(error)}.") from error
    refuse_large(file, n_values=0, n_bytes=sum(sizes.values()), stored=file.stat().st_size)


def _session(nwb: Any, file: Path, said: Said, *, beside: Path) -> xr.DataArray:
    (trials, stimulus, onset), units = trials_of(nwb, file, said), nwb.units
    rows = pd.DataFrame({"presentation": np.arange(len(trials)), "stimulus_id": texts(trials[stimulus])})
    for name in trials:
        if trials[name].dtype.kind in "iufb" and name not in (stimulus, onset, "start_time", "stop_time", *rows):
            rows[str(name)] = trials[name].to_numpy()
    regions = _regions(units, said, file, beside=beside)
    subject = said.subject or (nwb.subject.subject_id if nwb.subject is not None else None)
    sites = pd.DataFrame({"neuroid_id": _ids(nwb, file, said), "region": regions})
    if subject is not None:
        sites["subject"] = subject
    bins = make_time_bins(*(said.bins or BINS))
    begin, end = bins[0][0] / 1e3 - ROUNDING, bins[-1][1] / 1e3  # the bins decide what is on the first edge
    onsets = trials[onset].to_numpy(dtype=np.float64)
    who, when, which, n_spikes, n_all = [], [], [], 0, 0
    _check_units(units, file)
    for number in range(len(sites)):
        times = np.sort(np.asarray(units.get_unit_spike_times(number), dtype=np.float64))
        if not np.isfinite(times).all():
            fault(f"{file}: {int((~np.isfinite(times)).sum())} spike times of unit {units.id[number]} are no numbers.")
            times = times[np.isfinite(times)]
        first, last = np.searchsorted(times, onsets + begin), np.searchsorted(times, onsets + end)
        counts = last - first
        n_spikes, n_all = n_spikes + int(counts.sum()), n_all + len(times)
        refuse_large(f"Spikes around the trials of {file}", n_values=0, n_bytes=24 * n_spikes, stored=file.stat().st_size)
        at = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
        trial = np.repeat(np.arange(len(onsets)), counts)
        who.append(np.full(len(at), number))
        which.append(trial)
        when.append(1e3 * (times[at] - onsets[trial]))
    if n_all and not n_spikes:
        fault(f"{file}: none of {n_all:,} spikes lies around a trial. Spike times and onsets are both in seconds from the session's start.")
    spikes = pd.DataFrame({"neuroid_id": sites.neuroid_id.to_numpy()[np.concatenate(who)], "presentation": np.concatenate(which)})
    responses = counted(spikes, rows, sites, bins=bins, times_ms=np.round(np.concatenate(when), 6), source=file)
    if "obs_intervals" in units.colnames:
        for number in range(len(sites)):
            observed = _observed(units, number, file, onsets[:, None, None] + np.array(bins) / 1e3)
            responses.values[:, number][~observed] = np.nan
    return responses


def _observed(units: Any, number: int, file: Path, windows: np.ndarray) -> np.ndarray:
    """Return whether each of some windows (..., start and end in seconds) lies in the time in which a unit was observed.

    A unit for which no interval is given was observed always.
    """
    intervals = np.asarray(units["obs_intervals"][number], dtype=np.float64)
    if not intervals.size:
        return np.ones(windows.shape[:-1], dtype=bool)
    if intervals.ndim != 2 or intervals.shape[1] != 2 or (np.diff(intervals) < 0).any():
        fault(f"{file}: obs_intervals are rows of start and end; those of unit {units.id[number]} are not.")
        return np.ones(windows.shape[:-1], dtype=bool)
    intervals = intervals[np.argsort(intervals[:, 0])]
    ends = np.maximum.accumulate(intervals[:, 1])
    apart = np.flatnonzero(intervals[1:, 0] > ends[:-1] + ROUNDING)  # what touches is one
    starts, ends = intervals[np.r_[0, apart + 1], 0], ends[np.r_[apart, -1]]
    within = np.searchsorted(starts, windows[..., 0] + ROUNDING, side="right") - 1
    return np.asarray((within >= 0) & (windows[..., 1] <= ends[within] + ROUNDING))


def _check_units(units: Any, file: Path) -> None:
    """Refuse spike times that do not lie one unit after the other, as a damaged index has them."""
    column = units["spike_times"]
    ends = np.asarray(column.data[:])
    if (
        ends.dtype.kind not in "iu"
        or len(ends) != len(units.id)
        or (np.diff([0, *ends.tolist()]) < 0).any()
        or ends[-1] > len(column.target)
    ):
        raise NeurofitError(
            f"{file} is damaged: the index of its spike times does not go up from 0 to their number, {len(column.target):,}."
        )


def column_of(table: pd.DataFrame, wanted: tuple[str, ...], said: Said, ours: str) -> str | None:
    """Return the column that is a word of ours: the one that is said beside the file to be it, else the first of those wanted."""
    told = next((theirs for theirs, word in said.words.items() if word == ours), None)
    return next((name for name in ((told, *wanted) if told else wanted) if name in table), None)


def _ids(nwb: Any, file: Path, said: Said) -> list[str]:
    """Return the units' own ids, the same in every session, where a column `neuroid_id` gives them; else session and number."""
    name = next((theirs for theirs, ours in said.words.items() if ours == "neuroid_id"), "neuroid_id")
    if name in nwb.units.colnames:
        own = as_written(pd.Series(np.asarray(nwb.units[name][:])))
        if "" in own:
            raise NeurofitError(f"{file}: every unit needs a {name}; unit {own.index('')} has none.")
        several = sorted({each for each in own if own.count(each) > 1})
        if several:
            raise NeurofitError(f"{file}: a {name} is of one unit; several units are called {some_of(several)}.")
        return own
    return [f"{nwb.identifier}-{number}" for number in nwb.units.id[:]]


def _regions(units: Any, said: Said, file: Path, *, beside: Path) -> list[str]:
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
    if said.region is None:
        fault(f'{file} does not say where its units are: no region or electrodes. Write {{"region": "IT"}} into {beside}.')
    return [said.region or ""] * len(units.id)


def _joined(sessions: list[xr.DataArray], names: list[str]) -> xr.DataArray:
    """Put sessions below each other; a unit belongs to the session whose file names it, unless two files share its id."""
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
                        said = f"neuroid {i} has the {name} {known[str(i)]} in one and {value} in another"
                        raise NeurofitError(f"Sessions of NWB do not agree: {said}. Units of one id are one neuroid.")
            coords[name] = (dim, np.array([known[i] for i in ids]))
        else:
            coords[name] = (dim, sessions[0][name].values)
    coords["session"] = ("presentation", np.repeat(names, [s.sizes["presentation"] for s in sessions]))
    coords["repetition"] = ("presentation", count_up(coords["stimulus_id"][1]))
    return xr.DataArray(trials, dims=("presentation", "neuroid", "time_bin"), coords=coords, attrs=sessions[0].attrs)
