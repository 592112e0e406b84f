"""Run an analysis from names: what the command line does, without printing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from neurofit.analyses.analysis import ANALYSES, Cost, analysis_of
from neurofit.analyses.predictivity.config import ScoreConfig
from neurofit.config.compute import Compute, Progress, find_device
from neurofit.config.options import (
    check_fields,
    one_or_several,
    option,
    options_of,
    parse_names,
)
from neurofit.errors import NeurofitError
from neurofit.recordings.selection import Selection, ids_in
from neurofit.recordings.time_bins import parse_time_bin
from neurofit.results.provenance import RUN, to_json

if TYPE_CHECKING:
    from neurofit.activations.activations import Activations
    from neurofit.recordings.recording import Recording

BRAINSCORE = "brainscore:"
"""Prefix of models and benchmarks of Brain-Score."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that decides a result: model, recording, selection and analysis.

    Parameters
    ----------
    model
        Registered model (`list_models`), "brainscore:ID", or several for `run_each`; not used by
        an analysis of a recording alone.
    recording
        Registered recording (`list_recordings`), path of a file or folder, or "brainscore:ID".
    selection
        Part of the recording.
    analysis
        Configuration of a registered analysis, a `ScoreConfig` for example.
    weights
        "auto" (bundled, else downloaded, else random), "random", or the path of a .safetensors
        file.
    model_seed
        Random seed for random weights and for `shuffle_stimuli`.
    presentation
        Presentation of the images: "neural", "default" or "constant".
    precision
        Precision of the model's convolutions: "float32" or "bfloat16".
    shuffle_stimuli
        Whether to pair responses with the wrong images, as a control.
    images, time_bin
        For a recording given by path: its images, if they are not beside it, and (start, end) in
        ms of its only bin, if the file does not state it.
    compute
        Device, cores, batch size and cache; these do not change a result.

    Raises
    ------
    NeurofitError
        If an option is unknown or out of its range.
    """

    model: str | Sequence[str] = option(
        "",
        parse=parse_names,
        metavar="NAME,...",
        help="Registered model or models (neurofit list models), or brainscore:ID.",
    )
    recording: str | Path = option(
        "hvm-sim",
        panel="Recording",
        parse=str,
        help="Registered recording (neurofit list recordings), a path, or brainscore:BENCHMARK.",
    )
    selection: Selection = field(default_factory=Selection)
    analysis: Any = field(default_factory=ScoreConfig)
    weights: str | Path = option(
        "auto",
        parse=str,
        help="Weights: auto (bundled, else downloaded, else random), random, or a file.",
    )
    model_seed: int = option(
        0, least=0, help="Random seed for untrained weights and for --shuffle-stimuli."
    )
    presentation: str = option("neural", help="Presentation of the images to the model.")
    precision: str = option(
        "float32",
        choices=("float32", "bfloat16"),
        help="Precision of the model's convolutions: float32 or bfloat16.",
    )
    shuffle_stimuli: bool = option(
        False, panel="Recording", help="Control: pair the responses with the wrong images."
    )
    images: str | Path | None = option(
        None,
        panel="Recording",
        parse=str,
        help="Images of a recording given by path: a table, zip or folder.",
        default_text="beside it",
    )
    time_bin: tuple[int, int] | None = option(
        None,
        panel="Recording",
        parse=parse_time_bin,
        metavar="START:END",
        help="Time window (ms) of a file with a single bin that does not state it.",
    )
    compute: Compute = field(default_factory=Compute)

    def __post_init__(self) -> None:
        check_fields(self)
        analysis_of(self.analysis)

    def as_attrs(self) -> dict[str, Any]:
        """Return all options but those of the analysis and of `compute`, for the attribute `run`.

        Stimuli that a file lists are stored themselves. The paths of a recording, of its images and
        of weights are stored as given; what the files contain is known by its sha256.
        """
        chosen = {each.name: getattr(self.selection, each.name) for each in fields(self.selection)}
        asked = chosen["stimuli"]
        if isinstance(asked, str | Path) and str(asked) and "=" not in str(asked):
            chosen["stimuli"] = ids_in(Path(asked))
        own = {each.name: getattr(self, each.name) for each in options_of(self)}
        return {**own, "selection": chosen}

    def each(self) -> list[RunConfig]:
        """Return one configuration for each combination of a model, an area and an animal."""
        return [
            replace(self, model=model, selection=selection)
            for model in one_or_several(self.model) or ("",)
            for selection in self.selection.each()
        ]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is going to be analysed and what it takes, known before the work begins.

    Parameters
    ----------
    recording
        The selected part of the recording.
    model, weights
        Name of the model and origin of its weights; empty without a model.
    layer_units
        Number of units of each layer; empty if it is not known.
    device
        Device of the model.
    disk_bytes
        Disk space of the activations.
    cost
        Maps to fit and memory, where the analysis estimates them.
    """

    recording: Recording
    model: str = ""
    weights: str = ""
    layer_units: Mapping[str, int] = field(default_factory=dict)
    device: str = ""
    disk_bytes: int = 0
    cost: Cost | None = None


def run(
    config: RunConfig,
    *,
    on_plan: Callable[[Plan], None] | None = None,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Run an analysis and return its result, as the command line does.

    Parameters
    ----------
    config
        One model, region and subject at most; see `run_each` for several.
    on_plan
        Called with the plan before the work begins.
    progress
        Called with (what is being done, steps done, steps in total).

    Returns
    -------
    Dataset following the contract of results (docs/results.md).

    Raises
    ------
    NeurofitError
        Unknown names, faults of the recording, and whatever the analysis refuses.
    MachineError
        A download that fails, a full disk.
    """
    configs = config.each()
    if len(configs) > 1:
        raise NeurofitError(
            f"run returns one result; this configuration asks for {len(configs)}. Use run_each."
        )
    config = configs[0]
    analysis = analysis_of(config.analysis)
    if analysis.models and not config.model:
        raise NeurofitError(f"{analysis.name} needs a model: name one (neurofit list models).")
    whole = find_recording(config, progress=progress)
    if analysis.models:
        whole.stimuli.need_images()
    recording = config.selection.apply(whole)
    _need_one_region(analysis.models, recording)
    if not analysis.models:
        if on_plan:
            on_plan(Plan(recording=recording))
        activations = None
    else:
        from neurofit.recordings.validation import validate_recording

        if hasattr(config.analysis, "check_columns"):
            config.analysis.check_columns(map(str, recording.stimuli.table))
        validate_recording(recording)
        activations = _activations(config, recording, on_plan=on_plan, progress=progress)
    result = analysis.run(
        activations, recording, config.analysis, compute=config.compute, progress=progress
    )
    return result.assign_attrs({RUN: to_json(config.as_attrs())})


def run_each(
    config: RunConfig,
    *,
    on_plan: Callable[[Plan], None] | None = None,
    progress: Progress | None = None,
) -> Iterator[xr.Dataset]:
    """Yield the result of each combination of a model, an area and an animal; see `run`."""
    for each in config.each():
        yield run(each, on_plan=on_plan, progress=progress)


def find_recording(
    config: RunConfig, *, checked: bool = True, progress: Progress | None = None
) -> Recording:
    """Return the recording of a configuration: registered, by path, or of Brain-Score."""
    from neurofit.data_loaders import recordings

    name = str(config.recording)
    if name.startswith(BRAINSCORE):
        if config.time_bin is not None:
            raise NeurofitError(
                f"time_bin is for a file that does not state it; {name} does.", option="time_bin"
            )
        candidate = import_brainscore("candidate")
        return candidate.recording_of(name.removeprefix(BRAINSCORE))  # type: ignore[no-any-return]
    load = recordings.load_recording if checked else recordings.read_recording
    return load(config.recording, images=config.images, time_bin=config.time_bin, progress=progress)


def import_brainscore(module: str) -> Any:
    """Return a module of `neurofit.brainscore`.

    Raises
    ------
    NeurofitError
        If Brain-Score is not installed, with how to install it.
    """
    try:
        return import_module(f"neurofit.brainscore.{module}")
    except ImportError as error:
        raise NeurofitError(str(error)) from error


def _need_one_region(models: int, recording: Recording) -> None:
    if models and len(recording.regions) != 1:
        raise NeurofitError(
            f"Name the region to analyse: {recording.name} has {', '.join(recording.regions)}."
        )


def _activations(
    config: RunConfig,
    recording: Recording,
    *,
    on_plan: Callable[[Plan], None] | None,
    progress: Progress | None,
) -> Activations:
    """Return the activations of the configuration's model for the stimuli of a recording."""
    name, region = str(config.model), recording.regions[0]
    stimuli = recording.stimuli
    if config.shuffle_stimuli:
        stimuli = stimuli.shuffled(config.model_seed)
    if name.startswith(BRAINSCORE):
        if on_plan:
            on_plan(Plan(recording=recording, model=name, weights="a model of Brain-Score"))
        candidate, shown = import_brainscore("candidate"), replace(recording, stimuli=stimuli)
        found = candidate.activations_of(name.removeprefix(BRAINSCORE), shown, region=region)
        return _noted(found, config, weights="a model of Brain-Score")

    from neurofit.activations.extract import extract, extract_lazily
    from neurofit.activations.memory import count_units
    from neurofit.activations.model import find_presentation
    from neurofit.models import create_model
    from neurofit.recordings.time_bins import timestep_weights

    network = create_model(name, weights=config.weights, seed=config.model_seed)
    device = find_device(config.compute.device)
    presentation = find_presentation(network, config.presentation)
    layers = _layers(config.analysis, network, region)
    if on_plan:
        units = count_units(network, layers)
        weights = timestep_weights(
            recording.time_bins,
            n_timesteps=presentation.n_timesteps,
            ms_per_timestep=network.ms_per_timestep,
        )
        n_timesteps = int(weights.any(axis=0).sum())
        cost = analysis_of(config.analysis).cost
        on_plan(
            Plan(
                recording=recording,
                model=network.name,
                weights=network.weights_origin,
                layer_units=units,
                device=device,
                disk_bytes=4 * len(stimuli) * n_timesteps * sum(units.values()),
                cost=cost and cost(recording, config.analysis, units, config.compute),
            )
        )
    found = (extract_lazily if config.compute.keep_grams else extract)(
        network,
        stimuli,
        layers=layers,
        time_bins=recording.time_bins,
        presentation=presentation,
        batch_size=config.compute.batch_size,
        device=device,
        precision=config.precision,
        progress=progress,
    )
    return _noted(found, config, weights=network.weights_origin)


def _layers(analysis: Any, network: Any, region: str) -> tuple[str, ...]:
    """Return the layers that an analysis needs: its `layers_for`, else those of the region."""
    if hasattr(analysis, "layers_for"):
        return tuple(analysis.layers_for(network, region))
    return tuple(network.region_layers.get(region, network.layers))


def _noted(activations: Activations, config: RunConfig, *, weights: str) -> Activations:
    noted = {**activations.provenance, "weights": weights, "model_seed": config.model_seed}
    if config.shuffle_stimuli:
        noted["control"] = "shuffled stimuli"
    return replace(activations, provenance=noted)


def list_analyses() -> list[str]:
    """Return the names of the registered analyses."""
    return list(ANALYSES)
