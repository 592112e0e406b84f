"""A recording as files: responses (netCDF or .npz), a table of the stimuli and their pictures, all of them or none."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from PIL import Image

from neurofit.assemblies import Recording
from neurofit.data_loaders.formats.netcdf import attributes_of, write_netcdf
from neurofit.data_loaders.formats.sidecar import sidecar_of
from neurofit.data_loaders.formats.words import TOLD
from neurofit.errors import NeurofitError
from neurofit.home import atomic_file
from neurofit.stimuli import NoImages, StimulusSet


def write_recording(recording: Recording, path: str | Path, *, layout: str = "neurofit", overwrite: bool = False) -> list[Path]:
    """Write a recording: responses as netCDF (.nc) or .npz, beside them NAME.stimuli.csv and, if there are pictures, NAME.stimuli.zip.

    Parameters
    ----------
    recording
        Any; as netCDF it may be larger than memory.
    path
        NAME.nc or NAME.npz.
    layout
        Of netCDF: see `write_netcdf`.
    overwrite
        Whether files of these three names are replaced. NAME.json, and of a recording without pictures NAME.stimuli.zip, are removed.

    Returns
    -------
    list of Path
        What was written, the responses first.

    Raises
    ------
    NeurofitError
        If the ending is another, a file is there already, a picture cannot be read, or the path cannot be written to. Nothing is left then.
    """
    path = Path(path)
    if path.suffix not in (".nc", ".npz"):
        raise NeurofitError(f"Recordings are written as NAME.nc or NAME.npz; got {path.name}.")
    table_path, pictures = (path.with_name(f"{path.stem}.stimuli.{ending}") for ending in ("csv", "zip"))
    beside = sidecar_of(path)
    there = [each for each in (path, table_path, pictures, beside) if each.exists()]
    if there and not overwrite:
        raise NeurofitError(
            f"{', '.join(map(str, there))} would be replaced or removed: {path.stem}.stimuli.csv and .zip, and {beside.name}, go with "
            f"{path.name}. Take another name, or say overwrite."
        )
    has_pictures = not isinstance(recording.stimuli.images, NoImages)
    of_others = [each for each in (path.with_name("stimuli.zip"), path.with_name("stimuli")) if each.exists() and not has_pictures]
    if of_others:
        raise NeurofitError(f"{of_others[0]} would be taken for the pictures of {path.name}, which has none. Take another folder.")
    table = recording.stimuli.table.copy()
    with ExitStack() as together:  # what is entered first takes its name last
        responses = together.enter_context(atomic_file(path))
        if path.suffix == ".nc":
            write_netcdf(recording, responses, layout=layout)
        else:
            np.savez_compressed(responses, **_arrays(recording))
        if has_pictures:
            table["filename"] = names = _file_names(table)
            _write_pictures(recording.stimuli, names, together.enter_context(atomic_file(pictures)))
        table.to_csv(together.enter_context(atomic_file(table_path)), index=False)
    beside.unlink(missing_ok=True)  # what it says of another file is not so of this one
    if not has_pictures:
        pictures.unlink(missing_ok=True)
    return [path, table_path, *([pictures] if has_pictures else [])]


def _arrays(recording: Recording) -> dict[str, Any]:
    """Return what a .npz holds: responses, coordinates and the axis of each, and what is said of the recording."""
    responses = recording.responses
    coords: dict[str, xr.DataArray] = {str(name): coord for name, coord in responses.coords.items() if coord.ndim == 1}
    told = {key: np.array(value) for key, value in (attributes_of(recording) | responses.attrs).items() if key in TOLD}
    axes = np.array([(name, str(coord.dims[0])) for name, coord in coords.items()])
    held = {name: _fixed(coord.values) for name, coord in coords.items()} | told
    return held | {"responses": responses.values, "dims": np.array(responses.dims), "axes": axes}


def _fixed(values: np.ndarray) -> np.ndarray:
    return values.astype(str) if values.dtype.kind not in "iufb" else values


def _file_names(table: pd.DataFrame) -> list[str]:
    """Return a name for each picture, PNG: of its file, else of its stimulus; numbers, where two are the same or one is no name."""
    own = [PurePosixPath(str(name)).stem if "filename" in table else str(name) for name in table.get("filename", table.stimulus_id)]
    if len({name.lower() for name in own}) < len(own) or not all(re.fullmatch(r"[\w .-]+", name) for name in own):
        own = [f"{number:06d}" for number in range(len(table))]
    return [f"{name}.png" for name in own]


def _write_pictures(stimuli: StimulusSet, names: Sequence[str], path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for number, name in enumerate(names):
            content = io.BytesIO()
            Image.fromarray(stimuli.images[number]).save(content, format="PNG")
            archive.writestr(zipfile.ZipInfo(name), content.getvalue())
