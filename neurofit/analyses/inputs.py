"""What a run starts from: the recording and the model's activations, by name."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from neurofit.activations.activations import check_inputs
from neurofit.activations.blocks import LazyBlocks
from neurofit.activations.records import load_record, save_record
from neurofit.analyses.analysis import Cost, analysis_of
from neurofit.analyses.identity import extraction_key
from neurofit.config.compute import Compute, Progress, find_device, total_bytes
from neurofit.errors import NeurofitError

if TYPE_CHECKING:
    from neurofit.activations.activations import Activations
    from neurofit.activations.blocks import Blocks
    from neurofit.activations.presentation import Presentation
    from neurofit.analyses.run import RunConfig
    from neurofit.recordings.recording import Recording
    from neurofit.recordings.stimuli import StimulusSet
    from neurofit.recordings.time_bins import TimeBin

MAX_FITS = 10**8
"""Largest number of maps of a run; they take weeks."""

BRAINSCORE = "brainscore:"
"""Prefix of models and benchmarks of Brain-Score."""


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
    seconds
        Duration of the images' way through the model, from one image on the CPU; larger batches
        and other devices are faster.
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
    seconds: float = 0.0
    disk_bytes: int = 0
    cost: Cost | None = None


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


def find_activations(
    config: RunConfig,
    recording: Recording,
    *,
    on_plan: Callable[[Plan], None] | None,
    progress: Progress | None,
) -> Activations:
    """Return the activations of the configuration's model for the stimuli of a recording.

    With baselines these are of all its layers, otherwise of those that the analysis needs.
    """
    name, region = str(config.model), recording.regions[0]
    stimuli = recording.stimuli
    if config.shuffle_stimuli:
        stimuli = stimuli.shuffled(config.model_seed)
    if name.startswith(BRAINSCORE):
        stimuli.need_stills(name)
        if on_plan:
            on_plan(Plan(recording=recording, model=name, weights="a model of Brain-Score"))
        candidate, shown = import_brainscore("candidate"), replace(recording, stimuli=stimuli)
        found = candidate.activations_of(name.removeprefix(BRAINSCORE), shown, region=region)
        return noted(found, config, weights="a model of Brain-Score")

    device = find_device(config.compute.device)
    key = extraction_key(config, recording, device)
    if config.compute.keep_grams and not _needs_baselines(config):
        recorded = key and _recorded(config, recording, stimuli, key, device, on_plan, progress)
        if recorded:
            return recorded

    from neurofit.activations.baselines import last_driven
    from neurofit.activations.extract import extract_lazily, last_ms
    from neurofit.activations.memory import count_units
    from neurofit.activations.model import find_presentation, is_static
    from neurofit.models import WrappedModel, create_model

    named = getattr(config.analysis, "layers", "auto")
    asked = source_options(name, named, config.ms_per_timestep)
    network = create_model(name, weights=config.weights, seed=config.model_seed, **asked)
    time_bins = needed_bins(config.analysis, recording)
    presentation = find_presentation(
        network,
        config.presentation,
        duration_ms=stimuli.duration_ms,
        until_ms=last_ms(stimuli, time_bins),
    )
    scored = needed_layers(config.analysis, network, region)
    layers = tuple(network.layers) if _needs_all_layers(config) else scored
    if _needs_baselines(config):  # the last step that the image drives may lie in no time bin
        width = network.ms_per_timestep
        last = {last_driven(presentation, network.first_timestep[each]) for each in layers}
        time_bins += [(width * step, width * (step + 1)) for step in sorted(last)]
    begun = time.perf_counter()
    units = count_units(network, layers)
    seconds = time.perf_counter() - begun  # a step of one image; of a wrapped one, all steps
    n_timesteps = _n_timesteps(presentation, network.ms_per_timestep, time_bins)
    wrapped = isinstance(network, WrappedModel)
    plan = _planned(
        config,
        recording,
        model=network.name,
        weights=network.weights_origin,
        units=units,
        scored=scored,
        device=device,
        seconds=seconds * (1 if wrapped else n_timesteps),
        n_timesteps=1 if wrapped and not network.recurrent else n_timesteps,  # one array for all
    )
    if on_plan:
        on_plan(plan)
    _check_cost(plan.cost, config.compute)
    found = extract_lazily(
        network,
        stimuli,
        layers=layers,
        time_bins=time_bins,
        presentation=presentation,
        batch_size=config.compute.batch_size,
        device=device,
        precision=config.precision,
        progress=progress,
        images_sha256="" if config.compute.keep_grams else key,
        on_extracted=lambda: save(),
    )
    found = noted(found, config, weights=network.weights_origin)
    known = replace(found, blocks={}, _storage=None)  # the files are deleted with `found`

    def save() -> None:
        if key and config.compute.keep_grams and not _needs_baselines(config):
            static = is_static(network)
            save_record(known, key, layers=network.layers, units=units, static=static)

    save()
    return found


def _needs_baselines(config: RunConfig) -> bool:
    """Return whether baselines are analysed, or what a model is compared with is one."""
    from neurofit.activations.baselines import BASELINES

    return config.baselines or getattr(config.analysis, "against", "") in BASELINES


def _needs_all_layers(config: RunConfig) -> bool:
    """Return whether the baselines that are needed consist of all layers of the model."""
    return config.baselines or getattr(config.analysis, "against", "") == "layers-over-time"


def source_options(
    name: str, layers: str | Sequence[str] | None, ms_per_timestep: int | None
) -> dict[str, Any]:
    """Return the options with which a network of a source is built; none for registered models.

    Raises
    ------
    NeurofitError
        If a registered model is given the duration of its timesteps.
    """
    from neurofit.models import find_name

    sourced = find_name(name) is not None
    asked: dict[str, Any] = {}
    if sourced and not isinstance(layers, str):
        asked["layers"] = layers
    if ms_per_timestep is None:
        return asked
    if not sourced:
        raise NeurofitError(
            f"ms_per_timestep is for networks of sources and of your own; {name} states that of "
            "its timesteps.",
            option="ms_per_timestep",
        )
    return {**asked, "ms_per_timestep": ms_per_timestep}


def _recorded(
    config: RunConfig,
    recording: Recording,
    stimuli: StimulusSet,
    key: str,
    device: str,
    on_plan: Callable[[Plan], None] | None,
    progress: Progress | None,
) -> Activations | None:
    """Return recorded activations, if they have the layers and bins that the analysis needs.

    The model is built only when features are needed whose Gram matrix is not cached.
    """

    def make() -> Blocks:
        from neurofit.activations.extract import continued_folder, correct_unseen, extract
        from neurofit.models import create_model

        steps = {step for time_bin in time_bins for step, _ in found.timesteps(time_bin)}
        own = {key: sha256 for key, sha256 in found.probes.items() if key[1] in steps}
        asked_for = {key: own[key] for key in own if key[0] in layers}
        size = config.compute.batch_size

        made = extract(
            create_model(str(config.model), weights=config.weights, seed=config.model_seed),
            stimuli,
            layers=layers,
            time_bins=time_bins,
            presentation=config.presentation,
            batch_size=size,
            device=device,
            precision=config.precision,
            progress=progress,
            folder=continued_folder(replace(found, probes=asked_for), size),
        )
        held.append(made)  # its files are deleted with it
        correct_unseen(unseen, made)
        return made.blocks

    held: list[Activations] = []
    record = load_record(key, stimuli.ids)
    if record is None:
        return None
    layers = needed_layers(config.analysis, record, recording.regions[0])
    if any(layer not in record.units for layer in layers):
        return None
    time_bins = needed_bins(config.analysis, recording)
    end = record.activations.ms_per_timestep * record.activations.n_timesteps
    if record.static and any(last > end for _, last in time_bins):
        return None  # it lasts as long as the bins of the record
    asked = tuple(key for key in record.activations.probes if key[0] in layers)
    unseen = dict(record.activations.unseen)
    found = replace(record.activations, blocks=LazyBlocks(asked, make), unseen=unseen)
    try:
        check_inputs(found, recording)
    except NeurofitError:  # it lacks timesteps of these bins
        return None
    own = time_bins[len(recording.time_bins) :]
    steps = {step for time_bin in own for step, _ in found.timesteps(time_bin)}
    if any((layer, step) not in found.probes for layer in layers for step in steps):
        return None
    shown: Any = found.presentation
    plan = _planned(
        config,
        recording,
        model=found.model,
        weights=str(found.provenance["weights"]),
        units={layer: record.units[layer] for layer in layers},
        scored=layers,
        device=device,
        n_timesteps=_n_timesteps(shown, found.ms_per_timestep, time_bins),
    )
    if on_plan:
        on_plan(plan)
    _check_cost(plan.cost, config.compute)
    return found


def _check_cost(cost: Cost | None, compute: Compute) -> None:
    """Refuse work that would not end, or would not fit into memory, before it begins."""
    if cost is None:
        return
    if cost.n_fits > MAX_FITS:
        raise NeurofitError(
            f"{cost.n_fits:,} maps would have to be fitted; at most {MAX_FITS:,} are. Use fewer "
            "splits, halves or groups of a jackknife."
        )
    most = total_bytes() if compute.memory is None else int(1e9 * compute.memory)
    if cost.n_bytes > most:
        rule = "the machine has" if compute.memory is None else "memory is limited to"
        raise NeurofitError(
            f"The fits would take about {cost.n_bytes / 1e9:,.3g} GB, but {rule} "
            f"{most / 1e9:,.3g} GB. Use fewer n_jobs, splits, halves or bootstrap samples.",
            option="" if compute.memory is None else "memory",
        )


def _n_timesteps(presentation: Presentation, ms_per_timestep: int, time_bins: Any) -> int:
    """Return how many timesteps time bins overlap."""
    from neurofit.recordings.time_bins import timestep_weights

    n_timesteps = presentation.n_timesteps
    weights = timestep_weights(
        list(time_bins), n_timesteps=n_timesteps, ms_per_timestep=ms_per_timestep
    )
    return int(weights.any(axis=0).sum())


def _planned(
    config: RunConfig,
    recording: Recording,
    *,
    model: str,
    weights: str,
    units: Mapping[str, int],
    scored: Sequence[str],
    device: str,
    n_timesteps: int,
    seconds: float = 0.0,
) -> Plan:
    cost = analysis_of(config.analysis).cost
    sizes = {layer: units[layer] for layer in scored}
    return Plan(
        recording=recording,
        model=model,
        weights=weights,
        layer_units=units,
        device=device,
        seconds=seconds * len(recording.stimuli),
        disk_bytes=4 * len(recording.stimuli) * n_timesteps * sum(units.values()),
        cost=cost and cost(recording, config.analysis, sizes, config.compute),
    )


def needed_layers(analysis: Any, network: Any, region: str) -> tuple[str, ...]:
    """Return the layers that an analysis needs: its `layers_for`, else those of the region."""
    if hasattr(analysis, "layers_for"):
        return tuple(analysis.layers_for(network, region))
    return tuple(network.region_layers.get(region, network.layers))


def needed_bins(analysis: Any, recording: Recording) -> list[TimeBin]:
    """Return the time bins whose timesteps an analysis needs: a recording's, and its own."""
    own = analysis.model_bins(recording) if hasattr(analysis, "model_bins") else []
    return [*recording.time_bins, *own]


def noted(activations: Activations, config: RunConfig, *, weights: str) -> Activations:
    """Return activations that say which weights, seed and control they come from."""
    facts = {**activations.provenance, "weights": weights, "model_seed": config.model_seed}
    if config.shuffle_stimuli:
        facts["control"] = "shuffled stimuli"
    return replace(activations, provenance=facts)
