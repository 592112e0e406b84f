"""Which neuroids and bins are scored, by which formula, and with which interval."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from neurofit.activations.activations import Activations
from neurofit.analyses.predictivity.presets import make_config
from neurofit.analyses.predictivity.result import REASONS
from neurofit.analyses.predictivity.score import score
from neurofit.mapping.contract import GramMapping, mapping_key
from neurofit.mapping.pls import PLSMapping
from neurofit.mapping.ridge import RidgeMapping
from neurofit.recordings.recording import Recording

N_NEUROIDS = 40
RELIABLE = REASONS.index("scored")

Plant = Callable[..., tuple[dict[tuple[str, int], np.ndarray], Recording]]
AsActivations = Callable[..., Activations]
Run = Callable[..., xr.Dataset]


# With a noise of 200 no bin is reliable, and Brain-Score scores it all the same.
@pytest.mark.parametrize("noise", [4.0, 200.0])
def test_brainscore_preset_is_the_squared_median_over_the_median_ceiling(
    plant: Plant, as_activations: AsActivations, noise: float
) -> None:
    blocks, recording = plant(noise=noise, n_stimuli=200)
    result = score(
        as_activations(blocks, recording),
        recording,
        make_config("brainscore", mapping=PLSMapping(n_components=6)),
    )
    raw = np.median(result.r_xy.values[0], axis=1).mean(axis=0)
    # As Brain-Score: over neuroids first, then over halves.
    ceiling = np.median(result.r_yy_sb.values, axis=2).mean(axis=(0, 1))
    np.testing.assert_allclose(
        result.curve.values[0], np.where(ceiling > 0, raw**2 / ceiling, np.nan), rtol=1e-12
    )
    assert np.isfinite(result.curve.values).any()
    assert result.curve.attrs["formula"].startswith(
        "explained_variance = median(r_xy)^2 / median(r_yy)"
    )
    assert (result.r_yy.values == result.r_yy.values[:1]).all(), (
        "the ceiling is over all stimuli, not over a split's test stimuli"
    )


@pytest.mark.parametrize("mapping", [PLSMapping(n_components=6), RidgeMapping()], ids=mapping_key)
@pytest.mark.parametrize("bootstrap_over", ["neuroids", "both"])
@pytest.mark.parametrize("splits", ["random", "folds"])
def test_maps_of_the_halves_are_fitted_only_where_they_are_needed(
    plant: Plant,
    as_activations: AsActivations,
    mapping: GramMapping,
    bootstrap_over: str,
    splits: str,
) -> None:
    blocks, recording = plant(noise=4.0, n_stimuli=200)
    recording.responses[::37, 3] = np.nan
    options = {
        "mapping": mapping,
        "bootstrap_over": bootstrap_over,
        "splits": splits,
        "n_splits": 4,
        "n_halves": 3,
    }
    configs = (
        make_config("brainscore", fit_halves=fit, n_bootstraps=50, **options)
        for fit in (False, True)
    )
    without, full = (
        score(as_activations(blocks, recording), recording, config) for config in configs
    )
    for name in (
        "curve",
        "curve_low",
        "curve_high",
        "curve_explained_variance",
        "r_xy",
        "r_yy",
        "n_neuroids",
        "reason",
        "missing_halves",
    ):
        np.testing.assert_allclose(without[name].values, full[name].values, rtol=1e-9, err_msg=name)
    assert np.isfinite(without.curve.values).all()
    for name in ("r_xx", "noise_corrected_r", "curve_noise_corrected_r"):
        assert np.isnan(without[name].values).all()
        assert np.isfinite(full[name].values).any()


def test_as_few_neuroids_as_min_neuroids_make_a_curve_and_fewer_make_none(
    plant: Plant, run: Run
) -> None:
    blocks, recording = plant(noise=2.0, n_stimuli=200)
    responses = recording.responses
    responses.values[:, 4:] = np.random.default_rng(1).standard_normal(responses[:, 4:].shape)
    enough, short = (run(blocks, recording, min_neuroids=n, reliability_floor=0.5) for n in (4, 5))
    assert enough.n_neuroids.values.tolist() == [[4, 4]]
    scores = enough.noise_corrected_r.values[0, :4]
    np.testing.assert_allclose(enough.curve.values[0], np.median(scores, axis=0), rtol=1e-12)
    assert np.isnan(short.curve.values).all()


def test_the_floor_is_on_the_consistency_of_maps_after_spearman_brown(
    plant: Plant, run: Run
) -> None:
    blocks, recording = plant(noise=2.0, share=0.0, n_stimuli=120, n_latents=60, n_trials=10)
    r_xx = run(blocks, recording, reliability_floor=None, false_discovery_rate=1.0).r_xx.values[0]
    raw, corrected = r_xx.mean(axis=(0, 1)), (2 * r_xx / (1 + r_xx)).mean(axis=(0, 1))
    floor = float(np.median((raw + corrected) / 2))
    result = run(blocks, recording, reliability_floor=floor, false_discovery_rate=1.0)
    reason = result.reason.values[0]
    recorded = reason != REASONS.index("unreliable_recording")
    assert (recorded & (raw < floor) & (corrected > floor)).sum() > 10, "the correction decides"
    assert (recorded & (corrected < floor)).sum() > 10
    np.testing.assert_array_equal(reason[recorded] == RELIABLE, corrected[recorded] > floor)


def test_squares_are_taken_before_the_median_over_neuroids(plant: Plant, run: Run) -> None:
    blocks, recording = plant(noise=2.0, n_stimuli=200)
    order = np.random.default_rng(5).permutation(200)
    shuffled = {key: block[order] for key, block in blocks.items()}
    result = run(shuffled, recording, reliability_floor=None, false_discovery_rate=1.0)
    xx, yy = (2 * r / (1 + r) for r in (result.r_xx.values[0], result.r_yy.values))
    r_xy = result.r_xy.values[0].mean(axis=0)
    r = r_xy / np.sqrt(xx.mean(axis=(0, 1)) * yy.mean(axis=(0, 1)))
    assert len(r) % 2 == 0
    assert 0.2 < (r < 0).mean() < 0.8
    squares = np.array([sorted(each**2) for each in r.T])
    medians = (squares[:, len(r) // 2 - 1] + squares[:, len(r) // 2]) / 2
    np.testing.assert_allclose(result.curve_noise_corrected_r2.values[0], medians, rtol=1e-9)
    per_cent = result.curve_percent_explained_variance.values[0]
    np.testing.assert_allclose(per_cent, 100 * medians, rtol=1e-9)


def test_the_interval_covers_the_median_of_all_neuroids_as_often_as_it_says(
    plant: Plant, run: Run
) -> None:
    covered = []
    for seed in range(100):
        # Neuroids differ, with a median share of 0.55; few latents leave no finite-data gap.
        share = np.random.default_rng(2000 + seed).uniform(0.2, 0.9, N_NEUROIDS)
        blocks, recording = plant(noise=1.0, share=share, seed=seed, n_latents=4, n_trials=6)
        options = {"n_splits": 2, "n_halves": 2, "n_bootstraps": 200}
        result = run(blocks, recording, bootstrap_over="neuroids", **options)
        low, high = (result[name].values[0, 0] for name in ("curve_low", "curve_high"))
        covered.append(low <= np.sqrt(0.55) <= high)
    # 0.95 with a standard error of 0.022; the percentile bootstrap of a median gives 0.94.
    assert 0.88 <= np.mean(covered) <= 0.99
