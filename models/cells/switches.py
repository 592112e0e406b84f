"""The two switches of the 2018 ablations, for cells that lack the mechanism: bypassing and gating.

Bypassing: the input reaches the output on the first pass, by no way but the identity (or a 1 x 1 projection): output = h' + S(x).
Gating: the state decides how much of it is kept and how much of the input is let in.

Nayebi et al. 2018 found that a simple recurrent cell gains by either and most by both. They state the two mechanisms in words;
the equations here are ours, with the closing gates of their reciprocal gated cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from neurofit.models.cells.cell import Drive, closing_gate
from neurofit.models.convolution import Convolution, shortcut
from neurofit.models.initialisers import GlorotUniform, Initialiser, Stacked


class StateGates(nn.Module):
    """p = 1 - sigmoid(W_p * h) for what is kept, q = 1 - sigmoid(W_q * h) for what is let in; `*` is a 3 x 3 convolution.

    Parameters
    ----------
    channels
        Of the state h, p and q.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.conv = Convolution(channels, 2 * channels, kernel=3, bias=False)

    def forward(self, h: Tensor) -> tuple[Tensor | float, Tensor | float]:
        """Return p and q, (batch channel height width)."""
        keep, admit = self.conv(h).chunk(2, dim=1)
        return closing_gate(keep), closing_gate(admit)

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return Glorot uniform kernels."""
        return {"conv.weight": Stacked(((self.channels, GlorotUniform()),) * 2)}


class Bypass(nn.Module):
    """output = h' + S(x): S is the identity, or a 1 x 1 convolution without bias where the channels of x and h' differ.

    Parameters
    ----------
    in_channels, out_channels
        Of x and of the output.
    on
        Otherwise output = h'.
    """

    def __init__(self, in_channels: int, out_channels: int, *, on: bool) -> None:
        super().__init__()
        self.shortcut = shortcut(in_channels, out_channels) if on else None

    def drive(self, x: Tensor) -> Drive:
        """Return S(x), or nothing where the bypass is off."""
        return () if self.shortcut is None else (self.shortcut(x),)

    def add(self, h: Tensor, carried: Iterable[Tensor]) -> Tensor:
        """Return the output from h' and what `drive` returned."""
        return sum(carried, start=h)

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return the projection's, if there is one."""
        return {name: GlorotUniform() for name, _ in self.named_parameters()}
