"""Scores over time as lines, and what they are corrected for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neurofit.errors import NeurofitError
from neurofit.results.figures.looks import drawing_on, ink
from neurofit.results.figures.parts import (
    WITH_INTERVALS,
    Line,
    Results,
    add_image_bar,
    add_legend,
    as_mapping,
    axis_label,
    finish,
    limit_scores,
    lines_of,
    quantity,
    short,
    span,
    wrapped,
)
from neurofit.results.schema import axes, headline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RAW = "curve_r_xy"
"""Variable with the correlation that is not corrected for noise."""


def curves(
    results: Results, ax: Axes | None = None, *, legend: bool = True, variable: str | None = None
) -> Axes:
    """Draw scores over time, those of several models over each other.

    Up to three lines have their intervals (shaded) and bands (thin lines). A single result of
    several subjects has a dashed line for each subject (variable `curve_of_subject`). A bound is
    drawn dashed if it states that it has the scale of the score; other bounds have axes of their
    own (`raw_curves`).

    Parameters
    ----------
    results
        A result, a list of results, or a dictionary from labels to results.
    ax
        Axes to draw on; new ones by default.
    legend
        Whether to add a legend above the axes.
    variable
        Variable to draw, by default the main quantity.

    Returns
    -------
    Axes
        The axes; each line has its label.

    Raises
    ------
    NeurofitError
        If the main quantity is no curve, or the results hold different quantities.
    """
    lines = lines_of(results, variable)
    dim = _time_of(lines)
    with drawing_on(ax) as ax:
        drawn = [each for line in lines for each in draw_line(ax, line, many=len(lines))]
        drawn += _draw_subjects(ax, lines)
        drawn += _draw_samples(ax, lines)
        add_keys(ax, lines)
        drawn += _draw_bound(ax, lines)
        attrs = lines[0].result[lines[0].name].attrs
        limit_scores(ax, drawn, float(attrs.get("best", np.nan)))
        ax.set_ylabel(wrapped(quantity(attrs)))
        _finish_time(ax, results, dim)
        if legend:
            add_legend(ax)
    return ax


def raw_curves(results: Results, ax: Axes | None = None, *, legend: bool = True) -> Axes:
    """Draw what the main quantity is corrected for: raw r, and the largest that r can be.

    For a score these are the correlation of prediction and response (variable `curve_r_xy`) and the
    square root of the bound, the split-half reliability: a perfect model correlates no more with
    noisy responses. For another analysis only the bound is drawn.

    Parameters
    ----------
    results, ax, legend
        As in `curves`.

    Raises
    ------
    NeurofitError
        If no result has a bound.
    """
    lines = lines_of(results)
    dim = _time_of(lines)
    every = list(as_mapping(results).values())
    if not any("bound" in result[headline(result)].attrs for result in every):
        raise NeurofitError(f"{lines[0].name} has no bound to draw.")
    with_r = all(RAW in result for result in every)
    with drawing_on(ax) as ax:
        drawn, label = {}, "ceiling of raw r" if with_r else ""
        for line in lines:
            name = line.result[line.name].attrs.get("bound")
            values = np.empty(0) if name is None else line.of(name)
            values = np.sqrt(np.clip(values, 0, None)) if with_r else values
            if name is not None and values.tobytes() not in drawn:
                drawn[values.tobytes()] = values
                _draw_dashed(ax, line, dim, values, label)
                label = ""
            if with_r:
                style: dict[str, Any] = {
                    "color": line.colour,
                    "linestyle": line.dashes,
                    "label": line.label,
                }
                ax.plot(line.result[dim].values, line.of(RAW), marker="o", **style)
                drawn[line.of(RAW).tobytes()] = line.of(RAW)
        limit_scores(ax, list(drawn.values()))
        bound = every[0][every[0][headline(every[0])].attrs["bound"]].attrs
        ax.set_ylabel("Raw r" if with_r else wrapped(quantity(bound).split(",")[0]))
        _finish_time(ax, results, dim, bar=False)
        if legend:
            add_legend(ax)
    return ax


def draw_line(
    ax: Axes, line: Line, *, many: int = 1, colour: Any = None, **changes: Any
) -> list[np.ndarray]:
    """Draw a line over time with its interval and band if there are few; return what was drawn.

    Along names, such as windows, values are points that no line joins, and intervals bars.
    """
    (dim,) = axes(line.result, line.name)
    x, values = line.result[dim].values, line.values
    named = x.dtype.kind not in "iuf"
    colour = line.colour if colour is None else colour
    style: dict[str, Any] = {
        "color": colour,
        "linestyle": "" if named else line.dashes,
        "marker": "o" if len(x) <= 40 else "",
        "label": line.label,
        "zorder": 3,
        **changes,
    }
    ax.plot(x, values, **style)
    drawn = [values]
    if many > WITH_INTERVALS:
        return drawn
    if ends := line.ends():
        if named:
            ax.vlines(x, *ends, color=colour, alpha=0.3, linewidth=8)
        else:
            ax.fill_between(x, *ends, color=colour, alpha=0.22, linewidth=0)
        drawn += ends
    if band := line.ends("band_"):
        for end in band:
            ax.plot(x, end, color=colour, linewidth=0.5)
        drawn += band
    return drawn


def add_keys(ax: Axes, lines: Sequence[Line]) -> None:
    """Add what shading and thin lines mean to the legend, each wording once."""
    if len(lines) > WITH_INTERVALS:
        return
    colour = lines[0].colour if len(lines) == 1 else ink(0.6)
    every = [line.result[line.name].attrs for line in lines]
    for label in dict.fromkeys(short(a["interval"], "interval") for a in every if "interval" in a):
        ax.fill_between([], [], [], color=colour, alpha=0.3, linewidth=0, label=label)
    for label in dict.fromkeys(short(a["band"], "band") for a in every if "band" in a):
        ax.plot([], [], color=colour, linewidth=0.5, label=label)


def _draw_subjects(ax: Axes, lines: Sequence[Line]) -> list[np.ndarray]:
    """Draw the curve of each subject, of a single line with several of them."""
    from neurofit.results.figures.looks import colours

    if len(lines) != 1 or "curve_of_subject" not in lines[0].result or lines[0].name != "curve":
        return []
    line, drawn = lines[0], []
    (dim,) = axes(line.result, line.name)
    values = line.of("curve_of_subject")
    names = line.result["subject"].values
    looks = colours(len(names) + 1)[1:]
    for name, own, (colour, _) in zip(names, values, looks, strict=True):
        style: dict[str, Any] = {
            "color": colour,
            "linewidth": 0.8,
            "linestyle": (0, (3, 1.5)),
            "zorder": 2,
        }
        ax.plot(line.result[dim].values, own, label=f"subject {name}", **style)
        drawn.append(own)
    return drawn


def _draw_samples(ax: Axes, lines: Sequence[Line]) -> list[np.ndarray]:
    """Draw every sample behind a single curve as a thin line."""
    name = lines[0].result[lines[0].name].attrs.get("samples")
    if len(lines) != 1 or name is None:
        return []
    (dim,) = axes(lines[0].result, lines[0].name)
    values = lines[0].of(name).reshape(-1, lines[0].result.sizes[dim])
    words = lines[0].result[name].attrs["long_name"]
    style: dict[str, Any] = {
        "color": ink(0.5),
        "alpha": min(0.5, 20 / max(len(values), 1)),
        "linewidth": 0.4,
    }
    ax.plot(lines[0].result[dim].values, values.T, **style, zorder=1)
    ax.plot([], [], color=ink(0.5), linewidth=0.6, label=words)
    return [values]


def _draw_bound(ax: Axes, lines: Sequence[Line]) -> list[np.ndarray]:
    """Draw the bounds that have the scale of the score, each once."""
    drawn: dict[bytes, np.ndarray] = {}
    for line in lines:
        if shares_scale(line):
            (dim,) = axes(line.result, line.name)
            name = line.result[line.name].attrs["bound"]
            values = line.of(name)
            if values.tobytes() not in drawn:
                drawn[values.tobytes()] = values
                words = line.result[name].attrs["long_name"].split(",")[0]
                _draw_dashed(ax, line, dim, values, words)
    return list(drawn.values())


def shares_scale(line: Line) -> bool:
    """Return whether the bound of a line says that it belongs into the axes of the score."""
    name = line.result[line.name].attrs.get("bound")
    return name is not None and line.result[name].attrs.get("scale") == "score"


def _draw_dashed(ax: Axes, line: Line, dim: str, values: np.ndarray, label: str) -> None:
    style: dict[str, Any] = {"color": ink(0.65), "linestyle": (0, (4, 2)), "zorder": 1}
    ax.plot(line.result[dim].values, values, label=label or "_", **style)


def _finish_time(ax: Axes, results: Results, dim: str, *, bar: bool = True) -> None:
    ax.set_xlim(*span(results, dim))
    words = str(next(iter(as_mapping(results).values()))[dim].attrs.get("long_name", ""))
    ax.set_xlabel(f"{words[:1].upper()}{words[1:]}" or axis_label(dim))
    if bar and dim == "time_bin":
        add_image_bar(ax, results)
    finish(ax)


def _time_of(lines: Sequence[Line]) -> str:
    """Return the dimension along which lines are drawn."""
    for line in lines:
        if len(axes(line.result, line.name)) != 1:
            raise NeurofitError(
                f"A curve has one dimension beside its series; {line.name} has {_dims(line)}."
            )
    return axes(lines[0].result, lines[0].name)[0]


def _dims(line: Line) -> str:
    return ", ".join(axes(line.result, line.name)) or "none"
