"""Nonlinearities of layers and cells, with gradients that are right on every device."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def elu(x: Tensor) -> Tensor:
    """Return ELU(x): x where x > 0, else exp(x) - 1.

    On XLA devices (TPUs) it is composed of other operations, since torch_xla's own ELU has a wrong
    gradient (2.9.0): x + 1 instead of exp(x) where x < 0.
    """
    if x.device.type == "xla":
        return torch.where(x > 0, x, torch.expm1(x.clamp(max=0)))
    return F.elu(x)
