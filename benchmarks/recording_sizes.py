"""Recordings that are small on the disk and large in memory or in time: read, or refused at once.

    python benchmarks/recording_sizes.py FOLDER [--only NAME ...]

Writes each of `MEMBERS` into FOLDER, runs `neurofit check` on it in a process of its own, and
prints a row: whether it was read or refused, CPU and wall seconds, and the peak resident memory of
the process or of the largest of those that it started. The first member is an ordinary recording:
its time and memory are those of the imports.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from recording_members import MEMBERS

STOP_S, STOP_BYTES = 60, 6 * 2**30
"""Time and memory after which a member is ended."""


def main() -> None:
    """Print the rows of benchmarks/README.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"of {', '.join(MEMBERS)}")
    options = parser.parse_args()
    print(
        "| recording | file, MB | what happened | CPU s | wall s | peak MB |\n" + 6 * "|---" + "|"
    )
    for name in options.only or MEMBERS:
        folder = Path(tempfile.mkdtemp(dir=options.folder))
        try:
            path = MEMBERS[name](folder)
            size = sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
            happened, cpu, wall, peak = check(path)
        finally:
            shutil.rmtree(folder)
        print(
            f"| {name} | {size / 1e6:.2f} | {happened} | {cpu:.1f} | {wall:.1f} | {peak:.0f} |",
            flush=True,
        )


def limit_memory() -> None:
    """Keep a member that fills memory from ending other work on the machine."""
    resource.setrlimit(resource.RLIMIT_AS, (STOP_BYTES, STOP_BYTES))


def check(path: Path) -> tuple[str, float, float, float]:
    """Return what `neurofit check` said, its CPU and wall seconds and its peak memory in MB."""
    command = [sys.executable, "-m", "neurofit", "check", str(path)]
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            command, stdout=said, stderr=subprocess.STDOUT, preexec_fn=limit_memory
        )
        timer = threading.Timer(STOP_S, process.kill)
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - start
        said.seek(0)
        lines = said.read().replace(str(path.parent), "").strip().splitlines()
    faults = [line.removeprefix("- ") for line in lines if line.startswith("- ")]
    happened = {0: "read", 2: f"refused: {' '.join(faults or lines)[:300]}"}
    ended = f"ended with {process.returncode}: {' '.join(lines)[-300:]}"
    cpu = usage.ru_utime + usage.ru_stime
    return happened.get(process.returncode, ended), cpu, wall, usage.ru_maxrss / 1e3


if __name__ == "__main__":
    main()
