"""Unfinished work in the cache: temporary files, activations, partial downloads.

All of it is in the folder `unfinished` of NEUROFIT_HOME. What another process can continue has a
name that tells what it is, and beside it a claim (`neurofit.storage.claims`) of the process at
work; everything else states its process in its own name. So what killed processes have left is
found by its owner, and removed by the next process that writes to the cache. What can be continued
is kept for a day, and removed when it is finished.
"""

from __future__ import annotations

import atexit
import shutil
import time
import warnings
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

from neurofit.errors import NeurofitWarning
from neurofit.storage.claims import (
    Claim,
    is_alive,
    is_left_behind,
    read_owner,
    take,
    temporary_name,
)
from neurofit.storage.home import home, private_home, translate_errors, writable

FOLDER = "unfinished"

KEPT_SECONDS = 24 * 3600.0
"""How long work that can be continued is kept after its process was killed."""

CONTINUED = "This run goes on from what a killed run has left in NEUROFIT_HOME/unfinished."
"""Note on a folder of a killed process that is continued."""

_cleaned: set[Path] = set()
"""Folders that this process has cleaned."""

_read: dict[Path, Claim] = {}
"""Entries of the cache that this process reads, with their claims."""


class Unfinished:
    """A folder of unfinished work, which is removed with this object or at the end of the process.

    Parameters
    ----------
    key
        Hash of what the work depends on. The folder of a process that was killed is continued,
        files in it included. Without a key, or if another process is at the same work, the folder
        is new.

    Attributes
    ----------
    path
        The folder.
    continuable
        Whether another process will find it if this one is killed.
    """

    def __init__(self, key: str = "") -> None:
        place = writable(FOLDER)
        with translate_errors(place, every_error=True):
            path = clean(place.parent) / key
            claim = take(_claim_of(path)) if key else None
            if claim is None:
                path = place / temporary_name("work")
            path.mkdir(exist_ok=True)
            if claim is not None and any(path.iterdir()):
                warnings.warn(CONTINUED, NeurofitWarning, stacklevel=2)
        self.path, self.continuable = path, claim is not None
        self._finish = weakref.finalize(self, _finish, path, claim)

    def cleanup(self) -> None:
        """Remove the folder."""
        self._finish()


def _finish(path: Path, claim: Claim | None) -> None:
    shutil.rmtree(path, ignore_errors=True)
    if claim:
        claim.release()


def partial_file(name: str) -> tuple[Path, Path]:
    """Return the path of a file that is being downloaded, and of the claim on it."""
    path = clean(writable(FOLDER).parent) / name
    return path, _claim_of(path)


def clean(root: Path) -> Path:
    """Return the folder of unfinished work, once without what killed processes have left in it."""
    folder = root / FOLDER
    if folder not in _cleaned or not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _cleaned.add(folder)
        for path, state in leftovers(root):
            if state == "left":
                remove_left(path)
    return folder


def leftovers(root: Path) -> list[tuple[Path, str]]:
    """Return unfinished work, each with its state.

    The state is "running", "continuable" (its process was killed less than a day ago) or "left".
    """
    found = []
    for path in _entries(root / FOLDER):
        if path.name.startswith("."):
            state = "left" if is_left_behind(path, seconds=KEPT_SECONDS) else "running"
        elif path.suffix == ".claim":
            if is_alive(path) or path.with_suffix("").exists():
                continue  # it belongs to its work, or states what its process reads
            state = "left"
        elif is_alive(_claim_of(path)):
            state = "running"
        else:
            state = "continuable" if _age(path) < KEPT_SECONDS else "left"
        found.append((path, state))
    claims = _entries(root / "cells" / "claims")
    dead = (path for path in claims if is_left_behind(path, seconds=KEPT_SECONDS))
    return [*found, *((path, "left") for path in dead)]


def remove_left(path: Path) -> bool:
    """Remove unfinished work and its claim; return False if a process has begun to continue it."""
    claim = None
    if not path.name.startswith("."):
        claim = take(path if path.suffix == ".claim" else _claim_of(path))
        if claim is None:
            return False
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    elif path.suffix != ".claim":
        with suppress(OSError):  # it may belong to another user
            path.unlink()
    if claim:
        claim.release()
    return True


def read_until_exit(path: Path) -> None:
    """State that this process reads an entry of the cache, so that nobody removes it meanwhile.

    Where nothing can be written, nothing is stated.
    """
    root = next((root for root in (home(), private_home()) if path.is_relative_to(root)), None)
    if root is None or path in _read:
        return
    name = temporary_name("reading").removeprefix(".")
    with suppress(OSError):
        claim = take(_claim_of(root / FOLDER / name), reads=str(path.relative_to(root)))
        if claim:
            _read[path] = claim
            atexit.register(claim.release)


def stop_reading(folder: Path) -> None:
    """State that this process no longer reads a folder of the cache, nor anything in it."""
    for path in [path for path in _read if path.is_relative_to(folder)]:
        claim = _read.pop(path)
        atexit.unregister(claim.release)
        claim.release()


def read_by_others(root: Path) -> dict[Path, dict[str, Any]]:
    """Return the entries of the cache that living processes read, with these processes."""
    owners = {path: read_owner(path) for path in (root / FOLDER).glob("reading-*.claim")}
    return {
        root / str(owner["reads"]): owner
        for path, owner in owners.items()
        if "reads" in owner and is_alive(path)
    }


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _age(path: Path) -> float:
    """Return the seconds since work was changed; 0 if it is just being removed."""
    with suppress(OSError):
        return time.time() - max(each.stat().st_mtime for each in (path, *path.glob("*")))
    return 0.0


def _claim_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.claim")
