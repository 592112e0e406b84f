"""The examples of the public names run as a reader pastes them, and docstrings are complete."""

from __future__ import annotations

import ast
import doctest
import inspect
import re
import runpy
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from neurofit.analyses import ANALYSES
from neurofit.config.registry import Registry
from neurofit.data_loaders import IMAGE_SETS
from neurofit.data_loaders.recordings import RECORDINGS
from neurofit.mapping import MAPPINGS
from neurofit.models import CELLS, MODELS
from neurofit.models.catalogue import INFO

REPOSITORY = Path(__file__).resolve().parent.parent
DOCSTRINGS = runpy.run_path(str(REPOSITORY / "docs" / "data_docstrings.py"))

PACKAGES = (
    "neurofit",
    "neurofit.analyses",
    "neurofit.data_loaders",
    "neurofit.data_loaders.formats",
    "neurofit.data_loaders.hvm_sim",
    "neurofit.mapping",
    "neurofit.models",
    "neurofit.models.cells",
)

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

UNDOCUMENTED = {"args", "kwargs", "self", "_storage"}
"""Parameters of protocols and of methods, and one that only `extract` gives."""

PUBLIC: dict[str, str] = {"Registry": "neurofit.config.registry"}
"""Public name -> the first package that has it."""
for package in PACKAGES:
    for public in import_module(package).__all__:
        PUBLIC.setdefault(public, package)


def of_package(package: str, name: str) -> Any:
    """Return a public object."""
    return getattr(import_module(package), name)


def is_data(found: object) -> bool:
    """Return whether an object is neither a class nor a function, and so has no docstring."""
    return not (inspect.isclass(found) or inspect.isroutine(found) or inspect.ismodule(found))


def docstring(package: str, name: str) -> str:
    """Return the docstring of a public object; that of data stands below its assignment."""
    found = of_package(package, name)
    return str(DOCSTRINGS["docstring_below"](package, name) if is_data(found) else found.__doc__)


def sections(text: str) -> dict[str, str]:
    """Return the sections of a numpy docstring by their titles."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}\n", inspect.cleandoc(text), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def documented(*docstrings: str | None) -> set[str]:
    """Return the parameters that docstrings name."""
    named = "\n".join(sections(text or "").get("Parameters", "") for text in docstrings)
    return {
        each.strip("* ") for line in re.findall(r"^\S.*", named, re.M) for each in line.split(",")
    }


def check_returns(text: str) -> None:
    """Check the section of a docstring on what a function returns or yields."""
    own = sections(text)
    assert "Returns" in own or "Yields" in own
    lines = (own.get("Returns") or own["Yields"]).strip().splitlines()
    assert len(lines) > 1, "a line with the type, then indented text"
    assert not lines[0].startswith(" ")
    assert all(line.startswith(" ") for line in lines[1:] if line)


def examples_of(package: str, name: str) -> list[doctest.DocTest]:
    """Return the examples of a public name and of its methods, which share no variables."""
    found = of_package(package, name)
    if is_data(found):
        text = docstring(package, name)
        return [doctest.DocTestParser().get_doctest(text, {}, name, None, 0)]
    return doctest.DocTestFinder().find(found, name, globs={})


@pytest.fixture
def own_registries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget what an example registers."""
    registries: tuple[Registry[Any], ...]
    registries = (ANALYSES, CELLS, IMAGE_SETS, MAPPINGS, MODELS, RECORDINGS)
    tables: list[dict[str, Any]] = [*(each._entries for each in registries), INFO]
    before = [dict(table) for table in tables]
    yield
    for table, entries in zip(tables, before, strict=True):
        table.clear()
        table.update(entries)


STARTS_PROCESSES = {"sweep"}


@pytest.mark.parametrize(
    ("package", "name"),
    [
        pytest.param(package, name, marks=[pytest.mark.slow] if name in STARTS_PROCESSES else [])
        for name, package in PUBLIC.items()
    ],
)
def test_examples_print_what_they_say(
    package: str,
    name: str,
    own_registries: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "Examples" in sections(docstring(package, name))
    monkeypatch.chdir(tmp_path)
    failures: list[str] = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=FLAGS)
    for test in examples_of(package, name):
        runner.run(test, out=failures.append)
    assert not failures, "".join(failures)
    assert runner.tries  # not all are skipped


@pytest.mark.parametrize(
    ("package", "name"),
    [
        (package, name)
        for name, package in PUBLIC.items()
        if name != "figures" and not is_data(of_package(package, name))
    ],
)
def test_every_parameter_and_every_value_returned_is_documented(package: str, name: str) -> None:
    found = of_package(package, name)
    texts = [base.__doc__ for base in found.__mro__] if inspect.isclass(found) else [found.__doc__]
    if not getattr(found, "_is_protocol", False):
        given = set(inspect.signature(found).parameters)
        assert given - documented(*texts) - UNDOCUMENTED == set()
    if not inspect.isclass(found) and inspect.signature(found).return_annotation != "None":
        check_returns(found.__doc__)


def definitions(folder: Path) -> dict[str, ast.ClassDef | ast.FunctionDef]:
    """Return the classes and functions of the modules in a folder, which need not be importable."""
    return {
        each.name: each
        for path in folder.glob("*.py")
        for each in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(each, ast.ClassDef | ast.FunctionDef)
    }


BRAINSCORE = definitions(REPOSITORY / "neurofit" / "brainscore")


def names_of_brainscore() -> list[str]:
    """Return `__all__` of neurofit.brainscore, which imports Brain-Score."""
    source = REPOSITORY / "neurofit" / "brainscore" / "__init__.py"
    text = re.search(r"^__all__ = (\[.*?\])", source.read_text(encoding="utf-8"), re.M | re.S)
    assert text is not None
    return list(ast.literal_eval(text[1]))


@pytest.mark.parametrize("name", names_of_brainscore())
def test_docstrings_for_brainscore_are_complete_without_it(name: str) -> None:
    found, text = BRAINSCORE[name], ast.get_docstring(BRAINSCORE[name])
    assert text
    function: Any = found
    if isinstance(found, ast.ClassDef):
        function = next(each for each in found.body if getattr(each, "name", "") == "__init__")
    given = [*function.args.args, *function.args.kwonlyargs, function.args.kwarg]
    names = {each.arg for each in given if each is not None}
    assert names - documented(text) - UNDOCUMENTED == set()
    if isinstance(found, ast.FunctionDef) and ast.unparse(found.returns or found) != "None":
        check_returns(text)
