"""Importing neurofit is cheap, and its rooms have one name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import neurofit

HEAVY = {"torch", "sklearn", "matplotlib", "pooch", "brainscore_core", "brainscore_vision", "pynwb", "dask", "optuna", "tensorflow"}


def run_python(program: str, *, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], cwd=cwd, capture_output=True, text=True, check=False)


def loaded_by(program: str, *, cwd: Path) -> set[str]:
    done = run_python(f"import json, sys\n{program}\nprint(json.dumps(sorted(sys.modules)))", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_import_neurofit_loads_nothing_heavy(tmp_path: Path) -> None:
    assert not loaded_by("import neurofit; dir(neurofit)", cwd=tmp_path) & (HEAVY | {"numpy", "pandas", "xarray"})


def test_the_command_line_does_not_wait_for_torch(tmp_path: Path) -> None:
    assert not loaded_by("import neurofit.cli", cwd=tmp_path) & HEAVY


def test_scoring_loads_no_extra_and_no_plots(tmp_path: Path) -> None:
    loaded = loaded_by("import neurofit\nfor name in dir(neurofit): getattr(neurofit, name)", cwd=tmp_path)
    by_xarray = loaded_by("import xarray.backends", cwd=tmp_path)  # old ones load dask where it is installed
    assert not (loaded - by_xarray) & (HEAVY - {"torch", "sklearn", "pooch"})


@pytest.mark.parametrize("room", ["models", "data_loaders"])
def test_a_room_imported_under_its_bare_name_says_its_real_name(repository: Path, room: str) -> None:
    done = run_python(f"import {room}", cwd=repository)
    assert done.returncode != 0
    said = done.stderr.strip().splitlines()[-1]
    assert said.startswith("ImportError: ")
    assert f"neurofit.{room}" in said


@pytest.mark.parametrize("room", ["models", "data_loaders"])
def test_a_room_is_one_module_from_everywhere(repository: Path, tmp_path: Path, room: str) -> None:
    program = f"import neurofit.{room} as room; print(room.__name__, room.__file__)"
    for cwd in (repository, tmp_path):
        name, file = run_python(program, cwd=cwd).stdout.split(maxsplit=1)
        assert name == f"neurofit.{room}"
        assert Path(file.strip()).samefile(repository / room / "__init__.py")


def test_the_front_door_gives_the_thing_and_never_the_module_of_its_name(tmp_path: Path) -> None:
    # `neurofit.score` is a function and a module: importing the module must not put it in the function's place.
    program = """
import neurofit
from importlib import import_module
from types import ModuleType
names = sorted(set(dir(neurofit)) - {"__version__"})
first = {name: getattr(neurofit, name) for name in names}
for name in {"ceiling", "extract", "score", "train"}:
    import_module(f"neurofit.{name}")
wrong = [name for name in names if isinstance(getattr(neurofit, name), ModuleType) or getattr(neurofit, name) is not first[name]]
assert not wrong, wrong
"""
    done = run_python(program, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'scoer'"):
        neurofit.scoer  # noqa: B018


def test_star_import_and_dir_agree_with_the_type_checker(repository: Path) -> None:
    source = (repository / "neurofit" / "__init__.py").read_text(encoding="utf-8")
    for name in set(dir(neurofit)) - {"__version__"}:
        assert f" import {name} as {name}\n" in source
