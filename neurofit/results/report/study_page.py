"""The page of a study: a static folder with a table of all cells, and a page for each model."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from neurofit.config.compute import Progress
from neurofit.errors import NeurofitError, counted, some_of
from neurofit.results.report.charts import (
    N_COLOURS,
    estimate_text,
)
from neurofit.results.report.html import Html, data, joined, tag
from neurofit.results.report.page import (
    fill_template,
    panel_section,
    provenance,
    section,
    sentences,
)
from neurofit.results.report.panels import make_panels
from neurofit.results.report.prose import ceilings, limits
from neurofit.results.report.study import (
    CONTRACT,
    Group,
    Row,
    StudyTable,
    cells_csv,
    curves_csv,
    study_json,
)
from neurofit.results.report.study_tables import cells_section, missing_section
from neurofit.results.tables import p_text
from neurofit.storage.home import replaced_directory

MOST = 12
"""Up to so many configurations are described in sentences at the top; more are folded."""

MOST_CHOSEN = 2 * N_COLOURS
"""Largest number of curves over each other: a colour each, solid or dashed."""

AT_FIRST = 3
"""Number of curves that are drawn when the page is opened."""

RANK = (
    "A rank is about the mean over the time bins in which all models of a configuration have a "
    "score. The best rank of a model is 1 plus the number of models that are significantly better, "
    "the worst one leaves as many places as models are significantly worse: models that the data "
    "cannot tell apart are tied. Each pair is tested by its paired difference, for other neuroids "
    "and other images, at a level of 5% that holds for all pairs of a configuration together. "
    "Baselines are ranked too."
)

INTERVALS = (
    "Intervals of two means that overlap say nothing about their difference, since models share "
    "images and neuroids: use the ranks."
)

SEPARATE = (
    "Configurations are never averaged or ranked together: sorting and ranks stay within each."
)


def write_study(
    table: StudyTable, folder: Path, *, title: str = "", progress: Progress | None = None
) -> None:
    """Write the page of a study as a folder, completely or not at all.

    The folder opens from disk and loads nothing from the network: index.html, a page for each
    model in models/, cells.csv, curves.csv and study.json.

    Parameters
    ----------
    table
        Cells of the study.
    folder
        Folder to write. One that was written here before is replaced.
    title
        Heading of the page; default: the name of the study.
    progress
        Called with a label, the number of pages that are written, and their number.

    Raises
    ------
    NeurofitError
        If the folder exists and has files that are not those of such a page.
    """
    title = title or ("Study" if table.name == "study" else f"Study {table.name}")
    pages = {model: f"models/{page_name(model)}.html" for model in table.models}
    names = ["index.html", "cells.csv", "curves.csv", "study.json", *pages.values()]
    check_own(folder)
    with replaced_directory(folder) as made:
        (made / "models").mkdir()
        for i, (model, name) in enumerate(pages.items()):
            (made / name).write_text(_model_page(table, model, title), encoding="utf-8")
            if progress:
                progress("pages of models", i + 1, len(pages))
        (made / "index.html").write_text(_index(table, pages, title), encoding="utf-8")
        (made / "cells.csv").write_text(cells_csv(table), encoding="utf-8")
        (made / "curves.csv").write_text(curves_csv(table), encoding="utf-8")
        (made / "study.json").write_text(study_json(table, names), encoding="utf-8")


def check_own(folder: Path) -> None:
    """Check that a folder may be replaced: it has nothing but the files of such a page.

    Raises
    ------
    NeurofitError
        If it has other files, or is a file itself.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise NeurofitError(f"out must be a folder; {folder} is a file or a link.", option="out")
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}
    own: set[str] = set()
    if "study.json" in found:
        try:
            content = json.loads((folder / "study.json").read_text(encoding="utf-8"))
            own = set(content["files"]) if content["contract"] == CONTRACT else set()
        except (OSError, ValueError, KeyError, TypeError):
            pass
    if others := sorted(found - {name.replace("/", os.sep) for name in own}):
        raise NeurofitError(
            f"{folder} has files that are not of the page of a study ({some_of(others, most=2)}): "
            "it is not replaced. Give another folder with --out."
        )


def page_name(model: str) -> str:
    """Return the name of the page of a model, which is a file name on any system."""
    clean = re.sub(r"[^a-z0-9._-]", "-", model.lower()).strip(".")[:60]
    if clean == model:
        return clean
    return f"{clean}-{hashlib.sha256(model.encode(errors='replace')).hexdigest()[:8]}"


def _index(table: StudyTable, pages: dict[str, str], title: str) -> str:
    """Return the page of all cells."""
    rows = table.rows
    parts = [
        _curves_section(table) if rows else Html(),
        cells_section(table, pages) if rows else Html(),
        missing_section(table.missing),
        _downloads(),
        sentences("Limits", _limits(table)),
        _facts(table),
    ]
    return _filled(
        title,
        joined(_counted(table)),
        joined(*_answer(table.groups)),
        joined(*parts),
        simulated=any(group.simulated for group in table.groups),
    )


def _filled(title: str, question: Html, answer: Html, sections: Html, *, simulated: bool) -> str:
    return fill_template(
        {
            "title": joined(title),
            "badge": tag("p", "Simulated recording", class_="badge") if simulated else Html(),
            "question": question,
            "answer": answer,
            "sections": sections,
            "kind": Html("study"),
        },
        scripts=("script.js", "study.js"),
    )


def _counted(table: StudyTable) -> str:
    """Return how many cells, models and configurations there are, and in which state."""
    finished = len({row.key for row in table.rows})
    states = {"finished": finished}
    for row in table.missing:
        states[row.state] = states.get(row.state, 0) + 1
    words = ", ".join(f"{n:,} {state}" for state, n in states.items())
    n_cells, n_models = finished + len(table.missing), len(table.models)
    return (
        f"{counted(n_cells, 'cell')} of {counted(n_models, 'model')} in "
        f"{counted(len(table.groups), 'configuration')}: {words}."
    )


def _answer(groups: Sequence[Group]) -> list[Html]:
    """Return the ranks of each configuration in a sentence, and what a rank is."""
    if not groups:
        return [tag("p", "No cell is finished.")]
    items = [tag("li", tag("strong", f"{group.name}: "), _ranks(group)) for group in groups]
    said = [tag("ul", *items[:MOST])]
    if items[MOST:]:
        more = tag("summary", f"{counted(len(items) - MOST, 'further configuration')}")
        said.append(tag("details", more, tag("ul", *items[MOST:])))
    about = tag("summary", "What a rank means")
    meaning = [tag("p", text) for text in (RANK, INTERVALS, SEPARATE)]
    return [*said, tag("details", about, *meaning, open=True)]


def _ranks(group: Group) -> str:
    """Return the models of each rank, in a sentence."""
    ranked = [row for row in group.rows if row.best is not None]
    if not ranked:
        return " ".join(group.notes)
    places = [
        f"{rank}: {some_of([row.label for row in tied], most=4)}"
        for rank, tied in ((rank, list(of)) for rank, of in groupby(ranked, lambda row: row.rank))
    ]
    return f"rank {'; '.join(places[:6])}{'; ...' * (len(places) > 6)} ({group.where})."


def _curves_section(table: StudyTable) -> Html:
    """Return the section in which the script draws the chosen curves."""
    first = next((g for g in table.groups if g.n_ranked), table.groups[0])
    chosen = [table.rows.index(row) for row in first.rows[:AT_FIRST]]
    known = {
        "most": MOST_CHOSEN,
        "chosen": chosen,
        "groups": [
            {
                "name": group.name,
                "quantity": group.quantity,
                "bins": [list(each) for each in group.bins],
                "interval": group.interval,
            }
            for group in table.groups
        ],
        "rows": [
            [g, row.label, *(_rounded(each) for each in (row.values, row.low, row.high))]
            for g, group in enumerate(table.groups)
            for row in group.rows
        ],
    }
    return section(
        "Curves",
        tag("p", "Choose curves by the boxes of the table below.", class_="small boxes"),
        tag("div", class_="drawn"),
        tag("noscript", tag("p", "Curves are drawn over each other by a script of this page.")),
        tag("div", data(known), class_="known"),
    )


def _rounded(values: np.ndarray) -> list[float | None]:
    return [None if value != value else round(value, 4) for value in values.tolist()]


def _downloads() -> Html:
    files = {
        "cells.csv": "a line for each cell: mean, interval, ranks, ceiling, baselines",
        "curves.csv": "a line for each time bin of each curve",
        "study.json": "everything",
    }
    items = [
        tag("li", tag("a", name, href=name, download=True), f": {about}")
        for name, about in files.items()
    ]
    return section("Downloads", tag("ul", *items))


def _limits(table: StudyTable) -> list[str]:
    """Return the notes of results, with the number of curves that have them."""
    n = len({row.key for row in table.rows})
    said = [
        note if of == n else f"{counted(of, 'cell')} of {n:,}: {note}"
        for note, of in table.notes.items()
    ]
    names = sorted({group.name.partition(",")[0] for group in table.groups if group.simulated})
    if names:
        said.insert(
            0,
            f"The recording is simulated ({some_of(names, most=4)}): a program made its responses, "
            "so nothing here is about a brain.",
        )
    return said


def _facts(table: StudyTable) -> Html:
    """Return the options that all cells share."""
    rows = [
        tag("tr", tag("th", name, scope="row", class_="label"), tag("td", value, class_="label"))
        for name, value in table.facts.items()
    ]
    head = tag("tr", *(tag("th", n, scope="col", class_="label") for n in ("option", "value")))
    caption = tag("caption", "What all cells have in common")
    made = tag("table", caption, tag("thead", head), tag("tbody", *rows))
    scroll = tag("div", made, class_="scroll", role="region", aria_label="Options", tabindex=0)
    return section("Options", tag("details", tag("summary", "All options"), scroll, class_="raw"))


def _model_page(table: StudyTable, model: str, title: str) -> str:
    """Return the page of a model: its ranks, its curves, and the attributes of its results."""
    own = [(row, group) for group in table.groups for row in group.rows if row.model == model]
    results = [table.load(key) for key in dict.fromkeys(row.key for row, _ in own)]
    panels = make_panels(results)
    back = joined(tag("a", title, href="../index.html"), ": a model of the study.")
    said = [tag("li", tag("strong", f"{g.name}: "), _standing(row, g)) for row, g in own]
    return _filled(
        model,
        back,
        tag("ul", *said) if said else tag("p", "No cell of this model is finished."),
        joined(
            *(panel_section(panel, means=False) for panel in panels),
            sentences("Differences from baselines", _differences(own)),
            sentences("Ceilings", ceilings(panels)),
            missing_section([row for row in table.missing if row.model == model]),
            sentences("Limits", limits(panels, [], whole=False)),
            provenance(results) if results else Html(),
        ),
        simulated=any(group.simulated for _, group in own),
    )


def _standing(row: Row, group: Group) -> str:
    """Return the rank and the mean of a row in words."""
    if row.mean.value != row.mean.value:
        return " ".join(group.notes) or "no score."
    rank = f"rank {row.rank} of {group.n_ranked}; " if row.rank else ""
    return f"{rank}mean {estimate_text(row.mean)} over {group.where}."


def _differences(own: Sequence[tuple[Row, Group]]) -> list[str]:
    return [
        f"{group.name}: {row.label} less {each.baseline} {estimate_text(each.difference)}, "
        f"p = {p_text(each.p)}".replace("= <", "< ")
        + "."
        for row, group in own
        for each in row.against
    ]
