"""`neurofit check` lists all that is wrong with a file; `describe` and `convert` read it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image

from neurofit.cli.app import main
from neurofit.data_loaders import open_recording, write_recording
from neurofit.errors import NeurofitError, all_faults
from neurofit.recordings.plausibility import plausibility_warnings
from neurofit.recordings.recording import Recording
from neurofit.recordings.validation import find_faults

Make = Callable[..., Recording]


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
    printed = capsys.readouterr()
    assert "no problems in 24 presentations x 30 neuroids x 5 time bins" in printed.out
    assert "to score a model" not in printed.out
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


def test_what_was_read_is_drawn_unless_it_has_faults(
    make_recording: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = make_recording()
    write_recording(whole, tmp_path / "good.nc")
    sheet = tmp_path / "sheet.png"
    run(monkeypatch, "check", str(tmp_path / "good.nc"), "--plot", str(sheet))
    assert f"Written: {sheet}. Does this look like your experiment?" in capsys.readouterr().out
    with Image.open(sheet) as picture:
        assert picture.format == "PNG"
    sheet.unlink()
    with pytest.raises(SystemExit):
        run(monkeypatch, "check", str(tmp_path / "good.nc"), "--plot", str(tmp_path / "a.gif"))
    assert "written as .svg, .pdf or .png; got '.gif'" in capsys.readouterr().err
    whole.responses.values[:, 0] = np.nan
    write_recording(whole, tmp_path / "bad.nc")
    with pytest.raises(SystemExit):
        run(monkeypatch, "check", str(tmp_path / "bad.nc"), "--plot", str(sheet))
    assert not sheet.exists()


def test_describe_says_what_a_file_holds(
    make_recording: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = make_recording()
    whole.responses.attrs["units"] = "spikes per bin"
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
        "8 degrees",
        "100 ms",
        "0 ms, as its times say",
    ):
        assert part in printed
    assert "assumed" not in printed
    whole.responses.attrs["onset"] = "start of the trial (assumed)"
    supposed = replace(whole.stimuli, assumed=("visual_degrees", "duration_ms"))
    write_recording(replace(whole, stimuli=supposed), tmp_path / "r.nc", overwrite=True)
    run(monkeypatch, "describe", str(tmp_path / "r.nc"))
    printed = capsys.readouterr().out
    for part in ("8 degrees (assumed)", "100 ms (assumed)", "start of the trial (assumed)"):
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
    assert "s1.png cannot be read: its format is unknown; known formats are PNG, JPEG" in out
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
