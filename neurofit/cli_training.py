"""Commands that train and test models."""

from __future__ import annotations

import json
import os
from typing import Annotated, Any

import typer

from neurofit.tables import duration, err, out, say_accuracy
from neurofit.terminal import find_device, make_model, progress, set_offline


def train(
    model: Annotated[str, typer.Option(help="Registered model (neurofit list models).")],
    data: Annotated[str, typer.Option(help="cifar10, imagenet, folder:PATH or shards:PATH.")],
    folder: Annotated[str, typer.Option("--out", metavar="DIR", help="Folder of the run.")],
    recipe: Annotated[str, typer.Option(help="Where the values below come from (neurofit list recipes).")] = "cifar10-tiny",
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per step, of all processes together.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    schedule: Annotated[str | None, typer.Option(help="constant, step or cosine.")] = None,
    accumulate: Annotated[int | None, typer.Option(help="Parts in which a batch is computed.")] = None,
    precision: Annotated[str | None, typer.Option(help="float32 or bfloat16.")] = None,
    input_size: Annotated[int | None, typer.Option(help="Pixels of the model's images.", show_default="the model's")] = None,
    seed: Annotated[int, typer.Option(help="Of the first weights, and of order and views of the images.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or xla.")] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write the metrics for TensorBoard too.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Download nothing.")] = False,
) -> None:
    """Train a model on labelled images; with torchrun, on several GPUs or machines."""
    from neurofit.data_loaders import load_images
    from neurofit.models import create_model
    from neurofit.recipes import make_recipe
    from neurofit.train import train as run
    from neurofit.train import try_step

    set_offline(offline)
    given = {
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "schedule": schedule,
        "accumulate": accumulate,
        "precision": precision,
    }
    config = make_recipe(recipe, seed=seed, **{name: value for name, value in given.items() if value is not None})
    images = load_images(data)
    size: dict[str, Any] = {} if input_size is None else {"input_size": input_size}
    network = create_model(model, seed=seed, n_classes=len(images.classes), **size)
    where = "xla" if device == "xla" else find_device(device)
    leads = os.environ.get("RANK", "0") == "0"
    if leads:
        trial = try_step(network, config, device=where)
        n_images = config.epochs * len(images.train)
        out.print(
            f"[bold]{model}[/bold] ({sum(p.numel() for p in network.parameters()):,} parameters, {network.input_size} px) on "
            f"[bold]{images.name}[/bold], {len(images.train):,} images of {len(images.classes)} classes",
            soft_wrap=True,
        )
        lasts = f"{config.epochs} epoch{'s' * (config.epochs > 1)}"
        out.print(f"  {recipe}: {lasts}, batches of {config.batch_size}, lr {config.lr:g}, {config.schedule}; {where}")
        out.print(
            f"  about {trial.images_per_s:,.0f} images/s and {max(trial.n_bytes / 1e9, 0.1):.1f} GB in a process: "
            f"{duration(n_images / trial.images_per_s / int(os.environ.get('WORLD_SIZE', '1')))}"
        )
    with progress() as report:
        bar = report("training steps") if leads else None
        done = run(
            network,
            images,
            config,
            out=folder,
            device=where,
            resume=resume,
            tensorboard=tensorboard,
            progress=(lambda step, steps, known: bar(step, steps)) if bar else None,
        )
    if leads:
        for reason in done.unreadable:
            err.print(f"Left out: {reason}", markup=False)
        say_accuracy(done.accuracy, "test images")
        out.print(f"Written: {done.weights}. neurofit score --model {model} --region IT --weights {done.weights}", soft_wrap=True)


def eval_(
    model: Annotated[str, typer.Option(help="Registered model (neurofit list models).")],
    data: Annotated[str, typer.Option(help="cifar10, imagenet, folder:PATH or shards:PATH.")],
    weights: Annotated[str, typer.Option(help="auto (shipped, else published and here, else random), random, or a FILE.")] = "auto",
    presentation: Annotated[str, typer.Option(help="How images are shown to the model.")] = "default",
    first: Annotated[int | None, typer.Option("--first", metavar="N", help="Only the first N test images.")] = None,
    batch_size: Annotated[int, typer.Option(help="Images at once.")] = 64,
    input_size: Annotated[int | None, typer.Option(help="Pixels of the model's images.", show_default="the model's")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    offline: Annotated[bool, typer.Option("--offline", help="Download nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the accuracies as JSON, nothing else.")] = False,
) -> None:
    """Test a model: its accuracy, and that of its readout at each timestep."""
    from dataclasses import asdict

    from neurofit.batches import evaluation_batches
    from neurofit.data_loaders import load_images
    from neurofit.evaluate import evaluate

    set_offline(offline)
    images = load_images(data)
    size: dict[str, Any] = {} if input_size is None else {"input_size": input_size}
    network, origin = make_model(model, weights=weights, seed=0, n_classes=len(images.classes), **size)
    tested = images.test if first is None else images.test.first(first)
    batches = evaluation_batches(tested, size=network.input_size, views=images.views, batch_size=batch_size)
    with progress() as report:
        bar = report("test images")
        found = evaluate(network, batches, presentation=presentation, device=find_device(device), progress=lambda n: bar(n, len(tested)))
    if as_json:
        print(json.dumps(asdict(found)))
    else:
        out.print(f"[bold]{model}[/bold] ({origin}) on [bold]{images.name}[/bold]")
        say_accuracy(found, "test images")
