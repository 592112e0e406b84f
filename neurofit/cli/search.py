"""Searches from the command line."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from neurofit.cli.console import describe_duration, err, out, set_offline
from neurofit.cli.options import App, RunByDefault
from neurofit.errors import NeurofitError, check_option, counted

if TYPE_CHECKING:
    from neurofit.training.search.study import Search
    from neurofit.training.search.trials import SearchFolder

LISTED = 10
"""Largest number of trials that are listed."""

app = App(
    cls=RunByDefault,
    no_args_is_help=True,
    help="Search for architectures and hyperparameters, from one study file.",
    epilog="Example: neurofit search study.toml --workers 2",
)

StudyFile = Annotated[
    str, typer.Argument(metavar="STUDY", help="Study: a TOML file, or the folder of its search.")
]
Out = Annotated[
    str | None,
    typer.Option(
        "--folder",
        metavar="DIR",
        help="Folder of the search \\[default: neurofit-searches/NAME].",
        show_default=False,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", help="Workers at once; on a cluster, jobs.", show_default="as STUDY"),
]
Storage = Annotated[
    str | None,
    typer.Option(
        "--storage",
        metavar="URL",
        help="Address of the database, whose password is stored nowhere.",
        show_default="as STUDY",
    ),
]
Cluster = Annotated[str, typer.Option("--cluster", help="Where to compute: local or slurm.")]


@app.command("run", epilog="Example: neurofit search study.toml --workers 2")
def run(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Study: a TOML file.")],
    out_folder: Out = None,
    workers: Workers = None,
    trials: Annotated[
        int | None,
        typer.Option("--trials", help="Nets that are drawn in all.", show_default="as STUDY"),
    ] = None,
    cluster: Cluster = "local",
    storage: Storage = None,
    partition: Annotated[str | None, typer.Option("--partition", help="SLURM partition.")] = None,
    gpus: Annotated[int | None, typer.Option("--gpus", help="GPUs of a job.")] = None,
    minutes: Annotated[
        int | None, typer.Option("--time", help="Time limit of a SLURM job, in minutes.")
    ] = None,
    mem: Annotated[str | None, typer.Option("--mem", help="Memory of a SLURM job.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the space, no more.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Download nothing.")] = False,
) -> None:
    """Begin a search, or go on with it (the default command)."""
    from dataclasses import replace

    from neurofit.training.search.study import read_search, with_workers
    from neurofit.training.search.trials import search_folder

    set_offline(offline)
    given = with_workers(
        read_search(study),
        workers=workers,
        storage=storage,
        partition=partition,
        gpus=gpus,
        time=minutes,
        mem=mem,
    )
    if trials is not None:
        given = replace(given, trials=trials)
    if dry_run:
        _print_space(given)
        return
    _start(given, search_folder(given.name, out_folder), cluster)


@app.command("resume", epilog="Example: neurofit search resume study.toml")
def resume(
    study: StudyFile,
    out_folder: Out = None,
    workers: Workers = None,
    cluster: Cluster = "local",
    storage: Storage = None,
) -> None:
    """Go on with a search that was begun, as it was begun."""
    from neurofit.training.search.study import read_search, with_workers

    folder = _folder(study, out_folder)
    begun = folder.read_search()
    if storage is None and begun.storage and not Path(study).is_dir():
        storage = read_search(study).storage or None  # which may have a password
    _start(with_workers(begun, workers=workers, storage=storage), folder, cluster)


@app.command("status", epilog="Example: neurofit search status study.toml")
def status(study: StudyFile, out_folder: Out = None) -> None:
    """Print how many trials have ended, and how; run, or are put back."""
    _print_status(_folder(study, out_folder))


@app.command("best", epilog="Example: neurofit search best study.toml")
def best(study: StudyFile, out_folder: Out = None) -> None:
    """Print the best trials: with several objectives, all that no other one beats."""
    from neurofit.training.search.status import best_of, read_status

    found = read_status(_folder(study, out_folder))
    objectives, front = found.search.objectives, best_of(found.results, found.search.objectives)
    if not front:
        raise NeurofitError("No trial is complete yet.")
    _print_trials(front if len(objectives) > 1 else _most_accurate(found.results))


@app.command(
    "export", epilog="Example: neurofit search export study.toml best --out best.safetensors"
)
def export(
    study: StudyFile,
    trial: Annotated[
        str | None, typer.Argument(metavar="TRIAL", help="Number of a trial, or best.")
    ] = None,
    out_file: Annotated[
        str | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Model file \\[default: NET.safetensors].",
            show_default=False,
        ),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option("--table", metavar="FILE", help="Write the table of all trials: .csv, .json."),
    ] = None,
    out_folder: Out = None,
) -> None:
    """Write a trial as a model file, or the table of all trials."""
    from neurofit.training.search.export import export_table, export_trial

    folder = _folder(study, out_folder)
    if (trial is None) == (table is None):
        raise NeurofitError("export takes a trial (a number, or best) or --table FILE.")
    if table is not None:
        n_rows = export_table(folder, table)
        out.print(f"Written: {table}, {counted(n_rows, 'trial')}.", soft_wrap=True)
        return
    path = export_trial(folder.trial(_number(str(trial), folder)), out_file)
    out.print(f"Written: {path}. neurofit score --model file:{path} --region IT", soft_wrap=True)


@app.command("repeat", epilog="Example: neurofit search repeat study.toml 17 --out runs/17")
def repeat(
    study: Annotated[
        str,
        typer.Argument(
            metavar="STUDY",
            help="Study: a TOML file, the folder of its search, or its table in JSON.",
        ),
    ],
    trial: Annotated[str, typer.Argument(metavar="TRIAL", help="Number of a trial, or best.")],
    run_folder: Annotated[str, typer.Option("--out", metavar="DIR", help="Folder of the new run.")],
    out_folder: Out = None,
    device: Annotated[str, typer.Option("--device", help="Device: auto, cpu or cuda.")] = "auto",
) -> None:
    """Train a trial again from its line, and compare the accuracies."""
    from neurofit.data_loaders import load_images
    from neurofit.training.search.repeat import read_line, repeat_trial
    from neurofit.training.search.trial import load_search_images

    result: Mapping[str, Any] | None
    if Path(study).suffix == ".json":
        number = _parse_number(trial)
        search, result = read_line(study, number)
    else:
        folder = _folder(study, out_folder)
        search, number = folder.read_search(), _number(trial, folder)
        result = folder.trial(number).read_result()
    images = load_search_images(search, load_images)
    then, now = repeat_trial(search, result, images, out=run_folder, device=device)
    out.print(f"trial {number}: {then:.4%} then, {now:.4%} now")
    if then != now:
        err.print("The accuracies differ: other code, another device or number of threads.")
        sys.exit(1)


@app.command("cancel", epilog="Example: neurofit search cancel study.toml")
def cancel(study: StudyFile, out_folder: Out = None) -> None:
    """Cancel the SLURM jobs of a search; their trials are put back."""
    from neurofit.analyses.sweeps.slurm import cancel as cancel_jobs

    out.print(f"Cancelled {counted(cancel_jobs(_folder(study, out_folder).path), 'job')}.")


@app.command("work", hidden=True)
def work(task: Annotated[str, typer.Argument(metavar="TASK", help="File of a worker.")]) -> None:
    """Take trials until none is left; `neurofit search run` starts it."""
    from neurofit.training.search.work import work as take

    def on_trial(result: Mapping[str, Any]) -> None:
        out.print(_in_words(result), markup=False, soft_wrap=True)

    take(task, on_trial=on_trial)


def _folder(study: str, out_folder: str | None) -> SearchFolder:
    """Return the folder of a search, which may be given itself."""
    from neurofit.training.search.study import read_search
    from neurofit.training.search.trials import search_folder

    if out_folder is None and Path(study).is_dir():
        return search_folder("", study)
    return search_folder(read_search(study).name, out_folder)


def _start(search: Search, folder: SearchFolder, cluster: str) -> None:
    from neurofit.training.search.run import begin, run_here, submit_workers

    check_option("cluster", cluster, ("local", "slurm"))
    begin(search, folder)
    if cluster == "slurm":
        jobs = submit_workers(search, folder)
        out.print(
            f"Submitted {counted(len(jobs), 'worker')}. See: neurofit search status {folder.path}",
            soft_wrap=True,
        )
        return
    out.print(
        f"[bold]{search.name}[/bold]: {counted(search.trials, 'trial')}, "
        f"{counted(search.machine.workers, 'worker')}; see neurofit search status {folder.path}",
        soft_wrap=True,
    )
    run_here(search, folder)
    if _print_status(folder):
        logs = folder.path / "logs"
        err.print(f"Trials are left: the workers stopped; see {logs}.", soft_wrap=True)
        sys.exit(1)


def _print_status(folder: SearchFolder) -> int:
    """Print the state of a search, and return how many trials are left."""
    from neurofit.training.search.status import best_of, read_status
    from neurofit.training.search.trials import FAULTS

    found = read_status(folder)
    ended = Counter(each["state"] for each in found.results)
    counts = {
        "complete": ended["complete"],
        "pruned": ended["pruned"],
        "diverged": ended["diverged"],
        "failed": ended["failed"],
        "running": len(found.running),
        "put back": len(found.put_back),
        "waiting": found.waiting,
    }
    words = ", ".join(f"{n:,} {word}" for word, n in counts.items() if n or word == "complete")
    seconds = sum((float(each["seconds"]) for each in found.results), 0.0)
    trials, trained = counted(found.search.trials, "trial"), describe_duration(seconds)
    out.print(f"{trials}: {words}; {trained} of training")
    out.print(f"Objectives: {', '.join(found.search.objectives)}, on validation images.")
    retries = counted(found.search.machine.retries, "time")
    out.print(
        f"A trial is tried again {retries} after a fault of the machine (killed, lost, out of "
        "memory), never after an error of its own."
    )
    for number, faults in found.faults.items():
        reasons = " or ".join(FAULTS[each] for each in dict.fromkeys(faults))
        out.print(f"trial {number} is put back: {reasons} ({counted(len(faults), 'fault')})")
    for each in [each for each in found.results if each["state"] == "failed"][:LISTED]:
        err.print(f"trial {each['number']}: {each['error']}", markup=False, soft_wrap=True)
    for each in best_of(found.results, found.search.objectives)[:1]:
        out.print(f"Best: {_in_words(each)}", markup=False, soft_wrap=True)
    return len(found.running) + len(found.put_back) + found.waiting


def _most_accurate(results: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    complete = [each for each in results if each["state"] == "complete"]
    return sorted(complete, key=lambda each: -each["accuracy"])[:LISTED]


def _number(trial: str, folder: SearchFolder) -> int:
    """Return the number of a trial, which may be "best"."""
    from neurofit.training.search.status import best_of, read_status

    if trial == "best":
        found = read_status(folder)
        if not (front := best_of(found.results, found.search.objectives)):
            raise NeurofitError("No trial is complete yet.")
        return int(front[0]["number"])
    return _parse_number(trial)


def _parse_number(trial: str) -> int:
    if not trial.isdecimal():
        raise NeurofitError(f"TRIAL is the number of a trial, or best; got {trial!r}.")
    return int(trial)


def _in_words(result: Mapping[str, Any]) -> str:
    accuracy = "" if result["accuracy"] is None else f", {result['accuracy']:.2%}"
    return (
        f"trial {result['number']} ({result['model']}, {result['choices'].get('cell')}): "
        f"{result['state']}{accuracy} after {counted(len(result['epochs']), 'epoch')}, "
        f"{result['parameters']:,} parameters, {result['multiply_adds'] / 1e6:,.1f} M multiply-adds"
    )


def _print_trials(results: Sequence[Mapping[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = ("trial", "accuracy", "parameters", "M multiply-adds", "cell", "net")
    for column in columns:
        text = column in ("cell", "net")
        table.add_column(column, justify="left" if text else "right")
    for each in results:
        table.add_row(
            str(each["number"]),
            f"{each['accuracy']:.2%}",
            f"{each['parameters']:,}",
            f"{each['multiply_adds'] / 1e6:,.1f}",
            str(each["choices"].get("cell")),
            each["model"],
        )
    out.print(table)


def _print_space(search: Search) -> None:
    from neurofit.training.search.dimensions import DIMENSIONS, Range

    space = search.searched()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("dimension", "values", "meaning"):
        table.add_column(column, overflow="fold")
    for name, values in space.dimensions.items():
        shown = (
            f"{values.low:g} to {values.high:g}{' (log)' if values.log else ''}"
            if isinstance(values, Range)
            else ", ".join(map(str, values))
        )
        table.add_row(name, shown, DIMENSIONS[name].help)
    paths = ", ".join(f"{path} {p:g}" for path, p in space.paths.items())
    table.add_row("paths", paths, "probability of each path inside the cell")
    table.add_row("feedback", str(space.feedback), "probability of each feedback edge")
    out.print(table)
