"""Multiply-adds of a network: what an image costs, on any machine the same number."""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from neurofit.activations.model import evaluating
from neurofit.activations.presentation import Presentation


def count_multiply_adds(model: Any, presentation: str | Presentation = "default") -> int:
    """Return the multiply-adds of all convolutions and linear layers for one image.

    Each output of a convolution takes one multiply-add per element of its kernel and input channel
    of its group. What a ConvRNN computes once while the image is constant counts once. Batch norm,
    nonlinearities, gates and pooling are not counted.

    Parameters
    ----------
    model
        A ConvRNN, or any module with `input_size`, on the CPU.
    presentation
        Presentation of the image to a ConvRNN.
    """
    total = 0

    def count(module: nn.Module, args: Any, output: Tensor) -> None:
        nonlocal total
        weight: Any = module.weight
        total += output.numel() * math.prod(weight.shape[1:])

    image = torch.full((1, 3, model.input_size, model.input_size), 0.5)
    with ExitStack() as hooks, torch.no_grad(), evaluating(model):
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                hooks.callback(module.register_forward_hook(count).remove)
        model(image, presentation) if hasattr(model, "readouts") else model(image)
    return total
