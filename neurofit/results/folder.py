"""The folder of a result."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from neurofit.errors import NeurofitError
from neurofit.storage.home import atomic_file

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


def check_writable(folder: Path) -> Path:
    """Return the folder after trying to write to it: hours of work should not fail at the end.

    Raises
    ------
    NeurofitError
        If it is a file or cannot be written to.
    """
    if folder.exists() and not folder.is_dir():
        raise NeurofitError(f"out must be a folder; {folder} is a file.")
    new = [part for part in (folder, *folder.parents) if not part.exists()]
    with atomic_file(folder / ".writable"):
        pass
    (folder / ".writable").unlink()
    for part in new:
        part.rmdir()
    return folder
