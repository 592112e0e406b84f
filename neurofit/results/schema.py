"""The contract of a result: a Dataset in which every variable says by its role what it holds.

Tables, plots, summaries and comparisons read only roles, so they work for any analysis. The
contract is described for users in docs/results.md; the words are those of the CF conventions where
these have one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import xarray as xr

from neurofit.errors import NeurofitError, some_of

CONTRACT = "neurofit/1"

ROLES = ("score", "bound", "interval", "p_value", "count", "detail")

SERIES = ("pair", "layer", "model", "mapping", "subject", "animals", "part")
"""Dimensions that tell lines of a plot apart; each has a coordinate of names."""

SAMPLES = ("neuroid", "stimulus", "split", "half", "fold")
"""Dimensions over which values are samples."""

ATTRIBUTES = (
    "contract",
    "analysis",
    "model",
    "recording",
    "recording_sha256",
    "region",
    "simulated",
    "control",
    "seed",
)
"""Attributes that every result has."""

JSON_ATTRIBUTES = ("config", "selection", "activations", "versions")
"""Attributes that every result has, as JSON."""

REQUIRED = ("role", "long_name", "units")
"""Attributes that every variable has."""

RESERVED = (
    *("analysis", "model", "recording", "region", "simulated", "control", "selection", "config"),
    *("headline", "formulas", "series", "time_bins", "dims", "intervals", "bands", "flags"),
    *("conclusion", "notes", "versions"),
)
"""Keys of a summary, which no variable may have as its name."""

POINTERS = (
    *("low", "high", "band_low", "band_high"),
    *("bound", "count", "reason", "samples", "path", "panel", "influence_on"),
)
"""Attributes of a variable that name another one."""


def validate_result(result: xr.Dataset) -> None:
    """Check a Dataset against the contract of results (docs/results.md).

    Parameters
    ----------
    result
        Dataset to check, as each analysis does with what it returns.

    Raises
    ------
    NeurofitError
        If it breaks the contract. The message lists the faults with their repairs, and `faults` has
        each of them.

    Examples
    --------
    >>> import neurofit
    >>> recording = neurofit.load_recording("hvm-sim", region="V4", window=(90, 110))
    >>> config = neurofit.CeilingConfig(n_halves=2, n_bootstraps=20)
    >>> result = neurofit.ceiling(recording, config)
    >>> neurofit.validate_result(result)
    """
    faults = find_faults(result)
    if faults:
        listed = "\n".join(f"- {each}" for each in faults[:20])
        more = f"\n... and {len(faults) - 20} more" if len(faults) > 20 else ""
        raise NeurofitError(
            f"The result breaks the contract of results (docs/results.md):\n{listed}{more}",
            faults=faults,
        )


def find_faults(result: xr.Dataset) -> list[str]:
    """Return a sentence for each fault of a result, with its repair."""
    faults = [
        f"attribute {name!r} is missing: set result.attrs[{name!r}]"
        for name in (*ATTRIBUTES, *JSON_ATTRIBUTES)
        if name not in result.attrs
    ]
    if result.attrs.get("contract", CONTRACT) != CONTRACT:
        faults.append(f"attribute 'contract' must be {CONTRACT!r}: {result.attrs['contract']!r}")
    for name, kind in (*((each, dict) for each in JSON_ATTRIBUTES), ("notes", list)):
        try:
            value = json.loads(result.attrs.get(name, "{}" if kind is dict else "[]"))
        except (TypeError, ValueError):
            value = None
        if not isinstance(value, kind):
            shape = "an object" if kind is dict else "a list of sentences"
            faults.append(f"attribute {name!r} must be {shape} in JSON: use json.dumps")
    faults += [
        f"attribute {name!r} is a boolean, which netCDF does not store: use 0 or 1"
        for name, value in result.attrs.items()
        if isinstance(value, bool | np.bool_)
    ]
    names = [str(name) for name in result.data_vars]
    for name in names:
        faults += _variable_faults(result, name)
    if not any(result[name].attrs.get("role") == "score" for name in names):
        faults.append("no variable has the role 'score': give the main quantity this role")
    for dim in map(str, result.dims):
        faults += _dimension_faults(result, dim)
    return faults


def _variable_faults(result: xr.Dataset, name: str) -> list[str]:
    attrs = result[name].attrs
    faults = [
        f"variable {name!r} lacks {key!r}: set result[{name!r}].attrs[{key!r}]"
        for key in REQUIRED
        if key not in attrs
    ]
    if name in RESERVED:
        faults.append(f"variable {name!r} has the name of a key of summaries: rename it")
    role = attrs.get("role", "detail")
    if role not in ROLES:
        faults.append(f"variable {name!r} has the role {role!r}: use one of {', '.join(ROLES)}")
    if role == "score":
        faults += [
            f"score {name!r} lacks {key!r}: {why}"
            for key, why in (
                ("formula", "say how it is computed"),
                ("best", "give the value of a perfect model, or NaN"),
            )
            if key not in attrs
        ]
    if role in ("score", "bound", "count", "interval", "p_value"):
        faults += [
            f"{role} {name!r} has the dimension {dim!r}: average over it, or use the role 'detail'"
            for dim in result[name].dims
            if dim in SAMPLES
        ]
    for key in POINTERS:
        if key in attrs and attrs[key] not in result:
            faults.append(f"{key!r} of {name!r} names {attrs[key]!r}, which is not in the result")
    own = set(map(str, result[name].dims))
    ends = ("low", "high", "band_low", "band_high")
    for key in (*ends, "bound", "count"):
        if role == "score" and key in attrs and attrs[key] in result:
            others = set(map(str, result[attrs[key]].dims))
            if own - others - set(SERIES) or others - own or (key in ends and own - others):
                faults.append(
                    f"{key!r} of {name!r} names {attrs[key]!r}, which must have the dimensions "
                    f"{', '.join(sorted(own)) or '()'}; it has {', '.join(sorted(others)) or '()'}"
                )
    if "reason" in attrs and "flag_values" not in result.get(attrs["reason"], result[name]).attrs:
        faults.append(f"'reason' of {name!r} must name a variable with 'flag_values'")
    for low, high, of in (("low", "high", "interval"), ("band_low", "band_high", "band")):
        if (low in attrs) != (high in attrs):
            faults.append(
                f"variable {name!r} has only one end of its {of}: give {low!r} and {high!r}"
            )
    if ("flag_values" in attrs) != ("flag_meanings" in attrs):
        faults.append(f"variable {name!r} needs both 'flag_values' and 'flag_meanings'")
    elif "flag_values" in attrs and len(np.atleast_1d(attrs["flag_values"])) != len(
        str(attrs["flag_meanings"]).split()
    ):
        faults.append(f"variable {name!r} needs as many 'flag_meanings' as 'flag_values'")
    return faults


def _dimension_faults(result: xr.Dataset, dim: str) -> list[str]:
    if is_time(dim):
        lacking = [c for c in (dim, f"{dim}_start", f"{dim}_end") if c not in result.coords]
        if lacking:
            return [f"dimension {dim!r} lacks the coordinates {', '.join(lacking)} (ms)"]
        return []
    if dim in SERIES and dim in result.coords:
        names = result[dim].values.tolist()
        if any(not isinstance(each, str) for each in names) or len(set(names)) < len(names):
            return [f"dimension {dim!r} needs different names (strings) along it"]
    if dim in SAMPLES or dim in result.coords:
        return []
    return [f"dimension {dim!r} has no coordinate: assign one with the names or values along it"]


def is_time(dim: str) -> bool:
    """Return whether a dimension is recorded time, such as `time_bin` or `time_bin_test`."""
    return dim.startswith("time_bin")


def time_coords(
    starts: np.ndarray, ends: np.ndarray, *, dim: str = "time_bin"
) -> dict[str, tuple[str, np.ndarray]]:
    """Return the coordinates of a time dimension.

    The index is the middle of each bin in ms, so that `.sel(time_bin=slice(100, 150))` finds the
    bins from 100 to 150 ms.
    """
    starts, ends = np.asarray(starts, dtype=np.int64), np.asarray(ends, dtype=np.int64)
    return {
        dim: (dim, (starts + ends) / 2),
        f"{dim}_start": (dim, starts),
        f"{dim}_end": (dim, ends),
    }


def headline(result: xr.Dataset) -> str:
    """Return the name of the main quantity: the first variable with the role score."""
    return with_role(result, "score")[0]


def is_comparison(result: xr.Dataset) -> bool:
    """Return whether a result compares others."""
    return "pair" in result.dims


def with_role(result: xr.Dataset, role: str) -> list[str]:
    """Return the names of the variables of a role, in their order."""
    return [str(name) for name, v in result.data_vars.items() if v.attrs.get("role") == role]


def columns(result: xr.Dataset) -> list[str]:
    """Return the variables of a table in their order: those that have a heading, `column`."""
    return [str(name) for name, v in result.data_vars.items() if "column" in v.attrs]


def axes(result: xr.Dataset, name: str) -> tuple[str, ...]:
    """Return the dimensions of a variable that are not series.

    () is a point, (t,) a curve, (t, t') a matrix.
    """
    return tuple(str(dim) for dim in result[name].dims if dim not in SERIES)


def series(result: xr.Dataset, name: str) -> Iterator[tuple[dict[str, str], xr.DataArray]]:
    """Yield each series of a variable: names along its series dimensions, and its values."""
    dims = [str(dim) for dim in result[name].dims if dim in SERIES]
    shape = [result.sizes[dim] for dim in dims]
    for position in np.ndindex(*shape):
        at = dict(zip(dims, position, strict=True))
        yield {d: str(result[d].values[i]) for d, i in at.items()}, result[name].isel(at)


def like(result: xr.Dataset, name: str, names: dict[str, str]) -> xr.DataArray:
    """Return a variable at the names of a series, as far as it has these dimensions."""
    return result[name].sel({d: n for d, n in names.items() if d in result[name].dims})


def count_flags(result: xr.Dataset) -> dict[str, dict[str, int]]:
    """Return, for each variable with flags, how often each meaning occurs."""
    counts = {}
    for name, variable in result.data_vars.items():
        if "flag_values" in variable.attrs:
            flags = np.atleast_1d(variable.attrs["flag_values"])
            meanings = str(variable.attrs["flag_meanings"]).split()
            counts[str(name)] = {
                meaning: int((variable.values == flag).sum())
                for flag, meaning in zip(flags, meanings, strict=True)
            }
    return counts


def describe_selection(result: xr.Dataset) -> str:
    """Return in words which part of its recording a result is about; empty for all of it."""
    chosen = json.loads(result.attrs.get("selection", "{}"))
    words = []
    for name, value in chosen.items():
        shown = some_of(value, most=3) if isinstance(value, list) else value
        words.append(name.replace("_", " ") + f" {shown}" * (value is not True))
    return ", ".join(words)
