"""Images in HDF5 datasets, frames of a dataset or image files, read on access as 8-bit RGB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from neurofit.data_loaders.formats.limits import short
from neurofit.data_loaders.formats.probe import check_hdf5
from neurofit.data_loaders.formats.stimuli import MAX_IMAGE_BYTES
from neurofit.errors import NeurofitError
from neurofit.recordings.image_decoding import MAX_PIXELS, decode_image, over_gray


@dataclass(frozen=True, kw_only=True)
class StoredImage:
    """Location and storage of an image; those of equal name and shape are taken for the same.

    Parameters
    ----------
    file
        Image file, or HDF5 file with the dataset (and frame in it) that holds the image.
    rows_first
        Whether height precedes width.
    shape
        Stored shape: two axes, and a third of 1, 3 or 4 channels if there is one.
    origin
        Description of the source, for listings.
    degrees
        Width in degrees of visual angle, if known.
    """

    file: Path = field(compare=False)
    name: str
    dataset: str = field(default="", compare=False)
    frame: int | None = field(default=None, compare=False)
    rows_first: bool = field(default=True, compare=False)
    shape: tuple[int, ...] = ()
    origin: str = field(default="", compare=False)
    degrees: float | None = field(default=None, compare=False)

    @property
    def group(self) -> tuple[Path, str]:
        """File and HDF5 group, or dataset of frames, whose images share a range of values."""
        group = self.dataset.rpartition("/")[0] if self.frame is None else self.dataset
        return self.file, group

    def __str__(self) -> str:
        return f"{self.name} in {self.file.name}" if self.dataset else str(self.file)


@dataclass(frozen=True)
class StoredImages:
    """Images of stimuli, read on access; a file is open only while it is read."""

    images: Sequence[StoredImage]
    _ranges: dict[tuple[Path, str], bool] = field(default_factory=dict, repr=False, compare=False)

    @property
    def origin(self) -> str:
        """Description of the source of the first image, for listings."""
        return self.images[0].origin if self.images else ""

    def __len__(self) -> int:
        return len(self.images)

    def content(self, index: int, /) -> bytes:
        """Return the bytes of an image to be hashed; for an unreadable one, the error message."""
        try:
            return self[index].tobytes()
        except NeurofitError as error:
            return str(error).encode()

    def __getitem__(self, index: int, /) -> np.ndarray:
        image = self.images[index]
        try:
            if not image.dataset:
                return decode_image(image.file.read_bytes(), name=str(image))
            check_hdf5(image.file)
            values = _read(image)
            return _pixels(values, image, small=_is_small(values) and self._are_small(image))
        except (NeurofitError, MemoryError):
            raise
        except Exception as error:  # h5py may raise any error on damaged files
            raise NeurofitError(
                f"Cannot read {image}: {short(error)}. "
                "It is damaged, or was changed while it was in use."
            ) from error

    def _are_small(self, image: StoredImage) -> bool:
        """Return whether all images of a group have small values; one alone may just be dark."""
        if image.group not in self._ranges:
            own = [each for each in self.images if each.group == image.group]
            others = {(each.dataset, each.frame): each for each in own}
            self._ranges[image.group] = all(map(_may_be_small, others.values()))
        return self._ranges[image.group]


def _is_small(values: np.ndarray) -> bool:
    """Return whether floats are at most 1, or integers at most 255."""
    return values.size > 0 and float(values.max()) <= (1 if values.dtype.kind == "f" else 255)


def _may_be_small(image: StoredImage) -> bool:
    try:
        return _is_small(_read(image))
    except Exception:  # reported when this image is read
        return True


def _read(image: StoredImage) -> np.ndarray:
    import h5py

    with h5py.File(image.file, "r") as file:
        item = file[image.dataset]
        shape = item.shape if image.frame is None else item.shape[1:]
        if shape != image.shape:
            raise ValueError(f"its shape is {shape}, it was {image.shape}")
        sizes = [np.prod(each, dtype=np.float64) for each in (shape, item.chunks or (0,))]
        n_bytes = float(max(sizes)) * item.dtype.itemsize  # a chunk is always read whole
        if shape[0] * shape[1] > MAX_PIXELS or n_bytes > MAX_IMAGE_BYTES:
            raise NeurofitError(
                f"Stimulus image {image} declares {shape[0]} x {shape[1]} pixels and "
                f"{n_bytes / 1e6:,.0f} MB to be read at once; "
                f"the limits are {MAX_PIXELS} pixels and {MAX_IMAGE_BYTES / 1e6:,.0f} MB."
            )
        if _has_unwritten_pixels(item):
            raise ValueError("it declares pixels that were never written")
        return np.asarray(item[()] if image.frame is None else item[image.frame])


def _has_unwritten_pixels(item: Any) -> bool:
    """Return whether a dataset has pixels that are not in the file but filled in by HDF5."""
    if item.chunks is None:
        return bool(item.id.get_storage_size() == 0)
    n_chunks = np.prod(np.ceil(np.divide(item.shape, item.chunks)))
    return bool(item.id.get_num_chunks() < n_chunks)


def _pixels(values: np.ndarray, image: StoredImage, *, small: bool) -> np.ndarray:
    """Convert stored values to uint8 (height width channel) with 3 channels."""
    values = _eight_bits(values if image.rows_first else values.swapaxes(0, 1), image, small=small)
    if values.ndim == 2 or values.shape[2] == 1:
        return np.repeat(values.reshape(*values.shape[:2], 1), 3, axis=2)
    return over_gray(values) if values.shape[2] == 4 else np.ascontiguousarray(values)


def _eight_bits(values: np.ndarray, image: StoredImage, *, small: bool) -> np.ndarray:
    """Convert 8-bit values of any type, fractions (times 255) and 16 bits (by 257) to uint8.

    `small` states whether floats are fractions, and whether 16-bit values use only 8 bits.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind not in "buif":
        raise NeurofitError(
            f"Stimulus image {image} contains {values.dtype}; pixels must be numbers."
        )
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= (65535 if values.dtype == np.uint16 else 255)):
        raise NeurofitError(
            f"Stimulus image {image} has values from {low:g} to {high:g}; "
            "pixels must be 0 to 1, 0 to 255 or 16-bit."
        )
    if values.dtype.kind == "b" or (values.dtype.kind == "f" and small):
        values = values * 255.0
    elif values.dtype == np.uint16 and not small:
        values = values / 257.0
    return np.asarray(np.rint(values), dtype=np.uint8)
