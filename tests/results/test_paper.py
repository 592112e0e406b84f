"""Tables for a paper: numbers survive every format, rounding follows the interval."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from neurofit.analyses.analysis import variable
from neurofit.errors import NeurofitError
from neurofit.results.io import save_result
from neurofit.results.paper import Column, Estimate, PaperTable, paper_table
from neurofit.results.paper_text import csv_text, decimals_of, latex, markdown

NAUGHTY = r"a_b & 50% #1 $x^2$ {~} \cmd <script> | *"


def estimates(text: str) -> list[tuple[float, float]]:
    """Return the pairs (value, half width) of a text."""
    text = text.replace("$-$", "-").replace(r"$\pm$", "±")
    return [(float(a), float(b)) for a, b in re.findall(r"(-?[\d.]+) ± ([\d.]+)", text)]


@pytest.mark.parametrize(
    ("half", "decimals"),
    [
        (0.011, 3),
        (0.0123, 3),
        (0.0996, 2),
        (0.0994, 3),
        (0.5, 2),
        (3.14, 1),
        (31.0, 0),
        (410.0, 0),
        (0.0012, 4),
        (1e-12, 4),
        (0.0, 2),
        (np.nan, 2),
    ],
)
def test_half_an_interval_has_two_significant_digits(half: float, decimals: int) -> None:
    assert decimals_of(half) == decimals


@pytest.mark.parametrize("write", [markdown, latex])
def test_rounded_formats_hold_the_numbers_of_the_result(make_result: Any, write: Any) -> None:
    results = [make_result("a", level=-0.2, half=0.0123), make_result("b_c", half=0.034)]
    text = write(paper_table(results, rows="bins"))
    found = estimates(text)
    assert len(found) == 2 * 9
    expected = np.stack([r.curve.values[0, 1:] for r in results], axis=1).ravel()
    np.testing.assert_allclose([value for value, _ in found], expected, atol=0.00051)
    assert [half for _, half in found] == [0.012, 0.034] * 9
    assert text.count("70-80") == 1
    assert text.count("168") == 2 * 9


def test_csv_holds_every_bit(make_result: Any) -> None:
    results = [make_result("a"), make_result("b", level=1 / 3, half=1 / 7)]
    rows = list(csv.DictReader(io.StringIO(csv_text(paper_table(results, rows="bins")))))
    for result, name in zip(results, "ab", strict=True):
        for end, of in (("score", "curve"), ("score low", "curve_low")):
            cells = [row[f"{name} {end}"] for row in rows]
            assert cells[0] == ""
            assert list(map(float, cells[1:])) == result[of].values[0, 1:].tolist()
        assert [int(row[f"{name} n"]) for row in rows] == result.n_neuroids.values[0].tolist()
    assert [float(row["ceiling"]) for row in rows] == results[0].ceiling.values.tolist()
    assert [int(row["start (ms)"]) for row in rows] == results[0].time_bin_start.values.tolist()


def with_influences(result: xr.Dataset, r: np.ndarray) -> xr.Dataset:
    """Return a result whose score is the mean of `r` (neuroid time_bin), with its influences."""
    result = result.copy(deep=True)
    result.curve[0] = r.mean(axis=0)
    made = {"neuroids": (r - r.mean(axis=0)) / len(r)}
    made |= {each: np.zeros((4, r.shape[1])) for each in ("stimuli", "cells", "pairs")}
    for what, values in made.items():
        dims = ("layer", "unit" if what == "neuroids" else "bucket", "time_bin")
        name = f"influence_of_{what}"
        result[name] = variable(dims, values[None], "detail", name, influence_on="curve")
    return result.assign_coords(unit=np.arange(len(r)), bucket=np.arange(4))


def test_the_interval_of_a_mean_is_that_of_the_neuroids_means(make_result: Any) -> None:
    # two values of equal frequency: their fourth moment gives t its n - 1 degrees of freedom
    sign = np.repeat([-1.0, 1.0], 20)[:, None]
    bins = np.linspace(0.1, 0.5, 10) + sign * np.array([0.3, -0.1] * 5) * np.linspace(1, 2, 10)
    config = {"interval_over": "neuroids", "interval": 0.9}
    result = with_influences(make_result(config=config), bins)
    (cell,) = paper_table([result], rows="models").columns[1].cells
    assert isinstance(cell, Estimate)
    means = bins.mean(axis=1)
    low, high = stats.ttest_1samp(means, 0).confidence_interval(0.9)
    np.testing.assert_allclose([cell.value, cell.low, cell.high], [means.mean(), low, high])


def test_means_are_over_bins_in_which_every_model_has_a_score(make_result: Any) -> None:
    long, short = make_result("long"), make_result("short", level=0.5)
    short.curve[0, -2:] = np.nan
    table = paper_table([long, short], windows=[(60, 100), (100, 160)])
    groups = {(c.group, c.heading): c.cells for c in table.columns}
    for window, bins in (("60-100 ms", slice(1, 4)), ("100-160 ms", slice(4, 8))):
        for cell, result in zip(groups[window, "score"], (long, short), strict=True):
            assert isinstance(cell, Estimate)
            np.testing.assert_allclose(cell.value, result.curve.values[0, bins].mean())
            assert np.isnan(cell.low), "no influences are stored"
    assert "3 time bins in 70-100 ms; 4 time bins in 100-140 ms" in table.caption
    assert "on its own" not in table.caption


def test_areas_do_not_share_their_bins(make_result: Any) -> None:
    it, v4 = make_result(), make_result(region="V4")
    v4.curve[0, 5:] = np.nan
    table = paper_table([it, v4])
    scores = next(column.cells for column in table.columns if column.heading == "score")
    for cell, result in zip(scores, (it, v4), strict=True):
        assert isinstance(cell, Estimate)
        np.testing.assert_allclose(cell.value, np.nanmean(result.curve))
    assert "IT of planted: 9 time bins in 70-160 ms; V4 of planted: 4 time bins" in table.caption


def test_a_window_of_one_bin_has_the_interval_of_the_bin(make_result: Any) -> None:
    result = make_result()
    (cell,) = paper_table([result], rows="models", windows=[(100, 110)]).columns[1].cells
    assert isinstance(cell, Estimate)
    assert (cell.low, cell.high) == (result.curve_low[0, 4], result.curve_high[0, 4])


def test_areas_layers_and_comparisons_are_told_apart(
    make_result: Any, make_comparison: Any
) -> None:
    results = [make_result(region="V4"), make_result(region="IT", layers=("c4", "c5"))]
    table = paper_table(results)
    assert table.columns[1] == Column("region", "", ["V4", "IT", "IT"])
    assert len(set(map(str, table.columns[0].cells))) == 3
    compared = paper_table([make_comparison()], rows="bins")
    assert [c.heading for c in compared.columns] == ["time (ms)", *["score", "p"] * 3]
    assert [c.group for c in compared.columns[1::2]] == ["a - b", "a - c", "b - c"]
    one = paper_table([make_comparison("ab", model="a, b")])
    assert one.columns[0].cells[0] == (60, 70)
    assert one.columns[1].group == "a - b"
    assert "| <.001 |".replace("<", r"\<") in markdown(compared)


def test_a_caption_says_what_p_is_and_of_no_interval_that_is_not_there(
    make_result: Any, make_comparison: Any
) -> None:
    bins = paper_table([make_comparison("ab", model="a, b")], rows="bins").caption
    assert "95% interval over neuroids" in bins
    assert "p: adjusted p." in bins
    means = paper_table([make_comparison("ab", model="a, b")], rows="models").caption
    assert "interval" not in means
    assert "p:" not in means
    of_bin = paper_table([make_result()], rows="models", windows=[(100, 110)]).caption
    assert "95% interval over neuroids" in of_bin


def test_an_interval_that_is_not_symmetric_has_both_ends() -> None:
    cells: list[Any] = [Estimate(0.5, 0.41, 0.52), Estimate(0.2), Estimate(-0.04, -0.05, -0.03)]
    text = markdown(PaperTable([Column("x", "", ["a", "b", "c"]), Column("y", "", cells)], ""))
    assert r"0.500 \[0.410, 0.520\]" in text
    assert r"-0.040 \[-0.050, -0.030\]" in text
    assert "| b | 0.20 |" in text


def test_latex_compiles_with_any_name(make_result: Any, tmp_path: Path) -> None:
    results = [make_result(NAUGHTY, level=-0.2), make_result("b", region="V4"), make_result("c")]
    tables = [latex(paper_table(results, rows=rows)) for rows in ("bins", "models")]
    assert r"\multicolumn{2}{c}{a\_b \& 50\% \#1 \$x\textasciicircum{}2\$" in tables[0]
    for table in tables:
        rows = [line for line in table.splitlines() if line.endswith(r"\\")]
        for row in rows:
            spans = sum(int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", row))
            columns = len(re.findall(r"(?<!\\)&", row)) + 1 + spans
            assert columns == len(re.findall("[lr]", re.findall(r"tabular\}\{(\w+)", table)[0]))
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    document = r"\documentclass{article}\usepackage{booktabs}\begin{document}" + "".join(tables)
    (tmp_path / "paper.tex").write_text(document + r"\end{document}", encoding="utf-8")
    call = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "paper.pdf").stat().st_size > 1000


def test_markdown_of_any_name_keeps_its_columns(make_result: Any) -> None:
    lines = markdown(paper_table([make_result(NAUGHTY), make_result("b")])).splitlines()
    counts = {len(re.findall(r"(?<!\\)\|", line)) for line in lines if line.startswith("|")}
    assert counts == {5}
    assert r"\<script\>" in "\n".join(lines)


def test_the_command_prints_and_writes_tables(
    neurofit: Any, make_result: Any, tmp_path: Path
) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        save_result(make_result(f"model_{name}"), tmp_path / name / "result.nc")
    code, printed, error = neurofit("table", "a", "b/result.nc", "--windows", "70:100,100:160")
    assert code == 0, error
    assert "model_b" in printed
    assert max(map(len, printed.splitlines())) <= 80
    for format_ in ("md", "latex", "csv"):
        asked = ("table", "a", "--format", format_)
        code, printed, _ = neurofit(*asked)
        assert code == 0
        assert neurofit(*asked, "--out", "here.txt")[0] == 0
        assert (tmp_path / "here.txt").read_text() == printed
        suffix = {"latex": "tex"}.get(format_, format_)
        assert neurofit("table", "a", "--out", f"here.{suffix}")[0] == 0
        assert (tmp_path / f"here.{suffix}").read_text() == printed
    for given, said in (
        (("a", "--format", "word"), "Existing: csv, latex, md, text"),
        (("a", "--rows", "cats"), "--rows must be bins or models; got 'cats'."),
        (("a", "--windows", "70:100"), "--windows need --rows models."),
        (("nothing",), "There is no result at nothing."),
        (("a", "--rows", "models", "--windows", "70"), "--windows takes START:END in ms"),
    ):
        code, _, error = neurofit("table", *given)
        assert (code, said in error) == (2, True), error


def test_what_has_no_place_in_such_a_table_is_refused(make_result: Any) -> None:
    with pytest.raises(NeurofitError, match="at least one result"):
        paper_table([])
    matrix = make_result().rename(layer="time_bin_test").assign_coords(
        time_bin_test=[1], time_bin_test_start=("time_bin_test", [0]),
        time_bin_test_end=("time_bin_test", [2]),
    )  # fmt: skip
    with pytest.raises(NeurofitError, match="has the dimensions time_bin_test, time_bin"):
        paper_table([matrix])
