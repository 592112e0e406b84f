"""Listing, removal and verification of what the cache holds."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from neurofit.errors import check_option
from neurofit.storage.home import home


def list_cache() -> list[tuple[str, int, int]]:
    """Return (folder/name, number of files, bytes) of everything in NEUROFIT_HOME."""
    folders = sorted(folder for folder in home().glob("*") if folder.is_dir())
    return [
        (f"{folder.name}/{entry.name}", *_size(entry))
        for folder in folders
        for entry in sorted(folder.iterdir())
    ]


def clear_cache(name: str) -> tuple[int, int]:
    """Delete a folder of NEUROFIT_HOME or one entry of it."""
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
