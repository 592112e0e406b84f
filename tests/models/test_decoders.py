"""Decoders choose a timestep for each image by confidence."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from neurofit.errors import NeurofitError
from neurofit.models.decoders import DECODERS, Last, MaxConf, Thresh, confidence


def steps(*confidences: tuple[float, ...]) -> list[Tensor]:
    """Return logits (image class) per timestep, from confidences with a row per timestep."""
    p = torch.tensor(confidences)
    return list(torch.stack([p.log(), (1 - p).log()], dim=2) + torch.arange(len(p)).view(-1, 1, 1))


OUTPUTS = steps((0.6, 0.92, 0.7), (0.8, 0.95, 0.7), (0.7, 0.93, 0.6))


def chosen(decoded: Tensor) -> list[int]:
    return [
        [torch.equal(decoded[image], step[image]) for step in OUTPUTS].index(True)
        for image in range(3)
    ]


def test_confidence_is_the_largest_probability_of_the_softmax() -> None:
    logits = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(confidence(logits, 0.3), torch.softmax(0.3 * logits, 1).amax(1))


def test_last_is_the_last() -> None:
    assert torch.equal(Last()(OUTPUTS), OUTPUTS[-1])


def test_max_conf_takes_the_most_confident_step_and_the_first_on_ties() -> None:
    assert chosen(MaxConf()(OUTPUTS)) == [1, 1, 0]
    sure = [
        torch.tensor([[200.0 * k, 0.0]]) for k in (1, 2, 3)
    ]  # all confidences round to exactly 1
    assert torch.equal(MaxConf()(sure), sure[0])


def test_thresh_takes_the_first_step_that_is_sure_enough() -> None:
    assert chosen(Thresh(0.9)(OUTPUTS)) == [1, 0, 0]
    assert chosen(Thresh(0.99)(OUTPUTS)) == [1, 1, 0]
    assert chosen(Thresh(0.0)(OUTPUTS)) == [0, 0, 0]


def test_sum_and_average_are_those_of_the_logits_over_time() -> None:
    stacked = torch.stack(OUTPUTS)
    assert torch.equal(DECODERS["sum"]()(OUTPUTS), stacked.sum(0))
    assert torch.equal(DECODERS["average"]()(OUTPUTS), stacked.mean(0))


def test_random_time_draws_each_timestep_in_training_and_takes_the_last_in_a_test() -> None:
    decoder = DECODERS["random_time"]()
    torch.manual_seed(0)
    drawn = []
    for _ in range(600):
        chosen_logits = decoder(OUTPUTS)
        drawn.append(next(t for t, each in enumerate(OUTPUTS) if each is chosen_logits))
    counts = np.bincount(drawn, minlength=len(OUTPUTS))
    assert scipy.stats.chisquare(counts).pvalue > 1e-3
    torch.manual_seed(7)
    first = [decoder(OUTPUTS) for _ in range(20)]
    torch.manual_seed(7)
    assert all(a is decoder(OUTPUTS) for a in first)  # a function of the seed of the step
    assert decoder.eval()(OUTPUTS) is OUTPUTS[-1]


@pytest.mark.parametrize("name", ["last", "random_time", "max_conf", "thresh"])
def test_gradients_reach_the_chosen_logits_and_no_others(name: str) -> None:
    outputs = [step.clone().requires_grad_() for step in OUTPUTS]
    decoder = DECODERS[name]()
    decoded = decoder(outputs)
    decoded.sum().backward()
    reached = torch.stack(
        [torch.zeros(3) if step.grad is None else step.grad[:, 0] for step in outputs]
    )
    assert torch.equal(reached.sum(dim=0), torch.ones(3))


@pytest.mark.parametrize("name", ["max_conf", "thresh"])
def test_nothing_to_decode_is_refused(name: str) -> None:
    with pytest.raises(NeurofitError, match="No logits to decode"):
        DECODERS[name]()([])
