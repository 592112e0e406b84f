"""Names of layers, and patterns of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from neurofit.errors import NeurofitError, unknown_name

_WILD = {"**": "[^:]*", "*": "[^.:]*", "?": "[^.:]"}


def is_pattern(layer: str) -> bool:
    """Return whether a name has a wildcard."""
    return any(each in layer for each in "*?[")


def match_layers(layers: Sequence[str], names: Iterable[str], *, of: str) -> tuple[str, ...]:
    """Return the layers that names and patterns choose, each once.

    In a pattern, `*` stands for any text without a dot, `**` for any text, `?` for a character and
    `[...]` for one of these: "layer3.*" chooses "layer3.0" and not "layer3.0.conv1". Operations,
    such as "layer3.0:add", match patterns with a colon.

    Parameters
    ----------
    layers
        Names and patterns.
    names
        Names that exist, in order.
    of
        Name of the model, for the message.

    Raises
    ------
    NeurofitError
        If a name does not exist, or a pattern matches none.
    """
    if isinstance(layers, str):
        raise NeurofitError(f"layers must be a list of names; got the string {layers!r}.")
    existing, chosen = list(names), list[str]()
    for layer in layers:
        found = [name for name in existing if name == layer]
        if not found and is_pattern(layer):
            pattern = _regex(layer)
            found = [name for name in existing if pattern.fullmatch(name)]
        if not found:
            raise unknown_name(f"layer of {of}", layer, existing)
        chosen += found
    return tuple(dict.fromkeys(chosen))


def _regex(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*|\*|\?|\[[^\]]*\])", pattern)
    wild = (_WILD.get(part, part if part[:1] == "[" else re.escape(part)) for part in parts)
    try:
        return re.compile("".join(wild))
    except re.error as error:
        raise NeurofitError(f"{pattern!r} is not a pattern of layers: {error}.") from error
