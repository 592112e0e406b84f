"""Whatever stands for a missing value in a netCDF file is missing in the recording."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np
import pytest
import xarray as xr
from scipy.io import netcdf_file

from neurofit.data_loaders import open_recording, write_recording
from neurofit.recordings.recording import Recording

Make = Callable[..., Recording]
Assembly = Callable[..., xr.DataArray]


def write_raw(
    path: Path,
    like: xr.DataArray,
    values: np.ndarray,
    attrs: dict[str, Any],
    *,
    fillvalue: Any = None,
) -> None:
    """Write stored numbers and `attrs`, but not the last presentation.

    The coordinates are those of `like`; the file is netCDF4 or, if it ends in .cdf, classic.
    """
    coords = like.transpose("presentation", "neuroid", "time_bin").coords
    held = xr.Dataset(coords={name: (coord.dims, coord.values) for name, coord in coords.items()})
    held.to_netcdf(path, engine="scipy" if path.suffix == ".cdf" else "h5netcdf")
    if path.suffix == ".cdf":
        with netcdf_file(path, "a") as classic:
            variable = classic.createVariable(
                "data", values.dtype, ("presentation", "neuroid", "time_bin")
            )
            variable[:] = (
                values
                if fillvalue is None
                else np.concatenate([values[:-1], np.full_like(values[-1:], fillvalue)])
            )
            for name, value in attrs.items():
                setattr(variable, name, value)
        return
    with h5netcdf.File(path, "a") as file:
        variable = file.create_variable(
            "data",
            ("presentation", "neuroid", "time_bin"),
            values.dtype,
            fillvalue=fillvalue,
            chunks=(1, 4, 3),
        )
        variable[:-1] = values[:-1]
        if fillvalue is None:
            variable[-1:] = values[-1:]
        variable.attrs.pop("_FillValue", None)
        for name, value in attrs.items():
            variable.attrs[name] = value
    with h5py.File(path, "a") as raw:
        raw["data"].attrs.pop("_FillValue", None) if "_FillValue" not in attrs else None


def test_the_fill_of_a_file_is_a_missing_trial(
    tmp_path: Path, brainscore_assembly: Assembly
) -> None:
    data = brainscore_assembly()
    data.values[1, 3, 0] = np.nan
    data.to_netcdf(
        tmp_path / "assy.nc",
        engine="h5netcdf",
        encoding={"a_name_of_its_own": {"_FillValue": np.float32(-999)}},
    )
    with h5py.File(tmp_path / "assy.nc") as file:
        assert file["a_name_of_its_own"][1, 3, 0] == -999
    np.testing.assert_array_equal(
        open_recording(tmp_path / "assy.nc").block(0), data.values[:, :, 0].T
    )


@pytest.mark.parametrize("ending", [".nc", ".cdf"])
@pytest.mark.filterwarnings("ignore:variable .* has multiple fill values")
def test_bytes_that_are_called_unsigned_are(
    tmp_path: Path, ending: str, brainscore_assembly: Assembly
) -> None:
    counts = np.random.default_rng(0).integers(0, 256, (10, 4, 3)).astype(np.uint8)
    write_raw(
        tmp_path / f"assy{ending}",
        brainscore_assembly(),
        counts.view(np.int8),
        {"_Unsigned": "true"},
    )
    np.testing.assert_array_equal(
        open_recording(tmp_path / f"assy{ending}").responses.values, counts
    )
    write_raw(
        tmp_path / f"fill{ending}",
        brainscore_assembly(),
        counts.view(np.int8),
        {"_Unsigned": "true", "_FillValue": np.int8(counts.view(np.int8)[3, 2, 1])},
    )
    found = open_recording(tmp_path / f"fill{ending}").responses.values
    np.testing.assert_array_equal(found, np.where(counts == counts[3, 2, 1], np.nan, counts))


@pytest.mark.parametrize("ending", [".nc", ".cdf"])
@pytest.mark.parametrize(
    ("dtype", "missing"),
    [("i2", [1, 3]), ("i2", [3.0]), ("f4", [-99.9]), ("f4", [1.0, -99.9]), ("f8", [-99.9])],
)
@pytest.mark.filterwarnings("ignore:variable .* has multiple fill values")
def test_every_number_that_stands_for_a_missing_value_does(
    tmp_path: Path, ending: str, dtype: str, missing: list[float], brainscore_assembly: Assembly
) -> None:
    values = np.random.default_rng(0).integers(0, 6, (10, 4, 3)).astype(dtype)
    if dtype != "i2":
        values[2, 1] = -99.9
    write_raw(
        tmp_path / f"assy{ending}",
        brainscore_assembly(),
        values,
        {"missing_value": np.array(missing, np.float64 if dtype == "f4" else dtype)},
    )
    expected = np.where(np.isin(values, np.array(missing).astype(dtype)), np.nan, values).astype(
        np.float32
    )
    assert np.isnan(expected).any()
    np.testing.assert_array_equal(
        open_recording(tmp_path / f"assy{ending}").responses.values, expected
    )


@pytest.mark.parametrize("ending", [".nc", ".cdf"])
@pytest.mark.parametrize(
    ("dtype", "fill"),
    [
        ("f4", 9.969209968386869e36),
        ("f8", 9.969209968386869e36),
        ("i2", -32767),
        ("i4", -2147483647),
    ],
)
def test_what_was_never_written_is_missing(
    tmp_path: Path, ending: str, dtype: str, fill: float, brainscore_assembly: Assembly
) -> None:
    """The numbers are those that the library netCDF4 puts there, and masks."""
    values = np.random.default_rng(0).integers(-6, 6, (10, 4, 3)).astype(dtype)
    write_raw(
        tmp_path / f"assy{ending}",
        brainscore_assembly(),
        values,
        {},
        fillvalue=np.dtype(dtype).type(fill),
    )
    expected = values.astype(np.float32)
    expected[-1] = np.nan
    np.testing.assert_array_equal(
        open_recording(tmp_path / f"assy{ending}").responses.values, expected
    )


@pytest.mark.parametrize("more", [{}, {"missing_value": np.int16(-99)}])
@pytest.mark.parametrize("ending", [".nc", ".cdf"])
def test_packed_numbers_that_were_never_written_are_missing(
    tmp_path: Path, ending: str, more: dict[str, Any], brainscore_assembly: Assembly
) -> None:
    values = np.random.default_rng(0).integers(-6, 6, (10, 4, 3)).astype("i2")
    write_raw(
        tmp_path / f"assy{ending}",
        brainscore_assembly(),
        values,
        {"scale_factor": 0.5, "add_offset": 2.0, **more},
        fillvalue=np.int16(-32767),
    )
    expected = (values * 0.5 + 2).astype(np.float32)
    expected[-1] = np.nan
    np.testing.assert_array_equal(
        open_recording(tmp_path / f"assy{ending}").responses.values, expected
    )


def test_what_netcdf4_masks_is_missing(tmp_path: Path, brainscore_assembly: Assembly) -> None:
    library = pytest.importorskip("netCDF4")
    for dtype in ("f4", "f8", "i2", "u2", "i4", "u4", "i8", "u8"):
        values = np.arange(120).reshape(10, 4, 3).astype(dtype)
        coords = brainscore_assembly().coords
        xr.Dataset(coords={n: (c.dims, c.values) for n, c in coords.items()}).to_netcdf(
            tmp_path / f"{dtype}.nc", engine="h5netcdf"
        )
        with library.Dataset(tmp_path / f"{dtype}.nc", "a") as file:
            file.createVariable("data", dtype, ("presentation", "neuroid", "time_bin"))[:7] = (
                values[:7]
            )
            masked = np.ma.filled(file["data"][:].astype(np.float32), np.nan)
        assert np.isnan(masked[7:]).all()
        np.testing.assert_array_equal(
            open_recording(tmp_path / f"{dtype}.nc").responses.values, masked
        )


@pytest.mark.parametrize("how", ["unsigned", "several numbers", "of another type", "never written"])
def test_whatever_stands_for_missing_is_missing(
    make_recording: Make, tmp_path: Path, how: str
) -> None:
    recording = make_recording(n_neuroids=4, n_bins=3)
    write_recording(recording, tmp_path / "r.nc")
    values = (
        np.random.default_rng(0).integers(130, 250, recording.responses.shape).astype(np.float32)
    )
    with h5py.File(tmp_path / "r.nc", "a") as file:
        scales = [dimension[0] for dimension in file["responses"].dims]
        coordinates = file["responses"].attrs["coordinates"]
        del file["responses"]
        dtype = np.int8 if how == "unsigned" else np.float32
        fill = np.float32(9.969209968386869e36) if how == "never written" else None
        chunks = (values.shape[0], 1, values.shape[2])
        made = file.create_dataset("responses", values.shape, dtype, fillvalue=fill, chunks=chunks)
        if how == "unsigned":
            made[...] = values.astype(np.uint8).view(np.int8)
            made.attrs["_Unsigned"] = "true"
        elif how == "never written":
            made[:, 1:] = values[:, 1:]
            values[:, 0] = np.nan
        else:
            gaps = values.copy()
            gaps[3, 2], gaps[5, 1, 2] = -99.9, -77.0
            made[...] = gaps
            made.attrs["missing_value"] = (
                np.array([-99.9, -77.0], np.float32)
                if how == "several numbers"
                else np.float64(-99.9)
            )
            values[3, 2] = np.nan
            values[5, 1, 2] = np.nan if how == "several numbers" else -77.0
        for axis, scale in enumerate(scales):
            made.dims[axis].attach_scale(scale)
        made.attrs["coordinates"] = coordinates
    np.testing.assert_array_equal(open_recording(tmp_path / "r.nc").responses.values, values)
