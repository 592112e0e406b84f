"""Recorded time (ms from stimulus onset, half-open bins) against model time (timesteps of `ms_per_timestep`).

Timestep t covers [t, t + 1) * ms_per_timestep. A recorded bin [start, end) sees the mean of the timesteps it overlaps,
weighted by the overlap: w[b, t] = |bin b  intersected with  step t| / |bin b|.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neurofit.errors import NeurofitError

TimeBin = tuple[int, int]


def make_time_bins(start: int, end: int, width: int) -> list[TimeBin]:
    """Return adjacent bins [start, start + width), ... up to `end`, all in ms.

    Raises
    ------
    NeurofitError
        If the width is not positive or does not divide the window.
    """
    if width <= 0 or end <= start or (end - start) % width:
        raise NeurofitError(f"Time bins need start < end and a width that divides the window; got {start}:{end}:{width} (ms).")
    return [(s, s + width) for s in range(start, end, width)]


def timestep_weights(time_bins: Sequence[TimeBin], *, n_timesteps: int, ms_per_timestep: int) -> np.ndarray:
    """Return how much of each bin each timestep covers.

    Parameters
    ----------
    time_bins
        Half-open bins in ms from stimulus onset.
    n_timesteps, ms_per_timestep
        Length of the unroll and of one step in ms.

    Returns
    -------
    Array (time_bin, timestep). A row sums to 1, or to less where the unroll does not cover the whole bin.
    """
    edges = np.arange(n_timesteps + 1) * ms_per_timestep
    bins = np.asarray(time_bins, dtype=np.int64).reshape(-1, 2)
    overlap = np.minimum(bins[:, 1:], edges[1:]) - np.maximum(bins[:, :1], edges[:-1])
    return np.asarray(np.clip(overlap, 0, None) / (bins[:, 1:] - bins[:, :1]))


def covered_bins(weights: np.ndarray, *, first_timestep: int) -> np.ndarray:
    """Return which bins a layer can predict: covered by the unroll, and only by image-driven timesteps.

    Parameters
    ----------
    weights
        Array (time_bin, timestep) of `timestep_weights`.
    first_timestep
        The layer's first image-driven timestep.

    Returns
    -------
    Boolean array (time_bin). Bins that are False have no prediction: missing, not zero.
    """
    whole = np.isclose(weights.sum(axis=1), 1.0)
    driven = weights[:, :first_timestep].sum(axis=1) == 0
    return np.asarray(whole & driven)
