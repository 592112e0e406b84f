"""Reader of TensorFlow V2 checkpoints ("tensor bundles") that does not need TensorFlow.

`PREFIX.index` is a LevelDB table: sorted blocks of (name of a variable, BundleEntryProto), each
followed by a byte for its compression and a masked crc32c. An entry states which bytes of which
`PREFIX.data-0000i-of-0000n` contain the tensor, and their masked crc32c.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from neurofit.errors import NeurofitError

_MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
_FOOTER = 48  # two block handles, zeros up to 40 bytes, the magic number
_TRAILER = 5  # after each block: compression, masked crc32c
_LONGEST_KEY = 4096  # bytes; prefix compression could otherwise demand any amount of memory

_DTYPES: Mapping[int, str] = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8"}
"""DataType of TensorFlow -> dtype of numpy, for supported types."""

_UNSUPPORTED: Mapping[int, str] = {
    4: "uint8",
    5: "int16",
    6: "int8",
    7: "string",
    8: "complex64",
    10: "bool",
    14: "bfloat16",
    17: "uint16",
    18: "complex128",
    19: "half",
    20: "resource",
    21: "variant",
    22: "uint32",
    23: "uint64",
}


def read_bundle(path: str | Path) -> dict[str, npt.NDArray[Any]]:
    """Read all tensors of a checkpoint, checking the crc32c of every block and tensor.

    Parameters
    ----------
    path
        Common prefix of the checkpoint's files, such as `model.ckpt`, or the path of one of them.

    Returns
    -------
    dict[str, NDArray]
        Name of the variable -> read-only values (float32, float64, int32 or int64).

    Raises
    ------
    NeurofitError
        If a file is missing or damaged, a type or compression is not supported, or google-crc32c is
        not installed.

    Notes
    -----
    Sources: LevelDB's doc/table_format.md; TensorFlow's core/protobuf/tensor_bundle.proto and
    core/lib/io/format.cc.
    """
    prefix, crc32c = _prefix(path), find_crc32c()
    n_shards, entries = _read_index(prefix, crc32c)
    found: dict[str, npt.NDArray[Any]] = {}
    for shard in sorted({entry.shard for entry in entries.values()}):
        inside = {name: entry for name, entry in entries.items() if entry.shard == shard}
        found |= _read_shard(_shard_path(prefix, shard, n_shards), inside, crc32c)
    return {name: found[name] for name in entries}


def bundle_files(path: str | Path) -> list[Path]:
    """Return the paths of a checkpoint's index and shards.

    Errors are those of `read_bundle`, as far as they concern the index.
    """
    prefix = _prefix(path)
    n_shards, entries = _read_index(prefix, find_crc32c())
    return [
        _index_path(prefix),
        *(
            _shard_path(prefix, shard, n_shards)
            for shard in sorted({e.shard for e in entries.values()})
        ),
    ]


Crc32c = Callable[[bytes], int]
"""Computes the crc32c of bytes."""


@dataclass(frozen=True)
class _Entry:
    """Position of a tensor in a shard, in bytes, with the masked crc32c of its content."""

    dtype: str
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc32c: int


class _Damage(Exception):
    """Damage of a file, whose path the caller adds to the message."""


def _prefix(path: str | Path) -> str:
    return re.sub(r"\.(index|data-\d{5}-of-\d{5})$", "", os.fspath(path))


def _index_path(prefix: str) -> Path:
    return Path(f"{prefix}.index")


def _shard_path(prefix: str, shard: int, n_shards: int) -> Path:
    return Path(f"{prefix}.data-{shard:05d}-of-{n_shards:05d}")


def find_crc32c() -> Crc32c:
    """Return the function that computes a crc32c.

    Raises
    ------
    NeurofitError
        If google-crc32c is not installed.
    """
    try:
        import google_crc32c
    except ImportError as error:
        raise NeurofitError(
            "Reading TensorFlow checkpoints needs google-crc32c: pip install 'neurofit[convert]'."
        ) from error
    crc32c: Crc32c = google_crc32c.value
    return crc32c


def _mask_crc32c(crc: int) -> int:
    """Return the form in which LevelDB and TensorFlow store a crc32c."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _read_index(prefix: str, crc32c: Crc32c) -> tuple[int, dict[str, _Entry]]:
    """Return the number of shards, and name -> entry."""
    path = _index_path(prefix)
    if not path.is_file():
        raise NeurofitError(
            f"Checkpoint {prefix} not found: {path.name} is missing. "
            "Give the common prefix of its files, such as model.ckpt."
        )
    try:
        with _open(path) as (file, _):
            pairs = _read_table(file.read(), crc32c)
        key, header = next(pairs, (None, b""))
        if key != b"":
            raise _Damage("its first entry is not the header of a checkpoint")
        n_shards = _parse_header(header)
        entries = {_text(key): _parse_entry(_text(key), value, n_shards) for key, value in pairs}
    except _Damage as damage:
        raise NeurofitError(
            f"{path} is damaged or not the index of a TensorFlow V2 checkpoint: {damage}."
        ) from None
    return n_shards, entries


def _read_table(content: bytes, crc32c: Crc32c) -> Iterator[tuple[bytes, bytes]]:
    """Yield (key, value) of a LevelDB table in order, after checking all of its blocks."""
    footer = content[-_FOOTER:]
    if len(footer) < _FOOTER or footer[-8:] != _MAGIC:
        raise _Damage("the magic number at its end is missing, as in a truncated file")
    metaindex, position = _read_handle(footer, 0)
    index, position = _read_handle(footer, position)
    if any(footer[position:-8]):
        raise _Damage("its footer is not padded with zeros")
    _read_block(content, metaindex, crc32c)
    handles = [
        _read_handle(value, 0)[0] for _, value in _parse_block(_read_block(content, index, crc32c))
    ]
    blocks = [_read_block(content, handle, crc32c) for handle in dict.fromkeys(handles)]
    last: bytes | None = None
    for block in blocks:
        for key, value in _parse_block(block):
            if last is not None and key <= last:
                raise _Damage(f"its names are not sorted at {_text(key)!r}")
            yield key, value
            last = key


def _read_handle(content: bytes, position: int) -> tuple[tuple[int, int], int]:
    """Return (offset, size) of a block in bytes, and the position after them."""
    offset, position = _read_varint(content, position)
    size, position = _read_varint(content, position)
    return (offset, size), position


def _read_block(content: bytes, handle: tuple[int, int], crc32c: Crc32c) -> bytes:
    """Check a block, and return it without its trailer."""
    offset, size = handle
    end = offset + size
    if end + _TRAILER + _FOOTER > len(content):
        raise _Damage(f"the block of {size} bytes at {offset} exceeds the file")
    stored = int.from_bytes(content[end + 1 : end + _TRAILER], "little")
    if _mask_crc32c(crc32c(content[offset : end + 1])) != stored:
        raise _Damage(f"the block of {size} bytes at {offset} does not match its crc32c")
    if compression := content[end]:
        name = "snappy" if compression == 1 else f"type {compression}"
        raise _Damage(f"its blocks are compressed ({name}), which is not supported")
    return content[offset:end]


def _parse_block(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (key, value) of a block, in which keys are prefix-compressed."""
    n_restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (n_restarts + 1)
    if end < 0:
        raise _Damage("a block is shorter than its list of restarts")
    position, key = 0, b""
    while position < end:
        shared, position = _read_varint(block, position)
        rest, position = _read_varint(block, position)
        size, position = _read_varint(block, position)
        if shared > len(key) or shared + rest > _LONGEST_KEY or position + rest + size > end:
            raise _Damage("an entry exceeds its block")
        key = key[:shared] + block[position : position + rest]
        position += rest
        yield key, block[position : position + size]
        position += size


def _parse_header(content: bytes) -> int:
    """Return the number of shards from a BundleHeaderProto."""
    fields = dict(_parse_fields(content))
    n_shards = _integer(fields.get(1, 0))
    if n_shards < 1:
        raise _Damage(f"its header states {n_shards} shards")
    if fields.get(2, 0) != 0:
        raise _Damage("its numbers are big-endian, which is not supported")
    return n_shards


def _parse_entry(name: str, content: bytes, n_shards: int) -> _Entry:
    """Parse and check a BundleEntryProto."""
    fields = list(_parse_fields(content))
    one = dict(fields)
    dtype = one.get(1, 0)
    if 7 in one:
        raise _Damage(f"{name!r} is stored in slices, which is not supported")
    if not isinstance(dtype, int) or dtype not in _DTYPES:
        raise _Damage(
            f"{name!r} has type {_UNSUPPORTED.get(_integer(dtype), dtype)}; "
            "only float32, float64, int32 and int64 are supported"
        )
    shape_content = b"".join(
        value for number, value in fields if number == 2 and isinstance(value, bytes)
    )
    shape = tuple(
        _integer(dict(_parse_fields(value)).get(1, 0))
        for number, value in _parse_fields(shape_content)
        if number == 2
    )
    entry = _Entry(
        _DTYPES[dtype], shape, *(_integer(one.get(number, 0)) for number in (3, 4, 5, 6))
    )
    expected = math.prod(shape) * np.dtype(entry.dtype).itemsize
    absurd = (
        any(n < 0 for n in shape) or len(shape) > 8 or math.prod(max(n, 1) for n in shape) > 2**40
    )
    if entry.size != expected or absurd:
        raise _Damage(
            f"{name!r} with shape {shape} and {np.dtype(entry.dtype)} "
            f"cannot have {entry.size} bytes"
        )
    if not 0 <= entry.shard < n_shards or entry.offset < 0:
        raise _Damage(
            f"{name!r} cannot be at byte {entry.offset} of shard {entry.shard} of {n_shards}"
        )
    return entry


def _parse_fields(content: bytes | int) -> Iterator[tuple[int, int | bytes]]:
    """Yield (number, value) of a protobuf message's fields; values are integers or bytes."""
    if isinstance(content, int):
        raise _Damage("a message is expected instead of a number")
    position = 0
    while position < len(content):
        tag, position = _read_varint(content, position)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, position = _read_varint(content, position)
            yield number, value - (value >> 63 << 64)  # int64, in two's complement
            continue
        if kind == 2:
            size, position = _read_varint(content, position)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise _Damage(f"a message has a field of unknown type {kind}")
        if position + size > len(content):
            raise _Damage("a message is shorter than its fields")
        field = content[position : position + size]
        yield number, field if kind == 2 else int.from_bytes(field, "little")
        position += size


def _read_varint(content: bytes, position: int) -> tuple[int, int]:
    """Return a number in groups of seven bits, the lowest first, and the position after it."""
    value = 0
    for i, byte in enumerate(content[position : position + 10]):
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            if value >= 2**64 or (byte == 0 and i):  # only the shortest form is valid
                break
            return value, position + i + 1
    raise _Damage("a number is not validly encoded")


def _integer(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise _Damage("a number is expected instead of bytes")
    return value


def _text(key: bytes) -> str:
    try:
        return key.decode()
    except UnicodeDecodeError:
        raise _Damage(f"a name is not UTF-8: {key[:40]!r}") from None


def _read_shard(
    path: Path, entries: Mapping[str, _Entry], crc32c: Crc32c
) -> dict[str, npt.NDArray[Any]]:
    """Read tensors from one file."""
    if not path.is_file():
        raise NeurofitError(f"File of the checkpoint not found: {path}.")
    found, end = {}, 0
    try:
        with _open(path) as (file, length):
            for name, entry in sorted(entries.items(), key=lambda item: item[1].offset):
                if entry.offset < end:
                    raise _Damage(f"{name!r} overlaps the tensor before it")
                end = entry.offset + entry.size
                if end > length:
                    raise _Damage(
                        f"{name!r} ends at byte {end}, but the file has {length}: "
                        "it is truncated or belongs to another checkpoint"
                    )
                file.seek(entry.offset)
                content = file.read(entry.size)
                if _mask_crc32c(crc32c(content)) != entry.crc32c:
                    raise _Damage(f"{name!r} does not match its crc32c")
                found[name] = np.frombuffer(content, entry.dtype).reshape(entry.shape)
    except _Damage as damage:
        raise NeurofitError(f"{path} is damaged: {damage}.") from None
    return found


@contextmanager
def _open(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """Yield an open file and its length in bytes."""
    try:
        with open(path, "rb") as file:
            yield file, os.fstat(file.fileno()).st_size
    except OSError as error:
        raise NeurofitError(f"Cannot read {path}: {error.strerror or error}.") from error
