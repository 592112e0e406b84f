"""From the readout's outputs over time, from the first that every path through the model reaches, to the logits of `model(images)`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from neurofit.errors import NeurofitError
from neurofit.models.initialisers import Initialiser


class Decoder(nn.Module, ABC):
    """Takes the readout's logits (batch class) of each timestep, in order, and gives logits (batch class). No softmax is applied to them.

    Notes
    -----
    Source: docs/zoo.md, section 7.
    """

    @abstractmethod
    def forward(self, outputs: Iterable[Tensor]) -> Tensor:
        """Return the decoded logits."""

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return an initialiser for every parameter."""
        return {}


class Last(Decoder):
    """The logits of the last timestep."""

    def forward(self, outputs: Iterable[Tensor]) -> Tensor:
        """Return the decoded logits."""
        ((logits),) = deque(outputs, maxlen=1)
        return logits


class MaxConf(Decoder):
    """The logits of each image's most confident timestep, the first of them on ties.

    Confidence is the largest probability of softmax(beta logits). `beta` is a parameter of the published models, but no gradient
    reaches it: it only takes part in a choice.
    """

    def __init__(self) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.ones(1))

    def forward(self, outputs: Iterable[Tensor]) -> Tensor:
        """Return the decoded logits."""
        return _choose(outputs, self.beta)

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return beta's: uniform from 0 to 1, as in the reference."""
        return {"beta": lambda rng, shape: rng.uniform(size=shape)}


class Thresh(Decoder):
    """The logits of each image's first timestep with a confidence of `threshold` or more; without one, of its most confident.

    Parameters
    ----------
    threshold
        A probability.
    """

    def __init__(self, threshold: float = 0.9) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, outputs: Iterable[Tensor]) -> Tensor:
        """Return the decoded logits."""
        return _choose(outputs, beta=1.0, threshold=self.threshold)


DECODERS: Mapping[str, type[Decoder]] = {"last": Last, "max_conf": MaxConf, "thresh": Thresh}


def confidence(logits: Tensor, beta: Tensor | float) -> Tensor:
    """Return the largest probability of softmax(beta logits), (batch).

    In float32 it may round to exactly 1 at several timesteps; to keep the reference's choice among them it is computed as there,
    exp(beta (y - max y)) / sum exp(beta (y - max y)).
    """
    exponentials = torch.exp(beta * (logits - logits.amax(dim=1, keepdim=True)))
    return (exponentials / exponentials.sum(dim=1, keepdim=True)).amax(dim=1)


def _choose(outputs: Iterable[Tensor], beta: Tensor | float, threshold: float | None = None) -> Tensor:
    chosen: Tensor | None = None
    best = decided = torch.empty(0)
    for logits in outputs:
        sure = confidence(logits.detach(), beta)
        if chosen is None:
            chosen, best, decided = logits, sure, torch.zeros_like(sure, dtype=torch.bool)
        else:
            better = (sure > best) & ~decided
            chosen, best = torch.where(better[:, None], logits, chosen), torch.where(better, sure, best)
        if threshold is not None:
            decided = decided | (best >= threshold)
    if chosen is None:
        raise NeurofitError("There is nothing to decode: the presentation ends before the image reaches the readout.")
    return chosen
