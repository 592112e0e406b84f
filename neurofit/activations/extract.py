"""Extract a model's activations, without holding all timesteps in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from neurofit.activations.activations import Activations
from neurofit.activations.blocks import Blocks, BlockWriter, LazyBlocks
from neurofit.activations.memory import fitting_batch_size
from neurofit.activations.model import (
    PRECISIONS,
    Model,
    autocast,
    evaluating,
    find_layers,
    find_presentation,
    layout_of,
    weights_sha256,
)
from neurofit.activations.presentation import Presentation
from neurofit.activations.screen import describe_screen, load_clips, load_images
from neurofit.config import xla
from neurofit.config.compute import Progress
from neurofit.errors import NeurofitError, check_option
from neurofit.recordings.stimuli import StimulusSet
from neurofit.recordings.time_bins import TimeBin, timestep_weights
from neurofit.storage.unfinished import Unfinished

N_PROBES = 4
"""Stimuli, evenly spaced, whose activations are part of a fingerprint."""


def extract(
    model: Model,
    stimuli: StimulusSet,
    *,
    layers: Sequence[str] | None = None,
    time_bins: Iterable[TimeBin] | None = None,
    presentation: str | Presentation = "neural",
    batch_size: int | None = None,
    device: str | torch.device = "cpu",
    precision: str = "float32",
    storage: str = "disk",
    progress: Progress | None = None,
    folder: Unfinished | None = None,
) -> Activations:
    """Show every stimulus to a model and return the activations of its layers.

    Parameters
    ----------
    model
        Model that follows `neurofit.activations.model.Model`.
    stimuli
        Stimuli, shown at their visual degrees in the model's field.
    layers
        Layers to extract. None extracts all.
    time_bins
        Half-open bins in ms: only timesteps that they overlap are extracted. None extracts all.
    presentation
        Name of one of the model's presentations, or an explicit one. "neural" switches the image
        off when the recording did (`StimulusSet.duration_ms`).
    batch_size
        Images per batch. None fills the device's free memory; see `fitting_batch_size`.
    device
        Torch device on which the model runs; "xla" for a TPU.
    precision
        Precision of the model's convolutions: "float32" or "bfloat16" (torch's autocast), which is
        faster on hardware that supports it and changes activations by about 1%. Activations are
        stored as float32.
    storage
        "disk" (temporary files in NEUROFIT_HOME) or "memory".
    progress
        Called with ("images through the model", images done, images in total).
    folder
        Folder of the files (storage "disk"): the batches that a killed process has written into it
        are not computed again.

    Returns
    -------
    Activations
        Activations, whose files are deleted with the object. Timesteps at which a layer does not
        change share one array.

    Raises
    ------
    NeurofitError
        If a layer, presentation, precision or storage is unknown, an image cannot be read, or
        activations are not finite.
    MachineError
        If the disk is full.

    Examples
    --------
    >>> import neurofit
    >>> stimuli = neurofit.load_recording("hvm-sim").stimuli
    >>> model = neurofit.create_model("rgc_tiny")
    >>> activations = neurofit.extract(model, stimuli, layers=["conv3"], time_bins=[(90, 110)])
    >>> activations.layers
    ('conv3',)
    >>> activations.features("conv3", (90, 110)).shape
    (640, 512)
    """
    time_bins = None if time_bins is None else list(time_bins)
    shown = find_presentation(
        model, presentation, duration_ms=stimuli.duration_ms, until_ms=last_ms(stimuli, time_bins)
    )
    names = find_layers(model, layers)
    wanted = _wanted_timesteps(model, shown, time_bins)
    if not wanted:
        raise NeurofitError(
            f"None of the time bins lies in the unroll of {model.name}: {shown.n_timesteps} "
            f"timesteps of {model.ms_per_timestep} ms."
        )
    dtype = PRECISIONS[check_option("precision", precision, PRECISIONS)]
    layout, where = layout_of(model), xla.open_device(device)
    network: Any = model
    if isinstance(model, torch.nn.Module):
        network = model.to(where, memory_format=layout)  # type: ignore[call-overload]
    if batch_size is not None and batch_size < 1:
        raise NeurofitError(f"A batch has at least 1 image; got batch_size={batch_size}.")
    blocks = BlockWriter(len(stimuli), storage, folder=folder)
    per_batch = blocks.batch_size or batch_size or fitting_batch_size(network, device=where)
    screen: dict[str, Any] = {
        "size": model.input_size,
        "field_degrees": model.visual_degrees,
        "interpolation": getattr(model, "interpolation", "bilinear"),
    }
    clip: dict[str, Any] = {
        "n_timesteps": shown.n_timesteps,
        "ms_per_timestep": model.ms_per_timestep,
    }
    if not getattr(model, "takes_clips", False):
        stimuli.need_stills(model.name)
    # Not in inference mode: a forward pass may take gradients, or keep tensors that it makes.
    with torch.no_grad(), evaluating(network), autocast(where, dtype):
        for start in range(blocks.n_done, len(stimuli), per_batch):
            rows = slice(start, min(start + per_batch, len(stimuli)))
            shown_rows = range(rows.start, rows.stop)
            if stimuli.frame_ms is None:
                images = load_images(stimuli, shown_rows, **screen)
            else:
                images = load_clips(stimuli, shown_rows, **clip, **screen)
            images = xla.shard(
                images.to(where, memory_format=layout) if images.ndim == 4 else images.to(where)
            )
            for timestep, activations in network.unroll(images, shown, layers=names):
                xla.sync(where)
                if timestep in wanted:
                    for layer in names:
                        name = f"{model.name}, layer {layer}"
                        blocks.write(layer, timestep, rows, activations[layer], where=name)
                if timestep == max(wanted):
                    break
            blocks.note(rows.stop, per_batch)
            if progress:
                progress("images through the model", rows.stop, len(stimuli))
    sha256 = weights_sha256(network) if isinstance(network, torch.nn.Module) else ""
    return Activations(
        model=model.name,
        stimulus_ids=stimuli.ids,
        blocks={
            (layer, step): blocks.blocks[layer, step] for layer in names for step in sorted(wanted)
        },
        first_timestep=dict(model.first_timestep),
        ms_per_timestep=model.ms_per_timestep,
        n_timesteps=shown.n_timesteps,
        region_layers=dict(model.region_layers),
        presentation=shown,
        provenance={
            "weights_sha256": sha256,
            "device": str(device),
            "precision": precision,
            "input_size": model.input_size,
            "visual_degrees": model.visual_degrees,
            "stimuli": stimuli.name,
            "screen": describe_screen(stimuli, **screen),
            **getattr(model, "provenance", {}),
        },
        unseen=_unseen(blocks, model, names, sorted(wanted)) if len(stimuli) > 1 else {},
        _storage=blocks.folder,
    )


def extract_lazily(
    model: Model,
    stimuli: StimulusSet,
    *,
    time_bins: Iterable[TimeBin] | None = None,
    batch_size: int | None = None,
    storage: str = "disk",
    progress: Progress | None = None,
    images_sha256: str = "",
    on_extracted: Callable[[], None] | None = None,
    **options: Any,
) -> Activations:
    """Return activations with a fingerprint, and extract them when the first is accessed.

    Parameters, further options and errors are those of `extract`. The fingerprint is the sha256 of
    the weights, the presentation and the pixels of all stimuli; `Activations.probes` has those of
    the activations of `N_PROBES` stimuli. What a killed process has extracted of the same
    activations is not extracted again (`Activations.folder`). Until they are extracted,
    `Activations.unseen` is the verdict of these few stimuli, and then that of all.

    Parameters
    ----------
    images_sha256
        Hash of the stimuli, if it is known; it replaces that of the pixels, which takes long.
    on_extracted
        Called when they have been extracted.
    """
    common = {**options, "time_bins": None if time_bins is None else list(time_bins)}
    what = f"{stimuli.visual_degrees} {len(stimuli)} {images_sha256}".rstrip()
    digest = hashlib.sha256(what.encode())
    if stimuli.frame_ms is not None:
        digest.update(f"{stimuli.frame_ms}".encode())
    for row in () if images_sha256 else range(len(stimuli)):
        image = stimuli.images[row] if stimuli.frame_ms is None else stimuli.frames(row)
        digest.update(f"{image.shape} {image.dtype}".encode())
        digest.update(np.ascontiguousarray(image).tobytes())
    rows = sorted({round(row) for row in np.linspace(0, len(stimuli) - 1, N_PROBES)})
    probe = extract(model, stimuli.only(rows), storage="memory", batch_size=N_PROBES, **common)
    identity = [probe.model, probe.provenance["weights_sha256"], repr(probe.presentation)]
    digest.update(json.dumps(identity).encode())
    probes = {
        key: hashlib.sha256(
            f"{block.shape}".encode() + np.ascontiguousarray(block).tobytes()
        ).hexdigest()
        for key in probe.blocks
        for block in [probe.blocks[key]]
    }
    unseen = dict(probe.unseen)
    found = replace(
        probe,
        stimulus_ids=stimuli.ids,
        fingerprint=digest.hexdigest(),
        probes=probes,
        unseen=unseen,
    )
    folder = continued_folder(found, batch_size) if storage == "disk" else None

    def make() -> Blocks:
        rest: dict[str, Any] = {"batch_size": batch_size, "storage": storage, "progress": progress}
        made = extract(model, stimuli, folder=folder, **rest, **common)
        correct_unseen(unseen, made)
        if on_extracted:
            on_extracted()
        return made.blocks

    return replace(found, blocks=LazyBlocks(tuple(iter(probe.blocks)), make), _storage=folder)


def continued_folder(activations: Activations, batch_size: int | None) -> Unfinished:
    """Return the folder of the files of activations, with what a killed process has left in it."""
    probes = [[*key, sha256] for key, sha256 in sorted(activations.probes.items())]
    what = json.dumps([activations.fingerprint, batch_size, len(activations.stimulus_ids), probes])
    return Unfinished(hashlib.sha256(what.encode()).hexdigest()[:24])


def correct_unseen(unseen: dict[str, int], made: Activations) -> None:
    """Replace the verdict of a few stimuli (`Activations.unseen`) by that of extracted ones."""
    for layer, step in made.blocks:
        if unseen.get(layer) == step:
            del unseen[layer]
    unseen.update(made.unseen)


def last_ms(stimuli: StimulusSet, time_bins: Sequence[TimeBin] | None) -> float:
    """Return the end of time bins in ms; without any, that of the stimuli."""
    if time_bins is None:
        return stimuli.duration_ms
    return float(max((end for _, end in time_bins), default=0))


def _unseen(
    blocks: BlockWriter, model: Model, layers: Sequence[str], steps: Sequence[int]
) -> dict[str, int]:
    """Return layer -> timestep from which on its features are the same for all stimuli."""
    found = {}
    for layer in layers:
        driven = (step for step in steps if (layer, step) in blocks.varying)
        last = max(driven, default=model.first_timestep[layer] - 1)
        if later := [step for step in steps if step > last]:
            found[layer] = later[0]
    return found


def _wanted_timesteps(
    model: Model, shown: Presentation, time_bins: Iterable[TimeBin] | None
) -> set[int]:
    if time_bins is None:
        return set(range(shown.n_timesteps))
    weights = timestep_weights(
        list(time_bins), n_timesteps=shown.n_timesteps, ms_per_timestep=model.ms_per_timestep
    )
    return {int(step) for step in np.flatnonzero(weights.any(axis=0))}
