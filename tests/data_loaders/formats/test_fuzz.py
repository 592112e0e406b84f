"""Damaged and hostile files of every format are refused in one line.

Nothing crashes, nothing outside is read, no memory is filled and no Python object is made.
"""

from __future__ import annotations

import datetime
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
import pynwb
import pytest
import scipy.io
import xarray as xr
from PIL import Image

from neurofit.data_loaders import formats, open_recording, write_recording
from neurofit.data_loaders.formats import nwb, probe, stored_images
from neurofit.errors import NeurofitError
from neurofit.recordings.recording import Recording
from neurofit.recordings.stimuli import NoImages
from neurofit.recordings.validation import validate_recording

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
    data = xr.DataArray(
        np.ones((3, 4, 2), np.float32),
        dims=("neuroid", "presentation", "time_bin"),
        coords=coords,
        name="data",
    )
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
    pd.DataFrame({name: TABLES[name] for name in ("time_bin_start", "time_bin_end")}).to_csv(
        folder / "time_bins.csv", index=False
    )
    pd.DataFrame({name: TABLES[name] for name in ("neuroid_id", "region")}).to_csv(
        folder / "neuroids.csv", index=False
    )
    return folder / "neuroids.csv", folder


def write_hdf5(folder: Path) -> tuple[Path, Path]:
    with h5py.File(folder / "r.h5", "w") as file:
        file["responses"] = COUNTS
        for name, values in TABLES.items():
            file[name] = values.astype("S") if values.dtype.kind == "U" else values
    return folder / "r.h5", folder / "r.h5"


def write_matlab(folder: Path) -> tuple[Path, Path]:
    cells = {
        name: values.astype(object) if values.dtype.kind == "U" else values
        for name, values in TABLES.items()
    }
    scipy.io.savemat(
        folder / "r.mat", {"responses": COUNTS, "dims": np.array(DIMS, dtype=object), **cells}
    )
    return folder / "r.mat", folder / "r.mat"


def write_matlab_v7_3(folder: Path) -> tuple[Path, Path]:
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


def write_nwb(folder: Path) -> tuple[Path, Path]:
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


def write_raster(folder: Path) -> tuple[Path, Path]:
    labels = {"stimulus_ID": np.array(list("abab"), dtype=object)}
    content = {
        "raster_data": np.zeros((4, 60), np.uint8),
        "raster_labels": labels,
        "raster_site_info": {"alignment_event_time": 21},
    }
    scipy.io.savemat(folder / "s1_raster_data.mat", content)
    (folder / "recording.json").write_text('{"region": "IT"}')
    return folder / "s1_raster_data.mat", folder


def write_spikes(folder: Path) -> tuple[Path, Path]:
    pd.DataFrame(
        {"neuroid_id": list("aabb"), "presentation": [0, 1, 0, 1], "time_ms": [1, 20, 30.5, 299]}
    ).to_csv(folder / "spikes.csv")
    pd.DataFrame({"presentation": [0, 1], "stimulus_id": ["x", "x"]}).to_csv(
        folder / "presentations.csv"
    )
    pd.DataFrame({"neuroid_id": list("ab"), "region": ["IT", "V4"]}).to_csv(folder / "neuroids.csv")
    return folder / "spikes.csv", folder


def write_sidecar(folder: Path) -> tuple[Path, Path]:
    np.savez(folder / "r.npz", responses=COUNTS, **TABLES)
    (folder / "r.json").write_text(
        json.dumps({"dims": DIMS, "missing": 255, "words": {"a": "b"}, "visual_degrees": 8})
    )
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
    pd.DataFrame(
        {"stimulus_id": TABLES["stimulus_id"], "filename": ["s0.png", "s1.png"], "degrees": 8}
    ).to_csv(folder / "stimuli.csv")
    return folder / "stimuli.csv", folder / "r.npz"


WRITERS: list[Callable[[Path], tuple[Path, Path]]] = [
    write_nc,
    write_npz,
    write_npy,
    write_tables,
    write_hdf5,
    write_matlab,
    write_matlab_v7_3,
    write_nwb,
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
    if not isinstance(recording.stimuli.images, NoImages):
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
    for _ in range(
        15 if write in (write_nc, write_hdf5, write_matlab_v7_3, write_nwb) else 60
    ):  # a process of its own looks at each
        file.write_bytes(damaged(content, rng))
        try:
            open_all(opened)
        except NeurofitError as error:
            said.append(str(error))
    assert len(said) > 2
    assert max(map(len, said)) < 1000
    assert not [
        line for line in said if "Type-check" in line
    ]  # ours, that a wide `except` would hide
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
    np.lib.format.write_array_header_1_0(
        stream, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return stream.getvalue()


def huge_npy(folder: Path) -> Path:
    (folder / "responses.npy").write_bytes(npy_header((10**6, 10**6)) + bytes(64))
    return folder / "responses.npy"


def huge_npz(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "r.npz", "w") as archive:
        archive.writestr("responses.npy", npy_header((10**6, 10**6)) + bytes(64))
    return folder / "r.npz"


def npz_bomb(folder: Path) -> Path:
    with (
        zipfile.ZipFile(folder / "r.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("responses.npy", "w") as stream,
    ):
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
        file.create_dataset(
            "responses",
            shape=(2**14, 2**13),
            dtype="u1",
            chunks=(2**10, 2**10),
            compression="gzip",
            fillvalue=3,
        )
    return folder / "r.h5"


def huge_netcdf(folder: Path) -> Path:
    path, _ = write_nc(folder)
    with h5py.File(path, "a") as file:
        file.create_dataset("more", shape=(10**12,), dtype="f4", chunks=(1000,))
    return path


def huge_matlab_v7_3(folder: Path) -> Path:
    path, _ = write_matlab_v7_3(folder)
    return replaced(path, "responses", shape=(10**6, 10**6), dtype="f4", chunks=(1000, 1000))


def cells_of_many_letters(folder: Path) -> Path:
    path, _ = write_matlab_v7_3(folder)
    return replaced(path, "#refs#/stimulus_id0", shape=(10**10, 1), dtype="u2", chunks=(1000, 1))


def many_cells_of_some_letters(folder: Path) -> Path:
    path, _ = write_matlab_v7_3(folder)
    replaced(path, "#refs#/stimulus_id0", shape=(2**16, 1), dtype="u2", chunks=(2**16, 1))
    with h5py.File(path, "a") as file:
        cells = np.full((2**17, 1), file["#refs#/stimulus_id0"].ref, h5py.ref_dtype)
        del file["stimulus_id"]
        file.create_dataset("stimulus_id", data=cells, dtype=h5py.ref_dtype).attrs[
            "MATLAB_class"
        ] = np.bytes_("cell")
    return path


def huge_chunk(folder: Path) -> Path:
    path, _ = write_hdf5(folder)
    more = {"maxshape": (None, 4), "chunks": (2**26, 4), "compression": "gzip"}
    return replaced(path, "responses", shape=(2, 4), dtype="f4", **more)


def replaced(path: Path, name: str, **more: Any) -> Path:
    """Put a dataset that was never written in place of another, whose attributes it keeps."""
    with h5py.File(path, "a") as file:
        attrs = dict(file[name].attrs)
        del file[name]
        file.create_dataset(name, **more).attrs.update(attrs)
    return path


def huge_nwb_trials(folder: Path) -> Path:
    return replaced(
        write_nwb(folder)[0],
        "intervals/trials/start_time",
        shape=(10**10,),
        dtype="f8",
        chunks=(1000,),
    )


def huge_nwb_spike_times(folder: Path) -> Path:
    return replaced(
        write_nwb(folder)[0], "units/spike_times", shape=(10**10,), dtype="f8", chunks=(1000,)
    )


def nwb_bomb(folder: Path) -> Path:
    path = replaced(
        write_nwb(folder)[0],
        "intervals/trials/start_time",
        shape=(2**25,),
        dtype="f8",
        chunks=(2**20,),
        compression="gzip",
    )
    with h5py.File(path, "a") as file:
        file["intervals/trials/start_time"][: 2**20] = 0
    return path


def huge_nwb_table_elsewhere(folder: Path) -> Path:
    path, _ = write_nwb(folder)
    replaced(path, "units/spike_times", shape=(10**10,), dtype="f8", chunks=(1000,))
    with h5py.File(path, "a") as file:
        file.move("units/spike_times", "scratch/spike_times")
        file["units/spike_times"] = h5py.SoftLink("/scratch/spike_times")
    return path


def many_nwb_spikes_in_many_trials(folder: Path) -> Path:
    path, _ = write_nwb(folder)
    with h5py.File(path, "a") as file:
        for name, values in (
            ("intervals/trials/{}", np.zeros(10**5)),
            ("units/{}", np.zeros(10**5)),
        ):
            for column in (
                ("start_time", "stop_time", "id", "stimulus_id")
                if "trials" in name
                else ("spike_times",)
            ):
                attrs = dict(file[name.format(column)].attrs)
                del file[name.format(column)]
                stored = (
                    np.full(len(values), b"a")
                    if column == "stimulus_id"
                    else values.astype("i8" if column == "id" else "f8")
                )
                file.create_dataset(
                    name.format(column), data=stored, compression="gzip"
                ).attrs.update(attrs)
        attrs = dict(file["units/spike_times_index"].attrs)
        del file["units/spike_times_index"]
        file["units/spike_times_index"] = np.full(2, 10**5)
        file["units/spike_times_index"].attrs.update(attrs)
    return path


def huge_nwb_index(folder: Path) -> Path:
    return replaced(
        write_nwb(folder)[0],
        "stimulus/presentation/shown/data",
        shape=(10**10,),
        dtype="u4",
        chunks=(1000,),
    )


def huge_nwb_picture(folder: Path) -> Path:
    more = {"shape": (10**6, 10**6, 3), "dtype": "u1", "chunks": (1000, 1000, 3)}
    return replaced(write_nwb(folder)[0], "stimulus/templates/pictures/y", **more)


def nwb_picture_in_a_huge_chunk(folder: Path) -> Path:
    more = {"maxshape": (None, 6, 3), "chunks": (2**28, 6, 3), "compression": "gzip"}
    path, name = write_nwb(folder)[0], "stimulus/templates/pictures/y"
    return replaced(path, name, shape=(4, 6, 3), dtype="u1", **more)


def matlab_bomb(folder: Path) -> Path:
    bomb = zlib.compress(bytes(2**27), 9)
    (folder / "r.mat").write_bytes(
        b"MATLAB 5.0".ljust(124) + b"\x00\x01IM" + struct.pack("<II", 15, len(bomb)) + bomb
    )
    return folder / "r.mat"


def many_bins(folder: Path) -> Path:
    write_spikes(folder)
    (folder / "recording.json").write_text('{"bins": [0, 1000000000000, 1]}')
    return folder


def many_trials_of_many_sites(folder: Path) -> Path:
    write_spikes(folder)
    pd.DataFrame({"presentation": range(10_000), "stimulus_id": "x"}).to_csv(
        folder / "presentations.csv"
    )
    pd.DataFrame({"neuroid_id": ["a", "b", *map(str, range(10_000))], "region": "IT"}).to_csv(
        folder / "neuroids.csv"
    )
    return folder


def picture_bomb(folder: Path) -> Path:
    path, opened = write_pictures(folder)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("s0.png", b"")
        with archive.open("s1.png", "w") as stream:
            for _ in range(2**9):
                stream.write(bytes(2**20))
    return opened


LARGE = "declares {} GB; files of this format are read whole, up to 8\\.6 GB"
BOMB = "is damaged, or made to fill memory: it {}"

HOSTILE: list[tuple[Callable[[Path], Path], str]] = [
    (huge_npy, r"responses\.npy is damaged: it declares 4,000,000,000,000 bytes and contains 192"),
    (huge_npz, r"in .*r\.npz is damaged: it declares 4,000,000,000,000 bytes and contains 192"),
    (npz_bomb, r"r\.npz " + BOMB.format(r"declares 1\.1 GB")),
    (huge_hdf5, r"r\.h5 " + LARGE.format(r"4,000\.0")),
    (hdf5_bomb, r"r\.h5 " + BOMB.format(r"declares 0\.5 GB")),
    (
        huge_netcdf,
        r"r\.nc declares a dimension of length 1,000,000,000,000; the limit is 10,000,000\.",
    ),
    (huge_matlab_v7_3, r"r\.mat " + LARGE.format(r"4,000\.0")),
    (cells_of_many_letters, r"r\.mat: /stimulus_id " + LARGE.format(r"160\.0")),
    (many_cells_of_some_letters, r"r\.mat: /stimulus_id " + LARGE.format(r"68\.7")),
    (huge_chunk, r"r\.h5 " + BOMB.format(r"declares 1\.1 GB")),
    (huge_nwb_trials, r"r\.nwb " + LARGE.format(r"80\.0")),
    (huge_nwb_spike_times, r"r\.nwb " + LARGE.format(r"80\.0")),
    (nwb_bomb, r"r\.nwb " + BOMB.format(r"declares 0\.3 GB")),
    (huge_nwb_table_elsewhere, r"r\.nwb " + LARGE.format(r"80\.0")),
    (many_nwb_spikes_in_many_trials, r"Spikes around .*r\.nwb " + LARGE.format(r"240\.0")),
    (huge_nwb_index, r"r\.nwb " + LARGE.format(r"40\.0")),
    (huge_nwb_picture, r"image y in r\.nwb declares 1000000 x 1000000 pixels and 3,000,000 MB"),
    (nwb_picture_in_a_huge_chunk, r"image y in r\.nwb declares 4 x 6 pixels and 4,832 MB"),
    (matlab_bomb, r"r\.mat " + BOMB.format(r"contains more than 0\.07 GB")),
    (
        many_bins,
        r"recording\.json .*: bins must be \[start, end, width\] in ms, at most 100,000 bins, "
        r"not \[0, 1000000000000, 1\]",
    ),
    (many_trials_of_many_sites, r"^\S+ " + LARGE.format(r"24\.0")),
    (picture_bomb, r"s1\.png in .*stimuli\.zip declares 0\.5 GB; the limit for an image is 0\.27"),
]
"""Each writes a file that claims more than it holds; with what is said of it."""


@pytest.mark.parametrize(("make", "said"), HOSTILE, ids=[make.__name__ for make, _ in HOSTILE])
def test_what_declares_more_than_it_holds_is_refused_before_it_fills_memory(
    tmp_path: Path, make: Callable[[Path], Path], said: str
) -> None:
    path = make(tmp_path)
    with within(2**28), pytest.raises(NeurofitError, match=said):
        open_all(path)


def test_hdf5_that_the_library_loops_over_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = write_nc(tmp_path)
    slow = tmp_path / "slow.py"
    slow.write_text("while True: pass")
    monkeypatch.setattr(probe, "__file__", str(slow))
    monkeypatch.setattr(probe, "CPU_SECONDS", 0.2)
    with pytest.raises(
        NeurofitError, match="it is damaged: checking it does not end, or crashes the HDF5 library"
    ):
        open_recording(path)
    slow.write_text("import os; os.abort()")
    path.touch()
    with pytest.raises(
        NeurofitError, match="it is damaged: checking it does not end, or crashes the HDF5 library"
    ):
        open_recording(path)


def lead_elsewhere(path: Path, name: str, other: Path | str, way: str) -> None:
    """Put what another file holds in place of a dataset."""
    with h5py.File(path, "a") as file:
        item, attrs = file[name], dict(file[name].attrs)
        shape, dtype = item.shape, item.dtype
        del file[name]
        if way == "link":
            file[name] = h5py.ExternalLink(str(other), "/secret")
        elif way == "virtual":
            layout = h5py.VirtualLayout(shape=shape, dtype=dtype)
            layout[...] = h5py.VirtualSource(str(other), "secret", shape=shape)
            file.create_virtual_dataset(name, layout).attrs.update(attrs)
        else:
            n_bytes = int(np.prod(shape)) * dtype.itemsize
            file.create_dataset(
                name, shape=shape, dtype=dtype, external=[(str(other), 0, n_bytes)]
            ).attrs.update(attrs)


@pytest.mark.parametrize("way", ["link", "virtual", "raw"])
@pytest.mark.parametrize("relative", [True, False], ids=["relative", "absolute"])
@pytest.mark.parametrize(
    ("write", "name"),
    [
        (write_hdf5, "responses"),
        (write_nwb, "units/spike_times"),
        (write_matlab_v7_3, "responses"),
        (write_nc, "data"),
    ],
    ids=["hdf5", "nwb", "matlab", "netcdf"],
)
def test_hdf5_that_leads_to_a_file_out_of_its_folder_is_refused(
    tmp_path: Path,
    write: Callable[[Path], tuple[Path, Path]],
    name: str,
    relative: bool,
    way: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    monkeypatch.chdir(inside)  # raw storage is looked for from here
    path, opened = write(inside)
    with h5py.File(path) as file, h5py.File(tmp_path / "secret", "w") as other:
        other["secret"] = file[name][()]
    lead_elsewhere(path, name, "../secret" if relative else tmp_path / "secret", way)
    with pytest.raises(
        NeurofitError,
        match=r"refers to another file, '.*secret', "
        r"(outside its folder: such .* not followed|for raw data: external .* not read)",
    ):
        open_recording(opened)


def test_hdf5_that_leads_to_a_file_of_its_folder_is_read_and_that_file_is_looked_at_too(
    tmp_path: Path,
) -> None:
    path, _ = write_hdf5(tmp_path)
    with h5py.File(tmp_path / "part.h5", "w") as other:
        other["secret"] = COUNTS
    with h5py.File(path, "a") as file:
        file.attrs["dims"] = DIMS
    (tmp_path / "r.json").write_text(json.dumps({"dims": DIMS}))
    lead_elsewhere(path, "responses", "part.h5", "link")
    np.testing.assert_array_equal(open_recording(path).responses.values.ravel(), COUNTS.ravel())
    (tmp_path / "part.h5").write_bytes((tmp_path / "part.h5").read_bytes()[:1500])
    with pytest.raises(NeurofitError, match=r"part.h5, it is damaged"):
        open_recording(path)
    with h5py.File(tmp_path / "part.h5", "w") as other:  # and back again
        other["secret"] = h5py.ExternalLink("r.h5", "responses")
    with pytest.raises(NeurofitError):
        open_recording(path)


OTHERS: list[Callable[[tuple[int, ...]], Any]] = [
    lambda shape: np.full(shape, b"text"),
    lambda shape: np.full(shape, np.nan),
    lambda shape: np.full(shape, np.iinfo(np.int64).min),
    lambda shape: np.full(shape, np.iinfo(np.uint64).max),
    lambda shape: np.full(shape, 1e300),
    lambda shape: np.zeros(shape, [("a", "i4"), ("b", "S3")]),
    lambda shape: np.full(shape, h5py.Reference(), h5py.ref_dtype),
    lambda shape: np.zeros((*shape, 2), np.complex64),
    lambda shape: np.zeros((0, *shape[1:])),
    lambda shape: h5py.Empty("f8"),
    lambda shape: -1,
    lambda shape: "text",
]
"""What may stand in place of a dataset of a shape."""


@pytest.mark.parametrize("write", [write_nwb, write_matlab_v7_3], ids=["nwb", "matlab_v7_3"])
def test_a_dataset_of_another_kind_is_read_or_refused_in_a_line(
    tmp_path: Path, write: Callable[[Path], tuple[Path, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (
        formats,
        nwb,
        stored_images,
    ):  # these files are whole: what looks at them first finds nothing
        monkeypatch.setattr(module, "check_hdf5", lambda path: None)
    path, opened = write(tmp_path)
    content = path.read_bytes()
    names: list[str] = []
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
        )
    chosen = [(name, other) for name in names for other in OTHERS]
    said: list[str] = []
    for number in np.random.default_rng(0).permutation(len(chosen))[:ROUNDS]:
        name, other = chosen[number]
        path.write_bytes(content)
        with h5py.File(path, "a") as file:
            shape, attrs = file[name].shape, dict(file[name].attrs)
            del file[name]
            file[name] = other(shape)
            file[name].attrs.update(attrs)
        try:
            open_all(opened)
        except NeurofitError as error:
            said.append(str(error))
    assert len(said) > 2
    assert max(len(line) for line in said) < 1000
    assert not [line for line in said if "Type-check" in line]


ROUNDS = 40
"""Of the changes above that are tried; all of them were, once."""


class Trap:
    """Says so if it is ever unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, ("sprung", "w")


def test_no_python_object_is_ever_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trap = np.array([[Trap()]], dtype=object)
    np.save(tmp_path / "responses.npy", trap, allow_pickle=True)
    np.savez(tmp_path / "responses.npz", responses=trap)
    np.savez(
        tmp_path / "coordinate.npz",
        responses=COUNTS,
        **{**TABLES, "stimulus_id": np.array([Trap(), Trap()], dtype=object)},
    )
    for name in ("responses.npy", "responses.npz", "coordinate.npz"):
        with pytest.raises(NeurofitError, match="contains Python objects, which are never loaded"):
            open_recording(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "name", ["../secret.png", "/secret.png", "a/../../secret.png", "..\\secret.png"]
)
def test_names_that_lead_out_of_an_archive_or_folder_stay_inside(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    _, opened = write_stimuli(inside)
    Image.fromarray(np.full((4, 4, 3), 99, np.uint8)).save(tmp_path / "secret.png")
    pd.DataFrame({"stimulus_id": TABLES["stimulus_id"], "filename": [name, "s1.png"]}).to_csv(
        inside / "stimuli.csv"
    )
    with pytest.raises(NeurofitError, match="lacks 1 of 2 images"):
        open_recording(opened)
    with zipfile.ZipFile(
        inside / "stimuli.zip", "a"
    ) as archive:  # an archive that has such a name is never unpacked
        archive.write(tmp_path / "secret.png", name)
    before = sorted(tmp_path.rglob("*"))
    open_all(opened)
    assert sorted(tmp_path.rglob("*")) == before
    (inside / "stimuli.zip").unlink()
    (inside / "stimuli").mkdir()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(inside / "stimuli" / "s1.png")
    with pytest.raises(NeurofitError, match="lacks 1 of 2 images"):
        open_recording(opened)


def test_a_recording_that_becomes_damaged_while_it_is_in_use_is_said_to_be(
    make_recording: Make, tmp_path: Path
) -> None:
    write_recording(make_recording(), tmp_path / "r.nc")
    recording = open_recording(tmp_path / "r.nc")
    (tmp_path / "r.nc").write_bytes((tmp_path / "r.nc").read_bytes()[:3000])
    with pytest.raises(NeurofitError, match="was changed while it was in use"):
        recording.block(0)
