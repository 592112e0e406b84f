"""Operations of a forward pass that are no modules are layers by their place in the code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import neurofit
from neurofit.activations.extract import extract
from neurofit.activations.model import validate_model
from neurofit.errors import NeurofitError
from neurofit.models import wrap


def squash(maps: Tensor) -> Tensor:
    """Stand outside of any module, as helpers do."""
    return maps / (1 + maps.abs())


class Area(nn.Module):
    """Two sums, a nonlinearity in place and a helper, in one forward."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        first = maps + self.conv(maps)
        second = squash(first) + 1
        return F.relu_(second)


class Steps(nn.Module):
    """A recurrent network whose state is the output of no module."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.area = Area()
        self.back = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        drive = self.area(images)
        state = drive
        for _ in range(4):
            state = torch.tanh(drive + self.back(state))
        pooled: Tensor = state.mean(dim=(2, 3))
        return pooled


def by_hand(net: Steps, images: Tensor) -> tuple[Tensor, list[Tensor]]:
    first = images + net.area.conv(images)
    drive = F.relu(first / (1 + first.abs()) + 1)
    states = [torch.tanh(drive + net.back(drive))]
    for _ in range(3):
        states.append(torch.tanh(drive + net.back(states[-1])))
    return first, states


def test_an_operation_in_a_loop_is_a_layer_with_timesteps() -> None:
    net = Steps().eval()
    model = wrap(net, ["area:add", "area:div", "forward:tanh"], input_size=12)
    validate_model(model)
    assert model.timeline.calls == {"area:add": 1, "area:div": 1, "forward:tanh": 4}
    shown = torch.rand(3, 3, 12, 12)
    with torch.no_grad():
        first, states = by_hand(net, (shown - model.image_mean) / model.image_std)
        for timestep, found in model.unroll(shown):
            torch.testing.assert_close(found["area:add"], first)
            torch.testing.assert_close(found["area:div"], first / (1 + first.abs()))
            torch.testing.assert_close(found["forward:tanh"], states[timestep])


def test_a_state_that_no_module_returns_is_chosen_by_default(
    make_recording: Callable[..., neurofit.Recording],
) -> None:
    model = wrap(Steps(), input_size=12)
    assert model.layers == ("back", "forward:add", "forward:tanh")
    found = extract(model, make_recording().stimuli, storage="memory", presentation="default")
    assert found.n_timesteps == 4
    assert found.blocks["forward:tanh", 3].shape == (6, 3 * 12 * 12)


def test_sums_of_blocks_are_chosen_by_a_pattern(torchvision: Any) -> None:
    net = torchvision.models.resnet18().eval()
    model = wrap(net, ["layer*.*:add", "layer1.0"], input_size=64)
    blocks = [f"layer{i}.{j}:add" for i in (1, 2, 3, 4) for j in (0, 1)]
    assert model.layers == (*blocks, "layer1.0")
    with torch.no_grad():
        ((_, found),) = model.unroll(torch.rand(2, 3, 64, 64))
    assert torch.equal(found["layer1.0:add"].relu(), found["layer1.0"])
    assert (found["layer1.0:add"] < 0).any()


def test_an_operation_that_does_not_exist_gets_the_nearest() -> None:
    with pytest.raises(
        NeurofitError, match=r"Unknown layer of Steps 'forward:ad'\. Did you .*ward:add"
    ):
        wrap(Steps(), ["forward:ad"], input_size=12)
