"""The one place neurofit writes to outside `--out`, and writing that leaves nothing half-written."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from neurofit.errors import MachineError, NeurofitError, check_option


def home() -> Path:
    """Return NEUROFIT_HOME, by default the platform's cache folder; it is created when first written to."""
    given = os.environ.get("NEUROFIT_HOME")
    return Path(given).expanduser() if given else Path(platformdirs.user_cache_dir("neurofit"))


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes the name `path` only if the block succeeds.

    Raises
    ------
    NeurofitError
        If the folder cannot be written to.
    MachineError
        If the disk is full.
    """
    with _writing(path):
        with _making(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o666 & ~_umask())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def need_room(path: Path, n_bytes: int) -> None:
    """Refuse to begin a file for which its disk has no room.

    Raises
    ------
    MachineError
        Saying what it takes and what there is.
    """
    free = shutil.disk_usage(path.parent).free
    if free < n_bytes:
        raise MachineError(f"No space left on the disk for {path.parent}: it takes {n_bytes / 1e6:,.1f} MB, {free / 1e6:,.1f} are free.")


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; it becomes `path` only if the block succeeds.

    When another process has finished the same folder meanwhile, theirs stays: content-addressed folders are equal.
    Raises as `atomic_file`.
    """
    with _writing(path):
        with _making(path):
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
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise MachineError(f"No space left on the disk while writing {path}; nothing was kept.") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
            raise NeurofitError(f"Cannot write {path}: {error.strerror}. Give a folder that can be written to.") from error
        raise


@contextmanager
def _making(path: Path) -> Iterator[None]:
    """Say of any path that cannot be made why not: some file systems answer that there is no such thing."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise NeurofitError(f"Cannot write {path}: {error.strerror}. Give a folder that can be written to.") from error


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's bytes as hexadecimal text."""
    return hash_of(path, "sha256")


def hash_of(path: Path, kind: str) -> str:
    """Return a hash of a file as hexadecimal text: "sha256" or "sha1" of its bytes, or the "git blob" that git calls it by."""
    started = hashlib.new("sha256" if kind == "sha256" else "sha1", usedforsecurity=kind == "sha256")
    if kind == "git blob":
        started.update(f"blob {path.stat().st_size}\0".encode())
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: started).hexdigest()


def kept() -> list[tuple[str, int, int]]:
    """Return (folder/name, files, bytes) of everything in NEUROFIT_HOME: recordings, weights, images, grams, activations."""
    folders = sorted(folder for folder in home().glob("*") if folder.is_dir())
    return [(f"{folder.name}/{each.name}", *_size(each)) for folder in folders for each in sorted(folder.iterdir())]


def remove(name: str) -> tuple[int, int]:
    """Remove a folder of NEUROFIT_HOME, or one thing in it ("grams", "recordings/hvm-sim"); return files and bytes.

    Raises
    ------
    NeurofitError
        If there is no such thing.
    """
    existing = {each for each, _, _ in kept()}
    path = home() / check_option("kept thing", name, existing | {each.split("/")[0] for each in existing})
    size = _size(path)
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    return size


def _size(path: Path) -> tuple[int, int]:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return len(files), sum(file.stat().st_size for file in files)
