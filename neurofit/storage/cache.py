"""Listing, removal and verification of what the cache holds."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from neurofit.errors import unknown_name
from neurofit.storage.claims import read_owner
from neurofit.storage.home import home, private_home
from neurofit.storage.unfinished import FOLDER, leftovers, read_by_others, remove_left

WHOLE = ("cells", "extractions")
"""Folders with very many small files, which are one entry each."""

Check = Callable[[Path], str]
CHECKS: dict[str, Check] = {}
"""Folder of the cache -> function that returns what is wrong with a file in it, or nothing."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An entry of the cache.

    Parameters
    ----------
    name
        Name of the entry, folder/name.
    path
        File or folder of the entry.
    n_files, n_bytes
        Number and total size of the files.
    modified
        When one of them was last modified, in seconds since 1970.
    owner
        User who owns it.
    used_by
        Process that is using it; empty if none is.
    state
        State of unfinished work (`neurofit.storage.unfinished.leftovers`), else empty.
    """

    name: str
    path: Path
    n_files: int
    n_bytes: int
    modified: float
    owner: str
    used_by: str = ""
    state: str = ""


def register_check(kind: str) -> Callable[[Check], Check]:
    """Return a decorator that registers the check of the files in a folder of the cache."""

    def decorate(check: Check) -> Check:
        CHECKS[kind] = check
        return check

    return decorate


def list_cache() -> list[Entry]:
    """Return everything in NEUROFIT_HOME, and in NEUROFIT_SCRATCH if that is given."""
    roots = [home()]
    if os.environ.get("NEUROFIT_SCRATCH") and private_home() != home():
        roots.append(private_home())
    return [entry for root in roots for entry in _entries(root)]


def _entries(root: Path) -> Iterator[Entry]:
    reading = read_by_others(root)
    states = dict(leftovers(root))
    for folder in sorted(path for path in root.glob("*") if path.is_dir()):
        for path in [folder] if folder.name in WHOLE else sorted(folder.iterdir()):
            if folder.name == FOLDER and path not in states:
                continue  # a claim
            sizes, times, owner = _sizes(path)
            used = [each for at, each in reading.items() if at == path or path in at.parents]
            if states.get(path) == "running":
                used.append(read_owner(path.with_name(f"{path.name}.claim")))
            yield Entry(
                name=str(path.relative_to(root)),
                path=path,
                n_files=len(sizes),
                n_bytes=sum(sizes),
                modified=max(times, default=0.0),
                owner=owner,
                used_by=_describe(used[0]) if used else "",
                state=states.get(path, ""),
            )


def clear_cache(
    patterns: Sequence[str], *, days: float = 0.0, dry_run: bool = False
) -> tuple[list[Entry], list[Entry]]:
    """Delete entries of the cache; never what a living process is using.

    Parameters
    ----------
    patterns
        Folders or entries, with `*` and `?`: "grams", "recordings/hvm-sim", "grams/rgc_*".
    days
        Only what was not modified for so many days is deleted.
    dry_run
        Whether nothing is deleted.

    Returns
    -------
    Entries that were deleted, or would be, and those that are in use.

    Raises
    ------
    NeurofitError
        If the cache has nothing of a name.
    """
    entries = list_cache()
    chosen: list[Entry] = []
    for pattern in patterns:
        found = [entry for entry in entries if _matches(entry.name, pattern)]
        if not found:
            names = {entry.name for entry in entries}
            folders = {name.split("/")[0] for name in names}
            raise unknown_name("cache entry", pattern, names | folders)
        chosen += [entry for entry in found if entry not in chosen]
    latest = time.time() - days * 86400
    chosen = [entry for entry in chosen if days <= 0 or entry.modified < latest]
    removed = [each for each in chosen if not each.used_by and (dry_run or _remove(each))]
    return removed, [each for each in chosen if each not in removed]


def verify_cache(*, progress: Callable[[str, int, int], None] | None = None) -> dict[Path, str]:
    """Return the files that are damaged, or not what their name says, and what is wrong.

    Hashes are computed anew by the functions in `CHECKS`. Unfinished work is not checked.
    """
    roots = dict.fromkeys(root for root in (home(), private_home()) if root.is_dir())
    files = [
        (CHECKS[folder.name], path)
        for root in roots
        for folder in sorted(root.glob("*"))
        if folder.name in CHECKS
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".") and path.parent.name != "claims"
    ]
    wrong = {}
    for done, (check, path) in enumerate(files, start=1):
        if fault := check(path):
            wrong[path] = fault
        if progress:
            progress("files verified", done, len(files))
    return wrong


def _remove(entry: Entry) -> bool:
    if entry.state:
        return remove_left(entry.path)
    if entry.path.is_dir():
        shutil.rmtree(entry.path)
    else:
        entry.path.unlink(missing_ok=True)
    return True


def _matches(name: str, pattern: str) -> bool:
    """Return whether a name or its folder matches a pattern."""
    return any(fnmatchcase(each, pattern) for each in (name, name.split("/")[0]))


def _describe(owner: dict[str, object]) -> str:
    return f"process {owner['pid']} on {owner['host']}" if "pid" in owner else "a process"


def _sizes(path: Path) -> tuple[list[int], list[float], str]:
    """Return the sizes of all files, when they were modified, and who owns the first."""
    sizes: list[int] = []
    times: list[float] = []
    owner = ""
    for file in [path, *path.rglob("*")]:
        with suppress(OSError):  # a running score removes its files
            status = file.stat()
            owner = owner or _user(status.st_uid)
            if file.is_file():
                sizes.append(status.st_size)
                times.append(status.st_mtime)
    return sizes, times, owner


def _user(uid: int) -> str:
    with suppress(ImportError, KeyError):
        import pwd

        return pwd.getpwuid(uid).pw_name
    return str(uid)
