"""A sweep on a real SLURM of one node: the same cells, whatever happens to its jobs.

Without SLURM the tests are skipped, unless NEUROFIT_REQUIRE_SLURM is set.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from neurofit.analyses.sweeps import slurm
from neurofit.analyses.sweeps.cells import Cell, load_cell
from neurofit.analyses.sweeps.local import run_locally
from neurofit.analyses.sweeps.plan import (
    StudyFolder,
    Task,
    finished,
    make_cells,
    make_tasks,
    study_folder,
)
from neurofit.analyses.sweeps.status import read_status
from neurofit.analyses.sweeps.study import Slurm, Study
from neurofit.errors import NeurofitError

ONE_NODE = Path(__file__).with_name("one-node")
needs_root = pytest.mark.skipif(
    (os.geteuid() != 0 or shutil.which("slurmctld") is None)
    and not os.environ.get("NEUROFIT_REQUIRE_SLURM"),
    reason="a SLURM for tests needs root and Debian's slurm-wlm and munge",
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Start a SLURM whose arrays have at most two jobs; return its configuration."""
    folder = tmp_path_factory.mktemp("slurm")
    environment = {**os.environ, "MAX_ARRAY_SIZE": "3"}
    # one cluster on a machine: tests in other processes wait for it
    with FileLock(Path(tempfile.gettempdir()) / "neurofit-tests-slurm.lock"):
        subprocess.run([ONE_NODE, "start", folder], check=True, env=environment)
        yield folder / "slurm.conf"
        subprocess.run([ONE_NODE, "stop", folder], check=True)


@pytest.fixture
def on_slurm(study: Study, cluster: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """Return the study of the tests, for the cluster."""
    monkeypatch.setenv("SLURM_CONF", str(cluster))
    return Study(
        **{
            **vars(study),
            "slurm": Slurm(time=10, mem="2GB", cpus=1),
        }
    )


def submit(study: Study) -> tuple[StudyFolder, int]:
    folder, cells = study_folder(study.name), make_cells(study)
    folder.write_cells(cells)
    todo = [cell for cell in cells if cell.key not in finished(cells)]
    return folder, len(slurm.submit(make_tasks(todo, study, stages=True), study, folder))


def wait(folder: StudyFolder, until: Callable[[], bool], *, seconds: float = 900) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, logs(folder)
        time.sleep(1)


def logs(folder: StudyFolder) -> str:
    outputs = (folder.path / "slurm").rglob("*.err")
    return "\n".join(path.read_text()[-2000:] for path in outputs)


def computed(folder: StudyFolder) -> list[str]:
    log = folder.path / "computed.log"
    return [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []


@needs_root
def test_the_bits_on_a_cluster_are_those_on_this_machine(
    on_slurm: Study, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, n_jobs = submit(on_slurm)
    assert n_jobs == 4  # an extraction and a fit for each model, in arrays of at most two
    wait(folder, lambda: not slurm.running_jobs(folder.path))
    cells = folder.read_cells()
    assert finished(cells) == {cell.key for cell in cells}, logs(folder)
    assert sorted(computed(folder)) == sorted(cell.key for cell in cells)
    there = {cell.key: load_cell(cell) for cell in cells}
    monkeypatch.setenv("NEUROFIT_HOME", str(tmp_path / "other"))
    here = study_folder("here")
    run_locally(make_tasks(cells, on_slurm), on_slurm, here)
    for cell in cells:
        assert load_cell(cell).identical(there[cell.key])


@needs_root
def test_what_was_cancelled_requeued_or_lost_is_finished_after_one_resume(on_slurm: Study) -> None:
    folder, _ = submit(on_slurm)
    wait(folder, lambda: "RUNNING" in slurm.running_jobs(folder.path).values())
    running = next(
        task for task, state in slurm.running_jobs(folder.path).items() if state == "RUNNING"
    )
    job = folder.jobs()[running]
    subprocess.run(["scontrol", "requeue", job], check=True)
    wait(folder, lambda: len(finished(folder.read_cells())) >= 1)
    assert slurm.cancel(folder.path) >= 1
    wait(folder, lambda: not slurm.running_jobs(folder.path))
    left = read_status(folder)
    assert left.failed == {}
    assert 0 < len(left.waiting) < 8
    submit(on_slurm)
    wait(folder, lambda: not slurm.running_jobs(folder.path))
    cells = folder.read_cells()
    assert finished(cells) == {cell.key for cell in cells}, logs(folder)
    assert sorted(computed(folder)) == sorted(cell.key for cell in cells)


SLOW = """
import time
from pathlib import Path
from neurofit.models import create_model

def make():
    begun = Path(__file__).with_name("begun")
    if not begun.exists():
        begun.touch()
        time.sleep(600)
    return create_model("timedecay_tiny")
"""


@needs_root
def test_what_timed_out_is_submitted_again_and_what_was_cancelled_is_not(
    on_slurm: Study, tmp_path: Path
) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    given = Study(
        **{
            **vars(on_slurm),
            "models": [str(tmp_path / "slow.py:make"), "feedforward_tiny"],
            "mappings": ["ridge"],
            "include": [
                {"model": "*slow*", "region": "V4"},
                {"model": "feedforward_tiny", "region": "IT"},
            ],
            "slurm": Slurm(time=1, mem="2GB", cpus=1),
        }
    )
    folder, _ = submit(given)
    slow, fast = sorted(folder.read_cells(), key=lambda cell: "feedforward" in cell.name)
    fit = next(t for t in slurm.running_jobs(folder.path) if t in tasks_of(folder, fast, "fit"))
    subprocess.run(["scancel", folder.jobs()[fit]], check=True)
    wait(folder, lambda: not slurm.running_jobs(folder.path))
    assert finished(folder.read_cells()) == {slow.key}, logs(folder)
    assert [cell.key for cell in read_status(folder).waiting] == [fast.key]
    assert computed(folder) == [slow.key]
    assert [path.name for path in (folder.path / "tasks").glob("retry-*")]


def tasks_of(folder: StudyFolder, cell: Cell, stage: str) -> list[str]:
    paths = (folder.path / "tasks").glob(f"{stage}-*.json")
    return [path.stem for path in paths if cell in folder.cells_of(path.stem)]


def test_what_is_submitted_again_is_what_no_last_job_was_cancelled_for(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = study_folder(study.name)
    cells = make_cells(study)[:3]
    folder.write_cells(cells)
    every, first, second = (
        Task(cells=tuple(each), stage="fit") for each in (cells[:2], cells[:1], cells[1:2])
    )
    for task in (every, first, second):
        folder.write_task(task, study)
    again: list[list[str]] = []

    def note(batches: list[list[Task]], *_: object, **__: object) -> list[str]:
        again.append([cell.key for task in batches[0] for cell in task.cells])
        return []

    monkeypatch.setattr(slurm, "submit", note)
    states: dict[str, str] = {}
    monkeypatch.setattr(slurm, "_states", lambda _: states)
    slurm._remember(folder.path, {every.name: "1_0"})
    slurm._remember(folder.path, {first.name: "2_0", second.name: "2_1"})
    (folder.path / "slurm").mkdir()
    (folder.path / "slurm" / "2_0_0_log.err").touch()
    # all cells were cancelled once; then the first job was lost and is forgotten, the second timed
    # out, and the third cell was never in a job
    states[second.name] = "TIMEOUT"
    assert slurm.retry(folder.write_retry(study, 1)) == 3
    # a job that was cancelled before it began is forgotten and has no log
    del states[second.name]
    assert slurm.retry(folder.write_retry(study, 1)) == 2
    assert again == [[cell.key for cell in cells], [cells[0].key, cells[2].key]]


def test_a_retry_waits_until_a_lost_machine_is_known_to_be_lost(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = study_folder(study.name)
    cells = make_cells(study)[:1]
    folder.write_cells(cells)
    claimed = folder.claim_of(cells[0].key)
    claimed.parent.mkdir(parents=True)
    owner = {"machine": "another", "pid": 1, "start": "1", "claim": "x"}
    claimed.write_text(json.dumps(owner))
    assert read_status(folder).running == {cells[0].key}
    monkeypatch.setattr(slurm, "submit", lambda *_, **__: [])
    monkeypatch.setattr(time, "sleep", lambda _: os.utime(claimed, (0, 0)))
    assert slurm.retry(folder.write_retry(study, 1)) == 1


def test_without_slurm_or_submitit_a_sentence_says_so(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NeurofitError, match="There is no SLURM on this machine"):
        submit(study)
    monkeypatch.setitem(__import__("sys").modules, "submitit", None)
    with pytest.raises(NeurofitError, match=r"pip install 'neurofit\[slurm\]'"):
        submit(study)
