"""Tables of the page of a study: cells by configuration, and cells without a result."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neurofit.results.paper import Estimate
from neurofit.results.report.charts import Curve, describe_curves, estimate_text, thumbnail
from neurofit.results.report.html import Html, data, joined, tag
from neurofit.results.report.page import section
from neurofit.results.report.study import Group, Row, StudyTable

BASELINE = "above the best baseline"
"""Heading of the column that a study without baselines lacks."""

CAPTION = "Cells of the study. Headings sort within each configuration."

HEADINGS = (
    ("model", "A box draws the curve; a name leads to the page of the model"),
    ("rank", "Best and worst rank that the data allow, within the configuration"),
    ("curve", "Score over time with its interval, on one scale within the configuration"),
    ("mean", "Mean score over the common time bins, with its interval"),
    (BASELINE, "Paired difference from the baseline that is best, with a band for "
     "all pairs of the configuration at once"),
    ("ceiling", "Mean of the ceiling over the common time bins"),
    ("cell", "Start of the key of the cell, as in neurofit sweep logs"),
)  # fmt: skip
"""Headings of the table, and what they mean."""


def cells_section(table: StudyTable, pages: dict[str, str]) -> Html:
    """Return the filters and the table, in which each configuration is a body of its own."""
    compared = any(row.against for group in table.groups for row in group.rows)
    headings = [
        tag("th", name, scope="col", title=meaning, class_=kind)
        for (name, meaning), kind in zip(HEADINGS, KINDS, strict=True)
        if compared or name != BASELINE
    ]
    bodies, n = [], 0
    n_cells = len({row.key for row in table.rows})
    for group in table.groups:
        cautions = [note for note in group.cautions if table.notes.get(note, 0) < n_cells]
        bodies.append(_body(group, cautions, pages, n, compared=compared))
        n += len(group.rows)
    made = tag(
        "table",
        tag("caption", tag("div", CAPTION, class_="about")),
        tag("thead", tag("tr", *headings)),
        *bodies,
        class_="sortable cells",
    )
    scroll = tag("div", made, class_="scroll", role="region", aria_label="Cells", tabindex=0)
    return section("Cells", _filters(table), scroll, _meanings(table, compared), _bar())


KINDS = ("label", None, "plain label", None, None, None, "label")
"""Classes of the headings: plain ones do not sort."""


def _filters(table: StudyTable) -> Html:
    """Return a field for words, and a menu for each choice that varies."""
    fields = [tag("label", "Filter by words ", tag("input", type="search", class_="words"))]
    for name in table.choices:
        values = list(dict.fromkeys(row.choices[name] for row in [*table.rows, *table.missing]))
        options = [tag("option", value or "all", value=i) for i, value in enumerate(values)]
        menu = tag("select", tag("option", "any", value=""), *options, data_choice=name)
        fields.append(tag("label", f"{name.replace('_', ' ')} ", menu))
    count = tag("output", class_="shown", aria_live="polite")
    form = tag("form", *fields, count, class_="filters", role="search", aria_label="Filter cells")
    return joined(form, tag("div", data(_values(table)), class_="known"))


def _values(table: StudyTable) -> list[list[int]]:
    """Return, for each configuration, the number of its value in each menu."""
    made = []
    for group in table.groups:
        own = []
        for name in table.choices:
            every = (row.choices[name] for row in [*table.rows, *table.missing])
            own.append(list(dict.fromkeys(every)).index(group.rows[0].choices[name]))
        made.append(own)
    return made


def _body(
    group: Group, cautions: Sequence[str], pages: dict[str, str], first: int, *, compared: bool
) -> Html:
    """Return the rows of a configuration under a heading that stays in view."""
    lows = np.concatenate([np.append(row.low, row.values) for row in group.rows])
    highs = np.concatenate([np.append(row.high, row.values) for row in group.rows])
    low = float(np.nanmin(lows, initial=0.0, where=np.isfinite(lows)))
    high = float(np.nanmax(highs, initial=0.05, where=np.isfinite(highs)))
    about = f"{group.quantity}, {group.where}"
    notes = [tag("span", each, class_="note") for each in (*group.notes, *cautions)]
    simulated = " (simulated)" * group.simulated
    said = tag(
        "div",
        tag("strong", f"{group.name}{simulated}"),
        tag("span", about, class_="note"),
        *notes,
        class_="about",
    )
    n_columns = len(HEADINGS) - (not compared)
    heading = tag("th", said, scope="rowgroup", colspan=n_columns, class_="label")
    rows = [
        _row(row, group, pages[row.model], first + i, (low, high), compared=compared)
        for i, row in enumerate(group.rows)
    ]
    return tag("tbody", tag("tr", heading, class_="group"), *rows)


def _row(
    row: Row, group: Group, page: str, i: int, scale: tuple[float, float], *, compared: bool
) -> Html:
    ends = np.stack([row.low, row.high, *np.full((2, len(row.low)), np.nan)])
    curve = Curve(row.label, row.values, ends, "control" if row.baseline else "score")
    told = describe_curves([curve], [f"{start}-{end} ms" for start, end in group.bins])
    box = tag(
        "input", type="checkbox", class_="choose", data_row=i,
        aria_label=f"Draw the curve of {row.label}, {group.name}",
    )  # fmt: skip
    kind = tag("span", " baseline", class_="small") if row.baseline else Html()
    best = row.strongest
    above = [tag("td", _estimate(best.difference) if best else "-")] if compared else []
    return tag(
        "tr",
        tag("th", box, tag("a", row.label, href=page), kind, scope="row", class_="label"),
        tag("td", row.rank or "-"),
        tag("td", thumbnail(curve, *scale, told), class_="label"),
        tag("td", _estimate(row.mean)),
        *above,
        tag("td", _number(row.mean_ceiling)),
        tag("td", tag("code", row.key[:8]), class_="label"),
    )


def _estimate(cell: Estimate) -> str:
    return "-" if cell.value != cell.value else estimate_text(cell)


def _number(value: float) -> str:
    return "-" if value != value else f"{value:z.2f}"


def _meanings(table: StudyTable, compared: bool) -> Html:
    """Return what the columns are."""
    intervals = dict.fromkeys(
        group.interval.removesuffix(", for each time bin on its own") for group in table.groups
    )
    said = [
        f"{name}: {meaning[:1].lower()}{meaning[1:]}."
        for name, meaning in HEADINGS
        if compared or name != BASELINE
    ]
    said[3] = f"mean: mean score over the common time bins ({'; '.join(filter(None, intervals))})."
    return tag("details", tag("summary", "What the columns mean"),
               tag("ul", *(tag("li", each) for each in said)))  # fmt: skip


def _bar() -> Html:
    """Return the line that stays in view while curves are chosen."""
    return tag(
        "p",
        tag("output", class_="count", aria_live="polite"),
        tag("a", "See the curves", href="#curves"),
        tag("button", "Clear", type="button", class_="copy clear"),
        class_="bar",
        hidden=True,
    )


def missing_section(missing: Sequence[Row]) -> Html:
    """Return the table of cells without a result."""
    if not missing:
        return Html()
    names = list(dict.fromkeys(name for row in missing for name in row.choices))
    shown = [n for n in names if any(row.choices.get(n) for row in missing)]
    head = [tag("th", n.replace("_", " "), scope="col", class_="label") for n in shown]
    head += [tag("th", n, scope="col", class_="label") for n in ("state", "error", "cell")]
    body = []
    for row in missing:
        cells = [tag("td", row.choices.get(name, ""), class_="label") for name in shown]
        cells += [
            tag("td", row.state, class_="label"),
            tag("td", shown_error(row.error), class_="label error"),
            tag("td", tag("code", row.key[:8]), class_="label"),
        ]
        body.append(tag("tr", *cells))
    made = tag(
        "table",
        tag("caption", "The log of a cell: neurofit sweep logs STUDY CELL"),
        tag("thead", tag("tr", *head)),
        tag("tbody", *body),
        class_="sortable",
    )
    scroll = tag("div", made, class_="scroll", role="region", aria_label="Cells", tabindex=0)
    return section("Cells without a result", scroll)


def shown_error(error: str) -> str:
    """Return the first and the last line of an error that say something."""
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    return (" " if len(lines) < 3 else " ... ").join(dict.fromkeys([*lines[:1], *lines[-1:]]))
