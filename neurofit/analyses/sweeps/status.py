"""What is finished, running, waiting and failed, from files alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import xarray as xr

from neurofit.analyses.sweeps.cells import Cell, load_cell
from neurofit.analyses.sweeps.plan import StudyFolder, finished
from neurofit.errors import NeurofitError
from neurofit.storage.claims import is_alive


@dataclass(frozen=True, kw_only=True)
class Status:
    """State of the cells of a study.

    Parameters
    ----------
    cells
        All cells.
    finished, running, failed
        Keys of cells whose result exists, that a process computes, and of failed ones with their
        errors.
    seconds_per_cell
        Mean time between the results of this study, None before the second.
    """

    cells: list[Cell] = field(repr=False)
    finished: set[str]
    running: set[str]
    failed: dict[str, str]
    seconds_per_cell: float | None = None

    @property
    def waiting(self) -> list[Cell]:
        """Cells that are neither finished nor running nor failed."""
        known = self.finished | self.running | set(self.failed)
        return [cell for cell in self.cells if cell.key not in known]

    @property
    def seconds_left(self) -> float | None:
        """Estimated time until all cells are finished; None if it is not known."""
        if self.seconds_per_cell is None:
            return None
        return self.seconds_per_cell * (len(self.waiting) + len(self.running))

    def results(self) -> Iterator[tuple[Cell, xr.Dataset]]:
        """Load the finished cells one by one."""
        for cell in self.cells:
            if cell.key in self.finished:
                yield cell, load_cell(cell)


def read_status(folder: StudyFolder) -> Status:
    """Return the state of the cells of a study.

    Raises
    ------
    NeurofitError
        If the study was never started.
    """
    cells = folder.read_cells()
    done = finished(cells)
    claimed = _names(folder.claim_of("x").parent)
    running = {
        cell.key
        for cell in cells
        if cell.key not in done and cell.key in claimed and is_alive(folder.claim_of(cell.key))
    }
    failures = _names(folder.failure("x").parent)
    failed = {
        cell.key: _error(folder, cell.key)
        for cell in cells
        if cell.key not in done | running and f"{cell.key}.json" in failures
    }
    own = done & _computed(folder)  # others were there, or came from another study
    times = sorted(cell.result.stat().st_mtime for cell in cells if cell.key in own)
    pace = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else None
    return Status(cells=cells, finished=done, running=running, failed=failed, seconds_per_cell=pace)


def _computed(folder: StudyFolder) -> set[str]:
    """Return the keys of the cells that this study has computed."""
    try:
        lines = (folder.path / "computed.log").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return {line.split()[0] for line in lines if line.strip()}


def _names(folder: Any) -> set[str]:
    try:
        return set(os.listdir(folder))
    except OSError:
        return set()


def read_error(folder: StudyFolder, key: str) -> str:
    """Return the error of a cell that failed, with all of its lines."""
    try:
        found: Any = json.loads(folder.failure(key).read_text(encoding="utf-8"))
        return str(found["error"]).strip()
    except (OSError, ValueError, KeyError, TypeError):
        return "its error cannot be read"


def read_log(folder: StudyFolder, key: str) -> list[str]:
    """Return what the tasks of a cell printed while they computed it, oldest first.

    A task that has not begun with the cell has printed what stands before its first cell, while it
    showed the images to the model.

    Raises
    ------
    NeurofitError
        If no task has a cell whose key begins so, or several cells do.
    """
    tasks = {path.stem: folder.cells_of(path.stem) for path in (folder.path / "tasks").glob("*-*")}
    keys = {cell.key for cells in tasks.values() for cell in cells if cell.key.startswith(key)}
    if len(keys) != 1:
        which = f"The keys of {len(keys):,} cells begin" if keys else "The key of no cell begins"
        raise NeurofitError(
            f"{which} with {key!r}; logs are of one cell that a task has. neurofit sweep status "
            "names the cells that failed with their keys."
        )
    logs: list[tuple[float, str]] = []
    for task, cells in tasks.items():
        names = {cell.name: cell.key for cell in cells}
        if keys <= set(names.values()):
            for path in folder.logs(task):
                parts = _parts_of(path.read_text("utf-8", errors="replace"), names)
                logs.append((path.stat().st_mtime, parts.get(*keys) or parts[""]))
    return [log for _, log in sorted(logs) if log.strip()]


def _parts_of(log: str, names: Mapping[str, str]) -> dict[str, str]:
    """Return what a log has of each cell, by its key, and before the first, by ""."""
    parts, key = {"": ""}, ""
    for line in log.splitlines(keepends=True):
        key = names.get(line.strip(), key)
        parts[key] = parts.get(key, "") + line
    return parts


def _error(folder: StudyFolder, key: str) -> str:
    return (read_error(folder, key).splitlines() or [""])[0]
