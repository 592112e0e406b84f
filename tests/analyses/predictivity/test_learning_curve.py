"""A learning curve has the maps of fewer training stimuli, all else equal."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.stats import pearsonr
from sklearn.linear_model import Ridge

from neurofit.analyses.encoding.cost import estimate_cost
from neurofit.analyses.predictivity.presets import PRESETS, make_config
from neurofit.config.compute import Compute
from neurofit.errors import NeurofitError
from neurofit.mapping.pls import PLSMapping
from neurofit.mapping.ridge import RidgeMapping
from neurofit.mapping.splits import nested_subsets
from neurofit.recordings.recording import Recording
from neurofit.recordings.trials import deal_trials

Run = Callable[..., xr.Dataset]


def note_of(result: xr.Dataset) -> str:
    (note,) = (n for n in json.loads(result.attrs["notes"]) if "training images" in n)
    return str(note)


def test_a_perfect_model_of_many_latents_is_better_with_more_images_and_the_note_says_so(
    plant: Callable[..., Any], run: Run
) -> None:
    blocks, recording = plant(noise=2.0, n_stimuli=240, n_latents=60, n_trials=8)
    result = run(blocks, recording, "pooled", n_splits=3, n_halves=2, learning_curve=True)
    curve = result.curve_of_training
    assert curve.dims == ("training", "layer", "time_bin")
    assert curve.training.values.tolist() == [45, 90, 135, 180]
    np.testing.assert_array_equal(curve.values[-1], result.curve.values)
    means = curve.values[:, 0].mean(axis=1)
    assert (np.diff(means) > 0.01).all(), "60 latents are not known from 180 noisy responses"
    rise = means[-1] - means[-2]
    np.testing.assert_allclose(result.last_rise.values, [rise])
    assert 0 < result.last_rise_error.values[0] < rise
    assert note_of(result) == (
        f"From 90 to 180 training images the mean score over bins rises from {means[1]:.2f} to "
        f"{means[3]:.2f}: more images would raise it further."
    )


def test_a_perfect_model_of_few_latents_no_longer_rises(
    plant: Callable[..., Any], run: Run
) -> None:
    blocks, recording = plant(noise=1.0, n_stimuli=240, n_latents=2, n_trials=8)
    result = run(blocks, recording, "pooled", n_splits=3, n_halves=2, learning_curve=True)
    assert abs(float(result.last_rise[0])) < 0.01
    most, every = result.curve_of_training.values[-2:, 0].mean(axis=1)
    assert note_of(result) == (
        "From 135 to 180 training images the mean score over bins no longer rises clearly "
        f"({most:.3f} and {every:.3f}; standard error of the rise "
        f"{result.last_rise_error.values[0]:.3f})."
    )


@pytest.mark.parametrize(
    ("splits", "preset"),
    [
        (splits, preset)
        for preset in PRESETS
        for splits in ("random", "folds", "folds-together")
        if (splits, preset) != ("folds-together", "pooled")  # which needs each fold's correlations
    ],
)
def test_nothing_else_changes_and_all_training_stimuli_give_the_curve(
    plant: Callable[..., Any], run: Run, preset: str, splits: str
) -> None:
    blocks, recording = plant(noise=1.5, n_stimuli=120, n_latents=10, n_trials=6)
    mapping = PLSMapping(n_components=3) if preset in ("mouse", "brainscore") else RidgeMapping()
    options = {"mapping": mapping, "splits": splits, "n_splits": 2, "n_halves": 2}
    options["n_bootstraps"] = 5
    without = run(blocks, recording, preset, **options)
    result = run(blocks, recording, preset, **options, learning_curve=True)
    for name, values in without.data_vars.items():
        np.testing.assert_array_equal(result[name].values, values.values, err_msg=str(name))
    curve = result.curve_of_training.values
    np.testing.assert_array_equal(curve[-1], result.curve.values)
    assert np.isfinite(curve).all()
    assert len(np.unique(curve)) == curve.size, "every number of stimuli has maps of its own"


@pytest.mark.parametrize("splits", ["random", "folds-together"])
def test_each_number_equals_that_of_plain_loops_over_the_stated_training_stimuli(
    plant: Callable[..., Any], run: Run, splits: str
) -> None:
    blocks, recording = plant(noise=1.0, n_stimuli=80, n_latents=8, n_trials=6)
    result = run(
        blocks,
        recording,
        "nayebi2022",
        mapping=RidgeMapping(alphas=(5.0,)),
        splits=splits,
        n_splits=3,
        n_halves=1,
        learning_curve=True,
    )
    rows, trials = recording.stimulus_rows, recording.block(1).astype(float)
    first = deal_trials(rows, n_halves=1, seed=0)[0] % 2 == 0
    everything = np.ones(len(rows), dtype=bool)
    means = [
        np.stack([trials[chosen & (rows == s)].mean(axis=0) for s in range(80)])
        for chosen in (everything, first, ~first)
    ]
    x, together = blocks["latent", 1].astype(float), splits == "folds-together"
    trained = result.training_stimuli.values.astype(bool)
    for part, masks in enumerate(trained):
        tests = ~result.train.values.astype(bool)
        predicted = [
            [Ridge(5.0).fit(x[mask], y[mask]).predict(x[test]) for y in means]
            for mask, test in zip(masks, tests, strict=True)
        ]
        truth = [[y[test] for y in means] for test in tests]
        if together:
            predicted, truth = (
                [[np.concatenate(each) for each in zip(*folds, strict=True)]]
                for folds in (predicted, truth)
            )
        r = np.array(
            [
                [
                    [
                        pearsonr(a[:, n], b[:, n]).statistic
                        for a, b in ((p[0], t[0]), (p[1], p[2]), (t[1], t[2]))
                    ]
                    for n in range(trials.shape[1])
                ]
                for p, t in zip(predicted, truth, strict=True)
            ]
        ).mean(axis=0)  # (neuroid term)
        r_xx, r_yy = (2 * r[:, k] / (1 + r[:, k]) for k in (1, 2))
        counts = (result.reason.values[0, :, 1] == 0) & (r_yy > 0.1)
        ratio = r[:, 0] / np.sqrt(np.maximum(r_xx, 0.1) * np.maximum(r_yy, 0.1))
        expected = np.median(ratio[counts])
        assert 0.5 < expected < 1.5
        np.testing.assert_allclose(result.curve_of_training.values[part, 0, 1], expected, rtol=1e-6)


def test_parts_are_nested_random_and_of_whole_groups() -> None:
    rng = np.random.default_rng(0)
    train, groups = rng.random(200) < 0.75, rng.integers(0, 40, 200)
    quarter, half, most = nested_subsets(train, (0.25, 0.5, 0.75), seed=1)
    assert [each.sum() for each in (quarter, half, most)] == [
        round(share * train.sum()) for share in (0.25, 0.5, 0.75)
    ]
    assert (np.diff(np.array([quarter, half, most, train], dtype=int), axis=0) >= 0).all()
    other = nested_subsets(train, (0.25,), seed=2)[0]
    assert 0.1 < (quarter & other).sum() / quarter.sum() < 0.45, "another seed draws others"
    grouped = nested_subsets(train, (0.25, 0.5), seed=1, groups=groups)
    for part, n_groups in zip(grouped, (10, 20), strict=True):
        assert len(np.unique(groups[part])) == n_groups
        assert (part == (train & np.isin(groups, groups[part]))).all()


def test_groups_of_stimuli_are_in_a_part_or_not(plant: Callable[..., Any], run: Run) -> None:
    blocks, recording = plant(noise=1.0, n_stimuli=120, n_latents=5, n_trials=4)
    table = recording.stimuli.table.assign(pose=np.arange(120) // 3)
    stimuli = replace(recording.stimuli, table=table)
    grouped: Recording = replace(recording, stimuli=stimuli)
    result = run(blocks, grouped, n_splits=2, n_halves=1, groups="pose", learning_curve=True)
    of_groups = result.training_stimuli.values.reshape(4, 2, 40, 3)
    assert (of_groups == of_groups[..., :1]).all()
    assert result.training.values.tolist() == [24, 45, 66, 90]


def test_layers_that_the_splits_choose_are_those_of_all_training_stimuli(
    plant: Callable[..., Any], run: Run
) -> None:
    blocks, recording = plant(noise=1.0, n_stimuli=80, n_latents=10, n_trials=4)
    rng = np.random.default_rng(0)
    several = {
        (name, step): (
            block[:, columns] + 0.1 * rng.standard_normal(block[:, columns].shape)
        ).astype(np.float32)
        for (_, step), block in blocks.items()
        for name, columns in (("a", slice(7)), ("b", slice(7, None)))
    }
    options = {"n_splits": 2, "n_halves": 1, "learning_curve": True}
    result = run(several, recording, "pooled", **options)
    alone = run(several, recording, "pooled", layers=("a", "b"), **options)
    assert set(result.layer_choice.values.tolist()) == {"a"}
    np.testing.assert_array_equal(result.curve_of_training.values[-1], result.curve.values)
    chosen = alone.curve_of_training.sel(layer=["a"])
    np.testing.assert_array_equal(result.curve_of_training.values, chosen.values)
    notes = [n for n in json.loads(alone.attrs["notes"]) if "training images" in n]
    assert [note[:3] for note in notes] == ["a: ", "b: "]


def test_the_cost_counts_the_maps_of_all_parts(plant: Callable[..., Any]) -> None:
    _, recording = plant(noise=1.0, n_stimuli=80, n_latents=5, n_trials=4)
    config = make_config()
    one, all_parts = (
        estimate_cost(recording, each, {"layer": 5}, Compute(n_jobs=1))
        for each in (config, replace(config, learning_curve=True))
    )
    assert all_parts.n_fits == 4 * one.n_fits
    assert all_parts.n_bytes > one.n_bytes


def test_a_quarter_of_few_stimuli_is_refused(plant: Callable[..., Any], run: Run) -> None:
    blocks, recording = plant(noise=1.0, n_stimuli=40, n_latents=5, n_trials=4)
    with pytest.raises(NeurofitError, match=r"at least 10 stimuli in a quarter .*; there are 8"):
        run(blocks, recording, learning_curve=True)


def test_a_map_shared_by_all_bins_has_a_learning_curve(plant: Callable[..., Any], run: Run) -> None:
    blocks, recording = plant(noise=1.0, n_stimuli=120, n_latents=40, n_trials=4)
    options = {"n_splits": 2, "n_halves": 1, "time_mode": "fixed"}
    without = run(blocks, recording, "pooled", **options)
    result = run(blocks, recording, "pooled", **options, learning_curve=True)
    np.testing.assert_array_equal(result.curve.values, without.curve.values)
    np.testing.assert_array_equal(result.curve_of_training.values[-1], without.curve.values)
    means = result.curve_of_training.values[:, 0].mean(axis=1)
    assert means[0] < means[-1] - 0.01, "a quarter has 22 stimuli in 2 bins for 40 latents"
