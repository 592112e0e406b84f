"""Reads TensorFlow V2 checkpoints ("tensor bundles") without TensorFlow; the crc32c of every block and every tensor is checked.

`PREFIX.index` is a LevelDB table: sorted blocks of (variable's name, BundleEntryProto), each followed by a byte for its compression
and a masked crc32c. The entry says which bytes of which `PREFIX.data-0000i-of-0000n` are the tensor, and their masked crc32c.
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
_TRAILER = 5  # behind each block: compression, masked crc32c
_LONGEST_KEY = 4096  # bytes; a few of a prefix-compressed block could otherwise ask for any amount of memory

_DTYPES: Mapping[int, str] = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8"}
"""TensorFlow's DataType -> numpy's name, of those that are read."""

_REFUSED: Mapping[int, str] = {
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
    """Return every tensor of a checkpoint, after checking all of its checksums.

    Parameters
    ----------
    path
        The prefix that its files share, such as `model.ckpt`, or the path of one of them.

    Returns
    -------
    dict[str, NDArray]
        Variable's name, as in the checkpoint, -> values: float32, float64, int32 or int64, read-only.

    Raises
    ------
    NeurofitError
        If a file is missing, truncated or damaged, a tensor's type or a block's compression is none that is read here, or
        google-crc32c is not installed.

    Notes
    -----
    Sources: LevelDB's doc/table_format.md; TensorFlow's core/protobuf/tensor_bundle.proto and core/lib/io/format.cc.
    """
    prefix, crc32c = _prefix(path), find_crc32c()
    n_shards, entries = _read_index(prefix, crc32c)
    found: dict[str, npt.NDArray[Any]] = {}
    for shard in sorted({entry.shard for entry in entries.values()}):
        inside = {name: entry for name, entry in entries.items() if entry.shard == shard}
        found |= _read_shard(_shard_path(prefix, shard, n_shards), inside, crc32c)
    return {name: found[name] for name in entries}


def bundle_files(path: str | Path) -> list[Path]:
    """Return the files of a checkpoint: its index, then its shards. Raises as `read_bundle`, for the index."""
    prefix = _prefix(path)
    n_shards, entries = _read_index(prefix, find_crc32c())
    return [_index_path(prefix), *(_shard_path(prefix, shard, n_shards) for shard in sorted({e.shard for e in entries.values()}))]


Crc32c = Callable[[bytes], int]
"""Takes bytes, gives their crc32c."""


@dataclass(frozen=True)
class _Entry:
    """Where a tensor lies: `size` bytes from `offset` on in a shard, with the masked crc32c that they should have."""

    dtype: str
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc32c: int


class _Damage(Exception):
    """What is wrong with the bytes of a file; its path is added where it is known."""


def _prefix(path: str | Path) -> str:
    return re.sub(r"\.(index|data-\d{5}-of-\d{5})$", "", os.fspath(path))


def _index_path(prefix: str) -> Path:
    return Path(f"{prefix}.index")


def _shard_path(prefix: str, shard: int, n_shards: int) -> Path:
    return Path(f"{prefix}.data-{shard:05d}-of-{n_shards:05d}")


def find_crc32c() -> Crc32c:
    """Return google-crc32c's function of some bytes.

    Raises
    ------
    NeurofitError
        If it is not installed.
    """
    try:
        import google_crc32c
    except ImportError as error:
        raise NeurofitError("Reading TensorFlow checkpoints needs google-crc32c: pip install 'neurofit[convert]'.") from error
    crc32c: Crc32c = google_crc32c.value
    return crc32c


def _masked(crc: int) -> int:
    """Return the form in which LevelDB and TensorFlow store a crc32c."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _read_index(prefix: str, crc32c: Crc32c) -> tuple[int, dict[str, _Entry]]:
    """Return the number of shards, and name -> entry."""
    path = _index_path(prefix)
    if not path.is_file():
        raise NeurofitError(f"There is no checkpoint at {prefix}: {path.name} is missing. Give the prefix of its files, as model.ckpt.")
    try:
        with _opened(path) as (file, _):
            pairs = _table(file.read(), crc32c)
        key, header = next(pairs, (None, b""))
        if key != b"":
            raise _Damage("its first entry is not a checkpoint's header")
        n_shards = _header(header)
        entries = {_text(key): _entry(_text(key), value, n_shards) for key, value in pairs}
    except _Damage as damage:
        raise NeurofitError(f"{path} is not the index of a TensorFlow V2 checkpoint, or is damaged: {damage}.") from None
    return n_shards, entries


def _table(content: bytes, crc32c: Crc32c) -> Iterator[tuple[bytes, bytes]]:
    """Yield (key, value) of a LevelDB table, in order; all of its blocks are checked first."""
    footer = content[-_FOOTER:]
    if len(footer) < _FOOTER or footer[-8:] != _MAGIC:
        raise _Damage("it does not end with a table's magic number, as a truncated file would not")
    metaindex, position = _handle(footer, 0)
    index, position = _handle(footer, position)
    if any(footer[position:-8]):
        raise _Damage("its footer is not filled up with zeros")
    _block(content, metaindex, crc32c)
    handles = [_handle(value, 0)[0] for _, value in _pairs(_block(content, index, crc32c))]
    blocks = [_block(content, handle, crc32c) for handle in dict.fromkeys(handles)]
    last: bytes | None = None
    for block in blocks:
        for key, value in _pairs(block):
            if last is not None and key <= last:
                raise _Damage(f"its names are not in order at {_text(key)!r}")
            yield key, value
            last = key


def _handle(content: bytes, position: int) -> tuple[tuple[int, int], int]:
    """Return (offset, size) of a block, in bytes, and the position behind them."""
    offset, position = _varint(content, position)
    size, position = _varint(content, position)
    return (offset, size), position


def _block(content: bytes, handle: tuple[int, int], crc32c: Crc32c) -> bytes:
    """Return a block without its trailer, which is checked."""
    offset, size = handle
    end = offset + size
    if end + _TRAILER + _FOOTER > len(content):
        raise _Damage(f"a block of {size} bytes at {offset} would reach beyond its end")
    stored = int.from_bytes(content[end + 1 : end + _TRAILER], "little")
    if _masked(crc32c(content[offset : end + 1])) != stored:
        raise _Damage(f"the block of {size} bytes at {offset} does not have its crc32c")
    if compression := content[end]:
        name = "snappy" if compression == 1 else f"type {compression}"
        raise _Damage(f"its blocks are compressed ({name}), and only uncompressed ones are read")
    return content[offset:end]


def _pairs(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield a block's (key, value). A key is stored as the length that it shares with the one before and the rest."""
    n_restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (n_restarts + 1)
    if end < 0:
        raise _Damage("a block is shorter than its list of restarts")
    position, key = 0, b""
    while position < end:
        shared, position = _varint(block, position)
        rest, position = _varint(block, position)
        size, position = _varint(block, position)
        if shared > len(key) or shared + rest > _LONGEST_KEY or position + rest + size > end:
            raise _Damage("an entry is longer than its block")
        key = key[:shared] + block[position : position + rest]
        position += rest
        yield key, block[position : position + size]
        position += size


def _header(content: bytes) -> int:
    """Return the number of shards from a BundleHeaderProto."""
    fields = dict(_fields(content))
    n_shards = _integer(fields.get(1, 0))
    if n_shards < 1:
        raise _Damage(f"its header names {n_shards} shards")
    if fields.get(2, 0) != 0:
        raise _Damage("its numbers are big-endian, and only little-endian ones are read")
    return n_shards


def _entry(name: str, content: bytes, n_shards: int) -> _Entry:
    """Return a BundleEntryProto, checked for sense."""
    fields = list(_fields(content))
    one = dict(fields)
    dtype = one.get(1, 0)
    if 7 in one:
        raise _Damage(f"{name!r} is stored in slices, and only whole tensors are read")
    if not isinstance(dtype, int) or dtype not in _DTYPES:
        raise _Damage(f"{name!r} is of type {_REFUSED.get(_integer(dtype), dtype)}, and only float32, float64, int32 and int64 are read")
    shape_content = b"".join(value for number, value in fields if number == 2 and isinstance(value, bytes))
    shape = tuple(_integer(dict(_fields(value)).get(1, 0)) for number, value in _fields(shape_content) if number == 2)
    entry = _Entry(_DTYPES[dtype], shape, *(_integer(one.get(number, 0)) for number in (3, 4, 5, 6)))
    expected = math.prod(shape) * np.dtype(entry.dtype).itemsize
    absurd = any(n < 0 for n in shape) or len(shape) > 8 or math.prod(max(n, 1) for n in shape) > 2**40
    if entry.size != expected or absurd:
        raise _Damage(f"{name!r} of shape {shape} and {np.dtype(entry.dtype)} is said to be {entry.size} bytes")
    if not 0 <= entry.shard < n_shards or entry.offset < 0:
        raise _Damage(f"{name!r} lies at byte {entry.offset} of shard {entry.shard}, of {n_shards} shards")
    return entry


def _fields(content: bytes | int) -> Iterator[tuple[int, int | bytes]]:
    """Yield (number, value) of a protobuf message's fields: integers, or the bytes of texts and messages."""
    if isinstance(content, int):
        raise _Damage("a number stands where a message should")
    position = 0
    while position < len(content):
        tag, position = _varint(content, position)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, position = _varint(content, position)
            yield number, value - (value >> 63 << 64)  # int64, in two's complement
            continue
        if kind == 2:
            size, position = _varint(content, position)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise _Damage(f"a message has a field of type {kind}")
        if position + size > len(content):
            raise _Damage("a message is shorter than its fields")
        field = content[position : position + size]
        yield number, field if kind == 2 else int.from_bytes(field, "little")
        position += size


def _varint(content: bytes, position: int) -> tuple[int, int]:
    """Return a number stored in groups of seven bits, the lowest first, and the position behind it."""
    value = 0
    for i, byte in enumerate(content[position : position + 10]):
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            if value >= 2**64 or (byte == 0 and i):  # a number has one spelling only, so that no flipped bit goes unseen
                break
            return value, position + i + 1
    raise _Damage("a number is not spelt as it should be")


def _integer(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise _Damage("a text stands where a number should")
    return value


def _text(key: bytes) -> str:
    try:
        return key.decode()
    except UnicodeDecodeError:
        raise _Damage(f"a name is not UTF-8: {key[:40]!r}") from None


def _read_shard(path: Path, entries: Mapping[str, _Entry], crc32c: Crc32c) -> dict[str, npt.NDArray[Any]]:
    """Return the tensors of one file."""
    if not path.is_file():
        raise NeurofitError(f"A file of the checkpoint is missing: {path}.")
    found, end = {}, 0
    try:
        with _opened(path) as (file, length):
            for name, entry in sorted(entries.items(), key=lambda item: item[1].offset):
                if entry.offset < end:
                    raise _Damage(f"{name!r} lies over the tensor before it")
                end = entry.offset + entry.size
                if end > length:
                    raise _Damage(f"{name!r} ends at byte {end}, and the file has {length}: it is truncated, or of another checkpoint")
                file.seek(entry.offset)
                content = file.read(entry.size)
                if _masked(crc32c(content)) != entry.crc32c:
                    raise _Damage(f"{name!r} does not have its crc32c")
                found[name] = np.frombuffer(content, entry.dtype).reshape(entry.shape)
    except _Damage as damage:
        raise NeurofitError(f"{path} is damaged: {damage}.") from None
    return found


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """Yield an open file and its length in bytes."""
    try:
        with open(path, "rb") as file:
            yield file, os.fstat(file.fileno()).st_size
    except OSError as error:
        raise NeurofitError(f"Cannot read {path}: {error.strerror or error}.") from error
