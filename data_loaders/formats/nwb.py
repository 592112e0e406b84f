"""Read Neurodata Without Borders files: spike counts around the onsets of a trials table.

Several sessions (a folder of .nwb files) are joined; a unit that a session did not record is NaN in
its trials. Needs pynwb (extra nwb).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neurofit.data_loaders.formats.coordinates import Session, join
from neurofit.data_loaders.formats.limits import HDF5, dataset_nbytes, refuse_large, short
from neurofit.data_loaders.formats.probe import check_hdf5
from neurofit.data_loaders.formats.sidecar import Sidecar, sidecar_path
from neurofit.data_loaders.formats.spikes import BINS
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
)
from neurofit.recordings.lazy import PROCESSING
from neurofit.recordings.time_bins import make_time_bins
from neurofit.recordings.times import ASSUMED, ONSET, ROUNDING, clock_faults, onset_faults, twinned

COLUMNS = {
    name: tuple(columns.split())
    for name, columns in {
        "stimulus_id": "stimulus_id image_id stimulus stim_id image stimulus_name condition "
        "stimulus_filename stimulus_presented",
        "onset": "stimulus_onset stimulus_onset_time stimulus_on_time stimulus_start "
        "stimulus_start_time stim_onset stim_on stim_on_time image_onset image_on onset onset_time "
        "start_time",
        "region": "region area brain_area location",
        "image_name": "image_name stimulus_name stimulus_filename filename image_file_name "
        "image_file image file path",
        "image_index": "image_index stimulus_index frame_index template_index frame "
        "stimulus_presented",
    }.items()
}
"""Standard name -> columns that are searched, in this order.

`image_name` names the image of a trial, `image_index` numbers it from 0.
"""


def recognises(path: Path, head: bytes) -> bool:
    """Return whether a path is an NWB file (HDF5 with nwb_version) or a folder of .nwb files."""
    if path.is_dir():
        return any(path.glob("*.nwb"))
    if not head.startswith(HDF5):
        return False
    import h5py

    with h5py.File(path, "r") as file:
        return "nwb_version" in file.attrs


def read_nwb(path: Path, sidecar: Sidecar) -> xr.DataArray:
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
    files = session_files(path)
    sessions, said = [], []
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
            session, notes = _read_session(nwb, ids, file, sidecar, sidecar_path(path))
            if len(files) > 1:
                trials = session.trials.drop(columns="repetition", errors="ignore")
                session = session._replace(trials=trials.assign(session=file.stem))
            sessions.append(session)
            said.append(notes)
    whole = join(sessions, ["session", "presentation"]) if len(files) > 1 else sessions[0]
    attrs = {
        name: between.join(dict.fromkeys(found))
        for name, between in ((ONSET, "; "), (PROCESSING, " "))
        if (found := [notes[name] for notes in said if name in notes])
    }
    return whole.responses(make_time_bins(*(sidecar.bins or BINS)), **attrs)


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
    try:
        _check_declared(file)
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
    stimulus = find_column(trials, "stimulus_id", sidecar)
    onset = find_column(trials, "onset", sidecar)
    if stimulus is None or onset is None:
        raise NeurofitError(
            f"{file}: the trials need a column of stimuli "
            f"({', '.join(COLUMNS['stimulus_id'][:4])} ...) and one of onsets or starts; they have "
            f"{', '.join(map(str, trials))}. Other names are translated in {file.stem}.json: "
            '{"words": {"COLUMN": "stimulus_id"}}.'
        )
    trials = trials[np.isfinite(trials[onset].to_numpy(dtype=np.float64))]
    trials = trials[~is_missing(texts(trials[stimulus]))]
    if not len(trials):
        raise NeurofitError(f"{file}: no trial has an onset; the column {onset} has no numbers.")
    return trials, stimulus, onset


def texts(column: pd.Series[Any]) -> np.ndarray:
    """Return a column of a table as strings."""
    own = as_identifiers(column.to_numpy(), name=str(column.name))
    return fixed_width(as_texts(own, name=str(column.name)), name=str(column.name))


def _check_declared(file: Path) -> None:
    """Refuse implausible sizes of tables (units, electrodes, trials), which are read whole."""
    import h5py

    sizes: dict[tuple[int, int], float] = {}

    def add(item: Any) -> None:
        """Add the sizes of all datasets reachable from an item by links and references."""
        info = h5py.h5o.get_info(item.id)
        key = (info.fileno, info.addr)
        if key in sizes or not isinstance(item, h5py.Group | h5py.Dataset):
            return
        sizes[key] = dataset_nbytes(item) if isinstance(item, h5py.Dataset) else 0.0
        members = [item.get(name) for name in item] if isinstance(item, h5py.Group) else []
        attributes = item.attrs.values()
        referenced = [
            item.file[each] for each in attributes if isinstance(each, h5py.Reference) and each
        ]
        for each in (*members, *referenced):
            if each is not None:
                add(each)

    with h5py.File(file, "r") as root:
        for group in ("units", "intervals", "general/extracellular_ephys"):
            if isinstance(root.get(group), h5py.Group):
                add(root[group])
    refuse_large(file, sum(sizes.values()), stored=file.stat().st_size)


def _read_session(
    nwb: Any, ids: list[str], file: Path, sidecar: Sidecar, sidecar_file: Path
) -> tuple[Session, dict[str, str]]:
    """Return the spike counts of a session, and what was assumed and left out."""
    (trials, stimulus, onset), units = read_trials(nwb, file, sidecar), nwb.units
    shown = texts(trials[stimulus])
    times = ("start_time", "stop_time")
    onsets, begun, ended = (trials[name].to_numpy(dtype=np.float64) for name in (onset, *times))
    columns = {str(name): texts(trials[name]) for name in trials if name in MORE_PRECISE}
    columns.pop(stimulus, None)
    faults = onset_faults(onsets, starts=begun, stops=ended, name=onset)
    report(file, [*faults, block_fault(shown, columns)])
    rows = pd.DataFrame({"presentation": np.arange(len(trials)), "stimulus_id": shown})
    for name in trials:
        numbers = trials[name].dtype.kind in "iufb"
        if numbers and name not in (stimulus, onset, *times, *rows):
            rows[str(name)] = trials[name].to_numpy()
    sites = pd.DataFrame({"neuroid_id": ids})
    sites["region"] = _regions(units, sidecar, file, sidecar_file)
    subject = sidecar.subject or (nwb.subject.subject_id if nwb.subject is not None else None)
    if subject is not None:
        sites["subject"] = subject
    bins = make_time_bins(*(sidecar.bins or BINS))
    # half of the tolerance keeps spikes on an edge in the bin that begins there
    edges = np.array([bins[0][0], *(end for _, end in bins)]) / 1e3 - ROUNDING / 2e3
    shape = (len(rows), len(sites), len(bins))
    refuse_large(file, 8 * math.prod(shape))
    counts = np.zeros(shape, dtype=np.float32)
    n_spikes, first, last, n_descents = 0, np.inf, -np.inf, 0
    copies = [np.empty(0, dtype=np.int64)]
    _check_index(units, file)
    for number in range(len(sites)):
        spikes = np.asarray(units.get_unit_spike_times(number), dtype=np.float64)
        n_descents = max(n_descents, int((np.diff(spikes) < -ROUNDING).sum()))
        if n_invalid := int((~np.isfinite(spikes)).sum()):
            fault(f"{file}: {n_invalid} spike times of unit {units.id[number]} are not numbers.")
        spikes = np.sort(spikes[np.isfinite(spikes)])
        copies.append(np.unique(spikes, return_counts=True)[1])
        counts[:, number] = np.diff(np.searchsorted(spikes, onsets[:, None] + edges))
        n_spikes += len(spikes)
        first, last = min([first, *spikes[:1]]), max([last, *spikes[-1:]])
    if n_spikes and not counts.any():
        fault(
            f"{file}: none of {n_spikes:,} spikes lies near a trial. Spike times and onsets must "
            "both be in seconds from the start of the session."
        )
    elif n_spikes:
        clock = clock_faults(first, last, n_descents, onsets)
        report(file, [*clock, twinned(np.concatenate(copies))])
    if "obs_intervals" in units.colnames:
        windows = onsets[:, None, None] + np.array(bins) / 1e3
        for number in range(len(sites)):
            counts[:, number][~_observed(units, number, file, windows)] = np.nan
    assumed = onset == "start_time" and onset not in sidecar.words
    notes = {ONSET: f"start of the trial {ASSUMED}" if assumed else onset}
    if n_left := len(nwb.trials) - len(trials):
        left_out = f"Left out {counted(n_left, 'trial')} of {file.name}"
        notes[PROCESSING] = f"{left_out} without {onset} or {stimulus}."
    return Session(counts, rows, sites), notes


def _observed(units: Any, number: int, file: Path, windows: np.ndarray) -> np.ndarray:
    """Return whether a unit was observed during each window (..., start and end in seconds).

    A unit without intervals was observed throughout.
    """
    intervals = np.asarray(units["obs_intervals"][number], dtype=np.float64)
    valid = intervals.shape[1:] == (2,) and not (np.diff(intervals) < 0).any()
    if intervals.size and not valid:
        fault(
            f"{file}: obs_intervals must be rows of start and end; "
            f"those of unit {units.id[number]} are not."
        )
    if not intervals.size or not valid:
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
    increases = ends.dtype.kind in "iu" and bool((np.diff([0, *ends.tolist()]) >= 0).all())
    if not increases or len(ends) != len(units.id) or ends[-1] > len(column.target):
        raise NeurofitError(
            f"{file} is damaged: the index of its spike times does not increase from 0 to their "
            f"number, {len(column.target):,}."
        )


def find_column(table: pd.DataFrame, standard: str, sidecar: Sidecar) -> str | None:
    """Return the column that the sidecar gives for a standard name, else the first of `COLUMNS`."""
    given = [name for name, word in sidecar.words.items() if word == standard][:1]
    return next((name for name in (*given, *COLUMNS[standard]) if name in table), None)


def _ids(nwb: Any, file: Path, sidecar: Sidecar, session: str, *, alone: bool) -> list[str]:
    """Return unit ids from a column `neuroid_id`, shared by sessions, else SESSION-NUMBER.

    Numbers in that column are not shared by sessions, see `are_numbers`.
    """
    if nwb.units is None:
        return []  # reported with the trials
    given = (name for name, word in sidecar.words.items() if word == "neuroid_id")
    name = next(given, "neuroid_id")
    if name not in nwb.units.colnames:
        return [f"{session}-{number}" for number in nwb.units.id[:]]
    own = texts(pd.Series(list(nwb.units[name][:]), name=name, dtype=object)).tolist()
    report(file, neuroid_faults(np.array(own)))
    return [f"{session}-{each}" for each in own] if are_numbers(own) and not alone else own


def _regions(units: Any, sidecar: Sidecar, file: Path, sidecar_file: Path) -> list[str]:
    """Return the areas of units: their own, those of their electrodes, or that of the sidecar."""
    names = COLUMNS["region"]
    for name in names:
        if name in units.colnames:
            return [str(value) for value in units[name][:]]
    if "electrodes" in units.colnames:
        tables = [units["electrodes"][number] for number in range(len(units.id))]
        columns = [next((name for name in names if name in table), None) for table in tables]
        if None not in columns:
            pairs = zip(tables, columns, strict=True)
            return [str(table[column].iloc[0]) for table, column in pairs]
    if sidecar.region is None:
        fault(
            f"{file} does not state the area of its units: no region or electrodes. "
            f'Write {{"region": "IT"}} into {sidecar_file}.'
        )
    return [sidecar.region or ""] * len(units.id)
