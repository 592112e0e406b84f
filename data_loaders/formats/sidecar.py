"""What is said of a file beside it: NAME.json, or recording.json in a folder, an object of the fields of `Said`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neurofit.errors import NeurofitError
from neurofit.time_bins import TimeBin

MAX_BINS = 100_000
"""Time bins that spikes may be counted into."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """What is said of a file beside its arrays.

    Parameters
    ----------
    dims
        Names of the axes of the responses, of `AXES`; None: found by lengths.
    region, subject
        Of all neuroids, where there is no array of them.
    missing
        Number that stands for a missing trial.
    time_bin
        (start, end) in ms of the only bin, where there is no axis of bins.
    units
        "spikes per bin" (counts) or "spikes per second" (rates).
    bins
        (start, end, width) in ms that spike times are counted into.
    words
        Further words: theirs -> ours.
    visual_degrees, duration_ms
        Of the pictures.
    picture_axes
        ("height", "width") or ("width", "height"): the order in which an NWB file has the axes of its pictures.
    """

    dims: tuple[str, ...] | None = None
    region: str | None = None
    subject: str | None = None
    missing: float | None = None
    time_bin: tuple[int, int] | None = None
    units: str | None = None
    bins: tuple[int, int, int] | None = None
    words: Mapping[str, str] = field(default_factory=dict)
    visual_degrees: float | None = None
    duration_ms: float | None = None
    picture_axes: tuple[str, ...] | None = None


def sidecar_of(path: str | Path) -> Path:
    """Return where it is said what a file or folder does not say itself."""
    path = Path(path)
    return path / "recording.json" if path.is_dir() else path.with_suffix(".json")


def said_beside(path: Path, *, time_bin: TimeBin | None = None) -> Said:
    """Return what NAME.json beside a file (or in a folder) says; nothing, if there is none.

    Parameters
    ----------
    path
        The file or folder.
    time_bin
        As the caller says, which goes before the file.

    Raises
    ------
    NeurofitError
        If it is not a JSON object of the fields of `Said`.
    """
    beside = sidecar_of(path)
    told: dict[str, Any] = {} if time_bin is None else {"time_bin": time_bin}
    if not beside.is_file():
        return Said(**told)
    try:
        given: Any = json.loads(beside.read_text(encoding="utf-8"))
        if not isinstance(given, dict):
            raise ValueError("it is not an object")
        known = {name: value for name, value in given.items() if name in Said.__dataclass_fields__}
        wrong = [f"it has {name!r}" for name in given if name not in known]
        wrong += [f"{name} is {_KINDS[name][0]}, not {value!r:.60}" for name, value in known.items() if not _KINDS[name][1](value)]
        if wrong:
            raise ValueError("; ".join(wrong))
        fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
        fields |= {name: float(fields[name]) for name in ("missing", "visual_degrees", "duration_ms") if name in fields}
        return Said(**fields | told)
    except (OSError, ValueError, RecursionError) as error:
        raise NeurofitError(f"{beside} has to be a JSON object of {', '.join(Said.__dataclass_fields__)}: {error}.") from error


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12


def _are_ms(value: Any, n: int) -> bool:
    return isinstance(value, list) and len(value) == n and all(isinstance(v, int) and _is_number(v) for v in value) and value[0] < value[1]


def _is_positive(value: Any) -> bool:
    return _is_number(value) and value > 0


_KINDS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "dims": ("a list of names", lambda value: isinstance(value, list) and all(isinstance(v, str) for v in value)),
    "region": ("a text", lambda value: isinstance(value, str)),
    "subject": ("a text", lambda value: isinstance(value, str)),
    "missing": ("a number", _is_number),
    "time_bin": ("[start, end] in ms", lambda value: _are_ms(value, 2)),
    "units": ("a text", lambda value: isinstance(value, str)),
    "bins": (
        f"[start, end, width] in ms, at most {MAX_BINS:,} bins",
        lambda value: _are_ms(value, 3) and value[2] > 0 and value[1] - value[0] <= MAX_BINS * value[2],
    ),
    "words": ("an object of texts", lambda value: isinstance(value, dict) and all(isinstance(v, str) for v in value.values())),
    "visual_degrees": ("a positive number", _is_positive),
    "duration_ms": ("a positive number", _is_positive),
    "picture_axes": (
        '["height", "width"] or ["width", "height"]',
        lambda value: value in (["height", "width"], ["width", "height"]),
    ),
}
"""Field of `Said` -> what it is in words, and whether a value is it."""
