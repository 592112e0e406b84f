"""What figures share: the lines of results, words on axes, limits, and the bar of the image."""

from __future__ import annotations

import json
import re
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import xarray as xr

from neurofit.errors import NeurofitError
from neurofit.results.figures.looks import colours, ink, settings
from neurofit.results.labels import label_results
from neurofit.results.schema import axes, headline, is_time, like, series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Results = xr.Dataset | Sequence[xr.Dataset] | Mapping[str, xr.Dataset]
"""A result, several, or several under labels of your own."""

SHOWN = "presentation"
"""Key of the attribute `activations`: how images were shown to the model."""

WITH_INTERVALS = 3
"""Up to so many lines in the same axes are drawn with intervals and bands."""


TIMES = {
    "time_bin_fit": ("training", "test"),
    "time_bin_train": ("training", "test"),
    "time_bin_model": ("model", "recorded"),
    "time_bin_source": ("source", "target"),
}
"""What the times of a map are: along a dimension, and along the time bins beside it."""

SEAM = "\u200b"
"""Zero-width space: where a name may be broken."""


@dataclass(frozen=True)
class Line:
    """A series of a result as it is drawn.

    Parameters
    ----------
    label
        Label in the legend.
    result, name, names
        Where its values come from: variable, and the names along its series dimensions.
    colour, dashes
        Colour and dash pattern.
    """

    label: str
    result: xr.Dataset
    name: str
    names: dict[str, str]
    colour: Any
    dashes: str

    @property
    def values(self) -> np.ndarray:
        """The values along the dimensions that are not series."""
        return self.of(self.name)

    def of(self, name: str) -> np.ndarray:
        """Return the values of another variable at the same names."""
        dims = [dim for dim in axes(self.result, self.name) if dim in self.result[name].dims]
        return np.asarray(like(self.result, name, self.names).transpose(..., *dims).values)

    def ends(self, kind: str = "") -> tuple[np.ndarray, np.ndarray] | None:
        """Return both ends of the interval, or with "band_" those of the band, if there are any."""
        attrs = self.result[self.name].attrs
        if f"{kind}low" not in attrs:
            return None
        return self.of(attrs[f"{kind}low"]), self.of(attrs[f"{kind}high"])


def as_mapping(results: Results) -> dict[str, xr.Dataset]:
    """Return results under different labels; a single one under ""."""
    if isinstance(results, xr.Dataset):
        return {"": results}
    if isinstance(results, Mapping):
        return dict(cast(Mapping[str, xr.Dataset], results))
    if len(results) == 0:
        raise NeurofitError("A figure needs at least one result; got none.")
    if len(results) == 1:
        return {"": results[0]}
    return dict(zip(label_results(results), results, strict=True))


def lines_of(results: Results, name: str | None = None) -> list[Line]:
    """Return every series of a variable, by default of the main quantity, of every result.

    Raises
    ------
    NeurofitError
        If the results hold different quantities, which do not belong on the same axis.
    """
    found = as_mapping(results)
    quantities: dict[str, str] = {}
    every: list[tuple[str, xr.Dataset, str, dict[str, str]]] = []
    for label, result in found.items():
        own = headline(result) if name is None else name
        quantities.setdefault(quantity(result[own].attrs), label or result.attrs["model"])
        listed = list(series(result, own))
        for names, _ in listed:
            named = label or "part" in names  # a part says of which model it is
            shown = [n for d, n in names.items() if result.sizes[d] > 1 or not named]
            first = label or ("" if {"model", "part"} & set(names) else result.attrs["model"])
            first = first or ("" if shown else result.attrs["region"])
            words = ", ".join(filter(None, [first, *shown]))
            layer = names.get("layer", "")
            if layer in shown and (chosen := chosen_layer(result, names)):
                words += f" (mostly {chosen})" * (layer == "auto") + " (chosen)" * (layer == chosen)
            every.append((words, result, own, names))
    if len(quantities) > 1:
        listed_words = " and ".join(f"{q!r} ({of})" for q, of in list(quantities.items())[:2])
        raise NeurofitError(
            f"Results in the same axes need the same main quantity; got {listed_words}."
        )
    looks = colours(len(every))
    return [Line(*each, *look) for each, look in zip(every, looks, strict=True)]


def quantity(attrs: Mapping[str, Any]) -> str:
    """Return the name of a quantity with its units, as on an axis."""
    words = str(attrs["long_name"])
    units = "" if attrs["units"] == "1" else f" ({attrs['units']})"
    return f"{words[:1].upper()}{words[1:]}{units}"


def short(words: str, noun: str) -> str:
    """Return the beginning of a description for a legend: "95% interval"."""
    head = re.split(r",| over | for | from | \(", words)[0].strip()
    return head if re.search(r"[a-z]", head) else f"{head} {noun}"


def axis_label(dim: str, other: str = "") -> str:
    """Return the label of an axis along a dimension, and beside another in a map."""
    if not is_time(dim):
        return dim.replace("_", " ").capitalize()
    of = dim.removeprefix("time_bin").strip("_").replace("_", " ")
    of = TIMES.get(other, ("", of))[1] if dim == "time_bin" else TIMES.get(dim, (of, ""))[0]
    return f"{of} time from image onset (ms)".strip().capitalize().replace("(Ms)", "(ms)")


def title(result: xr.Dataset) -> str:
    """Return the area and the recording, and whether responses or a model are not the real ones."""
    attrs = result.attrs
    simulated = " (simulated)" if attrs["simulated"] else ""
    control = f", control: {attrs['control']}" if attrs["control"] else ""
    return f"{attrs['region']} of {attrs['recording']}{simulated}{control}"


def shared_title(results: Results) -> str:
    """Return what the titles of results have in common, each different one once."""
    return "; ".join(dict.fromkeys(map(title, as_mapping(results).values())))


def edges(result: xr.Dataset, dim: str) -> np.ndarray:
    """Return the edges of the cells of a map along a dimension; names are one cell each."""
    if is_time(dim):
        starts, ends = (result[f"{dim}_{end}"].values for end in ("start", "end"))
        return np.append(starts, ends[-1]).astype(float)
    values = result[dim].values
    if values.dtype.kind not in "iuf" or len(values) < 2:
        return np.arange(len(values) + 1) - 0.5
    middle = (values[1:] + values[:-1]) / 2
    return np.concatenate([[2 * values[0] - middle[0]], middle, [2 * values[-1] - middle[-1]]])


def span(results: Results, dim: str) -> tuple[float, float]:
    """Return the first start and the last end of the time bins of all results, in ms."""
    every = [edges(result, dim) for result in as_mapping(results).values()]
    return min(each[0] for each in every), max(each[-1] for each in every)


def image_duration(results: Results) -> float | None:
    """Return for how long the image is on, in ms; None unless all models agree on it.

    It is the first timestep without the image in the attribute `activations`, which a comparison
    has for each of its models.
    """
    found = set()
    for result in as_mapping(results).values():
        own = json.loads(result.attrs["activations"])
        nested = [each for each in own.values() if isinstance(each, dict) and SHOWN in each]
        for made in nested or [own]:
            off, step = (made.get(SHOWN) or {}).get("image_off"), made.get("ms_per_timestep")
            found.add(None if off is None or step is None else float(off) * float(step))
    return found.pop() if len(found) == 1 else None


def add_image_bar(ax: Axes, results: Results) -> bool:
    """Draw a bar at the foot of the axes while the image is on; return whether it is known."""
    from matplotlib.transforms import blended_transform_factory

    duration = image_duration(results)
    if duration is None:
        return False
    low, high = ax.get_xlim()
    ax.plot(
        [max(0.0, low), min(duration, high)],
        [0.015, 0.015],
        transform=blended_transform_factory(ax.transData, ax.transAxes),
        color=ink(0.45),
        linewidth=3,
        solid_capstyle="butt",
        label="image on",
        scalex=False,
        scaley=False,
        zorder=1,
    )
    return True


def chosen_layer(result: xr.Dataset, names: dict[str, str]) -> str | None:
    """Return the layer that most splits choose on held-out training stimuli (`layer_choice`)."""
    if "layer_choice" not in result:
        return None
    choices = like(result, "layer_choice", names).values.ravel().tolist()
    return str(Counter(choices).most_common(1)[0][0]) if choices else None


def limit_scores(ax: Axes, drawn: Sequence[np.ndarray], best: float = float("nan")) -> None:
    """Give the axis of scores its limits: from 0, up to a perfect model if that is near.

    Parameters
    ----------
    ax
        Axes.
    drawn
        All values that have to be visible.
    best
        Value of a perfect model, or NaN.
    """
    values = np.concatenate([np.ravel(each) for each in drawn])
    values = values[np.isfinite(values)]
    low, top = float(values.min(initial=0.0)), float(values.max(initial=0.0))
    if np.isfinite(best) and best > 0:
        low = max(low, -0.5 * best)  # noise of bins without signal
        if top > 0.75 * best:
            top = max(top, best)
            ax.axhline(best, color=ink(0.5), linewidth=0.6, linestyle=(0, (1, 2)), zorder=0)
    top = top if top > low else 1.0
    ax.set_ylim(low - 0.06 * (top - low), top + 0.06 * (top - low))
    ax.axhline(0, color=ink(0.5), linewidth=0.6, zorder=0)


def wrapped(words: str, width: int = 26) -> str:
    """Return words on several lines; names that are too long are broken after an underscore."""
    if max(map(len, words.split()), default=0) > width:
        words = words.replace("_", f"_{SEAM} ")
    rows = textwrap.wrap(words, width, break_on_hyphens=False)
    return "\n".join(rows).replace(f"{SEAM} ", "").replace(SEAM, "")


def finish(ax: Axes) -> None:
    """Fix sizes and colours of ticks, which matplotlib otherwise reads when it draws them."""
    now = settings()
    for axis in ("x", "y"):
        ax.tick_params(
            axis=axis,
            labelsize=now[f"{axis}tick.labelsize"],
            color=now[f"{axis}tick.color"],
            width=now[f"{axis}tick.major.width"],
            length=now[f"{axis}tick.major.size"],
        )


def legend_columns(labels: Sequence[str], width: float) -> int:
    """Return how many columns of a legend fit into a width in mm."""
    entry = 7.0 + 1.35 * max(map(len, labels))  # handle and gap, and 7 pt letters
    return max(1, min(len(labels), int(width / entry)))


def add_legend(
    ax: Axes,
    handles: Sequence[Any] | None = None,
    *,
    labels: Sequence[str] | None = None,
    width: float = 0.0,
) -> None:
    """Put the legend above the axes, where it covers nothing, in as many columns as fit.

    Parameters
    ----------
    ax
        Axes.
    handles, labels
        Artists and their labels; by default those of the axes, each label once.
    width
        Width in mm to fill; by default most of the figure's.
    """
    if handles is None or labels is None:
        found = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
        handles, labels = list(found.values()), list(found)
    if not labels:
        return
    ax.legend(
        handles,
        labels,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=legend_columns(labels, width or ax.get_window_extent().width / ax.figure.dpi * 25.4),
        borderaxespad=0.3,
        columnspacing=1.2,
    )
