"""What a report says in sentences: question, answer, baselines, ceilings and limits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby

import numpy as np
import xarray as xr

from neurofit.errors import NeurofitError, counted, some_of
from neurofit.results.paper import Estimate, paper_table
from neurofit.results.report.charts import estimate_text
from neurofit.results.report.panels import Line, Panel, at
from neurofit.results.schema import describe_selection, headline, is_time, like, series
from neurofit.results.tables import further_scores, p_text, p_values

MOST = 3
"""Up to so many curves are described one by one."""

FEW_SUBJECTS = 5


def question(panels: Sequence[Panel]) -> str:
    """Return the question that the results answer, once for panels that differ in their area."""
    asked: dict[tuple[str, str, str], list[str]] = {}
    for panel in panels:
        models = dict.fromkeys(r.attrs["model"] for r in panel.results if not r.attrs["control"])
        names = [name for name in models if name]
        of = " of"
        if names and "pair" not in panel.score.dims:
            with_area = "model" in panel.score.dims  # a line for the recording too
            of = f" of {listed(names)} {'and of' if with_area else 'for'}"
        when = ""
        if panel.dims and is_time(panel.dims[0]):
            dim = panel.dims[0]
            start, end = (panel.first[f"{dim}_{end}"].values for end in ("start", "end"))
            when = f", from {start.min()} to {end.max()} ms after stimulus onset"
        key = (f"{panel.score.attrs['long_name']}{of}", panel.where, when)
        asked.setdefault(key, []).append(panel.first.attrs["region"])
    return " ".join(
        f"What is the {what} {listed(regions)} of {where}{when}?"
        for (what, where, when), regions in asked.items()
    )


def listed(names: Sequence[str]) -> str:
    """Return names as "a, b and c"; of many, the first ones and how many more."""
    if len(names) > 6:
        return some_of(names, most=5)
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def answer(panel: Panel, conclusion: Sequence[str]) -> str:
    """Return what a panel shows in a few sentences; the first one of a comparison if any."""
    lines = [line for line in panel.lines if not line.control] or panel.lines
    said = [*conclusion[:1]]
    means = common_means([r for r in panel.results if not r.attrs["control"]])
    known = {label: cell for label, cell in means.items() if cell.value == cell.value}
    if len(lines) == 1 or len(panel.dims) > 1:
        said += [describe_line(panel, line) for line in lines[:MOST]]
    elif known:
        ranked = sorted(known, key=lambda label: -known[label].value)
        shown = ranked if len(ranked) <= 6 else [*ranked[:3], *ranked[-2:]]
        each = [f"{label} {estimate_text(known[label])}" for label in shown]
        of = "" if shown == ranked else f" of {len(ranked)} series, the highest and the lowest"
        where = "Mean over the time bins in which all have a score" if panel.dims else "Values"
        said.append(f"{where}{of}: {', '.join(each)}.")
    else:
        said += [describe_line(panel, line) for line in lines[:MOST]]
    return " ".join(said)


def common_means(results: Sequence[xr.Dataset]) -> dict[str, Estimate]:
    """Return the mean of each series over the time bins that all have; none for other axes."""
    try:
        table = paper_table(results, rows="models")
    except NeurofitError:
        return {}
    scores = next(column for column in table.columns if column.heading == "score")
    return {
        str(label): cell
        for label, cell in zip(table.columns[0].cells, scores.cells, strict=True)
        if isinstance(cell, Estimate)
    }


def _known(line: Line) -> list[int]:
    """Return the places that have a value."""
    return [int(i) for i in np.flatnonzero(np.isfinite(line.curve.values))]


def describe_line(panel: Panel, line: Line) -> str:
    """Return where a series begins, is highest and ends, and where it is clearly not 0."""
    known = _known(line)
    label = line.label
    if len(panel.lines) == 1 and not panel.first.attrs["model"]:
        label = f"The {panel.score.attrs['long_name']}"
    if not len(known):
        return f"{label} has no value."
    if len(panel.dims) > 1:
        values = line.curve.values[known]
        return f"{label} has values from {values.min():.2f} to {values.max():.2f}."
    if not panel.dims or len(known) == 1:
        where = f" at {panel.places[known[0]]}" if panel.dims else ""
        return f"{label} has {estimate_text(at(line, known[0]))}{where}."
    first, last = known[0], known[-1]
    top = known[int(np.argmax(line.curve.values[known]))]
    places = panel.places
    band = bool(np.isfinite(line.curve.ends[2][top]))
    said = (
        f"{label} goes from {estimate_text(at(line, first))} at {places[first]} to "
        f"{estimate_text(at(line, last))} at {places[last]}; it is highest at {places[top]} with "
        f"{estimate_text(at(line, top, band=band))}{' as its band' * band}."
    )
    low, high = line.curve.ends[2:] if band else line.curve.ends[:2]
    if np.isfinite(low[known]).any() and np.isfinite(float(panel.score.attrs["best"])):
        which = f"band, which holds all {panel.noun}s at once," if band else "interval"
        clear = int(((low[known] > 0) | (high[known] < 0)).sum())
        said += f" The {which} excludes 0 in {clear} of {counted(len(known), panel.noun)}."
    return said


def baselines(panels: Sequence[Panel]) -> list[str]:
    """Return a sentence for each control: its mean, and how often its interval contains 0."""
    said = []
    for panel in panels:
        for line in panel.lines:
            known = _known(line)
            if not line.control or not len(known):
                continue
            if not panel.is_curve:
                said.append(f"{line.label} for {panel.name}: {estimate_text(at(line, known[0]))}.")
                continue
            mean = float(line.curve.values[known].mean())
            low, high = line.curve.ends[:2, known]
            has = np.isfinite(low)
            inside = int(((low[has] <= 0) & (high[has] >= 0)).sum())
            zero = f"; the interval contains 0 in {inside} of {int(has.sum())}" if has.any() else ""
            said.append(
                f"{line.label} for {panel.name}: mean {mean:z.3f} over "
                f"{counted(len(known), panel.noun)}{zero}."
            )
    return said


def paired_differences(compared: Sequence[xr.Dataset]) -> list[str]:
    """Return the difference of each pair over the whole axis, from comparisons with baselines."""
    said = []
    for result in compared:
        about = f"{result.attrs['region']} of {result.attrs['recording']}"
        for name in further_scores(result):
            if result[name].dims != ("pair",) or "band_low" not in result[name].attrs:
                continue
            attrs = result[name].attrs
            p = p_values(result, {"pair"})[:1]
            for i, pair in enumerate(result.pair.values):
                if np.isnan(float(result[name][i])):
                    said.append(f"{about}, {pair}: no place in which both have a value.")
                    continue
                ends = (float(result[attrs[end]][i]) for end in ("band_low", "band_high"))
                difference = estimate_text(Estimate(float(result[name][i]), *ends))
                tested = f", p = {p_text(float(result[p[0]][i]))}".replace("= <", "< ") if p else ""
                said.append(f"{about}, {pair}: {difference}{tested} ({attrs['band']}).")
    return said


def ceilings(panels: Sequence[Panel]) -> list[str]:
    """Return a sentence for each bound: what it is, and its range."""
    said = []
    for panel in panels:
        pointer = panel.score.attrs.get("bound")
        for bound in panel.bounds:
            known = np.flatnonzero(np.isfinite(bound.values))
            if not len(known) or pointer is None:
                continue
            values = bound.values[known]
            about = panel.first[pointer].attrs["long_name"]
            span = f"{values.max():z.2f}"
            if panel.is_curve:
                top = known[np.argmax(values)]
                span = f"from {values.min():z.2f} to {span} (highest at {panel.places[top]})"
            said.append(f"{panel.name}: {bound.label} ({about}) {span}.")
    return said


def limits(
    panels: Sequence[Panel], comparisons: Sequence[xr.Dataset], *, whole: bool = True
) -> list[str]:
    """Return what a reader should know before trusting the numbers, each sentence once.

    Parameters
    ----------
    panels, comparisons
        Results and their comparisons.
    whole
        Whether these are all there is, so that controls and comparisons can be missing.
    """
    said: list[str] = []
    results = [result for panel in panels for result in panel.results]
    for result in [*results, *comparisons]:
        attrs = result.attrs
        if attrs["simulated"]:
            said.append(
                f"The recording {attrs['recording']} is simulated: a program made its responses, "
                "so nothing here is about a brain."
            )
        said += _about_subjects(result)
        if selected := describe_selection(result):
            said.append(f"Only a part of {attrs['recording']} is analysed: {selected}.")
    for panel in panels:
        said += _missing(panel)
        if "low" not in panel.score.attrs:
            said.append(f"{panel.name}: {panel.score.attrs['long_name']} has no interval.")
    alone = [
        panel.name
        for panel in panels
        if any(r.attrs["model"] for r in panel.results)
        and not any(r.attrs["control"] for r in panel.results)
    ]
    if alone and whole:
        said.append(
            f"No control is among the results for {listed(alone)}: --shuffle-stimuli shows what a "
            "model reaches that sees the wrong images."
        )
    models = [r for r in results if r.attrs["model"] and not r.attrs["control"]]
    if len(models) > 1 and not comparisons and whole:
        said.append(
            "The models are not compared: overlapping intervals of two curves do not mean that "
            "they are equal (neurofit compare)."
        )
    return list(dict.fromkeys([*said, *_notes(panels), *_notes_of(comparisons)]))


def _about_subjects(result: xr.Dataset) -> list[str]:
    if "subject" not in result.dims or result.sizes["subject"] > FEW_SUBJECTS:
        return []
    names = list(map(str, result.subject.values))
    n = {2: "two", 3: "three", 4: "four", 5: "five"}.get(len(names), "one")
    numbers = f"{n} numbers" if len(names) > 1 else "one number"
    animals = "animals" if len(names) > 1 else "animal"
    return [
        f"{n.capitalize()} {animals} ({listed(names)}): {numbers}. No interval is over animals, "
        "and nothing here says how others would differ."
    ]


def _missing(panel: Panel) -> list[str]:
    """Return where and why series have no value, those with the same gaps together."""
    gaps: dict[str, list[str]] = {}
    if len(panel.dims) != 1:
        return []
    lines = iter(panel.lines)
    for result in panel.results:
        name = headline(result)
        pointer = result[name].attrs.get("reason")
        for names, values in series(result, name):
            line = next(lines)
            missing = np.isnan(values.values.astype(float))
            why = _usual(result, pointer, names, panel.dims[0]) if pointer else [""] * len(missing)
            kinds = list(zip(missing.tolist(), why, strict=True))
            spans = []
            for (gap, reason), run in groupby(range(len(kinds)), key=kinds.__getitem__):
                if gap:
                    spans.append(_span(panel, list(run)) + (f" ({reason})" if reason else ""))
            if spans:
                gaps.setdefault(some_of(spans, most=6), []).append(line.label)
    return [f"{panel.name}: no number in {where}: {listed(of)}." for where, of in gaps.items()]


def _span(panel: Panel, places: list[int]) -> str:
    dim = panel.dims[0]
    if is_time(dim):
        first, last = (panel.first[f"{dim}_{end}"].values for end in ("start", "end"))
        return f"{first[places[0]]}-{last[places[-1]]} ms"
    return listed([panel.places[i] for i in places])


def _usual(result: xr.Dataset, pointer: str, names: dict[str, str], dim: str) -> list[str]:
    """Return the most frequent reason of each place that is not the first, "scored"."""
    flags = like(result, pointer, names)
    known = np.atleast_1d(flags.attrs["flag_values"])
    meanings = str(flags.attrs["flag_meanings"]).split()
    rows = flags.transpose(dim, ...).values.reshape(result.sizes[dim], -1)
    counts = np.stack([(rows == flag).sum(axis=1) for flag in known[1:]], axis=1)
    return [meanings[1:][int(each.argmax())].replace("_", " ") for each in counts]


def _notes(panels: Sequence[Panel]) -> list[str]:
    """Return the notes of results, with the results that have them unless all do."""
    whose: dict[str, list[str]] = {}
    total = sum(len(panel.results) for panel in panels)
    for panel in panels:
        for result, label in zip(panel.results, panel.labels, strict=True):
            for note in json.loads(result.attrs.get("notes", "[]")):
                whose.setdefault(note, []).append(f"{label}, {result.attrs['region']}")
    return [
        note if len(of) == total else f"{some_of(of, most=4)}: {note}" for note, of in whose.items()
    ]


def _notes_of(comparisons: Sequence[xr.Dataset]) -> list[str]:
    return [note for each in comparisons for note in json.loads(each.attrs.get("notes", "[]"))]
