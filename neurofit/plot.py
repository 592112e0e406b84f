"""Pictures of results; matplotlib is imported when one is drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from neurofit.home import atomic_file

CURVE = "#2a5b8c"
CEILING = "#8a8a8a"
MORE_LAYERS = ("#2a5b8c", "#c2571a", "#3c7d46", "#7d4e9e", "#8a6d1b", "#b03a5b")


def plot_curve(result: xr.Dataset, path: Path) -> None:
    """Draw a result: the curve with its interval and the ceiling, and below it how many neuroids each bin rests on.

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
    figure = Figure(figsize=(7, 4.8), layout="constrained")
    axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    for i, layer in enumerate(result.layer.values):
        colour = MORE_LAYERS[i % len(MORE_LAYERS)]
        low, high = result.curve_low.values[i], result.curve_high.values[i]
        if len(middle) == 1:
            axes.errorbar(
                middle, result.curve.values[i], [result.curve.values[i] - low, high - result.curve.values[i]], color=colour, capsize=4
            )
        axes.fill_between(middle, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.plot(middle, result.curve.values[i], color=colour, marker="o", markersize=3.5, label=f"{result.attrs['model']}, {layer}")
        counts.step(
            _edges(starts, ends), np.append(result.n_neuroids.values[i], result.n_neuroids.values[i][-1]), where="post", color=colour
        )
    axes.plot(middle, result.ceiling.values, color=CEILING, linestyle="--", marker=".", label="split-half reliability of the recording")
    axes.axhline(1, color="black", linewidth=0.6)
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set_ylim(min(-0.05, axes.get_ylim()[0]), max(1.08, axes.get_ylim()[1]))
    axes.set_ylabel(result.attrs["formula"].split(", median")[0].replace(" over neuroids", "").replace(" = ", " =\n"))
    axes.legend(frameon=False, fontsize="small", loc="upper left")
    simulated = "  (SIMULATED)" if result.attrs["simulated"] else ""
    axes.set_title(f"{result.attrs['region']} of {result.attrs['recording']}{simulated}", loc="left", fontweight="bold")
    axes.set_title(f"{result.attrs['mapping']}, {result.attrs['time_mode']}, {result.attrs['preset']}", loc="right", fontsize="small")
    counts.set_ylabel("reliable\nneuroids")
    counts.set_ylim(0, result.sizes["neuroid"] * 1.1)
    counts.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    counts.set_xlabel("time from stimulus onset (ms)")
    for part in (axes, counts):
        part.spines[["top", "right"]].set_visible(False)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")


def _edges(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    return np.append(starts, ends[-1])
