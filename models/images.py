"""What every model does to images before its first layer: refuse the wrong ones, and normalise the others."""

from __future__ import annotations

import torch
from torch import Tensor

from neurofit.errors import NeurofitError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_ROUNDING = 1e-4  # how far out of [0, 1] a resized image may be


def check_images(images: Tensor, *, model: str, n_channels: int, size: int, like: Tensor) -> None:
    """Refuse images that a model does not take.

    Parameters
    ----------
    images
        Should be (batch channel height width), in [0, 1].
    model
        Its name, for the message.
    n_channels, size
        Channels, and height and width in pixels, that the model takes.
    like
        A tensor of the model's dtype and device.

    Raises
    ------
    NeurofitError
        If shape, dtype, device or range are others.
    """
    expected = (n_channels, size, size)
    if images.ndim != 4 or tuple(images.shape[1:]) != expected or len(images) < 1:
        raise NeurofitError(f"{model} takes images (batch, {', '.join(map(str, expected))}); got {tuple(images.shape)}.")
    if images.dtype != like.dtype or images.device != like.device:
        raise NeurofitError(
            f"{model} has {like.dtype} weights on {like.device} and takes images alike, in [0, 1]; got {images.dtype} on {images.device}."
        )
    if torch.compiler.is_compiling():  # also while exporting, where values are not known
        return
    low, high = (float(bound) for bound in images.detach().aminmax())
    if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):  # also catches NaN
        raise NeurofitError(f"{model} takes images in [0, 1] and normalises them itself; got values from {low:g} to {high:g}.")


def per_channel(values: tuple[float, ...]) -> Tensor:
    """Return means or standard deviations as (channel 1 1), to be taken from or to divide images."""
    return torch.tensor(values).view(-1, 1, 1)
