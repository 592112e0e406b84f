"""Validation and normalisation of images before the first layer of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from neurofit.activations.presentation import Presentation
from neurofit.errors import NeurofitError

Rgb = tuple[float, float, float]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_ROUNDING = 1e-4  # resizing may leave [0, 1] by this much


def check_images(images: Tensor, *, model: str, n_channels: int, size: int, like: Tensor) -> None:
    """Check the images given to a model; on an XLA device, not their values.

    Parameters
    ----------
    images
        Images (batch channel height width) in [0, 1], or clips (batch timestep channel height
        width).
    model
        Name of the model, for the message.
    n_channels, size
        Required number of channels, and height and width in pixels.
    like
        Tensor with the required dtype and device.

    Raises
    ------
    NeurofitError
        If shape, dtype, device or range do not match.
    """
    expected = (n_channels, size, size)
    if images.ndim == 5:
        images = images.flatten(0, 1)  # frames of clips
    if images.ndim != 4 or tuple(images.shape[1:]) != expected or len(images) < 1:
        raise NeurofitError(
            f"{model} takes images (batch, {', '.join(map(str, expected))}); "
            f"got {tuple(images.shape)}."
        )
    if images.dtype != like.dtype or images.device != like.device:
        raise NeurofitError(
            f"{model} has {like.dtype} weights on {like.device}, and takes images in [0, 1] of the "
            f"same dtype and device; got {images.dtype} on {images.device}."
        )
    # Values are unknown during export, and would be waited for at every step on an XLA device.
    if torch.compiler.is_compiling() or images.device.type == "xla":
        return
    low, high = (float(bound) for bound in images.detach().aminmax())
    if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):  # also catches NaN
        raise NeurofitError(
            f"{model} takes images in [0, 1] and normalises them itself; "
            f"got values from {low:g} to {high:g}."
        )


def frame_at(images: Tensor, timestep: int, shown: Presentation, blank: Tensor) -> Tensor:
    """Return what is shown at a timestep: images, the frame of clips, or the blank after them."""
    if timestep < 0 or not shown.shows_image(timestep):
        return blank
    if images.ndim == 4:
        return images
    return images[:, timestep] if timestep < images.shape[1] else blank


def per_channel(values: tuple[float, ...]) -> Tensor:
    """Return one value per channel as a tensor (channel 1 1)."""
    return torch.tensor(values).view(-1, 1, 1)


def image_settings(
    module: nn.Module,
    input_size: Any = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> tuple[int, Rgb, Rgb]:
    """Return size, mean and std of images; the default is a module's `pretrained_cfg`, see `wrap`.

    Raises
    ------
    NeurofitError
        If images are not square, or mean and std not three values.
    """
    config = getattr(module, "pretrained_cfg", None) or {}
    size = _square(config.get("input_size", (3, 224, 224))) if input_size is None else input_size
    if not isinstance(size, int):
        raise NeurofitError(
            f"Images are square: input_size must be one number of pixels; got {size}."
        )
    return (
        size,
        _rgb(mean if mean is not None else config.get("mean", IMAGENET_MEAN)),
        _rgb(std if std is not None else config.get("std", IMAGENET_STD), positive=True),
    )


def _square(shape: Sequence[int]) -> int:
    """Return the size of square images (channel height width)."""
    if len(set(shape[-2:])) > 1:
        raise NeurofitError(
            f"Images are square, and the module's pretrained_cfg states input_size {tuple(shape)}. "
            "Set input_size to one number, if the module takes such images."
        )
    return int(shape[-1])


def _rgb(values: Sequence[float], *, positive: bool = False) -> Rgb:
    if len(values) != 3 or (positive and min(values) <= 0):
        raise NeurofitError(
            "mean and std need one value for each of 3 channels, and std positive values; "
            f"got {tuple(values)}."
        )
    red, green, blue = (float(value) for value in values)
    return red, green, blue
