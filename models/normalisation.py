"""Layer norm over channel, height and width, and batch norm of a net that is unrolled in time."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from neurofit.models.initialisers import Constant, Initialiser


def layer_norm(channels: int) -> nn.GroupNorm:
    """Return the layer norm of the shallow simplernn and lstm, see docs/zoo.md, section 5.9."""
    return nn.GroupNorm(1, channels, eps=1e-12)


class BatchNorm(nn.BatchNorm2d):
    """Batch norm whose scale, shift and running statistics all timesteps share.

    In training, maps are normalised with the statistics of the batch at their timestep. Maps of one
    image are normalised with the running statistics and leave these unchanged: they are what a
    layer computes before the image reaches it, which is the same for the whole batch.

    Parameters
    ----------
    channels
        Number of channels.
    momentum
        Share of a batch in the running statistics, per timestep.
    eps
        Constant that is added to the variance.

    Notes
    -----
    Source: docs/zoo.md, section 4.5; Ioffe & Szegedy 2015. The default values suit short trainings;
    those of the authors' 5-layer nets are 0.001 for both.
    """

    def __init__(self, channels: int, *, momentum: float = 0.01, eps: float = 1e-5) -> None:
        super().__init__(channels, eps=eps, momentum=momentum)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (batch channel height width) maps."""
        if len(input) > 1:
            return super().forward(input)
        return F.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return a scale of 1 and a shift of 0."""
        return {"weight": Constant(1.0), "bias": Constant(0.0)}
