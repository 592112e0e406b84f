"""NWB: spike times of units around trial onsets, counted as by hand, in one session or several."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurofit.data_loaders import open_recording
from neurofit.errors import NeurofitError, all_faults
from neurofit.recordings.validation import validate_recording

STIMULI = ("cat", "dog", "cat", "dog", "cat", "dog")
REGIONS = ("V4", "IT", "IT")


@pytest.mark.parametrize("wrong", ["spikes", "onsets"])
def test_times_of_nwb_in_ms_are_a_fault(tmp_path: Path, wrong: str) -> None:
    spikes, onsets = session(0)
    write_nwb(
        tmp_path / "one.nwb",
        [1e3 * (times + 1) for times in spikes] if wrong == "spikes" else spikes,
        1e3 * (onsets + 1) if wrong == "onsets" else onsets,
        list(STIMULI),
    )
    with pytest.raises(
        NeurofitError,
        match=r"none of [\d,]+ spikes lies near a trial. "
        r"Spike times and onsets must both be in seconds",
    ):
        open_recording(tmp_path / "one.nwb")


def test_all_that_is_wrong_with_nwb_units_is_collected(tmp_path: Path) -> None:
    spikes, onsets = session(0)
    observed = [[[0.0, 9.0]], [[4.0, 1.0]], [[0.0, 9.0]]]
    write_nwb(
        tmp_path / "one.nwb",
        [np.append(spikes[0], np.nan), *spikes[1:]],
        onsets,
        list(STIMULI),
        regions="beside",
        observed=observed,
    )
    with all_faults() as faults:
        recording = open_recording(tmp_path / "one.nwb")
    np.testing.assert_array_equal(recording.responses.values, counted_by_hand(spikes, onsets))
    where = [
        "does not state the area of its units",
        "1 spike times of unit 0 are not numbers",
        "obs_intervals .* unit 1 are not",
    ]
    for fault, said in zip(faults, where, strict=True):
        assert re.search(said, fault)


def write_nwb(
    path: Path,
    spikes: list[np.ndarray],
    onsets: np.ndarray,
    shown: list[str],
    *,
    regions: str = "electrodes",
    columns: dict[str, list[Any]] | None = None,
    observed: list[Any] | None = None,
    ids: list[Any] | None = None,
) -> None:
    """Write a session with pynwb.

    Regions stand with the electrodes, with the units or nowhere; `columns` are further ones of
    trials.
    """
    import pynwb
    from pynwb.file import Subject

    path.parent.mkdir(exist_ok=True)

    nwb = pynwb.NWBFile(
        session_description="s",
        identifier=path.stem,
        session_start_time=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
    )
    nwb.subject = Subject(subject_id="m1", species="Macaca mulatta")
    if regions == "electrodes":
        device = nwb.create_device("array")
        group = nwb.create_electrode_group(
            "group", description="g", location="cortex", device=device
        )
        for region in REGIONS[: len(spikes)]:
            nwb.add_electrode(location=region, group=group)
    elif regions == "units":
        nwb.add_unit_column("region", "area")
    if ids is not None:
        nwb.add_unit_column("neuroid_id", "ours")
    for number, times in enumerate(spikes):
        own = {} if ids is None else {"neuroid_id": ids[number]}
        told: dict[str, dict[str, Any]] = {
            "electrodes": {"electrodes": [number]},
            "units": {"region": REGIONS[number]},
            "beside": {},
        }
        nwb.add_unit(
            spike_times=times,
            **told[regions],
            **own,
            **({} if observed is None else {"obs_intervals": observed[number]}),
        )
    nwb.add_trial_column("stimulus_id", "what was shown")
    nwb.add_trial_column("contrast", "of the picture")
    for name in columns or {}:
        nwb.add_trial_column(name, "of ours")
    for number, (onset, stimulus) in enumerate(zip(onsets, shown, strict=True)):
        more = {name: values[number] for name, values in (columns or {}).items()}
        nwb.add_trial(
            start_time=onset, stop_time=onset + 0.2, stimulus_id=stimulus, contrast=0.5, **more
        )
    pictures = [
        pynwb.image.GrayscaleImage(name="cat", data=np.full((4, 4), 7, np.uint8)),
        pynwb.image.RGBImage(name="dog", data=np.full((4, 4, 3), 9, np.uint8)),
    ]
    nwb.add_stimulus_template(pynwb.base.Images(name="pictures", images=pictures, description="p"))
    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(nwb)


def session(seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.sort(rng.uniform(0, 7, 300)) for _ in range(3)], np.arange(6) + 0.25


def counted_by_hand(spikes: list[np.ndarray], onsets: np.ndarray) -> np.ndarray:
    edges = np.arange(0, 301, 10) / 1e3
    return np.array(
        [[np.histogram(times - onset, edges)[0] for times in spikes] for onset in onsets]
    )


@pytest.mark.parametrize("regions", ["electrodes", "units", "beside"])
def test_nwb_is_counted_from_units_and_trials(tmp_path: Path, regions: str) -> None:
    spikes, onsets = session(0)
    write_nwb(tmp_path / "one.nwb", spikes, onsets, list(STIMULI), regions=regions)
    if regions == "beside":
        with pytest.raises(NeurofitError, match="does not state the area of its units"):
            open_recording(tmp_path / "one.nwb")
        (tmp_path / "one.json").write_text('{"region": "IT"}')
    recording = open_recording(tmp_path / "one.nwb")
    validate_recording(recording)
    np.testing.assert_array_equal(recording.responses.values, counted_by_hand(spikes, onsets))
    assert recording.responses.region.values.tolist() == (
        ["IT"] * 3 if regions == "beside" else list(REGIONS)
    )
    assert recording.responses.stimulus_id.values.tolist() == list(STIMULI)
    assert set(recording.responses.subject.values) == {"m1"}
    assert recording.responses.contrast.values.tolist() == [0.5] * 6
    assert recording.stimuli.ids.tolist() == ["cat", "dog"]
    assert recording.stimuli.images[0].tolist() == np.full((4, 4, 3), 7).tolist()
    assert recording.stimuli.images[1].tolist() == np.full((4, 4, 3), 9).tolist()


def test_sessions_of_nwb_are_joined_and_units_are_missing_where_they_were_not_recorded(
    tmp_path: Path,
) -> None:
    sessions = [session(0), session(1)]
    for name, (spikes, onsets) in zip(("one", "two"), sessions, strict=True):
        write_nwb(tmp_path / f"{name}.nwb", spikes, onsets, list(STIMULI))
    recording = open_recording(tmp_path)
    validate_recording(recording)
    assert recording.responses.shape == (12, 6, 30)
    for number, (spikes, onsets) in enumerate(sessions):
        rows, mine = slice(6 * number, 6 * number + 6), slice(3 * number, 3 * number + 3)
        np.testing.assert_array_equal(
            recording.responses.values[rows, mine], counted_by_hand(spikes, onsets)
        )
        assert np.isnan(np.delete(recording.responses.values[rows], np.r_[mine], axis=1)).all()
    assert recording.responses.repetition.values.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert recording.responses.session.values.tolist() == ["one"] * 6 + ["two"] * 6


def test_a_unit_that_two_nwb_sessions_call_the_same_is_one_neuroid(tmp_path: Path) -> None:
    sessions = [session(0), session(1)]
    for name, ids, (spikes, onsets) in zip(
        ("one", "two"), (["a", "b", "c"], ["b", "c", "d"]), sessions, strict=True
    ):
        write_nwb(
            tmp_path / f"{name}.nwb", spikes, onsets, list(STIMULI), ids=ids, regions="beside"
        )
    (tmp_path / "recording.json").write_text('{"region": "IT"}')
    recording = open_recording(tmp_path)
    validate_recording(recording)
    assert recording.responses.neuroid_id.values.tolist() == ["a", "b", "c", "d"]
    for number, (spikes, onsets) in enumerate(sessions):
        rows = recording.responses.values[6 * number : 6 * number + 6]
        np.testing.assert_array_equal(rows[:, number : number + 3], counted_by_hand(spikes, onsets))
        assert np.isnan(rows[:, 3 if number == 0 else 0]).all()
    for name, ids in (
        ("one", ["a", "b", "c"]),
        ("two", ["c", "b", "d"]),
    ):  # c is of REGIONS[2] in one, of REGIONS[0] in the other
        spikes, onsets = session(0)
        write_nwb(tmp_path / f"{name}.nwb", spikes, onsets, list(STIMULI), ids=ids)
    with pytest.raises(
        NeurofitError,
        match=f"neuroid c has the region {REGIONS[2]} in one and {REGIONS[0]} in another",
    ):
        open_recording(tmp_path)


def test_nwb_sessions_may_list_their_units_in_another_order(tmp_path: Path) -> None:
    first, second, order = session(0), session(1), (2, 0, 1)
    ids = ["a", "b", "c"]
    write_nwb(tmp_path / "one.nwb", *first, list(STIMULI), ids=ids, regions="beside")
    listed = [second[0][number] for number in order]
    own = [ids[number] for number in order]
    write_nwb(tmp_path / "two.nwb", listed, second[1], list(STIMULI), ids=own, regions="beside")
    (tmp_path / "recording.json").write_text('{"region": "IT"}')
    recording = open_recording(tmp_path)
    assert recording.responses.neuroid_id.values.tolist() == ids
    np.testing.assert_array_equal(recording.responses.values[:6], counted_by_hand(*first))
    np.testing.assert_array_equal(recording.responses.values[6:], counted_by_hand(*second))


def test_an_id_of_two_nwb_units_of_a_session_is_refused(tmp_path: Path) -> None:
    spikes, onsets = session(0)
    write_nwb(tmp_path / "one.nwb", spikes, onsets, list(STIMULI), ids=["a", "b", "a"])
    for name, numbers in (("one", [1, 2, 3]), ("two", [1.0, 2.0, 3.0])):
        write_nwb(tmp_path / "numbers" / f"{name}.nwb", spikes, onsets, list(STIMULI), ids=numbers)
    numbered = open_recording(tmp_path / "numbers").responses.neuroid_id.values.tolist()
    assert numbered == ["one-1", "one-2", "one-3", "two-1", "two-2", "two-3"], "not the same units"
    alone = open_recording(tmp_path / "numbers" / "two.nwb").responses
    assert alone.neuroid_id.values.tolist() == ["1", "2", "3"]
    with pytest.raises(
        NeurofitError, match=r"one.nwb: neuroid_id 'a' occurs 2 times, at neuroid 0, 2; ids must be"
    ):
        open_recording(tmp_path / "one.nwb")


def test_an_nwb_trial_without_an_onset_was_not_shown(tmp_path: Path) -> None:
    spikes, onsets = session(0)
    onsets[[1, 4]] = np.nan
    write_nwb(tmp_path / "one.nwb", spikes, onsets, list(STIMULI))
    recording = open_recording(tmp_path / "one.nwb")
    kept = [0, 2, 3, 5]
    np.testing.assert_array_equal(recording.responses.values, counted_by_hand(spikes, onsets[kept]))
    assert recording.responses.stimulus_id.values.tolist() == [STIMULI[number] for number in kept]
    write_nwb(tmp_path / "none.nwb", spikes, np.full(6, np.nan), list(STIMULI))
    with pytest.raises(
        NeurofitError, match="no trial has an onset; the column start_time has no numbers"
    ):
        open_recording(tmp_path / "none.nwb")


@pytest.mark.parametrize("numbers", [[3, 1, 0, 5, 4, 2], [1, 2, 3, 4, 5, 6]])
@pytest.mark.parametrize(
    "name",
    [
        "presentation",
        "neuroid",
        "time_bin",
        "neuroid_id",
        "region",
        "time_bin_start",
        "time_bin_end",
        "depth",
    ],
)
def test_a_column_of_nwb_trials_called_as_one_of_our_words_moves_nothing(
    tmp_path: Path, name: str, numbers: list[int]
) -> None:
    spikes, onsets = session(0)
    write_nwb(tmp_path / "one.nwb", spikes, onsets, list(STIMULI), columns={name: numbers})
    recording = open_recording(tmp_path / "one.nwb")
    validate_recording(recording)
    np.testing.assert_array_equal(recording.responses.values, counted_by_hand(spikes, onsets))
    assert recording.responses.region.values.tolist() == list(REGIONS)
    assert recording.responses.neuroid_id.values.tolist() == ["one-0", "one-1", "one-2"]
    assert recording.time_bins == [(start, start + 10) for start in range(0, 300, 10)]
    if name == "depth":
        assert recording.responses.depth.values.tolist() == numbers


@pytest.mark.parametrize("bins", [(-50, 150, 10), (0, 300, 10), (70, 170, 100)])
def test_nwb_spikes_on_an_edge_are_in_the_bin_that_begins_there(
    tmp_path: Path, bins: tuple[int, int, int]
) -> None:
    begin, end, width = bins
    onsets_ms = np.cumsum(np.random.default_rng(0).integers(400, 999, 60))
    times_ms = np.unique(
        np.add.outer(onsets_ms, [begin - 1, begin, begin + width, end - 1, end]).ravel()
    )
    write_nwb(tmp_path / "one.nwb", [times_ms / 1e3], onsets_ms / 1e3, list(STIMULI) * 10)
    (tmp_path / "one.json").write_text(json.dumps({"bins": bins}))
    expected = [
        np.histogram(times_ms - onset, [*range(begin, end, width), end - 0.5])[0]
        for onset in onsets_ms
    ]
    np.testing.assert_array_equal(
        open_recording(tmp_path / "one.nwb").responses.values[:, 0], expected
    )


def test_an_nwb_unit_is_missing_where_it_was_not_observed(tmp_path: Path) -> None:
    spikes, onsets = session(0)
    observed = [
        [
            [0.0, 2.0],
            [3.25, 4.0],
            [4.0, 5.0],
        ],  # not trials 2 and 5; trial 3 begins with an interval, trial 4 lies over two that touch
        [[0.0, np.inf]],
        [[5.5, 9.0], [0.0, 1.4]],  # of trial 1 the bins up to 150 ms, of trial 5 those from 250 ms
    ]
    onsets[4] = 3.9
    write_nwb(tmp_path / "one.nwb", spikes, onsets, list(STIMULI), observed=observed)
    recording = open_recording(tmp_path / "one.nwb")
    there = np.ones((6, 3, 30), dtype=bool)
    there[[2, 5], 0] = False
    there[1:, 2] = False
    there[1, 2, :15] = there[5, 2, 25:] = True
    np.testing.assert_array_equal(
        recording.responses.values, np.where(there, counted_by_hand(spikes, onsets), np.nan)
    )


def test_intervals_of_an_nwb_unit_that_end_before_they_begin_are_refused(tmp_path: Path) -> None:
    spikes, onsets = session(0)
    write_nwb(
        tmp_path / "one.nwb",
        spikes,
        onsets,
        list(STIMULI),
        observed=[[[0.0, 9.0]], [[9.0, 0.0]], [[0.0, 9.0]]],
    )
    with pytest.raises(
        NeurofitError, match="obs_intervals must be rows of start and end; those of unit 1 are not"
    ):
        open_recording(tmp_path / "one.nwb")


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("spike_times", np.nan, "1 spike times of unit 0 are not numbers"),
        (
            "spike_times_index",
            255,
            "the index of its spike times does not increase from 0 to their number, 60",
        ),
        ("spike_times_index", 0, None),
    ],
)
def test_spike_times_of_nwb_that_are_none_are_refused(
    tmp_path: Path, column: str, value: float, said: str | None
) -> None:
    import h5py

    _, onsets = session(0)
    write_nwb(tmp_path / "one.nwb", [np.arange(20) / 3.0] * 3, onsets, list(STIMULI))
    with h5py.File(tmp_path / "one.nwb", "a") as file:
        file["units"][column][0] = value
    if said is None:  # a unit without a spike
        assert (open_recording(tmp_path / "one.nwb").responses.values[:, 0] == 0).all()
        return
    with pytest.raises(NeurofitError, match=said):
        open_recording(tmp_path / "one.nwb")


def test_nwb_without_trials_is_refused(tmp_path: Path) -> None:
    import pynwb

    nwb = pynwb.NWBFile(
        session_description="s",
        identifier="x",
        session_start_time=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
    )
    with pynwb.NWBHDF5IO(str(tmp_path / "x.nwb"), "w") as io:
        io.write(nwb)
    with pytest.raises(NeurofitError, match="needs units with spike times and a table of trials"):
        open_recording(tmp_path / "x.nwb")


def test_without_pynwb_it_is_said_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import h5py

    with h5py.File(tmp_path / "x.nwb", "w") as file:
        file.attrs["nwb_version"] = "2.7.0"
    monkeypatch.setitem(__import__("sys").modules, "pynwb", None)
    with pytest.raises(NeurofitError, match=r"needs pynwb: pip install 'neurofit\[nwb\]'"):
        open_recording(tmp_path / "x.nwb")
