"""The scripts of examples/ are the pages of the gallery: a question, an answer, and its limits."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parent.parent / "examples").glob("*.py"))

STATEMENTS = {"My spikes are in NWB, MATLAB or tables"}
"""Titles that are no questions."""

LIMITS = "What may not be concluded"

SHOW = r"^(?:plt|figures)\.show\("

examples = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


def cells(path: Path) -> list[str]:
    """Return the cells of a script, the docstring with the imports being the first."""
    return re.split(r"^# %%\n", path.read_text(encoding="utf-8"), flags=re.M)


@examples
def test_a_title_asks_a_question(path: Path) -> None:
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert said is not None
    title, line, blank, paragraph, *_ = said.splitlines()
    assert title.endswith("?") or title in STATEMENTS
    assert (line, blank) == ("=" * len(title), "")
    assert paragraph


@examples
def test_difficulty_and_time_are_stated(path: Path) -> None:
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    form = r"^Difficulty: (beginner|intermediate|advanced)\. Time: about (\d+) s on two cores\.$"
    ((_, seconds),) = re.findall(form, said, re.M)
    assert 0 < int(seconds) <= 60


@examples
def test_the_last_cell_says_what_may_not_be_concluded(path: Path) -> None:
    *others, last = cells(path)
    heading, line, *listed = last.rstrip("\n").split("\n")
    assert (heading, line) == (f"# {LIMITS}", "# " + "-" * len(LIMITS))
    assert listed[0].startswith("# - ")
    assert all(each.startswith(("# - ", "#   ")) for each in listed), "text alone"
    assert not any(LIMITS in other for other in others)


@examples
def test_a_page_has_text_and_one_figure(path: Path) -> None:
    first, *others = cells(path)
    assert len(others) >= 4
    assert all(re.match(r"# \S", cell) for cell in others), "each cell begins with text"
    assert len(re.findall(SHOW, first + "".join(others), re.M)) == 1
    compile(path.read_text(encoding="utf-8"), path, "exec")


@pytest.mark.parametrize("name", ["train_ablations", "spikes_in_files"])
def test_an_example_shows_one_figure_and_leaves_nothing_behind(
    name: str, repository: Path, tmp_path: Path
) -> None:
    """Those that need no recording of neurofit; CI runs all of them."""
    path = repository / "examples" / f"{name}.py"
    code = (
        f"import runpy, sys; sys.argv = [{str(path)!r}]; runpy.run_path(sys.argv[0])\n"
        "from matplotlib import pyplot\nprint(pyplot.get_fignums())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("[1]\n")
    assert list(tmp_path.iterdir()) == []


def test_every_example_that_is_named_exists(repository: Path) -> None:
    names = {path.name for path in EXAMPLES}
    pages = [
        *repository.glob("*.md"),
        *repository.glob("*/*.md"),
        *repository.glob("benchmarks/**/*.py"),
        repository / ".ci" / "run",
    ]
    named = {
        (page.name, name)
        for page in pages
        for name in re.findall(r"examples/([a-z]\w*\.py)", page.read_text(encoding="utf-8"))
    }
    named |= {
        (path.name, name)
        for path in EXAMPLES
        for name in re.findall(r"``(\w+\.py)``", path.read_text(encoding="utf-8"))
    }
    assert len(named) >= 5, "else they are no longer found"
    assert {(page, name) for page, name in named if name not in names} == set()
