"""How figures look: sizes that journals take, colours that colour-blind readers tell apart."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurofit.errors import NeurofitError, unknown_name
from neurofit.storage.home import atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("svg", "pdf", "png")
"""Formats of a figure; a file's suffix names its own."""

WIDTH = 120.0
"""Default width in mm, one and a half columns of a journal; one column has 85 to 89 mm."""

MM = {"mm": 1.0, "cm": 10.0, "in": 25.4}

LIGHT = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DARK = ("#56B4E9", "#E69F00", "#2FC79A", "#CC79A7", "#F0E442", "#F07C3E")
"""Okabe and Ito's colours (Color Universal Design, 2008) on white; lighter ones on black."""

INK = {"light": ("white", "#1a1a1a", LIGHT), "dark": ("#14171a", "#e6e6e6", DARK)}

SIZE = 7.0
"""Size of all text in points."""

SIZES = {
    **dict.fromkeys(("font.size", "axes.titlesize", "axes.labelsize", "legend.fontsize"), SIZE),
    **dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "figure.titlesize"), SIZE),
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 2.8,
    **{f"{x}tick.major.{what}": n for x in "xy" for what, n in (("width", 0.6), ("size", 2.5))},
    "legend.handlelength": 1.6,
    "legend.borderaxespad": 0.2,
}

LOOKS = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Arial", "Helvetica", "Liberation Sans", "DejaVu Sans"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.dpi": 150.0,
}

SAVED = {
    "svg.fonttype": "none",  # text stays text, which editors of journals ask for
    "svg.hashsalt": "neurofit",
    "pdf.fonttype": 42,  # TrueType: Type 3 fonts are refused by many journals
    "savefig.dpi": 300.0,
}

NO_DATE = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}


@contextmanager
def style(name: str = "light") -> Iterator[None]:
    """Draw in a style within the block: "light", "dark" or the name of a style of matplotlib.

    The size of text (7 pt), the widths of lines and the formats of fonts are those of neurofit in
    every style.

    Raises
    ------
    NeurofitError
        If there is no such style.
    """
    from cycler import cycler
    from matplotlib.style import library

    looks: dict[str, Any] = dict(LOOKS)
    if name in INK:
        paper, ink, colours = INK[name]
        looks |= dict.fromkeys(
            ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), ink
        )
        looks |= dict.fromkeys(("axes.facecolor", "figure.facecolor"), paper)
        looks["axes.prop_cycle"] = cycler(color=colours)
    elif name in library:
        looks.update(dict(library[name].items()))
    else:
        raise unknown_name("style", name, [*INK, *library], option="style")
    with _settings({**looks, **SIZES, **SAVED}):
        yield


def settings() -> Any:
    """Return the settings of matplotlib as they are."""
    import matplotlib

    return matplotlib.rcParams


def _settings(changed: Any) -> AbstractContextManager[None]:
    import matplotlib

    return matplotlib.rc_context(changed)


def parse_width(text: str | int | float) -> float:
    """Return a width in mm from text such as "85mm", "8.5 cm" or "3.3in"; a number is in mm.

    Raises
    ------
    NeurofitError
        If it is no length, or not between 40 and 400 mm.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(mm|cm|in)?\s*", str(text))
    width = float(found[1]) * MM[found[2] or "mm"] if found else 0.0
    if not 40 <= width <= 400:
        raise NeurofitError(
            f"width must be a length of 40 to 400 mm, such as 85mm, 8.5cm or 3.3in; got {text!r}.",
            option="width",
        )
    return width


def format_of(path: str | Path) -> str:
    """Return the format that a file's suffix names.

    Raises
    ------
    NeurofitError
        If figures have no such format.
    """
    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        given = f"{Path(path).suffix!r}" if suffix else f"no suffix in {str(path)!r}"
        raise NeurofitError(f"A figure is written as .svg, .pdf or .png; got {given}.")
    return suffix


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure in the format of the path's suffix, completely or not at all.

    Fonts are embedded as TrueType in a PDF and stay text in an SVG. No time of day is written, so
    the same figure gives the same file.

    Parameters
    ----------
    figure
        Figure to write, at its own size.
    path
        File with the suffix .svg, .pdf or .png.

    Raises
    ------
    NeurofitError
        If the suffix is another one, or the folder is not writable.
    """
    kind = format_of(path)
    with atomic_file(Path(path)) as temporary, _settings(SAVED):
        figure.savefig(temporary, format=kind, metadata=NO_DATE[kind])


def svg(figure: Figure) -> str:
    """Return a figure as an element `<svg>`, to be put into a page of HTML."""
    file = io.StringIO()
    with _settings(SAVED):
        figure.savefig(file, format="svg", metadata=NO_DATE["svg"])
    return file.getvalue()[file.getvalue().index("<svg") :]


def show(figure: Figure) -> None:
    """Show a figure: in a window, below the cell of a notebook, or on a page of sphinx-gallery.

    The figure is handed over to pyplot, which keeps it until it is closed. Without a display, and
    with a backend that only writes files, nothing else happens.

    Parameters
    ----------
    figure
        Figure to show, of `draw` or `recording_sheet` for example.
    """
    from matplotlib import pyplot

    made: dict[str, Any] = {"FigureClass": lambda *args, **kwargs: figure}
    pyplot.figure(**made)
    pyplot.show()


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in mm, whose layout keeps texts apart."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width / 25.4, height / 25.4), layout="constrained")


@contextmanager
def drawing_on(ax: Axes | None, *, height: float = 65.0) -> Iterator[Axes]:
    """Yield the given axes; without them new ones of pyplot, in the style "light"."""
    if ax is not None:
        yield ax
        return
    from matplotlib import pyplot

    with style():
        figure = pyplot.figure(figsize=(WIDTH / 25.4, height / 25.4), layout="constrained")
        ax = figure.subplots()
        yield ax
        figure.draw_without_rendering()  # ticks that are made later would have other sizes


def colours(n: int) -> list[tuple[Any, str]]:
    """Return a colour and a dash pattern for each of n lines, all different up to 24 lines.

    Colours are those of the axes' cycle; matplotlib's default cycle is replaced by Okabe and Ito's.
    """
    import matplotlib

    cycle = settings()["axes.prop_cycle"]
    usual = cycle == matplotlib.rcParamsDefault["axes.prop_cycle"]
    own = list(LIGHT) if usual else cycle.by_key().get("color", list(LIGHT))
    dashes = ("-", "--", "-.", ":")
    return [(own[i % len(own)], dashes[i // len(own) % len(dashes)]) for i in range(n)]


def ink(share: float = 1.0) -> tuple[float, float, float]:
    """Return the colour of text, mixed with that of the paper where `share` is below 1."""
    from matplotlib.colors import to_rgb

    front, back = (to_rgb(settings()[key]) for key in ("text.color", "axes.facecolor"))
    red, green, blue = (share * f + (1 - share) * b for f, b in zip(front, back, strict=True))
    return red, green, blue
