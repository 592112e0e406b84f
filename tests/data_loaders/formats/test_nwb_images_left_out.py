"""Where stimuli cannot get the pictures that an NWB file names, the message says why."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image
from pynwb.base import Images
from pynwb.image import ImageSeries

from neurofit.cli.app import main
from neurofit.data_loaders import open_recording
from neurofit.errors import NeurofitError
from neurofit.recordings.recording import Recording
from neurofit.recordings.validation import validate_recording

Write = Callable[..., Path]
Rgb = Callable[..., np.ndarray]
Named = Callable[..., Images]
Series = Callable[..., ImageSeries]
Why = Callable[[Recording], str]

SHOWN = ("cat", "dog", "cat", "dog")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (
            "../secret.png",
            (
                "'../secret.png', "
                "which is outside the file's folder and is not followed. Give --images"
            ),
        ),
        ("a/../../secret.png", "is outside the file's folder"),
        ("..\\secret.png", "is outside the file's folder"),
        ("link.png", "is outside the file's folder"),
        ("/secret.png", "'/secret.png': only relative paths inside the file's folder are followed"),
        ("C:\\secret.png", "only relative paths inside the file's folder"),
        ("\\\\host\\secret.png", "only relative paths inside the file's folder"),
        ("https://host/secret.png", "only relative paths inside the file's folder"),
        ("nothing.png", "'nothing.png', which does not exist"),
        ("r.nwb", "'r.nwb', which is not an image"),
        ("a\0b.png", "which is not a valid path"),
        ("x" * 5000, "which is not a valid path"),
    ],
)
def test_a_path_that_leads_elsewhere_is_not_followed(
    tmp_path: Path, path: str, said: str, write_nwb: Write, rgb: Rgb, files: Series, why: Why
) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    Image.fromarray(rgb()[0]).save(tmp_path / "secret.png")
    (inside / "link.png").symlink_to(tmp_path / "secret.png")
    Image.fromarray(rgb()[1]).save(inside / "dog.png")
    file = write_nwb(inside / "r.nwb", files("cat.png", "dog.png"))
    with h5py.File(file, "a") as held:
        if "\0" in path:
            del held["stimulus/presentation/files/external_file"]
            held["stimulus/presentation/files/external_file"] = np.array(
                [path.encode(), b"dog.png"]
            )
            held["stimulus/presentation/files/external_file"].attrs["starting_frame"] = np.arange(2)
        else:
            held["stimulus/presentation/files/external_file"][0] = path
    recording = open_recording(file)
    assert said in why(recording)
    assert len(why(recording)) < 300
    with pytest.raises(NeurofitError, match="has no images: no model can be scored against it"):
        recording.stimuli.need_images()


def test_movies_are_not_read(
    tmp_path: Path, write_nwb: Write, rgb: Rgb, files: Series, why: Why
) -> None:
    for name in ("cat.gif", "dog.gif"):
        Image.fromarray(rgb()[0]).save(tmp_path / name)
    recording = open_recording(
        write_nwb(tmp_path / "r.nwb", files("cat.gif", "dog.gif", starting_frame=[0, 10]))
    )
    assert (
        why(recording)
        == "The files of files contain several frames each: movies are not supported."
    )


@pytest.mark.parametrize(
    ("held", "shown", "columns", "said"),
    [
        (
            lambda named, series, pixels: [named(pixels, ("a", "b"))],
            SHOWN,
            {},
            (
                "pictures (2) cannot be matched to the stimuli: "
                "none is called 'cat', and no column of the"
            ),
        ),
        (
            lambda named, series, pixels: [named(pixels), named(pixels, called="masks")],
            SHOWN,
            {},
            "r.nwb contains two images 'cat': which was shown is not known",
        ),
        (
            lambda named, series, pixels: [series(pixels)],
            (1, 2, 1, 2),
            {},
            "Stimulus '2' has the number 2 in movie, which has 2 images (from 0)",
        ),
        (
            lambda named, series, pixels: [series(pixels)],
            SHOWN,
            {"frame": [5, 1, 5, 1]},
            "Stimulus 'cat' has the number 5 in movie, which has 2 images (from 0)",
        ),
        (
            lambda named, series, pixels: [series(pixels)],
            SHOWN,
            {"frame": [0, 1, 1, 0]},
            "movie (2) cannot be matched to the stimuli",
        ),
        (
            lambda named, series, pixels: [series(pixels), series(pixels, called="more")],
            (0, 1, 0, 1),
            {},
            "Its images in more (2), movie (2) cannot be matched",
        ),
        (
            lambda *_: [
                ImageSeries(name="movie", data=np.zeros((2, 4, 4, 5)), unit="n.a.", rate=1.0)
            ],
            (0, 1, 0, 1),
            {},
            "a frame of movie is (4, 4, 5)",
        ),
    ],
    ids=[
        "other names",
        "twice",
        "too few",
        "out of range",
        "two numbers for one",
        "two series",
        "no colours",
    ],
)
def test_pictures_that_cannot_be_given_to_the_stimuli_are_left_and_it_is_said_why(
    tmp_path: Path,
    held: Callable[..., list[Any]],
    shown: Sequence[Any],
    columns: Mapping[str, Sequence[Any]],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    write_nwb: Write,
    rgb: Rgb,
    named: Named,
    series: Series,
    why: Why,
) -> None:
    path = write_nwb(
        tmp_path / "r.nwb", templates=held(named, series, rgb()), shown=shown, columns=columns
    )
    recording = open_recording(path)
    validate_recording(recording)
    assert said in why(recording)
    with pytest.raises(NeurofitError) as error:
        recording.stimuli.need_images()
    assert str(error.value).count("\n") == 1
    assert why(recording) in str(error.value)
    for command in ("describe", "check"):
        monkeypatch.setattr(sys, "argv", ["neurofit", command, str(path)])
        main()
        printed = " ".join(capsys.readouterr().out.split())
        assert "for ceilings only" in printed
        assert said in printed


def test_without_any_picture_nothing_more_is_said(
    tmp_path: Path, write_nwb: Write, why: Why
) -> None:
    assert why(open_recording(write_nwb(tmp_path / "r.nwb"))) == ""


def test_describe_says_where_pictures_are_and_in_which_order_their_axes_are_read(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    write_nwb: Write,
    rgb: Rgb,
    series: Series,
) -> None:
    monkeypatch.setattr(
        sys,
        "argv",
        [
            "neurofit",
            "describe",
            str(write_nwb(tmp_path / "r.nwb", series(rgb()), shown=(0, 1, 0, 1))),
        ],
    )
    main()
    assert "images: 2, in movie, read as (frame, width, height)" in " ".join(
        capsys.readouterr().out.split()
    )
