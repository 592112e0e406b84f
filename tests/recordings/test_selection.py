"""Parts of a recording: neuroids, stimuli and bins, read only when they are used."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurofit.data_loaders import open_recording, write_recording
from neurofit.data_loaders.formats import netcdf
from neurofit.errors import NeurofitError, NeurofitWarning
from neurofit.recordings.rebinning import rebin
from neurofit.recordings.recording import Recording
from neurofit.recordings.selection import Selection, keep_stimuli, where
from neurofit.recordings.time_bins import parse_bins


def test_neuroids_are_chosen_by_what_is_known_of_them(recording: Recording) -> None:
    chosen = where(recording, subject="Tito", subregion=None)
    assert set(chosen.responses.subject.values) == {"Tito"}
    assert chosen.responses.sizes["neuroid"] == recording.responses.sizes["neuroid"] // 2
    with pytest.raises(NeurofitError, match=r"Unknown subject of .* 'Tita'\. Did you mean 'Tito'"):
        where(recording, subject="Tita")
    with pytest.raises(
        NeurofitError, match=r"Unknown coordinate of the neuroids of .* 'subregion'"
    ):
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
        np.testing.assert_array_equal(
            chosen.responses.values,
            recording.responses.values[np.isin(recording.stimulus_rows, [0, 2])],
        )
    for wrong, said in (
        ("colour=red", "Unknown column"),
        ("stimulus_id=none", "Unknown stimulus_id"),
        ("nowhere.txt", "COLUMN=VALUE"),
    ):
        with pytest.raises(NeurofitError, match=said):
            keep_stimuli(recording, wrong)


def test_what_differs_between_presentations_of_a_stimulus_chooses_presentations(
    recording: Recording,
) -> None:
    session = np.where(recording.responses.repetition.values < 1, "a", "b")
    session[recording.responses.stimulus_id.values == "s3"] = "b"
    two = replace(
        recording, responses=recording.responses.assign_coords(session=("presentation", session))
    )
    chosen = keep_stimuli(two, "session=a")
    assert chosen.responses.sizes["presentation"] == 5
    assert set(chosen.responses.session.values) == {"a"}
    assert chosen.stimuli.ids.tolist() == ["s0", "s1", "s2", "s4", "s5"]
    np.testing.assert_array_equal(
        chosen.responses.values, recording.responses.values[session == "a"]
    )
    assert keep_stimuli(two, "session=b").responses.sizes["presentation"] == 19
    with pytest.raises(NeurofitError, match="Unknown session of small 'c'"):
        keep_stimuli(two, "session=c")


def test_a_list_of_ids_may_say_what_it_is(recording: Recording, tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text("\ufeffstimulus_id\ns2\ns0\n", encoding="utf-8")
    assert keep_stimuli(recording, str(tmp_path / "ids.csv")).stimuli.ids.tolist() == ["s0", "s2"]
    assert keep_stimuli(recording, ["s2", "s0"]).stimuli.ids.tolist() == ["s0", "s2"]
    with pytest.raises(NeurofitError, match="Unknown stimulus of small 's9'"):
        keep_stimuli(recording, ["s0", "s9"])


def test_all_options_of_a_selection_are_one_object(recording: Recording) -> None:
    everything = Selection(
        region="IT", subject="Tito", stimuli="stimulus_id=s0,s1,s2", bins="0:80:20"
    )
    with pytest.warns(
        NeurofitWarning, match=r"Bins of 0:80:20 ms: responses are taken as rates \(units unknown\)"
    ):
        chosen = everything.apply(recording)
    by_hand = rebin(
        keep_stimuli(where(recording.select(region="IT"), subject="Tito"), ["s0", "s1", "s2"]),
        parse_bins("0:80:20"),
    )
    np.testing.assert_array_equal(chosen.responses.values, by_hand.responses.values)
    assert (
        chosen.responses.neuroid_id.values.tolist()
        == by_hand.responses.neuroid_id.values.tolist()
        == ["IT-0", "IT-2"]
    )
    assert json.loads(json.dumps(dict(chosen.selection))) == {
        "subject": "Tito",
        "stimuli": "stimulus_id=s0,s1,s2",
        "bins": "0:80:20",
    }


def test_bins_are_those_inside_a_window_or_made_with_a_warning(recording: Recording) -> None:
    inside = Selection(window=(20, 50)).apply(recording)
    assert inside.time_bins == [(20, 30), (30, 40), (40, 50)]
    assert inside.selection == {"window": "20:50"}
    # Recorded as they are: nothing to warn of.
    as_recorded = Selection(bins=[(0, 10), (30, 40)]).apply(recording)
    assert as_recorded.time_bins == [(0, 10), (30, 40)]
    assert as_recorded.selection == {"bins": "0-10,30-40"}
    with pytest.raises(
        NeurofitError, match=r"must not divide recorded ones.* Nearest: --bins 0:80:10\."
    ):
        Selection(bins="0:80:5").apply(recording)
    with pytest.warns(
        NeurofitWarning, match=r"Bins of 0-20, 20-80 ms: responses are taken as rates"
    ):
        Selection(bins=[(0, 20), (20, 80)]).apply(recording)
    faulty: list[Any] = [[(0, 10), (5, 3)], [(0.5, 10.5)], (0, 20), ["ab"], np.array([[0.0, 10.0]])]
    for wrong in faulty:
        with pytest.raises(
            NeurofitError,
            match=r"Time bins are \(start, end\) in whole ms, with the end after the start; got ",
        ):
            Selection(bins=wrong).apply(recording)
    with pytest.raises(NeurofitError, match="No time bin of small is selected"):
        Selection(bins=[]).apply(recording)
    with pytest.raises(NeurofitError, match=r"window is \(start, end\) in whole ms"):
        Selection(window=(50, 20))


def test_unreliable_neuroids_are_dropped_and_counted(recording: Recording) -> None:
    rng = np.random.default_rng(0)
    reliable = recording.responses.copy(
        data=rng.normal(size=recording.responses.shape).astype(np.float32)
    )
    reliable.values[:, 2] += 10 * recording.stimulus_rows[:, None]
    with pytest.warns(NeurofitWarning, match=r"Dropped 5 neuroids with a reliability below 0\.9\."):
        kept = Selection(min_reliability=0.9).apply(replace(recording, responses=reliable))
    assert kept.responses.neuroid_id.values.tolist() == ["V4-2"]
    assert kept.selection == {"min_reliability": 0.9, "dropped_neuroids": 5}


def test_choices_come_as_arrays_paths_or_generators_too(
    recording: Recording, tmp_path: Path
) -> None:
    (tmp_path / "ids.txt").write_text("s0\ns2\n")
    kept = keep_stimuli(recording, ["s0", "s2"]).responses.values
    ids = recording.stimuli.table.stimulus_id[::2][:2]
    asked: list[Any] = [
        np.array(["s0", "s2"]),
        tmp_path / "ids.txt",
        (each for each in ("s0", "s2")),
        ids,
    ]
    for stimuli in asked:
        selection = Selection(stimuli=stimuli)
        for _ in range(2):  # a selection may be applied again
            chosen = selection.apply(recording)
            np.testing.assert_array_equal(chosen.responses.values, kept)
        noted = str(stimuli) if isinstance(stimuli, Path) else ["s0", "s2"]
        assert chosen.selection == {"stimuli": noted}
    listed: list[Any] = [
        np.array([[0, 10], [30, 40]]),
        (each for each in [(0, 10), (30, 40)]),
        ([0, 10], [30, 40]),
    ]
    for bins in listed:
        selection = Selection(bins=bins)
        for _ in range(2):
            chosen = selection.apply(recording)
            assert chosen.time_bins == [(0, 10), (30, 40)]
        assert chosen.selection == {"bins": "0-10,30-40"}


def test_empty_text_selects_everything_and_an_empty_list_is_refused(recording: Recording) -> None:
    everything = Selection(region="", stimuli="", bins="").apply(recording)
    assert everything.responses.shape == recording.responses.shape
    assert everything.selection == {}
    with pytest.raises(NeurofitError, match="The selection of stimuli of small is empty"):
        Selection(stimuli=[]).apply(recording)


def test_a_file_of_ids_that_is_no_text_is_refused(recording: Recording, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_bytes("s0\nh\u00e9\n".encode("latin-1"))
    with pytest.raises(NeurofitError, match=r"Cannot read .*ids.txt as a text file of ids"):
        Selection(stimuli=tmp_path / "ids.txt").apply(recording)


def test_a_part_of_an_area_may_be_asked_for_as_the_area(recording: Recording) -> None:
    parts = np.array(["", "", "", "pIT", "aIT", "aIT"])
    divided = replace(
        recording, responses=recording.responses.assign_coords(subregion=("neuroid", parts))
    )
    for selection in (Selection(region="aIT"), Selection(region="IT", subregion="aIT")):
        chosen = selection.apply(divided)
        assert chosen.responses.neuroid_id.values.tolist() == ["IT-1", "IT-2"]
        assert chosen.selection == {"subregion": "aIT"}
    assert Selection(region="IT").apply(divided).responses.sizes["neuroid"] == 3
    for whole, wrong in ((divided, "cIT"), (recording, "aIT")):
        with pytest.raises(NeurofitError, match=f"Unknown region of small '{wrong}'"):
            Selection(region=wrong).apply(whole)


def test_several_areas_and_animals_are_kept_together_or_one_by_one(recording: Recording) -> None:
    both = Selection(region="V4,IT", subject=("Chabo", "Tito"))
    assert both.apply(recording).responses.shape == recording.responses.shape
    each = [part.apply(recording) for part in both.each()]
    chosen = [(part.regions, set(part.responses.subject.values)) for part in each]
    assert chosen == [
        (("V4",), {"Chabo"}),
        (("V4",), {"Tito"}),
        (("IT",), {"Chabo"}),
        (("IT",), {"Tito"}),
    ]
    assert Selection().each() == [Selection()]


def test_nothing_is_read_before_a_block_is_used_and_then_only_what_it_takes(
    recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_recording(recording, tmp_path / "mine.nc")
    reads: list[Any] = []
    read = netcdf._Stored._read

    def counted(self: Any, key: Any) -> np.ndarray:
        reads.append(key)
        return read(self, key)

    monkeypatch.setattr(netcdf._Stored, "_read", counted)
    lazy = rebin(
        where(open_recording(tmp_path / "mine.nc"), subject="Tito"), [(0, 20), (20, 40), (40, 60)]
    )
    assert reads == []
    block = lazy.block(1)
    assert [each for key in reads for each in np.atleast_1d(np.arange(6)[key[2]])] == [2, 3]
    np.testing.assert_allclose(
        block, recording.responses.values[:, 1::2, 2:4].mean(axis=2), rtol=1e-6
    )
    assert isinstance(lazy.responses, xr.DataArray)
    np.testing.assert_allclose(
        lazy.responses.isel(neuroid=0, presentation=[2, 0]).values[1], lazy.responses.values[0, 0]
    )
