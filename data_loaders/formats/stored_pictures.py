"""A picture as a dataset of an HDF5 file, as a frame of one, or as a file of its own: read when asked for, to 8 bits of three colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from neurofit.data_loaders.formats.limits import short
from neurofit.data_loaders.formats.pictures import MAX_PICTURE_BYTES
from neurofit.data_loaders.formats.probe import check_hdf5
from neurofit.errors import NeurofitError
from neurofit.stimuli import MAX_PIXELS, decode_image, over_gray


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Where a picture is, and how it is stored.

    Parameters
    ----------
    file
        The HDF5 file, or the picture itself.
    name
        For messages.
    dataset, frame
        Where it is in the HDF5 file, and which frame of a dataset of several; no dataset: it is a file of its own.
    rows_first
        Whether its height comes before its width.
    shape
        Its own: two axes, and of 1, 3 or 4 colours where there is a third.
    place
        Where it is from, for a person.
    degrees
        Its width in degrees of visual angle, where that is known.
    """

    file: Path
    name: str
    dataset: str = ""
    frame: int | None = None
    rows_first: bool = True
    shape: tuple[int, ...] = ()
    place: str = ""
    degrees: float | None = None

    @property
    def stands_in(self) -> tuple[Path, str]:
        """The file and its group, or dataset of frames, whose pictures are all of one kind."""
        return self.file, self.dataset if self.frame is not None else self.dataset.rpartition("/")[0]

    def __str__(self) -> str:
        return f"{self.name} in {self.file.name}" if self.dataset else str(self.file)


@dataclass(frozen=True)
class StoredImages:
    """The pictures of stimuli, read when asked for; a file is open only while it is read."""

    pictures: Sequence[Picture]
    _ranges: dict[tuple[Path, str], bool] = field(default_factory=dict, repr=False, compare=False)

    @property
    def origin(self) -> str:
        """Where the first is from, for a person."""
        return self.pictures[0].place if self.pictures else ""

    def __len__(self) -> int:
        return len(self.pictures)

    def content(self, index: int, /) -> bytes:
        """Return the bytes of a picture; of one that cannot be read its fault, which is raised when the picture is asked for."""
        try:
            return self[index].tobytes()
        except NeurofitError as error:
            return str(error).encode()

    def __getitem__(self, index: int, /) -> np.ndarray:
        picture = self.pictures[index]
        try:
            if not picture.dataset:
                return decode_image(picture.file.read_bytes(), name=str(picture))
            check_hdf5(picture.file)
            values = _read(picture)
            return _pixels(values, picture, small=_is_small(values) and self._are_small(picture))
        except (NeurofitError, MemoryError):
            raise
        except Exception as error:  # h5py raises nearly anything on broken bytes
            raise NeurofitError(f"Cannot read {picture}: {short(error)}. It is damaged, or was changed while it was in use.") from error

    def _are_small(self, picture: Picture) -> bool:
        """Return whether all pictures that stand with this one have small numbers: one alone may only be dark."""
        if picture.stands_in not in self._ranges:
            others = {(each.dataset, each.frame): each for each in self.pictures if each.stands_in == picture.stands_in}
            self._ranges[picture.stands_in] = all(_may_be_small(each) for each in others.values())
        return self._ranges[picture.stands_in]


def _is_small(values: np.ndarray) -> bool:
    """Return whether numbers are as of fractions, or as of 8 bits where 16 are stored."""
    return values.size > 0 and float(values.max()) <= (1 if values.dtype.kind == "f" else 255)


def _may_be_small(picture: Picture) -> bool:
    try:
        return _is_small(_read(picture))
    except Exception:  # whoever asks for this one is told what is wrong with it
        return True


def _read(picture: Picture) -> np.ndarray:
    import h5py

    with h5py.File(picture.file, "r") as file:
        item = file[picture.dataset]
        shape = item.shape if picture.frame is None else item.shape[1:]
        if shape != picture.shape:
            raise ValueError(f"its shape is {shape}, it was {picture.shape}")
        n_pixels, n_bytes = shape[0] * shape[1], float(np.prod(shape, dtype=np.float64)) * item.dtype.itemsize
        together = float(np.prod(item.chunks, dtype=np.float64)) * item.dtype.itemsize if item.chunks else 0.0
        if n_pixels > MAX_PIXELS or max(n_bytes, together) > MAX_PICTURE_BYTES:
            raise NeurofitError(
                f"Stimulus image {picture} claims {shape[0]} x {shape[1]} px, and {max(n_bytes, together) / 1e6:,.0f} MB that are read "
                f"at once; at most {MAX_PIXELS} pixels and {MAX_PICTURE_BYTES / 1e6:,.0f} MB are read."
            )
        if _unwritten(item):
            raise ValueError("it declares pixels that were never written")
        return np.asarray(item[()] if picture.frame is None else item[picture.frame])


def _unwritten(item: Any) -> bool:
    """Return whether pixels of a dataset are not in the file: what the file's fill value would stand for."""
    if item.chunks is None:
        return bool(item.id.get_storage_size() == 0)
    n_chunks = np.prod([-(-n // chunk) for n, chunk in zip(item.shape, item.chunks, strict=True)], dtype=np.float64)
    return bool(item.id.get_num_chunks() < n_chunks)


def _pixels(values: np.ndarray, picture: Picture, *, small: bool) -> np.ndarray:
    """Return uint8 (height width channel), channel = 3, of a picture as it is stored."""
    values = _eight_bits(values if picture.rows_first else values.swapaxes(0, 1), picture, small=small)
    if values.ndim == 2 or values.shape[2] == 1:
        return np.repeat(values.reshape(*values.shape[:2], 1), 3, axis=2)
    return over_gray(values) if values.shape[2] == 4 else np.ascontiguousarray(values)


def _eight_bits(values: np.ndarray, picture: Picture, *, small: bool) -> np.ndarray:
    """Return uint8 of 8 bits in any type, fractions from 0 to 1 (times 255), and 16 bits (divided by 257).

    `small` says of floats whether they are fractions, of 16 bits whether only 8 are used.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind not in "buif":
        raise NeurofitError(f"Stimulus image {picture} holds {values.dtype}; pixels are numbers.")
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= (65535 if values.dtype == np.uint16 else 255)):
        raise NeurofitError(f"Stimulus image {picture} has values from {low:g} to {high:g}; pixels are 0 to 1, 0 to 255 or of 16 bits.")
    if values.dtype.kind == "b" or (values.dtype.kind == "f" and small):
        return np.rint(values * 255.0).astype(np.uint8)
    return np.rint(values / 257.0 if values.dtype == np.uint16 and not small else values).astype(np.uint8)
