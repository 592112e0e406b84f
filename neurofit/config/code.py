"""Identity of the installed code, so that what it wrote is not taken for another version's."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path


@cache
def code_sha256(*packages: str) -> str:
    """Return the hash of the Python files of packages.

    Parameters
    ----------
    *packages
        Names inside neurofit, "models" for example. Default: all of neurofit.
    """
    digest = hashlib.sha256()
    for package in packages or ("", "data_loaders", "models"):
        spec = find_spec(f"neurofit.{package}".rstrip("."))
        for folder in (spec and spec.submodule_search_locations) or ():
            for file in sorted(Path(folder).rglob("*.py")):  # links to folders are not followed
                digest.update(file.relative_to(folder).as_posix().encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
