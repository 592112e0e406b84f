"""The sources of the site: every public name has a page, and errors are quoted as they are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import neurofit

PACKAGES = (
    "models",
    "models.cells",
    "data_loaders",
    "data_loaders.formats",
    "data_loaders.hvm_sim",
    "mapping",
    "analyses",
)


def all_of(module: Path) -> list[str]:
    """Return the names of `__all__` in a source file, which need not be importable here."""
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            found: list[str] = ast.literal_eval(node.value)
            return found
    raise AssertionError(f"{module} has no __all__")


def test_every_public_name_is_in_the_reference_once(repository: Path) -> None:
    page = (repository / "docs" / "reference" / "index.md").read_text(encoding="utf-8")
    listed = re.findall(r"^   (neurofit\.[\w.]+)$", page, re.M)
    assert len(listed) == len(set(listed))
    public = set(neurofit.__all__)
    assert {name.partition(".")[2] for name in listed if name.count(".") == 1} == public
    for package in (*PACKAGES, "brainscore"):  # models and data_loaders are links in neurofit
        missing = {
            name
            for name in all_of(repository / "neurofit" / package.replace(".", "/") / "__init__.py")
            if name not in public and not any(each.endswith(f".{name}") for each in listed)
        }
        assert not missing, package


@pytest.mark.parametrize("name", [each for each in neurofit.__all__ if each != "figures"])
def test_every_public_name_says_what_it_is(name: str) -> None:
    found = getattr(neurofit, name)
    assert found.__doc__, name
    assert "Args:" not in found.__doc__


@pytest.mark.parametrize("package", PACKAGES)
def test_all_names_of_a_package_exist(package: str) -> None:
    module = import_module(f"neurofit.{package}")
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


def quoted(page: str) -> Iterator[str]:
    """Yield the parts of the messages that the page on troubleshooting quotes."""
    for section in page.split("\n## ")[2:]:
        if not section.startswith("Warnings"):
            for row in re.findall(r"^\| ([^|`-][^|]*) \|", section, re.M)[1:]:
                yield from (part.strip(" ,:;") for part in row.split("..."))


def test_messages_are_quoted_as_the_code_has_them(repository: Path) -> None:
    page = (repository / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    code = ""
    for folder in ("neurofit", "models", "data_loaders"):
        for path in (repository / folder).rglob("*.py"):
            code += re.sub(r'"\s*\n\s*f?"', "", path.read_text(encoding="utf-8"))
    code = code.replace('f"Unknown {kind}', "Unknown model Unknown mapping")
    parts = [part for part in quoted(page) if len(part) > 3]
    assert len(parts) > 40
    assert [part for part in parts if part not in code] == []


def test_links_of_the_flowchart_lead_to_sections(repository: Path) -> None:
    docs = repository / "docs"
    flow = (docs / "which_analysis.html").read_text(encoding="utf-8")
    links = re.findall(r'href="(\w+)\.html(?:#([\w-]+))?"', flow)
    assert len(links) >= 13
    for page, anchor in links:
        text = (docs / f"{page}.md").read_text(encoding="utf-8")
        slugs = {
            re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ (.*)$", text, re.M)
        }
        assert not anchor or anchor in slugs, (page, anchor)


def test_the_readme_is_one_screen(repository: Path) -> None:
    lines = (repository / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) < 90
