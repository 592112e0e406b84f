"""Scores of two models of one planted recording, from the simulations of docs/validity.md."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import xarray as xr

Scripts = Callable[[str], AbstractContextManager[Callable[[str], Any]]]


@pytest.fixture(scope="session")
def simulation(scripts: Scripts) -> Any:
    """Return the module of the simulations."""
    with scripts("validity") as imported:
        return imported("compare")


@pytest.fixture(scope="session")
def scored(simulation: Any) -> Callable[..., list[xr.Dataset]]:
    """Score two models of a planted recording, with the fields of `Pair` as options."""
    made: dict[Any, list[xr.Dataset]] = {}

    def results(seed: int = 0, **options: Any) -> list[xr.Dataset]:
        pair = simulation.Pair(**{"n_neuroids": 24, "n_stimuli": 120, **options})
        key = (seed, pair)
        if key not in made:
            made[key] = _named(pair.results(seed))
        return made[key]

    return results


def _named(results: list[xr.Dataset]) -> list[xr.Dataset]:
    """Return results of one model's layers as results of models."""
    named = []
    for result, model in zip(results, ("first", "second"), strict=True):
        one = result.copy()
        one["layer"] = ["conv5"]
        one.attrs = {**result.attrs, "model": model}
        named.append(one)
    return named
