"""Split-half reliability of a recording, computed block by block.

r is the correlation over stimuli of the means of two trial halves, which
`neurofit.metrics.consistency.reliability_of_halves` corrects to all trials: 2 r / (1 + r) for equal
halves (Spearman 1910; Brown 1910).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Float32, Int

from neurofit.config.compute import Progress
from neurofit.errors import MachineError, NeurofitError
from neurofit.metrics.averages import nanmean
from neurofit.metrics.consistency import reliability_of_halves
from neurofit.metrics.correlation import pearson
from neurofit.metrics.resampled_halves import PooledHalves
from neurofit.recordings.rebinning import over_all_bins, rebin
from neurofit.recordings.recording import BLOCK_BYTES, Recording, contiguous_blocks
from neurofit.recordings.trials import MIN_TEST, TrialSets, count_trials, deal_trials


@dataclass(frozen=True)
class HalfCorrelations:
    """Agreement of trial halves.

    Parameters
    ----------
    r
        Correlations over the stimuli with at least 2 valid trials. NaN where a neuroid lacks
        stimuli and fewer than `MIN_TEST` remain.
    shares
        Noise shares of first halves, of second halves and of all trials, means over halves; see
        `TrialSets.noise_shares`.
    left_out
        Number of stimuli with fewer than 2 valid trials.
    samples
        Mean of r over halves in each bootstrap sample of the stimuli.
    """

    r: Float[np.ndarray, "half neuroid time_bin"]
    shares: Float[np.ndarray, "3 neuroid time_bin"]
    left_out: Int[np.ndarray, "neuroid time_bin"]
    samples: Float[np.ndarray, "time_bin draw neuroid"]

    @property
    def reliability(self) -> Float[np.ndarray, "neuroid time_bin"]:
        """Reliability of all trials, from the mean of r over halves."""
        return reliability_of_halves(nanmean(self.r, axis=0), *self.shares)


def half_correlations(
    recording: Recording,
    *,
    n_halves: int,
    n_draws: int = 0,
    seed: int = 0,
    progress: Progress | None = None,
) -> HalfCorrelations:
    """Return correlations of trial halves over stimuli, and their means in bootstrap samples.

    Parameters
    ----------
    recording
        Recording that may be larger than memory: each block is read once.
    n_halves
        Number of random splits of each stimulus' trials in two.
    n_draws
        Number of bootstrap samples of the stimuli.
    seed
        Random seed for the splits and the bootstrap samples.
    progress
        Called with ("blocks of the recording", blocks done, blocks in total).

    Raises
    ------
    NeurofitError
        If a stimulus has fewer than 2 presentations.
    """
    responses = recording.responses
    rows = recording.stimulus_rows
    n_neuroids, n_bins = responses.shape[1:]
    times = _draw_stimuli(int(rows.max()) + 1, n_draws, seed=seed)
    found = HalfCorrelations(
        r=np.full((n_halves, n_neuroids, n_bins), np.nan),
        shares=np.full((3, n_neuroids, n_bins), np.nan),
        left_out=np.zeros((n_neuroids, n_bins), dtype=np.int64),
        samples=_allocate_samples((n_bins, len(times), n_neuroids)),
    )
    sets = TrialSets(rows, deal_trials(rows, n_halves=n_halves, seed=seed))
    blocks = list(contiguous_blocks(recording, len(times), most=BLOCK_BYTES))
    for number, (neuroids, bins) in enumerate(blocks):
        part = responses.isel(neuroid=neuroids, time_bin=bins)
        trials = np.asarray(part.values, dtype=np.float32)
        shape = trials.shape[1:]
        block = _correlate_halves(sets, trials.reshape(len(trials), -1), times)
        found.r[:, neuroids, bins] = block.r.reshape(n_halves, *shape)
        found.shares[:, neuroids, bins] = block.shares.reshape(3, *shape)
        found.left_out[neuroids, bins] = block.left_out.reshape(shape)
        sampled = block.samples.reshape(len(times), *shape).transpose(2, 0, 1)
        found.samples[bins, :, neuroids] = sampled
        if progress:
            progress("blocks of the recording", number + 1, len(blocks))
    return found


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
    return half_correlations(whole, n_halves=n_halves, seed=seed).reliability[:, 0]


def finite_blocks(
    recording: Recording,
    seen: Callable[[slice, slice, np.ndarray], None] | None = None,
) -> Iterator[tuple[slice, slice, Float32[np.ndarray, "presentation neuroid time_bin"]]]:
    """Yield neuroids, time bins and trials of each block; NaN is missing or infinite.

    `seen` is called with them before infinite trials become NaN.
    """
    for neuroids, bins in contiguous_blocks(recording, most=BLOCK_BYTES):
        trials = recording.block(bins, neuroids)
        if seen:
            seen(neuroids, bins, trials)
        yield neuroids, bins, np.where(np.isfinite(trials), trials, np.float32(np.nan))


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
) -> HalfCorrelations:
    """Correlate halves of several bins side by side, which are one bin of the result."""
    n_columns = trials.shape[1]
    r = np.full((sets.n_halves, n_columns), np.nan)
    shares = np.full((3, n_columns), np.nan)
    left_out = np.zeros(n_columns, dtype=np.int64)
    sampled = np.full((len(times), n_columns), np.nan)
    once = np.ones((1, sets.n_stimuli), dtype=times.dtype)
    at_once = max(1, BLOCK_BYTES // (8 * ((2 * sets.n_halves + 1) * sets.n_stimuli + len(times))))
    for begin in range(0, n_columns, at_once):
        columns = slice(begin, begin + at_once)
        counts = count_trials(sets.stimulus_rows, trials[:, columns])
        usable = counts > 1
        left_out[columns] = (~usable).sum(axis=0)
        shares[:, columns] = sets.noise_shares(counts).mean(axis=1)
        first, second = np.split(sets.means(trials[:, columns])[1:], 2)
        with np.errstate(invalid="ignore"):
            r[:, columns] = pearson(first, second)  # NaN where a stimulus lacks a half
        for column in np.flatnonzero(left_out[columns]):
            inside = usable[:, column]
            if inside.sum() >= MIN_TEST:
                halves = first[:, inside, column, None], second[:, inside, column, None]
                r[:, begin + column] = pearson(*halves)[:, 0]
        if len(times):
            pooled = PooledHalves.from_halves(first, second)
            sampled[:, columns] = (
                nanmean(r[:, columns], axis=0)
                + pooled.correlation(times)
                - pooled.correlation(once)
            )
    return HalfCorrelations(r[..., None], shares[..., None], left_out[:, None], sampled[None])
