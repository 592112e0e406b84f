"""Layer norm over channel, height and width together: LN(v) = gamma (v - mean) / sqrt(var + 1e-12) + beta, gamma and beta per channel."""

from __future__ import annotations

from torch import nn


def layer_norm(channels: int) -> nn.GroupNorm:
    """Return the layer norm of the shallow simplernn and lstm.

    It has one group and is not `nn.LayerNorm` over channels, see docs/zoo.md, section 5.9.
    """
    return nn.GroupNorm(1, channels, eps=1e-12)
