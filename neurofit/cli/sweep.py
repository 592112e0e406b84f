"""Sweeps from the command line."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from neurofit.cli.console import describe_duration, err, out, progress, set_offline
from neurofit.cli.options import App, RunByDefault
from neurofit.errors import NeurofitError

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
Out = Annotated[
    str | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Folder of the sweep \\[default: neurofit-sweeps/NAME].",
        show_default=False,
    ),
]


@app.command("run", epilog="Example: neurofit sweep study.toml --workers 2")
def run(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Study: a TOML file.")],
    out_folder: Out = None,
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
    from neurofit.analyses.sweeps.plan import study_folder
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

    def on_plan(cells: Sequence[Cell], done: set[str]) -> None:
        out.print(
            f"[bold]{given.name}[/bold]: {len(cells):,} cells, {len(done):,} of them finished, "
            f"{len(cells) - len(done):,} to compute"
        )

    if dry_run:
        _print_dry_run(given, on_plan)
        return
    with progress() as bars:
        found = sweep(given, out=out_folder, cluster=cluster, on_plan=on_plan, progress=bars)
    _print_end(found, study_folder(given.name, out_folder), cluster)


@app.command("resume", epilog="Example: neurofit sweep resume study.toml")
def resume(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Study: a TOML file.")],
    out_folder: Out = None,
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
    from neurofit.analyses.sweeps.sweep import CLUSTERS, compute
    from neurofit.errors import check_option

    check_option("cluster", cluster, CLUSTERS)
    given = read_study(study)
    folder = study_folder(given.name, out_folder)
    found = read_status(folder)
    todo = [
        cell
        for cell in found.cells
        if cell.key not in found.finished | found.running
        and (failed or cell.key not in found.failed)
    ]
    out.print(f"[bold]{given.name}[/bold]: {len(todo):,} cells to compute")
    with progress() as bars:
        compute(todo, given, folder, cluster=cluster, progress=bars)
    _print_end(read_status(folder), folder, cluster)


@app.command("status", epilog="Example: neurofit sweep status study.toml")
def status(study: StudyFile, out_folder: Out = None) -> None:
    """Print how many cells are finished, running, waiting and failed."""
    from neurofit.analyses.sweeps.status import read_status

    _print_status(read_status(_folder(study, out_folder)))


@app.command("cancel", epilog="Example: neurofit sweep cancel study.toml")
def cancel(study: StudyFile, out_folder: Out = None) -> None:
    """Cancel the SLURM jobs of a study; results that exist stay."""
    from neurofit.analyses.sweeps.slurm import cancel as cancel_jobs

    n_jobs = cancel_jobs(_folder(study, out_folder).path)
    out.print(f"Cancelled {n_jobs:,} job{'s' * (n_jobs != 1)}.")


@app.command("logs", epilog="Example: neurofit sweep logs study.toml 3f2a91bc")
def logs(
    study: StudyFile,
    cell: Annotated[str, typer.Argument(metavar="CELL", help="Start of the key of a cell.")],
    out_folder: Out = None,
) -> None:
    """Print what the tasks of a cell printed."""
    folder = _folder(study, out_folder)
    tasks = sorted((folder.path / "tasks").glob("*.json"))
    names = [path.stem for path in tasks if f'"key": "{cell}' in path.read_text(encoding="utf-8")]
    if not names:
        raise NeurofitError(
            f"No task of the study has a cell whose key begins with {cell!r}. "
            "neurofit sweep status lists cells that failed."
        )
    for name in names:
        if folder.log(name).is_file():
            out.print(folder.log(name).read_text(errors="replace"), markup=False, soft_wrap=True)


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

    out.print(f"{submit_again(file):,} cells are submitted again.")


def _folder(study: str, out_folder: str | None) -> StudyFolder:
    """Return the folder of a study, which may be given itself."""
    from neurofit.analyses.sweeps.plan import study_folder
    from neurofit.analyses.sweeps.study import read_study

    if out_folder is None and Path(study).is_dir():
        return study_folder("", study)
    return study_folder(read_study(study).name, out_folder)


def _print_end(found: Status, folder: StudyFolder, cluster: str) -> None:
    """Print what has become of a sweep; exit with 1 if a cell failed."""
    if cluster == "slurm":
        out.print(
            f"The jobs are submitted. See: neurofit sweep status {folder.path}", soft_wrap=True
        )
    elif _print_status(found):
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


def _print_dry_run(study: Study, on_plan: Callable[[Sequence[Cell], set[str]], None]) -> None:
    """Print the cells of a study, and what those that are not finished will take."""
    from neurofit.analyses.sweeps.cost import MAX_MODELS, estimate_cost
    from neurofit.analyses.sweeps.plan import finished, make_cells

    with progress() as bars:
        cells = make_cells(study, progress=bars)
        done = finished(cells)
        cost = estimate_cost([cell for cell in cells if cell.key not in done], progress=bars)
    on_plan(cells, done)
    _print_cells(cells, done)
    seconds = cost.extraction_seconds + cost.fit_seconds
    if seconds:
        models = f"{cost.n_extractions:,} extraction{'s' * (cost.n_extractions > 1)}"
        out.print(
            f"About {describe_duration(seconds)} of CPU time of this machine: "
            f"{describe_duration(cost.extraction_seconds)} for {models} and "
            f"{describe_duration(cost.fit_seconds)} for maps; {cost.memory / 1e9:.1f} GB of memory "
            f"per worker; {cost.gram_bytes / 1e9:.1f} GB of disk for Gram matrices and "
            f"{cost.result_bytes / 1e9:.1f} GB for results."
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
