"""The folder or file of a result."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from neurofit.errors import NeurofitError
from neurofit.storage.claims import claim, is_left_behind
from neurofit.storage.home import atomic_file, remove_leftovers

MAX_BYTES = 120
"""Longest name of a folder; file systems take 255 bytes."""


def result_folder(words: Iterable[str]) -> Path:
    """Return the default folder of a result, which is named by the words that describe it."""
    whole = "_".join(words).replace(":", "-")
    name = re.sub(r"[^\w.=,+-]", "-", whole)
    if name != whole or len(name.encode()) > MAX_BYTES:
        digest = hashlib.sha256(whole.encode()).hexdigest()[:8]
        name = f"{name.encode()[: MAX_BYTES - 9].decode(errors='ignore')}-{digest}"
    return Path("neurofit-results") / name


def check_writable(folder: Path, analysis: str) -> Path:
    """Return the folder after trying to write to it: hours of work should not fail at the end.

    Parameters
    ----------
    folder
        Folder of a result.
    analysis
        Analysis of the result that is going to be written.

    Raises
    ------
    NeurofitError
        If it is a file, cannot be written to, or has a result of another analysis.
    """
    if folder.exists() and not folder.is_dir():
        raise NeurofitError(f"out must be a folder; {folder} is a file.", option="out")
    if (former := _analysis_in(folder / "result.nc")) not in ("", analysis):
        raise NeurofitError(
            f"{folder} has a result of {former}, which {analysis} does not replace; give another "
            "folder with --out."
        )
    _try_writing(folder)
    return folder


def check_replaceable(path: Path, kind: str, *, what: str) -> bool:
    """Return whether a file exists, after trying to write beside it.

    Parameters
    ----------
    path
        File that is going to be written.
    kind
        Attribute `analysis` of the files that may be replaced.
    what
        Content of these files, for the message.

    Raises
    ------
    NeurofitError
        If it is a folder, cannot be written, or is another file, which is not replaced.
    """
    if path.is_dir():
        raise NeurofitError(f"path must be a file; {path} is a folder.", option="path")
    if path.exists() and _analysis_in(path) != kind:
        raise NeurofitError(
            f"{path} is no file of {what}, which {kind} would replace; give another file with "
            "--out."
        )
    _try_writing(path.absolute().parent)
    return path.exists()


def _try_writing(folder: Path) -> None:
    new = [part for part in (folder, *folder.parents) if not part.exists()]
    try:
        with atomic_file(folder / ".writable"):
            pass
    except NeurofitError as error:
        error.args = (str(error).replace(f"{os.sep}.writable", ""),)
        raise
    (folder / ".writable").unlink()
    remove_leftovers(folder / ".writable")
    for part in new:
        part.rmdir()


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep a folder for this process while it works; one without a result is removed at the end.

    Raises
    ------
    NeurofitError
        If another process is working for it.
    """
    new = [part for part in (folder, *folder.parents) if not part.exists()]
    try:
        with claim(folder / ".in-use") as mine:
            if not mine:
                raise NeurofitError(
                    f"Another process is writing its result to {folder}; give another folder with "
                    "--out."
                )
            for path in folder.glob("..in-use-*"):
                if is_left_behind(path, seconds=float("inf")):
                    path.unlink(missing_ok=True)
            yield
    finally:
        with suppress(OSError):
            for part in new:
                part.rmdir()


def _analysis_in(path: Path) -> str:
    """Return the analysis whose result a file is; empty if it is none that can be read."""
    import h5netcdf

    try:
        with h5netcdf.File(path, "r") as file:
            return str(file.attrs.get("analysis", ""))
    except OSError:
        return ""
