"""Faults of containers: files that are cut, folders and archives, and the pictures in them."""

from __future__ import annotations

import struct
import warnings
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from faults_of_identity import picture, png
from forms import Session
from matrix import ALL, RIGHT, Fault, noted, refused

Rng = np.random.Generator
HDF5 = ("netCDF", "netCDF, named axes in a group", "HDF5", "MATLAB v7.3", "NWB")
FOLDERS = ("npy and tables", "raster", "spike folder")

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n8 8 scale\nshowpage\n"


def edit(session: Session, rng: Rng, *, change: Callable[[bytes], bytes]) -> None:
    """Change the bytes of the largest file."""

    def rewrite(path: Path) -> None:
        files = [path] if path.is_file() else [each for each in path.iterdir() if each.is_file()]
        file = max(files, key=lambda each: each.stat().st_size)
        file.write_bytes(change(file.read_bytes()))

    session.edits.append(rewrite)


def cut(session: Session, rng: Rng) -> None:
    """Cut a file anywhere, a table before the last comma of a row."""
    share = rng.uniform(0.2, 0.95)

    def shorten(content: bytes) -> bytes:
        kept = content[: int(share * len(content))]
        return kept if b"\0" in kept else kept[: kept.rindex(b",")]

    edit(session, rng, change=shorten)


def link(session: Session, rng: Rng) -> None:
    def add(path: Path) -> None:
        with h5py.File(path, "a") as file:
            file["more"] = h5py.ExternalLink("/etc/hostname", "/x")

    session.edits.append(add)


def add_a_format(session: Session, rng: Rng) -> None:
    def add(path: Path) -> None:
        other = "spikes.csv" if (path / "responses.npy").exists() else "responses.npy"
        (path / other).write_bytes(b"")

    session.edits.append(add)


def member_twice(session: Session, rng: Rng) -> None:
    def add(path: Path) -> None:
        with zipfile.ZipFile(path, "a") as archive:
            with archive.open("responses.npy") as member:
                content = bytearray(member.read())
            content[-4:] = b"\0\0\0\0"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of zipfile, about the name
                archive.writestr("responses.npy", bytes(content))

    session.edits.append(add)


def zipped(session: Session, rng: Rng, *, slash: str = "/", declared: int = 0) -> None:
    """Put pictures into an archive."""
    picture(session, rng)

    def pack(path: Path) -> None:
        folder = path / "stimuli" if path.is_dir() else path.with_suffix(".stimuli")
        with zipfile.ZipFile(f"{folder}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in session.pictures.items():
                member = zipfile.ZipInfo("x")
                member.filename, member.compress_type = f"all{slash}{name}", zipfile.ZIP_DEFLATED
                archive.writestr(member, content)
        for file in [*folder.iterdir()]:
            file.unlink()
        folder.rmdir()
        if declared:
            held = bytearray(Path(f"{folder}.zip").read_bytes())
            struct.pack_into("<I", held, held.index(b"PK\1\2") + 24, declared)
            Path(f"{folder}.zip").write_bytes(held)

    session.edits.append(pack)


def hide(session: Session, rng: Rng) -> None:
    picture(session, rng, table=False)
    hidden = ("__MACOSX/._s0.png", ".ipynb_checkpoints/s0.png", "._s1.png")
    session.pictures |= dict.fromkeys(hidden, png(200))


def spoil(session: Session, rng: Rng, *, content: Callable[[bytes], bytes]) -> None:
    """Change the content of a picture."""
    picture(session, rng)
    session.pictures["s1.png"] = content(session.pictures["s1.png"])


def of_an_older_conversion(session: Session, rng: Rng) -> None:
    ids = np.unique(session.stimulus_id)
    session.table = pd.DataFrame({"stimulus_id": ids, "neurofit_recording": "neurofit 0123"})


FAULTS = (
    Fault(
        what="a file that is cut",
        plant=cut,
        probed=True,
        cells={
            ("netCDF", "netCDF, named axes in a group", "HDF5", "MATLAB v7.3", "NWB"): refused(
                "truncated file"
            ),
            ("classic netCDF", "Parquet"): refused("Cannot read"),
            ("npz", "npy and tables"): refused("is damaged"),
            ("MATLAB v5", "raster"): refused("is a damaged MATLAB file"),
            ("spike folder", "spike table"): refused("values, but its header has"),
        },
    ),
    Fault(
        what="an empty file",
        plant=partial(edit, change=lambda content: b""),
        cells={
            tuple(form for form in ALL if form not in FOLDERS): refused("is empty."),
            ("npy and tables",): refused("is damaged: it has no valid .npy header."),
            ("raster",): refused("is not a MATLAB file of v5 to v7, or is truncated"),
            ("spike folder",): refused("as a table: No columns to parse from file."),
        },
    ),
    Fault(
        what="a file of zeros",
        plant=partial(edit, change=lambda content: bytes(len(content))),
        cells={
            tuple(form for form in ALL if form not in FOLDERS): refused("is unknown; known: NWB"),
            ("npy and tables",): refused("is damaged: it has no valid .npy header."),
            ("raster",): refused("is not a MATLAB file of v5 to v7, or is truncated"),
            ("spike folder",): refused("is empty."),
        },
    ),
    Fault(
        what="a link to a file outside of the folder",
        plant=link,
        probed=True,
        cells={HDF5: refused("outside its folder: such references are not followed.")},
    ),
    Fault(
        what="an archive with two arrays of one name",
        plant=member_twice,
        cells={("npz",): refused("has several arrays of one name: responses.npy.")},
    ),
    Fault(
        what="a folder of two formats",
        plant=add_a_format,
        cells={FOLDERS: refused("contains recordings in several formats")},
    ),
    Fault(
        what="pictures in an archive with backslashes",
        plant=partial(zipped, slash="\\"),
        cells={ALL: RIGHT},
    ),
    Fault(
        what="a picture whose size the archive understates",
        plant=partial(zipped, declared=40),
        cells={ALL: refused("Bad CRC-32 for file")},
    ),
    Fault(
        what="a picture whose size the archive overstates",
        plant=partial(zipped, declared=2**31),
        cells={ALL: refused("declares 2.1 GB; the limit for an image is 0.27 GB.")},
    ),
    Fault(what="hidden files among the pictures", plant=hide, cells={ALL: RIGHT}),
    Fault(
        what="a picture that is cut",
        plant=partial(spoil, content=lambda content: content[: len(content) // 2]),
        cells={ALL: refused("cannot be read")},
    ),
    Fault(
        what="a picture in EPS, which starts a program",
        plant=partial(spoil, content=lambda content: EPS),
        cells={ALL: refused("its format is EPS; known formats are PNG, JPEG")},
    ),
    Fault(
        what="stimuli of an older conversion of another recording",
        plant=of_an_older_conversion,
        cells={ALL: noted("and is not used; give --images if these are its images.")},
    ),
)
