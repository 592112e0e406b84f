"""The edges between the layers of a ConvRNN: sources of feedback, and steps to every layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from neurofit.errors import NeurofitError, check_option


def find_sources(
    layers: tuple[str, ...], feedback: Iterable[tuple[str, str]]
) -> dict[str, tuple[str, ...]]:
    """Return layer -> sources of its feedback in string order ("conv10" before "conv2")."""
    if not layers or len(set(layers)) != len(layers):
        raise NeurofitError(
            f"A model needs layers with unique names; got {', '.join(layers) or 'none'}."
        )
    edges = {
        (
            check_option("source of feedback", source, layers),
            check_option("target of feedback", target, layers),
        )
        for source, target in feedback
    }
    return {
        layer: tuple(sorted(source for source, target in edges if target == layer))
        for layer in layers
    }


def find_delays(start: Iterable[str], edges: Mapping[tuple[str, str], int]) -> dict[str, int]:
    """Return the smallest number of steps from `start` to every layer that can be reached.

    Edges are (source, target) -> steps.
    """
    delays = dict.fromkeys(start, 0)
    for _ in edges:  # no path is longer
        for (source, target), steps in edges.items():
            if source in delays:
                arrival = delays[source] + steps
                delays[target] = min(delays.get(target, arrival), arrival)
    return delays
