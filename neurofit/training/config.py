"""Configuration of a training run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from neurofit.config.notebook import Configuration
from neurofit.config.options import check_fields, option, parse_names
from neurofit.errors import NeurofitError

SCHEDULES = ("constant", "step", "cosine")

LOSSES = ("decoder", "all")

PRECISION_NAMES = ("float32", "bfloat16")
"""Names of `neurofit.activations.model.PRECISIONS`, for which no help has to import torch."""

MOST = {"epochs": 100_000, "warmup_epochs": 100_000, "n_workers": 256}
"""Largest values of fields whose cost in time and threads nothing else limits."""


def parse_fractions(text: str) -> tuple[float, ...]:
    """Return the numbers of "0.3,0.6"."""
    return tuple(map(float, parse_names(text)))


def parse_durations(text: str) -> tuple[int, ...]:
    """Return the numbers of "4,8"."""
    return tuple(map(int, parse_names(text)))


def parse_or_none(text: str) -> float | None:
    """Return a number, or None for "none"."""
    return None if text == "none" else float(text)


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Configuration):
    """All settings that determine the trained weights.

    Parameters
    ----------
    recipe
        Name of the recipe that the values come from, see `make_recipe`.
    epochs
        Number of passes over the training images.
    batch_size
        Images per step, over all processes and accumulation steps.
    lr
        Peak learning rate.
    schedule
        "constant"; "step": divided by ten at each of `milestones`; "cosine": decays to 0 over the
        run.
    milestones
        Fractions of the run at which the learning rate drops.
    warmup_epochs
        Epochs over which the learning rate rises linearly from 0.
    momentum
        Nesterov momentum.
    weight_decay
        Factor of the model's own weight decays (`weight_decays()`, lambda / 2 sum w^2). For a model
        without them, weight decay of all parameters with two or more axes.
    clip
        Limit of the absolute value of each element of the gradients; None does not clip.
    label_smoothing
        Share of the target that is spread evenly over all classes.
    loss
        "decoder": cross-entropy of the decoded logits; "all": mean cross-entropy of the readouts at
        all timesteps that the decoder receives.
    ema
        Decay per step of an exponential moving average of the weights, which is then evaluated and
        saved; None uses the last weights.
    accumulate
        Number of gradient accumulation steps per batch.
    recompute
        Store only outputs and states of each timestep and recompute the rest for the gradients:
        less memory, a third more time.
    precision
        Precision of the convolutions: "float32" or "bfloat16" (autocast).
    compile
        Compile the layers, see `ConvRNN.compile`.
    presentation
        Name of the model's presentation of the images.
    durations
        Numbers of timesteps for which the image is on, of which one is drawn for each batch;
        without any, the duration of the presentation.
    seed
        Random seed for shuffling and augmentation. The seed of the initial weights is an argument
        of `create_model`.
    evaluate_epochs
        Number of epochs between evaluations on the test images.
    save_steps
        Number of steps between checkpoints; one is also saved after each epoch.
    n_workers
        Number of threads that decode images, per process.
    max_unreadable
        Largest share of training images that may be unreadable.

    Raises
    ------
    NeurofitError
        If a value is not one of the choices or is out of range.

    Examples
    --------
    >>> import neurofit
    >>> neurofit.TrainConfig(epochs=60, lr=0.1, warmup_epochs=5.0)
    TrainConfig(epochs=60, lr=0.1, warmup_epochs=5.0)
    """

    recipe: str = option(
        "none",
        default_text="cifar10-tiny",
        help="Recipe whose values the other options change (neurofit list recipes).",
    )
    epochs: int = option(30, least=1, help="Passes over the training images.")
    batch_size: int = option(128, least=1, help="Images per step, over all processes.")
    lr: float = option(0.05, help="Peak learning rate.")
    schedule: str = option(
        "cosine", choices=SCHEDULES, help="Learning rate schedule: constant, step or cosine."
    )
    milestones: tuple[float, ...] = option(
        (1 / 3, 2 / 3, 8 / 9),
        parse=parse_fractions,
        metavar="FRACTION,...",
        help="Fractions of the run at which the schedule step divides the learning rate by ten.",
    )
    warmup_epochs: float = option(
        0.0, help="Epochs over which the learning rate rises linearly from 0."
    )
    momentum: float = option(0.9, least=0, below=1, help="Nesterov momentum.")
    weight_decay: float = option(1.0, help="Factor of the model's own weight decays.")
    clip: float | None = option(
        None,
        above=0,
        parse=parse_or_none,
        metavar="NUMBER|none",
        help="Limit of the absolute value of each element of the gradients.",
    )
    label_smoothing: float = option(
        0.0, least=0, below=1, help="Share of the target that is spread over all classes."
    )
    loss: str = option(
        "decoder",
        choices=LOSSES,
        help="Cross-entropy of the decoder's logits, or of the readouts at all timesteps (all).",
    )
    ema: float | None = option(
        None,
        least=0,
        below=1,
        parse=parse_or_none,
        metavar="NUMBER|none",
        help="Decay per step of a moving average of the weights, which is then tested and saved.",
    )
    accumulate: int = option(1, least=1, help="Gradient accumulation steps.")
    recompute: bool = option(
        False, help="Recompute activations for the gradients: less memory, a third more time."
    )
    precision: str = option(
        "float32", choices=PRECISION_NAMES, help="Precision of convolutions: float32 or bfloat16."
    )
    compile: bool = option(False, help="Compile the layers, for GPUs.")
    presentation: str = option("default", help="Presentation of the images to the model.")
    durations: tuple[int, ...] = option(
        (),
        parse=parse_durations,
        metavar="STEPS,...",
        help="Timesteps for which the image is on; one is drawn for each batch.",
        default_text="as the presentation",
    )
    seed: int = option(
        0,
        least=0,
        below=2**32,
        help="Random seed for initial weights, shuffling and augmentation.",
    )
    evaluate_epochs: int = option(1, least=1, help="Epochs between tests on the test images.")
    save_steps: int = option(
        500, least=1, help="Steps between checkpoints; one is also saved after each epoch."
    )
    n_workers: int = option(2, least=1, help="Threads that decode images, per process.")
    max_unreadable: float = option(
        0.01, least=0, below=1, help="Largest share of training images that may be unreadable."
    )

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("lr", "warmup_epochs", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise NeurofitError(
                    f"{name} must be finite and not negative; got {getattr(self, name)}.",
                    option=name,
                )
        for name, most in MOST.items():
            if getattr(self, name) > most:
                raise NeurofitError(
                    f"{name} must be at most {most:,}; got {getattr(self, name):,}.", option=name
                )
        if any(each < 1 for each in self.durations):
            raise NeurofitError(
                f"durations must be at least 1; got {', '.join(map(str, self.durations))}.",
                option="durations",
            )
        if self.batch_size % self.accumulate:
            raise NeurofitError(
                f"batch_size must be a multiple of accumulate, {self.accumulate}; "
                f"got {self.batch_size}.",
                option="batch_size",
            )

    @classmethod
    def from_options(cls, *, recipe: str = "cifar10-tiny", **changes: Any) -> TrainConfig:
        """Return a recipe's configuration with changes, for the command line."""
        from neurofit.training.recipes import make_recipe

        return make_recipe(recipe, **changes)


def learning_rate(step: int, *, n_steps: int, steps_per_epoch: int, config: TrainConfig) -> float:
    """Return the learning rate of a step.

    Parameters
    ----------
    step
        Index of the step, from 0.
    n_steps, steps_per_epoch
        Number of steps of the run and of an epoch.
    config
        Configuration of the run.
    """
    warmup = config.warmup_epochs * steps_per_epoch
    if step < warmup:
        return config.lr * (step + 1) / math.ceil(warmup)
    if config.schedule == "cosine":
        return config.lr * (1 + math.cos(math.pi * (step - warmup) / max(n_steps - warmup, 1))) / 2
    drops = 0
    if config.schedule == "step":
        drops = sum(step >= fraction * n_steps for fraction in config.milestones)
    return float(config.lr * 0.1**drops)
