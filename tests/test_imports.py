"""Importing neurofit is cheap, and its packages have one name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import neurofit

HEAVY = {
    "torch",
    "sklearn",
    "matplotlib",
    "pooch",
    "brainscore_core",
    "brainscore_vision",
    "pynwb",
    "dask",
    "optuna",
    "tensorflow",
}


def run_python(program: str, *, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], cwd=cwd, capture_output=True, text=True, check=False
    )


def loaded_by(program: str, *, cwd: Path) -> set[str]:
    done = run_python(
        f"import json, sys\n{program}\nprint(json.dumps(sorted(sys.modules)))", cwd=cwd
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_import_neurofit_loads_nothing_heavy(tmp_path: Path) -> None:
    assert not loaded_by("import neurofit; dir(neurofit)", cwd=tmp_path) & (
        HEAVY | {"numpy", "pandas", "xarray"}
    )


def test_the_command_line_waits_for_no_large_package(tmp_path: Path) -> None:
    loaded = loaded_by("import neurofit.cli.app", cwd=tmp_path)
    assert not loaded & (HEAVY | {"pandas", "xarray"})


def test_scoring_loads_no_extra_no_plots_and_no_compiler(tmp_path: Path) -> None:
    loaded = loaded_by(
        "import neurofit\nfor name in dir(neurofit): getattr(neurofit, name)\n"
        "neurofit.create_model('rgc_tiny')",
        cwd=tmp_path,
    )
    # old ones load dask where it is installed
    by_xarray = loaded_by("import xarray.backends", cwd=tmp_path)
    assert not (loaded - by_xarray) & (HEAVY - {"torch", "sklearn", "pooch"} | {"torch._dynamo"})


@pytest.mark.parametrize("package", ["models", "data_loaders"])
def test_a_package_imported_under_its_bare_name_says_its_real_name(
    repository: Path, package: str
) -> None:
    done = run_python(f"import {package}", cwd=repository)
    assert done.returncode != 0
    said = done.stderr.strip().splitlines()[-1]
    assert said.startswith("ImportError: ")
    assert f"neurofit.{package}" in said


def test_a_package_is_one_module_from_everywhere(repository: Path, tmp_path: Path) -> None:
    packages = ("models", "data_loaders")
    program = "import neurofit.models, neurofit.data_loaders\n" + "\n".join(
        f"print(neurofit.{each}.__name__, neurofit.{each}.__file__)" for each in packages
    )
    for cwd in (repository, tmp_path):
        lines = run_python(program, cwd=cwd).stdout.splitlines()
        for package, line in zip(packages, lines, strict=True):
            name, file = line.split(maxsplit=1)
            assert name == f"neurofit.{package}"
            assert Path(file).samefile(repository / package / "__init__.py")


def test_no_module_has_the_name_of_a_public_function(repository: Path) -> None:
    # Importing a module puts it into its package: `neurofit.score` would hide the function.
    modules = {path.stem for path in (repository / "neurofit").iterdir()}
    assert not modules & set(dir(neurofit))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'scoer'"):
        neurofit.scoer  # noqa: B018


def test_star_import_and_dir_agree_with_the_type_checker(repository: Path) -> None:
    source = (repository / "neurofit" / "__init__.py").read_text(encoding="utf-8")
    for name in set(dir(neurofit)) - {"__version__"}:
        assert f" import {name} as {name}\n" in source
