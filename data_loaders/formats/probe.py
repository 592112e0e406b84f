"""A first look at an HDF5 file by a process of its own: on damaged files the HDF5 library may loop, fill memory or end the process.

Run as a program it reads every attribute, and every value of varying length, within limits of time and memory.
"""

from __future__ import annotations

import functools
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

CPU_SECONDS = 20.0
BYTES = 2**32
"""What the look may take; the largest files of experiments take a second and some 100 MB."""


def check_hdf5(path: Path) -> None:
    """Refuse an HDF5 file that cannot be looked through; what was looked through once is not again, until it changes.

    Raises
    ------
    NeurofitError
        If the look fails, does not end or fills memory.
    """
    state = path.stat()
    _look(str(path.resolve()), state.st_size, state.st_mtime_ns, CPU_SECONDS)


@functools.lru_cache(maxsize=256)
def _look(path: str, n_bytes: int, modified: int, seconds: float) -> None:
    from neurofit.errors import NeurofitError

    try:
        done = subprocess.run(
            [sys.executable, "-I", __file__, path, str(seconds)], capture_output=True, text=True, timeout=30 * seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise NeurofitError(f"{path} is damaged: looking through it does not end.") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["looking through it does not end, or ends the process."]
        raise NeurofitError(f"Cannot read {path}, it is damaged: {lines[-1][:160]}")


def _main(path: str, seconds: float) -> None:
    try:
        import resource
    except ImportError:  # Windows has no limits of this kind
        pass
    else:
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), math.ceil(seconds) + 1))
        resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import h5py

    def look(name: str, item: Any) -> None:
        for attribute in item.attrs:
            item.attrs[attribute]
        if isinstance(item, h5py.Dataset) and item.dtype.kind == "O" and item.size:
            item[()]

    with h5py.File(path, "r") as file:
        look("/", file)
        file.visititems(look)


if __name__ == "__main__":
    _main(sys.argv[1], float(sys.argv[2]))
