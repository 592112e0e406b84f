"""What Optuna stores, in a journal file or in PostgreSQL, and how it samples and prunes.

Optuna's own heartbeats exist for databases only. Here the claim of a trial (`storage.claims`) says
whether a worker is at it, with a journal too.
"""

from __future__ import annotations

import copy
import os
import random
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from neurofit.errors import MachineError, NeurofitError
from neurofit.training.search.database import open_database
from neurofit.training.search.dimensions import Choices
from neurofit.training.search.space import Candidate
from neurofit.training.search.study import OBJECTIVES, Search

JOURNAL = "journal.log"

LOOK_SECONDS = 0.05
PATIENT_SECONDS = 10.0
"""Longest time between two looks at the lock of a journal, and how long it is looked at so."""

DEFINITION = "definition"
"""Attribute of Optuna's study: the hash of what its trials depend on."""


class StorageError(MachineError):
    """A storage that does not answer; what it holds is unchanged, and the work is done again."""


def import_optuna() -> Any:
    """Return Optuna, which says nothing of its own accord.

    Raises
    ------
    NeurofitError
        If it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise NeurofitError("A search needs Optuna: pip install 'neurofit[search]'.") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna


def create_study(search: Search, folder: Path) -> Any:
    """Return Optuna's study of a search, which is created if it does not exist.

    Raises
    ------
    NeurofitError
        If Optuna is not installed, or the study was begun with another definition.
    StorageError
        If the storage does not answer.
    """
    optuna = import_optuna()
    with storage_errors():
        study = optuna.create_study(
            storage=_storage(search, folder),
            study_name=search.name,
            directions=[OBJECTIVES[name] for name in search.objectives],
            load_if_exists=True,
        )
        stored = study.user_attrs.get(DEFINITION)
        if stored is None:
            study.set_user_attr(DEFINITION, search.sha256())
    if stored not in (None, search.sha256()):
        raise NeurofitError(
            f"The storage has a study {search.name} of another definition: give this one another "
            "name."
        )
    return study


def open_study(search: Search, folder: Path) -> Any:
    """Return Optuna's study, with the pruner of the search; a trial is drawn by its own sampler.

    Raises
    ------
    StorageError
        If the storage does not answer or has no such study.
    """
    optuna = import_optuna()
    with storage_errors():
        study = optuna.load_study(study_name=search.name, storage=_storage(search, folder))
    study.pruner, study.sampler = _pruner(search), make_sampler(search, 0)
    return study


def make_sampler(search: Search, number: int) -> Any:
    """Return the sampler of a trial: its draws depend on the seed, its number and other trials."""
    optuna = import_optuna()
    seed = int(np.random.SeedSequence([search.seed, number]).generate_state(1)[0])
    if search.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(
        seed=seed, n_startup_trials=search.startup, constant_liar=True
    )


class Drawing:
    """Values of a trial that a sampler draws, as `neurofit.training.search.space.Suggest`.

    Nothing is stored while it draws: `trial` is added to the study whole, so that a worker that is
    killed leaves all of it or nothing.

    Parameters
    ----------
    study
        Optuna's study, with the sampler of the trial.
    number
        Number of the trial.
    known
        Optuna's record of the trial if it exists. What it lacks, because an earlier version stored
        value after value, is drawn as if the others were drawn again.
    """

    def __init__(self, study: Any, number: int, *, known: Any = None) -> None:
        states = import_optuna().trial
        self.study = study
        self.trial = known or states.create_trial(state=states.TrialState.RUNNING)
        self.trial.number = number
        self.added: list[str] = []
        self._not_drawn: list[tuple[str, Any]] = []

    def choice(self, name: str, values: Choices) -> Any:
        """Return one of the values."""
        return self._value(name, import_optuna().distributions.CategoricalDistribution(values))

    def integer(self, name: str, low: int, high: int, step: int) -> int:
        """Return a whole number."""
        kind = import_optuna().distributions.IntDistribution
        return int(self._value(name, kind(low, high, step=step)))

    def number(self, name: str, low: float, high: float, log: bool) -> float:
        """Return a number."""
        kind = import_optuna().distributions.FloatDistribution
        return float(self._value(name, kind(low, high, log=log)))

    def _value(self, name: str, distribution: Any) -> Any:
        self._not_drawn.append((name, distribution))
        if name not in self.trial.params:
            for each in self._not_drawn:
                value = self.study.sampler.sample_independent(self.study, self.trial, *each)
            self._not_drawn.clear()
            self.trial.params |= {name: value}
            self.trial.distributions |= {name: distribution}
            self.added.append(name)
        return self.trial.params[name]


def draw_trial(search: Search, study: Any, number: int, *, n_classes: int) -> None:
    """Draw a trial, and add it to the study at once with all its values.

    Parameters
    ----------
    search, study
        The search, and Optuna's study.
    number
        Number of the trial, which is that of all trials before it.
    n_classes
        Number of classes of the images.

    Raises
    ------
    StorageError
        If the storage does not answer.
    """
    with storage_errors():
        drawing = Drawing(_with_sampler(search, study, number), number)
        search.searched().draw(drawing, input_size=search.input_size, n_classes=n_classes)
        study.add_trial(drawing.trial)


def read_drawn(
    search: Search, study: Any, number: int, trial_id: int, *, n_classes: int
) -> tuple[Candidate, dict[str, Any]]:
    """Return the net of a trial in the storage, and the values that were drawn for it.

    Raises
    ------
    StorageError
        If the storage does not answer.
    """
    with storage_errors():
        known = copy.deepcopy(study._storage.get_trial(trial_id))
        drawing = Drawing(_with_sampler(search, study, number), number, known=known)
        net = search.searched().draw(drawing, input_size=search.input_size, n_classes=n_classes)
        for name in drawing.added:
            kind = known.distributions[name]
            value = kind.to_internal_repr(known.params[name])
            study._storage.set_trial_param(trial_id, name, value, kind)
    return net, dict(known.params)


def _with_sampler(search: Search, study: Any, number: int) -> Any:
    """Return Optuna's study with the sampler of a trial, which has read nothing yet."""
    return import_optuna().load_study(
        study_name=study.study_name,
        storage=study._storage,
        sampler=make_sampler(search, number),
    )


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn the errors of a storage that does not answer into StorageError.

    Raises
    ------
    StorageError
        In place of the errors of Optuna's storages and of the database.
    """
    optuna = import_optuna()
    try:
        import sqlalchemy.exc
        from pg8000.exceptions import InterfaceError

        lost: tuple[type[Exception], ...] = (sqlalchemy.exc.SQLAlchemyError, InterfaceError)
    except ImportError:
        lost = ()
    try:
        yield
    except (optuna.exceptions.StorageInternalError, *lost, OSError) as error:
        cause = error.__cause__ or error
        reason = (str(cause).strip().splitlines() or [type(cause).__name__])[0][:200]
        raise StorageError(f"The storage of the search does not answer: {reason}") from error


def _pruner(search: Search) -> Any:
    optuna = import_optuna()
    if not search.prunes:
        return optuna.pruners.NopPruner()
    own = search.pruning
    return optuna.pruners.SuccessiveHalvingPruner(
        min_resource=own.first, reduction_factor=own.factor
    )


def _storage(search: Search, folder: Path) -> Any:
    optuna = import_optuna()
    if not search.storage:
        journal = str(folder / JOURNAL)
        return optuna.storages.JournalStorage(_whole_journal(journal))
    return open_database(search.storage)


def _whole_journal(path: str) -> Any:
    """Return a journal for many workers, in which every line is whole.

    Optuna's lock waits up to a second between two looks, so that eight workers together write no
    more than a few lines per second. A line that a killed machine left without its end is dropped:
    Optuna would append to it, and could read nothing that follows.
    """
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    class Lock(JournalFileOpenLock):
        def acquire(self) -> bool:
            deadline = time.monotonic() + PATIENT_SECONDS
            while time.monotonic() < deadline:
                try:
                    os.close(os.open(f"{path}.lock", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
                except FileExistsError:
                    time.sleep(random.uniform(0.001, LOOK_SECONDS))
                else:
                    break
            else:
                super().acquire()  # takes over from a worker that was killed while it wrote
            with open(path, "rb+") as file:
                size = file.seek(0, os.SEEK_END)
                if size:
                    file.seek(size - 1)
                    if file.read(1) != b"\n":
                        file.seek(0)
                        file.truncate(file.read().rfind(b"\n") + 1)
            return True

    return JournalFileBackend(path, lock_obj=Lock(path))
