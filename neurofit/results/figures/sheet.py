"""What a recording looks like: a sheet from which a person can judge whether it was read right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from neurofit.errors import NeurofitError
from neurofit.recordings.reliability import half_correlations
from neurofit.recordings.stimuli import NoImages
from neurofit.results.figures.looks import ink, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from neurofit.recordings.recording import Recording

WIDTH, HEIGHT = 180.0, 48.0
"""Width of the sheet and height of a row, in mm."""

PICTURES = 24
"""Largest number of pictures of the contact sheet."""

TRIALS = 200
"""Largest number of trials of the raster."""


def recording_sheet(recording: Recording, *, n_halves: int = 5, name: str = "light") -> Figure:
    """Draw a row for each area, and one for the stimuli.

    A row of an area has the responses over time (mean over trials, median and quartiles over
    neuroids), the trials of the most reliable neuroid, stimulus by stimulus, and the reliability of
    each time bin (median and quartiles over neuroids). The last row has the number of repetitions
    of the stimuli and a contact sheet of pictures at regular distances.

    Parameters
    ----------
    recording
        Valid recording; its responses are read twice, one area at a time.
    n_halves
        Number of random splits of the trials for the reliability.
    name
        Style, see `neurofit.results.figures.style`.
    """
    with style(name):
        n = len(recording.regions)
        figure = new_figure(WIDTH, HEIGHT * (n + 1) + 8)
        rows = figure.subfigures(n + 1, 1, squeeze=False)[:, 0]
        for row, region in zip(rows, recording.regions, strict=False):
            _draw_area(row, recording.select(region=region), region, n_halves)
        _draw_stimuli(rows[-1], recording)
        simulated = " (SIMULATED)" * recording.simulated
        figure.suptitle(f"{recording.name}{simulated}", fontsize="large")
        figure.draw_without_rendering()
    return figure


def _draw_area(row: Any, area: Recording, region: str, n_halves: int) -> None:
    over_time, raster, reliable = row.subplots(1, 3)
    bins = area.time_bins
    middles = [(start + end) / 2 for start, end in bins]
    n_neuroids = area.responses.sizes["neuroid"]
    row.suptitle(f"{region or '(no area)'}: {n_neuroids} neuroids", x=0.01, ha="left")
    psth = np.stack([_means(area.block(position)) for position in range(len(bins))], axis=1)
    _draw_quartiles(over_time, middles, psth)
    units = str(area.responses.attrs.get("units", "units not stated"))
    over_time.set_ylabel(f"Response ({units})")
    over_time.set_title("Mean over trials")
    if min(np.bincount(area.stimulus_rows)) > 1 and len(area.stimuli) > 2:
        reliability = half_correlations(area, n_halves=n_halves).reliability
        _draw_quartiles(reliable, middles, reliability)
        reliable.set_ylim(min(-0.1, float(np.nanmin(reliability, initial=0))), 1)
    else:
        reliability = np.full(psth.shape, np.nan)
        reliable.text(0.5, 0.5, "needs 2 repetitions", ha="center", transform=reliable.transAxes)
    reliable.axhline(0, color=ink(0.45), linewidth=0.5)
    reliable.set_ylabel("Reliability")
    reliable.set_title("Agreement of trial halves")
    best = int(np.argmax(np.nan_to_num(reliability, nan=-1).mean(axis=1)))
    _draw_raster(raster, area, best)
    for panel in (over_time, raster, reliable):
        panel.set_xlabel("Time from stimulus onset (ms)")
        panel.set_xlim(min(0, bins[0][0]), bins[-1][1])
    for panel in (over_time, reliable):
        _mark_image(panel, area)
    over_time.text(
        0, 0.98, " image on", va="top", color=ink(0.6), transform=over_time.get_xaxis_transform()
    )


def _draw_quartiles(ax: Axes, x: list[float], values: np.ndarray) -> None:
    """Draw median and quartiles over neuroids of values (neuroid time_bin)."""
    known = values[~np.isnan(values).all(axis=1)]
    if not len(known):
        return
    low, middle, high = np.nanquantile(known, [0.25, 0.5, 0.75], axis=0)
    if len(x) == 1:
        ax.errorbar(x, middle, [middle - low, high - middle], marker="o")
        return
    (line,) = ax.plot(x, middle)
    ax.fill_between(x, low, high, color=line.get_color(), alpha=0.25, linewidth=0)


def _means(block: np.ndarray) -> np.ndarray:
    """Return the mean of each neuroid over its trials; NaN without trials."""
    counts = np.isfinite(block).sum(axis=0)
    sums = np.where(np.isfinite(block), block, 0).sum(axis=0, dtype=np.float64)
    return np.where(counts, sums / np.maximum(counts, 1), np.nan)


def _mark_image(ax: Axes, area: Recording) -> None:
    """Shade the time for which the image is on."""
    end = min(area.stimuli.duration_ms, area.time_bins[-1][1])
    ax.axvspan(0, end, color=ink(0.1), linewidth=0, zorder=0)


def _draw_raster(ax: Axes, area: Recording, neuroid: int) -> None:
    """Draw trials over time of one neuroid, sorted by stimulus."""
    order = np.argsort(area.stimulus_rows, kind="stable")[:TRIALS]
    responses = area.responses.isel(neuroid=neuroid, presentation=np.sort(order))
    trials = np.asarray(responses.transpose("presentation", "time_bin").values, dtype=np.float32)
    trials = trials[np.argsort(np.argsort(order))]
    bins = area.time_bins
    edges = np.array([*(start for start, _ in bins), bins[-1][1]], dtype=float)
    edges = np.maximum.accumulate(edges)
    ax.pcolormesh(edges, np.arange(len(trials) + 1), trials, rasterized=True, cmap="Greys")
    changes = np.flatnonzero(np.diff(np.sort(area.stimulus_rows)[: len(trials)])) + 1
    ax.hlines(changes, edges[0], edges[-1], color=ink(0.45), linewidth=0.2)
    ax.set_ylim(len(trials), 0)
    ax.set_ylabel("Trial, by stimulus")
    name = str(area.responses.neuroid_id.values[neuroid])
    ax.set_title(f"Neuroid {name[:24]}")


def _draw_stimuli(row: Any, recording: Recording) -> None:
    from matplotlib.ticker import MaxNLocator

    counts_panel, pictures = row.subfigures(1, 2, width_ratios=(1, 2))
    row.suptitle(f"{len(recording.stimuli):,} stimuli", x=0.01, ha="left")
    ax = counts_panel.subplots()
    repetitions = np.bincount(recording.stimulus_rows)
    low, high = int(repetitions.min()), int(repetitions.max())
    ax.hist(repetitions, bins=np.arange(low - 0.5, high + 1, max(1, (high - low) // 30)))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("Repetitions")
    ax.set_ylabel("Stimuli")
    images = recording.stimuli.images
    if isinstance(images, NoImages):
        pictures.text(0.5, 0.5, "no images", ha="center")
        return
    shown = np.unique(np.linspace(0, len(images) - 1, PICTURES).astype(int))
    panels = pictures.subplots(3, max(1, -(-len(shown) // 3)), squeeze=False).ravel()
    for panel in panels:
        panel.axis("off")
    for panel, index in zip(panels, shown, strict=False):
        try:
            panel.imshow(images[int(index)])
        except NeurofitError:
            panel.text(0.5, 0.5, "?", ha="center", va="center")
        panel.set_title(str(recording.stimuli.ids[index])[:10], fontsize=4, pad=1)
