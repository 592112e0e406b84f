"""The pictures of a recording file: a table and a zip or folder beside it, or given; without any it is good for ceilings only."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from neurofit.data_loaders.formats.limits import short
from neurofit.data_loaders.formats.tables import as_written, read_table
from neurofit.data_loaders.formats.words import WORDS
from neurofit.errors import NeurofitError, fault, some_of
from neurofit.stimuli import ImageFiles, ImageSource, ImageZip, NoImages, StimulusSet

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif")

FILE_COLUMNS = ("filename", "image_file_name", "image_file", "file", "path")
"""What the column of file names may be called; stimulus_id with any ending, otherwise."""

_STIMULUS = {theirs: ours for theirs, ours in WORDS.items() if ours == "stimulus_id"}
"""An animal in a table of pictures is no subject."""

MAX_PICTURE_BYTES = 2**28

DEGREES = 8.0
DURATION_MS = 100.0
"""Taken where nobody says: as in the HvM experiments."""


@dataclass(frozen=True, kw_only=True)
class HeldPictures:
    """The pictures that a recording's own file holds.

    Parameters
    ----------
    images
        One for each stimulus that was asked for; None: there are none that can be taken.
    why
        A sentence that says why not; empty where the file holds none at all.
    visual_degrees
        Width of a picture in degrees of visual angle, where the file says it.
    """

    images: ImageSource | None = None
    why: str = ""
    visual_degrees: float | None = None


def find_stimuli(
    recording: Path,
    responses: xr.DataArray,
    *,
    given: Path | None = None,
    inside: Callable[[list[str]], HeldPictures] | None = None,
    visual_degrees: float | None = None,
    duration_ms: float | None = None,
) -> StimulusSet:
    """Return the stimulus set of a recording: what was shown, in the order of its table, else in that in which it first was.

    Parameters
    ----------
    recording
        Its file or folder: beside it (in it) are looked for NAME.stimuli.csv, stimuli.csv and NAME.stimuli.zip, stimuli.zip, or a
        folder NAME.stimuli, stimuli.
    responses
        Whose coordinates along presentation say what is known of each stimulus.
    given
        A table, zip or folder instead of those beside the recording.
    inside
        From stimulus ids to the pictures in the recording's own file; asked where there are none beside it.
    visual_degrees, duration_ms
        As the recording says; else its pictures' own width, or 8 degrees, and 100 ms.

    Raises
    ------
    NeurofitError
        If a table lacks a stimulus, or the pictures lack one.
    """
    table_path, pictures = _places(recording, given)
    _, first = np.unique(responses.stimulus_id.values, return_index=True)
    first.sort()
    known = {str(name): coord.values[first] for name, coord in responses.coords.items() if coord.dims == ("presentation",)}
    table = pd.DataFrame({"stimulus_id": known.pop("stimulus_id"), **{name: known[name] for name in known if name != "repetition"}})
    if table_path is not None:
        table = _merged(table, table_path)
    images: ImageSource
    if pictures is not None:
        images = _images(table, pictures)
    else:
        held = inside([str(each) for each in table.stimulus_id]) if inside is not None else HeldPictures()
        images = NoImages(len(table), recording, held.why) if held.images is None else held.images
        visual_degrees = visual_degrees if visual_degrees is not None else held.visual_degrees
    if visual_degrees is None and "degrees" in table:
        visual_degrees = _positive(table.degrees.iloc[0], table_path or recording)
    return StimulusSet(
        name=recording.stem,
        table=table,
        images=images,
        visual_degrees=DEGREES if visual_degrees is None else float(visual_degrees),
        duration_ms=DURATION_MS if duration_ms is None else float(duration_ms),
    )


def with_pictures(sha256: str, stimuli: StimulusSet) -> str:
    """Return the hash of a recording from that of its data: with its pictures, if it has any."""
    try:
        pictures = stimuli.pictures_sha256()
    except NeurofitError as error:
        fault(str(error))
        return sha256
    return hashlib.sha256(f"{sha256} {pictures}".encode()).hexdigest() if pictures else sha256


def _places(recording: Path, given: Path | None) -> tuple[Path | None, Path | None]:
    if given is not None:
        if not given.exists():
            raise NeurofitError(f"There are no pictures at {given}: give a table (.csv), a .zip or a folder.")
        if given.suffix.lower() != ".csv":
            return None, given
        around = [given.with_suffix(".zip"), given.with_suffix("")]
        return given, next((place for place in around if place.exists()), given.parent)
    folder, stem = (recording, recording.name) if recording.is_dir() else (recording.parent, recording.stem)
    tables = [path for name in (f"{stem}.stimuli", "stimuli") if (path := folder / f"{name}.csv").is_file()]
    pictures = [path for name in (f"{stem}.stimuli", "stimuli") for ending in (".zip", "") if (path := folder / f"{name}{ending}").exists()]
    return next(iter(tables), None), next(iter(pictures), None)


def _positive(value: object, source: Path) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        number = np.nan
    if number > 0:
        return number
    fault(f"{source}: degrees are the width of a picture, a positive number; got {value!r}.")
    return None


def _merged(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    told = read_table(path, known=_STIMULUS, texts=("stimulus_id", *FILE_COLUMNS))
    if "stimulus_id" not in told:
        raise NeurofitError(f"{path} needs a column stimulus_id; it has {', '.join(map(str, told.columns))}.")
    told = told.drop_duplicates()
    several = told.stimulus_id[told.stimulus_id.duplicated()].unique()
    if len(several):
        fault(f"{path}: a stimulus has one row; rows that differ are of {some_of(several.tolist())}.")
    told = told.drop_duplicates("stimulus_id").set_index("stimulus_id")
    own = table.set_index(np.array(as_written(table.stimulus_id), dtype=object))  # ids that are numbers stay numbers
    lacking = own.index[~own.index.isin(told.index)]
    if len(lacking):
        named = some_of([each or "''" for each in lacking])
        fault(f"{path} lacks {len(lacking)} of the {len(table)} stimuli that were shown: {named}.")
        return table
    table = own
    shown = told.index[told.index.isin(table.index)]  # in the order of the table, which then is that of the set
    merged, more = table.loc[shown].reset_index(drop=True), told.loc[shown].reset_index(drop=True)
    return merged.assign(**{str(name): more[name] for name in more.columns if name not in merged or name in FILE_COLUMNS})


def _images(table: pd.DataFrame, pictures: Path) -> ImageSource:
    try:
        names = _names_in(pictures)
    except NeurofitError as error:
        fault(str(error))
        return NoImages(len(table), pictures, str(error))
    called: dict[str, list[str]] = {}
    set_of_names = set(names)
    for name in names:
        for part in {Path(name).name, Path(name).stem}:
            called.setdefault(part, []).append(name)
    column = next((name for name in FILE_COLUMNS if name in table), None)
    asked = as_written(table[column or "stimulus_id"])
    found = [[name] if name in set_of_names else called.get(Path(name).name, called.get(name, [])) for name in asked]
    several = [f"{name} ({', '.join(there)})" for name, there in zip(asked, found, strict=True) if len(there) > 1]
    if several:
        fault(said := f"{pictures} has several files for a picture: {some_of(several)}. Say which, folder and all, in a column filename.")
        return NoImages(len(table), pictures, said)
    lacking = [name for name, there in zip(asked, found, strict=True) if not there]
    if lacking:
        named = some_of([each or "''" for each in lacking])
        fault(said := f"{pictures} lacks {len(lacking)} of {len(asked)} pictures: {named}.")
        there = [row for row, names_of_it in enumerate(found) if names_of_it]
        return _SomeImages(_opened(pictures, [found[row][0] for row in there]), {row: i for i, row in enumerate(there)}, len(found), said)
    return _opened(pictures, [each[0] for each in found])


def _opened(pictures: Path, names: list[str]) -> ImageSource:
    return ImageFiles([pictures / name for name in names]) if pictures.is_dir() else ImageZip(pictures, names)


@dataclass(frozen=True)
class _SomeImages:
    """Pictures of which some are not there, for a check of the others."""

    images: ImageSource
    place_of: Mapping[int, int]
    n: int
    why: str

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int, /) -> np.ndarray:
        if index not in self.place_of:
            raise NeurofitError(self.why)
        return self.images[self.place_of[index]]


def _names_in(pictures: Path) -> list[str]:
    if pictures.is_dir():
        return sorted(str(path.relative_to(pictures)) for path in pictures.rglob("*") if path.suffix.lower() in SUFFIXES)
    try:
        with zipfile.ZipFile(pictures) as archive:
            members = [member for member in archive.infolist() if member.filename.lower().endswith(SUFFIXES)]
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise NeurofitError(f"Cannot read {pictures} as a zip archive of pictures: {short(error)}.") from error
    large = next((member for member in members if member.file_size > MAX_PICTURE_BYTES), None)
    if large is not None:
        raise NeurofitError(
            f"{large.filename} in {pictures} declares {large.file_size / 1e9:,.1f} GB; a picture has at most {MAX_PICTURE_BYTES / 1e9:.2f}."
        )
    return sorted(member.filename for member in members)
