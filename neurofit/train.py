"""Train a model on labelled images: a loop to be read aloud, whose state after any step is a pure function of its configuration."""

from __future__ import annotations

import copy
import json
import math
import resource
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from neurofit.batches import Batch, TrainingBatches, evaluation_batches
from neurofit.errors import NeurofitError, check_option
from neurofit.evaluate import Accuracy, evaluate, n_correct
from neurofit.home import atomic_file
from neurofit.image_sets import ImageSet
from neurofit.models.weight_files import save_weights
from neurofit.protocol import PRECISIONS, layout_of
from neurofit.team import Team, joined
from neurofit.training_state import Metrics, TrainingState, code_version, read_checkpoint

SCHEDULES = ("constant", "step", "cosine")
LOSSES = ("decoder", "all")

CHECKPOINT = "checkpoint.safetensors"
METRICS = "metrics.csv"


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that decides the weights.

    Parameters
    ----------
    epochs
        Passes over the training images.
    batch_size
        Images per step, of all processes and accumulated parts together.
    lr
        Peak learning rate.
    schedule
        "constant"; "step": a tenth at each of `milestones`; "cosine": down to 0 over the run.
    milestones
        Shares of the run.
    warmup_epochs
        The learning rate grows linearly from 0 for so long.
    momentum
        Nesterov's.
    weight_decay
        Factor of the model's own weight decays (`weight_decays()`, lambda / 2 |w|^2); for a model without, the decay of everything with
        two axes or more.
    clip
        Gradients are cut to plus or minus this, element by element; None leaves them.
    label_smoothing
        Share of the target given to all classes alike.
    loss
        "decoder": cross-entropy of the decoded logits; "all": its mean over the readouts of all timesteps that decoders see.
    ema
        Decay per step of a moving average of the weights, which is then what is evaluated and kept; None keeps the last weights.
    accumulate
        Parts in which a process computes its share of a batch, one after the other.
    recompute
        Keep only outputs and states of each timestep and recompute the rest for the gradient: less memory, a third more time.
    precision
        Of the convolutions: "float32", "bfloat16" (autocast).
    compile
        Compile the layers, see `ConvRNN.compile`.
    presentation
        How the model is shown the images.
    seed
        Of order and views of the images; the weights have the seed that the model was made with.
    evaluate_epochs, save_steps
        The test set is evaluated after so many epochs; the state is saved after so many steps, and after each epoch.
    n_workers
        Threads that decode images, in each process.
    max_unreadable
        Share of training images that may be unreadable.
    recipe
        Name of the recipe the values come from.

    Raises
    ------
    NeurofitError
        If a value is none of those that exist, or out of range.
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
        for name in ("epochs", "batch_size", "accumulate", "evaluate_epochs", "save_steps", "n_workers"):
            if getattr(self, name) < 1:
                raise NeurofitError(f"{name} must be at least 1; got {getattr(self, name)}.")
        for name in ("lr", "warmup_epochs", "momentum", "weight_decay", "label_smoothing", "seed"):
            if getattr(self, name) < 0:
                raise NeurofitError(f"{name} must not be negative; got {getattr(self, name)}.")
        if self.batch_size % self.accumulate:
            raise NeurofitError(f"A batch is computed in equal parts; got batch_size={self.batch_size} and accumulate={self.accumulate}.")


def learning_rate(step: int, *, n_steps: int, steps_per_epoch: int, config: TrainConfig) -> float:
    """Return the learning rate of a step (from 0) of a run of so many."""
    warmup = config.warmup_epochs * steps_per_epoch
    if step < warmup:
        return config.lr * (step + 1) / math.ceil(warmup)
    if config.schedule == "cosine":
        return config.lr * (1 + math.cos(math.pi * (step - warmup) / max(n_steps - warmup, 1))) / 2
    drops = sum(step >= share * n_steps for share in config.milestones) if config.schedule == "step" else 0
    return float(config.lr * 0.1**drops)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a run leaves behind.

    Parameters
    ----------
    weights
        Its .safetensors file; the metadata say how it was trained.
    accuracy
        On the test images.
    unreadable
        Training images that could not be read, and why.
    """

    weights: Path
    accuracy: Accuracy
    unreadable: tuple[str, ...]


Progress = Callable[[int, int, Mapping[str, float]], None]
"""Called with (steps done, steps in all, what is known: "loss", "lr", "images_per_s", after an epoch "top1")."""


def train(
    model: nn.Module,
    images: ImageSet,
    config: TrainConfig,
    *,
    out: str | Path,
    device: str | torch.device = "cpu",
    resume: bool = False,
    tensorboard: bool = False,
    progress: Progress | None = None,
) -> Trained:
    """Train a model, which is changed in place.

    Parameters
    ----------
    model
        A ConvRNN, or any module with `input_size` from images (batch channel height width) in [0, 1] to logits (batch class).
    images
        What it is trained on and tested with.
    config
        How.
    out
        Folder of the run: `checkpoint.safetensors` (the last saved state), `metrics.csv`, `config.json`, and at the end the weights as
        NAME.safetensors.
    device
        "cpu", "cuda" or "xla"; started by `torchrun`, all its processes share every batch.
    resume
        Go on from the checkpoint in `out`; the weights become those of a run that was never interrupted, bit for bit.
    tensorboard
        Write the metrics for TensorBoard too, into `out`; needs the package (pip install 'neurofit[tensorboard]').
    progress
        Called after each step.

    Raises
    ------
    NeurofitError
        If model, images and configuration do not fit; the folder holds another run; too many images are unreadable; the loss is not
        finite.
    MachineError
        If the disk is full; the last checkpoint stays whole.
    """
    folder = Path(out)
    with joined(device) as team:
        batches = _batches(model, images, config, team)
        n_steps = config.epochs * batches.steps_per_epoch
        network: Any = model.to(team.device, memory_format=layout_of(model))  # type: ignore[call-overload]
        optimizer = make_optimizer(network, config)
        state = TrainingState(network, optimizer, average=None if config.ema is None else copy.deepcopy(network.state_dict()))
        record = _described(network, images, config)
        start = state.load(folder / CHECKPOINT, record) if resume else _new_run(folder, record, leads=team.leads)
        metrics = Metrics(folder / METRICS, start, board=tensorboard) if team.leads else None
        if config.compile:
            network.compile()
        network.recompute = config.recompute  # read by ConvRNN
        objective = team.share(_Objective(network, config), some_unused=_some_unused(network))
        losses: list[tuple[int, Tensor]] = []
        accuracy: Accuracy | None = None
        clock, n_images = time.monotonic(), 0
        for step, batch in batches.since(start, n_steps):
            lr = learning_rate(step, n_steps=n_steps, steps_per_epoch=batches.steps_per_epoch, config=config)
            for group in optimizer.param_groups:
                group["lr"] = lr
            torch.manual_seed(config.seed * 1_000_003 + step)  # whatever a module draws (dropout) depends on the step alone
            loss, top1 = _gradients(objective, network, optimizer, batch, config, team)
            team.average_gradients(optimizer)
            if config.clip is not None:
                nn.utils.clip_grad_value_(network.parameters(), config.clip)
            team.step(optimizer)
            state.average_in(config.ema)
            losses.append((step, loss))
            done, n_images = step + 1, n_images + len(batch[1]) * team.world
            last_of_epoch = done % batches.steps_per_epoch == 0
            if done % config.save_steps == 0 or last_of_epoch or done == n_steps:
                _refuse_nonfinite(losses, folder)
                known = {"lr": lr, "loss": float(torch.stack([each for _, each in losses]).mean()), "train_top1": float(top1)}
                known["images_per_s"] = n_images / (time.monotonic() - clock)
                losses.clear()
                if last_of_epoch and ((done // batches.steps_per_epoch) % config.evaluate_epochs == 0 or done == n_steps):
                    accuracy = state.evaluated(lambda: _test(network, images, config, team))
                    known |= {"top1": accuracy.top1, "top5": accuracy.top5, "test_loss": accuracy.loss}
                if metrics:
                    metrics.add(done, done / batches.steps_per_epoch, known)
                    state.save(folder / CHECKPOINT, done, record)
            else:
                known = {"lr": lr}
            if progress and team.leads:
                progress(done, n_steps, known)
        state.take_average()
        if accuracy is None:  # resumed at the end
            accuracy = _test(network, images, config, team)
        path = folder / f"{getattr(model, 'name', type(model).__name__)}.safetensors"
        if team.leads:
            card = {**record, **code_version(), "step": n_steps, "top1": accuracy.top1, "top5": accuracy.top5}
            save_weights(network, path, metadata={"training": json.dumps(card)})
        return Trained(weights=path, accuracy=accuracy, unreadable=tuple(sorted(set(batches.unreadable))))


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What a training step costs here.

    Parameters
    ----------
    images_per_s
        Of one process.
    n_bytes
        Memory that it takes, weights and their gradients included.
    """

    images_per_s: float
    n_bytes: int


def try_step(model: nn.Module, config: TrainConfig, *, device: str | torch.device = "cpu") -> Trial:
    """Measure one training step of a copy of the model, on random images; the second of two, without the optimizer."""
    device = torch.device(device)
    network = copy.deepcopy(model).to(device, memory_format=layout_of(model))  # type: ignore[call-overload]
    network.recompute = config.recompute
    objective = _Objective(network, config)
    n = max(1, config.batch_size // config.accumulate)
    batch = torch.rand(n, 3, _input_size(model), _input_size(model)), torch.zeros(n, dtype=torch.int64)
    team = Team(0, 1, device)
    before = _peak(device)
    seconds = 0.0
    for _ in range(2):
        begun = time.monotonic()
        loss, _ = _gradients(objective, network, torch.optim.SGD(network.parameters()), batch, replace(config, accumulate=1), team)
        float(loss)  # waits for the device
        seconds = time.monotonic() - begun
    return Trial(images_per_s=n / seconds, n_bytes=_peak(device) - before)


def _peak(device: torch.device) -> int:
    """Return the most memory taken so far, in bytes: of a GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def make_optimizer(model: Any, config: TrainConfig) -> torch.optim.SGD:
    """Return SGD with Nesterov momentum, in a group of parameters for each weight decay."""
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    stated = model.weight_decays() if hasattr(model, "weight_decays") else {name: 1.0 for name, p in parameters.items() if p.ndim > 1}
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in parameters.items():
        groups.setdefault(config.weight_decay * stated.get(name, 0.0), []).append(parameter)
    return torch.optim.SGD(
        [{"params": members, "weight_decay": decay} for decay, members in sorted(groups.items())],
        lr=config.lr,
        momentum=config.momentum,
        nesterov=config.momentum > 0,
    )


class _Objective(nn.Module):
    """Images and labels -> (loss, number of images whose class comes first)."""

    def __init__(self, model: Any, config: TrainConfig) -> None:
        super().__init__()
        self.model = model
        self.config = config

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        config = self.config
        if hasattr(self.model, "readouts"):
            readouts = [readout for _, readout in self.model.readouts(images, config.presentation)]
            logits = self.model.decoder(readouts)
        else:
            logits = self.model(images)
            readouts = [logits]
        judged = readouts if config.loss == "all" else [logits]
        losses = [nn.functional.cross_entropy(each.float(), labels, label_smoothing=config.label_smoothing) for each in judged]
        return torch.stack(losses).mean(), n_correct(logits.detach(), labels)[0]


def _gradients(
    objective: nn.Module, model: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch, config: TrainConfig, team: Team
) -> tuple[Tensor, Tensor]:
    """Fill in the gradients of a batch; return its loss and the share of images whose class came first."""
    optimizer.zero_grad(set_to_none=True)
    objective.train()
    loss, correct = torch.zeros((), device=team.device), torch.zeros(())
    parts = list(zip(batch[0].chunk(config.accumulate), batch[1].chunk(config.accumulate), strict=True))
    dtype, layout = PRECISIONS[config.precision], layout_of(model)
    for i, (images, labels) in enumerate(parts):
        share = len(labels) / len(batch[1])
        apart = objective.no_sync() if i + 1 < len(parts) and isinstance(objective, DistributedDataParallel) else nullcontext()
        with apart, torch.autocast(team.device.type, dtype=dtype, enabled=dtype != torch.float32):
            shown = images.to(team.device, memory_format=layout, non_blocking=True)
            part, n = objective(shown, labels.to(team.device, non_blocking=True))
            (share * part).backward()
        loss, correct = loss + share * part.detach(), correct + n
    return team.mean(loss), correct / len(batch[1])


def _batches(model: nn.Module, images: ImageSet, config: TrainConfig, team: Team) -> TrainingBatches:
    return TrainingBatches(
        images=images.train,
        size=_input_size(model),
        views=images.views,
        batch_size=config.batch_size,
        seed=config.seed,
        rank=team.rank,
        world=team.world,
        n_workers=config.n_workers,
        max_unreadable=config.max_unreadable,
    )


def _test(model: nn.Module, images: ImageSet, config: TrainConfig, team: Team) -> Accuracy:
    size = max(1, config.batch_size // config.accumulate // team.world)
    batches = evaluation_batches(images.test, size=_input_size(model), views=images.views, batch_size=size, n_workers=config.n_workers)
    return evaluate(model, batches, presentation=config.presentation, device=team.device, precision=PRECISIONS[config.precision])


def _input_size(model: nn.Module) -> int:
    size = getattr(model, "input_size", None)
    if not isinstance(size, int):
        raise NeurofitError(f"A model to train says its images' height and width in `input_size`; {type(model).__name__} does not.")
    return size


def _some_unused(model: nn.Module) -> bool:
    """Return whether a parameter gets no gradient: the beta of a decoder that only chooses."""
    return any(True for _ in getattr(model, "decoder", nn.Module()).parameters())


def _new_run(folder: Path, record: Mapping[str, Any], *, leads: bool) -> int:
    """Make the folder of a run, and refuse one that holds another; return the step to begin with."""
    if leads:
        if (folder / CHECKPOINT).exists():
            raise NeurofitError(f"{folder} holds a run already: go on with it (resume, --resume), or give another folder.")
        with atomic_file(folder / "config.json") as temporary:
            temporary.write_text(json.dumps(record, indent=2) + "\n")
    return 0


def _described(model: nn.Module, images: ImageSet, config: TrainConfig) -> dict[str, Any]:
    """Return what makes this run what it is, as JSON takes it."""
    return {
        "model": getattr(model, "name", type(model).__name__),
        "n_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "input_size": _input_size(model),
        "data": images.name,
        "n_classes": len(images.classes),
        "n_train": len(images.train),
        **asdict(config),
        "milestones": list(config.milestones),
    }


def _refuse_nonfinite(losses: list[tuple[int, Tensor]], folder: Path) -> None:
    for step, loss in losses:
        if not math.isfinite(float(loss)):
            checkpoint = folder / CHECKPOINT
            kept = (
                f"The last good state is {checkpoint}, after step {read_checkpoint(checkpoint)[0]}"
                if checkpoint.is_file()
                else "No state was saved"
            )
            raise NeurofitError(f"The loss is {float(loss)} in step {step}. {kept}. Try a smaller lr, a longer warm-up, or a clip.")
