"""Write a recording: responses (netCDF or .npz), a table of the stimuli and their images."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

import h5py
import numpy as np
import pandas as pd
from PIL import Image

from neurofit.data_loaders.formats.names import MARK, METADATA_KEYS
from neurofit.data_loaders.formats.netcdf import mark_of, recording_attributes, write_netcdf
from neurofit.data_loaders.formats.sidecar import sidecar_path
from neurofit.data_loaders.formats.stimuli import mark_in
from neurofit.errors import NeurofitError
from neurofit.recordings.recording import Recording
from neurofit.recordings.stimuli import NoImages
from neurofit.recordings.validation import validate_structure
from neurofit.storage.home import atomic_file, remove_leftovers, uninterrupted


def write_recording(
    recording: Recording, path: str | Path, *, layout: str = "neurofit", overwrite: bool = False
) -> list[Path]:
    """Write responses to NAME.nc or NAME.npz, and stimuli to NAME.stimuli.csv and NAME.stimuli.zip.

    Either all files are written or none. A recording without images has no NAME.stimuli.zip.

    Parameters
    ----------
    recording
        Recording to write. It may be larger than memory if written as netCDF.
    path
        NAME.nc or NAME.npz.
    layout
        Layout of netCDF, see `write_netcdf`.
    overwrite
        Whether to replace files of these names that were written by a conversion; others are never
        replaced. NAME.stimuli.zip is removed if the recording has no images.

    Returns
    -------
    list of Path
        Written files, the responses first.

    Raises
    ------
    NeurofitError
        If the recording is not valid, the suffix is unknown, a file exists, an image cannot be
        read, or the path cannot be written. Then, and if the conversion is interrupted, nothing is
        left. What a killed one left is removed by the next one to the same path.

    Examples
    --------
    >>> import neurofit
    >>> recording = neurofit.load_recording("hvm-sim", region="V4", window=(90, 110))
    >>> [file.name for file in neurofit.write_recording(recording, "v4.nc")]
    ['v4.nc', 'v4.stimuli.csv', 'v4.stimuli.zip']
    >>> neurofit.load_recording("v4.nc").time_bins
    [(90, 100), (100, 110)]
    """
    validate_structure(recording)
    path = Path(path)
    if path.suffix not in (".nc", ".npz"):
        raise NeurofitError(f"A recording must be written to NAME.nc or NAME.npz; got {path.name}.")
    table_path, archive_path = (
        path.with_name(f"{path.stem}.stimuli.{ending}") for ending in ("csv", "zip")
    )
    sidecar = sidecar_path(path)
    if sidecar.exists():
        raise NeurofitError(
            f"{sidecar} describes another file, and would be read with {path.name}. "
            "Choose another name, or remove it."
        )
    existing = [each for each in (path, table_path, archive_path) if each.exists()]
    foreign = [each for each in existing if not _is_converted(each)]
    if foreign or (existing and not overwrite):
        never = "It was not written by a conversion and is never replaced: choose another name."
        repair = never if foreign else "Choose another name, or overwrite."
        raise NeurofitError(
            f"{', '.join(map(str, foreign or existing))} would be replaced or removed: "
            f"{path.stem}.stimuli.csv and .zip belong to {path.name}. {repair}"
        )
    recording.stimuli.need_stills("A conversion")
    has_images = not isinstance(recording.stimuli.images, NoImages)
    unrelated = [path.with_name(name) for name in ("stimuli.zip", "stimuli")]
    unrelated = [each for each in unrelated if each.exists() and not has_images]
    if unrelated:
        raise NeurofitError(
            f"{unrelated[0]} would be read as the images of {path.name}, which has none. "
            "Choose another folder."
        )
    for each in (path, table_path, archive_path):
        remove_leftovers(each)
    table = recording.stimuli.table.assign(**{MARK: mark_of(recording)})
    # the responses, entered first, are renamed to their final path last
    with _no_new_folder(path.parent), uninterrupted() as complete, ExitStack() as stack:
        responses = stack.enter_context(atomic_file(path))
        if path.suffix == ".nc":
            write_netcdf(recording, responses, layout=layout)
        else:
            np.savez_compressed(responses, **_arrays(recording))
        if has_images:
            table["filename"] = names = _file_names(table)
            _write_images(recording, names, stack.enter_context(atomic_file(archive_path)))
        table.to_csv(stack.enter_context(atomic_file(table_path)), index=False)
        complete()
        if not has_images:
            archive_path.unlink(missing_ok=True)
    return [path, table_path, *([archive_path] if has_images else [])]


@contextmanager
def _no_new_folder(folder: Path) -> Iterator[None]:
    """Remove the folders that are made in the block if it fails."""
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        yield
    except BaseException:
        with suppress(OSError):
            for each in made:
                each.rmdir()
        raise


def _is_converted(path: Path) -> bool:
    """Return whether a conversion wrote a file."""
    try:
        if path.suffix == ".nc":
            with h5py.File(path, "r") as file:
                return MARK in file.attrs
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                return f"{MARK}.npy" in archive.namelist()
    except Exception:  # any error may occur if another program wrote it
        return False
    return bool(mark_in(path))


def _arrays(recording: Recording) -> dict[str, Any]:
    """Return the arrays of a .npz file: responses, coordinates with their axes, and metadata."""
    responses = recording.responses
    coords = {str(name): each for name, each in responses.coords.items() if each.ndim == 1}
    metadata = recording_attributes(recording) | responses.attrs
    return {
        **{
            name: each.values if each.dtype.kind in "iufb" else each.values.astype(str)
            for name, each in coords.items()
        },
        **{key: np.array(value) for key, value in metadata.items() if key in METADATA_KEYS},
        "responses": responses.values,
        "dims": np.array(responses.dims),
        "axes": np.array([(name, str(each.dims[0])) for name, each in coords.items()]),
    }


def _file_names(table: pd.DataFrame) -> list[str]:
    """Return NAME.png for each image, from its file or stimulus id, or numbers if not valid."""
    own = [
        PurePosixPath(str(name)).stem if "filename" in table else str(name)
        for name in table.get("filename", table.stimulus_id)
    ]
    differ = len({name.lower() for name in own}) == len(own)
    if not differ or not all(re.fullmatch(r"[\w .-]+", name) for name in own):
        own = [f"{number:06d}" for number in range(len(table))]
    return [f"{name}.png" for name in own]


def _write_images(recording: Recording, names: Sequence[str], path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.comment = mark_of(recording).encode("ascii")
        for number, name in enumerate(names):
            content = io.BytesIO()
            Image.fromarray(recording.stimuli.images[number]).save(content, format="PNG")
            archive.writestr(zipfile.ZipInfo(name), content.getvalue())
