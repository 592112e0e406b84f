"""What a recording's contract does not rule out: pictures that no model can be shown, and numbers that are seldom meant."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np

from neurofit.assemblies import Recording
from neurofit.errors import NeurofitError, some_of
from neurofit.selection import are_counts, overlapping
from neurofit.stimuli import NoImages, StimulusSet


def picture_faults(stimuli: StimulusSet) -> list[str]:
    """Look at every picture; return a sentence for each that cannot be read or is not square, in the order of the stimuli."""
    faults: list[str] = []
    if isinstance(stimuli.images, NoImages):
        return faults
    for row, stimulus in enumerate(stimuli.ids):
        try:
            height, width, *_ = stimuli.images[row].shape
        except NeurofitError as error:
            faults.append(f"stimulus {str(stimulus)!r}: {error}")
            continue
        if height != width:
            faults.append(f"stimulus {str(stimulus)!r}: its picture is {width} x {height} px; models see squares. Pad or crop it.")
    return faults


def doubts(recording: Recording) -> list[str]:
    """Return what is allowed and seldom meant, a sentence each; each time bin is read once."""
    responses = recording.responses
    return [*_of_trials(recording), *_of_areas(responses.region.values), *_of_bins(recording), *_of_values(recording)]


def _of_trials(recording: Recording) -> list[str]:
    numbers = recording.responses.repetition.values
    broken = np.flatnonzero(numbers % 1 != 0) if numbers.dtype.kind == "f" else np.array([], dtype=np.int64)
    said = [f"Repetitions that are no whole numbers: {len(broken):,}, the first at presentation {broken[0]}."] if len(broken) else []
    shown = zip(recording.responses.stimulus_id.values.tolist(), recording.responses.repetition.values.tolist(), strict=True)
    often = [(pair, n) for pair, n in Counter(shown).items() if n > 1]
    if not often:
        return said
    (stimulus, repetition), n = often[0]
    first = f"the first {repetition} of stimulus {str(stimulus)!r}, {n} times"
    return [*said, f"Repetitions that occur more than once: {len(often):,}, {first}."]


def _of_areas(regions: np.ndarray) -> list[str]:
    names = sorted((str(name) for name in np.unique(regions)), key=_plain)
    alike = [f"{one!r} and {other!r}" for one, other in pairwise(names) if _plain(one) == _plain(other)]
    nowhere = np.flatnonzero(np.isin(regions.astype(str), ["", "nan"]))
    said = [f"Neuroids without an area: {len(nowhere)}, at neuroid {some_of(nowhere.tolist())}."] if len(nowhere) else []
    return said + ([f"Areas differ in capitals or spaces only: {', '.join(alike)}."] if alike else [])


def _plain(name: str) -> str:
    return name.strip().lower()


def _of_bins(recording: Recording) -> list[str]:
    if overlapping(recording.time_bins):
        return ["Time bins overlap, and share spikes; --bins takes some of them."]
    gaps = [f"{end}-{start}" for (_, end), (start, _) in pairwise(recording.time_bins) if start > end]
    return [f"Time bins leave out {', '.join(gaps)} ms."] if gaps else []


def _of_values(recording: Recording) -> list[str]:
    ids = recording.responses.neuroid_id.values
    lowest, highest = np.full(len(ids), np.inf), np.full(len(ids), -np.inf)
    silent, answering, negative, broken = [], [], 0, 0
    empty = np.ones(recording.responses.sizes["presentation"], dtype=bool)
    for position, (start, end) in enumerate(recording.time_bins):
        block = recording.block(position)
        there = ~np.isnan(block)
        empty &= ~there.any(axis=1)
        if not there.any():
            silent.append(f"{start}-{end}")
        if there.any() and np.nanmax(np.abs(block)) > 0:
            answering.append(f"{start}-{end}")
        lowest = np.minimum(lowest, np.where(there, block, np.inf).min(axis=0))
        highest = np.maximum(highest, np.where(there, block, -np.inf).max(axis=0))
        if are_counts(recording.responses):
            finite = block[np.isfinite(block)]
            negative += int((finite < 0).sum())
            broken += int((finite % 1 != 0).sum())
    said = [f"No neuroid has a response in {', '.join(silent)} ms."] if silent else []
    if empty.any():
        said.append(f"Presentations without a response of any neuroid: {some_of(np.flatnonzero(empty).tolist())}.")
    units = recording.responses.attrs.get("units")
    if negative:
        said.append(f"Negative responses: {negative:,}; they are said to be counts ({units}).")
    if broken:
        said.append(f"Responses that are no whole numbers: {broken:,}; they are said to be counts ({units}).")
    if len(answering) == 1 and len(recording.time_bins) > 2:
        said.append(f"Responses are 0 in all time bins but {answering[0]} ms; spike times may be in another unit.")
    still = ids[lowest == highest]
    if len(still):
        said.append(f"Neuroids that never vary: {some_of(still.tolist())}.")
    return said
