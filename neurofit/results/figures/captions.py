"""Captions: what a figure shows, with the formula, the intervals and all that words can say."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from neurofit.results.figures.compose import (
    MOST_LINES,
    MOST_PAIRS,
    beside_of,
    has_raw_panel,
    kind_of,
)
from neurofit.results.figures.heatmaps import matrices, path_of
from neurofit.results.figures.lines import RAW
from neurofit.results.figures.paired import beyond_band, per_neuroid
from neurofit.results.figures.parts import (
    WITH_INTERVALS,
    Line,
    Results,
    as_mapping,
    chosen_layer,
    image_duration,
    lines_of,
    quantity,
    shared_title,
)
from neurofit.results.figures.points import learning_means, noun_of, site_values
from neurofit.results.schema import axes, describe_selection, headline, is_time, series

if TYPE_CHECKING:
    import xarray as xr


def caption(results: Results, kind: str = "auto") -> str:
    """Return the caption of a figure that `draw` makes of the same results.

    It states the quantity with its formula, what lines, shading and marks mean, the method and the
    selected part of the recording.

    Parameters
    ----------
    results, kind
        As in `draw`.

    Returns
    -------
    Sentences, joined by spaces.
    """
    kind = kind_of(results) if kind == "auto" else kind
    makers = {
        "curves": _curves,
        "difference": _difference,
        "layers": _layers,
        "scatter": _scatter,
        "learning": _learning,
    }
    return " ".join([*makers[kind](results), *_origin(results)])


def _curves(results: Results) -> list[str]:
    lines = lines_of(results)
    first = lines[0].result
    if all(line.values.size == 1 for line in lines):
        return _sites(results, lines)
    (dim,) = axes(first, lines[0].name)
    along = "over time" if is_time(dim) else f"by {dim.removesuffix('s')}"
    said = [f"{_name(first)} {along}, {shared_title(results)}: {_listed(lines)}."]
    few = len(lines) <= WITH_INTERVALS
    said += [_formula(first), *(_ends(lines) if few else [])]
    if len(lines) > MOST_LINES:
        said.append("Each panel has one of them in colour and the others in grey.")
    elif has_raw_panel(lines):
        bound = first[first[headline(first)].attrs["bound"]].attrs["long_name"]
        if RAW in first:
            said.append(
                f"Lower panel: raw r, the {first[RAW].attrs['long_name']}; dashed: the largest "
                f"raw r that a perfect model could have, the square root of the {bound}."
            )
        else:
            said.append(f"Lower panel: {bound}.")
    if beside := beside_of(lines):
        said.append(f"Lowest panel: {first[beside].attrs['long_name']}.")
    if len(lines) == 1 and "curve_of_subject" in first:
        said.append("Dashed and coloured: each subject alone.")
    bar = _bar(results) if dim == "time_bin" else []
    return [*said, *bar, *_counts(lines), *_chosen(lines)]


def _sites(results: Results, lines: list[Line]) -> list[str]:
    first = lines[0].result
    numbers = [len(site_values(line)) for line in lines]
    points = f"Small points: neuroids ({_numbers(numbers)}). " if any(numbers) else ""
    said = [f"{_name(first)}, {shared_title(results)}: {_listed(lines)}.", _formula(first)]
    attrs = first[headline(first)].attrs
    interval = attrs.get("interval", "")
    said.append(
        f"{points}Large point: the {noun_of(attrs)}{f' with its {interval}' * bool(interval)}."
    )
    if course := beside_of(lines):
        said.append(f"Upper panel: {first[course].attrs['long_name']}.")
    best = float(attrs["best"])
    if np.isfinite(best) and best > 0:
        beyond = sum(
            int(((v := site_values(line)) > 1.5 * best).sum() + (v < -0.5 * best).sum())
            for line in lines
        )
        if beyond:
            said.append(f"Beyond the axis: {beyond} of {sum(numbers)} neuroids.")
    return said


def _difference(results: Results) -> list[str]:
    (result,) = as_mapping(results).values()
    name = headline(result)
    pairs = [names["pair"] for names, _ in series(result, name)]
    lines = lines_of(result)
    upper = len(pairs) <= MOST_PAIRS
    said = [
        f"{'Upper panel: scores of the models; below: ' * upper}{_name(result, upper)}, "
        f"{shared_title(results)}: {', '.join(pairs)}.",
        _formula(result),
        *_ends(lines),
    ]
    if "band_low" in result[name].attrs:
        marked = [f"{int(beyond_band(result, pair).sum())} of {pair}" for pair in pairs]
        said.append(f"Bars at the top: bins in which the band excludes 0 ({'; '.join(marked)}).")
    return [*said, *_bar(results), *json.loads(result.attrs.get("conclusion", "[]"))]


def _layers(results: Results) -> list[str]:
    result = next(iter(as_mapping(results).values()))
    matrix = matrices(result)[0]
    rows, columns = (
        "time bin" if d == "time_bin" else d.replace("_", " ")
        for d in (matrix.rows, matrix.columns)
    )
    said = [f"{_name(result)} of each {rows} and {columns}, {shared_title(results)}."]
    said += [_formula(result), "Empty cells have no score."]
    if path := path_of(matrix):
        said.append(f"Line: {result[path].attrs['long_name']}; dotted: equal times.")
    if beside := str(result[matrix.name].attrs.get("panel", "")):
        attrs = result[beside].attrs
        said.append(f"Lower panel: {attrs['long_name']}; shaded: {attrs['interval']}.")
    if matrix.rows == "layer":
        said.append("Dots mark the best layer of each bin.")
        chosen = chosen_layer(result, matrix.names)
        if chosen:
            said.append(f"Held-out training images choose {chosen} (bold).")
    return [*said, *_bar(results)]


def _scatter(results: Results) -> list[str]:
    (x, a), (y, b) = as_mapping(results).items()
    values, subjects = per_neuroid(a, b)
    above = int((values[1] > values[0]).sum())
    coloured = " Colours: subjects." if len(set(subjects.tolist())) > 1 else ""
    return [
        f"Raw r of each neuroid with {x} and with {y}, {shared_title(results)}: correlation of "
        "prediction and response on test images, not corrected for noise, mean over splits and "
        f"over the time bins in which both models have a score. {values.shape[1]} neuroids, of "
        f"which {above} lie above the line y = x.{coloured}"
    ]


def _learning(results: Results) -> list[str]:
    lines = lines_of(results)
    first = lines[0].result
    shown = [
        f"{line.label} {means[0]:.2f} to {means[-1]:.2f}"
        for line in lines
        if np.isfinite(means := learning_means(line)).all()
    ]
    return [
        f"{_name(first)} over the number of training images, {shared_title(results)}; mean over "
        f"the time bins that have a score with every number: {'; '.join(shown)}.",
        _formula(first),
        "Error bars: standard error over neuroids of the last rise.",
    ]


def _name(result: xr.Dataset, lower: bool = False) -> str:
    words = quantity(result[headline(result)].attrs)
    return f"{words[:1].lower()}{words[1:]}" if lower else words


def _formula(result: xr.Dataset) -> str:
    attrs = result[headline(result)].attrs
    best = float(attrs["best"])
    perfect = f"; a perfect model has {best:g}" if np.isfinite(best) else ""
    return f"Formula: {attrs['formula']}{perfect}."


def _ends(lines: list[Line]) -> list[str]:
    every = [line.result[line.name].attrs for line in lines]
    intervals = dict.fromkeys(attrs["interval"] for attrs in every if "interval" in attrs)
    bands = dict.fromkeys(attrs["band"] for attrs in every if "band" in attrs)
    return [
        *(f"Shaded: {words}." for words in intervals),
        *(f"Thin lines: {words}." for words in bands),
    ]


def _bar(results: Results) -> list[str]:
    duration = image_duration(results)
    return [] if duration is None else [f"Bar at the foot: image on, 0 to {duration:g} ms."]


def _counts(lines: list[Line]) -> list[str]:
    numbers = []
    for line in lines:
        name = line.result[line.name].attrs.get("count")
        if name is not None:
            counts = line.of(name)[np.isfinite(line.values)]
            numbers += [int(each) for each in counts]
    return [f"{_numbers(numbers)} neuroids."] if numbers else []


def _numbers(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _chosen(lines: list[Line]) -> list[str]:
    """Return how often each layer was chosen, if a result chooses among layers."""
    said = []
    for line in lines:
        if "layer_choice" in line.result and line.result.sizes.get("layer", 1) == 1:
            chosen = Counter(line.result["layer_choice"].values.ravel().tolist())
            words = ", ".join(f"{name} ({n})" for name, n in chosen.most_common())
            said.append(f"Layers that held-out training images choose, with splits: {words}.")
    return list(dict.fromkeys(said))


def _origin(results: Results) -> list[str]:
    """Return the methods and selections of results, each once."""
    every = list(as_mapping(results).values())
    methods = dict.fromkeys(r.attrs["method"] for r in every if r.attrs.get("method"))
    selections = dict.fromkeys(s for r in every if (s := describe_selection(r)))
    return [
        *(f"Method: {words}." for words in methods),
        *(f"Selection: {words}." for words in selections),
    ]


def _listed(lines: list[Line]) -> str:
    return ", ".join(line.label for line in lines)
