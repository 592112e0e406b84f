"""A fault of the machine is tried again a stated number of times, an error of a net never."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from neurofit.training.search import run as run_module
from neurofit.training.search import trial as trial_module
from neurofit.training.search.run import begin, run_here
from neurofit.training.search.status import read_status
from neurofit.training.search.storage import open_study
from neurofit.training.search.study import Search, Workers
from neurofit.training.search.trials import SearchFolder, search_folder
from neurofit.training.search.work import take_trials
from neurofit.training.train import train

MakeSearch = Callable[..., Search]
Command = Callable[..., tuple[int, str, str]]

MACHINE = Workers(workers=1, threads=1, device="cpu", retries=2)


def start(search: Search) -> SearchFolder:
    folder = search_folder(search.name)
    begin(search, folder)
    return folder


POISON = """
import os, signal, sys
from neurofit.training.search import trial, work
train = trial.train

def kills(network, images, config, **options):
    if config.seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return train(network, images, config, **options)

trial.train = kills
work.work(sys.argv[1])
"""


def test_a_net_that_kills_its_worker_each_time_fails_and_the_others_are_trained(
    make_search: MakeSearch, monkeypatch: pytest.MonkeyPatch, neurofit: Command
) -> None:
    monkeypatch.setattr(run_module, "COMMAND", (sys.executable, "-c", POISON))
    search = make_search(trials=3, machine=MACHINE, prune=False)
    folder = start(search)
    run_here(search, folder)
    results = folder.results()
    assert [each["state"] for each in results] == ["complete", "failed", "complete"]
    assert results[1]["attempts"] == 3  # the first, and two retries
    assert results[1]["faults"] == ["killed or lost"] * 3
    assert results[0]["faults"] == []
    states = [each.state.name for each in open_study(search, folder.path).get_trials()]
    assert states == ["COMPLETE", "FAIL", "COMPLETE"]
    _, printed, said = neurofit("search", "status", str(folder.path))
    assert "3 trials: 2 complete, 1 failed" in printed
    assert "trial 1: The machine failed in 3 attempts in a row" in said
    assert "its worker was killed or lost" in said


def breaks(error: Exception, *, times: int) -> Callable[..., Any]:
    """Return a training of which that of trial 1 fails so many times."""
    left = times

    def run(network: Any, images: Any, config: Any, **options: Any) -> Any:
        nonlocal left
        if config.seed == 1 and left:
            left -= 1
            raise error
        return train(network, images, config, **options)

    return run


NO_MEMORY = (
    MemoryError("Unable to allocate 9 GiB"),
    torch.cuda.OutOfMemoryError("CUDA out of memory."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
)


@pytest.mark.parametrize("error", NO_MEMORY, ids=lambda error: type(error).__name__)
@pytest.mark.filterwarnings("ignore:Trial 1 ran out of memory")
def test_out_of_memory_is_tried_again_as_often_as_stated(
    make_search: MakeSearch, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    for times, state in ((2, "complete"), (3, "failed")):
        search = make_search(name=f"times-{times}", trials=2, machine=MACHINE, prune=False)
        with monkeypatch.context() as patched:
            patched.setattr(trial_module, "train", breaks(error, times=times))
            folder = start(search)
            take_trials(search, folder)
        results = folder.results()
        assert [each["state"] for each in results] == ["complete", state]
        assert results[1]["attempts"] == 3
        assert results[1]["faults"] == ["out of memory"] * times
    assert "out of memory" in results[1]["error"]


def test_an_error_of_a_net_is_not_tried_again(
    make_search: MakeSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = make_search(trials=2, machine=MACHINE, prune=False)
    monkeypatch.setattr(trial_module, "train", breaks(RuntimeError("wrong shape"), times=1))
    folder = start(search)
    take_trials(search, folder)
    assert [each["state"] for each in folder.results()] == ["complete", "failed"]
    assert folder.results()[1]["attempts"] == 1
    assert folder.results()[1]["faults"] == []


def test_a_worker_that_is_stopped_does_not_use_up_retries(
    make_search: MakeSearch, monkeypatch: pytest.MonkeyPatch, neurofit: Command
) -> None:
    search = make_search(trials=1, machine=replace(MACHINE, retries=0), prune=False)
    folder = start(search)

    def stopped(*args: Any, **options: Any) -> Any:
        raise SystemExit(143)  # as SIGTERM does

    for _ in range(3):
        with monkeypatch.context() as patched, pytest.raises(SystemExit):
            patched.setattr(trial_module, "train", stopped)
            take_trials(search, folder)
    take_trials(search, folder)
    assert [each["state"] for each in folder.results()] == ["complete"]
    assert folder.results()[0]["attempts"] == 4
    assert folder.results()[0]["faults"] == []


def test_attempts_that_got_further_do_not_use_up_retries(make_search: MakeSearch) -> None:
    search = make_search(trials=1, machine=replace(MACHINE, retries=1), prune=False)
    folder = start(search)
    trial = folder.trial(0)
    for step in (0, 0, 4, 8, 8):  # workers that vanished; each noted the checkpoint it began with
        trial.note_attempt(step)
    assert trial.faults(step=0) == ["killed or lost"] * 2
    assert trial.faults(step=8) == ["killed or lost"] * 2
    assert trial.faults(step=12) == []
    assert trial.faults() == ["killed or lost"] * 5
    assert trial.n_attempts() == 5


def test_attempts_that_an_earlier_version_noted_are_read_and_use_up_nothing(
    make_search: MakeSearch,
) -> None:
    search = make_search(trials=1, machine=replace(MACHINE, retries=0), prune=False)
    folder = start(search)
    trial = folder.trial(0)
    trial.path.mkdir(parents=True)
    (trial.path / "attempts.log").write_text("here 4711\nhere 4712\n")
    assert trial.n_attempts() == 2
    assert trial.faults() == []
    take_trials(search, folder)
    assert [each["state"] for each in folder.results()] == ["complete"]
    assert folder.results()[0]["attempts"] == 3


def test_the_state_of_a_search_tells_retries_and_faults(
    make_search: MakeSearch, neurofit: Command
) -> None:
    search = make_search(trials=2, machine=MACHINE)
    folder = start(search)
    folder.trial(0).note_attempt(0)
    found = read_status(folder)
    assert found.put_back == [0]
    assert found.faults == {0: ["killed or lost"]}
    code, printed, said = neurofit("search", "status", str(folder.path))
    assert code == 0, said
    words = " ".join(printed.split())
    assert "trial 0 is put back: its worker was killed or lost (1 fault)" in words
    assert (
        "A trial is tried again 2 times after a fault of the machine (killed, lost, out of memory)"
        in words
    )
    assert "never after an error of its own" in words
