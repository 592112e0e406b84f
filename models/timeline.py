"""Timesteps of a wrapped model, from the calls of its layers."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from neurofit.errors import NeurofitError, NeurofitWarning, check_option
from neurofit.models.calls import Way, find_submodule, name_steps
from neurofit.models.frame_times import FrameTimeline
from neurofit.models.operations import is_operation


@dataclass(frozen=True)
class Timeline:
    """Timesteps of the calls of layers.

    Parameters
    ----------
    n_timesteps
        Number of timesteps of a forward pass; 1 for a static model.
    first
        Layer -> timestep of its first call.
    calls
        Layer -> number of calls in a forward pass.
    ways
        Layer -> how its timesteps are found (`neurofit.models.calls`).
    """

    n_timesteps: int
    first: Mapping[str, int]
    calls: Mapping[str, int]
    ways: Mapping[str, Way] = field(default_factory=dict)

    def describe(self, layer: str, ms_per_timestep: int) -> str:
        """Return where the timesteps of a layer come from, and when they are, in words."""
        number, first = self.calls[layer], self.first[layer] * ms_per_timestep
        what = name_steps(self.ways.get(layer, "calls"), number)
        return f"{what}, at {first} ms" + f" and every {ms_per_timestep} ms" * (number > 1)

    def call_at(self, layer: str, timestep: int) -> int:
        """Return the number of the call at a timestep; negative before the first call."""
        return min(timestep - self.first[layer], self.calls[layer] - 1)


def check_time(time: str | int) -> None:
    """Check where the timesteps of a network are said to be, see `neurofit.models.wrap`.

    Raises
    ------
    NeurofitError
        If it is no such place.
    """
    if isinstance(time, bool) or not isinstance(time, int) or time < 1:
        check_option("place of timesteps (time)", str(time), ("auto", "calls", "outputs"))


def find_timeline(
    module: nn.Module,
    calls: Mapping[str, list[Tensor]],
    order: Sequence[str],
    *,
    recurrent: bool | None,
    first_call: Mapping[str, int],
    name: str,
    layers: Sequence[str],
) -> Timeline:
    """Assign timesteps to calls.

    Parameters
    ----------
    module
        Wrapped module.
    calls
        Layer -> outputs (batch ...) of its calls in a forward pass.
    order
        Layers in the order of their calls.
    recurrent, first_call, name, layers
        See `neurofit.models.wrap`.

    Raises
    ------
    NeurofitError
        If the calls contradict `recurrent` or `first_call`, or leave the timesteps open.
    """
    counts = {layer: len(outputs) for layer, outputs in calls.items()}
    repeated = [layer for layer, count in counts.items() if count > 1]
    for layer, timestep in first_call.items():
        check_option(f"layer in first_call of {name}", layer, layers)
        if timestep < 0:
            raise NeurofitError(
                f"{name}, layer {layer}: first_call must be 0 or more; got {timestep}."
            )
    if recurrent is False and repeated:
        raise NeurofitError(
            f"{name} is not static: {repeated[0]} is called {counts[repeated[0]]} times in one "
            "forward pass. Record the module around it, or omit recurrent=False."
        )
    if recurrent is None:
        for layer in repeated:
            if not is_operation(layer) and not list(find_submodule(module, layer).parameters()):
                raise NeurofitError(
                    f"{name}, layer {layer}: a module without weights that is called "
                    f"{counts[layer]} times may be shared by several layers. Record the module "
                    "around it, or set recurrent=True if its calls are timesteps."
                )
    changing = any(
        not torch.equal(a, b)
        for layer in repeated
        for a, b in zip(calls[layer], calls[layer][1:], strict=False)
    )
    if (recurrent or repeated) and not changing:
        found = (
            f"{', '.join(repeated)} returns the same at every call"
            if repeated
            else "each layer is called once"
        )
        repair = (
            "Record other layers, or omit recurrent=True."
            if recurrent
            else "Record a layer that changes between calls."
        )
        raise NeurofitError(f"{name} is not recurrent in these layers: {found}. {repair}")
    first = {layer: first_call.get(layer, 0) for layer in layers}
    n_timesteps = max(first[layer] + counts[layer] for layer in layers)
    # A layer called once is static before any recurrence; afterwards its timestep is unknown.
    recurrence = min((order.index(layer) for layer in repeated), default=len(order))
    unplaced = [
        layer
        for layer in layers
        if layer not in first_call
        and counts[layer] != n_timesteps
        and (counts[layer] > 1 or order.index(layer) > recurrence)
    ]
    if unplaced:
        numbers = ", ".join(
            f"{layer} {counts[layer]} time{'s' * (counts[layer] > 1)}" for layer in layers
        )
        raise NeurofitError(
            f"A forward pass of {name} has {n_timesteps} timesteps and calls {numbers}. "
            f"Set the first timestep of {unplaced[0]}: first_call={{{unplaced[0]!r}: TIMESTEP}}."
        )
    return Timeline(n_timesteps, first, counts)


def find_image_driven(
    calls: Mapping[str, list[Tensor]], timeline: Timeline | FrameTimeline, *, name: str
) -> dict[str, int]:
    """Return layer -> first timestep at which its output differs between images.

    Raises
    ------
    NeurofitError
        If the output of a layer never differs.

    Warns
    -----
    NeurofitWarning
        If it does not differ at some timesteps.
    """
    found = {}
    for layer, outputs in calls.items():
        differs = [_differs_between_images(output) for output in outputs]
        first = timeline.first[layer]
        if not any(differs):
            raise NeurofitError(
                f"{name}, layer {layer}: the output is the same for all images, "
                "so that it cannot predict responses."
            )
        found[layer] = first + differs.index(True)
        if not all(differs):
            constant = ", ".join(str(first + call) for call, each in enumerate(differs) if not each)
            warnings.warn(
                f"{name}, layer {layer}: the output is the same for all images at timestep "
                f"{constant}, where it cannot predict responses.",
                NeurofitWarning,
                stacklevel=4,
            )
    return found


def _differs_between_images(values: Tensor) -> bool:
    """Return whether the images of a batch differ by more than rounding."""
    rounding = 1e-6 * float(values.abs().max())
    return not all(
        torch.allclose(values[0], other, rtol=1e-5, atol=rounding) for other in values[1:]
    )
