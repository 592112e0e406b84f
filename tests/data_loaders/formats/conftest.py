"""Fixtures of several formats: an assembly as Brain-Score writes it, NWB files with pictures."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pynwb
import pytest
import scipy.io
import xarray as xr
from pynwb.base import ImageReferences, Images
from pynwb.image import ImageSeries, RGBImage

from neurofit.recordings.recording import Recording
from neurofit.recordings.stimuli import NoImages

Assembly = Callable[..., xr.DataArray]
Write = Callable[..., Path]
Rgb = Callable[..., np.ndarray]
Named = Callable[..., Images]
Series = Callable[..., ImageSeries]
Shown = Callable[[Recording, np.ndarray], None]
Why = Callable[[Recording], str]

SHOWN = ("cat", "dog", "cat", "dog")
HEIGHT, WIDTH = 4, 6


@pytest.fixture
def brainscore_assembly() -> Assembly:
    """Make an assembly as Brain-Score writes it: flat coordinates, neuroid first, own names."""
    return _brainscore_assembly


def _brainscore_assembly(*, static: bool = False) -> xr.DataArray:
    bins = [70] if static else [-100, -90, -80]
    data = xr.DataArray(
        np.random.default_rng(0).normal(size=(4, 10, len(bins))).astype(np.float32),
        dims=("neuroid", "presentation", "time_bin"),
        coords={
            "neuroid_id": ("neuroid", [f"Chabo_L_M_5_{i}" for i in range(4)]),
            "region": ("neuroid", ["V4", "IT", "IT", "V4"]),
            "subregion": ("neuroid", ["V4", "pIT", "aIT", "V4"]),
            "animal": ("neuroid", ["Chabo"] * 4),
            "image_id": ("presentation", [f"id{i % 5}" for i in range(10)]),
            "object_name": ("presentation", [f"car{i % 5}" for i in range(10)]),
            "time_bin_start": ("time_bin", bins),
            "time_bin_stop": ("time_bin", [s + (100 if static else 20) for s in bins]),
        },
        attrs={"stimulus_set_identifier": "hvm"},
        name="a_name_of_its_own",
    )
    return data.squeeze("time_bin") if static else data


@pytest.fixture
def write_nwb() -> Write:
    """Write an NWB session of one unit and a trial a second.

    What is given goes under stimulus, and `templates` under its templates.
    """
    return _write_nwb


def _write_nwb(
    path: Path,
    *held: Any,
    templates: Sequence[Any] = (),
    shown: Sequence[Any] = SHOWN,
    columns: Mapping[str, Sequence[Any]] | None = None,
) -> Path:
    nwb = pynwb.NWBFile(
        session_description="s",
        identifier=path.stem,
        session_start_time=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
    )
    nwb.add_unit_column("region", "area")
    nwb.add_unit(spike_times=np.arange(0.05, len(shown), 0.5), region="IT")
    table = {"stimulus_id": shown, **(columns or {})}
    for name in table:
        nwb.add_trial_column(name, "of the trial")
    for number, row in enumerate(zip(*table.values(), strict=True)):
        nwb.add_trial(
            start_time=float(number), stop_time=number + 0.5, **dict(zip(table, row, strict=True))
        )
    for each in templates:
        nwb.add_stimulus_template(each)
    for each in held:
        nwb.add_stimulus(each)
    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(nwb)
    return path


@pytest.fixture
def rgb() -> Rgb:
    """Make random pictures: uint8 (stimulus height width channel)."""
    return _rgb


def _rgb(n: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.fixture
def named() -> Named:
    """Hold pictures by name, as NWB images."""
    return _named


def _named(
    pixels: np.ndarray,
    names: Sequence[str] = ("cat", "dog"),
    *,
    ordered: bool = False,
    called: str = "pictures",
) -> Images:
    images = [RGBImage(name=name, data=each) for name, each in zip(names, pixels, strict=True)]
    order = ImageReferences(name="order_of_images", data=images) if ordered else None
    return Images(name=called, images=images, description="p", order_of_images=order)


@pytest.fixture
def series() -> Series:
    """Hold pictures (stimulus y x channel) as frames (frame x y channel), as in the schema."""
    return _series


def _series(pixels: np.ndarray, *, called: str = "movie", **more: Any) -> ImageSeries:
    return ImageSeries(name=called, data=pixels.swapaxes(1, 2), unit="n.a.", rate=1.0, **more)


@pytest.fixture
def files() -> Series:
    """Name pictures that are files beside an NWB file."""
    return _files


def _files(*paths: str, **more: Any) -> ImageSeries:
    first = {"starting_frame": list(range(len(paths))), **more}
    times = np.arange(float(len(paths)))
    return ImageSeries(
        name="files",
        external_file=list(paths),
        format="external",
        unit="n.a.",
        timestamps=times,
        **first,
    )


@pytest.fixture
def assert_shown() -> Shown:
    """Check the pictures of all stimuli, pixel for pixel."""
    return _assert_shown


def _assert_shown(recording: Recording, pixels: np.ndarray) -> None:
    assert len(recording.stimuli.images) == len(pixels)
    for row, expected in enumerate(pixels):
        found = recording.stimuli.images[row]
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, expected)


@pytest.fixture
def why() -> Why:
    """Return why a recording has no pictures."""
    return _why


def _why(recording: Recording) -> str:
    assert isinstance(recording.stimuli.images, NoImages)
    return recording.stimuli.images.why


N_STIMULI, N_REPETITIONS, N_NEUROIDS, N_BINS = 6, 2, 4, 3
COUNTS = np.random.default_rng(0).poisson(3, (N_STIMULI * N_REPETITIONS, N_NEUROIDS, N_BINS))
AXES = ("presentation", "neuroid", "time_bin")

Arrays = dict[str, np.ndarray]
ArraysOf = Callable[..., Arrays]
Written = Callable[..., Path]


@pytest.fixture
def arrays_of() -> ArraysOf:
    """Return the arrays of a valid recording, some of them changed."""
    return _arrays_of


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Write the arrays of a valid recording in a format, some changed or with units."""

    def write(form: str, *, units: Mapping[str, str] = {}, **changed: Any) -> Path:
        return WRITERS[form](tmp_path, _arrays_of(**changed), units)

    return write


def _arrays_of(**changed: Any) -> Arrays:
    """Return the arrays of a valid recording, some of them changed."""
    own: dict[str, Any] = {
        "responses": COUNTS.astype(np.float32),
        "stimulus_id": np.repeat([f"s{i}" for i in range(N_STIMULI)], N_REPETITIONS),
        "repetition": np.tile(np.arange(N_REPETITIONS), N_STIMULI),
        "neuroid_id": [f"n{i}" for i in range(N_NEUROIDS)],
        "region": ["IT"] * N_NEUROIDS,
        "time_bin_start": [70, 80, 90],
        "time_bin_end": [80, 90, 100],
    }
    return {name: np.asarray(value) for name, value in (own | changed).items()}


def _along(name: str) -> str:
    if name in ("stimulus_id", "repetition", "frame"):
        return "presentation"
    return "neuroid" if name in ("neuroid_id", "region") else "time_bin"


def _as_netcdf(folder: Path, arrays: Arrays, units: Mapping[str, str], **written: Any) -> Path:
    coords = {
        name: (_along(name), values, {"units": units[name]} if name in units else {})
        for name, values in arrays.items()
        if name != "responses"
    }
    path = folder / "r.nc"
    data = {"responses": (AXES, arrays["responses"])}
    xr.Dataset(data, coords=coords).to_netcdf(path, **{"engine": "h5netcdf", **written})
    return path


def _as_classic_netcdf(folder: Path, arrays: Arrays, units: Mapping[str, str]) -> Path:
    return _as_netcdf(folder, arrays, units, engine="scipy", format="NETCDF3_64BIT")


def _as_filled_netcdf(folder: Path, arrays: Arrays, units: Mapping[str, str]) -> Path:
    """Write netCDF whose integers have a fill value, of which xarray makes floats."""
    filled = {
        name: {"_FillValue": values.dtype.type(-1)}
        for name, values in arrays.items()
        if values.dtype.kind == "i"
    }
    return _as_netcdf(folder, arrays, units, encoding=filled)


def _as_npz(folder: Path, arrays: Arrays, units: Mapping[str, str]) -> Path:
    held: dict[str, Any] = {**arrays, "dims": np.array(AXES)}
    np.savez(folder / "r.npz", **held)
    return folder / "r.npz"


def _as_hdf5(folder: Path, arrays: Arrays, units: Mapping[str, str]) -> Path:
    with h5py.File(folder / "r.h5", "w") as file:
        for name, values in arrays.items():
            file[name] = values.tolist() if values.dtype.kind == "U" else values
            if name in units:
                file[name].attrs["units"] = units[name]
        file["responses"].attrs["dims"] = list(AXES)
    return folder / "r.h5"


def _as_matlab(folder: Path, arrays: Arrays, units: Mapping[str, str]) -> Path:
    texts = {
        name: values.astype(object) if values.dtype.kind == "U" else values
        for name, values in arrays.items()
    }
    scipy.io.savemat(folder / "r.mat", texts | {"dims": np.array(AXES, dtype=object)})
    return folder / "r.mat"


def _as_tables(folder: Path, arrays: Arrays, units: Mapping[str, str]) -> Path:
    """Write responses.npy with its tables."""
    np.save(folder / "responses.npy", arrays["responses"])
    for table, dim in (
        ("presentations", "presentation"),
        ("neuroids", "neuroid"),
        ("time_bins", "time_bin"),
    ):
        columns = {n: v for n, v in arrays.items() if n != "responses" and _along(n) == dim}
        pd.DataFrame(columns).to_csv(folder / f"{table}.csv", index=False)
    return folder


WRITERS: dict[str, Callable[[Path, Arrays, Mapping[str, str]], Path]] = {
    "netCDF": _as_netcdf,
    "classic netCDF": _as_classic_netcdf,
    "netCDF with fills": _as_filled_netcdf,
    "npz": _as_npz,
    "HDF5": _as_hdf5,
    "MATLAB": _as_matlab,
    "tables": _as_tables,
}
