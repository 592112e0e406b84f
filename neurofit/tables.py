"""What a person sees of a score, a training or a test: plans, tables and curves in 80 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

if TYPE_CHECKING:
    import xarray as xr

    from neurofit.assemblies import Recording
    from neurofit.evaluate import Accuracy
    from neurofit.presets import ScoreConfig
    from neurofit.protocol import Model
    from neurofit.score import Estimate

out = Console(highlight=False, emoji=False)
err = Console(stderr=True, highlight=False, emoji=False)

BLOCKS = " ▁▂▃▄▅▆▇█"


def say_plan(
    model: Model, origin: str, recording: Recording, configs: list[ScoreConfig], units: dict[str, int], plan: Estimate, *, device: str
) -> None:
    """Print what is going to be scored, and how much work it will be."""
    from neurofit.score import make_mapping

    bins, config = recording.time_bins, configs[0]
    sizes = recording.responses.sizes
    out.print(f"[bold]{model.name}[/bold] ({origin}) against [bold]{config.region}[/bold] of {recording_name(recording)}")
    out.print(
        f"  {len(recording.stimuli)} images, {sizes['presentation']:,} presentations, {sizes['neuroid']} neuroids, "
        f"{len(bins)} time bin{'s' * (len(bins) > 1)} in {bins[0][0]}-{bins[-1][1]} ms"
    )
    layers = Padding(f"layers {', '.join(f'{layer} ({count:,} units)' for layer, count in units.items())} on {device}", (0, 0, 0, 2))
    out.print(layers)
    out.print(
        f"  {', '.join(make_mapping(c).name for c in configs)}, {config.time_mode}, {config.preset}: "
        f"{config.n_splits} splits x {config.n_halves} trial halves"
    )
    memory, disk = (f"{max(n_bytes / 1e9, 0.1):.1f} GB" for n_bytes in (plan.n_bytes, plan.disk_bytes))
    out.print(f"  {plan.n_fits:,} fits in about {duration(plan.seconds)}, {memory} of memory, {disk} of disk for activations")


def say_result(result: xr.Dataset) -> None:
    """Print a table over time for each layer, and its curve as a line of marks."""
    from neurofit.result import bin_groups

    for i, layer in enumerate(result.layer.values):
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("ms", justify="right")
        for column in ("score", "interval", "r", "expl. var.", "ceiling", "neuroids"):
            table.add_column(column, justify="right")
        for start, end, row in bin_groups(result, i):
            table.add_row(
                f"{start}-{end}",
                _number(row["curve"]),
                f"{_number(row['curve_low'])} to {_number(row['curve_high'])}" if row["curve"] == row["curve"] else "",
                _number(row["curve_r_xy"]),
                _number(row["curve_explained_variance"]),
                _number(row["ceiling"]),
                f"{row['n_neuroids']:.0f}" if row["n_neuroids"] else "none reliable",
            )
        _say_what(result, str(layer))
        out.print(table)
        perfect = result.attrs["perfect_score"]
        out.print(f"{_terminal_curve(result.curve.values[i] / perfect)}  0 to {perfect:g}, one mark per bin; . no score")


def say_layers(result: xr.Dataset) -> None:
    """Print one table with a row for each layer."""
    from neurofit.result import layer_rows

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("layer")
    for column in ("best", "at ms", "bins", "mean", "r", "ceiling", "chosen"):
        table.add_column(column, justify="right")
    for row in layer_rows(result):
        at = f"{row['start']}-{row['end']}" if row["best"] == row["best"] else ""
        chosen = "" if not row["chosen"] else f"{row['chosen']} of {len(result.train)}"
        means = (_number(row[name]) for name in ("score", "r_xy", "ceiling"))
        table.add_row(row["layer"], _number(row["best"]), at, str(row["bins"]), *means, chosen)
    _say_what(result, "all layers")
    out.print(table)
    out.print(
        "[dim]best: highest bin. bins: how many have a score; mean, r, ceiling: over these. chosen: splits in which the layer predicts "
        "held-out training stimuli best.[/dim]"
    )


def _say_what(result: xr.Dataset, what: str) -> None:
    attrs = result.attrs
    control = "  CONTROL: stimuli shuffled" if attrs["shuffled_stimuli"] else ""
    out.print()
    out.print(f"[bold]{attrs['model']} {what}[/bold] against {attrs['region']}, {attrs['mapping_name']}, {attrs['time_mode']}{control}")
    _say_selection(result)


def say_formula(result: xr.Dataset, written: str, *, interval: bool) -> None:
    """Print what the columns of a table mean, what is missing, and where the files are."""
    from neurofit.result import count_missing

    attrs = result.attrs
    left_out, in_halves = count_missing(result)
    if left_out or in_halves:
        out.print(f"Trials are missing: {left_out} neuroids are left out in some time bin, {in_halves} in some trial halves.")
    unused = (result.n_neuroids.values == 0).all(axis=0) & (result.ceiling.values > 0.5)
    if unused.any():
        n_test = int((result.train.values == 0).sum(axis=1).min())
        out.print(f"none reliable: with {n_test} test stimuli, chance alone may give such a ceiling. More stimuli tell.")
    said = f" interval: {attrs['interval']}." if interval else ""
    out.print(f"[dim]{attrs['formula']}. r: raw. ceiling: split-half reliability, median.{said}[/dim]")
    out.print(f"{written}/result.nc, curve.png, summary.json", soft_wrap=True)


def recording_name(recording: Recording) -> str:
    """Return a recording's name, which never hides that it is simulated."""
    return f"{recording.name} (SIMULATED)" if recording.simulated else recording.name


def _terminal_curve(values: Any) -> str:
    return "".join("." if v != v else BLOCKS[min(8, max(0, round(8 * float(v))))] for v in values)


def duration(seconds: float) -> str:
    """Return a rough time: it is an estimate."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 1):.0f} s"


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.2f}"


def say_accuracy(found: Accuracy, what: str) -> None:
    """Print accuracies, and those of the readout at each timestep."""
    out.print(f"top-1 {found.top1:.2%}, top-5 {found.top5:.2%} of {found.n_images:,} {what}; cross-entropy {found.loss:.3f}")
    if found.by_timestep:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("timestep", "top-1", "top-5"):
            table.add_column(column, justify="right")
        for timestep, (top1, top5) in found.by_timestep.items():
            table.add_row(str(timestep), f"{top1:.2%}", f"{top5:.2%}")
        out.print(table)


def _say_selection(result: xr.Dataset) -> None:
    from neurofit.result import selection_of

    if selection := selection_of(result):
        out.print(selection, markup=False)


def say_ceiling(result: xr.Dataset) -> None:
    """Print a ceiling, and of which part of the recording it is, as a table over time and a line of marks."""
    attrs = result.attrs
    simulated = " (SIMULATED)" if attrs["simulated"] else ""
    out.print(f"[bold]{attrs['region']}[/bold] of [bold]{attrs['recording']}[/bold]{simulated}: {result.sizes['neuroid']} neuroids")
    _say_selection(result)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("ms", "reliability", "interval", "neuroids"):
        table.add_column(column, justify="right")
    starts, ends = result.time_bin_start.values, result.time_bin_end.values
    step = -(-len(starts) // 30)  # at most 30 rows; all bins are in the file
    for i in range(0, len(starts), step):
        row = (float(result[name].values[i]) for name in ("curve", "curve_low", "curve_high"))
        middle, low, high = map(_number, row)
        table.add_row(f"{starts[i]}-{ends[i]}", middle, f"{low} to {high}", str(int(result.n_neuroids.values[i])))
    out.print(table)
    every = "" if step == 1 else f" One bin in {step} is shown, all are in the file."
    out.print(f"{_terminal_curve(result.curve.values)}  0 to 1, one mark per bin")
    out.print(f"[dim]{attrs['formula']}. interval: {attrs['interval']}.{every}[/dim]")
