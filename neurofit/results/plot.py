"""Plots of results by their roles; matplotlib is imported when one is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurofit.errors import NeurofitError
from neurofit.results.schema import (
    axes,
    describe_selection,
    headline,
    is_time,
    like,
    series,
)
from neurofit.storage.home import atomic_file

FEW = ("#2a5b8c", "#c2571a", "#3c7d46")
"""Colours of up to three series, drawn with intervals; more are drawn from light to dark."""

GREY = "#8a8a8a"


def plot_result(result: xr.Dataset, path: str | Path) -> None:
    """Draw the main quantity of a result.

    Curves are drawn over time with their intervals, the bound and the counts; single values as
    points with intervals; matrices as maps, one for each series.

    Parameters
    ----------
    result
        A result of an analysis.
    path
        PNG to write, completely or not at all.

    Raises
    ------
    NeurofitError
        If the main quantity has more than two dimensions beside its series.
    """
    from matplotlib.figure import Figure

    name = headline(result)
    dims = axes(result, name)
    every = list(series(result, name))
    counted = len(dims) == 1 and "count" in result[name].attrs
    wide = len(dims) < 2 and len(every) > len(FEW)
    figure = Figure(figsize=(8.6 if wide else 7, 5.2), layout="constrained")
    if len(dims) == 2:
        _draw_matrices(figure, result, name, every)
    elif len(dims) < 2:
        ratios = [4, 1] if counted else [1]
        panels = figure.subplots(len(ratios), 1, sharex=True, height_ratios=ratios, squeeze=False)
        draw = _draw_curves if dims else _draw_points
        draw(panels[0, 0], result, name, every)
        if counted:
            _draw_counts(panels[1, 0], result, name, every)
        for panel in panels[:, 0]:
            panel.spines[["top", "right"]].set_visible(False)
        panels[-1, 0].set_xlabel(_axis_label(dims[0]) if dims else "")
        _add_legend(figure, panels[0, 0], few=not wide)
    else:
        raise NeurofitError(f"{name} cannot be drawn: it has the dimensions {', '.join(dims)}.")
    _add_titles(figure, result)
    with atomic_file(Path(path)) as temporary:
        figure.savefig(temporary, dpi=150, format="png")


def _draw_curves(axis: Any, result: xr.Dataset, name: str, every: list[Any]) -> None:
    attrs, (dim,) = result[name].attrs, axes(result, name)
    middle = result[dim].values
    point = len(middle) == 1
    if "samples" in attrs:
        _draw_samples(axis, result, attrs["samples"], dim)
    for colour, (names, values) in zip(_colours(len(every)), every, strict=True):
        label = _label(result, names)
        axis.plot(middle, values, color=colour, marker="o", markersize=3.5, label=label, zorder=3)
        if "low" in attrs and len(every) <= len(FEW):
            low, high = (like(result, attrs[end], names).values for end in ("low", "high"))
            if point:
                ends = [np.maximum(values - low, 0), np.maximum(high - values, 0)]
                axis.errorbar(middle, values, ends, color=colour, capsize=4)
            axis.fill_between(middle, low, high, color=colour, alpha=0.25, linewidth=0)
            if "band_low" in attrs and not point:
                for end in ("band_low", "band_high"):
                    axis.plot(middle, like(result, attrs[end], names), color=colour, linewidth=0.7)
    if "interval" in attrs and len(every) <= len(FEW):
        axis.fill_between([], [], [], color=GREY, alpha=0.5, label=attrs["interval"])
        if "band" in attrs and not point:
            axis.plot([], [], color=GREY, linewidth=0.7, label=attrs["band"])
    bound = attrs.get("bound")
    if bound and result[bound].attrs["units"] == attrs["units"]:
        for i, (_, values) in enumerate(series(result, bound)):
            label = "_" * i + result[bound].attrs["long_name"].split(",")[0]  # in the legend once
            style = {"color": GREY, "linestyle": "--", "marker": "."}
            axis.plot(middle, values, label=label, **style)
    _add_limits(axis, attrs)


def _draw_samples(axis: Any, result: xr.Dataset, name: str, dim: str) -> None:
    """Draw every sample behind a curve as a thin line, or as points where there is one bin."""
    values = result[name].transpose(dim, ...).values.reshape(result.sizes[dim], -1)
    n = values.shape[1]
    style: dict[str, Any] = {"color": GREY, "alpha": min(0.35, 20 / max(n, 1))}
    if len(values) == 1:
        spread = result[dim].values + np.linspace(-0.3, 0.3, n)
        axis.plot(spread, np.sort(values[0]), ".", **{**style, "alpha": 0.6})
    else:
        axis.plot(result[dim].values, values, linewidth=0.4, **style)
    axis.plot([], [], color=GREY, linewidth=0.8, label=result[name].attrs["long_name"])


def _draw_points(axis: Any, result: xr.Dataset, name: str, every: list[Any]) -> None:
    attrs = result[name].attrs
    for i, (names, value) in enumerate(every):
        ends = None
        if "low" in attrs:
            low, high = (like(result, attrs[end], names).item() for end in ("low", "high"))
            ends = [[max(value.item() - low, 0)], [max(high - value.item(), 0)]]
        axis.errorbar([i], [value.item()], ends, color=FEW[0], marker="o", capsize=4)
    axis.set_xticks(range(len(every)), [_label(result, names) for names, _ in every])
    axis.set_xlim(-0.5, len(every) - 0.5)
    _add_limits(axis, attrs)


def _draw_matrices(figure: Any, result: xr.Dataset, name: str, every: list[Any]) -> None:
    attrs, dims = result[name].attrs, axes(result, name)
    panels = figure.subplots(1, len(every), squeeze=False, sharex=True, sharey=True)[0]
    finite = result[name].values[np.isfinite(result[name].values)]
    largest = float(np.abs(finite).max()) if len(finite) else 1.0
    for panel, (names, values) in zip(panels, every, strict=True):
        x, y = (result[dim].values for dim in dims[::-1])
        image = panel.pcolormesh(
            x, y, values.transpose(*dims), cmap="RdBu_r", vmin=-largest, vmax=largest
        )
        panel.set_title(_label(result, names) if names else "", fontsize="small")
        panel.set_xlabel(_axis_label(dims[1]))
    panels[0].set_ylabel(_axis_label(dims[0]))
    figure.colorbar(image, ax=panels.tolist(), label=_value_label(attrs))


def _draw_counts(axis: Any, result: xr.Dataset, name: str, every: list[Any]) -> None:
    from matplotlib.ticker import MaxNLocator

    count, (dim,) = result[name].attrs["count"], axes(result, name)
    if is_time(dim):
        edges = np.append(result[f"{dim}_start"].values, result[f"{dim}_end"].values[-1])
    else:
        edges = np.append(result[dim].values, result[dim].values[-1])
    largest = 1.0
    for colour, (names, _) in zip(_colours(len(every)), every, strict=True):
        values = like(result, count, names).values
        largest = max(largest, float(np.nan_to_num(values).max(initial=0)))
        axis.step(edges, np.append(values, values[-1]), where="post", color=colour)
    axis.set_ylabel(result[count].attrs.get("column", "count"))
    axis.set_ylim(0, 1.1 * largest)
    axis.yaxis.set_major_locator(MaxNLocator(3, integer=True))


def _add_limits(axis: Any, attrs: dict[str, Any]) -> None:
    best = float(attrs["best"])
    axis.axhline(0, color="black", linewidth=0.6)
    if np.isfinite(best):
        axis.axhline(best, color="black", linewidth=0.6)
        low, high = axis.get_ylim()
        axis.set_ylim(max(min(-0.05 * best, low), -0.5 * best), max(1.08 * best, high))
    axis.set_ylabel(_value_label(attrs))


def _add_legend(figure: Any, axis: Any, *, few: bool) -> None:
    """Add the legend beside the panels, where it covers no data."""
    handles, labels = axis.get_legend_handles_labels()
    if labels:
        place = "outside lower left" if few else "outside right upper"
        figure.legend(handles, labels, frameon=False, fontsize="small", loc=place)


def _add_titles(figure: Any, result: xr.Dataset) -> None:
    attrs = result.attrs
    simulated = "  (SIMULATED)" if attrs["simulated"] else ""
    control = f"  CONTROL: {attrs['control']}" if attrs["control"] else ""
    title = f"{attrs['region']} of {attrs['recording']}{simulated}{control}"
    axis = figure.axes[0]
    axis.set_title(title, loc="left", fontweight="bold", parse_math=False)
    selected = describe_selection(result)
    shown = selected if len(selected) <= 60 else f"{selected[:60]} ..."
    lines = "\n".join(filter(None, [shown, attrs.get("method", "")]))
    axis.set_title(lines, loc="right", fontsize="small", parse_math=False)


def _label(result: xr.Dataset, names: dict[str, str]) -> str:
    model = result.attrs["model"] if "model" not in names else ""
    return ", ".join(filter(None, [model, *names.values()])) or result.attrs["region"]


def _value_label(attrs: dict[str, Any]) -> str:
    units = "" if attrs["units"] == "1" else f" ({attrs['units']})"
    return f"{attrs['long_name']}{units}"


def _axis_label(dim: str) -> str:
    if not is_time(dim):
        return dim
    of = dim.removeprefix("time_bin").strip("_")
    return f"{of} time from stimulus onset (ms)".strip()


def _colours(n: int) -> list[Any]:
    if n <= len(FEW):
        return list(FEW[:n])
    from matplotlib import colormaps

    return [tuple(colour) for colour in colormaps["viridis_r"](np.linspace(0.12, 1.0, n))]
