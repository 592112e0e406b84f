"""Layers are chosen by name, by pattern, or spread over the depth of a network."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from neurofit.activations.layer_names import match_layers
from neurofit.errors import NeurofitError
from neurofit.models import create_model, wrap
from neurofit.models.layer_choice import recordable, spread_layers
from neurofit.models.survey import survey_images

images = partial(survey_images, call=lambda net, shown: net(shown), mean=(0.0,) * 3, std=(1.0,) * 3)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, maps: Tensor) -> Tensor:
        out: Tensor = self.relu(maps + self.conv(maps))
        return out


class Deep(nn.Module):
    """A stem, a list of blocks, dropout and a readout, beside what is not called or not driven."""

    def __init__(self, n_blocks: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 4, 3)
        self.blocks = nn.ModuleList(Block() for _ in range(n_blocks))
        self.position = nn.Linear(2, 4)
        self.drop = nn.Dropout(0.5)
        self.unused = nn.Conv2d(4, 4, 1)
        self.readout = nn.Linear(4, 2)

    def forward(self, shown: Tensor) -> Tensor:
        maps = self.stem(shown)
        maps = maps + self.position(torch.ones(len(maps), 2))[..., None, None]
        for block in self.blocks:
            maps = block(maps)
        logits: Tensor = self.readout(self.drop(maps.mean(dim=(2, 3))))
        return logits


def test_a_survey_says_shape_calls_and_whether_the_image_matters() -> None:
    net = Deep(2).train()
    rows = {row.name: row for row in images(net, input_size=10, name="deep")}
    assert (rows["stem"].shape, rows["stem"].calls, rows["stem"].driven) == ((4, 8, 8), 1, True)
    assert not rows["position"].driven
    assert (rows["unused"].calls, rows["unused"].shape) == (0, None)
    assert rows["drop"].calls == 1
    assert list(rows)[-2:] == ["blocks", "unused"]  # never called
    assert net.training


def test_layers_are_blocks_spread_evenly_over_the_depth() -> None:
    net = Deep(20)
    rows = images(net, input_size=10, name="deep")
    chosen = spread_layers(net, rows)
    assert len(chosen) == 12
    assert (chosen[0], chosen[-1]) == ("stem", "readout")
    blocks = [int(layer.removeprefix("blocks.")) for layer in chosen[1:-1]]
    assert {b - a for a, b in pairwise(blocks)} <= {1, 2}
    names = ("stem", *(f"blocks.{i}" for i in range(4)), "readout")  # dropout repeats its input
    four = Deep(4)
    assert set(names) <= set(spread_layers(four, images(four, input_size=10, name="four")))
    assert wrap(net, input_size=10).layers == chosen


def test_steps_of_a_recurrent_network_are_what_can_be_recorded() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.feed = nn.Conv2d(3, 3, 3, padding=1)
            self.cell = Block3()
            self.readout = nn.Linear(3, 2)

        def forward(self, shown: Tensor) -> Tensor:
            state = self.feed(shown)
            for _ in range(5):
                state = self.cell(state)
            logits: Tensor = self.readout(state.mean(dim=(2, 3)))
            return logits

    net = Recurrent()
    rows = images(net, input_size=10, name="recurrent")
    assert recordable(net, rows) == ["cell.conv", "cell:add", "cell"]
    model = wrap(net, input_size=10)
    assert model.recurrent
    assert model.layers == ("cell.conv", "cell:add", "cell")


class Block3(Block):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)


def test_patterns_choose_modules_of_one_level_or_of_all() -> None:
    net = Deep(3)
    small = partial(wrap, net, input_size=10)
    assert small(["blocks.*"]).layers == ("blocks.0", "blocks.1", "blocks.2")
    assert small(["blocks.[12].conv", "stem"]).layers == (
        "blocks.1.conv",
        "blocks.2.conv",
        "stem",
    )
    assert set(small(["blocks.**"]).layers) == {
        f"blocks.{i}{part}" for i in range(3) for part in ("", ".conv", ".relu")
    }
    for pattern in ("block.*", "unused*", "position*"):  # nothing, never called, not driven
        with pytest.raises(NeurofitError, match=r"Unknown layer of Deep"):
            small([pattern])
    with pytest.raises(NeurofitError, match=r"has no submodule 'blocks\.9'"):
        small(["blocks.9", "blocks.*"])


def test_patterns_choose_layers_of_registered_models() -> None:
    model = create_model("rgc_tiny")
    assert match_layers(["conv[23]"], model.layers, of=model.name) == ("conv2", "conv3")
    with torch.no_grad():
        _, found = next(iter(model.unroll(torch.rand(2, 3, 32, 32), layers=["conv*"])))
    assert list(found) == [layer for layer in model.layers if layer.startswith("conv")]
    with pytest.raises(
        NeurofitError, match=r"Unknown layer of rgc_tiny 'con4'\. Did you mean 'conv4"
    ):
        match_layers(["con4"], model.layers, of=model.name)
    with pytest.raises(NeurofitError, match="'conv'"):
        match_layers("conv", model.layers, of=model.name)
