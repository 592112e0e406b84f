"""Damaged and hostile files of every form are refused in a line: no crash, nothing outside, no memory filled, no Python object made."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import xarray as xr
from PIL import Image

from neurofit.assemblies import Recording, validate_recording
from neurofit.data_loaders import open_recording, write_recording
from neurofit.data_loaders.formats import probe
from neurofit.errors import NeurofitError

Make = Callable[..., Recording]

DIMS = ["stimulus", "repetition", "neuroid", "time_bin"]
TABLES: dict[str, Any] = {
    "stimulus_id": np.array(["s0", "s1"]),
    "neuroid_id": np.array(["n0", "n1", "n2"]),
    "region": np.array(["V4", "IT", "IT"]),
    "time_bin_start": np.array([0, 10, 20, 30]),
    "time_bin_end": np.array([10, 20, 30, 40]),
}
COUNTS = np.random.default_rng(0).poisson(2, (2, 5, 3, 4)).astype(np.float32)


def write_nc(folder: Path) -> tuple[Path, Path]:
    coords = {
        "image_id": ("presentation", list("aabb")),
        "neuroid_id": ("neuroid", list("xyz")),
        "region": ("neuroid", ["IT"] * 3),
        "time_bin_start": ("time_bin", [0, 10]),
        "time_bin_end": ("time_bin", [10, 20]),
    }
    data = xr.DataArray(np.ones((3, 4, 2), np.float32), dims=("neuroid", "presentation", "time_bin"), coords=coords, name="data")
    data.to_netcdf(folder / "r.nc", engine="h5netcdf")
    return folder / "r.nc", folder / "r.nc"


def write_npz(folder: Path) -> tuple[Path, Path]:
    np.savez_compressed(folder / "r.npz", responses=COUNTS, dims=np.array(DIMS), **TABLES)
    return folder / "r.npz", folder / "r.npz"


def write_npy(folder: Path) -> tuple[Path, Path]:
    np.save(folder / "responses.npy", COUNTS)
    write_tables(folder)
    return folder / "responses.npy", folder


def write_tables(folder: Path) -> tuple[Path, Path]:
    if not (folder / "responses.npy").exists():
        np.save(folder / "responses.npy", COUNTS)
    pd.DataFrame({"stimulus_id": TABLES["stimulus_id"]}).to_csv(folder / "stimuli.csv", index=False)
    pd.DataFrame({name: TABLES[name] for name in ("time_bin_start", "time_bin_end")}).to_csv(folder / "time_bins.csv", index=False)
    pd.DataFrame({name: TABLES[name] for name in ("neuroid_id", "region")}).to_csv(folder / "neuroids.csv", index=False)
    return folder / "neuroids.csv", folder


def write_hdf5(folder: Path) -> tuple[Path, Path]:
    with h5py.File(folder / "r.h5", "w") as file:
        file["responses"] = COUNTS
        for name, values in TABLES.items():
            file[name] = values.astype("S") if values.dtype.kind == "U" else values
    return folder / "r.h5", folder / "r.h5"


def write_matlab(folder: Path) -> tuple[Path, Path]:
    cells = {name: values.astype(object) if values.dtype.kind == "U" else values for name, values in TABLES.items()}
    scipy.io.savemat(folder / "r.mat", {"responses": COUNTS, "dims": np.array(DIMS, dtype=object), **cells})
    return folder / "r.mat", folder / "r.mat"


def write_raster(folder: Path) -> tuple[Path, Path]:
    labels = {"stimulus_ID": np.array(list("abab"), dtype=object)}
    content = {"raster_data": np.zeros((4, 60), np.uint8), "raster_labels": labels, "raster_site_info": {"alignment_event_time": 21}}
    scipy.io.savemat(folder / "s1_raster_data.mat", content)
    (folder / "recording.json").write_text('{"region": "IT"}')
    return folder / "s1_raster_data.mat", folder


def write_spikes(folder: Path) -> tuple[Path, Path]:
    pd.DataFrame({"neuroid_id": list("aabb"), "presentation": [0, 1, 0, 1], "time_ms": [1, 20, 30.5, 299]}).to_csv(folder / "spikes.csv")
    pd.DataFrame({"presentation": [0, 1], "stimulus_id": ["x", "x"]}).to_csv(folder / "presentations.csv")
    pd.DataFrame({"neuroid_id": list("ab"), "region": ["IT", "V4"]}).to_csv(folder / "neuroids.csv")
    return folder / "spikes.csv", folder


def write_sidecar(folder: Path) -> tuple[Path, Path]:
    np.savez(folder / "r.npz", responses=COUNTS, **TABLES)
    (folder / "r.json").write_text(json.dumps({"dims": DIMS, "missing": 255, "words": {"a": "b"}, "visual_degrees": 8}))
    return folder / "r.json", folder / "r.npz"


def write_pictures(folder: Path) -> tuple[Path, Path]:
    write_npz(folder)
    with zipfile.ZipFile(folder / "stimuli.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in TABLES["stimulus_id"]:
            content = io.BytesIO()
            Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(content, "png")
            archive.writestr(f"{name}.png", content.getvalue())
    return folder / "stimuli.zip", folder / "r.npz"


def write_stimuli(folder: Path) -> tuple[Path, Path]:
    write_pictures(folder)
    pd.DataFrame({"stimulus_id": TABLES["stimulus_id"], "filename": ["s0.png", "s1.png"], "degrees": 8}).to_csv(folder / "stimuli.csv")
    return folder / "stimuli.csv", folder / "r.npz"


WRITERS: list[Callable[[Path], tuple[Path, Path]]] = [
    write_nc,
    write_npz,
    write_npy,
    write_tables,
    write_hdf5,
    write_matlab,
    write_raster,
    write_spikes,
    write_sidecar,
    write_pictures,
    write_stimuli,
]
"""Each writes a small recording and returns the file to damage, and what to open."""


def open_all(path: Path) -> None:
    """Open a recording and read all of it."""
    recording = open_recording(path)
    validate_recording(recording)
    for i in range(len(recording.stimuli)):
        recording.stimuli.images[i]


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Return a file cut short, with bits flipped, or with a run of bytes that are others."""
    changed = bytearray(content)
    way = rng.integers(3)
    if way == 0:
        return bytes(changed[: rng.integers(len(content))])
    if way == 1:
        for _ in range(rng.integers(1, 4)):
            changed[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
    else:
        begin, n = rng.integers(len(content)), int(rng.integers(1, 16))
        changed[begin : begin + n] = rng.bytes(n)
    return bytes(changed)


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__.removeprefix("write_"))
def test_a_damaged_file_is_read_or_refused_in_a_line(
    tmp_path: Path, write: Callable[[Path], tuple[Path, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "CPU_SECONDS", 2.0)
    file, opened = write(tmp_path)
    content = file.read_bytes()
    rng = np.random.default_rng(0)
    said: list[str] = []
    for _ in range(15 if write in (write_nc, write_hdf5) else 60):  # a process of its own looks at each
        file.write_bytes(damaged(content, rng))
        try:
            open_all(opened)
        except NeurofitError as error:
            said.append(str(error))
    assert len(said) > 2
    assert max(map(len, said)) < 1000
    assert not [line for line in said if "Type-check" in line]  # ours, that a wide `except` would hide
    file.write_bytes(content)
    assert open_recording(opened).responses.size > 0


@contextmanager
def within(n_bytes: int) -> Iterator[None]:
    """Check that Python and NumPy never hold more than so many bytes."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < n_bytes
    finally:
        tracemalloc.stop()


def npy_header(shape: tuple[int, ...], dtype: str = "<f4") -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def huge_npy(folder: Path) -> Path:
    (folder / "responses.npy").write_bytes(npy_header((10**6, 10**6)) + bytes(64))
    return folder / "responses.npy"


def huge_npz(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "r.npz", "w") as archive:
        archive.writestr("responses.npy", npy_header((10**6, 10**6)) + bytes(64))
    return folder / "r.npz"


def npz_bomb(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "r.npz", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("responses.npy", "w") as stream:
        stream.write(npy_header((2**14, 2**14), "|u1"))
        for _ in range(2**8):
            stream.write(bytes(2**20))
    return folder / "r.npz"


def huge_hdf5(folder: Path) -> Path:
    with h5py.File(folder / "r.h5", "w") as file:
        file.create_dataset("responses", shape=(10**6, 10**6), dtype="f4", chunks=(1000, 1000))
    return folder / "r.h5"


def hdf5_bomb(folder: Path) -> Path:
    with h5py.File(folder / "r.h5", "w") as file:
        file.create_dataset("responses", shape=(2**14, 2**13), dtype="u1", chunks=(2**10, 2**10), compression="gzip", fillvalue=3)
    return folder / "r.h5"


def huge_netcdf(folder: Path) -> Path:
    path, _ = write_nc(folder)
    with h5py.File(path, "a") as file:
        file.create_dataset("more", shape=(10**12,), dtype="f4", chunks=(1000,))
    return path


def matlab_bomb(folder: Path) -> Path:
    bomb = zlib.compress(bytes(2**27), 9)
    (folder / "r.mat").write_bytes(b"MATLAB 5.0".ljust(124) + b"\x00\x01IM" + struct.pack("<II", 15, len(bomb)) + bomb)
    return folder / "r.mat"


def many_bins(folder: Path) -> Path:
    write_spikes(folder)
    (folder / "recording.json").write_text('{"bins": [0, 1000000000000, 1]}')
    return folder


def many_trials_of_many_sites(folder: Path) -> Path:
    write_spikes(folder)
    pd.DataFrame({"presentation": range(10_000), "stimulus_id": "x"}).to_csv(folder / "presentations.csv")
    pd.DataFrame({"neuroid_id": ["a", "b", *map(str, range(10_000))], "region": "IT"}).to_csv(folder / "neuroids.csv")
    return folder


def picture_bomb(folder: Path) -> Path:
    path, opened = write_pictures(folder)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("s0.png", b"")
        with archive.open("s1.png", "w") as stream:
            for _ in range(2**9):
                stream.write(bytes(2**20))
    return opened


HOSTILE = [
    huge_npy,
    huge_npz,
    npz_bomb,
    huge_hdf5,
    hdf5_bomb,
    huge_netcdf,
    matlab_bomb,
    many_bins,
    many_trials_of_many_sites,
    picture_bomb,
]


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_what_declares_more_than_it_holds_is_refused_before_it_fills_memory(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    with within(2**28), pytest.raises(NeurofitError):
        open_all(path)


def test_hdf5_that_the_library_loops_over_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = write_nc(tmp_path)
    slow = tmp_path / "slow.py"
    slow.write_text("while True: pass")
    monkeypatch.setattr(probe, "__file__", str(slow))
    monkeypatch.setattr(probe, "CPU_SECONDS", 0.2)
    with pytest.raises(NeurofitError, match="is damaged: looking through it does not end"):
        open_recording(path)
    slow.write_text("import os; os.abort()")
    path.touch()
    with pytest.raises(NeurofitError, match="it is damaged: looking through it does not end, or ends the process"):
        open_recording(path)


class Trap:
    """Says so if it is ever unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, ("sprung", "w")


def test_no_python_object_is_ever_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trap = np.array([[Trap()]], dtype=object)
    np.save(tmp_path / "responses.npy", trap, allow_pickle=True)
    np.savez(tmp_path / "responses.npz", responses=trap)
    np.savez(tmp_path / "coordinate.npz", responses=COUNTS, **{**TABLES, "stimulus_id": np.array([Trap(), Trap()], dtype=object)})
    for name in ("responses.npy", "responses.npz", "coordinate.npz"):
        with pytest.raises(NeurofitError, match="holds Python objects, which are never loaded"):
            open_recording(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["../secret.png", "/secret.png", "a/../../secret.png", "..\\secret.png"])
def test_names_that_lead_out_of_an_archive_or_folder_stay_inside(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    _, opened = write_stimuli(inside)
    Image.fromarray(np.full((4, 4, 3), 99, np.uint8)).save(tmp_path / "secret.png")
    pd.DataFrame({"stimulus_id": TABLES["stimulus_id"], "filename": [name, "s1.png"]}).to_csv(inside / "stimuli.csv")
    with pytest.raises(NeurofitError, match="lacks 1 of 2 pictures"):
        open_recording(opened)
    with zipfile.ZipFile(inside / "stimuli.zip", "a") as archive:  # an archive that has such a name is never unpacked
        archive.write(tmp_path / "secret.png", name)
    before = sorted(tmp_path.rglob("*"))
    open_all(opened)
    assert sorted(tmp_path.rglob("*")) == before
    (inside / "stimuli.zip").unlink()
    (inside / "stimuli").mkdir()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(inside / "stimuli" / "s1.png")
    with pytest.raises(NeurofitError, match="lacks 1 of 2 pictures"):
        open_recording(opened)


def test_a_recording_that_becomes_damaged_while_it_is_in_use_is_said_to_be(make_recording: Make, tmp_path: Path) -> None:
    write_recording(make_recording(), tmp_path / "r.nc")
    recording = open_recording(tmp_path / "r.nc")
    (tmp_path / "r.nc").write_bytes((tmp_path / "r.nc").read_bytes()[:3000])
    with pytest.raises(NeurofitError, match="was changed while it was in use"):
        recording.block(0)
