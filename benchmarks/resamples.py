"""Time and memory of a score against the number of trial halves, from 1 to 1,000.

    python benchmarks/resamples.py [--stimuli 640] [--units 2048] [--mapping ridge]
        [--halves 1 10 100 1000]

One time bin; each run is a process of its own. Memory stops growing when the halves no longer fit
into `neurofit.analyses.encoding.targets.CHUNK_BYTES`: ridge took 0.42, 0.52, 1.13 and 1.22 GB for
1, 10, 100 and 1,000 halves, of which 0.4 GB are Python, torch and the features.

Poisson trials (28 to 30 per stimulus, so that predictions of second halves cannot be derived from
those of first halves), 168 neuroids, 10 splits, one BLAS thread, CPU seconds.
"""

import argparse
import os
import resource
import subprocess
import sys
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np
import pandas as pd
import xarray as xr

from neurofit import Activations, Compute, Recording, ScoreConfig, StimulusSet, score


def main() -> None:
    """Print one row per number of halves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stimuli", type=int, default=640)
    parser.add_argument("--units", type=int, default=2048)
    parser.add_argument("--mapping", default="ridge")
    parser.add_argument("--halves", type=int, nargs="+", default=[1, 10, 100, 1000])
    options = parser.parse_args()
    if len(options.halves) == 1:
        run(options.stimuli, options.units, options.mapping, options.halves[0])
        return
    print(
        "| mapping | stimuli | units | halves | fits | CPU s | peak memory, GB "
        "|\n|---|---|---|---|---|---|---|",
        flush=True,
    )
    for n_halves in options.halves:
        arguments = [
            f"--stimuli={options.stimuli}",
            f"--units={options.units}",
            f"--mapping={options.mapping}",
            f"--halves={n_halves}",
        ]
        subprocess.run([sys.executable, __file__, *arguments], check=True)


def run(n_stimuli: int, n_units: int, mapping: str, n_halves: int) -> None:
    """Score one bin and print its row."""
    rng = np.random.default_rng(0)
    features = np.maximum(
        rng.standard_normal((n_stimuli, 50)) @ rng.standard_normal((50, n_units)), 0
    ).astype(np.float32)
    rates = np.exp(
        0.3 * features[:, :50] @ rng.standard_normal((50, 168)) / features[:, :50].std() / 7
    )
    stimulus = np.repeat(np.arange(n_stimuli), rng.integers(28, 31, n_stimuli))
    ids = np.array([f"s{i}" for i in range(n_stimuli)])
    responses = xr.DataArray(
        rng.poisson(rates[stimulus]).astype(np.float32)[..., None],
        dims=("presentation", "neuroid", "time_bin"),
        coords={
            "stimulus_id": ("presentation", ids[stimulus]),
            "repetition": ("presentation", np.arange(len(stimulus))),
            "neuroid_id": ("neuroid", [f"n{i}" for i in range(168)]),
            "region": ("neuroid", ["IT"] * 168),
            "time_bin_start": ("time_bin", [0]),
            "time_bin_end": ("time_bin", [10]),
        },
    )
    images = np.zeros((n_stimuli, 2, 2, 3), np.uint8)
    stimuli = StimulusSet(
        name="s",
        table=pd.DataFrame({"stimulus_id": ids}),
        images=images,
        visual_degrees=8.0,
        duration_ms=100.0,
    )
    activations = Activations(
        model="m",
        stimulus_ids=ids,
        blocks={("layer", 0): features},
        first_timestep={"layer": 0},
        ms_per_timestep=10,
        n_timesteps=1,
        region_layers={"IT": ("layer",)},
    )
    recording = Recording(name="r", responses=responses, stimuli=stimuli)
    config = ScoreConfig(mapping=mapping, n_halves=n_halves)
    start = time.process_time()
    score(activations, recording, config, compute=Compute(n_jobs=1))
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(
        f"| {mapping} | {n_stimuli} | {n_units} | {n_halves} | {10 * (1 + 2 * n_halves):,} | "
        f"{seconds:.1f} | {peak:.2f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
