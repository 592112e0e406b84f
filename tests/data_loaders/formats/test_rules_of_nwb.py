"""Onsets, clocks, identifiers and pictures of NWB files and folders of images follow the rules."""

from __future__ import annotations

import datetime
import json
import unicodedata
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pynwb
import pytest
from PIL import Image

from neurofit.analyses.run import RunConfig, run
from neurofit.data_loaders import load_recording, open_recording, write_recording
from neurofit.errors import NeurofitError, NeurofitWarning
from neurofit.recordings.plausibility import plausibility_warnings
from neurofit.recordings.stimuli import NoImages, StimulusSet
from neurofit.recordings.validation import validate_recording

N_TRIALS = 12
STARTS = np.arange(N_TRIALS) + 5.0
SHOWN = [f"s{i % 3}" for i in range(N_TRIALS)]
LATENCY = 0.055


def write_nwb(
    path: Path,
    *,
    spikes: Sequence[np.ndarray] | None = None,
    starts: np.ndarray = STARTS,
    identifier: str = "",
    ids: Sequence[Any] | None = None,
    **columns: Sequence[Any],
) -> Path:
    """Write a session of two units that fire once, `LATENCY` seconds after the start of a trial."""
    nwb = pynwb.NWBFile(
        session_description="s",
        identifier=identifier or path.stem,
        session_start_time=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
    )
    nwb.add_unit_column("region", "area")
    if ids is not None:
        nwb.add_unit_column("neuroid_id", "ours")
    for number in range(2):
        own = {} if ids is None else {"neuroid_id": ids[number]}
        times = STARTS + LATENCY if spikes is None else spikes[number]
        nwb.add_unit(spike_times=times, region="IT", **own)
    columns = columns if "image_id" in columns else {"stimulus_id": SHOWN, **columns}
    for name in columns:
        nwb.add_trial_column(name, "of the trial")
    for number, start in enumerate(starts):
        more = {name: values[number] for name, values in columns.items()}
        nwb.add_trial(start_time=float(start), stop_time=float(start) + 0.8, **more)
    path.parent.mkdir(exist_ok=True)
    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(nwb)
    return path


# Onsets


@pytest.mark.parametrize("name", ["stimulus_onset", "stim_on", "stim_on_time", "onset"])
def test_the_onset_of_the_stimulus_goes_before_the_start_of_the_trial(
    tmp_path: Path, name: str
) -> None:
    fixated = write_nwb(tmp_path / "r.nwb", **{name: (STARTS + 0.05).tolist()})
    recording = load_recording(fixated)
    assert recording.responses.values.sum(axis=(0, 1)).tolist() == [2 * N_TRIALS] + [0] * 29
    assert recording.onset == name


def test_the_start_of_a_trial_is_scored_only_if_it_is_confirmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_nwb(tmp_path / "r.nwb")
    for stimulus in sorted(set(SHOWN)):
        (tmp_path / "stimuli").mkdir(exist_ok=True)
        pixels = np.full((8, 8, 3), 80 * int(stimulus[1]), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "stimuli" / f"{stimulus}.png")
    recording = load_recording(path)
    assert recording.onset == "start of the trial (assumed)"
    assert "Stimulus onset: start of the trial (assumed)." in plausibility_warnings(recording)
    config = RunConfig(model="rgc_tiny", recording=path)
    with pytest.raises(NeurofitError, match="does not state when in a trial the stimulus came on"):
        run(config)
    # What is written from it has to be confirmed too.
    for name in ("made.nc", "other.npz"):
        write_recording(recording, tmp_path / name)
        assert load_recording(tmp_path / name).onset == recording.onset
        with pytest.raises(NeurofitError, match="confirm by trial_start"):
            run(RunConfig(model="rgc_tiny", recording=tmp_path / name))

    def reached(*_: Any, **__: Any) -> None:
        raise RuntimeError("scored")

    monkeypatch.setattr(import_module("neurofit.analyses.run"), "find_activations", reached)
    named = write_nwb(tmp_path / "said.nwb")
    (tmp_path / "said.json").write_text(json.dumps({"words": {"start_time": "onset"}}))
    for confirmed in (
        RunConfig(model="rgc_tiny", recording=path, trial_start=True, visual_degrees=8.0),
        RunConfig(model="rgc_tiny", recording=named, visual_degrees=8.0),
    ):
        with pytest.raises(RuntimeError, match="scored"):
            run(confirmed)


@pytest.mark.parametrize(
    ("onsets", "said"),
    [
        ([0.1] * N_TRIALS, "stimulus_onset is 0.1 in all 12 trials"),
        ([1.0, 0.0] * 6, "stimulus_onset contains only 0 and 1, flags rather than times"),
        ([True, False] * 6, "stimulus_onset contains only 0 and 1, flags rather than times"),
        (
            np.linspace(0.1, 0.2, N_TRIALS).tolist(),
            r"lies outside of its trial in 12 of 12, the first 0.1 in trial 0 \(5 to 5.8\).*"
            r"add the start of each trial",
        ),
        (
            [*(STARTS[:-1] + 0.1), 18.0],
            "lies outside of its trial in 1 of 12, the first 18 in trial 11",
        ),
    ],
)
def test_onsets_that_are_none_are_refused(tmp_path: Path, onsets: list[Any], said: str) -> None:
    path = write_nwb(tmp_path / "r.nwb", stimulus_onset=onsets)
    with pytest.raises(NeurofitError, match=said):
        load_recording(path)


# Clocks


def trialised(rng: np.random.Generator, span: float) -> list[np.ndarray]:
    """Return spikes from each trial's own start, one trial after the other."""
    trials = [np.sort(rng.uniform(0, span, 5)) for _ in range(N_TRIALS)]
    return [np.concatenate(trials), np.concatenate(trials[::-1])]


@pytest.mark.parametrize(
    ("starts", "span", "said"),
    [
        (np.zeros(N_TRIALS), 0.5, "start_time is 0 in all 12 trials"),
        (np.arange(float(N_TRIALS)), 0.5, r"spikes end at 0.4.* half of its 12 trials begin later"),
        (np.arange(float(N_TRIALS)), 8.0, "spike times of a unit fall back 11 times in 12 trials"),
    ],
)
def test_spikes_from_the_start_of_their_own_trial_are_refused(
    tmp_path: Path, starts: np.ndarray, span: float, said: str
) -> None:
    spikes = trialised(np.random.default_rng(0), span)
    path = write_nwb(tmp_path / "r.nwb", spikes=spikes, starts=starts)
    with pytest.raises(NeurofitError, match=said):
        load_recording(path)


def test_spikes_of_a_later_clock_are_refused(tmp_path: Path) -> None:
    path = write_nwb(tmp_path / "r.nwb", spikes=[STARTS[-3:] + LATENCY] * 2)
    with pytest.raises(NeurofitError, match=r"spikes begin at 14.055 s, and half .* began before"):
        load_recording(path)


def test_a_unit_that_joins_two_lists_of_spikes_is_counted(tmp_path: Path) -> None:
    spikes = STARTS + LATENCY
    joined = np.concatenate([spikes[::2], spikes[1::2]])
    expected = load_recording(write_nwb(tmp_path / "one.nwb")).responses.values
    found = load_recording(write_nwb(tmp_path / "two.nwb", spikes=[joined, spikes])).responses
    np.testing.assert_array_equal(found.values, expected)


# Identifiers


def test_a_trial_without_a_picture_is_left_out_and_said(tmp_path: Path) -> None:
    ids = [np.nan if number % 4 == 3 else float(number % 4) for number in range(N_TRIALS)]
    recording = load_recording(write_nwb(tmp_path / "r.nwb", image_id=ids))
    validate_recording(recording)
    assert sorted(recording.stimuli.ids) == ["0", "1", "2"]
    assert recording.responses.attrs["processing"] == (
        "Left out 3 trials of r.nwb without start_time or image_id."
    )


def test_a_column_with_several_values_in_a_row_identifies_nothing(tmp_path: Path) -> None:
    path = write_nwb(tmp_path / "r.nwb", image_id=[[number % 3, 1] for number in range(N_TRIALS)])
    with pytest.raises(NeurofitError, match="image_id holds several values in a row"):
        load_recording(path)


@pytest.mark.parametrize("blocks", [["scenes"] * 12, ["scenes"] * 6 + ["gratings"] * 6])
def test_a_column_of_blocks_is_refused_with_the_one_of_pictures(
    tmp_path: Path, blocks: list[str]
) -> None:
    path = write_nwb(
        tmp_path / "r.nwb", image_id=blocks, image_name=[f"{i % 3}.png" for i in range(12)]
    )
    with pytest.raises(NeurofitError, match="tells pictures apart: image_name"):
        load_recording(path)
    (tmp_path / "r.json").write_text(json.dumps({"words": {"image_name": "stimulus_id"}}))
    assert load_recording(path).stimuli.ids.tolist() == ["0.png", "1.png", "2.png"]


def test_numbers_of_units_are_of_their_session_and_names_are_shared(tmp_path: Path) -> None:
    for folder, ids in (("numbers", [7, 8]), ("texts", ["7", "8"]), ("names", ["a7", "a8"])):
        for session in ("one", "two"):
            write_nwb(tmp_path / folder / f"{session}.nwb", ids=ids)
        found = load_recording(tmp_path / folder).responses.neuroid_id.values.tolist()
        apart = ["one-7", "one-8", "two-7", "two-8"]
        assert found == (["a7", "a8"] if folder == "names" else apart)


def test_files_that_share_an_identifier_do_not_share_units(tmp_path: Path) -> None:
    for session in ("one", "two"):
        write_nwb(tmp_path / "s" / f"{session}.nwb", identifier="mouse")
    with pytest.warns(NeurofitWarning, match="one.nwb and two.nwb have the identifier 'mouse'"):
        recording = load_recording(tmp_path / "s")
    assert recording.responses.neuroid_id.values.tolist() == [
        "mouse-0",
        "mouse-1",
        "two-0",
        "two-1",
    ]


# Pictures


def pictures(folder: Path, files: Sequence[str], *, table: dict[str, list[str]] | None) -> Path:
    """Write a recording in tables of spikes and gray pictures, each of its own level."""
    folder.mkdir()
    ids = ["a", "b"] if table is None else table["stimulus_id"]
    trials = {"presentation": range(4), "stimulus_id": [ids[0], ids[1], ids[0], ids[1]]}
    pd.DataFrame(trials).to_csv(folder / "presentations.csv", index=False)
    pd.DataFrame({"neuroid_id": ["n"], "region": "IT"}).to_csv(folder / "neuroids.csv", index=False)
    pd.DataFrame(
        {"neuroid_id": "n", "presentation": [0, 1, 2, 3], "time_ms": [5, 50, 120, 80]}
    ).to_csv(folder / "spikes.csv", index=False)
    if table is not None and len(table) > 1:
        pd.DataFrame(table).to_csv(folder / "stimuli.csv", index=False)
    for level, file in enumerate(files):
        path = folder / "stimuli" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4, 3), 50 + level, np.uint8)).save(path)
    return folder


def levels(stimuli: StimulusSet) -> list[int]:
    return [int(stimuli.images[row][0, 0, 0]) for row in range(len(stimuli))]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_of_files_from_a_mac_are_found(tmp_path: Path, form: Any) -> None:
    ids = [unicodedata.normalize(form, name) for name in ("caf\u00e9", "na\u00efve")]
    files = [f"{unicodedata.normalize('NFD', name)}.png" for name in ids]
    folder = pictures(tmp_path / "r", files, table={"stimulus_id": ids})
    assert levels(load_recording(folder).stimuli) == [50, 51]
    other = [unicodedata.normalize("NFC", name) for name in ids]
    table = {"stimulus_id": other, "category": ["x", "y"]}
    pd.DataFrame(table).to_csv(folder / "stimuli.csv", index=False)
    stimuli = load_recording(folder).stimuli
    assert levels(stimuli) == [50, 51]
    assert stimuli.table.category.tolist() == ["x", "y"]
    assert stimuli.ids.tolist() == ids, "identifiers stay as the recording has them"


@pytest.mark.parametrize(
    ("files", "names", "found"),
    [
        (["face/1.png", "house/1.png"], ["face/1.png", "house/1.png"], [50, 51]),
        (["face/1.png", "house/1.png"], ["/data/face/1.png", "/data/house/1.png"], [50, 51]),
        (["face/1.png", "house/1.png"], ["face\\1.png", "house\\1.png"], [50, 51]),
        (["1.png", "2.png"], ["face/1.png", "face/2.png"], [50, 51]),
        (["tree/1.png", "house/1.png"], ["face/1.png", "house/1.png"], None),
        (["1.png"], ["face/1.png", "house/1.png"], None),
    ],
)
def test_pictures_are_found_by_base_name_only_where_no_folder_differs(
    tmp_path: Path, files: list[str], names: list[str], found: list[int] | None
) -> None:
    table = {"stimulus_id": ["a", "b"], "filename": names}
    folder = pictures(tmp_path / "r", files, table=table)
    if found is not None:
        assert levels(load_recording(folder).stimuli) == found
        return
    with pytest.raises(NeurofitError, match=r"lacks [12] of 2 images: face/1.png"):
        load_recording(folder)


def test_pictures_in_nwb_are_found_by_base_name_only_where_no_folder_differs(
    tmp_path: Path, write_nwb: Any, named: Any, rgb: Any, assert_shown: Any
) -> None:
    pixels = rgb()
    for number, (names, labels, matched) in enumerate(
        [
            (("face/1.png", "house/1.png"), ("face/1.png", "house/1.png"), True),
            (("1.png", "2.png"), ("face/1.png", "face/2.png"), True),
            (("tree/1.png", "house/1.png"), ("face/1.png", "house/1.png"), False),
        ]
    ):
        held = named(pixels, [name.replace("/", "\\") for name in names])
        path = write_nwb(tmp_path / f"{number}.nwb", held, columns={"filename": [*labels, *labels]})
        recording = open_recording(path)
        if matched:
            assert_shown(recording, pixels)
        else:
            assert isinstance(recording.stimuli.images, NoImages)


# What is assumed


def test_what_no_one_states_is_marked_and_not_written_as_stated(tmp_path: Path) -> None:
    recording = load_recording(pictures(tmp_path / "r", ["a.png", "b.png"], table=None))
    stimuli = recording.stimuli
    assert stimuli.assumed == ("visual_degrees", "duration_ms")
    assert (stimuli.width, stimuli.duration) == ("8 degrees (assumed)", "100 ms (assumed)")
    for name in ("r.nc", "r.npz"):
        folder = tmp_path / name.replace(".", "-")
        folder.mkdir()
        write_recording(recording, folder / name)
        assert load_recording(folder / name).stimuli.assumed == stimuli.assumed
        (folder / "r.json").write_text('{"visual_degrees": 4, "duration_ms": 250}')
        said = load_recording(folder / name).stimuli
        assert (said.width, said.duration, said.assumed) == ("4 degrees", "250 ms", ())
        # What is stated is written, and the sidecar goes before it.
        (folder / "stated").mkdir()
        write_recording(load_recording(folder / name), folder / "stated" / name)
        assert load_recording(folder / "stated" / name).stimuli.duration_ms == 250
        (folder / "stated" / "r.json").write_text('{"duration_ms": 300}')
        assert load_recording(folder / "stated" / name).stimuli.duration == "300 ms"
