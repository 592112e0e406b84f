"""Models without anything trained: pixels, and a bank of Gabor energies, the same at all timesteps.

Their activations hold from the first time bin on, as an image on a retina does: they say what an
area's responses owe to luminance and to local contrast at each orientation and scale.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from neurofit.models.catalogue import BASELINE, register_model
from neurofit.models.wrapped import STATIC_PRESENTATIONS, WrappedModel
from neurofit.models.wrapping import wrap

REGIONS = ("V1", "V2", "V4", "IT")
"""Areas with which a baseline is compared unless a layer is named."""

FREQUENCIES = (1, 2, 4, 8, 16)
"""Spatial frequencies of the Gabor bank, in cycles per image; f has a grid of f x f places."""

N_ORIENTATIONS = 8

BANDWIDTH = 1.0
"""Bandwidth of a Gabor in octaves, at half amplitude."""

ORIENTATION_BANDWIDTH = 41.0
"""Bandwidth of a Gabor in degrees of orientation, at half amplitude."""

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue (Rec. 601)."""

_COMMON: Mapping[str, Any] = {
    "family": BASELINE,
    "cell": "memoryless",
    "n_classes": 0,
    "presentations": STATIC_PRESENTATIONS,
    "mean": (0.0, 0.0, 0.0),
    "std": (1.0, 1.0, 1.0),
}


class Pixels(nn.Module):
    """The image itself."""

    def __init__(self) -> None:
        super().__init__()
        self.pixels = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Return images (batch channel height width) as they are."""
        pixels: Tensor = self.pixels(images)
        return pixels


class GaborEnergies(nn.Module):
    """Energies of quadrature pairs of Gabors: sqrt(even^2 + odd^2) of the luminance.

    Parameters
    ----------
    size
        Height and width of the images, in pixels.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("filters", gabor_bank(size))
        self.register_buffer("luminance", torch.tensor(LUMINANCE).view(1, 3, 1, 1))
        self.energies = nn.Identity()
        self.filters: Tensor
        self.luminance: Tensor

    def forward(self, images: Tensor) -> Tensor:
        """Return the energies (batch gabor) of images (batch channel height width)."""
        gray = (images * self.luminance).sum(dim=1).flatten(1)
        gray = gray - gray.mean(
            dim=1, keepdim=True
        )  # of no effect but on rounding: filters sum to 0
        even, odd = (gray @ self.filters.flatten(2).mT).unbind(0)
        energies: Tensor = self.energies(torch.hypot(even, odd))
        return energies


def gabor_bank(size: int) -> Tensor:
    """Return quadrature pairs of Gabors: tensor (2 gabor height width).

    For each frequency f (`FREQUENCIES`), `N_ORIENTATIONS` orientations at the centres of a grid of
    f x f places. A Gabor is a cosine (even) or sine (odd) under a Gaussian, whose standard
    deviations along and across the wave give the two bandwidths. Each has mean 0, so that it does
    not respond to a uniform image, and norm 1.

    Notes
    -----
    Pyramid, bandwidths and numbers of orientations: Kay, Naselaris, Prenger & Gallant (2008),
    Nature 452:352, whose finest frequency, 32, is left out because images have 64 pixels. Energy:
    Adelson & Bergen (1985), J Opt Soc Am A 2:284.
    """
    half = math.sqrt(math.log(2) / 2) / math.pi  # sigma f = half (2^b + 1) / (2^b - 1)
    along = half * (2**BANDWIDTH + 1) / (2**BANDWIDTH - 1)
    across = half / math.tan(math.radians(ORIENTATION_BANDWIDTH / 2))
    axis = (torch.arange(size, dtype=torch.float64) + 0.5) / size  # of an image of width 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    pairs = []
    for frequency in FREQUENCIES:
        centres = (torch.arange(frequency, dtype=torch.float64) + 0.5) / frequency
        for step in range(N_ORIENTATIONS):
            angle = math.pi * step / N_ORIENTATIONS
            for down in centres:
                for right in centres:
                    u = (x - right) * math.cos(angle) + (y - down) * math.sin(angle)
                    v = (y - down) * math.cos(angle) - (x - right) * math.sin(angle)
                    radii = (u / along) ** 2 + (v / across) ** 2
                    envelope = torch.exp(-radii * frequency**2 / 2)
                    phase = 2 * math.pi * frequency * u
                    pairs.append(torch.stack([phase.cos(), phase.sin()]) * envelope)
    bank = torch.stack(pairs, dim=1)
    bank -= bank.mean(dim=(2, 3), keepdim=True)
    normed: Tensor = bank / bank.norm(dim=(2, 3), keepdim=True)
    return normed.float()


@register_model(
    name="baseline:pixels",
    region_layers=dict.fromkeys(REGIONS, ("pixels",)),
    input_size=32,
    reference="the pixels of the image, at 32 x 32",
    **_COMMON,
)
def pixels(*, seed: int | None = 0, input_size: int = 32) -> WrappedModel:
    """Pixels of the image: red, green and blue."""
    return _wrapped("pixels", Pixels(), "pixels", input_size)


@register_model(
    name="baseline:gabor",
    region_layers=dict.fromkeys(REGIONS, ("energies",)),
    input_size=64,
    reference="Kay et al. 2008, Nature 452:352 (pyramid); Adelson & Bergen 1985, J Opt Soc Am A "
    "2:284 (energy)",
    **_COMMON,
)
def gabor(*, seed: int | None = 0, input_size: int = 64) -> WrappedModel:
    """Energies of Gabors at 5 frequencies and 8 orientations."""
    return _wrapped("gabor", GaborEnergies(input_size), "energies", input_size)


def _wrapped(name: str, module: nn.Module, layer: str, size: int) -> WrappedModel:
    return wrap(
        module,
        [layer],
        name=f"{BASELINE}:{name}",
        recurrent=False,
        region_layers=dict.fromkeys(REGIONS, (layer,)),
        input_size=size,
        mean=_COMMON["mean"],
        std=_COMMON["std"],
    )
