"""Times of every array format follow the same rules: a planted fault is right or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from neurofit.data_loaders import load_recording
from neurofit.errors import NeurofitError
from neurofit.recordings.plausibility import plausibility_warnings
from neurofit.recordings.validation import validate_recording

Arrays = dict[str, np.ndarray]
ArraysOf = Callable[..., Arrays]
Written = Callable[..., Path]

BINS = [(70, 80), (80, 90), (90, 100)]

EVERY = pytest.mark.parametrize(
    "form", ["netCDF", "classic netCDF", "npz", "HDF5", "MATLAB", "tables"]
)
WITH_UNITS = pytest.mark.parametrize("form", ["netCDF", "classic netCDF", "HDF5"])


def edges(scale: float, dtype: str = "f8") -> dict[str, np.ndarray]:
    """Return the bins in another unit, of which a ms has so many."""
    starts, ends = (np.array(each) * scale for each in zip(*BINS, strict=True))
    return {"time_bin_start": starts.astype(dtype), "time_bin_end": ends.astype(dtype)}


def said_of(**units: str) -> dict[str, str]:
    return dict.fromkeys(("time_bin_start", "time_bin_end"), units["units"])


@EVERY
def test_a_valid_recording_is_read(arrays_of: ArraysOf, form: str, written: Written) -> None:
    recording = load_recording(written(form))
    validate_recording(recording)
    assert recording.time_bins == BINS
    np.testing.assert_array_equal(recording.responses.values, arrays_of()["responses"])


@WITH_UNITS
@pytest.mark.parametrize(
    ("units", "scale", "dtype"),
    [
        ("s", 1e-3, "f8"),
        ("seconds", 1e-3, "f4"),
        ("us", 1e3, "i4"),
        ("microseconds", 1e3, "f8"),
        ("ns", 1e6, "f8"),
        ("ms", 1, "i4"),
        ("milliseconds from stimulus onset", 1, "f8"),
    ],
)
def test_times_are_read_in_the_unit_that_they_are_given_in(
    arrays_of: ArraysOf,
    form: str,
    written: Written,
    units: str,
    scale: float,
    dtype: str,
) -> None:
    path = written(form, units=said_of(units=units), **edges(scale, dtype))
    assert load_recording(path).time_bins == BINS


@pytest.mark.parametrize("form", ["netCDF", "npz"])
def test_durations_are_ms(form: str, written: Written) -> None:
    # In nanoseconds, the only unit that old versions of xarray write.
    spans = {name: np.asarray(ns, dtype="m8[ns]") for name, ns in edges(10**6, "i8").items()}
    assert load_recording(written(form, **spans)).time_bins == BINS


@pytest.mark.parametrize(
    ("form", "units"), [("netCDF", "s since 2020-01-01"), ("HDF5", "ms since 2020-01-01 00:00")]
)
def test_dates_are_no_times_from_onset(form: str, written: Written, units: str) -> None:
    path = written(form, units=said_of(units=units))
    with pytest.raises(NeurofitError, match=r"time_bin_\w+ contains dates .* ms from stimulus"):
        load_recording(path)


def test_dates_of_numpy_are_no_times_from_onset(
    written: Written,
) -> None:
    starts = np.array(["2020-01-01", "2020-01-02", "2020-01-03"], dtype="M8[D]")
    path = written("npz", time_bin_start=starts)
    with pytest.raises(NeurofitError, match=r"contains dates \(datetime64\[D\]\)"):
        load_recording(path)


@WITH_UNITS
@pytest.mark.parametrize("units", ["frames", "30 kHz samples"])
def test_an_unknown_unit_of_time_is_refused(form: str, written: Written, units: str) -> None:
    path = written(form, units=said_of(units=units))
    with pytest.raises(NeurofitError, match=rf"time_bin_\w+ has the unknown units '{units}'"):
        load_recording(path)


@EVERY
def test_whole_ms_that_were_computed_in_floats_are_whole(form: str, written: Written) -> None:
    starts = np.array([0.57, 0.58, 0.59]) * 100
    assert starts[0] != 57
    path = written(form, time_bin_start=starts, time_bin_end=starts + 1)
    assert load_recording(path).time_bins == [(57, 58), (58, 59), (59, 60)]


@EVERY
def test_fractions_of_ms_are_refused(form: str, written: Written) -> None:
    starts = [70.25, 80.25, 90.25]
    path = written(form, time_bin_start=starts, time_bin_end=np.add(starts, 10))
    with pytest.raises(NeurofitError, match=r"70.25\. Give whole numbers: ms") as caught:
        load_recording(path)
    assert "seconds" not in str(caught.value)


@EVERY
def test_seconds_that_are_called_ms_are_refused(form: str, written: Written) -> None:
    path = written(form, **edges(1e-3))
    with pytest.raises(NeurofitError, match="look like seconds: multiply them by 1,000"):
        load_recording(path)


@EVERY
@pytest.mark.parametrize(
    ("starts", "ends", "said"),
    [
        ([70, 70, 90], [80, 80, 100], r"70.*-80.* ms\) occurs twice"),
        ([90, 80, 70], [100, 90, 80], "descending order"),
        ([70, 80, 90], [80, 80, 100], "no positive width"),
    ],
)
def test_bins_that_are_no_partition_are_refused(
    arrays_of: ArraysOf,
    form: str,
    written: Written,
    starts: list[int],
    ends: list[int],
    said: str,
) -> None:
    path = written(form, time_bin_start=starts, time_bin_end=ends)
    with pytest.raises(NeurofitError, match=said):
        load_recording(path)


@EVERY
def test_unsigned_edges_do_not_wrap(arrays_of: ArraysOf, form: str, written: Written) -> None:
    wrong = arrays_of(time_bin_start=np.array([80, 90, 100], "i2"), time_bin_end=[70, 80, 90])
    if form in ("npz", "HDF5", "MATLAB"):
        wrong = {n: v.astype("u1") if n.startswith("time") else v for n, v in wrong.items()}
    with pytest.raises(NeurofitError, match="no positive width"):
        load_recording(written(form, **wrong))


@EVERY
def test_bins_before_onset_are_read_and_said(form: str, written: Written) -> None:
    path = written(form, time_bin_start=[-20, -10, 0], time_bin_end=[-10, 0, 10])
    recording = load_recording(path)
    assert recording.time_bins == [(-20, -10), (-10, 0), (0, 10)]
    assert "Time bins that begin before stimulus onset: 2 of 3." in plausibility_warnings(recording)


@pytest.mark.parametrize("form", ["npz", "netCDF"])
def test_a_bin_that_the_file_states_is_not_overruled(
    arrays_of: ArraysOf, form: str, written: Written
) -> None:
    one = arrays_of(
        responses=arrays_of()["responses"][..., :1], time_bin_start=[70], time_bin_end=[80]
    )
    path = written(form, **one)
    assert load_recording(path, time_bin=(70, 80)).time_bins == [(70, 80)]
    with pytest.raises(NeurofitError, match="states that its time bin is 70-80 ms; got 50-150 ms"):
        load_recording(path, time_bin=(50, 150))
