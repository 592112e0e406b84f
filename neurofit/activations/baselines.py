"""What a model would score without its dynamics: other activations from those that are there.

A baseline has the layers, the time bins and the stimuli of the model, so that it is scored on the
same splits, halves, strata and neuroids, and its score can be subtracted from the model's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from neurofit.activations.activations import Activations
from neurofit.activations.blocks import Blocks
from neurofit.activations.presentation import Presentation
from neurofit.recordings.time_bins import TimeBin, overlapping

BASELINES = {
    "last-step": "the last timestep at which the image drives the layer, in every time bin",
    "mean-over-time": "the mean of the layer over its timesteps, in every time bin",
    "layers-over-time": "the model's layers, each at its last step, from early to late time bins",
    "shuffled": "the images of the stimuli shuffled",
}
"""Name of each baseline -> what it consists of."""


def baselines_of(
    activations: Activations,
    time_bins: Sequence[TimeBin],
    *,
    layers: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, Activations]:
    """Return the baselines of a model by their names (`BASELINES`).

    Parameters
    ----------
    activations
        Activations of the model. "layers-over-time" consists of all their layers.
    time_bins
        Bins that will be predicted.
    layers
        Layers that will be scored, which are those of every baseline; None takes all.
    seed
        Random seed of "shuffled".

    Returns
    -------
    dict
        "last-step" is what the dynamics have to beat: a static network that responds in each bin
        as the model does at the last timestep at which the image, while it is shown, drives the
        layer (its first timestep plus the duration of the image; the nearest one there is).
        "mean-over-time" averages the timesteps of the time bins from the first that the image
        drives.
        "layers-over-time" is what depth alone achieves: the time bins that a layer predicts are
        divided evenly among the layers in the model's order, each at its last step. Layers beyond
        those that stand for an area or are scored are readouts and have no part. It is left out if
        there is only one layer, or if time bins overlap, because a bin has one layer.
        "shuffled" has a true score of 0; it is what `StimulusSet.shuffled` makes of the model.
    """
    names = tuple(layers or activations.layers)
    order = np.random.default_rng(seed).permutation(len(activations.stimulus_ids))
    steps = {layer: _steps(activations, layer) for layer in activations.layers}
    last = {layer: _last_step(activations, layer, steps[layer]) for layer in steps}
    used = {step for time_bin in time_bins for step, _ in activations.timesteps(time_bin)}
    keys = [(layer, step) for layer in names for step in steps[layer] if step in used]
    means = {layer: _mean(activations, layer, sorted(used & {*steps[layer]})) for layer in names}
    made: dict[str, dict[str, Any]] = {
        "last-step": {
            "blocks": {key: activations.blocks[key[0], last[key[0]]] for key in keys},
            "steps": {layer: last[layer] for layer in names},
        },
        "mean-over-time": {"blocks": {key: means[key[0]] for key in keys}},
        "layers-over-time": {},
        "shuffled": {"blocks": Rows(activations.blocks, tuple(keys), order), "seed": seed},
    }
    depth = _layers_in_depth(activations, names)
    if len(depth) > 1 and not overlapping(time_bins):
        made["layers-over-time"] = _layers_over_time(activations, names, time_bins, depth, last)
    return {name: _make(activations, name, **changes) for name, changes in made.items() if changes}


@dataclass(frozen=True)
class Rows:
    """Blocks with their rows (stimuli) in another order, which are copied on access."""

    blocks: Blocks
    keys: tuple[tuple[str, int], ...]
    order: np.ndarray

    def __getitem__(self, key: tuple[str, int]) -> np.ndarray:
        block: np.ndarray = self.blocks[key][self.order]
        return block

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return iter(self.keys)

    def __len__(self) -> int:
        return len(self.keys)


def _make(
    activations: Activations, name: str, *, blocks: Blocks, time: Any = None, **facts: Any
) -> Activations:
    """Return activations with other blocks, noted as a baseline, and never cached."""
    noted = {**activations.provenance, "control": name, "baseline": BASELINES[name], **facts}
    changes: Mapping[str, Any] = time or {}
    return replace(activations, blocks=blocks, provenance=noted, fingerprint="", **changes)


def _steps(activations: Activations, layer: str) -> list[int]:
    return sorted(step for name, step in activations.blocks if name == layer)


def last_driven(presentation: Presentation, first_timestep: int) -> int:
    """Return the last timestep at which the image, while it is shown, drives a layer.

    Parameters
    ----------
    presentation
        Presentation of the image.
    first_timestep
        First timestep at which the image reaches the layer.
    """
    shown = presentation.n_timesteps if presentation.image_off is None else presentation.image_off
    return min(first_timestep + shown, presentation.n_timesteps) - 1


def _last_step(activations: Activations, layer: str, steps: Sequence[int]) -> int:
    """Return the last timestep at which the shown image drives a layer, or the nearest one."""
    if activations.presentation is None:
        return steps[-1]
    last = last_driven(activations.presentation, activations.first_timestep[layer])
    return max((step for step in steps if step <= last), default=steps[0])


def _mean(activations: Activations, layer: str, steps: Sequence[int]) -> np.ndarray:
    """Return the mean of a layer over the timesteps that the image drives: (stimulus unit)."""
    driven = [step for step in steps if step >= activations.first_timestep[layer]] or steps
    total = np.zeros(activations.blocks[layer, driven[0]].shape)  # float64: the order is no matter
    for step in driven:
        total += activations.blocks[layer, step]
    return (total / len(driven)).astype(np.float32)


def _layers_in_depth(activations: Activations, names: Sequence[str]) -> tuple[str, ...]:
    """Return the layers up to the deepest that stands for an area or is scored."""
    placed = {*names, *(each for layers in activations.region_layers.values() for each in layers)}
    every = activations.layers
    return every[: 1 + max(place for place, layer in enumerate(every) if layer in placed)]


def _layers_over_time(
    activations: Activations,
    names: Sequence[str],
    time_bins: Sequence[TimeBin],
    depth: Sequence[str],
    last: Mapping[str, int],
) -> dict[str, Any]:
    """Return the blocks of layers over time, in timesteps of 1 ms: each bin has one layer."""
    width = activations.ms_per_timestep
    blocks: dict[tuple[str, int], np.ndarray] = {}
    assigned: dict[str, dict[str, list[int]]] = {}
    for name in names:
        inside = activations.covered(name, time_bins)
        covered = sorted(each for each, own in zip(time_bins, inside, strict=True) if own)
        for place, (start, end) in enumerate(covered):
            layer = depth[place * len(depth) // len(covered)]
            block = activations.blocks[layer, last[layer]]
            blocks |= {(name, ms): block for ms in range(start, end)}
            span = assigned.setdefault(name, {}).setdefault(layer, [start, end])
            span[1] = end
    time = {
        "ms_per_timestep": 1,
        "n_timesteps": width * activations.n_timesteps,
        "first_timestep": {
            name: width * first for name, first in activations.first_timestep.items()
        },
    }
    return {"blocks": blocks, "time": time, "layers_ms": assigned} if blocks else {}
