"""Between our recordings, stimuli and activations and Brain-Score's assemblies; the only place where MultiIndexes are made."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly, NeuronRecordingAssembly
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet as TheirStimulusSet
from brainscore_vision.benchmark_helpers.neural_common import average_repetition
from PIL import Image

from neurofit.assemblies import DIMS, Recording
from neurofit.errors import NeurofitError
from neurofit.extract import Activations
from neurofit.home import atomic_directory, home
from neurofit.stimuli import ImageFiles, ImageSource, NoImages, StimulusSet
from neurofit.time_bins import TimeBin


def bins_of(time_bins: Any) -> list[TimeBin]:
    """Return time bins as tuples, in whichever of the four forms Brain-Score passes them.

    They come as an array of tuples, a list of one 0-dimensional array, a list of tuples, or a list of arrays.

    Raises
    ------
    NeurofitError
        If a bin is no pair of whole ms.
    """
    bins = []
    for each in time_bins:
        start, end = each.item() if isinstance(each, np.ndarray) and each.ndim == 0 else tuple(each)
        if start != round(start) or end != round(end) or start >= end:
            raise NeurofitError(f"A time bin is half-open, start < end, in whole ms from onset; got {start}-{end}.")
        bins.append((int(start), int(end)))
    return bins


def check_bins(bins: Sequence[TimeBin]) -> None:
    """Refuse time bins that a model of Brain-Score cannot be asked for.

    Raises
    ------
    NeurofitError
        If they overlap, or begin before the stimulus.
    """
    if any(start < end for (_, end), (start, _) in pairwise(bins)) or bins[0][0] < 0:
        raise NeurofitError(
            f"Time bins of a Brain-Score model begin at 0 ms or later and do not overlap; got {str(list(bins[:3]))[1:-1]} ...\n"
            "Ask for others: --bins START:END:WIDTH."
        )


def flat_coords(assembly: xr.DataArray) -> dict[str, tuple[str, np.ndarray]]:
    """Return an assembly's coordinates, those inside MultiIndexes too: name -> (dim, values)."""
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
            coords |= {"time_bin_start": ("time_bin", np.array([start])), "time_bin_end": ("time_bin", np.array([end]))}
        elif coord.ndim == 0 and str(name) in ("time_bin_start", "time_bin_end"):
            coords[str(name)] = ("time_bin", coord.values[None])
    return coords


def from_assembly(assembly: xr.DataArray, *, visual_degrees: float = 8.0, name: str = "") -> Recording:
    """Return a Brain-Score assembly of trials as a recording.

    Parameters
    ----------
    assembly
        Of trials (coordinate `repetition`), with `stimulus_set` among its attributes, as Brain-Score loads it.
    visual_degrees
        Of its pictures.
    name
        Of the recording; the assembly's identifier by default.

    Returns
    -------
    Recording
        Its stimuli are in the order of `average_repetition`, which is that of Brain-Score's splits.
    """
    coords = flat_coords(assembly)
    if "repetition" not in coords:
        raise NeurofitError("A recording needs single trials; this assembly has no coordinate repetition: its trials are averaged already.")
    values = np.asarray(assembly.transpose(*(dim for dim in DIMS if dim in assembly.dims)).values, dtype=np.float32)
    if "time_bin" not in assembly.dims:
        values = values[..., None]
    for edge in ("time_bin_start", "time_bin_end"):
        if edge not in coords and edge == "time_bin_end" and "time_bin_stop" in coords:
            coords[edge] = coords["time_bin_stop"]
        if edge in coords:
            coords[edge] = (coords[edge][0], _whole_ms(coords[edge][1], edge))
    order = _order_of_stimuli(assembly, coords)
    ours = {n: (dim, _texts(v)) for n, (dim, v) in coords.items() if dim in DIMS}
    recording = Recording(
        name=name or str(assembly.attrs.get("identifier", "assembly")),
        responses=xr.DataArray(values, dims=DIMS, coords=ours),
        stimuli=from_stimulus_set(assembly.attrs.get("stimulus_set"), order, coords, visual_degrees=visual_degrees),
    )
    return replace(recording, sha256=content_sha256(recording))


def content_sha256(recording: Recording) -> str:
    """Return the hash of all of a recording that a score can depend on: responses, coordinates, the table of stimuli, pictures, degrees."""
    digest = hashlib.sha256()
    for position in range(len(recording.time_bins)):
        digest.update(np.ascontiguousarray(recording.block(position)).data)
    for name in sorted(map(str, recording.responses.coords)):
        digest.update("\n".join((name, *map(str, recording.responses[name].values.ravel()))).encode())
    stimuli = recording.stimuli
    for told in (stimuli.visual_degrees, stimuli.table.to_csv(index=False), stimuli.pictures_sha256()):
        digest.update(f"{told}\n".encode())
    return digest.hexdigest()


def _whole_ms(edges: np.ndarray, name: str) -> np.ndarray:
    whole = np.round(edges).astype(np.int64)
    if (whole != edges).any():
        odd = edges[whole != edges]
        raise NeurofitError(f"Time bins are in whole ms from onset; {name} has {odd[0]:g}.")
    return whole


def _order_of_stimuli(assembly: xr.DataArray, coords: dict[str, tuple[str, np.ndarray]]) -> np.ndarray:
    """Return the stimuli in the order that Brain-Score's average over repetitions has.

    That is the order of all that is known of presentations; a column with gaps, or of single trials, is no part of it.
    """
    of_presentations = {name: values for name, (dim, values) in coords.items() if dim == "presentation"}
    kept = [*_columns_of_stimuli(of_presentations, gaps=False), "repetition"]
    if len(kept) == len(of_presentations):
        shown: xr.DataArray = assembly.isel(neuroid=[0])
        shown = shown.isel(time_bin=0) if "time_bin" in shown.dims else shown
    else:
        known: dict[str, Any] = {name: ("presentation", of_presentations[name]) for name in kept}
        neuroids = {"neuroid_id": ("neuroid", [0]), "region": ("neuroid", [""])}
        shown = NeuroidAssembly(np.zeros((assembly.sizes["presentation"], 1)), coords=known | neuroids, dims=DIMS[:2])
    return np.asarray(average_repetition(shown)["stimulus_id"].values)


def _columns_of_stimuli(columns: dict[str, np.ndarray], *, gaps: bool) -> list[str]:
    """Return which columns of presentations say something of the stimulus: the same in all of its trials, with gaps or without."""
    table = pd.DataFrame({name: values for name, values in columns.items() if name != "repetition"})
    most = {str(name): n for name, n in table.groupby("stimulus_id", sort=False).nunique(dropna=False).max().items()}
    return [name for name in map(str, table) if most.get(name, 1) == 1 and (gaps or not table[name].isna().any())]


def from_stimulus_set(
    theirs: TheirStimulusSet | None, ids: np.ndarray, coords: dict[str, tuple[str, np.ndarray]], *, visual_degrees: float
) -> StimulusSet:
    """Return the stimuli with these ids, in their order, with what the presentations say of them."""
    ids = _texts(ids)
    shown = _texts(coords["stimulus_id"][1])
    first = {stimulus: row for row, stimulus in reversed(list(enumerate(shown.tolist())))}
    rows = [first[stimulus] for stimulus in ids.tolist()]
    told = {n: _texts(v) for n, (dim, v) in coords.items() if dim == "presentation"}
    known = {n: told[n][rows] for n in _columns_of_stimuli(told, gaps=True) if n != "stimulus_id"}
    images: ImageSource = NoImages(len(ids), "the assembly")
    name = "brainscore"
    if theirs is not None:
        paths = {str(key): Path(path) for key, path in theirs.stimulus_paths.items()}
        images = ImageFiles([paths[str(stimulus)] for stimulus in ids])
        name = str(theirs.identifier)
    return StimulusSet(
        name=name, table=pd.DataFrame({"stimulus_id": ids, **known}), images=images, visual_degrees=visual_degrees, duration_ms=100.0
    )


def to_stimulus_set(stimuli: StimulusSet) -> TheirStimulusSet:
    """Return our stimuli as Brain-Score's, with all columns; pictures that are no files are written into NEUROFIT_HOME, once.

    So are files of equal names, from several folders: Brain-Score's screen keeps all in one; and files that Brain-Score would show in
    another way (16 bits, transparency, turned by EXIF). The identifier carries a hash of the table and the pictures, since Brain-Score's
    caches know stimuli by their identifier alone. A column `degrees` is left out, for Brain-Score takes
    either that or the degrees that it is told.
    """
    stimuli.need_images()
    digest = hashlib.sha256(stimuli.table.to_csv(index=False).encode())
    plain = isinstance(stimuli.images, ImageFiles) and len({path.name for path in stimuli.images.paths}) == len(stimuli)
    for row, stimulus in enumerate(stimuli.ids):
        picture = stimuli.images[row]
        digest.update(f"{stimulus} {picture.shape} ".encode())
        digest.update(np.ascontiguousarray(picture).data)
        plain = plain and np.array_equal(picture, _as_they_show(stimuli.images.paths[row]))  # type: ignore[attr-defined]
    identifier = f"{stimuli.name}-{digest.hexdigest()[:12]}"
    if plain:
        paths = list(stimuli.images.paths)  # type: ignore[attr-defined]
    else:
        folder = home() / "brainscore" / "stimuli" / identifier
        if not folder.is_dir():
            with atomic_directory(folder) as temporary:
                for row in range(len(stimuli)):
                    Image.fromarray(stimuli.images[row]).save(temporary / f"{row:06d}.png")
        paths = [folder / f"{row:06d}.png" for row in range(len(stimuli))]
    table = stimuli.table.reset_index(drop=True).drop(columns="degrees", errors="ignore")
    theirs = TheirStimulusSet(table if len(table.columns) > 1 else table.assign(row=np.arange(len(table))))
    theirs.identifier = identifier
    theirs.stimulus_paths = {stimulus: str(path) for stimulus, path in zip(stimuli.ids.tolist(), paths, strict=True)}
    return theirs


def _as_they_show(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def to_assembly(recording: Recording) -> NeuronRecordingAssembly:
    """Return a recording as an assembly of trials, as Brain-Score's own data sets are.

    Columns of presentations that have gaps, or differ between trials of a stimulus, are left out: Brain-Score averages trials that
    agree in all of them.
    """
    responses = recording.responses
    coords = {str(name): (coord.dims[0], coord.values) for name, coord in responses.coords.items() if coord.ndim == 1}
    table = recording.stimuli.table
    for column in table:
        if column not in coords:
            coords[str(column)] = ("presentation", table[column].to_numpy()[recording.stimulus_rows])
    if "object_name" not in coords and "category" in coords:
        coords["object_name"] = coords["category"]
    of_presentations = {name: values for name, (dim, values) in coords.items() if dim == "presentation"}
    kept = {*_columns_of_stimuli(of_presentations, gaps=False), "repetition"}
    coords = {name: (dim, values) for name, (dim, values) in coords.items() if dim != "presentation" or name in kept}
    assembly = NeuronRecordingAssembly(np.asarray(responses.values), coords=coords, dims=DIMS)
    assembly.attrs["identifier"] = f"{recording.name}-{content_sha256(recording)[:12]}"
    if not isinstance(recording.stimuli.images, NoImages):
        assembly.attrs["stimulus_set"] = to_stimulus_set(recording.stimuli)
        assembly.attrs["stimulus_set_identifier"] = assembly.attrs["stimulus_set"].identifier
    return assembly


def features_assembly(
    features: np.ndarray, stimuli: TheirStimulusSet, neuroids: dict[str, Sequence[Any] | np.ndarray], time_bins: Sequence[TimeBin]
) -> NeuroidAssembly:
    """Return features (presentation neuroid time_bin) of a model as an assembly that Brain-Score's metrics take."""
    columns = {str(name): ("presentation", stimuli[name].to_numpy()) for name in stimuli}
    columns["stimulus_path"] = ("presentation", np.array([str(stimuli.get_stimulus(each)) for each in stimuli.stimulus_id]))
    starts, ends = np.array(time_bins).T
    coords = {
        **columns,
        **{name: ("neuroid", np.asarray(values)) for name, values in neuroids.items()},
        "time_bin_start": ("time_bin", starts),
        "time_bin_end": ("time_bin", ends),
    }
    return NeuroidAssembly(features, coords=coords, dims=DIMS)


def from_features(assembly: xr.DataArray, *, model: str, region: str, stimulus_ids: np.ndarray) -> Activations:
    """Return a model's outputs to Brain-Score as activations: its time bins become timesteps.

    Parameters
    ----------
    assembly
        (presentation neuroid time_bin) of one model in one region; without time bins it is flat over time.
    model, region
        Whose they are; `region` is the one layer's name.
    stimulus_ids
        The order that the stimuli are wanted in.

    Raises
    ------
    NeurofitError
        If time bins overlap, or the stimuli are others or shown more than once.
    """
    return from_answers([([(0, 1000)], assembly)], model=model, region=region, stimulus_ids=stimulus_ids)


def from_answers(
    answers: Iterable[tuple[Sequence[TimeBin], xr.DataArray]], *, model: str, region: str, stimulus_ids: np.ndarray
) -> Activations:
    """Return a model's outputs, asked for in parts, as activations: bins in which it answers alike share a block.

    Parameters
    ----------
    answers
        The bins that were asked for, and the outputs: `from_features`. An output without time bins stands for all of them.
    model, region, stimulus_ids
        As in `from_features`.
    """
    bins: list[TimeBin] = []
    found: list[np.ndarray] = []
    for asked, assembly in answers:
        coords = flat_coords(assembly)
        shown = _texts(coords["stimulus_id"][1])
        if sorted(shown.tolist()) != sorted(stimulus_ids.tolist()):
            raise NeurofitError(f"The outputs of {model} are not of the stimuli of the recording, each once.")
        row_of = {stimulus: row for row, stimulus in enumerate(shown.tolist())}
        rows = [row_of[stimulus] for stimulus in stimulus_ids.tolist()]
        values = assembly.transpose(*(dim for dim in DIMS if dim in assembly.dims)).values
        if "time_bin" in assembly.dims:
            asked = [(int(coords["time_bin_start"][1][t]), int(coords["time_bin_end"][1][t])) for t in range(values.shape[2])]
        else:
            values = np.broadcast_to(values[..., None], (*values.shape, len(asked)))
        for position, time_bin in enumerate(asked):
            block = np.ascontiguousarray(values[rows, :, position], dtype=np.float32)
            found.append(found[-1] if found and np.array_equal(found[-1], block) else block)
            bins.append(time_bin)
    check_bins(bins)
    step = math.gcd(*(edge for pair in bins for edge in pair))
    blocks: dict[tuple[str, int], np.ndarray] = {}
    for (start, end), block in zip(bins, found, strict=True):
        blocks |= {(region, timestep): block for timestep in range(start // step, end // step)}
    return Activations(
        model=model,
        stimulus_ids=stimulus_ids,
        blocks=blocks,
        first_timestep={region: bins[0][0] // step},
        ms_per_timestep=step,
        n_timesteps=bins[-1][1] // step,
        region_layers={region: (region,)},
        presentation=None,
        provenance={"from": "Brain-Score"},
    )


def _texts(values: np.ndarray) -> np.ndarray:
    """Return objects as texts of a fixed width, where they are texts."""
    values = np.asarray(values)
    return np.array([str(each) for each in values]) if values.dtype == object and any(isinstance(each, str) for each in values) else values
