"""One training step: the optimizer, the loss and its gradients, and what a step costs."""

from __future__ import annotations

import copy
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from neurofit.activations.memory import LARGEST_BATCH
from neurofit.activations.model import PRECISIONS, autocast, find_presentation, layout_of
from neurofit.activations.presentation import Presentation
from neurofit.config import xla
from neurofit.errors import NeurofitError
from neurofit.training.batches import Batch
from neurofit.training.config import TrainConfig
from neurofit.training.distributed import ProcessGroup
from neurofit.training.evaluate import n_correct


def make_optimizer(model: Any, config: TrainConfig) -> torch.optim.SGD:
    """Return SGD with Nesterov momentum and one parameter group per weight decay."""
    parameters = {
        name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad
    }
    if hasattr(model, "weight_decays"):
        decays = model.weight_decays()
    else:
        decays = {name: 1.0 for name, parameter in parameters.items() if parameter.ndim > 1}
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in parameters.items():
        groups.setdefault(config.weight_decay * decays.get(name, 0.0), []).append(parameter)
    return torch.optim.SGD(
        [{"params": members, "weight_decay": decay} for decay, members in sorted(groups.items())],
        lr=config.lr,
        momentum=config.momentum,
        nesterov=config.momentum > 0,
    )


class Objective(nn.Module):
    """Loss of a model, and number of images whose most likely class is correct."""

    def __init__(self, model: Any, config: TrainConfig) -> None:
        super().__init__()
        self.model = model
        self.config = config

    def forward(
        self, images: Tensor, labels: Tensor, presentation: Presentation | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return both for images (batch channel height width) and labels (batch)."""
        config = self.config
        if hasattr(self.model, "readouts"):
            shown = presentation or config.presentation
            readouts = [readout for _, readout in self.model.readouts(images, shown)]
            logits = self.model.decoder(readouts)
        else:
            logits = self.model(images)
            readouts = [logits]
        losses = [
            nn.functional.cross_entropy(
                each.float(), labels, label_smoothing=config.label_smoothing
            )
            for each in (readouts if config.loss == "all" else [logits])
        ]
        return torch.stack(losses).mean(), n_correct(logits.detach(), labels)[0]


def drawn_presentation(model: Any, config: TrainConfig, step: int) -> Presentation | None:
    """Return the presentation of a step, whose duration is a function of seed and step.

    Without `durations` it is None: that of the configuration.

    Raises
    ------
    NeurofitError
        If the model is not unrolled in time, or is not unrolled for so long.
    """
    if not config.durations:
        return None
    if not hasattr(model, "readouts"):
        raise NeurofitError(
            "durations need a model that is unrolled in time and has readouts; "
            f"{type(model).__name__} has none.",
            option="durations",
        )
    shown = find_presentation(model, config.presentation)
    if max(config.durations) > shown.n_timesteps:
        raise NeurofitError(
            f"durations must be at most the {shown.n_timesteps} timesteps of the presentation "
            f"{config.presentation}; got {max(config.durations)}.",
            option="durations",
        )
    rng = np.random.Generator(np.random.PCG64([config.seed, step, 0, 1]))
    return replace(shown, image_off=int(rng.choice(config.durations)))


def compute_gradients(
    objective: nn.Module,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    config: TrainConfig,
    processes: ProcessGroup,
    presentation: Presentation | None = None,
) -> tuple[Tensor, Tensor]:
    """Compute the gradients of a batch; return its loss and top-1 accuracy, on the device."""
    optimizer.zero_grad(set_to_none=True)
    objective.train()
    device = processes.device
    loss, correct = torch.zeros((), device=device), torch.zeros((), device=device)
    parts = list(
        zip(batch[0].chunk(config.accumulate), batch[1].chunk(config.accumulate), strict=True)
    )
    dtype, layout = PRECISIONS[config.precision], layout_of(model)
    for i, (images, labels) in enumerate(parts):
        share = len(labels) / len(batch[1])
        # Processes exchange their gradients only once, after the last part.
        synchronisation = (
            objective.no_sync()
            if i + 1 < len(parts) and isinstance(objective, DistributedDataParallel)
            else nullcontext()
        )
        with synchronisation, autocast(device, dtype):
            shown = xla.shard(images.to(device, memory_format=layout, non_blocking=True))
            part_loss, n = objective(shown, labels.to(device, non_blocking=True), presentation)
            (share * part_loss).backward()
        loss, correct = loss + share * part_loss.detach(), correct + n
        if i + 1 < len(parts):
            xla.sync(device)  # else all parts would be in memory at once
    return processes.mean(loss), correct / len(batch[1])


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """Cost of a training step on this machine.

    Parameters
    ----------
    images_per_s
        Speed of one process.
    """

    images_per_s: float


def measure_step(
    model: nn.Module, config: TrainConfig, *, device: str | torch.device = "cpu"
) -> StepCost:
    """Measure a training step, without the optimizer, of a copy of the model on random images.

    The first of two steps warms up, the second is timed. They have at most `LARGEST_BATCH` images,
    beyond which a step is not faster.
    """
    device = xla.open_device(device)
    network: Any = copy.deepcopy(model)
    network.to(device, memory_format=layout_of(model))
    network.recompute = config.recompute
    objective = Objective(network, config)
    largest = LARGEST_BATCH[device.type != "cpu"]
    n, size = min(max(1, config.batch_size // config.accumulate), largest), input_size(model)
    batch = torch.rand(n, 3, size, size), torch.zeros(n, dtype=torch.int64)
    processes = ProcessGroup(0, 1, device)
    seconds = 0.0
    for _ in range(2):
        start = time.monotonic()
        optimizer = torch.optim.SGD(network.parameters())
        loss, _ = compute_gradients(
            objective, network, optimizer, batch, replace(config, accumulate=1), processes
        )
        xla.sync(device)
        float(loss)  # waits for the device
        seconds = time.monotonic() - start
    return StepCost(images_per_s=n / seconds)


def input_size(model: nn.Module) -> int:
    """Return the height and width of a model's images, in pixels.

    Raises
    ------
    NeurofitError
        If the model does not state it.
    """
    size = getattr(model, "input_size", None)
    if not isinstance(size, int):
        raise NeurofitError(
            "A model to train needs the attribute `input_size`, the height and width of its "
            f"images; {type(model).__name__} has none."
        )
    return size
