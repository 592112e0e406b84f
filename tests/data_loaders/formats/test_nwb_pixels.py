"""Pixels that an NWB file holds are read in their scale, the order of their axes and their size."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pynwb.base import Images
from pynwb.image import ImageSeries, OpticalSeries

from neurofit.data_loaders import open_recording
from neurofit.errors import NeurofitError
from neurofit.recordings.recording import Recording

Write = Callable[..., Path]
Rgb = Callable[..., np.ndarray]
Named = Callable[..., Images]
Series = Callable[..., ImageSeries]
Shown = Callable[[Recording, np.ndarray], None]
Why = Callable[[Recording], str]

HEIGHT, WIDTH = 4, 6
PIXELS = np.random.default_rng(0).integers(0, 256, (2, HEIGHT, WIDTH, 3), dtype=np.uint8)


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
    tmp_path: Path,
    stored: Any,
    expected: Any,
    write_nwb: Write,
    rgb: Rgb,
    named: Named,
    assert_shown: Shown,
) -> None:
    pixels = rgb()
    pixels[:, 0, 0], pixels[:, 0, 1] = 0, 255
    path = write_nwb(tmp_path / "r.nwb", named(stored(pixels)))
    assert_shown(open_recording(path), expected(pixels).astype(np.uint8))


@pytest.mark.parametrize("form", ["images", "series"])
@pytest.mark.parametrize(
    ("stored", "dark"),
    [(lambda p: p.astype(np.float64), 1), (lambda p: p.astype(np.uint16) * 257, 0)],
)
def test_a_dark_picture_has_the_scale_of_those_it_stands_with(
    tmp_path: Path,
    form: str,
    stored: Any,
    dark: int,
    write_nwb: Write,
    rgb: Rgb,
    named: Named,
    series: Series,
    assert_shown: Shown,
) -> None:
    pixels = rgb()
    pixels[0], pixels[1, 0, 0] = dark, 255
    pixels[0, 0, 0] = 0
    held = named(stored(pixels)) if form == "images" else series(stored(pixels))
    path = write_nwb(
        tmp_path / "r.nwb", held, columns={} if form == "images" else {"image_index": [0, 1, 0, 1]}
    )
    assert_shown(open_recording(path), pixels)
    own = stored(pixels)
    own[0] = np.where(own[0] > 0, 1, 0) if own.dtype.kind == "f" else 200  # of 16 bits, not of 8
    expected = pixels.copy()
    expected[0] = own[0] if own.dtype.kind == "f" else 1
    held = named(own) if form == "images" else series(own)
    path = write_nwb(
        tmp_path / "s.nwb", held, columns={} if form == "images" else {"image_index": [0, 1, 0, 1]}
    )
    assert_shown(open_recording(path), expected)


@pytest.mark.parametrize("pixels", [PIXELS - 128.0, PIXELS + 1e4, np.full(PIXELS.shape, np.nan)])
def test_values_that_are_no_pixels_are_refused(
    tmp_path: Path, pixels: np.ndarray, write_nwb: Write, named: Named
) -> None:
    path = write_nwb(tmp_path / "r.nwb", named(pixels))
    with pytest.raises(
        NeurofitError,
        match=r"cat in r.nwb has values from .* to .*; pixels must be 0 to 1, 0 to 255 or 16-bit",
    ):
        open_recording(path).stimuli.images[0]


def test_frames_are_x_first_as_the_schema_says_unless_dimension_or_the_sidecar_says_otherwise(
    tmp_path: Path, write_nwb: Write, rgb: Rgb, named: Named, series: Series, assert_shown: Shown
) -> None:
    pixels, number = rgb(), {"image_index": [0, 1, 0, 1]}
    assert_shown(
        open_recording(write_nwb(tmp_path / "a.nwb", series(pixels), columns=number)), pixels
    )
    gray = ImageSeries(name="movie", data=pixels[..., 0].swapaxes(1, 2), unit="n.a.", rate=1.0)
    assert_shown(
        open_recording(write_nwb(tmp_path / "b.nwb", gray, columns=number)),
        np.repeat(pixels[..., :1], 3, axis=3),
    )
    rows_first = ImageSeries(
        name="movie", data=pixels, unit="n.a.", rate=1.0, dimension=[WIDTH, HEIGHT]
    )
    assert_shown(open_recording(write_nwb(tmp_path / "c.nwb", rows_first, columns=number)), pixels)
    silent = ImageSeries(name="movie", data=pixels, unit="n.a.", rate=1.0)
    assert_shown(
        open_recording(write_nwb(tmp_path / "d.nwb", silent, columns=number)), pixels.swapaxes(1, 2)
    )
    (tmp_path / "d.json").write_text('{"image_axes": ["height", "width"]}')
    assert_shown(open_recording(tmp_path / "d.nwb"), pixels)
    write_nwb(tmp_path / "e.nwb", named(pixels.swapaxes(1, 2)))
    (tmp_path / "e.json").write_text('{"image_axes": ["width", "height"]}')
    assert_shown(open_recording(tmp_path / "e.nwb"), pixels)
    (tmp_path / "e.json").write_text('{"image_axes": ["x", "y"]}')
    with pytest.raises(
        NeurofitError,
        match=r'image_axes must be \["height", "width"\] '
        r'or \["width", "height"\], not \[\'x\', \'y\'\]',
    ):
        open_recording(tmp_path / "e.nwb")


def test_frames_are_read_one_by_one_and_a_file_that_changed_meanwhile_is_said_to(
    tmp_path: Path, write_nwb: Write, rgb: Rgb, series: Series
) -> None:
    path = write_nwb(tmp_path / "r.nwb", series(rgb()), shown=(0, 1, 0, 1))
    recording = open_recording(path)
    write_nwb(path, series(rgb()[:, :3]), shown=(0, 1, 0, 1))
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
    tmp_path: Path, write_nwb: Write, rgb: Rgb, series: Series
) -> None:
    path = write_nwb(tmp_path / "r.nwb", series(rgb()), shown=(0, 1, 0, 1))
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


def optical(
    pixels: np.ndarray, distance: float | None = 0.5, width: float = 0.1, called: str = "movie"
) -> OpticalSeries:
    where = {} if distance is None else {"distance": distance, "field_of_view": [width, 0.3]}
    return OpticalSeries(
        name=called,
        data=pixels.swapaxes(1, 2),
        unit="n.a.",
        rate=1.0,
        orientation="upright",
        **where,
    )


def test_degrees_are_those_of_metres_across_and_to_the_eye_unless_they_are_said_beside(
    tmp_path: Path, write_nwb: Write, rgb: Rgb
) -> None:
    path = write_nwb(tmp_path / "r.nwb", optical(rgb()), shown=(0, 1, 0, 1))
    assert open_recording(path).stimuli.visual_degrees == pytest.approx(
        11.421186, abs=1e-6
    )  # 2 atan(0.05 / 0.5)
    (tmp_path / "r.json").write_text('{"visual_degrees": 5}')
    assert open_recording(path).stimuli.visual_degrees == 5
    for number, silent in enumerate(
        [
            optical(rgb(), None),
            optical(rgb(), 0.0),
            optical(rgb(), width=-1.0),
            optical(rgb(), float("nan")),
        ]
    ):
        assert (
            open_recording(
                write_nwb(tmp_path / f"{number}.nwb", silent, shown=(0, 1, 0, 1))
            ).stimuli.visual_degrees
            == 8
        )


def test_pictures_of_two_widths_need_one_to_be_said(
    tmp_path: Path,
    write_nwb: Write,
    rgb: Rgb,
    named: Named,
    files: Series,
    assert_shown: Shown,
    why: Why,
) -> None:
    Image.fromarray(rgb()[1]).save(tmp_path / "dog.png")
    path = write_nwb(tmp_path / "r.nwb", named(rgb()[:1], ("cat",)), files("dog.png"))
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


def test_stimuli_are_shown_with_a_table_of_degrees_where_the_file_says_none(
    tmp_path: Path, write_nwb: Write, rgb: Rgb, named: Named
) -> None:
    path = write_nwb(tmp_path / "r.nwb", named(rgb()))
    pd.DataFrame({"stimulus_id": ["cat", "dog"], "degrees": [3.0, 3.0]}).to_csv(
        tmp_path / "stimuli.csv", index=False
    )
    assert open_recording(path).stimuli.visual_degrees == 3
    (tmp_path / "r.json").write_text(json.dumps({"visual_degrees": 4}))
    assert open_recording(path).stimuli.visual_degrees == 4
