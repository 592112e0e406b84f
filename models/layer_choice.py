"""Which modules of a network are recorded: by name, by pattern, or evenly spaced over its depth."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence

import numpy as np
from torch import nn

from neurofit.activations.layer_names import is_pattern, match_layers
from neurofit.activations.model import refuse_text
from neurofit.errors import NeurofitError
from neurofit.models.operations import ROOT, is_operation
from neurofit.models.survey import OPERATION, Surveyed

MAX_LAYERS = 12
"""Largest number of layers that are chosen for a network without stated ones."""

ENOUGH = 6
"""Number of layers for which no module is taken apart, other than lists of modules."""


def choose_layers(
    module: nn.Module,
    layers: Sequence[str] | None,
    survey: Callable[[], Sequence[Surveyed]],
    *,
    name: str,
    frames: bool = False,
) -> tuple[str, ...]:
    """Return the names of the modules to record.

    Parameters
    ----------
    module
        Network.
    layers
        Names; patterns, which choose among the modules that can be recorded; or None for
        `spread_layers`.
    survey
        Returns what a probe says of the modules; called if it is needed.
    name
        Name of the model, for messages.
    frames
        Whether the network takes frames, so that layers may differ in their number of calls.

    Raises
    ------
    NeurofitError
        If a name does not exist or is repeated, or a pattern matches nothing.
    """
    if layers is None:
        return spread_layers(module, survey(), frames=frames)
    refuse_text("layers", layers)
    if not layers:
        raise NeurofitError("the number of layers must be at least 1; got 0.")
    existing = {ROOT, *(each for each, _ in module.named_modules(remove_duplicate=False))}
    named = [
        each for each in layers if each in existing or not (is_pattern(each) or is_operation(each))
    ]
    check_names(module, named)
    if len(named) == len(layers):
        return tuple(layers)
    rows = survey()
    operations = [row.name for row in rows if row.driven and row.name in layers]
    suited = dict.fromkeys([*recordable(module, rows, frames=frames), *named, *operations])
    return match_layers(layers, suited, of=name)


def check_names(module: nn.Module, layers: Sequence[str]) -> None:
    """Check that a network has submodules of these names.

    Raises
    ------
    NeurofitError
        If it has not, or a name is repeated.
    """
    names = [name for name, _ in module.named_modules(remove_duplicate=False) if name]
    for layer in layers:
        if layer not in (*names, ROOT):
            near = ", ".join(difflib.get_close_matches(layer, names, n=4, cutoff=0.0))
            raise NeurofitError(
                f"{type(module).__name__} has no submodule {layer!r}; "
                f"nearest of {len(names)}: {near}."
            )
    if len(set(layers)) < len(layers):
        raise NeurofitError(f"layers must not repeat a name; got {', '.join(layers)}.")


def recordable(module: nn.Module, rows: Sequence[Surveyed], *, frames: bool = False) -> list[str]:
    """Return the modules that can be recorded together, in the order of their returns.

    They depend on the image, and are called as often as the module with weights that is called
    most and changes between calls: these calls are the timesteps. In a static network it is once.
    Those of a network that takes frames may differ in their number of calls.
    """
    weighted = {ROOT} | {name for name, each in module.named_modules() if list(each.parameters())}
    steps = [row for row in rows if row.calls > 1 and row.changes]
    if frames:
        return [
            row.name
            for row in rows
            if row.shape is not None and row.driven
            if row.calls == 1 or (row in steps and (row.name in weighted or row.kind == OPERATION))
        ]
    n_calls = max((row.calls for row in steps if row.driven and row.name in weighted), default=1)
    return [
        row.name
        for row in rows
        if row.shape is not None
        and row.driven
        and row.calls == n_calls
        and (n_calls == 1 or (row in steps and (row.name in weighted or row.kind == OPERATION)))
    ]


def spread_layers(
    module: nn.Module,
    rows: Sequence[Surveyed],
    most: int = MAX_LAYERS,
    *,
    frames: bool = False,
) -> tuple[str, ...]:
    """Return at most `most` of the modules that can be recorded, evenly spaced over the depth.

    Lists of modules are taken apart, and then the largest modules, until there are enough. A module
    that returns its input is left out. Operations are taken where there are too few modules.

    Raises
    ------
    NeurofitError
        If no module depends on the image.
    """
    repeated = {row.name for row in rows if row.repeats}
    suited = [name for name in recordable(module, rows, frames=frames) if name not in repeated]
    names = [name for name, _ in module.named_children()]
    while True:
        names = _without_lists(module, names)
        chosen = [name for name in suited if name in names]
        sizes = {name: _size(module.get_submodule(name)) for name in names}
        largest = max(names, key=lambda name: sizes[name], default="")
        if len(chosen) >= min(ENOUGH, most) or sizes.get(largest, 0) == 0:
            break
        kind = type(module.get_submodule(largest))
        names = [
            inner
            for name in names
            for inner in (
                _children(module, name)
                if type(module.get_submodule(name)) is kind and sizes[name]
                else [name]
            )
        ]
    if len(chosen) < min(ENOUGH, most):
        chosen = suited
    if not chosen:
        raise NeurofitError(
            f"No module of {type(module).__name__} returns a tensor with the batch as its first "
            "axis that depends on the image."
        )
    at = np.unique(np.linspace(0, len(chosen) - 1, min(most, len(chosen))).round().astype(int))
    return tuple(chosen[i] for i in at)


def _without_lists(module: nn.Module, names: Sequence[str]) -> list[str]:
    """Return names of modules, with lists of modules replaced by their entries."""
    flat: list[str] = []
    for name in names:
        each = module.get_submodule(name)
        is_list = type(each) in (nn.Sequential, nn.ModuleList, nn.ModuleDict)
        flat += _without_lists(module, _children(module, name)) if is_list else [name]
    return flat


def _children(module: nn.Module, name: str) -> list[str]:
    return [f"{name}.{inner}" for inner, _ in module.get_submodule(name).named_children()]


def _size(module: nn.Module) -> int:
    """Return the number of modules inside a module."""
    return sum(1 for _ in module.modules()) - 1
