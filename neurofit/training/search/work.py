"""A worker of a search: `neurofit search work TASK.json` takes trials until none is left.

A trial that is running in the storage and that nobody claims was put back: its worker has died or
was stopped. Whoever gets its claim goes on with it. A new trial is drawn under a claim of its own,
so that there are never more trials than the study has, and stored with all its values at once.
"""

from __future__ import annotations

import json
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from neurofit.data_loaders import load_images
from neurofit.errors import NeurofitError, NeurofitWarning
from neurofit.storage.claims import claim
from neurofit.training.search.storage import (
    StorageError,
    draw_trial,
    import_optuna,
    open_study,
    storage_errors,
)
from neurofit.training.search.study import Search
from neurofit.training.search.trial import MachineFault, Trial, load_search_images
from neurofit.training.search.trials import SearchFolder

COMMAND = (sys.executable, "-m", "neurofit", "search", "work")
"""Command of a worker, to which the path of its file is added."""

PATIENCE = 10
"""How often in a row a storage that does not answer is asked again, after 1, 2, 4 ... seconds."""

LONGEST_WAIT = 60.0
"""Longest of these waits, in seconds."""

OnTrial = Callable[[Mapping[str, Any]], None]
"""Called with the result of each trial."""


def work(path: str | Path, *, on_trial: OnTrial = lambda result: None) -> None:
    """Take trials until none is left.

    Parameters
    ----------
    path
        File of the worker.
    on_trial
        Called with the result of each trial.

    Raises
    ------
    NeurofitError
        If the file is missing or damaged, or was written by another version of neurofit.
    StorageError
        If the storage did not answer `PATIENCE` times in a row.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # claims are given up
    try:
        folder = SearchFolder(path=Path(json.loads(Path(path).read_text())["folder"]))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise NeurofitError(f"{path} is not the file of a worker: {error}.") from error
    folder.check_code()
    take_trials(folder.read_search(), folder, on_trial=on_trial)


def take_trials(
    search: Search, folder: SearchFolder, *, on_trial: OnTrial = lambda result: None
) -> None:
    """Take trials of a search until none is left; for the errors see `work`."""
    images, failures = load_search_images(search, load_images), 0
    while failures < PATIENCE:
        try:
            study = open_study(search, folder.path)
            while True:
                with next_trial(search, study, folder, n_classes=len(images.classes)) as trial:
                    if trial is None:
                        return
                    on_trial(trial.run(images))
                failures = 0
        except MachineFault as error:
            warnings.warn(f"{error} It is put back.", NeurofitWarning, stacklevel=2)
        except StorageError as error:
            failures += 1
            if failures == PATIENCE:
                raise
            warnings.warn(f"{error} It is asked again.", NeurofitWarning, stacklevel=2)
            time.sleep(min(2.0 ** (failures - 1), LONGEST_WAIT))


@contextmanager
def next_trial(
    search: Search, study: Any, folder: SearchFolder, *, n_classes: int
) -> Iterator[Trial | None]:
    """Yield a trial that was put back, else a new one; None if there is neither.

    Within the block this process has its claim.
    """
    running = import_optuna().trial.TrialState.RUNNING

    def trial_of(found: Any) -> Trial:
        return Trial(
            search=search,
            study=study,
            trial_id=found._trial_id,
            folder=folder.trial(found.number),
        )

    while True:
        with storage_errors():
            left = study.get_trials(deepcopy=False, states=(running,))
        for found in left:
            with claim(folder.claim_of(found.number)) as mine:
                # another worker may have ended it since the list was made
                if mine and _is_running(study, found):
                    yield trial_of(found)
                    return
        with claim(folder.asking) as mine:
            if mine:
                with storage_errors():
                    n_drawn = len(study.get_trials(deepcopy=False))
                if n_drawn < search.trials:  # it is then taken as one that nobody claims
                    draw_trial(search, study, n_drawn, n_classes=n_classes)
        if mine and n_drawn >= search.trials:
            yield None
            return
        if not mine:
            time.sleep(0.1)


def _is_running(study: Any, found: Any) -> bool:
    with storage_errors():
        return not study._storage.get_trial(found._trial_id).state.is_finished()
