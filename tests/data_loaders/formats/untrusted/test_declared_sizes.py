"""A file that declares more than it holds is refused before it fills memory."""

from __future__ import annotations

import io
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

from neurofit.errors import NeurofitError

Write = Callable[[str, Path], tuple[Path, Path]]


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


def huge_npy(folder: Path, write_small: Write) -> Path:
    (folder / "responses.npy").write_bytes(npy_header((10**6, 10**6)) + bytes(64))
    return folder / "responses.npy"


def huge_npz(folder: Path, write_small: Write) -> Path:
    with zipfile.ZipFile(folder / "r.npz", "w") as archive:
        archive.writestr("responses.npy", npy_header((10**6, 10**6)) + bytes(64))
    return folder / "r.npz"


def npz_bomb(folder: Path, write_small: Write) -> Path:
    with (
        zipfile.ZipFile(folder / "r.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("responses.npy", "w") as stream,
    ):
        stream.write(npy_header((2**14, 2**14), "|u1"))
        for _ in range(2**8):
            stream.write(bytes(2**20))
    return folder / "r.npz"


def huge_hdf5(folder: Path, write_small: Write) -> Path:
    with h5py.File(folder / "r.h5", "w") as file:
        file.create_dataset("responses", shape=(10**6, 10**6), dtype="f4", chunks=(1000, 1000))
    return folder / "r.h5"


def hdf5_bomb(folder: Path, write_small: Write) -> Path:
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


def huge_netcdf(folder: Path, write_small: Write) -> Path:
    path, _ = write_small("nc", folder)
    with h5py.File(path, "a") as file:
        file.create_dataset("more", shape=(10**12,), dtype="f4", chunks=(1000,))
    return path


def huge_matlab_v7_3(folder: Path, write_small: Write) -> Path:
    path, _ = write_small("matlab_v7_3", folder)
    return replaced(path, "responses", shape=(10**6, 10**6), dtype="f4", chunks=(1000, 1000))


def cells_of_many_letters(folder: Path, write_small: Write) -> Path:
    path, _ = write_small("matlab_v7_3", folder)
    return replaced(path, "#refs#/stimulus_id0", shape=(10**10, 1), dtype="u2", chunks=(1000, 1))


def many_cells_of_some_letters(folder: Path, write_small: Write) -> Path:
    path, _ = write_small("matlab_v7_3", folder)
    replaced(path, "#refs#/stimulus_id0", shape=(2**16, 1), dtype="u2", chunks=(2**16, 1))
    with h5py.File(path, "a") as file:
        cells = np.full((2**17, 1), file["#refs#/stimulus_id0"].ref, h5py.ref_dtype)
        del file["stimulus_id"]
        file.create_dataset("stimulus_id", data=cells, dtype=h5py.ref_dtype).attrs[
            "MATLAB_class"
        ] = np.bytes_("cell")
    return path


def huge_chunk(folder: Path, write_small: Write) -> Path:
    path, _ = write_small("hdf5", folder)
    more = {"maxshape": (None, 4), "chunks": (2**26, 4), "compression": "gzip"}
    return replaced(path, "responses", shape=(2, 4), dtype="f4", **more)


def replaced(path: Path, name: str, **more: Any) -> Path:
    """Put a dataset that was never written in place of another, whose attributes it keeps."""
    with h5py.File(path, "a") as file:
        attrs = dict(file[name].attrs)
        del file[name]
        file.create_dataset(name, **more).attrs.update(attrs)
    return path


def huge_nwb_trials(folder: Path, write_small: Write) -> Path:
    return replaced(
        write_small("nwb", folder)[0],
        "intervals/trials/start_time",
        shape=(10**10,),
        dtype="f8",
        chunks=(1000,),
    )


def huge_nwb_spike_times(folder: Path, write_small: Write) -> Path:
    return replaced(
        write_small("nwb", folder)[0],
        "units/spike_times",
        shape=(10**10,),
        dtype="f8",
        chunks=(1000,),
    )


def nwb_bomb(folder: Path, write_small: Write) -> Path:
    path = replaced(
        write_small("nwb", folder)[0],
        "intervals/trials/start_time",
        shape=(2**25,),
        dtype="f8",
        chunks=(2**20,),
        compression="gzip",
    )
    with h5py.File(path, "a") as file:
        file["intervals/trials/start_time"][: 2**20] = 0
    return path


def huge_nwb_table_elsewhere(folder: Path, write_small: Write) -> Path:
    path, _ = write_small("nwb", folder)
    replaced(path, "units/spike_times", shape=(10**10,), dtype="f8", chunks=(1000,))
    with h5py.File(path, "a") as file:
        file.move("units/spike_times", "scratch/spike_times")
        file["units/spike_times"] = h5py.SoftLink("/scratch/spike_times")
    return path


def many_nwb_spikes_in_many_trials(folder: Path, write_small: Write) -> Path:
    path, _ = write_small("nwb", folder)
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


def huge_nwb_index(folder: Path, write_small: Write) -> Path:
    return replaced(
        write_small("nwb", folder)[0],
        "stimulus/presentation/shown/data",
        shape=(10**10,),
        dtype="u4",
        chunks=(1000,),
    )


def huge_nwb_picture(folder: Path, write_small: Write) -> Path:
    more = {"shape": (10**6, 10**6, 3), "dtype": "u1", "chunks": (1000, 1000, 3)}
    return replaced(write_small("nwb", folder)[0], "stimulus/templates/pictures/y", **more)


def nwb_picture_in_a_huge_chunk(folder: Path, write_small: Write) -> Path:
    more = {"maxshape": (None, 6, 3), "chunks": (2**28, 6, 3), "compression": "gzip"}
    path, name = write_small("nwb", folder)[0], "stimulus/templates/pictures/y"
    return replaced(path, name, shape=(4, 6, 3), dtype="u1", **more)


def matlab_bomb(folder: Path, write_small: Write) -> Path:
    bomb = zlib.compress(bytes(2**27), 9)
    (folder / "r.mat").write_bytes(
        b"MATLAB 5.0".ljust(124) + b"\x00\x01IM" + struct.pack("<II", 15, len(bomb)) + bomb
    )
    return folder / "r.mat"


def many_bins(folder: Path, write_small: Write) -> Path:
    write_small("spikes", folder)
    (folder / "recording.json").write_text('{"bins": [0, 1000000000000, 1]}')
    return folder


def many_trials_of_many_sites(folder: Path, write_small: Write) -> Path:
    write_small("spikes", folder)
    pd.DataFrame({"presentation": range(10_000), "stimulus_id": "x"}).to_csv(
        folder / "presentations.csv"
    )
    pd.DataFrame({"neuroid_id": ["a", "b", *map(str, range(10_000))], "region": "IT"}).to_csv(
        folder / "neuroids.csv"
    )
    return folder


def picture_bomb(folder: Path, write_small: Write) -> Path:
    path, opened = write_small("pictures", folder)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("s0.png", b"")
        with archive.open("s1.png", "w") as stream:
            for _ in range(2**9):
                stream.write(bytes(2**20))
    return opened


LARGE = "declares {} GB; files of this format are read whole, up to 8\\.6 GB"


BOMB = "is damaged, or made to fill memory: it {}"


HOSTILE: list[tuple[Callable[[Path, Write], Path], str]] = [
    (huge_npy, r"responses\.npy is damaged: it declares 4,000,000,000,000 bytes and contains 64"),
    (huge_npz, r"in .*r\.npz is damaged: it declares 4,000,000,000,000 bytes and contains 64"),
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
    (many_nwb_spikes_in_many_trials, r"r\.nwb: start_time is 0 in all 100,000 trials"),
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
    tmp_path: Path,
    make: Callable[[Path, Write], Path],
    said: str,
    write_small: Write,
    open_all: Callable[[Path], None],
) -> None:
    path = make(tmp_path, write_small)
    with within(2**28), pytest.raises(NeurofitError, match=said):
        open_all(path)
