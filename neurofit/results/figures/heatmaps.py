"""Scores as maps: layers over time bins, model time over recorded time, any two dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurofit.errors import NeurofitError
from neurofit.results.figures.looks import drawing_on
from neurofit.results.figures.parts import (
    add_image_bar,
    axis_label,
    chosen_layer,
    edges,
    finish,
    quantity,
    wrapped,
)
from neurofit.results.schema import SERIES, axes, headline, is_time, like, series

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Matrix:
    """A matrix of a result as it is drawn: `values` (row column), NaN where there is no score."""

    result: xr.Dataset
    name: str
    names: dict[str, str]
    rows: str
    columns: str

    @property
    def values(self) -> np.ndarray:
        """The values (row column)."""
        chosen = like(self.result, self.name, self.names)
        return np.asarray(chosen.transpose(self.rows, self.columns).values, dtype=float)


def matrices(result: xr.Dataset, name: str | None = None) -> list[Matrix]:
    """Return the matrices of a variable, by default of the main quantity.

    A variable with two dimensions beside its series has one for each series. One with a single
    dimension has rows of series: its layers, or else its only series dimension of several names.

    Raises
    ------
    NeurofitError
        If it is no matrix.
    """
    name = headline(result) if name is None else name
    free = axes(result, name)
    if len(free) == 2:
        return [Matrix(result, name, names, *free) for names, _ in series(result, name)]
    dims = [str(d) for d in result[name].dims if d in SERIES and result.sizes[d] > 1]
    if len(free) != 1 or not dims:
        shape = ", ".join(f"{dim} ({n})" for dim, n in result[name].sizes.items()) or "none"
        raise NeurofitError(f"A map needs two dimensions of several values; {name} has {shape}.")
    rows = "layer" if "layer" in dims else dims[-1]
    others = result[name].isel({rows: 0}, drop=True).to_dataset(name=name)
    return [Matrix(result, name, names, rows, free[0]) for names, _ in series(others, name)]


def layers(
    result: xr.Dataset,
    ax: Axes | None = None,
    *,
    matrix: Matrix | None = None,
    limits: tuple[float, float] | None = None,
    colorbar: bool = True,
) -> Axes:
    """Draw a result as a map: its layers, or another dimension, over time bins.

    The first layer is the lowest row. A dot marks the best row of each column. The name of the
    layer that held-out training images choose is bold (variable `layer_choice`). A result whose
    main quantity has two dimensions, such as model time and recorded time, is drawn with these.
    Cells without a score stay empty.

    Parameters
    ----------
    result
        A result with one matrix; see `neurofit.results.figures.heatmaps.matrices`.
    ax
        Axes to draw on; new ones by default.
    matrix
        One matrix of several.
    limits
        Values of the ends of the colour scale, by default from 0 to the largest value.
    colorbar
        Whether to add a colour bar beside the axes.

    Raises
    ------
    NeurofitError
        If the result has no matrix, or several and none is chosen.
    """
    if matrix is None:
        every = matrices(result)
        if len(every) > 1:
            names = "; ".join(", ".join(each.names.values()) for each in every)
            raise NeurofitError(f"Axes hold one map; the result has {len(every)}: {names}.")
        matrix = every[0]
    with drawing_on(ax) as ax:
        low, high = colour_limits([matrix]) if limits is None else limits
        rows, columns = (edges(result, dim) for dim in (matrix.rows, matrix.columns))
        mesh = ax.pcolormesh(
            columns,
            rows,
            matrix.values,
            cmap="RdBu_r" if low < 0 else "viridis",
            vmin=low,
            vmax=high,
            rasterized=matrix.values.size > 4000,
        )
        if matrix.rows in SERIES:
            _mark_best(ax, matrix)
        _draw_path(ax, matrix)
        for dim, axis in ((matrix.columns, ax.xaxis), (matrix.rows, ax.yaxis)):
            if result[dim].dtype.kind not in "iuf":
                axis.set_ticks(range(result.sizes[dim]), [str(n) for n in result[dim].values])
        _mark_chosen(ax, matrix)
        ax.set_xlabel(axis_label(matrix.columns, matrix.rows))
        ax.set_ylabel(axis_label(matrix.rows))
        if matrix.columns == "time_bin" and add_image_bar(ax, result):
            ax.set_ylim(rows[0] - 0.05 * (rows[-1] - rows[0]), rows[-1])  # room for the bar
        if colorbar:
            add_colour_bar(ax, mesh, [ax], result[matrix.name].attrs)
        finish(ax)
    return ax


def add_colour_bar(ax: Axes, mesh: Any, beside: Sequence[Axes], attrs: dict[str, Any]) -> None:
    """Add a colour bar beside axes, with the quantity as its label."""
    bar = ax.figure.colorbar(mesh, ax=list(beside), pad=0.02, aspect=25)
    bar.outline.set_visible(False)
    bar.set_label(wrapped(quantity(attrs)))
    finish(bar.ax)


def colour_limits(every: Sequence[Matrix]) -> tuple[float, float]:
    """Return the ends of a colour scale: from 0, or symmetric if values are clearly negative."""
    finite = np.concatenate([each.values[np.isfinite(each.values)] for each in every])
    low, high = float(finite.min(initial=0.0)), float(finite.max(initial=0.0))
    if low < -0.25 * high or high == 0:
        largest = max(-low, high) or 1.0
        return -largest, largest
    return 0.0, high


def shape(matrix: Matrix) -> float:
    """Return how high a map is for its width, with the same scale of ms on both axes; else 0."""
    if not (is_time(matrix.rows) and is_time(matrix.columns)):
        return 0.0
    height, width = (np.ptp(edges(matrix.result, dim)) for dim in (matrix.rows, matrix.columns))
    return float(height / width)


def _mark_best(ax: Axes, matrix: Matrix) -> None:
    """Mark the best row of each column with a dot."""
    values = matrix.values
    columns = np.flatnonzero(np.isfinite(values).any(axis=0))
    best = np.nanargmax(values[:, columns], axis=0)
    at = edges(matrix.result, matrix.columns)
    middle = (at[1:] + at[:-1])[columns] / 2
    style: dict[str, Any] = {
        "markersize": 3.2,
        "markerfacecolor": "white",
        "markeredgecolor": "black",
    }
    label = f"best {matrix.rows} of each bin"
    ax.plot(middle, best, "o", markeredgewidth=0.5, label=label, **style)


def _draw_path(ax: Axes, matrix: Matrix) -> None:
    """Draw the variable that the attribute `path` names, beside the line of equal values."""
    if name := path_of(matrix):
        at = edges(matrix.result, matrix.columns)
        middle, path = (at[1:] + at[:-1]) / 2, like(matrix.result, name, matrix.names)
        style: dict[str, Any] = {"color": "black", "linewidth": 1.4}
        if np.isfinite(path.values).any():
            ax.plot(middle, path.values, label=path.attrs["long_name"], **style)
        ax.axline((middle[0], middle[0]), slope=1, linestyle=":", label="equal times", **style)


def path_of(matrix: Matrix) -> str:
    """Return the name of the variable that is drawn on a matrix as a line; empty if none is."""
    return str(matrix.result[matrix.name].attrs.get("path", ""))


def _mark_chosen(ax: Axes, matrix: Matrix) -> None:
    chosen = chosen_layer(matrix.result, matrix.names)
    for tick in ax.get_yticklabels():
        if matrix.rows == "layer" and tick.get_text() == chosen:
            tick.set_fontweight("bold")


def is_map(result: xr.Dataset) -> bool:
    """Return whether a result is drawn as a map: two dimensions, or more layers than lines suit."""
    name = headline(result)
    free = axes(result, name)
    many = result.sizes.get("layer", 1) > 3 and "layer" in result[name].dims
    over_time = len(free) == 1 and result.sizes[free[0]] > 1 and is_time(free[0])
    return len(free) == 2 or (many and over_time)
