"""Artefacts: single trials far from the other trials of their stimulus.

    z = |y - m| / (s + |m - c|)

y is a response, m the median of the other trials of its stimulus, c the median over all
presentations of the neuroid and time bin, and s = 1.4826 times the median absolute deviation from c
of the responses that differ from c (Hampel 1974; the restriction keeps s above zero for sparse
counts). The other trials exclude the artefact itself, and |m - c| lets the spread grow with the
drive, so that neither a selective neuroid nor Poisson or multiplicative noise gives a large z.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int

from neurofit.errors import NeurofitError, counted
from neurofit.metrics.averages import nanmedian
from neurofit.recordings.lazy import changed
from neurofit.recordings.recording import Recording
from neurofit.recordings.reliability import finite_blocks

LIMIT = 20.0
"""z above which a trial is named.

It was not exceeded by Gaussian trials, by Poisson counts of 0.01 to 5 per bin, also with log-normal
drives (6 million values each), by hvm-sim, or by recordings of V4, IT and AM (26 million values,
the largest z 17, for counts in 1 s). Log-normal noise exceeds it once in 6 million values if the
standard deviation of its logarithm is 0.5.
"""

SCALE = 1.4826
"""Standard deviation of Gaussian values whose median absolute deviation is 1."""

COLUMNS = 1024
"""Columns that are sorted at a time."""

GATHERED = 2**22
"""Trials of candidates that are gathered at a time."""


def parse_limit(text: Any) -> float:
    """Return the N of "z>N".

    Raises
    ------
    NeurofitError
        If the text does not have this form, or N is below 1.
    """
    found = re.fullmatch(r"\s*z\s*>\s*(\d+\.?\d*)\s*", text) if isinstance(text, str) else None
    if found is None or float(found[1]) < 1:
        raise NeurofitError(
            f'exclude_trials takes "z>N", such as "z>20", with N at least 1; got {text!r}.',
            option="exclude_trials",
        )
    return float(found[1])


def largest_z(recording: Recording, limit: float) -> Float32[np.ndarray, "presentation neuroid"]:
    """Return the largest z of each trial over time bins, or 0 if none is above the limit.

    Blocks are read once; a recording may be larger than memory.
    """
    largest = np.zeros(recording.responses.shape[:2], dtype=np.float32)
    rows = recording.stimulus_rows
    for neuroids, _, trials in finite_blocks(recording):
        update_largest(largest[:, neuroids], trials, rows, limit)
    return largest


def update_largest(
    largest: Float32[np.ndarray, "presentation neuroid"],
    trials: Float32[np.ndarray, "presentation neuroid time_bin"],
    stimulus_rows: Int[np.ndarray, " presentation"],
    limit: float,
) -> None:
    """Enter the z of the trials of a block that are above the limit, in place."""
    n_bins = trials.shape[2]
    flat = trials.reshape(len(trials), -1)
    # Whole numbers that differ from c differ by at least 1, so that s is at least SCALE.
    whole = ((flat == np.rint(flat)) | np.isnan(flat)).all(axis=0)
    narrow = np.fmax.reduce(flat, axis=0) - np.fmin.reduce(flat, axis=0) <= limit * SCALE
    (sorted_,) = np.nonzero(~(whole & narrow))
    for begin in range(0, len(sorted_), COLUMNS):
        part = sorted_[begin : begin + COLUMNS]
        presentations, columns, z = find_outlying(flat[:, part], stimulus_rows, limit)
        np.maximum.at(largest, (presentations, part[columns] // n_bins), z)


def find_outlying(
    trials: Float32[np.ndarray, "presentation column"],
    stimulus_rows: Int[np.ndarray, " presentation"],
    limit: float,
) -> tuple[Int[np.ndarray, " outlier"], Int[np.ndarray, " outlier"], Float[np.ndarray, " outlier"]]:
    """Return presentation, column and z of the trials with a z above the limit.

    Parameters
    ----------
    trials
        Responses; NaN is a missing trial.
    stimulus_rows
        Row of each presentation's stimulus.
    limit
        Limit of z, at least 1.
    """
    centre, spread = _centre_and_spread(trials)
    # z is at most |y - c| / s if that is above 1, so that few trials are compared with others.
    presentations, columns = np.nonzero(np.abs(trials - centre) > limit * spread)
    order = np.argsort(stimulus_rows, kind="stable")
    counts = np.bincount(stimulus_rows)
    begins = np.cumsum(counts) - counts
    place = np.arange(counts.max())
    z = np.empty(len(presentations))
    for begin in range(0, len(z), max(1, GATHERED // len(place))):
        part = slice(begin, begin + max(1, GATHERED // len(place)))
        own, column = presentations[part], columns[part]
        stimulus = stimulus_rows[own]
        exists = place < counts[stimulus][:, None]
        members = order[np.where(exists, begins[stimulus][:, None] + place, 0)]
        others = trials[members, column[:, None]].astype(np.float64)
        others[~exists | (members == own[:, None])] = np.nan
        c, s = centre[column].astype(np.float64), spread[column]
        m = nanmedian(others, axis=1)
        m = np.where(np.isnan(m), c, m)
        z[part] = np.abs(trials[own, column] - m) / (s + np.abs(m - c))
    kept = z > limit
    return presentations[kept], columns[kept], z[kept]


def _centre_and_spread(
    trials: Float32[np.ndarray, "presentation column"],
) -> tuple[np.ndarray, np.ndarray]:
    """Return the median and the scaled median absolute deviation of each column, NaN if empty."""
    ordered = np.sort(trials.T, axis=1)  # NaN comes last
    n = (~np.isnan(ordered)).sum(axis=1)
    at = np.arange(len(n))
    centre = ordered[at, np.maximum(n - 1, 0) // 2]
    ordered -= centre[:, None]
    deviations = np.sort(np.abs(ordered), axis=1)
    equal = (deviations == 0).sum(axis=1)
    spread = SCALE * deviations[at, np.clip((equal + n) // 2, 0, np.maximum(n - 1, 0))]
    return centre, spread


def exclude_trials(recording: Recording, limit: float) -> tuple[Recording, str, int]:
    """Return a recording without the trials above a limit of z, a sentence, and their number.

    A trial of a neuroid that is above the limit in some time bin is missing (NaN) in all of them.
    The recording is read once, and the responses lazily again.
    """
    excluded = largest_z(recording, limit) > 0

    def without(trials: np.ndarray, neuroids: np.ndarray) -> np.ndarray:
        return np.where(excluded[:, neuroids, None], np.float32(np.nan), trials)

    n_trials, n_neuroids = int(excluded.sum()), int(excluded.any(axis=0).sum())
    note = (
        f"Excluded {n_trials:,} of {counted(excluded.size, 'trial')} with z > {limit:g}, of "
        f"{counted(n_neuroids, 'neuroid')}; they are missing in all time bins."
    )
    return changed(recording, without, note), note, n_trials
