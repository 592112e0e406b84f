"""Recordings and stimuli: from Brain-Score's assemblies and stimulus sets to ours and back.

Assemblies have MultiIndexes; recordings have plain coordinates.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from brainscore_core.supported_data_standards.brainio.assemblies import (
    NeuroidAssembly,
    NeuronRecordingAssembly,
)
from brainscore_core.supported_data_standards.brainio.stimuli import (
    StimulusSet as BrainScoreStimulusSet,
)
from brainscore_vision.benchmark_helpers.neural_common import average_repetition
from PIL import Image

from neurofit.errors import NeurofitError
from neurofit.recordings.image_decoding import available_formats
from neurofit.recordings.recording import DIMS, Recording
from neurofit.recordings.stimuli import ImageFiles, ImageSource, NoImages, StimulusSet
from neurofit.recordings.time_bins import TimeBin
from neurofit.storage.home import atomic_directory, cached
from neurofit.storage.unfinished import read_until_exit


def as_time_bins(time_bins: Any) -> list[TimeBin]:
    """Return time bins of Brain-Score as (start, end) in ms.

    Parameters
    ----------
    time_bins
        Time bins in any form that Brain-Score uses: an array of tuples, a list of one
        0-dimensional array, a list of tuples or a list of arrays.

    Raises
    ------
    NeurofitError
        If a time bin is not a pair of whole ms, the end after the start.
    """
    bins = []
    for each in time_bins:
        start, end = each.item() if isinstance(each, np.ndarray) and each.ndim == 0 else tuple(each)
        if start != round(start) or end != round(end) or start >= end:
            raise NeurofitError(
                "A time bin is (start, end) in whole ms from stimulus onset, the end after the "
                f"start; got {start}-{end}."
            )
        bins.append((int(start), int(end)))
    return bins


def flat_coords(assembly: xr.DataArray) -> dict[str, tuple[str, np.ndarray]]:
    """Return the coordinates of an assembly, including levels of MultiIndexes, as (dim, values)."""
    coords: dict[str, tuple[str, np.ndarray]] = {}
    for dim in map(str, assembly.dims):
        index = assembly.indexes.get(dim)
        if isinstance(index, pd.MultiIndex):
            for level, name in enumerate(index.names):
                coords[str(name)] = (dim, np.asarray(index.get_level_values(level)))
        elif index is not None:
            coords[str(index.name or dim)] = (dim, np.asarray(index))
    for name, coord in assembly.coords.items():
        if coord.ndim == 1 and str(name) not in coords and str(name) not in DIMS:
            coords[str(name)] = (str(coord.dims[0]), np.asarray(coord.values))
        elif coord.ndim == 0 and str(name) == "time_bin" and isinstance(coord.item(), tuple):
            start, end = coord.item()
            coords |= {
                "time_bin_start": ("time_bin", np.array([start])),
                "time_bin_end": ("time_bin", np.array([end])),
            }
        elif coord.ndim == 0 and str(name) in ("time_bin_start", "time_bin_end"):
            coords[str(name)] = ("time_bin", coord.values[None])
    return coords


def from_assembly(
    assembly: xr.DataArray, *, visual_degrees: float = 8.0, name: str = ""
) -> Recording:
    """Return a Brain-Score assembly of trials as a recording.

    Parameters
    ----------
    assembly
        Assembly of single trials (coordinate `repetition`) with the attribute `stimulus_set`, as
        Brain-Score loads it.
    visual_degrees
        Width of the images in degrees of visual angle.
    name
        Name of the recording; by default the identifier of the assembly.

    Returns
    -------
    Recording
        Its stimuli are in the order of Brain-Score's `average_repetition`, on which its splits
        depend.

    Raises
    ------
    NeurofitError
        If trials are averaged, or time bins are not in whole ms.

    Notes
    -----
    `to_assembly` is the way back.
    """
    coords = flat_coords(assembly)
    if "repetition" not in coords:
        raise NeurofitError(
            "A recording needs single trials. The trials of this assembly are already averaged: it "
            "has no coordinate repetition."
        )
    values = np.asarray(
        assembly.transpose(*(dim for dim in DIMS if dim in assembly.dims)).values, dtype=np.float32
    )
    if "time_bin" not in assembly.dims:
        values = values[..., None]
    for edge in ("time_bin_start", "time_bin_end"):
        if edge not in coords and edge == "time_bin_end" and "time_bin_stop" in coords:
            coords[edge] = coords["time_bin_stop"]
        if edge in coords:
            coords[edge] = (coords[edge][0], _whole_ms(coords[edge][1], edge))
    order = _stimulus_order(assembly, coords)
    plain = {n: (dim, to_text(v)) for n, (dim, v) in coords.items() if dim in DIMS}
    recording = Recording(
        name=name or str(assembly.attrs.get("identifier", "assembly")),
        responses=xr.DataArray(values, dims=DIMS, coords=plain),
        stimuli=_from_stimulus_set(
            assembly.attrs.get("stimulus_set"), order, coords, visual_degrees=visual_degrees
        ),
    )
    return replace(recording, sha256=content_sha256(recording))


def content_sha256(recording: Recording) -> str:
    """Return a hash of everything in a recording that can change a score.

    This covers responses, coordinates, the table of stimuli, images and visual degrees.
    """
    digest = hashlib.sha256()
    for position in range(len(recording.time_bins)):
        digest.update(np.ascontiguousarray(recording.block(position)).data)
    for name in sorted(map(str, recording.responses.coords)):
        digest.update(
            "\n".join((name, *map(str, recording.responses[name].values.ravel()))).encode()
        )
    stimuli = recording.stimuli
    for part in (
        stimuli.visual_degrees,
        stimuli.table.to_csv(index=False),
        stimuli.images_sha256(),
    ):
        digest.update(f"{part}\n".encode())
    return digest.hexdigest()


def _whole_ms(edges: np.ndarray, name: str) -> np.ndarray:
    whole = np.round(edges).astype(np.int64)
    if (whole != edges).any():
        fraction = edges[whole != edges][0]
        raise NeurofitError(f"Time bins are in whole ms from onset; {name} has {fraction:g}.")
    return whole


def _stimulus_order(
    assembly: xr.DataArray, coords: dict[str, tuple[str, np.ndarray]]
) -> np.ndarray:
    """Return the stimuli in the order of Brain-Score's average over repetitions.

    That average is sorted by all coordinates of presentations, except those with missing values or
    with different values in the trials of a stimulus.
    """
    columns = {name: values for name, (dim, values) in coords.items() if dim == "presentation"}
    names = [*_stimulus_columns(columns, allow_missing=False), "repetition"]
    if len(names) == len(columns):
        trials: xr.DataArray = assembly.isel(neuroid=[0])
        trials = trials.isel(time_bin=0) if "time_bin" in trials.dims else trials
    else:
        presentations: dict[str, Any] = {name: ("presentation", columns[name]) for name in names}
        neuroids = {"neuroid_id": ("neuroid", [0]), "region": ("neuroid", [""])}
        trials = NeuroidAssembly(
            np.zeros((assembly.sizes["presentation"], 1)),
            coords=presentations | neuroids,
            dims=DIMS[:2],
        )
    return np.asarray(average_repetition(trials)["stimulus_id"].values)


def _stimulus_columns(columns: dict[str, np.ndarray], *, allow_missing: bool) -> list[str]:
    """Return the columns of presentations with the same value in all trials of a stimulus."""
    table = pd.DataFrame({name: values for name, values in columns.items() if name != "repetition"})
    n_values = {
        str(name): n
        for name, n in table.groupby("stimulus_id", sort=False).nunique(dropna=False).max().items()
    }
    return [
        name
        for name in map(str, table)
        if n_values.get(name, 1) == 1 and (allow_missing or not table[name].isna().any())
    ]


def _from_stimulus_set(
    stimulus_set: BrainScoreStimulusSet | None,
    ids: np.ndarray,
    coords: dict[str, tuple[str, np.ndarray]],
    *,
    visual_degrees: float,
) -> StimulusSet:
    """Return the stimuli `ids`, in this order, with their columns of the presentations."""
    ids = to_text(ids)
    columns = {n: to_text(v) for n, (dim, v) in coords.items() if dim == "presentation"}
    shown = columns["stimulus_id"].tolist()
    first = {stimulus: row for row, stimulus in reversed(list(enumerate(shown)))}
    rows = [first[stimulus] for stimulus in ids.tolist()]
    names = [n for n in _stimulus_columns(columns, allow_missing=True) if n != "stimulus_id"]
    images: ImageSource = NoImages(len(ids), "the assembly")
    name = "brainscore"
    if stimulus_set is not None:
        paths = {str(key): Path(path) for key, path in stimulus_set.stimulus_paths.items()}
        images = ImageFiles([paths[str(stimulus)] for stimulus in ids])
        name = str(stimulus_set.identifier)
    return StimulusSet(
        name=name,
        table=pd.DataFrame({"stimulus_id": ids, **{n: columns[n][rows] for n in names}}),
        images=images,
        visual_degrees=visual_degrees,
        duration_ms=100.0,
        assumed=("duration_ms",),
    )


def to_stimulus_set(stimuli: StimulusSet) -> BrainScoreStimulusSet:
    """Return stimuli as a stimulus set of Brain-Score, with all columns.

    Images are written once into NEUROFIT_HOME if they are not files, if files in several folders
    have the same name (Brain-Score's screen writes all into one folder), or if Brain-Score would
    decode them differently (16 bits, transparency, rotation by EXIF). The identifier contains a
    hash of table and images, because Brain-Score's caches identify stimuli by it alone. A column
    `degrees` is left out: Brain-Score would use it instead of the visual degrees given to it.

    Parameters
    ----------
    stimuli
        Stimuli with their images, uint8 (height width channel).

    Returns
    -------
    brainio StimulusSet
        Table of the stimuli, with the path of each image.

    Raises
    ------
    NeurofitError
        If the stimuli have no images.
    """
    stimuli.need_images()
    digest = hashlib.sha256(stimuli.table.to_csv(index=False).encode())
    paths = list(stimuli.images.paths) if isinstance(stimuli.images, ImageFiles) else []
    usable = len({path.name for path in paths}) == len(stimuli)
    for row, stimulus in enumerate(stimuli.ids):
        image = stimuli.images[row]
        digest.update(f"{stimulus} {image.shape} ".encode())
        digest.update(np.ascontiguousarray(image).data)
        usable = usable and np.array_equal(image, _decode_as_brainscore(paths[row]))
    identifier = f"{stimuli.name}-{digest.hexdigest()[:12]}"
    if not usable:
        folder = cached("brainscore", "stimuli", identifier)
        read_until_exit(folder)
        if not folder.is_dir():
            with atomic_directory(folder) as temporary:
                for row in range(len(stimuli)):
                    Image.fromarray(stimuli.images[row]).save(temporary / f"{row:06d}.png")
        paths = [folder / f"{row:06d}.png" for row in range(len(stimuli))]
    table = stimuli.table.reset_index(drop=True).drop(columns="degrees", errors="ignore")
    stimulus_set = BrainScoreStimulusSet(
        table if len(table.columns) > 1 else table.assign(row=np.arange(len(table)))
    )
    stimulus_set.identifier = identifier
    stimulus_set.stimulus_paths = {
        stimulus: str(path) for stimulus, path in zip(stimuli.ids.tolist(), paths, strict=True)
    }
    return stimulus_set


def _decode_as_brainscore(path: Path) -> np.ndarray:
    with Image.open(path, formats=available_formats()) as image:
        return np.asarray(image.convert("RGB"))


def to_assembly(recording: Recording) -> NeuronRecordingAssembly:
    """Return a recording as an assembly of trials, like those of Brain-Score's data sets.

    Columns of presentations with missing values, or with different values in the trials of a
    stimulus, are left out: Brain-Score averages only trials that agree in all columns.

    Parameters
    ----------
    recording
        Recording; without images the assembly has no attribute `stimulus_set`.

    Returns
    -------
    NeuronRecordingAssembly
        Responses (presentation neuroid time_bin) of single trials.

    Notes
    -----
    `from_assembly` is the way back.
    """
    responses = recording.responses
    coords = {
        str(name): (coord.dims[0], coord.values)
        for name, coord in responses.coords.items()
        if coord.ndim == 1
    }
    table = recording.stimuli.table
    for column in table:
        if column not in coords:
            coords[str(column)] = (
                "presentation",
                table[column].to_numpy()[recording.stimulus_rows],
            )
    if "object_name" not in coords and "category" in coords:
        coords["object_name"] = coords["category"]
    columns = {name: values for name, (dim, values) in coords.items() if dim == "presentation"}
    names = {*_stimulus_columns(columns, allow_missing=False), "repetition"}
    coords = {
        name: (dim, values)
        for name, (dim, values) in coords.items()
        if dim != "presentation" or name in names
    }
    assembly = NeuronRecordingAssembly(np.asarray(responses.values), coords=coords, dims=DIMS)
    assembly.attrs["identifier"] = f"{recording.name}-{content_sha256(recording)[:12]}"
    if not isinstance(recording.stimuli.images, NoImages):
        assembly.attrs["stimulus_set"] = to_stimulus_set(recording.stimuli)
        assembly.attrs["stimulus_set_identifier"] = assembly.attrs["stimulus_set"].identifier
    return assembly


def to_text(values: np.ndarray) -> np.ndarray:
    """Return an object array with strings as a string array, and any other array as it is."""
    values = np.asarray(values)
    return (
        np.array([str(each) for each in values])
        if values.dtype == object and any(isinstance(each, str) for each in values)
        else values
    )
