"""Numbers that float32 rounds are said, and others are not."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurofit.data_loaders import open_recording


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.array([2**24 + 1, 3]), "integers above 16,777,216"),
        (1e9 + np.array([0.0, 3.0]), "numbers between 1000000000 and 1000000003"),
        (np.array([1e300, 3.0]), r"numbers between 3 and 1e\+300"),
        (np.array([0.1, 77.7]), ""),
        (np.array([np.nan, np.nan]), ""),
        (np.array([1e9, 1e9]), ""),
    ],
)
@pytest.mark.parametrize("form", ["npz", "nc"])
@pytest.mark.filterwarnings("ignore:overflow")
def test_numbers_that_float32_rounds_are_said(
    tmp_path: Path, values: np.ndarray, said: str, form: str
) -> None:
    responses = np.tile(values, (6, 2))[..., None]
    coords: dict[str, Any] = {
        "stimulus_id": ("presentation", np.repeat(np.arange(3), 2)),
        "neuroid_id": ("neuroid", list("abcd")),
        "region": ("neuroid", ["IT"] * 4),
        "time_bin_start": ("time_bin", [70]),
        "time_bin_end": ("time_bin", [170]),
    }
    dims = ("presentation", "neuroid", "time_bin")
    if form == "nc":
        data = xr.DataArray(responses, dims=dims, coords=coords, name="data")
        data.to_netcdf(tmp_path / "r.nc", engine="h5netcdf")
    else:
        arrays: dict[str, Any] = {name: np.array(held) for name, (_, held) in coords.items()}
        np.savez(tmp_path / "r.npz", responses=responses, dims=np.array(dims), **arrays)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        _ = open_recording(tmp_path / f"r.{form}").responses.values
    messages = [str(each.message) for each in heard if "float32" in str(each.message)]
    assert len(messages) == bool(said)
    assert all(re.search(rf"r\.{form}: \w+ has {said}, which float32 rounds", m) for m in messages)
