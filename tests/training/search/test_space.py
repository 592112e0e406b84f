"""Every net of a space is a valid model; an impossible space is refused in a sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from neurofit.errors import NeurofitError
from neurofit.models.architecture import architecture_of
from neurofit.models.cells import CELLS
from neurofit.models.cells.reciprocal import PATHS, RGC_PATHS
from neurofit.training.search.dimensions import DIMENSIONS, Choices
from neurofit.training.search.space import Space, read_space


class Drawn:
    """A random generator as `Suggest`, which keeps what it was asked for."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.asked: dict[str, Any] = {}

    def choice(self, name: str, values: Choices) -> Any:
        self.asked[name] = values[int(self.rng.integers(len(values)))]
        return self.asked[name]

    def integer(self, name: str, low: int, high: int, step: int) -> int:
        assert low <= high, name
        self.asked[name] = int(self.rng.choice(np.arange(low, high + 1, step)))
        return int(self.asked[name])

    def number(self, name: str, low: float, high: float, log: bool) -> float:
        ends = np.log([low, high]) if log else [low, high]
        value = self.rng.uniform(*ends)
        self.asked[name] = float(np.exp(value) if log else value)
        return float(self.asked[name])


def draw(space: Space, seed: int, *, input_size: int = 32) -> Any:
    return space.draw(Drawn(seed), input_size=input_size, n_classes=10)


EVERY_CELL: Mapping[str, Any] = {
    "cell": list(CELLS),
    "depth": {"low": 3, "high": 6},
    "feedback": 0.5,
    "layer_norm": [False, True],
    "decoder": ["last", "sum", "average", "random_time", "max_conf", "thresh"],
    "timesteps": {"low": 4, "high": 10},
    "image_on": {"low": 1, "high": 10},
    "channels": {"low": 3, "high": 9, "step": 2},
    "first_channels": 4,
}


@pytest.mark.parametrize("seed", range(60))
def test_every_net_of_the_widest_space_can_be_built_and_trained(seed: int) -> None:
    candidate = draw(read_space(EVERY_CELL), seed, input_size=16)
    described = json.loads(json.dumps(candidate.architecture.as_json()))
    model = architecture_of(described).build()
    model.train()
    logits = model(torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(seed)))
    assert logits.shape == (2, 10)
    logits.square().sum().backward()
    assert all(torch.isfinite(each).all() for each in model.state_dict().values())


def test_a_net_without_a_path_to_its_output_gets_one() -> None:
    rare = dict.fromkeys(PATHS, 0.02)
    for given, path in (({}, "in_to_out"), ({"in_to_out": 0.0}, "in_conv_to_out")):
        space = read_space({"cell": "reciprocal", "paths": {**rare, **given}})
        drawn = [draw(space, seed) for seed in range(20)]
        assert sum(each.choices[f"paths.{path}"] for each in drawn) >= 15
        for each in drawn:
            each.architecture.build(seed=None)


def test_an_edge_is_there_with_its_probability() -> None:
    space = read_space(
        {"cell": "reciprocal", "depth": 5, "paths": {"in_to_out": 0.3}, "feedback": 0.7}
    )
    found = [draw(space, seed).choices for seed in range(600)]
    edges = ("feedback.conv4-conv3", "feedback.conv5-conv3", "feedback.conv5-conv4")
    for edge in edges:
        assert np.mean([each[edge] for each in found]) == pytest.approx(0.7, abs=0.06)
    assert {name for each in found for name in each if name.startswith("feedback")} == set(edges)


def test_a_fixed_space_is_one_net_and_asks_for_nothing() -> None:
    space = read_space(
        {
            "cell": "reciprocal",
            "depth": 5,
            "first_channels": 8,
            "channels": 16,
            "first_kernel": 5,
            "kernel": 3,
            "cell_kernel": 3,
            "gate_kernel": 7,
            "separable": True,
            "gate": "tanh",
            "decoder": "average",
            "timesteps": 10,
            "image_on": 8,
            "lr": 0.1,
            "clip": 0.5,
            "paths": {path: float(path in RGC_PATHS) for path in PATHS},
            "feedback": {"conv5-conv3": 1.0},
        }
    )
    suggest = Drawn(0)
    candidate = space.draw(suggest, input_size=32, n_classes=10)
    assert suggest.asked == {}
    net = candidate.architecture
    assert net.feedback == (("conv5", "conv3"),)
    assert [stage.channels for stage in net.stages] == [8, 8, 16, 16, 16]
    assert [stage.pool for stage in net.stages] == [True, True, True, False, True]
    assert net.stages[4].options["paths"] == list(RGC_PATHS)
    assert net.stages[4].options["gate_kernel"] == 7
    assert (net.timesteps, net.image_on, net.decoder) == (10, 8, "average")
    assert candidate.training == {"lr": 0.1, "clip": 0.5, "weight_decay": 1.0}
    assert net.build(seed=None).shapes["conv5"] == (16, 2, 2)


def test_dimensions_are_those_of_the_drawn_cell_alone() -> None:
    space = read_space({"cell": ["lstm", "reciprocal", "gru"]})
    for seed in range(30):
        choices = draw(space, seed).choices
        own = {name for name in choices if "." not in name}
        for name, dimension in DIMENSIONS.items():
            if dimension.cells and choices["cell"] not in dimension.cells:
                assert name not in own
        has = any(name.startswith("feedback.") for name in choices)
        assert not has or choices["cell"] == "reciprocal"


IMPOSSIBLE: list[tuple[dict[str, Any], str]] = [
    ({"depths": 5}, r"Unknown dimension of the space 'depths'. Did you mean 'depth'\?"),
    ({"depth": 2}, "space.depth must lie between 3 and 32; got 2"),
    ({"depth": {"low": 7, "high": 4}}, "space.depth: low, 7, must be at most high, 4"),
    ({"depth": {"low": 7}}, "space.depth as a range needs low and high"),
    ({"depth": {"low": 4, "high": 6, "by": 1}}, "Unknown field of space.depth 'by'"),
    ({"depth": "deep"}, "space.depth must be a whole number; got 'deep'"),
    ({"depth": True}, "space.depth must be a whole number; got True"),
    ({"kernel": []}, "space.kernel has no value left"),
    ({"cell": "rgc_s"}, r"Unknown value of space.cell 'rgc_s'"),
    ({"cell": {"low": 1, "high": 2}}, "space.cell is a value or a list of values"),
    ({"gate": "relu"}, "Unknown value of space.gate 'relu'"),
    ({"lr": {"low": 0.0, "high": 1.0, "log": True}}, "space.lr: log = true is for numbers"),
    ({"lr": -1}, "space.lr must lie between 0 and 100; got -1"),
    ({"channels": {"low": 4, "high": 8, "step": 0}}, "space.channels: step is a whole number"),
    ({"paths": {"in_to_oup": 1}}, "Unknown path of space.paths 'in_to_oup'"),
    ({"paths": {"in_to_out": 1.5}}, "space.paths.in_to_out must be a probability, from 0 to 1"),
    ({"paths": 0.5}, "space.paths must be a table of probabilities"),
    (
        {"paths": {"in_to_out": 0, "in_conv_to_out": 0, "cell_to_out": 0}},
        "space.paths: no path can lead from the input of the cell to its output",
    ),
    (
        {"cell": ["gru", "lstm"], "feedback": 0.2},
        r"space.feedback: no cell of the space takes feedback \(gru, lstm\)",
    ),
    ({"feedback": {"conv3-conv5": 0.5}}, "Unknown edge of space.feedback 'conv3-conv5'"),
    ({"depth": 3, "feedback": 0.5}, "space.feedback: feedback needs two layers with cells"),
    ({"cell": "gru", "peepholes": True}, "space.peepholes belongs to the cell lstm"),
    (
        {"cell": "lstm", "peepholes": True, "paths": {"gating": 0.5}},
        "needs paths.gating = 1; got 0.5",
    ),
    (
        {"depth": [4, 8], "timesteps": {"low": 5, "high": 8}},
        "space.timesteps: with depth 8 and the decoder max_conf, the image needs 10 timesteps",
    ),
    ({"timesteps": [8, 20]}, "the image needs 9 timesteps to the readout; the space has 8"),
    (
        {"timesteps": {"low": 9, "high": 12}, "image_on": 12},
        "space.image_on: an image cannot be on for 12 timesteps of a presentation of 9",
    ),
]


@pytest.mark.parametrize(("given", "message"), IMPOSSIBLE)
def test_an_impossible_space_is_refused_naming_the_field(
    given: dict[str, Any], message: str
) -> None:
    with pytest.raises(NeurofitError, match=message) as raised:
        read_space(given)
    assert str(raised.value).count("\n") <= 1


def test_timesteps_follow_the_depth() -> None:
    space = read_space(
        {"depth": [4, 8], "timesteps": {"low": 5, "high": 10}, "image_on": {"low": 2, "high": 10}}
    )
    for seed in range(60):
        net = draw(space, seed).architecture
        several = net.decoder == "max_conf"
        assert net.timesteps >= len(net.stages) + 1 + several
        assert net.image_on <= net.timesteps
