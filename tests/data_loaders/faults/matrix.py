"""A fault, what each format makes of it, and how that is found out."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from forms import FORMS, Session, write

from neurofit.data_loaders import load_recording
from neurofit.errors import NeurofitError
from neurofit.recordings.plausibility import image_faults, plausibility_warnings
from neurofit.recordings.recording import Recording
from neurofit.recordings.stimuli import NoImages
from neurofit.recordings.validation import validate_recording

NETCDF = ("netCDF", "netCDF, named axes in a group", "classic netCDF")
NAMED = ("npz", "HDF5", "MATLAB v5", "MATLAB v7.3")
BINNED = (*NETCDF, *NAMED, "npy and tables")
TABLES = ("spike folder", "spike table", "Parquet")
COUNTED = (*TABLES, "raster", "NWB")
ALL = (*BINNED, *COUNTED)


@dataclass(frozen=True)
class Outcome:
    """What becomes of a fault: "right", "noted" or "refused", with words of the sentence."""

    kind: str
    said: str = ""


RIGHT = Outcome("right")


def refused(said: str) -> Outcome:
    """Return the outcome that a recording is refused with these words."""
    return Outcome("refused", said)


def noted(said: str) -> Outcome:
    """Return the outcome that a recording is read rightly, and a note has these words."""
    return Outcome("noted", said)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault that is planted in a recording, and the outcome in each format that can have it.

    Parameters
    ----------
    what
        The fault, a row of the table.
    plant
        Function that changes a valid session, with random numbers.
    cells
        Formats -> outcome.
    then
        What is done with the recording that is read.
    probed
        Whether only the separate process that checks HDF5 files can find it.
    """

    what: str
    plant: Callable[[Session, np.random.Generator], None]
    cells: Mapping[tuple[str, ...], Outcome]
    then: Callable[[Recording], Any] | None = None
    probed: bool = False

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """Format -> outcome, in the order of the formats."""
        found = {form: outcome for forms, outcome in self.cells.items() for form in forms}
        return {form: found[form] for form in FORMS if form in found}


def outcome(fault: Fault, form: str, session: Session, folder: Path) -> Outcome:
    """Plant a fault in a session, write and read it, and return what came out, with all messages.

    Raises
    ------
    AssertionError
        If values, times, identifiers or pictures are others than meant.
    """
    planted = copy.deepcopy(session)
    fault.plant(planted, np.random.default_rng(session.seed))
    path = write(form, planted, folder)
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            recording = load_recording(path)
            validate_recording(recording)
            if wrong := image_faults(recording.stimuli):
                raise NeurofitError("\n".join(wrong))
            if fault.then is not None:
                fault.then(recording)
            check(recording, planted)
            notes = [str(each.message) for each in heard]
            if any(each.kind == "noted" for each in fault.cells.values()):
                notes += _notes(recording)
    except NeurofitError as error:
        return refused(str(error))
    return noted("\n".join(notes)) if notes else RIGHT


def _notes(recording: Recording) -> Iterable[str]:
    yield from plausibility_warnings(recording)
    yield from (recording.stimuli.width, recording.stimuli.duration, recording.onset)
    yield str(recording.responses.attrs.get("processing", ""))


def check(recording: Recording, planted: Session) -> None:
    """Compare a recording with what was meant, whatever the order of presentations and neuroids."""
    kept = np.setdiff1d(np.arange(len(planted.stimulus_id)), planted.left_out)
    responses = recording.responses
    bins = recording.time_bins
    at = [bins.index(each) for each in planted.bins if each in bins]
    assert len(at) == len(planted.bins), f"bins {bins} instead of {planted.bins}"
    others = np.delete(responses.values, at, axis=2)
    assert not others.any(), "responses in bins that have none"
    meant = np.asarray(planted.counts if planted.meant is None else planted.meant, np.float32)
    found = [_sorted(responses.values[..., at], responses.stimulus_id, responses.neuroid_id)]
    found.append(_sorted(meant[kept], planted.stimulus_id[kept], planted.neuroid_id))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    if planted.levels:
        images = recording.stimuli.images
        assert not isinstance(images, NoImages), images.why
        ids = recording.stimuli.ids.tolist()
        levels = {_text(each): int(images[row][0, 0, 0]) for row, each in enumerate(ids)}
        assert levels == planted.levels


def _sorted(values: np.ndarray, *ids: Any) -> tuple[np.ndarray, ...]:
    """Return values with sorted presentations and neuroids, and their names as text."""
    shown, neuroids = (np.array([_text(each) for each in np.asarray(own).tolist()]) for own in ids)
    rows, columns = np.argsort(shown, kind="stable"), np.argsort(neuroids, kind="stable")
    return values[rows][:, columns], shown[rows], neuroids[columns]


def _text(name: Any) -> str:
    name = name.decode() if isinstance(name, bytes) else name
    return f"{name:.0f}" if isinstance(name, float) else str(name)


def assert_outcome(found: Outcome, expected: Outcome) -> None:
    """Compare what came out with a cell; a recording that is right may have further notes."""
    if expected.kind == "right":
        assert found.kind != "refused", found.said
    else:
        assert found.kind == expected.kind, found
    assert expected.said in found.said, found.said
