"""Limits on what a file may declare, checked before anything is allocated."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from neurofit.errors import NeurofitError, NeurofitWarning

HDF5 = b"\x89HDF\r\n\x1a\n"
"""First bytes of an HDF5 file."""

MAX_BYTES = 2**33
"""Largest size in memory of a file that is read whole, as float32 or as stored. Only netCDF may be
larger."""

MAX_RATIO, FREE_BYTES = 200, 2**26
"""Largest ratio of memory to file size, applied above `FREE_BYTES`. Counts compress by a factor of
about 50, decompression bombs by 1000."""

MAX_ARRAYS = 10_000
"""Largest number of arrays in a file, or of files of a folder, which are read one by one."""

OBJECT_BYTES = 100
"""Memory of a text or array of variable length, without its content."""


def read_head(path: Path) -> bytes:
    """Return the first 4096 bytes of a file, enough to detect its format or a table's columns."""
    with open(path, "rb") as file:
        return file.read(4096)


def short(error: BaseException) -> str:
    """Return the first line of an error message, at most 160 characters long."""
    message = str(error).strip().partition("\n")[0] or type(error).__name__
    return message if len(message) <= 160 else f"{message[:160]} ..."


def refuse_large(
    source: str | Path, n_bytes: float | int, *, stored: float | int = math.inf
) -> None:
    """Refuse data that do not fit into memory, or that declare far more than the file can contain.

    Parameters
    ----------
    source
        Source of the data, for the message.
    n_bytes
        Declared number of bytes; a response takes 4 once it is read.
    stored
        Size of the file in bytes.

    Raises
    ------
    NeurofitError
        If the declared size exceeds `MAX_BYTES`, or `MAX_RATIO` times the size of the file.
    """
    if n_bytes > MAX_BYTES:
        raise NeurofitError(
            f"{source} declares {n_bytes / 1e9:,.1f} GB; files of this format are read whole, up "
            f"to {MAX_BYTES / 1e9:.1f} GB. Use netCDF for larger recordings."
        )
    if n_bytes > max(FREE_BYTES, MAX_RATIO * stored):
        raise NeurofitError(
            f"{source} is damaged, or made to fill memory: it declares {n_bytes / 1e9:,.1f} GB in "
            f"{stored / 1e6:,.2f} MB."
        )


def refuse_many(source: str | Path, n: int, *, what: str = "arrays") -> None:
    """Refuse a file or folder of more than `MAX_ARRAYS` arrays or files.

    Raises
    ------
    NeurofitError
        If it has more.
    """
    if n > MAX_ARRAYS:
        raise NeurofitError(f"{source} has {n:,} {what}; at most {MAX_ARRAYS:,} are read.")


def as_float32(values: np.ndarray, source: str) -> np.ndarray:
    """Return numbers as float32, with a warning if it rounds whole numbers, or more than 1e-6.

    The limit is relative to the range of values: numbers far from 0 may lose all their differences.
    """
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float32)
    what, whole = "", values.dtype.kind in "iu" and values.size > 0
    if whole and max(int(values.max()), -int(values.min())) > 2**24:
        what = f"integers above {2**24:,}"
    elif values.dtype.kind == "f" and values.itemsize > 4:
        finite = values[np.isfinite(values)]
        error = np.abs(finite.astype(rounded.dtype) - finite).max(initial=0)
        if finite.size and error > 1e-6 * np.ptp(finite) > 0:
            what = f"numbers between {finite.min():.15g} and {finite.max():.15g}"
    if what:
        message = f"{source} has {what}, which float32 rounds."
        warnings.warn(message, NeurofitWarning, stacklevel=2)
    return rounded


def dataset_nbytes(dataset: Any) -> float:
    """Return the bytes needed to read an HDF5 dataset: all of it, or one chunk if that is larger.

    A chunk is always decompressed whole. A value of variable length is a Python object.
    """
    sizes = [dataset.shape or (), dataset.chunks or ()]
    n_values = max(float(np.prod(shape, dtype=np.float64)) for shape in sizes)
    return n_values * float(OBJECT_BYTES if dataset.dtype.kind == "O" else dataset.dtype.itemsize)
