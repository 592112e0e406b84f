"""Which axis of a netCDF variable is which, and when its only time bin is: as it is called, said or told by coordinates, never guessed.

An axis that is not called presentation, neuroid or time_bin is known by the coordinate that lies along it: `LIES_ON`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurofit.assemblies import DIMS
from neurofit.data_loaders.formats.sidecar import Said
from neurofit.data_loaders.formats.words import WORDS
from neurofit.errors import NeurofitError

LIES_ON = {"stimulus_id": "presentation", "neuroid_id": "neuroid", "time_bin_start": "time_bin", "time_bin_end": "time_bin"}
"""Coordinate -> the only axis that it can lie along."""

THEIR_WORDS = ("image_id", "animal", "time_bin_stop")
"""Of `WORDS`, those that mean nothing else in an assembly; the sidecar's `words` add others."""


def find_variable(dataset: xr.Dataset, said: Said, path: Path) -> tuple[str, tuple[str, ...]]:
    """Return the name of the variable of responses, and our names of its axes in their order.

    Raises
    ------
    NeurofitError
        If there is none, or several, or an axis may be more than one thing; the message says what lies along which.
    """
    numbers = {str(name): each for name, each in dataset.data_vars.items() if each.dtype.kind in "iuf" and each.ndim >= 2}
    along = words_along(dataset, said)
    ours = {name: each for name, each in numbers.items() if {"presentation", "neuroid"} <= set(each.dims)} or numbers
    found = {name: axes for name, each in ours.items() if (axes := _axes(each, along, said))}
    if len(found) == 1:
        return found.popitem()
    listed = ", ".join(f"{n} ({' '.join(map(str, v.dims))})" for n, v in dataset.data_vars.items() if v.ndim > 1) or "none"
    other = [f"{n} holds {v.dtype}" for n, v in dataset.data_vars.items() if v.dtype.kind not in "iuf" and _axes(v, along, said)]
    if other and not found:
        raise NeurofitError(f"{path} needs one variable of numbers; {', '.join(other)}.")
    raise NeurofitError(
        f"{path} needs one variable of numbers over presentation, neuroid and time_bin; it has {listed}.\n"
        + _repair(ours, list(found), along, said, beside=f"{path.stem}.json")
    )


def words_along(dataset: xr.Dataset, said: Said) -> dict[str, set[str]]:
    """Return axis, as the file calls it -> our words of what lies along it."""
    along: dict[str, set[str]] = {}
    for name, each in dataset.variables.items():
        if each.ndim == 1:
            along.setdefault(str(each.dims[0]), set()).add(our_word(str(name), dataset.variables, said))
    return along


def our_word(name: str, held: Collection[Any], said: Said) -> str:
    """Return our word for a variable's name; a file that has both keeps its own use of ours."""
    word = said.words.get(name, WORDS[name] if name in THEIR_WORDS else name)
    return name if word in held else word


def name_axes(sizes: Mapping[str, int], along: Mapping[str, Collection[str]]) -> tuple[str, ...] | None:
    """Return our names of axes (name -> length), in their order; None where one has no name, or two have the same.

    The third axis, of length 1 and with nothing to tell it, can only be the time bin.
    """
    told = {dim: {LIES_ON[word] for word in along.get(dim, ()) if word in LIES_ON} for dim in sizes}
    names = {dim: dim if dim in DIMS else next(iter(roles)) if len(roles) == 1 else "" for dim, roles in told.items()}
    left = [dim for dim, name in names.items() if not name]
    if len(left) == 1 and len(sizes) == 3 and sizes[left[0]] == 1 and not told[left[0]]:
        names[left[0]] = "time_bin"
    return _valid(tuple(names.values()))


def only_bin(
    edges: Mapping[str, np.ndarray], attrs: Mapping[str, Any], said: Said, *, n_bins: int, path: Path
) -> tuple[float, float] | None:
    """Return the edges of a file's only time bin, if they are not along an axis: of its scalars, its attributes, or as is said.

    Parameters
    ----------
    edges
        `time_bin_start` and `time_bin_end` as the file has them: scalars, or along the bins; those that there are.
    attrs
        Of the variable and of the file.
    said
        Whose `time_bin` the caller or NAME.json gives.
    n_bins
        How many bins the file has.
    path
        For messages.

    Raises
    ------
    NeurofitError
        If nobody says when it is, or two say different things, or there are several bins.
    """
    if n_bins != 1:
        if said.time_bin is not None:
            raise NeurofitError(f"time_bin is for a file with one bin; {path} has {n_bins}.")
        return None
    held = {name: float(np.ravel(values)[0]) for name, values in edges.items()}
    for name, words in {"time_bin_start": ("time_bin_start",), "time_bin_end": ("time_bin_end", "time_bin_stop")}.items():
        known = next((attrs[word] for word in words if word in attrs), None)
        if name not in held and known is not None:
            held[name] = float(np.ravel(known)[0])
    own = (held["time_bin_start"], held["time_bin_end"]) if len(held) == 2 else None
    if said.time_bin is not None:
        if own is not None and own != said.time_bin:
            raise NeurofitError(
                f"{path} says itself that its bin is {own[0]:g}-{own[1]:g} ms; got {said.time_bin[0]}-{said.time_bin[1]} ms."
            )
        return float(said.time_bin[0]), float(said.time_bin[1])
    if own is None:
        raise NeurofitError(
            f"{path} does not say when its time bin is, in coordinates or attributes time_bin_start and time_bin_end (ms from onset).\n"
            f'Say it: --time-bin 70:170, load_recording(PATH, time_bin=(70, 170)), or {{"time_bin": [70, 170]}} in {path.stem}.json.'
        )
    return own


def _axes(variable: xr.DataArray, along: Mapping[str, Collection[str]], said: Said) -> tuple[str, ...] | None:
    if said.dims is not None:
        return _valid(said.dims) if len(said.dims) == variable.ndim else None
    return name_axes({str(dim): n for dim, n in variable.sizes.items()}, along)


def _valid(names: tuple[str, ...]) -> tuple[str, ...] | None:
    return names if {"presentation", "neuroid"} <= set(names) <= set(DIMS) and len(set(names)) == len(names) else None


def _repair(
    variables: Mapping[str, xr.DataArray], found: Sequence[str], along: Mapping[str, Collection[str]], said: Said, *, beside: str
) -> str:
    if len(found) > 1:
        return f"{', '.join(found)} may each be the responses: keep one of them."
    if said.dims is not None:
        return f"{beside} calls its axes {', '.join(said.dims)}; they are presentation, neuroid and, unless there is one bin, time_bin."
    if len(variables) != 1:
        return f'Rename its axes, or say which is which: {{"dims": ["presentation", "neuroid", "time_bin"]}} in {beside} beside it.'
    dims = [str(dim) for each in variables.values() for dim in each.dims]
    lying = [f"{word} along {next((dim for dim in dims if word in along.get(dim, ())), 'none of them')}" for word in list(LIES_ON)[:3]]
    return f'Axes of other names are told by what lies along them: {", ".join(lying)}. Rename them, or say {{"dims": [...]}} in {beside}.'
