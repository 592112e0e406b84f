"""The planted recordings of benchmarks/validity/sources.py."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest


@pytest.fixture(scope="session")
def planting(
    scripts: Callable[[str], AbstractContextManager[Callable[[str], Any]]],
) -> Iterator[Any]:
    """Return the script that plants recordings which predict each other."""
    with scripts("validity") as imported:
        yield imported("sources")
