"""Time of the README's first command in an empty folder for data, and of the same command again.

    python benchmarks/first_score.py

The first builds the embedded recording, which the second, with another seed, finds; both extract
activations and fit. Wall seconds, and CPU seconds of all threads and processes.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from figures import figure

COMMAND = ("-m", "neurofit", "score", "--model", "rgc_tiny", "--region", "IT")


def main() -> None:
    """Print wall and CPU seconds of both."""
    print("| command | wall s | CPU s |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NEUROFIT_HOME"] = str(Path(folder) / "home")
        for number, name in enumerate(("first", "second")):
            out = str(Path(folder) / name)
            wall, cpu = spent([*COMMAND, "--seed", str(number), "--out", out], folder)
            print(f"| {name} | {wall:.0f} | {cpu:.0f} |", flush=True)
            figure(f"README's {name} command, wall s", wall)


def spent(arguments: list[str], folder: str) -> tuple[float, float]:
    """Run a command of Python; return its wall and CPU seconds."""
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, cwd=folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - begun, used


if __name__ == "__main__":
    main()
