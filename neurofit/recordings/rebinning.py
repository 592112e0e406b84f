"""Re-bin a recording lazily: responses are read only when a block of them is used.

Counts are distributed in proportion to the overlap of new and recorded bins; rates are averaged
with the overlap as weight. If the recorded bins overlap each other, new bins must be among them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from neurofit.errors import NeurofitError, some_of
from neurofit.recordings.recording import Recording, as_slice
from neurofit.recordings.time_bins import (
    TimeBin,
    is_a_bin,
    nearest_window,
    overlapping,
    shared_bins,
)
from neurofit.recordings.times import ASSUMED

COUNTS = (
    "spikes per bin",
    "spikes/bin",
    "spikes",
    "spike count",
    "spike counts",
    "count",
    "counts",
)
"""Units (lower case) that mean counts; so does "spikes per N ms" if N is the bin width.

Anything else is a rate.
"""

SMALL_BYTES = 2**12
"""Responses up to this size are read in several bins at a time."""


def rebin(recording: Recording, time_bins: Sequence[Any]) -> Recording:
    """Return the responses in other time bins.

    Parameters
    ----------
    recording
        Recording whose bins cover the new ones; `responses.attrs["units"]` says whether responses
        are counts (`COUNTS`) or rates.
    time_bins
        New half-open bins (start, end), in ms from stimulus onset.

    Raises
    ------
    NeurofitError
        If the recorded bins do not cover a new one, overlap each other and do not include it, or
        would be divided among new ones, which would repeat their responses.
    """
    recorded = recording.time_bins
    if not len(time_bins):
        raise NeurofitError(f"No time bin of {recording.name} is selected.")
    wrong = [each for each in time_bins if not is_a_bin(each)]
    if wrong:
        raise NeurofitError(
            "Time bins are (start, end) in whole ms, with the end after the start; "
            f"got {some_of(wrong)}."
        )
    time_bins = [(int(start), int(end)) for start, end in time_bins]
    if overlapping(recorded):
        missing = [each for each in time_bins if each not in recorded]
        if missing:
            (begin, end), step = recorded[0], recorded[1][0] - recorded[0][0]
            width = end - begin
            raise NeurofitError(
                f"The bins of {recording.name} overlap ({width} ms every {step} ms): "
                f"{missing[0][0]}-{missing[0][1]} ms cannot be made from them. Select recorded "
                f"bins: --bins {begin}:{begin + width * (len(recorded) // 2)}:{width}."
            )
        rows = [recorded.index(each) for each in time_bins]
        truth = None if recording.truth is None else recording.truth.isel(time_bin=rows)
        return replace(recording, responses=recording.responses.isel(time_bin=rows), truth=truth)
    if divided := shared_bins(recorded, time_bins):
        nearest = nearest_window(recorded, time_bins)
        start, end = divided[0]
        raise NeurofitError(
            f"New time bins must not divide recorded ones, whose responses would be repeated: "
            f"{start}-{end} ms of {recording.name} ({len(divided)} in all). "
            + (f"Nearest: --bins {nearest}." if nearest else "Use edges of recorded bins.")
        )
    counts = are_counts(recording.responses)
    _need_units(recording, time_bins)
    weights = overlap_weights(recorded, time_bins, counts=counts, name=recording.name)
    rebinned = _weighted(recording, weights, time_bins)
    if counts:
        assumed = f" {ASSUMED}" * (ASSUMED in recording.responses.attrs["units"])
        rebinned.responses.attrs["units"] = COUNTS[0] + assumed
    return rebinned


def _need_units(recording: Recording, time_bins: Sequence[TimeBin]) -> None:
    """Refuse to join bins of different widths if nothing says what the responses are.

    Sums and means of equal bins differ by a factor, which no correlation shows.
    """
    responses = recording.responses
    units = str(responses.attrs.get("units", "")) or "unknown"
    like_counts = re.search(r"count|per bin|/ ?bin|n_?spikes", units.lower())
    if units != "unknown" and ASSUMED not in units and (are_counts(responses) or not like_counts):
        return
    unclear = f" clearly ({units})" if like_counts and ASSUMED not in units else ""
    for start, end in time_bins:
        joined = {
            last - first for first, last in recording.time_bins if first < end and start < last
        }
        if len(joined) > 1:
            raise NeurofitError(
                f"{recording.name} does not state its units{unclear}, and bins of {min(joined)} to "
                f"{max(joined)} ms would be joined to {start}-{end} ms: counts are added, rates "
                'averaged. Write {"units": "spikes per bin"} or {"units": "spikes per second"} '
                "into NAME.json beside it, or set responses.attrs['units']."
            )


def are_counts(responses: xr.DataArray) -> bool:
    """Return whether the units of responses mean counts (see `COUNTS`)."""
    units = str(responses.attrs.get("units", "")).removesuffix(ASSUMED).strip().lower()
    per = re.fullmatch(r"spikes ?(?:per|/) ?(\d{1,6}) ?ms", units)
    widths = np.unique(responses.time_bin_end.values - responses.time_bin_start.values)
    return units in COUNTS or (per is not None and widths.tolist() == [int(per[1])])


def over_all_bins(recording: Recording) -> Recording:
    """Return the unweighted mean over all time bins as a single bin, lazily."""
    bins = recording.time_bins
    weights = np.full((1, len(bins)), 1 / len(bins))
    return _weighted(recording, weights, [(bins[0][0], max(end for _, end in bins))])


def _weighted(recording: Recording, weights: np.ndarray, time_bins: Sequence[TimeBin]) -> Recording:
    return replace(
        recording,
        responses=_rebinned(recording.responses, weights, time_bins),
        truth=None if recording.truth is None else _rebinned(recording.truth, weights, time_bins),
    )


def overlap_weights(
    recorded: Sequence[TimeBin], asked: Sequence[TimeBin], *, counts: bool, name: str
) -> np.ndarray:
    """Return the weight of each recorded bin in each new one: array (new recorded).

    For counts it is the share of the recorded bin that lies in the new one; for rates, the share
    of the new bin that the recorded one covers.

    Parameters
    ----------
    recorded, asked
        Recorded and new half-open bins, in ms.
    counts
        Whether responses are counts; otherwise they are rates.
    name
        Name of the recording, for the error message.

    Raises
    ------
    NeurofitError
        If the recorded bins do not cover a new one.
    """
    old, new = np.asarray(recorded, dtype=np.float64), np.asarray(asked, dtype=np.float64)
    overlap = np.clip(
        np.minimum(new[:, None, 1], old[None, :, 1]) - np.maximum(new[:, None, 0], old[None, :, 0]),
        0,
        None,
    )
    widths = new[:, 1] - new[:, 0]
    uncovered = np.flatnonzero(overlap.sum(axis=1) < widths)
    if len(uncovered):
        start, end = asked[uncovered[0]]
        raise NeurofitError(
            f"{name} does not cover {start}-{end} ms: it has {len(recorded)} bins from "
            f"{recorded[0][0]} to {recorded[-1][1]} ms, the first {recorded[0][0]}-"
            f"{recorded[0][1]} ms."
        )
    return np.asarray(overlap / (old[:, 1] - old[:, 0]) if counts else overlap / widths[:, None])


def _rebinned(
    responses: xr.DataArray, weights: np.ndarray, time_bins: Sequence[TimeBin]
) -> xr.DataArray:
    coords: dict[str, Any] = {
        str(n): (c.dims, c.values) for n, c in responses.coords.items() if "time_bin" not in c.dims
    }
    starts, ends = np.array(time_bins).T
    coords |= {"time_bin_start": ("time_bin", starts), "time_bin_end": ("time_bin", ends)}
    lazy = indexing.LazilyIndexedArray(_RebinnedArray(responses, weights))
    return xr.DataArray(lazy, dims=responses.dims, coords=coords, attrs=dict(responses.attrs))


class _RebinnedArray(BackendArray):
    """Weighted sums of recorded bins, computed only for the indexed rows and columns."""

    def __init__(self, responses: xr.DataArray, weights: np.ndarray) -> None:
        self.responses, self.weights = responses, weights
        self.shape = (*responses.shape[:2], len(weights))
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, key: Any) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        rows, columns, bins = key
        positions = np.atleast_1d(np.arange(self.shape[2])[bins])
        dims = tuple(map(str, self.responses.dims[:2]))
        part = self.responses.isel({dims[0]: rows, dims[1]: columns})
        sums, n_values = [], int(np.prod([part.sizes[dim] for dim in dims if dim in part.dims]))
        step = max(1, SMALL_BYTES // max(1, 4 * n_values))
        for weights in self.weights[positions]:
            total: np.ndarray | float = 0.0
            used = np.flatnonzero(weights)
            for begin in range(0, len(used), step):
                old = as_slice(used[begin : begin + step])
                values = np.asarray(part.isel(time_bin=old).values, dtype=np.float64)
                for weight, each in zip(weights[old], np.moveaxis(values, -1, 0), strict=True):
                    total = total + weight * each
            sums.append(np.asarray(total, dtype=np.float32))
        stacked = np.stack(sums, axis=-1)
        return stacked[..., 0] if isinstance(bins, int | np.integer) else stacked
