"""A result as tables in 80 columns; roles say what each column holds."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import xarray as xr
from rich.table import Table

from neurofit.results.schema import (
    SERIES,
    axes,
    columns,
    describe_selection,
    headline,
    is_time,
    series,
    with_role,
)

BLOCKS = " ▁▂▃▄▅▆▇█"

ENDS = ("low", "high")

SMALL = 0.1
"""Size below which a value may have more than two decimals."""

MAX_TABLES = 3
"""Up to so many series have a table of their own over time; more are rows of one table."""

MAX_BESIDE = 8
"""Up to so many curves are columns of one table, and up to `MAX_TABLES - 1` with intervals."""

Place = dict[str, int]
"""Positions along dimensions."""


def result_tables(result: xr.Dataset) -> Iterator[tuple[str, Table]]:
    """Yield a title and a table for each series of the main quantity, or for all of them.

    Further scores with a heading follow: those with a dimension that the main quantity lacks, such
    as subjects or windows, and those with an interval that lack its axis.
    """
    name = headline(result)
    every = list(series(result, name))
    if len(axes(result, name)) != 1 or len(every) > MAX_TABLES:
        yield describe_result(result), _series_table(result, name)
    else:
        for place, (names, _) in zip(
            _places(result, _series_dims(result, name)), every, strict=True
        ):
            yield describe_result(result, *names.values()), _table(result, place)
    for further in further_scores(result):
        yield from _further_tables(result, further)


def further_scores(result: xr.Dataset) -> list[str]:
    """Return the scores with tables of their own, the first of those with the same dimensions."""
    main = headline(result)
    own, found = set(result[main].dims), dict[frozenset[Any], str]()
    for name in columns(result):
        dims, attrs = frozenset(result[name].dims), result[name].attrs
        lacks_axis = "low" in attrs and not set(axes(result, main)) <= dims
        if attrs["role"] == "score" and (dims - own or lacks_axis):
            found.setdefault(dims, name)
    return list(found.values())


def describe_result(result: xr.Dataset, *names: str) -> str:
    """Return what a result is about in a line, with the names of a series."""
    attrs = result.attrs
    simulated = " (SIMULATED)" if attrs["simulated"] else ""
    named = names and {"pair", "model"} & set(result.dims)  # these names are of models
    own = "" if named else attrs["model"]
    model = " ".join(filter(None, [own, *names]))
    area = f"{attrs['region']} of {attrs['recording']}"
    against = f"{model} against " if model not in ("", area) else ""
    about = f"{against}{area}{simulated}"
    control = f"CONTROL: {attrs['control']}" if attrs["control"] else ""
    return ", ".join(filter(None, [about, attrs.get("method", ""), control]))


def footnotes(result: xr.Dataset) -> list[str]:
    """Return what the columns mean, what was selected and what to know, a sentence each."""
    name = headline(result)
    score = result[name].attrs
    lines = [f"Selection: {selected}." for selected in [describe_selection(result)] if selected]
    lines += json.loads(result.attrs.get("notes", "[]"))
    meanings = [score["formula"]]
    if "interval" in score:
        meanings.append(f"interval: {score['interval']}")
    curves = any(result.sizes[dim] > 1 for dim in axes(result, name))
    if "band" in score and curves and len(list(series(result, name))) <= MAX_TABLES:
        meanings.append(f"thin lines in the plot: {score['band']}")
    for name in columns(result):
        attrs = result[name].attrs
        if attrs["column"] not in (attrs["long_name"], score.get("column")):
            meanings.append(f"{attrs['column']}: {attrs['long_name']}")
    return [*lines, ". ".join(dict.fromkeys(meanings)) + "."]


def marks(values: np.ndarray, best: float) -> str:
    """Return a curve as a line of marks from 0 to a perfect model's value; a dot where undefined.

    Where no value is perfect, the scale ends at the largest one.
    """
    finite = np.abs(values[np.isfinite(values)])
    top = best if np.isfinite(best) and best > 0 else float(finite.max(initial=0)) or 1.0
    steps = [8 * float(value) / top if np.isfinite(value) else value for value in values]
    line = "".join("." if not np.isfinite(s) else BLOCKS[min(8, max(0, round(s)))] for s in steps)
    return f"{line}  0 to {top:g}, one mark per bin"


def _table(result: xr.Dataset, place: Place) -> Table:
    """Return a series as a table with a row for each point of time."""
    score = headline(result)
    dim, own = axes(result, score)[0], set(result[score].dims)
    shown = [
        name
        for name in _shown(result, own)
        if dim in result[name].dims and set(result[name].dims) <= own
    ]
    table = _empty(_axis_title(result, dim))
    _add_columns(table, result, shown)
    reasons = _reasons(result, place, dim)
    for row, label in enumerate(axis_labels(result, dim)):
        table.add_row(label, *_cells(result, shown, {**place, dim: row}, reasons[row]))
    return table


def _further_tables(result: xr.Dataset, name: str) -> Iterator[tuple[str, Table]]:
    """Yield the tables of a score that has other dimensions than the main quantity.

    With time, curves along dimensions that the main quantity lacks are columns. Without time, each
    place is a row.
    """
    dims, own = list(map(str, result[name].dims)), set(result[headline(result)].dims)
    title = result[name].attrs["long_name"]
    beyond = [name for dim in dims if dim not in own for name in [_axis_name(result, dim)]]
    beyond = [name for name in beyond if name not in title]
    title += f", by {' and '.join(beyond)}" if beyond else ""
    shown = [each for each in _shown(result, set(dims)) if set(result[each].dims) == set(dims)]
    times = [dim for dim in dims if is_time(dim)]
    beside = list(_places(result, [dim for dim in dims if dim not in (*own, *times)]))
    every = list(_places(result, [dim for dim in dims if dim in own and dim in SERIES]))
    if not times:
        apart = axes(result, name) and len(every) <= MAX_TABLES
        for place in every if apart else [{}]:
            rows = [dim for dim in dims if dim not in place]
            yield _titled(result, title, place), _long_table(result, shown, rows, place)
        return
    if len(times) > 1 or len(every) > MAX_TABLES or len(beside) * len(shown) > MAX_BESIDE:
        yield title, _series_table(result, name)
        return
    for place in every:
        yield _titled(result, title, place), _wide_table(result, shown, place, beside)


def _titled(result: xr.Dataset, title: str, place: Place) -> str:
    of = " ".join(axis_labels(result, dim)[i] for dim, i in place.items())
    return ": ".join(filter(None, [of, title]))


def _long_table(result: xr.Dataset, shown: list[str], rows: list[str], place: Place) -> Table:
    """Return a table with a row for each combination along some dimensions."""
    table = _empty(*(_axis_title(result, dim) for dim in rows))
    _add_columns(table, result, shown)
    for row in _places(result, rows):
        labels = [axis_labels(result, dim)[i] for dim, i in row.items()]
        table.add_row(*labels, *_cells(result, shown, {**place, **row}))
    return table


def _wide_table(result: xr.Dataset, shown: list[str], place: Place, beside: list[Place]) -> Table:
    """Return a table with a row for each point of time and columns for each of several places."""
    (dim,) = (str(each) for each in result[shown[0]].dims if is_time(str(each)))
    intervals = len(beside) * len(shown) < MAX_TABLES
    table = _empty(_axis_title(result, dim))
    for other in beside:
        of = " ".join(axis_labels(result, axis)[i] for axis, i in other.items())
        _add_columns(table, result, shown, of=of, intervals=intervals)
    for row, label in enumerate(axis_labels(result, dim)):
        cells = [
            cell
            for other in beside
            for cell in _cells(result, shown, {**place, **other, dim: row}, intervals=intervals)
        ]
        table.add_row(label, *cells)
    return table


def _series_table(result: xr.Dataset, score: str) -> Table:
    """Return a table with a row for each series: its best value and where, and means."""
    dims, own = axes(result, score), set(result[score].dims)
    along = _series_dims(result, score)
    table = _empty(*along)
    shown = [name for name in _shown(result, own) if set(dims) <= set(result[name].dims) <= own]
    if dims:
        shown = [name for name in shown if result[name].attrs["role"] != "p_value"]
        for heading in ("best", *(_axis_title(result, dim) for dim in dims), "n"):
            table.add_column(heading, justify="right")
        for name in shown:
            table.add_column(f"mean\n{result[name].attrs['column']}", justify="right")
    else:
        _add_columns(table, result, shown)
    for place in _places(result, along):
        labels = [axis_labels(result, dim)[i] for dim, i in place.items()]
        if not dims:
            table.add_row(*labels, *_cells(result, shown, place))
            continue
        values = _at(result, score, place).transpose(*dims).values
        defined = np.isfinite(values)
        best = np.unravel_index(int(np.nan_to_num(values, nan=-np.inf).argmax()), values.shape)
        where = [axis_labels(result, dim)[i] for dim, i in zip(dims, best, strict=True)]
        cells = [_number(float(values[best])), *where, str(int(defined.sum()))]
        for name in shown:
            mean = _mean(_at(result, name, place).transpose(*dims).values[defined])
            counted = result[name].attrs["role"] == "count" and mean == mean
            cells.append(_number(round(mean) if counted else mean))
        table.add_row(*labels, *cells)
    return table


def p_values(result: xr.Dataset, dims: set[Any]) -> list[str]:
    """Return the p values of these dimensions: those with a heading, else the first."""
    own = [name for name in with_role(result, "p_value") if set(result[name].dims) == dims]
    return [name for name in own if "column" in result[name].attrs] or own[:1]


def _shown(result: xr.Dataset, dims: set[Any]) -> list[str]:
    """Return the variables with a heading, and the p values of these dimensions."""
    shown = [*columns(result), *p_values(result, dims)]
    return [name for name in map(str, result.data_vars) if name in shown]


def _add_columns(
    table: Table, result: xr.Dataset, shown: Sequence[str], *, of: str = "", intervals: bool = True
) -> None:
    """Add a column for each variable, and one for its interval; `of` is what heads them."""
    for name in shown:
        heading = result[name].attrs.get("column", "p")
        heading = of if of and len(shown) == 1 else "\n".join(filter(None, [of, heading]))
        table.add_column(heading, justify="right", no_wrap=True)
        if intervals and "low" in result[name].attrs:
            table.add_column("interval", justify="right", no_wrap=True)


def _cells(
    result: xr.Dataset,
    shown: Sequence[str],
    place: Place,
    reason: str = "",
    *,
    intervals: bool = True,
) -> list[str]:
    """Return the cells of a place; the first score without a value has the reason instead."""
    cells, decimals = [], 2
    for name in shown:
        value, attrs = _at(result, name, place).item(), result[name].attrs
        ends = [_at(result, attrs[end], place).item() for end in ENDS if end in attrs]
        decimals = _decimals(result, name) if ends else decimals
        if attrs["role"] == "p_value":
            cells.append(p_text(value))
        elif ends:
            cells.append("-" if value != value else f"{value:z.{decimals}f}")
        else:
            cells.append(_number(value, decimals if attrs["role"] == "score" else 2))
        if ends and intervals:
            shown_interval = _interval(value, *ends, decimals=decimals)
            cells.append(shown_interval or reason * (name == headline(result)))
    return cells


def _at(result: xr.Dataset, name: str, place: Place) -> xr.DataArray:
    """Return a variable at a place, as far as it has these dimensions."""
    return result[name].isel({dim: i for dim, i in place.items() if dim in result[name].dims})


def _places(result: xr.Dataset, dims: Sequence[str]) -> Iterator[Place]:
    """Yield the positions along some dimensions."""
    for position in np.ndindex(*(result.sizes[dim] for dim in dims)):
        yield dict(zip(dims, position, strict=True))


def _series_dims(result: xr.Dataset, name: str) -> list[str]:
    return [str(dim) for dim in result[name].dims if dim in SERIES]


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _empty(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        justify: Any = "right" if heading == "ms" else "left"
        table.add_column(heading, justify=justify, overflow="fold")
    return table


def _axis_title(result: xr.Dataset, dim: str) -> str:
    if not is_time(dim):
        return _axis_name(result, dim)
    return "ms" if dim == "time_bin" else dim.removeprefix("time_bin_") + " ms"


def _axis_name(result: xr.Dataset, dim: str) -> str:
    return str(result[dim].attrs.get("long_name", dim.replace("_", " ")))


def axis_labels(result: xr.Dataset, dim: str) -> list[str]:
    """Return the labels along a dimension: time bins as "70-80", names or values."""
    if is_time(dim):
        starts, ends = result[f"{dim}_start"].values, result[f"{dim}_end"].values
        return [f"{start}-{end}" for start, end in zip(starts, ends, strict=True)]
    return [str(value) for value in result[dim].values]


def _reasons(result: xr.Dataset, place: Place, dim: str) -> list[str]:
    """Return, for each point of time, the most frequent reason for a missing value."""
    pointer = result[headline(result)].attrs.get("reason")
    if pointer is None:
        return [""] * result.sizes[dim]
    flags, attrs = _at(result, pointer, place), result[pointer].attrs
    meanings = dict(
        zip(
            np.atleast_1d(attrs["flag_values"]).tolist(),
            attrs["flag_meanings"].split(),
            strict=True,
        )
    )
    others = [other for other in flags.dims if other != dim]
    found = flags.transpose(dim, *others).values.reshape(flags.sizes[dim], -1)
    usual = [np.unique(row, return_counts=True) for row in found]
    return [meanings[int(v[c.argmax()])].replace("_", " ") for v, c in usual]


def _interval(value: float, low: float, high: float, *, decimals: int) -> str:
    if low != low and value == value:
        return "-"  # a score without an interval
    return "" if value != value else f"{low:z.{decimals}f} to {high:z.{decimals}f}"


def _decimals(result: xr.Dataset, name: str) -> int:
    """Return the decimals of a score with an interval, the same for all of its values.

    There are 2; where values are below 0.1, there are up to 4, so that half their median interval
    has two digits.
    """
    values, low, high = (
        result[each].values for each in (name, *(result[name].attrs[end] for end in ENDS))
    )
    halves = (high - low)[np.abs(values) < SMALL] / 2
    halves = halves[halves > 0]
    return min(max(2, 1 - math.floor(math.log10(np.median(halves)))), 4) if halves.size else 2


def _number(value: int | float, decimals: int = 2) -> str:
    """Return a number as text, with the decimals if it is small."""
    if value != value:
        return "-"
    if isinstance(value, int):
        return str(value)
    return f"{value:z.{decimals if abs(value) < SMALL else 2}f}"


def p_text(value: float) -> str:
    """Return a p value with three decimals, or `<.001`."""
    if value != value:
        return "-"
    return "<.001" if value < 0.0005 else f"{value:.3f}".removeprefix("0")
