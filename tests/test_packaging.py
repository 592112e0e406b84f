"""What setup.cfg says is what lies on disk."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import neurofit


@pytest.fixture(scope="module")
def config(repository: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(repository / "setup.cfg", encoding="utf-8")
    return parser


@pytest.fixture(scope="module")
def tools(repository: Path) -> dict[str, Any]:
    tables: dict[str, Any] = tomllib.loads(
        (repository / "pyproject.toml").read_text(encoding="utf-8")
    )["tool"]
    return tables


def packages_on_disk(repository: Path) -> set[str]:
    found = set()
    for name, folder in {
        "neurofit": "neurofit",
        "neurofit.models": "models",
        "neurofit.data_loaders": "data_loaders",
    }.items():
        # os.walk does not follow the links of packages
        for parent, folders, files in os.walk(repository / folder):
            folders[:] = [f for f in folders if f.isidentifier() and f != "__pycache__"]
            if any(file.endswith(".py") for file in files):
                found.add(".".join([name, *Path(parent).relative_to(repository / folder).parts]))
    return found


def test_every_package_on_disk_is_listed_and_every_listed_one_exists(
    repository: Path, config: configparser.ConfigParser
) -> None:
    listed = config["options"]["packages"].split()
    assert sorted(listed) == sorted(packages_on_disk(repository))


def test_every_package_has_an_init(repository: Path) -> None:
    for package in packages_on_disk(repository):
        assert repository.joinpath(*package.split("."), "__init__.py").is_file(), package


@pytest.mark.parametrize("package", ["models", "data_loaders"])
def test_the_packages_at_the_top_are_mapped_and_linked(
    repository: Path, config: configparser.ConfigParser, package: str
) -> None:
    assert f"neurofit.{package} = {package}" in config["options"]["package_dir"].splitlines()
    link = repository / "neurofit" / package
    if not link.exists():
        pytest.skip("a tree without symlinks, such as an unpacked zip")
    assert link.samefile(repository / package)
    if (repository / ".git").exists():
        entry = subprocess.run(
            ["git", "ls-files", "--stage", f"neurofit/{package}"],
            cwd=repository,
            capture_output=True,
            text=True,
            check=True,
        )
        assert entry.stdout.startswith("120000 "), (
            f"neurofit/{package} must be tracked as a symlink; git says {entry.stdout!r}"
        )


def test_the_version_is_read_without_importing_anything(repository: Path) -> None:
    # -S -I: no site-packages, so an import of torch or numpy would fail
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import neurofit; print(neurofit.__version__)"
    )
    said = subprocess.run(
        [sys.executable, "-ISc", program, str(repository)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == neurofit.__version__ == version("neurofit")


def test_the_citation_and_the_package_have_one_version(repository: Path) -> None:
    assert f"\nversion: {neurofit.__version__}\n" in (repository / "CITATION.cff").read_text(
        encoding="utf-8"
    )


def test_the_extras_are_those_that_the_documents_name(config: configparser.ConfigParser) -> None:
    extras = set(config["options.extras_require"])
    assert extras == {
        "brainscore",
        "convert",
        "dev",
        "docs",
        "hf",
        "nwb",
        "parquet",
        "search",
        "slurm",
        "tensorboard",
        "test",
        "timm",
        "torchvision",
        "tpu",
    }
    assert config["options.extras_require"]["brainscore"].split() == [
        "brainscore-vision",
        ">=",
        "2.4,",
        "<",
        "3",
    ]


def test_every_data_file_on_disk_is_shipped(
    repository: Path, config: configparser.ConfigParser
) -> None:
    folders = {
        "neurofit": "neurofit",
        "neurofit.models": "models",
        "neurofit.data_loaders": "data_loaders",
    }
    shipped = {
        file
        for package, patterns in config["options.package_data"].items()
        for pattern in patterns.split()
        for file in (repository / folders.get(package, package.replace(".", "/"))).glob(pattern)
    }
    assert repository / "neurofit" / "py.typed" in shipped
    for folder in folders.values():
        for parent, below, files in os.walk(repository / folder):
            below[:] = [f for f in below if f != "__pycache__"]
            data = {
                Path(parent, file)
                for file in files
                if not file.endswith((".py", ".pyc", ".md")) and not file.startswith(".")
            }
            assert data <= shipped, "list these in setup.cfg under [options.package_data]"


def test_every_module_has_a_layer(repository: Path, tools: dict[str, Any]) -> None:
    layers = next(c for c in tools["importlinter"]["contracts"] if c["id"] == "layers")
    placed = {
        name.strip(" ()") for row in layers["layers"] for name in row.replace("|", ":").split(":")
    } | set(layers["exhaustive_ignores"])
    modules = {p.stem for p in (repository / "neurofit").glob("*.py")} | {
        p.parent.name for p in (repository / "neurofit").glob("*/__init__.py")
    }
    assert modules - {"__init__"} <= placed


def test_no_module_has_more_than_400_lines(repository: Path) -> None:
    folders = ("neurofit", "models", "data_loaders")
    modules = {path.resolve() for name in folders for path in (repository / name).rglob("*.py")}
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in modules}
    assert not {path.name: n for path, n in lengths.items() if n > 400}


def test_neurofit_has_no_more_than_14_entries(repository: Path) -> None:
    python = {"__init__.py", "__main__.py", "py.typed", "__pycache__"}
    entries = {path.name for path in (repository / "neurofit").iterdir()} - python
    assert len(entries) <= 14, sorted(entries)
