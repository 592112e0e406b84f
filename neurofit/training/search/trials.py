"""The files of a search: one line of JSON per trial, from which the table is made without Optuna.

The folder of a study contains search.json (its definition), journal.log (Optuna's), claims/,
tasks/, logs/ and trials/NUMBER/ with

    net.json      the architecture, and what was drawn
    run/          the training run: checkpoint, metrics and, at its end, the weights
    epochs.jsonl  a line per evaluation
    attempts.log  a line per worker that has begun or taken up the trial, and how it has left it
    trial.json    the result on one line, once the trial has ended
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from neurofit.config.code import code_sha256
from neurofit.errors import NeurofitError
from neurofit.models.architecture import Architecture, architecture_of
from neurofit.storage.home import atomic_file
from neurofit.training.evaluate import Accuracy
from neurofit.training.search.database import without_password
from neurofit.training.search.space import Candidate
from neurofit.training.search.study import Pruning, Search

STATES = ("complete", "pruned", "diverged", "failed")
"""How a trial ends: trained, stopped early, with a loss that is not finite, or by an error."""

STOPPED, OUT_OF_MEMORY, LOST = "stopped", "out of memory", "killed or lost"
FAULTS = {LOST: "its worker was killed or lost", OUT_OF_MEMORY: "it ran out of memory"}
"""Faults of the machine, in words."""

ENDS = (STOPPED, OUT_OF_MEMORY)
"""How a worker leaves a trial that has not ended: told to stop, or by a fault of the machine."""

COLUMNS = (
    "number",
    "model",
    "state",
    "accuracy",
    "epochs",
    "parameters",
    "multiply_adds",
    "seconds",
    "cpu_seconds",
)
"""Columns of the table before those of the choices."""


@dataclass(frozen=True, kw_only=True)
class TrialFolder:
    """Files of a trial."""

    path: Path

    @property
    def number(self) -> int:
        """Number of the trial."""
        return int(self.path.name)

    @property
    def run(self) -> Path:
        """Folder of the training run."""
        return self.path / "run"

    @property
    def result(self) -> Path:
        """File of the result, on one line."""
        return self.path / "trial.json"

    def read_result(self) -> dict[str, Any] | None:
        """Return the result; None if the trial has not ended.

        Raises
        ------
        NeurofitError
            If the file is damaged.
        """
        try:
            found = json.loads(self.result.read_text(encoding="utf-8"))
            if found["state"] not in STATES or int(found["number"]) != self.number:
                raise ValueError(f"it is trial {found['number']}, {found['state']}")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NeurofitError(f"{self.result} is damaged: {error}.") from error
        result: dict[str, Any] = found
        return result

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Write the result, whole or not at all."""
        with atomic_file(self.result) as temporary:
            temporary.write_text(f"{json.dumps(result)}\n", encoding="utf-8")

    def write_net(self, candidate: Candidate) -> None:
        """Write what was drawn."""
        content = {
            "architecture": candidate.architecture.as_json(),
            "choices": dict(candidate.choices),
            "training": dict(candidate.training),
        }
        with atomic_file(self.path / "net.json") as temporary:
            temporary.write_text(json.dumps(content), encoding="utf-8")

    def read_net(self) -> Architecture:
        """Return the architecture.

        Raises
        ------
        NeurofitError
            If nothing was drawn yet.
        """
        path = self.path / "net.json"
        try:
            described = json.loads(path.read_text(encoding="utf-8"))["architecture"]
        except (OSError, ValueError, KeyError) as error:
            raise NeurofitError(f"Trial {self.number} has no net yet: {error}.") from error
        found: Architecture = architecture_of(described, source=str(path))
        return found

    def note_attempt(self, step: int) -> None:
        """Note a worker that begins the trial or takes it up, from the checkpoint of a step."""
        self._note(f"{socket.gethostname()} {os.getpid()} {step}")

    def note_end(self, end: str) -> None:
        """Note how the last attempt ended without a result; a killed worker notes nothing."""
        self._note(end)

    def n_attempts(self) -> int:
        """Return the number of workers that have begun or taken up the trial."""
        return sum(line not in ENDS for line in self._attempts())

    def faults(self, *, step: int | None = None) -> list[str]:
        """Return the faults of the machine that ended attempts, of a trial that no worker is at.

        Parameters
        ----------
        step
            Only those of attempts that began at this step; None takes all. Earlier versions did not
            note the step, and their attempts are not counted.
        """
        lines, found = self._attempts(), []
        for line, end in zip(lines, [*lines[1:], ""], strict=False):
            fields = line.split()
            if line in ENDS or end == STOPPED or len(fields) < 3:
                continue
            if step is None or fields[-1] == str(step):
                found.append(end if end in ENDS else LOST)
        return found

    def _note(self, line: str) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / "attempts.log", "a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def _attempts(self) -> list[str]:
        try:
            return (self.path / "attempts.log").read_text(encoding="utf-8").splitlines()
        except OSError:
            return []

    def add_epoch(self, epoch: int, accuracy: Accuracy, seconds: float, cpu_seconds: float) -> None:
        """Add a line for an evaluation, with the time since the one before."""
        times = {"seconds": round(seconds, 3), "cpu_seconds": round(cpu_seconds, 3)}
        line = {"epoch": epoch, **times, **described(accuracy)}
        with open(self.path / "epochs.jsonl", "a", encoding="utf-8") as file:
            file.write(f"{json.dumps(line)}\n")

    def read_epochs(self, *, up_to: int | None = None) -> list[dict[str, Any]]:
        """Return the evaluations in order, each once.

        A run that was killed before its checkpoint evaluates an epoch again: the last one counts.

        Parameters
        ----------
        up_to
            Last epoch that counts; None for all.
        """
        try:
            lines = (self.path / "epochs.jsonl").read_text(encoding="utf-8").splitlines()
        except OSError:
            return []
        found: dict[int, dict[str, Any]] = {}
        for line in lines:
            try:
                each = json.loads(line)
                found[int(each["epoch"])] = each
            except (ValueError, KeyError, TypeError):  # the machine went down while it was written
                continue
        return [found[epoch] for epoch in sorted(found) if up_to is None or epoch <= up_to]


@dataclass(frozen=True, kw_only=True)
class SearchFolder:
    """Files of a search."""

    path: Path

    @property
    def definition(self) -> Path:
        """File of the definition."""
        return self.path / "search.json"

    def trial(self, number: int) -> TrialFolder:
        """Return the files of a trial."""
        return TrialFolder(path=self.path / "trials" / f"{number:05d}")

    def claim_of(self, number: int) -> Path:
        """Return the claim of the worker at a trial."""
        return self.path / "claims" / f"{number:05d}"

    @property
    def asking(self) -> Path:
        """The claim of the worker that asks for a new trial."""
        return self.path / "claims" / "asking"

    def log(self, worker: str) -> Path:
        """Return the file with what a worker printed."""
        return self.path / "logs" / f"{worker}.log"

    def trials(self) -> Iterator[TrialFolder]:
        """Yield the files of all trials in order."""
        for path in sorted((self.path / "trials").glob("[0-9]*")):
            yield TrialFolder(path=path)

    def results(self) -> list[dict[str, Any]]:
        """Return the results of all trials that have ended, in order."""
        return [found for each in self.trials() if (found := each.read_result()) is not None]

    def n_attempts(self) -> int:
        """Return the number of attempts at all trials."""
        return sum(trial.n_attempts() for trial in self.trials())

    def begin(self, search: Search) -> None:
        """Write the definition, or check that the folder has the same.

        Raises
        ------
        NeurofitError
            Naming the fields that differ.
        """
        own = search.definition()
        if self.definition.exists():
            before = self._read()["definition"]
            names = sorted(name for name in own if own[name] != before.get(name))
            if names:
                raise NeurofitError(
                    f"The study in {self.path} was begun with another {' and '.join(names)}. Give "
                    "this one another name; only trials, storage, machine and slurm may change."
                )
        # the password of a database is not written
        stored = {**asdict(search), "storage": without_password(search.storage)}
        content = {"definition": own, "search": stored, "code": code_sha256()}
        with atomic_file(self.definition) as temporary:
            temporary.write_text(json.dumps(content), encoding="utf-8")

    def read_search(self) -> Search:
        """Return the search.

        Raises
        ------
        NeurofitError
            If no search was begun here, or its file is damaged.
        """
        return search_of(self._read()["search"])

    def check_code(self) -> None:
        """Check that the installed neurofit is the one that began or continued the search.

        Raises
        ------
        NeurofitError
            If it is not.
        """
        if self._read().get("code") != code_sha256():
            raise NeurofitError(
                f"The installed neurofit (code {code_sha256()[:12]}) differs from the one that "
                f"started the workers of {self.path}: start them again with neurofit search."
            )

    def _read(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self.definition.read_text(encoding="utf-8"))
            return found
        except FileNotFoundError:
            raise NeurofitError(
                f"There is no search in {self.path}: start it with neurofit search STUDY.toml."
            ) from None
        except ValueError as error:
            raise NeurofitError(f"{self.definition} is damaged: {error}.") from error


def search_of(stored: Mapping[str, Any]) -> Search:
    """Return a search from its fields in types of JSON.

    Raises
    ------
    NeurofitError
        Naming the field that is wrong.
    """
    from neurofit.analyses.sweeps.study import Slurm
    from neurofit.training.search.study import Workers

    given = dict(stored)
    tables: dict[str, Any] = {"machine": Workers, "slurm": Slurm, "pruning": Pruning}
    for name, table in tables.items():
        given[name] = table(**given.get(name, {}))
    return Search(**given)


def search_folder(name: str, out: str | Path | None = None) -> SearchFolder:
    """Return the folder of a search: neurofit-searches/NAME unless it is given."""
    return SearchFolder(path=Path("neurofit-searches") / name if out is None else Path(out))


def described(accuracy: Accuracy) -> dict[str, Any]:
    """Return an accuracy in types of JSON: of the decoded logits, and top-1 by timestep."""
    return {
        "accuracy": accuracy.top1,
        "loss": accuracy.loss,
        "by_timestep": {str(step): top1 for step, (top1, _) in accuracy.by_timestep.items()},
    }


def table_of(results: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Return columns and rows of the table of a search, a row per trial that has ended.

    The last columns are the accuracy at each timestep; an empty value is one that a net has not.
    """
    choices = sorted({name for each in results for name in each["choices"]})
    steps = sorted({int(step) for each in results for step in each["by_timestep"]})
    columns = [
        *COLUMNS,
        *choices,
        *(f"accuracy_at_{step}" for step in steps),
        "error",
    ]
    rows = [
        [
            *(len(each[name]) if name == "epochs" else each[name] for name in COLUMNS),
            *(each["choices"].get(name, "") for name in choices),
            *(each["by_timestep"].get(str(step), "") for step in steps),
            each["error"],
        ]
        for each in results
    ]
    return columns, rows
