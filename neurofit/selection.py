"""Parts of a recording: neuroids, stimuli, other time bins. Nothing is read before a block of it is used.

A new bin takes from each recorded bin the share that it overlaps: of counts the same share of the spikes, of rates the mean weighted
by the overlap. Where bins overlap each other, only bins that were recorded as they are can be taken.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from neurofit.assemblies import Recording
from neurofit.errors import NeurofitError, check_option, some_of
from neurofit.time_bins import TimeBin, make_time_bins

COUNTS = ("spikes per bin", "spikes/bin", "spikes", "spike count", "spike counts", "count", "counts")
"""Units, in small letters, under which responses are counts, as they are of spikes per so many ms as a bin has; else they are rates."""


def where(recording: Recording, **values: str | None) -> Recording:
    """Return the neuroids whose coordinates have these values: `where(recording, subject="Chabo", subregion="aIT")`.

    Raises
    ------
    NeurofitError
        If neuroids have no such coordinate, or none of them the value; the nearest is named.
    """
    for name, value in values.items():
        if value is None:
            continue
        coords = [str(n) for n, coord in recording.responses.coords.items() if coord.dims == ("neuroid",)]
        check_option(f"coordinate of the neuroids of {recording.name}", name, coords)
        own = recording.responses[name].values.astype(str)
        check_option(f"{name} of {recording.name}", value, np.unique(own).tolist())
        recording = keep_neuroids(recording, own == value)
    return recording


def keep_neuroids(recording: Recording, kept: np.ndarray) -> Recording:
    """Return the neuroids that a boolean array (neuroid) marks."""
    rows = np.flatnonzero(kept)
    truth = None if recording.truth is None else recording.truth.isel(neuroid=rows)
    return replace(recording, responses=recording.responses.isel(neuroid=rows), truth=truth)


def keep_stimuli(recording: Recording, asked: str | Sequence[str]) -> Recording:
    """Return some presentations: of some stimuli, or of which something is so.

    Parameters
    ----------
    recording
        Any.
    asked
        Ids; "COLUMN=VALUE[,VALUE...]", of the table of stimuli or of what is known of each presentation (session=a); or a text file
        with a stimulus_id per line.

    Raises
    ------
    NeurofitError
        If there is no such column, value, file or stimulus.
    """
    table, known = recording.stimuli.table, recording.responses.coords
    of_presentations = [str(name) for name, coord in known.items() if coord.dims == ("presentation",) and name != "stimulus_id"]
    rows_shown = recording.stimulus_rows
    if isinstance(asked, str) and "=" in asked:
        column, _, values = asked.partition("=")
        check_option(f"column of the stimuli of {recording.name}", column, dict.fromkeys([*map(str, table.columns), *of_presentations]))
        wanted = values.split(",")
        own = known[column].values.astype(str) if column in of_presentations else table[column].astype(str).to_numpy()[rows_shown]
    else:
        column, wanted = "stimulus", _ids_in(Path(asked)) if isinstance(asked, str) else list(map(str, asked))
        own = table.stimulus_id.astype(str).to_numpy()[rows_shown]
    existing = np.unique(own).tolist()
    for value in sorted(set(wanted) - set(existing))[:1]:
        check_option(f"{column} of {recording.name}", value, existing)
    if not wanted:
        raise NeurofitError(f"No stimulus of {recording.name} is asked for.")
    shown = np.flatnonzero(np.isin(own, wanted))
    rows = np.unique(rows_shown[shown])
    truth = None if recording.truth is None else recording.truth.isel(stimulus=rows)
    return replace(
        recording, responses=recording.responses.isel(presentation=shown), stimuli=recording.stimuli.only(rows.tolist()), truth=truth
    )


def _ids_in(path: Path) -> list[str]:
    """Return the ids in a text file, a line each; a first line may be their name."""
    if not path.is_file():
        raise NeurofitError(f"Stimuli are COLUMN=VALUE,VALUE or a file with a stimulus_id per line; got {str(path)!r}.")
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise NeurofitError(f"Cannot read {path} as a text file of ids: {error}.") from error
    return lines[1:] if lines[:1] in (["stimulus_id"], ["image_id"]) else lines


def overlapping(time_bins: Sequence[TimeBin]) -> bool:
    """Return whether two bins share time, in whatever order they are."""
    return any(start < end for (_, end), (start, _) in pairwise(sorted(time_bins)))


def shared_bins(recorded: Sequence[TimeBin], asked: Sequence[TimeBin]) -> list[TimeBin]:
    """Return the recorded bins of which several asked ones take a part."""
    return [(start, end) for start, end in recorded if sum(first < end and start < last for first, last in asked) > 1]


def parse_bins(text: str) -> list[TimeBin]:
    """Return the adjacent bins of "START:END:WIDTH" in ms.

    Raises
    ------
    NeurofitError
        If it is nothing of that form.
    """
    try:
        start, end, width = (int(part) for part in text.split(":"))
    except ValueError:
        raise NeurofitError(f"--bins takes START:END:WIDTH in ms, as 70:260:10; got {text!r}.") from None
    return make_time_bins(start, end, width)


def rebin(recording: Recording, time_bins: Sequence[Any]) -> Recording:
    """Return the responses in other time bins.

    Parameters
    ----------
    recording
        With bins that cover the new ones; `responses.attrs["units"]` says whether they are counts (`COUNTS`) or rates.
    time_bins
        Half-open, in ms from stimulus onset.

    Raises
    ------
    NeurofitError
        If the recorded bins do not cover a new one, or overlap each other and the new one is none of them.
    """
    recorded = recording.time_bins
    if not len(time_bins):
        raise NeurofitError(f"No time bin of {recording.name} is asked for.")
    wrong = [each for each in time_bins if not is_a_bin(each)]
    if wrong:
        raise NeurofitError(f"Time bins are (start, end) in whole ms, the end after the start; got {some_of(wrong)}.")
    time_bins = [(int(start), int(end)) for start, end in time_bins]
    if overlapping(recorded):
        lacking = [each for each in time_bins if each not in recorded]
        if lacking:
            start, end = lacking[0]
            width = recorded[0][1] - recorded[0][0]
            raise NeurofitError(
                f"The bins of {recording.name} overlap ({width} ms every {recorded[1][0] - recorded[0][0]} ms): {start}-{end} ms cannot be "
                f"made of them. Take some as they are: --bins {recorded[0][0]}:{recorded[0][0] + width * (len(recorded) // 2)}:{width}."
            )
        rows = [recorded.index(each) for each in time_bins]
        truth = None if recording.truth is None else recording.truth.isel(time_bin=rows)
        return replace(recording, responses=recording.responses.isel(time_bin=rows), truth=truth)
    counts = are_counts(recording.responses)
    made = _weighted(recording, overlap_weights(recorded, time_bins, counts=counts, name=recording.name), time_bins)
    if counts:
        made.responses.attrs["units"] = COUNTS[0]
    return made


def is_a_bin(given: Any) -> bool:
    """Return whether something is (start, end) in whole ms, the end after the start."""
    edges = given if isinstance(given, Sequence | np.ndarray) and not isinstance(given, str) else ()
    return len(edges) == 2 and all(isinstance(edge, int | np.integer) for edge in edges) and bool(edges[0] < edges[1])


def are_counts(responses: xr.DataArray) -> bool:
    """Return whether responses are counts, as their units say (`COUNTS`)."""
    units = str(responses.attrs.get("units", "")).strip().lower()
    per = re.fullmatch(r"spikes ?(?:per|/) ?(\d{1,6}) ?ms", units)
    widths = np.unique(responses.time_bin_end.values - responses.time_bin_start.values)
    return units in COUNTS or (per is not None and widths.tolist() == [int(per[1])])


def over_all_bins(recording: Recording) -> Recording:
    """Return the mean response over all time bins as a single bin, lazily; bins that overlap count as they are."""
    bins = recording.time_bins
    return _weighted(recording, np.full((1, len(bins)), 1 / len(bins)), [(bins[0][0], max(end for _, end in bins))])


def _weighted(recording: Recording, weights: np.ndarray, time_bins: Sequence[TimeBin]) -> Recording:
    return replace(
        recording,
        responses=_rebinned(recording.responses, weights, time_bins),
        truth=None if recording.truth is None else _rebinned(recording.truth, weights, time_bins),
    )


def overlap_weights(recorded: Sequence[TimeBin], asked: Sequence[TimeBin], *, counts: bool, name: str) -> np.ndarray:
    """Return what each recorded bin gives to each asked one: array (asked recorded).

    Counts: the share of the recorded bin that lies in the asked one. Rates: the share of the asked bin that the recorded one covers.

    Raises
    ------
    NeurofitError
        If an asked bin is not covered; the message says what is.
    """
    old, new = np.asarray(recorded, dtype=np.float64), np.asarray(asked, dtype=np.float64)
    overlap = np.clip(np.minimum(new[:, None, 1], old[None, :, 1]) - np.maximum(new[:, None, 0], old[None, :, 0]), 0, None)
    widths = new[:, 1] - new[:, 0]
    uncovered = np.flatnonzero(overlap.sum(axis=1) < widths)
    if len(uncovered):
        start, end = asked[uncovered[0]]
        raise NeurofitError(
            f"{name} does not cover {start}-{end} ms: it has {len(recorded)} bins from {recorded[0][0]} to {recorded[-1][1]} ms, "
            f"the first {recorded[0][0]}-{recorded[0][1]} ms."
        )
    return np.asarray(overlap / (old[:, 1] - old[:, 0])[None, :] if counts else overlap / widths[:, None])


def _rebinned(responses: xr.DataArray, weights: np.ndarray, time_bins: Sequence[TimeBin]) -> xr.DataArray:
    coords: dict[str, Any] = {str(n): (c.dims, c.values) for n, c in responses.coords.items() if "time_bin" not in c.dims}
    starts, ends = np.array(time_bins).T
    coords |= {"time_bin_start": ("time_bin", starts), "time_bin_end": ("time_bin", ends)}
    lazy = indexing.LazilyIndexedArray(_Rebinned(responses, weights))
    return xr.DataArray(lazy, dims=responses.dims, coords=coords, attrs=dict(responses.attrs))


class _Rebinned(BackendArray):
    """Sums of recorded bins, weighted, computed for the rows and columns that are asked for."""

    def __init__(self, responses: xr.DataArray, weights: np.ndarray) -> None:
        self.responses, self.weights = responses, weights
        self.shape = (*responses.shape[:2], len(weights))
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, key: Any) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        rows, columns, bins = key
        positions = np.atleast_1d(np.arange(self.shape[2])[bins])
        dims = tuple(map(str, self.responses.dims[:2]))
        part = self.responses.isel({dims[0]: rows, dims[1]: columns})
        needed = [np.flatnonzero(self.weights[position]).tolist() for position in positions]
        read: dict[int, np.ndarray] = {}  # what the next bin needs of this one is not read again; nothing else is held
        made = []
        for position, own, of_next in zip(positions, needed, [*needed[1:], []], strict=True):
            total: np.ndarray | float = 0.0
            for old in own:
                values = read.pop(old) if old in read else np.asarray(part.isel(time_bin=old).values, dtype=np.float64)
                total = total + self.weights[position, old] * values
                if old in of_next:
                    read[old] = values
            made.append(np.asarray(total, dtype=np.float32))
        stacked = np.stack(made, axis=-1)
        return stacked[..., 0] if isinstance(bins, int | np.integer) else stacked
