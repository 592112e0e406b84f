"""The analyses of docs/time.md on hvm-sim, from its trials and from its rates without noise.

    python benchmarks/validity/simulator.py [--only NAME ...]

Each analysis of IT (every second image, 90-190 ms; the simulator's own layer as the model) is run
twice: on the simulated trials, and on trials that all are the simulator's rates. What is corrected
for trial noise should be the same. Prints the rows of the table in docs/validity.md.
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np
import xarray as xr

import neurofit
from neurofit.data_loaders.hvm_sim import folder, load_teacher
from neurofit.errors import NeurofitWarning

WINDOW = (90, 190)
N_TRIALS, REST = 4, 1e-3
"""Trials of the rates, and the noise that is left in them, in units of a site's spread of rates."""

FEW: dict[str, Any] = {"n_splits": 4, "n_halves": 4}
WINDOWS = ((90, 140), (140, 190))

Inputs = dict[str, Any]

ANALYSES: dict[str, tuple[Callable[[Inputs], xr.Dataset], tuple[str, ...]]] = {
    "generalisation": (
        lambda given: neurofit.generalisation(
            given["model"], given["IT"], neurofit.GeneralisationConfig(windows=WINDOWS, **FEW)
        ),
        ("generalisation", "difference"),
    ),
    "lag": (
        lambda given: neurofit.lag(given["model"], given["IT"], neurofit.LagConfig(**FEW)),
        ("lag", "pace"),
    ),
    "geometry": (
        lambda given: neurofit.geometry(given["model"], given["IT"], neurofit.GeometryConfig()),
        ("curve", "recording_geometry"),
    ),
    "dimensionality": (
        lambda given: neurofit.dimensionality(given["model"], given["IT"]),
        ("dimensionality",),
    ),
    "latency": (
        lambda given: neurofit.latency(given["model"], given["onset"]),
        ("onset",),
    ),
    "partition": (
        lambda given: neurofit.partition(
            given["model"], given["other"], given["IT"], neurofit.PartitionConfig(**FEW)
        ),
        ("explained",),
    ),
    "areas": (
        lambda given: neurofit.areas(
            given["V4"], given["IT"], neurofit.AreasConfig(max_lag=20, **FEW)
        ),
        ("profile",),
    ),
    "animals": (
        lambda given: neurofit.animals(given["IT"], neurofit.AnimalsConfig(**FEW)),
        ("curve",),
    ),
    "solution_times": (
        lambda given: neurofit.solution_times(
            given["model"], given["IT"], neurofit.SolutionTimesConfig(n_halves=4)
        ),
        ("correlation",),
    ),
}
"""Name -> analysis, and the variables that are corrected for trial noise."""


def without_noise(recording: neurofit.Recording) -> neurofit.Recording:
    """Return trials that all are the simulator's rates."""
    assert recording.truth is not None
    rates = recording.truth.values  # (stimulus neuroid time_bin)
    trials = np.repeat(rates, N_TRIALS, axis=0)
    spread = REST * rates.std(axis=0)
    trials = trials + spread * np.random.default_rng(0).standard_normal(trials.shape)
    responses, ids = recording.responses, recording.stimuli.ids
    neuroids = {
        name: each for name, each in responses.coords.items() if "presentation" not in each.dims
    }
    made = xr.DataArray(
        trials.astype(np.float32),
        dims=responses.dims,
        coords={
            **neuroids,
            "stimulus_id": ("presentation", np.repeat(ids, N_TRIALS)),
            "repetition": ("presentation", np.tile(np.arange(N_TRIALS), len(ids))),
        },
    )
    return replace(recording, responses=made)


def prepare(change: Callable[[neurofit.Recording], neurofit.Recording]) -> Inputs:
    """Return models and recordings, which are changed by a function."""
    whole = neurofit.load_recording("hvm-sim")
    whole = neurofit.Selection(stimuli=tuple(whole.stimuli.ids[::2])).apply(whole)
    n = whole.responses.sizes["neuroid"]
    names = np.random.default_rng(0).permutation(np.arange(n) % 3)
    dealt = whole.responses.region.copy(data=[f"part {each}" for each in names])
    whole = replace(whole, responses=whole.responses.assign_coords(subject=dealt))
    teacher, other = load_teacher(folder()), neurofit.create_model("rgc_tiny")
    layers = [teacher.region_layers["IT"][0]], [other.region_layers["IT"][0]]
    return {
        "model": neurofit.extract(teacher, whole.stimuli, layers=layers[0]),
        "other": neurofit.extract(other, whole.stimuli, layers=layers[1]),
        "onset": change(whole.select(region="IT", window=(50, 250))),
        **{area: change(whole.select(region=area, window=WINDOW)) for area in ("V4", "IT")},
    }


def main() -> None:
    """Print a row for each variable."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", default=list(ANALYSES))
    chosen = parser.parse_args().only
    warnings.simplefilter("ignore", NeurofitWarning)
    trials, rates = prepare(lambda recording: recording), prepare(without_noise)
    for name in chosen:
        analyse, variables = ANALYSES[name]
        noisy, clean = analyse(trials), analyse(rates)
        for each in variables:
            found, truth = noisy[each].values, clean[each].values
            both = np.isfinite(found) & np.isfinite(truth)
            error = np.sqrt(np.mean((found - truth)[both] ** 2))
            row = [name, f"`{each}`", f"{both.sum()}"]
            row += [f"{np.mean(part[both]):.3f}" for part in (found, truth)] + [f"{error:.3f}"]
            if f"{each}_low" in noisy:
                low, high = (noisy[f"{each}_{end}"].values[both] for end in ("low", "high"))
                held = (low <= truth[both]) & (truth[both] <= high)
                row.append(f"{100 * held.mean():.0f} %")
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
