"""Training recipes: functions that return a configuration.

Values without a source are choices of neurofit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from neurofit.config.registry import Registry
from neurofit.training.config import TrainConfig

RECIPES: Registry[Callable[[], TrainConfig]] = Registry("recipe")


def make_recipe(name: str, **changes: Any) -> TrainConfig:
    """Return the configuration of a recipe.

    Parameters
    ----------
    name
        Name of the recipe.
    **changes
        Fields of `TrainConfig` to replace.

    Raises
    ------
    NeurofitError
        If the recipe or a value is unknown.
    """
    return replace(RECIPES[name](), recipe=name, **changes)


@RECIPES.register("imagenet-shallow")
def imagenet_shallow() -> TrainConfig:
    """Shallow ConvRNNs on ImageNet: batch 64, lr 0.0076, momentum 0.9, clip 0.32, 90 epochs.

    Batch size, learning rate, momentum and clip are those published for lstm_shallow
    (docs/zoo.md, section 8.3).
    """
    return TrainConfig(
        epochs=90,
        batch_size=64,
        lr=0.007587217634546547,
        momentum=0.9,
        clip=0.32374580586841245,
        schedule="step",
        milestones=(1 / 3, 2 / 3, 8 / 9),
        save_steps=2000,
        n_workers=8,
    )


@RECIPES.register("imagenet-intermediate")
def imagenet_intermediate() -> TrainConfig:
    """Intermediate ConvRNNs on ImageNet: batch 256, lr 0.1, 5 epochs warm-up, clip 1, bfloat16."""
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
    """Tiny ConvRNNs on CIFAR-10: batch 128, lr 0.05, cosine, 1 epoch warm-up, clip 0.5."""
    return TrainConfig(
        epochs=6,
        batch_size=128,
        lr=0.05,
        warmup_epochs=1.0,
        schedule="cosine",
        clip=0.5,
        save_steps=100,
        evaluate_epochs=2,
    )


@RECIPES.register("cifar10-5layer")
def cifar10_5layer() -> TrainConfig:
    """5-layer ConvRNNs of 32 pixels on CIFAR-10: batch 128, lr 0.1, cosine, clip 0.5.

    The learning rate is a start; docs/claim.md has the one chosen for each model.
    """
    return TrainConfig(
        epochs=4,
        batch_size=128,
        lr=0.1,
        warmup_epochs=0.5,
        schedule="cosine",
        clip=0.5,
        save_steps=100,
        evaluate_epochs=4,
    )
