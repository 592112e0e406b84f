"""The images of a recording: a table with one row per stimulus, and where each picture comes from."""

from __future__ import annotations

import hashlib
import io
import sys
import threading
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from PIL import Image, ImageOps, UnidentifiedImageError

from neurofit.errors import NeurofitError

GRAY_LEVEL = 128
"""Mid gray of 8 bits: what lies behind and around a picture; Brain-Score's."""

MAX_PIXELS = 2**26
"""Larger pictures (8192 x 8192 px) are refused: a few hostile bytes can claim any size."""

MAX_BYTES = 2**28
"""A larger file of a picture in an archive is refused before it is decompressed."""

KEPT_BYTES = 2**28
"""So many bytes of decoded pictures a process keeps: 1,300 of 256 x 256 px."""

OTHER_BYTE = {
    **{f"{mode};16{order}": f"{mode};16{'L' if order == 'B' else 'B'}" for mode in ("RGB", "RGBA", "RGBX") for order in "BL"},
    **{f"{mode};16N": f"{mode};16{'B' if sys.byteorder == 'little' else 'L'}" for mode in ("RGB", "RGBA", "RGBX")},
    "LA;16B": "RGBA",
}
"""How Pillow calls 16 bits in a file -> what to call them to be given the other byte."""


@runtime_checkable
class ImageSource(Protocol):
    """Anything that gives picture number i as uint8 (height width channel), channel = 3."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> np.ndarray: ...


@runtime_checkable
class HasContent(Protocol):
    """An image source that gives the bytes of picture number i as they are stored: what its hash is of."""

    def content(self, index: int, /) -> bytes:
        """Return them."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)  # two tables have no single truth value
class StimulusSet:
    """The stimuli of a recording.

    Parameters
    ----------
    name
        Name of the set, the same in every recording that used it.
    table
        One row per stimulus, in the order of `images`: `stimulus_id` (unique), and optionally `object_name` and
        `category` (used to stratify splits) and whatever else is known.
    images
        The pictures: uint8 (height width channel), one per row.
    visual_degrees
        Width of a picture in degrees of visual angle.
    duration_ms
        How long each picture was shown, in ms.

    Raises
    ------
    NeurofitError
        If ids are missing or repeated, or there are not as many images as rows.
    """

    name: str
    table: pd.DataFrame
    images: ImageSource
    visual_degrees: float
    duration_ms: float

    def __post_init__(self) -> None:
        if "stimulus_id" not in self.table:
            raise NeurofitError(
                f"Stimulus set {self.name}: the table needs a column stimulus_id; it has {', '.join(map(str, self.table)) or 'none'}."
            )
        unnamed = np.flatnonzero(self.table.stimulus_id.isna())
        if len(unnamed):
            raise NeurofitError(f"Stimulus set {self.name}: every row needs a stimulus_id; row {unnamed[0]} has none.")
        repeated = self.table.stimulus_id[self.table.stimulus_id.duplicated()]
        if len(repeated):
            raise NeurofitError(f"Stimulus set {self.name}: stimulus_id must be unique; {repeated.iloc[0]!r} occurs more than once.")
        if len(self.table) != len(self.images):
            raise NeurofitError(f"Stimulus set {self.name}: {len(self.table)} rows but {len(self.images)} images.")

    def __len__(self) -> int:
        return len(self.table)

    @property
    def ids(self) -> np.ndarray:
        """The stimulus ids, in the order of the images: array (stimulus)."""
        return np.asarray(self.table.stimulus_id.to_numpy())

    def need_images(self) -> None:
        """Refuse to go on without pictures."""
        if isinstance(self.images, NoImages):
            self.images[0]

    def pictures_sha256(self) -> str:
        """Return the hash of which picture belongs to which id, in their order; empty without pictures.

        Each picture is read once, and not decoded: of files, and of members of an archive, the bytes are hashed. So a folder and an
        archive of the same files have the same hash, and one picture in two forms (PNG, JPEG) has two.

        Raises
        ------
        NeurofitError
            If a picture cannot be read; it is named.
        """
        if isinstance(self.images, NoImages):
            return ""
        whole = hashlib.sha256()
        for row, stimulus in enumerate(self.ids):
            content = _content(self.images, row)
            whole.update(f"{stimulus} {len(content)} ".encode())
            whole.update(content)
        return whole.hexdigest()

    def only(self, rows: Sequence[int]) -> StimulusSet:
        """Return the stimuli at some positions."""
        return replace(self, table=self.table.iloc[list(rows)], images=_Reordered(self.images, np.asarray(rows)))

    def shuffled(self, seed: int) -> StimulusSet:
        """Return the set with its pictures dealt to the wrong rows at random: a control whose true score is 0."""
        order = np.random.default_rng(seed).permutation(len(self))
        return replace(self, name=f"{self.name}, shuffled with seed {seed}", images=_Reordered(self.images, order))


@dataclass(frozen=True)
class _Reordered:
    images: ImageSource
    order: np.ndarray

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int, /) -> np.ndarray:
        return self.images[int(self.order[index])]


def _content(images: ImageSource, row: int) -> bytes:
    """Return the bytes of a picture's file, or, where it has none, its shape, type and values."""
    if isinstance(images, _Reordered):
        return _content(images.images, int(images.order[row]))
    if isinstance(images, HasContent):
        return images.content(row)
    values = np.ascontiguousarray(images[row])
    return f"{values.shape} {values.dtype} ".encode() + values.tobytes()


@dataclass(frozen=True)
class NoImages:
    """The pictures of a recording that came without any: it has a ceiling, but no model can be scored against it.

    Parameters
    ----------
    n
        Number of stimuli.
    source
        The recording's file or name, for the message.
    why
        A sentence, where there are pictures that cannot be taken.
    """

    n: int
    source: str | Path
    why: str = ""

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int, /) -> np.ndarray:
        raise NeurofitError(
            f"{self.source} comes without pictures: no model can be scored against it, it is good for ceilings only.\n"
            f"{self.why}{' ' * bool(self.why)}"
            "If you have them, give --images (a table, a .zip or a folder), or put stimuli.csv and stimuli.zip beside it."
        )


@dataclass(frozen=True)
class ImageFiles:
    """Pictures as files in a folder, decoded when asked for.

    Parameters
    ----------
    paths
        Their files.
    keep
        Whether decoded pictures are kept (`decode_once`).
    """

    paths: Sequence[Path]
    keep: bool = True

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int, /) -> np.ndarray:
        return (decode_once if self.keep else decode_image)(self.content(index), name=str(self.paths[index]))

    def content(self, index: int) -> bytes:
        """Return the bytes of a picture's file."""
        path = self.paths[index]
        if not path.is_file():
            raise NeurofitError(f"Stimulus image {path} does not exist.")
        return path.read_bytes()


@dataclass(frozen=True)
class ImageZip:
    """Pictures inside a zip archive, decoded when asked for, never unpacked."""

    path: Path
    names: Sequence[str]
    _archive: list[zipfile.ZipFile] = field(default_factory=list, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int, /) -> np.ndarray:
        return decode_once(self.content(index), name=f"{self.names[index]} in {self.path}")

    def content(self, index: int) -> bytes:
        """Return the bytes of a picture's file in the archive."""
        try:
            if not self._archive:
                self._archive.append(zipfile.ZipFile(self.path))
            size = self._archive[0].getinfo(self.names[index]).file_size
            if size > MAX_BYTES:
                raise NeurofitError(
                    f"Stimulus image {self.names[index]} in {self.path} would be {size / 1e6:.0f} MB, over {MAX_BYTES / 1e6:.0f}."
                )
            return self._archive[0].read(self.names[index])
        except KeyError:
            raise NeurofitError(f"Stimulus image {self.names[index]} is not in {self.path}.") from None
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:  # the last: a password
            raise NeurofitError(f"Cannot read {self.path} as a zip archive of stimuli: {str(error)[:160]}.") from error


def decode_once(content: bytes, *, name: str) -> np.ndarray:
    """As `decode_image`, but the same bytes are decoded once in a process, as long as there is room; the array cannot be written to."""
    return _kept.decode(content, name=name)


class _Kept:
    """Decoded pictures by the hash of their bytes, up to `KEPT_BYTES`.

    Once full it keeps what it has: sets of pictures are gone through in order again and again, so that the one not asked for longest
    is the one that is needed next.
    """

    def __init__(self) -> None:
        self.pictures: dict[bytes, np.ndarray] = {}
        self.n_bytes = 0
        self._lock = threading.Lock()

    def decode(self, content: bytes, *, name: str) -> np.ndarray:
        key = hashlib.sha256(content).digest()
        if key in self.pictures:
            return self.pictures[key]
        picture = decode_image(content, name=name)
        picture.flags.writeable = False
        with self._lock:
            if key not in self.pictures and self.n_bytes + picture.nbytes <= KEPT_BYTES:
                self.pictures[key] = picture
                self.n_bytes += picture.nbytes
        return picture


_kept = _Kept()


def decode_image(content: bytes, *, name: str) -> np.ndarray:
    """Decode a picture (any format Pillow reads) to uint8 (height width channel), RGB.

    Gray is repeated; 16 bits are scaled to 8 (value / 257; of CMYK the upper 8 are taken); a transparent picture is laid over mid gray
    (128), which is also what surrounds a picture on the screen; palettes and CMYK become RGB; a photograph is turned as its EXIF
    orientation says; of an animation the first frame is taken.

    Raises
    ------
    NeurofitError
        If the bytes are not a whole picture, have more than `MAX_PIXELS` pixels, or 32 bits per pixel whose white is not known;
        `name` says which.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > MAX_PIXELS:  # before a byte of it is decompressed
                raise ValueError(f"it claims {image.width} x {image.height} px, at most {MAX_PIXELS} pixels are read")
            pixels = _sixteen_bits(image, content)
            return _rgb(ImageOps.exif_transpose(image), form=str(image.format)) if pixels is None else _scaled(pixels, image)
    except Exception as error:  # Pillow's decoders raise nearly anything on broken bytes
        said = "its form is not known" if isinstance(error, UnidentifiedImageError) else str(error)  # Pillow names an address
        raise NeurofitError(f"Stimulus image {name} is not a readable picture: {said}.") from error


def _rgb(image: Image.Image, *, form: str) -> np.ndarray:
    sixteen_bits = image.mode.startswith("I;16") or (image.mode == "I" and form in ("PNG", "PPM"))  # 16 bits are "I" in older Pillows
    if image.mode in ("I", "F") and not sixteen_bits:
        raise ValueError("its pixels have 32 bits, and which value is white is not known; save it with 8 or 16 bits")
    if sixteen_bits:
        gray = np.rint(np.asarray(image, dtype=np.float64) / 257).clip(0, 255).astype(np.uint8)
        return np.repeat(gray[..., None], 3, axis=2)
    if image.mode not in ("LA", "La", "PA", "RGBA", "RGBa") and "transparency" not in image.info:
        return np.asarray(image.convert("RGB"))
    return over_gray(np.asarray(image.convert("RGBA")))


def _sixteen_bits(image: Image.Image, content: bytes) -> np.ndarray | None:
    """Return the pixels of a picture with 16 bits a colour, uint16 (height width channel); None: it has not, or is gray without opacity.

    Pillow keeps the upper byte of each. The lower ones are what it keeps if it is told that the bytes lie in the other order.
    """
    forms = [_form_of(tile) for tile in getattr(image, "tile", ())]
    if not forms or not all(form in OTHER_BYTE for form in forms):
        return None
    with Image.open(io.BytesIO(content)) as other:
        other.tile = [_in_form(tile, OTHER_BYTE[_form_of(tile)]) for tile in other.tile]
        lower = np.asarray(ImageOps.exif_transpose(other), dtype=np.uint16)
    if forms[0] == "LA;16B":  # both bytes of both
        return np.repeat(256 * lower[..., ::2] + lower[..., 1::2], [3, 1], axis=2)
    return np.asarray(256 * np.asarray(ImageOps.exif_transpose(image), dtype=np.uint16) + lower)


def _form_of(tile: Any) -> str:
    """Return what Pillow calls the form of a tile's pixels in the file: alone or the first of several, where it says it at all."""
    args = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
    return str(*args[:1])


def _in_form(tile: Any, form: str) -> Any:
    args = (form, *tile[3][1:]) if isinstance(tile[3], tuple) else form
    return tile._replace(args=args) if hasattr(tile, "_replace") else (*tile[:3], args)


def _scaled(pixels: np.ndarray, image: Image.Image) -> np.ndarray:
    """Return 16 bits as 8, laid over mid gray where they are transparent."""
    clear = image.info.get("transparency")
    eight = np.rint(pixels / 257).astype(np.uint8)
    if pixels.shape[2] == 3 and clear is not None:
        eight = np.dstack([eight, np.where((pixels == clear).all(axis=2), 0, 255).astype(np.uint8)])
    return over_gray(eight) if eight.shape[2] == 4 else eight


def over_gray(picture: np.ndarray) -> np.ndarray:
    """Lay a transparent picture over mid gray.

    Parameters
    ----------
    picture
        uint8 (height width channel), channel = 4: red, green, blue, opacity.

    Returns
    -------
    numpy.ndarray
        uint8 (height width channel), channel = 3.
    """
    colours, opacity = np.split(picture.astype(np.float64), [3], axis=2)
    return np.asarray(np.rint(GRAY_LEVEL + (colours - GRAY_LEVEL) * opacity / 255).astype(np.uint8))
