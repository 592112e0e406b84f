"""The plan of a study: its cells, what is finished, and the tasks that compute the rest.

A folder of a study contains cells.jsonl (a cell per line), tasks/, logs/, failed/ (a file per
failed cell), attempts/ and computed.log (a line for each computed cell). Results are in
NEUROFIT_HOME/cells.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from neurofit.analyses.checks import check_recording
from neurofit.analyses.identity import recording_identity
from neurofit.analyses.inputs import find_recording
from neurofit.analyses.sweeps.cells import Cell, make_cell
from neurofit.analyses.sweeps.study import Machine, Slurm, Study
from neurofit.config.code import code_sha256
from neurofit.config.compute import Progress
from neurofit.errors import NeurofitError
from neurofit.recordings.recording import Recording
from neurofit.storage.home import atomic_file, places, writable


@dataclass(frozen=True, kw_only=True)
class Task:
    """Cells that one process computes.

    Parameters
    ----------
    cells
        Cells that share an extraction.
    stage
        "extract" (show the images to the model and cache Gram matrices), "fit" (fit maps, and
        extract what is not cached), or "both".
    """

    cells: tuple[Cell, ...]
    stage: str = "both"

    @property
    def name(self) -> str:
        """Name of its file: the stage, and the hash of its cells."""
        keys = " ".join(sorted(cell.key for cell in self.cells))
        return f"{self.stage}-{hashlib.sha256(keys.encode()).hexdigest()[:16]}"


@dataclass(frozen=True, kw_only=True)
class StudyFolder:
    """Files of a study that is being computed."""

    path: Path

    @property
    def cells_file(self) -> Path:
        """File of the cells, one per line."""
        return self.path / "cells.jsonl"

    def failure(self, key: str) -> Path:
        """Return the file that says why a cell failed."""
        return self.path / "failed" / f"{key}.json"

    def log(self, task: str) -> Path:
        """Return the file with what a task printed."""
        return self.path / "logs" / f"{task}.log"

    def claim_of(self, key: str) -> Path:
        """Return the claim on a cell, which all studies of a NEUROFIT_HOME share."""
        return writable("cells", "claims", key)

    def read_cells(self) -> list[Cell]:
        """Return the cells of the study.

        Raises
        ------
        NeurofitError
            If the study was never started, or its file is damaged.
        """
        try:
            lines = self.cells_file.read_text(encoding="utf-8").splitlines()
            return [Cell(**json.loads(line)) for line in lines]
        except FileNotFoundError:
            raise NeurofitError(
                f"There is no study in {self.path}: start it with neurofit sweep STUDY.toml."
            ) from None
        except (ValueError, TypeError) as error:
            raise NeurofitError(f"{self.cells_file} is damaged: {error}.") from error

    def write_cells(self, cells: Sequence[Cell]) -> None:
        """Write the cells of the study."""
        with atomic_file(self.cells_file) as temporary:
            lines = (json.dumps(cell.as_json()) for cell in cells)
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def write_task(self, task: Task, study: Study) -> Path:
        """Write the file of a task, and return its path."""
        machine = {each.name: getattr(study.machine, each.name) for each in fields(study.machine)}
        content = {
            "study": str(self.path.resolve()),
            "stage": task.stage,
            "machine": machine,
            "code": code_sha256(),
            "cells": [cell.as_json() for cell in task.cells],
        }
        path = self.path / "tasks" / f"{task.name}.json"
        with atomic_file(path) as temporary:
            temporary.write_text(json.dumps(content), encoding="utf-8")
        return path

    def write_retry(self, study: Study, attempt: int) -> Path:
        """Write what is needed to submit missing cells once more, and return the path."""
        content = {
            "study": str(self.path.resolve()),
            "attempt": attempt,
            "code": code_sha256(),
            "fields": asdict(study),
        }
        path = self.path / "tasks" / f"retry-{attempt}.json"
        with atomic_file(path) as temporary:
            temporary.write_text(json.dumps(content), encoding="utf-8")
        return path

    def cells_of(self, task: str) -> list[Cell]:
        """Return the cells of a task; none if its file is damaged."""
        try:
            content: Any = json.loads((self.path / "tasks" / f"{task}.json").read_text("utf-8"))
            return [Cell(**cell) for cell in content["cells"]]
        except (OSError, ValueError, TypeError, KeyError):
            return []

    def jobs(self) -> dict[str, str]:
        """Return task -> number of its last job on a cluster."""
        try:
            found: Any = json.loads((self.path / "jobs.json").read_text(encoding="utf-8"))
            return {str(task): str(job) for task, job in found.items()}
        except (OSError, ValueError, AttributeError):
            return {}

    def logs(self, task: str) -> list[Path]:
        """Return the files with what a task printed, on this machine and on a cluster."""
        job = self.jobs().get(task)
        of_job = sorted((self.path / "slurm").glob(f"{job}_*_log.*")) if job else []
        return [path for path in (self.log(task), *of_job) if path.is_file()]


def read_retry(path: str | Path) -> tuple[StudyFolder, Study, int]:
    """Return the folder, the study and the attempt that `StudyFolder.write_retry` wrote.

    Raises
    ------
    NeurofitError
        If the file is damaged, or was written by another version of neurofit.
    """
    try:
        content: Any = json.loads(Path(path).read_text(encoding="utf-8"))
        check_code(path, content["code"])
        given = dict(content["fields"])
        given |= {"machine": Machine(**given["machine"]), "slurm": Slurm(**given["slurm"])}
        return StudyFolder(path=Path(content["study"])), Study(**given), int(content["attempt"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise NeurofitError(f"{path} is not the file of a study: {error}.") from error


def check_code(path: str | Path, code: str) -> None:
    """Check that a file was written by the neurofit that is installed.

    Raises
    ------
    NeurofitError
        If it was not.
    """
    if code != code_sha256():
        raise NeurofitError(
            f"The installed neurofit (code {code_sha256()[:12]}) differs from the one that wrote "
            f"{path} ({code[:12]}): start the sweep again with neurofit sweep."
        )


def study_folder(name: str, out: str | Path | None = None) -> StudyFolder:
    """Return the folder of a study: neurofit-sweeps/NAME unless it is given."""
    return StudyFolder(path=Path("neurofit-sweeps") / name if out is None else Path(out))


def make_cells(study: Study, *, progress: Progress | None = None) -> list[Cell]:
    """Return the cells of a study, each key once.

    Recordings are loaded, since a cell depends on what they contain.

    Raises
    ------
    NeurofitError
        If a recording lacks an area of the study, or its images, their width or stimulus onset
        have to be stated.
    """
    identities: dict[str, str] = {}
    cells: dict[str, Cell] = {}
    grid = study.grid()
    for choices, config in grid:
        name = str(config.recording)
        if name not in identities:
            recording: Recording = find_recording(config, progress=progress)
            identities[name] = recording_identity(recording)
            wanted = (each["region"] for each, own in grid if str(own.recording) == name)
            _check_regions(dict.fromkeys(wanted), recording)
            check_recording(config, recording)
        cell = make_cell(choices, config, identities[name])
        cells.setdefault(cell.key, cell)
    return list(cells.values())


def _check_regions(regions: Iterable[str], recording: Recording) -> None:
    """Refuse areas that a recording does not have before anything is computed."""
    known = set(recording.regions)
    if "subregion" in recording.responses.coords:
        known |= set(map(str, recording.responses.subregion.values))
    for region in regions:
        if region not in known:
            listed = ", ".join(recording.regions)
            raise NeurofitError(
                f"{recording.name} has no area {region!r}; it has {listed}. Leave out such cells: "
                f'exclude = [{{recording = "{recording.name}", region = "{region}"}}].'
            )


def finished(cells: Iterable[Cell]) -> set[str]:
    """Return the keys of cells whose result exists; folders are read once."""
    existing: dict[str, set[str]] = {}
    found = set()
    for cell in cells:
        prefix = cell.key[:2]
        if prefix not in existing:
            existing[prefix] = set()
            for folder in places("cells", prefix):
                with suppress(OSError):
                    existing[prefix] |= set(os.listdir(folder))
        if f"{cell.key}.nc" in existing[prefix]:
            found.add(cell.key)
    return found


def make_tasks(cells: Sequence[Cell], study: Study, *, stages: bool = False) -> list[list[Task]]:
    """Return the tasks of cells in order: those of a list may run at once.

    Parameters
    ----------
    cells
        Cells that are to be computed.
    study
        Their study.
    stages
        Whether extraction and fitting are tasks of their own, as on a cluster.
    """
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(extraction_of(cell), []).append(cell)
    most = study.machine.cells_per_task
    parts = [
        tuple(group[start : start + (most or len(group))])
        for group in groups.values()
        for start in range(0, len(group), most or len(group))
    ]
    if not stages:
        return [[Task(cells=part) for part in parts]]
    extractions = [Task(cells=tuple(group), stage="extract") for group in groups.values()]
    return [extractions, [Task(cells=part, stage="fit") for part in parts]]


def extraction_of(cell: Cell) -> str:
    """Return what identifies the activations of a cell, as far as its choices tell."""
    run: Mapping[str, Any] = json.loads(cell.attrs["run"])
    names = ("recording", "weights", "model_seed", "presentation", "precision", "shuffle_stimuli")
    same = {name: run[name] for name in names}
    return json.dumps([run["model"], run["selection"]["stimuli"], same], sort_keys=True)


def compute_of(workers: int, cores: int) -> dict[str, int]:
    """Return the environment variables that divide the cores among workers."""
    threads = max(1, cores // workers)
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
    return dict.fromkeys(names, threads)
