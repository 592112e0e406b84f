"""What the command line says of networks of other packages and of one's own code."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from neurofit.cli.console import describe_duration, err, out

if TYPE_CHECKING:
    from neurofit.analyses.inputs import Plan
    from neurofit.models.sources.create import Built
    from neurofit.models.survey import Surveyed

SHORT = 30.0
"""Duration in seconds of the images' way through a model that is not worth a word."""


def note_code(names: Iterable[str]) -> None:
    """Say that the code of one's own models is going to be run."""
    from neurofit.models import find_name

    for name in names:
        found = find_name(name)
        if found is not None and found.runs_code:
            place = found.network.rpartition(":")[0]
            err.print(f"Note: running {place} (--model).", markup=False, soft_wrap=True)


def describe_wait(plan: Plan) -> str:
    """Return how long the images take on the CPU, if it is worth a word."""
    if plan.device != "cpu" or plan.seconds < SHORT:
        return ""
    return f", at most about {describe_duration(plan.seconds)} for the images"


def describe_network(name: str, *, ms_per_timestep: int | None = None) -> None:
    """Print a network of a source, and a table of its modules from one probe.

    The duration of a timestep is that of the name by default.

    Raises
    ------
    NeurofitError
        If it cannot be built; or, after the table, if the probe refuses it.
    """
    from neurofit.models import find_name
    from neurofit.models.sources.create import build_network

    note_code([name])
    found = find_name(name)
    assert found is not None
    given = {} if ms_per_timestep is None else {"ms_per_timestep": ms_per_timestep}
    built = build_network(found, weights="auto" if found.has_weights else "random", **given)
    if not built.unrolls:
        out.print(_module_table(built.survey()))
        out.print()
    _print_rows(_rows(built, built.model()))


def _module_table(surveyed: Iterable[Surveyed]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("module", "type", "output", "calls", "image"):
        table.add_column(column, justify="right" if column == "calls" else "left", overflow="fold")
    for row in surveyed:
        shape = "" if row.shape is None else " x ".join(map(str, row.shape))
        driven = {True: "yes", False: "no"}[row.driven] if row.calls else ""
        table.add_row(escape(row.name), row.kind, shape, str(row.calls), driven)
    table.caption = (
        "output: without the batch. calls: in one forward pass. image: whether the output depends "
        "on it."
    )
    table.caption_justify = "left"
    return table


def _rows(built: Built, model: Any) -> dict[str, str]:
    from neurofit.activations.notes import declared_crop

    provenance = built.provenance
    crop = declared_crop(provenance)
    origin = built.origin.removeprefix("weights ").replace("random weights", "random")
    kind = type(built.network.module).__name__
    declared = built.network.preprocessing.declared
    mean, std = (", ".join(f"{each:g}" for each in values) for values in (model.mean, model.std))
    steps = model.presentations["default"].n_timesteps
    step = f"{model.ms_per_timestep} ms"
    time = f"{steps} timesteps of {step}" if steps > 1 else "constant: each layer has one call"
    timing = getattr(model, "timing", {})
    times = [f"{layer}: {where}" for layer, where in timing.get("time", {}).items()]
    return {
        "model": model.name,
        "type": f"{kind}, {provenance.get('package', 'file')}",
        "file": f"{provenance['file']}, sha256 {provenance['file_sha256'][:12]}"
        if "file" in provenance
        else "",
        "parameters": f"{sum(p.numel() for p in built.network.module.parameters()):,}",
        "input": f"{model.input_size} x {model.input_size} px, {model.visual_degrees:g} degrees; "
        f"mean {mean}; std {std}" + ("" if declared or built.unrolls else " (not declared)"),
        "crop": f"{crop:.1%} declared, not applied: it would cut the stimulus" if crop < 1 else "",
        "shown as": timing.get("image", "an image"),
        "time": "\n".join([time, *times]),
        "weights": f"{origin}, for this table",
        "layers": ", ".join(model.layers),
    }


def _print_rows(rows: dict[str, str]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for key, value in rows.items():
        if value:
            table.add_row(key, escape(value))
    out.print(table)
