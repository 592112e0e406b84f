"""Stimuli get the pictures that an NWB file holds or names, pixel for pixel.

Where that is impossible, the message says why.
"""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pynwb
import pytest
from PIL import Image
from pynwb.base import ImageReferences, Images
from pynwb.image import GrayscaleImage, ImageSeries, IndexSeries, OpticalSeries, RGBAImage, RGBImage

from neurofit.cli.app import main
from neurofit.data_loaders import open_recording, write_recording
from neurofit.errors import NeurofitError
from neurofit.recordings.recording import Recording
from neurofit.recordings.stimuli import NoImages
from neurofit.recordings.validation import validate_recording

SHOWN = ("cat", "dog", "cat", "dog")
HEIGHT, WIDTH = 4, 6


def write(
    path: Path,
    *held: Any,
    templates: Sequence[Any] = (),
    shown: Sequence[Any] = SHOWN,
    columns: Mapping[str, Sequence[Any]] | None = None,
) -> Path:
    """Write a session of one unit and a trial a second.

    `held` goes under stimulus, `templates` under its templates.
    """
    nwb = pynwb.NWBFile(
        session_description="s",
        identifier=path.stem,
        session_start_time=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
    )
    nwb.add_unit_column("region", "area")
    nwb.add_unit(spike_times=np.arange(0.05, len(shown), 0.5), region="IT")
    table = {"stimulus_id": shown, **(columns or {})}
    for name in table:
        nwb.add_trial_column(name, "of the trial")
    for number, row in enumerate(zip(*table.values(), strict=True)):
        nwb.add_trial(
            start_time=float(number), stop_time=number + 0.5, **dict(zip(table, row, strict=True))
        )
    for each in templates:
        nwb.add_stimulus_template(each)
    for each in held:
        nwb.add_stimulus(each)
    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(nwb)
    return path


def rgb(n: int = 2, seed: int = 0) -> np.ndarray:
    """Return random pictures: uint8 (stimulus height width channel)."""
    return np.random.default_rng(seed).integers(0, 256, (n, HEIGHT, WIDTH, 3), dtype=np.uint8)


def named(
    pixels: np.ndarray,
    names: Sequence[str] = ("cat", "dog"),
    *,
    ordered: bool = False,
    called: str = "pictures",
) -> Images:
    images = [RGBImage(name=name, data=each) for name, each in zip(names, pixels, strict=True)]
    order = ImageReferences(name="order_of_images", data=images) if ordered else None
    return Images(name=called, images=images, description="p", order_of_images=order)


def series(pixels: np.ndarray, *, called: str = "movie", **more: Any) -> ImageSeries:
    """Return frames (frame x y channel), as in the schema, of pictures (stimulus y x channel)."""
    return ImageSeries(name=called, data=pixels.swapaxes(1, 2), unit="n.a.", rate=1.0, **more)


def files(*paths: str, **more: Any) -> ImageSeries:
    first = {"starting_frame": list(range(len(paths))), **more}
    times = np.arange(float(len(paths)))
    return ImageSeries(
        name="files",
        external_file=list(paths),
        format="external",
        unit="n.a.",
        timestamps=times,
        **first,
    )


def assert_shown(recording: Recording, pixels: np.ndarray) -> None:
    assert len(recording.stimuli.images) == len(pixels)
    for row, expected in enumerate(pixels):
        found = recording.stimuli.images[row]
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, expected)


def why(recording: Recording) -> str:
    assert isinstance(recording.stimuli.images, NoImages)
    return recording.stimuli.images.why


@pytest.mark.parametrize("where", ["held", "templates"])
def test_images_of_every_kind_are_found_by_name(tmp_path: Path, where: str) -> None:
    rng = np.random.default_rng(0)
    gray = rng.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
    colours, clear = rgb()
    opacity = rng.integers(0, 256, (HEIGHT, WIDTH, 1), dtype=np.uint8)
    kinds = [
        GrayscaleImage(name="gray", data=gray),
        RGBImage(name="colours", data=colours),
        RGBAImage(name="clear", data=np.concatenate([clear, opacity], axis=2)),
    ]
    pictures = Images(name="pictures", images=kinds, description="p")
    shown = ["clear", "gray", "colours"] * 2
    path = write(
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
    ("stored", "expected"),
    [
        (lambda p: p / np.float64(255), lambda p: p),
        (lambda p: p.astype(np.float64), lambda p: p),
        (lambda p: p.astype(np.int64), lambda p: p),
        (lambda p: p.astype(np.uint16) * 257, lambda p: p),
        (lambda p: p > 127, lambda p: 255 * (p > 127)),
    ],
    ids=["fractions", "floats", "integers", "16 bits", "black and white"],
)
def test_pixels_are_read_in_the_scale_that_they_have(
    tmp_path: Path, stored: Any, expected: Any
) -> None:
    pixels = rgb()
    pixels[:, 0, 0], pixels[:, 0, 1] = 0, 255
    path = write(tmp_path / "r.nwb", named(stored(pixels)))
    assert_shown(open_recording(path), expected(pixels).astype(np.uint8))


@pytest.mark.parametrize("form", ["images", "series"])
@pytest.mark.parametrize(
    ("stored", "dark"),
    [(lambda p: p.astype(np.float64), 1), (lambda p: p.astype(np.uint16) * 257, 0)],
)
def test_a_dark_picture_has_the_scale_of_those_it_stands_with(
    tmp_path: Path, form: str, stored: Any, dark: int
) -> None:
    pixels = rgb()
    pixels[0], pixels[1, 0, 0] = dark, 255
    pixels[0, 0, 0] = 0
    held = named(stored(pixels)) if form == "images" else series(stored(pixels))
    path = write(
        tmp_path / "r.nwb", held, columns={} if form == "images" else {"image_index": [0, 1, 0, 1]}
    )
    assert_shown(open_recording(path), pixels)
    own = stored(pixels)
    own[0] = np.where(own[0] > 0, 1, 0) if own.dtype.kind == "f" else 200  # of 16 bits, not of 8
    expected = pixels.copy()
    expected[0] = own[0] if own.dtype.kind == "f" else 1
    held = named(own) if form == "images" else series(own)
    path = write(
        tmp_path / "s.nwb", held, columns={} if form == "images" else {"image_index": [0, 1, 0, 1]}
    )
    assert_shown(open_recording(path), expected)


@pytest.mark.parametrize(
    "pixels", [rgb() - 128.0, rgb() + 1e4, np.full((2, HEIGHT, WIDTH, 3), np.nan)]
)
def test_values_that_are_no_pixels_are_refused(tmp_path: Path, pixels: np.ndarray) -> None:
    path = write(tmp_path / "r.nwb", named(pixels))
    with pytest.raises(
        NeurofitError,
        match=r"cat in r.nwb has values from .* to .*; pixels must be 0 to 1, 0 to 255 or 16-bit",
    ):
        open_recording(path).stimuli.images[0]


def test_frames_are_x_first_as_the_schema_says_unless_dimension_or_the_sidecar_says_otherwise(
    tmp_path: Path,
) -> None:
    pixels, number = rgb(), {"image_index": [0, 1, 0, 1]}
    assert_shown(open_recording(write(tmp_path / "a.nwb", series(pixels), columns=number)), pixels)
    gray = ImageSeries(name="movie", data=pixels[..., 0].swapaxes(1, 2), unit="n.a.", rate=1.0)
    assert_shown(
        open_recording(write(tmp_path / "b.nwb", gray, columns=number)),
        np.repeat(pixels[..., :1], 3, axis=3),
    )
    rows_first = ImageSeries(
        name="movie", data=pixels, unit="n.a.", rate=1.0, dimension=[WIDTH, HEIGHT]
    )
    assert_shown(open_recording(write(tmp_path / "c.nwb", rows_first, columns=number)), pixels)
    silent = ImageSeries(name="movie", data=pixels, unit="n.a.", rate=1.0)
    assert_shown(
        open_recording(write(tmp_path / "d.nwb", silent, columns=number)), pixels.swapaxes(1, 2)
    )
    (tmp_path / "d.json").write_text('{"image_axes": ["height", "width"]}')
    assert_shown(open_recording(tmp_path / "d.nwb"), pixels)
    write(tmp_path / "e.nwb", named(pixels.swapaxes(1, 2)))
    (tmp_path / "e.json").write_text('{"image_axes": ["width", "height"]}')
    assert_shown(open_recording(tmp_path / "e.nwb"), pixels)
    (tmp_path / "e.json").write_text('{"image_axes": ["x", "y"]}')
    with pytest.raises(
        NeurofitError,
        match=r'image_axes must be \["height", "width"\] '
        r'or \["width", "height"\], not \[\'x\', \'y\'\]',
    ):
        open_recording(tmp_path / "e.nwb")


@pytest.mark.parametrize(
    "shown",
    [(1, 0, 1, 0), (1.0, 0.0, 1.0, 0.0), ("1", "0", "1", "0")],
    ids=["integers", "floats", "texts"],
)
@pytest.mark.parametrize("kind", ["frames", "ordered", "files"])
def test_stimuli_that_are_whole_numbers_count_the_pictures_from_0(
    tmp_path: Path, shown: Sequence[Any], kind: str
) -> None:
    pixels = rgb(3)
    for number, each in enumerate(pixels):
        Image.fromarray(each).save(tmp_path / f"{'abc'[number]}.png")
    held = {
        "frames": series(pixels),
        "ordered": named(pixels, ("z", "y", "x"), ordered=True),
        "files": files("a.png", "b.png", "c.png"),
    }
    assert_shown(open_recording(write(tmp_path / "r.nwb", held[kind], shown=shown)), pixels[[1, 0]])


@pytest.mark.parametrize("timed", [True, False])
def test_an_index_series_says_what_was_shown_when(tmp_path: Path, timed: bool) -> None:
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
        open_recording(write(tmp_path / "r.nwb", index, templates=[pictures])), pixels[[2, 0]]
    )


def test_an_index_series_of_frames_is_read_though_it_is_no_longer_written(tmp_path: Path) -> None:
    pictures = named(rgb(), ordered=True)
    index = IndexSeries(
        name="shown",
        data=np.array([1, 0, 1, 0], np.uint32),
        indexed_images=pictures,
        unit="N/A",
        rate=1.0,
        starting_time=0.1,
    )
    path = write(
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


def test_a_column_of_the_trials_names_the_pictures(tmp_path: Path) -> None:
    pixels = rgb()
    path = write(
        tmp_path / "r.nwb",
        named(pixels, ("a.png", "b.png")),
        shown=(7, 9, 7, 9),
        columns={"stimulus_filename": ["b.png", "a.png", "b.png", "a.png"]},
    )
    assert_shown(open_recording(path), pixels[[1, 0]])
    write(
        path,
        named(pixels, ("a", "b")),
        shown=(7, 9, 7, 9),
        columns={"bild": ["set/b.jpg", "set/a.jpg", "set/b.jpg", "set/a.jpg"]},
    )
    assert "none is called '7'" in why(open_recording(path))
    (tmp_path / "r.json").write_text('{"words": {"bild": "image_name"}}')
    assert_shown(open_recording(path), pixels[[1, 0]])


def test_files_beside_an_nwb_file_are_found_by_name_and_by_name_without_ending(
    tmp_path: Path,
) -> None:
    pixels = rgb()
    (tmp_path / "set").mkdir()
    for name, each in zip(("cat", "dog"), pixels, strict=True):
        Image.fromarray(each).save(tmp_path / "set" / f"{name}.png")
    paths = ("set/dog.png", "set/../set/cat.png")
    assert_shown(open_recording(write(tmp_path / "a.nwb", files(*paths))), pixels)
    shown = ("cat.png", "set/dog.png", "cat.png", "set/dog.png")
    assert_shown(open_recording(write(tmp_path / "b.nwb", files(*paths), shown=shown)), pixels)


def test_images_that_are_files_are_found_by_name(tmp_path: Path) -> None:
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
            write(tmp_path / "r.nwb", Images(name="pictures", images=images, description="p"))
        ),
        rgb(),
    )


def test_a_name_without_ending_is_stronger_than_a_place(tmp_path: Path) -> None:
    pixels = rgb(3)
    for number, each in enumerate(pixels):
        Image.fromarray(each).save(tmp_path / f"{number + 1}.png")
    held = files("1.png", "2.png", "3.png")
    assert_shown(open_recording(write(tmp_path / "r.nwb", held, shown=(1, 2, 1, 2))), pixels[:2])


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
def test_a_path_that_leads_elsewhere_is_not_followed(tmp_path: Path, path: str, said: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    Image.fromarray(rgb()[0]).save(tmp_path / "secret.png")
    (inside / "link.png").symlink_to(tmp_path / "secret.png")
    Image.fromarray(rgb()[1]).save(inside / "dog.png")
    file = write(inside / "r.nwb", files("cat.png", "dog.png"))
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


def test_movies_are_not_read(tmp_path: Path) -> None:
    for name in ("cat.gif", "dog.gif"):
        Image.fromarray(rgb()[0]).save(tmp_path / name)
    recording = open_recording(
        write(tmp_path / "r.nwb", files("cat.gif", "dog.gif", starting_frame=[0, 10]))
    )
    assert (
        why(recording)
        == "The files of files contain several frames each: movies are not supported."
    )


@pytest.mark.parametrize(
    ("held", "shown", "columns", "said"),
    [
        (
            [named(rgb(), ("a", "b"))],
            SHOWN,
            {},
            (
                "pictures (2) cannot be matched to the stimuli: "
                "none is called 'cat', and no column of the"
            ),
        ),
        (
            [named(rgb()), named(rgb(), called="masks")],
            SHOWN,
            {},
            "r.nwb contains two images 'cat': which was shown is not known",
        ),
        (
            [series(rgb())],
            (1, 2, 1, 2),
            {},
            "Stimulus '2' has the number 2 in movie, which has 2 images (from 0)",
        ),
        (
            [series(rgb())],
            SHOWN,
            {"frame": [5, 1, 5, 1]},
            "Stimulus 'cat' has the number 5 in movie, which has 2 images (from 0)",
        ),
        (
            [series(rgb())],
            SHOWN,
            {"frame": [0, 1, 1, 0]},
            "movie (2) cannot be matched to the stimuli",
        ),
        (
            [series(rgb()), series(rgb(), called="more")],
            (0, 1, 0, 1),
            {},
            "Its images in more (2), movie (2) cannot be matched",
        ),
        (
            [ImageSeries(name="movie", data=np.zeros((2, 4, 4, 5)), unit="n.a.", rate=1.0)],
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
    held: list[Any],
    shown: Sequence[Any],
    columns: Mapping[str, Sequence[Any]],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write(tmp_path / "r.nwb", templates=held, shown=shown, columns=columns)
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


def test_without_any_picture_nothing_more_is_said(tmp_path: Path) -> None:
    assert why(open_recording(write(tmp_path / "r.nwb"))) == ""


def test_describe_says_where_pictures_are_and_in_which_order_their_axes_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        sys,
        "argv",
        ["neurofit", "describe", str(write(tmp_path / "r.nwb", series(rgb()), shown=(0, 1, 0, 1)))],
    )
    main()
    assert "images: 2, in movie, read as (frame, width, height)" in " ".join(
        capsys.readouterr().out.split()
    )


def optical(
    distance: float | None = 0.5, width: float = 0.1, called: str = "movie"
) -> OpticalSeries:
    where = {} if distance is None else {"distance": distance, "field_of_view": [width, 0.3]}
    return OpticalSeries(
        name=called,
        data=rgb().swapaxes(1, 2),
        unit="n.a.",
        rate=1.0,
        orientation="upright",
        **where,
    )


def test_degrees_are_those_of_metres_across_and_to_the_eye_unless_they_are_said_beside(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "r.nwb", optical(), shown=(0, 1, 0, 1))
    assert open_recording(path).stimuli.visual_degrees == pytest.approx(
        11.421186, abs=1e-6
    )  # 2 atan(0.05 / 0.5)
    (tmp_path / "r.json").write_text('{"visual_degrees": 5}')
    assert open_recording(path).stimuli.visual_degrees == 5
    for number, silent in enumerate(
        [optical(None), optical(0.0), optical(width=-1.0), optical(float("nan"))]
    ):
        assert (
            open_recording(
                write(tmp_path / f"{number}.nwb", silent, shown=(0, 1, 0, 1))
            ).stimuli.visual_degrees
            == 8
        )


def test_pictures_of_two_widths_need_one_to_be_said(tmp_path: Path) -> None:
    Image.fromarray(rgb()[1]).save(tmp_path / "dog.png")
    path = write(tmp_path / "r.nwb", named(rgb()[:1], ("cat",)), files("dog.png"))
    with h5py.File(path, "a") as file:
        file["stimulus/presentation/files"].attrs["neurodata_type"] = "OpticalSeries"
        file["stimulus/presentation/files/distance"] = 0.5
        file["stimulus/presentation/files/field_of_view"] = [0.1, 0.1]
    assert (
        "several widths (unknown and 11.4 degrees), but a recording has one: write visual_degrees"
        in why(open_recording(path))
    )
    (tmp_path / "r.json").write_text('{"visual_degrees": 5}')
    assert_shown(open_recording(path), rgb())


def test_sessions_share_pictures_and_those_that_contradict_each_other_are_not_guessed_at(
    tmp_path: Path,
) -> None:
    pixels = rgb(3)
    write(tmp_path / "a.nwb", named(pixels[:2]))
    write(tmp_path / "b.nwb", named(pixels[1:], ("dog", "owl")), shown=("owl", "dog") * 2)
    assert_shown(open_recording(tmp_path), pixels)
    write(tmp_path / "b.nwb", shown=("dog", "cat") * 2)  # holds none itself
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
        write(tmp_path / f"{file}.nwb", pictures, index, shown=("0", "1"))
    said = "Stimulus '0' has two different images: cat in a.nwb, and dog in b.nwb."
    assert why(open_recording(tmp_path)) in (
        said,
        said.replace("'0'", "'1'").replace("dog", "owl").replace("cat", "dog"),
    )


def test_pictures_beside_a_file_come_before_those_in_it(tmp_path: Path) -> None:
    inside, beside = rgb(), rgb(seed=1)
    path = write(tmp_path / "r.nwb", named(inside))
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


def test_pictures_of_an_nwb_file_are_written_and_come_back(tmp_path: Path) -> None:
    pixels = rgb()
    recording = open_recording(write(tmp_path / "r.nwb", series(pixels), shown=(0, 1, 0, 1)))
    write_recording(recording, tmp_path / "out.nc")
    assert_shown(open_recording(tmp_path / "out.nc"), pixels)


def test_frames_are_read_one_by_one_and_a_file_that_changed_meanwhile_is_said_to(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "r.nwb", series(rgb()), shown=(0, 1, 0, 1))
    recording = open_recording(path)
    write(path, series(rgb()[:, :3]), shown=(0, 1, 0, 1))
    with pytest.raises(
        NeurofitError,
        match=r"frame 0 of movie in r.nwb: its shape is .* "
        r"It is damaged, or was changed while it was in use",
    ):
        recording.stimuli.images[0]
    path.unlink()
    with pytest.raises(NeurofitError, match="was changed while it was in use"):
        recording.stimuli.images[0]


def test_a_column_of_frames_of_a_large_movie_costs_nothing_until_it_is_looked_at(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "r.nwb", series(rgb()), shown=(0, 1, 0, 1))
    with h5py.File(path, "a") as file:
        movie = file["stimulus/presentation/movie"]
        attrs = dict(movie["data"].attrs)
        del movie["data"]
        movie.create_dataset(
            "data", shape=(10**7, WIDTH, HEIGHT, 3), dtype="u1", chunks=(1, WIDTH, HEIGHT, 3)
        ).attrs.update(attrs)
        movie["data"][:2] = rgb().swapaxes(1, 2)
    recording = open_recording(path)
    assert len(recording.stimuli.images) == 2
    with pytest.raises(NeurofitError, match="it declares pixels that were never written"):
        recording.stimuli.images[0]


def test_stimuli_are_shown_with_a_table_of_degrees_where_the_file_says_none(tmp_path: Path) -> None:
    path = write(tmp_path / "r.nwb", named(rgb()))
    pd.DataFrame({"stimulus_id": ["cat", "dog"], "degrees": [3.0, 3.0]}).to_csv(
        tmp_path / "stimuli.csv", index=False
    )
    assert open_recording(path).stimuli.visual_degrees == 3
    (tmp_path / "r.json").write_text(json.dumps({"visual_degrees": 4}))
    assert open_recording(path).stimuli.visual_degrees == 4
