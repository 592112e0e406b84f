"""Place images on the screen that a model sees: at their visual degrees, then at its input size.

An image of `image_degrees` in a field of `field_degrees` is placed on a canvas of
round(pixels * field_degrees / image_degrees) pixels. A larger canvas is gray around the image; a
smaller one shows its centre. The rule, its rounding (half to even) and its gray are those of
Brain-Score's `place_on_screen`, which then writes the canvas to a file; the canvas is used directly
here, so that nothing is lost to JPEG compression.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from neurofit.errors import NeurofitError
from neurofit.recordings.image_decoding import GRAY_LEVEL, MAX_PIXELS
from neurofit.recordings.stimuli import StimulusSet

GRAY = GRAY_LEVEL / 255
"""Gray around images that are smaller than the model's field, in [0, 1], as in Brain-Score."""


RESIZE = {"bilinear": "bilinear, antialiased", "bicubic": "bicubic, antialiased"}
"""Interpolation by which a canvas is resized to the model's input -> its description."""


def load_images(
    stimuli: StimulusSet,
    rows: Iterable[int],
    *,
    size: int,
    field_degrees: float,
    interpolation: str = "bilinear",
) -> Tensor:
    """Return stimuli as a model sees them: float32 (batch channel height width) in [0, 1].

    Parameters
    ----------
    stimuli
        Stimuli with their images and visual degrees.
    rows
        Rows of the images, which are decoded in threads.
    size
        Height and width of the model's input, in pixels.
    field_degrees
        Width of the model's field, in degrees of visual angle.
    interpolation
        One of `RESIZE`.

    Raises
    ------
    NeurofitError
        If an image cannot be read, is not square RGB, or has a canvas without pixels or with more
        than `MAX_PIXELS`.
    """
    # Pillow decodes without the interpreter's lock; torch has its own threads for resizing.
    with ThreadPoolExecutor() as threads:
        canvases = threads.map(lambda row: _canvas(stimuli, row, field_degrees), rows)
        return torch.stack([_resized(canvas, size, interpolation) for canvas in canvases])


def load_clips(
    stimuli: StimulusSet,
    rows: Iterable[int],
    *,
    n_timesteps: int,
    ms_per_timestep: int,
    size: int,
    field_degrees: float,
    interpolation: str = "bilinear",
) -> Tensor:
    """Return clips with the frame of each timestep: (batch timestep channel height width).

    A timestep has the frame that is shown at its start. There are timesteps up to the end of the
    clip, or `n_timesteps`. For other parameters and errors see `load_images`.
    """
    numbers = frames_at(stimuli, n_timesteps=n_timesteps, ms_per_timestep=ms_per_timestep)
    distinct = sorted(set(numbers))

    def load(row: int) -> Tensor:
        frames = {
            number: _resized(_placed(stimuli, row, frame, field_degrees), size, interpolation)
            for number, frame in zip(distinct, stimuli.frames(row, distinct), strict=True)
        }
        return torch.stack([frames[number] for number in numbers])

    with ThreadPoolExecutor() as threads:
        return torch.stack(list(threads.map(load, rows)))


def frames_at(stimuli: StimulusSet, *, n_timesteps: int, ms_per_timestep: int) -> list[int]:
    """Return the number of the frame that is shown at the start of each timestep of a clip."""
    frame_ms = stimuli.frame_ms or float(ms_per_timestep)
    numbers = (int(step * ms_per_timestep / frame_ms + 1e-9) for step in range(n_timesteps))
    return [number for number in numbers if number < stimuli.n_frames]


def place_on_screen(image: np.ndarray, *, image_degrees: float, field_degrees: float) -> np.ndarray:
    """Return the canvas of a field, with the image in its centre, padded with gray or cropped.

    Parameters
    ----------
    image
        uint8 (height width channel).
    image_degrees, field_degrees
        Widths of the image and of the field in degrees of visual angle.

    Returns
    -------
    numpy.ndarray
        uint8 (height width channel); the image itself if the degrees are equal.

    Raises
    ------
    NeurofitError
        If degrees are not positive, or the canvas has no pixels or more than `MAX_PIXELS`.
    """
    rows, columns = image.shape[:2]
    height, width = (_canvas_pixels(n, image_degrees, field_degrees) for n in (rows, columns))
    if (height, width) == (rows, columns):
        return image
    if not 1 <= height * width <= MAX_PIXELS:
        raise NeurofitError(
            f"An image of {columns} x {rows} px and {image_degrees:g} degrees in a field of "
            f"{field_degrees:g} would need a canvas of {width} x {height} px; "
            f"it must have 1 to {MAX_PIXELS} pixels. Check the degrees."
        )
    if field_degrees < image_degrees:
        top, left = round((rows - height) / 2), round((columns - width) / 2)
        return image[top : top + height, left : left + width]
    canvas = np.full((height, width, image.shape[2]), GRAY_LEVEL, np.uint8)
    top, left = round((height - rows) / 2), round((width - columns) / 2)
    canvas[top : top + rows, left : left + columns] = image
    return canvas


def describe_screen(
    stimuli: StimulusSet, *, size: int, field_degrees: float, interpolation: str = "bilinear"
) -> dict[str, str]:
    """Return what `load_images` does to the first image, for provenance.

    Other images of the set differ in their number of pixels at most.
    """
    height, width = stimuli.images[0].shape[:2]
    across, down = (
        _canvas_pixels(n, stimuli.visual_degrees, field_degrees) for n in (width, height)
    )
    placing = {-1: f"padded with gray {GRAY_LEVEL}", 0: "as it is", 1: "centre cropped"}
    clip = f"{stimuli.n_frames} frames of {stimuli.frame_ms:g} ms" if stimuli.frame_ms else ""
    return {
        **({"clip": clip} if clip else {}),
        "image": f"{width} x {height} px, {stimuli.width}",
        "canvas": f"{across} x {down} px, {field_degrees:g} degrees",
        "placed": placing[int(np.sign(stimuli.visual_degrees - field_degrees))],
        "resized": f"to {size} x {size} px, {RESIZE[interpolation]}"
        if (across, down) != (size, size)
        else "no",
    }


def _canvas(stimuli: StimulusSet, row: int, field_degrees: float) -> np.ndarray:
    return _placed(stimuli, row, stimuli.images[row], field_degrees)


def _placed(stimuli: StimulusSet, row: int, image: np.ndarray, field_degrees: float) -> np.ndarray:
    if image.ndim != 3 or image.shape[2] != 3 or image.shape[0] != image.shape[1]:
        raise NeurofitError(
            "Stimuli must be square RGB images (height width 3); "
            f"{stimuli.ids[row]} of {stimuli.name}: got {image.shape}. Pad or crop it."
        )
    return place_on_screen(image, image_degrees=stimuli.visual_degrees, field_degrees=field_degrees)


def _canvas_pixels(n_pixels: int, image_degrees: float, field_degrees: float) -> int:
    if not (0 < image_degrees < np.inf and 0 < field_degrees < np.inf):
        raise NeurofitError(
            f"Visual degrees must be positive; got {image_degrees:g} for the image and "
            f"{field_degrees:g} for the field."
        )
    return round(field_degrees / image_degrees * n_pixels)


def _resized(canvas: np.ndarray, size: int, interpolation: str) -> Tensor:
    pixels = torch.from_numpy(np.array(canvas)).permute(2, 0, 1).float()[None] / 255
    if pixels.shape[-2:] != (size, size):
        pixels = functional.interpolate(
            pixels, size=(size, size), mode=interpolation, antialias=True, align_corners=False
        ).clamp(0, 1)
    return pixels[0]
