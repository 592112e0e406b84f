"""Figures that benchmarks hand to `run_all.py`."""

from __future__ import annotations

import json
import os
from pathlib import Path

FILE = "NEUROFIT_BENCHMARK_FIGURES"
"""Environment variable: the file to which figures are appended."""


def figure(name: str, value: float) -> None:
    """Append a figure, a line of JSON, to the file that the environment names, if any."""
    if path := os.environ.get(FILE):
        with Path(path).open("a") as file:
            file.write(json.dumps([name, value]) + "\n")
