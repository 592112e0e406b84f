"""Workers of a search: on this machine, or as the jobs of an array on a SLURM cluster."""

from __future__ import annotations

import json
import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from neurofit.analyses.sweeps.local import run_process
from neurofit.analyses.sweeps.plan import compute_of
from neurofit.analyses.sweeps.slurm import submit_files
from neurofit.config.compute import available_cores
from neurofit.errors import NeurofitError
from neurofit.storage.home import atomic_file
from neurofit.training.search.database import SOURCES, find_password, without_password
from neurofit.training.search.storage import create_study
from neurofit.training.search.study import Search
from neurofit.training.search.trials import SearchFolder
from neurofit.training.search.work import COMMAND


def begin(search: Search, folder: SearchFolder) -> None:
    """Write the definition of a search, and create its study in the storage.

    Raises
    ------
    NeurofitError
        If Optuna is not installed, or the folder or the storage has another study of this name.
    StorageError
        If the storage does not answer.
    """
    folder.path.mkdir(parents=True, exist_ok=True)
    create_study(search, folder.path)
    folder.begin(search)


def run_here(search: Search, folder: SearchFolder) -> None:
    """Start workers on this machine, and wait until they find no trial left.

    A worker that was killed at a trial is started again and goes on with it, until the trial has
    no retries left; one that is killed before it is at a trial is started again `retries` times.
    If this process itself is killed, its workers finish; more can be started at any time.
    """
    own = search.machine
    cores = own.workers * own.threads if own.threads else available_cores()
    threads = compute_of(own.workers, cores)
    environment = {**os.environ, **{name: str(n) for name, n in threads.items()}}
    if search.storage:
        # no file has it: a worker reads the address without its password
        environment["PGPASSWORD"] = find_password(search.storage).value

    def run_worker(task: Path) -> None:
        n_idle = 0
        while n_idle <= own.retries:
            before = folder.n_attempts()
            if not run_process(COMMAND, task, folder.log(task.stem), environment):
                return
            n_idle = n_idle + 1 if folder.n_attempts() == before else 0

    tasks = write_tasks(search, folder)
    with ThreadPoolExecutor(len(tasks)) as pool:
        list(pool.map(run_worker, tasks))


def submit_workers(search: Search, folder: SearchFolder) -> list[str]:
    """Submit workers as an array of SLURM jobs, and return their numbers.

    Raises
    ------
    NeurofitError
        If submitit is not installed, there is no SLURM, SLURM refuses the jobs, or only the
        address has the password of the database, which jobs are not given.
    """
    stored = without_password(search.storage)
    if stored and find_password(search.storage).value and not find_password(stored).value:
        raise NeurofitError(
            "storage: jobs of SLURM are not given the password of an address, which SLURM would "
            f"store. Put it into ~/.pgpass.\n{SOURCES}"
        )
    tasks = write_tasks(search, folder)
    return submit_files(tasks, COMMAND, folder.path, name=search.name, own=search.slurm, gpus=True)


def write_tasks(search: Search, folder: SearchFolder) -> list[Path]:
    """Write a file for each worker, and return their paths."""
    tasks = []
    for _ in range(search.machine.workers):
        path = folder.path.resolve() / "tasks" / f"worker-{uuid.uuid4().hex[:12]}.json"
        with atomic_file(path) as temporary:
            content = {"folder": str(folder.path.resolve())}
            temporary.write_text(json.dumps(content), encoding="utf-8")
        tasks.append(path)
    return tasks
