"""What stands in a netCDF file where there is no response: fills that it tells, and what its library puts where nothing was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

NOT_WRITTEN = {
    **dict.fromkeys(("f4", "f8"), 15 * 2.0**119),
    **{f"i{size}": 1 - 2.0 ** (8 * size - 1) for size in (2, 4)},
    **{f"u{size}": 2.0 ** (8 * size) - 1 for size in (2, 4)},
    "i8": 2 - 2.0**63,
    "u8": 2.0**64 - 2,
}
"""Kind of number -> what netCDF's own library puts where nothing was written and no fill is told (NC_FILL_FLOAT ... in netcdf.h)."""


def never_written(path: Path, name: str, engine: str) -> np.ndarray | bool:
    """Return where packed numbers were never written, of which xarray makes numbers as of any other if no fill is told."""
    import h5py

    with xr.open_dataset(path, engine=engine, decode_cf=False) as stored:
        raw = stored[name]
        if "_FillValue" in raw.attrs:
            return False
        values, fills = raw.values, unwritten(raw.dtype)
    if engine != "scipy":
        with h5py.File(path, "r") as file:
            fills = fill_of(file[name])
    return np.isin(values, fills)


def numbers_of(attribute: Any) -> np.ndarray:
    """Return the numbers of an attribute; texts are none."""
    values = np.ravel(attribute)
    return values.astype(np.float64) if values.dtype.kind in "iuf" else np.array([])


def unwritten(dtype: np.dtype[Any]) -> list[float]:
    """Return what stands in classic netCDF where numbers of a type were never written."""
    kind = f"{dtype.kind}{dtype.itemsize}"
    return [NOT_WRITTEN[kind]] if kind in NOT_WRITTEN else []


def fill_of(dataset: Any) -> list[float]:
    """Return what netCDF's own library has put into an HDF5 dataset where nothing was written; other libraries put nothing of it."""
    return [fill for fill in unwritten(dataset.dtype) if fill == dataset.fillvalue]


def without(stored: np.ndarray, fills: np.ndarray) -> np.ndarray:
    """Return values as float32, NaN where they are one of the fills as their type holds it."""
    values = stored.astype(np.float32)
    for fill in fills.astype(stored.dtype) if stored.dtype.kind == "f" else fills:
        values[stored == fill] = np.nan
    return values
