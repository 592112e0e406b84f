"""The command that repeats a result."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from neurofit.cli.console import out, plugins, progress, set_offline
from neurofit.cli.recordings import OfflineOption

if TYPE_CHECKING:
    from neurofit.analyses.verify import Verification

KINDS = ("data", "weights", "attribute", "run", "number", "version")
"""Kinds of differences in the order of the table."""

SHA256_SHOWN = 12
"""Digits of a hash in the table."""


def verify(
    result: Annotated[
        str, typer.Argument(metavar="RESULT", help="A result.nc, or the folder that holds one.")
    ],
    recording: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH",
            help="Path of the recording, if it is not where the result says; may be repeated: "
            "the one with the sha256 of the result is taken.",
        ),
    ] = None,
    images: Annotated[
        str, typer.Option(help="Images of the recording, if they are elsewhere now.")
    ] = "",
    weights: Annotated[
        str, typer.Option(help="Weights of the model, if they are elsewhere now.")
    ] = "",
    offline: OfflineOption = False,
) -> None:
    """Repeat a result and compare every number; the exit code is 1 unless they are equal."""
    from neurofit.analyses.verify import verify as repeat

    set_offline(offline)
    with progress() as report:
        found = repeat(
            result,
            recordings=recording or (),
            images=images or None,
            weights=weights or None,
            progress=report,
        )
    print_verification(found)
    if not found.holds:
        sys.exit(1)


def print_verification(found: Verification) -> None:
    """Print the command that makes a result, the verdict, and what differs."""
    if found.command:
        options = "".join(f" --plugin {shlex.quote(path)}" for path in plugins)
        command = found.command.replace("neurofit", f"neurofit{options}", 1)
        out.print(f"Repeated: {command}", markup=False, soft_wrap=True)
    numbers = found.of_kind("number")
    text = f"{found.verdict[0].upper()}{found.verdict[1:]}"
    if found.holds:
        text += f": {found.n_variables} variables and coordinates"
    out.print(f"{text}.", style="bold")
    if found.holds and numbers:
        out.print(
            f"Largest difference: {numbers[0].size:.1e}, "
            f"{numbers[0].share:.1e} of the largest value, in {numbers[0].name}."
        )
    if not found.differences:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("differs", "name", "stored", "repeated", "by"):
        table.add_column(name, overflow="fold", justify="right" if name == "by" else "left")
    for kind in KINDS:
        for each in found.of_kind(kind):
            hashed = each.name.endswith("sha256")
            shown = (
                f"{text[:SHA256_SHOWN]}..." if hashed and len(text) == 64 else text
                for text in (each.stored, each.repeated)
            )
            size = f"{each.size:.1e}" if kind == "number" and each.size < float("inf") else ""
            table.add_row(kind, each.name, *shown, size)
    out.print(table)
    if found.of_kind("number"):
        out.print("by: largest difference in the variable", style="dim")
