"""MATLAB files of v5 to v7, in pure Python: numbers, texts, cells and structures; objects, functions and sparse matrices are left out.

Damaged files crash the reader of SciPy (a fault of its compiled part ends the process), so every length is checked here against what
is there. Format: MathWorks, "MAT-File Format" (2024), chapter 1.
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

STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8", 16: "u1", 17: "u2", 18: "u4"}
"""Type of a data element -> how its numbers are stored."""

NUMERIC = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
"""Class of an array of numbers -> what MATLAB shows."""

CODECS = {"<": {1: "latin-1", 2: "latin-1", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le", 18: "utf-32-le"}}
CODECS[">"] = {kind: codec.replace("-le", "-be") for kind, codec in CODECS["<"].items()}
"""Order of bytes -> type of a data element -> how its text is stored."""

MATRIX, COMPRESSED = 14, 15
CELL, STRUCTURE, TEXT = 1, 2, 4
COMPLEX = 0x800
MAX_DEPTH = 16


def read_mat(path: Path) -> dict[str, Any]:
    """Return the variables of a MATLAB file that are data.

    Parameters
    ----------
    path
        Of v5 to v7; v7.3 is HDF5.

    Returns
    -------
    Name -> array of numbers; str (an array of str for several rows, without MATLAB's padding); array of objects for a cell; for a
    structure, dict of field -> list of a value for each element.

    Raises
    ------
    NeurofitError
        If the file is damaged, or would fill memory.
    """
    content = path.read_bytes()
    if len(content) < 128 or content[126:128] not in (b"IM", b"MI"):
        raise NeurofitError(f"{path} is no MATLAB file of v5 to v7, or is cut short.")
    order = "<" if content[126:128] == b"IM" else ">"
    most = min(MAX_BYTES, max(FREE_BYTES, MAX_RATIO * len(content)))
    found: dict[str, Any] = {}
    try:
        for kind, data in _elements(content[128:], order):
            if kind == COMPRESSED:
                inflater = zlib.decompressobj()
                inflated = inflater.decompress(data, most)
                if inflater.unconsumed_tail:
                    raise NeurofitError(f"{path} is damaged, or made to fill memory: it holds more than {most / 1e9:.2f} GB.")
                if not inflater.eof:
                    raise ValueError("compressed data end early")
                most -= len(inflated)
                kind, data = next(_elements(inflated, order))
            if kind == MATRIX:
                name, value = _matrix(data, order, depth=0)
                if value is not None:
                    found[name] = value
    except (ValueError, StopIteration, struct.error, zlib.error, UnicodeDecodeError, OverflowError) as error:
        raise NeurofitError(f"{path} is a damaged MATLAB file: {str(error) or 'an element is missing'}.") from error
    return found


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Go through (type, data) of the elements that lie one after the other."""
    at = 0
    while at < len(content):
        kind, size = struct.unpack_from(f"{order}II", content, at)
        if kind >> 16:  # four bytes or less lie in the tag itself
            kind, size, begin, after = kind & 0xFFFF, kind >> 16, at + 4, at + 8
            if size > 4:
                raise ValueError(f"a short element of {size} bytes")
        else:
            begin = at + 8
            after = begin + size + (-size % 8 if kind != COMPRESSED else 0)
        if begin + size > len(content):
            raise ValueError(f"an element of {size:,} bytes where {len(content) - begin:,} are left")
        yield kind, content[begin : begin + size]
        at = after


def _matrix(content: bytes, order: str, *, depth: int) -> tuple[str, Any]:
    if not content:  # an empty cell
        return "", np.empty((0, 0))
    if depth > MAX_DEPTH:
        raise ValueError(f"cells in cells, more than {MAX_DEPTH} deep")
    parts = _elements(content, order)
    (flags,) = struct.unpack_from(f"{order}I", next(parts)[1])
    sizes = next(parts)[1]
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    size = math.prod(shape)
    if size < 0 or min(shape, default=0) < 0:
        raise ValueError(f"an array of {shape}")
    name = next(parts)[1].decode("ascii", "replace")
    kind = flags & 0xFF
    if kind == TEXT:
        return name, _text(*next(parts), shape, order)
    if kind in NUMERIC:
        values = _numbers(*next(parts), order)
        if len(values) != size:
            raise ValueError(f"{name} has {len(values):,} numbers, its shape is {shape}")
        return name, None if flags & COMPLEX else values.astype(NUMERIC[kind]).reshape(shape, order="F")
    if kind == CELL:
        cells = np.empty(_held(size, content), dtype=object)
        for i in range(size):
            cells[i] = _inside(parts, order, depth)
        return name, cells.reshape(shape, order="F")
    if kind == STRUCTURE:
        length = int(_numbers(*next(parts), order)[0])
        text = next(parts)[1]
        if length <= 0:
            raise ValueError(f"names of {length} letters")
        fields = [text[i : i + length].split(b"\0")[0].decode("ascii", "replace") for i in range(0, len(text), length)]
        values_of: dict[str, list[Any]] = {field: [] for field in fields}
        for _ in range(_held(size * len(fields), content) // max(1, len(fields))):
            for field in fields:
                values_of[field].append(_inside(parts, order, depth))
        return name, values_of
    return name, None


def _inside(parts: Iterator[tuple[int, bytes]], order: str, depth: int) -> Any:
    kind, data = next(parts)
    if kind != MATRIX:
        raise ValueError(f"an element of type {kind} in place of an array")
    return _matrix(data, order, depth=depth + 1)[1]


def _held(n: int, content: bytes) -> int:
    if 8 * n > len(content):
        raise ValueError(f"{n:,} arrays in {len(content):,} bytes")
    return n


def _numbers(kind: int, data: bytes, order: str) -> np.ndarray:
    if kind not in STORED:
        raise ValueError(f"an element of type {kind} in place of numbers")
    return np.frombuffer(data, dtype=np.dtype(order + STORED[kind])).astype(STORED[kind])


def _text(kind: int, data: bytes, shape: tuple[int, ...], order: str) -> Any:
    codec = CODECS[order].get(kind)
    if codec is None:
        raise ValueError(f"an element of type {kind} in place of text")
    letters = data.decode(codec)
    if len(shape) != 2 or len(letters) != math.prod(shape):
        raise ValueError(f"{len(letters):,} letters, their shape is {shape}")
    rows = [letters[row :: shape[0]].rstrip() for row in range(shape[0])]
    return rows[0] if len(rows) == 1 else np.array(rows, dtype=str)
