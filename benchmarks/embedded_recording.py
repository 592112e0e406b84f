"""CPU time of building the embedded recording, by step.

    python benchmarks/embedded_recording.py [--repeats N]

Each build is made in a folder of its own, which is removed, and checked against the pinned values.
The time of a step runs to its last report of progress; the first includes 128 images for the
calibration of the teacher, the last what is left: files and their checksums.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from figures import figure

from neurofit.data_loaders.hvm_sim.storage import build


def main() -> None:
    """Print the median CPU seconds of each step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    builds = [cpu_seconds() for _ in range(parser.parse_args().repeats)]
    print("| step | CPU s |\n|---|---|")
    for step in builds[0]:
        seconds = statistics.median(each[step] for each in builds)
        print(f"| {step} | {seconds:.1f} |")
        if step == "all":
            figure("embedded recording, CPU s", seconds)


def cpu_seconds() -> dict[str, float]:
    """Return the CPU seconds of each step of a build, of all threads, and their sum."""
    ended = {"begin": time.process_time()}

    def report(step: str, done: int, total: int) -> None:
        ended[step.removeprefix("hvm-sim: ")] = time.process_time()

    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder), progress=report)
    ended["files"] = time.process_time()
    steps = {step: b - a for (_, a), (step, b) in pairwise(ended.items())}
    return {**steps, "all": ended["files"] - ended["begin"]}


if __name__ == "__main__":
    main()
