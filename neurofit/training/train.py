"""The training loop; the state after any step is a pure function of the configuration."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from neurofit.activations.model import PRECISIONS, layout_of
from neurofit.config import xla
from neurofit.data_loaders.labelled_images import ImageSet
from neurofit.errors import DivergedError
from neurofit.models.weight_files import save_weights
from neurofit.training.batches import TrainingBatches, evaluation_batches
from neurofit.training.checkpoint import Metrics, TrainingState, code_version, read_checkpoint
from neurofit.training.config import TrainConfig, learning_rate
from neurofit.training.device_check import check_device
from neurofit.training.distributed import ProcessGroup, join_process_group
from neurofit.training.evaluate import Accuracy, evaluate
from neurofit.training.memory import check_memory
from neurofit.training.run_folder import Resume, RunFolder
from neurofit.training.step import (
    Objective,
    compute_gradients,
    drawn_presentation,
    input_size,
    make_optimizer,
)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """Result of a training run.

    Parameters
    ----------
    weights
        Path of the weights (.safetensors); the metadata record how they were trained.
    accuracy
        Accuracy on the test images.
    unreadable
        Errors of the training images that could not be read.
    """

    weights: Path
    accuracy: Accuracy
    unreadable: tuple[str, ...]


Progress = Callable[[int, int, Mapping[str, float]], None]
"""Called with steps done, steps in total, and metrics: always "lr"; "loss", "train_top1" and
"images_per_s" at checkpoints; "top1", "top5" and "test_loss" after an evaluation."""


def train(
    model: nn.Module,
    images: ImageSet,
    config: TrainConfig,
    *,
    out: str | Path,
    device: str | torch.device = "cpu",
    resume: Resume = False,
    tensorboard: bool = False,
    progress: Progress | None = None,
    on_accuracy: Callable[[int, Accuracy], None] | None = None,
) -> Trained:
    """Train a model in place.

    Parameters
    ----------
    model
        A ConvRNN, or any module with `input_size` from images (batch channel height width) in
        [0, 1] to logits (batch class).
    images
        Training and test images.
    config
        Configuration of the run.
    out
        Folder of the run. It receives `checkpoint.safetensors` (the last saved state),
        `metrics.csv`, `config.json` and, at the end, the weights as NAME.safetensors.
    device
        "cpu", "cuda" or "xla" (a TPU, see docs/tpus.md). Processes started by `torchrun` share
        each batch. On other devices than a CPU, the gradients of a small batch are first compared
        with the CPU's.
    resume
        Continue from the checkpoint in `out`, which must be one of the same configuration and
        images (`ImageSet.sha256`). The weights are bit-identical to those of an uninterrupted run.
        "auto" starts the run if there is no checkpoint. The weights of a finished run are tested
        again and not written.
    tensorboard
        Also write the metrics for TensorBoard into `out`; requires the package
        (pip install 'neurofit[tensorboard]').
    progress
        Called after each step.
    on_accuracy
        Called with the number of epochs done and the accuracy after each evaluation, before the
        checkpoint is saved: a run that is killed in between evaluates and calls again.

    Returns
    -------
    Trained
        Path of the weights, accuracy on the test images, and errors of the training images that
        could not be read.

    Raises
    ------
    NeurofitError
        If model, images and configuration do not match, a step does not fit into memory, the folder
        contains another run or files that would be overwritten, another run is writing to it, the
        device computes wrong gradients, or too many images are unreadable. A new run that fails
        before its first checkpoint leaves no files.
    DivergedError
        If loss or weights are not finite.
    MachineError
        If the disk is full; the last checkpoint is preserved.

    Examples
    --------
    Two classes with one image each; `neurofit.load_images` has real ones, such as "cifar10".

    >>> from pathlib import Path
    >>> import neurofit
    >>> from PIL import Image
    >>> for place in ("train/cat", "train/dog", "val/cat", "val/dog"):
    ...     Path("pets", place).mkdir(parents=True)
    ...     Image.new("RGB", (32, 32)).save(Path("pets", place, "1.png"))
    >>> images = neurofit.load_images("folder:pets")
    >>> model = neurofit.create_model("rgc_tiny", weights="random", n_classes=2)
    >>> config = neurofit.TrainConfig(epochs=1, batch_size=2)
    >>> neurofit.train(model, images, config, out="my-run").weights.name
    'rgc_tiny.safetensors'
    """
    with join_process_group(device) as processes, ExitStack() as stack:
        batches = _make_batches(model, images, config, processes)
        steps_per_epoch = batches.steps_per_epoch
        n_steps = config.epochs * steps_per_epoch
        drawn_presentation(model, config, step=0)
        check_memory(model, config, device=processes.device, world=processes.world)
        record = _describe_run(model, images, config)
        folder = RunFolder(path=Path(out), model=_name(model), record=record)
        resume = folder.resumes(resume)
        if processes.is_main:
            stack.enter_context(folder.claim(resume=resume))
        network: Any = model
        network.to(processes.device, memory_format=layout_of(model))
        optimizer = make_optimizer(network, config)
        average = None if config.ema is None else copy.deepcopy(network.state_dict())
        state = TrainingState(network, optimizer, average=average)
        start = state.load(folder.checkpoint, record, n_steps=n_steps) if resume else 0
        if processes.device.type != "cpu":
            check_device(network, config, processes.device)
        metrics = None
        if processes.is_main:
            metrics = Metrics(folder.metrics, start, tensorboard=tensorboard)
        if config.compile:
            network.compile()
        network.recompute = config.recompute  # read by ConvRNN
        objective = processes.wrap(
            Objective(network, config), some_unused=_has_unused_parameters(network)
        )
        losses: list[tuple[int, Tensor]] = []
        accuracy: Accuracy | None = None
        start_time, n_images = time.monotonic(), 0
        for step, batch in batches.iterate(start, n_steps):
            lr = learning_rate(
                step, n_steps=n_steps, steps_per_epoch=steps_per_epoch, config=config
            )
            for group in optimizer.param_groups:
                group["lr"] = lr
            # Random numbers of the model's modules (dropout) depend on seed and step only.
            xla.seed(config.seed * 1_000_003 + step, processes.device)
            shown = drawn_presentation(network, config, step)
            loss, top1 = compute_gradients(
                objective, network, optimizer, batch, config, processes, shown
            )
            if config.clip is not None:
                nn.utils.clip_grad_value_(network.parameters(), config.clip)
            optimizer.step()
            state.update_average(config.ema)
            xla.sync(processes.device)
            losses.append((step, loss))
            done, n_images = step + 1, n_images + len(batch[1]) * processes.world
            values = {"lr": lr}
            epoch_ends = done % steps_per_epoch == 0
            if done % config.save_steps == 0 or epoch_ends or done == n_steps:
                _check_finite(losses, folder.checkpoint)
                values["loss"] = float(torch.stack([each.cpu() for _, each in losses]).mean())
                values["train_top1"] = float(top1)
                values["images_per_s"] = n_images / (time.monotonic() - start_time)
                losses.clear()
                epoch = done // steps_per_epoch
                if epoch_ends and (epoch % config.evaluate_epochs == 0 or done == n_steps):
                    accuracy = state.evaluate_average(
                        lambda: _evaluate(network, images, config, processes)
                    )
                    xla.sync(processes.device)
                    values["top1"], values["top5"] = accuracy.top1, accuracy.top5
                    values["test_loss"] = accuracy.loss
                    if on_accuracy and processes.is_main:
                        on_accuracy(epoch, accuracy)
                if metrics:
                    metrics.add(done, done / steps_per_epoch, values)
                    state.save(folder.checkpoint, done, record)
            if progress and processes.is_main:
                progress(done, n_steps, values)
        state.load_average()
        if accuracy is None:  # a finished run was resumed
            accuracy = _evaluate(network, images, config, processes)
        if processes.is_main and not (start == n_steps and folder.has_weights()):
            result = {"step": n_steps, "top1": accuracy.top1, "top5": accuracy.top5}
            card = {**record, **code_version(), **result}
            save_weights(network, folder.weights, metadata={"training": json.dumps(card)})
        unreadable = tuple(sorted(set(batches.unreadable)))
        return Trained(weights=folder.weights, accuracy=accuracy, unreadable=unreadable)


def _make_batches(
    model: nn.Module, images: ImageSet, config: TrainConfig, processes: ProcessGroup
) -> TrainingBatches:
    return TrainingBatches(
        images=images.train,
        size=input_size(model),
        views=images.views,
        batch_size=config.batch_size,
        seed=config.seed,
        rank=processes.rank,
        world=processes.world,
        n_workers=config.n_workers,
        max_unreadable=config.max_unreadable,
    )


def _evaluate(
    model: nn.Module, images: ImageSet, config: TrainConfig, processes: ProcessGroup
) -> Accuracy:
    batches = evaluation_batches(
        images.test,
        size=input_size(model),
        views=images.views,
        batch_size=max(1, config.batch_size // config.accumulate // processes.world),
        n_workers=config.n_workers,
    )
    return evaluate(
        model,
        batches,
        presentation=config.presentation,
        device=processes.device,
        precision=PRECISIONS[config.precision],
    )


def _has_unused_parameters(model: nn.Module) -> bool:
    """Return whether the decoder has parameters: one that selects a timestep does not use them."""
    return any(True for _ in getattr(model, "decoder", nn.Module()).parameters())


def _describe_run(model: nn.Module, images: ImageSet, config: TrainConfig) -> dict[str, Any]:
    """Return everything that determines the run, in types of JSON."""
    return {
        "model": _name(model),
        "n_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "input_size": input_size(model),
        "decoder": getattr(model, "decoder_name", None),
        "unroll": getattr(model, "unrolling", None),
        "data": images.name,
        "data_sha256": images.sha256(),
        "n_classes": len(images.classes),
        "n_train": len(images.train),
        **asdict(config),
        "milestones": list(config.milestones),
        "durations": list(config.durations),
    }


def _name(model: nn.Module) -> str:
    return str(getattr(model, "name", type(model).__name__))


def _check_finite(losses: list[tuple[int, Tensor]], checkpoint: Path) -> None:
    for step, loss in losses:
        if not math.isfinite(float(loss)):
            saved = "No checkpoint was saved"
            if checkpoint.is_file():
                last = read_checkpoint(checkpoint)[0]
                saved = f"The last checkpoint, {checkpoint}, is after step {last}"
            raise DivergedError(
                f"The loss is {float(loss)} in step {step}. {saved}. Try a smaller lr, a longer "
                "warm-up or clipping."
            )
