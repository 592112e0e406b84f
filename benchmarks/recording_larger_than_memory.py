"""The ceiling and the score of a recording of the size of HvM in time, in less memory than it takes on disk.

    python benchmarks/recording_larger_than_memory.py FOLDER [--layout brainscore|neurofit] [--presentations 148480] [--keep]

Writes 148,480 presentations x 256 sites x 39 overlapping bins of float32 (5.9 GB) into FOLDER, with the axes as Brain-Score stores them
(neuroid presentation time_bin) or a time bin together, and measures each step in a process of its own: wall and CPU time, peak resident
memory, and what the system read on its behalf (cached or not, of the file and of its temporary copy). 3,200 stimuli, uneven repetitions;
the rates follow 20 latents, which are the features; the score is of one split x 10 trial halves. The file, and the copy beside it
(TMPDIR is set to FOLDER), are deleted afterwards.
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

from neurofit.assemblies import DIMS
from neurofit.ceiling import ceiling, reliabilities
from neurofit.data_loaders.formats.netcdf import read_netcdf
from neurofit.extract import Activations
from neurofit.presets import make_config
from neurofit.score import score
from neurofit.stimuli import NoImages, StimulusSet

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
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--step", choices=STEPS)
    options = parser.parse_args()
    path = options.folder / f"hvm_size_{options.layout}.nc"
    if options.step:
        measure(options.step, path, n_jobs=options.jobs)
        return
    begin = time.perf_counter()
    generate(path, options.presentations, LAYOUTS[options.layout])
    size = path.stat().st_size
    print(f"{options.layout}: {size / 1e9:.2f} GB, made in {time.perf_counter() - begin:.0f} s", flush=True)
    print("| layout | step | wall s | CPU s | peak GB | read, times the file | median |\n|---|---|---|---|---|---|---|", flush=True)
    try:
        for step in STEPS:
            again = [sys.executable, __file__, str(options.folder), "--layout", options.layout, "--step", step, "--jobs", str(options.jobs)]
            subprocess.run(again, check=True, env={**os.environ, "TMPDIR": str(options.folder)})
    finally:
        if not options.keep:
            path.unlink()


def measure(step: str, path: Path, *, n_jobs: int) -> None:
    """Print a row. Peak memory is of the whole process, imports included."""
    recording = read_netcdf(path, stimuli=stimuli())
    begin, read = time.perf_counter(), bytes_read()
    if step == "ceiling":
        result = ceiling(recording).curve.values
    elif step == "reliabilities":
        result = reliabilities(recording)
    else:
        config = make_config("nayebi2022", region="IT", mapping="pls", n_components=N_LATENTS, n_splits=1)
        result = score(features(), recording, config, n_jobs=n_jobs).curve.values
    wall, cpu = time.perf_counter() - begin, time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    times = (bytes_read() - read) / path.stat().st_size
    layout = path.stem.rpartition("_")[2]
    print(f"| {layout} | {step} | {wall:.0f} | {cpu:.0f} | {peak:.2f} | {times:.2f} | {np.nanmedian(result):.3f} |", flush=True)


def bytes_read() -> int:
    """Return what this process has read, from the disk or the system's cache."""
    return int(Path("/proc/self/io").read_text().split("rchar:")[1].split()[0])


def stimuli() -> StimulusSet:
    """Return a table without pictures."""
    table = pd.DataFrame({"stimulus_id": [f"s{number:04d}" for number in range(N_STIMULI)]})
    return StimulusSet(name="planted", table=table, images=NoImages(N_STIMULI, "planted"), visual_degrees=8.0, duration_ms=100.0)


def latents() -> np.ndarray:
    """Return the features, array (stimulus latent)."""
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
    """Write the file block by block: signal of the latents, rising and falling in time, and noise of each trial."""
    rng = np.random.default_rng(1)
    least = 9 * n_presentations // (10 * N_STIMULI)
    counts = least + rng.multinomial(n_presentations - least * N_STIMULI, np.full(N_STIMULI, 1 / N_STIMULI))
    rows = rng.permutation(np.repeat(np.arange(N_STIMULI), counts))
    signal = latents() @ rng.standard_normal((N_LATENTS, N_NEUROIDS)).astype(np.float32) / np.sqrt(N_LATENTS, dtype=np.float32)
    course = np.sin(np.linspace(0, np.pi, N_BINS)).astype(np.float32)
    ids, starts = stimuli().ids[rows], 10 * np.arange(N_BINS)
    noise = rng.standard_normal(2**22, dtype=np.float32) * 5
    bin_together = dims == DIMS
    with h5netcdf.File(path, "w") as file:
        file.dimensions = dict(zip(DIMS, (n_presentations, N_NEUROIDS, N_BINS), strict=True))
        for name, dim, values in (
            ("time_bin_start", "time_bin", starts),
            ("time_bin_end", "time_bin", starts + 20),
            ("stimulus_id", "presentation", ids.astype("S5")),
            ("repetition", "presentation", pd.Series(rows).groupby(rows).cumcount().to_numpy()),
            ("neuroid_id", "neuroid", np.array([f"n{number:03d}" for number in range(N_NEUROIDS)]).astype("S4")),
            ("region", "neuroid", np.full(N_NEUROIDS, "IT").astype("S2")),
        ):
            file.create_variable(name, (dim,), data=values)
        chunks = {"chunks": (4096, N_NEUROIDS, 1)} if bin_together else {}
        data = file.create_variable("data", dims, dtype="float32", **chunks)
        for position in range(N_BINS if bin_together else N_NEUROIDS):
            begin = int(rng.integers(2**22))
            if bin_together:
                trials = np.resize(np.roll(noise, begin), (n_presentations, N_NEUROIDS)) + course[position] * signal[rows]
                data[:, :, position] = trials
            else:
                trials = np.resize(np.roll(noise, begin), (n_presentations, N_BINS)) + course * signal[rows, position, None]
                data[position] = trials


if __name__ == "__main__":
    main()
