"""The words other people use for our dimensions and coordinates, and arrays and tables under ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neurofit.errors import fault

WORDS: Mapping[str, str] = {
    "image_id": "stimulus_id",
    "stim_id": "stimulus_id",
    "stimulus": "stimulus_id",
    "condition": "stimulus_id",
    "image": "stimulus_id",
    "site": "neuroid_id",
    "unit": "neuroid_id",
    "unit_id": "neuroid_id",
    "neuron": "neuroid_id",
    "channel": "neuroid_id",
    "area": "region",
    "brain_area": "region",
    "animal": "subject",
    "monkey": "subject",
    "object": "object_name",
    "trial": "repetition",
    "repeat": "repetition",
    "time_bin_stop": "time_bin_end",
    "bin_start_ms": "time_bin_start",
    "bin_end_ms": "time_bin_end",
}
"""Other people's word -> ours. A file that has both keeps its own use of ours."""

DIM_OF = {
    "stimulus_id": "stimulus",
    "object_name": "stimulus",
    "category": "stimulus",
    "repetition": "repetition",
    "neuroid_id": "neuroid",
    "region": "neuroid",
    "subject": "neuroid",
    "subregion": "neuroid",
    "time_bin_start": "time_bin",
    "time_bin_end": "time_bin",
}
"""Our word -> the axis of a dense array that it lies on."""

RESPONSES = ("responses", "data", "counts", "rates", "spikes", "raster_data")
"""What the array of responses may be called; the largest array of two axes or more, otherwise."""

AXES = ("presentation", "stimulus", "repetition", "neuroid", "time_bin")

TOLD = ("units", "visual_degrees", "duration_ms", "simulated", "citation", "identifier")
"""Single values that a file of arrays may hold beside them; they are the attributes of what is read, as texts."""


def in_our_words(arrays: Mapping[str, np.ndarray], words: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Return arrays under our names, texts as texts; what has no name of ours keeps its own, and what is no array of values is left.

    Raises
    ------
    ValueError
        If an array under a name of ours holds neither numbers nor texts.
    """
    ours: dict[str, np.ndarray] = {}
    for name, word in in_words(list(arrays), words).items():
        values = arrays[name]
        if values.dtype.kind in "iufbSUOMm":
            ours[word] = as_text(values)
        elif word in DIM_OF or word in RESPONSES:
            raise ValueError(f"{name} holds {values.dtype!s:.60} in place of numbers or texts")
    return ours


def in_words(names: Sequence[str], words: Mapping[str, str], known: Mapping[str, str] = WORDS) -> dict[str, str]:
    """Return theirs -> ours; what is said comes before what is known, and the second of two that mean the same keeps its name.

    Parameters
    ----------
    names
        Of columns or arrays.
    words
        What is said beside them: theirs -> ours.
    known
        Other people's words, in small letters, that are understood.
    """
    found: dict[str, str] = {}
    for name in sorted(names, key=lambda name: name not in words):
        word = words.get(name, known.get(name.lower(), name))
        found[name] = name if word in names or word in found.values() else word
    return {name: found[name] for name in names}


def as_text(values: np.ndarray) -> np.ndarray:
    """Return bytes and objects as texts of a fixed width; numbers as they are."""
    values = np.asarray(values)
    if values.dtype.kind == "S":
        return np.char.decode(values, "utf-8", "replace")
    if values.dtype.kind == "O":
        flat = [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in values.ravel().tolist()]
        texts = any(isinstance(value, str) for value in flat)
        return np.array([str(value) for value in flat] if texts else flat).reshape(values.shape)
    return values


def number_told(told: Mapping[str, Any], key: str, source: str | Path) -> float | None:
    """Return a positive number that a file says of itself; None if it says nothing."""
    if key not in told:
        return None
    try:
        number = float(told[key])
    except ValueError:
        number = np.nan
    if 0 < number < np.inf:
        return number
    fault(f"{source}: {key} is a positive number; got {str(told[key])[:60]!r}.")
    return None


def was_simulated(told: Mapping[str, Any]) -> bool:
    """Return whether a file says of itself that it was simulated; what is neither yes nor no is a fault, and taken as yes."""
    said = str(told.get("simulated", 0)).strip().lower()
    if said in ("0", "false", "no", ""):
        return False
    if said not in ("1", "true", "yes"):
        fault(f"simulated is true or false; got {said[:60]!r}.")
    return True
