"""Read tables of spike times (CSV or Parquet), one row per spike, and count spikes in time bins.

Either one table with neuroid_id, region, stimulus_id, repetition (or presentation) and time_ms; or
a folder with spikes.csv (neuroid_id, presentation, time_ms), presentations.csv (presentation,
stimulus_id) and neuroids.csv (neuroid_id, region), which also list trials and sites without spikes.
If both have a column session, a site is NaN in presentations of sessions that did not record it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neurofit.data_loaders.formats.limits import refuse_large
from neurofit.data_loaders.formats.sidecar import Sidecar, read_sidecar
from neurofit.data_loaders.formats.tables import TEXT_COLUMNS, read_table
from neurofit.errors import NeurofitError, NeurofitWarning, fault, report, some_of
from neurofit.recordings.identifiers import are_numbers, as_texts, fixed_width, number_repetitions
from neurofit.recordings.recording import COORDS, DIMS
from neurofit.recordings.time_bins import TimeBin, make_time_bins
from neurofit.recordings.times import spike_faults, to_ms, twinned

BINS = (0, 300, 10)
"""Default start, end and width of time bins in ms; NAME.json overrides: {"bins": [0, 300, 10]}."""

UNITS = {
    **dict.fromkeys(("time_ms", "spike_time_ms"), "ms"),
    **dict.fromkeys(("time_s", "spike_time_s"), "s"),
    **dict.fromkeys(("time_us", "spike_time_us"), "us"),
}
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


def read_spikes(path: Path) -> xr.DataArray:
    """Return spike counts (presentation neuroid time_bin) from tables of spike times."""
    sidecar = read_sidecar(path)
    if path.is_dir():
        spikes = _table(
            next(file for ending in ENDINGS if (file := path / f"spikes{ending}").is_file()),
            sidecar,
        )
        trials, sites = (
            _table(path / f"{name}.csv", sidecar) for name in ("presentations", "neuroids")
        )
        needed = {
            "presentations.csv": (trials, ("presentation", "stimulus_id")),
            "neuroids.csv": (sites, ("neuroid_id", "region")),
            "spikes": (spikes, ("neuroid_id", "presentation")),
        }
        _require_columns({path / name: columns for name, columns in needed.items()})
        trials = _drop_missing(trials, "presentation", path / "presentations.csv")
        spikes = _drop_missing(spikes, "presentation", path / "spikes")
        trials = _unique_presentations(trials, path / "presentations.csv")
    else:
        spikes = _table(path, sidecar)
        if "region" not in spikes and sidecar.region is not None:
            spikes["region"] = sidecar.region
        trial = "presentation" if "presentation" in spikes else "repetition"
        _require_columns({path: (spikes, ("neuroid_id", "region", "stimulus_id", trial))})
        keys = [
            name
            for name in ("stimulus_id", "repetition", "presentation", "session")
            if name in spikes
        ]
        for name in keys[1:]:
            spikes = _drop_missing(spikes, name, path)
        trials = spikes[keys].drop_duplicates().sort_values(keys, ignore_index=True)
        numbered = trials.assign(_row=np.arange(len(trials)))
        spikes = spikes.merge(numbered, on=keys).set_axis(spikes.index)  # rows as in the file
        spikes["presentation"], trials["presentation"] = spikes._row, np.arange(len(trials))
        sites = spikes[
            [name for name in ("neuroid_id", "region", "session") if name in spikes]
        ].drop_duplicates(ignore_index=True)
    twice = sites.neuroid_id[sites.duplicated()].unique()
    if len(twice):
        fault(
            f"{path}: neuroids.csv lists {some_of(twice.tolist())} several times; their spikes "
            "would be added. Give each neuroid a name of its own."
        )
    sites, recorded = _by_session(trials, sites)
    repeated = sites.neuroid_id[sites.neuroid_id.duplicated()].unique()
    if len(repeated):
        rule = "a neuroid must have one region and one value in every other column"
        fault(f"{path}: {rule}; several are given for {some_of(repeated.tolist())}.")
        first = ~sites.neuroid_id.duplicated().to_numpy()
        sites = sites[first].reset_index(drop=True)
        recorded = None if recorded is None else recorded[:, first]
    bins = make_time_bins(*(sidecar.bins or BINS))
    times_ms = _times_ms(spikes, path)
    trial_of = pd.factorize(spikes.presentation)[0]
    report(path, spike_faults(times_ms, trial_of, end=bins[-1][1]))
    each = pd.DataFrame({"neuroid": spikes.neuroid_id, "trial": trial_of, "ms": times_ms})
    report(path, [twinned(min(each.value_counts().tolist() or [1]), len(each))])
    counts = count_spikes(spikes, trials, sites, bins=bins, times_ms=times_ms, source=path)
    return counts if recorded is None else _mask_unrecorded(counts, recorded, path)


def count_spikes(
    spikes: pd.DataFrame,
    trials: pd.DataFrame,
    sites: pd.DataFrame,
    *,
    bins: list[TimeBin],
    times_ms: np.ndarray,
    source: Path,
) -> xr.DataArray:
    """Return spike counts per trial, site and bin, float32 (presentation neuroid time_bin).

    Parameters
    ----------
    spikes
        Table with a row per spike: `neuroid_id`, `presentation`.
    trials
        Table with a row per trial: `presentation`, `stimulus_id` and further coordinates.
    sites
        Table with a row per site: `neuroid_id`, `region` and further coordinates.
    bins
        Adjacent time bins in ms from stimulus onset.
    times_ms
        Time of each spike in ms from the onset of its trial; NaN is not counted.
    source
        Source of the spikes, for messages.
    """
    shown = [table.presentation for table in (trials, spikes)]
    if shown[0].dtype.kind == "O" or shown[1].dtype.kind == "O":  # compare as text
        shown = [pd.Series(as_texts(column)) for column in shown]
    row = pd.Index(shown[0]).get_indexer(pd.Index(shown[1]))
    column = pd.Index(sites.neuroid_id).get_indexer(pd.Index(spikes.neuroid_id))
    for name, found, table in (
        ("presentation", row, "presentations"),
        ("neuroid_id", column, "neuroids"),
    ):
        unknown = spikes[name][found < 0]
        if len(unknown):
            what = f"spikes of a {name.removesuffix('_id')} that is missing from the {table}"
            listed = some_of(unknown.unique().tolist())
            fault(
                f"{source}: {what}: {listed} ({len(unknown):,} in all). Add it, or drop its spikes."
            )
    start, width = bins[0][0], bins[0][1] - bins[0][0]
    which = np.floor((times_ms - start) / width)
    within = (which >= 0) & (which < len(bins))
    if np.isfinite(times_ms).any() and not within.any():
        fault(
            f"{source}: none of {len(times_ms):,} spikes lies in the time bins from {start} to "
            f"{bins[-1][1]} ms; they range from {np.nanmin(times_ms):,.4g} to "
            f"{np.nanmax(times_ms):,.4g} ms. Give times from stimulus onset in ms (time_ms) or "
            "seconds (time_s), or other bins in the sidecar."
        )
    elif within.sum() < FEW_INSIDE * len(times_ms):
        warnings.warn(
            f"{source}: {len(times_ms) - within.sum():,} of {len(times_ms):,} spikes lie outside "
            f"the time bins from {start} to {bins[-1][1]} ms; times may be in another unit, or not "
            "relative to stimulus onset.",
            NeurofitWarning,
            stacklevel=2,
        )
    inside = within & (row >= 0) & (column >= 0)
    counts = empty_counts(trials, sites, bins=bins, source=source)
    flat = np.ravel_multi_index(
        (row[inside], column[inside], which[inside].astype(np.int64)), counts.shape
    )
    counts += np.bincount(flat, minlength=counts.size).reshape(counts.shape)
    return as_responses(counts, trials, sites, bins=bins)


def empty_counts(
    trials: pd.DataFrame, sites: pd.DataFrame, *, bins: list[TimeBin], source: Path
) -> np.ndarray:
    """Return zeros, float32 (presentation neuroid time_bin), if they fit into memory."""
    shape = (len(trials), len(sites), len(bins))
    refuse_large(
        source, n_values=2 * float(np.prod(shape, dtype=np.float64)), n_bytes=0, stored=float("inf")
    )
    return np.zeros(shape, dtype=np.float32)


def as_responses(
    counts: np.ndarray, trials: pd.DataFrame, sites: pd.DataFrame, *, bins: list[TimeBin]
) -> xr.DataArray:
    """Return counts (presentation neuroid time_bin) with the columns of trials and sites."""
    coords: dict[str, Any] = {
        str(name): (dim, table[name].to_numpy())
        for dim, table in (("presentation", trials), ("neuroid", sites))
        for name in table
        if name not in DIMS and COORDS.get(str(name), dim) == dim
    }
    coords.setdefault(
        "repetition", ("presentation", number_repetitions(trials.stimulus_id.to_numpy()))
    )
    coords |= {
        "time_bin_start": ("time_bin", [s for s, _ in bins]),
        "time_bin_end": ("time_bin", [e for _, e in bins]),
    }
    coords = {name: (dim, _plain(values, name)) for name, (dim, values) in coords.items()}
    return xr.DataArray(counts, dims=DIMS, coords=coords, attrs={"units": "spikes per bin"})


def _by_session(
    trials: pd.DataFrame, sites: pd.DataFrame
) -> tuple[pd.DataFrame, np.ndarray | None]:
    """Return a row per site, and a mask (presentation neuroid) of the sites that were recorded.

    The mask is None unless both tables have a column session.
    """
    if "session" not in trials or "session" not in sites:
        return sites.drop_duplicates(ignore_index=True), None
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


def _mask_unrecorded(counts: xr.DataArray, recorded: np.ndarray, path: Path) -> xr.DataArray:
    """Return counts with NaN where a site was not recorded."""
    spurious = np.argwhere((counts.values.sum(axis=2) > 0) & ~recorded)
    if len(spurious):
        row, column = spurious[0]
        fault(
            f"{path}: neuroid {counts.neuroid_id.values[column]} has spikes in session "
            f"{counts.session.values[row]}, which neuroids.csv does not list for it "
            f"({len(spurious)} such trials). A neuroid needs a row for each of its sessions."
        )
    counts.values[~recorded] = np.nan
    return counts


def _plain(values: Any, name: str) -> np.ndarray:
    """Return numbers unchanged, and anything else as fixed-width text."""
    values = np.asarray(values)
    return values if values.dtype.kind in "iufb" else fixed_width(list(map(str, values)), name=name)


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


def _require_columns(tables: Mapping[Path, tuple[pd.DataFrame, Iterable[str]]]) -> None:
    """Refuse tables that lack a column; the error names all of them."""
    messages = []
    for path, (table, columns) in tables.items():
        lacking = [name for name in columns if name not in table]
        if lacking:
            plural = "s" * (len(lacking) > 1)
            messages.append(
                f"{path} lacks the column{plural} {', '.join(lacking)}; "
                f"it has {some_of(list(map(str, table)), most=20)}."
            )
    if messages:
        raise NeurofitError("\n".join(messages), faults=messages)


def _drop_missing(table: pd.DataFrame, name: str, path: Path) -> pd.DataFrame:
    """Return the rows with a value in a column; a missing one is a fault."""
    missing = (table[name].isna() | (table[name] == "")).to_numpy()
    if missing.any():
        listed = some_of(np.flatnonzero(missing).tolist())
        rows = f"row {listed}, counted from 0 ({int(missing.sum()):,} in all)"
        fault(f"{path}: every row needs a {name}; it is missing in {rows}.")
    return table[~missing]


def _unique_presentations(trials: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return one row per presentation; repeated presentations are a fault."""
    repeated = trials.presentation[trials.presentation.duplicated()].unique()
    if len(repeated):
        listed = some_of(repeated.tolist())
        fault(f"{path}: a presentation must have one row; there are several for {listed}.")
    return trials.drop_duplicates("presentation", ignore_index=True)
