"""Checks for what is valid but probably unintended, and for images that models cannot take."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np

from neurofit.errors import NeurofitError, some_of
from neurofit.recordings.duplicates import compare_images
from neurofit.recordings.identifiers import alike_notes
from neurofit.recordings.rebinning import are_counts
from neurofit.recordings.recording import Recording, contiguous_blocks, identifiers_of
from neurofit.recordings.stimuli import NoImages, StimulusSet
from neurofit.recordings.suspicions import suspicions
from neurofit.recordings.time_bins import overlapping
from neurofit.recordings.times import ASSUMED
from neurofit.recordings.trial_checks import check_trials

SATURATED = 0.5
"""Share of the trials of a time bin at the largest response from which a neuroid is named."""


def image_faults(stimuli: StimulusSet) -> list[str]:
    """Return a sentence for each image that cannot be read or is not square, in stimulus order."""
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
            faults.append(
                f"stimulus {str(stimulus)!r}: its image is {width} x {height} px; models take "
                "square images. Pad or crop it."
            )
    return faults


def plausibility_warnings(recording: Recording) -> list[str]:
    """Return a sentence for everything valid but probably unintended.

    Responses are read three times, and each image once unless one of them cannot be
    (`image_faults`).
    """
    checks = check_trials(recording)
    return [
        *_check_trials(recording),
        *([f"Stimulus onset: {recording.onset}."] if ASSUMED in recording.onset else []),
        *alike_notes(identifiers_of(recording)),
        *_check_areas(recording.responses.region.values),
        *_check_bins(recording),
        *_check_values(recording),
        *checks.biasing,
        *checks.noise,
        *suspicions(recording),
        *_check_images(recording.stimuli),
    ]


def _check_trials(recording: Recording) -> list[str]:
    found = []
    numbers = recording.responses.repetition.values
    if numbers.dtype.kind == "f" and len(broken := np.flatnonzero(numbers % 1 != 0)):
        found.append(
            f"Repetition numbers that are not whole: {len(broken):,}, "
            f"the first at presentation {broken[0]}."
        )
    shown = zip(recording.responses.stimulus_id.values.tolist(), numbers.tolist(), strict=True)
    if repeated := [(pair, n) for pair, n in Counter(shown).items() if n > 1]:
        (stimulus, repetition), n = repeated[0]
        found.append(
            f"Repetition numbers that occur more than once: {len(repeated):,}, "
            f"the first {repetition} of stimulus {str(stimulus)!r}, {n} times."
        )
    return found


def _check_areas(regions: np.ndarray) -> list[str]:
    found = []
    unnamed = np.flatnonzero(np.isin(regions.astype(str), ["", "nan"]))
    if len(unnamed):
        found.append(
            f"Neuroids without an area: {len(unnamed)}, at neuroid {some_of(unnamed.tolist())}."
        )
    names = sorted((str(name) for name in np.unique(regions)), key=_plain)
    alike = [
        f"{one!r} and {other!r}" for one, other in pairwise(names) if _plain(one) == _plain(other)
    ]
    if alike:
        found.append(f"Areas whose names differ only in case or spaces: {', '.join(alike)}.")
    return found


def _plain(name: str) -> str:
    return name.strip().lower()


def _check_bins(recording: Recording) -> list[str]:
    bins = recording.time_bins
    early = sum(start < 0 for start, _ in bins)
    found = (
        [f"Time bins that begin before stimulus onset: {early} of {len(bins)}."] if early else []
    )
    if overlapping(bins):
        said = "Time bins overlap and share spikes. Select bins that do not overlap with --bins."
        return [*found, said]
    gaps = [f"{end}-{start}" for (_, end), (start, _) in pairwise(bins) if start > end]
    return [*found, f"No time bin covers {', '.join(gaps)} ms."] if gaps else found


def _check_values(recording: Recording) -> list[str]:
    responses, time_bins = recording.responses, recording.time_bins
    n_presentations, n_neuroids, n_bins = responses.shape
    lowest, highest = np.full(n_neuroids, np.inf), np.full(n_neuroids, -np.inf)
    at_highest = np.zeros(n_neuroids)  # largest share of the trials of a bin
    negative, broken = 0, 0
    empty = np.ones(n_presentations, dtype=bool)
    seen, above = np.zeros(n_bins, dtype=bool), np.zeros(n_bins, dtype=bool)
    counts = are_counts(responses)
    for neuroids, bins in contiguous_blocks(recording):
        block = recording.block(bins, neuroids)
        present = ~np.isnan(block)
        empty &= ~present.any(axis=(1, 2))
        seen[bins] |= present.any(axis=(0, 1))
        above[bins] |= (present & (block != 0)).any(axis=(0, 1))
        low, high = (np.where(present, block, fill) for fill in (np.inf, -np.inf))
        lowest[neuroids] = np.minimum(lowest[neuroids], low.min(axis=(0, 2)))
        most = high.max(axis=0)  # (neuroid time_bin)
        share = (present & (block == most)).sum(axis=0) / np.maximum(present.sum(axis=0), 1)
        top = most.max(axis=1)
        own = np.where(most == top[:, None], share, 0.0).max(axis=1)
        before, known = highest[neuroids], at_highest[neuroids]
        own = np.where(top == before, np.maximum(own, known), own)
        at_highest[neuroids] = np.where(top >= before, own, known)
        highest[neuroids] = np.maximum(before, top)
        if counts:
            finite = block[np.isfinite(block)]
            negative += int((finite < 0).sum())
            broken += int((finite % 1 != 0).sum())
    silent, responding = (
        [f"{start}-{end}" for (start, end), own in zip(time_bins, which, strict=True) if own]
        for which in (~seen, above)
    )
    found = [f"No neuroid has a response in {', '.join(silent)} ms."] if silent else []
    if empty.any():
        rows = some_of(np.flatnonzero(empty).tolist())
        n_empty = int(empty.sum())
        found.append(
            f"Presentations without a response from any neuroid: {n_empty} (number {rows})."
        )
    units = responses.attrs.get("units")
    if negative:
        found.append(
            f"Negative responses: {negative:,}, although their units ({units}) are counts."
        )
    if broken:
        found.append(
            f"Responses that are not whole numbers: {broken:,}, "
            f"although their units ({units}) are counts."
        )
    if len(responding) == 1 and len(time_bins) > 2:
        found.append(
            f"Responses are 0 in all time bins except {responding[0]} ms; "
            "the spike times may be in another unit."
        )
    names, constant = responses.neuroid_id.values, lowest == highest
    if constant.any():
        found.append(f"Neuroids with constant responses: {some_of(names[constant].tolist())}.")
    clipped = ~constant & (at_highest >= SATURATED)
    if are_counts(responses):
        clipped &= highest > 1  # a spike or none is no limit
    if clipped.any():
        found.append(
            f"Neuroids at their largest response in {SATURATED:.0%} of the trials of a time bin or "
            f"more: {some_of(names[clipped].tolist())}. Their responses may be saturated."
        )
    return found


def _check_images(stimuli: StimulusSet) -> list[str]:
    try:
        images = compare_images(stimuli)
    except NeurofitError:
        return []
    if images is None:
        return []
    if images.all_identical:
        return ["All images are identical."]
    return [each for each in (images.describe_identical(), images.describe_near()) if each]
