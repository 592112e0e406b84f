"""Commands of analyses: every registered analysis is one, with the options of its dataclasses."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import fields, replace
from inspect import Parameter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from neurofit.cli.console import bullets, describe_duration, err, out, progress, set_offline, write
from neurofit.cli.networks import describe_wait, note_code
from neurofit.cli.options import (
    flags_of,
    given_options,
    late_command,
    naming_flags,
    parameters_of,
    with_signature,
)
from neurofit.errors import MachineError, NeurofitError

if TYPE_CHECKING:
    import xarray as xr

    from neurofit.analyses.analysis import Analysis
    from neurofit.analyses.inputs import Plan
    from neurofit.analyses.run import RunConfig

SHORT_NAMES = {
    "score": "Noise-corrected predictivity: how well a model predicts an area in time.",
    "ceiling": "Split-half reliability of a recording over time.",
}
"""Analyses that are commands of their own, with the first line of their docstring."""

EXAMPLES = {
    "score": "neurofit score --model rgc_tiny --region IT",
    "ceiling": "neurofit ceiling --recording hvm-sim --region IT",
}

OUTPUT = {
    "out_folder": Annotated[
        str | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder of the result \\[default: neurofit-results/...].",
            show_default=False,
            rich_help_panel="Output",
        ),
    ],
    "as_json": Annotated[
        bool,
        typer.Option(
            "--json", help="Print the summary as JSON, nothing else.", rich_help_panel="Output"
        ),
    ],
    "offline": Annotated[
        bool,
        typer.Option("--offline", help="Download nothing.", rich_help_panel="Machine"),
    ],
}


def analysis_command(name: str) -> Any:
    """Return the command of an analysis.

    Raises
    ------
    NeurofitError
        If there is no such analysis; the nearest is named.
    """
    from neurofit.analyses import ANALYSES
    from neurofit.analyses.run import RunConfig
    from neurofit.config.compute import Compute
    from neurofit.recordings.selection import Selection

    analysis = ANALYSES[name]
    of_run = parameters_of(RunConfig, panel="Model")
    if not analysis.models:
        of_run = [each for each in of_run if _panel(each) == "Recording"]
        of_run = [each for each in of_run if each.name != "shuffle_stimuli"]
    parameters = [
        *of_run,
        *parameters_of(Selection, panel="Recording"),
        *parameters_of(analysis.config, panel="Statistics"),
        *_mapping_parameters(analysis),
        *_output_parameters(),
        *(parameters_of(Compute, panel="Machine") if analysis.computes else []),
    ]
    names = [each.name for each in parameters]
    if double := next((each for each in names if names.count(each) > 1), ""):
        raise NeurofitError(
            f"The analysis {name} has an option {double!r}, which every analysis has already. "
            "Give the field another name."
        )

    def command(**given: Any) -> None:
        set_offline(given.pop("offline"))
        output = {key: given.pop(key) for key in ("out_folder", "as_json")}
        config = RunConfig(
            analysis=_analysis_config(analysis, given),
            selection=Selection(**given_options(Selection, given)),
            compute=Compute(**given_options(Compute, given)),
            **given_options(RunConfig, given),
        )
        run_and_show(config, **output)

    command.__doc__ = analysis.summary
    of = " --model rgc_tiny" * (analysis.models > 0) + " --source V4" * analysis.sources
    example = EXAMPLES.get(name, f"neurofit analyse {name}{of} --region IT")
    return late_command(name, with_signature(command, parameters), example=example)


def run_and_show(config: RunConfig, *, out_folder: str | None, as_json: bool) -> None:
    """Run each combination that a configuration asks for; write and print its result."""
    from neurofit.analyses.analysis import analysis_of
    from neurofit.analyses.naming import folder_words
    from neurofit.analyses.run import run_each
    from neurofit.results.folder import alone_in, check_writable, result_folder
    from neurofit.results.io import FILES
    from neurofit.results.summary import summarise

    configs = config.each()
    note_code(dict.fromkeys(str(each.model) for each in configs))
    summaries = []
    for each in configs:
        folder = Path()
        stack = ExitStack()

        def on_plan(plan: Plan, each: RunConfig = each, stack: ExitStack = stack) -> None:
            nonlocal folder
            untrained = plan.weights.startswith("random")
            words = folder_words(each, plan.recording, untrained=untrained)
            folder = result_folder(words)
            if out_folder is not None:
                folder = Path(out_folder) / (folder.name if len(configs) > 1 else "")
            check_writable(folder, analysis_of(each.analysis).name)
            stack.enter_context(alone_in(folder))
            if not as_json:
                print_plan(plan, each)

        with stack:
            with progress() as bars:
                report = bars if as_json else FitTimer(bars, each)
                result, *baselines = run_each(each, on_plan=on_plan, progress=report)
            folder, replaced = _written(result, baselines, folder)
        summaries += [summarise(result), *map(summarise, baselines)]
        if as_json and replaced:
            err.print(f"Note: replaced {folder}/{', '.join(FILES)}.", soft_wrap=True)
        if not as_json:
            print_result(result)
            if baselines:
                print_advantage(result, baselines)
            verb = "Replaced" if replaced else "Written"
            out.print(f"{verb}: {folder}/{', '.join(FILES)}", soft_wrap=True)
            for baseline in baselines:
                out.print(f"Written: {baseline_folder(folder, baseline)}", soft_wrap=True)
    if as_json:
        write(f"{json.dumps(summaries if len(summaries) > 1 else summaries[0])}\n")


def _written(
    result: xr.Dataset, baselines: Sequence[xr.Dataset], folder: Path
) -> tuple[Path, bool]:
    """Write results, and return their folder and whether one was replaced.

    If the disk of the folder is full, they are written elsewhere, so that hours of work are not
    lost.
    """
    from neurofit.results.io import write_result

    def write(into: Path) -> bool:
        replaced = write_result(result, into)
        for baseline in baselines:
            write_result(baseline, baseline_folder(into, baseline))
        return replaced

    try:
        return folder, write(folder)
    except MachineError as error:
        elsewhere = Path(tempfile.mkdtemp(prefix="neurofit-result-"))
        try:
            write(elsewhere)
        except NeurofitError:
            shutil.rmtree(elsewhere, ignore_errors=True)
            raise error from None
        raise MachineError(f"{error}\nThe result was written to {elsewhere} instead.") from error


def baseline_folder(folder: Path, baseline: xr.Dataset) -> Path:
    """Return the folder of a baseline's result, inside that of its model."""
    return folder / "baselines" / str(baseline.attrs["control"])


def print_advantage(result: xr.Dataset, baselines: Sequence[xr.Dataset]) -> None:
    """Print by how much a model exceeds each of its baselines, mean over the time bins of both.

    Pooled scores have an interval of the paired difference and a p value.
    """
    from neurofit.analyses.comparison.paired import compare
    from neurofit.analyses.comparison.words import describe_p
    from neurofit.metrics.two_way import describe_samples
    from neurofit.results.labels import label_results
    from neurofit.results.schema import headline, series

    if "influence_of_stimuli" not in result:
        err.print("Baselines are compared with pooled scores; this formula has no influences.")
        return
    every = list(series(result, headline(result)))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("baseline", *(["of"] if len(every) > 1 else [])):
        table.add_column(column)
    for column in ("model minus baseline", "interval", "p"):
        table.add_column(column, justify="right")
    for names, _ in every:
        own = [
            each.sel({dim: [name] for dim, name in names.items()}) for each in (result, *baselines)
        ]
        model, *others = label_results(own)
        found = compare(own, reference=model, windows=())
        for label, baseline in zip(others, baselines, strict=True):
            at = found.sel(pair=f"{label} - {model}")  # the other way round
            low, high = -at.whole_difference_band_high.item(), -at.whole_difference_band_low.item()
            difference, p = -at.whole_difference.item(), at.whole_p_adjusted.item()
            table.add_row(
                str(baseline.attrs["control"]),
                *([" ".join(names.values())] if len(every) > 1 else []),
                *(["no bin in common"] if math.isnan(difference) else [f"{difference:z.3f}"]),
                "" if math.isnan(p) else f"{low:z.3f} to {high:z.3f}",
                "" if math.isnan(p) else describe_p(p).removeprefix("p ").removeprefix("= "),
            )
    out.print()
    out.print("Baselines, mean over the time bins in which both have a score", style="bold")
    out.print(table)
    over = describe_samples(json.loads(found.attrs["config"])["over"])
    out.print(
        f"interval: 95% interval over {over}, for all baselines at once; p: adjusted over them.",
        style="dim",
    )


class FitTimer:
    """Progress that says once, after the first time bins, how long the fits will take.

    Parameters
    ----------
    bars, config
        Progress that is shown; the run: its cores, and whether the fits of baselines follow.
    """

    def __init__(self, bars: Any, config: RunConfig) -> None:
        self.bars, self.jobs = bars, config.compute.jobs
        baselines = " for the model, and up to as long for each baseline" * config.baselines
        self.text: str | None = f"[dim]The fits take about {{}}{baselines}.[/dim]"
        self.begun = 0.0

    def __call__(self, label: str, done: int, total: int) -> None:
        """Pass on the progress."""
        from neurofit.analyses.encoding.fitting import LABELS

        if self.text and label in LABELS.values():
            if done == 0:
                self.begun = time.perf_counter()
            elif self.jobs <= done < total:
                n_passes = 1 + (label == LABELS["hold_out"])
                seconds = (time.perf_counter() - self.begun) * n_passes * total / done
                err.print(self.text.format(describe_duration(seconds)), soft_wrap=True)
                self.text = None
        self.bars(label, done, total)


def print_plan(plan: Plan, config: RunConfig) -> None:
    """Print what is going to be analysed, and what it takes."""
    recording = plan.recording
    bins, sizes = recording.time_bins, recording.responses.sizes
    simulated = " (SIMULATED)" if recording.simulated else ""
    weights, region = escape(plan.weights), escape(", ".join(recording.regions))
    model = f"[bold]{escape(plan.model)}[/bold] ({weights}) against " if plan.model else ""
    out.print(f"{model}[bold]{region}[/bold] of {escape(recording.name)}{simulated}")
    out.print(
        f"  {len(recording.stimuli):,} images, {sizes['presentation']:,} presentations, "
        f"{sizes['neuroid']} neuroids, {len(bins)} time bin{'s' * (len(bins) > 1)} in "
        f"{bins[0][0]}-{bins[-1][1]} ms"
    )
    if plan.layer_units:
        layers = ", ".join(f"{layer} ({n:,} units)" for layer, n in plan.layer_units.items())
        layers = f"layers {layers} on {plan.device}{describe_wait(plan)}"
        out.print(Padding(layers, (0, 0, 0, 2), expand=False))
    if plan.cost:
        memory, disk = (
            f"{max(n_bytes / 1e9, 0.1):.1f} GB" for n_bytes in (plan.cost.n_bytes, plan.disk_bytes)
        )
        drawn = [
            f"{n} {word}{'s' * (n > 1)}"
            for name, word in (("n_splits", "split"), ("n_halves", "halving"))
            if (n := getattr(config.analysis, name, 0))
        ]
        fits = f"{plan.cost.n_fits:,} fits, {memory} of memory, {disk} of disk"
        out.print(f"  {': '.join(filter(None, [' x '.join(drawn), fits]))}")


def print_result(result: xr.Dataset) -> None:
    """Print a result: its conclusion, and tables with each curve as a line of marks."""
    from neurofit.results.schema import axes, headline, series
    from neurofit.results.tables import MAX_TABLES, footnotes, marks, result_tables

    bullets(json.loads(result.attrs.get("conclusion", "[]")))
    every = list(series(result, name := headline(result)))
    curves = len(axes(result, name)) == 1 and len(every) <= MAX_TABLES
    for i, (title, table) in enumerate(result_tables(result)):
        out.print()
        out.print(title, style="bold", markup=False)
        out.print(table)
        best = float(result[name].attrs["best"])
        if curves and i < len(every) and every[i][1].size > 1 and math.isfinite(best):
            out.print(marks(every[i][1].values, best))
    for line in footnotes(result):
        out.print(line, style="dim", markup=False)


def _analysis_config(analysis: Analysis, given: dict[str, Any]) -> Any:
    """Return the configuration of an analysis, its mappings with their own options."""
    config = analysis.make_config(**given_options(analysis.config, given))
    if not hasattr(config, "mapping_names"):
        return config
    from neurofit.mapping import MAPPINGS, find_mapping

    made: list[Any] = []
    for name in MAPPINGS:
        own = given_options(MAPPINGS[name], given, prefix=name)  # type: ignore[arg-type]
        if own and name not in config.mapping_names:
            flag = flags_of(MAPPINGS[name], prefix=name)[next(iter(own))]  # type: ignore[arg-type]
            used = ", ".join(config.mapping_names)
            raise NeurofitError(f"{flag} is an option of the mapping {name}; this one is {used}.")
    for name, mapping in zip(config.mapping_names, config.mappings, strict=True):
        own = given_options(MAPPINGS[name], given, prefix=name)  # type: ignore[arg-type]
        with naming_flags(flags_of(MAPPINGS[name], prefix=name)):  # type: ignore[arg-type]
            found: Any = find_mapping(mapping)
            made.append(replace(found, **own) if own else mapping)
    return replace(config, mapping=made[0] if len(made) == 1 else tuple(made))


def _mapping_parameters(analysis: Analysis) -> list[Parameter]:
    if not hasattr(analysis.config, "mapping_names"):
        return []
    from neurofit.mapping import MAPPINGS

    (field,) = (each for each in fields(analysis.config) if each.name == "mapping")
    chosen = "help" in field.metadata  # otherwise the analysis has one mapping
    every: Any = MAPPINGS
    names = MAPPINGS if chosen else analysis.make_config().mapping_names
    return [p for n in names for p in parameters_of(every[n], panel="Mapping", prefix=n)]


def _output_parameters() -> list[Parameter]:
    keyword = Parameter.KEYWORD_ONLY
    defaults = {"out_folder": None, "as_json": False, "offline": False}
    return [
        Parameter(name, keyword, default=defaults[name], annotation=annotation)
        for name, annotation in OUTPUT.items()
    ]


def _panel(parameter: Parameter) -> str:
    return str(parameter.annotation.__metadata__[0].rich_help_panel)


class Analyses(typer.core.TyperGroup):
    """The group `neurofit analyse`: a command for each registered analysis, made when needed."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the analyses."""
        from neurofit.analyses import ANALYSES

        return list(ANALYSES)

    def get_command(self, ctx: Any, name: str) -> Any:
        """Return the command of an analysis."""
        return analysis_command(name)


app = typer.Typer(cls=Analyses, no_args_is_help=True, help="Run an analysis by its name.")


@app.callback()
def _group() -> None:
    """Run an analysis by its name."""
