"""Two models: their difference over time, and one against the other for each neuroid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurofit.errors import NeurofitError, unknown_name
from neurofit.results.figures.looks import colours, drawing_on, ink
from neurofit.results.figures.parts import (
    add_image_bar,
    add_legend,
    as_mapping,
    axis_label,
    finish,
    quantity,
    short,
    span,
    wrapped,
)
from neurofit.results.schema import axes, headline, like, series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PER_NEUROID = "r_xy"
"""Variable with the correlation of prediction and response of each split, neuroid and time bin."""


def difference(
    result: xr.Dataset, ax: Axes | None = None, *, pair: str | None = None, legend: bool = True
) -> Axes:
    """Draw the difference of two models over time.

    The interval is shaded, the simultaneous band is drawn as thin lines, and a bar at the top of
    the axes marks the bins in which the band excludes 0.

    Parameters
    ----------
    result
        A comparison: its main quantity has the dimension `pair` and time.
    ax
        Axes to draw on; new ones by default.
    pair
        Name of the pair, "A - B"; needed if there are several.
    legend
        Whether to add a legend above the axes.

    Raises
    ------
    NeurofitError
        If the result is no comparison over time, or the pair is unknown or not named.
    """
    name = headline(result)
    if "pair" not in result[name].dims or len(axes(result, name)) != 1:
        raise NeurofitError(
            f"A difference has the dimensions pair and time; {name} has "
            f"{', '.join(map(str, result[name].dims)) or 'none'}."
        )
    pairs = [names["pair"] for names, _ in series(result, name)]
    if pair is None and len(pairs) > 1:
        raise NeurofitError(f"pair must name one of the pairs: {'; '.join(pairs)}.")
    if pair is not None and pair not in pairs:
        raise unknown_name("pair", pair, pairs)
    names = {"pair": pair or pairs[0]}
    (dim,), attrs = axes(result, name), result[name].attrs
    x, values = result[dim].values, like(result, name, names).values
    with drawing_on(ax) as ax:
        drawn, colour = [values], ink(0.85)
        if "low" in attrs:
            low, high = (like(result, attrs[end], names).values for end in ("low", "high"))
            label = short(attrs.get("interval", ""), "interval")
            ax.fill_between(x, low, high, color=ink(0.5), alpha=0.35, linewidth=0, label=label)
            drawn += [low, high]
        if "band_low" in attrs:
            band = [like(result, attrs[end], names).values for end in ("band_low", "band_high")]
            label = short(attrs.get("band", ""), "band")
            for end in band:
                ax.plot(x, end, color=colour, linewidth=0.5, label=label)
                label = f"_{label}"
            drawn += band
        ax.plot(x, values, color=colour, marker="o", label=names["pair"], zorder=3)
        finite = np.concatenate(drawn)
        finite = finite[np.isfinite(finite)]
        least, most = float(finite.min(initial=0.0)), float(finite.max(initial=0.0))
        height = (most - least) or 1.0
        ax.set_ylim(least - 0.06 * height, most + 0.16 * height)
        ax.axhline(0, color=ink(0.5), linewidth=0.6, zorder=0)
        if "band_low" in attrs:
            _mark_bins(ax, result, dim, beyond_band(result, names["pair"]))
        ax.set_xlim(*span(result, dim))
        ax.set_xlabel(axis_label(dim))
        add_image_bar(ax, result)
        ax.set_ylabel(wrapped(quantity(attrs)))
        finish(ax)
        if legend:
            add_legend(ax)
    return ax


def beyond_band(result: xr.Dataset, pair: str) -> np.ndarray:
    """Return the bins in which the simultaneous band of a difference excludes 0: bool (time)."""
    attrs = result[headline(result)].attrs
    low, high = (
        like(result, attrs[end], {"pair": pair}).values for end in ("band_low", "band_high")
    )
    return np.asarray((low > 0) | (high < 0))


def _mark_bins(ax: Axes, result: xr.Dataset, dim: str, marked: np.ndarray) -> None:
    """Draw a bar at the top of the axes over each of the marked bins."""
    label = "band excludes 0"
    starts, ends = (result[f"{dim}_{end}"].values[marked] for end in ("start", "end"))
    for start, end in zip(starts, ends, strict=True):
        ax.plot(
            [start, end],
            [0.96, 0.96],
            transform=ax.get_xaxis_transform(),
            color=ink(),
            linewidth=2,
            solid_capstyle="butt",
            label=label,
            scaley=False,
        )
        label = f"_{label}"


def scatter(
    a: xr.Dataset,
    b: xr.Dataset,
    ax: Axes | None = None,
    *,
    labels: tuple[str, str] | None = None,
    legend: bool = True,
) -> Axes:
    """Draw the raw r of each neuroid with one model against that with another.

    A point is a neuroid that both results have: the variable `r_xy`, mean over splits and over the
    time bins in which both results have a score. Neuroids of several subjects have their colours
    (coordinate `subject_of_neuroid`). The line is y = x.

    Parameters
    ----------
    a, b
        Results of a score, each of one layer and one mapping: `a` on the horizontal axis.
    ax
        Axes to draw on; new ones by default.
    labels
        Names of both models, by default what tells the results apart.
    legend
        Whether to add a legend of the subjects above the axes.

    Raises
    ------
    NeurofitError
        If a result has several series or no `r_xy`, or they have no neuroid or bin in common.
    """
    values, subjects = per_neuroid(a, b)
    names = labels or tuple(as_mapping([a, b]))
    words = list(dict.fromkeys(subjects))
    with drawing_on(ax, height=85.0) as ax:
        low, high = float(min(values.min(), 0)), float(values.max())
        margin = 0.05 * (high - low)
        ends = (low - margin, high + margin)
        ax.plot(ends, ends, color=ink(0.5), linewidth=0.6, label="_y = x", zorder=0)
        for subject, (colour, _) in zip(words, colours(len(words)), strict=True):
            style: dict[str, Any] = {"color": colour, "alpha": 0.7, "markeredgewidth": 0}
            label = f"subject {subject}" if len(words) > 1 else "_neuroids"
            inside = subjects == subject
            ax.plot(*values[:, inside], "o", label=label, markersize=3, **style)
        ax.set_xlim(*ends)
        ax.set_ylim(*ends)
        ax.set_aspect("equal")
        ax.set_xlabel(f"Raw r of {names[0]}")
        ax.set_ylabel(f"Raw r of {names[1]}")
        finish(ax)
        if legend and len(words) > 1:
            add_legend(ax, width=60.0)
    return ax


def per_neuroid(a: xr.Dataset, b: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the raw r of the neuroids of two results, and the subject of each.

    Returns
    -------
    values
        Mean over splits and common bins (result neuroid), of the neuroids with a value in both.
    subjects
        Names of subjects (neuroid), "" where none are known.

    Raises
    ------
    NeurofitError
        As in `scatter`.
    """
    means = [_mean_r(each) for each in (a, b)]
    ids, *places = np.intersect1d(
        a["neuroid_id"].values, b["neuroid_id"].values, return_indices=True
    )
    bins = np.intersect1d(means[0]["time_bin"].values, means[1]["time_bin"].values)
    if not len(ids) or not len(bins):
        what = "neuroid" if not len(ids) else "time bin with a score"
        raise NeurofitError(f"The results have no {what} in common.")
    values = np.stack(
        [
            mean.sel(time_bin=bins).isel(neuroid=place).mean("time_bin").values
            for mean, place in zip(means, places, strict=True)
        ]
    )
    known = "subject_of_neuroid" in a.coords
    subjects = a["subject_of_neuroid"].values[places[0]] if known else np.full(len(ids), "")
    defined = np.isfinite(values).all(axis=0)
    if not defined.any():
        raise NeurofitError("No neuroid has an r in both results.")
    return values[:, defined], subjects[defined]


def _mean_r(result: xr.Dataset) -> xr.DataArray:
    """Return the mean of `r_xy` over splits in the bins with a score (neuroid time_bin)."""
    if PER_NEUROID not in result:
        raise NeurofitError(f"A result of {result.attrs['analysis']} has no {PER_NEUROID}.")
    every = list(series(result, headline(result)))
    if len(every) > 1:
        listed = "; ".join(", ".join(names.values()) for names, _ in every[:4])
        raise NeurofitError(
            f"A scatter takes results of one series; {result.attrs['model']} has {len(every)}: "
            f"{listed}. Choose one: result.sel(layer=[...])."
        )
    names, score = every[0]
    values = like(result, PER_NEUROID, names)
    others = [dim for dim in values.dims if dim not in ("neuroid", "time_bin")]
    return values.mean(others).isel(time_bin=np.flatnonzero(np.isfinite(score.values)))
