"""CPU time and memory of the analyses of docs/time.md beside one curve of the same options.

    python benchmarks/questions.py [--hvm] [--bins N] [--only NAME ...]

Each analysis runs in a process of its own on one thread, on planted responses of 168 sites to 640
images in 26 time bins (30 trials) and features of 512 units; areas have a source of 168 sites, and
animals a quarter of the sites each; with --hvm, 256 sites, 2,560 images, 39 bins, 148,480
presentations and 25,088 units. Making the data is not counted in the time. With --bins, only the
first time bins, which are one window for `turing`; `lag` needs ten. Costs grow with their number,
and those of times with times (generalisation, lag, geometry, decoding, areas) in part with its
square.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(name, None)

import numpy as np
import pandas as pd
import xarray as xr

import neurofit
from neurofit.recordings.stimuli import NoImages

ANALYSES = (
    *("score", "generalisation", "lag", "geometry", "dimensionality", "latency", "decoding"),
    *("solution_times", "partition", "areas", "animals", "turing"),
)

SIZES = {False: (640, 30, 168, 26, 512), True: (2560, 58, 256, 39, 25_088)}
"""Images, trials, sites, time bins and units; with --hvm or without."""


def make(hvm: bool, bins: int | None) -> tuple[neurofit.Activations, neurofit.Recording]:
    """Return features that change over time, and responses that are linear in some of them."""
    n_images, n_trials, n_sites, n_bins, n_units = SIZES[hvm]
    n_bins = bins or n_bins
    rng = np.random.default_rng(0)
    latents = rng.standard_normal((n_bins + 1, n_images, 60)).astype(np.float32)
    latents[1:] = 0.9 * latents[:1] + 0.4 * latents[1:]
    weights = rng.standard_normal((60, n_units)).astype(np.float32)
    blocks = {("a", step): np.maximum(each @ weights, 0) for step, each in enumerate(latents[1:])}
    ways = rng.standard_normal((60, n_sites)).astype(np.float32) / 8
    trials = np.empty((n_images * n_trials, n_sites, n_bins), dtype=np.float32)
    for b, each in enumerate(latents[1:]):
        trials[..., b] = np.repeat(each @ ways, n_trials, axis=0)
        trials[..., b] += 2 * rng.standard_normal(trials.shape[:2], dtype=np.float32)
    ids = np.array([f"s{number}" for number in range(n_images)])
    categories = np.array([f"c{number % 8}" for number in range(n_images)])
    starts = 10 * np.arange(n_bins)
    responses = xr.DataArray(
        trials,
        dims=("presentation", "neuroid", "time_bin"),
        coords={
            "stimulus_id": ("presentation", np.repeat(ids, n_trials)),
            "repetition": ("presentation", np.tile(np.arange(n_trials), n_images)),
            "neuroid_id": ("neuroid", [f"n{number}" for number in range(n_sites)]),
            "region": ("neuroid", ["IT"] * n_sites),
            "time_bin_start": ("time_bin", starts),
            "time_bin_end": ("time_bin", starts + 10),
        },
    )
    stimuli = neurofit.StimulusSet(
        name="planted",
        table=pd.DataFrame({"stimulus_id": ids, "category": categories}),
        images=NoImages(n_images, "planted"),
        visual_degrees=8.0,
        duration_ms=100.0,
    )
    activations = neurofit.Activations(
        model="planted",
        stimulus_ids=ids,
        blocks=blocks,
        first_timestep={"a": 0},
        ms_per_timestep=10,
        n_timesteps=n_bins,
        region_layers={"IT": ("a",)},
    )
    return activations, neurofit.Recording(
        name="planted", responses=responses, stimuli=stimuli, simulated=True
    )


def second_of(activations: neurofit.Activations) -> neurofit.Activations:
    """Return another model: half of the units are those of the first, half see other images."""
    blocks = {}
    for key, block in activations.blocks.items():
        half = block.shape[1] // 2
        blocks[key] = np.hstack([block[:, :half], np.roll(block[:, half:], 1, axis=0)])
    return replace(activations, model="other", blocks=blocks)


def inputs_of(name: str, hvm: bool, bins: int | None) -> tuple[object, ...]:
    """Return what an analysis takes: a source of as many sites, or four animals of a quarter."""
    activations, recording = make(hvm, bins)
    sites, n_sites = recording.responses.region, recording.responses.sizes["neuroid"]
    if name == "partition":
        return activations, second_of(activations), recording
    if name == "areas":
        renamed = recording.responses.assign_coords(region=("neuroid", ["V4"] * n_sites))
        return replace(recording, responses=renamed), recording
    if name not in ("animals", "turing"):
        return activations, recording
    subjects = sites.copy(data=[f"animal {4 * n // n_sites}" for n in range(n_sites)])
    shared = replace(recording, responses=recording.responses.assign_coords(subject=subjects))
    return (shared,) if name == "animals" else (activations, shared)


def measure(name: str, hvm: bool, bins: int | None) -> None:
    """Run one analysis and print its CPU time and the peak of memory as JSON."""
    inputs = inputs_of(name, hvm, bins)
    given = {}
    if name == "turing" and bins:
        given["config"] = neurofit.TuringConfig(windows=((0, 10 * bins),))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.process_time()
    getattr(neurofit, name)(*inputs, **given, compute=neurofit.Compute(n_jobs=1))
    seconds = time.process_time() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "data_gb": before / 1e6, "peak_gb": peak / 1e6}))


def main() -> None:
    """Run all analyses, each in a process of its own, and print the rows of the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hvm", action="store_true")
    parser.add_argument("--bins", type=int, help="number of time bins")
    parser.add_argument("--only", nargs="*", default=list(ANALYSES))
    parser.add_argument("--run", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        measure(given.run, given.hvm, given.bins)
        return
    curve = 0.0
    for name in given.only:
        command = [sys.executable, __file__, "--run", name, *["--hvm"] * given.hvm]
        command += ["--bins", str(given.bins)] if given.bins else []
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        curve = curve or found["seconds"]
        print(
            f"| {name} | {found['seconds']:.1f} | {found['seconds'] / curve:.2f} | "
            f"{found['peak_gb'] - found['data_gb']:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
