"""The cells of a study as plain values, and the files in which they are downloaded."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from neurofit.results.paper import Estimate
from neurofit.results.report.html import visible
from neurofit.results.summary import plain

CONTRACT = "neurofit-study/1"
"""Name of the format of study.json."""

NONE, UNKNOWN = np.zeros(0), Estimate(float("nan"))


@dataclass(frozen=True, kw_only=True)
class Against:
    """The paired difference of a model from a baseline, over the common time bins.

    Parameters
    ----------
    baseline
        Name of the baseline.
    difference
        Score of the model minus that of the baseline, with a band for all pairs at once.
    p
        p value, adjusted over all pairs.
    """

    baseline: str
    difference: Estimate
    p: float


@dataclass(frozen=True, kw_only=True)
class Row:
    """A curve of a cell, or a cell without a result.

    Parameters
    ----------
    key
        Key of the cell.
    choices
        Choices of the study by name: model, region, mapping ...
    series
        Names of the curve in a cell that has several: its layer, for example.
    state
        "finished", or why there is no result: "failed", "damaged", "running" or "waiting".
    error
        What went wrong.
    baseline
        Whether the model is a baseline.
    values, low, high, ceiling
        Scores, their intervals and the ceiling: array (time_bin).
    mean, mean_ceiling
        Means over the common time bins of the configuration.
    best, worst
        Best and worst rank that the data allow; None without ranks.
    against
        Paired differences from baselines.
    """

    key: str
    choices: Mapping[str, str]
    series: str = ""
    state: str = "finished"
    error: str = ""
    baseline: bool = False
    values: np.ndarray = field(default_factory=lambda: NONE)
    low: np.ndarray = field(default_factory=lambda: NONE)
    high: np.ndarray = field(default_factory=lambda: NONE)
    ceiling: np.ndarray = field(default_factory=lambda: NONE)
    mean: Estimate = UNKNOWN
    mean_ceiling: float = float("nan")
    best: int | None = None
    worst: int | None = None
    against: tuple[Against, ...] = ()

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.choices["model"]

    @property
    def label(self) -> str:
        """Name of the model, and of the curve if the cell has several."""
        return f"{self.model} {self.series}".strip()

    @property
    def rank(self) -> str:
        """Ranks that the data allow: "2", or "1 to 3"."""
        if self.best is None:
            return ""
        return f"{self.best}" if self.best == self.worst else f"{self.best} to {self.worst}"

    @property
    def strongest(self) -> Against | None:
        """The difference from the baseline that is best, if there is one."""
        known = [each for each in self.against if np.isfinite(each.difference.value)]
        return min(known, key=lambda each: each.difference.value, default=None)


@dataclass(frozen=True, kw_only=True)
class Group:
    """Curves that can be compared: only the model differs.

    Parameters
    ----------
    name
        What they have in common, in words.
    rows
        Curves, best first.
    bins
        Time bins (start, end) in ms.
    common
        Whether all of the rows that are ranked have a score in a time bin.
    quantity, interval
        What a score is, and its interval, in words.
    simulated
        Whether the recording is simulated.
    notes
        Why there are no ranks, and what else a reader should see.
    cautions
        Notes that the results of all rows have.
    """

    name: str
    rows: Sequence[Row]
    bins: Sequence[tuple[int, int]]
    common: np.ndarray
    quantity: str
    interval: str
    simulated: bool
    notes: Sequence[str] = ()
    cautions: Sequence[str] = ()

    @property
    def where(self) -> str:
        """The common time bins in words."""
        known = [each for each, has in zip(self.bins, self.common, strict=True) if has]
        if not known:
            return "no common time bin"
        span = f"{min(known)[0]}-{max(end for _, end in known)} ms"
        return f"{len(known)} time bin{'s' * (len(known) != 1)} in {span}"

    @property
    def n_ranked(self) -> int:
        """Number of rows that have a rank."""
        return sum(row.best is not None for row in self.rows)


@dataclass(frozen=True, kw_only=True)
class StudyTable:
    """All cells of a study.

    Parameters
    ----------
    name
        Name of the study.
    groups
        Finished cells by configuration.
    missing
        Cells without a result.
    notes
        Notes of results -> number of the curves that have them.
    facts
        What all cells have in common: options, versions.
    load
        Returns the result of a cell by its key.
    """

    name: str
    groups: Sequence[Group]
    missing: Sequence[Row]
    notes: Mapping[str, int]
    facts: Mapping[str, str]
    load: Callable[[str], xr.Dataset]

    @property
    def rows(self) -> list[Row]:
        """All curves that exist."""
        return [row for group in self.groups for row in group.rows]

    @property
    def models(self) -> list[str]:
        """Names of the models, those without results too."""
        return list(dict.fromkeys(row.model for row in [*self.rows, *self.missing]))

    @property
    def choices(self) -> list[str]:
        """Names of the choices that vary, beside the model."""
        every = [row.choices for row in [*self.rows, *self.missing]]
        names = [name for name in every[0] if name != "model"] if every else []
        return [name for name in names if len({each[name] for each in every}) > 1]


def cells_csv(table: StudyTable) -> str:
    """Return a line for each curve and for each cell without a result."""
    return _csv(_cell(row, group) for row, group in _every(table))


def curves_csv(table: StudyTable) -> str:
    """Return a line for each time bin of each curve."""
    return _csv(
        {
            "cell": row.key,
            **row.choices,
            "series": row.series,
            "time_bin_start": start,
            "time_bin_end": end,
            **{name: plain(getattr(row, name)[i]) for name in ("values", "low", "high", "ceiling")},
        }
        for group in table.groups
        for row in group.rows
        for i, (start, end) in enumerate(group.bins)
    )


def study_json(table: StudyTable, files: Sequence[str]) -> str:
    """Return everything, and the names of the files of the page."""
    content = {
        "contract": CONTRACT,
        "study": table.name,
        "files": list(files),
        "facts": dict(table.facts),
        "notes": dict(table.notes),
        "configurations": [
            {
                "name": group.name,
                "quantity": group.quantity,
                "interval": group.interval,
                "simulated": group.simulated,
                "time_bins": [list(each) for each in group.bins],
                "common": [bool(each) for each in group.common],
                "notes": [*group.notes, *group.cautions],
                "curves": [
                    _cell(row, group)
                    | {n: plain(getattr(row, n)) for n in ("values", "low", "high", "ceiling")}
                    | {"against": [_against(each) for each in row.against]}
                    for row in group.rows
                ],
            }
            for group in table.groups
        ],
        "without_result": [_cell(row, None) for row in table.missing],
    }
    return json.dumps(content, indent=1)


def _every(table: StudyTable) -> Iterable[tuple[Row, Group | None]]:
    for group in table.groups:
        for row in group.rows:
            yield row, group
    for row in table.missing:
        yield row, None


def _cell(row: Row, group: Group | None) -> dict[str, Any]:
    """Return a row as values, without its curve; None is an empty field."""
    best = row.strongest
    known = group.n_ranked if group else 0
    difference = best.difference if best else UNKNOWN
    return {
        "cell": row.key,
        **row.choices,
        "series": row.series,
        "configuration": group.name if group else "",
        "state": row.state,
        "error": row.error,
        **_ends("mean", row.mean),
        "time_bins": group.where if group else "",
        "best_rank": row.best,
        "worst_rank": row.worst,
        "ranked": known or None,
        "mean_ceiling": plain(row.mean_ceiling),
        "best_baseline": best.baseline if best else "",
        **_ends("difference", difference),
        "p_adjusted": plain(best.p) if best else None,
    }


def _against(each: Against) -> dict[str, Any]:
    own = _ends("difference", each.difference)
    return {"baseline": each.baseline, **own, "p_adjusted": plain(each.p)}


def _ends(name: str, cell: Estimate) -> dict[str, Any]:
    ends = {name: cell.value, f"{name}_low": cell.low, f"{name}_high": cell.high}
    return {key: plain(value) for key, value in ends.items()}


def _csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return CSV in which no text is a formula of a spreadsheet or acts on a terminal."""
    file = io.StringIO()
    writer = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(file, fieldnames=list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow(
            {key: _safe(value) if isinstance(value, str) else value for key, value in row.items()}
        )
    return file.getvalue()


def _safe(text: str) -> str:
    """Return a text that a spreadsheet takes for text."""
    text = visible(" ".join(text.split()))
    return f"'{text}" if re.match(r"[=+@]|-(?![\d.]|$)", text) else text
