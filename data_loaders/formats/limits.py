"""The first look at a file: how it begins, and whether what it declares may be read at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from neurofit.errors import NeurofitError

HDF5 = b"\x89HDF\r\n\x1a\n"
"""How such a file begins."""

MAX_BYTES = 2**33
"""What a file that is read whole may take in memory, as float32 or as it is; netCDF is the form for more."""

MAX_RATIO, FREE_BYTES = 200, 2**26
"""What is larger than `FREE_BYTES` may be so many times larger than its file: counts compress by 50, a bomb by 1000."""


def head_of(path: Path) -> bytes:
    """Return the first bytes of a file: enough to know its form, or a table's columns."""
    with open(path, "rb") as file:
        return file.read(4096)


def short(error: BaseException) -> str:
    """Return what an error of a library says in part of a line."""
    said = str(error).strip().partition("\n")[0] or type(error).__name__
    return said if len(said) <= 160 else f"{said[:160]} ..."


def refuse_large(source: str | Path, *, n_values: float | int, n_bytes: float | int, stored: float | int) -> None:
    """Refuse what would not fit into memory, or declares far more than a file of its size holds.

    Parameters
    ----------
    source
        Of the numbers, for the message.
    n_values, n_bytes
        That it declares; responses take 4 bytes a value once they are read.
    stored
        Bytes of the file.

    Raises
    ------
    NeurofitError
        Saying what is declared.
    """
    takes = max(n_bytes, 4 * n_values)
    if takes > MAX_BYTES:
        raise NeurofitError(
            f"{source} declares {takes / 1e9:,.1f} GB; such files are read whole, up to {MAX_BYTES / 1e9:.1f} GB. "
            "netCDF is the form for more."
        )
    if takes > max(FREE_BYTES, MAX_RATIO * stored):
        raise NeurofitError(f"{source} is damaged, or made to fill memory: it declares {takes / 1e9:,.1f} GB in {stored / 1e6:,.2f} MB.")


def bytes_of(dataset: Any) -> float:
    """Return the bytes that reading an HDF5 dataset takes: its own, or those of one of its chunks, which are decompressed whole."""
    sizes = [dataset.shape or (), dataset.chunks or ()]
    return max(float(np.prod(shape, dtype=np.float64)) for shape in sizes) * float(dataset.dtype.itemsize)
