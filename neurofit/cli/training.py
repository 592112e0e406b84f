"""Commands that train and test models."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from neurofit.cli.console import describe_duration, err, out, progress, set_offline, write
from neurofit.cli.networks import note_code
from neurofit.cli.options import expand, late_command
from neurofit.config.compute import find_device
from neurofit.errors import NeurofitError, counted

if TYPE_CHECKING:
    from neurofit.data_loaders.labelled_images import ImageSet
    from neurofit.training.config import TrainConfig
    from neurofit.training.evaluate import Accuracy
    from neurofit.training.run_folder import Resume

DATA = "Labelled images: cifar10, imagenet, folder:PATH or shards:PATH."
DEVICE = "Device: auto, cpu, cuda or xla (a TPU)."
INPUT_SIZE = "Width and height of the model's images in pixels."
DECODER = "Logits of a ConvRNN: last, sum, average, random_time, max_conf or thresh."


SUMMARY = "Train a model on labelled images; with torchrun, on several GPUs or machines."


def train_command() -> Any:
    """Return the command, whose options are those of a dataclass that takes time to import."""
    from neurofit.training.config import TrainConfig

    def train(
        model: Annotated[
            str, typer.Option(help="Registered model (neurofit list models), or file:PATH.")
        ],
        data: Annotated[str, typer.Option(help=DATA)],
        folder: Annotated[str, typer.Option("--out", metavar="DIR", help="Folder of the run.")],
        training: Any,
        input_size: Annotated[
            int | None, typer.Option(help=INPUT_SIZE, show_default="the model's")
        ] = None,
        decoder: Annotated[
            str | None, typer.Option(help=DECODER, show_default="the model's")
        ] = None,
        validation: Annotated[
            int,
            typer.Option(
                metavar="N",
                show_default=False,
                help="Test on the last N training images, which are not trained on, instead of the "
                "test images: to choose hyperparameters.",
            ),
        ] = 0,
        device: Annotated[str, typer.Option(help=DEVICE)] = "auto",
        resume: Annotated[
            str | None,
            typer.Option(
                metavar="[auto]",
                help="Resume from the checkpoint in --out; with auto, start if there is none.",
            ),
        ] = None,
        tensorboard: Annotated[
            bool, typer.Option("--tensorboard", help="Write the metrics for TensorBoard too.")
        ] = False,
        offline: Annotated[bool, typer.Option("--offline", help="Download nothing.")] = False,
    ) -> None:
        if resume not in (None, "yes", "auto"):
            raise NeurofitError(
                f"resume is given alone or with auto; got {resume!r}.", option="resume"
            )
        set_offline(offline)
        train_and_show(
            model,
            data,
            folder,
            training,
            options=_given(input_size=input_size, decoder=decoder),
            validation=validation,
            device=find_device(device),
            resume="auto" if resume == "auto" else resume == "yes",
            tensorboard=tensorboard,
        )

    train.__doc__ = SUMMARY
    example = "neurofit train --model rgc_tiny --data cifar10 --out runs/rgc_tiny"
    command = late_command("train", expand(training=TrainConfig)(train), example=example)
    command.bare = {"--resume": "yes"}
    return command


def _given(**options: Any) -> dict[str, Any]:
    """Return the options of a model that were given."""
    return {name: value for name, value in options.items() if value is not None}


def train_and_show(
    model: str,
    data: str,
    folder: str,
    config: TrainConfig,
    *,
    options: Mapping[str, Any],
    validation: int,
    device: str,
    resume: Resume,
    tensorboard: bool,
) -> None:
    """Train a model; print what it takes, and its accuracy."""
    from neurofit.config.xla import describe_device
    from neurofit.data_loaders import load_images
    from neurofit.models import create_model
    from neurofit.training.train import train

    images = load_images(data)
    if validation:
        images = images.with_validation(validation)
    n_classes = len(images.classes)
    network = create_model(
        model, weights="random", seed=config.seed, n_classes=n_classes, **options
    )
    is_main = os.environ.get("RANK", "0") == "0"
    if is_main:
        n_parameters = sum(p.numel() for p in network.parameters())
        out.print(
            f"[bold]{model}[/bold] ({n_parameters:,} parameters, {network.input_size} px) on "
            f"[bold]{escape(images.name)}[/bold], {len(images.train):,} images of {n_classes} "
            "classes",
            soft_wrap=True,
        )
        out.print(
            f"  {config.recipe}: {counted(config.epochs, 'epoch')}, batches of "
            f"{config.batch_size}, lr {config.lr:g}, {config.schedule}; {describe_device(device)}"
        )
        out.print(f"  {_describe_cost(network, images, config, folder, device, resume)}")
    with progress() as report:
        done = train(
            network,
            images,
            config,
            out=folder,
            device=device,
            resume=resume,
            tensorboard=tensorboard,
            progress=(lambda step, steps, _: report("training steps", step, steps))
            if is_main
            else None,
        )
    if is_main:
        for reason in done.unreadable:
            err.print(f"Skipped: {reason}", markup=False)
        print_accuracy(done.accuracy)
        out.print(
            f"Weights: {done.weights}. "
            f"neurofit score --model {model} --region IT --weights {done.weights}",
            soft_wrap=True,
        )


def _describe_cost(
    network: Any, images: ImageSet, config: TrainConfig, folder: str, device: str, resume: Resume
) -> str:
    """Return speed, memory and duration of what is left of a run, in words."""
    from neurofit.training.batches import TrainingBatches
    from neurofit.training.checkpoint import read_checkpoint
    from neurofit.training.memory import check_memory
    from neurofit.training.run_folder import CHECKPOINT
    from neurofit.training.step import measure_step

    world = int(os.environ.get("WORLD_SIZE", "1"))
    batches = TrainingBatches(
        images=images.train,
        size=network.input_size,
        views=images.views,
        batch_size=config.batch_size,
        seed=config.seed,
    )
    n_steps = config.epochs * batches.steps_per_epoch
    n_bytes = check_memory(network, config, device=device, world=world)
    checkpoint, n_done = Path(folder) / CHECKPOINT, 0
    if resume and checkpoint.is_file():
        n_done = read_checkpoint(checkpoint, with_tensors=False)[0]
    if n_done >= n_steps:
        return f"finished: {n_done:,} steps are done"
    speed = measure_step(network, config, device=device).images_per_s
    seconds = (n_steps - n_done) * config.batch_size / speed / world
    so_far = f"; {n_done:,} of {n_steps:,} steps are done" if n_done else ""
    return (
        f"about {speed:,.0f} images/s and {max(n_bytes / 1e9, 0.1):.1f} GB per process: "
        f"{describe_duration(seconds)}{so_far}"
    )


def eval_(
    model: Annotated[
        str,
        typer.Option(
            help="Model: registered (neurofit list models), or of a source such as timm:NAME."
        ),
    ],
    data: Annotated[str, typer.Option(help=DATA)],
    weights: Annotated[
        str,
        typer.Option(help="Weights: auto (bundled or downloaded), random, or a file."),
    ] = "auto",
    presentation: Annotated[
        str, typer.Option(help="Presentation of the images to the model.")
    ] = "default",
    first: Annotated[
        int | None, typer.Option("--first", metavar="N", help="Test only the first N images.")
    ] = None,
    validation: Annotated[
        int,
        typer.Option(
            metavar="N",
            show_default=False,
            help="Test on the last N training images instead, as train --validation N does.",
        ),
    ] = 0,
    batch_size: Annotated[int, typer.Option(help="Images per batch.")] = 64,
    input_size: Annotated[
        int | None, typer.Option(help=INPUT_SIZE, show_default="the model's")
    ] = None,
    decoder: Annotated[str | None, typer.Option(help=DECODER, show_default="the model's")] = None,
    device: Annotated[str, typer.Option(help=DEVICE)] = "auto",
    offline: Annotated[bool, typer.Option("--offline", help="Download nothing.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the accuracies as JSON, nothing else.")
    ] = False,
) -> None:
    """Test a model: its accuracy, and the accuracy of its readout at each timestep."""
    from dataclasses import asdict

    from neurofit.data_loaders import load_images
    from neurofit.models import create_model
    from neurofit.training.batches import evaluation_batches
    from neurofit.training.config import TrainConfig
    from neurofit.training.evaluate import evaluate
    from neurofit.training.memory import check_memory

    set_offline(offline)
    note_code([model])
    images = load_images(data)
    if validation:
        images = images.with_validation(validation)
    options = _given(input_size=input_size, decoder=decoder)
    network = create_model(model, weights=weights, n_classes=len(images.classes), **options)
    tested = images.test if first is None else images.test.first(first)
    shown = TrainConfig(batch_size=min(batch_size, len(tested)), presentation=presentation)
    check_memory(network, shown, device=find_device(device), gradients=False)
    batches = evaluation_batches(
        tested, size=network.input_size, views=images.views, batch_size=batch_size
    )
    with progress() as report:
        found = evaluate(
            network,
            batches,
            presentation=presentation,
            device=find_device(device),
            progress=lambda n: report("test images", n, len(tested)),
        )
    if as_json:
        write(f"{json.dumps(asdict(found))}\n")
    else:
        out.print(
            f"[bold]{model}[/bold] ({escape(network.weights_origin)}) on "
            f"[bold]{escape(images.name)}[/bold]"
        )
        print_accuracy(found)


def print_accuracy(found: Accuracy) -> None:
    """Print accuracies, and those of the readout at each timestep."""
    out.print(
        f"top-1 {found.top1:.2%}, top-5 {found.top5:.2%} of {found.n_images:,} test images; "
        f"cross-entropy {found.loss:.3f}"
    )
    if found.by_timestep:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("timestep", "top-1", "top-5"):
            table.add_column(column, justify="right")
        for timestep, (top1, top5) in found.by_timestep.items():
            table.add_row(str(timestep), f"{top1:.2%}", f"{top5:.2%}")
        out.print(table)
