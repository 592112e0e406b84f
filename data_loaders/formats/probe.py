"""Check HDF5 files in a separate process, since the HDF5 library may loop or crash on damaged ones.

Run as a program, this module reads all attributes and all values of variable length under limits on
time and memory, and prints the names of other files that the file refers to. HDF5 would open the
targets of external links, virtual datasets and external storage without asking. It also counts what
takes more time or memory than the size of the file shows: objects, attributes, and values of
variable length.
"""

from __future__ import annotations

import functools
import json
import math
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

CPU_SECONDS = 20.0
MAX_BYTES = 2**32
"""Limits of the process. The largest files of experiments take a second and some 100 MB."""

MAX_OBJECTS, MAX_DEPTH, MAX_ATTRIBUTES = 100_000, 64, 10_000
"""Largest number of groups and datasets of a file (cells of MATLAB v7.3 are datasets), of groups
within each other, and of attributes of one of them."""

FREE_BYTES, MAX_RATIO, OBJECT_BYTES, AT_ONCE = 2**26, 200, 100, 100_000
"""Memory for values of variable length, and its largest ratio to the size of the file, as in
limits.py, which this program does not import; and the number of values that are read at a time."""

FAILED = "checking it does not end, or crashes the HDF5 library"


TOO_MUCH = 3
"""Exit status of the process for a file that has more of something than is read."""


class _DamagedError(Exception):
    """Why a file cannot be checked."""


class _TooMuchError(Exception):
    """What a file has more of than is read."""


def check_hdf5(path: Path) -> None:
    """Refuse an HDF5 file that is damaged or refers to files outside its folder.

    Files that it refers to are checked as well. The result is cached until a file changes.

    Raises
    ------
    NeurofitError
        If the check of a file fails, does not end or runs out of memory.
    """
    from neurofit.errors import NeurofitError

    waiting, seen = [path], set()
    while waiting:
        file = waiting.pop()
        resolved = file.resolve()
        if resolved in seen:
            continue
        seen.add(resolved)
        state, folder = resolved.stat(), resolved.parent
        try:
            references = _probe(str(resolved), state.st_size, state.st_mtime_ns, CPU_SECONDS)
        except _DamagedError as error:
            raise NeurofitError(f"Cannot read {file}, it is damaged: {error}.") from error
        except _TooMuchError as error:
            raise NeurofitError(f"{file} has {error}.") from error
        for kind, name in references:
            refused = f"{file} refers to another file, {name[:160]!r},"
            if kind == "raw":  # HDF5 resolves it against the working directory
                raise NeurofitError(f"{refused} for raw data: external storage is not read.")
            # HDF5 opens a name relative to the folder, else as it is
            candidates = (folder / name, folder / Path(name).name, Path(name))
            target = next(filter(_exists, candidates), None)
            if target is None:
                continue
            if not target.resolve().is_relative_to(folder):
                raise NeurofitError(
                    f"{refused} outside its folder: such references are not followed."
                )
            waiting.append(target)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # not a valid file name
        return False


@functools.lru_cache(maxsize=256)
def _probe(path: str, n_bytes: int, modified: int, seconds: float) -> tuple[tuple[str, str], ...]:
    try:
        done = subprocess.run(
            [sys.executable, "-I", __file__, path, str(seconds)],
            capture_output=True,
            text=True,
            timeout=30 * seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _DamagedError(FAILED) from None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [FAILED])[-1]
        if done.returncode == TOO_MUCH:
            raise _TooMuchError(last)
        reason = re.search(r"\(([^():]+).*\)$", last)  # HDF5 gives the cause last, in parentheses
        raise _DamagedError((reason[1] if reason else last)[:160])
    lines = map(json.loads, done.stdout.splitlines())
    return tuple(dict.fromkeys((kind, name) for kind, name in lines))


def _main(path: str, seconds: float) -> None:
    with suppress(ImportError):  # Windows has no such limits
        import resource

        cpu = math.ceil(seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
        resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import h5py

    most = max(FREE_BYTES, MAX_RATIO * Path(path).stat().st_size)
    n_objects, n_bytes = 0, 0

    def count(name: str) -> None:
        nonlocal n_objects
        n_objects += 1
        _at_most(MAX_DEPTH, name.count("/"), "or more groups within each other")
        _at_most(MAX_OBJECTS, n_objects, "or more groups and datasets")

    def visit(name: str) -> None:
        nonlocal n_bytes
        if _is_plain(file, name):
            return
        item = file[name]
        _at_most(MAX_ATTRIBUTES, len(item.attrs), f"attributes of {item.name[:60]}")
        for attribute in item.attrs:
            item.attrs[attribute]
        for reference in _external_references(item):
            sys.stdout.write(f"{json.dumps(reference)}\n")
        if isinstance(item, h5py.Dataset) and item.dtype.kind == "O" and item.size:
            _at_most(most - n_bytes, OBJECT_BYTES * item.size, "bytes of variable length")
            for values in _blocks(item):
                sizes = (each.nbytes if hasattr(each, "nbytes") else len(each) for each in values)
                n_bytes += OBJECT_BYTES * len(values) + sum(sizes)
                _at_most(most, n_bytes, "bytes of variable length")

    with h5py.File(path, "r") as file:
        file.visit(count)
        visit("/")
        file.visit(visit)


def _is_plain(file: Any, name: str) -> bool:
    """Return whether an object is a dataset of numbers in the file, without attributes.

    Most objects of a file are, and opening them in this way takes a quarter of the time.
    """
    from h5py import h5a, h5d, h5o, h5t

    item = h5o.open(file.id, name.encode("utf-8", "surrogateescape"))
    if not isinstance(item, h5d.DatasetID) or h5a.get_num_attrs(item):
        return False
    stored = item.get_create_plist()
    elsewhere = stored.get_layout() == h5d.VIRTUAL or stored.get_external_count()
    return not elsewhere and item.get_type().get_class() in (h5t.INTEGER, h5t.FLOAT)


def _at_most(most: int, n: int, what: str) -> None:
    if n > most:
        sys.stderr.write(f"{n:,} {what}; at most {max(most, 0):,} are read")
        sys.exit(TOO_MUCH)


def _blocks(item: Any) -> Iterator[list[Any]]:
    """Yield the values of a dataset; those that are no arrays or text have no size."""
    import h5py

    step = AT_ONCE * len(item) // item.size if item.shape else 1
    for begin in range(0, len(item) if item.shape else 1, max(1, step)):
        values = item[begin : begin + max(1, step)].ravel().tolist() if item.shape else [item[()]]
        yield [b"" if isinstance(each, h5py.Reference) else each for each in values]


def _external_references(item: Any) -> Iterator[tuple[str, str]]:
    """Yield the kind ("link" or "raw") and name of each other file that an item refers to."""
    import h5py

    if isinstance(item, h5py.Group):
        for link in (item.get(name, getlink=True) for name in item):
            if isinstance(link, h5py.ExternalLink):
                yield "link", link.filename
    elif isinstance(item, h5py.Dataset):
        yield from (("raw", name) for name, *_ in item.external or ())
        for source in item.virtual_sources() if item.is_virtual else ():
            if source.file_name != ".":
                yield "link", source.file_name


if __name__ == "__main__":
    _main(sys.argv[1], float(sys.argv[2]))
