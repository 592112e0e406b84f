"""Run tasks on a SLURM cluster, by submitit: submit, and leave.

What is finished is known from files. Accounting (sacct) is not needed.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from neurofit.analyses.sweeps.plan import StudyFolder, Task, read_retry
from neurofit.analyses.sweeps.status import read_status
from neurofit.analyses.sweeps.study import Slurm, Study
from neurofit.analyses.sweeps.work import COMMAND
from neurofit.errors import MachineError, NeurofitError
from neurofit.storage.claims import LEASE_SECONDS
from neurofit.storage.home import atomic_file

ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED")
"""States in which squeue lists a job for a while after its end."""


RETRY = (*COMMAND[:-1], "retry")
"""Command that submits again what is missing, to which the path of its file is added."""


def submit(
    batches: Sequence[Sequence[Task]], study: Study, folder: StudyFolder, *, attempt: int = 0
) -> list[str]:
    """Submit tasks as arrays of jobs, and return their numbers.

    When all have ended, a small job submits again the cells that timed out or whose process or
    machine was lost, each alone, up to `study.machine.retries` times.

    Parameters
    ----------
    batches
        Tasks in order: a batch begins when the one before has ended, however it ended.
    study, folder
        The study and its folder.
    attempt
        How often the cells were submitted before.

    Raises
    ------
    NeurofitError
        If submitit is not installed, there is no SLURM, or SLURM refuses the jobs.
    """
    jobs: list[str] = []
    for batch in batches:
        jobs += submit_files(
            [folder.write_task(task, study) for task in batch],
            COMMAND,
            folder.path,
            name=study.name,
            own=study.slurm,
            gpus=any(task.stage != "fit" for task in batch),
            after=jobs,
        )
    if jobs and attempt < study.machine.retries:
        submit_files(
            [folder.write_retry(study, attempt + 1)],
            RETRY,
            folder.path,
            name=study.name,
            own=replace(study.slurm, cpus=1, mem="2GB", time=10),
            gpus=False,
            after=jobs,
        )
    return jobs


def retry(path: str | Path) -> int:
    """Submit again the cells that are neither finished, failed nor cancelled; return their number.

    Parameters
    ----------
    path
        File that `StudyFolder.write_retry` wrote.

    Raises
    ------
    NeurofitError
        If the file is damaged, was written by another version of neurofit, or SLURM refuses the
        jobs.
    """
    folder, study, attempt = read_retry(path)
    deadline = time.monotonic() + LEASE_SECONDS + 20
    while (found := read_status(folder)).running and time.monotonic() < deadline:
        time.sleep(5)  # what a lost machine was computing is known to be lost after a while
    cancelled = _cancelled(folder)
    todo = [cell for cell in found.waiting if cell.key not in cancelled]
    if todo:
        submit([[Task(cells=(cell,)) for cell in todo]], study, folder, attempt=attempt)
    return len(todo)


def _cancelled(folder: StudyFolder) -> set[str]:
    """Return the keys of cells whose last job was cancelled, while SLURM remembers it.

    A job of an array that is cancelled before it begins is forgotten at once, and has no log.
    """
    states, cancelled = _states(folder.path), set[str]()
    for task, job in folder.jobs().items():  # the last ones come last
        keys = set() if task.startswith("extract") else {cell.key for cell in folder.cells_of(task)}
        begun = any((folder.path / "slurm").glob(f"{job}_*_log.*"))
        if states.get(task, "" if begun else "CANCELLED") == "CANCELLED":
            cancelled |= keys
        else:
            cancelled -= keys
    return cancelled


def submit_files(
    files: Sequence[Path],
    command: Sequence[str],
    folder: Path,
    *,
    name: str,
    own: Slurm,
    gpus: bool,
    after: Sequence[str] = (),
) -> list[str]:
    """Submit a command with each of some files of tasks, as arrays; return the jobs' numbers.

    Parameters
    ----------
    files, command
        The files, and the command to which one is added.
    folder
        Folder of the study.
    name, own
        Name of the study, and the resources of a job.
    gpus
        Whether the jobs take the GPUs of `own`.
    after
        Jobs whose end is waited for, however they end.

    Raises
    ------
    NeurofitError
        If submitit is not installed, there is no SLURM, or SLURM refuses the jobs.
    """
    try:
        import submitit
        from submitit.helpers import CommandFunction
    except ImportError as error:
        raise NeurofitError("SLURM needs submitit: pip install 'neurofit[slurm]'.") from error
    most, jobs = _max_array_size(), list[str]()
    waits = {"dependency": f"afterany:{':'.join(_arrays(after))}"} if after else {}
    for start in range(0, len(files), most):
        part = files[start : start + most]
        executor = submitit.AutoExecutor(folder=folder / "slurm", cluster="slurm")
        executor.update_parameters(
            name=f"neurofit-{name}",
            timeout_min=own.time,
            slurm_mem=own.mem,
            cpus_per_task=own.cpus,
            slurm_array_parallelism=own.array_parallelism,
            **({"slurm_partition": own.partition} if own.partition else {}),
            **({"slurm_gres": f"gpu:{own.gpus}"} if own.gpus and gpus else {}),
            slurm_additional_parameters={"requeue": True, **waits, **own.options},
        )
        work = CommandFunction(list(command), verbose=True)
        try:
            submitted = executor.map_array(work, [str(path) for path in part])
        except Exception as error:  # submitit raises what sbatch says, in several types
            raise NeurofitError(f"SLURM refuses the jobs: {_last_line(error)}") from error
        numbers = [job.job_id for job in submitted]
        _remember(folder, dict(zip([path.stem for path in part], numbers, strict=True)))
        jobs += numbers
    return jobs


def running_jobs(folder: Path) -> dict[str, str]:
    """Return task -> state of the jobs of a study that wait or run."""
    return {task: state for task, state in _states(folder).items() if state not in ENDED}


def cancel(folder: Path) -> int:
    """Cancel the jobs of a study that wait or run, and return their number."""
    known = StudyFolder(path=folder).jobs()
    # those that would submit again come first
    tasks = sorted(running_jobs(folder), key=lambda task: not task.startswith("retry"))
    if tasks:
        _ask("scancel", *(known[task] for task in tasks))
    return len(tasks)


def _states(folder: Path) -> dict[str, str]:
    """Return task -> state of the jobs of a study that SLURM remembers."""
    known = StudyFolder(path=folder).jobs()
    if not known:
        return {}
    listed = _ask("squeue", "--noheader", "--array", "--states=all", "--format=%i %T")
    states = dict(line.split()[:2] for line in listed.splitlines() if len(line.split()) >= 2)
    return {task: states[job] for task, job in known.items() if job in states}


def _arrays(jobs: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(job.partition("_")[0] for job in jobs))


def _remember(folder: Path, jobs: dict[str, str]) -> None:
    with atomic_file(folder / "jobs.json") as temporary:
        known = {
            task: job for task, job in StudyFolder(path=folder).jobs().items() if task not in jobs
        }
        temporary.write_text(json.dumps({**known, **jobs}), encoding="utf-8")


def _max_array_size() -> int:
    """Return the largest number of jobs in an array of this cluster."""
    listed = _ask("scontrol", "show", "config")
    found = [line for line in listed.splitlines() if line.startswith("MaxArraySize")]
    return max(1, int(found[0].partition("=")[2]) - 1) if found else 1000


def _ask(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except FileNotFoundError:
        raise NeurofitError(
            f"There is no SLURM on this machine: {command[0]} is missing."
        ) from None
    except subprocess.CalledProcessError as error:
        message = (error.stderr.strip().splitlines() or [f"exit code {error.returncode}"])[-1]
        raise MachineError(f"{command[0]}: {message}") from error
    except subprocess.TimeoutExpired:
        raise MachineError(f"{command[0]} does not answer.") from None
    return done.stdout


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1][:300]
