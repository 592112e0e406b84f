"""Claims: one process at a time does a piece of work, on one machine or on many.

A claim is a file that is created exclusively, which file servers do atomically, and that its owner
touches while it works. No advisory lock is needed, which some network file systems do not keep.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

TOUCH_SECONDS = 15.0
LEASE_SECONDS = 180.0
"""How often an owner touches its claim, and how old an untouched claim of another machine is
before it counts as left behind."""


@contextmanager
def claim(path: Path) -> Iterator[bool]:
    """Yield whether this process has the claim; it is given up after the block.

    The claim of a process that has died is taken over: at once on the same machine, elsewhere when
    it was not touched for `LEASE_SECONDS`.

    Parameters
    ----------
    path
        File of the claim. Its folder is created if necessary.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    owner = _take(path)
    if not owner:
        yield False
        return
    done = threading.Event()
    touching = threading.Thread(target=_touch, args=(path, done), daemon=True)
    touching.start()
    try:
        yield True
    finally:
        done.set()
        touching.join()
        with suppress(OSError):  # after a long sleep another process may have taken over
            if path.read_text(encoding="utf-8") == owner:
                path.unlink()


def is_alive(path: Path) -> bool:
    """Return whether the owner of a claim may still be at work; False without a claim."""
    try:
        owner: Any = json.loads(path.read_text(encoding="utf-8"))
        here = owner["host"] == socket.gethostname() and owner["boot"] == _boot()
        if here:
            return _start_of(int(owner["pid"])) == str(owner["start"])
    except FileNotFoundError:
        return False
    except (OSError, ValueError, TypeError, KeyError):
        pass  # its owner is just writing it, or died while it did
    with suppress(OSError):
        return _age(path) < LEASE_SECONDS
    return False


def _take(path: Path) -> str:
    """Write a claim and return its content; "" if another process has it."""
    for _ in range(2):
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            if is_alive(path):
                return ""
            # of several processes that find a dead owner, one renames its claim
            dead = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
            try:
                os.rename(path, dead)
            except FileNotFoundError:
                continue
            if is_alive(dead):  # another process has taken over between the two looks
                with suppress(OSError):
                    os.link(dead, path)
                dead.unlink(missing_ok=True)
                return ""
            dead.unlink(missing_ok=True)
            continue
        owner = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "boot": _boot(),
            "start": _start_of(os.getpid()),
            "claim": uuid.uuid4().hex,
        }
        content = json.dumps(owner)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(content)
        return content
    return ""


def _touch(path: Path, done: threading.Event) -> None:
    while not done.wait(TOUCH_SECONDS):
        with suppress(OSError):
            os.utime(path)


def _age(path: Path) -> float:
    """Return the seconds since a file was touched, by the clock of its file server."""
    probe = path.with_name(f".{uuid.uuid4().hex}")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    except OSError:
        return time.time() - path.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _boot() -> str:
    """Return what identifies this boot of this machine or container; "" where it is not known."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def _start_of(pid: int) -> str:
    """Return when a process began, in ticks; "" if there is none.

    A number that another process has since got is not taken for the same process.
    """
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    with suppress(OSError):
        os.kill(pid, 0)
        return "alive"
    return ""
