"""The examples of the public names run as a reader pastes them."""

from __future__ import annotations

import doctest
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import neurofit
from neurofit.analyses.analysis import ANALYSES
from neurofit.config.registry import Registry
from neurofit.data_loaders.recordings import RECORDINGS
from neurofit.mapping import MAPPINGS
from neurofit.models.catalogue import INFO, MODELS

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

UNDOCUMENTED = {"args", "kwargs", "_storage"}
"""Parameters of protocols, and one that only `extract` gives."""


def sections(text: str) -> dict[str, str]:
    """Return the sections of a numpy docstring by their titles."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}\n", inspect.cleandoc(text), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def documented(found: Any) -> set[str]:
    """Return the parameters that a docstring names, for a class those of its bases too."""
    texts = [base.__doc__ for base in found.__mro__] if inspect.isclass(found) else [found.__doc__]
    named = "\n".join(sections(text or "").get("Parameters", "") for text in texts)
    return {
        each.strip("* ") for line in re.findall(r"^\S.*", named, re.M) for each in line.split(",")
    }


def examples_of(name: str) -> list[doctest.DocTest]:
    """Return the examples of a public name and of its methods, which share no variables."""
    return doctest.DocTestFinder().find(getattr(neurofit, name), name, globs={})


@pytest.fixture
def own_registries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget what an example registers."""
    registries: tuple[Registry[Any], ...] = (ANALYSES, MAPPINGS, MODELS, RECORDINGS)
    tables: list[dict[str, Any]] = [*(each._entries for each in registries), INFO]
    before = [dict(table) for table in tables]
    yield
    for table, entries in zip(tables, before, strict=True):
        table.clear()
        table.update(entries)


STARTS_PROCESSES = [pytest.param("sweep", marks=pytest.mark.slow)]


@pytest.mark.parametrize(
    "name", [*(each for each in neurofit.__all__ if each != "sweep"), *STARTS_PROCESSES]
)
def test_examples_print_what_they_say(
    name: str, own_registries: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Examples" in sections(getattr(neurofit, name).__doc__)
    monkeypatch.chdir(tmp_path)
    failures: list[str] = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=FLAGS)
    for test in examples_of(name):
        runner.run(test, out=failures.append)
    assert not failures, "".join(failures)
    assert runner.tries  # not all are skipped


@pytest.mark.parametrize("name", [each for each in neurofit.__all__ if each != "figures"])
def test_every_parameter_and_every_value_returned_is_documented(name: str) -> None:
    found = getattr(neurofit, name)
    if found is not neurofit.Model:
        given = set(inspect.signature(found).parameters)
        assert given - documented(found) - UNDOCUMENTED == set()
    if not inspect.isclass(found) and inspect.signature(found).return_annotation != "None":
        own = sections(found.__doc__)
        assert "Returns" in own or "Yields" in own
        lines = (own.get("Returns") or own["Yields"]).strip().splitlines()
        assert len(lines) > 1, "a line with the type, then indented text"
        assert not lines[0].startswith(" ")
        assert all(line.startswith(" ") for line in lines[1:])
