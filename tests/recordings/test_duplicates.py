"""Identical images are found by their pixels, nearly identical ones without false alarms."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neurofit.data_loaders import load_recording
from neurofit.recordings import duplicates
from neurofit.recordings.duplicates import ComparedImages, compare_images
from neurofit.recordings.plausibility import plausibility_warnings
from neurofit.recordings.recording import Recording
from neurofit.recordings.stimuli import ImageFiles, NoImages, StimulusSet


def compared(images: Any) -> ComparedImages:
    table = pd.DataFrame({"stimulus_id": [f"s{i}" for i in range(len(images))]})
    found = compare_images(
        StimulusSet(name="s", table=table, images=images, visual_degrees=8.0, duration_ms=100.0)
    )
    assert found is not None
    return found


def scenes(n: int, size: int = 96) -> np.ndarray:
    """Return smooth random scenes with a spectrum of 1 / f: uint8 (scene height width channel)."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size))
    frequency[0, 0] = np.inf
    drawn = np.fft.ifft2(np.fft.fft2(rng.standard_normal((n, size, size))) / frequency).real
    drawn = 128 + 40 * drawn / drawn.std(axis=(1, 2), keepdims=True)
    return np.repeat(drawn.clip(0, 255).astype(np.uint8)[..., None], 3, axis=3)


def as_jpeg(image: np.ndarray) -> np.ndarray:
    content = io.BytesIO()
    Image.fromarray(image).save(content, "JPEG", quality=40)
    return np.asarray(Image.open(content))


def test_identical_images_are_those_with_the_same_pixels(tmp_path: Path) -> None:
    images = scenes(6)
    images[4], images[5] = images[1], images[0]
    images[3, 0, 0, 0] += 1
    found = compared(images)
    assert found.copies.tolist() == [0, 1, 2, 3, 1, 0]
    assert [rows.tolist() for rows in found.identical] == [[0, 5], [1, 4]]
    assert found.describe_identical() == (
        "Identical images under different identifiers: 4 stimuli, 's0' = 's5', 's1' = 's4'."
    )
    paths = [tmp_path / f"{row}.{'bmp' if row > 3 else 'png'}" for row in range(6)]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    assert compared(ImageFiles(paths)).copies.tolist() == found.copies.tolist(), "other bytes"
    assert not compared(images[:4]).describe_identical()


def test_images_that_are_all_the_same_are_told_from_duplicates() -> None:
    assert compared(np.zeros((5, 2, 2, 3), np.uint8)).all_identical
    assert not compared(scenes(5)).all_identical
    assert not compared(np.zeros((1, 2, 2, 3), np.uint8)).all_identical


@pytest.mark.parametrize(
    "change",
    [
        as_jpeg,
        lambda image: (0.7 * image).astype(np.uint8),
        lambda image: np.asarray(Image.fromarray(image).resize((40, 40))),
        lambda image: (
            (image + np.random.default_rng(1).normal(0, 5, image.shape))
            .clip(0, 255)
            .astype(np.uint8)
        ),
    ],
    ids=["JPEG", "darker", "smaller", "noise"],
)
def test_changed_copies_are_near_and_nothing_else(
    change: Callable[[np.ndarray], np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = list(scenes(40))
    assert compared(images).near() == (0, None)
    images += [change(images[3]), change(images[17])]
    for together in (1024, 7):
        monkeypatch.setattr(duplicates, "ROWS_TOGETHER", together)
        number, pair = compared(images).near()
        assert number == 2
        assert pair in {(3, 40), (17, 41)}
    groups = np.arange(42)
    groups[[40, 41]] = [3, 17]
    assert compared(images).near(groups) == (0, None), "they are on one side anyhow"
    groups[41] = 18
    assert compared(images).near(groups) == (1, (17, 41))


def test_what_all_images_share_does_not_make_them_alike() -> None:
    rng = np.random.default_rng(0)
    distance = np.hypot(*(np.mgrid[:96, :96] - 47.5))[..., None]
    textures = 128 + 20 * rng.standard_normal((30, 96, 96, 1))
    framed = np.where(distance < 40, textures, 0).clip(0, 255).astype(np.uint8).repeat(3, axis=3)
    thumbnails = compared(framed).thumbnails
    assert np.corrcoef(thumbnails).min() > duplicates.ALIKE, "the frame alone correlates"
    assert compared(framed).near() == (0, None)
    assert compared(np.stack([*framed, np.minimum(framed[4], 254) + 1])).near() == (1, (4, 30))


def test_images_without_contrast_are_near_to_none() -> None:
    plain = [np.full((8, 8, 3), level, np.uint8) for level in range(6)]
    assert compared(plain).near() == (0, None)


@pytest.mark.parametrize("name", ["hvm-sim", "cowley2023"])
def test_no_image_of_the_recordings_at_hand_is_near_to_another(
    name: str, mirror: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "cowley2023":
        monkeypatch.setenv("NEUROFIT_MIRROR", str(mirror("cowley2023").parent))
    found = compare_images(load_recording(name).stimuli)
    assert found is not None
    assert not found.identical
    assert found.near() == (0, None)


def test_check_names_identical_and_near_images_and_the_option(
    make_recording: Callable[..., Recording],
) -> None:
    recording = make_recording(n_stimuli=8)

    def warnings_with(images: Any) -> list[str]:
        stimuli = replace(recording.stimuli, images=images)
        found = plausibility_warnings(replace(recording, stimuli=stimuli))
        return [each for each in found if "mages" in each]

    images = scenes(8)
    assert warnings_with(images) == []
    assert warnings_with(NoImages(8, "r")) == []
    assert warnings_with(np.zeros_like(images)) == ["All images are identical."]
    images[6], images[7] = images[1], as_jpeg(images[2])
    identical, near = warnings_with(images)
    assert identical.startswith("Identical images under different identifiers: 2 stimuli, 's1' = ")
    assert near.startswith("Nearly identical images: 1 pair, such as 's2' and 's7'.")
    assert "--groups" in near
