"""Run tasks on this machine, several at once, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from neurofit.analyses.sweeps.cells import Cell
from neurofit.analyses.sweeps.plan import StudyFolder, Task, compute_of, finished
from neurofit.analyses.sweeps.study import Study
from neurofit.analyses.sweeps.work import COMMAND
from neurofit.config.compute import available_cores


def run_locally(
    batches: Sequence[Sequence[Task]],
    study: Study,
    folder: StudyFolder,
    *,
    on_end: Callable[[Task], None] | None = None,
) -> None:
    """Run tasks, and wait for them.

    A cell whose process was killed is computed again, alone, as often as the study says; one that
    failed by an error of its own is not.

    Parameters
    ----------
    batches
        Tasks in order; those of a batch may run at once.
    study, folder
        The study and its folder.
    on_end
        Called when a task has ended.
    """
    threads = compute_of(study.machine.workers, available_cores())
    environment = {**os.environ, **{name: str(n) for name, n in threads.items()}}

    def run_task(task: Task) -> None:
        path = folder.write_task(task, study)
        killed = run_process(COMMAND, path, folder.log(path.stem), environment)
        for _ in range(study.machine.retries):
            left = _left(task, folder) if killed else []
            if not left:
                break
            killed = False
            for cell in left:
                alone = folder.write_task(Task(cells=(cell,), stage=task.stage), study)
                killed |= run_process(COMMAND, alone, folder.log(alone.stem), environment)
        if on_end:
            on_end(task)

    for batch in batches:
        with ThreadPoolExecutor(study.machine.workers) as pool:
            list(pool.map(run_task, batch))


def run_process(
    command: Sequence[str], task: Path, log: Path, environment: Mapping[str, str]
) -> bool:
    """Run a command with the file of a task, and return whether its process was killed.

    What it prints is added to the log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as out:
        done = subprocess.run(
            [*command, str(task)],
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            check=False,
        )
    return done.returncode < 0


def _left(task: Task, folder: StudyFolder) -> list[Cell]:
    """Return the cells of a task that are neither finished nor failed."""
    existing = finished(task.cells)
    return [
        cell
        for cell in task.cells
        if cell.key not in existing and not folder.failure(cell.key).exists()
    ]
