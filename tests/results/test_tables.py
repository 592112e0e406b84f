"""Tables of results: legible intervals, whole names and reasons, 80 columns."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from neurofit.analyses.analysis import score_variable, variable
from neurofit.analyses.predictivity.reasons import REASONS
from neurofit.results.summary import summarise
from neurofit.results.tables import footnotes, result_tables

DIMS = ("layer", "time_bin")


def pooled(
    layers: list[str], values: np.ndarray, half: np.ndarray, reasons: np.ndarray
) -> xr.Dataset:
    """Return a result with the columns of a pooled score; the interval is values +- half."""
    values, half = (np.broadcast_to(each, (len(layers), len(reasons))) for each in (values, half))
    starts = 100 + 10 * np.arange(len(reasons))
    ends = {"low": values - half, "high": values + half}
    ends |= {"band_low": values - 2 * half, "band_high": values + 2 * half}
    names: dict[str, Any] = {end: f"curve_{end}" for end in ends}
    made = xr.Dataset(
        {
            "curve": score_variable(
                DIMS,
                values,
                long_name="pooled r",
                formula="pooled_r = x",
                interval="95% interval over neuroids",
                band="95% band, for all time bins at once",
                column="score",
                reason="reason",
                bound="ceiling",
                count="n_neuroids",
                **names,
            ),
            **{
                names[end]: variable(DIMS, bounds, "interval", f"{end} end")
                for end, bounds in ends.items()
            },
            "curve_one_sided": score_variable(
                DIMS, values / 2, long_name="lower bound", formula="y", column="one-sided"
            ),
            "curve_r_xy": score_variable(
                DIMS, values / 3, long_name="not corrected", formula="z", column="r"
            ),
            "ceiling": variable(
                ("time_bin",), 0.05 + 0 * starts, "bound", "reliability", column="ceiling"
            ),
            "n_neuroids": variable(
                DIMS, np.full(values.shape, 1168), "count", "number", column="neuroids"
            ),
            "reason": variable(
                ("layer", "neuroid", "time_bin"),
                np.broadcast_to(reasons, (len(layers), 4, len(reasons))),
                "detail",
                "why",
                flag_values=np.arange(len(REASONS)),
                flag_meanings=" ".join(REASONS),
            ),
        },
        coords={
            "layer": layers,
            "time_bin": starts + 5.0,
            "time_bin_start": ("time_bin", starts),
            "time_bin_end": ("time_bin", starts + 10),
        },
    )
    words = ("analysis", "model", "recording", "region", "control")
    made.attrs = {word: word * (word != "control") for word in words}
    made.attrs |= dict.fromkeys(("config", "selection", "versions"), "{}")
    made.attrs |= {"simulated": 0, "notes": json.dumps(["A note."])}
    return made


def lines_of(result: xr.Dataset) -> list[str]:
    """Return the lines of the tables of a result, printed in 80 columns."""
    page = io.StringIO()
    console = Console(width=80, file=page)
    for _, table in result_tables(result):
        console.print(table)
    return [line.rstrip() for line in page.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("value", "half", "shown"),
    [
        (0.2, 0.0256, "0.20 0.17 to 0.23 0.10 0.07"),
        (0.2, 0.0021, "0.20 0.20 to 0.20 0.10 0.07"),
        (0.08, 0.0123, "0.080 0.068 to 0.092 0.040 0.027"),
        (0.08, 0.123, "0.08 -0.04 to 0.20 0.04 0.03"),
        (0.0063, 0.0024, "0.0063 0.0039 to 0.0087 0.0032 0.0021"),
        (-0.03, 0.0456, "-0.030 -0.076 to 0.016 -0.015 -0.010"),
        (0.00001, 1e-9, "0.0000 0.0000 to 0.0000 0.0000 0.0000"),
        (-0.001, 0.2, "0.00 -0.20 to 0.20 0.00 0.00"),
    ],
)
def test_a_small_value_has_two_digits_of_half_its_interval(
    value: float, half: float, shown: str
) -> None:
    result = pooled(["conv"], np.array([value]), np.array([half]), np.zeros(1, dtype=int))
    assert lines_of(result)[1].split() == ["100-110", *shown.split(), "0.05", "1168"]


def test_every_reason_fits_into_80_columns_beside_small_values() -> None:
    values = np.full(len(REASONS), np.nan)
    values[0] = -0.0063
    half = np.full(len(REASONS), 0.0024)
    lines = lines_of(pooled(["conv"], values, half, np.arange(len(REASONS))))
    assert len(lines) == 1 + len(REASONS)
    assert max(map(len, lines)) <= 80
    assert "score interval one-sided r ceiling neuroids" in " ".join(lines[0].split())
    assert "-0.0063 -0.0087 to -0.0039" in " ".join(lines[1].split())
    for reason, line in zip(REASONS[1:], lines[2:], strict=True):
        assert reason.replace("_", " ") in line


def test_the_names_of_many_layers_are_whole() -> None:
    layers = [f"features.{i}.block" for i in range(5)]
    lines = lines_of(pooled(layers, np.array(0.3), np.array(0.1), np.zeros(12, dtype=int)))
    assert [line.split()[0] for line in lines[-5:]] == layers
    assert all(line.split()[-1] == "1168" for line in lines[-5:])
    assert max(map(len, lines)) <= 80


def test_footnotes_explain_the_interval_and_a_band_that_is_drawn() -> None:
    band = "thin lines in the plot: 95% band, for all time bins at once"
    for n_layers, n_bins, drawn in ((1, 3, True), (3, 2, True), (1, 1, False), (4, 3, False)):
        layers = [f"conv{i}" for i in range(n_layers)]
        result = pooled(layers, np.array(0.3), np.array(0.1), np.zeros(n_bins, dtype=int))
        note, meanings = footnotes(result)
        assert note == "A note."
        assert "interval: 95% interval over neuroids." in meanings
        assert (band in meanings) == drawn


def test_a_summary_has_intervals_bands_and_notes() -> None:
    result = pooled(["conv"], np.array(0.3), np.array(0.1), np.zeros(2, dtype=int))
    summary = summarise(result)
    assert summary["intervals"] == {"curve": "95% interval over neuroids"}
    assert summary["bands"] == {"curve": "95% band, for all time bins at once"}
    assert summary["notes"] == ["A note."]
    np.testing.assert_allclose(summary["curve_band_high"], [0.5, 0.5])
    json.dumps(summary)
