"""Scores of a single time bin as rows of points, and over the number of training stimuli."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from neurofit.errors import NeurofitError
from neurofit.results.figures.looks import drawing_on, ink
from neurofit.results.figures.parts import (
    Line,
    Results,
    add_legend,
    as_mapping,
    finish,
    limit_scores,
    lines_of,
    quantity,
    short,
    wrapped,
)
from neurofit.results.schema import axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SITES = "noise_corrected_r"
"""Variable with the noise-corrected r of each neuroid."""


def sites(results: Results, ax: Axes | None = None, *, legend: bool = True) -> Axes:
    """Draw scores of a single time bin, or of none, as a row for each model.

    Small points are neuroids: the variable that the main quantity names as its samples, or
    `noise_corrected_r` where the main quantity is a noise-corrected r. The large point is the score
    with its interval.

    Parameters
    ----------
    results, ax, legend
        As in `neurofit.results.figures.curves`.

    Raises
    ------
    NeurofitError
        If the main quantity has more than one value for each series, or the results hold different
        quantities.
    """
    lines = lines_of(results)
    if any(line.values.size != 1 for line in lines):
        dims = axes(lines[0].result, lines[0].name)
        raise NeurofitError(f"{lines[0].name} has several values along {', '.join(dims)}.")
    with drawing_on(ax, height=20.0 + 9.0 * len(lines)) as ax:
        attrs = lines[0].result[lines[0].name].attrs
        shown = []
        for row, line in enumerate(lines):
            neuroids = site_values(line)
            ax.plot(
                neuroids,
                row + _spread(neuroids),
                linestyle="",
                marker=".",
                markersize=3,
                markeredgewidth=0,
                color=line.colour,
                alpha=0.45,
                label="_neuroids",
                zorder=1,
            )
            value, ends = line.values.item(), line.ends()
            low, high = (value, value) if ends is None else (ends[0].item(), ends[1].item())
            ax.plot([low, high], [row, row], color=ink(), linewidth=1.4, zorder=2)
            ax.plot(
                [value],
                [row],
                marker="o",
                markersize=5,
                color=line.colour,
                markeredgecolor=ink(),
                label=f"_{line.label}",
                zorder=3,
            )
            shown += [np.array([value, low, high]), neuroids]
        _add_site_keys(ax, attrs, any(len(each) for each in shown[1::2]))
        best = float(attrs["best"])
        values = np.concatenate(shown)
        values = values[np.isfinite(values)]
        low, high = float(values.min(initial=0.0)), float(values.max(initial=0.0))
        if np.isfinite(best) and best > 0:
            low, high = max(low, -0.5 * best), min(max(high, best), 1.5 * best)
            ax.axvline(best, color=ink(0.5), linewidth=0.6, linestyle=(0, (1, 2)), zorder=0)
        margin = 0.04 * ((high - low) or 1.0)
        ax.set_xlim(low - margin, high + margin)
        ax.axvline(0, color=ink(0.5), linewidth=0.6, zorder=0)
        ax.set_yticks(range(len(lines)), [wrapped(line.label) for line in lines])
        ax.set_ylim(len(lines) - 0.5, -0.5)
        ax.set_xlabel(wrapped(quantity(attrs), 60))
        ax.spines["left"].set_visible(False)
        finish(ax)
        ax.tick_params(axis="y", length=0)
        if legend:
            add_legend(ax)
    return ax


def _add_site_keys(ax: Axes, attrs: dict[str, Any], with_neuroids: bool) -> None:
    """Add the meaning of the points to the legend."""
    if with_neuroids:
        ax.plot([], [], ".", markersize=3, color=ink(0.6), label="neuroids")
    words = noun_of(attrs)
    if "interval" in attrs:
        words += f" and {short(attrs['interval'], 'interval')}"
    ax.plot([], [], "o-", markersize=5, color=ink(0.6), markeredgecolor=ink(), label=words)


def noun_of(attrs: dict[str, Any]) -> str:
    """Return what a value is called: a score, or the name of a quantity that is none."""
    return "score" if np.isfinite(float(attrs["best"])) else str(attrs["long_name"])


def learning(results: Results, ax: Axes | None = None, *, legend: bool = True) -> Axes:
    """Draw the score over the number of training stimuli, a mean over time bins.

    The mean of the variable `curve_of_training` is over the bins that have a score with every
    number of training stimuli. The error bar of the last point is the standard error of the last
    rise over neuroids (`last_rise_error`).

    Parameters
    ----------
    results, ax, legend
        As in `neurofit.results.figures.curves`.

    Raises
    ------
    NeurofitError
        If a result has no learning curve.
    """
    if any("curve_of_training" not in result for result in as_mapping(results).values()):
        raise NeurofitError(
            "A result without curve_of_training has no learning curve: score with --learning-curve."
        )
    lines = lines_of(results)
    with drawing_on(ax) as ax:
        drawn = []
        for line in lines:
            means = learning_means(line)
            x = line.result["training"].values
            error = float(line.of("last_rise_error"))
            ax.plot(x, means, marker="o", label=line.label, color=line.colour, ls=line.dashes)
            ax.plot([x[-1]] * 2, means[-1] + np.array([-error, error]), color=line.colour)
            drawn += [means, means[-1:] + error]
        attrs = lines[0].result[lines[0].name].attrs
        limit_scores(ax, drawn, float(attrs["best"]))
        ax.set_ylabel(wrapped(f"{quantity(attrs)}, mean over bins"))
        ax.set_xlim(0, None)
        ax.set_xlabel("Training images")
        finish(ax)
        if legend:
            add_legend(ax)
    return ax


def learning_means(line: Line) -> np.ndarray:
    """Return the mean score over common bins for each number of training stimuli (training)."""
    values = np.asarray(
        line.result["curve_of_training"]
        .sel({d: n for d, n in line.names.items() if d in line.result["curve_of_training"].dims})
        .transpose("training", ...)
        .values
    )
    common = np.isfinite(values).all(axis=0)
    if not common.any():
        return np.full(len(values), np.nan)
    return np.asarray(values[:, common].mean(axis=1))


def site_values(line: Line) -> np.ndarray:
    """Return the values of neuroids behind a score of one bin (neuroid); none if not the same."""
    attrs = line.result[line.name].attrs
    name = attrs.get("samples")
    if name is None and attrs["formula"].split(" = ")[0] in ("pooled_r", SITES):
        name = SITES
    if name is None or name not in line.result:
        return np.empty(0)
    values = np.ravel(line.of(name))
    return np.asarray(values[np.isfinite(values)])


def _spread(values: np.ndarray) -> np.ndarray:
    """Return positions across a row that keep similar values apart, between -0.3 and 0.3."""
    order = np.empty(len(values))
    order[np.argsort(values, kind="stable")] = np.arange(len(values))
    return 0.6 * ((order * 0.618033988749895) % 1.0 - 0.5)
