"""Bypassing and gating, the switches of the 2018 ablations, for cells without these mechanisms.

See docs/zoo.md, section 5.10.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from neurofit.models.cells.cell import Drive, closing_gate
from neurofit.models.convolution import Convolution, shortcut
from neurofit.models.initialisers import GlorotUniform, Initialiser, Stacked


class StateGates(nn.Module):
    """Gates that depend on the state h, with 3 x 3 convolutions.

    p = 1 - sigmoid(W_p * h) multiplies what is retained
    q = 1 - sigmoid(W_q * h) multiplies what is admitted

    Parameters
    ----------
    channels
        Number of channels of h, p and q.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.conv = Convolution(channels, 2 * channels, kernel=3, bias=False)

    def forward(self, h: Tensor) -> tuple[Tensor | float, Tensor | float]:
        """Return p and q, (batch channel height width)."""
        retain, admit = self.conv(h).chunk(2, dim=1)
        return closing_gate(retain), closing_gate(admit)

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return Glorot uniform kernels."""
        return {"conv.weight": Stacked(((self.channels, GlorotUniform()),) * 2)}


class Bypass(nn.Module):
    """Bypass of a cell: output = h' + S(x).

    S is the identity, or a 1 x 1 convolution without bias if the channels of x and h' differ.

    Parameters
    ----------
    in_channels, out_channels
        Number of channels of x and of the output.
    on
        Whether there is a bypass; otherwise output = h'.
    """

    def __init__(self, in_channels: int, out_channels: int, *, on: bool) -> None:
        super().__init__()
        self.shortcut = shortcut(in_channels, out_channels) if on else None

    def drive(self, x: Tensor) -> Drive:
        """Return S(x), or an empty tuple without a bypass."""
        return () if self.shortcut is None else (self.shortcut(x),)

    def add(self, h: Tensor, carried: Iterable[Tensor]) -> Tensor:
        """Return the output from h' and the result of `drive`."""
        return sum(carried, start=h)

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return a Glorot uniform projection, if there is one."""
        return {name: GlorotUniform() for name, _ in self.named_parameters()}
