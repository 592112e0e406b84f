"""Ceiling and score of a recording of the size of HvM over time, which is larger than memory.

    python benchmarks/recording_larger_than_memory.py FOLDER [--layout brainscore|neurofit]
        [--presentations 148480] [--jobs 2] [--keep]

Writes 148,480 presentations x 256 sites x 39 overlapping bins of float32 (5.9 GB) into FOLDER, with
axes in Brain-Score's order (neuroid presentation time_bin) or with each time bin contiguous, and
measures each step in a process of its own: wall and CPU time, peak resident memory, and the bytes
that the system read for it (cached or not, from the file and its temporary copy). 3,200 stimuli
with uneven repetitions; the rates follow 20 latents, which are also the features; the score has one
split x 10 trial halves. The file, and the copy beside it (TMPDIR is set to FOLDER), are deleted
afterwards.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import h5netcdf
import numpy as np
import pandas as pd

from neurofit.activations.activations import Activations
from neurofit.analyses.ceiling import ceiling
from neurofit.analyses.predictivity.config import ScoreConfig
from neurofit.analyses.predictivity.score import score
from neurofit.config.compute import Compute
from neurofit.data_loaders.formats.netcdf import read_netcdf
from neurofit.mapping import PLSMapping
from neurofit.recordings.recording import DIMS
from neurofit.recordings.reliability import reliabilities
from neurofit.recordings.stimuli import NoImages, StimulusSet

N_STIMULI, N_NEUROIDS, N_BINS, N_LATENTS = 3200, 256, 39, 20
LAYOUTS = {"brainscore": ("neuroid", "presentation", "time_bin"), "neurofit": DIMS}
STEPS = ("ceiling", "score", "reliabilities")


def main() -> None:
    """Print the rows of benchmarks/README.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layout", choices=LAYOUTS, default="brainscore")
    parser.add_argument("--presentations", type=int, default=148_480)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", action="store_true", help="do not delete the file")
    parser.add_argument("--step", choices=STEPS)
    options = parser.parse_args()
    path = options.folder / f"hvm_size_{options.layout}.nc"
    if options.step:
        measure(options.step, path, n_jobs=options.jobs)
        return
    start = time.perf_counter()
    generate(path, options.presentations, LAYOUTS[options.layout])
    size = path.stat().st_size
    print(
        f"{options.layout}: {size / 1e9:.2f} GB, written in {time.perf_counter() - start:.0f} s",
        flush=True,
    )
    print(
        "| layout | step | wall s | CPU s | peak GB | read, times the file | median "
        "|\n|---|---|---|---|---|---|---|",
        flush=True,
    )
    try:
        for step in STEPS:
            command = [
                sys.executable,
                __file__,
                str(options.folder),
                "--layout",
                options.layout,
                "--step",
                step,
                "--jobs",
                str(options.jobs),
            ]
            subprocess.run(command, check=True, env={**os.environ, "TMPDIR": str(options.folder)})
    finally:
        if not options.keep:
            path.unlink()


def measure(step: str, path: Path, *, n_jobs: int) -> None:
    """Print a row. Peak memory is that of the whole process, including imports."""
    recording = read_netcdf(path, stimuli=stimuli())
    start, read = time.perf_counter(), bytes_read()
    if step == "ceiling":
        result = ceiling(recording).curve.values
    elif step == "reliabilities":
        result = reliabilities(recording)
    else:
        config = ScoreConfig(mapping=PLSMapping(n_components=N_LATENTS), n_splits=1)
        compute = Compute(n_jobs=n_jobs)
        result = score(features(), recording, config, compute=compute).curve.values
    wall, cpu = time.perf_counter() - start, time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    times = (bytes_read() - read) / path.stat().st_size
    layout = path.stem.rpartition("_")[2]
    print(
        f"| {layout} | {step} | {wall:.0f} | {cpu:.0f} | {peak:.2f} | {times:.2f} | "
        f"{np.nanmedian(result):.3f} |",
        flush=True,
    )


def bytes_read() -> int:
    """Return the bytes that this process has read, from the disk or the system's cache."""
    return int(Path("/proc/self/io").read_text().split("rchar:")[1].split()[0])


def stimuli() -> StimulusSet:
    """Return a table without images."""
    table = pd.DataFrame({"stimulus_id": [f"s{number:04d}" for number in range(N_STIMULI)]})
    return StimulusSet(
        name="planted",
        table=table,
        images=NoImages(N_STIMULI, "planted"),
        visual_degrees=8.0,
        duration_ms=100.0,
    )


def latents() -> np.ndarray:
    """Return the latents (stimulus latent), which are the features."""
    return np.random.default_rng(0).standard_normal((N_STIMULI, N_LATENTS)).astype(np.float32)


def features() -> Activations:
    """Return the latents as the activations of a model at each timestep."""
    shared = latents()
    return Activations(
        model="planted",
        stimulus_ids=stimuli().ids,
        blocks={("layer", step): shared for step in range(N_BINS + 2)},
        first_timestep={"layer": 0},
        ms_per_timestep=10,
        n_timesteps=N_BINS + 2,
        region_layers={"IT": ("layer",)},
    )


def generate(path: Path, n_presentations: int, dims: tuple[str, ...]) -> None:
    """Write the file block by block.

    The signal of the latents rises and falls over time; every trial has its own noise.
    """
    rng = np.random.default_rng(1)
    least = 9 * n_presentations // (10 * N_STIMULI)
    counts = least + rng.multinomial(
        n_presentations - least * N_STIMULI, np.full(N_STIMULI, 1 / N_STIMULI)
    )
    rows = rng.permutation(np.repeat(np.arange(N_STIMULI), counts))
    signal = (
        latents()
        @ rng.standard_normal((N_LATENTS, N_NEUROIDS)).astype(np.float32)
        / np.sqrt(N_LATENTS, dtype=np.float32)
    )
    course = np.sin(np.linspace(0, np.pi, N_BINS)).astype(np.float32)
    ids, starts = stimuli().ids[rows], 10 * np.arange(N_BINS)
    noise = rng.standard_normal(2**22, dtype=np.float32) * 5
    bins_contiguous = dims == DIMS
    with h5netcdf.File(path, "w") as file:
        file.dimensions = dict(zip(DIMS, (n_presentations, N_NEUROIDS, N_BINS), strict=True))
        for name, dim, values in (
            ("time_bin_start", "time_bin", starts),
            ("time_bin_end", "time_bin", starts + 20),
            ("stimulus_id", "presentation", ids.astype("S5")),
            ("repetition", "presentation", pd.Series(rows).groupby(rows).cumcount().to_numpy()),
            (
                "neuroid_id",
                "neuroid",
                np.array([f"n{number:03d}" for number in range(N_NEUROIDS)]).astype("S4"),
            ),
            ("region", "neuroid", np.full(N_NEUROIDS, "IT").astype("S2")),
        ):
            file.create_variable(name, (dim,), data=values)
        chunks = {"chunks": (4096, N_NEUROIDS, 1)} if bins_contiguous else {}
        data = file.create_variable("data", dims, dtype="float32", **chunks)
        for position in range(N_BINS if bins_contiguous else N_NEUROIDS):
            start = int(rng.integers(2**22))
            if bins_contiguous:
                trials = (
                    np.resize(np.roll(noise, start), (n_presentations, N_NEUROIDS))
                    + course[position] * signal[rows]
                )
                data[:, :, position] = trials
            else:
                trials = (
                    np.resize(np.roll(noise, start), (n_presentations, N_BINS))
                    + course * signal[rows, position, None]
                )
                data[position] = trials


if __name__ == "__main__":
    main()
