"""Names of dimensions and coordinates in files, and their common aliases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neurofit.errors import NeurofitError
from neurofit.recordings.identifiers import as_identifiers, as_text
from neurofit.recordings.lazy import PROCESSING
from neurofit.recordings.times import ONSET, TIME_BINS, to_ms


def _by_word(lists: Mapping[str, str]) -> dict[str, str]:
    """Return word -> key from key -> words, separated by blanks."""
    return {word: key for key, words in lists.items() for word in words.split()}


ALIASES = _by_word(
    {
        "stimulus_id": "image_id stim_id stimulus condition image",
        "neuroid_id": "site unit unit_id neuron channel",
        "region": "area brain_area",
        "subject": "animal monkey",
        "object_name": "object",
        "repetition": "trial repeat",
        "time_bin_start": "bin_start_ms",
        "time_bin_end": "time_bin_stop bin_end_ms",
        "bin_width_ms": "bin_width binwidth bin_size binsize",
    }
)
"""Alias -> standard name. An alias is not replaced in a file that also uses the standard name."""

DIM_OF = _by_word(
    {
        "stimulus": "stimulus_id object_name category",
        "repetition": "repetition",
        "neuroid": "neuroid_id region subject subregion",
        "time_bin": "time_bin_start time_bin_end",
    }
)
"""Standard name -> axis of a dense array that it belongs to."""

RESPONSES = ("responses", "data", "counts", "rates", "spikes", "raster_data")
"""Names of the array of responses; otherwise the largest numeric array of two or more axes."""

EDGES = ("binedges", "timebinedges", "edges")
"""Names of the edges of time bins, one more than bins, without underscores and capitals."""

AXES = ("presentation", "stimulus", "repetition", "neuroid", "time_bin")

IDENTIFIERS = ("stimulus_id", "neuroid_id")

ATTRIBUTES = ("units", PROCESSING, ONSET)
"""Scalar metadata that stay attributes of the responses."""

MARK = "neurofit_recording"
"""Attribute, array or column that ties the files of a conversion together."""

STATED = ("visual_degrees", "duration_ms", "simulated", "citation", "identifier")
METADATA_KEYS = (*ATTRIBUTES, MARK, *STATED)
"""Scalar metadata that a file may contain, kept as string attributes of the responses."""


def rename_arrays(
    arrays: Mapping[str, np.ndarray], words: Mapping[str, str], units: Mapping[str, str] = {}
) -> dict[str, np.ndarray]:
    """Return arrays under their standard names (`as_coordinate`); other dtypes are dropped.

    Raises
    ------
    NeurofitError
        If times or identifiers cannot be what they are called.
    ValueError
        If an array with a standard name contains neither numbers nor text.
    """
    renamed: dict[str, np.ndarray] = {}
    for name, standard in standard_names(list(arrays), words).items():
        values = arrays[name]
        if _are_edges(name) and values.dtype.kind in "iufmM":
            renamed[name] = to_ms(values, units=units.get(name, ""), name=name)
        elif values.dtype.kind in "iufbSUOMm":
            renamed[standard] = as_coordinate(standard, values, units.get(name, ""))
        elif standard in DIM_OF or standard in RESPONSES:
            raise ValueError(f"{name} contains {values.dtype!s:.60}, not numbers or text")
    return renamed


def standard_names(
    names: Sequence[str], words: Mapping[str, str], known: Mapping[str, str] = ALIASES
) -> dict[str, str]:
    """Return name -> standard name. The second of two names for the same thing is kept as it is.

    Parameters
    ----------
    names
        Names of columns or arrays.
    words
        Aliases given in the sidecar (name -> standard name), which take precedence.
    known
        Lower-case aliases -> standard name.
    """
    found: dict[str, str] = {}
    for name in sorted(names, key=lambda name: name not in words):
        standard = words.get(name, known.get(name.lower(), name))
        found[name] = name if standard in names or standard in found.values() else standard
    return {name: found[name] for name in names}


def as_coordinate(name: str, values: Any, units: str = "") -> np.ndarray:
    """Return the values of a coordinate by the rules of its kind: time, identifiers or others.

    `name` is its standard name, and `units` what the file says about those of a time.

    Raises
    ------
    NeurofitError
        If the units of a time are unknown, or a row of identifiers holds several values.
    """
    if name in TIME_BINS:
        return to_ms(as_text(values), units=units, name=name)
    if name in IDENTIFIERS:
        return as_identifiers(values, name=name)
    return as_text(values, name=name)


def _are_edges(name: str) -> bool:
    return name.lower().replace("_", "") in EDGES


def split_edges(arrays: dict[str, np.ndarray], source: Path) -> None:
    """Put the starts and ends of time bins in place of their edges, such as binEdges.

    Raises
    ------
    NeurofitError
        If the edges are not numbers, or contradict starts or ends.
    """
    for name in filter(_are_edges, list(arrays)):
        edges = to_ms(arrays.pop(name), name=name)
        if edges.ndim != 1 or len(edges) < 2 or edges.dtype.kind not in "iuf":
            raise NeurofitError(
                f"{source}: {name} must be two or more numbers, edges of time bins."
            )
        for standard, part in zip(TIME_BINS, (edges[:-1], edges[1:]), strict=True):
            if not np.array_equal(arrays.setdefault(standard, part), part):
                raise NeurofitError(f"{source}: {name} and {standard} state different time bins.")
