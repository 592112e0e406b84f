"""Spike times as tables (CSV or Parquet): a row per spike, counted into time bins.

One table with neuroid_id, region, stimulus_id, repetition (or presentation) and time_ms; or a folder with spikes.csv (neuroid_id,
presentation, time_ms), presentations.csv (presentation, stimulus_id) and neuroids.csv (neuroid_id, region), which also know trials and
sites without a spike. Where both have a column session, a site is NaN in the presentations of sessions that did not record it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neurofit.assemblies import COORDS, DIMS
from neurofit.data_loaders.formats.limits import refuse_large
from neurofit.data_loaders.formats.named import count_up
from neurofit.data_loaders.formats.sidecar import Said, said_beside
from neurofit.data_loaders.formats.tables import TEXTS, as_written, read_table
from neurofit.errors import NeurofitError, NeurofitWarning, fault, some_of
from neurofit.time_bins import TimeBin, make_time_bins

BINS = (0, 300, 10)
"""Start, end and width in ms where nobody says: NAME.json beside the file, {"bins": [0, 300, 10]}."""

FEW_INSIDE = 0.1
"""A smaller share of the spikes in the bins is said to be small."""

ENDINGS = (".csv", ".parquet")


def recognises(path: Path, head: bytes) -> bool:
    """Return whether a path is a table of spike times, or a folder with one."""
    if path.is_dir():
        return any((path / f"spikes{ending}").is_file() for ending in ENDINGS)
    if head.startswith(b"PAR1"):
        return True
    first = head.split(b"\n", 1)[0].lower()
    return b"," in first and any(word in first for word in (b"time_ms", b"time_s", b"spike_time"))


def read_spikes(path: Path) -> xr.DataArray:
    """Return spike counts (presentation neuroid time_bin) of tables of spike times."""
    said = said_beside(path)
    if path.is_dir():
        spikes = _table(next(file for ending in ENDINGS if (file := path / f"spikes{ending}").is_file()), said)
        trials, sites = (_table(path / f"{name}.csv", said) for name in ("presentations", "neuroids"))
        needed = {
            "presentations.csv": (trials, ("presentation", "stimulus_id")),
            "neuroids.csv": (sites, ("neuroid_id", "region")),
            "spikes": (spikes, ("neuroid_id", "presentation")),
        }
        _need({path / name: asked for name, asked in needed.items()})
        trials, spikes = _told(trials, "presentation", path / "presentations.csv"), _told(spikes, "presentation", path / "spikes")
        trials = _once(trials, path / "presentations.csv")
    else:
        spikes = _table(path, said)
        if "region" not in spikes and said.region is not None:
            spikes["region"] = said.region
        told_apart = "presentation" if "presentation" in spikes else "repetition"
        _need({path: (spikes, ("neuroid_id", "region", "stimulus_id", told_apart))})
        keys = [name for name in ("stimulus_id", "repetition", "presentation", "session") if name in spikes]
        for name in keys[1:]:
            spikes = _told(spikes, name, path)
        trials = spikes[keys].drop_duplicates().sort_values(keys, ignore_index=True)
        spikes = spikes.merge(trials.assign(_row=np.arange(len(trials))), on=keys).set_axis(spikes.index)  # rows as in the file
        spikes["presentation"], trials["presentation"] = spikes._row, np.arange(len(trials))
        sites = spikes[[name for name in ("neuroid_id", "region", "session") if name in spikes]].drop_duplicates(ignore_index=True)
    sites, recorded = _by_session(trials, sites)
    repeated = sites.neuroid_id[sites.neuroid_id.duplicated()].unique()
    if len(repeated):
        rule = "a neuroid has one region, and one of whatever else is known"
        fault(f"{path}: {rule}; several are said of {some_of(repeated.tolist())}.")
        kept = ~sites.neuroid_id.duplicated().to_numpy()
        sites, recorded = sites[kept].reset_index(drop=True), None if recorded is None else recorded[:, kept]
    bins = make_time_bins(*(said.bins or BINS))
    counts = counted(spikes, trials, sites, bins=bins, times_ms=_times_ms(spikes, path), source=path)
    return counts if recorded is None else _where(counts, recorded, path)


def counted(
    spikes: pd.DataFrame, trials: pd.DataFrame, sites: pd.DataFrame, *, bins: list[TimeBin], times_ms: np.ndarray, source: Path
) -> xr.DataArray:
    """Return the number of spikes of each site in each trial and bin, float32 (presentation neuroid time_bin).

    Parameters
    ----------
    spikes
        A row per spike: `neuroid_id`, `presentation`.
    trials
        A row per trial: `presentation`, `stimulus_id`, and whatever is known.
    sites
        A row per site: `neuroid_id`, `region`, and whatever is known.
    bins
        Adjacent, in ms from stimulus onset.
    times_ms
        Of each spike, from the onset of its trial; one that is NaN is counted nowhere.
    source
        Of the spikes, for messages.
    """
    shown = [table.presentation for table in (trials, spikes)]
    if shown[0].dtype.kind == "O" or shown[1].dtype.kind == "O":  # one text makes texts of a column
        shown = [pd.Series(as_written(column)) for column in shown]
    row = pd.Index(shown[0]).get_indexer(pd.Index(shown[1]))
    column = pd.Index(sites.neuroid_id).get_indexer(pd.Index(spikes.neuroid_id))
    for name, found, table in (("presentation", row, "presentations"), ("neuroid_id", column, "neuroids")):
        unknown = spikes[name][found < 0]
        if len(unknown):
            what = f"spikes of a {name.removesuffix('_id')} that is not among the {table}: {some_of(unknown.unique().tolist())}"
            fault(f"{source}: {what} ({len(unknown):,} in all). Add it, or drop its spikes.")
    n_counts = float(len(trials)) * len(sites) * len(bins)
    refuse_large(source, n_values=n_counts, n_bytes=8 * n_counts, stored=float("inf"))
    start, width = bins[0][0], bins[0][1] - bins[0][0]
    which = np.floor((times_ms - start) / width)
    within = (which >= 0) & (which < len(bins))
    if np.isfinite(times_ms).any() and not within.any():
        fault(
            f"{source}: none of {len(times_ms):,} spikes lies in the bins of {start} to {bins[-1][1]} ms; they are from "
            f"{np.nanmin(times_ms):,.4g} to {np.nanmax(times_ms):,.4g} ms. Times are from stimulus onset, in ms (time_ms) or seconds "
            "(time_s); the sidecar says other bins."
        )
    elif within.sum() < FEW_INSIDE * len(times_ms):
        said = f"{len(times_ms) - within.sum():,} of {len(times_ms):,} spikes lie outside of the bins of {start} to {bins[-1][1]} ms"
        warnings.warn(f"{source}: {said}; times may be in another unit, or not from stimulus onset.", NeurofitWarning, stacklevel=2)
    inside = within & (row >= 0) & (column >= 0)
    shape = (len(trials), len(sites), len(bins))
    flat = np.ravel_multi_index((row[inside], column[inside], which[inside].astype(np.int64)), shape)
    counts = np.bincount(flat, minlength=int(np.prod(shape))).astype(np.float32).reshape(shape)
    coords: dict[str, Any] = {str(name): ("presentation", trials[name].to_numpy()) for name in trials if not _taken(name, "presentation")}
    coords |= {str(name): ("neuroid", sites[name].to_numpy()) for name in sites if not _taken(name, "neuroid")}
    coords.setdefault("repetition", ("presentation", count_up(trials.stimulus_id.to_numpy())))
    coords |= {"time_bin_start": ("time_bin", [s for s, _ in bins]), "time_bin_end": ("time_bin", [e for _, e in bins])}
    coords = {name: (dim, _plain(values)) for name, (dim, values) in coords.items()}
    return xr.DataArray(counts, dims=("presentation", "neuroid", "time_bin"), coords=coords, attrs={"units": "spikes per bin"})


def _taken(name: Any, dim: str) -> bool:
    """Return whether a column has a name of ours that is of something else than this dimension."""
    return name in DIMS or COORDS.get(name, dim) != dim


def _by_session(trials: pd.DataFrame, sites: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray | None]:
    """Return a row per site, and whether each trial's session recorded it (presentation neuroid), where both tables tell sessions."""
    if "session" not in trials or "session" not in sites:
        return sites.drop_duplicates(ignore_index=True), None
    found = sites.drop(columns="session").drop_duplicates(ignore_index=True)
    recorded = np.zeros((len(trials), len(found)), dtype=bool)
    for session in trials.session.unique():
        here = sites.neuroid_id[sites.session == session]
        recorded[np.ix_((trials.session == session).to_numpy(), found.neuroid_id.isin(here).to_numpy())] = True
    return found, recorded


def _where(counts: xr.DataArray, recorded: np.ndarray, path: Path) -> xr.DataArray:
    """Return counts with NaN where a site (presentation neuroid) was not recorded."""
    spurious = np.argwhere((counts.values.sum(axis=2) > 0) & ~recorded)
    if len(spurious):
        row, column = spurious[0]
        fault(
            f"{path}: neuroid {counts.neuroid_id.values[column]} has spikes in session {counts.session.values[row]}, in which neuroids.csv "
            f"does not have it ({len(spurious)} such trials). A neuroid of several sessions has a row for each."
        )
    counts.values[~recorded] = np.nan
    return counts


def _plain(values: Any) -> np.ndarray:
    """Return pandas' texts as texts of a fixed width."""
    values = np.asarray(values)
    return values if values.dtype.kind in "iufb" else np.array([str(value) for value in values])


def _table(path: Path, said: Said) -> pd.DataFrame:
    if not path.is_file():
        raise NeurofitError(f"A folder of spike times needs {path.name}; there is none in {path.parent}.")
    return read_table(path, words=said.words, texts=(*TEXTS, "session"))


def _times_ms(spikes: pd.DataFrame, path: Path) -> np.ndarray:
    for name, scale in (("time_ms", 1.0), ("spike_time_ms", 1.0), ("time_s", 1e3), ("spike_time_s", 1e3)):
        if name in spikes:
            times = pd.to_numeric(spikes[name], errors="coerce").to_numpy(dtype=np.float64) * scale
            times = np.round(times, 6)  # 1.001 s are 1001 ms, and not a little less
            broken = np.flatnonzero(~np.isfinite(times))
            if len(broken):
                rows = f"row {some_of(spikes.index[broken].tolist())}, counted from 0 ({len(broken):,} in all)"
                fault(f"{path}: {name} is no number in {rows}.")
            return np.where(np.isfinite(times), times, np.nan)
    raise NeurofitError(
        f"{path} needs a column time_ms or time_s: when each spike came, from stimulus onset; it has {', '.join(map(str, spikes))}."
    )


def _need(tables: Mapping[Path, tuple[pd.DataFrame, Iterable[str]]]) -> None:
    """Refuse tables that lack a column; all of them are named."""
    said = []
    for path, (table, columns) in tables.items():
        lacking = [name for name in columns if name not in table]
        if lacking:
            have = ", ".join(map(str, table))
            said.append(f"{path} lacks the column{'s' * (len(lacking) > 1)} {', '.join(lacking)}; it has {have}.")
    if said:
        raise NeurofitError("\n".join(said), faults=said)


def _told(table: pd.DataFrame, name: str, path: Path) -> pd.DataFrame:
    """Return the rows that say something in a column; others are a fault."""
    silent = (table[name].isna() | (table[name] == "")).to_numpy()
    if silent.any():
        rows = f"row {some_of(np.flatnonzero(silent).tolist())}, counted from 0 ({int(silent.sum()):,} in all)"
        fault(f"{path}: every row needs a {name}; there is none in {rows}.")
    return table[~silent]


def _once(trials: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return a row per presentation; one that has several is a fault."""
    repeated = trials.presentation[trials.presentation.duplicated()].unique()
    if len(repeated):
        fault(f"{path}: a presentation has one row; there are several of {some_of(repeated.tolist())}.")
    return trials.drop_duplicates("presentation", ignore_index=True)
