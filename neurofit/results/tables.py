"""A result as tables in 80 columns; what a column holds is said by roles."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr
from rich.table import Table

from neurofit.results.schema import (
    axes,
    columns,
    describe_selection,
    headline,
    is_time,
    like,
    series,
)

BLOCKS = " ▁▂▃▄▅▆▇█"

ENDS = ("low", "high")

SMALL = 0.1
"""Size below which a value may have more than two decimals."""

MAX_TABLES = 3
"""Up to so many series have a table of their own over time; more are rows of one table."""


def result_tables(result: xr.Dataset) -> Iterator[tuple[str, Table]]:
    """Yield a title and a table for each series of the main quantity, or for all of them."""
    name = headline(result)
    every = list(series(result, name))
    if len(axes(result, name)) != 1 or len(every) > MAX_TABLES:
        yield describe_result(result), _series_table(result, every)
        return
    for names, _ in every:
        yield describe_result(result, *names.values()), _table(result, names)


def describe_result(result: xr.Dataset, *names: str) -> str:
    """Return what a result is about in a line, with the names of a series."""
    attrs = result.attrs
    simulated = " (SIMULATED)" if attrs["simulated"] else ""
    own = "" if "pair" in result.dims and names else attrs["model"]  # a pair names its models
    model = " ".join(filter(None, [own, *names]))
    against = f"{model} against " if model else ""
    about = f"{against}{attrs['region']} of {attrs['recording']}{simulated}"
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
    return [*lines, ". ".join(meanings) + "."]


def marks(values: np.ndarray, best: float) -> str:
    """Return a curve as a line of marks from 0 to a perfect model's value; a dot where undefined.

    Where no value is perfect, the scale ends at the largest one.
    """
    finite = np.abs(values[np.isfinite(values)])
    top = best if np.isfinite(best) and best > 0 else float(finite.max(initial=0)) or 1.0
    steps = [8 * float(value) / top if np.isfinite(value) else value for value in values]
    line = "".join("." if not np.isfinite(s) else BLOCKS[min(8, max(0, round(s)))] for s in steps)
    return f"{line}  0 to {top:g}, one mark per bin"


def _table(result: xr.Dataset, names: dict[str, str]) -> Table:
    """Return a series as a table with a row for each point of time."""
    score = headline(result)
    dim = axes(result, score)[0]
    table = _empty(_axis_title(dim))
    shown = [
        name
        for name in columns(result)
        if dim in result[name].dims and set(result[name].dims) <= set(result[score].dims)
    ]
    for name in shown:
        table.add_column(result[name].attrs["column"], justify="right")
        if "low" in result[name].attrs:
            table.add_column("interval", justify="right")
    reasons = _reasons(result, names, dim)
    for row, label in enumerate(_labels(result, dim)):
        cells, decimals = [label], 2
        for name in shown:
            values, attrs = like(result, name, names), result[name].attrs
            at = values.isel({dim: row}) if dim in values.dims else values
            ends = [
                like(result, attrs[e], names).isel({dim: row}).item() for e in ENDS if e in attrs
            ]
            decimals = _decimals(at.item(), *ends) if ends else decimals
            cells.append(_number(at.item(), decimals if attrs["role"] == "score" else 2))
            if ends:
                cells.append(_interval(at.item(), *ends) or reasons[row] * (name == score))
        table.add_row(*cells)
    return table


def _series_table(result: xr.Dataset, every: list[tuple[dict[str, str], xr.DataArray]]) -> Table:
    """Return a table with a row for each series: its best value and where, and means."""
    score = headline(result)
    dims = axes(result, score)
    table = _empty(*every[0][0])
    shown = [name for name in columns(result) if set(map(str, result[name].dims)) >= set(dims)]
    if dims:
        for heading in ("best", *map(_axis_title, dims), "n"):
            table.add_column(heading, justify="right")
    for name in shown:
        heading = result[name].attrs["column"]
        table.add_column(f"mean\n{heading}" if dims else heading, justify="right")
        if not dims and "low" in result[name].attrs:
            table.add_column("interval", justify="right")
    for names, values in every:
        cells = list(names.values())
        defined = np.isfinite(values.values)
        if dims:
            best = np.unravel_index(int(np.nan_to_num(values, nan=-np.inf).argmax()), values.shape)
            where = [_labels(result, dim)[i] for dim, i in zip(dims, best, strict=True)]
            cells += [_number(float(values.values[best])), *where, str(int(defined.sum()))]
        for name in shown:
            own = like(result, name, names)
            mean = _mean(own.transpose(*dims).values[defined])
            if not dims and "low" in result[name].attrs:
                ends = [like(result, result[name].attrs[end], names).item() for end in ENDS]
                cells += [_number(mean, _decimals(mean, *ends)), _interval(mean, *ends)]
            else:
                counted = result[name].attrs["role"] == "count" and mean == mean
                cells.append(_number(round(mean) if counted else mean))
        table.add_row(*cells)
    return table


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _empty(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        justify: Any = "right" if heading == "ms" else "left"
        table.add_column(heading, justify=justify, overflow="fold")
    return table


def _axis_title(dim: str) -> str:
    return "ms" if dim == "time_bin" else dim.removeprefix("time_bin_") + " ms"


def _labels(result: xr.Dataset, dim: str) -> list[str]:
    if is_time(dim):
        starts, ends = result[f"{dim}_start"].values, result[f"{dim}_end"].values
        return [f"{start}-{end}" for start, end in zip(starts, ends, strict=True)]
    return [str(value) for value in result[dim].values]


def _reasons(result: xr.Dataset, names: dict[str, str], dim: str) -> list[str]:
    """Return, for each point of time, the most frequent reason for a missing value."""
    pointer = result[headline(result)].attrs.get("reason")
    if pointer is None:
        return [""] * result.sizes[dim]
    flags, attrs = like(result, pointer, names), result[pointer].attrs
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


def _interval(value: float, low: float, high: float) -> str:
    decimals = _decimals(value, low, high)
    if low != low and value == value:
        return "-"  # a score without an interval
    return "" if value != value else f"{low:z.{decimals}f} to {high:z.{decimals}f}"


def _decimals(value: float, low: float, high: float) -> int:
    """Return 2, or for a value below 0.1 so many that half its interval has two digits, up to 4."""
    half = (high - low) / 2
    small = abs(value) < SMALL and half > 0
    return min(max(2, 1 - math.floor(math.log10(half))), 4) if small else 2


def _number(value: int | float, decimals: int = 2) -> str:
    """Return a number as text, with the decimals if it is small."""
    if value != value:
        return "-"
    if isinstance(value, int):
        return str(value)
    return f"{value:z.{decimals if abs(value) < SMALL else 2}f}"
