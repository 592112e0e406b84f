"""Write the features of a model over time into a netCDF file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np
import pandas as pd

from neurofit.activations.activations import Activations, find_names
from neurofit.activations.extract import extract, last_ms
from neurofit.activations.memory import layer_shapes
from neurofit.activations.model import find_presentation, is_static
from neurofit.activations.notes import image_notes
from neurofit.analyses.encoding.config import parse_layers
from neurofit.analyses.inputs import find_recording, source_options
from neurofit.analyses.run import RunConfig
from neurofit.config.compute import Compute, Progress, find_device
from neurofit.config.notebook import Configuration
from neurofit.config.options import check_fields, option, options_of
from neurofit.data_loaders.formats.stimuli import images_in
from neurofit.errors import NeurofitError
from neurofit.models import create_model
from neurofit.recordings.requirements import with_requirements
from neurofit.recordings.stimuli import ImageFiles, StimulusSet
from neurofit.results.folder import check_replaceable
from neurofit.results.provenance import package_versions, to_json
from neurofit.storage.home import atomic_file, check_free_space, home

COPIED_BYTES = 2**26
"""Size of the features that are copied into the file at a time."""


@dataclass(frozen=True, kw_only=True)
class FeaturesConfig(Configuration):
    """What is extracted: a model, its images, and how they are shown.

    Parameters
    ----------
    model, weights, model_seed, presentation, ms_per_timestep, precision
        As in `neurofit.analyses.run.RunConfig`.
    images
        Folder of images; or, with a recording given by path, its images.
    recording
        Recording whose images are shown, instead of a folder.
    layers
        Names or patterns of layers; "all" for those that the model has by default.
    visual_degrees
        Width of the images; None for that of the recording, or the field of the model for a folder.
    duration_ms
        Duration of the images in a folder, in ms.
    compute
        Device and batch size.

    Raises
    ------
    NeurofitError
        If an option is out of its range, or there are neither images nor a recording.
    """

    model: str = option("", help="Model, as in neurofit score.")
    images: str | None = option(
        None, help="Folder of images, or images of a recording given by path.", parse=str
    )
    recording: str | None = option(
        None, help="Recording whose images are shown, in place of a folder.", parse=str
    )
    layers: str | tuple[str, ...] = option(
        "all", parse=parse_layers, metavar="LAYER,...", help="Layers: names, patterns, or all."
    )
    weights: str = option("auto", help="Weights: auto (bundled or downloaded), random, or a file.")
    model_seed: int = option(0, least=0, help="Random seed for untrained weights.")
    presentation: str = option("neural", help="Presentation of the images to the model.")
    ms_per_timestep: int | None = option(
        None,
        least=1,
        help="Duration of a timestep (ms) of a network that is not a registered model.",
    )
    precision: str = option(
        "float32",
        choices=("float32", "bfloat16"),
        help="Precision of the model's convolutions: float32 or bfloat16.",
    )
    visual_degrees: float | None = option(
        None,
        above=0,
        help="Width of the images (degrees of visual angle), if nothing states it.",
        default_text="the model's field, for a folder",
    )
    duration_ms: float = option(100.0, above=0, help="Duration (ms) of the images of a folder.")
    compute: Compute = field(default_factory=Compute)

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.model:
            raise NeurofitError("Name a model (neurofit list models).", option="model")
        if not self.images and not self.recording:
            raise NeurofitError("Name a folder of images, or a recording.", option="images")


@dataclass(frozen=True, kw_only=True)
class FeaturesPlan:
    """What will be written: the model, origin of its weights, units of layers, stimuli, bytes."""

    model: str
    weights: str
    layer_units: dict[str, int]
    n_timesteps: int
    n_stimuli: int
    n_bytes: int


def write_features(
    config: FeaturesConfig,
    path: str | Path,
    *,
    on_plan: Callable[[FeaturesPlan], None] | None = None,
    progress: Progress | None = None,
) -> bool:
    """Write the features of a model as netCDF: for each layer (timestep stimulus unit), float32.

    A layer that is constant over time has no dimension timestep. Stimuli are selected by their ids
    and timesteps by their start in ms (`Dataset.sel`); the units are those of a layer whose `shape`
    is among the attributes. The attributes of the file say where the features come from.
    `xarray.open_dataset` reads it lazily.

    Parameters
    ----------
    config
        Model, images and presentation.
    path
        File; one that an earlier call has written is replaced.
    on_plan
        Called with the plan before the first image.
    progress
        Called with (what is being done, steps done, steps in total).

    Returns
    -------
    bool
        Whether a file was replaced.

    Raises
    ------
    NeurofitError
        Unknown names, a path that cannot be written or has another file, and whatever the model
        refuses.
    MachineError
        If the disk has no room for the features twice: before they are in the file they are in
        NEUROFIT_HOME.
    """
    place = Path(path)
    replaced = check_replaceable(place, "extract", what="features")
    asked = source_options(config.model, config.layers, config.ms_per_timestep)
    model = create_model(config.model, weights=config.weights, seed=config.model_seed, **asked)
    stimuli = _find_stimuli(config, model, progress)
    layers = tuple(model.layers)
    if not isinstance(config.layers, str):
        layers = find_names(model, config.layers)
    shown = find_presentation(
        model,
        config.presentation,
        duration_ms=stimuli.duration_ms,
        until_ms=last_ms(stimuli, None),
    )
    shapes = layer_shapes(model, layers)
    units = {layer: math.prod(shape) for layer, shape in shapes.items()}
    constant = is_static(model) and stimuli.frame_ms is None
    n_steps = 1 if constant else shown.n_timesteps
    n_bytes = 4 * len(stimuli) * n_steps * sum(units.values())
    if on_plan:
        on_plan(
            FeaturesPlan(
                model=model.name,
                weights=model.weights_origin,
                layer_units=units,
                n_timesteps=n_steps,
                n_stimuli=len(stimuli),
                n_bytes=n_bytes,
            )
        )
    home().mkdir(parents=True, exist_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    same_disk = home().stat().st_dev == place.parent.stat().st_dev
    check_free_space(home() / "activations", n_bytes * (1 + same_disk))
    check_free_space(place, n_bytes)
    found = extract(
        model,
        stimuli,
        layers=layers,
        presentation=shown,
        batch_size=config.compute.batch_size,
        device=find_device(config.compute.device),
        precision=config.precision,
        progress=progress,
    )
    with atomic_file(place) as temporary, h5netcdf.File(temporary, "w") as file:
        facts = {"weights": model.weights_origin, "model_seed": config.model_seed}
        noted = replace(found, provenance={**found.provenance, **facts})
        _write(file, noted, stimuli, config, shapes, progress)
    return replaced


def _find_stimuli(config: FeaturesConfig, model: Any, progress: Progress | None) -> StimulusSet:
    """Return the images of the recording or of the folder."""
    if config.recording:
        asked = RunConfig(recording=config.recording, images=config.images)
        recording = find_recording(asked, progress=progress)
        degrees = config.visual_degrees
        return with_requirements(recording, visual_degrees=degrees, trial_start=True).stimuli
    folder = Path(str(config.images))
    if not folder.is_dir():
        raise NeurofitError(f"images must be a folder; {folder} is none.", option="images")
    names = images_in(folder)
    if not names:
        raise NeurofitError(f"{folder} holds no images.", option="images")
    return StimulusSet(
        name=folder.name,
        table=pd.DataFrame({"stimulus_id": names}),
        images=ImageFiles([folder / name for name in names], keep=False),
        visual_degrees=config.visual_degrees or model.visual_degrees,
        duration_ms=config.duration_ms,
        assumed=() if config.visual_degrees else ("visual_degrees",),
    )


def _write(
    file: Any,
    found: Activations,
    stimuli: StimulusSet,
    config: FeaturesConfig,
    shapes: Mapping[str, tuple[int, ...]],
    progress: Progress | None,
) -> None:
    """Write activations into an open netCDF file, block by block."""
    steps = sorted({step for _, step in found.blocks})
    ms = found.ms_per_timestep
    file.dimensions = {"stimulus": len(stimuli), "timestep": len(steps)}
    ids = np.array([str(each) for each in stimuli.ids], dtype=object)
    file.create_variable("stimulus", ("stimulus",), dtype=h5py.string_dtype(), data=ids)
    for name, edge in (("timestep", 0), ("time_end", 1)):
        times = file.create_variable(
            name, ("timestep",), data=np.array([ms * (step + edge) for step in steps])
        )
        times.attrs["units"] = "ms"
        times.attrs["long_name"] = f"{('start', 'end')[edge]} of the timestep, from stimulus onset"
    file.attrs["coordinates"] = "time_end"
    for done, layer in enumerate(found.layers, start=1):
        blocks = [found.blocks[layer, step] for step in steps]
        constant = all(block is blocks[0] for block in blocks)
        n_units = blocks[0].shape[1]
        name = layer.replace("/", "_")
        file.dimensions[f"unit_{name}"] = n_units
        dims = ("stimulus", f"unit_{name}")
        values = file.create_variable(
            name, dims if constant else ("timestep", *dims), dtype=np.float32
        )
        values.attrs["layer"] = layer
        values.attrs["shape"] = np.array(shapes[layer])
        values.attrs["first_timestep"] = ms * found.first_timestep[layer]
        rows = max(1, COPIED_BYTES // (4 * n_units))
        for number, block in enumerate(blocks[:1] if constant else blocks):
            for start in range(0, len(stimuli), rows):
                part = slice(start, min(start + rows, len(stimuli)))
                values[(part,) if constant else (number, part)] = block[part]
        if progress:
            progress("layers written", done, len(found.layers))
    bins = [(ms * step, ms * (step + 1)) for step in steps]
    facts = {
        **found.provenance,
        "presentation": found.presentation and vars(found.presentation),
        "ms_per_timestep": ms,
    }
    options = {each.name: getattr(config, each.name) for each in options_of(config)}
    file.attrs["analysis"] = "extract"
    file.attrs["model"] = found.model
    file.attrs["stimuli"] = stimuli.name
    file.attrs["stimuli_sha256"] = stimuli.images_sha256()
    file.attrs["activations"] = to_json(facts)
    file.attrs["config"] = to_json(options)
    file.attrs["notes"] = to_json(image_notes(found, stimuli, bins, layers=found.layers))
    file.attrs["versions"] = package_versions()
