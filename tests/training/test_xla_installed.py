"""A missing torch_xla is a failure where its tests are asked for, as in CI; elsewhere, a skip."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest


def test_ci_asks_for_the_tests_on_xla_devices(repository: Path) -> None:
    wanted = "NEUROFIT_REQUIRE_XLA=1 within xla 'python -m pytest -n auto -q tests/training/xla'"
    assert wanted in (repository / ".ci" / "run").read_text()


@pytest.mark.skipif(find_spec("torch_xla") is not None, reason="torch_xla is installed")
@pytest.mark.parametrize(("asked", "code"), [("1", 1), ("", 0)])
def test_without_torch_xla_tests_are_failed_or_skipped(
    asked: str, code: int, repository: Path
) -> None:
    only = str(repository / "tests" / "training" / "xla" / "test_runs.py")
    unchecked = ("-o", "addopts=--import-mode=importlib")  # shapes are not the point here
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", *unchecked, only],
        cwd=repository,
        env=os.environ | {"NEUROFIT_REQUIRE_XLA": asked},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout
    said = "NEUROFIT_REQUIRE_XLA=1, but torch_xla is not installed" if asked else "SKIPPED"
    assert said in done.stdout
    assert "torch_xla is not installed (pip install 'neurofit[tpu]')" in done.stdout
