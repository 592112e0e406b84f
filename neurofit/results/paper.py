"""Tables for a paper: results side by side over time, or one row per model with means."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from neurofit.errors import NeurofitError, counted
from neurofit.metrics.two_way import Influences, interval_of
from neurofit.results.labels import label_results, named_by
from neurofit.results.schema import SERIES, axes, headline, is_time
from neurofit.results.tables import p_values

Bin = tuple[int, int]

ENDS = ("low", "high")


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; NaN where there is none."""

    value: float
    low: float = float("nan")
    high: float = float("nan")


@dataclass(frozen=True)
class P:
    """A p value."""

    value: float


Cell = str | int | Bin | Estimate | P


@dataclass(frozen=True)
class Column:
    """A column: its heading, the heading above it and those beside it, and its cells."""

    heading: str
    group: str
    cells: list[Cell]


@dataclass(frozen=True)
class PaperTable:
    """A table for a paper with its caption, a sentence or more."""

    columns: list[Column]
    caption: str


@dataclass(frozen=True)
class Line:
    """A series of a result: its label and its variables over time bins (none for a point)."""

    label: str
    result: xr.Dataset
    bins: list[Bin]

    @property
    def score(self) -> xr.DataArray:
        """The main quantity."""
        return self.result[headline(self.result)]

    @property
    def about(self) -> str:
        """The area and the recording."""
        return f"{self.result.attrs['region']} of {self.result.attrs['recording']}"

    def values(self, name: str | None) -> np.ndarray:
        """Return a variable along the bins; NaN without a name."""
        n = max(len(self.bins), 1)
        if name is None:
            return np.full(n, np.nan)
        return np.broadcast_to(np.atleast_1d(self.result[name].values.astype(float)), n)

    def of(self, pointer: str) -> np.ndarray:
        """Return the variable that an attribute of the main quantity names."""
        return self.values(self.score.attrs.get(pointer))

    @property
    def ceiling(self) -> np.ndarray:
        """The bound of the main quantity, NaN if it has none."""
        return self.of("bound")


def paper_table(
    results: Sequence[xr.Dataset], *, rows: str | None = None, windows: Sequence[Bin] = ()
) -> PaperTable:
    """Return results as one table.

    Parameters
    ----------
    results
        Results whose main quantity is a curve over time; with rows "models" also a single value.
    rows
        "bins": a row for each time bin and a group of columns for each result. "models": a row for
        each result with means over windows. Default: "bins" for a single curve.
    windows
        Windows (start, end) in ms that means are over; default: all time bins.

    Raises
    ------
    NeurofitError
        If there is no result, a result is a matrix, or time bins are asked of single values.
    """
    lines = [
        line
        for label, result in zip(label_results(results), results, strict=True)
        for line in lines_of(label, result)
    ]
    if not lines:
        raise NeurofitError("A table needs at least one result.")
    rows = rows or ("bins" if len(lines) == 1 and lines[0].bins else "models")
    if rows not in ("bins", "models"):
        raise NeurofitError(f"rows must be bins or models; got {rows!r}.", option="rows")
    if rows == "models":
        return _models_table(lines, list(windows))
    if windows:
        raise NeurofitError("windows need --rows models.", option="windows")
    if any(not line.bins for line in lines):
        raise NeurofitError("A result without time bins needs rows: models.", option="rows")
    return _bins_table(lines)


def lines_of(label: str, result: xr.Dataset) -> list[Line]:
    """Return the series of a result, which are told apart by what varies among them."""
    name = headline(result)
    dims = axes(result, name)
    if len(dims) > 1 or (dims and not is_time(dims[0])):
        raise NeurofitError(
            f"A table for a paper takes curves over time or single values; {name} of {label} has "
            f"the dimensions {', '.join(dims)}."
        )
    own = [str(dim) for dim in result[name].dims if dim in SERIES]
    lines = []
    for place in np.ndindex(*(result.sizes[dim] for dim in own)):
        one = result.isel(dict(zip(own, place, strict=True)))
        words = [str(one[dim].item()) for dim in own if result.sizes[dim] > 1 or dim == "pair"]
        if words and (not result.attrs["model"] or "pair" in own or named_by(result, label)):
            label = ""  # a pair names its models
        bins = []
        if dims:
            edges = [one[f"{dims[0]}_{end}"].values.tolist() for end in ("start", "end")]
            bins = list(zip(*edges, strict=True))
        lines.append(Line(" ".join(filter(None, [label, *words])), one, bins))
    return lines


def _bins_table(lines: list[Line]) -> PaperTable:
    bins = sorted({each for line in lines for each in line.bins})
    columns = [Column("time (ms)", "", list(bins))]
    shared = len({line.ceiling.tobytes() for line in lines}) == 1
    for line in lines:
        rows = [line.bins.index(each) if each in line.bins else None for each in bins]
        score, attrs = line.score, line.score.attrs
        ends = np.stack([line.values(str(score.name)), line.of("low"), line.of("high")], axis=1)
        cells = [Estimate(*each) for each in ends.tolist()]
        columns.append(_column("score", line.label, cells, rows))
        for name in p_values(line.result, set(score.dims))[:1]:
            columns.append(_column("p", line.label, list(map(P, line.values(name).tolist())), rows))
        if "count" in attrs:
            columns.append(_column("n", line.label, list(map(_count, line.of("count"))), rows))
        if "bound" in attrs and not shared:
            columns.append(
                _column("ceiling", line.label, list(map(Estimate, line.ceiling.tolist())), rows)
            )
    if shared and np.isfinite(lines[0].ceiling).any():
        rows = [lines[0].bins.index(each) if each in lines[0].bins else None for each in bins]
        columns.append(_column("ceiling", "", list(map(Estimate, lines[0].ceiling.tolist())), rows))
    return PaperTable(columns, _caption(lines))


def _column(heading: str, group: str, cells: Sequence[Cell], rows: list[int | None]) -> Column:
    return Column(heading, group, ["" if row is None else cells[row] for row in rows])


def _models_table(lines: list[Line], windows: list[Bin]) -> PaperTable:
    columns = [Column("model", "", [line.label for line in lines])]
    for name in ("region", "recording"):
        of: list[Cell] = [line.result.attrs[name] for line in lines]
        columns += [Column(name, "", of)] if len(set(of)) > 1 else []
    said = []
    asked: list[Bin | None] = [*windows] or [None]
    for window in asked:
        common = _common(lines, window)
        kept = [
            np.array([each in common[line.about] for each in line.bins] or [True], dtype=bool)
            for line in lines
        ]
        group = "" if window is None else f"{window[0]}-{window[1]} ms"
        for about, bins in common.items():
            if bins:
                first, last = min(bins)[0], max(end for _, end in bins)
                where = f"{about}: " * (len(common) > 1)
                said.append(f"{where}{counted(len(bins), 'time bin')} in {first}-{last} ms")
        means = [mean_over(line, keep) for line, keep in zip(lines, kept, strict=True)]
        columns.append(Column("score", group, list(means)))
        counts: list[Cell] = [
            _range(line.of("count")[keep]) for line, keep in zip(lines, kept, strict=True)
        ]
        if any(counts):
            columns.append(Column("n", group, counts))
        ceilings = [_nanmean(line.ceiling[keep]) for line, keep in zip(lines, kept, strict=True)]
        if np.isfinite(ceilings).any():
            columns.append(Column("ceiling", group, list(map(Estimate, ceilings))))
    known = [
        line
        for line, *row in zip(
            lines, *(c.cells for c in columns if c.heading == "score"), strict=True
        )
        if any(isinstance(cell, Estimate) and np.isfinite(cell.low) for cell in row)
    ]
    caption = _caption(lines, of_means=known)
    if said:
        rows = "every row of an area" if len(common) > 1 else "every row"
        caption += f" Means over the time bins in which {rows} has a score: {'; '.join(said)}."
    return PaperTable(columns, caption)


def _common(lines: list[Line], window: Bin | None) -> dict[str, set[Bin]]:
    """Return the bins of a window in which all series of the same part of a recording score."""
    common: dict[str, set[Bin]] = {}
    for line in lines:
        scored = _scored(line, window)
        common[line.about] = common.get(line.about, scored) & scored
    return common


def _scored(line: Line, window: Bin | None) -> set[Bin]:
    """Return the bins of a window that have a score."""
    low, high = window or (-np.inf, np.inf)
    defined = np.isfinite(line.values(str(line.score.name)))
    return {
        (start, end)
        for (start, end), has in zip(line.bins, defined, strict=False)
        if has and low <= start and end <= high
    }


def mean_over(line: Line, kept: np.ndarray) -> Estimate:
    """Return the mean of a curve over some bins.

    Its interval comes from the mean influences of neuroids and stimuli
    (`neurofit.metrics.two_way`). Without stored influences a mean of several bins has none.
    """
    values = line.values(str(line.score.name))[kept]
    if not len(values):
        return Estimate(float("nan"))
    if len(values) == 1:
        return Estimate(*(float(each[0]) for each in (values, *(line.of(e)[kept] for e in ENDS))))
    mean, influences = float(values.mean()), mean_influences(line.result, kept)
    if influences is None:
        return Estimate(mean)
    config = json.loads(line.result.attrs["config"])
    interval = interval_of(
        np.array([mean]),
        influences,
        over=config["interval_over"],
        level=config["interval"],
        seed=int(line.result.attrs["seed"]),
    )
    return Estimate(mean, float(interval.low[0]), float(interval.high[0]))


def mean_influences(result: xr.Dataset, kept: np.ndarray) -> Influences | None:
    """Return the influences on the mean of a pooled curve over some bins; None without them.

    Influences and sketches are linear in the score, so that those of a mean are their means.
    """
    names = [f"influence_of_{what}" for what in ("neuroids", "stimuli", "cells", "pairs")]
    if not all(name in result and result[name].ndim == 2 for name in names):
        return None
    neuroids, stimuli, cells, pairs = (
        result[name].transpose(..., "time_bin").values[:, kept].mean(axis=1, keepdims=True)
        for name in names
    )
    n = int((neuroids != 0).sum())
    return Influences(neuroids, stimuli, n / max(n - 1, 1) * (cells**2).sum(0), (pairs**2).sum(0))


def _count(value: float) -> Cell:
    return "" if value != value else int(value)


def _range(counts: np.ndarray) -> Cell:
    """Return a number, or the smallest and the largest of different ones."""
    known = np.unique(counts[np.isfinite(counts)]).astype(int)
    if not len(known):
        return ""
    return int(known[0]) if len(known) == 1 else f"{known[0]}-{known[-1]}"


def _nanmean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _caption(lines: list[Line], *, of_means: list[Line] | None = None) -> str:
    """Return what the scores are, against what, what their intervals are over, and what p is.

    Parameters
    ----------
    lines
        Series of the table.
    of_means
        Those whose means have an interval, of a table of means.
    """
    said = []
    for line in lines:
        attrs, about = line.score.attrs, line.result.attrs
        simulated = " (simulated)" if about["simulated"] else ""
        interval = f"; {attrs['interval']}" if "interval" in attrs else ""
        if of_means is not None:
            known = any(line is each for each in of_means)
            interval = interval.removesuffix(", for each time bin on its own") * known
        said.append(
            f"Score: {attrs['long_name']} against {about['region']} of {about['recording']}"
            f"{simulated}{interval}."
        )
        for name in p_values(line.result, set(line.score.dims))[: of_means is None]:
            said.append(f"p: {line.result[name].attrs['long_name']}.")
        if "count" in attrs:
            said.append(f"n: {line.result[attrs['count']].attrs['long_name']}.")
        if "bound" in attrs:
            said.append(f"Ceiling: {line.result[attrs['bound']].attrs['long_name']}.")
    return " ".join(dict.fromkeys(said))
