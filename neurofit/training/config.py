"""Configuration of a training run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from neurofit.activations.model import PRECISIONS
from neurofit.errors import NeurofitError, check_option

SCHEDULES = ("constant", "step", "cosine")

LOSSES = ("decoder", "all")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """All settings that determine the trained weights.

    Parameters
    ----------
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
        Factor of the model's own weight decays (`weight_decays()`, lambda / 2 |w|^2). For a model
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
    recipe
        Name of the recipe that the values come from.

    Raises
    ------
    NeurofitError
        If a value is not one of the choices or is out of range.
    """

    epochs: int = 30
    batch_size: int = 128
    lr: float = 0.05
    schedule: str = "cosine"
    milestones: tuple[float, ...] = (1 / 3, 2 / 3, 8 / 9)
    warmup_epochs: float = 0.0
    momentum: float = 0.9
    weight_decay: float = 1.0
    clip: float | None = None
    label_smoothing: float = 0.0
    loss: str = "decoder"
    ema: float | None = None
    accumulate: int = 1
    recompute: bool = False
    precision: str = "float32"
    compile: bool = False
    presentation: str = "default"
    seed: int = 0
    evaluate_epochs: int = 1
    save_steps: int = 500
    n_workers: int = 2
    max_unreadable: float = 0.01
    recipe: str = "none"

    def __post_init__(self) -> None:
        check_option("schedule", self.schedule, SCHEDULES)
        check_option("precision", self.precision, PRECISIONS)
        check_option("loss", self.loss, LOSSES)
        for name in (
            "epochs",
            "batch_size",
            "accumulate",
            "evaluate_epochs",
            "save_steps",
            "n_workers",
        ):
            if getattr(self, name) < 1:
                raise NeurofitError(
                    f"{name} must be at least 1; got {getattr(self, name)}.", option=name
                )
        for name in ("lr", "warmup_epochs", "momentum", "weight_decay", "label_smoothing", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise NeurofitError(
                    f"{name} must be finite and not negative; got {getattr(self, name)}.",
                    option=name,
                )
        if self.batch_size % self.accumulate:
            raise NeurofitError(
                f"batch_size must be a multiple of accumulate, {self.accumulate}; "
                f"got {self.batch_size}.",
                option="batch_size",
            )


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
