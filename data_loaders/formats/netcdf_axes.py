"""Identify the group, the variable and the axes of a netCDF recording, without guessing.

An axis not called presentation, neuroid or time_bin is named in the sidecar, or identified by a
coordinate that lies along it (`DIM_OF_COORD`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from neurofit.data_loaders.formats.names import ALIASES, IDENTIFIERS
from neurofit.data_loaders.formats.sidecar import Sidecar
from neurofit.errors import NeurofitError, some_of
from neurofit.recordings.recording import COORDS, DIMS
from neurofit.recordings.times import TIME_BINS

DIM_OF_COORD = {name: COORDS[name] for name in (*IDENTIFIERS, *TIME_BINS)}
"""Coordinate -> the only axis along which it may lie."""

NETCDF_ALIASES = ("image_id", "animal", "time_bin_stop")
"""Aliases that are unambiguous in an assembly; the sidecar's `words` add others."""


def find_variable(dataset: xr.Dataset, sidecar: Sidecar, path: Path) -> tuple[str, tuple[str, ...]]:
    """Return the name of the variable of responses, and the standard names of its axes.

    Raises
    ------
    NeurofitError
        If there is not exactly one such variable, or an axis is ambiguous; the message lists the
        coordinates along each axis.
    """
    along = coords_along(dataset, sidecar)
    large = {str(name): each for name, each in dataset.data_vars.items() if each.ndim > 1}
    axes = {name: _axes(each, along, sidecar) for name, each in large.items()}
    numbers = [name for name, each in large.items() if each.dtype.kind in "iuf"]
    named = [name for name in numbers if {"presentation", "neuroid"} <= set(large[name].dims)]
    found = {name: own for name in named or numbers if (own := axes[name])}
    if len(found) == 1:
        return found.popitem()
    other = [name for name in large if name not in numbers and axes[name]]
    if other and not found:
        what = ", ".join(f"{name} contains {large[name].dtype}" for name in other)
        raise NeurofitError(f"{path} needs one numeric variable; {what}.")
    listed = [f"{name} ({' '.join(map(str, each.dims))})" for name, each in large.items()]
    raise NeurofitError(
        f"{path} needs one numeric variable over presentation, neuroid and time_bin; "
        f"it has {', '.join(listed) or 'none'}.\n"
        + _repair([large[name] for name in named or numbers], list(found), along, sidecar, path)
    )


def groups_in(path: Path) -> list[str]:
    """Return the groups of an HDF5 file with dimension scales; "" is the root."""
    import h5py

    found: list[str] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.attrs.get("CLASS") == b"DIMENSION_SCALE":
            found.append(name.rpartition("/")[0])

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return sorted(set(found))


def only_group(path: Path) -> str | None:
    """Return the group of the only assembly of a file; None for the root, which comes first."""
    groups = groups_in(path)
    if len(groups) > 1 and "" not in groups:
        raise NeurofitError(
            f"{path} has several groups with dimensions, {some_of(groups)}; a recording is one. "
            "Write each into a file of its own, for example with xarray."
        )
    return groups[0] or None if groups else None


def coords_along(dataset: xr.Dataset, sidecar: Sidecar) -> dict[str, set[str]]:
    """Return axis, as named in the file -> standard names of the coordinates along it."""
    along: dict[str, set[str]] = {}
    for name, each in dataset.variables.items():
        if each.ndim == 1:
            standard = standard_name(str(name), dataset.variables, sidecar)
            along.setdefault(str(each.dims[0]), set()).add(standard)
    return along


def standard_name(name: str, names: Collection[Any], sidecar: Sidecar) -> str:
    """Return the standard name of a variable, unless the file already uses that name."""
    standard = sidecar.words.get(name, ALIASES[name] if name in NETCDF_ALIASES else name)
    return name if standard in names else standard


def name_axes(
    sizes: Mapping[str, int], along: Mapping[str, Collection[str]]
) -> tuple[str, ...] | None:
    """Return the standard names of axes (name -> length); None if an axis cannot be identified.

    A third axis of length 1 without a coordinate can only be the time axis.
    """
    roles = {
        dim: {DIM_OF_COORD[name] for name in along.get(dim, ()) if name in DIM_OF_COORD}
        for dim in sizes
    }
    names = {
        dim: dim if dim in DIMS else next(iter(found)) if len(found) == 1 else ""
        for dim, found in roles.items()
    }
    left = [dim for dim, name in names.items() if not name]
    if len(left) == 1 and len(sizes) == 3 and sizes[left[0]] == 1 and not roles[left[0]]:
        names[left[0]] = "time_bin"
    return _valid(tuple(names.values()))


def _axes(
    variable: xr.DataArray, along: Mapping[str, Collection[str]], sidecar: Sidecar
) -> tuple[str, ...] | None:
    if sidecar.dims is not None:
        return _valid(sidecar.dims) if len(sidecar.dims) == variable.ndim else None
    return name_axes({str(dim): n for dim, n in variable.sizes.items()}, along)


def _valid(names: tuple[str, ...]) -> tuple[str, ...] | None:
    known = {"presentation", "neuroid"} <= set(names) <= set(DIMS)
    return names if known and len(set(names)) == len(names) else None


def _repair(
    variables: Sequence[xr.DataArray],
    found: Sequence[str],
    along: Mapping[str, Collection[str]],
    sidecar: Sidecar,
    path: Path,
) -> str:
    file = f"{path.stem}.json"
    if len(found) > 1:
        return f"{', '.join(found)} could each be the responses: keep one of them."
    if sidecar.dims is not None:
        return (
            f"{file} names the axes {', '.join(sidecar.dims)}; they must be presentation, neuroid "
            "and, unless there is one bin, time_bin."
        )
    if len(variables) != 1:
        dims = '{"dims": ["presentation", "neuroid", "time_bin"]}'
        return f"Rename its axes, or write {dims} into {file} beside it."
    axes = list(map(str, variables[0].dims))
    placed = ", ".join(
        f"{name} along {next((dim for dim in axes if name in along.get(dim, ())), 'none of them')}"
        for name in list(DIM_OF_COORD)[:3]
    )
    return (
        f"Other axes are identified by their coordinates: {placed}. "
        f'Rename them, or write {{"dims": [...]}} into {file}.'
    )
