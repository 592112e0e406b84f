"""Windows of time in ms from image onset, in which time bins are averaged."""

from __future__ import annotations

from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Int

from neurofit.config.options import parse_names
from neurofit.errors import NeurofitError

if TYPE_CHECKING:
    from neurofit.recordings.recording import Recording

Bins = Int[np.ndarray, "time_bin 2"]
Window = tuple[int, int]

PHASES: dict[str, Window] = {"early": (70, 130), "late": (130, 260)}
"""Names of windows (ms from image onset): the feedforward sweep, and what follows it."""


def parse_windows(text: str) -> tuple[Window, ...]:
    """Return the windows of "70:130,130:260"; "early" and "late" stand for these two.

    Raises
    ------
    NeurofitError
        If one is neither of these names nor START:END in whole ms.
    """
    return tuple(map(_parse_window, parse_names(text)))


def _parse_window(text: str) -> Window:
    if text in PHASES:
        return PHASES[text]
    start, _, end = text.partition(":")
    try:
        return int(start), int(end)
    except ValueError:
        raise NeurofitError(
            f"windows takes START:END in ms, early or late; got {text!r}.", option="windows"
        ) from None


def check_windows(windows: Any) -> tuple[Window, ...] | None:
    """Return different pairs of whole ms, from pairs or their names; None for None.

    Raises
    ------
    NeurofitError
        If they are something else.
    """
    if isinstance(windows, list | tuple):
        windows = [_parse_window(each) if isinstance(each, str) else each for each in windows]
    try:
        pairs = [(index(start), index(end)) for start, end in windows or ()]
    except (TypeError, ValueError):
        raise NeurofitError(
            f"windows must be pairs (START, END) of whole ms; got {windows!r}.", option="windows"
        ) from None
    for i, (start, end) in enumerate(pairs):
        if not start < end:
            raise NeurofitError(
                f"windows must have START before END; got {start}:{end}.", option="windows"
            )
        if (start, end) in pairs[:i]:
            raise NeurofitError(f"windows must differ; got {start}:{end} twice.", option="windows")
    return None if windows is None else tuple(pairs)


def find_windows(bins: Bins, asked: tuple[Window, ...] | None) -> list[Window]:
    """Return the windows that hold time bins: those asked for, or early and late.

    Raises
    ------
    NeurofitError
        If one of those asked for holds none.
    """
    windows = list(PHASES.values() if asked is None else asked)
    empty = [window for window in windows if not in_window(bins, window).any()]
    if asked is not None and empty:
        start, end = empty[0]
        raise NeurofitError(
            f"windows must hold a time bin; {start}:{end} holds none of {len(bins)} bins in "
            f"{bins.min()}-{bins.max()} ms.",
            option="windows",
        )
    return [window for window in windows if window not in empty]


def need_bins(recording: Recording, least: int, what: str) -> None:
    """Raise NeurofitError if a recording has fewer time bins than a question about time needs."""
    bins = recording.time_bins
    if len(bins) < least:
        start, end = bins[0][0], bins[-1][1]
        raise NeurofitError(
            f"{what} needs {least} time bins or more; {recording.name} has {len(bins)}, of "
            f"{start}-{end} ms."
        )


def in_window(bins: Bins, window: Window) -> Bool[np.ndarray, " time_bin"]:
    """Return which bins lie inside a window."""
    return np.asarray((bins[:, 0] >= window[0]) & (bins[:, 1] <= window[1]))
