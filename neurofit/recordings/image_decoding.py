"""Decode image files to 8-bit RGB."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from neurofit.errors import NeurofitError

GRAY_LEVEL = 128
"""8-bit mid gray behind and around images, as in Brain-Score."""


MAX_PIXELS = 2**26
"""Largest image that is decoded (8192 x 8192 px): a few bytes can claim any size."""


FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "PPM", "JPEG2000", "AVIF")
"""Pillow's names of the formats that are opened. Others may start programs, such as EPS."""


OTHER_BYTE = {"LA;16B": "RGBA"}
for _mode in ("RGB", "RGBA", "RGBX"):
    OTHER_BYTE |= {f"{_mode};16L": f"{_mode};16B", f"{_mode};16B": f"{_mode};16L"}
    OTHER_BYTE[f"{_mode};16N"] = f"{_mode};16{'B' if sys.byteorder == 'little' else 'L'}"
"""Pillow's raw mode of 16-bit pixels -> the raw mode with which it decodes the other byte."""


def decode_image(content: bytes, *, name: str) -> np.ndarray:
    """Decode an image in one of `FORMATS` to RGB: uint8 (height width channel).

    Gray levels are repeated. 16 bits are scaled to 8 (value / 257), except in CMYK, where the upper
    8 are used. Transparent images are blended with mid gray (128), which also surrounds images on
    the screen. Palettes and CMYK are converted to RGB, the EXIF orientation is applied, and only
    the first frame of an animation is used.

    Parameters
    ----------
    content
        Bytes of the image file.
    name
        Name of the image, for error messages.

    Raises
    ------
    NeurofitError
        If the image is damaged or incomplete, has another format, has more than `MAX_PIXELS`
        pixels, or has 32 bits per pixel, for which the value of white is unknown.
    """
    try:
        with _opened(content) as image:
            if image.width * image.height > MAX_PIXELS:  # checked before decompression
                raise ValueError(
                    f"it claims {image.width} x {image.height} px, at most {MAX_PIXELS} pixels "
                    "are read"
                )
            pixels = _sixteen_bits(image, content)
            if pixels is not None:
                return _scaled(pixels, image)
            return _rgb(ImageOps.exif_transpose(image), form=str(image.format))
    except Exception as error:  # Pillow's decoders raise nearly anything on broken bytes
        # Pillow's own message for an unreadable header is a memory address.
        reason = "it is damaged" if isinstance(error, UnidentifiedImageError) else str(error)
        raise NeurofitError(f"Stimulus image {name} cannot be read: {reason}.") from error


def decode_frames(content: bytes, numbers: Iterable[int], *, name: str) -> list[np.ndarray]:
    """Decode frames of an animated image to RGB, each uint8 (height width channel).

    Frames that state only what changes are completed by those before, as when they are played.

    Raises
    ------
    NeurofitError
        As `decode_image`, and if there is no such frame.
    """
    if (asked := list(numbers)) == [0]:
        return [decode_image(content, name=name)]
    try:
        with _opened(content) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"it claims {image.width} x {image.height} px")
            found = {}
            for number in sorted(set(asked)):
                image.seek(number)
                found[number] = _rgb(image, form=str(image.format))
            return [found[number] for number in asked]
    except Exception as error:  # as in `decode_image`
        raise NeurofitError(f"Clip {name} cannot be read: {error}.") from error


def count_frames(content: bytes, *, name: str, frame_ms: float | None = None) -> int:
    """Return the number of frames of an image.

    Parameters
    ----------
    content, name
        Bytes of the file, and its name for messages.
    frame_ms
        Duration of a frame in ms, which those that the file states must have; GIF states it in
        units of 10 ms.

    Raises
    ------
    NeurofitError
        If it cannot be opened, or a frame has another duration: equal frames that follow each other
        are stored as one that is longer.
    """
    try:
        with _opened(content) as image:
            n_frames = int(getattr(image, "n_frames", 1))
            durations = [float(image.info.get("duration") or 0)] if n_frames > 1 else []
            for number in range(1, n_frames):
                image.seek(number)
                durations.append(float(image.info.get("duration") or 0))
    except Exception as error:  # as in `decode_image`
        raise NeurofitError(f"Clip {name} cannot be read: {error}.") from error
    for number, duration in enumerate(durations):
        if frame_ms is not None and duration > 0 and abs(duration - frame_ms) >= 10:
            raise NeurofitError(
                f"Frame {number} of clip {name} lasts {duration:g} ms, and frame_ms is "
                f"{frame_ms:g}. Write frames of equal duration, or a folder of frames."
            )
    return n_frames


def is_hidden(name: str) -> bool:
    """Return whether a file is hidden or in a hidden folder, such as those of Jupyter and macOS."""
    parts = PurePosixPath(name).parts
    return any(part == "__MACOSX" or (part.startswith(".") and part != "..") for part in parts)


def _opened(content: bytes) -> Image.Image:
    """Open an image of one of `FORMATS`; the format of another is named without opening it."""
    formats = available_formats()
    found = [name for name in formats if _accepts(name, content)]
    if not found:
        other = " or ".join(name for name in Image.OPEN if _accepts(name, content)) or "unknown"
        raise ValueError(f"its format is {other}; known formats are {', '.join(formats)}")
    return Image.open(io.BytesIO(content), formats=found)


@cache
def available_formats() -> tuple[str, ...]:
    """Return those of `FORMATS` that this version of Pillow reads."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _accepts(name: str, content: bytes) -> bool:
    """Return whether the first bytes of a file are those of a format."""
    accept = Image.OPEN[name][1]
    return accept is not None and accept(content[:16]) is True


def _rgb(image: Image.Image, *, form: str) -> np.ndarray:
    # Older versions of Pillow call 16 bits "I".
    old = image.mode == "I" and form in ("PNG", "PPM")
    sixteen_bits = old or image.mode.startswith("I;16")
    if image.mode in ("I", "F") and not sixteen_bits:
        raise ValueError(
            "its pixels have 32 bits, and the value of white is unknown; save it with 8 or 16 bits"
        )
    if sixteen_bits:
        gray = np.rint(np.asarray(image, dtype=np.float64) / 257).clip(0, 255).astype(np.uint8)
        return np.repeat(gray[..., None], 3, axis=2)
    if image.mode not in ("LA", "La", "PA", "RGBA", "RGBa") and "transparency" not in image.info:
        return np.asarray(image.convert("RGB"))
    return over_gray(np.asarray(image.convert("RGBA")))


def _sixteen_bits(image: Image.Image, content: bytes) -> np.ndarray | None:
    """Return 16-bit pixels, uint16 (height width channel), or None for 8 bits or opaque gray.

    Pillow decodes the upper byte of each value only. With the byte order swapped, it decodes the
    lower one.
    """
    modes = [_raw_mode(tile) for tile in getattr(image, "tile", ())]
    if not modes or not all(mode in OTHER_BYTE for mode in modes):
        return None
    other: Any
    with _opened(content) as other:
        other.tile = [_with_raw_mode(tile, OTHER_BYTE[_raw_mode(tile)]) for tile in other.tile]
        lower = np.asarray(ImageOps.exif_transpose(other), dtype=np.uint16)
    if modes[0] == "LA;16B":  # the four bytes of gray and opacity
        return np.repeat(256 * lower[..., ::2] + lower[..., 1::2], [3, 1], axis=2)
    return np.asarray(256 * np.asarray(ImageOps.exif_transpose(image), dtype=np.uint16) + lower)


def _raw_mode(tile: Any) -> str:
    """Return Pillow's raw mode of a tile's pixels in the file: its only or first argument."""
    args = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
    return str(*args[:1])


def _with_raw_mode(tile: Any, mode: str) -> Any:
    args = (mode, *tile[3][1:]) if isinstance(tile[3], tuple) else mode
    return tile._replace(args=args) if hasattr(tile, "_replace") else (*tile[:3], args)


def _scaled(pixels: np.ndarray, image: Image.Image) -> np.ndarray:
    """Return 16-bit pixels scaled to 8 bits, blended with mid gray if transparent."""
    clear = image.info.get("transparency")
    eight = np.rint(pixels / 257).astype(np.uint8)
    if pixels.shape[2] == 3 and clear is not None:
        eight = np.dstack([eight, np.where((pixels == clear).all(axis=2), 0, 255).astype(np.uint8)])
    return over_gray(eight) if eight.shape[2] == 4 else eight


def over_gray(image: np.ndarray) -> np.ndarray:
    """Blend a transparent image with mid gray.

    Parameters
    ----------
    image
        uint8 (height width channel), channel = 4: red, green, blue, opacity.

    Returns
    -------
    numpy.ndarray
        uint8 (height width channel), channel = 3.
    """
    colours, opacity = np.split(image.astype(np.float64), [3], axis=2)
    return np.asarray(np.rint(GRAY_LEVEL + (colours - GRAY_LEVEL) * opacity / 255).astype(np.uint8))
