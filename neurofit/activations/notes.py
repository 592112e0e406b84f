"""Sentences about what a model sees of an image over time, beside what the animal saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neurofit.activations.activations import Activations
from neurofit.recordings.stimuli import StimulusSet
from neurofit.recordings.time_bins import TimeBin


def image_notes(
    activations: Activations,
    stimuli: StimulusSet,
    time_bins: Sequence[TimeBin],
    *,
    layers: Sequence[str],
) -> list[str]:
    """Return sentences on when the image and a clip end, and on layers that see no image then.

    Parameters
    ----------
    activations
        Activations of a model; a baseline or a model of Brain-Score has no notes.
    stimuli
        Stimuli, with the duration of each image in the recording.
    time_bins
        Bins that are predicted.
    layers
        Layers that are used.
    """
    shown, ms = activations.presentation, activations.ms_per_timestep
    crop = declared_crop(activations.provenance)
    if shown is None or "baseline" in activations.provenance:
        return []
    name = activations.model
    notes = []
    if crop < 1:
        notes.append(
            f"{name}: the declared central crop ({crop:.1%} of the width) is not applied, since it "
            "would cut the stimulus."
        )
    end = ms * shown.n_timesteps
    used = max((min(last, end) for _, last in time_bins), default=0)
    if shown.image_off is None and shown.n_timesteps > 1 and used > stimuli.duration_ms:
        notes.append(
            f"{name} sees the image at all of its timesteps (0-{end} ms); the recording shows it "
            f"for {stimuli.duration}."
        )
    elif shown.image_off is not None and "duration_ms" in stimuli.assumed:
        notes.append(
            f"{name} sees the image for {ms * shown.image_off} ms; the recording shows it for "
            f"{stimuli.duration}."
        )
    late = [start for start, last in time_bins if last > end]
    if late and str(activations.provenance.get("image", "")).startswith("clip"):
        notes.append(
            f"The clip that {name} is shown ends at {end} ms, so that the time bins from "
            f"{min(late)} ms on have no score; its option frames makes the clip longer."
        )
    for layer in layers:
        first = activations.unseen.get(layer)
        covered = activations.covered(layer, time_bins)
        blind = [
            start
            for (start, _), inside in zip(time_bins, covered, strict=True)
            if inside and first is not None and start >= ms * first
        ]
        if blind:
            notes.append(
                f"{name}, layer {layer}: in the time bins from {min(blind)} ms on it no longer "
                "sees the image, and its features are the same for all stimuli."
            )
    return notes


def declared_crop(provenance: Mapping[str, Any]) -> float:
    """Return the share of the width that a source of models declares to crop; 1 without any."""
    declared = provenance.get("preprocessing")
    return float(declared.get("crop", 1.0)) if isinstance(declared, Mapping) else 1.0
