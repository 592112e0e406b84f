"""Charts as inline SVG, whose values a small script reads out to pointer and keyboard."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurofit.results.paper import Estimate
from neurofit.results.paper_text import decimals_of
from neurofit.results.report.html import Html, data, joined, tag

WIDTH, HEIGHT = 640, 340
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 34, 54
N_COLOURS = 8
FEW = 3
"""Up to so many curves are drawn with intervals; more show theirs when chosen in the legend."""

N_SHADES = 10

THUMBNAIL = 120, 32
"""Width and height of a curve in a table."""


@dataclass(frozen=True)
class Curve:
    """A line of a chart; `ends` are low, high, band_low and band_high, NaN where there is none."""

    label: str
    values: np.ndarray
    ends: np.ndarray
    kind: str = "score"

    def estimate(self, i: int) -> Estimate:
        """Return the value at a place, with its interval."""
        return Estimate(*(float(each[i]) for each in (self.values, *self.ends[:2])))


@dataclass(frozen=True)
class Scale:
    """A linear map of values to positions."""

    low: float
    high: float
    start: float | int
    end: float | int

    def __call__(self, value: float) -> float:
        """Return the position of a value."""
        span = (self.high - self.low) or 1.0
        return self.start + (value - self.low) / span * (self.end - self.start)

    def ticks(self, n: int = 6) -> list[float]:
        """Return round values along the scale."""
        rough = (self.high - self.low) / n or 1.0
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        count = int((self.high - first * step) / step + 1e-9) + 1
        return [round((first + i) * step, 12) for i in range(count)]


def estimate_text(cell: Estimate) -> str:
    """Return "0.226 (0.197 to 0.254)", or "no value"."""
    if cell.value != cell.value:
        return "no value"
    half = (cell.high - cell.low) / 2
    n = decimals_of(half)
    ends = f" ({cell.low:z.{n}f} to {cell.high:z.{n}f})" if half == half else ""
    return f"{cell.value:z.{n}f}{ends}"


def curve_chart(
    curves: Sequence[Curve],
    x: Sequence[float],
    labels: Sequence[str],
    *,
    title: str,
    x_title: str,
    y_title: str,
    note: str,
) -> Html:
    """Return curves over an axis with their intervals, a legend, and a reader of values."""
    shown = [curve.values for curve in curves]
    few = sum(curve.kind == "score" for curve in curves) <= FEW
    shown += (
        [curve.ends.ravel() for curve in curves] if few else [c.ends[:2].ravel() for c in curves]
    )
    finite = np.concatenate([each[np.isfinite(each)] for each in shown] or [np.zeros(1)])
    low, high = min(0.0, float(finite.min(initial=0))), max(0.0, float(finite.max(initial=0)))
    pad = 0.05 * ((high - low) or 1.0)
    down = Scale(low - pad * (low < 0), high + pad, HEIGHT - BOTTOM, TOP)
    half = (x[1] - x[0]) / 2 if len(x) > 1 else 1.0
    across = Scale(x[0] - half, x[-1] + half, LEFT, WIDTH - RIGHT)
    drawn = [_axes(across, down, x_title, y_title)]
    for i, curve in enumerate(curves):
        drawn.append(_curve(curve, i, [across(each) for each in x], down, few=few))
    parts = [
        tag("line", class_="cross", x1=0, x2=0, y1=TOP, y2=HEIGHT - BOTTOM, visibility="hidden")
    ]
    picture = _svg(title, describe_curves(curves, labels), HEIGHT, *drawn, *parts)
    values = {
        "kind": "curve",
        "x": [round(across(each), 1) for each in x],
        "labels": list(labels),
        "series": [
            {
                "name": curve.label,
                "class": f"{_style(curve, i)}",
                "y": [round(down(v), 1) if v == v else None for v in curve.values.tolist()],
                "text": [estimate_text(curve.estimate(at)) for at in range(len(x))],
            }
            for i, curve in enumerate(curves)
        ],
    }
    legend = tag(
        "ul",
        *(
            tag(
                "li",
                tag("button", _swatch(curve, i), curve.label, type="button", aria_pressed="false"),
            )
            for i, curve in enumerate(curves)
        ),
        class_="legend",
        aria_label="Curves; press one to emphasise it",
    )
    sliders = _slider(len(x), f"Place to read in the chart: {title}")
    return _figure(picture, legend, sliders, values, note, many=not few)


def point_chart(
    points: Sequence[tuple[str, Estimate]], *, title: str, x_title: str, note: str
) -> Html:
    """Return single values with intervals, one below the other."""
    finite = [v for _, p in points for v in (p.value, p.low, p.high) if v == v]
    low, high = min([0.0, *finite]), max([0.0, *finite])
    pad = 0.05 * ((high - low) or 1.0)
    height = TOP + 44 * len(points) + BOTTOM
    across = Scale(low - pad * (low < 0), high + pad, 14, WIDTH - 24)
    bottom = height - BOTTOM
    drawn = [
        tag(
            "line", class_="grid", x1=round(across(t), 1), x2=round(across(t), 1), y1=TOP, y2=bottom
        )
        for t in across.ticks()
    ]
    drawn += [
        tag("text", f"{t:g}", x=round(across(t), 1), y=bottom + 20, text_anchor="middle")
        for t in across.ticks()
    ]
    drawn.append(tag("text", x_title, class_="title", x=14, y=bottom + 44))
    for i, (label, point) in enumerate(points):
        y = TOP + 44 * i
        drawn.append(tag("text", f"{label}: {estimate_text(point)}", x=14, y=y + 12))
        if point.low == point.low:
            ends = {"x1": round(across(point.low), 1), "x2": round(across(point.high), 1)}
            drawn.append(tag("line", class_="line s0", y1=y + 24, y2=y + 24, **ends))
        if point.value == point.value:
            drawn.append(
                tag("circle", class_="dot s0", cx=round(across(point.value), 1), cy=y + 24, r=5)
            )
    told = "; ".join(f"{label}: {estimate_text(point)}" for label, point in points)
    return _figure(_svg(title, told, height, *drawn), Html(), Html(), None, note)


def matrix_chart(
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    title: str,
    x_title: str,
    y_title: str,
    note: str,
) -> Html:
    """Return a matrix as a map of shades: one hue above 0, another below."""
    finite = np.abs(values[np.isfinite(values)])
    largest = float(finite.max(initial=0)) or 1.0
    width = (WIDTH - LEFT - RIGHT) / values.shape[1]
    height = (HEIGHT - TOP - BOTTOM) / values.shape[0]
    shades = np.nan_to_num(np.round(values / largest * N_SHADES), nan=0).astype(int)
    drawn = []
    for shade in np.unique(shades[shades != 0]):
        cells = "".join(
            f"M{LEFT + c * width:.1f} {TOP + r * height:.1f}h{width:.2f}v{height:.2f}h-{width:.2f}z"
            for r, c in np.argwhere(shades == shade)
        )
        sign = "above" if shade > 0 else "below"
        drawn.append(tag("path", class_=sign, d=cells, fill_opacity=abs(int(shade)) / N_SHADES))
    frame = {"x": LEFT, "y": TOP, "width": WIDTH - LEFT - RIGHT, "height": HEIGHT - TOP - BOTTOM}
    drawn.append(tag("rect", class_="frame", **frame))
    drawn += _matrix_labels(rows, columns, width, height)
    drawn.append(
        tag("text", x_title, class_="title", x=WIDTH - RIGHT, y=HEIGHT - 8, text_anchor="end")
    )
    drawn.append(tag("text", y_title, class_="title", x=4, y=18))
    size = {"width": round(width, 2), "height": round(height, 2)}
    drawn.append(tag("rect", class_="cross", x=0, y=0, visibility="hidden", **size))
    known = {
        "kind": "matrix",
        "rows": list(rows),
        "columns": list(columns),
        "box": [LEFT, TOP, round(width, 4), round(height, 4)],
        "values": [[None if v != v else float(f"{v:.4g}") for v in row] for row in values.tolist()],
    }
    described = f"{len(rows)} rows ({y_title}) by {len(columns)} columns ({x_title}); values from "
    described += f"{np.nanmin(values):.3g} to {np.nanmax(values):.3g}." if len(finite) else "none."
    sliders = joined(
        _slider(len(rows), f"Row to read in the chart: {title}"),
        _slider(len(columns), f"Column to read in the chart: {title}"),
    )
    return _figure(_svg(title, described, HEIGHT, *drawn), Html(), sliders, known, note)


def thumbnail(curve: Curve, low: float, high: float, described: str) -> Html:
    """Return a curve without axes; thumbnails with the same low and high can be compared."""
    width, height = THUMBNAIL
    n = len(curve.values)
    x = [2 + (i + 0.5) / n * (width - 4) for i in range(n)]
    down = Scale(low, high, height - 2, 2)
    zero = round(down(0.0), 1)
    return tag(
        "svg",
        tag("line", class_="grid zero", x1=0, x2=width, y1=zero, y2=zero),
        _curve(curve, 0, x, down, few=False),
        class_="thumbnail",
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_label=described,
    )


def _matrix_labels(
    rows: Sequence[str], columns: Sequence[str], width: float, height: float
) -> list[Html]:
    """Return some labels of rows and columns; long names of rows are numbers, read below."""
    made = []
    for i in range(0, len(columns), max(1, len(columns) // 5)):
        at = round(LEFT + (i + 0.5) * width, 1)
        made.append(
            tag(
                "text", columns[i].split("-")[0], x=at, y=HEIGHT - BOTTOM + 20, text_anchor="middle"
            )
        )
    short = max(map(len, rows)) <= 8
    for i in range(0, len(rows), max(1, len(rows) // 8)):
        at = round(TOP + (i + 0.5) * height + 4, 1)
        made.append(
            tag(
                "text",
                rows[i].split("-")[0] if short else str(i + 1),
                x=LEFT - 8,
                y=at,
                text_anchor="end",
            )
        )
    return made


def _axes(across: Scale, down: Scale, x_title: str, y_title: str) -> Html:
    """Return both axes with a line for each tick of the values."""
    bottom = HEIGHT - BOTTOM
    made = [tag("text", y_title, class_="title", x=4, y=18)]
    for value in down.ticks(7):
        y = round(down(value), 1)
        zero = " zero" if value == 0 else ""
        made.append(tag("line", class_=f"grid{zero}", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y))
        made.append(tag("text", f"{value:g}", x=LEFT - 8, y=y + 4, text_anchor="end"))
    for value in across.ticks():
        x = round(across(value), 1)
        made.append(tag("line", class_="tick", x1=x, x2=x, y1=bottom, y2=bottom + 5))
        made.append(tag("text", f"{value:g}", x=x, y=bottom + 22, text_anchor="middle"))
    made.append(
        tag("text", x_title, class_="title", x=WIDTH - RIGHT, y=HEIGHT - 8, text_anchor="end")
    )
    return joined(*made)


def _curve(curve: Curve, i: int, x: list[float], down: Scale, *, few: bool) -> Html:
    """Return a curve in pieces without gaps, its interval as an area and its band as thin lines."""
    style, made = _style(curve, i), []
    low, high, band_low, band_high = curve.ends
    for piece in _pieces(low + high):
        above = [(x[at], down(high[at])) for at in piece]
        below = [(x[at], down(low[at])) for at in reversed(piece)]
        made.append(tag("path", class_=f"area {style}", d=f"{_path(above + below)}z"))
    for ends in (band_low, band_high) if few else ():
        for piece in _pieces(ends):
            made.append(
                tag(
                    "path",
                    class_=f"band {style}",
                    d=_path([(x[at], down(ends[at])) for at in piece]),
                )
            )
    for piece in _pieces(curve.values):
        points = [(x[at], down(curve.values[at])) for at in piece]
        made.append(tag("path", class_=f"line {style}", d=_path(points)))
        if few or len(piece) == 1:
            made += [
                tag("circle", class_=f"dot {style}", cx=round(a, 1), cy=round(b, 1), r=3)
                for a, b in points
            ]
    return tag("g", *made, class_="series")


def _pieces(values: np.ndarray) -> list[list[int]]:
    """Return the runs of positions that have values."""
    pieces: list[list[int]] = [[]]
    for at, value in enumerate(values.tolist()):
        if value == value:
            pieces[-1].append(at)
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in points)


def _style(curve: Curve, i: int) -> str:
    kind = "" if curve.kind == "score" else f" {curve.kind}"
    return f"s{i % N_COLOURS}{' again' * (i >= N_COLOURS)}{kind}"


def _swatch(curve: Curve, i: int) -> Html:
    line = tag("line", class_=f"line {_style(curve, i)}", x1=1, x2=27, y1=6, y2=6)
    return tag("svg", line, class_="swatch", viewBox="0 0 28 12", aria_hidden="true")


def describe_curves(curves: Sequence[Curve], labels: Sequence[str]) -> str:
    """Return each curve in words: where it begins and ends, and its highest value."""
    told = []
    for curve in curves:
        known = np.flatnonzero(np.isfinite(curve.values))
        if not len(known):
            told.append(f"{curve.label}: no values")
            continue
        first, last, top = known[0], known[-1], known[np.argmax(curve.values[known])]
        told.append(
            f"{curve.label}: from {curve.values[first]:.2f} at {labels[first]} to "
            f"{curve.values[last]:.2f} at {labels[last]}, highest {curve.values[top]:.2f} at "
            f"{labels[top]}"
        )
    return "; ".join(told) + "."


def _svg(title: str, described: str, height: int, *content: Html) -> Html:
    at = f"chart-{hashlib.sha256(f'{title} {described}'.encode()).hexdigest()[:8]}"
    return tag(
        "svg",
        tag("title", title, id=f"{at}-title"),
        tag("desc", described, id=f"{at}-desc"),
        *content,
        viewBox=f"0 0 {WIDTH} {height:g}",
        role="img",
        aria_labelledby=f"{at}-title {at}-desc",
    )


def _slider(n: int, label: str) -> Html:
    return tag("input", type="range", min=0, max=n - 1, value=0, step=1, aria_label=label)


def _figure(
    picture: Html, legend: Html, sliders: Html, values: Any, note: str, *, many: bool = False
) -> Html:
    reader = [sliders, tag("output", aria_live="polite"), data(values)] if values else []
    return tag(
        "figure",
        picture,
        tag("div", *reader, class_="reader") if reader else Html(),
        legend,
        tag("figcaption", note),
        class_="chart many" if many else "chart",
    )
