"""A sweep of the tiny zoo against single scores, and under processes that are killed.

    python benchmarks/sweep.py WORK_FOLDER [--kills 20]

12 models, V4 and IT of hvm-sim, ridge and PLS: 48 cells with default options. The sweep and the
single scores are processes of their own on one thread; CPU time is that of all of them. A third
sweep loses its coordinator or a worker to SIGKILL at random moments and is resumed. All results are
compared to the bit. What is finished in WORK_FOLDER is not run again.
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

from neurofit.analyses.sweeps.cells import Cell, result_path
from neurofit.analyses.sweeps.plan import finished, study_folder
from neurofit.results.io import load_result
from neurofit.storage.home import home

STUDY = """
models = ["*_tiny"]
regions = ["V4", "IT"]
mappings = ["ridge", "pls"]
[machine]
workers = 1
"""
NEUROFIT = (sys.executable, "-m", "neurofit")


def main() -> None:
    """Run what is missing, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    asked = parser.parse_args()
    recordings = home() / "recordings"
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    asked.folder.mkdir(parents=True, exist_ok=True)
    os.chdir(asked.folder)
    Path("tiny.toml").write_text(STUDY, encoding="utf-8")
    for name in ("sweep", "singles", "killed"):
        Path(name).mkdir(exist_ok=True)
        if not Path(name, "recordings").exists():
            shutil.copytree(recordings, Path(name, "recordings"))

    swept = in_home("sweep", sweep_once)
    print(f"sweep: {swept / 60:.1f} min of CPU time")
    os.environ["NEUROFIT_HOME"] = "sweep"
    cells = study_folder("tiny", "sweep-folder").read_cells()
    single = in_home("singles", lambda: score_each(cells))
    print(f"single scores: {single / 60:.1f} min; ratio {swept / single:.2f}")
    kills = in_home("killed", lambda: sweep_killed(asked.kills))
    lines = Path("killed-folder", "computed.log").read_text(encoding="utf-8").splitlines()
    print(f"killed {kills} times: {len(lines)} cells computed, {len(set(lines))} different ones")
    for name in ("singles", "killed"):
        print(f"{name}: {sum(same(cell, name) for cell in cells)} of {len(cells)} to the bit")


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


def sweep_once() -> float:
    """Sweep the study; return CPU seconds."""
    return run("sweep", "tiny.toml", "--out", "sweep-folder")


def score_each(cells: list[Cell]) -> float:
    """Score each cell by `neurofit score`, what was scored before left out; return CPU seconds."""
    seconds = {}
    for cell in cells:
        own = Path("scores", cell.key)
        figure = own.with_suffix(".json")
        if not figure.exists():
            shutil.rmtree(own, ignore_errors=True)
            given = {name: cell.choices[name] for name in ("model", "region", "mapping")}
            options = [word for name, value in given.items() for word in (f"--{name}", value)]
            taken = run("score", *options, "--out", str(own))
            figure.write_text(json.dumps(taken), encoding="utf-8")
        seconds[cell.key] = json.loads(figure.read_text(encoding="utf-8"))
    return float(sum(seconds.values()))


def sweep_killed(n_kills: int) -> int:
    """Sweep the study, killing a process at random moments; return how many were killed."""
    rng, killed = random.Random(0), 0
    folder = study_folder("tiny", "killed-folder")
    while not folder.cells_file.exists() or len(finished(folder.read_cells())) < 48:
        command = "resume" if folder.cells_file.exists() else "run"
        process = subprocess.Popen(
            [*NEUROFIT, "sweep", command, "tiny.toml", "--out", "killed-folder"],
            stdout=subprocess.DEVNULL,
        )
        try:
            process.wait(timeout=rng.uniform(5, 90) if killed < n_kills else None)
        except subprocess.TimeoutExpired:
            worker = subprocess.run(
                ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False
            ).stdout.split()
            target = int(rng.choice([*worker, str(process.pid)]))
            os.kill(target, signal.SIGKILL)
            killed += 1
            if target == process.pid:
                for orphan in worker:
                    os.kill(int(orphan), signal.SIGKILL)
            process.wait()
    return killed


def same(cell: Cell, name: str) -> bool:
    """Return whether the values of a cell are those of the sweep, to the bit."""
    os.environ["NEUROFIT_HOME"] = "sweep"
    expected = load_result(result_path(cell.key))
    os.environ["NEUROFIT_HOME"] = name
    other = Path("scores", cell.key, "result.nc") if name == "singles" else result_path(cell.key)
    return bool(load_result(other).drop_attrs().identical(expected.drop_attrs()))


if __name__ == "__main__":
    main()
