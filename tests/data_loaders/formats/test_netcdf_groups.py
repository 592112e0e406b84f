"""Numbers of netCDF files are decoded, in a group as at the top, as the conventions say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr

from neurofit.data_loaders import open_recording
from neurofit.errors import NeurofitError

groups = pytest.mark.parametrize("group", [None, "session1", "a/b"])
FILL = -32767  # of the netCDF library, for two bytes


def dataset(values: np.ndarray) -> xr.Dataset:
    n = values.shape[2]
    return xr.Dataset(
        {"data": (("presentation", "neuroid", "time_bin"), values)},
        coords={
            "stimulus_id": ("presentation", np.repeat(np.arange(1, 7), 2)),
            "neuroid_id": ("neuroid", [f"n{i}" for i in range(4)]),
            "region": ("neuroid", ["IT"] * 4),
            "time_bin_start": ("time_bin", 70 + 10 * np.arange(n)),
            "time_bin_end": ("time_bin", 80 + 10 * np.arange(n)),
        },
    )


def write(path: Path, values: np.ndarray, attrs: dict[str, Any], group: str | None) -> None:
    """Write numbers as they are stored, with attributes."""
    dataset(values).to_netcdf(path, engine="h5netcdf", group=group)
    with h5py.File(path, "a") as file:
        stored = (file if group is None else file[group])["data"]
        stored.attrs.pop("_FillValue", None)
        stored.attrs.update(attrs)


@groups
@pytest.mark.parametrize(
    ("attrs", "expected"),
    [
        ({}, lambda v: v),
        ({"scale_factor": 0.5}, lambda v: v / 2),
        ({"scale_factor": 0.5, "add_offset": -3.0}, lambda v: v / 2 - 3),
        ({"_FillValue": np.int16(4)}, lambda v: np.where(v == 4, np.nan, v)),
        (
            {"_FillValue": np.int16(4), "scale_factor": 0.5},
            lambda v: np.where(v == 4, np.nan, v / 2),
        ),
        (
            {"missing_value": np.array([4, 7], "i2")},
            lambda v: np.where((v == 4) | (v == 7), np.nan, v),
        ),
        (
            {"valid_range": np.array([2, 50], "i2")},
            lambda v: np.where((v < 2) | (v > 50), np.nan, v),
        ),
        ({"valid_min": np.int16(2)}, lambda v: np.where(v < 2, np.nan, v)),
        (
            {"valid_max": np.int16(50), "scale_factor": 0.5},  # of the stored numbers
            lambda v: np.where(v > 50, np.nan, v / 2),
        ),
        (
            {"valid_max": 25.0, "scale_factor": 0.5},  # of the decoded ones, by its type
            lambda v: np.where(v > 50, np.nan, v / 2),
        ),
        ({"valid_range": "none"}, lambda v: v),
    ],
)
def test_numbers_are_decoded(
    tmp_path: Path, group: str | None, attrs: dict[str, Any], expected: Any
) -> None:
    values = np.random.default_rng(0).integers(0, 100, (12, 4, 3)).astype("i2")
    values[:2, 0] = [[4, 7, 4], [1, 4, 99]]
    write(tmp_path / "r.nc", values, attrs, group)
    found = open_recording(tmp_path / "r.nc")
    wanted = expected(values.astype(np.float64))
    np.testing.assert_array_equal(found.responses.values, wanted)
    np.testing.assert_array_equal(found.block(1), wanted[..., 1])


@groups
@pytest.mark.parametrize("fill", [np.int8(-56), np.uint8(200)])
def test_unsigned_bytes_have_unsigned_fills_and_ranges(
    tmp_path: Path, group: str | None, fill: Any
) -> None:
    counts = np.random.default_rng(0).integers(0, 256, (12, 4, 3)).astype(np.uint8)
    counts[0, 0] = [200, 251, 250]
    attrs = {"_Unsigned": "true", "valid_max": np.uint8(250).astype(fill.dtype)}
    write(tmp_path / "r.nc", counts.view(np.int8), attrs | {"missing_value": fill}, group)
    wanted = np.where((counts == 200) | (counts > 250), np.nan, counts)
    np.testing.assert_array_equal(open_recording(tmp_path / "r.nc").responses.values, wanted)


@groups
@pytest.mark.parametrize("attrs", [{}, {"scale_factor": 0.5, "add_offset": 2.0}])
def test_what_was_never_written_is_missing_in_a_group_too(
    tmp_path: Path, group: str | None, attrs: dict[str, Any]
) -> None:
    values = np.random.default_rng(0).integers(0, 100, (12, 4, 3)).astype("i2")
    write(tmp_path / "r.nc", values, {}, group)
    with h5py.File(tmp_path / "r.nc", "a") as file:
        place = file if group is None else file[group]
        scales = [dimension[0] for dimension in place["data"].dims]
        coordinates = dict(place["data"].attrs)["coordinates"]
        del place["data"]
        more = {"fillvalue": np.int16(FILL), "chunks": (6, 4, 3)}
        made = place.create_dataset("data", values.shape, "i2", **more)
        made[:6] = values[:6]
        for axis, scale in enumerate(scales):
            made.dims[axis].attach_scale(scale)
        made.attrs.update({"coordinates": coordinates, **attrs})
    wanted = values * attrs.get("scale_factor", 1) + attrs.get("add_offset", 0.0)
    wanted[6:] = np.nan
    np.testing.assert_array_equal(open_recording(tmp_path / "r.nc").responses.values, wanted)


def test_a_file_of_several_groups_is_refused_and_one_at_the_top_comes_first(
    tmp_path: Path,
) -> None:
    values = np.ones((12, 4, 3), "f4")
    for group in ("one", "two"):
        dataset(values).to_netcdf(tmp_path / "r.nc", engine="h5netcdf", group=group, mode="a")
    with pytest.raises(NeurofitError, match="several groups with dimensions, one, two; a record"):
        open_recording(tmp_path / "r.nc")
    dataset(2 * values).to_netcdf(tmp_path / "r.nc", engine="h5netcdf", mode="a")
    assert (open_recording(tmp_path / "r.nc").responses == 2).all()
