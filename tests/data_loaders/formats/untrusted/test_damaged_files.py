"""Damaged files of every form are read or refused in one line; nothing crashes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from neurofit.data_loaders import formats, open_recording, write_recording
from neurofit.data_loaders.formats import nwb, probe, stored_images
from neurofit.errors import NeurofitError
from neurofit.recordings.recording import Recording

Make = Callable[..., Recording]
Write = Callable[[str, Path], tuple[Path, Path]]


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Return a file cut short, with bits flipped, or with a run of bytes that are others."""
    changed = bytearray(content)
    way = rng.integers(3)
    if way == 0:
        return bytes(changed[: rng.integers(len(content))])
    if way == 1:
        for _ in range(rng.integers(1, 4)):
            changed[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
    else:
        begin, n = rng.integers(len(content)), int(rng.integers(1, 16))
        changed[begin : begin + n] = rng.bytes(n)
    return bytes(changed)


def test_a_damaged_file_is_read_or_refused_in_a_line(
    tmp_path: Path,
    form: str,
    monkeypatch: pytest.MonkeyPatch,
    write_small: Write,
    open_all: Callable[[Path], None],
) -> None:
    monkeypatch.setattr(probe, "CPU_SECONDS", 2.0)
    file, opened = write_small(form, tmp_path)
    content = file.read_bytes()
    rng = np.random.default_rng(0)
    said: list[str] = []
    for _ in range(
        15 if form in ("nc", "hdf5", "matlab_v7_3", "nwb") else 60
    ):  # a process of its own looks at each
        file.write_bytes(damaged(content, rng))
        try:
            open_all(opened)
        except NeurofitError as error:
            said.append(str(error))
    assert len(said) > 2
    assert max(map(len, said)) < 1000
    assert not [
        line for line in said if "Type-check" in line
    ]  # ours, that a wide `except` would hide
    file.write_bytes(content)
    assert open_recording(opened).responses.size > 0


def test_hdf5_that_the_library_loops_over_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_small: Write
) -> None:
    path, _ = write_small("nc", tmp_path)
    slow = tmp_path / "slow.py"
    slow.write_text("while True: pass")
    monkeypatch.setattr(probe, "__file__", str(slow))
    monkeypatch.setattr(probe, "CPU_SECONDS", 0.2)
    with pytest.raises(
        NeurofitError, match="it is damaged: checking it does not end, or crashes the HDF5 library"
    ):
        open_recording(path)
    slow.write_text("import os; os.abort()")
    path.touch()
    with pytest.raises(
        NeurofitError, match="it is damaged: checking it does not end, or crashes the HDF5 library"
    ):
        open_recording(path)


OTHERS: list[Callable[[tuple[int, ...]], Any]] = [
    lambda shape: np.full(shape, b"text"),
    lambda shape: np.full(shape, np.nan),
    lambda shape: np.full(shape, np.iinfo(np.int64).min),
    lambda shape: np.full(shape, np.iinfo(np.uint64).max),
    lambda shape: np.full(shape, 1e300),
    lambda shape: np.zeros(shape, [("a", "i4"), ("b", "S3")]),
    lambda shape: np.full(shape, h5py.Reference(), h5py.ref_dtype),
    lambda shape: np.zeros((*shape, 2), np.complex64),
    lambda shape: np.zeros((0, *shape[1:])),
    lambda shape: h5py.Empty("f8"),
    lambda shape: -1,
    lambda shape: "text",
]
"""What may stand in place of a dataset of a shape."""


ROUNDS = 40
"""Of the changes above that are tried; all of them were, once."""


@pytest.mark.parametrize("form", ["nwb", "matlab_v7_3"])
def test_a_dataset_of_another_kind_is_read_or_refused_in_a_line(
    tmp_path: Path,
    form: str,
    monkeypatch: pytest.MonkeyPatch,
    write_small: Write,
    open_all: Callable[[Path], None],
) -> None:
    for module in (
        formats,
        nwb,
        stored_images,
    ):  # these files are whole: what looks at them first finds nothing
        monkeypatch.setattr(module, "check_hdf5", lambda path: None)
    path, opened = write_small(form, tmp_path)
    content = path.read_bytes()
    names: list[str] = []
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
        )
    chosen = [(name, other) for name in names for other in OTHERS]
    said: list[str] = []
    for number in np.random.default_rng(0).permutation(len(chosen))[:ROUNDS]:
        name, other = chosen[number]
        path.write_bytes(content)
        with h5py.File(path, "a") as file:
            shape, attrs = file[name].shape, dict(file[name].attrs)
            del file[name]
            file[name] = other(shape)
            file[name].attrs.update(attrs)
        try:
            open_all(opened)
        except NeurofitError as error:
            said.append(str(error))
    assert len(said) > 2
    assert max(len(line) for line in said) < 1000
    assert not [line for line in said if "Type-check" in line]


def test_a_recording_that_becomes_damaged_while_it_is_in_use_is_said_to_be(
    make_recording: Make, tmp_path: Path
) -> None:
    write_recording(make_recording(), tmp_path / "r.nc")
    recording = open_recording(tmp_path / "r.nc")
    (tmp_path / "r.nc").write_bytes((tmp_path / "r.nc").read_bytes()[:3000])
    with pytest.raises(NeurofitError, match="was changed while it was in use"):
        recording.block(0)
