"""Compute a task in a process of its own: `neurofit sweep work TASK.json`.

A task is a file, and nothing else is passed to the process. A cell whose result exists is not
computed again; one that another process is computing is left to it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from neurofit.analyses.sweeps.cells import Cell, save_cell
from neurofit.analyses.sweeps.plan import StudyFolder, check_code
from neurofit.config.compute import Compute, available_cores
from neurofit.errors import NeurofitError
from neurofit.storage.claims import claim
from neurofit.storage.home import atomic_file

COMMAND = (sys.executable, "-m", "neurofit", "sweep", "work")
"""Command of a task, to which the path of its file is added."""

FAILED = 3
"""Exit code of a task of which a cell failed by an error of its own."""


def work(path: str | Path, *, on_cell: Callable[[str], None] = lambda name: None) -> int:
    """Compute the cells of a task, and return the exit code.

    Parameters
    ----------
    path
        File of the task.
    on_cell
        Called with the name of each cell before it is computed.

    Raises
    ------
    NeurofitError
        If the file is missing or damaged, or was written by another version of neurofit.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # claims are given up
    try:
        task: Any = json.loads(Path(path).read_text(encoding="utf-8"))
        cells = [Cell(**each) for each in task["cells"]]
        folder = StudyFolder(path=Path(task["study"]))
        stage, machine = str(task["stage"]), dict(task["machine"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise NeurofitError(f"{path} is not the file of a task: {error}.") from error
    check_code(path, str(task["code"]))
    _note(folder, "attempts.log", f"{Path(path).stem} {socket.gethostname()} {os.getpid()}")
    compute = Compute(
        device=machine["device"],
        batch_size=machine["batch_size"],
        keep_grams=True,
        n_jobs=available_cores(),
    )
    todo = [cell for cell in cells if not cell.result.exists()]
    failed: list[Cell] = []
    if stage != "fit" and todo:
        from neurofit.analyses.prepare import prepare

        try:
            prepare(_configs(todo, compute))
        except Exception:  # each cell then says itself what is wrong
            traceback.print_exc()
    if stage == "extract":
        return 0
    for cell in todo:
        with claim(folder.claim_of(cell.key)) as mine:
            if not mine or cell.result.exists():
                continue
            on_cell(cell.name)
            if not _attempt(folder, cell, partial(_compute, cell, compute, folder)):
                failed.append(cell)
    return FAILED if failed else 0


def _configs(cells: list[Cell], compute: Compute) -> list[Any]:
    return [replace(cell.config, compute=compute) for cell in cells]


def _compute(cell: Cell, compute: Compute, folder: StudyFolder) -> None:
    from neurofit.analyses.run import run

    cell.check_weights()
    save_cell(cell, run(_configs([cell], compute)[0]))
    _note(folder, "computed.log", f"{cell.key} {socket.gethostname()} {os.getpid()}")
    folder.failure(cell.key).unlink(missing_ok=True)


def _attempt(folder: StudyFolder, cell: Cell, compute: Callable[[], None]) -> bool:
    """Compute a cell; write down its error, if it has one, so that the other cells go on."""
    try:
        compute()
    except Exception as error:  # an analysis or a model of somebody may raise any error
        traceback.print_exc()
        content = {
            "error": str(error).strip() or type(error).__name__,
            "kind": type(error).__name__,
        }
        with atomic_file(folder.failure(cell.key)) as temporary:
            temporary.write_text(json.dumps(content), encoding="utf-8")
        return False
    return True


def _note(folder: StudyFolder, name: str, line: str) -> None:
    """Append a line to a log; short lines are appended whole."""
    with open(folder.path / name, "a", encoding="utf-8") as file:
        file.write(f"{line}\n")
