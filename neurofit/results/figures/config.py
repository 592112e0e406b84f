"""Options of a figure."""

from __future__ import annotations

from dataclasses import dataclass

from neurofit.config.notebook import Configuration
from neurofit.config.options import check_fields, option, parse_names
from neurofit.errors import NeurofitError
from neurofit.results.figures.looks import FORMATS, parse_width

KINDS = ("auto", "curves", "difference", "layers", "scatter", "learning")


@dataclass(frozen=True, kw_only=True)
class FigureConfig(Configuration):
    """Options of a figure.

    Parameters
    ----------
    kind
        What to draw: "curves", "difference", "layers", "scatter", "learning", or "auto" for what
        suits the results.
    format
        Formats to write; without any, the one that the file's suffix names.
    width
        Width of the figure, such as "85mm".
    style
        "light", "dark" or the name of a style of matplotlib.
    """

    kind: str = option(
        "auto",
        choices=KINDS,
        metavar="KIND",
        help="What to draw: curves, difference (of a comparison), layers (a map over time bins), "
        "scatter (two results, a point per neuroid) or learning (over the training images).",
        default_text="what suits the results",
    )
    format: tuple[str, ...] = option(
        (),
        parse=parse_names,
        metavar="FORMAT,...",
        help="Formats to write: svg, pdf, png.",
        default_text="the suffix of --out, or png",
    )
    width: str = option(
        "120mm", metavar="LENGTH", help="Width: 85mm, 12cm or 3.3in. Text keeps its 7 points."
    )
    style: str = option("light", help="light, dark or the name of a style of matplotlib.")

    def __post_init__(self) -> None:
        check_fields(self)
        parse_width(self.width)
        if unknown := [each for each in self.format if each not in FORMATS]:
            raise NeurofitError(
                f"format must be svg, pdf or png; got {unknown[0]!r}.", option="format"
            )
