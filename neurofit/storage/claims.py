"""Claims: one process at a time does a piece of work, on one machine or on many.

A claim is a file that is created exclusively, which file servers do atomically, and that its owner
touches while it works. No advisory lock is needed, which some network file systems do not keep.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
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

WAIT_SECONDS = 0.2
"""How often a process that waits for a claim looks at it."""


class Claim:
    """A claim that this process has.

    Parameters
    ----------
    path
        File of the claim.
    content
        What this process wrote into it, which no other claim has.
    """

    def __init__(self, path: Path, content: str) -> None:
        self.path, self.content = path, content
        self._done = threading.Event()
        self._touching = threading.Thread(target=self._touch, daemon=True)
        self._touching.start()

    def holds(self) -> bool:
        """Return whether no other process has taken over, as it may after a long sleep."""
        try:
            return self.path.read_text(encoding="utf-8") == self.content
        except OSError:
            return False

    def release(self) -> None:
        """Give the claim up; that of a successor is left."""
        self._done.set()
        if self._touching is not threading.current_thread():
            self._touching.join()
        if self.holds():
            with suppress(OSError):
                self.path.unlink()

    def _touch(self) -> None:
        while not self._done.wait(TOUCH_SECONDS):
            if self.holds():
                with suppress(OSError):
                    os.utime(self.path)


def take(path: Path, **facts: Any) -> Claim | None:
    """Return the claim of this process; None if another process has it.

    The claim of a process that has died is taken over: at once on the same machine, elsewhere when
    it was not touched for `LEASE_SECONDS`.

    Parameters
    ----------
    path
        File of the claim. Its folder is created if necessary.
    facts
        What else the file says, in types of JSON.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    content = json.dumps({**_this_process(), "claim": uuid.uuid4().hex, **facts})
    for _ in range(2):
        if _create(path, content):
            return Claim(path, content)
        if is_alive(path) or not _remove_dead(path):
            return None
    return None


@contextmanager
def claim(path: Path) -> Iterator[bool]:
    """Yield whether this process has the claim; it is given up after the block. See `take`."""
    own = take(path)
    try:
        yield own is not None
    finally:
        if own:
            own.release()


@contextmanager
def wait_for(path: Path, *, seconds: float = float("inf")) -> Iterator[Claim | None]:
    """Yield the claim of this process, after waiting for another one that has it.

    Parameters
    ----------
    path
        File of the claim.
    seconds
        How long to wait for an owner that is known to be alive, at most; None is then yielded. An
        owner on another machine is known to be alive when it has touched its claim.
    """
    begun, touched = time.monotonic(), _touched(path)
    while (own := take(path)) is None:
        alive = read_owner(path).get("machine") == machine_id() or _touched(path) != touched
        if alive and time.monotonic() - begun >= seconds:
            break
        time.sleep(WAIT_SECONDS)
    try:
        yield own
    finally:
        if own:
            own.release()


def read_owner(path: Path) -> dict[str, Any]:
    """Return what a claim says of its owner; empty if there is none, or it cannot be read."""
    try:
        owner: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}


def is_alive(path: Path) -> bool:
    """Return whether the owner of a claim may still be at work; False without a claim."""
    owner = read_owner(path)
    if owner.get("machine") == machine_id() and {"pid", "start"} <= set(owner):
        return _start_of(int(owner["pid"])) == str(owner["start"])
    with suppress(OSError):
        return _age(path) < LEASE_SECONDS
    return False


def temporary_name(name: str) -> str:
    """Return a new name for a temporary file or folder, which states the process it belongs to."""
    return f".{name}-{_token(os.getpid())}-{uuid.uuid4().hex[:8]}"


def is_left_behind(path: Path, *, seconds: float) -> bool:
    """Return whether something was named by `temporary_name`, in a process that has ended.

    A process of another machine cannot be asked: it has ended if what it made was not changed for
    so many seconds.
    """
    found = re.search(r"-(\d+)\.([0-9a-f]{8})\.([0-9a-f]{8})-[0-9a-f]{8}$", path.name)
    if not found or os.name == "nt":  # to ask for a process may end it there
        return False
    if found[2] == _hash(machine_id()):
        return _token(int(found[1])) != found[0][1:-9]
    with suppress(OSError):
        return time.time() - path.stat().st_mtime > seconds
    return False


def _this_process() -> dict[str, Any]:
    pid = os.getpid()
    return {
        "host": socket.gethostname(),
        "machine": machine_id(),
        "pid": pid,
        "start": _start_of(pid),
    }


def _create(path: Path, content: str) -> bool:
    """Create a file with its content at once; return False if it exists."""
    temporary = path.with_name(temporary_name(path.name))
    try:
        temporary.write_text(content, encoding="utf-8")
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            try:
                with open(path, "x", encoding="utf-8") as file:
                    file.write(content)
            except FileExistsError:
                return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _remove_dead(path: Path) -> bool:
    """Remove the claim of a dead process; return False if another process has taken it over."""
    # of several processes that find a dead owner, one renames its claim
    dead = path.with_name(temporary_name(path.name))
    try:
        os.rename(path, dead)
    except FileNotFoundError:
        return True
    alive = is_alive(dead)
    if alive:  # another process has taken over between the two looks
        with suppress(OSError):
            os.link(dead, path)
    dead.unlink(missing_ok=True)
    return not alive


def _touched(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0


def _age(path: Path) -> float:
    """Return the seconds since a file was touched, by the clock of its file server."""
    probe = path.with_name(temporary_name(path.name))
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    except OSError:
        return time.time() - path.stat().st_mtime
    finally:
        with suppress(OSError):
            probe.unlink()


def machine_id() -> str:
    """Return what identifies a machine since its start, and a container on it.

    Processes of another container have numbers of their own, and cannot be asked for.
    """
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _token(pid: int) -> str:
    """Return what identifies a process of this machine in the name of a file."""
    return f"{pid}.{_hash(machine_id())}.{_hash(_start_of(pid))}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _start_of(pid: int) -> str:
    """Return when a process began, in ticks; "" if there is none.

    A number that another process has since got is not taken for the same process.
    """
    with suppress(OSError, IndexError):
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if state in "ZX" else fields[18]  # of a process that has ended, too
    with suppress(OSError):
        os.kill(pid, 0)
        return "alive"
    return ""
