"""Recordings that are small on the disk and large in memory or in time, for recording_sizes.py."""

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from PIL import Image

COORDS = {
    "stimulus_id": np.repeat(["a", "b", "c"], 2),
    "neuroid_id": np.array(["n0", "n1"]),
    "region": np.array(["IT", "IT"]),
    "time_bin_start": np.array([0, 10, 20, 30]),
    "time_bin_end": np.array([10, 20, 30, 40]),
}
RESPONSES = np.random.default_rng(0).poisson(3, (6, 2, 4)).astype("f4")
DIMS = ("presentation", "neuroid", "time_bin")

MEMBERS: dict[str, Callable[[Path], Path]] = {}
"""Name of a member -> function that writes it into an empty folder and returns its path."""


def member(write: Callable[[Path], Path]) -> Callable[[Path], Path]:
    """Register a member under the name of its function."""
    MEMBERS[write.__name__.replace("_", " ")] = write
    return write


def write_npz(path: Path, **changed: np.ndarray) -> Path:
    """Write the small recording, with some arrays changed or added."""
    np.savez_compressed(path, **{"responses": RESPONSES, "dims": DIMS, **COORDS, **changed})
    return path


def write_hdf5(path: Path, **changed: object) -> h5py.File:
    """Return the open HDF5 file of the small recording."""
    file = h5py.File(path, "w", libver="latest")
    file["responses"] = RESPONSES
    file["responses"].attrs["dims"] = DIMS
    for name, values in COORDS.items():
        file[name] = values.astype("S") if values.dtype.kind == "U" else values
    return file


def write_spikes(path: Path, **changed: object) -> Path:
    """Write a table of some spikes."""
    rng = np.random.default_rng(0)
    rows = [(s, r, n) for s in "abc" for r in range(4) for n in ("n0", "n1") for _ in range(30)]
    table = pd.DataFrame(rows, columns=["stimulus_id", "repetition", "neuroid_id"])
    table = table.assign(region="IT", time_ms=rng.uniform(0, 300, len(rows)).round(2), **changed)
    table.to_csv(path, index=False) if path.suffix == ".csv" else table.to_parquet(path)
    return path


@member
def an_ordinary_recording(folder: Path) -> Path:
    """Write a recording of 12 presentations as spike times."""
    return write_spikes(folder / "r.csv")


@member
def bins_of_1_ms_over_100_s(folder: Path) -> Path:
    """Write spike times, and a sidecar of 100,000 bins: 9.6 MB of responses."""
    (folder / "r.json").write_text('{"bins": [0, 100000, 1]}')
    return write_spikes(folder / "r.csv")


@member
def bins_of_1_ms_over_100_s_for_many_neuroids(folder: Path) -> Path:
    """Write 300 presentations of 100 neuroids in 100,000 bins: 12 GB of responses."""
    rows = [(f"s{p % 10}", p // 10, f"n{n}") for p in range(300) for n in range(100)]
    table = pd.DataFrame(rows, columns=["stimulus_id", "repetition", "neuroid_id"])
    table.assign(region="IT", time_ms=1.0).to_csv(folder / "r.csv", index=False)
    (folder / "r.json").write_text('{"bins": [0, 100000, 1]}')
    return folder / "r.csv"


@member
def table_of_100000_columns(folder: Path) -> Path:
    """Write spikes with 100,000 further columns."""
    names = ["neuroid_id", "region", "stimulus_id", "repetition", "time_ms"]
    header = [*names, *(f"column{number}" for number in range(100_000))]
    rows = [["n0", "IT", s, str(r), "5", *["0"] * 100_000] for s in "ab" for r in range(2)]
    (folder / "r.csv").write_text("\n".join(",".join(row) for row in (header, *rows)))
    return folder / "r.csv"


@member
def table_of_a_field_of_100_MB(folder: Path) -> Path:
    """Write spikes, one of a neuroid with a name of 100 MB."""
    path = write_spikes(folder / "r.csv")
    with open(path, "a") as file:
        file.write("a,0," + "n" * 100_000_000 + ",IT,5\n")
    return path


@member
def parquet_of_a_field_of_100_MB(folder: Path) -> Path:
    """Write spikes, one of a stimulus with a name of 100 MB."""
    table = pd.read_csv(write_spikes(folder / "r.csv"))
    (folder / "r.csv").unlink()
    table.loc[0, "stimulus_id"] = "a" * 100_000_000
    table.to_parquet(folder / "r.parquet")
    return folder / "r.parquet"


@member
def parquet_of_400_million_rows(folder: Path) -> Path:
    """Write the same spike 400 million times: a file of some 100 kB."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    n = 4_000_000
    columns = {
        name: pa.array(np.full(n, v)).dictionary_encode()
        for name, v in (("stimulus_id", "a"), ("neuroid_id", "n0"), ("region", "IT"))
    }
    columns |= {name: pa.array(np.full(n, 1.0)) for name in ("repetition", "time_ms")}
    block = pa.table(columns)
    with pq.ParquetWriter(folder / "r.parquet", block.schema, compression="zstd") as writer:
        for _ in range(100):
            writer.write_table(block, row_group_size=n)
    return folder / "r.parquet"


@member
def npz_of_a_field_of_100_MB(folder: Path) -> Path:
    """Write an area with a name of 25 million characters."""
    return write_npz(folder / "r.npz", region=np.array("I" * 25_000_000))


@member
def npz_of_responses_of_zeros(folder: Path) -> Path:
    """Write 4 GB of zeros as an archive of 4 MB."""
    path = write_npz(folder / "r.npz")
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open("counts.npy", "w", force_zip64=True) as stream,
    ):
        header = {"descr": "<f4", "fortran_order": False, "shape": (1000, 1000, 1000)}
        np.lib.format.write_array_header_1_0(stream, header)
        for _ in range(1000):
            stream.write(bytes(4_000_000))
    return path


@member
def npz_of_200000_arrays(folder: Path) -> Path:
    """Write 200,000 further arrays of one number."""
    path = write_npz(folder / "r.npz")
    with zipfile.ZipFile(path, "a") as archive:
        stream = io.BytesIO()
        np.save(stream, np.zeros(1))
        for number in range(200_000):
            archive.writestr(f"x{number}.npy", stream.getvalue())
    return path


@member
def hdf5_of_strings_never_written(folder: Path) -> Path:
    """Write 20 million strings of variable length that take no space."""
    with write_hdf5(folder / "r.h5") as file:
        file.create_dataset("more", (20_000_000,), h5py.string_dtype(), chunks=(100_000,))
    return folder / "r.h5"


@member
def hdf5_of_arrays_never_written(folder: Path) -> Path:
    """Write 7 million arrays of variable length that take no space."""
    with write_hdf5(folder / "r.h5") as file:
        file.create_dataset("more", (7_000_000,), h5py.vlen_dtype("f8"), chunks=(100_000,))
    return folder / "r.h5"


@member
def hdf5_of_a_string_of_100_MB(folder: Path) -> Path:
    """Write an area with a name of 100 MB."""
    with write_hdf5(folder / "r.h5") as file:
        del file["region"]
        file["region"] = ["I" * 100_000_000]
    return folder / "r.h5"


@member
def hdf5_of_one_long_name(folder: Path) -> Path:
    """Write 20,000 stimuli, one with a name of 1 MB: 80 GB as an array of equal widths."""
    names = [f"s{number}" for number in range(20_000)]
    names[0] *= 500_000
    with write_hdf5(folder / "r.h5") as file:
        del file["stimulus_id"], file["responses"]
        file["stimulus_id"] = names
        file["responses"] = np.zeros((20_000, 2, 4), "f4")
        file["responses"].attrs["dims"] = DIMS
    return folder / "r.h5"


@member
def hdf5_of_20000_nested_groups(folder: Path) -> Path:
    """Write groups within groups."""
    with write_hdf5(folder / "r.h5") as file:
        group = file
        for _ in range(20_000):
            group = group.create_group("g")
    return folder / "r.h5"


@member
def hdf5_of_a_million_attributes(folder: Path) -> Path:
    """Write attributes of the responses."""
    with write_hdf5(folder / "r.h5") as file:
        attrs, value = file["responses"].attrs, np.int8(0)
        space = h5py.h5s.create(h5py.h5s.SCALAR)
        for number in range(1_000_000):
            h5py.h5a.create(attrs._id, f"a{number}".encode(), h5py.h5t.STD_I8LE, space)
        del value
    return folder / "r.h5"


@member
def hdf5_of_300000_arrays(folder: Path) -> Path:
    """Write further arrays of one number."""
    with write_hdf5(folder / "r.h5") as file:
        space = h5py.h5s.create(h5py.h5s.SCALAR)
        for number in range(300_000):
            h5py.h5d.create(file.id, f"x{number}".encode(), h5py.h5t.STD_I8LE, space)
    return folder / "r.h5"


@member
def netcdf_of_100000_variables(folder: Path) -> Path:
    """Write further variables without data."""
    import h5netcdf

    with h5netcdf.File(folder / "r.nc", "w") as file:
        file.dimensions = dict(zip(DIMS, RESPONSES.shape, strict=True))
        file.create_variable("responses", DIMS, data=RESPONSES)
        for name, values in COORDS.items():
            dim = {6: DIMS[0], 2: DIMS[1], 4: DIMS[2]}[len(values)]
            data = values.astype("S") if values.dtype.kind == "U" else values
            file.create_variable(name, (dim,), data=data)
    with h5py.File(folder / "r.nc", "a") as file:
        space = h5py.h5s.create(h5py.h5s.SCALAR)
        for number in range(100_000):
            h5py.h5d.create(file.id, f"x{number}".encode(), h5py.h5t.STD_I8LE, space)
    return folder / "r.nc"


def mat_element(kind: int, data: bytes) -> bytes:
    """Return a data element of a MATLAB file of v5."""
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def mat_array(kind: int, shape: tuple[int, ...], name: str, *parts: bytes) -> bytes:
    """Return an array of a MATLAB file of v5."""
    head = (
        mat_element(6, struct.pack("<II", kind, 0)),
        mat_element(5, struct.pack(f"<{len(shape)}i", *shape)),
        mat_element(1, name.encode()),
    )
    return mat_element(14, b"".join((*head, *parts)))


def write_mat(path: Path, more: bytes) -> Path:
    """Write the small recording as MATLAB v5 with a further element."""
    from scipy.io import savemat

    savemat(
        path,
        {
            "responses": RESPONSES,
            "dims": np.array(DIMS, object),
            **{
                name: values.astype(object) if values.dtype.kind == "U" else values
                for name, values in COORDS.items()
            },
        },
    )
    with open(path, "ab") as file:
        file.write(more)
    return path


@member
def matlab_struct_of_a_million_fields(folder: Path) -> Path:
    """Write a struct whose fields are empty arrays."""
    names = b"".join(f"f{number:07d}".encode().ljust(16, b"\0") for number in range(1_000_000))
    field = mat_array(6, (0, 0), "", mat_element(9, b""))
    struct_ = mat_array(
        2, (1, 1), "s", struct.pack("<HHi", 5, 4, 16), mat_element(1, names), field * 1_000_000
    )
    return write_mat(folder / "r.mat", struct_)


@member
def matlab_struct_array_of_a_million(folder: Path) -> Path:
    """Write an array of a million structs of one field, compressed."""
    field = mat_array(6, (0, 0), "", mat_element(9, b""))
    names = struct.pack("<HHi", 5, 4, 16) + mat_element(1, b"f".ljust(16, b"\0"))
    whole = zlib.compress(mat_array(2, (1_000_000, 1), "s", names, field * 1_000_000))
    return write_mat(folder / "r.mat", struct.pack("<II", 15, len(whole)) + whole)


@member
def matlab_of_zeros(folder: Path) -> Path:
    """Write 2 GB of zeros, compressed to 2 MB."""
    n = 250_000_000
    deflate = zlib.compressobj()
    head = mat_array(6, (n, 1), "x", b"")[8:]
    size = len(head) + 8 + 8 * n
    parts = [deflate.compress(struct.pack("<II", 14, size % 2**32) + head)]
    parts += [deflate.compress(struct.pack("<II", 9, 8 * n))]
    parts += [deflate.compress(bytes(8_000_000)) for _ in range(n // 1_000_000)]
    whole = b"".join((*parts, deflate.flush()))
    return write_mat(folder / "r.mat", struct.pack("<II", 15, len(whole)) + whole)


@member
def sidecar_of_200_MB(folder: Path) -> Path:
    """Write a sidecar of 10 million words."""
    words = {"words": {f"w{number}": "x" for number in range(10_000_000)}}
    (folder / "r.json").write_text(json.dumps(words))
    return write_spikes(folder / "r.csv")


@member
def folder_of_100000_other_files(folder: Path) -> Path:
    """Write a folder of spike times with 100,000 other files."""
    table = pd.read_csv(write_spikes(folder / "spikes.csv"))
    table["presentation"] = table.stimulus_id + table.repetition.astype(str)
    table[["neuroid_id", "presentation", "time_ms"]].to_csv(folder / "spikes.csv", index=False)
    trials = table[["presentation", "stimulus_id"]].drop_duplicates()
    trials.to_csv(folder / "presentations.csv", index=False)
    sites = table[["neuroid_id", "region"]].drop_duplicates()
    sites.to_csv(folder / "neuroids.csv", index=False)
    for number in range(100_000):
        (folder / f"log{number}.txt").touch()
    return folder


@member
def folder_of_20000_raster_files(folder: Path) -> Path:
    """Write a folder of 20,000 sites, each of 2 kB."""
    from scipy.io import savemat

    savemat(
        folder / "s_raster_data.mat",
        {
            "raster_data": np.random.default_rng(0).integers(0, 2, (6, 100)).astype("u1"),
            "raster_labels": {"stimulus_ID": np.array(list("aabbcc"), object)},
            "raster_site_info": {"alignment_event_time": 1.0},
        },
    )
    content = (folder / "s_raster_data.mat").read_bytes()
    (folder / "recording.json").write_text('{"region": "IT"}')
    for number in range(20_000):
        (folder / f"s{number}_raster_data.mat").write_bytes(content)
    return folder


@member
def stimuli_in_a_folder_of_100000(folder: Path) -> Path:
    """Write the images of a recording among 100,000 others."""
    (folder / "stimuli").mkdir()
    for number, name in enumerate("abc"):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / "stimuli" / f"{name}.png")
    for number in range(100_000):
        (folder / "stimuli" / f"x{number}.png").touch()
    return write_spikes(folder / "r.csv")


@member
def image_of_2_gigapixels(folder: Path) -> Path:
    """Write an image of one colour, 45,000 pixels wide, as a PNG of 6 MB."""
    (folder / "stimuli").mkdir()
    for number, name in enumerate("bc"):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / "stimuli" / f"{name}.png")
    n, deflate = 45_000, zlib.compressobj(1)
    rows = b"".join([*(deflate.compress(bytes(1 + 3 * n)) for _ in range(n)), deflate.flush()])

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", n, n, 8, 2, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    (folder / "stimuli" / "a.png").write_bytes(content)
    return write_spikes(folder / "r.csv")
