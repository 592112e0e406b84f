"""Collect the cells of a study for its page: configurations, ranks and differences from baselines.

Cells are compared only if nothing but the model differs: recording and its content, area, animals,
mapping, time mode, preset, window, layers, seeds, all options and the version of the numbers.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from neurofit.analyses.comparison.config import CompareConfig
from neurofit.analyses.comparison.ranks import Ranking, rank_results
from neurofit.analyses.sweeps.cells import Cell, load_cell
from neurofit.analyses.sweeps.plan import StudyFolder
from neurofit.analyses.sweeps.status import read_error, read_status
from neurofit.config.compute import Progress
from neurofit.errors import NeurofitError, counted, some_of
from neurofit.models.catalogue import BASELINE
from neurofit.results.paper import Estimate, Line, lines_of, mean_over
from neurofit.results.report.study import Against, Group, Row, StudyTable

CONFIG = CompareConfig()
"""What a rank is about: other neuroids and other stimuli, at the level 0.05."""

POINTERS = ("low", "high", "bound")
INFLUENCES = tuple(f"influence_of_{what}" for what in ("neuroids", "stimuli", "cells", "pairs"))

Curve = tuple[Row, Line]


def collect(folder: StudyFolder, *, name: str = "", progress: Progress | None = None) -> StudyTable:
    """Return the cells of a study with their ranks.

    Parameters
    ----------
    folder
        Folder of the study.
    name
        Name of the study; by default that of its folder.
    progress
        Called with a label, the number of cells that are read, and their number.

    Raises
    ------
    NeurofitError
        If the study was never started.
    """
    status = read_status(folder)
    cells = {cell.key: cell for cell in status.cells}
    varying = _varying(status.cells)
    missing = [
        Row(
            key=cell.key,
            choices=cell.choices,
            state="failed",
            error=read_error(folder, cell.key),
        )
        if cell.key in status.failed
        else Row(
            key=cell.key,
            choices=cell.choices,
            state="running" if cell.key in status.running else "waiting",
        )
        for cell in status.cells
        if cell.key not in status.finished
    ]
    groups: list[Group] = []
    notes: Counter[str] = Counter()
    versions: Counter[str] = Counter()
    n_read = 0
    for alike in _alike(status.cells):
        curves: dict[tuple[object, ...], list[Curve]] = {}
        absent = sum(cell.key not in status.finished for cell in alike)
        for cell in alike:
            if cell.key not in status.finished:
                continue
            n_read += 1
            if progress:
                progress("results", n_read, len(status.finished))
            try:
                result = load_cell(cell)
                lines = lines_of("", result)
            except NeurofitError as error:
                absent += 1
                row = Row(key=cell.key, choices=cell.choices, state="damaged", error=str(error))
                missing.append(row)
                continue
            notes.update(json.loads(result.attrs.get("notes", "[]")))
            versions[str(json.loads(result.attrs["versions"]).get("neurofit", ""))] += 1
            for line in map(_light, lines):
                curves.setdefault(_place(line), []).append((_row(cell, line), line))
        groups += [_group(each, varying, absent) for each in curves.values()]
    return StudyTable(
        name=name or folder.path.resolve().name,
        groups=_with_names_that_differ(groups),
        missing=missing,
        notes=notes,
        facts=_facts(status.cells, varying, versions),
        load=lambda key: load_cell(cells[key]),
    )


def _varying(cells: Sequence[Cell]) -> list[str]:
    """Return the choices that vary, beside the model."""
    names = list(dict.fromkeys(name for cell in cells for name in cell.choices))
    return [
        name
        for name in names
        if name != "model" and len({cell.choices.get(name, "") for cell in cells}) > 1
    ]


def _alike(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Return cells in groups of which only the model differs."""
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        attrs: dict[str, Any] = dict(cell.attrs)
        run = json.loads(attrs.pop("run"))
        run.pop("model", None)
        choices = {name: value for name, value in cell.choices.items() if name != "model"}
        groups.setdefault(json.dumps([choices, run, attrs], sort_keys=True), []).append(cell)
    return list(groups.values())


def _place(line: Line) -> tuple[object, ...]:
    """Return what has to be equal beside the configuration: data, time bins, quantity, curve."""
    score, attrs = line.score.attrs, line.result.attrs
    about = (attrs["recording_sha256"], attrs["region"], attrs["control"], line.label)
    return (*about, tuple(line.bins), score["long_name"], score["units"], score["formula"])


def _light(line: Line) -> Line:
    """Return a line without what neither ranks nor means need."""
    attrs = line.score.attrs
    kept = [str(line.score.name), *(attrs[each] for each in POINTERS if each in attrs)]
    kept += [name for name in INFLUENCES if name in line.result]
    return replace(line, result=line.result[list(dict.fromkeys(kept))])


def _row(cell: Cell, line: Line) -> Row:
    score = line.values(str(line.score.name))
    values, low, high, ceiling = (
        np.where(np.isfinite(each), each, np.nan)
        for each in (score, line.of("low"), line.of("high"), line.ceiling)
    )
    return Row(
        key=cell.key,
        choices=cell.choices,
        series=line.label,
        baseline=cell.choices["model"].startswith(f"{BASELINE}:"),
        values=values,
        low=low,
        high=high,
        ceiling=ceiling,
    )


def _group(curves: Sequence[Curve], varying: Sequence[str], n_absent: int) -> Group:
    """Return the curves of a configuration, ranked if they can be compared."""
    notes = []
    if n_absent:
        have = "has" if n_absent == 1 else "have"
        notes.append(f"{counted(n_absent, 'cell')} of this configuration {have} no result.")
    scored = [curve for curve in curves if np.isfinite(curve[0].values).any()]
    unscored = [row.label for row, _ in curves if not np.isfinite(row.values).any()]
    if unscored:
        have = "has" if len(unscored) == 1 else "have"
        notes.append(f"{some_of(unscored, most=4)} {have} no score in any time bin.")
    every = np.isfinite([row.values for row, _ in scored or curves])
    common = np.asarray(every.all(axis=0))
    rows = [_with_means(row, line, common) for row, line in scored]
    if rows and not every.all() and common.sum() < every.any(axis=0).sum():
        fewest = rows[int(every.sum(axis=1).argmin())].label
        n_bins = int(every.any(axis=0).sum())
        notes.append(
            f"Means and ranks are over the {common.sum()} of {counted(n_bins, 'time bin')} in "
            f"which all models have a score; {fewest} has the fewest."
        )
    if len(scored) < 2:
        notes.append("There are no ranks: fewer than two models have a score.")
    else:
        try:
            ranking = rank_results(
                [line.result for _, line in scored], [row.label for row, _ in scored], CONFIG
            )
            rows = _with_ranks(rows, ranking)
            notes += ranking.notes
        except NeurofitError as error:
            notes.append(f"There are no ranks. {str(error).partition(chr(10))[0]}")
    rows += [row for row, _ in curves if not np.isfinite(row.values).any()]
    first, line = curves[0]
    score, attrs = line.score.attrs, line.result.attrs
    return Group(
        name=_describe(first, attrs["recording"], varying),
        rows=sorted(rows, key=_order),
        bins=line.bins,
        common=common,
        quantity=score["long_name"],
        interval=score.get("interval", ""),
        simulated=bool(attrs["simulated"]),
        notes=notes,
        cautions=_cautions([each.result for _, each in curves]),
    )


def _cautions(results: Sequence[xr.Dataset]) -> list[str]:
    """Return the notes that all results have."""
    every = [json.loads(each.attrs.get("notes", "[]")) for each in results]
    return [note for note in every[0] if all(note in each for each in every)]


def _with_means(row: Row, line: Line, common: np.ndarray) -> Row:
    if not common.any():
        return row
    ceiling = row.ceiling[common]
    known = ceiling[np.isfinite(ceiling)]
    mean_ceiling = float(known.mean()) if len(known) else float("nan")
    return replace(row, mean=mean_over(line, common), mean_ceiling=mean_ceiling)


def _with_ranks(rows: Sequence[Row], ranking: Ranking) -> list[Row]:
    """Return rows with their ranks and their differences from baselines."""
    against: dict[int, list[Against]] = {}
    names = ("band_low", "band_high", "p_adjusted")
    low, high, p = (ranking.family.of(name)[:, 0].tolist() for name in names)
    for i, (a, b) in enumerate(ranking.pairs):
        if rows[a].baseline == rows[b].baseline:
            continue
        model, baseline, sign = (a, b, 1) if rows[b].baseline else (b, a, -1)
        value = float(ranking.family.values[i, 0])
        ends = sorted((sign * low[i], sign * high[i]))
        difference = Estimate(sign * value, *ends)
        made = Against(baseline=rows[baseline].label, difference=difference, p=p[i])
        against.setdefault(model, []).append(made)
    return [
        replace(
            row,
            best=int(ranking.best[i]),
            worst=int(ranking.worst[i]),
            against=tuple(against.get(i, ())),
        )
        for i, row in enumerate(rows)
    ]


def _order(row: Row) -> tuple[float, float, str]:
    """Return what sorts the best first, and curves without a rank last."""
    place = float("inf") if row.best is None or row.worst is None else row.best + row.worst
    mean = row.mean.value
    return float(place), float("inf") if mean != mean else -mean, row.label


def _describe(row: Row, recording: str, varying: Sequence[str]) -> str:
    """Return in words what the cells of a configuration have in common."""
    choices = row.choices
    words = [f"{choices['region']} of {recording}", choices["subject"]]
    words += [choices["mapping"]] * ("," not in choices["mapping"]) + [row.series]
    for name in varying:
        if name not in ("region", "recording", "subject", "mapping"):
            value = choices[name] or "all"
            words.append(f"{name.replace('_', ' ')} {value}")
    return ", ".join(filter(None, words))


def _with_names_that_differ(groups: Sequence[Group]) -> list[Group]:
    """Return configurations in order, numbered where their words are the same."""
    seen: Counter[str] = Counter()
    made = []
    for group in sorted(groups, key=lambda each: each.name):
        seen[group.name] += 1
        if (n := seen[group.name]) > 1:
            note = (
                "The data, the options or the version of the numbers differ from those of the "
                "configuration before."
            )
            group = replace(group, name=f"{group.name} ({n})", notes=[*group.notes, note])
        made.append(group)
    return made


def _facts(cells: Sequence[Cell], varying: Sequence[str], versions: Counter[str]) -> dict[str, str]:
    """Return the choices and options that all cells share, and the versions of neurofit."""
    if not cells:
        return {}
    shared = {
        name: value
        for name, value in cells[0].choices.items()
        if value and name != "model" and name not in varying
    }
    configs = [json.loads(cell.attrs["config"]) for cell in cells]
    for name, value in configs[0].items():
        if all(each.get(name) == value for each in configs) and name not in shared:
            shared[name] = value if isinstance(value, str) else json.dumps(value)
    shared["version of neurofit"] = ", ".join(filter(None, versions))
    numbers = dict.fromkeys(cell.attrs.get("numbers", "not stated") for cell in cells)
    shared["version of the numbers"] = ", ".join(numbers)
    return {name.replace("_", " "): value for name, value in shared.items()}
