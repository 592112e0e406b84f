"""Small recordings of every form, to be damaged or replaced by hostile ones."""

from __future__ import annotations

import datetime
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pynwb
import pytest
import scipy.io
import xarray as xr
from PIL import Image

from neurofit.data_loaders import open_recording
from neurofit.recordings.stimuli import NoImages
from neurofit.recordings.validation import validate_recording

Write = Callable[[str, Path], tuple[Path, Path]]

DIMS = ["stimulus", "repetition", "neuroid", "time_bin"]
TABLES: dict[str, Any] = {
    "stimulus_id": np.array(["s0", "s1"]),
    "neuroid_id": np.array(["n0", "n1", "n2"]),
    "region": np.array(["V4", "IT", "IT"]),
    "time_bin_start": np.array([0, 10, 20, 30]),
    "time_bin_end": np.array([10, 20, 30, 40]),
}
COUNTS = np.random.default_rng(0).poisson(2, (2, 5, 3, 4)).astype(np.float32)


def _write_nc(folder: Path) -> tuple[Path, Path]:
    coords = {
        "image_id": ("presentation", list("aabb")),
        "neuroid_id": ("neuroid", list("xyz")),
        "region": ("neuroid", ["IT"] * 3),
        "time_bin_start": ("time_bin", [0, 10]),
        "time_bin_end": ("time_bin", [10, 20]),
    }
    data = xr.DataArray(
        np.ones((3, 4, 2), np.float32),
        dims=("neuroid", "presentation", "time_bin"),
        coords=coords,
        name="data",
    )
    data.to_netcdf(folder / "r.nc", engine="h5netcdf")
    return folder / "r.nc", folder / "r.nc"


def _write_npz(folder: Path) -> tuple[Path, Path]:
    np.savez_compressed(folder / "r.npz", responses=COUNTS, dims=np.array(DIMS), **TABLES)
    return folder / "r.npz", folder / "r.npz"


def _write_npy(folder: Path) -> tuple[Path, Path]:
    np.save(folder / "responses.npy", COUNTS)
    _write_tables(folder)
    return folder / "responses.npy", folder


def _write_tables(folder: Path) -> tuple[Path, Path]:
    if not (folder / "responses.npy").exists():
        np.save(folder / "responses.npy", COUNTS)
    pd.DataFrame({"stimulus_id": TABLES["stimulus_id"]}).to_csv(folder / "stimuli.csv", index=False)
    pd.DataFrame({name: TABLES[name] for name in ("time_bin_start", "time_bin_end")}).to_csv(
        folder / "time_bins.csv", index=False
    )
    pd.DataFrame({name: TABLES[name] for name in ("neuroid_id", "region")}).to_csv(
        folder / "neuroids.csv", index=False
    )
    return folder / "neuroids.csv", folder


def _write_hdf5(folder: Path) -> tuple[Path, Path]:
    with h5py.File(folder / "r.h5", "w") as file:
        file["responses"] = COUNTS
        for name, values in TABLES.items():
            file[name] = values.astype("S") if values.dtype.kind == "U" else values
    return folder / "r.h5", folder / "r.h5"


def _write_matlab(folder: Path) -> tuple[Path, Path]:
    cells = {
        name: values.astype(object) if values.dtype.kind == "U" else values
        for name, values in TABLES.items()
    }
    scipy.io.savemat(
        folder / "r.mat", {"responses": COUNTS, "dims": np.array(DIMS, dtype=object), **cells}
    )
    return folder / "r.mat", folder / "r.mat"


def _write_matlab_v7_3(folder: Path) -> tuple[Path, Path]:
    with h5py.File(folder / "r.mat", "w", userblock_size=512) as file:
        for name, values in {"responses": COUNTS, **TABLES}.items():
            if values.dtype.kind == "U":
                letters = [
                    np.array(list(text.encode("utf-16-le")[::2]), np.uint16)[:, None]
                    for text in values
                ]
                cells = [
                    file.create_dataset(f"#refs#/{name}{i}", data=each)
                    for i, each in enumerate(letters)
                ]
                file.create_dataset(
                    name,
                    data=np.array([[each.ref for each in cells]], h5py.ref_dtype),
                    dtype=h5py.ref_dtype,
                )
                file[name].attrs["MATLAB_class"] = np.bytes_("cell")
            else:
                file[name] = np.atleast_2d(values).T
                file[name].attrs["MATLAB_class"] = np.bytes_("double")
    with open(folder / "r.mat", "r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    (folder / "r.json").write_text(json.dumps({"dims": DIMS}))
    return folder / "r.mat", folder / "r.mat"


def _write_nwb(folder: Path) -> tuple[Path, Path]:
    session = pynwb.NWBFile(
        session_description="s",
        identifier="x",
        session_start_time=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
    )
    session.add_unit_column("region", "area")
    for number in range(2):
        session.add_unit(spike_times=np.arange(0.05 + number / 10, 4, 0.5), region="IT")
    session.add_trial_column("stimulus_id", "what was shown")
    for number in range(4):
        session.add_trial(
            start_time=float(number), stop_time=number + 0.5, stimulus_id="ab"[number % 2]
        )
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 6, 3), dtype=np.uint8)
    images = [
        pynwb.image.RGBImage(name=name, data=each) for name, each in zip("yz", pixels, strict=True)
    ]
    order = pynwb.base.ImageReferences(name="order_of_images", data=images)
    pictures = pynwb.base.Images(
        name="pictures", images=images, description="p", order_of_images=order
    )
    session.add_stimulus_template(pictures)
    index = np.array([1, 0, 1, 0], np.uint32)
    session.add_stimulus(
        pynwb.image.IndexSeries(
            name="shown",
            data=index,
            indexed_images=pictures,
            unit="N/A",
            timestamps=np.arange(4) + 0.1,
        )
    )
    told: dict[str, Any] = {"distance": 0.5, "field_of_view": [0.1, 0.1], "orientation": "upright"}
    session.add_stimulus_template(
        pynwb.image.OpticalSeries(name="movie", data=pixels[..., 0], unit="n.a.", rate=1.0, **told)
    )
    with pynwb.NWBHDF5IO(str(folder / "r.nwb"), "w") as io:
        io.write(session, cache_spec=False)
    return folder / "r.nwb", folder / "r.nwb"


def _write_raster(folder: Path) -> tuple[Path, Path]:
    labels = {"stimulus_ID": np.array(list("abab"), dtype=object)}
    content = {
        "raster_data": np.zeros((4, 60), np.uint8),
        "raster_labels": labels,
        "raster_site_info": {"alignment_event_time": 21},
    }
    scipy.io.savemat(folder / "s1_raster_data.mat", content)
    (folder / "recording.json").write_text('{"region": "IT"}')
    return folder / "s1_raster_data.mat", folder


def _write_spikes(folder: Path) -> tuple[Path, Path]:
    pd.DataFrame(
        {"neuroid_id": list("aabb"), "presentation": [0, 1, 0, 1], "time_ms": [1, 20, 30.5, 299]}
    ).to_csv(folder / "spikes.csv")
    pd.DataFrame({"presentation": [0, 1], "stimulus_id": ["x", "x"]}).to_csv(
        folder / "presentations.csv"
    )
    pd.DataFrame({"neuroid_id": list("ab"), "region": ["IT", "V4"]}).to_csv(folder / "neuroids.csv")
    return folder / "spikes.csv", folder


def _write_sidecar(folder: Path) -> tuple[Path, Path]:
    np.savez(folder / "r.npz", responses=COUNTS, **TABLES)
    (folder / "r.json").write_text(
        json.dumps({"dims": DIMS, "missing": 255, "words": {"a": "b"}, "visual_degrees": 8})
    )
    return folder / "r.json", folder / "r.npz"


def _write_pictures(folder: Path) -> tuple[Path, Path]:
    _write_npz(folder)
    with zipfile.ZipFile(folder / "stimuli.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in TABLES["stimulus_id"]:
            content = io.BytesIO()
            Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(content, "png")
            archive.writestr(f"{name}.png", content.getvalue())
    return folder / "stimuli.zip", folder / "r.npz"


def _write_stimuli(folder: Path) -> tuple[Path, Path]:
    _write_pictures(folder)
    pd.DataFrame(
        {"stimulus_id": TABLES["stimulus_id"], "filename": ["s0.png", "s1.png"], "degrees": 8}
    ).to_csv(folder / "stimuli.csv")
    return folder / "stimuli.csv", folder / "r.npz"


WRITERS: dict[str, Callable[[Path], tuple[Path, Path]]] = {
    "nc": _write_nc,
    "npz": _write_npz,
    "npy": _write_npy,
    "tables": _write_tables,
    "hdf5": _write_hdf5,
    "matlab": _write_matlab,
    "matlab_v7_3": _write_matlab_v7_3,
    "nwb": _write_nwb,
    "raster": _write_raster,
    "spikes": _write_spikes,
    "sidecar": _write_sidecar,
    "pictures": _write_pictures,
    "stimuli": _write_stimuli,
}
"""Each writes a small recording and returns the file to damage, and what to open."""


@pytest.fixture(params=WRITERS)
def form(request: pytest.FixtureRequest) -> str:
    """Return each of `WRITERS` by name."""
    return str(request.param)


@pytest.fixture
def write_small() -> Write:
    """Write a small recording of a form; return the file to damage, and what to open."""
    return lambda form, folder: WRITERS[form](folder)


@pytest.fixture
def open_all() -> Callable[[Path], None]:
    """Open a recording and read all of it."""
    return _open_all


def _open_all(path: Path) -> None:
    recording = open_recording(path)
    validate_recording(recording)
    if not isinstance(recording.stimuli.images, NoImages):
        for i in range(len(recording.stimuli)):
            recording.stimuli.images[i]
