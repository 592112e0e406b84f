"""Convolutions have the padding of TensorFlow."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from neurofit.models.convolution import Convolution


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "before", "after"),
    [
        (224, 7, 2, 2, 3),
        (64, 7, 2, 2, 3),
        (9, 7, 2, 3, 3),
        (8, 2, 1, 0, 1),
        (8, 4, 1, 1, 2),
        (8, 3, 1, 1, 1),
        (8, 7, 1, 3, 3),
        (5, 1, 3, 0, 0),
    ],
)
def test_same_padding_is_tensorflows(
    size: int, kernel: int, stride: int, before: int, after: int
) -> None:
    conv = Convolution(1, 2, kernel=kernel, stride=stride)
    torch.nn.init.normal_(conv.weight, generator=torch.Generator().manual_seed(0))
    maps = torch.rand(1, 1, size, size, generator=torch.Generator().manual_seed(1))
    expected = F.conv2d(F.pad(maps, (before, after, before, after)), conv.weight, conv.bias, stride)
    torch.testing.assert_close(conv(maps), expected)
    assert expected.shape[2] == conv.size_after(size) == -(-size // stride)


def test_valid_padding_is_none() -> None:
    conv = Convolution(1, 1, kernel=2, padding="valid")
    assert conv(torch.ones(1, 1, 4, 4)).shape[2] == conv.size_after(4) == 3
    assert conv.size_after(1) < 1


def test_building_one_does_not_touch_torchs_generator() -> None:
    before = torch.random.get_rng_state()
    Convolution(3, 4, kernel=3)
    assert torch.equal(before, torch.random.get_rng_state())
