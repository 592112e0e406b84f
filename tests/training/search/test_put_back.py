"""A trial whose worker was killed is put back as the same trial."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neurofit.training.search.run import begin
from neurofit.training.search.space import Space
from neurofit.training.search.storage import make_sampler, open_study
from neurofit.training.search.study import Search
from neurofit.training.search.trials import SearchFolder, search_folder
from neurofit.training.search.work import take_trials

MakeSearch = Callable[..., Search]

SMALL = {"epochs": 1, "batch_size": 16, "warmup_epochs": 0.0}


class Killed(BaseException):
    """A worker ends without a word."""


def drawn(folder: SearchFolder) -> list[tuple[Any, ...]]:
    """Return what was drawn for each trial, and its accuracy."""
    keys = ("number", "model", "params", "choices", "training", "accuracy")
    return [tuple(each[key] for key in keys) for each in folder.results()]


def start(search: Search) -> SearchFolder:
    folder = search_folder(search.name)
    begin(search, folder)
    return folder


def dies_at(monkeypatch: pytest.MonkeyPatch, number: int, die: Callable[[], None]) -> None:
    """Let the process die when the dimension of this number is drawn."""
    original, calls = Space._take, 0

    def take(self: Space, *args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            die()
        return original(self, *args)

    monkeypatch.setattr(Space, "_take", take)


def die() -> None:
    raise Killed


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_worker_that_dies_at_any_draw_leaves_the_same_trial(
    make_search: MakeSearch, monkeypatch: pytest.MonkeyPatch, sampler: str
) -> None:
    own = {"trials": 3, "startup": 1, "sampler": sampler, "training": SMALL, "prune": False}
    straight = start(make_search(name="straight", **own))
    take_trials(straight.read_search(), straight)
    for number in (2, 4, 9, 13):
        search = make_search(name=f"killed-{number}", **own)
        folder = start(search)
        take_trials(make_search(name=search.name, **{**own, "trials": 2}), folder)
        with monkeypatch.context() as patched, pytest.raises(Killed):
            dies_at(patched, number, die)
            take_trials(search, folder)
        take_trials(search, folder)
        assert drawn(folder) == drawn(straight)


WORKER = """
import os, signal, sys
sys.path.insert(0, {here!r})
import pytest, test_put_back as own
from neurofit.training.search.trials import SearchFolder
from neurofit.training.search.work import take_trials
from pathlib import Path
own.dies_at(pytest.MonkeyPatch(), 9, lambda: os.kill(os.getpid(), signal.SIGKILL))
folder = SearchFolder(path=Path({folder!r}))
take_trials(folder.read_search(), folder)
"""


@pytest.mark.parametrize("storage", ["journal", "postgres"])
def test_a_process_that_is_killed_while_it_draws_leaves_the_same_trial(
    make_search: MakeSearch, request: pytest.FixtureRequest, storage: str
) -> None:
    address = "" if storage == "journal" else request.getfixturevalue("postgres")
    own = {"trials": 1, "training": SMALL, "storage": address}
    straight = start(make_search(name=f"straight-{storage}", **own))
    take_trials(straight.read_search(), straight)
    folder = start(make_search(name=f"put-back-{storage}", **own))
    program = WORKER.format(here=str(Path(__file__).parent), folder=str(folder.path.resolve()))
    done = subprocess.run([sys.executable, "-c", program], env={**os.environ}, check=False)
    assert done.returncode == -signal.SIGKILL
    take_trials(folder.read_search(), folder)
    assert drawn(folder) == drawn(straight)


def test_a_trial_that_was_left_half_drawn_in_the_storage_is_completed_as_the_same(
    make_search: MakeSearch,
) -> None:
    """Earlier versions stored each value when it was drawn."""
    own = {"trials": 1, "training": SMALL}
    straight = start(make_search(name="straight", **own))
    take_trials(straight.read_search(), straight)
    search = make_search(name="half", **own)
    folder = start(search)
    study = open_study(search, folder.path)
    study.sampler = make_sampler(search, 0)
    trial = study.ask()
    first = {
        "cell": trial.suggest_categorical("cell", ("reciprocal", "gru")),
        "depth": trial.suggest_categorical("depth", (3, 4)),
        "decoder": trial.suggest_categorical("decoder", ("last", "average")),
    }
    assert first.items() <= straight.results()[0]["params"].items()
    take_trials(search, folder)
    assert drawn(folder) == drawn(straight)
    told = open_study(search, folder.path).get_trials()
    assert told[0].params == folder.results()[0]["params"]
