"""Scores of two models of one planted recording, from the simulations of docs/validity.md."""

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import xarray as xr


@pytest.fixture(scope="session")
def simulation() -> Iterator[Any]:
    """Return the module of the simulations."""
    folder = str(Path(__file__).parents[3] / "benchmarks" / "validity")
    sys.path.insert(0, folder)
    yield import_module("compare")
    sys.path.remove(folder)
    for name in ("compare", "run", "planted", "page"):
        sys.modules.pop(name, None)


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
