"""`neurofit check` finds every fault that was planted, and says where it is and what to do."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from neurofit.cli.app import main
from neurofit.data_loaders import open_recording, write_recording
from neurofit.errors import NeurofitError, all_faults
from neurofit.recordings.plausibility import plausibility_warnings
from neurofit.recordings.recording import Recording
from neurofit.recordings.validation import find_faults

Make = Callable[..., Recording]
Planter = Callable[[xr.DataArray, int], str]

# `at` is a number that says where; each planter returns what has to be said.


def repeat_a_neuroid(responses: xr.DataArray, at: int) -> str:
    ids = responses.neuroid_id.values
    ids[at % 2] = ids[2]
    return f"neuroid_id {str(ids[2])!r} occurs 2 times, at neuroid {at % 2}, 2; ids must be unique."


def silence_a_neuroid(responses: xr.DataArray, at: int) -> str:
    responses.values[:, 3 + at % 3] = np.nan
    name = str(responses.neuroid_id.values[3 + at % 3])
    return f"neuroid {name!r} is NaN in every trial and bin. Drop it"


def make_a_response_infinite(responses: xr.DataArray, at: int) -> str:
    responses.values[at % 24, 2, 0] = -np.inf if at % 2 else np.inf
    name = str(responses.neuroid_id.values[2])
    return f"1 infinite values, the first at presentation {at % 24}, neuroid {name!r}, time_bin "


def show_a_stimulus_once(responses: xr.DataArray, at: int) -> str:
    ids = responses.stimulus_id.values
    alone = f"s{at % 5}"
    ids[np.flatnonzero(ids == alone)[1:]] = "s5"
    return f"stimulus {alone!r} (1 of 6) has only one repetition"


def give_a_bin_no_width(responses: xr.DataArray, at: int) -> str:
    position = at % 5
    responses.time_bin_end.values[position] = start = responses.time_bin_start.values[position]
    return f"time_bin {position} ({start} to {start} ms) has no positive width"


def repeat_a_bin(responses: xr.DataArray, at: int) -> str:
    position = 1 + at % 4
    for edge in (responses.time_bin_start.values, responses.time_bin_end.values):
        edge[position] = edge[position - 1]
    start, end = responses.time_bin_start.values[position], responses.time_bin_end.values[position]
    return f"time_bin {position} ({start}-{end} ms) occurs twice"


def bring_a_bin_forward(responses: xr.DataArray, at: int) -> str:
    position = 1 + at % 4
    responses.time_bin_start.values[position] = 0
    responses.time_bin_end.values[position] = 10
    before = responses.time_bin_start.values[position - 1]
    return f"time_bin {position} (0-10 ms) comes after {before}-"


ANYWHERE: list[Planter] = [
    repeat_a_neuroid,
    silence_a_neuroid,
    make_a_response_infinite,
    show_a_stimulus_once,
]
IN_TIME: list[Planter] = [give_a_bin_no_width, repeat_a_bin, bring_a_bin_forward]


@given(
    planted=st.lists(st.sampled_from(ANYWHERE), unique=True),
    in_time=st.lists(st.sampled_from(IN_TIME), max_size=1),  # of several, one may hide another
    at=st.integers(0, 1000),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_planted_fault_is_found_with_its_position(
    make_recording: Make, tmp_path: Path, planted: list[Planter], in_time: list[Planter], at: int
) -> None:
    whole = make_recording()
    responses = whole.responses.copy(deep=True)
    said = [plant(responses, at + number) for number, plant in enumerate([*planted, *in_time])]
    write_recording(replace(whole, responses=responses), tmp_path / "r.nc", overwrite=True)
    faults = find_faults(open_recording(tmp_path / "r.nc"))
    assert len(faults) == len(said)
    for expected in said:
        assert sum(expected in fault for fault in faults) == 1, (expected, faults)


@given(
    broken=st.sampled_from([70.5, np.nan, np.inf, -np.inf]),
    at=st.integers(0, 4),
    edge=st.sampled_from(["start", "end"]),
)
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_edge_that_is_no_whole_number_is_found_beside_the_other_faults(
    make_recording: Make, tmp_path: Path, broken: float, at: int, edge: str
) -> None:
    whole = make_recording()
    edges = whole.responses[f"time_bin_{edge}"].values.astype(float)
    edges[at] = broken
    responses = whole.responses.assign_coords({f"time_bin_{edge}": ("time_bin", edges)})
    second = silence_a_neuroid(responses, 0)
    write_recording(replace(whole, responses=responses), tmp_path / "r.nc", overwrite=True)
    faults = find_faults(open_recording(tmp_path / "r.nc"))
    assert len(faults) == 2
    assert f"time_bin_{edge} {at} is {broken}. Give whole numbers" in faults[0]
    assert second in faults[1]


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["neurofit", *words])
    main()


def test_the_command_lists_all_faults_and_exits_with_0_only_without(
    make_recording: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = make_recording(n_neuroids=15)
    write_recording(whole, tmp_path / "good.nc")
    run(monkeypatch, "check", str(tmp_path / "good.nc"))
    assert "no problems in 24 presentations x 30 neuroids x 5 time bins" in capsys.readouterr().out
    whole.responses.values[:, :25] = np.nan
    write_recording(whole, tmp_path / "bad.nc")
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, "check", str(tmp_path / "bad.nc"))
    assert stop.value.code == 2
    printed = capsys.readouterr()
    assert (
        printed.out.count("is NaN in every trial and bin. Drop it") == 25
    )  # all, not the first few
    assert "has 25 problems" in printed.err


def test_describe_says_what_a_file_holds(
    make_recording: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = make_recording()
    whole.responses.values[:, 0] = np.nan
    write_recording(whole, tmp_path / "r.nc")
    run(monkeypatch, "describe", str(tmp_path / "r.nc"))
    printed = capsys.readouterr().out
    for part in (
        "small (SIMULATED)",
        "netCDF",
        "5 of 10 ms from 70 to 120 ms",
        "repetitions 4 to 4, median 4",
        "16.7%",
        "V4",
        "IT",
    ):
        assert part in printed


def test_convert_goes_between_forms_and_back(
    make_recording: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make_recording()
    write_recording(whole, tmp_path / "a.nc")
    for source, target, more in (
        ("a.nc", "b.npz", []),
        ("b.npz", "c.nc", ["--layout", "brainscore"]),
        ("c.nc", "d.nc", []),
    ):
        run(monkeypatch, "data", "convert", str(tmp_path / source), str(tmp_path / target), *more)
    assert (
        open_recording(tmp_path / "d.nc").responses.values.tobytes()
        == whole.responses.values.tobytes()
    )
    np.testing.assert_array_equal(
        open_recording(tmp_path / "d.nc").stimuli.images[5], whole.stimuli.images[5]
    )


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("nothing.nc", None, "There is no recording at"),
        ("empty.nc", b"", "empty.nc is empty"),
        ("text.nc", b"hello", "The format of .*text.nc is unknown; known: NWB, netCDF"),
        ("cut.npz", b"PK\x03\x04 and no end", "is damaged, or not a .npz file"),
        ("text.npz", b"hello", "The format of .*text.npz is unknown"),
    ],
)
def test_what_is_no_recording_is_refused(
    tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(NeurofitError, match=said):
        open_recording(tmp_path / name)


def test_a_form_is_told_by_content_and_not_by_name(make_recording: Make, tmp_path: Path) -> None:
    write_recording(make_recording(), tmp_path / "a.nc")
    (tmp_path / "a.nc").rename(tmp_path / "a.mat")
    write_recording(make_recording(), tmp_path / "b.npz")
    (tmp_path / "b.npz").rename(tmp_path / "b.nc")
    for name in ("a.mat", "b.nc"):
        assert open_recording(tmp_path / name).responses.shape == (24, 6, 5)


def checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *command: str
) -> tuple[int, str, str]:
    code = 0
    try:
        run(monkeypatch, "check", *command)
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_pictures_that_no_model_can_be_shown_are_faults(
    make_recording: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_recording(make_recording(), tmp_path / "r.nc")
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(6):
        Image.fromarray(np.zeros((8, 12 if number == 4 else 8, 3), np.uint8)).save(
            folder / f"s{number}.png"
        )
    (folder / "s1.png").write_bytes(b"notapng")
    (folder / "s3.png").write_bytes((folder / "s3.png").read_bytes()[:45])
    code, out, err = checked(monkeypatch, capsys, str(tmp_path / "r.nc"), "--images", str(folder))
    assert code == 2
    assert "has 3 problems" in err
    assert "- stimulus 's1': Stimulus image " in out
    assert "s1.png cannot be read: unknown image format." in out
    assert "- stimulus 's3': Stimulus image " in out
    assert (
        "- stimulus 's4': its image is 12 x 8 px; models take square images. Pad or crop it." in out
    )
    assert " at 0x" not in out
    assert checked(monkeypatch, capsys, str(tmp_path / "r.nc"))[0] == 0, "those beside it are whole"


def test_what_keeps_reading_from_going_on_and_what_does_not_are_listed_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "session"
    (folder / "stimuli").mkdir(parents=True)
    spikes = pd.DataFrame(
        {
            "neuroid_id": [f"n{i % 3}" for i in range(60)],
            "presentation": [i % 6 for i in range(60)],
            "time_ms": 5.0,
        }
    )
    spikes["time_ms"] = spikes.time_ms.astype(object)
    spikes.loc[[3, 7], "time_ms"] = "late"
    spikes.loc[[4, 5], "neuroid_id"] = ["ghost", "spook"]
    spikes.loc[9, "presentation"] = 77
    spikes.to_csv(folder / "spikes.csv", index=False)
    trials = pd.DataFrame(
        {"presentation": [0, 1, 2, 3, 4, 5, 5], "stimulus_id": ["a", "a", "b", "b", "c", "d", "d"]}
    )
    trials.to_csv(folder / "presentations.csv", index=False)
    pd.DataFrame({"neuroid_id": ["n0", "n1", "n2"], "region": "IT"}).to_csv(
        folder / "neuroids.csv", index=False
    )
    table = pd.DataFrame(
        {
            "stimulus_id": ["a", "b", "b", "c", "d"],
            "filename": ["a.png", "b.png", "x.png", "c.png", "d.png"],
        }
    )
    table.to_csv(folder / "stimuli.csv", index=False)
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(folder / "stimuli" / "a.png")
    code, out, err = checked(monkeypatch, capsys, str(folder))
    assert code == 2
    assert [
        line.removeprefix("- ").removeprefix(f"{folder}").lstrip("/: ") for line in out.splitlines()
    ] == [
        "presentations.csv: a presentation must have one row; there are several for 5.",
        "time_ms is not a number in row 3, 7, counted from 0 (2 in all).",
        (
            "spikes of a presentation that is missing from the presentations: 77 (1 in all). "
            "Add it, or drop its spikes."
        ),
        (
            "spikes of a neuroid that is missing from the neuroids: ghost, spook (2 in all). "
            "Add it, or drop its spikes."
        ),
        "stimuli.csv: a stimulus must have one row; there are different rows for b.",
        "stimulus 'c', 'd' (2 of 4) has only one repetition; "
        "noise correction needs at least 2 repetitions of every stimulus.",
        "stimulus 'a': its image is 8 x 6 px; models take square images. Pad or crop it.",
        *(
            f"stimulus {each!r}: {folder}/stimuli lacks 3 of 4 images: b.png, c.png, d.png."
            for each in "bcd"
        ),
        (
            "Note: Responses are 0 in all time bins except 0-10 ms; "
            "the spike times may be in another unit."
        ),
    ]
    assert "has 10 problems." in err
    with pytest.raises(
        NeurofitError, match="several for 5"
    ):  # whoever reads it to use it is told the first
        open_recording(folder)


Tables = dict[str, pd.DataFrame]


def say_a_time_in_words(tables: Tables, at: int) -> str:
    tables["spikes"].loc[at % 60, "time_ms"] = "late"
    return f"time_ms is not a number in row {at % 60}, counted from 0 (1 in all)."


def record_from_a_ghost(tables: Tables, at: int) -> str:
    tables["spikes"].loc[60 + at % 60, "neuroid_id"] = f"ghost{at}"
    return f"spikes of a neuroid that is missing from the neuroids: ghost{at} (1 in all)."


def record_in_no_presentation(tables: Tables, at: int) -> str:
    tables["spikes"].loc[120 + at % 60, "presentation"] = 100 + at
    return (
        f"spikes of a presentation that is missing from the presentations: {100 + at} (1 in all)."
    )


def list_a_presentation_twice(tables: Tables, at: int) -> str:
    trials = tables["presentations"]
    tables["presentations"] = pd.concat([trials, trials.iloc[[at % 12]]], ignore_index=True)
    return f"presentations.csv: a presentation must have one row; there are several for {at % 12}."


def forget_a_name_of_a_neuroid(tables: Tables, at: int) -> str:
    tables["neuroids"].loc[3, "neuroid_id"] = None  # which has no spike
    return (
        "neuroids.csv: every row needs a neuroid_id; "
        "it is missing in row 3, counted from 0 (1 in all)."
    )


def show_a_stimulus_that_has_no_row(tables: Tables, at: int) -> str:
    tables["stimuli"] = tables["stimuli"].drop(index=at % 4)
    return f"stimuli.csv lacks 1 of the 4 stimuli that were shown: s{at % 4}."


def give_a_stimulus_two_pictures(tables: Tables, at: int) -> str:
    row = tables["stimuli"].iloc[[0]].assign(filename="another.png")
    tables["stimuli"] = pd.concat([tables["stimuli"], row], ignore_index=True)
    name = row.stimulus_id.iloc[0]
    return f"stimuli.csv: a stimulus must have one row; there are different rows for {name}."


def name_a_picture_that_is_not_there(tables: Tables, at: int) -> str:
    tables["stimuli"].iloc[1, 1] = (
        f"lost{at}.png"  # the row of a stimulus that is shown whatever else is planted
    )
    return f"images: lost{at}.png."


IN_TABLES = [
    say_a_time_in_words,
    record_from_a_ghost,
    record_in_no_presentation,
    list_a_presentation_twice,
    forget_a_name_of_a_neuroid,
]
OF_STIMULI = [
    show_a_stimulus_that_has_no_row,
    give_a_stimulus_two_pictures,
    name_a_picture_that_is_not_there,
]


@given(
    planted=st.lists(st.sampled_from(IN_TABLES), unique=True),
    of_stimuli=st.sampled_from([None, *OF_STIMULI]),
    at=st.integers(0, 1000),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_fault_that_is_planted_in_tables_is_found_with_its_position(
    tmp_path_factory: pytest.TempPathFactory, planted: list[Any], of_stimuli: Any, at: int
) -> None:
    folder = tmp_path_factory.mktemp("session")
    (folder / "stimuli").mkdir()
    rng = np.random.default_rng(at)
    spikes = {
        "neuroid_id": rng.choice(["n0", "n1", "n2"], 300),
        "presentation": rng.integers(0, 12, 300),
    }
    tables: Tables = {
        "spikes": pd.DataFrame(spikes | {"time_ms": rng.uniform(0, 300, 300)}).astype(
            {"time_ms": object}
        ),
        "presentations": pd.DataFrame(
            {"presentation": range(12), "stimulus_id": [f"s{i % 4}" for i in range(12)]}
        ),
        "neuroids": pd.DataFrame({"neuroid_id": ["n0", "n1", "n2", "n3"], "region": "IT"}),
        "stimuli": pd.DataFrame(
            {
                "stimulus_id": [f"s{i}" for i in range(4)],
                "filename": [f"s{i}.png" for i in range(4)],
            }
        ),
    }
    for i in range(4):
        Image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(folder / "stimuli" / f"s{i}.png")
    said = [plant(tables, at) for plant in [*planted, *([of_stimuli] if of_stimuli else [])]]
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    with all_faults() as faults:
        recording = open_recording(folder)
    nameless = (
        ["neuroid 3 has no neuroid_id (1 in all)."] if forget_a_name_of_a_neuroid in planted else []
    )
    assert find_faults(recording) == nameless  # the same, at another place
    assert len(faults) == len(said)
    for expected in said:
        assert sum(expected in fault for fault in faults) == 1, (expected, faults)


def test_all_that_is_wrong_with_arrays_is_said_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dims = np.array(["presentation", "neuroid", "time_bin"])
    starts = np.array([0, 10, 25])
    np.savez(
        tmp_path / "r.npz",
        responses=np.ones((12, 5, 3)),
        dims=dims,
        stimulus_id=np.arange(11),
        time_bin_start=starts,
    )
    code, out, _ = checked(monkeypatch, capsys, str(tmp_path / "r.npz"))
    assert code == 2
    assert [line.partition("r.npz: ")[2] for line in out.splitlines()] == [
        "stimulus_id has 11 values, but the responses have 12 along presentation.",
        f'the recorded area is missing. Write {{"region": "IT"}} into {tmp_path / "r.json"}.',
        "time bins that start at 0, 10, 25 ms are not evenly spaced; add time_bin_end.",
    ]


def test_what_one_error_says_in_two_lines_is_one_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    xr.Dataset({"d": (("a", "b", "c"), np.ones((3, 4, 5)))}).to_netcdf(
        tmp_path / "r.nc", engine="h5netcdf"
    )
    code, out, err = checked(monkeypatch, capsys, str(tmp_path / "r.nc"))
    assert code == 2
    assert out.splitlines()[0].endswith(
        "r.nc needs one numeric variable over presentation, neuroid and time_bin; it has d (a b c)."
    )
    assert out.splitlines()[1].startswith("  Other axes are identified by their coordinates")
    assert "has 1 problem." in err
    for name in ("nowhere", "kar2019"):
        code, out, err = checked(monkeypatch, capsys, name)
        assert (code, out, "problem" in err) == (2, "", False)


def test_degrees_that_are_none_hide_nothing_else(tmp_path: Path, make_recording: Make) -> None:
    responses = make_recording().responses.copy(deep=True)
    responses.values[0, 0, 0] = np.inf
    held = {str(name): coord.values for name, coord in responses.coords.items()}
    for degrees, simulated in (("eight", "maybe"), ("-8", "perhaps")):
        dims = np.array(responses.dims)
        np.savez(
            tmp_path / "r.npz",
            responses=responses.values,
            dims=dims,
            visual_degrees=degrees,
            simulated=simulated,
            **held,
        )
        with all_faults() as faults:
            recording = open_recording(tmp_path / "r.npz")
        said = [fault.partition("r.npz: ")[2] or fault for fault in faults]
        assert said == [
            f"visual_degrees must be a positive number; got '{degrees}'.",
            f"simulated must be true or false; got '{simulated}'.",
        ]
        assert recording.simulated, "what may be simulated is not taken for a brain"
        assert len(find_faults(recording)) == 1
        with pytest.raises(NeurofitError, match="visual_degrees must be a positive number"):
            open_recording(tmp_path / "r.npz")


def test_a_registered_recording_is_checked_by_name(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    registered: Callable[[Recording], None],
    make_recording: Make,
) -> None:
    assert checked(monkeypatch, capsys, "small")[0] == 0
    whole = make_recording()
    registered(replace(whole, responses=whole.responses.isel(presentation=slice(0, 11))))
    code, out, err = checked(monkeypatch, capsys, "small")
    assert code == 2
    assert "has only one repetition" in out
    assert "small has 1 problem." in err


def test_what_is_allowed_and_seldom_meant_is_noted(
    make_recording: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = make_recording()
    responses = made.responses.copy(deep=True).assign_attrs(units="spikes per bin")
    responses.values[:] = np.random.default_rng(0).poisson(3, responses.shape)
    assert plausibility_warnings(replace(made, responses=responses)) == []
    responses.values[4, 2, 1], responses.values[5, 0, 3] = -3, 0.5
    responses.values[:, 1] = 2
    responses.values[:, :, 2] = np.nan
    responses.values[[0, 7]] = np.nan
    responses.repetition.values[:] = np.where(
        responses.stimulus_id.values == "s2", 0, responses.repetition.values
    )
    responses["region"] = ("neuroid", ["V4", "v4 ", "V4", "IT", "IT", ""])
    responses["time_bin_start"] = ("time_bin", [70, 80, 90, 110, 120])
    responses["time_bin_end"] = ("time_bin", [80, 90, 100, 120, 130])
    path = tmp_path / "r.nc"
    write_recording(replace(made, responses=responses), path)
    code, out, _ = checked(monkeypatch, capsys, str(path))
    assert code == 0
    assert [line.removeprefix("Note: ") for line in out.splitlines()[:-1]] == [
        "Repetition numbers that occur more than once: 1, the first 0 of stimulus 's2', 4 times.",
        "Neuroids without an area: 1, at neuroid 5.",
        "Areas whose names differ only in case or spaces: 'V4' and 'v4 '.",
        "No time bin covers 100-110 ms.",
        "No neuroid has a response in 90-100 ms.",
        "Presentations without a response from any neuroid: 2 (number 0, 7).",
        "Negative responses: 1, although their units (spikes per bin) are counts.",
        (
            "Responses that are not whole numbers: 1, "
            "although their units (spikes per bin) are counts."
        ),
        f"Neuroids with constant responses: {responses.neuroid_id.values[1]}.",
    ]
