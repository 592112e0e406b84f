"""A first look at an HDF5 file by a process of its own: on damaged files the HDF5 library may loop, fill memory or end the process.

Run as a program it reads every attribute, and every value of varying length, within limits of time and memory, and prints the names of
other files that this one leads to: what a link, a virtual dataset or external storage names, HDF5 would open.
"""

from __future__ import annotations

import functools
import json
import math
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CPU_SECONDS = 20.0
BYTES = 2**32
"""What the look may take; the largest files of experiments take a second and some 100 MB."""


class _DamagedError(Exception):
    """What was met in a file that cannot be looked through."""


def check_hdf5(path: Path) -> None:
    """Refuse an HDF5 file that cannot be looked through, or leads out of its folder; one that was looked through is not again.

    Raises
    ------
    NeurofitError
        If the look fails, does not end or fills memory, at the file or another of its folder to which it leads.
    """
    _check(path, set())


def _check(path: Path, seen: set[Path]) -> None:
    from neurofit.errors import NeurofitError

    whole = path.resolve()
    if whole in seen:
        return
    seen.add(whole)
    state = whole.stat()
    try:
        led_to = _look(str(whole), state.st_size, state.st_mtime_ns, CPU_SECONDS)
    except _DamagedError as error:
        raise NeurofitError(f"Cannot read {path}, it is damaged: {error}.") from error
    for way, name in led_to:
        if way == "raw":  # HDF5 looks for it from wherever we are
            raise NeurofitError(f"{path} leads to another file, {name[:160]!r}, for raw numbers: that is not followed.")
        for place in _places(whole.parent, name):
            if not place.resolve().is_relative_to(whole.parent):
                raise NeurofitError(f"{path} leads to another file, {name[:160]!r}, outside its folder: that is not followed.")
            _check(place, seen)


def _places(folder: Path, name: str) -> Iterator[Path]:
    """Return where HDF5 would find a name: from the file's folder, else in it without its own folders, else from where we are."""
    places = [folder / name, folder / Path(name).name, Path(name)]
    yield from [place for place in places if _is_there(place)][:1]


def _is_there(place: Path) -> bool:
    try:
        return place.exists()
    except (OSError, ValueError):  # no name of a file
        return False


@functools.lru_cache(maxsize=256)
def _look(path: str, n_bytes: int, modified: int, seconds: float) -> tuple[tuple[str, str], ...]:
    try:
        done = subprocess.run(
            [sys.executable, "-I", __file__, path, str(seconds)], capture_output=True, text=True, timeout=30 * seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise _DamagedError("looking through it does not end") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["looking through it does not end, or ends the process"]
        within = re.search(r"\(([^():]+).*\)$", lines[-1])  # the library says last, in brackets, what it met
        raise _DamagedError((within[1] if within else lines[-1])[:160])
    return tuple(dict.fromkeys((way, name) for way, name in map(json.loads, done.stdout.splitlines())))


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
        for other in _leads_to(item):
            sys.stdout.write(f"{json.dumps(other)}\n")
        if isinstance(item, h5py.Dataset) and item.dtype.kind == "O" and item.size:
            item[()]

    with h5py.File(path, "r") as file:
        look("/", file)
        file.visititems(look)


def _leads_to(item: Any) -> Iterator[tuple[str, str]]:
    """Yield how an item leads to other files ("link" or "raw"), and their names."""
    import h5py

    if isinstance(item, h5py.Group):
        links = (item.get(name, getlink=True) for name in item)
        yield from (("link", link.filename) for link in links if isinstance(link, h5py.ExternalLink))
    elif isinstance(item, h5py.Dataset):
        yield from (("raw", name) for name, *_ in item.external or ())
        if item.is_virtual:
            yield from (("link", source.file_name) for source in item.virtual_sources() if source.file_name != ".")


if __name__ == "__main__":
    _main(sys.argv[1], float(sys.argv[2]))
