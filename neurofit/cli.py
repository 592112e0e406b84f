"""The command `neurofit`: turns names into objects, prints, and says errors in one or two lines."""

from __future__ import annotations

import json
import os
import re
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from neurofit import cli_brainscore, cli_recordings, cli_training
from neurofit.errors import NeurofitError, NeurofitWarning, check_option
from neurofit.tables import err, out, recording_name, say_formula, say_layers, say_plan, say_result
from neurofit.terminal import (
    find_device,
    load,
    make_model,
    of_brainscore,
    parse_window,
    progress,
    result_folder,
    set_offline,
    writable,
    write_json,
)

if TYPE_CHECKING:
    from neurofit.data_loaders.recordings import RecordingInfo
    from neurofit.models import ModelInfo
    from neurofit.registry import Registry

app = typer.Typer(
    name="neurofit",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Does a recurrent vision model unfold in time as V4 and IT do? One noise-corrected predictivity curve per area.",
)
data = typer.Typer(no_args_is_help=True, help="Bring a recording's files to this machine.")
app.add_typer(data, name="data")
weights_of_models = typer.Typer(no_args_is_help=True, help="Bring published weights to this machine, or convert a checkpoint.")
app.add_typer(weights_of_models, name="weights")
cache = typer.Typer(no_args_is_help=True, help="See and remove what neurofit keeps on this machine (NEUROFIT_HOME).")
app.add_typer(cache, name="cache")
app.add_typer(cli_brainscore.app, name="brainscore")

ZERO_FIXED = "Take decays as 0 that the reference fixes at 0, whatever the checkpoint says."
_said: set[str] = set()
"""Kinds of notes that have been printed."""

LISTED = ("models", "recordings", "cells", "presets", "images", "recipes")


@app.callback()
def _options(debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False) -> None:
    os.environ["NEUROFIT_DEBUG"] = "1" if debug else os.environ.get("NEUROFIT_DEBUG", "")


@app.command(epilog="Example: neurofit score --model rgc_tiny --region IT")
def score(
    model: Annotated[str, typer.Option(help="Registered model (neurofit list models), or brainscore:ID.")],
    region: Annotated[str, typer.Option(help="Area: V4 or IT.")],
    recording: Annotated[str, typer.Option(help="Registered (neurofit list recordings), a path, or brainscore:BENCHMARK.")] = "hvm-sim",
    images: Annotated[str, typer.Option(help="Pictures of a path: a table, zip or folder.", show_default="beside it")] = "",
    time_bin: cli_recordings.TimeBinOption = "",
    layer: Annotated[str, typer.Option(help="auto, all, or layer names joined by commas.")] = "auto",
    mapping: Annotated[str, typer.Option(help="pls, ridge, or pls,ridge for both.")] = "pls",
    time: Annotated[str, typer.Option(help="per-bin: a map for each time bin; fixed: one map for all.")] = "per-bin",
    preset: Annotated[str, typer.Option(help="How to split, correct, average (neurofit list presets).")] = "nayebi2022",
    window: Annotated[str, typer.Option(help="Only bins inside START:END ms.", metavar="START:END")] = "",
    bins: Annotated[str, typer.Option(help="Other time bins, in ms.", metavar="START:END:WIDTH")] = "",
    subject: Annotated[str, typer.Option(help="Only this animal.")] = "",
    subregion: Annotated[str, typer.Option(help="Only this part of the area.")] = "",
    stimuli: Annotated[str, typer.Option(help="Only COLUMN=VALUE,VALUE of the stimuli, or a file of ids.")] = "",
    min_reliability: Annotated[float | None, typer.Option(help="Only neuroids of such a split-half reliability.")] = None,
    bootstrap_over: Annotated[str, typer.Option(help="What the interval is over: neuroids, stimuli or both.")] = "neuroids",
    convergence: Annotated[str, typer.Option(help="Of PLS: sklearn (stops where it does) or exact.")] = "sklearn",
    reduce: Annotated[str, typer.Option(help="Of the features: none, srp:DIMENSIONS or pca:COMPONENTS.")] = "none",
    batch_size: Annotated[int | None, typer.Option(help="Images at once.", show_default="what fits into memory")] = None,
    precision: Annotated[str, typer.Option(help="Of the model's convolutions: float32 or bfloat16.")] = "float32",
    keep_grams: Annotated[bool, typer.Option("--keep-grams", help="Keep the features' Grams, and use those that are kept.")] = False,
    weights: Annotated[str, typer.Option(help="auto (shipped, else published and here, else random), random, or a FILE.")] = "auto",
    presentation: Annotated[str, typer.Option(help="How images are shown to the model.")] = "neural",
    seed: Annotated[int, typer.Option(help="Seed of random weights and of --shuffle-stimuli.")] = 0,
    shuffle_stimuli: Annotated[bool, typer.Option("--shuffle-stimuli", help="Control: pair responses with wrong images.")] = False,
    folder: Annotated[str, typer.Option("--out", metavar="DIR", help="Folder of the result.", show_default="neurofit-results/...")] = "",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    offline: Annotated[bool, typer.Option("--offline", help="Download nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON, nothing else.")] = False,
) -> None:
    """Score how well a model predicts an area in time."""
    from dataclasses import replace

    from neurofit.assemblies import validate_recording
    from neurofit.extract import count_units, extract, extract_when_needed
    from neurofit.plot import plot_curve
    from neurofit.presets import make_config
    from neurofit.protocol import PRECISIONS, find_presentation
    from neurofit.result import save_result, summarise
    from neurofit.score import estimate, layers_to_fit, make_mapping, score_many
    from neurofit.time_bins import timestep_weights

    set_offline(offline)
    check_option("precision", precision, PRECISIONS)
    configs = [
        make_config(
            preset,
            region=region,
            mapping=name,
            time_mode=time,
            layers=layer if layer in ("auto", "all") else tuple(dict.fromkeys(layer.split(","))),
            window=parse_window(window),
            bootstrap_over=bootstrap_over,
            convergence=convergence,
            reduce=reduce,
        )
        for name in dict.fromkeys(mapping.split(","))
    ]
    for config in configs:
        make_mapping(config)
    theirs = model.removeprefix("brainscore:") if model.startswith("brainscore:") else ""
    network, origin = (None, "a model of Brain-Score") if theirs else make_model(model, weights=weights, seed=seed)
    device = find_device(device)
    with progress() as report:
        whole = load(recording, report, pictures=images, time_bin=time_bin)
        whole.stimuli.need_images()
        region, subregion = cli_recordings.area(whole, region, subregion)
        configs = [replace(config, region=region) for config in configs]
        least = "" if min_reliability is None else f"reliability{min_reliability}"
        part = {"bins": bins, "subject": subject, "subregion": subregion, "stimuli": stimuli, "least": least}
        target = writable(Path(folder) if folder else result_folder(model, region, whole.name, selection=part))
        responses, selection = cli_recordings.select(
            whole,
            region=region,
            window=configs[0].window,
            bins=bins,
            subject=subject,
            subregion=subregion,
            stimuli=stimuli,
            min_reliability=min_reliability,
        )
        validate_recording(responses)
        shown_stimuli = responses.stimuli.shuffled(seed) if shuffle_stimuli else responses.stimuli
        if network is None:
            seen = replace(responses, stimuli=shown_stimuli)
            features = of_brainscore("candidate").activations_of(theirs, seen, region=region)
        else:
            shown = find_presentation(network, presentation)
            layers = layers_to_fit(network.name, network.layers, network.region_layers, configs[0])
            if not as_json:
                units = count_units(network, layers)
                steps = timestep_weights(responses.time_bins, n_timesteps=shown.n_timesteps, ms_per_timestep=network.ms_per_timestep)
                plan = estimate(units, responses, configs, n_timesteps=int(steps.any(axis=0).sum()))
                say_plan(network, origin, responses, configs, units, plan, device=device)
            features = (extract_when_needed if keep_grams else extract)(
                network,
                shown_stimuli,
                layers=layers,
                time_bins=responses.time_bins,
                presentation=shown,
                batch_size=batch_size,
                device=device,
                precision=precision,
                progress=report("images through the model"),
            )
        fitted = report("time bins fitted" if time == "per-bin" else "time bins together")
        results = score_many(features, responses, configs, device=device, keep_grams=keep_grams, progress=fitted)
    summaries = {}
    for config, result in zip(configs, results, strict=True):
        result.attrs |= {"weights": origin, "shuffled_stimuli": int(shuffle_stimuli), "selection": json.dumps(selection)}
        summaries[config.mapping] = summarise(result)
        inside = target / config.mapping if len(configs) > 1 else target
        replaced = (inside / "result.nc").exists()
        save_result(result, inside / "result.nc")
        plot_curve(result, inside / "curve.png")
        write_json(summaries[config.mapping], inside / "summary.json")
        if not as_json:
            (say_layers if layer == "all" else say_result)(result)
            say_formula(result, f"{'Replaced' if replaced else 'Written'}: {inside}", interval=layer != "all")
    if as_json:
        print(json.dumps(summaries if len(configs) > 1 else summaries[configs[0].mapping]))


@app.command(name="list", epilog="Example: neurofit list models")
def list_(kind: Annotated[str, typer.Argument(help="models, recordings, cells, presets, images or recipes.")]) -> None:
    """List what is registered."""
    check_option("list", kind, LISTED)
    table = Table(box=None, pad_edge=False, header_style="bold")
    if kind == "models":
        from neurofit.models import list_models, model_info

        table.add_column("model", no_wrap=True, min_width=max(map(len, list_models())))  # a name is to be copied whole
        for column in ("cell", "input", "top-1", "weights"):
            table.add_column(column, justify="right" if column == "top-1" else "left")
        for name in list_models():
            info = model_info(name)
            table.add_row(name, info.cell, f"{info.input_size} px", "" if info.top1 is None else f"{info.top1:.1f}", _say_weights(info))
    elif kind == "recordings":
        from neurofit.data_loaders import describe_recording, list_recordings

        for column in ("recording", "areas", "what it is"):
            table.add_column(column)
        described = [describe_recording(name) for name in list_recordings()]
        for recording in (each for each in described if not each.variant_of):
            more = sum(each.variant_of == recording.name for each in described)
            summary = recording.summary + (f" {more} more like it: neurofit describe {recording.name}." if more else "")
            table.add_row(recording.name, ", ".join(recording.regions), summary + (" (*)" if recording.caution else ""))
        if any(each.caution for each in described if not each.variant_of):
            table.caption, table.caption_justify = "(*) not verified against the original file", "left"
    else:
        registered = _documented(kind)
        table.add_column(kind.removesuffix("s") if kind != "images" else "image set")
        table.add_column("what it is")
        for name in registered:
            table.add_row(name, _first_line(registered[name]))
    out.print(table)
    from neurofit.home import home

    err.print(f"[dim]Files are kept in {home()} (NEUROFIT_HOME).[/dim]", soft_wrap=True)


@app.command(epilog="Example: neurofit describe rgc_tiny")
def describe(
    name: Annotated[str, typer.Argument(help="A model, a recording, or the path of one.")],
    images: cli_recordings.ImagesOption = "",
    time_bin: cli_recordings.TimeBinOption = "",
) -> None:
    """Describe a model or a recording."""
    from neurofit.data_loaders import describe_recording, list_recordings
    from neurofit.data_loaders.recordings import is_path
    from neurofit.models import list_models, model_info, model_options

    if is_path(name) and name not in list_models():
        cli_recordings.describe_path(name, images=images, time_bin=time_bin)
        return
    check_option("model or recording", name, [*list_models(), *list_recordings()])
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    if name in list_recordings():
        recording = describe_recording(name)
        rows = {
            "recording": name + (" (SIMULATED)" if recording.simulated else ""),
            "what it is": recording.summary,
            "areas": ", ".join(recording.regions),
            "published": recording.citation,
            "caution": recording.caution,
            "more like it": ", ".join(other for other in list_recordings() if describe_recording(other).variant_of == name),
            "files": "here" if _is_here(name) else f"not here yet: {recording.how_to_bring}",
            "then": _say_use(recording),
        }
    else:
        info = model_info(name)
        rows = {
            "model": name,
            "what it is": info.summary,
            "cell": info.cell,
            "areas": "; ".join(f"{region}: {', '.join(layers)}" for region, layers in info.region_layers.items()),
            **_built_rows(name),
            "input": f"{info.input_size} x {info.input_size} px, {info.visual_degrees:g} degrees",
            "presentations": "; ".join(
                f"{key}: {shown.n_timesteps} step{'s' * (shown.n_timesteps > 1)}, image "
                + (f"for {shown.image_off}" if shown.image_off else "throughout")
                for key, shown in info.presentations.items()
            ),
            "decoder": info.decoder,
            "options": ", ".join(model_options(name)),
            "weights": _say_weights(info) + (f": neurofit weights get {name}" if info.is_published and not info.has_weights else ""),
            **_card_rows(info),
            "ImageNet": f"top-1 {info.top1:g} %, top-5 {info.top5:g} % (as its authors report)" if info.is_published else "",
            "published": info.reference,
        }
    for key, value in rows.items():
        if value:
            table.add_row(key, value)
    out.print(table)


@data.command(epilog="Example: neurofit data get hvm-sim")
def get(
    name: Annotated[str, typer.Argument(help="Registered recording.")],
    offline: Annotated[bool, typer.Option("--offline", help="Download nothing: a mirror (NEUROFIT_MIRROR) only.")] = False,
) -> None:
    """Build or download a recording, once."""
    from neurofit.assemblies import validate_recording
    from neurofit.home import home

    set_offline(offline)
    with progress() as report:
        recording = load(name, report)
        validate_recording(recording)
    shape = recording.responses.sizes
    out.print(
        f"{recording_name(recording)}: {len(recording.stimuli)} stimuli, {shape['presentation']:,} presentations, "
        f"{shape['neuroid']} neuroids in {', '.join(recording.regions)}, {shape['time_bin']} time bins. Kept in {home()}.",
        soft_wrap=True,
    )


@cache.command(epilog="Example: neurofit cache ls")
def ls() -> None:
    """List what is kept, and how much room it takes."""
    from neurofit.home import home, kept

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("kept")
    table.add_column("files", justify="right")
    table.add_column("size", justify="right")
    for name, n_files, n_bytes in kept():
        table.add_row(name, f"{n_files:,}", f"{n_bytes / 1e6:,.1f} MB")
    out.print(table)
    err.print(f"[dim]In {home()}.[/dim]", soft_wrap=True)


@cache.command(epilog="Example: neurofit cache rm grams")
def rm(name: Annotated[str, typer.Argument(help="What to remove, as `neurofit cache ls` names it, or a part of it.")]) -> None:
    """Remove what is kept; it is built or downloaded again when it is needed."""
    from neurofit.home import remove

    n_files, n_bytes = remove(name)
    out.print(f"Removed {name}: {n_files:,} files, {n_bytes / 1e6:,.1f} MB.")


@weights_of_models.command(name="get", epilog="Example: neurofit weights get rgc_shallow")
def get_weights(
    name: Annotated[str, typer.Argument(help="Published model (neurofit list models).")],
    zero_fixed: Annotated[bool, typer.Option("--zero-fixed-decays", help=ZERO_FIXED)] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Download nothing: a mirror (NEUROFIT_MIRROR) only.")] = False,
) -> None:
    """Download a model's published weights and convert them, once."""
    from neurofit.models.published import get_weights as get_published

    set_offline(offline)
    path = get_published(name, zero_fixed=zero_fixed)
    out.print(f"The published weights of {name} are at {path}; --weights auto finds them.", soft_wrap=True)


@weights_of_models.command(epilog="Example: neurofit weights convert model.ckpt --model rgc_shallow --out w.safetensors")
def convert(
    checkpoint: Annotated[str, typer.Argument(metavar="CKPT", help="TensorFlow V2 checkpoint: the prefix of its files.")],
    model: Annotated[str, typer.Option(help="Registered model that it belongs to.")],
    file: Annotated[str, typer.Option("--out", metavar="FILE", help="The .safetensors file to write.")],
    zero_fixed: Annotated[bool, typer.Option("--zero-fixed-decays", help=ZERO_FIXED)] = False,
) -> None:
    """Convert a TensorFlow checkpoint of a model of the zoo."""
    from neurofit.models.published import convert_checkpoint

    zeroed = convert_checkpoint(checkpoint, file, model=model, zero_fixed=zero_fixed)
    taken = f" Taken as 0: {', '.join(zeroed)}." if zeroed else ""
    out.print(f"Written: {file}, the weights of {model} from {checkpoint}.{taken}", soft_wrap=True)


for _into, _command, _example in (
    (app, cli_recordings.ceiling, "ceiling --recording zhang2011 --region IT --bins -100:400:10"),
    (app, cli_recordings.check, "check mine.nc"),
    (data, cli_recordings.convert, "data convert session.nwb mine.nc"),
    (app, cli_training.train, "train --model rgc_tiny --data cifar10 --out runs/rgc_tiny"),
    (app, cli_training.eval_, "eval --model rgc_tiny --data cifar10 --weights runs/rgc_tiny/rgc_tiny.safetensors"),
):
    _into.command(_command.__name__.rstrip("_"), epilog=f"Example: neurofit {_example}")(_command)


INTERRUPTED = 130
"""Exit code of Ctrl-C."""


def main() -> None:
    """Run the command; wrong use exits with 2, the machine's faults with 1, in one or two lines."""
    warnings.showwarning = _say_warning  # type: ignore[assignment]  # the place is taken as it comes
    try:
        if app(standalone_mode=False) == INTERRUPTED:  # typer gives back what it makes of Ctrl-C
            raise KeyboardInterrupt
    except NeurofitError as error:
        _fail(error, str(error), error.exit_code)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        err.print("Interrupted; nothing half-written was kept.")
        sys.exit(INTERRUPTED)
    except Exception as error:
        if type(error).__module__.startswith("click") or hasattr(error, "format_message"):
            message = error.format_message()  # type: ignore[attr-defined]
            _fail(error, f"{message} See neurofit --help." if message else "See neurofit --help.", 2)
        _fail(error, f"{type(error).__name__}: {error}\nThis is a fault of neurofit; neurofit --debug COMMAND shows where.", 1)


def _say_warning(message: Warning | str, category: type[Warning], *where: Any) -> None:
    """Print our own warnings as a line; others with the place that they come from, under --debug."""
    kind = re.sub(r"\d+", "", str(message))  # what is noted of one time bin is not noted of the others too
    if (issubclass(category, NeurofitWarning) and kind not in _said) or os.environ.get("NEUROFIT_DEBUG"):
        _said.add(kind)
        err.print(f"Note: {message}", markup=False, soft_wrap=True)


def _fail(error: Exception, message: str, code: int) -> None:
    if os.environ.get("NEUROFIT_DEBUG"):
        err.print_exception()
    err.print(message, markup=False, soft_wrap=True)
    sys.exit(code)


def _card_rows(info: ModelInfo) -> dict[str, str]:
    """Return how weights that lie here were trained, if it was by `neurofit train`."""
    from neurofit.models.weight_files import training_card

    card = training_card(info.weights) if info.has_weights else {}
    if not card:
        return {}
    made = f"neurofit {card['neurofit']}" + (f", commit {card['commit'][:12]}" if "commit" in card else "")
    return {
        "trained": f"on {card['data']}, {card['n_train']:,} images, {card['recipe']}, {card['epochs']} epochs, seed {card['seed']}; {made}",
        "accuracy": f"top-1 {card['top1']:.2%}, top-5 {card['top5']:.2%} of its test images",
    }


def _say_weights(info: ModelInfo) -> str:
    """Return where a model's weights are, in a word or two."""
    from neurofit.models.catalogue import WEIGHTS

    if info.has_weights:
        return "shipped" if info.weights.parent == WEIGHTS else "here"
    return "published" if info.is_published else "random only"


def _built_rows(name: str) -> dict[str, str]:
    """Return what is known of a model only once it is built; why not, if it cannot be."""
    from neurofit.models import MODELS

    try:
        network = MODELS[name](seed=None)
    except NeurofitError as error:
        return {"layers": str(error)}
    return {
        "layers": ", ".join(f"{layer} (from {network.first_timestep[layer] * network.ms_per_timestep} ms)" for layer in network.layers),
        "step": f"{network.ms_per_timestep} ms",
        "parameters": f"{sum(p.numel() for p in network.parameters() if p.requires_grad):,}",
    }


def _is_here(name: str) -> bool:
    from neurofit.home import home

    return any(path.suffix != ".part" for path in (home() / "recordings" / name).glob("*"))


def _say_use(recording: RecordingInfo) -> str:
    """Return the command, or the function, that uses a registered recording."""
    area = next((region for region in ("IT", "V4") if region in recording.regions), recording.regions[-1])
    more = f" {recording.options}" if recording.options else ""
    return {
        "score": f"neurofit score --model rgc_tiny --recording {recording.name} --region {area}{more}",
        "ceiling": f"neurofit ceiling --recording {recording.name} --region {area}{more}",
        "table": f"neurofit.data_loaders.{recording.name}.load_solution_times() in Python; there is nothing to score",
    }[recording.good_for]


def _documented(kind: str) -> Registry[Any]:
    """Return a registry whose entries say in their docstring's first line what they are."""
    if kind == "cells":
        from neurofit.models.cells import CELLS

        return CELLS
    if kind == "images":
        from neurofit.data_loaders import IMAGE_SETS

        return IMAGE_SETS
    if kind == "recipes":
        from neurofit.recipes import RECIPES

        return RECIPES
    from neurofit.presets import PRESETS

    return PRESETS


def _first_line(documented: object) -> str:
    return escape((documented.__doc__ or "").strip().splitlines()[0])
