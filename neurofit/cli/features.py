"""The command extract."""

from __future__ import annotations

from inspect import Parameter
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.padding import Padding

from neurofit.cli.console import out, progress, set_offline
from neurofit.cli.networks import note_code
from neurofit.cli.options import (
    given_options,
    late_command,
    parameters_of,
    with_signature,
)

if TYPE_CHECKING:
    from neurofit.analyses.features import FeaturesPlan

SUMMARY = "Write the features of a model over time as netCDF."

PathOption = Annotated[
    str,
    typer.Option(
        "--out", metavar="FILE.nc", help="File of the features; an earlier one is replaced."
    ),
]

OfflineOption = Annotated[bool, typer.Option("--offline", help="Download nothing.")]


def extract_command() -> Any:
    """Return the command, whose options are those of dataclasses that take time to import."""
    from neurofit.analyses.features import FeaturesConfig
    from neurofit.config.compute import Compute

    def command(**given: Any) -> None:
        from neurofit.analyses.features import write_features

        set_offline(given.pop("offline"))
        path = given.pop("path")
        config = FeaturesConfig(
            compute=Compute(**given_options(Compute, given)),
            **given_options(FeaturesConfig, given),
        )
        note_code([config.model])
        with progress() as report:
            replaced = write_features(config, path, on_plan=print_plan, progress=report)
        out.print(f"{'Replaced' if replaced else 'Written'}: {path}", soft_wrap=True)

    machine = [
        each
        for each in parameters_of(Compute, panel="Machine")
        if each.name in ("device", "batch_size")
    ]
    fixed = [
        Parameter("path", Parameter.KEYWORD_ONLY, annotation=PathOption),
        Parameter("offline", Parameter.KEYWORD_ONLY, default=False, annotation=OfflineOption),
    ]
    command.__doc__ = SUMMARY
    made = with_signature(
        command, [*parameters_of(FeaturesConfig, panel="Model"), *fixed, *machine]
    )
    example = "neurofit extract --model rgc_tiny --images photos --out features.nc"
    return late_command("extract", made, example=example)


def print_plan(plan: FeaturesPlan) -> None:
    """Print what is going to be written."""
    out.print(
        f"[bold]{escape(plan.model)}[/bold] ({escape(plan.weights)}), {plan.n_stimuli:,} images",
        soft_wrap=True,
    )
    layers = ", ".join(f"{layer} ({n:,} units)" for layer, n in plan.layer_units.items())
    steps = f"{plan.n_timesteps} timestep{'s' * (plan.n_timesteps > 1)}"
    text = f"layers {layers}; {steps}; {max(plan.n_bytes / 1e9, 0.001):.3f} GB of disk"
    out.print(Padding(text, (0, 0, 0, 2), expand=False))
