"""Rules of time, the same for every file format: units, time bins, onsets and spikes.

Readers pass what a file says through `to_ms`, and `validate_recording` checks the bins
(`bin_faults`). Tables of spikes and trials are checked before they are counted (`onset_faults`,
`clock_faults`, `spike_faults`), since counts no longer show what times they were made of.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from neurofit.errors import NeurofitError, some_of

TIME_BINS = ("time_bin_start", "time_bin_end")
"""Coordinates of the edges of time bins."""

ONSET = "onset"
"""Attribute of responses that says which time of a trial is its stimulus onset; files keep it."""

ASSUMED = "(assumed)"
"""Marks what a file does not state."""

ROUNDING = 1e-6
"""Tolerance for whole ms, and in seconds for equal times: floats that were computed are not
exact (0.57 * 100 is 56.99999999999999)."""

LIKE_SECONDS = 10
"""Times of which all are below this number, and some are fractions, are seconds rather than ms."""

MIN_TRIALS, MIN_SPIKES = 5, 3
"""Trials, and spikes in each of them, that show which clock their times are of."""

MS_OF = {
    **dict.fromkeys(("", "1", "ms", "msec", "msecs", "millisecond", "milliseconds"), 1.0),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1e3),
    **dict.fromkeys(("us", "µs", "usec", "usecs", "microsecond", "microseconds"), 1e-3),
    **dict.fromkeys(("ns", "nsec", "nanosecond", "nanoseconds"), 1e-6),
}
"""Unit of a time, as files write it -> ms."""


def to_ms(values: Any, *, units: str = "", name: str = "time") -> np.ndarray:
    """Return times in ms: whole ones as whole numbers, fractions unchanged.

    Parameters
    ----------
    values
        Numbers in `units`, or numpy.timedelta64.
    units
        What the file says about them, such as "s", "us" or "ms from stimulus onset"; empty: ms.
    name
        Name of the times, for messages.

    Returns
    -------
    numpy.ndarray
        Array of the same shape. Values that are not numbers are returned as they are, to be
        reported by `bin_faults`.

    Raises
    ------
    NeurofitError
        If the times are dates, or their unit is unknown.
    """
    values = np.asarray(values)
    if values.dtype.kind == "M" or re.search(r"\bsince\s+\d", units):
        raise NeurofitError(
            f"{name} contains dates ({units or values.dtype}); give ms from stimulus onset."
        )
    if values.dtype.kind == "m":
        values = np.where(np.isnat(values), np.nan, values / np.timedelta64(1, "ms"))
        units = ""
    word = (units.split() or [""])[0].lower().replace("\u03bc", "µ")  # two signs look like mu
    if word not in MS_OF:
        raise NeurofitError(
            f"{name} has the unknown units {units[:60]!r}; known: ms, s, us, ns. Give ms from "
            "stimulus onset."
        )
    if values.dtype.kind not in "iuf":
        return np.asarray(values)
    scale = MS_OF[word]
    return _whole(values) if scale == 1 else _whole(np.asarray(values * scale), always=True)


def _whole(values: np.ndarray, *, always: bool = False) -> np.ndarray:
    """Return whole numbers up to `ROUNDING` as int64; exact ones keep their type unless always."""
    if values.dtype.kind != "f" or not np.isfinite(values).all():
        return values
    whole = np.rint(values)
    exact = bool((values == whole).all())
    if (exact and not always) or not np.allclose(values, whole, rtol=0, atol=ROUNDING):
        return values
    return np.asarray(whole.astype(np.int64))


def bin_edges(
    starts: np.ndarray | None,
    ends: np.ndarray | None,
    *,
    n_bins: int,
    width: np.ndarray | None = None,
    given: tuple[int, int] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the starts and ends of time bins from what a file and its user say about them.

    Parameters
    ----------
    starts, ends
        Edges in ms that the file states, if any.
    n_bins
        Number of bins.
    width
        Width of all bins in ms, or of each, if the file states it. Default: the distance of the
        starts.
    given
        (start, end) in ms of the only bin, given by the user.

    Raises
    ------
    NeurofitError
        If edges are missing, contradict what is given, are not evenly spaced (without ends), or
        the bins are not of whole ms.
    """
    if given is not None:
        if n_bins != 1:
            raise NeurofitError(f"time_bin applies to files with one time bin; it has {n_bins}.")
        if starts is not None and ends is not None and (starts[0], ends[0]) != tuple(given):
            raise NeurofitError(
                f"the file states that its time bin is {starts[0]:g}-{ends[0]:g} ms; "
                f"got {given[0]}-{given[1]} ms."
            )
        return np.array(given[:1]), np.array(given[1:])
    if starts is not None and ends is not None:
        if width is not None and starts.dtype.kind in "iuf" and ends.dtype.kind in "iuf":
            found = ends.astype(np.float64) - starts
            if not np.allclose(found, width, rtol=0, atol=ROUNDING):
                raise NeurofitError(
                    f"the file states that its time bins are {width[0]:g} ms wide; they start at "
                    f"{starts[0]:g} and end at {ends[0]:g} ms."
                )
        return starts, ends
    if starts is not None and starts.dtype.kind in "iuf" and (len(starts) > 1 or width is not None):
        return starts, _ends(starts.astype(np.float64), width)
    bins = "one time bin" if n_bins == 1 else f"{n_bins} time bins"
    repair = (
        ", give --time-bin 50:150 or load_recording(PATH, time_bin=(50, 150)), or write "
        '{"time_bin": [50, 150]} into NAME.json beside it'
    )
    raise NeurofitError(
        f"the times of its {bins} are missing. Add time_bin_start and time_bin_end (ms from onset)"
        f"{repair * (n_bins == 1)}."
    )


def _ends(starts: np.ndarray, width: np.ndarray | None) -> np.ndarray:
    listed = f"{', '.join(f'{start:.15g}' for start in starts[:4])}{', ...' * (len(starts) > 4)}"
    if width is None:
        widths = np.diff(starts)
        if np.ptp(widths) > ROUNDING:
            raise NeurofitError(
                f"time bins that start at {listed} ms are not evenly spaced; add time_bin_end."
            )
        width = widths[:1]
    if not (np.append(starts, width) % 1 == 0).all() or (width <= 0).any():
        raise NeurofitError(
            "time bins must be whole ms of positive width; "
            f"they start at {listed} ms and are {width[0]:.15g} ms wide.{_look_like(starts)}"
        )
    return np.asarray(starts + width).astype(np.int64)


def bin_faults(starts: np.ndarray, ends: np.ndarray) -> list[str]:
    """Return a sentence for every fault of time bins: type, fractions, order, width, repeats."""
    for name, edges in zip(TIME_BINS, (starts, ends), strict=True):
        rule = "Give whole numbers: ms from stimulus onset."
        if edges.dtype.kind not in "iuf":
            return [f"{name} has the type {edges.dtype}. {rule}"]
        broken = np.flatnonzero(~(np.isfinite(edges) & (edges == np.round(edges))))
        if len(broken):
            return [f"{name} {broken[0]} is {edges[broken[0]]}. {rule}{_look_like(edges)}"]
    starts, ends = (edges.astype(np.int64) for edges in (starts, ends))  # unsigned ones wrap
    faults = []
    backwards = len(starts) > 2 and (np.diff(starts) < 0).all()
    if backwards:
        faults.append(
            "time bins are in descending order. Repair: responses.sortby('time_bin_start')."
        )
    empty = np.flatnonzero(ends <= starts)
    if len(empty):
        listed = some_of([f"{row} ({starts[row]} to {ends[row]} ms)" for row in empty])
        faults.append(
            f"time_bin {listed} has no positive width. Bins are half-open [start, end) in ms; "
            "swap or correct their edges."
        )
    known: set[tuple[int, int]] = set()
    for position, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        twice = (start, end) in known
        known.add((start, end))
        if end <= start or backwards:
            continue
        where = f"time_bin {position} ({start}-{end} ms)"
        if twice:
            faults.append(f"{where} occurs twice. Keep one: responses.isel(time_bin=...).")
        elif position and start < starts[position - 1]:
            faults.append(
                f"{where} comes after {starts[position - 1]}-{ends[position - 1]} ms. "
                "Repair: responses.sortby('time_bin_start')."
            )
    return faults


def _look_like(edges: np.ndarray) -> str:
    seconds = np.isfinite(edges).all() and np.abs(edges).max() < LIKE_SECONDS
    return " They look like seconds: multiply them by 1,000." if seconds else ""


def onset_faults(
    onsets: Float[np.ndarray, " trial"],
    *,
    starts: Float[np.ndarray, " trial"] | None = None,
    stops: Float[np.ndarray, " trial"] | None = None,
    name: str,
    clock: str = "seconds from the start of the session",
) -> list[str]:
    """Return why a column of trials cannot be their stimulus onsets; usually nothing.

    Parameters
    ----------
    onsets
        Values of the column, all finite.
    starts, stops
        When each trial begins and ends; NaN where that is unknown.
    name
        Name of the column.
    clock
        Unit and origin of its times.
    """
    n = len(onsets)
    rule = f"Onsets are {clock}"
    if n > 1 and np.ptp(onsets) == 0:
        return [f"{name} is {onsets[0]:g} in all {n:,} trials. {rule}, one for each trial."]
    if n > 2 and set(np.unique(onsets).tolist()) <= {0.0, 1.0}:
        return [f"{name} contains only 0 and 1, flags rather than times. {rule}."]
    faults = []
    outside = np.zeros(n, dtype=bool)
    for edge, sign in ((starts, 1), (stops, -1)):
        if edge is not None:
            outside |= sign * (onsets - edge) < -ROUNDING  # False for NaN
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        span = "" if starts is None or stops is None else f" ({starts[row]:g} to {stops[row]:g})"
        longest = np.inf if starts is None or stops is None else np.nanmax(stops - starts)
        own = bool(n > 1 and (onsets >= 0).all() and (onsets <= longest).all())
        faults.append(
            f"{name} lies outside of its trial in {int(outside.sum()):,} of {n:,}, the first "
            f"{onsets[row]:g} in trial {row}{span}. {rule}"
            + (": add the start of each trial." if own else ".")
        )
    return faults


def clock_faults(
    first: float, last: float, n_descents: int, onsets: Float[np.ndarray, " trial"]
) -> list[str]:
    """Return why spikes and onsets in seconds cannot be of one clock; usually nothing.

    Spikes from the start of the session go on while there are trials. Those from the start of
    their own trial end before most trials begin, and fall back with each trial.

    Parameters
    ----------
    first, last
        Times of the first and the last spike of all units.
    n_descents
        How often a spike of a unit is stored before an earlier one, at most over units.
    onsets
        Stimulus onsets.
    """
    middle, n = float(np.median(onsets)), len(onsets)
    if n < 2:
        return []
    repair = (
        "Spike times must be in seconds from the start of the session, as onsets are; to times "
        "from a trial's onset, add that onset."
    )
    if last < middle or first > middle:
        what = f"end at {last:g} s" if last < middle else f"begin at {first:g} s"
        return [
            f"its spikes {what}, and half of its {n:,} trials "
            f"{'begin later' if last < middle else 'began before'}, up to {onsets.max():g} s. "
            f"{repair}"
        ]
    if 2 * n_descents >= n:
        return [f"spike times of a unit fall back {n_descents:,} times in {n:,} trials. {repair}"]
    return []


def twinned(copies: Int[np.ndarray, " time"]) -> str:
    """Return why spikes are counted several times; else "".

    A neuroid has no two spikes at one time but where times are rounded, and then as often an odd
    number as an even one. Copies of a table, a session or a neuroid are a longer run of even
    numbers than chance gives: n (1/2)^length < 2^-15.

    Parameters
    ----------
    copies
        Number of spikes at each time of a trial that has some, in the order of neuroid, trial and
        time.
    """
    if not len(copies):
        return ""
    least, odd = int(copies.min()), np.flatnonzero(copies % 2)
    run = int(np.diff([-1, *odd.tolist(), len(copies)]).max()) - 1
    if least > 1 and copies.sum() >= MIN_TRIALS * MIN_SPIKES:
        found = f"each of its spikes occurs {least} times or more"
    elif run >= 15 + np.log2(len(copies)):
        found = f"its spikes occur twice at {run:,} times one after the other"
    else:
        return ""
    return f"{found}, at the same time of the same neuroid. Keep one of each."


def spike_faults(
    times_ms: Float[np.ndarray, " spike"], trials: Int[np.ndarray, " spike"], *, end: int
) -> list[str]:
    """Return why times of spikes cannot be ms from the onset of their trial; usually nothing.

    Parameters
    ----------
    times_ms
        Times that are taken as ms from stimulus onset; NaN for none.
    trials
        Trial of each spike.
    end
        End of the last time bin in ms.
    """
    known = np.isfinite(times_ms)
    times, trials = times_ms[known], trials[known]
    if len(times) < MIN_TRIALS * MIN_SPIKES:
        return []
    fractions = bool((np.abs(times - np.rint(times)) > ROUNDING).any())
    differ = len(np.unique(times)) > MIN_TRIALS
    if np.abs(times).max() < LIKE_SECONDS < end and fractions and differ:
        return [
            f"all of {len(times):,} spikes lie within {np.abs(times).max():.3g} ms of stimulus "
            f"onset, and time bins end at {end} ms: they look like seconds. Give them as time_s."
        ]
    order = np.lexsort((times, trials))
    _, begin, counts = np.unique(trials[order], return_index=True, return_counts=True)
    several = counts >= MIN_SPIKES
    earliest = times[order][begin[several]]
    latest = times[order][(begin + counts - 1)[several]]
    by_time = np.argsort(earliest)
    apart = earliest[by_time][1:] > latest[by_time][:-1]
    if several.sum() >= MIN_TRIALS and apart.all():
        return [
            "each presentation has its spikes at times of its own, from "
            f"{earliest.min():,.6g} to {latest.max():,.6g} ms: they look like times from the start "
            "of the session. Subtract the onset of each presentation."
        ]
    return []
