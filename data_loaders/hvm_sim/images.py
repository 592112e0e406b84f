"""Stimuli of `hvm-sim`: 8 categories x objects x images, each with its own random numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import numpy as np
import pandas as pd

from neurofit.data_loaders.hvm_sim.recipe import Recipe, generator
from neurofit.data_loaders.hvm_sim.renderer import (
    Part,
    Pose,
    draw_background,
    draw_pose,
    render,
    to_gray,
)
from neurofit.data_loaders.hvm_sim.shapes import CATEGORIES, make_object

_OBJECTS, _SHOWN, _CALIBRATION = 0, 1, 2
_THREADS = 2

Key = tuple[int, int, int, int]
"""(purpose, category, object, image) of a rendered image."""


def render_stimuli(
    recipe: Recipe, *, progress: Callable[[int, int], None] | None = None
) -> tuple[np.ndarray, pd.DataFrame]:
    """Render the stimuli.

    Parameters
    ----------
    recipe
        Recipe of the recording.
    progress
        Function called with (images done, total images).

    Returns
    -------
    images : np.ndarray
        Images, uint8 (stimulus height width channel).
    table : pd.DataFrame
        Table with `stimulus_id`, `object_name`, `category`, `gray` and the pose of each image.
    """
    keys = [
        (_SHOWN, category, item, image)
        for category in range(len(CATEGORIES))
        for item in range(recipe.objects_per_category)
        for image in range(recipe.images_per_object)
    ]
    pictures, rows = [], []
    for key, (picture, pose, gray) in zip(keys, _draw_all(recipe, keys), strict=True):
        _, category, item, image = key
        name = CATEGORIES[category]
        pose_columns = {k: np.round(v, 4).tolist() for k, v in asdict(pose).items() if k != "light"}
        stimulus = {
            "stimulus_id": f"{name}-{item}-{image:02d}",
            "object_name": f"{name}-{item}",
            "category": name,
            "gray": gray,
        }
        rows.append(stimulus | pose_columns)
        pictures.append(picture)
        if progress is not None:
            progress(len(pictures), len(keys))
    return np.stack(pictures), pd.DataFrame(rows)


def render_calibration(recipe: Recipe) -> np.ndarray:
    """Render the images for calibrating the teacher: uint8 (image height width channel).

    None of them is a stimulus.
    """
    n_objects = len(CATEGORIES) * recipe.objects_per_category
    keys = [
        (
            _CALIBRATION,
            index % len(CATEGORIES),
            index // len(CATEGORIES) % recipe.objects_per_category,
            index // n_objects,
        )
        for index in range(recipe.calibration_images)
    ]
    return np.stack([picture for picture, _, _ in _draw_all(recipe, keys)])


def _draw_all(recipe: Recipe, keys: list[Key]) -> Iterator[tuple[np.ndarray, Pose, bool]]:
    objects = {
        (category, item): make_object(
            CATEGORIES[category], generator(recipe, _OBJECTS, category, item), variant=item
        )
        for category, item in {key[1:3] for key in keys}
    }
    with ThreadPoolExecutor(_THREADS) as pool:
        yield from pool.map(lambda key: _draw(recipe, key, objects[key[1:3]]), keys)


def _draw(recipe: Recipe, key: Key, parts: Sequence[Part]) -> tuple[np.ndarray, Pose, bool]:
    rng = generator(recipe, *key)
    pose = draw_pose(rng)
    picture = render(
        parts, pose, draw_background(rng, recipe.image_size), supersample=recipe.supersample
    )
    gray = bool(rng.random() < 0.5)
    return to_gray(picture) if gray else picture, pose, gray
