"""The command `plot`: figures of results, in the formats of journals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurofit.cli.console import out
from neurofit.cli.options import expand, late_command
from neurofit.errors import NeurofitError

if TYPE_CHECKING:
    from neurofit.results.figures import FigureConfig


SUMMARY = "Draw results as a figure: one, several over each other, or a comparison."

ResultsArgument = Annotated[
    list[str],
    typer.Argument(metavar="RESULT...", help="result.nc of an analysis, or its folder."),
]

OutOption = Annotated[
    str,
    typer.Option(
        "--out",
        metavar="FILE",
        help="File to write; with several formats each gets its own suffix.",
    ),
]


def plot_command() -> Any:
    """Return the command, whose options are those of a dataclass that takes time to import."""
    from neurofit.results.figures.config import FigureConfig

    def plot(results: ResultsArgument, figure: Any, out_file: OutOption = "figure") -> None:
        draw_and_save(results, figure, out_file)

    plot.__doc__ = SUMMARY
    example = "neurofit plot A/result.nc B/result.nc --format pdf --width 85mm"
    return late_command("plot", expand(figure=FigureConfig)(plot), example=example)


def draw_and_save(results: list[str], figure: FigureConfig, out_file: str) -> None:
    """Draw results, write the files and print the caption."""
    from neurofit.results.figures import caption, draw, save
    from neurofit.results.io import load_result

    files = _files(out_file, figure.format)
    loaded = [load_result(each) for each in results]
    drawn = draw(loaded, figure.kind, width=figure.width, style=figure.style)
    for file in files:
        save(drawn, file)
    out.print(caption(loaded, figure.kind), markup=False)
    out.print(f"Written: {', '.join(map(str, files))}", soft_wrap=True)


def _files(out_file: str, formats: tuple[str, ...]) -> list[Path]:
    """Return the files to write: those of the formats, or the one that a suffix names.

    Raises
    ------
    NeurofitError
        If the suffix is none of the formats.
    """
    from neurofit.results.figures.looks import format_of

    path = Path(out_file)
    if not path.suffix:
        return [path.with_suffix(f".{each}") for each in formats or ("png",)]
    named = format_of(path)
    if formats and named not in formats:
        raise NeurofitError(
            f"--out {out_file} names another format than --format {','.join(formats)}."
        )
    return [path.with_suffix(f".{each}") for each in formats or (named,)]
