"""Parts of a recording: the right neuroids, stimuli and bins, by exact overlap, and nothing read before it is used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from neurofit.assemblies import Recording
from neurofit.checks import doubts
from neurofit.data_loaders import open_recording, write_recording
from neurofit.errors import NeurofitError, NeurofitWarning
from neurofit.parts import select
from neurofit.selection import are_counts, keep_stimuli, overlap_weights, overlapping, parse_bins, rebin, where

Make = Callable[..., Recording]


@pytest.fixture
def recording(make_recording: Make) -> Recording:
    """Return 8 bins of 10 ms from 0 on, two animals."""
    made = make_recording(n_bins=8)
    made.responses.coords["time_bin_start"] = ("time_bin", 10 * np.arange(8))
    made.responses.coords["time_bin_end"] = ("time_bin", 10 * np.arange(1, 9))
    n = made.responses.sizes["neuroid"]
    made.responses.coords["subject"] = ("neuroid", ["Chabo", "Tito"] * (n // 2) + ["Chabo"] * (n % 2))
    return made


def in_bins(made: Recording, starts: Any, ends: Any, **attrs: str) -> Recording:
    responses = made.responses.isel(time_bin=slice(len(starts))).assign_coords(
        time_bin_start=("time_bin", np.asarray(starts)), time_bin_end=("time_bin", np.asarray(ends))
    )
    return replace(made, responses=responses.assign_attrs(attrs))


def test_neuroids_are_chosen_by_what_is_known_of_them(recording: Recording) -> None:
    chosen = where(recording, subject="Tito", subregion=None)
    assert set(chosen.responses.subject.values) == {"Tito"}
    assert chosen.responses.sizes["neuroid"] == recording.responses.sizes["neuroid"] // 2
    with pytest.raises(NeurofitError, match=r"Unknown subject of .* 'Tita'\. Did you mean 'Tito'"):
        where(recording, subject="Tita")
    with pytest.raises(NeurofitError, match=r"Unknown coordinate of the neuroids of .* 'subregion'"):
        where(recording, subregion="aIT")


def test_a_subject_is_not_one_whose_name_begins_or_ends_like_it(recording: Recording) -> None:
    subjects = np.array(["m10", "m1", "m", "m1", "am1", "m1 "])
    several = recording.responses.assign_coords(subject=("neuroid", subjects))
    chosen = where(replace(recording, responses=several), subject="m1")
    assert chosen.responses.neuroid_id.values.tolist() == ["V4-1", "IT-0"]
    np.testing.assert_array_equal(chosen.responses.values, recording.responses.values[:, [1, 3]])


def test_stimuli_are_chosen_by_a_column_or_a_file(recording: Recording, tmp_path: Path) -> None:
    ids = [str(each) for each in recording.stimuli.ids]
    for asked in (f"stimulus_id={ids[2]},{ids[0]}", str(tmp_path / "ids.txt")):
        (tmp_path / "ids.txt").write_text(f"{ids[0]}\n\n{ids[2]}\n")
        chosen = keep_stimuli(recording, asked)
        assert [str(each) for each in chosen.stimuli.ids] == [ids[0], ids[2]]
        assert set(chosen.responses.stimulus_id.values) == {ids[0], ids[2]}
        np.testing.assert_array_equal(chosen.stimuli.images[1], recording.stimuli.images[2])
        np.testing.assert_array_equal(chosen.responses.values, recording.responses.values[np.isin(recording.stimulus_rows, [0, 2])])
    for wrong, said in (("colour=red", "Unknown column"), ("stimulus_id=none", "Unknown stimulus_id"), ("nowhere.txt", "COLUMN=VALUE")):
        with pytest.raises(NeurofitError, match=said):
            keep_stimuli(recording, wrong)


def test_what_differs_between_presentations_of_a_stimulus_chooses_presentations(recording: Recording) -> None:
    session = np.where(recording.responses.repetition.values < 1, "a", "b")
    session[recording.responses.stimulus_id.values == "s3"] = "b"
    two = replace(recording, responses=recording.responses.assign_coords(session=("presentation", session)))
    chosen = keep_stimuli(two, "session=a")
    assert chosen.responses.sizes["presentation"] == 5
    assert set(chosen.responses.session.values) == {"a"}
    assert chosen.stimuli.ids.tolist() == ["s0", "s1", "s2", "s4", "s5"]
    np.testing.assert_array_equal(chosen.responses.values, recording.responses.values[session == "a"])
    assert keep_stimuli(two, "session=b").responses.sizes["presentation"] == 19
    with pytest.raises(NeurofitError, match="Unknown session of small 'c'"):
        keep_stimuli(two, "session=c")


def test_a_list_of_ids_may_say_what_it_is(recording: Recording, tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text("\ufeffstimulus_id\ns2\ns0\n", encoding="utf-8")
    assert keep_stimuli(recording, str(tmp_path / "ids.csv")).stimuli.ids.tolist() == ["s0", "s2"]
    assert keep_stimuli(recording, ["s2", "s0"]).stimuli.ids.tolist() == ["s0", "s2"]
    with pytest.raises(NeurofitError, match="Unknown stimulus of small 's9'"):
        keep_stimuli(recording, ["s0", "s9"])


def test_all_options_of_a_selection_are_one_call_in_python(recording: Recording) -> None:
    with pytest.warns(NeurofitWarning, match=r"bins of 0:80:20 ms; responses are taken as rates \(units unknown\)"):
        chosen = select(recording, region="IT", subject="Tito", stimuli="stimulus_id=s0,s1,s2", bins="0:80:20")
    by_hand = rebin(keep_stimuli(where(recording.select(region="IT"), subject="Tito"), ["s0", "s1", "s2"]), parse_bins("0:80:20"))
    np.testing.assert_array_equal(chosen.responses.values, by_hand.responses.values)
    assert chosen.responses.neuroid_id.values.tolist() == by_hand.responses.neuroid_id.values.tolist() == ["IT-0", "IT-2"]
    assert select(recording, window=(20, 50)).time_bins == [(20, 30), (30, 40), (40, 50)]
    assert select(recording, bins=[(0, 10), (30, 40)]).time_bins == [(0, 10), (30, 40)]  # recorded as they are: nothing to warn of
    with pytest.warns(NeurofitWarning, match="share recorded ones, which were not divided in time: 0-10, 10-20, 20-30 ... ms"):
        select(recording, bins="0:80:5")
    rng = np.random.default_rng(0)
    reliable = recording.responses.copy(data=rng.normal(size=recording.responses.shape).astype(np.float32))
    reliable.values[:, 2] += 10 * recording.stimulus_rows[:, None]
    with pytest.warns(NeurofitWarning, match=r"Neuroids with a reliability under 0\.9, which are left out: 5"):
        kept = select(replace(recording, responses=reliable), min_reliability=0.9)
    assert kept.responses.neuroid_id.values.tolist() == ["V4-2"]
    with pytest.warns(NeurofitWarning, match=r"bins of 0-20, 20-80 ms; responses are taken as rates"):
        select(recording, bins=[(0, 20), (20, 80)])
    for wrong in ([(0, 10), (5, 3)], [(0.5, 10.5)], (0, 20), ["ab"], np.array([[0.0, 10.0]])):
        with pytest.raises(NeurofitError, match=r"Time bins are \(start, end\) in whole ms, the end after the start; got "):
            select(recording, bins=wrong)
    with pytest.raises(NeurofitError, match="No stimulus of small is asked for"):
        select(recording, stimuli=[])
    with pytest.raises(NeurofitError, match="No time bin of small is asked for"):
        select(recording, bins=[])


def test_choices_come_as_arrays_paths_or_generators_too(recording: Recording, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("s0\ns2\n")
    kept = keep_stimuli(recording, ["s0", "s2"]).responses.values
    ids = recording.stimuli.table.stimulus_id[::2][:2]
    for asked in (np.array(["s0", "s2"]), tmp_path / "ids.txt", (each for each in ("s0", "s2")), ids):
        np.testing.assert_array_equal(select(recording, stimuli=asked).responses.values, kept)
    for bins in (np.array([[0, 10], [30, 40]]), (each for each in [(0, 10), (30, 40)]), ([0, 10], [30, 40])):
        assert select(recording, bins=bins).time_bins == [(0, 10), (30, 40)]
    assert select(recording, region="", stimuli="", bins="").responses.shape == recording.responses.shape
    (tmp_path / "ids.txt").write_bytes("s0\nh\u00e9\n".encode("latin-1"))
    with pytest.raises(NeurofitError, match=r"Cannot read .*ids.txt as a text file of ids"):
        select(recording, stimuli=tmp_path / "ids.txt")
    with pytest.raises(NeurofitError, match=r"window is \(start, end\) in whole ms"):
        select(recording, window=(50, 20))


def test_a_part_of_an_area_may_be_asked_for_as_the_area(recording: Recording) -> None:
    parts = np.array(["", "", "", "pIT", "aIT", "aIT"])
    divided = replace(recording, responses=recording.responses.assign_coords(subregion=("neuroid", parts)))
    assert select(divided, region="aIT").responses.neuroid_id.values.tolist() == ["IT-1", "IT-2"]
    assert select(divided, region="IT", subregion="aIT").responses.neuroid_id.values.tolist() == ["IT-1", "IT-2"]
    assert select(divided, region="IT").responses.sizes["neuroid"] == 3
    for whole, wrong in ((divided, "cIT"), (recording, "aIT")):
        with pytest.raises(NeurofitError, match=f"Unknown region of small '{wrong}'"):
            select(whole, region=wrong)


def test_check_notes_that_bins_overlap(recording: Recording) -> None:
    starts = np.arange(0, 80, 10)
    assert "Time bins overlap, and share spikes; --bins takes some of them." in doubts(in_bins(recording, starts, starts + 20))
    assert not any("overlap" in doubt for doubt in doubts(recording))


def test_bins_in_another_order_do_not_overlap(recording: Recording) -> None:
    assert not overlapping(recording.time_bins[::-1])
    assert overlapping([(20, 40), (0, 10), (30, 50)])


@pytest.mark.parametrize(
    ("units", "counts"),
    [("spikes per 10 ms", True), ("spikes/10ms", True), ("spikes per 20 ms", False), (f"spikes per {'9' * 5000} ms", False)],
)
def test_spikes_per_so_many_ms_are_counts_if_bins_are_so_wide(recording: Recording, units: str, counts: bool) -> None:
    whole = replace(recording, responses=recording.responses.assign_attrs(units=units))
    assert are_counts(whole.responses) is counts
    joined = rebin(whole, [(0, 20)])
    values = recording.responses.values[..., :2]
    np.testing.assert_allclose(joined.block(0), values.sum(axis=2) if counts else values.mean(axis=2))
    assert joined.responses.attrs["units"] == ("spikes per bin" if counts else units)
    assert whole.responses.attrs["units"] == units


def test_counts_are_added_and_rates_are_averaged(recording: Recording) -> None:
    values = recording.responses.values
    counts = rebin(replace(recording, responses=recording.responses.assign_attrs(units="spikes per bin")), [(0, 20), (20, 80)])
    np.testing.assert_allclose(counts.responses.values[..., 0], values[..., 0] + values[..., 1])
    np.testing.assert_allclose(counts.responses.values[..., 1], values[..., 2:].sum(axis=2), rtol=1e-6)
    rates = rebin(replace(recording, responses=recording.responses.assign_attrs(units="spikes per second")), [(0, 20), (20, 80)])
    np.testing.assert_allclose(rates.responses.values[..., 1], values[..., 2:].mean(axis=2), rtol=1e-6)
    assert counts.time_bins == [(0, 20), (20, 80)]
    assert counts.responses.attrs["units"] == "spikes per bin"


def test_a_part_of_a_bin_gives_its_share(recording: Recording) -> None:
    values = recording.responses.values
    whole = replace(recording, responses=recording.responses.assign_attrs(units="counts"))
    np.testing.assert_allclose(rebin(whole, [(5, 25)]).block(0), values[..., 0] / 2 + values[..., 1] + values[..., 2] / 2, rtol=1e-6)
    halved = (values[..., 0] / 2 + values[..., 1] + values[..., 2] / 2) / 2
    np.testing.assert_allclose(rebin(recording, [(5, 25)]).block(0), halved, rtol=1e-6)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(-50, 50), st.data())
def test_counts_are_kept_whatever_the_bins(widths: list[int], start: int, data: st.DataObject) -> None:
    edges = start + np.concatenate([[0], np.cumsum(widths)])
    recorded = [(int(a), int(b)) for a, b in pairwise(edges)]
    cuts = data.draw(st.lists(st.integers(int(edges[0]) + 1, int(edges[-1])), max_size=6, unique=True))
    new = np.array(sorted({int(edges[0]), int(edges[-1]), *cuts}))
    asked = [(int(a), int(b)) for a, b in pairwise(new)]
    np.testing.assert_allclose(overlap_weights(recorded, asked, counts=True, name="x").sum(axis=0), 1.0)
    rates = overlap_weights(recorded, asked, counts=False, name="x")
    np.testing.assert_allclose(rates.sum(axis=1), 1.0)  # a constant rate stays what it is
    for weights, (begin, end) in zip(rates, asked, strict=True):  # the truth ms by ms
        by_ms = np.array([[a <= ms < b for a, b in recorded] for ms in range(begin, end)], dtype=float)
        np.testing.assert_allclose(weights, by_ms.mean(axis=0), atol=1e-12)


def test_a_missing_trial_stays_missing(recording: Recording) -> None:
    recording.responses.values[3, 1, 2] = np.nan
    wide = rebin(recording, [(0, 20), (20, 40)]).responses.values
    assert np.isnan(wide[3, 1]).tolist() == [False, True]
    assert np.isnan(wide).sum() == 1


def test_bins_that_are_not_covered_are_refused_with_what_is(recording: Recording) -> None:
    with pytest.raises(NeurofitError, match=r"does not cover 70-90 ms: it has 8 bins from 0 to 80 ms"):
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
    with pytest.raises(NeurofitError, match=r"overlap \(20 ms every 10 ms\): 0-10 ms cannot be made of them.*--bins 0:80:20"):
        rebin(windows, [(0, 10)])


@pytest.mark.parametrize("wrong", ["70:260", "a:b:c", "70:260:0", "260:70:10", "70:265:10"])
def test_bins_have_one_form(wrong: str) -> None:
    with pytest.raises(NeurofitError, match=r"--bins takes START:END:WIDTH|a width that divides the window"):
        parse_bins(wrong)


def test_nothing_is_read_before_a_block_is_used_and_then_only_what_it_takes(
    recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from neurofit.data_loaders.formats import netcdf

    write_recording(recording, tmp_path / "mine.nc")
    reads: list[Any] = []
    read = netcdf._Stored._read

    def counted(self: Any, key: Any) -> np.ndarray:
        reads.append(key)
        return read(self, key)

    monkeypatch.setattr(netcdf._Stored, "_read", counted)
    lazy = rebin(where(open_recording(tmp_path / "mine.nc"), subject="Tito"), [(0, 20), (20, 40), (40, 60)])
    assert reads == []
    block = lazy.block(1)
    assert [key[2] for key in reads] == [2, 3]
    np.testing.assert_allclose(block, recording.responses.values[:, 1::2, 2:4].mean(axis=2), rtol=1e-6)
    assert isinstance(lazy.responses, xr.DataArray)
    np.testing.assert_allclose(lazy.responses.isel(neuroid=0, presentation=[2, 0]).values[1], lazy.responses.values[0, 0])
