"""Tables of scores beside the main one: subjects, training stimuli, windows, p values."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from neurofit.results.tables import p_text, result_tables


def pages(result: xr.Dataset) -> dict[str, list[list[str]]]:
    """Return the cells of each printed table by its title, checked to fit into 80 columns."""
    found = {}
    for title, table in result_tables(result):
        page = io.StringIO()
        Console(width=80, file=page).print(table)
        assert max(map(len, page.getvalue().splitlines())) <= 80
        numbers = [cell for c in table.columns if c.justify == "right" for cell in c.cells]
        assert all(str(cell) in page.getvalue() for cell in numbers), "only names are wrapped"
        columns = [[str(column.header), *map(str, column.cells)] for column in table.columns]
        assert title not in found
        found[title] = [list(row) for row in zip(*columns, strict=True)]
    return found


def test_each_subject_is_a_column_with_its_interval(make_result: Any) -> None:
    result = make_result(subjects=("Chabo", "Tito"))
    main, own = pages(result).values()
    assert main[0] == ["ms", "score", "interval", "neuroids", "ceiling"]
    assert own[0] == ["ms", "Chabo", "interval", "Tito", "interval"]
    assert len(own) == 1 + result.sizes["time_bin"]
    for row, values in zip(own[2:], result.curve_of_subject.values[:, 0, 1:].T, strict=True):
        chabo, tito = values
        ends = [f"{v - 0.0246:.2f} to {v + 0.0246:.2f}" for v in values]
        assert row[1:] == [f"{chabo:.2f}", ends[0], f"{tito:.2f}", ends[1]]


def test_more_subjects_have_no_intervals_and_many_layers_one_row_each(make_result: Any) -> None:
    *_, own = pages(make_result(subjects=("A", "B", "C"))).values()
    assert own[0] == ["ms", "A", "B", "C"]
    layers = [f"conv{i}" for i in range(4)]
    result = make_result(subjects=("A", "B"), layers=layers)
    *_, own = pages(result).values()
    assert [row[:2] for row in own[1:]] == [[s, layer] for s in "AB" for layer in layers]
    assert {row[0]: row[-1] for row in own[1:]} == {
        s: f"{np.nanmean(result.curve_of_subject[i, 0]):.2f}" for i, s in enumerate("AB")
    }


def test_parts_of_the_training_stimuli_are_columns(make_result: Any) -> None:
    result = make_result(training=(120, 240, 360, 480))
    titles = list(pages(result))
    assert titles[1] == "conv5: curve with parts, by training stimuli"
    own = pages(result)[titles[1]]
    assert own[0] == ["ms", "120", "240", "360", "480"]
    expected = result.curve_of_training.values[:, 0, 3]
    assert own[4][1:] == [f"{value:.2f}" for value in expected]


def test_a_comparison_has_p_values_windows_and_whole_differences(make_comparison: Any) -> None:
    result = make_comparison()
    tables = list(pages(result).items())
    main = [rows for _, rows in tables[:3]]
    assert all(rows[0] == ["ms", "difference", "interval", "p"] for rows in main)
    assert main[0][1] == ["60-70", "0.10", "0.08 to 0.12", "<.001"]
    assert main[0][-1][-1] == ".200"
    assert main[1][1][1] == "0.20"
    (title, windows), *_, (_, whole) = tables[3:]
    assert title == "a - b: difference of mean pooled r, by window"
    assert windows[0] == ["window", "difference", "interval", "p"]
    assert windows[2] == ["130-260 ms", "0.20", "0.19 to 0.21", ".012"]
    assert (len(tables), len(windows)) == (3 + 3 + 1, 1 + 3)
    assert whole[0] == ["pair", "difference", "interval", "p"]
    assert whole[2] == ["a - c", "0.20", "0.20 to 0.20", "<.001"]


def test_the_comparison_of_twelve_models_fits_too(make_comparison: Any) -> None:
    models = [f"{kind}_tiny" for kind in ("feedforward", "intersectionrnn", "timedecay")]
    models += [f"net_{i}" for i in range(9)]
    main, windows, whole = pages(make_comparison(models)).values()
    assert len(main) == len(whole) == 1 + 66
    assert len(windows) == 1 + 3 * 66
    assert "p" not in main[0]


@pytest.mark.parametrize(
    ("p", "shown"),
    [
        (0.0, "<.001"),
        (0.00049, "<.001"),
        (0.0006, ".001"),
        (0.0124, ".012"),
        (1.0, "1.000"),
        (np.nan, "-"),
    ],
)
def test_p_values_have_three_decimals(p: float, shown: str) -> None:
    assert p_text(p) == shown
