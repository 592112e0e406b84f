"""Synthetic features and trials for the mapping benchmarks, and functions that measure time.

Import this module before numpy: OpenBLAS must choose its kernel by itself and run one thread.

Features are a ReLU of random combinations of latents with a power-law spectrum that change over
time. Trials are Poisson counts with rates that depend on the latents; the first bins are noise.
"""

from __future__ import annotations

import os

for _name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(_name, None)
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import platform
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info

N_LATENTS, N_NOISE_BINS = 400, 4


def latents(n_stimuli: int, step: int, *, seed: int = 0) -> np.ndarray:
    """Return the latents (stimulus latent) of a timestep, which rotate slowly over time."""
    rng = np.random.default_rng(seed)
    still, moving = rng.standard_normal((2, n_stimuli, N_LATENTS))
    angle = 0.15 * step
    return (np.cos(angle) * still + np.sin(angle) * moving) / np.arange(1, N_LATENTS + 1) ** 0.5


def features(n_stimuli: int, n_units: int, step: int = 0, *, seed: int = 0) -> np.ndarray:
    """Return float32 features (stimulus unit), about as sparse as those of a trained network."""
    weights = np.random.default_rng(seed + 1).standard_normal(
        (N_LATENTS, n_units), dtype=np.float32
    )
    return np.maximum(latents(n_stimuli, step, seed=seed).astype(np.float32) @ weights - 1.0, 0.0)


def counts(
    n_stimuli: int, n_neuroids: int, n_trials: int = 30, *, time_bin: int = 10, seed: int = 0
) -> np.ndarray:
    """Return Poisson counts (stimulus trial neuroid) of one time bin."""
    rng = np.random.default_rng(seed + 2)
    weights = rng.standard_normal((N_LATENTS, n_neuroids)) / 5
    drive = (
        latents(n_stimuli, time_bin, seed=seed) @ weights
        if time_bin >= N_NOISE_BINS
        else np.zeros((n_stimuli, n_neuroids))
    )
    rates = np.exp(0.3 * drive / max(drive.std(), 1.0))
    rng = np.random.default_rng((seed, time_bin))
    return rng.poisson(rates[:, None], (n_stimuli, n_trials, n_neuroids)).astype(np.float32)


def half_means(trials: np.ndarray, n_halves: int, *, seed: int = 0) -> np.ndarray:
    """Return the target sets (set stimulus neuroid): all trials, first halves, second halves."""
    rng = np.random.default_rng(seed)
    n_trials = trials.shape[1]
    weights = np.zeros((2, n_halves, n_trials))
    for half in range(n_halves):
        first = rng.permutation(n_trials)[: n_trials // 2]
        weights[0, half, first] = 1 / len(first)
        weights[1, half] = (weights[0, half] == 0) / (n_trials - len(first))
    weights = np.concatenate([np.full((1, n_trials), 1 / n_trials), weights.reshape(-1, n_trials)])
    return np.ascontiguousarray(
        np.einsum("ft,stn->fsn", weights, trials.astype(np.float64), optimize=True)
    )


def features_on_disk(folder: Path, n_stimuli: int, n_units: int, n_steps: int) -> list[np.ndarray]:
    """Write one array per timestep unless it exists, and return them memory-mapped."""
    mapped = []
    for step in range(n_steps):
        path = folder / f"features_{n_stimuli}_{n_units}_{step}.npy"
        if not path.exists():
            np.save(path, features(n_stimuli, n_units, step))
        mapped.append(np.load(path, mmap_mode="r"))
    return mapped


def cpu_seconds(work: Callable[[], object], *, repeats: int = 3) -> float:
    """Return the median CPU time of `repeats` runs, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)


def gemm_peak(dtype: type[np.floating]) -> float:
    """Return the FLOP per CPU second of 2048 x 2048 matrix products, best of five."""
    a, b = np.random.default_rng(0).standard_normal((2, 2048, 2048)).astype(dtype)
    best = min(cpu_seconds(lambda: a @ b, repeats=1) for _ in range(5))
    return 2 * 2048**3 / best


def peak_memory() -> float:
    """Return the peak resident memory of this process in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def describe_machine() -> str:
    """Return processor, versions, BLAS kernel, threads and GEMM peaks in one line."""
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "?",
    )
    blas = "; ".join(
        f"{i['internal_api']} {i['version']} {i.get('architecture')} {i['num_threads']} thread"
        for i in threadpool_info()
    )
    peaks = ", ".join(
        f"{name} {gemm_peak(kind) / 1e9:.0f} GFLOP/s"
        for name, kind in (("float32", np.float32), ("float64", np.float64))
    )
    versions = f"Python {platform.python_version()}, numpy {np.__version__}"
    return f"{model}, {os.cpu_count()} cores; {versions}; {blas}; GEMM peak {peaks}"
