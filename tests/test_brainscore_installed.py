"""A missing Brain-Score is a failure in CI's environment for it, and a visible skip elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest


def test_brainscore_is_here_where_it_must_be() -> None:
    if find_spec("brainscore_vision") is None:
        if os.environ.get("NEUROFIT_REQUIRE_BRAINSCORE") == "1":
            pytest.fail("NEUROFIT_REQUIRE_BRAINSCORE=1, but brainscore_vision is not installed")
        pytest.skip(
            "tests/brainscore is left out: brainscore_vision is not installed"
            " (it wants numpy < 2, an environment of its own)"
        )


def test_ci_asks_for_the_tests_of_brainscore(repository: Path) -> None:
    asked = re.search(
        r"NEUROFIT_REQUIRE_BRAINSCORE=1 NEUROFIT_BRAINSCORE_TESTS=(\d+) within pinned",
        (repository / ".ci" / "run").read_text(),
    )
    assert asked
    assert int(asked[1]) >= 75


@pytest.mark.parametrize("options", [(), ("-n", "1")])
def test_a_run_without_the_tests_of_brainscore_fails_where_they_are_asked_for(
    repository: Path, options: tuple[str, ...]
) -> None:
    only = f"{__file__}::test_ci_asks_for_the_tests_of_brainscore"
    unchecked = ("-o", "addopts=--import-mode=importlib")  # shapes are not the point here
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            *unchecked,
            *options,
            only,
        ],
        cwd=repository,
        env=os.environ | {"NEUROFIT_BRAINSCORE_TESTS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    assert "0 tests of tests/brainscore passed; NEUROFIT_BRAINSCORE_TESTS asks for 1" in done.stdout
    assert "1 passed" in done.stdout


def test_without_brainscore_the_import_says_how_to_install_it(tmp_path: Path) -> None:
    program = "import sys; sys.modules['brainscore_vision'] = None; import neurofit.brainscore"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "pip install 'neurofit[brainscore]'" in done.stderr
