"""Suites: named, versioned sets of recordings, areas, windows, mappings and options."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Any

from neurofit.errors import NeurofitError, check_option

FOLDER = Path(__file__).resolve().parent / "suites"

SUITES = {
    "ventral-time-v1": "46c76544016c5f99fa0617cc769901c7bcc7da1c1febf29e1d608d07c45f2476",
}
"""Name of a suite -> sha256 of its file. A changed definition needs a new name."""


def read_suite(name: str) -> dict[str, Any]:
    """Return the fields of a study that a suite states.

    Raises
    ------
    NeurofitError
        If there is no such suite, or its definition is not the one of its name.
    """
    check_option("suite", name, SUITES)
    content = (FOLDER / f"{name}.toml").read_bytes()
    found = hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()
    if found != SUITES[name]:
        raise NeurofitError(
            f"The definition of the suite {name} has changed (sha256 {found[:12]}, not "
            f"{SUITES[name][:12]}): results would not be comparable. Give it a new name."
        )
    return tomllib.loads(content.decode())
