"""A recording is written whole or not at all, and replaces no foreign file unasked."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neurofit.data_loaders import open_recording, write_recording
from neurofit.data_loaders.formats.names import MARK
from neurofit.errors import MachineError, NeurofitError, NeurofitWarning
from neurofit.recordings.recording import Recording
from neurofit.recordings.stimuli import ImageFiles, NoImages

Make = Callable[..., Recording]


def without_pictures(recording: Recording) -> Recording:
    return replace(
        recording, stimuli=replace(recording.stimuli, images=NoImages(len(recording.stimuli), "r"))
    )


@pytest.mark.parametrize("ending", [".nc", ".npz"])
@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("there", ["r.nc", "r.npz", "r.stimuli.csv", "r.stimuli.zip", "r.json"])
def test_what_no_conversion_wrote_is_never_touched(
    make_recording: Make, tmp_path: Path, ending: str, overwrite: bool, there: str
) -> None:
    (tmp_path / there).write_text("mine")
    path = tmp_path / f"r{ending}"
    if there not in ("r.nc", "r.npz") or there == path.name:
        with pytest.raises(
            NeurofitError, match=rf"{there} (would be .* is never replaced|describes another file)"
        ):
            write_recording(make_recording(), path, overwrite=overwrite)
        assert [each.name for each in tmp_path.iterdir()] == [there]
    else:
        write_recording(make_recording(), path, overwrite=overwrite)
    assert (tmp_path / there).read_text() == "mine"


@pytest.mark.parametrize("form", ["netCDF", "npz", "zip", "csv"])
def test_what_another_program_wrote_in_these_forms_is_never_touched(
    make_recording: Make, tmp_path: Path, form: str
) -> None:
    path = tmp_path / "r.nc"
    if form == "netCDF":
        make_recording().responses.to_dataset(name="data").to_netcdf(path, engine="h5netcdf")
    elif form == "npz":
        path = tmp_path / "r.npz"
        np.savez(path, responses=np.ones(3))
    elif form == "zip":
        with zipfile.ZipFile(tmp_path / "r.stimuli.zip", "w") as archive:
            archive.writestr("a.png", b"")
    else:
        make_recording().stimuli.table.to_csv(tmp_path / "r.stimuli.csv")
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    with pytest.raises(NeurofitError, match="not written by a conversion and is never replaced"):
        write_recording(make_recording(), path, overwrite=True)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before


@pytest.mark.parametrize("ending", [".nc", ".npz"])
def test_what_a_conversion_wrote_is_replaced_if_it_is_said(
    make_recording: Make, tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"r{ending}"
    write_recording(make_recording(), path)
    with pytest.raises(NeurofitError, match="Choose another name, or overwrite"):
        write_recording(make_recording(), path)
    responses = make_recording().responses
    other = replace(make_recording(), responses=responses + 1, sha256="ab" * 32)
    write_recording(other, path, overwrite=True)
    np.testing.assert_array_equal(open_recording(path).responses, other.responses)


@pytest.mark.parametrize("ending", [".nc", ".npz"])
def test_stimuli_of_an_older_conversion_are_not_those_of_a_new_recording(
    make_recording: Make, tmp_path: Path, ending: str
) -> None:
    converted = replace(make_recording(), sha256="ab" * 32)
    write_recording(converted, tmp_path / f"r{ending}")
    whole = open_recording(tmp_path / f"r{ending}")
    assert MARK not in whole.stimuli.table
    np.testing.assert_array_equal(whole.stimuli.images[2], converted.stimuli.images[2])
    (tmp_path / f"r{ending}").unlink()
    responses = make_recording().responses + 1
    arrays = {str(name): coord.values for name, coord in responses.coords.items()}
    dims = np.array(responses.dims)
    np.savez(tmp_path / "r.npz", responses=responses.values, dims=dims, **arrays)
    with pytest.warns(NeurofitWarning, match=r"r\.stimuli\.zip was written with another recording"):
        new = open_recording(tmp_path / "r.npz")
    assert isinstance(new.stimuli.images, NoImages)
    given = open_recording(tmp_path / "r.npz", images=tmp_path / "r.stimuli.csv")
    np.testing.assert_array_equal(given.stimuli.images[2], converted.stimuli.images[2])
    assert MARK not in given.stimuli.table


def test_a_conversion_that_fails_leaves_no_folder(make_recording: Make, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"notapng")
    stimuli = make_recording().stimuli
    images = ImageFiles([tmp_path / "bad.png"] * len(stimuli))
    broken = replace(make_recording(), stimuli=replace(stimuli, images=images))
    with pytest.raises(NeurofitError, match="cannot be read"):
        write_recording(broken, tmp_path / "a" / "b" / "r.nc")
    assert [each.name for each in tmp_path.iterdir()] == ["bad.png"]


@pytest.mark.parametrize("called", ["stimuli", "stimuli.zip"])
def test_a_recording_without_pictures_is_not_written_where_others_lie(
    make_recording: Make, tmp_path: Path, called: str
) -> None:
    (tmp_path / called).mkdir()
    with pytest.raises(
        NeurofitError, match=rf"{called} would be read as the images of r.nc, which has none"
    ):
        write_recording(without_pictures(make_recording()), tmp_path / "r.nc", overwrite=True)
    assert [each.name for each in tmp_path.iterdir()] == [called]
    write_recording(make_recording(), tmp_path / "r.nc")  # its own pictures come first


def test_pictures_of_another_recording_are_not_taken_for_ones_own(
    make_recording: Make, tmp_path: Path
) -> None:
    write_recording(make_recording(), tmp_path / "r.nc")
    written = write_recording(without_pictures(make_recording()), tmp_path / "r.nc", overwrite=True)
    assert written == [tmp_path / "r.nc", tmp_path / "r.stimuli.csv"]
    assert sorted(tmp_path.iterdir()) == sorted(written)
    assert isinstance(open_recording(tmp_path / "r.nc").stimuli.images, NoImages)


@pytest.mark.parametrize("ending", [".nc", ".npz"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_picture_that_cannot_be_read_leaves_nothing_and_what_was_there(
    make_recording: Make, tmp_path: Path, ending: str, overwrite: bool
) -> None:
    recording = make_recording()
    (tmp_path / "bad.png").write_bytes(b"notapng")
    broken = replace(
        recording,
        stimuli=replace(
            recording.stimuli, images=ImageFiles([tmp_path / "bad.png"] * len(recording.stimuli))
        ),
    )
    if overwrite:
        write_recording(recording, tmp_path / f"r{ending}")
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    with pytest.raises(NeurofitError, match="cannot be read"):
        write_recording(broken, tmp_path / f"r{ending}", overwrite=overwrite)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before


@pytest.mark.parametrize("ending", [".nc", ".npz"])
def test_a_recording_takes_the_place_of_the_file_it_is_read_from(
    make_recording: Make, tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"r{ending}"
    write_recording(make_recording(), path)
    write_recording(open_recording(path), path, overwrite=True)
    back = open_recording(path)
    np.testing.assert_array_equal(back.responses.values, make_recording().responses.values)
    np.testing.assert_array_equal(back.stimuli.images[2], make_recording().stimuli.images[2])


def test_every_coordinate_keeps_its_axis_where_axes_are_equally_long(
    make_recording: Make, tmp_path: Path
) -> None:
    recording = make_recording(n_neuroids=4, n_bins=8, regions=("V4", "IT"))
    n = recording.responses.sizes["neuroid"]
    assert n == recording.responses.sizes["time_bin"] == 8
    layer, phase = np.array(["deep", "shallow"] * 4), np.arange(8) / 2
    responses = recording.responses.assign_coords(
        subregion=("neuroid", layer), layer=("neuroid", layer), phase=("time_bin", phase)
    )
    write_recording(replace(recording, responses=responses), tmp_path / "r.npz")
    back = open_recording(tmp_path / "r.npz").responses
    assert set(back.coords) == set(responses.coords)
    for name, coord in responses.coords.items():
        assert (back[name].dims, back[name].values.tolist()) == (coord.dims, coord.values.tolist())


def test_pictures_keep_the_names_that_a_table_gives_them(
    make_recording: Make, tmp_path: Path
) -> None:
    recording = make_recording()
    write_recording(recording, tmp_path / "r.nc")
    assert open_recording(tmp_path / "r.nc").stimuli.table.filename.tolist() == [
        f"s{i}.png" for i in range(6)
    ]  # by their ids
    for number, (names, kept) in enumerate(
        [
            ([f"face {i}.v2.jpg" for i in range(6)], [f"face {i}.v2.png" for i in range(6)]),
            (
                [f"a/{i % 3}.png" for i in range(6)],
                [f"{i:06d}.png" for i in range(6)],
            ),  # two of a name
            (
                [f"{i}:{i}.png" for i in range(6)],
                [f"{i:06d}.png" for i in range(6)],
            ),  # no name on every system
        ]
    ):
        stimuli = replace(recording.stimuli, table=recording.stimuli.table.assign(filename=names))
        write_recording(replace(recording, stimuli=stimuli), tmp_path / f"{number}.nc")
        back = open_recording(tmp_path / f"{number}.nc").stimuli
        assert back.table.filename.tolist() == kept
        for i in range(6):
            np.testing.assert_array_equal(back.images[i], recording.stimuli.images[i])


@pytest.mark.parametrize("ending", [".nc", ".npz"])
def test_names_in_the_table_of_pictures_count_and_not_those_among_the_responses(
    make_recording: Make, tmp_path: Path, ending: str
) -> None:
    recording = make_recording()
    elsewhere = np.array([f"{5 - i:06d}.png" for i in range(6)])[recording.stimulus_rows]
    responses = recording.responses.assign_coords(filename=("presentation", elsewhere))
    stimuli = replace(
        recording.stimuli,
        table=recording.stimuli.table.assign(filename=[f"a:{i}" for i in range(6)]),
    )
    write_recording(
        replace(recording, responses=responses, stimuli=stimuli), tmp_path / f"r{ending}"
    )
    back = open_recording(tmp_path / f"r{ending}").stimuli
    for i in range(6):
        np.testing.assert_array_equal(back.images[i], recording.stimuli.images[i])


def test_a_picture_of_several_files_is_not_guessed(make_recording: Make, tmp_path: Path) -> None:
    write_recording(without_pictures(make_recording()), tmp_path / "r.nc")
    pictures = tmp_path / "pictures"
    for folder in ("a", "b"):
        (pictures / folder).mkdir(parents=True)
        for i in range(6):
            Image.fromarray(np.full((4, 4, 3), i + 10 * (folder == "b"), np.uint8)).save(
                pictures / folder / f"s{i}.png"
            )
    with pytest.raises(
        NeurofitError, match=r"has several files for an image: s0 \(a/s0.png, b/s0.png\), s1"
    ):
        open_recording(tmp_path / "r.nc", images=pictures)
    table = pd.DataFrame(
        {"stimulus_id": [f"s{i}" for i in range(6)], "filename": [f"b/s{i}.png" for i in range(6)]}
    )
    table.to_csv(tmp_path / "pictures.csv", index=False)
    assert (
        open_recording(tmp_path / "r.nc", images=tmp_path / "pictures.csv").stimuli.images[3].max()
        == 13
    )


def test_a_disk_that_has_no_room_is_said_before_anything_is_written(
    make_recording: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(
        MachineError,
        match=r"No space left on the disk for .*: 0\.0 MB are needed, 0\.0 MB are free",
    ):
        write_recording(make_recording(), tmp_path / "r.nc")
    assert list(tmp_path.iterdir()) == []
