"""Figures of questions about time: times below their course, windows, maps of two times."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr

from neurofit.analyses.analysis import score_variable, variable
from neurofit.results import figures
from neurofit.results.report.page import write_report
from neurofit.results.schema import time_coords

Make = Callable[..., xr.Dataset]

MODELS = ["IT of planted", "net conv5"]


def latencies(planted_score: Make) -> xr.Dataset:
    """Return an onset with its interval and the course that it is a time of, for two systems."""
    made = planted_score(layers=MODELS).rename(layer="model")
    onset = {"low": "onset_low", "high": "onset_high", "interval": "95% interval over images"}
    return xr.Dataset(
        {
            "onset": score_variable(
                ("model",),
                [95.0, 110.0],
                long_name="onset latency",
                formula="half of the peak",
                units="ms",
                best=np.nan,
                panel="course",
                **onset,
            ),
            "onset_low": variable(("model",), [90.0, 105.0], "interval", "low end", units="ms"),
            "onset_high": variable(("model",), [99.0, 120.0], "interval", "high end", units="ms"),
            "course": variable(
                ("model", "time_bin"), made.curve.values, "detail", "signal variance"
            ),
        },
        coords=made.coords,
        attrs=made.attrs,
    )


def test_times_are_drawn_below_the_course_that_they_are_times_of(planted_score: Make) -> None:
    result = latencies(planted_score)
    figure = figures.draw(result)
    course, rows = figure.axes
    assert course.get_ylabel() == "Signal variance"
    assert rows.get_xlabel() == "Onset latency (ms)"
    assert course.get_xlim() == rows.get_xlim()
    drawn = [line.get_ydata() for line in course.lines if line.get_label() in MODELS]
    np.testing.assert_array_equal(drawn, result.course.values)
    (legend,) = figure.legends
    assert "onset latency and 95% interval" in [each.get_text() for each in legend.get_texts()]
    assert "Upper panel: signal variance." in figures.caption(result)


def windowed(planted_score: Make) -> xr.Dataset:
    """Return a score in two windows, with a second one for a panel of its own."""
    made = planted_score(n_bins=3).isel(time_bin=[1, 2])
    made = made[["curve", "curve_low", "curve_high"]].reset_coords(drop=True)
    windows = made.assign_coords(time_bin=["70-130 ms", "130-260 ms"]).rename(time_bin="windows")
    windows["back"] = windows.curve - 0.1
    del windows.curve.attrs["bound"], windows.curve.attrs["count"]
    for end in ("band_low", "band_high", "band"):
        del windows.curve.attrs[end]
    windows.back.attrs = {**windows.curve.attrs, "long_name": "r of animals to the model"}
    windows.curve.attrs["panel"] = "back"
    return windows


def test_values_in_windows_are_points_with_bars_that_no_line_joins(planted_score: Make) -> None:
    result = windowed(planted_score)
    upper, lower = figures.draw(result).axes
    for panel, name in ((upper, "curve"), (lower, "back")):
        (line,) = [each for each in panel.lines if each.get_marker() == "o"]
        assert line.get_linestyle() == "None"
        np.testing.assert_array_equal(line.get_ydata(), result[name].values[0])
        bars = next(each for each in panel.collections if hasattr(each, "get_segments"))
        ends = np.array([segment[:, 1] for segment in bars.get_segments()])
        expected = [result.curve_low.values[0], result.curve_high.values[0]]
        np.testing.assert_allclose(ends, np.transpose(expected))
    assert [each.get_text() for each in lower.get_xticklabels()] == ["70-130 ms", "130-260 ms"]
    assert upper.get_ylim() == lower.get_ylim()


def test_a_map_of_two_times_names_both_and_has_the_same_scale_on_both_axes(
    planted_score: Make,
) -> None:
    result = planted_score()
    values = np.random.default_rng(0).uniform(0, 1, (8, 8))
    starts = result.time_bin_start.values
    made = xr.Dataset(
        {"generalisation": (("time_bin_fit", "time_bin"), values, result.curve.attrs)},
        coords={
            **time_coords(starts, starts + 10, dim="time_bin_fit"),
            **{name: result[name] for name in ("time_bin", "time_bin_start", "time_bin_end")},
        },
        attrs=result.attrs,
    )
    figure = figures.draw(made, width="85mm")
    panel = figure.axes[0]
    assert panel.get_xlabel() == "Test time from image onset (ms)"
    assert panel.get_ylabel() == "Training time from image onset (ms)"
    assert panel.get_title(loc="left") == "net"
    box = panel.get_window_extent()
    assert abs(box.width / box.height - 1) < 0.3


def test_a_report_names_the_recording_and_the_layers_of_a_model_once(
    planted_score: Make, tmp_path: Path
) -> None:
    write_report([latencies(planted_score)], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "What is the onset latency of net and of IT of planted (simulated)?" in page
    assert "net net conv5" not in page
    assert "net IT of planted" not in page
