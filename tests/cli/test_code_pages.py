"""Commands end well on a terminal or in a file of any code page."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest


@pytest.mark.parametrize("codec", ["cp1252", "ascii"])
def test_a_ceiling_is_printed_in_another_code_page(tmp_path: Path, codec: str) -> None:
    rng = np.random.default_rng(0)
    rates = np.repeat(rng.gamma(2, 2, (20, 6)), 4, axis=0)
    np.savez(
        tmp_path / "a.npz",
        responses=rng.poisson(rates[..., None] * np.ones(5)),
        dims=np.array(["presentation", "neuroid", "time_bin"]),
        stimulus_id=np.repeat(np.arange(20), 4),
        neuroid_id=np.array([f"n{i}" for i in range(6)]),
        region=np.array(["IT"] * 6),
        time_bin_start=np.arange(70, 120, 10),
    )
    ran = subprocess.run(
        [sys.executable, "-m", "neurofit", "ceiling", "--recording", "a.npz", "--region", "IT"],
        cwd=tmp_path,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": codec, "NEUROFIT_HOME": str(tmp_path)},
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "IT" in ran.stdout.decode(codec)
