"""Chance, coverage and noise of decoders over time and of solution times, with planted labels.

    python benchmarks/validity/decoding.py [--sets 40] [--only solution ...]

Takes about a quarter of an hour on one core. Each finished data set is kept in
docs/validity_decoding.json, and a further call goes on from there, also to more data sets.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np
import pandas as pd
import xarray as xr

import neurofit

OUT = Path(__file__).resolve().parents[2] / "docs" / "validity_decoding.json"

LABELS = 4


def plant(
    rates: np.ndarray, units: np.ndarray, *, n_trials: int, noise: float, rng: np.random.Generator
) -> tuple[neurofit.Activations, neurofit.Recording]:
    """Return activations and trials of rates (stimulus site time_bin), whose labels take turns."""
    n, n_sites, n_bins = rates.shape
    ids = np.array([f"s{number}" for number in range(n)])
    starts = 70 + 10 * np.arange(n_bins)
    trials = np.repeat(rates, n_trials, axis=0)
    trials = trials + noise * rng.standard_normal(trials.shape)
    responses = xr.DataArray(
        trials.astype(np.float32),
        dims=("presentation", "neuroid", "time_bin"),
        coords={
            "stimulus_id": ("presentation", np.repeat(ids, n_trials)),
            "repetition": ("presentation", np.tile(np.arange(n_trials), n)),
            "neuroid_id": ("neuroid", [f"n{number}" for number in range(n_sites)]),
            "region": ("neuroid", ["IT"] * n_sites),
            "time_bin_start": ("time_bin", starts),
            "time_bin_end": ("time_bin", starts + 10),
        },
    )
    stimuli = neurofit.StimulusSet(
        name="planted",
        table=pd.DataFrame({"stimulus_id": ids, "category": np.arange(n) % LABELS}),
        images=np.zeros((n, 2, 2, 3), np.uint8),
        visual_degrees=8.0,
        duration_ms=100.0,
    )
    activations = neurofit.Activations(
        model="planted",
        stimulus_ids=ids,
        blocks={("a", 7 + b): units[..., b].astype(np.float32) for b in range(n_bins)},
        first_timestep={"a": 7},
        ms_per_timestep=10,
        n_timesteps=7 + n_bins,
        region_layers={"IT": ("a",)},
    )
    return activations, neurofit.Recording(
        name="planted", responses=responses, stimuli=stimuli, simulated=True
    )


def one_decoding(n: int, size: float, seed: int) -> list[float]:
    """Return accuracy, the ends of its interval and mean d' of 40 sites, two trials."""
    rng = np.random.default_rng(seed)
    codes = size * np.random.default_rng(10**6).standard_normal((LABELS, 40, 1))
    rates = codes[np.arange(n) % LABELS] + rng.standard_normal((n, 40, 1))
    config = neurofit.DecodingConfig(n_samples=1, seed=seed)
    made = neurofit.decoding(*plant(rates, rates, n_trials=2, noise=1.0, rng=rng), config)
    names = ("accuracy", "accuracy_low", "accuracy_high", "dprime")
    return [float(made[name][0, 0]) for name in names]


def one_solution(shared: float, noise: float, seed: int) -> list[float]:
    """Return correlations of solution times of 240 images with 40 sites, four trials.

    An image's label appears at a time of its own with a standard deviation of 25 ms, within 40 ms,
    in sites and in units; the times of both are correlated by `shared`.
    """
    rng, n, n_bins = np.random.default_rng(seed), 240, 15
    truth = np.arange(n) % LABELS
    drawn = rng.standard_normal((2, n))
    drawn[1] = shared * drawn[0] + np.sqrt(1 - shared**2) * drawn[1]
    times = 145 + 25 * drawn
    middles = 75 + 10 * np.arange(n_bins)
    there = np.clip((middles - times[..., None]) / 40 + 0.5, 0, 1)
    codes = 0.8 * rng.standard_normal((2, LABELS, 40))
    rates = codes[:, truth][..., None] * there[:, :, None] + rng.standard_normal((2, n, 40, 1))
    inputs = plant(*rates, n_trials=4, noise=noise, rng=rng)
    config = neurofit.SolutionTimesConfig(
        threshold=1.0, n_samples=1, n_halves=1, n_bootstraps=500, seed=seed
    )
    made = neurofit.solution_times(*inputs, config)
    names = ("correlation", "correlation_low", "correlation_high", "raw_correlation", "reliability")
    return [float(made[name][0]) for name in names]


CONDITIONS: dict[str, Callable[[int], list[float]]] = {
    **{
        f"decoding/{n} images, code of {size:g}": partial(one_decoding, n, size)
        for n, size in ((160, 0.0), (160, 0.2), (160, 0.4), (400, 0.0), (400, 0.2))
    },
    **{
        f"solution/shared {shared:g}, noise {noise:g}": partial(one_solution, shared, noise)
        for shared, noise in ((0.9, 0.01), (0.9, 1.5), (0.9, 3.0), (0.0, 1.5))
    },
}


def summarise(done: dict[str, Any]) -> None:
    """Print means, standard errors and coverage of each condition."""
    for name, rows in done.items():
        found = np.array(rows, dtype=float)
        known = found[np.isfinite(found[:, 0])]
        error = known.std(axis=0, ddof=1) / np.sqrt(len(known))
        truth = known[:, 0].mean()
        if name.startswith("solution"):
            shared = name.partition(",")[0]
            free = np.array(done[f"{shared}, noise 0.01"] if "0.9" in shared else [[0.0]])
            truth = free[:, 0].mean()
        elif name.endswith("code of 0"):
            truth = 1 / LABELS
        inside = (known[:, 1] <= truth) & (truth <= known[:, 2])
        print(
            f"{name}: {len(known)} of {len(found)}, means {known.mean(axis=0).round(3).tolist()} "
            f"+- {error.round(3).tolist()}, {truth:.3f} in {inside.mean():.0%}"
        )


def main() -> None:
    """Run the data sets that are not in the file yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=40, help="data sets of each condition")
    parser.add_argument("--only", nargs="*", default=[], help="beginnings of names to run")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    done: dict[str, list[Any]] = json.loads(OUT.read_text()) if OUT.exists() else {}
    for name, work in CONDITIONS.items():
        if given.only and not name.startswith(tuple(given.only)):
            continue
        rows = done.setdefault(name, [])
        for seed in range(len(rows), given.sets):
            values = work(seed)
            rows.append([round(each, 4) if np.isfinite(each) else None for each in values])
            OUT.write_text(json.dumps(done) + "\n")
    summarise(done)


if __name__ == "__main__":
    main()
