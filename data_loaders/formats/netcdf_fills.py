"""Numbers of netCDF variables: packed ones are decoded by xarray, missing ones are NaN."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurofit.data_loaders.formats.limits import as_float32

PACKED = ("scale_factor", "add_offset", "_Unsigned")
"""Attributes of packed numbers."""

MISSING = ("_FillValue", "missing_value")
LIMITS = ("valid_range", "valid_min", "valid_max")

DEFAULT_FILLS = {
    **dict.fromkeys(("f4", "f8"), 15 * 2.0**119),
    **{f"i{size}": 1 - 2.0 ** (8 * size - 1) for size in (2, 4)},
    **{f"u{size}": 2.0 ** (8 * size) - 1 for size in (2, 4)},
    "i8": 2 - 2.0**63,
    "u8": 2.0**64 - 2,
}
"""Kind of number -> default fill value of the netCDF library (NC_FILL_FLOAT ... in netcdf.h)."""


def decode(
    stored: np.ndarray, attrs: Mapping[str, Any], source: str, fillvalue: Any = None
) -> np.ndarray:
    """Return stored numbers as xarray decodes them, as float32, and NaN for missing values.

    Missing are `_FillValue`, `missing_value`, what lies outside `valid_range`, `valid_min` and
    `valid_max`, and what the netCDF library puts where nothing was written.

    Parameters
    ----------
    stored
        Numbers as stored, of any shape.
    attrs
        Attributes of the variable.
    source
        File and variable, for a warning of numbers that float32 rounds.
    fillvalue
        Fill value of the HDF5 dataset, which shows whether the netCDF library wrote it; None for
        classic netCDF.
    """
    coding = {name: attrs[name] for name in PACKED if name in attrs}
    dims = [f"dim_{axis}" for axis in range(stored.ndim)]
    packed = xr.Dataset({"values": xr.Variable(dims, stored, coding)})
    decoded = xr.decode_cf(packed, decode_times=False)["values"].values if coding else stored
    values = decoded.astype(np.float32)
    raw, views = stored, [stored]
    if str(attrs.get("_Unsigned", "")).lower() == "true" and stored.dtype.kind == "i":
        raw = stored.view(f"u{stored.dtype.itemsize}")
        views = [stored, raw]
    default = DEFAULT_FILLS.get(f"{stored.dtype.kind}{stored.dtype.itemsize}")
    if default is not None and fillvalue in (None, default):
        values[stored == default] = np.nan
    for name in MISSING:
        for fill in _numbers(attrs.get(name)):
            if coding and fill.dtype.kind == "f":  # in the units of the decoded numbers
                values[np.isclose(decoded, fill, rtol=1e-6, atol=0)] = np.nan
            fill = fill.astype(stored.dtype) if stored.dtype.kind == "f" else fill
            for view in views:
                values[view == fill] = np.nan
    low, high = np.split(_numbers(attrs.get("valid_range")), [1])
    for beyond, limits, name in ((np.less, low, "valid_min"), (np.greater, high, "valid_max")):
        for limit in (*limits, *_numbers(attrs.get(name))):
            if limit.dtype.kind == "f":  # in the units of the decoded numbers
                values[beyond(decoded, limit)] = np.nan
            else:
                values[beyond(raw, limit.astype(stored.dtype).view(raw.dtype))] = np.nan
    if decoded.dtype.itemsize > 2 and decoded.dtype != np.float32:
        as_float32(decoded[~np.isnan(values)], source)
    return values


def stored_values(values: xr.Variable, raw: xr.Variable, *, exact: bool) -> np.ndarray:
    """Return the values of a coordinate; integers with a fill value, of which xarray makes floats.

    Where one is missing, the others are objects if they must be exact, and else floats.
    """
    decoded, held = np.asarray(values.values), values.encoding
    missing = np.isnan(decoded) if decoded.dtype.kind == "f" else np.False_
    if (
        decoded.dtype.kind != "f"
        or np.dtype(held.get("dtype", decoded.dtype)).kind not in "iu"
        or not set(PACKED).isdisjoint(held)
        or (missing.any() and not exact)
    ):
        return decoded
    stored = np.asarray(raw.values)
    if missing.any():
        stored = stored.astype(object)
        stored[missing] = None
    return stored


def _numbers(attribute: Any) -> np.ndarray:
    """Return the numbers in an attribute, which may be written as text; none if it is missing."""
    values = np.ravel([] if attribute is None else attribute)
    if values.dtype.kind in "SUO":
        values = np.array([float(each) for each in values if _is_number(each)])
    return values if values.dtype.kind in "iuf" else np.array([])


def _is_number(text: Any) -> bool:
    try:
        return bool(float(text) == float(text))
    except (TypeError, ValueError):
        return False
