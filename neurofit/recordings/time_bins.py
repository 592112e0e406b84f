"""Match recorded time bins (half-open, ms from stimulus onset) to model timesteps.

Timestep t covers [t, t + 1) * ms_per_timestep. A recorded bin [start, end) is matched to the mean
of the timesteps it overlaps, weighted by the overlap: w[b, t] = |bin b intersect step t| / |bin b|.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from neurofit.errors import NeurofitError

TimeBin = tuple[int, int]

MAX_BINS = 100_000
"""Largest number of time bins."""


def make_time_bins(start: int, end: int, width: int) -> list[TimeBin]:
    """Return adjacent bins [start, start + width), ..., [end - width, end), in ms.

    Raises
    ------
    NeurofitError
        If the width is not positive or does not divide the window, or there are more than
        `MAX_BINS`.
    """
    if width <= 0 or end <= start or (end - start) % width:
        raise NeurofitError(
            "Time bins need start < end and a width that divides the window; "
            f"got {start}:{end}:{width} (ms)."
        )
    if (n_bins := (end - start) // width) > MAX_BINS:
        raise NeurofitError(
            f"{start}:{end}:{width} (ms) are {n_bins:,} time bins; at most {MAX_BINS:,} are made."
        )
    return [(s, s + width) for s in range(start, end, width)]


def timestep_weights(
    time_bins: Sequence[TimeBin], *, n_timesteps: int, ms_per_timestep: int
) -> np.ndarray:
    """Return the share of each bin that each timestep covers.

    Parameters
    ----------
    time_bins
        Half-open bins in ms from stimulus onset.
    n_timesteps
        Number of timesteps of the unroll.
    ms_per_timestep
        Duration of a timestep, in ms.

    Returns
    -------
    numpy.ndarray
        Array (time_bin timestep). Each row sums to 1, or to less if the unroll does not cover the
        whole bin.
    """
    edges = np.arange(n_timesteps + 1) * ms_per_timestep
    bins = np.asarray(time_bins, dtype=np.int64).reshape(-1, 2)
    overlap = np.minimum(bins[:, 1:], edges[1:]) - np.maximum(bins[:, :1], edges[:-1])
    return np.asarray(np.clip(overlap, 0, None) / (bins[:, 1:] - bins[:, :1]))


def covered_bins(weights: np.ndarray, *, first_timestep: int) -> np.ndarray:
    """Return which bins a layer can predict: fully covered, and by image-driven timesteps only.

    Parameters
    ----------
    weights
        Array (time_bin timestep) from `timestep_weights`.
    first_timestep
        First timestep at which the image reaches the layer.

    Returns
    -------
    numpy.ndarray
        Boolean array (time_bin). The prediction is missing, not zero, where it is False.
    """
    whole = np.isclose(weights.sum(axis=1), 1.0)
    driven = weights[:, :first_timestep].sum(axis=1) == 0
    return np.asarray(whole & driven)


def overlapping(time_bins: Sequence[TimeBin]) -> bool:
    """Return whether any two bins share time; their order does not matter."""
    return any(start < end for (_, end), (start, _) in pairwise(sorted(time_bins)))


def shared_bins(recorded: Sequence[TimeBin], asked: Sequence[TimeBin]) -> list[TimeBin]:
    """Return the recorded bins that several new ones overlap and that an edge of theirs divides.

    Windows that slide by whole recorded bins divide none.
    """
    shared = []
    for start, end in recorded:
        over = [(first, last) for first, last in asked if first < end and start < last]
        if len(over) > 1 and any(first > start or last < end for first, last in over):
            shared.append((start, end))
    return shared


def nearest_window(recorded: Sequence[TimeBin], asked: Sequence[TimeBin]) -> str:
    """Return START:END:WIDTH of bins that recorded ones make up, near to those asked for.

    Empty if the recorded bins are not adjacent and equally wide.
    """
    starts, ends = np.array(recorded).T
    step = int(ends[0] - starts[0])
    if not ((ends - starts == step).all() and (starts[1:] == ends[:-1]).all()):
        return ""
    begin, end = asked[0][0], asked[-1][1]
    width = max(1, round((asked[0][1] - asked[0][0]) / step)) * step
    first = int(starts[0]) + (begin - int(starts[0])) // step * step
    n_bins = max(1, min(round((end - begin) / width), (int(ends[-1]) - first) // width))
    return f"{first}:{first + n_bins * width}:{width}"


def parse_bins(text: str) -> list[TimeBin]:
    """Return the adjacent bins of "START:END:WIDTH" in ms.

    Raises
    ------
    NeurofitError
        If the text does not have this form, or the width does not divide the window.
    """
    try:
        start, end, width = (int(part) for part in text.split(":"))
    except ValueError:
        raise NeurofitError(
            f"bins takes START:END:WIDTH in ms, such as 70:260:10; got {text!r}.", option="bins"
        ) from None
    return make_time_bins(start, end, width)


def is_a_bin(given: Any) -> bool:
    """Return whether a value is (start, end) in whole ms, with the end after the start."""
    edges = given if isinstance(given, Sequence | np.ndarray) and not isinstance(given, str) else ()
    return (
        len(edges) == 2
        and all(isinstance(edge, int | np.integer) for edge in edges)
        and bool(edges[0] < edges[1])
    )


def parse_window(text: str, *, option: str = "window") -> TimeBin:
    """Return "START:END" in ms as (start, end).

    Raises
    ------
    NeurofitError
        If the text does not have this form.
    """
    try:
        start, end = (int(part) for part in text.split(":"))
    except ValueError:
        raise NeurofitError(
            f"{option} takes START:END in ms, such as 70:260; got {text!r}.", option=option
        ) from None
    return start, end


def parse_time_bin(text: str) -> TimeBin:
    """Return "START:END" in ms as (start, end)."""
    return parse_window(text, option="time_bin")
