"""Sidecar of a recording file: NAME.json beside a file, or recording.json in a folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from neurofit.errors import NeurofitError
from neurofit.recordings.identifiers import MAX_TEXT
from neurofit.recordings.time_bins import MAX_BINS, TimeBin

MAX_FILE_BYTES = 10_000_000
"""Largest size of a sidecar."""


@dataclass(frozen=True, kw_only=True)
class Sidecar:
    """Description of a recording file, given beside it.

    Parameters
    ----------
    dims
        Names of the axes of the responses, from `AXES`. Default: inferred from their lengths.
    region, subject
        Area and animal of all neuroids, if the file has no such array.
    missing
        Number that marks a missing trial.
    time_bin
        (start, end) in ms of the only time bin, if the file has no time axis.
    units
        "spikes per bin" (counts) or "spikes per second" (rates).
    bins
        (start, end, width) in ms of the time bins in which spike times are counted.
    words
        Further aliases: name in the file -> standard name.
    visual_degrees, duration_ms
        Width of the images in degrees of visual angle, and their presentation time in ms.
    frame_ms
        Duration of a frame in ms, if the stimuli are clips.
    image_axes
        Order of the image axes in an NWB file: ("height", "width") or ("width", "height").
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
    frame_ms: float | None = None
    image_axes: tuple[str, ...] | None = None

    def fingerprint(self) -> str:
        """Return the fields that are set as JSON, to be hashed with the file; "" if none is."""
        given = {name: value for name, value in asdict(self).items() if value not in (None, {})}
        return json.dumps(given, sort_keys=True) if given else ""


def sidecar_path(path: str | Path) -> Path:
    """Return the path of the sidecar of a file or folder; it need not exist."""
    path = Path(path)
    return path / "recording.json" if path.is_dir() else path.with_suffix(".json")


def read_sidecar(path: Path, *, time_bin: TimeBin | None = None) -> Sidecar:
    """Return the sidecar of a file or folder, empty if it does not exist.

    Parameters
    ----------
    path
        File or folder of the recording.
    time_bin
        Time bin given by the caller, which takes precedence over the file.

    Raises
    ------
    NeurofitError
        If the sidecar is not a JSON object with the fields of `Sidecar`.
    """
    file = sidecar_path(path)
    given: Any = {}
    try:
        if file.is_file():
            if file.stat().st_size > MAX_FILE_BYTES:
                raise ValueError(
                    f"it has {file.stat().st_size / 1e6:,.0f} MB, at most "
                    f"{MAX_FILE_BYTES / 1e6:.0f} are read"
                )
            given = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(given, dict):
            raise ValueError("it is not an object")
        wrong = [f"unknown field {name!r}" for name in given if name not in _KINDS]
        wrong += [
            f"{name} must be {words}, not {given[name]!r:.60}"
            for name, (words, is_valid) in _KINDS.items()
            if name in given and not is_valid(given[name])
        ]
        if wrong:
            raise ValueError("; ".join(wrong))
    except (OSError, ValueError, RecursionError) as error:
        raise NeurofitError(
            f"{file} must be a JSON object with the fields {', '.join(_KINDS)}: {error}."
        ) from error
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in given.items()
    }
    numbers = ("missing", "visual_degrees", "duration_ms", "frame_ms")
    fields |= {name: float(fields[name]) for name in numbers if name in fields}
    return Sidecar(**fields | ({} if time_bin is None else {"time_bin": time_bin}))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12


def _is_positive(value: Any) -> bool:
    return _is_number(value) and value > 0


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _are_ms(value: Any) -> bool:
    whole = isinstance(value, list) and all(isinstance(v, int) and _is_number(v) for v in value)
    return whole and len(value) > 1 and value[0] < value[1]


_KINDS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "dims": ("a list of names", _are_texts),
    "region": ("a string", lambda value: _is_text(value) and len(value) <= MAX_TEXT),
    "subject": ("a string", lambda value: _is_text(value) and len(value) <= MAX_TEXT),
    "missing": ("a number", _is_number),
    "time_bin": ("[start, end] in ms", lambda value: _are_ms(value) and len(value) == 2),
    "units": ("a string", _is_text),
    "bins": (
        f"[start, end, width] in ms, at most {MAX_BINS:,} bins",
        lambda value: (
            _are_ms(value)
            and len(value) == 3
            and value[2] > 0
            and value[1] - value[0] <= MAX_BINS * value[2]
        ),
    ),
    "words": (
        "an object of strings",
        lambda value: isinstance(value, dict) and all(map(_is_text, value.values())),
    ),
    "visual_degrees": ("a positive number", _is_positive),
    "duration_ms": ("a positive number", _is_positive),
    "frame_ms": ("a positive number", _is_positive),
    "image_axes": (
        '["height", "width"] or ["width", "height"]',
        lambda value: value in (["height", "width"], ["width", "height"]),
    ),
}
"""Field of `Sidecar` -> description of valid values, and their check."""
