"""Small multiples: panels of the same size in rows, with shared limits and labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from neurofit.results.figures.looks import new_figure
from neurofit.results.figures.parts import wrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def columns(n: int, width: float, least: float = 38.0) -> int:
    """Return how many panels, each of at least so many mm, stand beside each other."""
    return max(1, min(n, int(width // least)))


def letters(width: float, n: int, least: float = 38.0) -> int:
    """Return how many letters fit above a panel of a grid."""
    return int((width - 12) / columns(n, width, least) / 1.6)


def grid(n: int, width: float, height: float, *, least: float = 38.0) -> tuple[Figure, list[Any]]:
    """Return a figure with n panels of a height in mm, in rows."""
    n_columns = columns(n, width, least)
    rows = -(-n // n_columns)
    figure = new_figure(width, rows * height + 8 + 4 * rows)
    panels = figure.subplots(rows, n_columns, squeeze=False).ravel()
    for panel in panels[n:]:
        panel.remove()
    return figure, list(panels[:n])


def share(panels: Sequence[Any], n_columns: int) -> None:
    """Give panels of a grid the same limits, and labels at the edges of the figure."""
    low, high = zip(*(panel.get_ylim() for panel in panels), strict=True)
    figure = panels[0].figure
    figure.supxlabel(panels[0].get_xlabel(), fontsize="medium")
    room = figure.get_figheight() * 25.4 - 16  # mm, of which a letter takes about 1.5
    words = panels[0].get_ylabel().replace("\n", " ")
    figure.supylabel(wrapped(words, max(12, int(room / 1.5))), fontsize="medium")
    for position, panel in enumerate(panels):
        panel.set_ylim(min(low), max(high))
        panel.set_xlabel("")
        panel.set_ylabel("")
        panel.tick_params(
            labelleft=position % n_columns == 0, labelbottom=position + n_columns >= len(panels)
        )
