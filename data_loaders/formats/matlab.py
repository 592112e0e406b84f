"""Reader of MATLAB files, v5 to v7: numbers, sparse matrices, text, cells and structures.

Objects, functions and complex numbers are left out by name. Damaged files crash the compiled reader
of SciPy (1.17: `loadmat` ends the process in 50 of 1,500 files with 1 to 5 changed bytes; whether
it crashes may depend on memory: the same file may raise an error at another time), and reading each
file in a process of its own would take 90 s for a raster folder of 132 sites, so this reader is
pure Python and checks every length. Format: MathWorks, "MAT-File Format" (2024), chapter 1.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csc_matrix

from neurofit.data_loaders.formats.limits import FREE_BYTES, MAX_BYTES, MAX_RATIO, refuse_large
from neurofit.errors import NeurofitError

STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8"}
STORED |= {12: "i8", 13: "u8", 16: "u1", 17: "u2", 18: "u4"}
"""Type of a data element -> stored dtype."""

NUMERIC = dict(enumerate(["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"], start=6))
"""Class of a numeric array -> dtype in MATLAB."""

CODECS = {
    "<": {1: "latin-1", 2: "latin-1", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le", 18: "utf-32-le"}
}
CODECS[">"] = {kind: codec.replace("-le", "-be") for kind, codec in CODECS["<"].items()}
"""Byte order -> type of a data element -> text encoding."""

MATRIX, COMPRESSED = 14, 15
CELL, STRUCTURE, OBJECT, TEXT, SPARSE, OPAQUE = 1, 2, 3, 4, 5, 17
COMPLEX = 0x800
MAX_DEPTH = 16
MAX_CELLS = 200_000
"""Largest number of cells in an array, and of fields in a structure times its elements; the largest
experiments have some 100,000 presentations."""


@dataclass(frozen=True)
class LeftOut:
    """A value that is not read, and what it is: "a string object", for example."""

    kind: str


class _TooManyError(Exception):
    """What a file has more of than is read."""


def read_mat(path: Path) -> dict[str, Any]:
    """Return the variables of a MATLAB file of v5 to v7 (v7.3 is HDF5).

    Returns
    -------
    dict
        Name -> value: numeric array; str, or array of str for several rows (without padding);
        object array for a cell; for a structure, dict of field -> list with a value per element;
        `LeftOut` for objects, functions and complex numbers.

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
                if name:  # the data of objects have none
                    found[name] = value
    except _TooManyError as error:
        raise NeurofitError(f"{path} has {error}.") from error
    except (ValueError, StopIteration, struct.error, zlib.error, OverflowError) as error:
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
            left = len(content) - begin
            raise ValueError(f"an element declares {size:,} bytes, {left:,} are left")
        yield kind, content[begin : begin + size]
        at = after


def _matrix(content: bytes, order: str, *, depth: int) -> tuple[str, Any]:
    if not content:  # an empty cell
        return "", np.empty((0, 0))
    if depth > MAX_DEPTH:
        raise ValueError(f"cells are nested more than {MAX_DEPTH} deep")
    parts = _elements(content, order)
    (flags,) = struct.unpack_from(f"{order}I", next(parts)[1])
    kind = flags & 0xFF
    if kind == OPAQUE:
        name, _, of = (next(parts)[1].decode("ascii", "replace") for _ in range(3))
        return name, LeftOut(f"a {of[:60]} object")
    sizes = next(parts)[1]
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    size = math.prod(shape)
    if size < 0 or min(shape, default=0) < 0:
        raise ValueError(f"an array has the shape {shape}")
    name = next(parts)[1].decode("ascii", "replace")
    if kind == TEXT:
        return name, _text(*next(parts), shape, order)
    if kind in NUMERIC:
        values = _numbers(*next(parts), order)
        if len(values) != size:
            raise ValueError(f"{name} has {len(values):,} numbers, but the shape {shape}")
        if flags & COMPLEX:
            return name, LeftOut("an array of complex numbers")
        return name, values.astype(NUMERIC[kind]).reshape(shape, order="F")
    if kind == SPARSE and not flags & COMPLEX:
        rows, columns, values = (_numbers(*next(parts), order) for _ in range(3))
        refuse_large(name, 8.0 * size, stored=len(content))
        return name, from_columns(values, rows, columns, shape=shape)
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
        names = [text[i : i + length].split(b"\0")[0] for i in range(0, len(text), length)]
        fields = [each.decode("ascii", "replace") for each in names]
        n = _checked_count(size * len(fields), content)
        held = [_nested(parts, order, depth) for _ in range(n)]
        return name, {field: held[i :: len(fields)] for i, field in enumerate(fields)}
    of = next(parts)[1].decode("ascii", "replace")[:60] if kind == OBJECT else "function or complex"
    return name, LeftOut(f"a {of} object")


def from_columns(
    values: np.ndarray, rows: np.ndarray, starts: np.ndarray, *, shape: tuple[int, ...]
) -> np.ndarray:
    """Return a sparse matrix, stored by columns as MATLAB does, as an array.

    Raises
    ------
    ValueError
        If a row or the start of a column lies outside the matrix.
    """
    parts = (values.astype("f8"), rows.astype("i8"), starts.astype("i8"))
    matrix = csc_matrix(parts, (shape[0], shape[1]))
    matrix.check_format(full_check=True)
    return np.asarray(matrix.toarray())


def _nested(parts: Iterator[tuple[int, bytes]], order: str, depth: int) -> Any:
    kind, data = next(parts)
    if kind != MATRIX:
        raise ValueError(f"an element of type {kind} is not an array")
    return _matrix(data, order, depth=depth + 1)[1]


def _checked_count(n: int, content: bytes) -> int:
    if 8 * n > len(content):
        raise ValueError(f"it declares {n:,} arrays in {len(content):,} bytes")
    if n > MAX_CELLS:
        raise _TooManyError(f"{n:,} cells or fields in an array; at most {MAX_CELLS:,} are read")
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
    rows = [letters[row :: shape[0]] for row in range(shape[0])]
    if len(rows) > 1:  # shorter rows of a matrix of text are filled with blanks
        rows = [row.rstrip() for row in rows]
    return rows[0] if len(rows) == 1 else np.array(rows, dtype=str)
