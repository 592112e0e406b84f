"""The page of a report: sections of elements, put into a template."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import xarray as xr
from rich.table import Table

from neurofit.errors import NeurofitError
from neurofit.results.paper import paper_table
from neurofit.results.paper_text import rich_table
from neurofit.results.report.citations import bibtex
from neurofit.results.report.html import Html, joined, tag
from neurofit.results.report.methods import methods
from neurofit.results.report.panels import Panel, make_panels
from neurofit.results.report.prose import (
    answer,
    baselines,
    ceilings,
    describe_line,
    limits,
    paired_differences,
    question,
)
from neurofit.results.schema import is_comparison
from neurofit.results.tables import describe_result, footnotes, result_tables
from neurofit.storage.home import atomic_file

MOST = 6
"""Up to so many series of a panel are described in words."""


def write_report(
    results: Sequence[xr.Dataset],
    path: str | Path,
    *,
    comparisons: Sequence[xr.Dataset] = (),
    title: str = "",
    notes: Sequence[str] = (),
) -> None:
    """Write results as one HTML file without links to other files or the network.

    Only roles and attributes of the contract are read, so that any analysis has a report.

    Parameters
    ----------
    results
        Results of any analyses. `attrs["conclusion"]` of a result is part of the answer.
    path
        File to write, completely or not at all.
    comparisons
        Comparisons of the results (`neurofit.compare`).
    title
        Heading of the page; default: what the results are about.
    notes
        Further sentences for the section on limits.

    Raises
    ------
    NeurofitError
        If there are no results.
    """
    every = [*results, *comparisons]
    compared = [each for each in every if is_comparison(each)]
    scored = [each for each in every if not is_comparison(each)]
    if not every:
        raise NeurofitError("A report needs at least one result.")
    page = fill_template(_parts(scored, compared, title, notes))
    with atomic_file(Path(path)) as temporary:
        temporary.write_text(page, encoding="utf-8")


def fill_template(parts: dict[str, Html], scripts: Sequence[str] = ("script.js",)) -> str:
    """Return the page: the template with its parts, and the hash of its only script."""
    template = _read("template.html")
    script = "".join(map(_read, scripts))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    known = {"style": _read("style.css"), "script": script, "hash": digest, "kind": "", **parts}
    return re.sub(r"\{\{(\w+)\}\}", lambda found: str(known[found[1]]), template)


def _read(name: str) -> str:
    return (files("neurofit.results.report") / name).read_text(encoding="utf-8")


def _parts(
    results: list[xr.Dataset], compared: list[xr.Dataset], title: str, notes: Sequence[str]
) -> dict[str, Html]:
    panels = make_panels(results)
    against = [each for each in compared if _has_control(each)]
    compared = [each for each in compared if not _has_control(each)]
    pairs = make_panels(compared)
    every = [*compared, *against]
    about = [each.attrs for each in (results or every)]
    subject = ", ".join(dict.fromkeys(f"{a['region']} of {a['recording']}" for a in about))
    conclusions: dict[tuple[str, str], list[str]] = {}
    for each in compared:
        conclusions.setdefault(_about(each), []).extend(json.loads(each.attrs["conclusion"]))
    said = []
    for panel in panels:
        found = conclusions.pop(_about(panel.first), [])
        for each in panel.results:
            found += json.loads(each.attrs.get("conclusion", "[]"))
        said.append(tag("p", tag("strong", f"{panel.name}. "), answer(panel, found)))
        if len(found) > 1:
            said.append(tag("ul", *(tag("li", each) for each in found[1:])))
    said += [tag("p", sentence) for left in conclusions.values() for sentence in left]
    if exceeded := paired_differences(against):
        said.append(tag("p", "Against baselines:"))
        said.append(tag("ul", *(tag("li", each) for each in exceeded)))
    described = methods(results or every, compared or against[:1])
    sections = [
        *(panel_section(panel) for panel in panels),
        *(_comparison_section(panel) for panel in pairs),
        sentences("Baselines", baselines(panels)),
        sentences("Ceilings", ceilings(panels)),
        sentences("Limits", [*limits(panels, compared), *notes]),
        _copied("Methods", "div", *(tag("p", text) for text in described)),
        _copied("References (BibTeX)", "pre", tag("code", bibtex(results or every))),
        provenance([*results, *every]),
    ]
    simulated = any(attrs["simulated"] for attrs in about)
    return {
        "title": joined(title or f"neurofit: {subject}"),
        "badge": tag("p", "Simulated recording", class_="badge") if simulated else Html(),
        "question": joined(question(panels or pairs)),
        "answer": joined(*said),
        "sections": joined(*sections),
    }


def _has_control(result: xr.Dataset) -> bool:
    """Return whether a comparison is one of a model with its baselines."""
    return any(
        each.get("control") for each in json.loads(result.attrs.get("compared", "{}")).values()
    )


def _about(result: xr.Dataset) -> tuple[str, str]:
    return result.attrs["region"], result.attrs["recording"]


def section(heading: str, *content: Html) -> Html:
    """Return a section with a heading."""
    at = re.sub(r"\W+", "-", heading.lower()).strip("-")
    return tag("section", tag("h2", heading, id=at), *content, aria_labelledby=at)


def sentences(heading: str, said: Sequence[str]) -> Html:
    """Return a section of sentences; nothing without any."""
    if not said:
        return Html()
    return section(heading, tag("ul", *(tag("li", each) for each in said)))


def panel_section(panel: Panel, *, means: bool = True) -> Html:
    """Return the section of a panel: chart, curves in words, table of means, all tables."""
    content = [panel.chart()]
    described = [describe_line(panel, line) for line in panel.lines]
    if 1 < len(described) <= MOST and panel.is_curve:
        content.append(tag("ul", *(tag("li", each) for each in described)))
    if means and len(panel.lines) > 1 and len(panel.dims) < 2:
        content += _means(panel)
    several = len(panel.results) > 1
    for result, label in zip(panel.results, panel.labels, strict=True):
        content.append(_tables(result, f"Values of {label}" if several else ""))
    quantity = panel.score.attrs["long_name"]
    return section(f"{quantity[:1].upper()}{quantity[1:]}: {panel.name}", *content)


def _means(panel: Panel) -> list[Html]:
    """Return the table of means, one row for each series."""
    try:
        made = paper_table(panel.results, rows="models")
    except NeurofitError:
        return []  # an axis that is not time: the tables of each result follow
    return [html_table(rich_table(made), "Means"), tag("p", made.caption, class_="small")]


def _comparison_section(panel: Panel) -> Html:
    parts = [panel.chart()]
    for result in panel.results:
        parts.append(_tables(result, "Tables of the comparison"))
    return section(f"Comparison: {panel.name}", *parts)


def _tables(result: xr.Dataset, summary: str = "") -> Html:
    """Return all tables of a result, behind a summary if one is given."""
    made = [html_table(table, caption) for caption, table in result_tables(result)]
    made += [tag("p", line, class_="small") for line in footnotes(result)]
    return tag("details", tag("summary", summary), *made) if summary else joined(*made)


def html_table(table: Table, caption: str) -> Html:
    """Return a printed table as HTML; the script lets its headings sort it."""
    words = [_words(column.header) for column in table.columns]
    labels = sum(column.justify == "left" for column in table.columns)
    labels = labels or int(words[0] == "ms")
    kinds = ["label" if i < labels else None for i in range(len(words))]
    head = [
        tag("th", each, scope="col", class_=kind) for each, kind in zip(words, kinds, strict=True)
    ]
    cells = [[_words(cell) for cell in column.cells] for column in table.columns]
    body = []
    for row in zip(*cells, strict=True):
        first = [tag("th", each, scope="row", class_="label") for each in row[:labels]]
        body.append(tag("tr", *first, *(tag("td", each) for each in row[labels:])))
    made = tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", *head)),
        tag("tbody", *body),
        class_="sortable",
    )
    return tag("div", made, class_="scroll", role="region", aria_label=caption, tabindex=0)


def _words(cell: Any) -> str:
    """Return a cell of a printed table in one line, without escapes of markup."""
    return " ".join(str(cell).replace("\\[", "[").split())


def _copied(heading: str, name: str, *content: Html) -> Html:
    """Return a section whose text is copied by a button of the script."""
    at = re.sub(r"\W+", "-", heading.lower()).strip("-")
    return section(heading, tag(name, *content, id=f"{at}-text", class_="copied"))


def provenance(results: Sequence[xr.Dataset]) -> Html:
    """Return the attributes of every result, from which it can be repeated."""
    made = []
    for result in results:
        attrs = {name: _decoded(value) for name, value in result.attrs.items()}
        text = json.dumps(attrs, indent=2, default=str, ensure_ascii=False)
        about = tag("summary", describe_result(result))
        made.append(tag("details", about, tag("pre", text), class_="raw"))
    return section("Provenance", *made)


def _decoded(value: object) -> object:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value
