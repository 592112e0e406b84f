"""Simulated sites: sparse readouts of the teacher, softplus rates, Poisson trials, slow gain.

    z = (w . x(t) - mean) / sd                   w >= 0; one mean and sd per site, over stimuli and
                                                 image-driven bins
    rate = peak softplus(depth slope z + bias)   expected spikes in 10 ms: the truth
    count ~ Poisson(gain rate)                   log gain: AR(1) over the presentation order, shared
                                                 within an area, E[gain] = 1

`depth` is one number per area, set so that the median split-half consistency after onset,
V / (V + N) with V = variance of the rate over stimuli and
N = (mean rate + var(gain) mean rate^2) / repetitions, is that of the recipe.

Drives are exact; rates and gains are rounded, and one random number of a counter-based generator
gives one count, so that no count depends on another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from neurofit.data_loaders.hvm_sim import exact
from neurofit.data_loaders.hvm_sim.recipe import Recipe, counter_based, generator
from neurofit.data_loaders.hvm_sim.teacher import GRID, Teacher

_READOUTS, _SITES, _ORDER, _GAINS, _COUNTS = 10, 11, 12, 13, 14
_BATCH = 32
_ROWS = 256
"""Presentations whose counts are drawn at a time, so that their numbers stay in the cache."""
_THREADS = 2
_WINDOW = 3
"""Side of the window of positions that a V4 site reads; IT sites read the whole layer."""
_RATE_GRID = 2.0**-12
"""Spacing of the rates: far above the error of exp and log1p, far below the noise of a count."""
_GRID = 2.0**-16
"""Spacing of the weights, means and standard deviations of sites, and of gains."""
_IMAGE_GRID = GRID / 4
"""Spacing of images in [0, 1]; the teacher divides them by 1/4, which gives its spacing."""


@dataclass(frozen=True, kw_only=True)
class Trials:
    """Stimulus row and repetition number of each presentation, int arrays (presentation)."""

    stimulus: np.ndarray
    repetition: np.ndarray


def make_teacher(calibration: np.ndarray, recipe: Recipe) -> Teacher:
    """Build the teacher, calibrated on images, uint8 (image height width channel)."""
    with _exact_convolutions():
        return Teacher(_as_batch(calibration, recipe.teacher.input_size), config=recipe.teacher)


def simulate_truth(
    pictures: np.ndarray,
    teacher: Teacher,
    recipe: Recipe,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Compute the noise-free responses.

    Parameters
    ----------
    pictures
        Images, uint8 (stimulus height width channel).
    teacher
        Network that the sites read.
    recipe
        Recipe with numbers of sites and units per site, and the target reliability.
    progress
        Function called with (images done, total images).

    Returns
    -------
    np.ndarray
        Expected counts in 10 ms, float32 (stimulus neuroid time_bin), areas one after the other.
    """
    readouts = {region: _draw_readouts(teacher, region, recipe) for region in recipe.n_sites}
    drives = {
        region: torch.empty((len(pictures), n, recipe.n_time_bins), dtype=torch.float64)
        for region, n in recipe.n_sites.items()
    }
    layer_of = {region: teacher.region_layers[region][0] for region in recipe.n_sites}

    def drive(start: int) -> int:
        rows = slice(start, start + _BATCH)
        with torch.no_grad():
            for timestep, activations in teacher.unroll(
                _as_batch(pictures[rows], teacher.input_size), layers=list(layer_of.values())
            ):
                for region, layer in layer_of.items():
                    drives[region][rows, :, timestep] = F.linear(
                        activations[layer].flatten(1).double(), readouts[region]
                    )
        return min(start + _BATCH, len(pictures))

    with _exact_convolutions(), ThreadPoolExecutor(_THREADS) as pool:
        for done in pool.map(drive, range(0, len(pictures), _BATCH)):
            if progress is not None:
                progress(done, len(pictures))
    rates = [
        _rates(
            values.numpy(),
            onset=teacher.first_timestep[layer_of[region]],
            recipe=recipe,
            area=index,
        )
        for index, (region, values) in enumerate(drives.items())
    ]
    return exact.round_off(np.concatenate(rates, axis=1), _RATE_GRID).astype(np.float32)


def draw_trials(recipe: Recipe, n_stimuli: int) -> Trials:
    """Draw the number of repetitions of each stimulus and the order of presentation."""
    rng = generator(recipe, _ORDER)
    times = rng.integers(recipe.min_repetitions, recipe.max_repetitions + 1, n_stimuli)
    stimulus = rng.permutation(np.repeat(np.arange(n_stimuli), times))
    order = np.argsort(stimulus, kind="stable")
    repetition = np.empty(len(stimulus), dtype=np.int64)
    repetition[order] = np.concatenate([np.arange(n) for n in times])
    return Trials(stimulus=stimulus, repetition=repetition)


def draw_gains(recipe: Recipe, n_presentations: int) -> np.ndarray:
    """Draw the slow gain of each trial and area (presentation area), log-normal with mean 1."""
    shocks = generator(recipe, _GAINS).standard_normal((n_presentations, len(recipe.n_sites)))
    slow = np.empty_like(shocks)
    slow[0] = shocks[0]
    for trial in range(1, n_presentations):
        slow[trial] = (
            recipe.gain_memory * slow[trial - 1]
            + np.sqrt(1 - recipe.gain_memory**2) * shocks[trial]
        )
    return exact.round_off(np.exp(recipe.gain_sd * slow - recipe.gain_sd**2 / 2), _GRID)


def draw_counts(
    truth: np.ndarray, time_bin: int, trials: Trials, gains: np.ndarray, recipe: Recipe
) -> np.ndarray:
    """Draw the spike counts of one time bin: uint8 array (presentation neuroid)."""
    area_of_site = np.repeat(np.arange(len(recipe.n_sites)), list(recipe.n_sites.values()))
    rates = truth[:, :, time_bin].astype(np.float64)
    numbers = uniform_numbers(recipe, time_bin, (len(trials.stimulus), rates.shape[1]))
    counts = np.empty(numbers.shape, dtype=np.uint8)
    for start in range(0, len(counts), _ROWS):
        rows = slice(start, start + _ROWS)
        expected = rates[trials.stimulus[rows]] * gains[rows][:, area_of_site]
        counts[rows] = poisson_counts(expected, numbers[rows])
    return counts


def uniform_numbers(recipe: Recipe, time_bin: int, shape: tuple[int, int]) -> np.ndarray:
    """Return the random numbers of one time bin's counts (presentation neuroid), in (0, 1).

    That of a count is number presentation * neuroids + neuroid of the time bin's Philox sequence.
    """
    # integers() returns the sequence's words as random_raw() does, and lets other threads run
    words = np.random.Generator(counter_based(recipe, _COUNTS, time_bin)).integers(
        2**64 - 1, size=shape, dtype=np.uint64, endpoint=True
    )
    words >>= np.uint64(32)
    return np.asarray((words + 0.5) * 2.0**-32)


def poisson_counts(expected: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return Poisson counts by inversion: the smallest k with P(count <= k) > the uniform number.

    Parameters
    ----------
    expected
        Expected counts.
    uniform
        Numbers between 0 and 1, of the same shape.

    Returns
    -------
    np.ndarray
        Counts, uint8, of the same shape; 255 stands for more as well.
    """
    counts = np.zeros(expected.size, dtype=np.uint8)
    rate, level = expected.ravel(), uniform.ravel()
    probability = np.exp(-rate)
    cumulative = probability.copy()
    above = np.flatnonzero(level >= cumulative)
    rate, level, probability, cumulative = (
        values[above] for values in (rate, level, probability, cumulative)
    )
    for count in range(1, 256):
        counts[above] = count
        probability *= rate / count
        cumulative += probability
        still = level >= cumulative
        above, rate, level, probability, cumulative = (
            values[still] for values in (above, rate, level, probability, cumulative)
        )
        if len(above) == 0:
            break
    return counts.reshape(expected.shape)


@contextmanager
def _exact_convolutions() -> Iterator[None]:
    """Exclude NNPACK, whose Winograd convolutions are not sums of products.

    One thread per operation, because batches in parallel are faster than parallel operations.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.backends.nnpack.flags(enabled=False):
            yield
    finally:
        torch.set_num_threads(before)


def _as_batch(pictures: np.ndarray, size: int) -> Tensor:
    """Return images as float32 (batch channel height width) in [0, 1], resized."""
    batch = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).double() / 255
    if batch.shape[-1] != size:
        batch = F.interpolate(batch, size=(size, size), mode="bilinear", antialias=True)
    return exact.round_off(batch, _IMAGE_GRID).float()


def _draw_readouts(teacher: Teacher, region: str, recipe: Recipe) -> Tensor:
    """Draw the weights (neuroid unit) of an area's sites: exponential on a few units, else zero."""
    shape = teacher.shape_of(teacher.region_layers[region][0])
    channels, height, width = shape
    area = list(recipe.n_sites).index(region)
    rng = generator(recipe, _READOUTS, area)
    low, high = recipe.readout_units[region]
    weights = np.zeros((recipe.n_sites[region], *shape))
    for site in weights:
        window = site
        if region == "V4":
            top, left = rng.integers(0, (height - _WINDOW + 1, width - _WINDOW + 1))
            window = site[:, top : top + _WINDOW, left : left + _WINDOW]
        units = rng.choice(window.size, size=int(rng.integers(low, high + 1)), replace=False)
        values = exact.round_off(rng.exponential(size=len(units)), _GRID)
        window[np.unravel_index(units, window.shape)] = values
    return torch.from_numpy(weights.reshape(len(weights), channels * height * width))


def _rates(drive: np.ndarray, *, onset: int, recipe: Recipe, area: int) -> np.ndarray:
    """Return expected counts (stimulus neuroid time_bin), modulated to reach the reliability."""
    driven = drive[:, :, onset:]
    mean, sd = (
        exact.round_off(statistic(driven, axis=(0, 2)), _GRID)[:, None]
        for statistic in (np.mean, np.std)
    )
    z = (drive - mean) / sd
    rng = generator(recipe, _SITES, area)
    n_sites = z.shape[1]
    slope, peak = np.exp(rng.normal(0, (0.3, 0.35), (n_sites, 2))).T[:, :, None]
    bias = rng.uniform(-0.3, 0.7, (n_sites, 1))
    repetitions = (recipe.min_repetitions + recipe.max_repetitions) / 2
    low, high = 0.02, 5.0
    shown = z[:, :, onset:].copy()

    def expected(z: np.ndarray, depth: float) -> np.ndarray:
        scale = recipe.mean_count * peak / np.log(2)
        return np.asarray(scale * np.log1p(np.exp(depth * slope * z + bias)))

    for _ in range(20):
        depth = float(np.sqrt(low * high))
        after = expected(shown, depth)
        average, variance = after.mean(axis=0), after.var(axis=0)
        noise = (average + recipe.gain_sd**2 * average**2) / repetitions
        reached = float(np.median(variance / (variance + noise)))
        low, high = (depth, high) if reached < recipe.reliability else (low, depth)
    return expected(z, depth)
