"""Faults of identity: what names a stimulus, neuroid or picture."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from forms import Session
from matrix import ALL, BINNED, NAMED, NETCDF, RIGHT, TABLES, Fault, noted, refused
from PIL import Image

Rng = np.random.Generator
EXACT = 2**53


def png(level: int) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (8, 8), (level,) * 3).save(content, "PNG")
    return content.getvalue()


def rename(session: Session, rng: Rng, *, names: Sequence[str], what: str = "stimulus_id") -> None:
    """Give the first stimuli or neuroids these names; a recording of fewer has the last ones."""
    ids = getattr(session, what)
    known = np.unique(ids).tolist()
    other = dict(zip(known[-len(names) :], names, strict=False))
    setattr(session, what, np.array([other.get(each, each) for each in ids.tolist()]))


def number(session: Session, rng: Rng, *, first: Any, step: Any = 1) -> None:
    """Call stimuli by numbers."""
    _, rows = np.unique(session.stimulus_id, return_inverse=True)
    session.stimulus_id = first + step * rows


def forget(session: Session, rng: Rng, *, name: Any) -> None:
    """Leave a presentation without the name of its stimulus."""
    row = int(rng.integers(len(session.stimulus_id)))
    if isinstance(name, float):
        number(session, rng, first=1.0)
    else:
        session.stimulus_id = session.stimulus_id.astype("U8")
    session.stimulus_id[row] = name
    session.left_out = (row,)


def turn_bytes(session: Session, rng: Rng) -> None:
    number(session, rng, first=1)
    session.stimulus_id = session.stimulus_id.astype(">i4")
    session.responses = session.counts.astype(">f4")
    for name, edges in zip(
        ("time_bin_start", "time_bin_end"), np.array(session.bins).T, strict=True
    ):
        session.arrays[name] = edges.astype(">i2")


def encode(session: Session, rng: Rng) -> None:
    session.stimulus_id = session.stimulus_id.astype("S")


def show_one(session: Session, rng: Rng) -> None:
    session.stimulus_id = np.full(len(session.stimulus_id), "natural_scenes")


def name_blocks(session: Session, rng: Rng) -> None:
    session.trials["image_name"], n = session.stimulus_id, len(session.stimulus_id)
    session.stimulus_id = np.repeat(["scenes", "objects"], [n // 2, n - n // 2])


def share_a_neuroid(session: Session, rng: Rng) -> None:
    session.neuroid_id = np.append(session.neuroid_id, session.neuroid_id[0])
    session.counts = np.concatenate([session.counts, session.counts[:, :1]], axis=1)


def share_between_areas(session: Session, rng: Rng) -> None:
    share_a_neuroid(session, rng)
    session.sites["region"] = ["IT"] * (len(session.neuroid_id) - 1) + ["V4"]


def show_once(session: Session, rng: Rng) -> None:
    rows = np.flatnonzero(session.stimulus_id == "s0")
    session.stimulus_id[rows[1:]] = "s1"
    session.repetition[rows[1:]] += 100


def number_repetitions_alike(session: Session, rng: Rng) -> None:
    session.repetition[:] = 0


def record_in_sessions(session: Session, rng: Rng) -> None:
    session.neuroid_id = np.array([str(i) for i in range(len(session.neuroid_id))])
    session.trials["session"] = np.where(session.repetition % 2, "monday", "tuesday")


def picture(
    session: Session, rng: Rng, *, file: str = "{}.png", name: str = "{}.png", table: bool = True
) -> None:
    """Give each stimulus a picture, `file`, which the table of stimuli calls `name`."""
    ids = np.unique(session.stimulus_id).tolist()
    texts = [f"{each:.0f}" if isinstance(each, float) else str(each) for each in ids]
    session.levels = {each: 10 * row for row, each in enumerate(texts)}
    session.pictures = {file.format(each): png(10 * row) for row, each in enumerate(texts)}
    if table:
        files = [name.format(each) for each in texts]
        session.table = pd.DataFrame({"stimulus_id": texts, "filename": files})


def picture_numbers(session: Session, rng: Rng) -> None:
    number(session, rng, first=1.0)
    picture(session, rng)


def picture_twice(session: Session, rng: Rng) -> None:
    picture(session, rng)
    first, second = list(session.pictures)[:2]
    session.pictures[second] = session.pictures[first]
    session.levels[second.removesuffix(".png")] = session.levels[first.removesuffix(".png")]


def picture_from_a_mac(session: Session, rng: Rng) -> None:
    rename(session, rng, names=["caf\u00e9", "na\u00efve"])
    picture(session, rng)
    session.pictures = {unicodedata.normalize("NFD", n): c for n, c in session.pictures.items()}


def picture_in_two_ways(session: Session, rng: Rng) -> None:
    picture(session, rng, name="{}")
    session.pictures["s0.jpg"] = session.pictures["s0.png"]


def lack_a_picture(session: Session, rng: Rng) -> None:
    picture(session, rng)
    session.pictures.popitem()


def lack_a_row(session: Session, rng: Rng) -> None:
    picture(session, rng)
    assert session.table is not None
    session.table = session.table.drop(index=0)


def contradict_a_row(session: Session, rng: Rng) -> None:
    picture(session, rng)
    assert session.table is not None
    session.table = pd.concat([session.table, session.table.iloc[:1].assign(filename="s1.png")])


FORM = "differ only in blanks or in their Unicode normal form."
LOOK_ALIKE = "that differ only in case or leading zeros, taken as different"
MANY = tuple(form for form in ALL if form != "classic netCDF")

FAULTS = (
    Fault(
        what="whole numbers beyond 2^53",
        plant=partial(number, first=EXACT),
        cells={MANY: RIGHT},  # classic netCDF has no such numbers
    ),
    Fault(
        what="whole numbers beyond 2^53 that became floats",
        plant=partial(number, first=float(EXACT), step=2.0),
        cells={(*NETCDF, *NAMED, "Parquet", "NWB"): refused("contains floats beyond 2^53")},
    ),
    Fault(
        what="an empty name of a stimulus",
        plant=partial(forget, name=""),
        cells={
            (*NETCDF, *NAMED, "raster"): refused(
                "has no stimulus_id (1 in all). Name it or drop it."
            ),
            ("npy and tables", "spike folder", "spike table"): refused(
                "every row needs a stimulus_id; it is missing in row"
            ),
            ("Parquet",): refused("has no stimulus_id"),
            ("NWB",): noted("Left out 1 trial of r.nwb without start_time or stimulus_id."),
        },
    ),
    Fault(
        what="a stimulus called `nan`",
        plant=partial(forget, name="nan"),
        cells={
            (*BINNED, "raster", "spike folder", "spike table", "Parquet"): refused(
                "has no stimulus_id (1 in all). Name it or drop it."
            ),
            ("NWB",): noted("Left out 1 trial of r.nwb without start_time or stimulus_id."),
        },
    ),
    Fault(
        what="numbers of stimuli, of which one is NaN",
        plant=partial(forget, name=np.nan),
        cells={
            (*BINNED, *TABLES): refused("every row needs a stimulus_id"),
            ("NWB",): noted("Left out 1 trial of r.nwb without start_time or stimulus_id."),
        },
    ),
    Fault(
        what="a stimulus called `NA`",
        plant=partial(rename, names=["NA", "null"]),
        cells={ALL: RIGHT},
    ),
    Fault(
        what="a neuroid without a name",
        plant=partial(rename, names=[""], what="neuroid_id"),
        cells={
            (*NETCDF, *NAMED, "NWB"): refused("has no neuroid_id (1 in all)."),
            ("npy and tables", "spike folder", "spike table"): refused(
                "every row needs a neuroid_id; it is missing in row"
            ),
            ("Parquet",): refused("has no neuroid_id"),
        },
    ),
    Fault(
        what="big-endian numbers",
        plant=turn_bytes,
        cells={("netCDF", "netCDF, named axes in a group", *NAMED): RIGHT},
    ),
    Fault(what="names as bytes", plant=encode, cells={("npz", "HDF5", "netCDF"): RIGHT}),
    Fault(
        what="stimuli that differ in Unicode normal form",
        plant=partial(rename, names=["caf\u00e9", "cafe\u0301"]),
        cells={ALL: refused(FORM)},
    ),
    Fault(
        what="neuroids that differ in Unicode normal form",
        plant=partial(rename, names=["caf\u00e9", "cafe\u0301"], what="neuroid_id"),
        cells={ALL: refused(FORM)},
    ),
    Fault(
        what="stimuli that differ in blanks",
        plant=partial(rename, names=["face 1", "face  1"]),
        cells={ALL: refused(FORM)},
    ),
    Fault(
        what="stimuli that differ in a blank at their end",
        plant=partial(rename, names=["face", "face "]),
        cells={ALL: refused(FORM)},
    ),
    Fault(
        what="stimuli that differ in case",
        plant=partial(rename, names=["Face", "face"]),
        cells={ALL: noted(LOOK_ALIKE)},
    ),
    Fault(
        what="stimuli that differ in leading zeros",
        plant=partial(rename, names=["007", "7"]),
        cells={ALL: noted(LOOK_ALIKE)},
    ),
    Fault(
        what="neuroids that differ in leading zeros",
        plant=partial(rename, names=["01", "1"], what="neuroid_id"),
        cells={ALL: noted(LOOK_ALIKE)},
    ),
    Fault(
        what="one stimulus throughout",
        plant=show_one,
        cells={ALL: refused("presentations have the stimulus_id 'natural_scenes'.")},
    ),
    Fault(
        what="a column of blocks beside one of pictures",
        plant=name_blocks,
        cells={
            (*BINNED, "spike folder", "NWB"): refused(
                "Name a column that tells pictures apart: image_name."
            )
        },
    ),
    Fault(
        what="a neuroid_id twice",
        plant=share_a_neuroid,
        cells={
            (*BINNED, "NWB"): refused("ids must be unique."),
            ("spike folder",): refused(
                "several times; their spikes would be added. Give each neuroid a name of its own."
            ),
        },
    ),
    Fault(
        what="a neuroid in two areas",
        plant=share_between_areas,
        cells={
            ("spike folder",): refused(
                "a neuroid must have one region and one value in every other column"
            )
        },
    ),
    Fault(
        what="a stimulus that is shown once",
        plant=show_once,
        cells={ALL: refused("noise correction needs at least 2 repetitions of every stimulus.")},
    ),
    Fault(
        what="repetitions with the same number",
        plant=number_repetitions_alike,
        cells={
            BINNED: noted("Repetition numbers that occur more than once"),
            ("spike table", "Parquet"): refused("noise correction needs at least 2 repetitions"),
        },
    ),
    Fault(
        what="units numbered anew in each session",
        plant=record_in_sessions,
        cells={
            ("spike table", "Parquet"): noted(
                "If units are numbered anew in each session, give them"
            )
        },
    ),
    Fault(
        what="pictures in a folder that their table does not give",
        plant=partial(picture, file="tree/{}.png"),
        cells={ALL: RIGHT},
    ),
    Fault(
        what="pictures in another folder than their table gives",
        plant=partial(picture, file="tree/{}.png", name="face/{}.png"),
        cells={ALL: refused("images: face/")},
    ),
    Fault(
        what="two stimuli with the same picture",
        plant=picture_twice,
        cells={ALL: noted("Identical images under different identifiers: 2 stimuli")},
    ),
    Fault(
        what="pictures from a Mac, whose names have another normal form",
        plant=picture_from_a_mac,
        cells={ALL: RIGHT},
    ),
    Fault(
        what="whole floats in place of the numbers in the table of stimuli",
        plant=picture_numbers,
        cells={(*NETCDF, *NAMED, "Parquet", "NWB"): RIGHT},
    ),
    Fault(
        what="two pictures of one name",
        plant=picture_in_two_ways,
        cells={ALL: refused("has several files for an image: s0 (s0.jpg, s0.png).")},
    ),
    Fault(
        what="a picture that is not there",
        plant=lack_a_picture,
        cells={ALL: refused("lacks 1 of")},
    ),
    Fault(
        what="a stimulus without a row in the table",
        plant=lack_a_row,
        cells={ALL: refused("stimuli that were shown: s0.")},
    ),
    Fault(
        what="a stimulus with two rows in the table",
        plant=contradict_a_row,
        cells={ALL: refused("a stimulus must have one row; there are different rows for s0.")},
    ),
)
