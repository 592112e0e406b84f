"""Decoders: from the readout at each timestep to the logits of a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from neurofit.errors import NeurofitError
from neurofit.models.initialisers import Initialiser


class Decoder(nn.Module, ABC):
    """Module from the readouts (batch class) of successive timesteps to logits (batch class).

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


class Sum(Decoder):
    """The sum of the logits over timesteps."""

    def forward(self, outputs: Iterable[Tensor]) -> Tensor:
        """Return the decoded logits."""
        return torch.stack(list(outputs)).sum(0)


class Average(Decoder):
    """The mean of the logits over timesteps."""

    def forward(self, outputs: Iterable[Tensor]) -> Tensor:
        """Return the decoded logits."""
        return torch.stack(list(outputs)).mean(0)


class RandomTime(Decoder):
    """In training the logits of a timestep that is drawn for each batch, otherwise of the last one.

    A net that is trained so has to be right at every timestep. All timesteps are equally likely.
    """

    def forward(self, outputs: Iterable[Tensor]) -> Tensor:
        """Return the decoded logits."""
        timesteps = list(outputs)
        drawn = int(torch.randint(len(timesteps), ())) if self.training else -1
        return timesteps[drawn]


class MaxConf(Decoder):
    """The logits of the most confident timestep of each image, the first one on ties.

    The confidence is the largest probability of softmax(beta logits). `beta` is a parameter of the
    published models, but receives no gradient, since it only affects a choice.
    """

    def __init__(self) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.ones(1))

    def forward(self, outputs: Iterable[Tensor]) -> Tensor:
        """Return the decoded logits."""
        return _choose(outputs, self.beta)

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return the initialiser of beta: uniform from 0 to 1, as in the reference."""
        return {"beta": lambda rng, shape: rng.uniform(size=shape)}


class Thresh(Decoder):
    """The logits of the first confident timestep of each image, or else of the most confident one.

    Parameters
    ----------
    threshold
        Smallest confidence that ends the search, a probability; see `MaxConf`, with beta = 1.
    """

    def __init__(self, threshold: float = 0.9) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, outputs: Iterable[Tensor]) -> Tensor:
        """Return the decoded logits."""
        return _choose(outputs, beta=1.0, threshold=self.threshold)


DECODERS: Mapping[str, type[Decoder]] = {
    "last": Last,
    "sum": Sum,
    "average": Average,
    "random_time": RandomTime,
    "max_conf": MaxConf,
    "thresh": Thresh,
}


def confidence(logits: Tensor, beta: Tensor | float) -> Tensor:
    """Return the largest probability of softmax(beta logits), (batch).

    The formula is that of the reference, since the choice among timesteps at which float32 rounds
    to exactly 1 depends on it.
    """
    exponentials = torch.exp(beta * (logits - logits.amax(dim=1, keepdim=True)))
    return (exponentials / exponentials.sum(dim=1, keepdim=True)).amax(dim=1)


def _choose(
    outputs: Iterable[Tensor], beta: Tensor | float, threshold: float | None = None
) -> Tensor:
    chosen: Tensor | None = None
    best = decided = torch.empty(0)
    for logits in outputs:
        current = confidence(logits.detach(), beta)
        if chosen is None:
            chosen, best, decided = logits, current, torch.zeros_like(current, dtype=torch.bool)
        else:
            better = (current > best) & ~decided
            chosen = torch.where(better[:, None], logits, chosen)
            best = torch.where(better, current, best)
        if threshold is not None:
            decided = decided | (best >= threshold)
    if chosen is None:
        raise NeurofitError(
            "No logits to decode: the presentation ends before the image reaches the readout."
        )
    return chosen
