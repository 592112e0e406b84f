"""Pictures of results; matplotlib is imported when one is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurofit.home import atomic_file
from neurofit.result import selection_of

CURVE = "#2a5b8c"
CEILING = "#8a8a8a"
FEW_LAYERS = ("#2a5b8c", "#c2571a", "#3c7d46")
"""Colours of layers that are drawn with their intervals; more layers are drawn from light to dark in the model's order."""


def plot_curve(result: xr.Dataset, path: Path) -> None:
    """Draw a result: each layer's curve and the ceiling, and below it how many neuroids each bin rests on.

    Up to three layers are drawn with their intervals.

    Parameters
    ----------
    result
        Of `neurofit.score`.
    path
        PNG to write, whole or not at all.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    starts, ends = result.time_bin_start.values, result.time_bin_end.values
    middle = (starts + ends) / 2
    layers = result.layer.values
    few = len(layers) <= len(FEW_LAYERS)
    figure = Figure(figsize=(7 if few else 8.6, 4.8), layout="constrained")
    axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    for layer, colour, values, low, high, n_neuroids in zip(
        layers,
        FEW_LAYERS if few else _light_to_dark(len(layers)),
        *(result[name].values for name in ("curve", "curve_low", "curve_high", "n_neuroids")),
        strict=False,
    ):
        if few:
            if len(middle) == 1:
                axes.errorbar(middle, values, [values - low, high - values], color=colour, capsize=4)
            axes.fill_between(middle, low, high, color=colour, alpha=0.2, linewidth=0)
        label = f"{result.attrs['model']}, {layer}" if few else layer
        axes.plot(middle, values, color=colour, marker="o", markersize=3.5 if few else 2.5, label=label)
        counts.step(_edges(starts, ends), np.append(n_neuroids, n_neuroids[-1]), where="post", color=colour)
    perfect = result.attrs["perfect_score"]
    axes.plot(
        middle,
        perfect * result.ceiling.values,
        color=CEILING,
        linestyle="--",
        marker=".",
        label="split-half reliability of the recording" if few else "recording's\nreliability",
    )
    axes.axhline(perfect, color="black", linewidth=0.6)
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set_ylim(min(-0.05 * perfect, axes.get_ylim()[0]), max(1.08 * perfect, axes.get_ylim()[1]))
    axes.set_ylabel(result.attrs["formula"].split(", median")[0].replace(" over neuroids", "").replace(" = ", " =\n"))
    if few:
        axes.legend(frameon=True, framealpha=1, edgecolor="none", fontsize="small", loc="upper left")
    else:
        figure.legend(
            *axes.get_legend_handles_labels(), frameon=False, fontsize="small", loc="outside right upper", title=result.attrs["model"]
        )
    simulated = "  (SIMULATED)" if result.attrs["simulated"] else ""
    axes.set_title(f"{result.attrs['region']} of {result.attrs['recording']}{simulated}", loc="left", fontweight="bold", parse_math=False)
    how = f"{result.attrs['mapping_name']}, {result.attrs['time_mode']}, {result.attrs['preset']}"
    axes.set_title(_below(selection_of(result), how), loc="right", fontsize="small", parse_math=False)
    counts.set_ylabel("reliable\nneuroids")
    counts.set_ylim(0, result.sizes["neuroid"] * 1.1)
    counts.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    counts.set_xlabel("time from stimulus onset (ms)")
    for part in (axes, counts):
        part.spines[["top", "right"]].set_visible(False)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")


def _light_to_dark(n: int) -> list[tuple[float, ...]]:
    from matplotlib import colormaps

    return [tuple(colour) for colour in colormaps["viridis_r"](np.linspace(0.12, 1.0, n))]


def _below(selection: str, line: str) -> str:
    """Return what stands at the right of a title: a line, under what was selected, if anything was."""
    return "\n".join(filter(None, [selection if len(selection) <= 60 else f"{selection[:60]} ...", line]))


def _edges(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    return np.append(starts, ends[-1])


def plot_ceiling(result: xr.Dataset, path: Path) -> None:
    """Draw the reliability of a recording: the median over neuroids with its interval, over a line for each neuroid.

    Parameters
    ----------
    result
        Of `neurofit.ceiling`.
    path
        PNG to write, whole or not at all.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    (_one_ceiling if result.sizes["time_bin"] == 1 else _ceiling_in_time)(axes, result)
    simulated = "  (SIMULATED)" if result.attrs["simulated"] else ""
    axes.set_title(f"{result.attrs['region']} of {result.attrs['recording']}{simulated}", loc="left", fontweight="bold", parse_math=False)
    n = f"{result.sizes['neuroid']} neuroids, {result.attrs['n_halves']} halves"
    axes.set_title(_below(selection_of(result), n), loc="right", fontsize="small", parse_math=False)
    axes.legend(frameon=True, framealpha=1, edgecolor="none", fontsize="small", loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")


def _ceiling_in_time(axes: Any, result: xr.Dataset) -> None:
    middle = (result.time_bin_start.values + result.time_bin_end.values) / 2
    axes.plot(middle, result.reliability.values.T, color=CEILING, linewidth=0.4, alpha=min(0.35, 20 / result.sizes["neuroid"]))
    axes.plot([], [], color=CEILING, linewidth=0.8, label="neuroids")
    band = f"{result.attrs['interval'].split(',')[0]} of the median"
    axes.plot(middle, result.curve.values, color=CURVE, marker="o", markersize=3, zorder=3, label="median")
    low, high = result.curve_low.values, result.curve_high.values
    axes.fill_between(middle, low, high, color=CURVE, alpha=0.3, linewidth=0, zorder=2.5, label=band)
    axes.axhline(0, color="black", linewidth=0.6)
    axes.axhline(1, color="black", linewidth=0.6)
    axes.set_ylim(-0.35, 1.05)
    axes.set_ylabel("split-half reliability\n(Spearman-Brown)")
    axes.set_xlabel("time from stimulus onset (ms)")


def _one_ceiling(axes: Any, result: xr.Dataset) -> None:
    every = result.reliability.values[:, 0]
    start, end = int(result.time_bin_start[0]), int(result.time_bin_end[0])
    axes.hist(np.clip(every[~np.isnan(every)], -0.3, 1), bins=np.linspace(-0.3, 1, 27), color=CEILING, alpha=0.6, label="neuroids")
    axes.axvline(float(result.curve[0]), color=CURVE, label="median")
    band = f"{result.attrs['interval'].split(',')[0]} of the median"
    axes.axvspan(float(result.curve_low[0]), float(result.curve_high[0]), color=CURVE, alpha=0.25, linewidth=0, label=band)
    axes.set_xlabel(f"split-half reliability (Spearman-Brown) in {start} to {end} ms")
    axes.set_ylabel("neuroids")
