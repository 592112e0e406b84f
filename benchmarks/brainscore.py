"""A temporal score computed by Brain-Score and by neurofit: CPU time, peak memory, differences.

    python benchmarks/brainscore.py [--repeats 3] [--stimuli 640] [--neuroids 88] [--bins 10]
        [--units 2048] [--repetitions 20]

Both packages receive one assembly of trials and one of features, as a benchmark holds them and as
`look_at` of a model returns them, and compute what `MajajHong2015public.V4-temporal-pls` does: 10
splits of a PLS with one map for all bins (`spantime_pls`), the ceiling of each bin
(`internal_consistency_temporal`) and explained variance. neurofit adds its intervals. The two run
in turn, each alone in a process of one thread. CPU time is that of the call. Peak memory is the
maximum of the process during the call; "above inputs" is how far it exceeds the memory before the
call (imports and inputs).

Requires Brain-Score, see docs/brainscore.md.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LOKY_MAX_CPU_COUNT"):
    os.environ[name] = "1"
# Otherwise Brain-Score would read the ceiling that it computed for other data of the same name.
os.environ["RESULTCACHING_DISABLE"] = "1"

import numpy as np

import neurofit.brainscore  # before Brain-Score: it sets environment variables

N_LATENTS = 200
NOISE = 2.0


def main() -> None:
    """Print the rows of benchmarks/README.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in {
        "repeats": 3,
        "stimuli": 640,
        "neuroids": 88,
        "bins": 10,
        "units": 2048,
        "repetitions": 20,
    }.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--side", choices=SIDES)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.side:
        measure(options.side, options.out, *assemblies(options))
        return
    runs_of: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.repeats):
            for side in SIDES:
                out = Path(folder) / f"{side}.npz"
                command = [
                    sys.executable,
                    "-W",
                    "ignore",
                    *sys.argv,
                    "--side",
                    side,
                    "--out",
                    str(out),
                ]
                subprocess.run(command, check=True, env={**os.environ, "NEUROFIT_HOME": folder})
                runs_of[side].append(json.loads(out.with_suffix(".json").read_text()))
        theirs, ours = (np.load(Path(folder) / f"{side}.npz") for side in SIDES)
    columns = list(runs_of["neurofit"][0])
    medians = {
        side: [median(run[column] for run in runs) for column in columns]
        for side, runs in runs_of.items()
    }
    medians["ratio"] = [b / n for b, n in zip(*medians.values(), strict=True)]
    print(f"| | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for row, values in medians.items():
        print(f"| {row} | {' | '.join(f'{value:.2f}' for value in values)} |")
    for key, values in theirs.items():
        print(f"largest difference in {key} {values.shape}: {np.abs(values - ours[key]).max():.1e}")
    print("score in each bin:", np.round(theirs["score"], 3))


def assemblies(options: argparse.Namespace) -> tuple[Any, Any]:
    """Return trials and features as Brain-Score's assemblies.

    Half of the variance of the latents is constant over time for a stimulus.
    """
    from brainscore_core.supported_data_standards.brainio.assemblies import (
        NeuroidAssembly,
        NeuronRecordingAssembly,
    )

    rng = np.random.default_rng(0)
    stimuli, neuroids, bins, units, repetitions = (
        getattr(options, n) for n in ("stimuli", "neuroids", "bins", "units", "repetitions")
    )
    latents = rng.standard_normal((stimuli, N_LATENTS, 1)) + rng.standard_normal(
        (stimuli, N_LATENTS, bins)
    )
    signal = np.einsum(
        "slt,ln->snt", latents, rng.standard_normal((N_LATENTS, neuroids)) / np.sqrt(N_LATENTS)
    )
    trials = signal + NOISE * rng.standard_normal((repetitions, *signal.shape))
    features = np.maximum(
        np.einsum("slt,lu->sut", latents, rng.standard_normal((N_LATENTS, units))), 0
    )

    ids = np.array([f"image{i:04d}" for i in range(stimuli)])
    objects = np.array([f"object{i % 64:02d}" for i in range(stimuli)])
    starts = 70 + 10 * np.arange(bins)
    time_bins = {"time_bin_start": ("time_bin", starts), "time_bin_end": ("time_bin", starts + 10)}
    dims = ("presentation", "neuroid", "time_bin")
    recording = NeuronRecordingAssembly(
        trials.reshape(-1, neuroids, bins).astype(np.float32),
        coords={
            "stimulus_id": ("presentation", np.tile(ids, repetitions)),
            "object_name": ("presentation", np.tile(objects, repetitions)),
            "repetition": ("presentation", np.repeat(np.arange(repetitions), stimuli)),
            "neuroid_id": ("neuroid", [f"site{i:03d}" for i in range(neuroids)]),
            "region": ("neuroid", ["V4"] * neuroids),
            **time_bins,
        },
        dims=dims,
    )
    outputs = NeuroidAssembly(
        features.astype(np.float32),
        coords={
            "stimulus_id": ("presentation", ids),
            "object_name": ("presentation", objects),
            "neuroid_id": ("neuroid", [f"unit{i:05d}" for i in range(units)]),
            "layer": ("neuroid", ["features"] * units),
            **time_bins,
        },
        dims=dims,
    )
    return recording, outputs


def through_brainscore(trials: Any, features: Any) -> dict[str, np.ndarray]:
    """Score as `NeuralBenchmark` does: metric, ceiling of the trials, explained variance."""
    from brainscore_vision import load_ceiling, load_metric
    from brainscore_vision.benchmark_helpers.neural_common import (
        average_repetition,
        explained_variance,
    )

    metric = load_metric(
        "spantime_pls", crossvalidation_kwargs={"stratification_coord": "object_name"}
    )
    raw = metric(features, average_repetition(trials))
    ceiling = load_ceiling("internal_consistency_temporal")(trials)
    found = {"r": raw.raw, "ceiling": ceiling.raw}
    return {
        "score": explained_variance(raw, ceiling).values,
        **{
            key: values.transpose("split", "neuroid", "time_bin").values
            for key, values in found.items()
        },
    }


def through_neurofit(trials: Any, features: Any) -> dict[str, np.ndarray]:
    """Score with the preset `brainscore`, including the conversion."""
    from neurofit.brainscore.features import from_features

    recording = neurofit.brainscore.from_assembly(trials)
    activations = from_features(
        features, model="planted", region="V4", stimulus_ids=recording.stimuli.ids
    )
    config = neurofit.make_config(
        "brainscore", layers=("V4",), time_mode="fixed", intercept="shared"
    )
    result = neurofit.score(activations, recording, config, compute=neurofit.Compute(n_jobs=1))
    return {
        "score": result.curve.values[0],
        "r": result.r_xy.values[0],
        "ceiling": result.r_yy_sb.values[0],
    }


SIDES: dict[str, Callable[[Any, Any], dict[str, np.ndarray]]] = {
    "brainscore": through_brainscore,
    "neurofit": through_neurofit,
}


def measure(side: str, out: Path, trials: Any, features: Any) -> None:
    """Write the numbers of one side to `out`, and their cost to a JSON file beside it."""
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    wall, cpu = time.perf_counter(), time.process_time()
    numbers = SIDES[side](trials, features)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resident("VmHWM")
    np.savez(out, **numbers)
    out.with_suffix(".json").write_text(
        json.dumps(
            {"CPU s": cpu, "wall s": wall, "peak GB": peak, "above inputs, GB": peak - before}
        )
    )


def resident(which: str) -> float:
    """Return the current (VmRSS) or peak (VmHWM) memory of this process in GB."""
    return int(Path("/proc/self/status").read_text().split(f"{which}:")[1].split()[0]) * 1024 / 1e9


if __name__ == "__main__":
    main()
