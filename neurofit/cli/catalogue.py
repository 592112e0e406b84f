"""Commands that list and describe what is registered."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from neurofit.cli import recordings
from neurofit.cli.console import err, out
from neurofit.cli.networks import describe_network
from neurofit.cli.options import expand
from neurofit.errors import NeurofitError, check_option, counted
from neurofit.recordings.selection import Selection

if TYPE_CHECKING:
    from neurofit.config.registry import Registry
    from neurofit.data_loaders.recordings import RecordingInfo
    from neurofit.models import ModelInfo

CARD = ("data", "n_train", "recipe", "epochs", "seed", "neurofit", "top1", "top5")
"""Fields of a training card that are printed."""

LISTED = (
    "models",
    "recordings",
    "analyses",
    "mappings",
    "presets",
    "cells",
    "images",
    "recipes",
)


def list_(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help=f"What to list: {', '.join(LISTED)}.")
    ],
) -> None:
    """List what is registered."""
    from neurofit.storage.home import home

    check_option("list", kind, LISTED)
    table = Table(box=None, pad_edge=False, header_style="bold")
    if kind == "models":
        _add_models(table)
    elif kind == "recordings":
        _add_recordings(table)
    elif kind == "analyses":
        from neurofit.analyses import ANALYSES

        table.add_column("analysis")
        table.add_column("description")
        for name in ANALYSES:
            table.add_row(name, escape(ANALYSES[name].summary))
    else:
        registered = _documented(kind)
        table.add_column(kind.removesuffix("s") if kind != "images" else "image set")
        table.add_column("description")
        usual = {"presets": "pooled", "mappings": "ridge"}.get(kind)
        for name in registered:
            table.add_row(
                f"{name} (default)" if name == usual else name, _first_line(registered[name])
            )
    out.print(table)
    err.print(f"[dim]Files are cached in {home()} (NEUROFIT_HOME).[/dim]", soft_wrap=True)


def _add_models(table: Table) -> None:
    from neurofit.models import list_models, model_info

    names = list_models()
    table.add_column("model", no_wrap=True, min_width=max(map(len, names)))
    for column in ("cell", "input", "top-1", "weights"):
        table.add_column(column, justify="right" if column == "top-1" else "left")
    for name in names:
        info = model_info(name)
        top1 = "" if info.top1 is None else f"{info.top1:.1f}"
        table.add_row(name, info.cell, f"{info.input_size} px", top1, _describe_weights(info))
    table.caption = (
        "Other networks: timm:NAME, torchvision:NAME, hf:OWNER/NAME, brainscore:NAME, file:PATH of "
        "a model file, and FILE.py:FUNCTION of your own (neurofit describe timm:resnet18)."
    )
    table.caption_justify = "left"


def _add_recordings(table: Table) -> None:
    from neurofit.data_loaders import describe_recording, list_recordings

    for column in ("recording", "areas", "description"):
        table.add_column(column)
    described = [describe_recording(name) for name in list_recordings()]
    shown = [each for each in described if not each.variant_of]
    for each in shown:
        more = sum(other.variant_of == each.name for other in described)
        summary = each.summary
        if more:
            summary += f" {more} more like it: neurofit describe {each.name}."
        if each.caution:
            summary += " (*)"
        table.add_row(each.name, ", ".join(each.regions), summary)
    if any(each.caution for each in shown):
        table.caption = "(*) not verified against the original file"
        table.caption_justify = "left"


@expand(selection=Selection)
def describe(
    name: Annotated[
        str,
        typer.Argument(
            help="A model (also of a source, timm:resnet18), a recording, or the path of one."
        ),
    ],
    selection: Selection,
    images: recordings.ImagesOption = "",
    time_bin: recordings.TimeBinOption = "",
    ms_per_timestep: Annotated[
        int | None,
        typer.Option(help="Duration of a timestep (ms) of a network of a source.", min=1),
    ] = None,
) -> None:
    """Describe a model or a recording; options select a part of a recording given by path."""
    from neurofit.data_loaders import list_recordings
    from neurofit.data_loaders.recordings import is_path
    from neurofit.models import find_name, list_models

    if find_name(name) is not None and not Path(name).exists():
        describe_network(name, ms_per_timestep=ms_per_timestep)
        return
    if ms_per_timestep is not None:
        raise NeurofitError(
            f"--ms-per-timestep is for networks of sources and of your own; {name} is none."
        )
    if is_path(name) and name not in list_models():
        recordings.describe_path(name, selection, images=images, time_bin=time_bin)
        return
    check_option("model or recording", name, [*list_models(), *list_recordings()])
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    rows = _recording_rows(name) if name in list_recordings() else _model_rows(name)
    for key, value in rows.items():
        if value:
            table.add_row(key, value)
    out.print(table)


def _recording_rows(name: str) -> dict[str, str]:
    from neurofit.data_loaders import describe_recording, list_recordings

    recording = describe_recording(name)
    variants = (o for o in list_recordings() if describe_recording(o).variant_of == name)
    return {
        "recording": name + (" (SIMULATED)" if recording.simulated else ""),
        "description": recording.summary,
        "areas": ", ".join(recording.regions),
        "published": recording.citation,
        "caution": recording.caution,
        "more like it": ", ".join(variants),
        "files": "cached" if _is_cached(name) else f"not downloaded: {recording.download_hint}",
        "example": _example(recording),
    }


def _model_rows(name: str) -> dict[str, str]:
    from neurofit.models import model_info, model_options

    info = model_info(name)
    layers = (f"{region}: {', '.join(layers)}" for region, layers in info.region_layers.items())
    shown = (
        f"{key}: {each.n_timesteps} step{'s' * (each.n_timesteps > 1)}, image "
        + (f"for {each.image_off}" if each.image_off else "throughout")
        for key, each in info.presentations.items()
    )
    weights = _describe_weights(info)
    get = {
        "published": f": neurofit weights get {name}",
        "none published": f": neurofit train --model {name} ..., or --weights random",
    }.get(weights, "")
    accuracy = ""
    if info.is_published and info.top1 is not None:
        accuracy = f"top-1 {info.top1:g} %, top-5 {info.top5:g} % (reported by its authors)"
    return {
        "model": name,
        "description": info.summary,
        "cell": info.cell,
        "areas": "; ".join(layers),
        **_built_rows(name),
        "input": f"{info.input_size} x {info.input_size} px, {info.visual_degrees:g} degrees",
        "presentations": "; ".join(shown),
        "decoder": info.decoder,
        "options": ", ".join(model_options(name)),
        "weights": weights + get,
        **_card_rows(info),
        "ImageNet": accuracy,
        "published": info.reference,
    }


def _card_rows(info: ModelInfo) -> dict[str, str]:
    """Return how available weights were trained, if by `neurofit train`."""
    from neurofit.models.weight_files import training_card

    card = training_card(info.weights) if info.has_weights else {}
    if not card:
        return {}
    if lacking := [name for name in CARD if name not in card]:
        return {"trained": f"the training card is incomplete: it lacks {', '.join(lacking)}"}
    commit = f", commit {card['commit'][:12]}" if "commit" in card else ""
    return {
        "trained": escape(
            f"on {card['data']}, {counted(card['n_train'], 'image')}, {card['recipe']}, "
            f"{counted(card['epochs'], 'epoch')}, seed {card['seed']}; "
            f"neurofit {card['neurofit']}{commit}"
        ),
        "accuracy": f"top-1 {card['top1']:.2%}, top-5 {card['top5']:.2%} of its test images",
    }


def _describe_weights(info: ModelInfo) -> str:
    """Return where a model's weights are."""
    from neurofit.models.catalogue import BASELINE, WEIGHTS

    if info.family == BASELINE:
        return "none"
    if info.has_weights:
        return "bundled" if info.weights.parent == WEIGHTS else "downloaded"
    if info.is_published:
        return "published"
    return "its own" if info.makes_weights else "none published"


def _built_rows(name: str) -> dict[str, str]:
    """Return what is known of a model once it is built, or why it cannot be built."""
    from neurofit.models import MODELS

    try:
        network = MODELS[name](seed=None)
    except NeurofitError as error:
        return {"layers": str(error)}
    step = network.ms_per_timestep
    layers = (
        f"{layer} (from {network.first_timestep[layer] * step} ms)" for layer in network.layers
    )
    return {
        "layers": ", ".join(layers),
        "step": f"{step} ms",
        "parameters": f"{sum(p.numel() for p in network.parameters() if p.requires_grad):,}",
    }


def _is_cached(name: str) -> bool:
    from neurofit.storage.home import home

    return any(path.suffix != ".part" for path in (home() / "recordings" / name).glob("*"))


def _example(recording: RecordingInfo) -> str:
    """Return the command or the function that uses a registered recording."""
    name, known = recording.name, recording.regions
    area = next((region for region in ("IT", "V4") if region in known), known[-1])
    given = f"--recording {name} --region {area} {recording.options}".strip()
    load = f"neurofit.data_loaders.{name}.load_solution_times() in Python"
    return {
        "score": f"neurofit score --model rgc_tiny {given}",
        "ceiling": f"neurofit ceiling {given}",
        "table": f"{load}; it has no responses to score",
    }[recording.supports]


def _documented(kind: str) -> Registry[Any]:
    """Return a registry whose entries are described by the first line of their docstring."""
    modules = {
        "cells": ("neurofit.models.cells", "CELLS"),
        "images": ("neurofit.data_loaders", "IMAGE_SETS"),
        "recipes": ("neurofit.training.recipes", "RECIPES"),
        "presets": ("neurofit.analyses.predictivity.presets", "PRESETS"),
        "mappings": ("neurofit.mapping", "MAPPINGS"),
    }
    module, name = modules[kind]
    registry: Registry[Any] = getattr(import_module(module), name)
    return registry


def _first_line(documented: object) -> str:
    return escape((documented.__doc__ or "").strip().splitlines()[0])
