"""Show the images of several runs to their model once, and cache what the fits need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from neurofit.activations.activations import Activations
from neurofit.activations.grams import GramStore
from neurofit.analyses.checks import check_recording
from neurofit.analyses.encoding.config import EncodingConfig
from neurofit.analyses.encoding.mappings import find_mappings, gram_precision, mapping_device
from neurofit.analyses.identity import extraction_key
from neurofit.analyses.inputs import (
    BRAINSCORE,
    find_recording,
    needed_layers,
    noted,
    source_options,
)
from neurofit.analyses.run import RunConfig
from neurofit.config.compute import Progress, find_device
from neurofit.errors import NeurofitError
from neurofit.mapping.reduce import Reduction
from neurofit.recordings.recording import Recording
from neurofit.recordings.validation import validate_recording


@dataclass(frozen=True)
class RunPart:
    """A run, the part of the recording that it selects, and the layers that it needs."""

    config: RunConfig
    recording: Recording
    layers: tuple[str, ...]


def prepare(configs: Sequence[RunConfig], *, progress: Progress | None = None) -> None:
    """Extract activations for runs that share them, and cache their Gram matrices.

    The images pass through the model once, for the layers and time bins of all runs. Then `run`
    with `Compute(keep_grams=True)` needs no image, except for a map that all time bins share, whose
    features are extracted again. It needs the model only if this is of a source: the hash of its
    weights is not known before it is built. Models of Brain-Score have no Gram matrices.

    Parameters
    ----------
    configs
        Runs of one model, with the same weights, presentation and precision, on the same stimuli
        of one recording; their areas, layers, time bins, mappings and options may differ.
    progress
        Called with (what is being done, steps done, steps in total).

    Raises
    ------
    NeurofitError
        If the model or the recording is refused. A run that is refused for other reasons is left
        out, and says why when it is run.
    """
    first = configs[0]
    if str(first.model).startswith(BRAINSCORE):
        return
    whole = check_recording(first, find_recording(first, progress=progress))
    named: dict[bool, list[RunConfig]] = {}
    for config in configs:  # a network of a source is built with the layers that are named
        layers = getattr(config.analysis, "layers", "auto")
        named.setdefault(not isinstance(layers, str), []).append(config)
    for group in named.values():
        _prepare(group, whole, progress)


def _prepare(configs: Sequence[RunConfig], whole: Recording, progress: Progress | None) -> None:
    """Extract activations for runs that share a model, and cache their Gram matrices."""
    from neurofit.activations.extract import extract_lazily
    from neurofit.activations.memory import count_units
    from neurofit.activations.model import is_static
    from neurofit.activations.records import load_record, save_record
    from neurofit.models import create_model

    first, name = configs[0], str(configs[0].model)
    device = find_device(first.compute.device)
    asked: Any = [getattr(config.analysis, "layers", "auto") for config in configs]
    asked = asked[0] if isinstance(asked[0], str) else list(dict.fromkeys(chain(*asked)))
    options = source_options(name, asked, first.ms_per_timestep)
    network = create_model(name, weights=first.weights, seed=first.model_seed, **options)
    parts = [each for config in configs if (each := _part(config, whole, network))]
    if not parts:
        return
    recordings = [part.recording for part in parts]
    stimuli = recordings[0].stimuli
    key = extraction_key(first, recordings[0], device)
    if first.shuffle_stimuli:
        stimuli = stimuli.shuffled(first.model_seed)
    layers = [each for each in network.layers if any(each in part.layers for part in parts)]
    found: Activations = extract_lazily(
        network,
        stimuli,
        layers=layers,
        time_bins=sorted({each for recording in recordings for each in recording.time_bins}),
        presentation=first.presentation,
        batch_size=first.compute.batch_size,
        device=device,
        precision=first.precision,
        progress=progress,
        on_extracted=lambda: save(),
    )
    found = noted(found, first, weights=network.weights_origin)
    units, static = count_units(network, layers), is_static(network)
    known = replace(found, blocks={}, _storage=None)  # the files are deleted with `found`

    def save() -> None:
        if key:
            save_record(known, key, layers=network.layers, units=units, static=static)

    record = load_record(key, stimuli.ids) if key else None
    if record is None or not set(found.probes) <= set(record.activations.probes):
        save()
    stores: dict[Any, GramStore] = {}
    wanted = [(part, layer) for part in parts for layer in part.layers]
    for done, (part, layer) in enumerate(wanted, start=1):
        _cache(found, part.config, part.recording, layer, stores)
        if progress:
            progress("layers prepared", done, len(wanted))


def _part(config: RunConfig, whole: Recording, network: Any) -> RunPart | None:
    """Return what a run needs of a recording and a model; None if it will be refused."""
    try:
        recording = config.selection.apply(whole)
        validate_recording(recording)
        layers = needed_layers(config.analysis, network, recording.regions[0])
        return RunPart(config, recording, layers)
    except NeurofitError:  # it says why when it is run
        return None


def _cache(
    activations: Activations,
    config: RunConfig,
    recording: Recording,
    layer: str,
    stores: dict[Any, GramStore],
) -> None:
    """Cache the Gram matrices of a layer in each time bin, as the fits of a run ask for them."""
    analysis = config.analysis
    if not isinstance(analysis, EncodingConfig) or analysis.time_mode == "fixed":
        return
    device = mapping_device(config.compute.device)
    precision = gram_precision(analysis, find_mappings(analysis, device=device))
    reduction = Reduction(analysis.reduce, analysis.seed)
    time_bins = recording.time_bins
    which = (precision, reduction.rule, reduction.seed, tuple(time_bins))
    if which not in stores:
        stores[which] = GramStore(
            activations,
            time_bins,
            precision=precision,
            reduction=reduction,
            device=device,
            keep=True,
        )
    covered = activations.covered(layer, time_bins)
    for time_bin, inside in zip(time_bins, covered, strict=True):
        if inside:
            stores[which].gram(layer, [time_bin])
