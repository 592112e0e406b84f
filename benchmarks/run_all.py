"""Run the benchmarks that fit into fifteen minutes, and print their figures beside the goals.

    python benchmarks/run_all.py [--only SCRIPT ...]

Each script runs in a process of its own and prints its tables. The last table has each figure
beside the goal and what was measured when the goals were set, on a machine with AVX-512 (one with
AVX2 gives ratios that are a third smaller). Run it on an idle machine.

The other packages: pip install --no-deps ikpls==6.1.2 himalaya==0.4.11. Benchmarks that take longer
or need Brain-Score stand in benchmarks/README.md with their commands.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from figures import FILE
from mapping_data import describe_machine

SCRIPTS = {
    "first_score": (),
    "embedded_recording": ("--repeats", "1"),
    "mapping_pls": (),
    "mapping_ridge": ("--without-hundred",),
    "mapping_fixed": (),
    "unroll": ("--batch-size", "2", "--repeats", "3", "--models", "rgc_intermediate"),
    "training": ("--repeats", "3", "--models", "rgc_tiny"),
    "gram_from_disk": (),
}
"""Scripts and their options."""

GOALS = {
    "README's first command, wall s": (56, 30),
    "README's second command, wall s": (38, 12),
    "embedded recording, CPU s": (48.2, 24),
    "PLS, 210 fits: times as fast as a scikit-learn loop": (1955, 2600),
    "PLS, 210 fits: share of the GEMM peak": (0.56, 0.75),
    "PLS, one fit: times as fast as scikit-learn": (49, 70),
    "PLS, one fit: times as fast as ikpls": (3.7, 5),
    "ridge, one fit: times as fast as RidgeCV": (2.6, 4),
    "ridge, one fit: times as fast as himalaya, torch float32": (2.4, 5),
    "ridge, one fit with a float32 Gram: times as fast as himalaya": (3.6, 5),
    "ridge, 210 fits: times as fast as a RidgeCV loop": (109, 200),
    "one map for all bins: times as fast as scikit-learn": (143, 200),
    "one map for all bins: times as fast as ikpls, batched": (5, 7),
    "one map for all bins: times as fast as ikpls, alone": (0.9, 2),
    "unroll of rgc_intermediate, IT: times as fast as the plain loop": (2.3, 3),
    "unroll of rgc_intermediate, V4: times as fast as the plain loop": (2.1, 3),
    "unroll of rgc_intermediate, IT: share of the GEMM peak": (0.53, 0.7),
    "Gram of features on disk: times the matrix product alone": (None, 1.2),
    "training of rgc_tiny: times as fast as the plain loop": (3.1, 6.2),
    "training of rgc_tiny: share of the GEMM peak": (None, None),
}
"""Figures when the goals were set, and the goals; None where there is none."""


def main() -> None:
    """Run the scripts and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=SCRIPTS, default=list(SCRIPTS))
    asked = parser.parse_args()
    print(f"{date.today()}: {describe_machine()}", flush=True)
    folder = Path(__file__).parent
    with tempfile.TemporaryDirectory() as made:
        path = Path(made) / "figures.jsonl"
        path.touch()
        os.environ[FILE] = str(path)
        for script in asked.only:
            print(f"\n{script}.py {' '.join(SCRIPTS[script])}\n", flush=True)
            begun = time.monotonic()
            subprocess.run(
                [sys.executable, str(folder / f"{script}.py"), *SCRIPTS[script]], check=True
            )
            print(f"\n{time.monotonic() - begun:.0f} s", flush=True)
        found = dict(json.loads(line) for line in path.read_text().splitlines())
    print("\n| figure | before | now | now / before | goal |\n|---|---|---|---|---|")
    for name, (before, goal) in GOALS.items():
        if name in found:
            now = found[name]
            ratio = f"{now / before:.2f}" if before else ""
            print(f"| {name} | {_short(before)} | {_short(now)} | {ratio} | {_short(goal)} |")


def _short(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if value < 1 else f"{value:.3g}" if value < 100 else f"{value:.0f}"


if __name__ == "__main__":
    main()
