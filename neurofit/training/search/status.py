"""The state of a search, and its best trials, from its files alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neurofit.storage.claims import is_alive
from neurofit.training.search.study import Search
from neurofit.training.search.trials import SearchFolder


@dataclass(frozen=True, kw_only=True)
class Status:
    """State of a search, from its files alone.

    Parameters
    ----------
    search
        The search.
    results
        Results of the trials that have ended.
    running, put_back
        Numbers of trials that a worker is at, and of those whose worker has died or stopped.
    faults
        Faults of the machine in trials that are put back, by the number of the trial.
    """

    search: Search
    results: Sequence[Mapping[str, Any]]
    running: Sequence[int]
    put_back: Sequence[int]
    faults: Mapping[int, Sequence[str]]

    @property
    def waiting(self) -> int:
        """Number of trials that are not drawn yet."""
        drawn = len(self.results) + len(self.running) + len(self.put_back)
        return max(0, self.search.trials - drawn)


def read_status(folder: SearchFolder) -> Status:
    """Return the state of a search.

    Raises
    ------
    NeurofitError
        If no search was begun in the folder, or a file is damaged.
    """
    results, running, put_back = [], [], []
    for trial in folder.trials():
        found = trial.read_result()
        if found is not None:
            results.append(found)
        elif is_alive(folder.claim_of(trial.number)):
            running.append(trial.number)
        else:
            put_back.append(trial.number)
    faults = {number: folder.trial(number).faults() for number in put_back}
    return Status(
        search=folder.read_search(),
        results=results,
        running=running,
        put_back=put_back,
        faults={number: found for number, found in faults.items() if found},
    )


def best_of(
    results: Sequence[Mapping[str, Any]], objectives: Sequence[str]
) -> list[Mapping[str, Any]]:
    """Return the complete trials that no other one beats: with one objective, the most accurate.

    The first of several equal ones is returned.
    """
    complete = [each for each in results if each["state"] == "complete"]

    def values(each: Mapping[str, Any]) -> tuple[float, ...]:
        return tuple(
            float(-each["objectives"][name] if name == "accuracy" else each["objectives"][name])
            for name in objectives
        )

    front: dict[tuple[float, ...], Mapping[str, Any]] = {}
    for each in complete:
        own = values(each)
        beaten = any(
            other != own and all(a <= b for a, b in zip(other, own, strict=True))
            for other in map(values, complete)
        )
        if not beaten:
            front.setdefault(own, each)
    return [front[own] for own in sorted(front)]
