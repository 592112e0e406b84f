"""Other time bins: by exact overlap, of counts and of rates."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurofit.errors import NeurofitError
from neurofit.recordings.plausibility import plausibility_warnings
from neurofit.recordings.rebinning import are_counts, overlap_weights, rebin
from neurofit.recordings.recording import Recording
from neurofit.recordings.time_bins import overlapping, parse_bins


def in_bins(made: Recording, starts: Any, ends: Any, **attrs: str) -> Recording:
    responses = made.responses.isel(time_bin=slice(len(starts))).assign_coords(
        time_bin_start=("time_bin", np.asarray(starts)), time_bin_end=("time_bin", np.asarray(ends))
    )
    return replace(made, responses=responses.assign_attrs(attrs))


def test_check_notes_that_bins_overlap(recording: Recording) -> None:
    starts = np.arange(0, 80, 10)
    assert (
        "Time bins overlap and share spikes. Select bins that do not overlap with --bins."
        in plausibility_warnings(in_bins(recording, starts, starts + 20))
    )
    assert not any("overlap" in doubt for doubt in plausibility_warnings(recording))


def test_bins_in_another_order_do_not_overlap(recording: Recording) -> None:
    assert not overlapping(recording.time_bins[::-1])
    assert overlapping([(20, 40), (0, 10), (30, 50)])


@pytest.mark.parametrize(
    ("units", "counts"),
    [
        ("spikes per 10 ms", True),
        ("spikes/10ms", True),
        ("spikes per 20 ms", False),
        (f"spikes per {'9' * 5000} ms", False),
    ],
)
def test_spikes_per_so_many_ms_are_counts_if_bins_are_so_wide(
    recording: Recording, units: str, counts: bool
) -> None:
    whole = replace(recording, responses=recording.responses.assign_attrs(units=units))
    assert are_counts(whole.responses) is counts
    joined = rebin(whole, [(0, 20)])
    values = recording.responses.values[..., :2]
    np.testing.assert_allclose(
        joined.block(0), values.sum(axis=2) if counts else values.mean(axis=2)
    )
    assert joined.responses.attrs["units"] == ("spikes per bin" if counts else units)
    assert whole.responses.attrs["units"] == units


def test_counts_are_added_and_rates_are_averaged(recording: Recording) -> None:
    values = recording.responses.values
    counts = rebin(
        replace(recording, responses=recording.responses.assign_attrs(units="spikes per bin")),
        [(0, 20), (20, 80)],
    )
    np.testing.assert_allclose(counts.responses.values[..., 0], values[..., 0] + values[..., 1])
    np.testing.assert_allclose(
        counts.responses.values[..., 1], values[..., 2:].sum(axis=2), rtol=1e-6
    )
    rates = rebin(
        replace(recording, responses=recording.responses.assign_attrs(units="spikes per second")),
        [(0, 20), (20, 80)],
    )
    np.testing.assert_allclose(
        rates.responses.values[..., 1], values[..., 2:].mean(axis=2), rtol=1e-6
    )
    assert counts.time_bins == [(0, 20), (20, 80)]
    assert counts.responses.attrs["units"] == "spikes per bin"


def test_a_part_of_a_bin_gives_its_share(recording: Recording) -> None:
    values = recording.responses.values
    whole = replace(recording, responses=recording.responses.assign_attrs(units="counts"))
    np.testing.assert_allclose(
        rebin(whole, [(5, 25)]).block(0),
        values[..., 0] / 2 + values[..., 1] + values[..., 2] / 2,
        rtol=1e-6,
    )
    halved = (values[..., 0] / 2 + values[..., 1] + values[..., 2] / 2) / 2
    np.testing.assert_allclose(rebin(recording, [(5, 25)]).block(0), halved, rtol=1e-6)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(-50, 50), st.data())
def test_counts_are_kept_whatever_the_bins(
    widths: list[int], start: int, data: st.DataObject
) -> None:
    edges = start + np.concatenate([[0], np.cumsum(widths)])
    recorded = [(int(a), int(b)) for a, b in pairwise(edges)]
    cuts = data.draw(
        st.lists(st.integers(int(edges[0]) + 1, int(edges[-1])), max_size=6, unique=True)
    )
    new = np.array(sorted({int(edges[0]), int(edges[-1]), *cuts}))
    asked = [(int(a), int(b)) for a, b in pairwise(new)]
    np.testing.assert_allclose(
        overlap_weights(recorded, asked, counts=True, name="x").sum(axis=0), 1.0
    )
    rates = overlap_weights(recorded, asked, counts=False, name="x")
    np.testing.assert_allclose(rates.sum(axis=1), 1.0)  # a constant rate stays what it is
    for weights, (begin, end) in zip(rates, asked, strict=True):  # the truth ms by ms
        by_ms = np.array(
            [[a <= ms < b for a, b in recorded] for ms in range(begin, end)], dtype=float
        )
        np.testing.assert_allclose(weights, by_ms.mean(axis=0), atol=1e-12)


@pytest.mark.parametrize(
    ("asked", "divided", "nearest"),
    [
        ("5:75:10", "10-20 ms of small (6 in all)", "0:70:10"),  # shifted
        ("0:80:5", "0-10 ms of small (8 in all)", "0:80:10"),  # finer
        ("5:35:10", "10-20 ms of small (2 in all)", "0:30:10"),
        ("10:40:15", "20-30 ms of small (1 in all)", "10:50:20"),
    ],
)
def test_bins_that_would_repeat_responses_are_refused_with_the_nearest_that_do_not(
    recording: Recording, asked: str, divided: str, nearest: str
) -> None:
    with pytest.raises(NeurofitError, match="must not divide recorded ones") as caught:
        rebin(recording, parse_bins(asked))
    assert f"repeated: {divided}. Nearest: --bins {nearest}." in str(caught.value)
    assert rebin(recording, parse_bins(nearest)).time_bins == parse_bins(nearest)


def test_windows_that_slide_by_whole_bins_divide_none(recording: Recording) -> None:
    slid = rebin(recording, [(0, 20), (10, 30), (20, 40)])
    expected = [recording.responses.values[..., at : at + 2].mean(axis=2) for at in range(3)]
    np.testing.assert_allclose(slid.responses.values, np.stack(expected, axis=2), rtol=1e-6)


def test_a_missing_trial_stays_missing(recording: Recording) -> None:
    recording.responses.values[3, 1, 2] = np.nan
    wide = rebin(recording, [(0, 20), (20, 40)]).responses.values
    assert np.isnan(wide[3, 1]).tolist() == [False, True]
    assert np.isnan(wide).sum() == 1


def test_bins_that_are_not_covered_are_refused_with_what_is(recording: Recording) -> None:
    with pytest.raises(
        NeurofitError, match=r"does not cover 70-90 ms: it has 8 bins from 0 to 80 ms"
    ):
        rebin(recording, [(70, 90)])
    gap = in_bins(recording, [0, 20], [10, 30])
    with pytest.raises(NeurofitError, match="does not cover 5-25 ms"):
        rebin(gap, [(5, 25)])


def test_overlapping_bins_are_taken_as_they_are_or_not_at_all(recording: Recording) -> None:
    starts = np.arange(0, 80, 10)
    windows = in_bins(recording, starts, starts + 20)
    assert overlapping(windows.time_bins)
    assert not overlapping(recording.time_bins)
    chosen = rebin(windows, parse_bins("0:80:20"))
    assert chosen.time_bins == [(0, 20), (20, 40), (40, 60), (60, 80)]
    np.testing.assert_array_equal(chosen.responses.values, windows.responses.values[..., ::2])
    with pytest.raises(
        NeurofitError,
        match=r"overlap \(20 ms every 10 ms\): 0-10 ms cannot be made from them.*--bins 0:80:20",
    ):
        rebin(windows, [(0, 10)])


@pytest.mark.parametrize("wrong", ["70:260", "a:b:c", "70:260:0", "260:70:10", "70:265:10"])
def test_bins_have_one_form(wrong: str) -> None:
    with pytest.raises(
        NeurofitError, match=r"bins takes START:END:WIDTH|a width that divides the window"
    ):
        parse_bins(wrong)
