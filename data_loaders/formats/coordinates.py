"""Responses with their coordinates, the same for every file format.

What a file leaves out is completed here: the area and animal of all neuroids, times of bins,
numbers of repetitions, and trials that a neuroid lacks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from neurofit.data_loaders.formats.sidecar import Sidecar, sidecar_path
from neurofit.errors import NeurofitError
from neurofit.recordings.identifiers import fixed_width, number_repetitions
from neurofit.recordings.recording import COORDS, DIMS
from neurofit.recordings.time_bins import TimeBin
from neurofit.recordings.times import TIME_BINS, bin_edges

Coords = dict[str, tuple[str, np.ndarray]]
"""Standard name of a coordinate -> its dimension and values."""


class Session(NamedTuple):
    """Responses of neuroids that were recorded together.

    Parameters
    ----------
    values
        Array (presentation neuroid time_bin), float32.
    trials
        Table with a row per presentation: `stimulus_id` and further coordinates.
    sites
        Table with a row per neuroid: `neuroid_id`, `region` and further coordinates.
    """

    values: np.ndarray
    trials: pd.DataFrame
    sites: pd.DataFrame

    def responses(
        self, bins: Sequence[TimeBin], *, units: str = "spikes per bin", **attrs: str
    ) -> xr.DataArray:
        """Return responses in time bins (ms from onset), with the columns as coordinates."""
        coords: Coords = {
            str(name): (dim, _plain(table[name].to_numpy(), str(name)))
            for dim, table in (("presentation", self.trials), ("neuroid", self.sites))
            for name in table
            if name not in DIMS and COORDS.get(str(name), dim) == dim
        }
        ids = coords["stimulus_id"][1]
        coords.setdefault("repetition", ("presentation", number_repetitions(ids)))
        edges = np.array(bins).T
        coords |= {name: ("time_bin", edge) for name, edge in zip(TIME_BINS, edges, strict=True)}
        return xr.DataArray(self.values, dims=DIMS, coords=coords, attrs={"units": units, **attrs})


def join(sessions: Sequence[Session], by: list[str], *, sort: bool = False) -> Session:
    """Return all trials of all neuroids of several sessions; NaN is a trial that a neuroid lacks.

    Parameters
    ----------
    sessions
        Sessions with the same time bins. Columns that all of them have are kept.
    by
        Columns that name a trial: equal ones are the same trial.
    sort
        Whether to sort trials by these columns.

    Raises
    ------
    NeurofitError
        If neuroids of the same `neuroid_id` differ in another column.
    """
    trials = _stacked([each.trials for each in sessions]).drop_duplicates(by)
    trials = (trials.sort_values(by) if sort else trials).reset_index(drop=True)
    sites = _stacked([each.sites for each in sessions]).drop_duplicates(ignore_index=True)
    again = sites.neuroid_id.duplicated()
    if again.any():
        neuroid = sites.neuroid_id[again].iloc[0]
        one, other = (sites[sites.neuroid_id == neuroid].iloc[row] for row in (0, 1))
        name = next(name for name in sites if one[name] != other[name])
        raise NeurofitError(
            f"Sessions disagree: neuroid {neuroid} has the {name} {one[name]} in one and "
            f"{other[name]} in another. Units with the same id are one neuroid."
        )
    rows, columns = pd.MultiIndex.from_frame(trials[by]), pd.Index(sites.neuroid_id)
    shape = (len(trials), len(sites), sessions[0].values.shape[2])
    values = np.full(shape, np.nan, dtype=np.float32)
    for each in sessions:
        own = rows.get_indexer(pd.MultiIndex.from_frame(each.trials[by]))
        values[np.ix_(own, columns.get_indexer(each.sites.neuroid_id))] = each.values
    return Session(values, trials, sites)


def complete(
    coords: Coords,
    sizes: Mapping[str, int],
    sidecar: Sidecar,
    *,
    source: Path,
    scalars: Mapping[str, np.ndarray] = {},
    faults: Mapping[str, str] = {},
) -> Coords:
    """Return coordinates with what the file, as scalars, and the sidecar state for a whole axis.

    Parameters
    ----------
    coords
        Coordinates of the file.
    sizes
        Lengths of the axes; an axis that the responses lack has length 1.
    sidecar, source
        Sidecar, and the file for messages.
    scalars
        Standard name -> array of one value: region, subject, time bin, bin_width_ms.
    faults
        Coordinate -> fault that is known already.

    Raises
    ------
    NeurofitError
        With all faults: those known, no area, no stimulus ids, and faults of time bins.
    """
    found, wrong = dict(coords), dict(faults)
    for name in ("region", "subject"):
        value = getattr(sidecar, name) or (str(scalars[name][0]) if name in scalars else None)
        if value is not None:
            whole = np.repeat(fixed_width([value], name=name), sizes.get("neuroid", 1))
            found.setdefault(name, ("neuroid", whole))
    if "region" not in found:
        repair = f'Write {{"region": "IT"}} into {sidecar_path(source)}.'
        wrong.setdefault("region", f"the recorded area is missing. {repair}")
    rows = "presentation" if "presentation" in sizes else "stimulus"
    along, ids = found.get("stimulus_id", ("", np.empty(0)))
    if not along:
        wrong.setdefault(
            "stimulus_id",
            f"the stimulus ids are missing. Add an array stimulus_id of {sizes[rows]} values.",
        )
    elif along != rows:
        wrong["stimulus_id"] = (
            f"the coordinate stimulus_id must lie along {rows}; it lies along {along}."
        )
    n_bins, width = sizes.get("time_bin", 1), scalars.get("bin_width_ms")
    width = found.get("bin_width_ms", ("", width))[1]
    known = {name: found[name][1] for name in TIME_BINS if name in found}
    known = {**scalars, **known} if n_bins == 1 else known
    try:
        edges = bin_edges(
            *map(known.get, TIME_BINS),
            n_bins=n_bins,
            width=width if width is None or width.dtype.kind in "iuf" else None,
            given=sidecar.time_bin,
        )
        found |= {name: ("time_bin", edge) for name, edge in zip(TIME_BINS, edges, strict=True)}
    except NeurofitError as error:
        wrong["time_bin"] = str(error)
    if wrong:
        named = [f"{source}: {each}" for each in wrong.values()]
        raise NeurofitError("\n".join(named), faults=named)
    if rows == "presentation":
        found.setdefault("repetition", (rows, number_repetitions(ids)))
    return found


def _stacked(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of all tables, of the columns that all have, with the types of NumPy."""
    names = [name for name in tables[0] if all(name in table for table in tables)]
    return pd.DataFrame({name: np.concatenate([table[name] for table in tables]) for name in names})


def _plain(values: np.ndarray, name: str) -> np.ndarray:
    """Return numbers unchanged, and anything else as fixed-width text."""
    return values if values.dtype.kind in "iufb" else fixed_width(list(map(str, values)), name=name)
