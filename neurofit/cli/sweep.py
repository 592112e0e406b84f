"""Sweeps from the command line."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from neurofit.cli.console import describe_duration, err, out, progress, set_offline
from neurofit.cli.options import App, RunByDefault
from neurofit.errors import counted

if TYPE_CHECKING:
    from neurofit.analyses.sweeps.cells import Cell
    from neurofit.analyses.sweeps.plan import StudyFolder
    from neurofit.analyses.sweeps.status import Status
    from neurofit.analyses.sweeps.study import Study

LISTED = 20
"""Largest number of cells that are listed."""


app = App(
    cls=RunByDefault,
    no_args_is_help=True,
    help="Score many models, areas and options from one study file, each once.",
    epilog="Example: neurofit sweep study.toml --workers 2",
)

StudyFile = Annotated[
    str, typer.Argument(metavar="STUDY", help="Study: a TOML file, or the folder of its sweep.")
]
OwnFolder = Annotated[
    str | None,
    typer.Option(
        "--folder",
        metavar="DIR",
        help="Folder of the sweep \\[default: neurofit-sweeps/NAME].",
        show_default=False,
    ),
]


@app.command("run", epilog="Example: neurofit sweep study.toml --workers 2")
def run(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Study: a TOML file.")],
    own_folder: OwnFolder = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the cells, and what they take.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Processes at once on this machine.")
    ] = None,
    cluster: Annotated[
        str, typer.Option("--cluster", help="Where to compute: local or slurm.")
    ] = "local",
    partition: Annotated[str | None, typer.Option("--partition", help="SLURM partition.")] = None,
    gpus: Annotated[int | None, typer.Option("--gpus", help="GPUs of an extraction.")] = None,
    minutes: Annotated[
        int | None, typer.Option("--time", help="Time limit of a SLURM job, in minutes.")
    ] = None,
    mem: Annotated[str | None, typer.Option("--mem", help="Memory of a SLURM job.")] = None,
    array_parallelism: Annotated[
        int | None, typer.Option("--array-parallelism", help="SLURM jobs that run at once.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Download nothing.")] = False,
) -> None:
    """Compute the cells of a study that have no result yet (the default command)."""
    from neurofit.analyses.sweeps.study import read_study, with_machine
    from neurofit.analyses.sweeps.sweep import sweep

    set_offline(offline)
    given = with_machine(
        read_study(study),
        workers=workers,
        partition=partition,
        gpus=gpus,
        time=minutes,
        mem=mem,
        array_parallelism=array_parallelism,
    )

    if dry_run:
        _print_dry_run(given)
        return
    on_plan = partial(_print_plan, given)
    with progress() as bars:
        found = sweep(given, folder=own_folder, cluster=cluster, on_plan=on_plan, progress=bars)
    _print_end(found, study, own_folder, cluster)


@app.command("resume", epilog="Example: neurofit sweep resume study.toml")
def resume(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Study: a TOML file.")],
    own_folder: OwnFolder = None,
    cluster: Annotated[
        str, typer.Option("--cluster", help="Where to compute: local or slurm.")
    ] = "local",
    failed: Annotated[
        bool, typer.Option("--failed", help="Compute again what failed by an error of its own.")
    ] = False,
) -> None:
    """Compute what is neither finished nor running, after a kill, a time limit or a cancel."""
    from neurofit.analyses.sweeps.plan import study_folder
    from neurofit.analyses.sweeps.status import read_status
    from neurofit.analyses.sweeps.study import read_study
    from neurofit.analyses.sweeps.sweep import sweep

    given = read_study(study)
    read_status(study_folder(given.name, own_folder))  # refuses a study that was never started
    with progress() as bars:
        found = sweep(
            given,
            folder=own_folder,
            cluster=cluster,
            failed=failed,
            on_plan=partial(_print_plan, given),
            progress=bars,
        )
    _print_end(found, study, own_folder, cluster)


@app.command("status", epilog="Example: neurofit sweep status study.toml")
def status(study: StudyFile, own_folder: OwnFolder = None) -> None:
    """Print how many cells are finished, running, waiting and failed."""
    from neurofit.analyses.sweeps.status import read_status

    _print_status(read_status(_folder(study, own_folder)))


@app.command("cancel", epilog="Example: neurofit sweep cancel study.toml")
def cancel(study: StudyFile, own_folder: OwnFolder = None) -> None:
    """Cancel the SLURM jobs of a study; results that exist stay."""
    from neurofit.analyses.sweeps.slurm import cancel as cancel_jobs

    n_jobs = cancel_jobs(_folder(study, own_folder).path)
    out.print(f"Cancelled {n_jobs:,} job{'s' * (n_jobs != 1)}.")


@app.command("logs", epilog="Example: neurofit sweep logs study.toml 3f2a91bc")
def logs(
    study: StudyFile,
    cell: Annotated[str, typer.Argument(metavar="CELL", help="Start of the key of a cell.")],
    own_folder: OwnFolder = None,
) -> None:
    """Print what was printed while a cell was computed."""
    from neurofit.analyses.sweeps.status import read_log

    printed = read_log(_folder(study, own_folder), cell)
    for log in printed:
        out.print(log.rstrip(), markup=False, soft_wrap=True)
    if not printed:
        err.print("Its task has printed nothing yet.")


@app.command("work", hidden=True)
def work(task: Annotated[str, typer.Argument(metavar="TASK", help="File of a task.")]) -> None:
    """Compute a task; `neurofit sweep run` starts it."""
    from neurofit.analyses.sweeps.work import work as compute

    def on_cell(name: str) -> None:
        out.print(name, markup=False, soft_wrap=True)

    sys.exit(compute(task, on_cell=on_cell))


@app.command("retry", hidden=True)
def retry(file: Annotated[str, typer.Argument(metavar="FILE", help="File of a study.")]) -> None:
    """Submit the cells of a study that timed out or were lost; a job of `sweep run` starts it."""
    from neurofit.analyses.sweeps.slurm import retry as submit_again

    out.print(f"Submitted again: {counted(submit_again(file), 'cell')}.")


def _folder(study: str, own_folder: str | None) -> StudyFolder:
    """Return the folder of a study, which may be given itself."""
    from neurofit.analyses.sweeps.plan import study_folder
    from neurofit.analyses.sweeps.study import read_study

    if own_folder is None and Path(study).is_dir():
        return study_folder("", study)
    return study_folder(read_study(study).name, own_folder)


def _print_end(found: Status, study: str, own_folder: str | None, cluster: str) -> None:
    """Print what has become of a sweep, and what to do next; exit with 1 if a cell failed."""
    from neurofit.storage.home import home

    own = own_folder or study  # either names the study in other commands
    if cluster == "slurm" and found.waiting:
        out.print(f"The jobs are submitted. See: neurofit sweep status {own}", soft_wrap=True)
        return
    n_failed = _print_status(found)
    if found.finished:
        out.print(
            f"Results are in {home() / 'cells'}. Write the page of the study: "
            f"neurofit report {own}",
            soft_wrap=True,
            markup=False,
        )
    if n_failed:
        sys.exit(1)


def _print_status(found: Status) -> int:
    """Print the state of a study, and return how many of its cells failed."""
    counts = {
        "finished": len(found.finished),
        "running": len(found.running),
        "waiting": len(found.waiting),
        "failed": len(found.failed),
    }
    words = ", ".join(f"{n:,} {word}" for word, n in counts.items())
    left = found.seconds_left
    estimate = f"; about {describe_duration(left)} left" if left and found.running else ""
    out.print(f"{len(found.cells):,} cells: {words}{estimate}")
    shown = [cell for cell in found.cells if cell.key in found.failed][:LISTED]
    for cell in shown:
        err.print(f"{cell.name}: {found.failed[cell.key]}", markup=False, soft_wrap=True)
    if len(found.failed) > len(shown):
        err.print(f"and {len(found.failed) - len(shown):,} more failed.")
    return len(found.failed)


def _print_plan(study: Study, cells: Sequence[Cell], done: set[str], todo: Sequence[Cell]) -> None:
    """Print how many cells a study has, and how many of them will be computed."""
    out.print(
        f"[bold]{study.name}[/bold]: {counted(len(cells), 'cell')}, {len(done):,} finished, "
        f"{len(todo):,} to compute"
    )


def _print_dry_run(study: Study) -> None:
    """Print the cells of a study, and what those that are not finished will take."""
    from neurofit.analyses.sweeps.cost import MAX_MODELS, estimate_cost
    from neurofit.analyses.sweeps.plan import finished, make_cells, make_tasks

    with progress() as bars:
        cells = make_cells(study, progress=bars)
        done = finished(cells)
        todo = [cell for cell in cells if cell.key not in done]
        n_tasks = sum(map(len, make_tasks(todo, study)))
        cost = estimate_cost(todo, n_tasks=n_tasks, progress=bars)
    _print_plan(study, cells, done, todo)
    _print_cells(cells, done)
    if cost.n_extractions:
        parts = [cost.extraction_seconds, cost.fit_seconds, cost.start_seconds]
        seconds, *each = map(describe_duration, [sum(parts), *parts])
        out.print(
            f"About {seconds} of CPU time of this machine: {each[0]} for "
            f"{counted(cost.n_extractions, 'extraction')}, {each[1]} for maps, and {each[2]} to "
            f"start {counted(n_tasks, 'process', 'processes')} and read recordings; "
            f"{cost.memory / 1e9:.1f} GB of memory per worker; {cost.gram_bytes / 1e9:.1f} GB of "
            f"disk for Gram matrices and {cost.result_bytes / 1e9:.1f} GB for results."
        )
    if cost.n_extractions > MAX_MODELS:
        out.print(f"Estimated from {MAX_MODELS} of the extractions.", style="dim")
    if cost.n_left_out:
        left_out = "1 cell is" if cost.n_left_out == 1 else f"{cost.n_left_out:,} cells are"
        err.print(f"{left_out} not counted. {cost.reason}", markup=False, soft_wrap=True)


def _print_cells(cells: list[Cell], done: set[str]) -> None:
    """Print the cells of a dry run, or how many there are of each model if they are many."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    if len(cells) <= LISTED:
        varying = [
            name
            for name in cells[0].choices
            if len({cell.choices[name] for cell in cells}) > 1 or name in ("model", "region")
        ]
        for column in ("cell", *varying, "result"):
            table.add_column(column.replace("_", " "))
        for cell in cells:
            state = "finished" if cell.key in done else "to compute"
            table.add_row(cell.key[:8], *(cell.choices[name] for name in varying), state)
    else:
        for column in ("model", "cells", "finished"):
            table.add_column(column)
        every = Counter(cell.choices["model"] for cell in cells)
        ended = Counter(cell.choices["model"] for cell in cells if cell.key in done)
        for model, n in every.items():
            table.add_row(model, f"{n:,}", f"{ended[model]:,}")
    out.print(table)
