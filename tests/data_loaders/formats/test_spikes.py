"""Spike times are counted into half-open bins; what a session did not record is NaN, not zero."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from neurofit.data_loaders import open_recording
from neurofit.errors import NeurofitError, NeurofitWarning, all_faults
from neurofit.recordings.validation import validate_recording

STIMULI = ("cat", "dog", "cat", "dog", "cat", "dog")
REGIONS = ("V4", "IT", "IT")


def random_spikes() -> pd.DataFrame:
    """Return 200 spikes of three sites in six trials.

    Some are on the edges of bins, some before and after what is counted.
    """
    rng = np.random.default_rng(0)
    times = np.concatenate(
        [rng.uniform(-50, 200, 180).round(3), np.repeat([0.0, 10.0, 20.0, 100.0], 5)]
    )
    return pd.DataFrame(
        {
            "neuroid_id": rng.choice(["a", "b", "c"], 200),
            "presentation": rng.integers(0, 6, 200) + 10,
            "time_ms": times,
        }
    )


def expected_counts(spikes: pd.DataFrame, *, bins: tuple[int, int, int]) -> np.ndarray:
    """Count by hand: (presentation neuroid time_bin)."""
    start, end, width = bins
    counts = np.zeros((6, 3, (end - start) // width), dtype=np.float32)
    for neuroid, presentation, time in spikes.itertuples(index=False):
        if start <= time < end:
            counts[presentation - 10, "abc".index(neuroid), int((time - start) // width)] += 1
    return counts


def write_tables(
    folder: Path, spikes: pd.DataFrame, *, parquet: bool = False, seconds: bool = False
) -> None:
    if seconds:
        spikes = spikes.rename(columns={"time_ms": "time_s"}).assign(
            time_s=lambda t: t.time_s / 1e3
        )
    if parquet:
        spikes.to_parquet(folder / "spikes.parquet")
    else:
        spikes.to_csv(folder / "spikes.csv", index=False)
    pd.DataFrame({"presentation": range(10, 16), "image_id": STIMULI}).to_csv(
        folder / "presentations.csv", index=False
    )
    pd.DataFrame(
        {"neuroid_id": ["a", "b", "c"], "region": REGIONS, "depth": [1.5, 2.5, 3.5]}
    ).to_csv(folder / "neuroids.csv", index=False)


@pytest.mark.parametrize("bins", [None, (-50, 150, 25)])
def test_tables_of_spike_times_are_counted(
    tmp_path: Path, bins: tuple[int, int, int] | None
) -> None:
    spikes = random_spikes()
    write_tables(tmp_path, spikes)
    if bins is not None:
        (tmp_path / "recording.json").write_text(json.dumps({"bins": bins}))
    recording = open_recording(tmp_path)
    validate_recording(recording)
    np.testing.assert_array_equal(
        recording.responses.values, expected_counts(spikes, bins=bins or (0, 300, 10))
    )
    assert recording.responses.stimulus_id.values.tolist() == list(STIMULI)
    assert recording.responses.repetition.values.tolist() == [0, 0, 1, 1, 2, 2]
    assert recording.responses.region.values.tolist() == list(REGIONS)
    assert recording.responses.depth.values.tolist() == [1.5, 2.5, 3.5]
    assert recording.responses.attrs["units"] == "spikes per bin"


def test_seconds_are_counted_as_milliseconds(tmp_path: Path) -> None:
    spikes = random_spikes()
    spikes = spikes[
        (spikes.time_ms % 10).between(0.1, 9.9)
    ]  # a second's thousandth may round across an edge
    write_tables(tmp_path, spikes, seconds=True)
    np.testing.assert_array_equal(
        open_recording(tmp_path).responses.values, expected_counts(spikes, bins=(0, 300, 10))
    )


def test_spike_times_on_an_edge_given_in_seconds_stay_in_their_bin(tmp_path: Path) -> None:
    spikes = pd.DataFrame(
        {"neuroid_id": "a", "presentation": 10, "time_ms": np.arange(0, 2000, 1.0)}
    )
    write_tables(tmp_path, spikes, seconds=True)
    (tmp_path / "recording.json").write_text('{"bins": [0, 2000, 1]}')
    assert (open_recording(tmp_path).responses.values[0, 0] == 1).all()


def test_parquet_is_read(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    spikes = random_spikes()
    write_tables(tmp_path, spikes, parquet=True)
    np.testing.assert_array_equal(
        open_recording(tmp_path).responses.values, expected_counts(spikes, bins=(0, 300, 10))
    )


def test_presentations_tell_the_trials_of_one_table_apart(tmp_path: Path) -> None:
    spikes = random_spikes().assign(
        region="IT", stimulus_id=lambda table: [STIMULI[p - 10] for p in table.presentation]
    )
    spikes.to_csv(tmp_path / "spikes.csv", index=False)
    recording = open_recording(tmp_path / "spikes.csv")
    order = [0, 2, 4, 1, 3, 5]  # the cat's, then the dog's
    sites = recording.responses.neuroid_id.values.tolist()
    expected = expected_counts(random_spikes(), bins=(0, 300, 10))[order][
        :, ["abc".index(site) for site in sites]
    ]
    np.testing.assert_array_equal(recording.responses.values, expected)
    assert recording.responses.repetition.values.tolist() == [0, 1, 2, 0, 1, 2]


def test_spikes_that_are_all_elsewhere_are_refused(tmp_path: Path) -> None:
    write_tables(tmp_path, random_spikes().assign(time_ms=lambda table: table.time_ms + 5000))
    with pytest.raises(
        NeurofitError,
        match=r"none of 200 spikes lies in the time bins from 0 to 300 ms; "
        r"they range from 4,9\d\d to 5,[12]\d\d ms",
    ):
        open_recording(tmp_path)


def test_a_folder_of_several_forms_is_refused(tmp_path: Path) -> None:
    write_tables(tmp_path, random_spikes())
    (tmp_path / "one.nwb").write_bytes(b"")
    with pytest.raises(
        NeurofitError,
        match=r"contains recordings in several formats: NWB, spike times\. "
        r"Give one file, or separate",
    ):
        open_recording(tmp_path)


def test_one_table_with_everything_is_enough(tmp_path: Path) -> None:
    spikes = random_spikes()
    whole = spikes.assign(
        stimulus_id=[STIMULI[p - 10] for p in spikes.presentation],
        repetition=[(p - 10) // 2 for p in spikes.presentation],
        region=[REGIONS["abc".index(n)] for n in spikes.neuroid_id],
    ).drop(columns="presentation")
    whole.to_csv(tmp_path / "spikes.csv", index=False)
    recording = open_recording(tmp_path / "spikes.csv")
    validate_recording(recording)
    expected = expected_counts(spikes, bins=(0, 300, 10))
    for row in range(6):
        presentation = 2 * int(recording.responses.repetition.values[row]) + ("cat", "dog").index(
            recording.responses.stimulus_id.values[row]
        )
        for column, neuroid in enumerate(recording.responses.neuroid_id.values):
            np.testing.assert_array_equal(
                recording.responses.values[row, column],
                expected[presentation, "abc".index(neuroid)],
            )


def test_a_table_whose_trials_are_numbered_too_is_counted_trial_by_trial(tmp_path: Path) -> None:
    rows = [
        "a,IT,x,0,5,1",
        "a,IT,x,1,6,2",
        "b,IT,x,0,5,3",
        "b,IT,x,1,6,14",
        "a,IT,y,0,4,5",
        "b,IT,x,1,6,15",
    ]
    (tmp_path / "x.csv").write_text(
        "\n".join(["neuroid_id,region,stimulus_id,repetition,presentation,time_ms", *rows])
    )
    responses = open_recording(tmp_path / "x.csv").responses
    assert responses.stimulus_id.values.tolist() == ["x", "x", "y"]
    assert responses.repetition.values.tolist() == [0, 1, 0]
    assert responses.values[..., :2].tolist() == [
        [[1, 0], [1, 0]],
        [[1, 0], [0, 2]],
        [[1, 0], [0, 0]],
    ]


def write_sessions(folder: Path, spikes: pd.DataFrame) -> None:
    """Write tables of two sessions.

    Presentations 10 to 12 are of session 01, the others of 1; a is of both, b of 01, c of 1.
    """
    write_tables(folder, spikes)
    shown = pd.DataFrame(
        {"presentation": range(10, 16), "stimulus_id": STIMULI, "session": ["01"] * 3 + ["1"] * 3}
    )
    shown.to_csv(folder / "presentations.csv", index=False)
    (folder / "neuroids.csv").write_text(
        "neuroid_id,region,session\na,V4,01\na,V4,1\nb,IT,01\nc,IT,1\n"
    )


def test_a_neuroid_is_missing_where_its_session_differs(tmp_path: Path) -> None:
    recorded = np.array([[1, 1, 0]] * 3 + [[1, 0, 1]] * 3, dtype=bool)
    spikes = random_spikes()
    there = [
        recorded[p - 10, "abc".index(n)]
        for n, p in zip(spikes.neuroid_id, spikes.presentation, strict=True)
    ]
    write_sessions(tmp_path, spikes[there])
    recording = open_recording(tmp_path)
    validate_recording(recording)
    expected = np.where(recorded[..., None], expected_counts(spikes, bins=(0, 300, 10)), np.nan)
    np.testing.assert_array_equal(recording.responses.values, expected)
    assert recording.responses.neuroid_id.values.tolist() == ["a", "b", "c"]
    assert recording.responses.session.dims == ("presentation",)
    assert recording.responses.session.values.tolist() == ["01"] * 3 + ["1"] * 3
    write_sessions(tmp_path, spikes)
    with pytest.raises(
        NeurofitError,
        match=r"neuroid c has spikes in session 01, "
        r"which neuroids.csv does not list for it \(6 such trials\)",
    ):
        open_recording(tmp_path)


def test_a_spike_that_says_no_repetition_makes_no_trial(tmp_path: Path) -> None:
    rows = "n,IT,a,0,5\nn,IT,a,1,5\nn,IT,a,,5\nn,IT,b,0,5\nn,IT,b,1,late\n"
    (tmp_path / "spikes.csv").write_text(
        "neuroid_id,region,stimulus_id,repetition,time_ms\n" + rows
    )
    with all_faults() as faults:
        recording = open_recording(tmp_path / "spikes.csv")
    assert recording.responses.shape[0] == 4
    assert [fault.partition("spikes.csv: ")[2] for fault in faults] == [
        "every row needs a repetition; it is missing in row 2, counted from 0 (1 in all).",
        # the row of the file, whatever was left out before
        "time_ms is not a number in row 4, counted from 0 (1 in all).",
    ]


def test_spikes_of_two_sessions_of_one_table_are_not_added_up(tmp_path: Path) -> None:
    rows = "n,IT,a,0,5,one\nn,IT,a,0,5,two\nm,IT,a,0,5,two\n"
    (tmp_path / "spikes.csv").write_text(
        "neuroid_id,region,stimulus_id,repetition,time_ms,session\n" + rows
    )
    responses = open_recording(tmp_path / "spikes.csv").responses
    assert responses.session.values.tolist() == ["one", "two"]
    np.testing.assert_array_equal(
        responses.values[:, :, 0], [[1, np.nan], [1, 1]]
    )  # m was not there in one


def test_a_spike_without_a_presentation_belongs_to_none(tmp_path: Path) -> None:
    write_tables(tmp_path, random_spikes())
    before = open_recording(tmp_path).responses.values
    with open(tmp_path / "presentations.csv", "a") as file:
        file.write(",cat\n")
    with open(tmp_path / "spikes.csv", "a") as file:
        file.write(
            ",".join(
                {"neuroid_id": "a", "time_ms": "5"}.get(str(name), "")
                for name in pd.read_csv(tmp_path / "spikes.csv")
            )
            + "\n"
        )
    with all_faults() as faults:
        recording = open_recording(tmp_path)
    np.testing.assert_array_equal(recording.responses.values, before)
    assert len(faults) == 2
    assert all("every row needs a presentation; it is missing in row" in fault for fault in faults)


def test_spikes_of_which_few_are_in_the_bins_are_read_with_a_warning(tmp_path: Path) -> None:
    spikes = random_spikes()
    write_tables(tmp_path, spikes.assign(time_ms=np.where(np.arange(len(spikes)) < 19, 5.0, 1e4)))
    with pytest.warns(
        NeurofitWarning,
        match="181 of 200 spikes lie outside the time bins from 0 to 300 ms; "
        "times may be in another unit",
    ):
        assert open_recording(tmp_path).responses.values.sum() == 19


def test_a_neuroid_of_two_regions_is_refused(tmp_path: Path) -> None:
    write_tables(tmp_path, random_spikes())
    (tmp_path / "neuroids.csv").write_text("neuroid_id,region\na,V4\nb,IT\nc,IT\nb,V4\n")
    with pytest.raises(
        NeurofitError,
        match="a neuroid must have one region and one value in every other column; "
        "several are given for b",
    ):
        open_recording(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda t: t.assign(neuroid_id="x"),
            r"spikes of a neuroid that is missing from the neuroids: x \(200 in all\)\. Add it",
        ),
        (
            lambda t: t.assign(presentation=99),
            (
                r"spikes of a presentation that is missing from the presentations: "
                r"99 \(200 in all\)\. Add it"
            ),
        ),
        (
            lambda t: t.assign(presentation=[*map(str, t.presentation[:-1]), "?"]),
            r"missing from the presentations: \? \(1 in all\)\. Add",
        ),
        (lambda t: t.drop(columns="time_ms"), "needs a column time_ms, time_s or time_us"),
        (
            lambda t: t.assign(time_ms="soon"),
            (
                r"time_ms is not a number in row 0, 1, 2, .* "
                r"and 188 more, counted from 0 \(200 in all\)"
            ),
        ),
        (lambda t: t.drop(columns="presentation"), "lacks the column presentation"),
        (lambda t: t.iloc[:0], "is empty"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(
    tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], said: str
) -> None:
    write_tables(tmp_path, change(random_spikes()))
    with pytest.raises(NeurofitError, match=said):
        open_recording(tmp_path)
