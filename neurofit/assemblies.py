"""The recording: names of its dimensions and coordinates, what makes it valid, and reading it one time bin at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from neurofit.errors import NeurofitError, check_option, some_of
from neurofit.stimuli import StimulusSet
from neurofit.time_bins import TimeBin

DIMS = ("presentation", "neuroid", "time_bin")
COORDS = {
    "stimulus_id": "presentation",
    "repetition": "presentation",
    "neuroid_id": "neuroid",
    "region": "neuroid",
    "time_bin_start": "time_bin",
    "time_bin_end": "time_bin",
}
"""Coordinates every recording has, and the dimension of each."""

MAX_FAULTS = 20
"""So many are named one by one; one mistake in a file can break every bin or neuroid."""


@dataclass(frozen=True, kw_only=True, eq=False)  # two arrays have no single truth value
class Recording:
    """Responses of recorded sites to repeated showings of images, in time, with the images.

    Parameters
    ----------
    name
        Citation key or name of the recording.
    responses
        DataArray (presentation neuroid time_bin), float32 spike counts or rates, with the coordinates of `COORDS`; may be
        lazy (opened from a file larger than memory). NaN: this trial is missing for this neuroid.
    stimuli
        The pictures; every `stimulus_id` of `responses` is one of theirs.
    simulated
        Whether the responses come from a program and not from a brain. Said in every output.
    sha256
        Hash of the data, with the pictures if there are any; kept in results.
    citation
        Where the recording was published.
    truth
        Of a simulation: the noise-free response, DataArray (stimulus neuroid time_bin), in the order of `stimuli`.
    """

    name: str
    responses: xr.DataArray
    stimuli: StimulusSet
    simulated: bool = False
    sha256: str = ""
    citation: str = ""
    truth: xr.DataArray | None = None

    def __repr__(self) -> str:
        """Say in a line what it is; `responses` and `stimuli` show themselves."""
        sizes = ", ".join(f"{n} {dim}s" for dim, n in self.responses.sizes.items())
        return f"Recording({self.name!r}{', simulated' * self.simulated}: {sizes}; {len(self.stimuli)} stimuli)"

    @property
    def regions(self) -> tuple[str, ...]:
        """The areas recorded from, in alphabetical order."""
        return tuple(str(r) for r in np.unique(self.responses.region.values))

    @property
    def time_bins(self) -> list[TimeBin]:
        """The recorded bins: half-open, ms from stimulus onset."""
        starts, ends = self.responses.time_bin_start.values, self.responses.time_bin_end.values
        return [(int(s), int(e)) for s, e in zip(starts, ends, strict=True)]

    @property
    def stimulus_rows(self) -> np.ndarray:
        """For each presentation, the row of its stimulus in `stimuli`: array (presentation)."""
        row_of = {stimulus: row for row, stimulus in enumerate(self.stimuli.ids)}
        return np.array([row_of[s] for s in self.responses.stimulus_id.values])

    def block(self, time_bin: int) -> np.ndarray:
        """Read one time bin from wherever the responses are: float32 array (presentation neuroid)."""
        return np.asarray(self.responses.isel(time_bin=time_bin).values, dtype=np.float32)

    def select(self, *, region: str | None = None, window: tuple[int, int] | None = None) -> Recording:
        """Return the recording of one area and of the bins inside a window; nothing is read.

        Parameters
        ----------
        region
            Area, as in the coordinate `region`; None keeps all.
        window
            (start, end) in ms; bins inside it are kept.

        Raises
        ------
        NeurofitError
            If there is no such area, or no bin inside the window.
        """
        neuroids: slice | np.ndarray = slice(None)
        bins: slice | np.ndarray = slice(None)
        if region is not None:
            check_option(f"region of {self.name}", region, self.regions)
            neuroids = _as_slice(np.flatnonzero(self.responses.region.values == region))
        if window is not None:
            starts, ends = np.array(self.time_bins).T
            inside = np.flatnonzero((starts >= window[0]) & (ends <= window[1]))
            if len(inside) == 0:
                raise NeurofitError(f"No time bin of {self.name} lies inside {window[0]}-{window[1]} ms; it has {starts[0]}-{ends[-1]} ms.")
            bins = _as_slice(inside)
        truth = None if self.truth is None else self.truth.isel(neuroid=neuroids, time_bin=bins)
        return replace(self, responses=self.responses.isel(neuroid=neuroids, time_bin=bins), truth=truth)


def validate_recording(recording: Recording) -> None:
    """Check a recording against the contract, reading one time bin at a time.

    Raises
    ------
    NeurofitError
        With one line for every fault, up to `MAX_FAULTS`: what is wrong, where, and how to repair it.
    """
    validate_structure(recording)
    _raise_faults(recording.name, _value_faults(recording))


def find_faults(recording: Recording) -> list[str]:
    """Return every fault of a recording, as a sentence each: what is wrong, where, and how to repair it.

    Where dimensions or coordinates are missing or misplaced, these are all that can be said.
    """
    layout = _layout_faults(recording.responses)
    return layout or _content_faults(recording.responses, recording.stimuli.ids) + _value_faults(recording)


def validate_structure(recording: Recording) -> None:
    """Check what can be seen of a recording without reading its responses; raises as `validate_recording`."""
    responses = recording.responses
    _raise_faults(recording.name, _layout_faults(responses) or _content_faults(responses, recording.stimuli.ids))


def _layout_faults(responses: xr.DataArray) -> list[str]:
    """Return what is wrong with dimensions and with where coordinates lie."""
    if set(responses.dims) != set(DIMS) or len(responses.dims) != 3:
        return [f"dims must be {', '.join(DIMS)}; got {', '.join(map(str, responses.dims))}. Rename or transpose them."]
    if tuple(responses.dims) != DIMS:
        return [f"dims are in the order {', '.join(map(str, responses.dims))}. Repair: responses.transpose{DIMS}."]
    missing = [f"coordinate {name} on {dim} is missing." for name, dim in COORDS.items() if name not in responses.coords]
    if missing:
        return missing
    displaced = [
        f"coordinate {name} lies on {', '.join(map(str, responses[name].dims)) or 'no dim'}, it belongs on {dim}."
        for name, dim in COORDS.items()
        if responses[name].dims != (dim,)
    ]
    if displaced:
        return displaced
    return [f"dim {dim} is empty." for dim in DIMS if responses.sizes[dim] == 0]


def _content_faults(responses: xr.DataArray, stimulus_ids: Sequence[object] | np.ndarray) -> list[str]:
    """Return what is wrong with the coordinates' values."""
    return _bin_faults(responses) + _neuroid_faults(responses) + _presentation_faults(responses, stimulus_ids)


def _bin_faults(responses: xr.DataArray) -> list[str]:
    starts, ends = responses.time_bin_start.values, responses.time_bin_end.values
    for name, edges in (("time_bin_start", starts), ("time_bin_end", ends)):
        if edges.dtype.kind not in "iuf":
            return [f"{name} has the type {edges.dtype}. Give whole numbers: ms from stimulus onset."]
        broken = np.flatnonzero(~(np.isfinite(edges) & (edges == np.round(edges))))
        if len(broken):
            return [f"{name} {broken[0]} is {edges[broken[0]]}. Give whole numbers: ms from stimulus onset."]
    faults = []
    backwards = len(starts) > 2 and (np.diff(starts) < 0).all()
    if backwards:
        faults.append("time bins are in descending order. Repair: responses.sortby('time_bin_start').")
    empty = np.flatnonzero(ends <= starts)
    if len(empty):
        here = some_of([f"{position} ({starts[position]} to {ends[position]} ms)" for position in empty])
        faults.append(f"time_bin {here} has no positive width. Bins are half-open [start, end) in ms; swap or correct them.")
    for position, (start, end) in enumerate(zip(starts, ends, strict=True)):
        here = f"time_bin {position} ({start}-{end} ms)"
        if end <= start or backwards:
            continue
        if position and (start, end) in zip(starts[:position], ends[:position], strict=True):
            faults.append(f"{here} occurs twice. Keep one: responses.isel(time_bin=...).")
        elif position and start < starts[position - 1]:
            faults.append(f"{here} comes after {starts[position - 1]}-{ends[position - 1]} ms. Repair: responses.sortby('time_bin_start').")
    return faults


def _neuroid_faults(responses: xr.DataArray) -> list[str]:
    nameless = np.flatnonzero(_is_no_name(responses.neuroid_id.values))
    said = [f"neuroid {some_of(nameless.tolist())} has no neuroid_id ({len(nameless):,} in all)."] if len(nameless) else []
    ids = responses.neuroid_id.values.astype(str)
    names, counts = np.unique(np.delete(ids, nameless), return_counts=True)
    return said + [
        f"neuroid_id {str(name)!r} occurs {count} times, at neuroid {', '.join(map(str, np.flatnonzero(ids == name)))}; ids must be unique."
        for name, count in zip(names[counts > 1], counts[counts > 1], strict=True)
    ]


def _presentation_faults(responses: xr.DataArray, stimulus_ids: Sequence[object] | np.ndarray) -> list[str]:
    faults = []
    shown, known_ids = responses.stimulus_id.values, np.asarray(stimulus_ids)
    nameless = np.flatnonzero(_is_no_name(shown))
    if len(nameless):
        faults.append(f"presentation {some_of(nameless.tolist())} has no stimulus_id ({len(nameless):,} in all). Name it or drop it.")
    times = Counter(shown[~_is_no_name(shown)].tolist())
    known = set(known_ids[~_is_no_name(known_ids)].tolist())
    unknown = sorted(set(times) - known, key=str)
    if unknown:
        at = responses.stimulus_id.values.tolist().index(unknown[0])
        faults.append(
            f"stimulus {unknown[0]!r} ({len(unknown)} in all) is shown at presentation {at} but not in the stimulus set. "
            "Add it or drop its presentations."
        )
    unseen = sorted(known - set(times), key=str)
    if unseen:
        faults.append(f"stimulus {unseen[0]!r} ({len(unseen)} in all) is in the stimulus set but never shown. Drop it from the set.")
    single = sorted((stimulus for stimulus, count in times.items() if count < 2), key=str)
    if single:
        faults.append(
            f"stimulus {some_of([repr(each) for each in single])} ({len(single)} of {len(times)}) has one repetition only; "
            "noise correction needs two halves, so at least 2 repetitions of every stimulus."
        )
    return faults


def _is_no_name(ids: np.ndarray) -> np.ndarray:
    return np.asarray(np.isnan(ids) if ids.dtype.kind == "f" else ids == "")


def _value_faults(recording: Recording) -> list[str]:
    ids = recording.responses.neuroid_id.values
    answered = np.zeros(len(ids), dtype=bool)
    infinite, first = 0, ""
    edges = zip(recording.responses.time_bin_start.values, recording.responses.time_bin_end.values, strict=True)
    for position, (start, end) in enumerate(edges):
        block = recording.block(position)
        found = np.argwhere(np.isinf(block))
        if len(found) and not infinite:
            presentation, neuroid = found[0]
            first = f"presentation {presentation}, neuroid {str(ids[neuroid])!r}, time_bin {start}-{end} ms"
        infinite += len(found)
        answered |= ~np.isnan(block).all(axis=0)
    faults = [f"{infinite} infinite values, the first at {first}. Repair: mark missing trials as NaN."] if infinite else []
    faults += [f"neuroid {str(name)!r} is NaN in every trial and bin. Drop it: responses.isel(neuroid=...)." for name in ids[~answered]]
    return faults


def _raise_faults(name: str, faults: list[str]) -> None:
    if len(faults) == 1:
        raise NeurofitError(f"Recording {name}: {faults[0]}")
    if faults:
        said = faults[:MAX_FAULTS] + [f"and {len(faults) - MAX_FAULTS} more."] * (len(faults) > MAX_FAULTS)
        raise NeurofitError(f"Recording {name} has {len(faults)} faults:\n" + "\n".join(f"- {fault}" for fault in said))


def _as_slice(index: np.ndarray) -> slice | np.ndarray:
    """Return a run of neighbours as a slice, which every file backend reads fast; anything else as it is."""
    if len(index) and index[-1] - index[0] + 1 == len(index):
        return slice(int(index[0]), int(index[-1]) + 1)
    return index
