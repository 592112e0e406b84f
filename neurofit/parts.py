"""A part of a recording: area, animal, stimuli, time bins, reliable neuroids, in one call; the options of the command line."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neurofit.assemblies import Recording
from neurofit.ceiling import keep_reliable
from neurofit.errors import NeurofitError, NeurofitWarning
from neurofit.selection import are_counts, is_a_bin, keep_stimuli, overlapping, parse_bins, rebin, shared_bins, where
from neurofit.time_bins import TimeBin


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a recording, how many neuroids were left out as not reliable enough, and what is to be known of it."""

    recording: Recording
    left_out: int
    notes: Sequence[str]


def select(
    recording: Recording,
    *,
    region: str | None = None,
    window: TimeBin | None = None,
    bins: str | Iterable[Any] | None = None,
    subject: str | None = None,
    subregion: str | None = None,
    stimuli: str | Path | Iterable[str] | None = None,
    min_reliability: float | None = None,
) -> Recording:
    """Return a part of a recording; no response is read before it is used, but for `min_reliability`.

    Parameters
    ----------
    recording
        Any.
    region, subject, subregion
        Values of these coordinates of the neuroids; a region may be called by the name of one of its parts (aIT).
    window
        (start, end) in ms from stimulus onset: bins inside it are kept as they are.
    bins
        Other time bins, "START:END:WIDTH" or (start, end) in ms, made of the recorded ones by exact overlap; see
        `neurofit.selection.rebin`.
    stimuli
        Ids; "COLUMN=VALUE,VALUE", of the stimuli or of each presentation; or the path of a text file. See
        `neurofit.selection.keep_stimuli`.
    min_reliability
        Least split-half reliability of the mean over the chosen bins; see `neurofit.ceiling.keep_reliable`.

    Raises
    ------
    NeurofitError
        If nothing is left, or bins cannot be made of the recorded ones; the nearest name is given.

    Warns
    -----
    NeurofitWarning
        Of bins that overlap or are finer than the recorded ones, and of how many neuroids are left out.
    """
    part = choose(
        recording,
        region=region,
        window=window,
        bins=bins,
        subject=subject,
        subregion=subregion,
        stimuli=stimuli,
        min_reliability=min_reliability,
    )
    for note in part.notes:
        warnings.warn(note, NeurofitWarning, stacklevel=2)
    return part.recording


def area_of(recording: Recording, region: str, subregion: str | None = None) -> tuple[str, str | None]:
    """Return region and subregion of what an area is called: "IT", or "aIT" for the part of IT."""
    if subregion or region in recording.regions or "subregion" not in recording.responses.coords:
        return region, subregion
    inside = recording.responses.subregion.values.astype(str) == region
    around = np.unique(recording.responses.region.values[inside])
    return (str(around[0]), region) if len(around) == 1 else (region, subregion)


def choose(
    recording: Recording,
    *,
    region: str | None,
    window: TimeBin | None,
    bins: str | Iterable[Any] | None,
    subject: str | None,
    subregion: str | None,
    stimuli: str | Path | Iterable[str] | None,
    min_reliability: float | None,
) -> Part:
    """Return what `select` does, with its notes in place of warnings; empty texts are as good as None."""
    if window is not None and not is_a_bin(window):
        raise NeurofitError(f"window is (start, end) in whole ms, the end after the start; got {window!r}.")
    for name, given in (("bins", bins), ("stimuli", stimuli)):
        if given is not None and not isinstance(given, str | Path | Iterable):
            raise NeurofitError(f"{name} is a text or a list; got {given!r}.")
    if min_reliability is not None and not isinstance(min_reliability, int | float | np.number):
        raise NeurofitError(f"min_reliability is a number; got {min_reliability!r}.")
    if region:
        region, subregion = area_of(recording, region, subregion)
    chosen = where(recording.select(region=region or None, window=window), subject=subject or None, subregion=subregion or None)
    if stimuli is not None and not _is_empty_text(stimuli):
        chosen = keep_stimuli(chosen, str(stimuli) if isinstance(stimuli, str | Path) else list(stimuli))
    notes = []
    if bins is not None and not _is_empty_text(bins):
        before, chosen = chosen, rebin(chosen, parse_bins(bins) if isinstance(bins, str) else list(bins))
        notes = _notes_of_bins(before, chosen)
    if overlapping(chosen.time_bins):
        (first, end), (second, _) = sorted(chosen.time_bins)[:2]
        notes.append(f"time bins overlap ({end - first} ms every {second - first} ms) and share spikes; --bins takes some of them.")
    left_out = 0
    if min_reliability is not None:
        chosen, left_out = keep_reliable(chosen, min_reliability)
        notes += [f"Neuroids with a reliability under {min_reliability:g}, which are left out: {left_out}."] if left_out else []
    return Part(recording=chosen, left_out=left_out, notes=notes)


def _is_empty_text(given: object) -> bool:
    return isinstance(given, str) and not given


def _notes_of_bins(before: Recording, after: Recording) -> list[str]:
    """Return what is to be known of bins that were made of others."""
    recorded, made = before.time_bins, after.time_bins
    if set(made) <= set(recorded):
        return []
    width = made[0][1] - made[0][0]
    adjacent = made == [(start, start + width) for start in range(made[0][0], made[-1][1], width)]
    said = f"bins of {made[0][0]}:{made[-1][1]}:{width} ms" if adjacent else f"bins of {', '.join(f'{s}-{e}' for s, e in made[:4])} ms"
    kind = "counts" if are_counts(before.responses) else "rates"
    notes = [f"{said}; responses are taken as {kind} ({before.responses.attrs.get('units', 'units unknown')})."]
    shared = shared_bins(recorded, made)
    if shared:
        listed = ", ".join(f"{start}-{end}" for start, end in shared[:3]) + " ..." * (len(shared) > 3)
        notes.append(f"{said} share recorded ones, which were not divided in time: {listed} ms.")
    return notes
