"""Splits do not leak: groups and identical images stay on one side, and the result says so."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurofit.analyses.encoding.config import EncodingConfig
from neurofit.analyses.encoding.splits import draw_splits, draw_trials
from neurofit.analyses.predictivity import curves, pooling
from neurofit.errors import NeurofitError
from neurofit.recordings.recording import Recording

N_OBJECTS, N_POSES = 40, 8
OBJECTS = np.repeat(np.arange(N_OBJECTS), N_POSES)

Run = Callable[..., xr.Dataset]
Wrap = Callable[[np.ndarray], Recording]


def with_columns(recording: Recording, **columns: Any) -> Recording:
    table = recording.stimuli.table.assign(**columns)
    return replace(recording, stimuli=replace(recording.stimuli, table=table))


def with_images(recording: Recording, images: Any) -> Recording:
    return replace(recording, stimuli=replace(recording.stimuli, images=images))


def noise_images(n: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (n, 16, 16, 3), dtype=np.uint8)


@pytest.fixture
def poses(as_recording: Wrap) -> tuple[dict[tuple[str, int], np.ndarray], Recording]:
    """Return features with a random code for each object, and rates with another.

    Nothing that is learnt from some objects holds for others: the true score is 0.
    """
    rng = np.random.default_rng(0)
    codes = rng.standard_normal((N_OBJECTS, 20))[OBJECTS]
    features = codes + 0.3 * rng.standard_normal(codes.shape)
    tuning = rng.standard_normal((N_OBJECTS, 30))[OBJECTS]
    rates = tuning + 0.5 * rng.standard_normal(tuning.shape)
    trials = rates + 1.5 * rng.standard_normal((1, 8, *rates.shape))
    recording = with_columns(as_recording(trials), object_name=OBJECTS.astype(str))
    return {("layer", 0): features.astype(np.float32)}, recording


@pytest.mark.parametrize("splits", ["random", "folds", "folds-together"])
def test_poses_of_an_object_do_not_leak_between_training_and_test(
    splits: str, poses: tuple[Any, Recording], run: Run
) -> None:
    free, grouped = (
        run(*poses, n_splits=10, splits=splits, groups=g) for g in (None, "object_name")
    )
    assert free.curve.item() > 0.5
    assert grouped.curve.item() < 0.1
    if splits != "folds-together":  # these have a negative bias: their training means
        assert grouped.curve.item() > -0.1
    assert free.attrs["grouped_by"] == "none"
    assert grouped.attrs["grouped_by"] == "object_name"
    note = "Stimuli with the same object_name are on one side of each split: 40 groups of 8 stimuli"
    assert any(each.startswith(note) for each in json.loads(grouped.attrs["notes"]))
    for train in grouped.train.values.reshape(-1, N_OBJECTS, N_POSES):
        assert set(train.sum(axis=1)) == {0, N_POSES}


def test_the_layer_is_chosen_on_held_out_groups(run: Run, as_recording: Wrap) -> None:
    """One layer holds codes of objects, which fit all poses of known objects; one generalises."""
    rng = np.random.default_rng(1)
    latent = rng.standard_normal((len(OBJECTS), 4))
    codes = rng.standard_normal((N_OBJECTS, N_OBJECTS))[OBJECTS]
    offsets = rng.standard_normal((N_OBJECTS, 30))[OBJECTS]
    rates = offsets + 0.7 * latent @ rng.standard_normal((4, 30)) / 2
    trials = rates + 0.5 * rng.standard_normal((1, 8, *rates.shape))
    recording = with_columns(as_recording(trials), object_name=OBJECTS.astype(str))
    blocks = {
        (name, 0): values.astype(np.float32) for name, values in (("code", codes), ("pose", latent))
    }
    for groups, expected in ((None, "code"), ("object_name", "pose")):
        result = run(blocks, recording, groups=groups)
        assert set(result.layer_choice.values) == {expected}


def test_identical_images_are_on_one_side_and_the_result_says_which(
    poses: tuple[Any, Recording], run: Run
) -> None:
    features, recording = poses
    images = noise_images(len(OBJECTS))
    images[300], images[301], images[9] = images[2], images[2], images[8]
    result = run(features, with_images(recording, images))
    train = result.train.values
    assert (train[:, 300] == train[:, 2]).all()
    assert (train[:, 301] == train[:, 2]).all()
    assert (train[:, 9] == train[:, 8]).all()
    assert (
        "Identical images under different identifiers: 5 stimuli, 's0002' = 's0300' = 's0301', "
        "'s0008' = 's0009'. They are on one side of each split."
    ) in json.loads(result.attrs["notes"])
    both = run(features, with_images(recording, images), groups="object_name").train.values
    joined = np.where(OBJECTS == 37, 0, OBJECTS)  # stimuli 300 and 301 are of object 37, 2 of 0
    assert all(len(set(rows[joined == each])) == 1 for rows in both for each in np.unique(joined))


def test_placeholders_are_no_duplicates(
    poses: tuple[Any, Recording],
) -> None:
    _, recording = poses
    zeros, config = with_images(recording, np.zeros((320, 2, 2, 3), np.uint8)), EncodingConfig()
    drawn = draw_splits(zeros, config)
    assert drawn.groups is None
    assert drawn.notes == (
        "All images are identical; they are taken as placeholders, not as duplicates.",
    )
    different = draw_splits(with_images(recording, noise_images(320)), config)
    assert not different.notes
    np.testing.assert_array_equal(drawn.train, different.train)


def test_near_duplicates_are_noted_unless_groups_keep_them_together(
    poses: tuple[Any, Recording],
) -> None:
    _, recording = poses
    images = noise_images(320)
    images[7] = images[0]
    images[7, 0, 0] ^= 1
    near = with_images(recording, images)
    (note,) = draw_splits(near, EncodingConfig()).notes
    assert note.startswith("Nearly identical images: 1 pair, such as 's0000' and 's0007'.")
    assert "--groups" in note
    assert len(draw_splits(near, EncodingConfig(groups="object_name")).notes) == 1


def test_images_that_cannot_be_read_are_noted(poses: tuple[Any, Recording]) -> None:
    class Broken(list[np.ndarray]):
        def __getitem__(self, index: Any) -> Any:
            raise NeurofitError("Stimulus image x.png does not exist.")

    _, recording = poses
    (note,) = draw_splits(with_images(recording, Broken(noise_images(320))), EncodingConfig()).notes
    assert note.endswith("one cannot be read. Stimulus image x.png does not exist.")


@pytest.mark.parametrize("splits", ["random", "folds"])
def test_a_category_of_one_image_is_drawn_with_another_and_noted(
    splits: str, poses: tuple[Any, Recording], run: Run
) -> None:
    features, recording = poses
    category = np.repeat(["a", "b"], 160)
    category[5] = "c"
    result = run(features, with_columns(recording, category=category), splits=splits)
    assert result.attrs["stratified_by"] == "category"
    (note,) = (each for each in json.loads(result.attrs["notes"]) if "category" in each)
    assert note == (
        "category c: a category with a single stimulus cannot be on both sides of a split and is "
        "pooled with the smallest other one."
    )
    tested = ~result.train.values.astype(bool)
    for rows in tested:
        in_b = rows[category == "b"].sum()
        assert abs(in_b - 160 * rows.mean()) <= 1, "b keeps its share"


@pytest.mark.parametrize("preset", ["nayebi2022", "pooled"])
def test_intervals_over_stimuli_resample_groups(
    preset: str, poses: tuple[Any, Recording], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight poses of an object are not eight observations: the interval is as wide as it is."""
    options = {"groups": "object_name", "interval_over": "stimuli", "n_bootstraps": 200}
    options |= {"min_z": None} if preset == "pooled" else {}
    result = run(*poses, preset, **options)
    resample = curves.resample
    monkeypatch.setattr(curves, "resample", lambda *given, groups, **rest: resample(*given, **rest))
    monkeypatch.setattr(pooling, "add_up", lambda values, _: values)
    as_if_independent = run(*poses, preset, **options)
    width, too_narrow = (
        (each.curve_high - each.curve_low).item() for each in (result, as_if_independent)
    )
    assert width > 1.3 * too_narrow
    assert "over stimuli in groups by object_name" in result.curve.interval
    assert "groups" not in run(*poses, preset, n_splits=2, n_halves=1).curve.interval


def test_wrong_groups_are_refused(poses: tuple[Any, Recording]) -> None:
    _, recording = poses

    def draw(**options: Any) -> None:
        draw_splits(recording, EncodingConfig(**options))

    with pytest.raises(NeurofitError, match=r"'object_nam'\. Did you mean 'object_name'\?\nExisti"):
        draw(groups="object_nam")
    with pytest.raises(NeurofitError, match=r"the number of groups of stimuli \(40\); got 41"):
        draw(groups="object_name", splits="folds", n_splits=41)
    recording = with_columns(recording, view=[None, "left"] * 160)
    with pytest.raises(NeurofitError, match=r"160 of 320 have no view, the first 's0000'"):
        draw(groups="view")


def test_the_seed_changes_splits_and_halves(poses: tuple[Any, Recording], run: Run) -> None:
    features, recording = poses
    recording = with_columns(recording, category=(OBJECTS % 5).astype(str))
    for options in (
        {},
        {"groups": "object_name"},
        {"splits": "folds"},
        {"splits": "folds", "groups": "object_name", "stratified": False},
        {"halves_by": "repetition"},
    ):
        configs = [EncodingConfig(n_splits=5, seed=seed, **options) for seed in (0, 0, 1)]
        for first, again, other in (
            [draw_splits(recording, config).train for config in configs],
            [draw_trials(recording, config).places for config in configs],
        ):
            assert (first == again).all()
            assert (first != other).any()
    results = [run(features, recording, seed=seed) for seed in (0, 1)]
    for name in ("splits_sha256", "halves_sha256"):
        assert len({result.attrs[name] for result in results}) == 2
    assert (results[0].train != results[1].train).any()
