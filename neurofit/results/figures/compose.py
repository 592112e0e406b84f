"""Whole figures of results: which panels there are, their sizes, one legend and one title."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neurofit.errors import NeurofitError
from neurofit.results.figures.config import FigureConfig
from neurofit.results.figures.grids import columns, grid, letters, share
from neurofit.results.figures.heatmaps import (
    Matrix,
    add_colour_bar,
    colour_limits,
    is_map,
    layers,
    matrices,
    shape,
)
from neurofit.results.figures.lines import (
    curves,
    draw_line,
    raw_curves,
    shares_scale,
)
from neurofit.results.figures.looks import ink, new_figure, parse_width, style
from neurofit.results.figures.paired import difference, scatter
from neurofit.results.figures.parts import (
    Line,
    Results,
    add_image_bar,
    as_mapping,
    axis_label,
    edges,
    finish,
    legend_columns,
    limit_scores,
    lines_of,
    quantity,
    shared_title,
    span,
    wrapped,
)
from neurofit.results.figures.points import learning, sites
from neurofit.results.schema import axes, headline, series, with_role

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LINES = 6
"""Up to so many lines share axes; more have axes of their own, each with the others in grey."""

MOST_PAIRS = 2
"""Up to so many differences stand below the curves of the models; more stand alone."""

LEGEND_ROW = 3.7
"""Height of a row of a legend in mm."""


def kind_of(results: Results) -> str:
    """Return the kind of figure that suits results."""
    every = list(as_mapping(results).values())
    main = every[0][headline(every[0])]
    if len(every) == 1 and "pair" in main.dims and main.size > main.sizes["pair"]:
        return "difference"
    return "layers" if all(map(is_map, every)) else "curves"


def draw(
    results: Results,
    kind: str = "auto",
    *,
    width: str | int | float = "120mm",
    style: str = "light",
) -> Figure:
    """Draw a whole figure of one or several results.

    Curves have a lower panel for raw r and its ceiling. More than six lines have axes of their own.
    A result of a single time bin is drawn as a row of neuroids for each model.

    Parameters
    ----------
    results
        A result, a list of results, or a dictionary from labels to results.
    kind
        "curves", "difference", "layers", "scatter", "learning", or "auto" for what suits them.
    width
        Width with its unit, such as "85mm"; a number is in mm. The height follows.
    style
        "light", "dark" or the name of a style of matplotlib.

    Returns
    -------
    Figure
        To be written with `save`, or as text with `svg`.

    Raises
    ------
    NeurofitError
        If the kind does not suit the results, or an option is wrong.
    """
    config = FigureConfig(kind=kind, width=str(width), style=style)
    kind = kind_of(results) if config.kind == "auto" else config.kind
    mm = parse_width(config.width)
    makers = {
        "curves": _curves,
        "difference": _difference,
        "layers": _layers,
        "scatter": _scatter,
        "learning": _learning,
    }
    with _style(config.style):
        figure = makers[kind](results, mm)
        figure.draw_without_rendering()
    return figure


_style = style


def _curves(results: Results, width: float) -> Figure:
    lines = lines_of(results)
    free = axes(lines[0].result, lines[0].name)
    if all(line.values.size == 1 for line in lines):
        return _rows(results, lines, width)
    if len(free) > 2:
        raise NeurofitError(
            f"{lines[0].name} cannot be drawn: it has the dimensions {', '.join(free)}."
        )
    if len(lines) > MOST_LINES:
        return _multiples(results, lines, width)
    bound, beside = has_raw_panel(lines), beside_of(lines)
    counts = _varying_counts(lines) if len(lines) == 1 else None
    heights = [_height(width), *[0.55 * _height(width)] * bound, *[9.0] * (counts is not None)]
    heights += [_height(width)] * bool(beside)
    figure = new_figure(width, sum(heights) + 10)
    panels = list(
        figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    )
    curves(results, panels[0], legend=False)
    if bound:
        raw_curves(results, panels[1], legend=False)
    if counts is not None:
        _draw_counts(panels[1 + bound], lines[0], counts)
    if beside:
        curves(results, panels[-1], legend=False, variable=beside)
        low, high = zip(*(panel.get_ylim() for panel in (panels[0], panels[-1])), strict=True)
        for panel in (panels[0], panels[-1]):
            panel.set_ylim(min(low), max(high))
    _only_last_label(panels)
    return _titled(figure, results, width, panels)


def _rows(results: Results, lines: Sequence[Line], width: float) -> Figure:
    """Draw single values as rows; those that are times, below the course that they are times of."""
    course = beside_of(lines)
    heights = [_height(width)] * bool(course)
    heights.append(max(9.0, min(16.0, 60 / len(lines))) * len(lines))
    figure = new_figure(width, 16.0 + sum(heights))
    drawn = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)
    panels = list(drawn[:, 0])
    sites(results, panels[-1], legend=False)
    if course:
        curves(results, panels[0], legend=False, variable=course)
        _only_last_label(panels)
    return _titled(figure, results, width, panels)


def beside_of(lines: Sequence[Line]) -> str:
    """Return the variable that is drawn in a panel of its own beside lines; empty if none is."""
    return str(lines[0].result[lines[0].name].attrs.get("panel", ""))


def has_raw_panel(lines: Sequence[Line]) -> bool:
    """Return whether lines have a lower panel: their bound is not on the scale of the score."""
    return any("bound" in line.result[line.name].attrs and not shares_scale(line) for line in lines)


def _difference(result: Results, width: float) -> Figure:
    found = list(as_mapping(result).values())
    if len(found) > 1:
        raise NeurofitError("A difference is drawn from one comparison; got several results.")
    result = found[0]
    name = headline(result)
    pairs = [names.get("pair", "") for names, _ in series(result, name)]
    if len(pairs) > MOST_PAIRS:
        figure, panels = grid(len(pairs), width, _height(width) * 0.6)
        for panel, pair in zip(panels, pairs, strict=True):
            difference(result, panel, pair=pair, legend=False)
            panel.set_title(wrapped(pair, letters(width, len(pairs))), fontweight="normal")
        share(panels, columns(len(pairs), width))
        return _titled(figure, result, width, panels, hidden=pairs)
    own = [
        each
        for each in with_role(result, "score")
        if "model" in result[each].dims and axes(result, each) == axes(result, name)
    ]
    heights = [_height(width)] * bool(own) + [0.7 * _height(width)] * len(pairs)
    figure = new_figure(width, sum(heights) + 10)
    panels = list(
        figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    )
    if own:
        curves(result, panels[0], legend=False, variable=own[0])
    for panel, pair in zip(panels[-len(pairs) :], pairs, strict=True):
        difference(result, panel, pair=pair or None, legend=False)
        panel.set_title(wrapped(pair, int(width / 1.5)), fontweight="normal")
    _only_last_label(panels)
    return _titled(figure, result, width, panels, hidden=pairs)


def _layers(results: Results, width: float) -> Figure:
    every = [
        (", ".join(filter(None, [label or _source(matrix), *matrix.names.values()])), matrix)
        for label, result in as_mapping(results).items()
        for matrix in matrices(result)
    ]
    limits = colour_limits([matrix for _, matrix in every])
    rows = max(len(matrix.result[matrix.rows]) for _, matrix in every)
    named = any(matrix.rows in ("layer", "model") for _, matrix in every)
    height = 14 + 5.0 * rows if named else _height(width)
    if tall := max(shape(matrix) for _, matrix in every):
        n_columns = columns(len(every), width, 60.0)
        height = float(np.clip(tall * ((width - 24) / n_columns - 12), 36, 84))
    first: Matrix = every[0][1]
    attrs = first.result[first.name].attrs
    if beside := str(attrs.get("panel", "")) if len(every) == 1 else "":
        heights = (height, _height(width))
        figure = new_figure(width, sum(heights) + 20)
        panels = list(figure.subplots(2, 1, height_ratios=heights))
        curves(results, panels[-1], legend=False, variable=beside)
    else:
        figure, panels = grid(len(every), width, height, least=60.0)
    maps = panels[: len(every)]
    for panel, (label, matrix) in zip(maps, every, strict=True):
        layers(matrix.result, panel, matrix=matrix, limits=limits, colorbar=False)
        panel.set_title(wrapped(label, letters(width, len(every), 60.0)), fontweight="normal")
    if len(every) > 1:
        share(panels, columns(len(every), width, 60.0))
    add_colour_bar(maps[0], maps[0].collections[0], maps, attrs)
    return _titled(figure, results, width, panels)


def _source(matrix: Matrix) -> str:
    """Return the model of a map, or the recorded area that takes its place."""
    attrs = matrix.result.attrs
    recorded = f"source: {attrs['source']}" if "source" in attrs else ""
    return "" if matrix.rows == "model" else attrs["model"] or recorded


def _scatter(results: Results, width: float) -> Figure:
    found = as_mapping(results)
    if len(found) != 2:
        raise NeurofitError(f"A scatter takes two results; got {len(found)}.")
    (x, a), (y, b) = found.items()
    figure = new_figure(width, min(width, 100.0) - 4)
    panel = figure.subplots()
    scatter(a, b, panel, labels=(x, y), legend=False)
    return _titled(figure, results, min(width, 100.0), [panel])


def _learning(results: Results, width: float) -> Figure:
    figure = new_figure(width, _height(width) + 12)
    panel = learning(results, figure.subplots(), legend=False)
    return _titled(figure, results, width, [panel])


def _multiples(results: Results, lines: Sequence[Line], width: float) -> Figure:
    """Draw each line in axes of its own, with the others in grey behind it."""
    figure, panels = grid(len(lines), width, 22.0)
    dim = axes(lines[0].result, lines[0].name)[0]
    attrs = lines[0].result[lines[0].name].attrs
    drawn: list[np.ndarray] = []
    solid: dict[str, Any] = {"linestyle": "-", "markersize": 1.5}
    for panel, line in zip(panels, lines, strict=True):
        for other in lines:
            grey: dict[str, Any] = {
                "linewidth": 0.5,
                "markeredgewidth": 0,
                "label": "_",
                "zorder": 1,
            }
            if other is not line:
                draw_line(panel, other, many=len(lines), colour=ink(0.3), **solid, **grey)
        drawn += draw_line(panel, line, colour=lines[0].colour, **solid)
    for panel, line in zip(panels, lines, strict=True):
        limit_scores(panel, drawn, float(attrs["best"]))
        panel.set_xlim(*span(results, dim))
        panel.set_xlabel(axis_label(dim))
        panel.set_ylabel(quantity(attrs))
        panel.set_title(wrapped(line.label, letters(width, len(lines))), fontweight="normal")
        if dim == "time_bin":
            add_image_bar(panel, results)
        finish(panel)
    share(panels, columns(len(lines), width))
    labels = {line.label for line in lines}
    return _titled(figure, results, width, panels, hidden=labels)


def _draw_counts(ax: Axes, line: Line, counts: np.ndarray) -> None:
    """Draw the number of neuroids as steps."""
    from matplotlib.ticker import MaxNLocator

    (dim,) = axes(line.result, line.name)
    at = edges(line.result, dim)
    ax.step(at, np.append(counts, counts[-1]), where="post", color=line.colour, linewidth=0.8)
    ax.set_ylim(0, 1.15 * max(1.0, float(np.nanmax(counts))))
    ax.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    attrs = line.result[line.result[line.name].attrs["count"]].attrs
    ax.set_ylabel(str(attrs.get("column", "count")).capitalize())
    ax.set_xlabel(axis_label(dim))
    finish(ax)


def _varying_counts(lines: Sequence[Line]) -> np.ndarray | None:
    """Return the counts of a line over time, if they differ among the bins with a score."""
    line = lines[0]
    name = line.result[line.name].attrs.get("count")
    if name is None:
        return None
    counts = line.of(name).astype(float)
    scored = counts[np.isfinite(line.values)]
    return counts if len(np.unique(scored)) > 1 else None


def _titled(
    figure: Figure,
    results: Results,
    width: float,
    panels: Sequence[Any] = (),
    *,
    hidden: Sequence[str] | set[str] = (),
) -> Figure:
    """Add the title of a figure with the legend of its panels, above all of them."""
    found: dict[str, Any] = {}
    for panel in panels:
        handles, labels = panel.get_legend_handles_labels()
        for handle, label in zip(handles, labels, strict=True):
            if label not in hidden:
                found.setdefault(label, handle)
    words = wrapped(shared_title(results), int(width / 1.45))
    rows = 1 + words.count("\n")
    if found:
        n_columns = legend_columns(list(found), width)
        rows += -(-len(found) // n_columns)
        figure.legend(
            list(found.values()),
            list(found),
            loc="outside upper left",
            ncols=n_columns,
            title=words,
            title_fontproperties={"weight": "bold", "size": "medium"},
            alignment="left",
            columnspacing=1.2,
        )
    else:
        figure.suptitle(words, x=0.01, ha="left", fontweight="bold")
    figure.set_figheight(figure.get_figheight() + LEGEND_ROW * rows / 25.4)
    return figure


def _height(width: float) -> float:
    """Return the height of the largest panel in mm."""
    return float(np.clip(0.42 * width, 36, 60))


def _only_last_label(panels: Sequence[Any]) -> None:
    """Leave the label of a shared horizontal axis at the lowest of stacked panels."""
    for panel in panels[:-1]:
        panel.set_xlabel("")
