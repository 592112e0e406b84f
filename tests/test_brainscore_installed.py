"""Whether Brain-Score's tests run is said aloud: in CI's environment for it, a missing Brain-Score is a failure."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest


def test_brainscore_is_here_where_it_must_be() -> None:
    if find_spec("brainscore_vision") is None:
        if os.environ.get("NEUROFIT_REQUIRE_BRAINSCORE") == "1":
            pytest.fail("NEUROFIT_REQUIRE_BRAINSCORE=1, but brainscore_vision is not installed")
        pytest.skip("tests/brainscore is left out: brainscore_vision is not installed (it wants numpy < 2, an environment of its own)")


def test_without_brainscore_the_import_says_how_to_install_it(tmp_path: Path) -> None:
    program = "import sys; sys.modules['brainscore_vision'] = None; import neurofit.brainscore"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "pip install 'neurofit[brainscore]'" in done.stderr
