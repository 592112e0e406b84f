"""A jackknife over stimuli against the influences of ridge, and what is stored of it."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.stats import pearsonr

from neurofit.analyses.encoding.cost import estimate_cost
from neurofit.analyses.encoding.fitting import Fitting
from neurofit.analyses.predictivity.presets import make_config
from neurofit.analyses.predictivity.statistics import Statistics
from neurofit.config.compute import Compute
from neurofit.errors import NeurofitError
from neurofit.mapping.pls import PLSMapping
from neurofit.metrics.correlation import pearson_without
from neurofit.metrics.sketch import squared_norm
from neurofit.metrics.two_way import Influences, sum_of_squares
from neurofit.recordings.recording import Recording

Plant = Callable[..., tuple[dict[tuple[str, int], np.ndarray], Recording]]
Run = Callable[..., xr.Dataset]

PLS = PLSMapping(n_components=3)


def influences_of(result: xr.Dataset) -> Influences:
    """Return the influences that a result stores, with norms from its sketches."""
    n = result.sizes["neuroid"]
    cells, pairs = (
        squared_norm(result[f"influence_of_{what}"].values[0]) for what in ("cells", "pairs")
    )
    neuroids, stimuli = (
        result[f"influence_of_{what}"].values[0] for what in ("neuroids", "stimuli")
    )
    return Influences(neuroids, stimuli, n / (n - 1) * cells, pairs)


def test_for_ridge_all_variances_agree_with_those_of_influences(plant: Plant, run: Run) -> None:
    """V_S with 30 groups has a relative standard deviation of .26, and its mean here one of .08."""
    ratios = []
    for seed in range(5):
        blocks, recording = plant(
            noise=4.0, share=0.5, seed=seed, n_stimuli=240, n_trials=6, n_neuroids=24
        )
        options = {"n_splits": 6, "n_halves": 4, "min_z": None}
        found = []
        for groups in (0, 30):
            result = run(blocks, recording, "pooled", jackknife=groups, **options)
            own = influences_of(result).sampled(np.array([True, True]))
            found.append([sum_of_squares(own.stimuli), own.cells, own.pairs])
        ratios.append(np.array(found[1]) / np.array(found[0]))
    stimuli, cells, pairs = np.mean(ratios, axis=(0, 2))
    assert stimuli == pytest.approx(1, abs=0.24)
    assert cells == pytest.approx(1, abs=0.1)
    assert pairs == pytest.approx(1, abs=0.3)


def test_pls_has_the_part_of_training_stimuli_and_notes_say_where_it_is_from(
    plant: Plant, run: Run
) -> None:
    blocks, recording = plant(noise=4.0, share=0.5, n_stimuli=160, n_trials=6, n_neuroids=24)
    options = {"mapping": PLS, "n_splits": 4, "n_halves": 3, "min_z": None}
    without = run(blocks, recording, "pooled", **options)
    result = run(blocks, recording, "pooled", jackknife=16, **options)
    for name in ("curve", "z_r_xx", "z_r_yy", "influence_of_neuroids", "pooled_r_xx"):
        np.testing.assert_array_equal(result[name].values, without[name].values)
    short, whole = (influences_of(each).cells for each in (without, result))
    assert (whole > 1.2 * short).all(), "maps are trained on the noise of each neuroid too"
    first, second = ("".join(json.loads(each.attrs["notes"])) for each in (without, result))
    assert "too narrow over stimuli" in first
    assert "too narrow over stimuli" not in second
    assert "refits" not in first
    assert "influences of stimuli come from 16 refits" in second
    again = run(blocks, recording, "pooled", jackknife=16, **{**options, "mapping": "ridge"})
    np.testing.assert_array_equal(again.jackknife_group.values, result.jackknife_group.values)


def test_a_learning_curve_is_the_same_with_a_jackknife(plant: Plant, run: Run) -> None:
    blocks, recording = plant(noise=1.0, n_stimuli=80, n_latents=4, n_trials=4, n_neuroids=6)
    options = {"n_splits": 2, "n_halves": 1, "learning_curve": True}
    both = run(blocks, recording, "pooled", jackknife=4, **options)
    alone = run(blocks, recording, "pooled", **options)
    np.testing.assert_array_equal(both.curve_of_training.values, alone.curve_of_training.values)
    jackknife = run(blocks, recording, "pooled", n_splits=2, n_halves=1, jackknife=4)
    np.testing.assert_array_equal(
        both.influence_of_stimuli.values, jackknife.influence_of_stimuli.values
    )


@pytest.mark.parametrize("jackknife", [0, 8])
def test_sketches_of_cells_of_each_subject_have_its_variance(
    plant: Plant, as_activations: Callable[..., Any], jackknife: int
) -> None:
    blocks, recording = plant(
        noise=2.0, share=0.5, n_stimuli=120, n_neuroids=24, n_trials=4, n_bins=8
    )
    subjects = np.repeat(["one", "two"], [8, 16])
    responses = recording.responses.assign_coords(subject=("neuroid", subjects))
    recording = replace(recording, responses=responses)
    config = make_config(n_splits=2, n_halves=2, jackknife=jackknife)
    fitting = Fitting(
        as_activations(blocks, recording), recording, config, smoothers=True, jackknife=jackknife
    )
    statistics = Statistics.empty(fitting, config, influences=False)
    fitting.run(statistics)
    (pooled,) = statistics.pooled
    for position, n in enumerate([24, 8, 16]):
        sketched = n / (n - 1) * squared_norm(pooled.cells[0, position])
        ratio = sketched / pooled.v_cells[0, position]  # of one bin it varies by 3 %
        assert ratio.mean() == pytest.approx(1, abs=0.05)
        assert (np.abs(ratio - 1) < 0.15).all()


def test_results_store_the_sketches_of_subjects(plant: Plant, run: Run) -> None:
    blocks, recording = plant(noise=1.0, n_stimuli=80, n_neuroids=8, n_trials=4)
    responses = recording.responses.assign_coords(subject=("neuroid", ["a", "b"] * 4))
    result = run(blocks, replace(recording, responses=responses), "pooled", n_splits=2, n_halves=1)
    stored = result.influence_of_cells_on_subject
    assert stored.dims == ("subject", "layer", "bucket", "time_bin")
    assert stored.attrs["influence_on"] == "curve_of_subject"
    assert (squared_norm(stored.values[1, 0]) > 0).all()


def test_the_cost_counts_refits(plant: Plant) -> None:
    _, recording = plant(noise=1.0, n_stimuli=80, n_latents=5, n_trials=4)
    one, refitted = (
        estimate_cost(recording, make_config(jackknife=n), {"layer": 5}, Compute(n_jobs=1))
        for n in (0, 20)
    )
    assert refitted.n_fits == 21 * one.n_fits
    assert refitted.n_bytes > one.n_bytes


@pytest.mark.parametrize("n_groups", [1, 81])
def test_numbers_of_groups_that_cannot_be_are_refused(
    plant: Plant, run: Run, n_groups: int
) -> None:
    blocks, recording = plant(noise=1.0, n_stimuli=80, n_latents=5, n_trials=4)
    message = "at least 2; got 1" if n_groups == 1 else "number of stimuli, 80; got 81"
    with pytest.raises(NeurofitError, match=message):
        run(blocks, recording, "pooled", jackknife=n_groups)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"preset": "mouse", "min_z": 2.0}, "min_z has an effect only with formula 'pooled_r'"),
        ({"preset": "kar2019", "min_z": None}, "min_z has an effect only with formula 'pooled_r'"),
        ({"preset": "brainscore", "jackknife": 20}, "jackknife has an effect only with formula"),
        ({"intercept": "shared"}, "intercept has an effect only with time_mode 'fixed'; got"),
    ],
)
def test_options_without_effect_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(NeurofitError, match=message):
        make_config(**given)


def test_a_correlation_without_a_group_is_that_of_the_other_stimuli() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 3, 40, 5)) + 100.0
    b[0] += a[0]
    a[1, :, 0] = 7.0
    a[2, 4:, 1] = 0.0  # varies within the first group only
    groups = np.arange(40) // 4 == np.arange(10)[:, None]
    found = pearson_without(a, b, groups)
    assert np.isnan(found[1, :, 0]).all()
    assert np.isnan(found[2, 0, 1])
    for g, members in enumerate(groups):
        for s in range(3):
            for n in range(5):
                if (s, n) != (1, 0) and (s, n, g) != (2, 1, 0):
                    r = pearsonr(a[s, ~members, n], b[s, ~members, n]).statistic
                    np.testing.assert_allclose(found[s, g, n], r, atol=1e-11)
