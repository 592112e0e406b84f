"""The space of a search: dimensions that a study file narrows, and nets that are drawn from it.

An edge (a path inside the cell, a feedback connection) has a probability p: a number z is drawn
between 0 and 1, and the edge is there if z < p. A sampler that learns sees z.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from neurofit.errors import NeurofitError, check_option, unknown_name
from neurofit.models.architecture import Architecture, Stage
from neurofit.models.cells import CELLS
from neurofit.models.cells.reciprocal import PATHS, live_paths
from neurofit.training.search.dimensions import (
    DIMENSIONS,
    PATH_DEFAULTS,
    SWITCHES,
    TRAINING,
    Choices,
    Range,
    parse_dimension,
    parse_probability,
)

FIRST_LAYERS = 2
"""Layers without a cell before the others, as in the published ConvRNNs."""

SEVERAL_READOUTS = ("max_conf", "thresh")
"""Decoders that need two timesteps to choose from."""


@runtime_checkable
class Suggest(Protocol):
    """Where values come from: a sampler, a record, or a random generator."""

    def choice(self, name: str, values: Choices) -> Any:
        """Return one of the values."""
        ...

    def integer(self, name: str, low: int, high: int, step: int) -> int:
        """Return a whole number."""
        ...

    def number(self, name: str, low: float, high: float, log: bool) -> float:
        """Return a number."""
        ...


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A net that was drawn, and how to train it.

    Parameters
    ----------
    choices
        Value of every dimension that the net has, and of every edge (whether it is there).
    architecture
        The net.
    training
        Fields of a training configuration.
    """

    choices: Mapping[str, Any]
    architecture: Architecture
    training: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Space:
    """A space in which a net can be drawn.

    Parameters
    ----------
    dimensions
        Values of each dimension.
    paths
        Probability of each path inside the cell.
    feedback
        Probability of every feedback edge, from a later to an earlier layer with a cell; or of
        single edges, {"conv5-conv3": 0.5}.

    Raises
    ------
    NeurofitError
        Naming the dimension that makes it impossible to draw a valid net.
    """

    dimensions: Mapping[str, Choices | Range]
    paths: Mapping[str, float]
    feedback: float | Mapping[str, float]

    def __post_init__(self) -> None:
        _check_times(self)
        _check_paths(self)
        _check_feedback(self)

    @property
    def cells(self) -> tuple[str, ...]:
        """Cells of the space."""
        return tuple(map(str, self.values("cell")))

    def values(self, name: str) -> Choices:
        """Return the choices of a dimension, or the ends of its range."""
        found = self.dimensions[name]
        return (found.low, found.high) if isinstance(found, Range) else found

    def draw(
        self, suggest: Suggest, *, input_size: int, n_classes: int, ms_per_timestep: int = 10
    ) -> Candidate:
        """Return a net for images of this size and number of classes."""
        chosen: dict[str, Any] = {}

        def take(name: str, *, low: int = 0, high: int = 10**9) -> Any:
            chosen[name] = self._take(suggest, name, low, high)
            return chosen[name]

        def edge(name: str, probability: float) -> bool:
            sure = probability in (0.0, 1.0)
            there = (
                probability == 1.0 if sure else suggest.number(name, 0.0, 1.0, False) < probability
            )
            chosen[name] = there
            return there

        cell, depth, decoder = take("cell"), take("depth"), take("decoder")
        options = self._cell_options(cell, take, edge, chosen)
        edges = [
            pair
            for pair, probability in self._feedback(cell, depth)
            if edge(f"feedback.{pair[0]}-{pair[1]}", probability)
        ]
        widths = {True: take("first_channels"), False: take("channels")}
        kernels = [take("first_kernel"), *[take("kernel")] * (depth - 1)]
        timesteps = take("timesteps", low=_needed(depth, decoder))
        image_on = take("image_on", high=timesteps)
        training = {name: float(take(name)) for name in TRAINING}
        stages = tuple(
            Stage(
                name=f"conv{number}",
                channels=widths[number <= FIRST_LAYERS],
                kernel=kernels[number - 1],
                cell=cell if number > FIRST_LAYERS else "memoryless",
                options=options if number > FIRST_LAYERS else {},
                pool=number <= FIRST_LAYERS + 1 or number == depth,
            )
            for number in range(1, depth + 1)
        )
        architecture = Architecture(
            stages=stages,
            feedback=tuple(edges),
            region_layers={"V4": (f"conv{FIRST_LAYERS + 1}",), "IT": (f"conv{depth}",)},
            input_size=input_size,
            n_classes=n_classes,
            timesteps=timesteps,
            image_on=image_on,
            decoder=decoder,
            ms_per_timestep=ms_per_timestep,
        )
        return Candidate(choices=chosen, architecture=architecture, training=training)

    def _take(self, suggest: Suggest, name: str, low: int, high: int) -> Any:
        found = self.dimensions[name]
        if not isinstance(found, Range):
            return found[0] if len(found) == 1 else suggest.choice(name, found)
        if DIMENSIONS[name].kind is float:
            return suggest.number(name, found.low, found.high, found.log)
        first, last = max(int(found.low), low), min(int(found.high), high)
        last -= (last - first) % found.step
        return first if first == last else suggest.integer(name, first, last, found.step)

    def _cell_options(self, cell: str, take: Any, edge: Any, chosen: dict[str, Any]) -> Any:
        if cell == "reciprocal":
            there = [path for path in PATHS if edge(f"paths.{path}", self.paths[path])]
            paths = self._repaired(there)
            chosen |= {f"paths.{path}": path in paths for path in PATHS}
            gates = any("_gates_" in path for path in paths)
            return {
                "paths": list(paths),
                "kernel": take("cell_kernel"),
                **({"gate_kernel": take("gate_kernel")} if gates else {}),
                "separable": take("separable"),
                "gate": take("gate"),
            }
        known = inspect.signature(CELLS[cell]).parameters
        options = {
            switch: edge(f"paths.{switch}", self.paths[switch])
            for switch in SWITCHES
            if switch in known
        }
        if cell == "lstm":
            options |= {"kernel": take("gate_kernel"), "norm": take("layer_norm")}
            options["peepholes"] = take("peepholes") if options["gating"] else False
        elif cell == "simplernn":
            options["norm"] = take("layer_norm")
        elif cell == "rgc":
            options |= {"input_gate": False, "feedback_kernel": 3}
        elif cell == "res3":
            options["tau_out"] = 1.0
        return options

    def _repaired(self, paths: Sequence[str]) -> tuple[str, ...]:
        """Return the paths that can change the output; if none can, the likeliest way is added."""
        try:
            return live_paths(paths)
        except NeurofitError:
            direct = [path for path in ("in_to_out", "in_conv_to_out") if self.paths[path] > 0]
            return live_paths([*paths, *(direct[:1] or ("in_to_cell", "cell_to_out"))])

    def _feedback(self, cell: str, depth: int) -> Iterator[tuple[tuple[str, str], float]]:
        if not CELLS[cell].takes_feedback:
            return
        for target in range(FIRST_LAYERS + 1, depth):
            for source in range(target + 1, depth + 1):
                pair = f"conv{source}", f"conv{target}"
                probability = (
                    self.feedback.get("-".join(pair), 0.0)
                    if isinstance(self.feedback, Mapping)
                    else self.feedback
                )
                yield pair, float(probability)


def read_space(given: Mapping[str, Any]) -> Space:
    """Return the space of a study file: defaults, and what its table [space] narrows.

    A dimension is fixed by a value, narrowed by a list of values or, if it has numbers, by a table
    {low = 1, high = 4}, with step = 2 or log = true where wanted.

    Raises
    ------
    NeurofitError
        Naming the dimension that is unknown, out of its bounds, or makes the space impossible.
    """
    for name in given:
        if name not in (known := [*DIMENSIONS, "paths", "feedback"]):
            raise unknown_name("dimension of the space", name, known)
    dimensions = {
        name: parse_dimension(name, given[name], dimension) if name in given else dimension.default
        for name, dimension in DIMENSIONS.items()
    }
    cells = dimensions["cell"]
    assert isinstance(cells, tuple)
    for name, dimension in DIMENSIONS.items():
        if name in given and dimension.cells and not set(dimension.cells) & set(cells):
            raise NeurofitError(
                f"space.{name} belongs to the cell {' or '.join(dimension.cells)}, which the space "
                f"does not have: its cells are {', '.join(cells)}."
            )
    paths = given.get("paths", {})
    if not isinstance(paths, Mapping):
        raise NeurofitError(f"space.paths must be a table of probabilities; got {paths!r}.")
    for path in paths:
        check_option("path of space.paths", path, PATH_DEFAULTS)
    feedback = given.get("feedback", 0.2 if set(cells) & set(_feeding()) else 0.0)
    return Space(
        dimensions=dimensions,
        paths={
            path: parse_probability(f"paths.{path}", paths.get(path, usual))
            for path, usual in PATH_DEFAULTS.items()
        },
        feedback={
            str(edge): parse_probability(f"feedback.{edge}", value)
            for edge, value in feedback.items()
        }
        if isinstance(feedback, Mapping)
        else parse_probability("feedback", feedback),
    )


def _needed(depth: int, decoder: str) -> int:
    """Return the fewest timesteps in which the image reaches the readout and can be decoded."""
    return depth + 1 + (decoder in SEVERAL_READOUTS)


def _check_times(space: Space) -> None:
    depth, decoders = int(max(space.values("depth"))), space.values("decoder")
    needed, decoder = max((_needed(depth, each), each) for each in decoders)
    times, image = space.dimensions["timesteps"], space.dimensions["image_on"]
    most = max(times.high, 0) if isinstance(times, Range) else min(times)
    if most < needed:
        has = f"at most {most:g}" if isinstance(times, Range) else f"{most:g}"
        raise NeurofitError(
            f"space.timesteps: with depth {depth} and the decoder {decoder}, the image needs "
            f"{needed} timesteps to the readout; the space has {has}. Raise timesteps or lower "
            "depth."
        )
    # the shortest presentation of the shallowest net
    shallow = min(_needed(int(min(space.values("depth"))), each) for each in decoders)
    shortest = max(int(times.low), shallow) if isinstance(times, Range) else min(times)
    longest_image = image.low if isinstance(image, Range) else max(image)
    if longest_image > shortest:
        raise NeurofitError(
            f"space.image_on: an image cannot be on for {longest_image:g} timesteps of a "
            f"presentation of {shortest}, the shortest of the space. Lower image_on or raise "
            "timesteps."
        )
    if isinstance(times, Range) and times.step > 1:
        raise NeurofitError("space.timesteps has no step: its lowest value follows the depth.")


def _check_paths(space: Space) -> None:
    likely = space.paths
    through_cell = min(likely["in_to_cell"], likely["cell_to_out"])
    if "reciprocal" in space.cells and not max(
        likely["in_to_out"], likely["in_conv_to_out"], through_cell
    ):
        raise NeurofitError(
            "space.paths: no path can lead from the input of the cell to its output. Give "
            "in_to_out, in_conv_to_out, or both in_to_cell and cell_to_out a probability above 0."
        )
    peepholes = space.cells == ("lstm",) and space.dimensions["peepholes"] == (True,)
    if peepholes and likely["gating"] < 1:
        raise NeurofitError(
            "space.peepholes: peepholes belong to the gates of an LSTM, so that peepholes = true "
            f"needs paths.gating = 1; got {likely['gating']:g}."
        )


def _check_feedback(space: Space) -> None:
    deepest = int(max(space.values("depth")))
    named: dict[str, float] = dict(space.feedback) if isinstance(space.feedback, Mapping) else {}
    possible = {
        f"conv{source}-conv{target}"
        for target in range(FIRST_LAYERS + 1, deepest)
        for source in range(target + 1, deepest + 1)
    }
    for edge in named:
        if edge not in possible:
            raise unknown_name("edge of space.feedback", edge, possible)
    wanted = any(named.values()) if named else bool(space.feedback)
    if wanted and not set(space.cells) & set(_feeding()):
        raise NeurofitError(
            f"space.feedback: no cell of the space takes feedback ({', '.join(space.cells)}); "
            f"those that do are {', '.join(_feeding())}."
        )
    if wanted and not possible:
        raise NeurofitError(
            f"space.feedback: feedback needs two layers with cells, that is a depth of at least "
            f"{FIRST_LAYERS + 2}; got {deepest}."
        )


def _feeding() -> list[str]:
    return [name for name in CELLS if CELLS[name].takes_feedback]
