"""A model sees an image at its degrees, with the numbers of Brain-Score's place_on_screen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neurofit.activations.screen import GRAY, load_images, place_on_screen
from neurofit.errors import NeurofitError
from neurofit.recordings.stimuli import StimulusSet


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, size=(height, width, 3), dtype=np.uint8)


def one_stimulus(pixels: np.ndarray, *, degrees: float) -> StimulusSet:
    return StimulusSet(
        name="set",
        table=pd.DataFrame({"stimulus_id": ["face"]}),
        images=[pixels],
        visual_degrees=degrees,
        duration_ms=100.0,
    )


def test_a_picture_of_half_the_field_has_a_gray_border_of_its_half() -> None:
    shown = place_on_screen(picture(64, 64), image_degrees=4.0, field_degrees=8.0)
    assert shown.shape == (128, 128, 3)
    np.testing.assert_array_equal(shown[32:96, 32:96], picture(64, 64))
    outside = np.ones((128, 128), bool)
    outside[32:96, 32:96] = False
    assert (shown[outside] == 128).all()


def test_of_a_picture_of_twice_the_field_the_centre_is_seen() -> None:
    np.testing.assert_array_equal(
        place_on_screen(picture(64, 64), image_degrees=8.0, field_degrees=4.0),
        picture(64, 64)[16:48, 16:48],
    )


@pytest.mark.parametrize(
    ("size", "degrees", "canvas", "first"),
    [  # worked out by hand: pixels x ratio, then half of the difference, both rounded half to even
        ((5, 5), (2.0, 3.0), (8, 8), (2, 2)),  # 7.5 -> 8; 1.5 -> 2
        ((3, 3), (2.0, 3.0), (4, 4), (0, 0)),  # 4.5 -> 4; 0.5 -> 0
        ((6, 9), (8.0, 12.0), (9, 14), (2, 2)),  # 9 and 13.5 -> 14; 1.5 -> 2 and 2.5 -> 2
        ((63, 64), (4.0, 8.0), (126, 128), (32, 32)),  # 31.5 -> 32
        ((64, 31), (8.0, 5.0), (40, 19), (12, 6)),  # 40 and 19.375 -> 19
        ((7, 5), (8.0, 4.0), (4, 2), (2, 2)),  # 3.5 -> 4 and 2.5 -> 2; 1.5 -> 2 and 1.5 -> 2
    ],
)
def test_odd_sizes_and_pictures_that_are_not_square(
    size: tuple[int, int],
    degrees: tuple[float, float],
    canvas: tuple[int, int],
    first: tuple[int, int],
) -> None:
    shown = place_on_screen(picture(*size), image_degrees=degrees[0], field_degrees=degrees[1])
    assert shown.shape == (*canvas, 3)
    if degrees[0] > degrees[1]:
        np.testing.assert_array_equal(
            shown, picture(*size)[first[0] : first[0] + canvas[0], first[1] : first[1] + canvas[1]]
        )
    else:
        np.testing.assert_array_equal(
            shown[first[0] : first[0] + size[0], first[1] : first[1] + size[1]], picture(*size)
        )


@pytest.mark.parametrize("field", [0.7, 2.0, 5.3, 7.99, 8.01, 11.0, 23.7])
@pytest.mark.parametrize("size", [(1, 1), (10, 10), (17, 17), (12, 31)])
def test_pillow_pasting_and_cropping_gives_the_same(size: tuple[int, int], field: float) -> None:
    image = Image.fromarray(picture(*size))
    canvas = (field / 8.0 * np.array(image.size)).round().astype(int)
    if not canvas.all():
        with pytest.raises(NeurofitError, match="it must have 1 to"):
            place_on_screen(picture(*size), image_degrees=8.0, field_degrees=field)
        return
    corner = (np.abs(canvas - image.size) / 2).round().astype(int)
    if field > 8:
        expected = Image.new("RGB", (int(canvas[0]), int(canvas[1])), "gray")
        expected.paste(image, (int(corner[0]), int(corner[1])))
    else:
        left, top = map(int, corner)
        expected = image.crop((left, top, left + int(canvas[0]), top + int(canvas[1])))
    np.testing.assert_array_equal(
        place_on_screen(picture(*size), image_degrees=8.0, field_degrees=field),
        np.asarray(expected),
    )


@pytest.mark.parametrize("size", [(64, 64), (17, 17), (12, 31), (33, 20)])
def test_brainscore_puts_it_on_its_screen_the_same_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    monkeypatch.setenv("BRAINSCORE_HOME", str(tmp_path))
    screen = pytest.importorskip(
        "brainscore_vision.benchmark_helpers.screen", reason="Brain-Score is not installed here"
    )
    Image.fromarray(picture(*size)).save(tmp_path / "image.png")
    (tmp_path / "shown").mkdir()
    for field in (1.0, 2.5, 4.0, 6.3, 7.9, 8.0, 8.2, 9.7, 12.0, 16.0, 25.1):
        shown = screen.ImageConverter(tmp_path / "shown").convert_image(
            tmp_path / "image.png", source_degrees=8.0, target_degrees=field
        )
        with Image.open(shown) as expected:
            np.testing.assert_array_equal(
                place_on_screen(picture(*size), image_degrees=8.0, field_degrees=field),
                np.asarray(expected),
            )


@pytest.mark.parametrize("field", [0.0, -8.0, float("nan"), float("inf")])
def test_degrees_that_are_not_positive_are_refused(field: float) -> None:
    with pytest.raises(NeurofitError, match="Visual degrees must be positive"):
        place_on_screen(picture(4, 4), image_degrees=8.0, field_degrees=field)


def test_a_canvas_without_end_is_refused_before_it_is_made() -> None:
    with pytest.raises(
        NeurofitError,
        match=r"canvas of 5120000 x 5120000 px; it must have 1 to 67108864 pixels\. "
        "Check the degrees",
    ):
        place_on_screen(picture(64, 64), image_degrees=1e-4, field_degrees=8.0)


@pytest.mark.parametrize("degrees", [4.0, 8.0, 16.0])
def test_a_picture_keeps_its_visual_degrees_in_the_models_input(degrees: float) -> None:
    white = one_stimulus(np.full((40, 40, 3), 255, np.uint8), degrees=degrees)
    image = load_images(white, [0], size=32, field_degrees=8.0)[0]
    assert image.shape == (3, 32, 32)
    assert float((image > (1 + GRAY) / 2).float().mean()) == pytest.approx(
        min(1.0, degrees / 8.0) ** 2
    )
    if degrees < 8:
        assert float(image[0, 0, 0]) == pytest.approx(GRAY)


def test_a_picture_of_the_inputs_size_is_not_resampled() -> None:
    shown = load_images(
        one_stimulus(picture(16, 16), degrees=8.0), [0], size=16, field_degrees=8.0
    )[0]
    np.testing.assert_array_equal((shown * 255).round().numpy().transpose(1, 2, 0), picture(16, 16))


@pytest.mark.parametrize("size", [48, 23, 16])
def test_a_smaller_input_sees_the_picture_as_pillow_shrinks_it(size: int) -> None:
    noise = picture(64, 64)
    shown = load_images(one_stimulus(noise, degrees=8.0), [0], size=size, field_degrees=8.0)[0]
    for channel in range(3):  # Pillow's bilinear filter widens as it shrinks; "F" does not round
        plane = Image.fromarray(noise[..., channel].astype(np.float32))
        expected = np.asarray(plane.resize((size, size), Image.Resampling.BILINEAR)) / 255
        np.testing.assert_allclose(shown[channel].numpy(), expected, atol=1e-5)


def test_pictures_come_in_the_order_that_was_asked_for() -> None:
    images = [np.full((4, 4, 3), level, np.uint8) for level in range(40)]
    table = pd.DataFrame({"stimulus_id": range(40)})
    stimuli = replace(one_stimulus(images[0], degrees=8.0), table=table, images=images)
    rows = np.random.default_rng(0).permutation(40)
    np.testing.assert_array_equal(
        (load_images(stimuli, rows.tolist(), size=4, field_degrees=8.0)[:, 0, 0, 0] * 255).round(),
        rows,
    )


def test_a_picture_that_is_not_square_is_refused_by_name() -> None:
    with pytest.raises(NeurofitError, match=r"square RGB images .* face of set: got \(4, 6, 3\)"):
        load_images(one_stimulus(picture(4, 6), degrees=8.0), [0], size=8, field_degrees=8.0)
