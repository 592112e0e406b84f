"""Training recipes: functions that return a configuration. What is published is marked so; every other choice is ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from neurofit.registry import Registry
from neurofit.train import TrainConfig

RECIPES: Registry[Callable[[], TrainConfig]] = Registry("recipe")


def make_recipe(name: str, **changes: Any) -> TrainConfig:
    """Return a recipe's configuration, with changes.

    Raises
    ------
    NeurofitError
        For an unknown recipe; the nearest is named.
    """
    return replace(RECIPES[name](), recipe=name, **changes)


@RECIPES.register("imagenet-shallow")
def imagenet_shallow() -> TrainConfig:
    """Shallow ConvRNNs on ImageNet: batch 64, lr 0.0076, Nesterov 0.9, clip 0.32 (published for the LSTM); 90 epochs (ours)."""
    return TrainConfig(
        epochs=90,  # ours
        # Published with lstm_shallow, as are lr, momentum and clip: see docs/zoo.md, section 8.3.
        batch_size=64,
        lr=0.007587217634546547,
        momentum=0.9,
        clip=0.32374580586841245,
        schedule="step",  # ours: a tenth after each third
        milestones=(1 / 3, 2 / 3, 8 / 9),
        save_steps=2000,
        n_workers=8,
    )


@RECIPES.register("imagenet-intermediate")
def imagenet_intermediate() -> TrainConfig:
    """Intermediate ConvRNNs on ImageNet: batch 256, lr 0.1 after 5 epochs of warm-up, clip 1, recomputed steps, bfloat16 (all ours)."""
    return TrainConfig(
        epochs=90,
        batch_size=256,
        lr=0.1,
        warmup_epochs=5.0,
        schedule="step",
        milestones=(1 / 3, 2 / 3, 8 / 9),
        clip=1.0,
        recompute=True,
        precision="bfloat16",
        save_steps=1000,
        n_workers=16,
    )


@RECIPES.register("cifar10-tiny")
def cifar10_tiny() -> TrainConfig:
    """Tiny ConvRNNs on CIFAR-10: batch 128, lr 0.05 with cosine after one epoch of warm-up, clip 0.5, 6 epochs (all ours)."""
    return TrainConfig(epochs=6, batch_size=128, lr=0.05, warmup_epochs=1.0, schedule="cosine", clip=0.5, save_steps=100, evaluate_epochs=2)
