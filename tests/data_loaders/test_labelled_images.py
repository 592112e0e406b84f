"""Training sees random views of an image, the test a fixed view; both keep colours and content."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from neurofit.data_loaders.labelled_images import ImageSet, LabelledImages
from neurofit.errors import NeurofitError
from neurofit.training.views import evaluation_view, training_view


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def ramp(height: int, width: int) -> np.ndarray:
    """Make a picture whose red is the column and whose green is the row, both from 0 to 255."""
    red = np.broadcast_to(np.linspace(0, 255, width), (height, width))
    green = np.broadcast_to(np.linspace(0, 255, height)[:, None], (height, width))
    return np.stack([red, green, np.full((height, width), 128)], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("views", ["photographs", "thumbnails"])
def test_a_view_is_a_function_of_its_seed(views: str) -> None:
    a, b, c = (
        training_view(noise(40, 60), np.random.default_rng(seed), size=32, views=views)
        for seed in (1, 1, 2)
    )
    assert a.shape == (3, 32, 32)
    assert a.dtype == torch.float32
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert 0 <= float(a.min()) < float(a.max()) <= 1


def test_a_thumbnail_is_shifted_by_up_to_an_eighth_and_flipped_half_the_time() -> None:
    picture = noise(32, 32)
    padded = np.zeros((40, 40, 3), np.uint8)
    padded[4:36, 4:36] = picture
    crops = {}
    for row in range(9):
        for column in range(9):
            crop = padded[row : row + 32, column : column + 32]
            crops[crop.tobytes()], crops[crop[:, ::-1].tobytes()] = (
                (row, column, False),
                (row, column, True),
            )
    found = []
    for seed in range(400):
        view = training_view(picture, np.random.default_rng(seed), size=32, views="thumbnails")
        found.append(crops[(view * 255).round().byte().permute(1, 2, 0).numpy().tobytes()])
    assert len({place[:2] for place in found}) > 75  # of 81
    assert 150 < sum(flipped for *_, flipped in found) < 250


def test_a_photograph_is_cropped_to_8_to_100_percent_of_its_area_and_flipped_half_the_time() -> (
    None
):
    areas, ratios, flips = [], [], 0
    for seed in range(400):
        view = training_view(
            ramp(300, 400), np.random.default_rng(seed), size=24, views="photographs"
        )
        red, green = (
            view[0].mean(dim=0),
            view[1].mean(dim=1),
        )  # linear in the columns and rows of the crop
        width, height = (float(abs(line[-1] - line[0])) * 24 / 23 for line in (red, green))
        areas.append(width * height)
        ratios.append(width * 400 / (height * 300))
        flips += bool(red[0] > red[-1])
    assert 0.06 < min(areas) < 0.12
    assert 0.85 < max(areas) < 1.02
    assert abs(float(np.mean(areas)) - 0.5) < 0.06  # the largest do not fit and are drawn again
    assert 0.7 < min(ratios) < max(ratios) < 1.4
    assert 150 < flips < 250


def test_a_photograph_that_no_box_fits_is_cut_in_the_centre() -> None:
    view = training_view(ramp(20, 2000), np.random.default_rng(0), size=8, views="photographs")
    red = view[0].mean(dim=0).sort().values
    assert 0.45 < float(red[0]) < float(red[-1]) < 0.55


def test_the_test_sees_the_centre_of_seven_eighths_of_a_photograph() -> None:
    view = evaluation_view(ramp(256, 512), size=224, views="photographs")
    exact = Image.fromarray(ramp(256, 512)).crop(
        (144, 16, 368, 240)
    )  # 256 is the shorter side already
    np.testing.assert_array_equal(
        (view * 255).round().byte().permute(1, 2, 0).numpy(), np.asarray(exact)
    )
    smaller = evaluation_view(ramp(128, 256), size=224, views="photographs")
    np.testing.assert_allclose(smaller.numpy(), view.numpy(), atol=0.012)


def test_the_test_sees_the_whole_thumbnail() -> None:
    picture = noise(32, 32)
    np.testing.assert_array_equal(
        (evaluation_view(picture, size=32, views="thumbnails") * 255)
        .byte()
        .permute(1, 2, 0)
        .numpy(),
        picture,
    )
    assert evaluation_view(picture, size=64, views="thumbnails").shape == (3, 64, 64)


def test_sets_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(NeurofitError, match="got 3 images and 2 labels"):
        LabelledImages(images=np.zeros((3, 8, 8, 3), np.uint8), labels=np.zeros(2, np.int64))
    part = LabelledImages(images=np.zeros((3, 8, 8, 3), np.uint8), labels=np.zeros(3, np.int64))
    assert len(part.first(2)) == len(part.first(2).images) == 2
    for labels, said in (([0, 2, 1], "got 0 to 2"), ([0, -1, 1], "got -1 to 1")):
        wrong = replace(part, labels=np.array(labels))
        with pytest.raises(NeurofitError, match=f"2 classes must lie between 0 and 1; {said}"):
            ImageSet(name="x", classes=("a", "b"), train=part, test=wrong)
    with pytest.raises(NeurofitError, match="Views are photographs or thumbnails; got 'paintings'"):
        ImageSet(name="x", classes=("a",), train=part, test=part, views="paintings")


def test_validation_images_are_the_last_training_images_and_are_not_trained_on() -> None:
    pictures = np.arange(10, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    whole = LabelledImages(images=pictures, labels=np.arange(10))
    images = ImageSet(name="ten", classes=tuple("abcdefghij"), train=whole, test=whole.first(2))
    held_out = images.with_validation(3)
    assert [int(held_out.train.images[i][0, 0, 0]) for i in range(7)] == list(range(7))
    assert [int(held_out.test.images[i][0, 0, 0]) for i in range(3)] == [7, 8, 9]
    assert held_out.test.labels.tolist() == [7, 8, 9]
    assert "validation" in held_out.name
    with pytest.raises(IndexError):
        held_out.test.images[3]
    for n in (0, 10, -1):
        with pytest.raises(NeurofitError, match="validation must be from 1 to 9 of the 10"):
            images.with_validation(n)
