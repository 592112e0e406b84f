"""Fill values of netCDF files: declared ones, and the library's defaults for unwritten values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

NETCDF_DEFAULT_FILLS = {
    **dict.fromkeys(("f4", "f8"), 15 * 2.0**119),
    **{f"i{size}": 1 - 2.0 ** (8 * size - 1) for size in (2, 4)},
    **{f"u{size}": 2.0 ** (8 * size) - 1 for size in (2, 4)},
    "i8": 2 - 2.0**63,
    "u8": 2.0**64 - 2,
}
"""Kind of number -> default fill value of the netCDF library (NC_FILL_FLOAT ... in netcdf.h)."""


def unwritten_mask(path: Path, name: str, engine: str) -> np.ndarray | bool:
    """Return a mask of packed values never written, which xarray decodes if no fill is declared."""
    import h5py

    with xr.open_dataset(path, engine=engine, decode_cf=False) as stored:
        raw = stored[name]
        if "_FillValue" in raw.attrs:
            return False
        values, fills = raw.values, default_fills(raw.dtype)
    if engine != "scipy":
        with h5py.File(path, "r") as file:
            fills = dataset_fills(file[name])
    return np.isin(values, fills)


def numeric_values(attribute: Any) -> np.ndarray:
    """Return the numbers in an attribute; none if it is text."""
    values = np.ravel(attribute)
    return values.astype(np.float64) if values.dtype.kind in "iuf" else np.array([])


def default_fills(dtype: np.dtype[Any]) -> list[float]:
    """Return the default fill value of a dtype in classic netCDF, if there is one."""
    kind = f"{dtype.kind}{dtype.itemsize}"
    return [NETCDF_DEFAULT_FILLS[kind]] if kind in NETCDF_DEFAULT_FILLS else []


def dataset_fills(dataset: Any) -> list[float]:
    """Return the default fill value of an HDF5 dataset if the netCDF library wrote it."""
    return [fill for fill in default_fills(dataset.dtype) if fill == dataset.fillvalue]


def mask_fills(stored: np.ndarray, fills: np.ndarray) -> np.ndarray:
    """Return values as float32, NaN where they equal a fill value in the stored dtype."""
    values = stored.astype(np.float32)
    for fill in fills.astype(stored.dtype) if stored.dtype.kind == "f" else fills:
        values[stored == fill] = np.nan
    return values
