"""A sweep of the tiny zoo against single scores, and under processes that are killed.

    python benchmarks/sweep.py WORK_FOLDER --part cost [--models *_tiny] [--window 0:260]
    python benchmarks/sweep.py WORK_FOLDER --part short [--models *_tiny]
    python benchmarks/sweep.py WORK_FOLDER --part kills [--kills 20]

The cost: V4 and IT of hvm-sim, ridge and PLS, with default options, are four cells of each model.
The sweep and the single scores are processes of their own on one thread; CPU time is that of all of
them. With "short", the cells have 80 images, four time bins, two splits and two halves. The kills:
two sweeps of 48 cells (12 models, 80 images, four time bins, two splits), one of which loses its
coordinator or a worker to SIGKILL at random moments and is resumed. Results are compared to the
bit. What is finished in WORK_FOLDER is not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import xarray as xr

from neurofit.analyses.sweeps.cells import Cell, result_path
from neurofit.analyses.sweeps.plan import finished, study_folder
from neurofit.results.io import load_result
from neurofit.storage.home import home

STUDY = """
models = {models}
recordings = ["{recording}"]
regions = ["V4", "IT"]
mappings = ["ridge", "pls"]
windows = ["{window}"]
[machine]
workers = 1
"""
SHORT = """
[options]
n_splits = 2
n_halves = 2
"""
NEUROFIT = (sys.executable, "-m", "neurofit")


def main() -> None:
    """Run what is missing, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", choices=("cost", "short", "kills"), required=True)
    parser.add_argument("--models", nargs="+", default=["*_tiny"])
    parser.add_argument("--window", default="0:260")
    parser.add_argument("--kills", type=int, default=20)
    asked = parser.parse_args()
    recordings = home() / "recordings"
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # a sweep divides the cores that it has
    asked.folder.mkdir(parents=True, exist_ok=True)
    os.chdir(asked.folder)
    if asked.part == "cost":
        study = STUDY.format(
            models=json.dumps(asked.models), recording="hvm-sim", window=asked.window
        )
        compare_costs("", study, [], recordings)
    elif asked.part == "short":
        options = ["--recording", str(make_small()), "--n-splits", "2", "--n-halves", "2"]
        compare_costs("short_", small_study(asked.models), options, recordings)
    else:
        survive(asked.kills)


def compare_costs(prefix: str, study: str, options: list[str], recordings: Path) -> None:
    """Compare the CPU time of a sweep with that of single scores with the same options."""
    swept_in, scored_in = f"{prefix}sweep", f"{prefix}singles"
    for name in (swept_in, scored_in):
        Path(name).mkdir(exist_ok=True)
        if not Path(name, "recordings").exists():
            shutil.copytree(recordings, Path(name, "recordings"))
    Path(f"{swept_in}.toml").write_text(study, encoding="utf-8")
    swept = in_home(swept_in, lambda: sweep_once(swept_in))
    cells = study_folder(swept_in).read_cells()
    print(f"sweep of {len(cells)} cells: {swept:.0f} s of CPU time", flush=True)
    single = in_home(scored_in, lambda: score_each(cells, options))
    print(f"single scores: {single:.0f} s; ratio {swept / single:.2f}", flush=True)
    n_same = sum(same(load(swept_in, cell), load(scored_in, cell)) for cell in cells)
    print(f"{n_same} of {len(cells)} to the bit", flush=True)


def make_small() -> Path:
    """Return a recording of 80 images and four time bins, made if necessary."""
    small = Path("small.nc").resolve()
    if not small.exists():
        chosen = ("--stimuli", "category=animal", "--window", "100:140")
        run("data", "convert", "hvm-sim", str(small), *chosen)
    return small


def small_study(models: list[str]) -> str:
    """Return a study of short cells."""
    study = STUDY.format(models=json.dumps(models), recording=make_small(), window="100:140")
    return study.replace("[machine]", f"{SHORT}[machine]")


def survive(n_kills: int) -> None:
    """Compare a sweep whose processes are killed with one that is left alone."""
    for name in ("undisturbed", "killed"):
        Path(f"{name}.toml").write_text(small_study(["*_tiny"]), encoding="utf-8")
    in_home("undisturbed", lambda: sweep_once("undisturbed"))
    kills = in_home("killed", lambda: sweep_killed("killed", n_kills))
    cells = study_folder("killed").read_cells()
    lines = (study_folder("killed").path / "computed.log").read_text(encoding="utf-8").splitlines()
    computed = [line.split()[0] for line in lines]
    n_same = sum(same(load("undisturbed", cell), load("killed", cell)) for cell in cells)
    print(
        f"killed {kills:.0f} times: {len(computed)} cells computed, {len(set(computed))} different "
        f"ones; {n_same} of {len(cells)} to the bit"
    )


def in_home(name: str, work: object) -> float:
    """Do work with a NEUROFIT_HOME of its own, unless its figure is known; return the figure."""
    known = Path(f"{name}.json")
    if not known.exists():
        os.environ["NEUROFIT_HOME"] = str(Path(name).resolve())
        figure = work()  # type: ignore[operator]
        known.write_text(json.dumps(figure), encoding="utf-8")
    return float(json.loads(known.read_text(encoding="utf-8")))


def run(*arguments: str) -> float:
    """Run a command of neurofit, and return the CPU time of all its processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*NEUROFIT, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def sweep_once(study: str) -> float:
    """Sweep a study; return CPU seconds."""
    return run("sweep", f"{study}.toml")


def score_each(cells: list[Cell], given_options: list[str]) -> float:
    """Score each cell by `neurofit score`, what was scored before left out; return CPU seconds."""
    seconds = {}
    for cell in cells:
        own = Path("scores", cell.key)
        figure = own.with_suffix(".json")
        if not figure.exists():
            shutil.rmtree(own, ignore_errors=True)
            given = {name: cell.choices[name] for name in ("model", "region", "mapping", "window")}
            options = [word for name, value in given.items() for word in (f"--{name}", value)]
            taken = run("score", *options, *given_options, "--out", str(own))
            figure.write_text(json.dumps(taken), encoding="utf-8")
        seconds[cell.key] = json.loads(figure.read_text(encoding="utf-8"))
    return float(sum(seconds.values()))


def sweep_killed(study: str, n_kills: int) -> int:
    """Sweep a study, killing a process at random moments; return how many were killed."""
    rng, killed = random.Random(0), 0
    folder = study_folder(study)
    while not folder.cells_file.exists() or len(finished(folder.read_cells())) < 48:
        command = "resume" if folder.cells_file.exists() else "run"
        process = subprocess.Popen(
            [*NEUROFIT, "sweep", command, f"{study}.toml"], stdout=subprocess.DEVNULL
        )
        try:
            process.wait(timeout=rng.uniform(5, 120) if killed < n_kills else None)
        except subprocess.TimeoutExpired:
            listed = ["pgrep", "-P", str(process.pid)]
            workers = subprocess.run(listed, capture_output=True, text=True, check=False).stdout
            os.kill(int(rng.choice([*workers.split(), str(process.pid)])), signal.SIGKILL)
            killed += 1
            process.kill()  # a worker that is left goes on
            process.wait()
    return killed


def load(name: str, cell: Cell) -> xr.Dataset:
    """Load the result of a cell from one of the homes."""
    os.environ["NEUROFIT_HOME"] = str(Path(name).resolve())
    path = result_path(cell.key)
    return load_result(Path("scores", cell.key, "result.nc") if "singles" in name else path)


def same(one: xr.Dataset, other: xr.Dataset) -> bool:
    """Return whether the values of two results are equal to the bit."""
    return bool(one.drop_attrs().identical(other.drop_attrs()))


if __name__ == "__main__":
    main()
