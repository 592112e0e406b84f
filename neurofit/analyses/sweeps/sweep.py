"""Compute the cells of a study that have no result yet, here or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from neurofit.analyses.sweeps.cells import Cell
from neurofit.analyses.sweeps.local import run_locally
from neurofit.analyses.sweeps.plan import (
    StudyFolder,
    Task,
    make_cells,
    make_tasks,
    study_folder,
)
from neurofit.analyses.sweeps.status import Status, read_status
from neurofit.analyses.sweeps.study import Study, read_study
from neurofit.config.compute import Progress
from neurofit.errors import check_option

CLUSTERS = ("local", "slurm")
"""Where cells are computed."""


def sweep(
    study: Study | str | Path,
    *,
    folder: str | Path | None = None,
    cluster: str = "local",
    failed: bool = True,
    on_plan: Callable[[Sequence[Cell], set[str], Sequence[Cell]], None] | None = None,
    progress: Progress | None = None,
) -> Status:
    """Compute the cells of a study that have no result yet, as `neurofit sweep STUDY.toml` does.

    Parameters
    ----------
    study
        The study, or the path of its TOML file.
    folder
        Folder of the sweep; by default neurofit-sweeps/NAME.
    cluster
        "local", which waits until all cells are finished or have failed, or "slurm", which submits
        jobs and returns.
    failed
        Whether cells that failed by an error of their own are computed again.
    on_plan
        Called before the work begins, with all cells, the keys of those that are finished, and
        those that are to be computed.
    progress
        Called with (what is being done, steps done, steps in total).

    Returns
    -------
    Status
        Keys of the cells that are `finished`, `running` and `failed`; `results()` loads the
        finished ones, each a pair (cell, Dataset).

    Raises
    ------
    NeurofitError
        If the study is not valid, or SLURM refuses the jobs. A cell that fails does not raise; its
        error is in the status.

    Examples
    --------
    >>> import neurofit
    >>> study = neurofit.Study(
    ...     models=["rgc_tiny"], regions=["V4"], windows=["90:110"], layers=["conv3"],
    ...     options={"n_splits": 2, "n_halves": 2},
    ... )
    >>> status = neurofit.sweep(study, folder="my-sweep")
    >>> [result.attrs["model"] for cell, result in status.results()]
    ['rgc_tiny']
    """
    check_option("cluster", cluster, CLUSTERS)
    study = study if isinstance(study, Study) else read_study(study)
    cells = make_cells(study, progress=progress)
    own = study_folder(study.name, folder)
    own.write_cells(cells)
    found = read_status(own)
    left = set() if failed else set(found.failed)
    todo = [cell for cell in cells if cell.key not in found.finished | found.running | left]
    if on_plan:
        on_plan(cells, found.finished, todo)
    compute(todo, study, own, cluster=cluster, progress=progress)
    return read_status(own)


def compute(
    cells: Sequence[Cell],
    study: Study,
    folder: StudyFolder,
    *,
    cluster: str,
    progress: Progress | None = None,
) -> int:
    """Compute cells of a study, those that failed before too; return the number of SLURM jobs."""
    for cell in cells:  # a new attempt
        folder.failure(cell.key).unlink(missing_ok=True)
    if not cells:
        return 0
    if cluster == "slurm":
        from neurofit.analyses.sweeps.slurm import submit

        return len(submit(make_tasks(cells, study, stages=True), study, folder))
    batches = make_tasks(cells, study)
    n_tasks, ended = sum(map(len, batches)), 0

    def on_end(task: Task) -> None:
        nonlocal ended
        ended += 1
        if progress:
            progress("tasks", ended, n_tasks)

    run_locally(batches, study, folder, on_end=on_end)
    return 0
