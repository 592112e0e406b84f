"""Pictures on the screen a model sees: at their visual degrees in its field, then resized to its input.

A picture of `image_degrees` in a field of `field_degrees` lies on a canvas of round(pixels * field_degrees / image_degrees) pixels: a
larger canvas is gray around it, a smaller one shows the picture's centre. The rule, its rounding (half to even) and its gray are those of
Brain-Score's `place_on_screen`, which then writes the canvas to a file; a JPEG loses a little there, and nothing here.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from neurofit.errors import NeurofitError
from neurofit.stimuli import GRAY_LEVEL, MAX_PIXELS, StimulusSet

GRAY = GRAY_LEVEL / 255
"""What surrounds an image that is smaller than the model's field, in [0, 1]; Brain-Score's gray."""

RESIZE = "bilinear, antialiased"
"""How a canvas becomes as large as the model's input."""


def load_images(stimuli: StimulusSet, rows: Iterable[int], *, size: int, field_degrees: float) -> Tensor:
    """Return stimuli as a model sees them: float32 (batch channel height width) in [0, 1].

    Parameters
    ----------
    stimuli
        The pictures, and their visual degrees.
    rows
        Which of them; they are decoded in threads.
    size
        Height and width of the model's input, in pixels.
    field_degrees
        Width of the model's field, in degrees of visual angle.

    Raises
    ------
    NeurofitError
        A picture that cannot be read, is not RGB or not square, or whose canvas has no pixel or more than `MAX_PIXELS`.
    """
    with ThreadPoolExecutor() as threads:  # Pillow decodes without the interpreter's lock; torch has threads of its own for resizing
        canvases = threads.map(lambda row: _canvas(stimuli, row, field_degrees), rows)
        return torch.stack([_resized(canvas, size) for canvas in canvases])


def place_on_screen(picture: np.ndarray, *, image_degrees: float, field_degrees: float) -> np.ndarray:
    """Return the canvas that a field shows: the picture in its centre, surrounded by gray or cropped.

    Parameters
    ----------
    picture
        uint8 (height width channel).
    image_degrees, field_degrees
        Widths in degrees of visual angle, of the picture and of the field.

    Returns
    -------
    numpy.ndarray
        uint8 (height width channel); the picture itself where the degrees are equal.

    Raises
    ------
    NeurofitError
        Degrees that are not positive; a canvas without a pixel, or with more than `MAX_PIXELS`.
    """
    height, width = (_canvas_pixels(n, image_degrees, field_degrees) for n in picture.shape[:2])
    if (height, width) == picture.shape[:2]:
        return picture
    if not 1 <= height * width <= MAX_PIXELS:
        raise NeurofitError(
            f"A picture of {picture.shape[1]} x {picture.shape[0]} px and {image_degrees:g} degrees in a field of {field_degrees:g} "
            f"would be a canvas of {width} x {height} px; it must have 1 to {MAX_PIXELS} pixels. Check the degrees."
        )
    if field_degrees < image_degrees:
        top, left = ((n - c) / 2 for n, c in zip(picture.shape[:2], (height, width), strict=True))
        return picture[round(top) : round(top) + height, round(left) : round(left) + width]
    canvas = np.full((height, width, picture.shape[2]), GRAY_LEVEL, np.uint8)
    top, left = ((c - n) / 2 for n, c in zip(picture.shape[:2], (height, width), strict=True))
    canvas[round(top) : round(top) + picture.shape[0], round(left) : round(left) + picture.shape[1]] = picture
    return canvas


def describe_screen(stimuli: StimulusSet, *, size: int, field_degrees: float) -> dict[str, str]:
    """Say what `load_images` does to the first picture (the others differ in pixels at most), for the attrs of activations and results."""
    height, width = stimuli.images[0].shape[:2]
    across, down = (_canvas_pixels(n, stimuli.visual_degrees, field_degrees) for n in (width, height))
    placing = {-1: f"padded with gray {GRAY_LEVEL}", 0: "as it is", 1: "centre cropped"}
    return {
        "picture": f"{width} x {height} px, {stimuli.visual_degrees:g} degrees",
        "canvas": f"{across} x {down} px, {field_degrees:g} degrees",
        "placed": placing[int(np.sign(stimuli.visual_degrees - field_degrees))],
        "resized": f"to {size} x {size} px, {RESIZE}" if (across, down) != (size, size) else "no",
    }


def _canvas(stimuli: StimulusSet, row: int, field_degrees: float) -> np.ndarray:
    picture = stimuli.images[row]
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.shape[0] != picture.shape[1]:
        raise NeurofitError(
            f"Stimuli must be square RGB pictures (height width 3); {stimuli.ids[row]} of {stimuli.name}: got {picture.shape}. "
            "Pad or crop it."
        )
    return place_on_screen(picture, image_degrees=stimuli.visual_degrees, field_degrees=field_degrees)


def _canvas_pixels(n_pixels: int, image_degrees: float, field_degrees: float) -> int:
    if not (0 < image_degrees < np.inf and 0 < field_degrees < np.inf):
        raise NeurofitError(f"Visual degrees must be positive; got {image_degrees:g} for the picture, {field_degrees:g} for the field.")
    return round(field_degrees / image_degrees * n_pixels)


def _resized(canvas: np.ndarray, size: int) -> Tensor:
    pixels = torch.from_numpy(np.array(canvas)).permute(2, 0, 1).float()[None] / 255
    if pixels.shape[-2:] != (size, size):
        pixels = functional.interpolate(pixels, size=(size, size), mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)
    return pixels[0]
