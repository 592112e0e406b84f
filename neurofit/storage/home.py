"""The cache folder NEUROFIT_HOME; files and folders that are written completely or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock, Timeout
from safetensors import SafetensorError

from neurofit.errors import MachineError, NeurofitError, check_option

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_NOT_WRITABLE = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EISDIR,
)


def home() -> Path:
    """Return NEUROFIT_HOME, by default the platform's cache folder; it may not exist yet."""
    given = os.environ.get("NEUROFIT_HOME")
    return Path(given).expanduser() if given else Path(platformdirs.user_cache_dir("neurofit"))


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it is renamed to `path` if the block succeeds.

    Raises
    ------
    NeurofitError
        If the folder is not writable.
    MachineError
        If the disk is full.
    """
    with _translate_errors(path):
        with _translate_errors(path, every_error=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(
                prefix=f".{path.stem}-{os.getpid()}.{_machine()}-",
                suffix=path.suffix,
                dir=path.parent,
            )
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o666 & ~_umask())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def remove_leftovers(path: Path) -> list[Path]:
    """Remove and return the temporary files of `atomic_file(path)` that killed processes left.

    Their names state the machine and the process; those of a running process, or of another
    machine that shares the folder, are left, and so is every other file. A file that is written by
    way of a temporary one may itself be temporary.
    """
    if os.name == "nt":  # to ask for a process may end it there
        return []
    own = re.escape(path.stem) + r"(?:-(\d+)\.([0-9a-f]{8})-[a-z0-9_]{8}){1,2}"
    pattern = re.compile(r"\.{1,2}" + own + re.escape(path.suffix))
    names = {each: pattern.fullmatch(each.name) for each in path.parent.glob(".*")}
    found = [each for each, name in names.items() if name and _is_over(int(name[1]), name[2])]
    for each in found:
        each.unlink(missing_ok=True)
    return found


def _is_over(process: int, machine: str) -> bool:
    """Return whether a process of this machine has ended."""
    if machine != _machine():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:  # it belongs to another user
        pass
    return False


def _machine() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


@contextmanager
def uninterrupted() -> Iterator[Callable[[], None]]:
    """Yield a function after whose call Ctrl-C waits for the end of the block.

    Several files are complete, and renamed together: an interrupt in between would leave a part.
    """
    waiting: list[object] = []
    before: Any = None

    def begin() -> None:
        nonlocal before
        if threading.current_thread() is threading.main_thread():
            before = signal.signal(signal.SIGINT, lambda *args: waiting.append(args))

    try:
        yield begin
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
        if waiting:
            raise KeyboardInterrupt


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; it is renamed to `path` if the block succeeds.

    If another process has created `path` in the meantime, that folder is left as it is: folders
    with the same content-addressed name are equal. The errors are those of `atomic_file`.
    """
    with _translate_errors(path):
        with _translate_errors(path, every_error=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
        try:
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            try:
                os.replace(temporary, path)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def replaced_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; it takes the place of `path` if the block succeeds.

    A folder that exists is replaced as a whole, and stays if the block fails. Links are not
    followed: a link is replaced, not what it leads to. The errors are those of `atomic_file`.
    """
    former = None
    try:
        with atomic_directory(path) as temporary:
            yield temporary
            if path.exists():
                with _translate_errors(path, every_error=True):
                    former = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
                    os.replace(path, former / path.name)
    except BaseException:
        if former and not path.exists() and (former / path.name).exists():
            os.replace(former / path.name, path)
        raise
    finally:
        if former:
            shutil.rmtree(former, ignore_errors=True)


@contextmanager
def exclusive_lock(path: Path, *, refusal: str = "") -> Iterator[Path]:
    """Let one process at a time enter the block; the others wait, or are refused.

    Parameters
    ----------
    path
        Lock file, which is created if necessary. The operating system releases the lock of a
        process that dies.
    refusal
        Message of the error if another process is in the block; without one, it is waited for.

    Yields
    ------
    The lock file. It may be deleted inside the block only if no later process needs the lock.

    Raises
    ------
    NeurofitError
        If the folder is not writable, or another process is in the block and is not waited for.
    MachineError
        If the disk is full.
    """
    lock = FileLock(path)
    with _translate_errors(path, every_error=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0 if refusal else -1)
        except Timeout:
            raise NeurofitError(refusal) from None
    try:
        yield path
    finally:
        lock.release()


def check_free_space(path: Path, n_bytes: int) -> None:
    """Check that the disk of `path` has room for a file of `n_bytes`.

    Raises
    ------
    MachineError
        If it has not.
    """
    free = shutil.disk_usage(path.parent).free
    if free < n_bytes:
        raise MachineError(
            f"No space left on the disk for {path.parent}: {n_bytes / 1e6:,.1f} MB are needed, "
            f"{free / 1e6:,.1f} MB are free."
        )


@contextmanager
def _translate_errors(path: Path, *, every_error: bool = False) -> Iterator[None]:
    """Turn errors of a full disk or a folder that is not writable into a message of one line.

    `every_error`: whatever the operating system says, the path cannot be created. Some file
    systems answer ENOENT, for example.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        number = _number(error)
        if number in _DISK_FULL:
            raise MachineError(f"No space left on the disk while writing {path}.") from error
        if number in _NOT_WRITABLE or (every_error and isinstance(error, OSError)):
            reason = getattr(error, "strerror", None) or os.strerror(number or 0)
            raise NeurofitError(
                f"Cannot write {path}: {reason}. Choose a writable folder."
            ) from error
        raise


def _number(error: Exception) -> int | None:
    """Return the errno of an error; safetensors has it in the text only."""
    if isinstance(error, OSError):
        return error.errno
    found = re.search(r"os error (\d+)", str(error))
    return int(found[1]) if found else None


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal text."""
    return hash_of(path, "sha256")


def hash_of(path: Path, kind: str) -> str:
    """Return a hash of a file as hexadecimal text.

    Parameters
    ----------
    path
        File.
    kind
        "sha256", "sha1", or "git blob": the name that git gives to the content, which is the
        SHA-1 of "blob", the size, a zero byte and the content.
    """
    digest = hashlib.new("sha256" if kind == "sha256" else "sha1", usedforsecurity=kind == "sha256")
    if kind == "git blob":
        digest.update(f"blob {path.stat().st_size}\0".encode())
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: digest).hexdigest()


def list_cache() -> list[tuple[str, int, int]]:
    """Return (folder/name, number of files, bytes) of everything in NEUROFIT_HOME."""
    folders = sorted(folder for folder in home().glob("*") if folder.is_dir())
    return [
        (f"{folder.name}/{entry.name}", *_size(entry))
        for folder in folders
        for entry in sorted(folder.iterdir())
    ]


def clear_cache(name: str) -> tuple[int, int]:
    """Delete a folder of NEUROFIT_HOME or one entry of it.

    Parameters
    ----------
    name
        Folder or folder/entry: "grams", "recordings/hvm-sim".

    Returns
    -------
    Number of files and bytes that were deleted.

    Raises
    ------
    NeurofitError
        If the cache has no such entry.
    """
    existing = {entry for entry, _, _ in list_cache()}
    path = home() / check_option(
        "cache entry", name, existing | {entry.split("/")[0] for entry in existing}
    )
    size = _size(path)
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    return size


def _size(path: Path) -> tuple[int, int]:
    sizes = []
    for file in [path] if path.is_file() else path.rglob("*"):
        with suppress(OSError):  # a running score removes its files
            if file.is_file():
                sizes.append(file.stat().st_size)
    return len(sizes), sum(sizes)
