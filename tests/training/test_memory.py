"""The memory of a training step is counted before it is used.

The truth is torch's profiler, which sees every allocation, and a sum by hand.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from neurofit.data_loaders.labelled_images import ImageSet
from neurofit.errors import NeurofitError
from neurofit.models import create_model
from neurofit.models.convrnn import ConvRNN
from neurofit.training import memory
from neurofit.training.config import TrainConfig
from neurofit.training.memory import check_memory, count_bytes
from neurofit.training.step import Objective
from neurofit.training.train import train

Images = Callable[..., ImageSet]
Net = Callable[..., ConvRNN]
PLAIN = TrainConfig(momentum=0.0)


def profiled(model: Any, n_images: int, *, gradients: bool = True) -> int:
    """Return the peak of the bytes that torch allocates for a batch, with those of the weights."""
    objective = Objective(model, PLAIN).train(gradients)
    with (
        profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found,
        torch.set_grad_enabled(gradients),
    ):
        images = torch.rand(n_images, 3, model.input_size, model.input_size)
        loss, _ = objective(images, torch.zeros(n_images, dtype=torch.int64))
        if gradients:
            loss.backward()
    events = found.profiler.kineto_results.events()
    changes = [int(event.nbytes()) for event in events if event.name() == "[memory]"]
    weights = sum(each.numel() * each.element_size() for each in model.state_dict().values())
    return max(accumulate(changes)) + int(weights)


@pytest.mark.parametrize("name", ["rgc_tiny", "lstm_tiny", "feedforward_tiny"])
@pytest.mark.parametrize("recompute", [False, True])
def test_the_memory_of_a_step_is_what_torch_allocates(name: str, recompute: bool) -> None:
    model = create_model(name, weights="random")
    counted = count_bytes(model, replace(PLAIN, recompute=recompute), n_images=16)
    model.recompute = recompute
    assert counted == pytest.approx(profiled(model, 16), rel=0.05)


def test_a_test_needs_less_memory_than_a_training_step() -> None:
    model = create_model("rgc_tiny", weights="random")
    trained, tested = (
        count_bytes(model, PLAIN, n_images=16, gradients=gradients) for gradients in (True, False)
    )
    assert tested == pytest.approx(profiled(model, 16, gradients=False), rel=0.05)
    assert tested < trained / 2


class Rows(nn.Module):
    """A model without convolutions, whose tensors are easily added up."""

    input_size = 10

    def __init__(self, *, looks: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(300, 7))
        self.looks = looks

    def forward(self, images: Tensor) -> Tensor:
        if self.looks:
            images.numpy()
        return images.flatten(1) @ self.weight


def test_the_memory_of_a_product_is_that_of_its_factors() -> None:
    n, weights = 50_000, 300 * 7 * 4
    images, logits = n * 300 * 4, n * 7 * 4
    by_hand = images + weights + logits
    config = replace(PLAIN, batch_size=n)
    counted = count_bytes(Rows(), config, n_images=n)
    assert by_hand < counted < by_hand + 5 * logits  # log-probabilities, gradients, labels
    momentum = count_bytes(Rows(), replace(config, momentum=0.9), n_images=n)
    assert momentum == counted + weights
    averaged = count_bytes(Rows(), replace(config, momentum=0.9, ema=0.5), n_images=n)
    assert averaged == counted + 2 * weights
    # numpy needs values: one and two images are tried instead
    looked_at = count_bytes(Rows(looks=True), config, n_images=n)
    assert looked_at == pytest.approx(counted, rel=0.1)


class Broken(Rows):
    def forward(self, images: Tensor) -> Tensor:
        raise ArithmeticError


def test_a_model_that_cannot_be_tried_is_not_held_back() -> None:
    assert count_bytes(Broken(), PLAIN, n_images=3) == 0
    check_memory(Broken(), PLAIN, device="cpu")


def test_counting_leaves_the_model_and_the_random_numbers_as_they_are(net: Net) -> None:
    model = net()
    before = {name: values.clone() for name, values in model.state_dict().items()}
    state = torch.get_rng_state()
    count_bytes(model, PLAIN, n_images=8)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], each) for name, each in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.recompute is False


@pytest.mark.parametrize(
    ("size", "changes", "n_images"),
    [
        (32, {"batch_size": 10_000_000}, "10,000,000 images of 32 x 32"),
        (
            32,
            {"batch_size": 10_000_000, "accumulate": 10},
            "10,000,000 images of 32 x 32 pixels in 10 parts",
        ),
        (100_000, {"batch_size": 1}, "1 image of 100000 x 100000"),
        (2_000, {"batch_size": 4096, "precision": "bfloat16"}, "4,096 images of 2000 x 2000"),
    ],
)
def test_what_does_not_fit_is_refused_in_no_time(
    size: int, changes: dict[str, Any], n_images: str
) -> None:
    model = create_model("rgc_tiny", weights="random", input_size=size)
    begun = time.monotonic()
    with pytest.raises(
        NeurofitError,
        match=rf"needs about [\d,.]+ GB for {n_images}.*, and [\d,.]+ GB .* are free. Reduce",
    ) as error:
        check_memory(model, TrainConfig(**changes), device="cpu")
    assert time.monotonic() - begun < 30
    assert error.value.options == ("batch_size",)


def test_a_step_is_refused_by_the_free_memory_of_its_own_machine(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    image_set: Images,
    net: Net,
    short_run: TrainConfig,
) -> None:
    model = net()
    loaded = 4 * 8 * 3 * 12 * 12 * 4
    need = count_bytes(model, short_run, n_images=8) + loaded
    for free, parts, world, fits in (
        (need, 1, 1, True),
        (need - 1, 1, 1, False),
        (need - 1, 2, 1, True),
        (need - 1, 1, 2, True),
        (loaded - 1, 8, 1, False),
    ):
        monkeypatch.setattr(memory, "free_bytes", lambda device, free=free: free)
        config = replace(short_run, accumulate=parts)
        if fits:
            check_memory(model, config, device="cpu", world=world)
        else:
            with pytest.raises(NeurofitError, match="of the memory of cpu are free"):
                check_memory(model, config, device="cpu", world=world)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # two processes share the machine
    monkeypatch.setattr(memory, "free_bytes", lambda device: need - 1)
    with pytest.raises(NeurofitError, match="are free"):
        check_memory(model, short_run, device="cpu", world=2)
    # the run itself looks before it writes anything
    with pytest.raises(NeurofitError, match="are free"):
        train(model, image_set(), short_run, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_memory_of_a_gpu_is_its_own_and_includes_what_torch_holds(
    monkeypatch: pytest.MonkeyPatch, net: Net, short_run: TrainConfig
) -> None:
    model = net()
    need = count_bytes(model, short_run, n_images=8)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (need - 5, need))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 100)
    for allocated, fits in ((95, True), (96, False)):
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device, n=allocated: n)
        if fits:
            assert check_memory(model, short_run, device="cuda") == need
        else:
            with pytest.raises(NeurofitError, match="of the memory of cuda are free"):
                check_memory(model, short_run, device="cuda")
