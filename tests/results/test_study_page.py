"""The page of a study: harmless names, a folder that is whole or not there, and a browser."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurofit.errors import NeurofitError
from neurofit.results.paper import Estimate
from neurofit.results.report.study import Against, Group, Row, StudyTable, cells_csv
from neurofit.results.report.study_page import page_name, write_study

EVIL = "<script>window.hit = 1</script><img src=x onerror='window.hit = 1'>\x1b[31m\u202e=1"
BINS = [(start, start + 10) for start in range(70, 130, 10)]
MAX_BYTES_PER_CELL = 3_000
MAX_LOAD_S = 5.0


@pytest.fixture
def make_table(make_result: Callable[..., xr.Dataset]) -> Callable[..., StudyTable]:
    """Make a study of some models in V4 and IT by two mappings; a model per configuration fails."""

    def make(
        models: list[str] | None = None, *, regions: tuple[str, ...] = ("V4", "IT"), copies: int = 1
    ) -> StudyTable:
        models = models or ["net-a", "net-b", "net-c", "baseline:pixels"]
        groups, missing = [], []
        for region in regions:
            for mapping in ("ridge", "pls"):
                for copy in range(copies):
                    shared = {"region": region, "mapping": mapping, "seed": str(copy)}
                    rows = [
                        make_row(i, {"model": model, **shared}, len(models))
                        for i, model in enumerate(models)
                    ]
                    groups.append(
                        Group(
                            name=f"{region} of planted, {mapping}, seed {copy}",
                            rows=rows,
                            bins=BINS,
                            common=np.ones(len(BINS), dtype=bool),
                            quantity="pooled r",
                            interval="95% interval over neuroids, for each time bin on its own",
                            simulated=True,
                        )
                    )
                    missing.append(
                        Row(
                            key=f"{region}{mapping}{copy}missing",
                            choices={"model": models[0], **shared},
                            state="failed",
                            error=f"First line\nin between\nLast line {models[0]}",
                        )
                    )
        return StudyTable(
            name="planted",
            groups=groups,
            missing=missing,
            notes={f"A note {models[0]}": 3},
            facts={"n splits": "10"},
            load=lambda key: make_result(key, region=regions[0]),
        )

    return make


def make_row(i: int, choices: dict[str, str], n: int) -> Row:
    """Return a row whose rank is shared with its neighbour."""
    values = np.linspace(0.5, 0.3, len(BINS)) - i / 100
    values[0] = np.nan
    baseline = choices["model"].startswith("baseline:")
    difference = Estimate(0.123, 0.1, 0.15)
    return Row(
        key="".join(choices.values()),
        choices=choices,
        baseline=baseline,
        values=values,
        low=values - 0.02,
        high=values + 0.02,
        ceiling=np.full(len(BINS), 0.6),
        mean=Estimate(0.4 - i / 100, 0.38 - i / 100, 0.42 - i / 100),
        mean_ceiling=0.6,
        best=i + 1,
        worst=min(i + 2, n),
        against=() if baseline else (Against(baseline="pixels", difference=difference, p=0.001),),
    )


def test_names_that_are_code_do_nothing(
    make_table: Callable[..., StudyTable], browser: Any, tmp_path: Path
) -> None:
    table = make_table([EVIL, "net", f"baseline:{EVIL}"], regions=(EVIL, "IT"))
    write_study(table, tmp_path / "page", title=EVIL)
    for path in (tmp_path / "page").rglob("*"):
        assert path.is_dir() or not {"\x1b", "\u202e"} & set(path.read_text(encoding="utf-8"))
        assert path.name.isprintable()
        assert "<" not in path.name
    for path in (tmp_path / "page").rglob("*.html"):
        browser.open(path)
        assert browser.run("window.hit === undefined")
        assert browser.run("document.images.length") == 0
        assert browser.requests == [path.as_uri()]
        assert browser.complaints == []
    browser.open(tmp_path / "page" / "index.html")
    assert "<script>window.hit" in browser.run("document.querySelector('table').textContent")
    assert "<script>window.hit" in browser.run("document.querySelector('.drawn').textContent")


def test_no_name_is_a_formula_of_a_spreadsheet(make_table: Callable[..., StudyTable]) -> None:
    text = cells_csv(make_table(["=1+1", "@x", "-x"]))
    for name in ("=1+1", "@x", "-x"):
        assert f",'{name}," in text
        assert f",{name}," not in text


def test_pages_of_models_have_different_names_on_any_system() -> None:
    names = [page_name(m) for m in ("a", "A", "a/b", "a:b", "..", "x" * 300, "y" + "x" * 300)]
    assert len({name.lower() for name in names}) == len(names)
    assert all(0 < len(name) < 80 and "/" not in name and ":" not in name for name in names)


def test_a_page_is_written_whole_or_not_at_all(
    make_table: Callable[..., StudyTable], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page"
    write_study(make_table(["first"]), page)
    before = (page / "index.html").read_bytes()

    def broken(*args: object) -> str:
        raise RuntimeError("in the middle")

    monkeypatch.setattr("neurofit.results.report.study_page.curves_csv", broken)
    for target in (page, tmp_path / "new"):
        with pytest.raises(RuntimeError):
            write_study(make_table(["second"]), target)
    assert os.listdir(tmp_path) == ["page"]
    assert (page / "index.html").read_bytes() == before
    monkeypatch.undo()
    write_study(make_table(["second"]), page)
    assert sorted(os.listdir(page / "models")) == ["second.html"]
    assert os.listdir(tmp_path) == ["page"]


@pytest.mark.parametrize("content", [{}, {"study.json": "{}"}, {"study.json": "[]", "x": ""}])
def test_a_folder_of_somebody_else_is_not_replaced(
    make_table: Callable[..., StudyTable], tmp_path: Path, content: dict[str, str]
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, text in {"thesis.txt": "all of it", **content}.items():
        (folder / name).write_text(text)
    with pytest.raises(NeurofitError, match="is not replaced"):
        write_study(make_table(), folder)
    assert (folder / "thesis.txt").read_text() == "all of it"
    assert len(os.listdir(folder)) == 1 + len(content)


def test_files_and_links_are_not_replaced(
    make_table: Callable[..., StudyTable], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("file", "link"):
        with pytest.raises(NeurofitError, match="must be a folder"):
            write_study(make_table(), tmp_path / name)


def test_failed_cells_have_the_last_line_of_their_error(
    make_table: Callable[..., StudyTable], tmp_path: Path
) -> None:
    write_study(make_table(), tmp_path / "page")
    text = (tmp_path / "page" / "index.html").read_text()
    assert text.count("First line ... Last line net-a") == 4
    assert "in between" not in text


@pytest.fixture
def page(make_table: Callable[..., StudyTable], tmp_path: Path) -> Path:
    write_study(make_table(), tmp_path / "page")
    return tmp_path / "page" / "index.html"


CELLS = (
    "[...document.querySelectorAll('table.cells tbody:not([hidden]) tr:not(.group):not([hidden])')]"
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 500, 1280])
def test_it_opens_without_network_complaints_or_overflow(
    width: int, scheme: str, browser: Any, page: Path
) -> None:
    browser.open(page, width=width, scheme=scheme)
    assert browser.requests == [page.as_uri()]
    assert browser.complaints == []
    assert browser.run("document.documentElement.scrollWidth") <= width
    links = browser.run("[...document.querySelectorAll('a')].map((a) => a.getAttribute('href'))")
    for link in links:
        assert link.startswith("#") or (page.parent / link).is_file(), link


def test_a_study_without_baselines_has_no_column_of_them(
    make_table: Callable[..., StudyTable], tmp_path: Path
) -> None:
    named = "above the best baseline"
    for name, models, n_columns in (
        ("with", ["net-a", "baseline:pixels"], 7),
        ("without", ["net-a", "net-b"], 6),
    ):
        table = make_table(models)
        if name == "without":
            rows = [[replace(row, against=()) for row in group.rows] for group in table.groups]
            groups = [replace(g, rows=own) for g, own in zip(table.groups, rows, strict=True)]
            table = replace(table, groups=groups)
        write_study(table, tmp_path / name)
        text = (tmp_path / name / "index.html").read_text()
        assert (named in text) == (name == "with")
        cells = text[text.index("sortable cells") :].partition("</table>")[0]
        assert cells.partition("</thead>")[0].count("<th ") == n_columns
        assert cells.count(f'colspan="{n_columns}"') == 4
        row = cells.partition("</tbody>")[0].rpartition("<tr")[2]
        assert row.count("<th") + row.count("<td") == n_columns


@pytest.mark.parametrize("width", [390, 1280])
def test_notes_of_a_configuration_are_read_without_scrolling(
    width: int, make_table: Callable[..., StudyTable], browser: Any, tmp_path: Path
) -> None:
    """They stay in view while the table is scrolled sideways, too."""
    table = make_table()
    groups = [replace(group, notes=["A rather long note. " * 12]) for group in table.groups]
    write_study(replace(table, groups=groups), tmp_path / "page")
    browser.open(tmp_path / "page" / "index.html", width=width)
    places = (
        "[...document.querySelectorAll('.cells .note, .cells strong, caption .about')].map((e) => "
        "{ const r = e.getBoundingClientRect(); return [r.left, r.right]; })"
    )
    for scrolled in (0, 200):
        browser.run(f"document.querySelector('.scroll').scrollLeft = {scrolled}")
        found = browser.run(places)
        assert len(found) == 4 * 3 + 1
        for left, right in found:
            assert 0 <= left < right <= width


def test_cells_are_filtered_by_words_and_choices(browser: Any, page: Path) -> None:
    browser.open(page)
    assert browser.run(f"{CELLS}.length") == 16
    browser.run("document.querySelector('.words').focus()")
    for key in "net-b v4":
        browser.press(key, ord(key.upper()), key)
    assert browser.run("document.querySelector('.words').value") == "net-b v4"
    assert browser.run(f"{CELLS}.length") == 2
    assert browser.run("document.querySelector('.shown').textContent") == "2 of 16 curves"
    browser.run(
        "(() => { const m = document.querySelector('select[data-choice=mapping]'); m.value = "
        "'1'; m.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )
    assert browser.run(f"{CELLS}.length") == 1
    assert "V4 of planted, pls" in browser.run(
        "document.querySelector('table.cells tbody:not([hidden])').textContent"
    )
    copied = browser.run("tsv(document.querySelector('table.cells'))").split("\n")
    assert len(copied) == 3, "the headings of columns and of the configuration, and one cell"


def test_sorting_stays_within_configurations(browser: Any, page: Path) -> None:
    browser.open(page)
    names = (
        "[...document.querySelectorAll('table.cells tbody')].map((b) => [...b.rows].map((r) => "
        "r.classList.contains('group') ? 'group' : r.querySelector('a').textContent))"
    )
    before = browser.run(names)
    assert before == [["group", "net-a", "net-b", "net-c", "baseline:pixels"]] * 4
    browser.run("document.querySelectorAll('table.cells thead button')[1].focus()")
    browser.press("Enter", 13, "\r")
    browser.press("Enter", 13, "\r")
    assert browser.run(names) == [["group", "baseline:pixels", "net-c", "net-b", "net-a"]] * 4
    browser.press("Enter", 13, "\r")
    assert browser.run(names) == before


def test_chosen_curves_are_drawn_over_each_other(browser: Any, page: Path) -> None:
    browser.open(page)
    lines = "document.querySelectorAll('.drawn .series').length"
    assert browser.run(lines) == 3
    browser.point(".clear", 0.5, 0.5, click=True)
    assert browser.run(lines) == 0
    for row in (0, 5):
        browser.run(f"document.querySelector('input.choose[data-row=\"{row}\"]').focus()")
        browser.press(" ", 32, " ")
    assert browser.run(lines) == 2
    assert browser.run("document.querySelector('.count').textContent") == "2 curves chosen"
    browser.run("document.querySelector('.drawn input').focus()")
    browser.press("End", 35)
    said = browser.run("document.querySelector('.drawn output').innerText")
    assert "120-130 ms" in said
    assert "net-a, V4 of planted, ridge, seed 0 0.300 (0.280 to 0.320)" in said
    assert "net-b, V4 of planted, pls, seed 0 0.290 (0.270 to 0.310)" in said
    browser.press("Home", 36)
    assert "no value" in browser.run("document.querySelector('.drawn output').innerText")
    drawn = browser.run("document.querySelector('.drawn .line').getAttribute('d')")
    assert drawn.count("L") == 4, "five of six bins have a value"
    assert browser.complaints == []


def test_everything_is_reached_by_the_keyboard(browser: Any, page: Path) -> None:
    browser.open(page)
    seen = set()
    for _ in range(120):
        browser.press("Tab", 9)
        at = "document.activeElement"
        seen.add(browser.run(f"{at}.tagName + ' ' + ({at}.type || '')"))
        if browser.run(f"{at} !== document.body"):
            assert browser.run(f"getComputedStyle({at}).outlineStyle") != "none"
    wanted = {"INPUT range", "INPUT search", "INPUT checkbox", "SELECT select-one", "A "}
    assert wanted <= seen
    assert "BUTTON button" in seen


def test_it_prints_without_controls(browser: Any, page: Path, tmp_path: Path) -> None:
    browser.open(page, scheme="dark")
    browser.pdf(tmp_path / "page.pdf")
    browser.call("Emulation.setEmulatedMedia", media="print")
    for name in (".filters", ".bar", ".choose", ".reader"):
        shown = browser.run(f"getComputedStyle(document.querySelector('{name}')).display")
        assert shown == "none", name
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    browser.call("Emulation.setEmulatedMedia", media="")


def test_a_thousand_cells_do_not_stall_the_browser(
    make_table: Callable[..., StudyTable], browser: Any, tmp_path: Path
) -> None:
    table = make_table([f"net-{i:02}" for i in range(50)], copies=5)
    assert len(table.rows) == 1000
    table = StudyTable(**{**vars(table), "missing": [], "load": table.load})
    from neurofit.results.report import study_page

    pages = {model: f"models/{page_name(model)}.html" for model in table.models}
    path = tmp_path / "index.html"
    path.write_text(study_page._index(table, pages, "Thousand"), encoding="utf-8")
    assert path.stat().st_size < 1000 * MAX_BYTES_PER_CELL
    start = time.perf_counter()
    browser.open(path)
    assert browser.run(f"{CELLS}.length") == 1000
    assert time.perf_counter() - start < MAX_LOAD_S
    filtering = browser.run(
        "(() => { const w = document.querySelector('.words'); w.value = 'net-07 ridge'; const t = "
        "performance.now(); w.dispatchEvent(new Event('input', {bubbles: true})); "
        "document.body.getBoundingClientRect(); return performance.now() - t; })()"
    )
    assert browser.run(f"{CELLS}.length") == 10
    sorting = browser.run(
        "(() => { const t = performance.now(); document.querySelectorAll('table.cells thead "
        "button')[2].click(); document.body.getBoundingClientRect(); return performance.now() - t; "
        "})()"
    )
    assert max(filtering, sorting) < 1000, "ms"
