"""Reader of MATLAB files, v5 to v7: numbers, text, cells and structures.

Objects, functions and sparse matrices are skipped. Damaged files crash the compiled reader of SciPy
(1.17: `loadmat` ends the process in about 1 % of files with a few changed bytes), so this reader is
pure Python and checks every length. Format: MathWorks, "MAT-File Format" (2024), chapter 1.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from neurofit.data_loaders.formats.limits import FREE_BYTES, MAX_BYTES, MAX_RATIO
from neurofit.errors import NeurofitError

STORED = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
    16: "u1",
    17: "u2",
    18: "u4",
}
"""Type of a data element -> stored dtype."""

NUMERIC = {
    6: "f8",
    7: "f4",
    8: "i1",
    9: "u1",
    10: "i2",
    11: "u2",
    12: "i4",
    13: "u4",
    14: "i8",
    15: "u8",
}
"""Class of a numeric array -> dtype in MATLAB."""

CODECS = {
    "<": {1: "latin-1", 2: "latin-1", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le", 18: "utf-32-le"}
}
CODECS[">"] = {kind: codec.replace("-le", "-be") for kind, codec in CODECS["<"].items()}
"""Byte order -> type of a data element -> text encoding."""

MATRIX, COMPRESSED = 14, 15
CELL, STRUCTURE, TEXT = 1, 2, 4
COMPLEX = 0x800
MAX_DEPTH = 16


def read_mat(path: Path) -> dict[str, Any]:
    """Return the variables of a MATLAB file.

    Parameters
    ----------
    path
        File of v5 to v7 (v7.3 is HDF5).

    Returns
    -------
    dict
        Name -> value: numeric array; str, or array of str for several rows (without padding);
        object array for a cell; for a structure, dict of field -> list with a value per element.

    Raises
    ------
    NeurofitError
        If the file is damaged, or would fill memory.
    """
    content = path.read_bytes()
    if len(content) < 128 or content[126:128] not in (b"IM", b"MI"):
        raise NeurofitError(f"{path} is not a MATLAB file of v5 to v7, or is truncated.")
    order = "<" if content[126:128] == b"IM" else ">"
    most = min(MAX_BYTES, max(FREE_BYTES, MAX_RATIO * len(content)))
    found: dict[str, Any] = {}
    try:
        for kind, data in _elements(content[128:], order):
            if kind == COMPRESSED:
                inflater = zlib.decompressobj()
                inflated = inflater.decompress(data, most)
                if inflater.unconsumed_tail:
                    raise NeurofitError(
                        f"{path} is damaged, or made to fill memory: "
                        f"it contains more than {most / 1e9:.2f} GB."
                    )
                if not inflater.eof:
                    raise ValueError("compressed data are truncated")
                most -= len(inflated)
                kind, data = next(_elements(inflated, order))
            if kind == MATRIX:
                name, value = _matrix(data, order, depth=0)
                if value is not None:
                    found[name] = value
    except (
        ValueError,
        StopIteration,
        struct.error,
        zlib.error,
        UnicodeDecodeError,
        OverflowError,
    ) as error:
        raise NeurofitError(
            f"{path} is a damaged MATLAB file: {str(error) or 'an element is missing'}."
        ) from error
    return found


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yield type and data of successive elements."""
    at = 0
    while at < len(content):
        kind, size = struct.unpack_from(f"{order}II", content, at)
        if kind >> 16:  # up to four bytes are stored in the tag itself
            kind, size, begin, after = kind & 0xFFFF, kind >> 16, at + 4, at + 8
            if size > 4:
                raise ValueError(f"a small element has {size} bytes")
        else:
            begin = at + 8
            after = begin + size + (-size % 8 if kind != COMPRESSED else 0)
        if begin + size > len(content):
            raise ValueError(
                f"an element declares {size:,} bytes, {len(content) - begin:,} are left"
            )
        yield kind, content[begin : begin + size]
        at = after


def _matrix(content: bytes, order: str, *, depth: int) -> tuple[str, Any]:
    if not content:  # an empty cell
        return "", np.empty((0, 0))
    if depth > MAX_DEPTH:
        raise ValueError(f"cells are nested more than {MAX_DEPTH} deep")
    parts = _elements(content, order)
    (flags,) = struct.unpack_from(f"{order}I", next(parts)[1])
    sizes = next(parts)[1]
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    size = math.prod(shape)
    if size < 0 or min(shape, default=0) < 0:
        raise ValueError(f"an array has the shape {shape}")
    name = next(parts)[1].decode("ascii", "replace")
    kind = flags & 0xFF
    if kind == TEXT:
        return name, _text(*next(parts), shape, order)
    if kind in NUMERIC:
        values = _numbers(*next(parts), order)
        if len(values) != size:
            raise ValueError(f"{name} has {len(values):,} numbers, but the shape {shape}")
        return name, None if flags & COMPLEX else values.astype(NUMERIC[kind]).reshape(
            shape, order="F"
        )
    if kind == CELL:
        cells = np.empty(_checked_count(size, content), dtype=object)
        for i in range(size):
            cells[i] = _nested(parts, order, depth)
        return name, cells.reshape(shape, order="F")
    if kind == STRUCTURE:
        length = int(_numbers(*next(parts), order)[0])
        text = next(parts)[1]
        if length <= 0:
            raise ValueError(f"field names have {length} characters")
        fields = [
            text[i : i + length].split(b"\0")[0].decode("ascii", "replace")
            for i in range(0, len(text), length)
        ]
        values_of: dict[str, list[Any]] = {field: [] for field in fields}
        for _ in range(_checked_count(size * len(fields), content) // max(1, len(fields))):
            for field in fields:
                values_of[field].append(_nested(parts, order, depth))
        return name, values_of
    return name, None


def _nested(parts: Iterator[tuple[int, bytes]], order: str, depth: int) -> Any:
    kind, data = next(parts)
    if kind != MATRIX:
        raise ValueError(f"an element of type {kind} is not an array")
    return _matrix(data, order, depth=depth + 1)[1]


def _checked_count(n: int, content: bytes) -> int:
    if 8 * n > len(content):
        raise ValueError(f"it declares {n:,} arrays in {len(content):,} bytes")
    return n


def _numbers(kind: int, data: bytes, order: str) -> np.ndarray:
    if kind not in STORED:
        raise ValueError(f"an element of type {kind} is not numeric")
    return np.frombuffer(data, dtype=np.dtype(order + STORED[kind])).astype(STORED[kind])


def _text(kind: int, data: bytes, shape: tuple[int, ...], order: str) -> Any:
    codec = CODECS[order].get(kind)
    if codec is None:
        raise ValueError(f"an element of type {kind} is not text")
    letters = data.decode(codec)
    if len(shape) != 2 or len(letters) != math.prod(shape):
        raise ValueError(f"text has {len(letters):,} characters, but the shape {shape}")
    rows = [letters[row :: shape[0]].rstrip() for row in range(shape[0])]
    return rows[0] if len(rows) == 1 else np.array(rows, dtype=str)
