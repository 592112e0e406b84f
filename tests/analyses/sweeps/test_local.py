"""A sweep on this machine computes each cell once, whatever is killed, to the bits of a score."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurofit
from neurofit.analyses.sweeps import plan, work
from neurofit.analyses.sweeps.cells import Cell, load_cell
from neurofit.analyses.sweeps.local import run_locally
from neurofit.analyses.sweeps.plan import (
    StudyFolder,
    finished,
    make_cells,
    make_tasks,
    study_folder,
)
from neurofit.analyses.sweeps.status import read_status
from neurofit.analyses.sweeps.study import Machine, Study
from neurofit.analyses.sweeps.sweep import sweep
from neurofit.config.compute import Compute
from neurofit.models import create_model, save_weights

STUDY = """
name = "small"
models = ["timedecay_tiny", "feedforward_tiny"]
recordings = ["small.nc"]
regions = ["V4", "IT"]
mappings = ["ridge", "pls"]
windows = ["80:100"]
[options]
n_splits = 2
n_halves = 2
min_z = 0.0
[machine]
workers = 2
retries = 0
cells_per_task = 2
"""

Command = Callable[..., tuple[int, str, str]]


def begin(study: Study) -> tuple[StudyFolder, list[Cell]]:
    folder, cells = study_folder(study.name), make_cells(study)
    folder.write_cells(cells)
    return folder, cells


def computed(folder: StudyFolder) -> Counter[str]:
    """Return how often each cell was computed."""
    log = folder.path / "computed.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return Counter(line.split()[0] for line in lines)


def test_cells_are_the_bits_of_single_scores_and_are_computed_once(study: Study) -> None:
    folder, cells = begin(study)
    assert len(cells) == 8
    run_locally(make_tasks(cells, study), study, folder)
    assert computed(folder) == dict.fromkeys((cell.key for cell in cells), 1)
    for cell in cells[::3]:
        found = load_cell(cell).drop_attrs(deep=False)
        alone = neurofit.run(replace(cell.config, compute=Compute(n_jobs=1)))
        assert found.equals(alone.drop_attrs(deep=False))
        assert np.isfinite(found["curve"]).any()
        assert json.loads(load_cell(cell).attrs["cell"])["choices"] == cell.choices
    again = make_cells(study)
    assert finished(again) == {cell.key for cell in cells}
    status = read_status(folder)
    assert (len(status.finished), len(status.waiting), status.failed) == (8, 0, {})


def test_two_studies_share_their_cells(study: Study) -> None:
    folder, cells = begin(replace(study, models=["timedecay_tiny"], regions=["IT"]))
    run_locally(make_tasks(cells, study), study, folder)
    other = replace(study, name="other", regions=["IT"], mappings=["ridge"])
    mine = make_cells(other)
    assert finished(mine) == {cell.key for cell in mine if cell.choices["model"][0] == "t"}


def test_what_changes_a_result_changes_its_cell(study: Study, tmp_path: Path) -> None:
    (cell,) = make_cells(one := only(study))
    seen = {cell.key}
    changes: list[dict[str, Any]] = [
        {"seeds": [1]},
        {"model_seeds": [1]},
        {"weights": "random"},
        {"windows": ["70:100"]},
        {"mappings": ["pls"]},
        {"time_modes": ["fixed"]},
        {"presets": ["nayebi2022"], "options": {"n_splits": 2, "n_halves": 2}},
        {"regions": ["V4"]},
        {"models": ["feedforward_tiny"]},
        {"options": {"n_splits": 3, "n_halves": 2, "min_z": 0.0}},
        {"selection": {"min_reliability": 0.1}},
    ]
    for change in changes:
        (other,) = make_cells(replace(one, **change))
        assert other.key not in seen, change
        seen.add(other.key)
    assert make_cells(replace(one, machine=Machine(workers=1), name="n"))[0].key == cell.key
    copy = tmp_path / "copy.nc"
    for name in ("small.nc", "small.stimuli.csv", "small.stimuli.zip"):
        (tmp_path / name.replace("small", "copy")).write_bytes((tmp_path / name).read_bytes())
    assert make_cells(replace(one, recordings=[str(copy)]))[0].key == cell.key


def only(study: Study) -> Study:
    return replace(study, models=["timedecay_tiny"], regions=["IT"], mappings=["ridge"])


def test_a_cell_that_fails_does_not_stop_the_others(study: Study, neurofit: Command) -> None:
    folder, cells = begin(replace(study, regions=["IT"], layers=["auto", "conv9"]))
    run_locally(make_tasks(cells, study), study, folder)
    status = read_status(folder)
    assert len(status.failed) == len(cells) / 2
    assert all("conv9" in error for error in status.failed.values())
    assert len(status.finished) == len(cells) / 2
    code, out, err = neurofit("sweep", "status", str(folder.path.resolve()))
    assert code == 0
    assert "4 finished, 0 running, 0 waiting, 4 failed" in out
    assert err.count("conv9") >= 4


def test_a_cell_is_not_computed_with_other_weights_than_it_was_planned_with(
    study: Study, tmp_path: Path
) -> None:
    """Weights that arrive or are replaced between the plan and the work give another cell."""
    weights = tmp_path / "mine.safetensors"
    save_weights(create_model("timedecay_tiny", weights="random", seed=1), weights)
    given = replace(only(study), weights=str(weights))
    folder, cells = begin(given)
    save_weights(create_model("timedecay_tiny", weights="random", seed=2), weights)
    run_locally(make_tasks(cells, given), given, folder)
    (error,) = read_status(folder).failed.values()
    assert "weights of timedecay_tiny have changed since the study was planned" in error
    status = sweep(given, failed=False)
    assert len(status.finished) == 1
    assert status.finished != {cells[0].key}


NETWORK = """
from pathlib import Path
from torch import nn

class Counted(nn.Sequential):
    def forward(self, images):
        with open(Path(__file__).with_name("seen"), "a") as file:
            file.write(f"{len(images)}\\n")
        return super().forward(images)

def make():
    layers = [nn.Conv2d(3, 4, 3, stride=4), nn.ReLU(), nn.Conv2d(4, 4, 3, stride=4), nn.ReLU()]
    return Counted(*layers, nn.Flatten(), nn.Linear(64, 10))
"""


def test_cells_of_a_network_of_ones_own_share_one_pass_of_the_images(
    study: Study, tmp_path: Path
) -> None:
    (tmp_path / "net.py").write_text(NETWORK)
    given = replace(study, models=["net.py:make?input_size=64"], layers=["0", "2"])
    folder, cells = begin(given)
    assert len(cells) == 8
    run_locally(make_tasks(cells, given), given, folder)
    assert len(read_status(folder).finished) == 8, read_status(folder).failed
    seen = map(int, (tmp_path / "seen").read_text().split())
    n_images = len(neurofit.load_recording(study.recordings[0]).stimuli)
    assert sum(n for n in seen if n > 10) == n_images  # beside the few that a model is probed with
    for cell in cells[::3]:
        alone = neurofit.run(replace(cell.config, compute=Compute(n_jobs=1)))
        assert load_cell(cell).drop_attrs(deep=False).equals(alone.drop_attrs(deep=False))


def test_a_task_of_other_code_is_refused(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, cells = begin(only(study))
    task = folder.write_task(make_tasks(cells, study)[0][0], study)
    monkeypatch.setattr("neurofit.analyses.sweeps.plan.code_sha256", lambda: "0" * 64)
    with pytest.raises(Exception, match="differs from the one that wrote"):
        work.work(task)
    assert not folder.path.joinpath("attempts.log").exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"cells": [1]}'])
def test_a_damaged_task_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "task.json").write_text(content)
    with pytest.raises(Exception, match="is not the file of a task"):
        work.work(tmp_path / "task.json")


def test_a_killed_process_is_started_again_for_what_it_left(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, cells = begin(replace(study, models=["timedecay_tiny"], regions=["IT"]))
    started: list[Path] = []
    run = plan.StudyFolder.log

    def note(self: StudyFolder, task: str) -> Path:
        started.append(Path(task))
        return run(self, task)

    monkeypatch.setattr(StudyFolder, "log", note)
    monkeypatch.setenv("PYTHONPATH", str(killing_once(Path.cwd())), prepend=os.pathsep)
    run_locally(make_tasks(cells, study), study, folder)
    assert len(started) == 1 + len(cells)  # each cell alone
    assert computed(folder) == dict.fromkeys((cell.key for cell in cells), 1)


def killing_once(folder: Path) -> Path:
    """Return a folder on the path of Python whose first process ends itself as if killed."""
    (folder / "path").mkdir()
    (folder / "path" / "sitecustomize.py").write_text(
        "import os, pathlib, signal\n"
        f"mark = pathlib.Path({str(folder / 'killed')!r})\n"
        "if not mark.exists():\n"
        "    mark.touch()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    return folder / "path"


def test_nothing_is_lost_or_computed_twice_whatever_is_killed(study: Study) -> None:
    """The coordinator or a worker is killed at random moments, and the sweep is resumed."""
    Path("small.toml").write_text(STUDY)
    rng = random.Random(0)
    command = [sys.executable, "-m", "neurofit", "sweep"]
    folder = study_folder("small")
    n_killed = 0
    for attempt in range(40):
        first = not folder.cells_file.exists()
        process = subprocess.Popen(
            [*command, "run" if first else "resume", "small.toml"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait = rng.uniform(1, 4 + 2 * attempt)  # later ones have the time to finish
        try:
            process.wait(timeout=wait)
        except subprocess.TimeoutExpired:
            target = process.pid if attempt % 2 else _worker(process.pid)
            os.kill(target or process.pid, signal.SIGKILL)
            n_killed += 1
            process.kill() if attempt % 2 else process.wait()
        if folder.cells_file.exists() and len(finished(folder.read_cells())) == 8:
            break
    while any(_is_worker(pid) for pid in _processes()):  # orphans of a killed coordinator
        time.sleep(0.2)
    assert n_killed >= 2
    status = read_status(folder)
    assert (len(status.finished), status.failed) == (8, {})
    assert set(computed(folder)) <= status.finished
    assert max(computed(folder).values()) == 1
    for cell in status.cells:
        assert np.isfinite(load_cell(cell)["curve"]).any()


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _is_worker(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return b"work" in words and os.readlink(f"/proc/{pid}/cwd") == os.getcwd()
    except OSError:
        return False


def _worker(parent: int) -> int | None:
    """Return a process that computes a task of this test, if there is one."""
    return next((pid for pid in _processes() if _is_worker(pid)), None)
