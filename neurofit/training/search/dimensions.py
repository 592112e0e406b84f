"""Dimensions of the space of a search, their bounds, and what a study file may make of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neurofit.errors import NeurofitError, check_option
from neurofit.models.cells import CELLS
from neurofit.models.cells.reciprocal import GATES, PATHS
from neurofit.models.decoders import DECODERS

SWITCHES = ("bypassing", "gating")
"""Paths of the cells other than `reciprocal` that have these switches."""


@dataclass(frozen=True, kw_only=True)
class Range:
    """Numbers from `low` to `high`, both included; on a logarithmic scale, or in steps."""

    low: int | float
    high: int | float
    step: int = 1
    log: bool = False


Choices = tuple[Any, ...]
"""Values of which one is chosen; a single one is fixed."""


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """A dimension of the space.

    Parameters
    ----------
    default
        What is searched unless the study narrows it.
    allowed
        Smallest and largest number, or all names.
    cells
        Cells that have it; empty for a dimension of every net.
    help
        What it is.
    """

    default: Choices | Range
    allowed: Sequence[Any]
    cells: tuple[str, ...] = ()
    help: str

    @property
    def kind(self) -> type:
        """Type of its values."""
        return type(self.allowed[0])


DIMENSIONS: Mapping[str, Dimension] = {
    "cell": Dimension(
        default=("reciprocal", "timedecay", "simplernn", "gru", "lstm", "ugrnn"),
        allowed=tuple(CELLS),
        help="cell of all layers but the first two",
    ),
    "depth": Dimension(
        default=Range(low=4, high=7), allowed=(3, 32), help="layers with a convolution"
    ),
    "first_channels": Dimension(
        default=Range(low=8, high=16, step=8), allowed=(1, 1024), help="channels of conv1 and conv2"
    ),
    "channels": Dimension(
        default=Range(low=16, high=48, step=8),
        allowed=(1, 1024),
        help="channels of the other layers",
    ),
    "first_kernel": Dimension(
        default=(3, 5, 7), allowed=(1, 15), help="kernel size of conv1, in pixels"
    ),
    "kernel": Dimension(
        default=(3, 5), allowed=(1, 15), help="kernel size of the other layers, in pixels"
    ),
    "cell_kernel": Dimension(
        default=(1, 3, 5),
        allowed=(1, 15),
        cells=("reciprocal",),
        help="kernel size of the terms of the cell, in pixels",
    ),
    "gate_kernel": Dimension(
        default=(1, 3, 5, 7),
        allowed=(1, 15),
        cells=("reciprocal", "lstm"),
        help="kernel size of the gates, in pixels",
    ),
    "separable": Dimension(
        default=(False, True),
        allowed=(False, True),
        cells=("reciprocal",),
        help="whether kernels of the cell are depthwise, then 1 x 1",
    ),
    "gate": Dimension(
        default=tuple(GATES),
        allowed=tuple(GATES),
        cells=("reciprocal",),
        help="nonlinearity of the gates",
    ),
    "peepholes": Dimension(
        default=(False, True),
        allowed=(False, True),
        cells=("lstm",),
        help="whether the state of the cell reaches its gates",
    ),
    "layer_norm": Dimension(
        default=(False,),
        allowed=(False, True),
        cells=("lstm", "simplernn"),
        help="whether the cell has layer norms",
    ),
    "decoder": Dimension(
        default=("last", "average", "max_conf"),
        allowed=tuple(DECODERS),
        help="how the logits are read out over time",
    ),
    "timesteps": Dimension(
        default=Range(low=8, high=16), allowed=(2, 1000), help="timesteps of a presentation"
    ),
    "image_on": Dimension(
        default=Range(low=4, high=16),
        allowed=(1, 1000),
        help="timesteps for which the image is on, at most `timesteps`",
    ),
    "lr": Dimension(
        default=Range(low=0.02, high=0.5, log=True), allowed=(0.0, 100.0), help="learning rate"
    ),
    "clip": Dimension(
        default=Range(low=0.05, high=5.0, log=True),
        allowed=(1e-9, 1e9),
        help="limit of each element of the gradients",
    ),
    "weight_decay": Dimension(
        default=(1.0,), allowed=(0.0, 1e6), help="factor of the weight decays"
    ),
}
"""Dimensions by name; `paths` and `feedback` have probabilities and stand beside them."""

TRAINING = ("lr", "clip", "weight_decay")
"""Dimensions that are fields of a training configuration."""

PATH_DEFAULTS: Mapping[str, float] = {
    **dict.fromkeys(PATHS, 0.5),
    "in_to_out": 0.8,
    **dict.fromkeys(SWITCHES, 0.5),
}


def parse_dimension(name: str, given: Any, dimension: Dimension) -> Choices | Range:
    """Return what a study file makes of a dimension: a value, a list of values, or a range.

    Raises
    ------
    NeurofitError
        If a value is of another type or out of its bounds, or nothing is left.
    """
    kind = dimension.kind
    if isinstance(given, Mapping):
        if kind not in (int, float):
            raise NeurofitError(
                f"space.{name} is a value or a list of values; a range {{low, high}} is for "
                f"numbers. Existing: {', '.join(map(str, dimension.allowed))}."
            )
        for key in given:
            check_option(f"field of space.{name}", key, ("low", "high", "step", "log"))
        if not {"low", "high"} <= given.keys():
            raise NeurofitError(f"space.{name} as a range needs low and high; got {dict(given)}.")
        low, high = (_value(name, given[key], dimension) for key in ("low", "high"))
        step, log = given.get("step", 1), given.get("log", False)
        if low > high:
            raise NeurofitError(f"space.{name}: low, {low}, must be at most high, {high}.")
        if not isinstance(step, int) or step < 1 or (step > 1 and kind is float):
            raise NeurofitError(
                f"space.{name}: step is a whole number above 0, for whole numbers; got {step!r}."
            )
        if log and (kind is int or low <= 0):
            raise NeurofitError(
                f"space.{name}: log = true is for numbers that are not whole and above 0; "
                f"got low = {low}."
            )
        return (low,) if low == high else Range(low=low, high=high, step=step, log=bool(log))
    values = given if isinstance(given, list | tuple) else [given]
    if not values:
        raise NeurofitError(f"space.{name} has no value left: give one, or leave it out.")
    return tuple(dict.fromkeys(_value(name, value, dimension) for value in values))


def _value(name: str, value: Any, dimension: Dimension) -> Any:
    kind, allowed = dimension.kind, dimension.allowed
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        words = {int: "a whole number", float: "a number", bool: "true or false", str: "a name"}
        raise NeurofitError(f"space.{name} must be {words[kind]}; got {value!r}.")
    if kind is str:
        check_option(f"value of space.{name}", str(value), map(str, allowed))
    elif kind is not bool and not allowed[0] <= value <= allowed[1]:
        raise NeurofitError(
            f"space.{name} must lie between {allowed[0]:g} and {allowed[1]:g}; got {value:g}."
        )
    return value


def parse_probability(name: str, value: Any) -> float:
    """Return a probability.

    Raises
    ------
    NeurofitError
        If the value is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise NeurofitError(f"space.{name} must be a probability, from 0 to 1; got {value!r}.")
    return float(value)
