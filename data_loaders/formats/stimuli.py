"""Find the stimuli of a recording file: a table and a zip archive or folder of images beside it."""

from __future__ import annotations

import csv
import hashlib
import warnings
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neurofit.data_loaders.formats.clips import find_clips
from neurofit.data_loaders.formats.limits import short
from neurofit.data_loaders.formats.names import ALIASES, MARK
from neurofit.data_loaders.formats.sidecar import Sidecar, sidecar_path
from neurofit.data_loaders.formats.tables import read_table
from neurofit.errors import NeurofitError, NeurofitWarning, fault, some_of
from neurofit.recordings.identifiers import Names, as_texts, same_name
from neurofit.recordings.image_decoding import is_hidden
from neurofit.recordings.recording import Recording
from neurofit.recordings.stimuli import ImageFiles, ImageSource, ImageZip, NoImages, StimulusSet

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif")

FILE_COLUMNS = ("filename", "image_file_name", "image_file", "file", "path")
"""Names of the column of file names; otherwise images are called stimulus_id plus any suffix."""

_STIMULUS = {alias: name for alias, name in ALIASES.items() if name == "stimulus_id"}
"""Aliases in a table of images, where the column "animal" does not mean the subject."""

MAX_IMAGE_BYTES = 2**28

DEFAULTS = {"visual_degrees": 8.0, "duration_ms": 100.0}
"""Width and duration of the images that are assumed if not given, as in the HvM experiments."""


@dataclass(frozen=True, kw_only=True)
class FoundImages:
    """Images in a recording's own file: one per requested stimulus, or None and a sentence on why.

    `visual_degrees` is their width, if the file states it; `why` is empty if it has no images.
    """

    images: ImageSource | None = None
    why: str = ""
    visual_degrees: float | None = None


def as_recording(
    path: Path,
    responses: xr.DataArray,
    metadata: Mapping[str, Any],
    sidecar: Sidecar,
    *,
    sha256: str | Callable[[], str],
    images: Path | None = None,
    inside: Callable[[list[str]], FoundImages] | None = None,
    stimuli: StimulusSet | None = None,
) -> Recording:
    """Return the recording of a file, with stimuli in the order of their table or of presentation.

    Parameters
    ----------
    path
        File or folder of the recording. Beside the file (in the folder) are searched
        NAME.stimuli.csv and stimuli.csv; NAME.stimuli.zip, stimuli.zip and folders NAME.stimuli,
        stimuli. Files that were written with another recording are not used, with a warning.
    responses
        Responses, whose coordinates along presentation become columns of the table.
    metadata
        What the file states of `METADATA_KEYS`.
    sidecar
        Sidecar, which takes precedence over the metadata. Without either, images are as wide as
        they or a column `degrees` state.
    sha256
        Hash of the recording if it is known, else a function that hashes the responses.
    images
        Table, zip archive or folder to use instead of those beside the recording.
    inside
        Function that finds the images of stimulus ids in the recording's own file; called if there
        are none beside it.
    stimuli
        Stimuli, if they are known.

    Raises
    ------
    NeurofitError
        If a stimulus is missing from the table or the images, or the sidecar gives another area or
        animal than the file.
    """
    for name in ("region", "subject"):
        given, held = getattr(sidecar, name), responses.coords.get(name, xr.DataArray([]))
        other = sorted({str(each) for each in held.values} - {given, "", "nan"})
        if given is not None and other:
            raise NeurofitError(
                f"{sidecar_path(path)} gives the {name} {given}, and {path.name} {some_of(other)}. "
                "Remove one of them, or correct it."
            )
    if stimuli is None:
        stimuli = _find_stimuli(path, responses, metadata, sidecar, images, inside)
    return Recording(
        name=str(metadata.get("identifier") or path.stem),
        responses=responses,
        stimuli=stimuli,
        simulated=_is_simulated(metadata),
        sha256=sha256 if isinstance(sha256, str) else _combined_sha256(sha256(), stimuli),
        citation=str(metadata.get("citation", "")),
    )


def _find_stimuli(
    path: Path,
    responses: xr.DataArray,
    metadata: Mapping[str, Any],
    sidecar: Sidecar,
    given: Path | None,
    inside: Callable[[list[str]], FoundImages] | None,
) -> StimulusSet:
    said = {key: getattr(sidecar, key) or _positive(metadata, key, path) for key in DEFAULTS}
    mark = str(metadata.get(MARK, ""))
    table_path, location = (
        each if given or each is None or _belongs(each, mark, path) else None
        for each in _find_files(path, given)
    )
    _, first = np.unique(responses.stimulus_id.values, return_index=True)
    first.sort()
    table = pd.DataFrame({"stimulus_id": responses.stimulus_id.values[first]})
    for name, coord in responses.coords.items():
        if coord.dims == ("presentation",) and name not in ("stimulus_id", "repetition"):
            table[str(name)] = coord.values[first]
    if table_path is not None:
        table = _merged(table, table_path)
    images: ImageSource
    frame_ms = sidecar.frame_ms
    if frame_ms is not None:
        if location is None:
            raise NeurofitError(
                f"{sidecar_path(path)} states frame_ms, and there is no folder of clips beside "
                f"{path.name}. Give one by --images."
            )
        images = find_clips(_asked(table), location, SUFFIXES, frame_ms=frame_ms)
        said["duration_ms"] = said["duration_ms"] or images.n_frames * frame_ms
    elif location is not None:
        images = _open_images(table, location)
    else:
        ids = [str(each) for each in table.stimulus_id]
        found = FoundImages() if inside is None else inside(ids)
        none = NoImages(len(table), path, found.why)
        images = none if found.images is None else found.images
        said["visual_degrees"] = said["visual_degrees"] or found.visual_degrees
    if said["visual_degrees"] is None and "degrees" in table:
        stated = {"degrees": table.degrees.iloc[0]}
        said["visual_degrees"] = _positive(stated, "degrees", table_path or path)
    return StimulusSet(
        name=path.stem,
        table=table,
        images=images,
        **{name: DEFAULTS[name] if value is None else float(value) for name, value in said.items()},
        assumed=tuple(name for name, value in said.items() if value is None),
        frame_ms=frame_ms,
    )


def _positive(metadata: Mapping[str, Any], key: str, source: str | Path) -> float | None:
    """Return a positive number from the metadata of a file; None if it is missing."""
    if key in metadata:
        with suppress(TypeError, ValueError):
            if 0 < float(metadata[key]) < np.inf:
                return float(metadata[key])
        fault(f"{source}: {key} must be a positive number; got {str(metadata[key])[:60]!r}.")
    return None


def _is_simulated(metadata: Mapping[str, Any]) -> bool:
    """Return whether the metadata mark a file as simulated; an unclear value counts as yes."""
    value = str(metadata.get("simulated", 0)).strip().lower()
    if value in ("0", "false", "no", ""):
        return False
    if value not in ("1", "true", "yes"):
        fault(f"simulated must be true or false; got {value[:60]!r}.")
    return True


def _combined_sha256(sha256: str, stimuli: StimulusSet) -> str:
    """Return the hash of a recording from that of its responses and, if any, its images."""
    try:
        images = stimuli.images_sha256()
    except NeurofitError as error:
        fault(str(error))
        return sha256
    return hashlib.sha256(f"{sha256} {images}".encode()).hexdigest() if images else sha256


def _find_files(recording: Path, given: Path | None) -> tuple[Path | None, Path | None]:
    if given is not None:
        if not given.exists():
            raise NeurofitError(
                f"There are no images at {given}: give a table (.csv), a .zip or a folder."
            )
        if given.suffix.lower() != ".csv":
            return None, given
        candidates = [given.with_suffix(".zip"), given.with_suffix("")]
        return given, next((path for path in candidates if path.exists()), given.parent)
    whole = recording.is_dir()
    folder, stem = (recording, recording.name) if whole else (recording.parent, recording.stem)
    beside = [folder / name for name in (f"{stem}.stimuli", "stimuli")]
    tables = [table for path in beside if (table := Path(f"{path}.csv")).is_file()]
    images = [each for path in beside for each in (Path(f"{path}.zip"), path) if each.exists()]
    return next(iter(tables), None), next(iter(images), None)


def mark_in(path: Path) -> str:
    """Return the mark in a table or archive of stimuli; "" if a conversion did not write it."""
    try:
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path) as archive:
                text = archive.comment.decode("ascii", "replace")
        elif path.suffix.lower() == ".csv":
            with open(path, encoding="utf-8", newline="") as file:
                text = next(csv.DictReader(file), {}).get(MARK) or ""
        else:
            return ""
    except (OSError, ValueError, csv.Error, zipfile.BadZipFile, NotImplementedError):
        return ""
    return text if text.startswith("neurofit") else ""


def _belongs(path: Path, mark: str, recording: Path) -> bool:
    """Return whether stimuli beside a recording may be its own."""
    if mark_in(path) in ("", mark):
        return True
    warnings.warn(
        f"{path} was written with another recording than {recording} and is not used; give "
        "--images if these are its images.",
        NeurofitWarning,
        stacklevel=2,
    )
    return False


def _merged(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    rows = read_table(path, known=_STIMULUS, texts=("stimulus_id", *FILE_COLUMNS))
    if "stimulus_id" not in rows:
        raise NeurofitError(
            f"{path} needs a column stimulus_id; it has {', '.join(map(str, rows.columns))}."
        )
    rows = rows.drop(columns=MARK, errors="ignore").drop_duplicates()
    several = rows.stimulus_id[rows.stimulus_id.duplicated()].unique()
    if len(several):
        listed = some_of(several.tolist())
        fault(f"{path}: a stimulus must have one row; there are different rows for {listed}.")
    rows = rows.drop_duplicates("stimulus_id").set_index("stimulus_id")
    # matched as text in one normal form; the column stimulus_id keeps its type
    own = table.set_index(np.array(as_texts(table.stimulus_id), dtype=object))
    for each in (rows, own):
        names = each.index.map(same_name)
        each.index = names if names.is_unique else each.index
    lacking = own.index[~own.index.isin(rows.index)]
    if len(lacking):
        named = some_of([each or "''" for each in lacking])
        fault(f"{path} lacks {len(lacking)} of the {len(table)} stimuli that were shown: {named}.")
        return table
    shown = rows.index[rows.index.isin(own.index)]  # the order of the file
    merged, more = own.loc[shown].reset_index(drop=True), rows.loc[shown].reset_index(drop=True)
    for name in more:
        if name not in merged or name in FILE_COLUMNS:
            merged[name] = more[name]
    return merged


def _asked(table: pd.DataFrame) -> list[str]:
    """Return the name of each stimulus's file."""
    column = next((name for name in FILE_COLUMNS if name in table), "stimulus_id")
    return as_texts(table[column])


def _open_images(table: pd.DataFrame, location: Path) -> ImageSource:
    asked = _asked(table)
    try:
        files = Names(images_in(location), SUFFIXES).find(asked)
        several = [f"{name} ({', '.join(files[name])})" for name in asked if len(files[name]) > 1]
        if several:
            raise NeurofitError(
                f"{location} has several files for an image: {some_of(several)}. "
                "Give paths with folders in a column filename."
            )
    except NeurofitError as error:
        fault(str(error))
        return NoImages(len(table), location, str(error))
    rows = [row for row, name in enumerate(asked) if files[name]]
    own = [files[asked[row]][0] for row in rows]
    whole = location.is_dir()
    opened = ImageFiles([location / name for name in own]) if whole else ImageZip(location, own)
    lacking = [name or "''" for name in asked if not files[name]]
    if not lacking:
        return opened
    message = f"{location} lacks {len(lacking)} of {len(asked)} images: {some_of(lacking)}."
    fault(message)
    return _SomeImages(opened, {row: i for i, row in enumerate(rows)}, len(asked), message)


@dataclass(frozen=True)
class _SomeImages:
    """Images of which some are missing, so that the others can be checked."""

    images: ImageSource
    position_of: Mapping[int, int]
    n: int
    why: str

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int, /) -> np.ndarray:
        if index not in self.position_of:
            raise NeurofitError(self.why)
        return self.images[self.position_of[index]]


def images_in(location: Path) -> list[str]:
    """Return the names of the images in a folder or zip archive, with their folders."""
    if location.is_dir():
        held = [(str(path.relative_to(location)), 0) for path in location.rglob("*")]
    else:
        try:
            with zipfile.ZipFile(location) as archive:
                held = [(member.filename, member.file_size) for member in archive.infolist()]
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise NeurofitError(
                f"Cannot read {location} as a zip archive of images: {short(error)}."
            ) from error
    images = [
        (name, n_bytes)
        for name, n_bytes in sorted(held)
        if name.lower().endswith(SUFFIXES) and not is_hidden(name.replace("\\", "/"))
    ]
    for name, n_bytes in images:
        if n_bytes > MAX_IMAGE_BYTES:
            raise NeurofitError(
                f"{name} in {location} declares {n_bytes / 1e9:,.1f} GB; "
                f"the limit for an image is {MAX_IMAGE_BYTES / 1e9:.2f} GB."
            )
    return [name for name, _ in images]
