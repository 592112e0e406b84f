"""TensorFlow checkpoints are read correctly, or refused with the reason."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurofit.errors import NeurofitError
from neurofit.models.bundle import bundle_files, find_crc32c, read_bundle

Write = Callable[..., Path]

VARIABLES: dict[str, npt.NDArray[Any]] = {
    "global_step": np.array(312500),
    "net/conv1/bias": np.arange(5, dtype=np.float32),
    "net/conv1/bias/Momentum": np.full(5, 0.01, np.float32),
    "net/conv1/weights": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "net/conv10/weights": -np.arange(6, dtype=np.float64).reshape(1, 6),
    "net/counts": np.array([[-1, 2], [3, 2**30]], dtype=np.int32),
    "net/empty": np.zeros((0, 3), np.float32),
    "net/µ": np.array([0.5], dtype=np.float32),
}


@pytest.fixture
def index(tmp_path: Path, write_bundle: Write) -> Path:
    return write_bundle(tmp_path / "model.ckpt", VARIABLES)


def shard(index: Path) -> Path:
    return index.with_name("model.ckpt.data-00000-of-00001")


def refusal(index: Path) -> str:
    """Return the error message of reading, which has at most two lines."""
    with pytest.raises(NeurofitError) as caught:
        read_bundle(index)
    assert len(str(caught.value).splitlines()) <= 2
    return str(caught.value)


@pytest.mark.parametrize("n_shards", [1, 3])
@pytest.mark.parametrize("name", ["model.ckpt", "model.ckpt.index"])
def test_every_tensor_comes_back(
    tmp_path: Path, write_bundle: Write, n_shards: int, name: str
) -> None:
    write_bundle(tmp_path / "model.ckpt", VARIABLES, n_shards=n_shards)
    read = read_bundle(tmp_path / name)
    assert list(read) == sorted(VARIABLES)
    for variable, values in VARIABLES.items():
        assert read[variable].dtype == values.dtype
        assert read[variable].shape == values.shape
        np.testing.assert_array_equal(read[variable], values)


def test_the_files_are_the_index_and_its_shards(tmp_path: Path, write_bundle: Write) -> None:
    index = write_bundle(tmp_path / "model.ckpt", VARIABLES, n_shards=2)
    names = ["model.ckpt.index", "model.ckpt.data-00000-of-00002", "model.ckpt.data-00001-of-00002"]
    assert [file.name for file in bundle_files(index)] == names


def test_a_checkpoint_that_tensorflow_wrote_is_read(shared: Callable[[str], Path]) -> None:
    read = read_bundle(shared("golden/ckpt/simplernn_shallow") / "model.ckpt")
    assert read["global_step"] == 312500
    assert len(read) == 64
    # Source of these values: docs/zoo.md, section 11.1.
    for name, values in read.items():
        z = (
            np.random.Generator(np.random.PCG64([zlib.crc32(name.encode()), 0]))
            .standard_normal(values.shape)
            .astype(np.float32)
        )
        if name.endswith("/Momentum"):
            np.testing.assert_allclose(values, 0.01 * z, rtol=1e-6)
        elif name.endswith("/bias"):
            np.testing.assert_allclose(values, 0.1 * z, rtol=1e-6)


def test_the_checksum_is_the_published_one() -> None:
    assert find_crc32c()(b"123456789") == 0xE3069283  # RFC 3720, the Castagnoli polynomial


def test_a_flipped_bit_of_the_index_is_refused_wherever_it_is(index: Path) -> None:
    content = index.read_bytes()
    footer = len(content) - 48  # it has no checksum: all of its bits
    for position in range(len(content)):
        for bit in range(8) if position >= footer else (position % 8,):
            index.write_bytes(
                content[:position] + bytes([content[position] ^ 1 << bit]) + content[position + 1 :]
            )
            assert str(index) in refusal(index), (position, bit)


def test_every_flipped_byte_of_the_data_is_refused_by_the_tensors_name(index: Path) -> None:
    content = shard(index).read_bytes()
    for position in range(len(content)):
        shard(index).write_bytes(
            content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]
        )
        assert f"{shard(index)} is damaged: '" in (message := refusal(index))
        assert message.endswith("' does not match its crc32c.")


def test_a_truncated_index_is_refused_at_every_length(index: Path) -> None:
    content = index.read_bytes()
    for length in range(len(content)):
        index.write_bytes(content[:length])
        assert "is damaged or not the index of a TensorFlow V2 checkpoint" in refusal(index)


def test_truncated_data_are_refused_at_every_length(index: Path) -> None:
    content = shard(index).read_bytes()
    for length in range(len(content)):
        shard(index).write_bytes(content[:length])
        assert f"but the file has {length}: it is truncated" in refusal(index)


def test_missing_files_are_named(index: Path) -> None:
    assert "other.ckpt not found: other.ckpt.index is missing" in refusal(
        index.with_name("other.ckpt")
    )
    shard(index).unlink()
    assert refusal(index) == f"File of the checkpoint not found: {shard(index)}."
    index.unlink()
    index.mkdir()
    assert "model.ckpt.index is missing" in refusal(index)


@pytest.mark.parametrize(
    ("name", "appended", "message"),
    [  # the last of repeated fields counts: field << 3 | kind, value
        ("net/counts", b"\x08\x07", "'net/counts' has type string; only float32"),
        ("net/counts", b"\x08\x0e", "'net/counts' has type bfloat16"),
        ("net/counts", b"\x08\x63", "'net/counts' has type 99"),
        ("net/counts", b"\x08\x09", "with shape (2, 2) and int64 cannot have 16 bytes"),
        ("net/counts", b"\x12\x04\x12\x02\x08\x7f", "with shape (2, 2, 127) and int32"),
        ("net/counts", b"\x12\x0d\x12\x0b\x08" + b"\xff" * 9 + b"\x01", "with shape (2, 2, -1)"),
        ("net/counts", b"\x18\x01", "of shard 1 of 1"),
        ("net/counts", b"\x20" + b"\xff" * 9 + b"\x01", "cannot be at byte -1"),
        ("net/counts", b"\x20\x00", "'net/counts' overlaps the tensor before it"),
        (
            "net/counts",
            b"\x20\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
            "'net/counts' ends at byte 9223372036854775823",
        ),
        (
            "net/counts",
            b"\x28\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
            "cannot have 9223372036854775807 bytes",
        ),
        (
            "net/empty",
            b"\x12\x10" + b"\x12\x06\x08\xff\xff\xff\xff\x07" * 2,
            "2147483647, 2147483647) and float32 cannot have 0 bytes",
        ),
        ("net/counts", b"\x3a\x00", "stored in slices"),
        ("net/counts", b"\x12\x7f", "shorter than its fields"),
        ("net/counts", b"\x0b", "a field of unknown type 3"),
        ("net/counts", b"\x22\x00", "a number is expected instead of bytes"),
        ("", b"\x10\x01", "big-endian"),
        ("", b"\x08\x00", "states 0 shards"),
    ],
)
def test_an_entry_that_is_not_read_is_refused(
    tmp_path: Path, write_bundle: Write, name: str, appended: bytes, message: str
) -> None:
    assert message in refusal(
        write_bundle(tmp_path / "model.ckpt", VARIABLES, append={name: appended})
    )


@pytest.mark.parametrize(("compression", "name"), [(1, "snappy"), (4, "type 4")])
def test_a_compressed_block_is_refused(
    tmp_path: Path, write_bundle: Write, compression: int, name: str
) -> None:
    message = refusal(write_bundle(tmp_path / "model.ckpt", VARIABLES, compression=compression))
    assert f"its blocks are compressed ({name}), which is not supported" in message


def test_an_unknown_field_is_passed_over(tmp_path: Path, write_bundle: Write) -> None:
    unknown = b"\xa0\x06\x01" + b"\xa2\x06\x02ab" + b"\xa5\x06abcd" + b"\xa1\x06abcdefgh"
    write_bundle(tmp_path / "model.ckpt", VARIABLES, append={"net/counts": unknown, "": unknown})
    assert len(read_bundle(tmp_path / "model.ckpt")) == len(VARIABLES)


@given(content=st.binary(max_size=300), magic=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
def test_arbitrary_bytes_are_refused(tmp_path: Path, content: bytes, magic: bool) -> None:
    index = tmp_path / "model.ckpt.index"
    index.write_bytes(content + (0xDB4775248B80FB57).to_bytes(8, "little") * magic)
    refusal(index)


@given(seed=st.integers(0, 2**32 - 1), n_changes=st.integers(1, 6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=500)
def test_changed_blocks_with_a_right_checksum_are_read_or_refused(
    tmp_path: Path, write_bundle: Write, seed: int, n_changes: int
) -> None:
    rng = np.random.default_rng(seed)

    def change(block: bytes) -> bytes:
        changed = bytearray(block)
        for _ in range(n_changes if rng.random() < 0.5 else 0):
            match rng.integers(3):
                case 0:
                    changed[rng.integers(len(changed))] = rng.choice(
                        [0, 1, 0x7F, 0x80, 0xFF, int(rng.integers(256))]
                    )
                case 1:
                    changed.insert(rng.integers(len(changed)), rng.integers(256))
                case _ if len(changed) > 1:
                    del changed[rng.integers(len(changed))]
        return bytes(changed)

    index = write_bundle(tmp_path / "model.ckpt", VARIABLES, edit=change)
    try:
        read = read_bundle(index)
    except NeurofitError as error:
        assert len(str(error).splitlines()) <= 2  # noqa: PT017 - reading may succeed
    else:
        assert all(isinstance(values, np.ndarray) for values in read.values())


def test_without_the_checksums_package_it_is_named(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "google_crc32c", None)
    assert "pip install 'neurofit[convert]'" in refusal(index)
