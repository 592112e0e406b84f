"""Learning rates are functions of the step, and each group of weights has its decay."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from neurofit.models import create_model
from neurofit.training.config import TrainConfig, learning_rate
from neurofit.training.step import make_optimizer


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.2] * 10),
        ("step", [0.2] * 4 + [0.02] * 3 + [0.002] * 3),
        ("cosine", [0.1 * (1 + np.cos(np.pi * step / 10)) for step in range(10)]),
    ],
)
def test_the_learning_rate_is_a_function_of_the_step(schedule: str, expected: list[float]) -> None:
    config = TrainConfig(lr=0.2, schedule=schedule, milestones=(0.4, 0.7))
    rates = [
        learning_rate(step, n_steps=10, steps_per_epoch=5, config=config) for step in range(10)
    ]
    np.testing.assert_allclose(rates, expected)


def test_the_learning_rate_warms_up_linearly_to_its_peak() -> None:
    config = TrainConfig(lr=1.0, schedule="cosine", warmup_epochs=0.8)
    rates = [
        learning_rate(step, n_steps=10, steps_per_epoch=5, config=config) for step in range(10)
    ]
    np.testing.assert_allclose(rates[:5], [0.25, 0.5, 0.75, 1.0, 1.0])
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[4:]))


def test_every_group_shrinks_by_its_own_decay() -> None:
    model = create_model("rgc_intermediate", weights="random", input_size=48)
    stated = model.weight_decays()
    optimizer = make_optimizer(model, TrainConfig(weight_decay=2.0))
    decay_of = {
        id(parameter): group["weight_decay"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    for name, parameter in model.named_parameters():
        assert decay_of[id(parameter)] == 2 * stated.get(name, 0.0), name
    assert len(optimizer.param_groups) == 3  # none, 1e-4 and that of the search


def test_without_a_gradient_only_the_decay_moves_a_weight() -> None:
    model = create_model("rgc_tiny", weights="random")
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = make_optimizer(model, TrainConfig(weight_decay=100.0, lr=0.5, momentum=0.0))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(
            parameter.detach(),
            before[name] * (1 - 0.5 * 100 * model.weight_decays().get(name, 0.0)),
        )


def test_a_module_without_stated_decays_has_its_kernels_decayed() -> None:
    module = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    decays = {
        tuple(p.shape): group["weight_decay"]
        for group in make_optimizer(module, TrainConfig(weight_decay=0.3)).param_groups
        for p in group["params"]
    }
    assert decays == {(2, 3, 1, 1): 0.3, (2,): 0.0}
