"""Check that a recording is valid, reading it block by block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any
from weakref import WeakSet

import numpy as np
import xarray as xr

from neurofit.errors import NeurofitError, some_of
from neurofit.recordings.identifiers import (
    block_fault,
    identity_faults,
    is_missing,
    neuroid_faults,
)
from neurofit.recordings.recording import BLOCK_BYTES, COORDS, DIMS, Recording, contiguous_blocks
from neurofit.recordings.times import TIME_BINS, bin_faults

MAX_FAULTS = 20
"""Longest list of problems in a message: one mistake can affect every bin or neuroid."""


_valid: WeakSet[Recording] = WeakSet()
"""Recordings whose values were found valid."""


def validate_recording(recording: Recording) -> None:
    """Check a recording's structure and values, reading it block by block.

    Every analysis does so first. The values of a recording are read for this once.

    Parameters
    ----------
    recording
        Responses (presentation neuroid time_bin) and stimuli; it may be larger than memory.

    Raises
    ------
    NeurofitError
        If there are problems. Up to 20 are listed, each with its position and repair.

    Examples
    --------
    >>> import neurofit
    >>> recording = neurofit.load_recording("hvm-sim", region="V4", window=(90, 110))
    >>> neurofit.validate_recording(recording)
    """
    validate_structure(recording)
    if recording not in _valid:
        _raise_faults(recording.name, _value_faults(recording))


def find_faults(recording: Recording) -> list[str]:
    """Return a sentence for every problem of a recording, with its position and repair.

    If dimensions or coordinates are missing or misplaced, only these problems are returned.
    """
    structure = _layout_faults(recording.responses)
    return structure or _content_faults(recording) + _value_faults(recording)


def validate_structure(recording: Recording) -> None:
    """Check a recording without reading its responses; raises as `validate_recording` does."""
    if not isinstance(recording, Recording):
        raise NeurofitError(
            f"A recording is a neurofit.Recording; got {type(recording).__name__}. "
            "neurofit.load_recording reads one from a file."
        )
    faults = _layout_faults(recording.responses) or _content_faults(recording)
    _raise_faults(recording.name, faults)


def _layout_faults(responses: xr.DataArray) -> list[str]:
    """Return problems of dimensions, and of the dimensions of coordinates."""
    dims = ", ".join(map(str, responses.dims))
    if set(responses.dims) != set(DIMS) or len(responses.dims) != 3:
        return [f"dims must be {', '.join(DIMS)}; got {dims}. Rename or transpose them."]
    if responses.dims != DIMS:
        return [f"dims are in the order {dims}. Repair: responses.transpose{DIMS}."]
    missing = [
        f"coordinate {name} on {dim} is missing."
        for name, dim in COORDS.items()
        if name not in responses.coords
    ]
    if missing:
        return missing
    displaced = [
        f"coordinate {name} lies on {', '.join(map(str, responses[name].dims)) or 'no dim'}; "
        f"it must lie on {dim}."
        for name, dim in COORDS.items()
        if responses[name].dims != (dim,)
    ]
    return displaced or [f"dim {dim} is empty." for dim in DIMS if responses.sizes[dim] == 0]


def _content_faults(recording: Recording) -> list[str]:
    """Return problems of the values of coordinates."""
    coords = recording.responses.coords
    return (
        bin_faults(coords["time_bin_start"].values, coords["time_bin_end"].values)
        + neuroid_faults(coords["neuroid_id"].values)
        + _presentation_faults(coords, recording.stimuli.ids)
    )


def _presentation_faults(coords: Mapping[Any, xr.DataArray], stimulus_ids: np.ndarray) -> list[str]:
    shown = coords["stimulus_id"].values
    faults = identity_faults(shown, name="stimulus_id")
    columns = {str(name): coord.values for name, coord in coords.items() if coord.dims == DIMS[:1]}
    if blocks := block_fault(shown, columns):
        faults.append(blocks)
    missing = np.flatnonzero(is_missing(shown))
    if len(missing):
        faults.append(
            f"presentation {some_of(missing.tolist())} has no stimulus_id ({len(missing):,} in "
            "all). Name it or drop it."
        )
    times = Counter(shown[~is_missing(shown)].tolist())
    known = set(stimulus_ids[~is_missing(stimulus_ids)].tolist())
    unknown = sorted(set(times) - known, key=str)
    if unknown:
        faults.append(
            f"stimulus {unknown[0]!r} ({len(unknown)} in all) is shown at presentation "
            f"{shown.tolist().index(unknown[0])} but not in the stimulus set. "
            "Add it or drop its presentations."
        )
    unseen = sorted(known - set(times), key=str)
    if unseen:
        faults.append(
            f"stimulus {unseen[0]!r} ({len(unseen)} in all) is in the stimulus set but never "
            "shown. Drop it from the set."
        )
    single = sorted((stimulus for stimulus, count in times.items() if count < 2), key=str)
    if single:
        faults.append(
            f"stimulus {some_of([repr(each) for each in single])} ({len(single)} of {len(times)}) "
            "has only one repetition; noise correction needs at least 2 repetitions of every "
            "stimulus."
        )
    return faults


class Values:
    """What is wrong with the values of a recording, found block by block.

    Parameters
    ----------
    recording
        Recording; `add` takes its blocks.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.responding = np.zeros(recording.responses.sizes["neuroid"], dtype=bool)
        self.infinite, self.first = 0, ""

    def add(self, neuroids: slice, bins: slice, trials: np.ndarray) -> None:
        """Enter the trials (presentation neuroid time_bin) of a block."""
        infinite = np.isinf(trials)
        if infinite.any() and not self.infinite:
            coords = self.recording.responses.coords
            time_bin, presentation, neuroid = np.argwhere(infinite.transpose(2, 0, 1))[0]
            start, end = (coords[name].values[bins][time_bin] for name in TIME_BINS)
            name = str(coords["neuroid_id"].values[neuroids][neuroid])
            self.first = f"presentation {presentation}, neuroid {name!r}, time_bin {start}-{end} ms"
        self.infinite += int(infinite.sum())
        self.responding[neuroids] |= ~np.isnan(trials).all(axis=(0, 2))

    def faults(self) -> list[str]:
        """Return a sentence for each fault once all blocks are entered; none: it is valid."""
        found = [
            f"neuroid {str(name)!r} is NaN in every trial and bin. "
            "Drop it: responses.isel(neuroid=...)."
            for name in self.recording.responses.neuroid_id.values[~self.responding]
        ]
        if self.infinite:
            found.insert(
                0,
                f"{self.infinite} infinite values, the first at {self.first}. "
                "Repair: mark missing trials as NaN.",
            )
        if not found:
            _valid.add(self.recording)
        return found


def _value_faults(recording: Recording) -> list[str]:
    values = Values(recording)
    for neuroids, bins in contiguous_blocks(recording, most=BLOCK_BYTES):
        values.add(neuroids, bins, recording.block(bins, neuroids))
    return values.faults()


def _raise_faults(name: str, faults: list[str]) -> None:
    if len(faults) == 1:
        raise NeurofitError(f"Recording {name}: {faults[0]}")
    if faults:
        listed = faults[:MAX_FAULTS]
        if len(faults) > MAX_FAULTS:
            listed.append(f"and {len(faults) - MAX_FAULTS} more.")
        lines = "\n".join(f"- {fault}" for fault in listed)
        raise NeurofitError(f"Recording {name} has {len(faults)} problems:\n{lines}")
