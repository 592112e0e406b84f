"""Layer norm over channel, height and width, with a scale and a shift per channel."""

from __future__ import annotations

from torch import nn


def layer_norm(channels: int) -> nn.GroupNorm:
    """Return the layer norm of the shallow simplernn and lstm, see docs/zoo.md, section 5.9."""
    return nn.GroupNorm(1, channels, eps=1e-12)
