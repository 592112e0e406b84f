"""Units of a layer that stand for the neuroids of one more animal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from neurofit.analyses.recorded.populations import Population

if TYPE_CHECKING:
    from neurofit.activations.activations import Activations

N_TRIALS = 10
"""Number of trials that the noise of units is made of."""

MOST_NOISE = 100.0
"""Largest variance of a half's noise relative to the signal: that of a neuroid without signal."""


def sample_units(
    activations: Activations,
    layer: str,
    time_bins: list[tuple[int, int]],
    animals: Sequence[Population],
    *,
    n_units: int,
    n_halves: int,
    trial_noise: bool,
    seed: int,
) -> Population:
    """Return random units of a layer in trial halves.

    Parameters
    ----------
    activations, layer, time_bins
        Activations, their layer and the time bins of the recording. A bin that the layer does not
        cover, and a unit that is constant over stimuli in a bin, are not used.
    animals
        Animals whose neuroids give each unit its noise: that of a random neuroid, relative to its
        signal in each time bin.
    n_units, n_halves
        Number of units (all, if there are fewer) and of halvings.
    trial_noise
        Whether there is noise at all.
    seed
        Random seed.
    """
    rng = np.random.default_rng(seed)
    covered = activations.covered(layer, time_bins)
    known = [
        activations.features(layer, time_bin)
        for time_bin, inside in zip(time_bins, covered, strict=True)
        if inside
    ]
    varies = np.any([each.std(axis=0) > 0 for each in known], axis=0)
    chosen = np.sort(rng.permutation(np.flatnonzero(varies))[:n_units])
    n_stimuli = len(activations.stimulus_ids)
    values = np.zeros((len(time_bins), n_stimuli, len(chosen)), dtype=np.float32)
    values[covered] = [each[:, chosen] for each in known]
    spread = values.std(axis=1)  # (time_bin unit)
    usable = (spread > 0).T
    if not trial_noise:
        halves = np.broadcast_to(values[None, None], (n_halves, 2, *values.shape))
        return Population(layer, values, halves, usable)
    ratios = np.concatenate([noise_ratios(each) for each in animals])  # (neuroid time_bin)
    sizes = spread * np.sqrt(ratios[rng.integers(len(ratios), size=len(chosen))].T)
    first = np.argsort(rng.random((n_halves, n_stimuli, N_TRIALS)), axis=-1) < N_TRIALS // 2
    halves = np.empty((n_halves, 2, *values.shape), dtype=np.float32)
    for b in range(len(time_bins)):
        drawn = rng.standard_normal((n_stimuli, N_TRIALS, len(chosen)), dtype=np.float32)
        trials = drawn * np.float32(np.sqrt(N_TRIALS / 2)) * sizes[b].astype(np.float32)
        for side, picked in enumerate((first, ~first)):
            noise = np.einsum("hst,stu->hsu", picked.astype(np.float32), trials) * 2 / N_TRIALS
            halves[:, side, b] = values[b] + noise
    return Population(layer, halves[0].mean(axis=0), halves, usable)


def noise_ratios(animal: Population) -> Float[np.ndarray, "neuroid time_bin"]:
    """Return the variance of a half's noise relative to that of the signal.

    Both are averaged over halvings; a neuroid without signal has `MOST_NOISE`, and so has one that
    is not used in a bin.
    """
    centred = animal.halves - animal.halves.mean(axis=3, keepdims=True)
    signal = (centred[:, 0] * centred[:, 1]).mean(axis=(0, 2)).T  # (neuroid time_bin)
    total = (centred**2).mean(axis=(0, 1, 3)).T
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(animal.usable & (signal > 0), (total - signal) / signal, MOST_NOISE)
    return np.clip(ratio, 0.0, MOST_NOISE)
