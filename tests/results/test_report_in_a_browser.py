"""The report in a headless Chromium: it works without the network, by pointer and by keyboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurofit.results.report import write_report

WIDTHS = (375, 1000)
CHART = "document.querySelector('figure.chart')"


@pytest.fixture
def report(make_result: Any, make_comparison: Any, tmp_path: Path) -> Path:
    """Write a report of three models, a control and a comparison."""
    results = [make_result(name, level=0.2 + i / 10) for i, name in enumerate("abc")]
    results.append(make_result("a", level=0.0, control="shuffled stimuli"))
    path = tmp_path / "report.html"
    write_report(results, path, comparisons=[make_comparison()])
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_opens_without_network_complaints_or_overflow(
    width: int, scheme: str, browser: Any, report: Path
) -> None:
    browser.open(report, width=width, scheme=scheme)
    assert browser.requests == [report.as_uri()]
    assert browser.complaints == []
    for details in (
        "",
        "document.querySelectorAll('details').forEach((d) => { d.open = true; }); ",
    ):
        browser.run(f"{details}0")
        assert browser.run("document.documentElement.scrollWidth") <= width
    colour = browser.run("getComputedStyle(document.body).backgroundColor")
    assert colour == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}[scheme]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_contrasts_with_what_is_behind_it(scheme: str, browser: Any, report: Path) -> None:
    browser.open(report, scheme=scheme)
    colours = browser.run(
        "(() => { const s = getComputedStyle(document.documentElement); return ['page', 'panel', "
        "'ink', 'soft', 'link', 'c0', 'c1', 'c2', 'c3', 'c4', 'c5', 'c6', 'c7']"
        ".map((n) => s.getPropertyValue('--' + n).trim()); })()"
    )
    page, panel, ink, soft, link, *curves = map(luminance, colours)
    for behind in (page, panel):
        for text in (ink, soft, link):
            assert contrast(text, behind) >= 4.5, "WCAG 2.1, text"
    assert all(contrast(curve, page) >= 3 for curve in curves), "WCAG 2.1, graphics"


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour #rrggbb (WCAG 2.1)."""
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.03928, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: float, other: float) -> float:
    """Return the contrast ratio of two luminances."""
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


def test_values_are_read_by_pointer_and_by_keyboard(
    browser: Any, report: Path, make_result: Any
) -> None:
    browser.open(report)
    result = make_result("a", level=0.2)
    low, high = LEFT_AND_RIGHT
    for i in (1, 9):
        x = (low + (i + 0.5) / 10 * (high - low)) / 640
        browser.point("figure.chart svg", x, 0.5)
        said = browser.run(f"{CHART}.querySelector('output').innerText")
        value = result.curve.values[0, i]
        assert f"{60 + 10 * i}-{70 + 10 * i} ms" in said
        assert f"a {value:.3f} ({value - 0.0123:.3f} to {value + 0.0123:.3f})" in said
        assert "ceiling" not in said, "it is not on the scale of the score"
    below = "document.querySelectorAll('figure.chart')[1]"
    browser.run(f"{below}.querySelector('input').focus()")
    browser.press("End", 35)
    said = browser.run(f"{below}.querySelector('output').innerText")
    assert f"ceiling {result.ceiling.values[-1]:.2f}" in said
    browser.run(f"{CHART}.querySelector('input').focus()")
    browser.press("ArrowLeft", 37)
    assert "140-150 ms" in browser.run(f"{CHART}.querySelector('output').innerText")
    browser.press("Home", 36)
    assert "60-70 ms" in browser.run(f"{CHART}.querySelector('output').innerText")
    spoken = browser.run(f"{CHART}.querySelector('input').getAttribute('aria-valuetext')")
    assert spoken.startswith("60-70 ms; a no value; b no value")
    assert browser.complaints == []


LEFT_AND_RIGHT = (62, 640 - 14)


def test_headings_sort_a_table_up_down_and_back(browser: Any, report: Path) -> None:
    browser.open(report)
    cells = (
        "[...document.querySelector('table').tBodies[0].rows].map((r) => r.cells[1].textContent)"
    )
    before = browser.run(cells)
    heading = "table thead th:nth-child(2) button"
    values = sorted(before, key=lambda cell: float(cell.split()[0]))
    browser.point(heading, 0.5, 0.5, click=True)
    assert browser.run(cells) == values != before
    browser.run(f"document.querySelector('{heading}').focus()")
    browser.press("Enter", 13, "\r")
    assert browser.run(cells) == values[::-1]
    order = "document.querySelector('table thead th:nth-child(2)').getAttribute('aria-sort')"
    assert browser.run(order) == "descending"
    browser.press(" ", 32, " ")
    assert browser.run(cells) == before
    assert browser.run(order) == "none"


def test_numbers_signs_p_values_and_gaps_are_sorted_as_numbers(
    browser: Any, report: Path, tmp_path: Path
) -> None:
    browser.open(report)
    cells = ["-0.20", "<.001", ".022", "0.10", "1,168", "-", "", "-1.5"]
    browser.run(
        "(() => { const t = document.createElement('div'); t.innerHTML = '<table><thead><tr><th>x"
        "</th></tr></thead><tbody></tbody></table>'; document.body.append(t); const b = "
        "t.querySelector('tbody'); for (const c of " + str(cells) + ") b.insertRow().insertCell()"
        ".textContent = c; window.made = t.querySelector('table'); sortable(window.made); })()"
    )
    click = "window.made.querySelector('button').click(); "
    now = "[...window.made.tBodies[0].rows].map((r) => r.cells[0].textContent)"
    up = ["-1.5", "-0.20", "<.001", ".022", "0.10", "1,168"]
    assert browser.run(click + now) == [*up, "-", ""]
    assert browser.run(click + now) == [*up[::-1], "-", ""]


def test_a_table_and_the_methods_are_copied(browser: Any, report: Path) -> None:
    browser.open(report)
    browser.run(
        "navigator.clipboard.writeText = "
        "(text) => { window.copied = text; return Promise.resolve(); }"
    )
    browser.point(".scroll + button.copy", 0.5, 0.5, click=True)
    lines = [line.split("\t") for line in browser.run("window.copied").split("\n")]
    assert lines[0] == ["model", "score", "n", "ceiling"]
    assert [line[0] for line in lines[1:]] == ["a", "b", "c", "a (shuffled stimuli)"]
    assert {len(line) for line in lines} == {4}
    assert browser.run("document.querySelector('.status').textContent") == "Copied."
    browser.run("[...document.querySelectorAll('button.copy')].at(-1).click()")
    assert browser.run("window.copied").startswith("@inproceedings{nayebi2018,\n")
    browser.run("[...document.querySelectorAll('button.copy')].at(-2).click()")
    assert browser.run("window.copied").startswith("We analysed IT")
    formula = "tsv({rows: [{cells: [{textContent: '=1+1'}, {textContent: '-0.2'}]}]})"
    assert browser.run(formula) == "'=1+1\t-0.2", "a spreadsheet takes it as text"


def test_a_curve_is_emphasised_and_everything_can_be_focused(browser: Any, report: Path) -> None:
    browser.open(report)
    browser.point(".legend button", 0.5, 0.5, click=True)
    assert browser.run(f"{CHART}.querySelectorAll('.series.chosen').length") == 1
    assert browser.run("document.querySelector('.legend button').ariaPressed") == "true"
    seen = set()
    browser.run("document.activeElement.blur()")
    for _ in range(60):
        browser.press("Tab", 9)
        at = "document.activeElement"
        seen.add(browser.run(f"{at}.tagName + ' ' + {at}.className"))
        if browser.run(f"{at} !== document.body"):
            assert browser.run(f"{at}.matches(':focus-visible')")
            assert browser.run(f"getComputedStyle({at}).outlineStyle") != "none"
    assert {"BUTTON ", "BUTTON copy", "INPUT ", "SUMMARY ", "DIV scroll"} <= seen


def test_it_prints_with_all_its_tables(browser: Any, report: Path, tmp_path: Path) -> None:
    browser.open(report, scheme="dark")
    browser.pdf(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    assert browser.run("[...document.querySelectorAll('details:not(.raw)')].every((d) => d.open)")
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert browser.run("getComputedStyle(document.querySelector('.reader')).display") == "none"
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    browser.call("Emulation.setEmulatedMedia", media="")


def test_names_that_are_code_do_nothing(browser: Any, make_result: Any, tmp_path: Path) -> None:
    evil = "<script>window.hit = 1</script><img src=x onerror='window.hit = 1'>"
    result = make_result(evil, layers=(evil, "b"), method=evil, notes=[evil])
    path = tmp_path / "evil.html"
    write_report([result], path, title=evil)
    browser.open(path)
    browser.point("figure.chart svg", 0.5, 0.5)
    assert browser.run("window.hit === undefined")
    assert browser.run("document.images.length") == 0
    assert evil in browser.run(f"{CHART}.querySelector('output').textContent")
    assert browser.requests == [path.as_uri()]
    assert browser.complaints == []
