"""Panels of a report: results of one quantity and one part of a recording, in one chart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from neurofit.results.labels import label_results, named_by
from neurofit.results.paper import ENDS, Estimate
from neurofit.results.report.charts import FEW, Curve, curve_chart, matrix_chart, point_chart
from neurofit.results.report.html import Html, joined, tag
from neurofit.results.schema import SERIES, axes, headline, is_time, like, series
from neurofit.results.tables import axis_labels

MAX_CURVES = 16
"""Up to so many series are curves; more are the rows of a map of shades."""

BANDS = (*ENDS, "band_low", "band_high")


@dataclass(frozen=True)
class Line:
    """A series of a result: its label, its control if it is one, and values along the axes."""

    label: str
    control: str
    curve: Curve


@dataclass(frozen=True)
class Panel:
    """Results of one quantity and one part of a recording."""

    results: list[xr.Dataset]
    labels: list[str]
    lines: list[Line]
    dims: tuple[str, ...]

    @property
    def first(self) -> xr.Dataset:
        """The first result."""
        return self.results[0]

    @property
    def score(self) -> xr.DataArray:
        """The main quantity of the first result."""
        return self.first[headline(self.first)]

    @property
    def name(self) -> str:
        """Which part of which recording it is about."""
        return f"{self.first.attrs['region']} of {self.where}"

    @property
    def where(self) -> str:
        """The recording, and whether it is simulated."""
        attrs = self.first.attrs
        return str(attrs["recording"]) + " (simulated)" * bool(attrs["simulated"])

    @property
    def is_curve(self) -> bool:
        """Whether there are several places along one axis."""
        return len(self.dims) == 1 and self.score.sizes[self.dims[0]] > 1

    @property
    def noun(self) -> str:
        """What the places along the axis are called."""
        return "time bin" if self.dims and is_time(self.dims[0]) else "place"

    @property
    def places(self) -> list[str]:
        """Labels along the axis; those of time bins have their unit."""
        unit = " ms" if is_time(self.dims[0]) else ""
        return [f"{label}{unit}" for label in axis_labels(self.first, self.dims[0])]

    @property
    def bounds(self) -> list[Curve]:
        """Bounds of the results, each once."""
        made: dict[bytes, Curve] = {}
        for result, label in zip(self.results, self.labels, strict=True):
            pointer = result[headline(result)].attrs.get("bound")
            if pointer is None or result[pointer].attrs["units"] != self.score.attrs["units"]:
                continue
            for names, values in series(result, pointer):
                known = np.atleast_1d(values.values.astype(float))
                word = result[pointer].attrs.get("column", result[pointer].attrs["long_name"])
                of = " ".join([label, *names.values()]) if made else ""
                ends = np.full((4, len(known)), np.nan)
                name = f"{word} ({of})" if of else word
                made.setdefault(known.tobytes(), Curve(name, known, ends, "bound"))
        return list(made.values())

    @property
    def bound_attrs(self) -> dict[str, str]:
        """Attributes of the first result's bound."""
        pointer = self.score.attrs.get("bound")
        return {} if pointer is None else self.first[pointer].attrs

    @property
    def shares_scale(self) -> bool:
        """Whether the bound is a value of the score's own quantity, so that both share axes."""
        return self.bound_attrs.get("scale") == "score"

    def chart(self) -> Html:
        """Return the chart of the panel."""
        attrs = self.score.attrs
        units = "" if attrs["units"] == "1" else f" ({attrs['units']})"
        y_title, title = f"{attrs['long_name']}{units}", f"{attrs['long_name']}: {self.name}"
        curves = [line.curve for line in self.lines]
        note = self._note()
        if len(self.dims) == 2:
            return self._maps(title, note)
        if len(self.dims) > 2:
            return tag("p", f"{y_title} has the dimensions {', '.join(self.dims)}: no chart.")
        if not self.is_curve:
            beside = self.bounds if self.shares_scale else []
            points = [(curve.label, curve.estimate(0)) for curve in [*curves, *beside]]
            if self.dims:
                note = f"{self.places[0]}. {note}"
            return point_chart(points, title=title, x_title=y_title, note=note)
        x_title = axis_title(self.dims[0])
        if len(curves) > MAX_CURVES:
            names = [curve.label for curve in curves]
            values = np.stack([curve.values for curve in curves])
            return matrix_chart(
                values,
                names,
                self.places,
                title=title,
                x_title=x_title,
                y_title=f"{_series_noun(self.first)}, by number",
                note=f"{y_title}: blue above 0, orange below. The reader below names a row.",
            )
        known = self.first[self.dims[0]].values
        x = (known if known.dtype.kind in "if" else np.arange(len(known))).astype(float).tolist()
        beside = self.bounds if self.shares_scale else []
        chart = curve_chart(
            [*curves, *beside], x, self.places,
            title=title, x_title=x_title, y_title=y_title, note=note,
        )  # fmt: skip
        if beside or not self.bounds:
            return chart
        bound = self.bound_attrs["long_name"]
        return joined(chart, curve_chart(
            self.bounds, x, self.places, title=f"{bound}: {self.name}", x_title=x_title,
            y_title=bound, note="A score that is corrected for noise is not bounded by it.",
        ))  # fmt: skip

    def _maps(self, title: str, note: str) -> Html:
        """Return a map for each series of a matrix."""
        rows, columns = self.dims
        made = []
        for line in self.lines:
            shape = [self.first.sizes[dim] for dim in self.dims]
            made.append(
                matrix_chart(
                    line.curve.values.reshape(shape),
                    axis_labels(self.first, rows),
                    axis_labels(self.first, columns),
                    title=f"{line.label}, {title}",
                    x_title=axis_title(columns),
                    y_title=axis_title(rows),
                    note=note,
                )
            )
        return joined(*made)

    def _note(self) -> str:
        """Return what the chart shows beside values."""
        attrs, said = self.score.attrs, []
        few = len(self.lines) <= FEW
        if "interval" in attrs and self.is_curve:
            how = "Shaded:" if few else "A curve chosen in the legend is shaded:"
            said.append(f"{how} {attrs['interval']}.")
            if "band" in attrs and few:
                said.append(f"Thin lines: {attrs['band']}.")
        elif "interval" in attrs and len(self.dims) < 2:
            said.append(f"Lines: {attrs['interval']}.")
        if self.bounds and self.shares_scale:
            bound = self.bound_attrs
            what = "Dashed" if self.is_curve else str(bound.get("column", "bound")).capitalize()
            said.append(f"{what}: {bound.get('long_name', 'bound')}.")
        if np.isfinite(float(attrs["best"])):
            said.append(f"A perfect model has {float(attrs['best']):g}.")
        return " ".join(said)


def _series_noun(result: xr.Dataset) -> str:
    dims = [str(dim) for dim in result[headline(result)].dims if dim in SERIES]
    return " and ".join(dims) or "series"


def axis_title(dim: str) -> str:
    """Return the title of an axis."""
    if not is_time(dim):
        return dim.replace("_", " ")
    of = dim.removeprefix("time_bin").strip("_")
    return f"{of} time from stimulus onset (ms)".strip()


def make_panels(results: Sequence[xr.Dataset]) -> list[Panel]:
    """Return results in panels, in their order: the same quantity, axis and part of a recording."""
    groups: dict[tuple[object, ...], list[xr.Dataset]] = {}
    for result in results:
        name = headline(result)
        dims = axes(result, name)
        places = tuple(tuple(axis_labels(result, dim)) for dim in dims)
        about = [result.attrs[key] for key in ("region", "recording", "recording_sha256")]
        what = [result[name].attrs[key] for key in ("long_name", "units", "formula")]
        groups.setdefault((name, dims, places, *about, *what), []).append(result)
    return [_panel(each) for each in groups.values()]


def _panel(results: list[xr.Dataset]) -> Panel:
    labels = label_results(results)
    dims = axes(results[0], headline(results[0]))
    lines = []
    for result, label in zip(results, labels, strict=True):
        name = headline(result)
        several = len(list(series(result, name))) > 1
        own = "" if result.attrs.get("conclusion") or named_by(result, label) else label
        for names, values in series(result, name):
            words = list(names.values()) if several or not own else []
            ordered = _flat(values, dims)
            ends = [
                _flat(like(result, values.attrs[end], names), dims)
                if end in values.attrs
                else np.full(ordered.shape, np.nan)
                for end in BANDS
            ]
            kind = "control" if result.attrs["control"] else "score"
            shown = " ".join(filter(None, [own, *words]))
            curve = Curve(shown, ordered, np.stack(ends), kind)
            lines.append(Line(shown, result.attrs["control"], curve))
    return Panel(results, labels, lines, dims)


def _flat(values: xr.DataArray, dims: tuple[str, ...]) -> np.ndarray:
    """Return values in the order of the axes; what is infinite has no place in a chart."""
    ordered = values.transpose(*dims).values.astype(float).ravel()
    return np.where(np.isfinite(ordered), ordered, np.nan)


def at(line: Line, i: int, *, band: bool = False) -> Estimate:
    """Return the value of a line at a place, with its interval or its band."""
    low, high = line.curve.ends[2:] if band else line.curve.ends[:2]
    return Estimate(float(line.curve.values[i]), float(low[i]), float(high[i]))
