"""Save and load results; a file is written completely or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from neurofit.errors import NeurofitError
from neurofit.results.schema import CONTRACT, validate_result
from neurofit.results.summary import summarise
from neurofit.storage.home import atomic_file, check_free_space, remove_leftovers


def save_result(result: xr.Dataset, path: str | Path) -> None:
    """Write a result as netCDF; a file is written completely or not at all.

    Parameters
    ----------
    result
        Dataset by the contract of results.
    path
        File to write, replaced if it exists.

    Raises
    ------
    NeurofitError
        If it breaks the contract of results (`neurofit.results.schema`), or cannot be written.
    MachineError
        If the disk has no room for it; then nothing is written.

    Examples
    --------
    >>> import neurofit
    >>> recording = neurofit.load_recording("hvm-sim", region="V4", window=(90, 110))
    >>> config = neurofit.CeilingConfig(n_halves=2, n_bootstraps=20)
    >>> result = neurofit.ceiling(recording, config)
    >>> neurofit.save_result(result, "ceiling.nc")
    """
    validate_result(result)
    packed = {
        name: {"zlib": True, "complevel": 1}
        for name, variable in result.data_vars.items()
        if "influence_on" in variable.attrs
    }
    with atomic_file(Path(path)) as temporary:
        # asked before, since the HDF5 library crashes on a full disk
        check_free_space(temporary, _largest_size(result))
        result.to_netcdf(temporary, engine="h5netcdf", encoding=packed)


def _largest_size(result: xr.Dataset) -> int:
    """Return an upper bound of the size of a result's file."""
    overhead = 2**13 * (2 + len(result.variables))
    return int(result.nbytes) + len(json.dumps(result.attrs, default=str)) + overhead


def load_result(path: str | Path) -> xr.Dataset:
    """Read a result that was written by `save_result` or by the command line.

    Parameters
    ----------
    path
        A netCDF file, or the folder that holds a `result.nc`.

    Returns
    -------
    Dataset
        Result, loaded into memory.

    Raises
    ------
    NeurofitError
        If there is no such file, or it is not a valid result.

    Examples
    --------
    >>> import neurofit
    >>> recording = neurofit.load_recording("hvm-sim", region="V4", window=(90, 110))
    >>> config = neurofit.CeilingConfig(n_halves=2, n_bootstraps=20)
    >>> result = neurofit.ceiling(recording, config)
    >>> neurofit.save_result(result, "ceiling.nc")
    >>> neurofit.load_result("ceiling.nc").equals(result)
    True
    """
    path = Path(path)
    file = path / "result.nc" if path.is_dir() else path
    if not file.is_file():
        raise NeurofitError(f"There is no result at {file}.")
    try:
        with xr.open_dataset(file, engine="h5netcdf") as opened:
            result = opened.load()
    except (OSError, ValueError, KeyError) as error:
        raise NeurofitError(f"{file} is not a readable netCDF file: {error}") from error
    if "contract" not in result.attrs:
        raise NeurofitError(f"{file} is not a result of neurofit ({CONTRACT}).")
    validate_result(result)
    return result


def write_json(content: Mapping[str, Any], path: Path) -> None:
    """Write JSON."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


FILES = ("result.nc", "plot.png", "summary.json")
"""Files of a result's folder."""


def write_result(result: xr.Dataset, folder: Path) -> bool:
    """Write a result, its plot and its summary into a folder; return whether one was replaced."""
    from neurofit.results.plot import plot_result

    netcdf, plot, summary = (folder / name for name in FILES)
    for path in (netcdf, plot, summary):
        remove_leftovers(path)
    replaced = netcdf.exists()
    save_result(result, netcdf)
    write_json(summarise(result), summary)
    plot_result(result, plot)
    return replaced
