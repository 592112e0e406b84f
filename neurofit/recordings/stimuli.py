"""Stimuli of a recording: a table with one row per stimulus, and its images."""

from __future__ import annotations

import hashlib
import threading
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd

from neurofit.config.notebook import Facts
from neurofit.errors import NeurofitError
from neurofit.recordings.image_decoding import decode_image
from neurofit.recordings.times import ASSUMED

MAX_BYTES = 2**28
"""Largest image file that is read."""

CACHE_BYTES = 2**28
"""Size of a process's cache of decoded images: 1,300 of 256 x 256 px."""


@runtime_checkable
class ImageSource(Protocol):
    """Sequence of images, each uint8 (height width channel) with channel = 3."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> np.ndarray: ...


@runtime_checkable
class HasContent(Protocol):
    """An image source that also gives the stored bytes of each image, for hashing."""

    def content(self, index: int, /) -> bytes:
        """Return the bytes of an image as they are stored."""
        ...


@runtime_checkable
class HasEntry(Protocol):
    """An image source that knows name and size of each image without reading it."""

    def entry(self, index: int, /) -> str:
        """Return the name of an image, without the place of the source, and its size in bytes."""
        ...


@runtime_checkable
class HasFrames(Protocol):
    """An image source whose images are the first frames of clips."""

    n_frames: int

    def frames(self, index: int, numbers: Sequence[int], /) -> np.ndarray:
        """Return frames of a clip: uint8 (frame height width channel)."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)  # tables have no single truth value
class StimulusSet(Facts):
    """The stimuli of a recording.

    Parameters
    ----------
    name
        Name of the set, the same in every recording that used it.
    table
        One row per stimulus, in the order of `images`, with a unique `stimulus_id`; optionally
        `object_name` and `category`, by which splits are stratified, and other columns.
    images
        Images: uint8 (height width channel), one per row.
    visual_degrees
        Width of an image in degrees of visual angle.
    duration_ms
        Duration of each image's presentation, in ms.
    assumed
        Which of `visual_degrees` and `duration_ms` nothing states: a default is in their place.
    frame_ms
        Duration of a frame in ms, if the stimuli are clips (`HasFrames`); None for images.

    Raises
    ------
    NeurofitError
        If ids are missing or repeated, or the numbers of images and rows differ.

    Examples
    --------
    >>> import neurofit, numpy as np, pandas as pd
    >>> table = pd.DataFrame({"stimulus_id": ["black", "white"], "category": "uniform"})
    >>> shown = {"visual_degrees": 8.0, "duration_ms": 100.0}
    >>> images = [np.full((64, 64, 3), level, dtype=np.uint8) for level in (0, 255)]
    >>> neurofit.StimulusSet(name="mine", table=table, images=images, **shown)
    StimulusSet('mine', 2 stimuli, 8 degrees, 100 ms, columns stimulus_id, category)
    """

    name: str
    table: pd.DataFrame
    images: ImageSource
    visual_degrees: float
    duration_ms: float
    assumed: tuple[str, ...] = ()
    frame_ms: float | None = None

    def __post_init__(self) -> None:
        where, table = f"Stimulus set {self.name}", self.table
        if "stimulus_id" not in table:
            columns = ", ".join(map(str, table)) or "none"
            raise NeurofitError(f"{where}: the table needs a column stimulus_id; it has {columns}.")
        empty = np.flatnonzero(table.stimulus_id.isna())
        if len(empty):
            raise NeurofitError(f"{where}: every row needs a stimulus_id; row {empty[0]} has none.")
        repeated = table.stimulus_id[table.stimulus_id.duplicated()]
        if len(repeated):
            raise NeurofitError(
                f"{where}: stimulus_id must be unique; {repeated.iloc[0]!r} occurs more than once."
            )
        if len(table) != len(self.images):
            raise NeurofitError(f"{where}: {len(table)} rows but {len(self.images)} images.")

    def __len__(self) -> int:
        return len(self.table)

    def facts(self) -> dict[str, str]:
        """Return name, number, size and columns."""
        return {
            "name": repr(self.name),
            "stimuli": f"{len(self):,} stimuli",
            "width": f"{self.visual_degrees:g} degrees",
            "duration": f"{self.duration_ms:g} ms",
            "columns": f"columns {', '.join(map(str, self.table))}",
        }

    @property
    def ids(self) -> np.ndarray:
        """Stimulus ids, in the order of the images: array (stimulus)."""
        return np.asarray(self.table.stimulus_id.to_numpy())

    @property
    def width(self) -> str:
        """Width of an image in words, with whether it is assumed."""
        assumed = f" {ASSUMED}" if "visual_degrees" in self.assumed else ""
        return f"{self.visual_degrees:g} degrees{assumed}"

    @property
    def duration(self) -> str:
        """Duration of a presentation in words, with whether it is assumed."""
        assumed = f" {ASSUMED}" if "duration_ms" in self.assumed else ""
        return f"{self.duration_ms:g} ms{assumed}"

    def need_images(self) -> None:
        """Raise NeurofitError if there are no images."""
        if isinstance(self.images, NoImages):
            self.images[0]

    @property
    def n_frames(self) -> int:
        """Number of frames of each clip; 1 for images."""
        return 1 if self.frame_ms is None else _clips(self.images).n_frames

    def frames(self, row: int, numbers: Sequence[int] | None = None) -> np.ndarray:
        """Return frames of a clip, or all: uint8 (frame height width channel)."""
        return _clips(self.images).frames(row, range(self.n_frames) if numbers is None else numbers)

    def need_stills(self, what: str) -> None:
        """Raise NeurofitError if the stimuli are clips, which `what` does not take."""
        if self.frame_ms is not None:
            raise NeurofitError(f"{what} takes images, and the stimuli of {self.name} are clips.")

    def images_sha256(self) -> str:
        """Return the hash of ids and images in their order, or an empty string without images.

        Each image is read once and not decoded: the bytes of files, or of members of an archive,
        are hashed. A folder and an archive of the same files therefore have the same hash, and one
        image in two formats (PNG, JPEG) has two.

        Raises
        ------
        NeurofitError
            If an image cannot be read; the message names it.
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
        """Return the stimuli in some rows."""
        return replace(
            self,
            table=self.table.iloc[list(rows)],
            images=_Reordered(self.images, np.asarray(rows)),
        )

    def shuffled(self, seed: int) -> StimulusSet:
        """Return the set with its images randomly permuted: a control with a true score of 0."""
        order = np.random.default_rng(seed).permutation(len(self))
        return replace(
            self,
            name=f"{self.name}, shuffled with seed {seed}",
            images=_Reordered(self.images, order),
        )


@dataclass(frozen=True)
class _Reordered:
    images: ImageSource
    order: np.ndarray

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int, /) -> np.ndarray:
        return self.images[int(self.order[index])]

    @property
    def n_frames(self) -> int:
        return _clips(self.images).n_frames

    def frames(self, index: int, numbers: Sequence[int], /) -> np.ndarray:
        return _clips(self.images).frames(int(self.order[index]), numbers)


def _clips(images: ImageSource) -> HasFrames:
    if not hasattr(images, "frames"):
        raise NeurofitError("frame_ms is stated, and the stimuli are images, not clips.")
    return images  # type: ignore[return-value]


def check_size(n_bytes: int, *, name: str) -> None:
    """Check that an image file is not larger than `MAX_BYTES`.

    Raises
    ------
    NeurofitError
        If it is.
    """
    if n_bytes > MAX_BYTES:
        raise NeurofitError(
            f"Stimulus image {name} is too large: {n_bytes / 1e6:.0f} MB, at most "
            f"{MAX_BYTES / 1e6:.0f} are read."
        )


def _content(images: ImageSource, row: int) -> bytes:
    """Return the stored bytes of an image or, if it has none, its shape, type and values."""
    if isinstance(images, _Reordered):
        return _content(images.images, int(images.order[row]))
    if isinstance(images, HasContent):
        return images.content(row)
    values = np.ascontiguousarray(images[row])
    return f"{values.shape} {values.dtype} ".encode() + values.tobytes()


@dataclass(frozen=True)
class NoImages:
    """Stand-in for the images of a recording that has none: models cannot be scored against it.

    Parameters
    ----------
    n
        Number of stimuli.
    source
        File or name of the recording, for the message.
    why
        Sentence that says why existing images cannot be used; empty if there are none.
    """

    n: int
    source: str | Path
    why: str = ""

    def __len__(self) -> int:
        return self.n

    def __str__(self) -> str:
        return (
            f"{self.source} has no images: no model can be scored against it, and it is usable for "
            f"ceilings only.\n{self.why}{' ' * bool(self.why)}If you have them, give --images (a "
            "table, a .zip or a folder), or put stimuli.csv and stimuli.zip beside it."
        )

    def __getitem__(self, index: int, /) -> np.ndarray:
        raise NeurofitError(str(self))


@dataclass(frozen=True)
class ImageFiles:
    """Images as files in a folder, decoded on access.

    Parameters
    ----------
    paths
        Image files.
    keep
        Whether decoded images are cached, up to `CACHE_BYTES`.
    """

    paths: Sequence[Path]
    keep: bool = True

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int, /) -> np.ndarray:
        decode = _cache.decode if self.keep else decode_image
        return decode(self.content(index), name=str(self.paths[index]))

    def content(self, index: int) -> bytes:
        """Return the bytes of an image file."""
        path = self.paths[index]
        if not path.is_file():
            raise NeurofitError(f"Stimulus image {path} does not exist.")
        check_size(path.stat().st_size, name=str(path))
        return path.read_bytes()

    def entry(self, index: int) -> str:
        """Return the names of an image's folder and file, and the size of the file in bytes."""
        path = self.paths[index]
        try:
            return f"{path.parent.name}/{path.name} {path.stat().st_size}"
        except OSError as error:
            raise NeurofitError(f"Stimulus image {path} does not exist.") from error


@dataclass(frozen=True)
class ImageZip:
    """Images inside a zip archive, decoded on access and never unpacked to disk."""

    path: Path
    names: Sequence[str]
    _archive: list[zipfile.ZipFile] = field(default_factory=list, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int, /) -> np.ndarray:
        return _cache.decode(self.content(index), name=f"{self.names[index]} in {self.path}")

    def content(self, index: int) -> bytes:
        """Return the bytes of an image file in the archive."""
        name = self.names[index]
        try:
            if not self._archive:
                self._archive.append(zipfile.ZipFile(self.path))
            size = self._archive[0].getinfo(name).file_size
            check_size(size, name=f"{name} in {self.path}")
            return self._archive[0].read(name)
        except KeyError:
            raise NeurofitError(f"Stimulus image {name} is not in {self.path}.") from None
        except (
            OSError,
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            NotImplementedError,
            RuntimeError,  # the archive needs a password
        ) as error:
            raise NeurofitError(
                f"Cannot read {self.path} as a zip archive of stimuli: {str(error)[:160]}."
            ) from error


class _ImageCache:
    """Decoded images, read-only, by the hash of their bytes, up to `CACHE_BYTES`.

    Nothing is evicted: image sets are read repeatedly in order, so that the least recently used
    image is the one needed next.
    """

    def __init__(self) -> None:
        self.images: dict[bytes, np.ndarray] = {}
        self.n_bytes = 0
        self._lock = threading.Lock()

    def decode(self, content: bytes, *, name: str) -> np.ndarray:
        key = hashlib.sha256(content).digest()
        if key in self.images:
            return self.images[key]
        image = decode_image(content, name=name)
        image.flags.writeable = False
        with self._lock:
            if key not in self.images and self.n_bytes + image.nbytes <= CACHE_BYTES:
                self.images[key] = image
                self.n_bytes += image.nbytes
        return image


_cache = _ImageCache()
