"""A result as plain values, ready for JSON: scores, bounds, counts and reasons."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr

from neurofit.results.schema import SERIES, count_flags, headline, is_time, with_role


def summarise(result: xr.Dataset) -> dict[str, Any]:
    """Return what a reader wants to know of a result, ready for JSON; undefined values are null.

    Scores, intervals, bounds and counts are nested lists along their dimensions, which `dims`
    names; a dimension of one name is left out.
    """
    attrs = result.attrs
    shown = [
        name
        for name in map(str, result.data_vars)
        if result[name].attrs["role"] in ("score", "interval", "p_value", "bound", "count")
    ]
    squeezed = {name: _squeezed(result[name]) for name in shown}
    return {
        **{name: attrs[name] for name in ("analysis", "model", "recording", "region")},
        "simulated": bool(attrs["simulated"]),
        "control": attrs["control"],
        "selection": json.loads(attrs["selection"]),
        "config": json.loads(attrs["config"]),
        "headline": headline(result),
        "formulas": {name: result[name].attrs["formula"] for name in with_role(result, "score")},
        "series": {dim: result[dim].values.tolist() for dim in SERIES if dim in result.dims},
        "time_bins": {
            dim: np.stack([result[f"{dim}_start"].values, result[f"{dim}_end"].values], 1).tolist()
            for dim in map(str, result.dims)
            if is_time(dim)
        },
        "dims": {name: list(map(str, values.dims)) for name, values in squeezed.items()},
        **{name: plain(values.values) for name, values in squeezed.items()},
        **{
            f"{kind}s": {
                name: result[name].attrs[kind] for name in shown if kind in result[name].attrs
            }
            for kind in ("interval", "band")
        },
        "conclusion": json.loads(attrs.get("conclusion", "[]")),
        "notes": json.loads(attrs.get("notes", "[]")),
        "flags": count_flags(result),
        "versions": json.loads(attrs["versions"]),
    }


def _squeezed(values: xr.DataArray) -> xr.DataArray:
    single = [dim for dim in values.dims if dim in SERIES and values.sizes[dim] == 1]
    return values.squeeze(single, drop=True)


def plain(values: Any) -> Any:
    """Return an array as nested lists in which NaN is None."""
    if np.ndim(values):
        return [plain(each) for each in values]
    value = np.asarray(values).item()
    return None if isinstance(value, float) and np.isnan(value) else value
