"""Commands that show results: tables for a paper, and a report in HTML."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neurofit.cli.console import out
from neurofit.errors import NeurofitError, check_option

ResultsArgument = Annotated[
    list[str],
    typer.Argument(metavar="RESULT...", help="Folders of results, or result.nc files."),
]


def table(
    results: ResultsArgument,
    format_: Annotated[
        str, typer.Option("--format", help="Format: text, md, latex (booktabs) or csv.")
    ] = "text",
    rows: Annotated[
        str | None,
        typer.Option(
            help="Rows: bins (a row for each time bin) or models (means over time).",
            show_default="bins for a single curve, else models",
        ),
    ] = None,
    windows: Annotated[
        str | None,
        typer.Option(
            metavar="START:END,...",
            help="Windows (ms) that the means of --rows models are over.",
            show_default="all time bins",
        ),
    ] = None,
    file: Annotated[
        str | None, typer.Option("--out", metavar="FILE", help="Write the table into a file.")
    ] = None,
) -> None:
    """Print results as a table for a paper, rounded to two digits of half the interval."""
    from neurofit.recordings.time_bins import parse_window
    from neurofit.results.io import load_result
    from neurofit.results.paper import paper_table
    from neurofit.results.paper_text import FORMATS, rich_table
    from neurofit.storage.home import atomic_file

    check_option("format", format_, ["text", *FORMATS])
    asked = windows.split(",") if windows else []
    made = paper_table(
        list(map(load_result, results)),
        rows=rows,
        windows=[parse_window(each, option="windows") for each in asked],
    )
    if format_ == "text":
        if file:
            raise NeurofitError("A file needs --format md, latex or csv.")
        out.print(rich_table(made))
        out.print(made.caption, style="dim", markup=False)
        return
    text = FORMATS[format_](made)
    if not file:
        print(text, end="")
        return
    with atomic_file(Path(file)) as temporary:
        temporary.write_text(text, encoding="utf-8")
    out.print(f"Written: {file}", soft_wrap=True)
