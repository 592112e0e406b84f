"""How reliable a recording is in time: the most that any model can be asked for.

reliability = SB(mean over halves of corr(half 1, half 2)),    SB(r) = 2 r / (1 + r), per neuroid and time bin, over stimuli.

Correlations are averaged before the Spearman-Brown correction, which is concave: corrected first, noisy halves pull the mean down.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from neurofit.assemblies import Recording
from neurofit.errors import MachineError, NeurofitError, check_option
from neurofit.metrics import (
    PooledHalves,
    TrialSets,
    draw,
    find_trial_sessions,
    moves_of_the_median,
    nanmean,
    nanmedian,
    pearson,
    percentile_interval,
    spearman_brown,
    split_halves,
)
from neurofit.selection import keep_neuroids, over_all_bins, rebin
from neurofit.targets import MIN_TEST

BLOCK_BYTES = 2**28
"""Responses that are held at a time."""

FORMULA = "reliability = SB(mean r of two trial halves), SB(r) = 2 r / (1 + r), median over neuroids"

BOOTSTRAPPED = {"neuroids": "neuroids", "stimuli": "stimuli", "both": "neuroids and stimuli"}
"""What an interval may be over, and how it is called."""

Progress = Callable[[int, int], None]


def ceiling(
    recording: Recording,
    *,
    n_halves: int = 10,
    seed: int = 0,
    n_bootstraps: int = 1000,
    bootstrap_over: str = "both",
    interval: float = 0.95,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Return the reliability of each neuroid in each time bin, and their median over neuroids with its interval.

    Parameters
    ----------
    recording
        Of one area, or whatever its median is wanted of; may be larger than memory: each block of it is read once (twice, where trials
        are missing), and all halves of its trials are averaged in one product.
    n_halves, seed
        Random splits of the trials of each stimulus in two, and their seed.
    n_bootstraps, interval
        Bootstraps, and the share of them that the interval holds.
    bootstrap_over
        "neuroids", "stimuli" or "both": what is drawn, with replacement. Stimuli are drawn from the means of the halves, while their
        block is at hand; see `neurofit.metrics.resampled_halves`.
    progress
        Called with (blocks done, in all).

    Returns
    -------
    Dataset
        `reliability` (neuroid time_bin), NaN where a neuroid that lacks stimuli has both halves of fewer than `MIN_TEST`; `curve`,
        `curve_low`, `curve_high` and `n_neuroids` (time_bin); `r_halves` (half neuroid time_bin), not corrected. Where stimuli are
        drawn, `reliability_low` and `reliability_high` (neuroid time_bin): the interval of each neuroid over them.

    Raises
    ------
    NeurofitError
        If a stimulus has one repetition only, `bootstrap_over` is unknown, or a number is out of its range.
    MachineError
        If samples of the stimuli that do not fit into memory do not fit on the disk either.
    """
    check_option("bootstrap_over", bootstrap_over, BOOTSTRAPPED)
    for name, value, least in (("n_halves", n_halves, 1), ("n_bootstraps", n_bootstraps, 1), ("seed", seed, 0)):
        if value < least:
            raise NeurofitError(f"{name} is at least {least}; got {value}.")
    if not 0 < interval < 1:
        raise NeurofitError(f"interval must lie between 0 and 1; got {interval}.")
    responses = recording.responses
    rows = recording.stimulus_rows
    r = np.full((n_halves, *responses.shape[1:]), np.nan)
    times = _draw_stimuli(int(rows.max()) + 1, n_bootstraps if bootstrap_over != "neuroids" else 0, seed=seed)
    samples = _room((responses.shape[2], len(times), responses.shape[1]))
    there = np.ones(responses.shape[:2], dtype=bool)
    blocks = list(_blocks(recording, len(times)))
    session = None
    while True:
        sets = TrialSets(rows, split_halves(rows, n_halves=n_halves, seed=seed, session=session))
        for number, (neuroids, bins) in enumerate(blocks):
            held = np.asarray(responses.isel(neuroid=neuroids, time_bin=bins).values, dtype=np.float32)
            found, sampled = _halves_agree(sets, held.reshape(len(held), -1), times)
            r[:, neuroids, bins] = found.reshape(n_halves, *held.shape[1:])
            samples[bins, :, neuroids] = sampled.reshape(len(times), *held.shape[1:]).transpose(2, 0, 1)
            if bins.start == 0:
                there[:, neuroids] = ~np.isnan(held[..., 0])
            if progress:
                progress(number + 1, len(blocks))
        if session is not None or (session := find_trial_sessions(there)) is None:
            break  # else trials are missing, of which the first pass knew nothing: again, with halves that are even for each neuroid
    return _summarised(recording, r, samples, seed=seed, n_bootstraps=n_bootstraps, bootstrap_over=bootstrap_over, interval=interval)


def reliabilities(recording: Recording, *, n_halves: int = 10, seed: int = 0) -> Float[np.ndarray, " neuroid"]:
    """Return the reliability of each neuroid's mean response over all time bins (overlapping ones count as they are)."""
    bins = recording.time_bins
    adjacent = all(end == start for (_, end), (start, _) in pairwise(bins))
    whole = rebin(recording, [(bins[0][0], bins[-1][1])]) if adjacent else over_all_bins(recording)
    return np.asarray(ceiling(whole, n_halves=n_halves, seed=seed, n_bootstraps=1, bootstrap_over="neuroids").reliability.values[:, 0])


def keep_reliable(recording: Recording, least: float, *, n_halves: int = 10, seed: int = 0) -> tuple[Recording, int]:
    """Return the neuroids whose reliability over all bins is at least so much, and how many were left out.

    Measured by split halves of the mean response over the recording's bins, Spearman-Brown corrected. The trials that choose are those
    that a ceiling is then measured on: near the limit, luckily reliable neuroids are kept, and their ceiling is a little too high.

    Raises
    ------
    NeurofitError
        If none is left.
    """
    found = reliabilities(recording, n_halves=n_halves, seed=seed)
    kept = np.nan_to_num(found, nan=-1.0) >= least
    if not kept.any():
        raise NeurofitError(f"No neuroid of {recording.name} has a reliability of {least:g}; the highest is {np.nanmax(found):.2f}.")
    return keep_neuroids(recording, kept), int((~kept).sum())


def _blocks(recording: Recording, n_draws: int) -> Iterator[tuple[slice, slice]]:
    """Yield (neuroids, time bins) that lie together in the file: neuroid by neuroid, or bin by bin."""
    n_presentations, n_neuroids, n_bins = recording.responses.shape
    one = 4 * n_presentations + 8 * n_draws
    if recording.responses.encoding.get("together") == "neuroid":
        step = max(1, BLOCK_BYTES // (one * n_bins))
        for begin in range(0, n_neuroids, step):
            yield slice(begin, min(begin + step, n_neuroids)), slice(0, n_bins)
    else:
        step = max(1, BLOCK_BYTES // (one * n_neuroids))
        for begin in range(0, n_bins, step):
            yield slice(0, n_neuroids), slice(begin, min(begin + step, n_bins))


def _draw_stimuli(n_stimuli: int, n_draws: int, *, seed: int) -> Int[np.ndarray, "draw stimulus"]:
    """Return how often each stimulus occurs in each sample; the same samples serve all neuroids and bins."""
    rng = np.random.default_rng((seed, 1))
    times = np.zeros((n_draws, n_stimuli), dtype=np.int32)
    for row in times:
        row[:] = np.bincount(rng.integers(n_stimuli, size=n_stimuli), minlength=n_stimuli)
    return times


def _room(shape: tuple[int, ...]) -> np.ndarray:
    """Return an array in memory, or, if it is larger than a block, in a temporary file that goes with it."""
    n_bytes = 8 * int(np.prod(shape))
    if n_bytes <= BLOCK_BYTES:
        return np.empty(shape)
    if shutil.disk_usage(tempfile.gettempdir()).free < n_bytes:
        raise MachineError(
            f"Samples of the stimuli take {n_bytes / 1e9:.1f} GB, for which {tempfile.gettempdir()} has no room.\n"
            "Set TMPDIR to a folder on a larger disk, or draw neuroids only."
        )
    with tempfile.TemporaryFile() as file:  # the map holds it open
        return np.memmap(file, dtype=np.float64, mode="w+", shape=shape)


def _halves_agree(
    sets: TrialSets, trials: Float[np.ndarray, "presentation neuroid"], times: Int[np.ndarray, "draw stimulus"]
) -> tuple[Float[np.ndarray, "half neuroid"], Float[np.ndarray, "draw neuroid"]]:
    """Return the correlation over stimuli of both halves, and its mean over halves in samples of the stimuli.

    Stimuli that a half of a neuroid lacks are left out for it.
    """
    n_stimuli = int(sets.stimulus_rows.max()) + 1
    r = np.full((sets.n_halves, trials.shape[1]), np.nan)
    sampled = np.full((len(times), trials.shape[1]), np.nan)
    once = np.ones((1, n_stimuli), dtype=times.dtype)
    at_once = max(1, BLOCK_BYTES // (8 * ((2 * sets.n_halves + 1) * n_stimuli + len(times))))
    for begin in range(0, trials.shape[1], at_once):
        columns = slice(begin, begin + at_once)
        first, second = np.split(sets.means(trials[:, columns])[1:], 2)
        with np.errstate(invalid="ignore"):
            r[:, columns] = pearson(first, second)  # NaN where a stimulus lacks a half
        gaps = np.isnan(first + second)
        for half, column in zip(*np.nonzero(gaps.any(axis=1)), strict=True):
            there = ~gaps[half, :, column]
            if there.sum() >= MIN_TEST:
                r[half, begin + column] = pearson(first[half, there, column, None], second[half, there, column, None])[0]
        if len(times):
            pooled = PooledHalves.of(first, second)
            sampled[:, columns] = nanmean(r[:, columns], axis=0) + pooled.correlation(times) - pooled.correlation(once)
    return r, sampled


def _summarised(
    recording: Recording, r: np.ndarray, samples: np.ndarray, *, seed: int, n_bootstraps: int, bootstrap_over: str, interval: float
) -> xr.Dataset:
    responses = recording.responses
    mean_r = nanmean(r, axis=0)
    reliability = spearman_brown(mean_r)
    draws = draw(len(mean_r), n_bootstraps=n_bootstraps, seed=seed)
    if bootstrap_over == "stimuli":
        draws = np.broadcast_to(np.arange(len(mean_r)), draws.shape)
    moves = np.zeros((n_bootstraps, mean_r.shape[1]))
    own: dict[str, tuple[tuple[str, str], np.ndarray]] = {}
    if bootstrap_over != "neuroids":
        bounds = np.full((2, *mean_r.shape), np.nan)
        for position, drawn in enumerate(samples):
            moves[:, position] = moves_of_the_median(drawn, mean_r[:, position], neuroids_are_drawn=bootstrap_over == "both")
            bounds[..., position] = spearman_brown(np.quantile(drawn, [(1 - interval) / 2, (1 + interval) / 2], axis=0))
        own = {f"reliability_{side}": (("neuroid", "time_bin"), bound) for side, bound in zip(("low", "high"), bounds, strict=True)}
    curves = [
        nanmedian(spearman_brown(np.minimum(mean_r[neuroids] + moved, 1.0)), axis=0) for neuroids, moved in zip(draws, moves, strict=True)
    ]
    low, high = percentile_interval(np.stack(curves), interval=interval)
    coords = {str(name): (coord.dims, coord.values) for name, coord in responses.coords.items() if "presentation" not in coord.dims}
    return xr.Dataset(
        {
            "reliability": (("neuroid", "time_bin"), reliability),
            **own,
            "r_halves": (("half", "neuroid", "time_bin"), r),
            "curve": ("time_bin", nanmedian(reliability, axis=0)),
            "curve_low": ("time_bin", low),
            "curve_high": ("time_bin", high),
            "n_neuroids": ("time_bin", (~np.isnan(reliability)).sum(axis=0)),
        },
        coords=coords,
        attrs={
            "recording": recording.name,
            "region": ", ".join(recording.regions),
            "simulated": int(recording.simulated),
            "data_sha256": recording.sha256,
            "formula": FORMULA,
            "n_halves": len(r),
            "seed": seed,
            "interval": f"{interval:.0%}, {n_bootstraps} bootstraps over {BOOTSTRAPPED[bootstrap_over]}",
        },
    )


def summarise_ceiling(result: xr.Dataset) -> dict[str, Any]:
    """Return a ceiling's curve, ready for JSON; undefined values are null."""
    bins = np.stack([result.time_bin_start.values, result.time_bin_end.values], axis=1)
    return {
        **{name: result.attrs[name] for name in ("recording", "region", "formula", "n_halves", "seed", "interval")},
        "simulated": bool(result.attrs["simulated"]),
        "time_bins": bins.tolist(),
        **{name: [None if v != v else float(v) for v in result[name].values] for name in ("curve", "curve_low", "curve_high")},
        "n_neuroids": result.n_neuroids.values.tolist(),
    }
