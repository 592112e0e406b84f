"""From the readout's outputs over time to the logits of `model(images)`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping

from torch import Tensor

Decoder = Callable[[Iterable[tuple[int, Tensor]]], Tensor]
"""Takes (timestep, logits (batch class)) in order and gives logits (batch class)."""


def last(outputs: Iterable[tuple[int, Tensor]]) -> Tensor:
    """Return the logits of the last timestep (zoo_facts 10)."""
    ((_, logits),) = deque(outputs, maxlen=1)
    return logits


DECODERS: Mapping[str, Decoder] = {"last": last}
