"""Convolutions with TensorFlow's padding, see docs/zoo.md, section 3.3."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

Padding = Literal["same", "valid"]


class Convolution(nn.Conv2d):
    """Square 2-D convolution whose parameters are zero until `initialise` sets them.

    Parameters
    ----------
    in_channels, out_channels
        Channels of input and output.
    kernel
        Height and width of the kernel, in pixels.
    stride
        Stride of the kernel, in pixels.
    padding
        "same": zeros up to ceil(size / stride) output pixels, the odd one at the bottom and right.
        "valid": no padding.
    bias
        Whether there is a bias per output channel.
    groups
        Number of groups of channels; the number of input channels for a depthwise convolution.

    Notes
    -----
    Source: docs/zoo.md, section 3.3. PyTorch's own `padding="same"` does not support strides.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel: int,
        stride: int = 1,
        padding: Padding = "same",
        bias: bool = True,
        groups: int = 1,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel, stride=stride, bias=bias, groups=groups)
        self.same = padding == "same"

    def reset_parameters(self) -> None:
        """Set the parameters to zero, without using PyTorch's global random generator."""
        nn.init.zeros_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (batch channel height width) maps."""
        height, width = input.shape[2:]
        top, bottom = self._pads(height)
        left, right = self._pads(width)
        if (top, left) == (bottom, right):  # conv2d pads symmetrically without a copy
            return F.conv2d(
                input, self.weight, self.bias, self.stride, (top, left), groups=self.groups
            )
        return F.conv2d(
            F.pad(input, (left, right, top, bottom)),
            self.weight,
            self.bias,
            self.stride,
            groups=self.groups,
        )

    def size_after(self, size: int) -> int:
        """Return the output height (or width) in pixels; below 1, the kernel does not fit."""
        return (size + sum(self._pads(size)) - self.kernel_size[0]) // self.stride[0] + 1

    def _pads(self, size: int) -> tuple[int, int]:
        if not self.same:
            return 0, 0
        kernel, stride = self.kernel_size[0], self.stride[0]
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        return total // 2, total - total // 2


class SeparableConvolution(nn.Module):
    """Depthwise convolution without bias, followed by a pointwise convolution with bias.

    Parameters
    ----------
    in_channels, out_channels
        Channels of input and output.
    kernel
        Height and width of the depthwise kernels, in pixels. The padding is "same".
    """

    def __init__(self, in_channels: int, out_channels: int, *, kernel: int) -> None:
        super().__init__()
        self.depthwise = Convolution(
            in_channels, in_channels, kernel=kernel, bias=False, groups=in_channels
        )
        self.pointwise = Convolution(in_channels, out_channels, kernel=1)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (batch channel height width) maps."""
        maps: Tensor = self.pointwise(self.depthwise(input))
        return maps


def shortcut(in_channels: int, out_channels: int) -> nn.Module:
    """Return the identity, or a 1 x 1 convolution without bias if the channels differ."""
    return (
        nn.Identity()
        if in_channels == out_channels
        else Convolution(in_channels, out_channels, kernel=1, bias=False)
    )
