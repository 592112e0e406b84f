"""Read tables of spike times (CSV or Parquet), one row per spike, and count spikes in time bins.

Either one table with neuroid_id, region, stimulus_id, repetition (or presentation) and time_ms; or
a folder with spikes.csv (neuroid_id, presentation, time_ms), presentations.csv (presentation,
stimulus_id) and neuroids.csv (neuroid_id, region), which also list trials and sites without spikes.
If both have a column session, a site is NaN in presentations of sessions that did not record it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from neurofit.data_loaders.formats.coordinates import Session
from neurofit.data_loaders.formats.limits import refuse_large
from neurofit.data_loaders.formats.sidecar import Sidecar
from neurofit.data_loaders.formats.tables import TEXT_COLUMNS, read_table, report_missing
from neurofit.errors import NeurofitError, NeurofitWarning, fault, report, some_of
from neurofit.recordings.identifiers import are_numbers, as_texts
from neurofit.recordings.time_bins import TimeBin, make_time_bins
from neurofit.recordings.times import MIN_TRIALS, spike_faults, to_ms, twinned

BINS = (0, 300, 10)
"""Default start, end and width of time bins in ms; NAME.json overrides: {"bins": [0, 300, 10]}."""

UNITS = {f"{name}_{unit}": unit for unit in ("ms", "s", "us") for name in ("time", "spike_time")}
"""Column of spike times -> unit."""

FEW_INSIDE = 0.1
"""Smallest proportion of spikes inside the time bins that does not give a warning."""

ENDINGS = (".csv", ".parquet")


def recognises(path: Path, head: bytes) -> bool:
    """Return whether a path is a table of spike times, or a folder that contains one."""
    if path.is_dir():
        return any((path / f"spikes{ending}").is_file() for ending in ENDINGS)
    if head.startswith(b"PAR1"):
        return True
    first = head.split(b"\n", 1)[0].lower()
    return b"," in first and any(name.encode() in first for name in UNITS)


def read_spikes(path: Path, sidecar: Sidecar) -> xr.DataArray:
    """Return spike counts (presentation neuroid time_bin) from tables of spike times.

    Raises
    ------
    NeurofitError
        If a table or column is missing, or times cannot be those from stimulus onset.
    """
    spikes, trials, sites = (_read_folder if path.is_dir() else _read_file)(path, sidecar)
    twice = sites.neuroid_id[sites.duplicated()].unique()
    if len(twice):
        fault(
            f"{path}: neuroids.csv lists {some_of(twice.tolist())} several times; their spikes "
            "would be added. Give each neuroid a name of its own."
        )
    stated = "session" in sites and sites.session.nunique() > 1
    if stated and "session" not in trials:
        fault(f"{path}: neuroids.csv names sessions; presentations.csv needs a column session too.")
    sites, recorded = _by_session(trials, sites)
    again = sites.neuroid_id.duplicated().to_numpy()
    if again.any():
        rule = "a neuroid must have one region and one value in every other column"
        listed = some_of(sites.neuroid_id[again].unique().tolist())
        fault(f"{path}: {rule}; several are given for {listed}.")
        sites, recorded = sites[~again].reset_index(drop=True), recorded[:, ~again]
    bins = make_time_bins(*(sidecar.bins or BINS))
    times_ms = _times_ms(spikes, path)
    trial_of = pd.factorize(spikes.presentation)[0]
    report(path, spike_faults(times_ms, trial_of, end=bins[-1][1]))
    each = pd.DataFrame({"neuroid": spikes.neuroid_id, "trial": trial_of, "ms": times_ms})
    report(path, [twinned(each.groupby(list(each)).size().to_numpy())])
    counts = _count(spikes, trials, sites, times_ms, bins, path)
    spurious = np.argwhere((counts.sum(axis=2) > 0) & ~recorded)
    if len(spurious):
        row, column = spurious[0]
        fault(
            f"{path}: neuroid {sites.neuroid_id[column]} has spikes in session "
            f"{trials.session[row]}, which neuroids.csv does not list for it "
            f"({len(spurious)} such trials). A neuroid needs a row for each of its sessions."
        )
    counts[~recorded] = np.nan
    if "session" in trials and not stated:
        _note_silent(counts, trials.session.to_numpy(), sites.neuroid_id.to_numpy())
    return Session(counts, trials, sites).responses(bins)


def _note_silent(counts: np.ndarray, sessions: np.ndarray, names: np.ndarray) -> None:
    """Warn of neuroids without a spike in a session, which may not have been recorded in it."""
    for session in np.unique(sessions):
        rows = sessions == session
        silent = names[~counts[rows].any(axis=(0, 2)) & counts[~rows].any(axis=(0, 2))]
        if rows.sum() >= MIN_TRIALS and len(silent):
            warnings.warn(
                f"Neuroids {some_of(silent.tolist())} have no spike in session {session}: counts "
                "of 0. If they were not recorded in it, give neuroids.csv a column session, with a "
                "row for each session of a neuroid.",
                NeurofitWarning,
                stacklevel=3,
            )


def _read_folder(path: Path, sidecar: Sidecar) -> list[pd.DataFrame]:
    """Return the tables of spikes, presentations and neuroids in a folder."""
    own = next(file for ending in ENDINGS if (file := path / f"spikes{ending}").is_file())
    files = (own, path / "presentations.csv", path / "neuroids.csv")
    spikes, trials, sites = (_table(file, sidecar) for file in files)
    _require_columns(
        {
            files[1]: (trials, ("presentation", "stimulus_id")),
            files[2]: (sites, ("neuroid_id", "region")),
            files[0]: (spikes, ("neuroid_id", "presentation")),
        }
    )
    trials = _drop_missing(trials, "presentation", files[1])
    spikes = _drop_missing(spikes, "presentation", files[0])
    repeated = trials.presentation[trials.presentation.duplicated()].unique()
    if len(repeated):
        rule = "a presentation must have one row; there are several for"
        fault(f"{files[1]}: {rule} {some_of(repeated.tolist())}.")
    return [spikes, trials.drop_duplicates("presentation", ignore_index=True), sites]


def _read_file(path: Path, sidecar: Sidecar) -> list[pd.DataFrame]:
    """Return the spikes of a single table, and the presentations and neuroids that have some."""
    spikes = _table(path, sidecar)
    if "region" not in spikes and sidecar.region is not None:
        spikes["region"] = sidecar.region
    trial = "presentation" if "presentation" in spikes else "repetition"
    _require_columns({path: (spikes, ("neuroid_id", "region", "stimulus_id", trial))})
    known = ("stimulus_id", "repetition", "presentation", "session")
    keys = [name for name in known if name in spikes]
    for name in keys[1:]:
        spikes = _drop_missing(spikes, name, path)
    trials = spikes[keys].drop_duplicates().sort_values(keys, ignore_index=True)
    numbered = trials.assign(_row=np.arange(len(trials)))
    spikes = spikes.merge(numbered, on=keys).set_axis(spikes.index)  # rows as in the file
    spikes["presentation"], trials["presentation"] = spikes._row, np.arange(len(trials))
    columns = [name for name in ("neuroid_id", "region", "session") if name in spikes]
    return [spikes, trials, spikes[columns].drop_duplicates(ignore_index=True)]


def _count(
    spikes: pd.DataFrame,
    trials: pd.DataFrame,
    sites: pd.DataFrame,
    times_ms: np.ndarray,
    bins: list[TimeBin],
    path: Path,
) -> np.ndarray:
    """Return the numbers of spikes, float32 (presentation neuroid time_bin).

    `times_ms` are those of the spikes from the onset of their trial; NaN is not counted.
    """
    shown = [table.presentation for table in (trials, spikes)]
    if any(each.dtype.kind == "O" for each in shown):  # compare as text
        shown = [pd.Series(as_texts(each)) for each in shown]
    row = pd.Index(shown[0]).get_indexer(pd.Index(shown[1]))
    column = pd.Index(sites.neuroid_id).get_indexer(pd.Index(spikes.neuroid_id))
    for name, found in (("presentation", row), ("neuroid_id", column)):
        unknown = spikes[name][found < 0]
        if len(unknown):
            kind, listed = name.removesuffix("_id"), some_of(unknown.unique().tolist())
            fault(
                f"{path}: spikes of a {kind} that is missing from the {kind}s: {listed} "
                f"({len(unknown):,} in all). Add it, or drop its spikes."
            )
    start, width = bins[0][0], bins[0][1] - bins[0][0]
    which = np.floor((times_ms - start) / width)
    within = (which >= 0) & (which < len(bins))
    span = f"the time bins from {start} to {bins[-1][1]} ms"
    if np.isfinite(times_ms).any() and not within.any():
        fault(
            f"{path}: none of {len(times_ms):,} spikes lies in {span}; they range from "
            f"{np.nanmin(times_ms):,.4g} to {np.nanmax(times_ms):,.4g} ms. Give times from "
            "stimulus onset in ms (time_ms) or seconds (time_s), or other bins in the sidecar."
        )
    elif within.sum() < FEW_INSIDE * len(times_ms):
        warnings.warn(
            f"{path}: {len(times_ms) - within.sum():,} of {len(times_ms):,} spikes lie outside "
            f"{span}; times may be in another unit, or not relative to stimulus onset.",
            NeurofitWarning,
            stacklevel=3,
        )
    inside = within & (row >= 0) & (column >= 0)
    shape = (len(trials), len(sites), len(bins))
    refuse_large(path, 8 * math.prod(shape))
    index = (row[inside], column[inside], which[inside].astype(np.int64))
    counts = np.bincount(np.ravel_multi_index(index, shape), minlength=math.prod(shape))
    return counts.reshape(shape).astype(np.float32)


def _by_session(trials: pd.DataFrame, sites: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Return a row per site, and a mask (presentation neuroid) of the sites that were recorded.

    Without a column session in both tables, every site was recorded throughout.
    """
    if "session" not in trials or "session" not in sites:
        sites = sites.drop_duplicates(ignore_index=True)
        return sites, np.ones((len(trials), len(sites)), dtype=bool)
    found = sites.drop(columns="session").drop_duplicates(ignore_index=True)
    ids = sites.drop_duplicates(["neuroid_id", "session"]).neuroid_id
    again = ids[ids.duplicated()].unique().tolist()
    if again and are_numbers(again):
        warnings.warn(
            f"Neuroids {some_of(again)} were recorded in several sessions and are each taken as "
            "one. If units are numbered anew in each session, give them other names.",
            NeurofitWarning,
            stacklevel=3,
        )
    recorded = np.zeros((len(trials), len(found)), dtype=bool)
    for session in trials.session.unique():
        ids = sites.neuroid_id[sites.session == session]
        rows, columns = trials.session == session, found.neuroid_id.isin(ids)
        recorded[np.ix_(rows.to_numpy(), columns.to_numpy())] = True
    return found, recorded


def _table(path: Path, sidecar: Sidecar) -> pd.DataFrame:
    if not path.is_file():
        raise NeurofitError(f"A folder of spike times needs {path.name}; {path.parent} has none.")
    return read_table(path, words=sidecar.words, texts=(*TEXT_COLUMNS, "session"))


def _times_ms(spikes: pd.DataFrame, path: Path) -> np.ndarray:
    name = next((name for name in UNITS if name in spikes), None)
    if name is None:
        raise NeurofitError(
            f"{path} needs a column time_ms, time_s or time_us, the time of each spike from "
            f"stimulus onset; it has {', '.join(map(str, spikes))}."
        )
    given = spikes[name]
    if given.dtype.kind not in "mM":
        given = pd.to_numeric(given, errors="coerce")
    times = to_ms(given.to_numpy(), units=UNITS[name], name=name).astype(np.float64)
    times = np.round(times, 6)  # 1.001 s must be 1001 ms despite rounding errors
    broken = np.flatnonzero(~np.isfinite(times))
    if len(broken):
        rows = f"row {some_of(spikes.index[broken].tolist())}, counted from 0"
        fault(f"{path}: {name} is not a number in {rows} ({len(broken):,} in all).")
    return np.where(np.isfinite(times), times, np.nan)


def _require_columns(tables: Mapping[Path, tuple[pd.DataFrame, Sequence[str]]]) -> None:
    """Refuse tables that lack a column; the error names all of them."""
    messages = []
    for path, (table, columns) in tables.items():
        lacking = [name for name in columns if name not in table]
        if lacking:
            messages.append(
                f"{path} lacks the column{'s' * (len(lacking) > 1)} {', '.join(lacking)}; "
                f"it has {some_of(list(map(str, table)), most=20)}."
            )
    if messages:
        raise NeurofitError("\n".join(messages), faults=messages)


def _drop_missing(table: pd.DataFrame, name: str, path: Path) -> pd.DataFrame:
    """Return the rows with a value in a column; a missing one is a fault."""
    missing = (table[name].isna() | (table[name] == "")).to_numpy()
    report_missing(path, name, missing)
    return table[~missing]
