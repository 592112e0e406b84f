"""Split-half reliability of a recording, computed block by block.

r_sb = 2 r / (1 + r), with r the correlation over stimuli of the means of two trial halves
(Spearman 1910; Brown 1910).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

from neurofit.config.compute import Progress
from neurofit.errors import MachineError, NeurofitError
from neurofit.metrics.averages import nanmean
from neurofit.metrics.consistency import spearman_brown
from neurofit.metrics.correlation import pearson
from neurofit.metrics.resampled_halves import PooledHalves
from neurofit.recordings.rebinning import over_all_bins, rebin
from neurofit.recordings.recording import Recording
from neurofit.recordings.trials import MIN_TEST, TrialSets, find_trial_sessions, split_halves

BLOCK_BYTES = 2**28
"""Size of the responses in memory at a time."""


def half_correlations(
    recording: Recording,
    *,
    n_halves: int,
    n_draws: int = 0,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Float[np.ndarray, "half neuroid time_bin"], Float[np.ndarray, "time_bin draw neuroid"]]:
    """Return correlations of trial halves over stimuli, and their means in bootstrap samples.

    Parameters
    ----------
    recording
        Recording that may be larger than memory: each block is read once, or twice if trials are
        missing.
    n_halves
        Number of random splits of each stimulus' trials in two.
    n_draws
        Number of bootstrap samples of the stimuli.
    seed
        Random seed for the splits and the bootstrap samples.
    progress
        Called with ("blocks of the recording", blocks done, blocks in total).

    Returns
    -------
    correlations
        Array (half neuroid time_bin).
    samples
        Mean correlation over halves in each bootstrap sample: array (time_bin draw neuroid).
    """
    responses = recording.responses
    rows = recording.stimulus_rows
    r = np.full((n_halves, *responses.shape[1:]), np.nan)
    times = _draw_stimuli(int(rows.max()) + 1, n_draws, seed=seed)
    samples = _allocate_samples((responses.shape[2], len(times), responses.shape[1]))
    present = np.ones(responses.shape[:2], dtype=bool)
    blocks = list(_blocks(recording, len(times)))
    session = None
    while True:
        sets = TrialSets(rows, split_halves(rows, n_halves=n_halves, seed=seed, session=session))
        for number, (neuroids, bins) in enumerate(blocks):
            part = responses.isel(neuroid=neuroids, time_bin=bins)
            trials = np.asarray(part.values, dtype=np.float32)
            shape = trials.shape[1:]
            found, sampled = _correlate_halves(sets, trials.reshape(len(trials), -1), times)
            r[:, neuroids, bins] = found.reshape(n_halves, *shape)
            samples[bins, :, neuroids] = sampled.reshape(len(times), *shape).transpose(2, 0, 1)
            if bins.start == 0:
                present[:, neuroids] = ~np.isnan(trials[..., 0])
            if progress:
                progress("blocks of the recording", number + 1, len(blocks))
        # The first pass finds missing trials; the second then splits them evenly per neuroid.
        if session is not None or (session := find_trial_sessions(present)) is None:
            return r, samples


def check_stimuli(recording: Recording) -> None:
    """Check that a recording has at least three stimuli to correlate over.

    Raises
    ------
    NeurofitError
        If it has fewer.
    """
    if len(recording.stimuli) < 3:
        raise NeurofitError(
            "A reliability is a correlation over stimuli and needs at least 3; "
            f"{recording.name} has {len(recording.stimuli)}."
        )


def reliabilities(
    recording: Recording, *, n_halves: int = 10, seed: int = 0
) -> Float[np.ndarray, " neuroid"]:
    """Return the reliability of each neuroid's mean response over all time bins.

    Bins that overlap or leave gaps are averaged without weights.

    Parameters
    ----------
    recording
        Recording with at least 2 repetitions of every stimulus.
    n_halves, seed
        Number of random splits of the trials, and their random seed.
    """
    bins = recording.time_bins
    adjacent = all(end == start for (_, end), (start, _) in pairwise(bins))
    whole = rebin(recording, [(bins[0][0], bins[-1][1])]) if adjacent else over_all_bins(recording)
    r, _ = half_correlations(whole, n_halves=n_halves, seed=seed)
    return np.asarray(spearman_brown(nanmean(r, axis=0))[:, 0])


def _blocks(recording: Recording, n_draws: int) -> Iterator[tuple[slice, slice]]:
    """Yield (neuroids, time bins) that are contiguous in the file."""
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
    """Return how often each stimulus occurs in each bootstrap sample, for all neuroids and bins."""
    rng = np.random.default_rng((seed, 1))
    times = np.zeros((n_draws, n_stimuli), dtype=np.int32)
    for row in times:
        row[:] = np.bincount(rng.integers(n_stimuli, size=n_stimuli), minlength=n_stimuli)
    return times


def _allocate_samples(shape: tuple[int, ...]) -> np.ndarray:
    """Return an array in memory or, if larger than a block, in an anonymous temporary file."""
    n_bytes = 8 * int(np.prod(shape))
    if n_bytes <= BLOCK_BYTES:
        return np.empty(shape)
    folder = tempfile.gettempdir()
    if shutil.disk_usage(folder).free < n_bytes:
        raise MachineError(
            f"Bootstrap samples of the stimuli take {n_bytes / 1e9:.1f} GB, and {folder} has too "
            "little space.\nSet TMPDIR to a folder on a larger disk, or resample neuroids only."
        )
    with tempfile.TemporaryFile() as file:  # the memory map keeps it open
        return np.memmap(file, dtype=np.float64, mode="w+", shape=shape)


def _correlate_halves(
    sets: TrialSets,
    trials: Float[np.ndarray, "presentation neuroid"],
    times: Int[np.ndarray, "draw stimulus"],
) -> tuple[Float[np.ndarray, "half neuroid"], Float[np.ndarray, "draw neuroid"]]:
    """Return correlations of halves over stimuli, and their means in bootstrap samples.

    For each neuroid, stimuli without trials in one of its halves are left out.
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
            present = ~gaps[half, :, column]
            if present.sum() >= MIN_TEST:
                r[half, begin + column] = pearson(
                    first[half, present, column, None], second[half, present, column, None]
                )[0]
        if len(times):
            pooled = PooledHalves.from_halves(first, second)
            sampled[:, columns] = (
                nanmean(r[:, columns], axis=0)
                + pooled.correlation(times)
                - pooled.correlation(once)
            )
    return r, sampled
