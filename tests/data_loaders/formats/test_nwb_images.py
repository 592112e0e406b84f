"""Stimuli get the pictures that an NWB file holds or names, pixel for pixel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pynwb
import pytest
from PIL import Image
from pynwb.base import Images
from pynwb.image import GrayscaleImage, ImageSeries, IndexSeries, RGBAImage, RGBImage

from neurofit.data_loaders import open_recording, write_recording
from neurofit.recordings.recording import Recording
from neurofit.recordings.validation import validate_recording

Write = Callable[..., Path]
Rgb = Callable[..., np.ndarray]
Named = Callable[..., Images]
Series = Callable[..., ImageSeries]
Shown = Callable[[Recording, np.ndarray], None]
Why = Callable[[Recording], str]


@pytest.mark.parametrize("where", ["held", "templates"])
def test_images_of_every_kind_are_found_by_name(
    tmp_path: Path, where: str, write_nwb: Write, rgb: Rgb, assert_shown: Shown
) -> None:
    rng = np.random.default_rng(0)
    colours, clear = rgb()
    height, width = colours.shape[:2]
    gray = rng.integers(0, 256, (height, width), dtype=np.uint8)
    opacity = rng.integers(0, 256, (height, width, 1), dtype=np.uint8)
    kinds = [
        GrayscaleImage(name="gray", data=gray),
        RGBImage(name="colours", data=colours),
        RGBAImage(name="clear", data=np.concatenate([clear, opacity], axis=2)),
    ]
    pictures = Images(name="pictures", images=kinds, description="p")
    shown = ["clear", "gray", "colours"] * 2
    path = write_nwb(
        tmp_path / "r.nwb",
        *[pictures][: where == "held"],
        templates=[pictures][: where == "templates"],
        shown=shown,
    )
    laid = np.rint(128 + (clear.astype(float) - 128) * opacity / 255).astype(np.uint8)
    recording = open_recording(path)
    validate_recording(recording)
    assert_shown(recording, np.stack([laid, np.repeat(gray[..., None], 3, axis=2), colours]))


@pytest.mark.parametrize(
    "shown",
    [(1, 0, 1, 0), (1.0, 0.0, 1.0, 0.0), ("1", "0", "1", "0")],
    ids=["integers", "floats", "texts"],
)
@pytest.mark.parametrize("kind", ["frames", "ordered", "files"])
def test_stimuli_that_are_whole_numbers_count_the_pictures_from_0(
    tmp_path: Path,
    shown: Sequence[Any],
    kind: str,
    write_nwb: Write,
    rgb: Rgb,
    named: Named,
    series: Series,
    files: Series,
    assert_shown: Shown,
) -> None:
    pixels = rgb(3)
    for number, each in enumerate(pixels):
        Image.fromarray(each).save(tmp_path / f"{'abc'[number]}.png")
    held = {
        "frames": series(pixels),
        "ordered": named(pixels, ("z", "y", "x"), ordered=True),
        "files": files("a.png", "b.png", "c.png"),
    }
    assert_shown(
        open_recording(write_nwb(tmp_path / "r.nwb", held[kind], shown=shown)), pixels[[1, 0]]
    )


@pytest.mark.parametrize("timed", [True, False])
def test_an_index_series_says_what_was_shown_when(
    tmp_path: Path, timed: bool, write_nwb: Write, rgb: Rgb, named: Named, assert_shown: Shown
) -> None:
    pixels = rgb(3)
    pictures = named(pixels, ("z", "y", "x"), ordered=True)
    numbers, times = (
        [2, 0, 2, 0],
        [100.0, 101.0, 102.0, 103.0],
    )  # on another clock: in the order of the trials
    if timed:
        numbers, times = (
            [1, 2, 0, 0, 1, 2, 0],
            [-1.0, 0.1, 1.1, 1.2, 1.9, 2.1, 3.1],
        )  # some before, between and twice
    index = IndexSeries(
        name="shown",
        data=np.array(numbers, np.uint32),
        indexed_images=pictures,
        unit="N/A",
        timestamps=times,
    )
    assert_shown(
        open_recording(write_nwb(tmp_path / "r.nwb", index, templates=[pictures])), pixels[[2, 0]]
    )


def test_an_index_series_of_frames_is_read_though_it_is_no_longer_written(
    tmp_path: Path, write_nwb: Write, rgb: Rgb, named: Named, series: Series, assert_shown: Shown
) -> None:
    pictures = named(rgb(), ordered=True)
    index = IndexSeries(
        name="shown",
        data=np.array([1, 0, 1, 0], np.uint32),
        indexed_images=pictures,
        unit="N/A",
        rate=1.0,
        starting_time=0.1,
    )
    path = write_nwb(
        tmp_path / "r.nwb",
        index,
        templates=[pictures, series(rgb(3, seed=1))],
        shown=("a", "b", "a", "b"),
    )
    assert_shown(open_recording(path), rgb()[[1, 0]])
    with h5py.File(path, "a") as file:
        shown = file["stimulus/presentation/shown"]
        del shown["indexed_images"]
        shown["indexed_timeseries"] = h5py.SoftLink("/stimulus/templates/movie")
    assert_shown(open_recording(path), rgb(3, seed=1)[[1, 0]])


def test_a_column_of_the_trials_names_the_pictures(
    tmp_path: Path, write_nwb: Write, rgb: Rgb, named: Named, assert_shown: Shown, why: Why
) -> None:
    pixels = rgb()
    path = write_nwb(
        tmp_path / "r.nwb",
        named(pixels, ("a.png", "b.png")),
        shown=(7, 9, 7, 9),
        columns={"stimulus_filename": ["b.png", "a.png", "b.png", "a.png"]},
    )
    assert_shown(open_recording(path), pixels[[1, 0]])
    write_nwb(
        path,
        named(pixels, ("a", "b")),
        shown=(7, 9, 7, 9),
        columns={"bild": ["set/b.jpg", "set/a.jpg", "set/b.jpg", "set/a.jpg"]},
    )
    assert "none is called '7'" in why(open_recording(path))
    (tmp_path / "r.json").write_text('{"words": {"bild": "image_name"}}')
    assert_shown(open_recording(path), pixels[[1, 0]])


def test_files_beside_an_nwb_file_are_found_by_name_and_by_name_without_ending(
    tmp_path: Path, write_nwb: Write, rgb: Rgb, files: Series, assert_shown: Shown
) -> None:
    pixels = rgb()
    (tmp_path / "set").mkdir()
    for name, each in zip(("cat", "dog"), pixels, strict=True):
        Image.fromarray(each).save(tmp_path / "set" / f"{name}.png")
    paths = ("set/dog.png", "set/../set/cat.png")
    assert_shown(open_recording(write_nwb(tmp_path / "a.nwb", files(*paths))), pixels)
    shown = ("cat.png", "set/dog.png", "cat.png", "set/dog.png")
    assert_shown(open_recording(write_nwb(tmp_path / "b.nwb", files(*paths), shown=shown)), pixels)


def test_images_that_are_files_are_found_by_name(
    tmp_path: Path, write_nwb: Write, rgb: Rgb, assert_shown: Shown
) -> None:
    kind = getattr(pynwb.base, "ExternalImage", None)
    if kind is None:
        pytest.skip("this pynwb has no ExternalImage")
    Image.fromarray(rgb()[0]).save(tmp_path / "0.png")
    images = [
        kind(name="cat", data="0.png", image_format="PNG"),
        RGBImage(name="dog", data=rgb()[1]),
    ]
    assert_shown(
        open_recording(
            write_nwb(tmp_path / "r.nwb", Images(name="pictures", images=images, description="p"))
        ),
        rgb(),
    )


def test_a_name_without_ending_is_stronger_than_a_place(
    tmp_path: Path, write_nwb: Write, rgb: Rgb, files: Series, assert_shown: Shown
) -> None:
    pixels = rgb(3)
    for number, each in enumerate(pixels):
        Image.fromarray(each).save(tmp_path / f"{number + 1}.png")
    held = files("1.png", "2.png", "3.png")
    assert_shown(
        open_recording(write_nwb(tmp_path / "r.nwb", held, shown=(1, 2, 1, 2))), pixels[:2]
    )


def test_sessions_share_pictures_and_those_that_contradict_each_other_are_not_guessed_at(
    tmp_path: Path, write_nwb: Write, rgb: Rgb, named: Named, assert_shown: Shown, why: Why
) -> None:
    pixels = rgb(3)
    write_nwb(tmp_path / "a.nwb", named(pixels[:2]))
    write_nwb(tmp_path / "b.nwb", named(pixels[1:], ("dog", "owl")), shown=("owl", "dog") * 2)
    assert_shown(open_recording(tmp_path), pixels)
    write_nwb(tmp_path / "b.nwb", shown=("dog", "cat") * 2)  # holds none itself
    assert_shown(open_recording(tmp_path), pixels[:2])
    for file, names in (("a", ("cat", "dog")), ("b", ("dog", "owl"))):
        pictures = named(pixels[:2], names, ordered=True)
        index = IndexSeries(
            name="shown",
            data=np.array([0, 1], np.uint32),
            indexed_images=pictures,
            unit="N/A",
            timestamps=[0.1, 1.1],
        )
        write_nwb(tmp_path / f"{file}.nwb", pictures, index, shown=("0", "1"))
    said = "Stimulus '0' has two different images: cat in a.nwb, and dog in b.nwb."
    assert why(open_recording(tmp_path)) in (
        said,
        said.replace("'0'", "'1'").replace("dog", "owl").replace("cat", "dog"),
    )


def test_pictures_beside_a_file_come_before_those_in_it(
    tmp_path: Path, write_nwb: Write, rgb: Rgb, named: Named, assert_shown: Shown
) -> None:
    inside, beside = rgb(), rgb(seed=1)
    path = write_nwb(tmp_path / "r.nwb", named(inside))
    (tmp_path / "stimuli").mkdir()
    for name, each in zip(("cat", "dog"), beside, strict=True):
        Image.fromarray(each).save(tmp_path / "stimuli" / f"{name}.png")
    assert_shown(open_recording(path), beside)
    (tmp_path / "stimuli").rename(tmp_path / "others")
    pd.DataFrame({"stimulus_id": ["dog", "cat"], "kind": ["pet", "pet"]}).to_csv(
        tmp_path / "stimuli.csv", index=False
    )
    recording = open_recording(path)
    assert recording.stimuli.ids.tolist() == ["dog", "cat"]
    assert_shown(recording, inside[[1, 0]])
    assert_shown(open_recording(path, images=tmp_path / "others"), beside)


def test_pictures_of_an_nwb_file_are_written_and_come_back(
    tmp_path: Path, write_nwb: Write, rgb: Rgb, series: Series, assert_shown: Shown
) -> None:
    pixels = rgb()
    recording = open_recording(write_nwb(tmp_path / "r.nwb", series(pixels), shown=(0, 1, 0, 1)))
    write_recording(recording, tmp_path / "out.nc")
    assert_shown(open_recording(tmp_path / "out.nc"), pixels)
