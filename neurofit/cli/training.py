"""Commands that train and test models."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from neurofit.cli.console import describe_duration, err, out, progress, set_offline
from neurofit.config.compute import find_device

if TYPE_CHECKING:
    from neurofit.training.evaluate import Accuracy

DATA = "Labelled images: cifar10, imagenet, folder:PATH or shards:PATH."
INPUT_SIZE = "Width and height of the model's images in pixels."


def train(
    model: Annotated[str, typer.Option(help="Registered model (neurofit list models).")],
    data: Annotated[str, typer.Option(help=DATA)],
    folder: Annotated[str, typer.Option("--out", metavar="DIR", help="Folder of the run.")],
    recipe: Annotated[
        str, typer.Option(help="Recipe whose values the options change (neurofit list recipes).")
    ] = "cifar10-tiny",
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Images per step, over all processes.")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    schedule: Annotated[
        str | None, typer.Option(help="Learning rate schedule: constant, step or cosine.")
    ] = None,
    accumulate: Annotated[int | None, typer.Option(help="Gradient accumulation steps.")] = None,
    precision: Annotated[
        str | None, typer.Option(help="Precision of convolutions: float32 or bfloat16.")
    ] = None,
    input_size: Annotated[
        int | None, typer.Option(help=INPUT_SIZE, show_default="the model's")
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Random seed for initial weights, shuffling and augmentation.")
    ] = 0,
    device: Annotated[str, typer.Option(help="Device: auto, cpu, cuda or xla (a TPU).")] = "auto",
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume from the checkpoint in --out.")
    ] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write the metrics for TensorBoard too.")
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Download nothing.")] = False,
) -> None:
    """Train a model on labelled images; with torchrun, on several GPUs or machines."""
    from neurofit.config.xla import describe_device
    from neurofit.data_loaders import load_images
    from neurofit.models import create_model
    from neurofit.training.recipes import make_recipe
    from neurofit.training.step import measure_step
    from neurofit.training.train import train as run

    set_offline(offline)
    given = {
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "schedule": schedule,
        "accumulate": accumulate,
        "precision": precision,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    config = make_recipe(recipe, seed=seed, **changes)
    images = load_images(data)
    size: dict[str, Any] = {} if input_size is None else {"input_size": input_size}
    n_classes = len(images.classes)
    network = create_model(model, weights="random", seed=seed, n_classes=n_classes, **size)
    where = find_device(device)
    is_main = os.environ.get("RANK", "0") == "0"
    if is_main:
        cost = measure_step(network, config, device=where)
        n_images = config.epochs * len(images.train)
        seconds = n_images / cost.images_per_s / int(os.environ.get("WORLD_SIZE", "1"))
        n_parameters = sum(p.numel() for p in network.parameters())
        out.print(
            f"[bold]{model}[/bold] ({n_parameters:,} parameters, {network.input_size} px) on "
            f"[bold]{images.name}[/bold], {len(images.train):,} images of {n_classes} classes",
            soft_wrap=True,
        )
        epochs_ = f"{config.epochs} epoch{'s' * (config.epochs > 1)}"
        out.print(
            f"  {recipe}: {epochs_}, batches of {config.batch_size}, lr {config.lr:g}, "
            f"{config.schedule}; {describe_device(where)}"
        )
        out.print(
            f"  about {cost.images_per_s:,.0f} images/s and {max(cost.n_bytes / 1e9, 0.1):.1f} GB "
            f"per process: {describe_duration(seconds)}"
        )
    with progress() as report:
        done = run(
            network,
            images,
            config,
            out=folder,
            device=where,
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
            f"Written: {done.weights}. "
            f"neurofit score --model {model} --region IT --weights {done.weights}",
            soft_wrap=True,
        )


def eval_(
    model: Annotated[str, typer.Option(help="Registered model (neurofit list models).")],
    data: Annotated[str, typer.Option(help=DATA)],
    weights: Annotated[
        str,
        typer.Option(
            help="Weights: auto (bundled, else downloaded, else random), random, or a file."
        ),
    ] = "auto",
    presentation: Annotated[
        str, typer.Option(help="Presentation of the images to the model.")
    ] = "default",
    first: Annotated[
        int | None, typer.Option("--first", metavar="N", help="Test only the first N images.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Images per batch.")] = 64,
    input_size: Annotated[
        int | None, typer.Option(help=INPUT_SIZE, show_default="the model's")
    ] = None,
    device: Annotated[str, typer.Option(help="Device: auto, cpu, cuda or xla (a TPU).")] = "auto",
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
    from neurofit.training.evaluate import evaluate

    set_offline(offline)
    images = load_images(data)
    size: dict[str, Any] = {} if input_size is None else {"input_size": input_size}
    network = create_model(model, weights=weights, n_classes=len(images.classes), **size)
    tested = images.test if first is None else images.test.first(first)
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
        print(json.dumps(asdict(found)))
    else:
        out.print(f"[bold]{model}[/bold] ({network.weights_origin}) on [bold]{images.name}[/bold]")
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
