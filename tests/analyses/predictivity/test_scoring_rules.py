"""Which neuroids and bins are scored, by which formula, and with which interval."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from neurofit.activations.activations import Activations
from neurofit.analyses.predictivity.presets import make_config
from neurofit.analyses.predictivity.reasons import REASONS
from neurofit.analyses.predictivity.score import score
from neurofit.mapping.contract import GramMapping, mapping_key
from neurofit.mapping.pls import PLSMapping
from neurofit.mapping.ridge import RidgeMapping
from neurofit.recordings.recording import Recording
from neurofit.results.tables import result_tables

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
@pytest.mark.parametrize("interval_over", ["neuroids", "both"])
@pytest.mark.parametrize("splits", ["random", "folds"])
def test_maps_of_the_halves_are_fitted_only_where_they_are_needed(
    plant: Plant,
    as_activations: AsActivations,
    mapping: GramMapping,
    interval_over: str,
    splits: str,
) -> None:
    blocks, recording = plant(noise=4.0, n_stimuli=200)
    recording.responses[::37, 3] = np.nan
    options = {
        "mapping": mapping,
        "interval_over": interval_over,
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
        "stimuli_left_out",
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


@pytest.mark.parametrize("average", ["correlations", "terms", "ratios"])
def test_a_map_less_consistent_than_the_floor_counts_as_the_floor_and_its_neuroid_stays(
    plant: Plant, run: Run, average: str
) -> None:
    blocks, recording = plant(noise=2.0, share=0.0, n_stimuli=120, n_latents=60, n_trials=10)
    options = {"false_discovery_rate": 1.0, "average": average}
    free = run(blocks, recording, reliability_floor=None, **options)
    r_xx, r_yy, r_xy = free.r_xx.values[0], free.r_yy.values, free.r_xy.values[0]
    xx, yy = (2 * r / (1 + r) for r in (r_xx, r_yy))
    if average == "correlations":
        raw, corrected_yy = (r.mean(axis=(0, 1)) for r in (r_xx, r_yy))
        corrected, corrected_yy = (2 * r / (1 + r) for r in (raw, corrected_yy))
        mean_xy = r_xy.mean(axis=0)
    elif average == "terms":
        raw = r_xx.mean(axis=(0, 1))
        corrected, corrected_yy, mean_xy = xx.mean((0, 1)), yy.mean((0, 1)), r_xy.mean(axis=0)
    else:
        raw, corrected, corrected_yy, mean_xy = r_xx, xx, yy, r_xy[:, None]
    floor = float(np.median((raw + corrected) / 2))
    assert ((raw < floor) & (corrected > floor)).sum() > 10, "the correction decides"
    assert (corrected < floor).sum() > 10
    result = run(blocks, recording, reliability_floor=floor, **options)
    product = np.maximum(corrected, floor) * corrected_yy
    expected = mean_xy / np.sqrt(np.where(product > 0, product, np.nan))
    if average == "ratios":
        expected = np.nanmean(expected, axis=(0, 1))
    np.testing.assert_allclose(result.noise_corrected_r.values[0], expected, rtol=1e-9)
    kept = result.reason.values[0] == RELIABLE
    reliability = corrected_yy if average != "ratios" else yy.mean(axis=(0, 1))
    np.testing.assert_array_equal(kept, reliability > floor, "the recording alone decides")


def test_the_neuroids_of_a_dialect_are_the_same_for_every_model(plant: Plant, run: Run) -> None:
    blocks, recording = plant(noise=8.0, n_stimuli=120, n_trials=10)
    rng = np.random.default_rng(3)
    poor = {key: rng.standard_normal(block.shape) for key, block in blocks.items()}
    good, bad = (run(each, recording, false_discovery_rate=1.0) for each in (blocks, poor))
    kept = good.reason.values == RELIABLE
    assert 0.1 < kept.mean() < 0.9
    np.testing.assert_array_equal(bad.reason.values == RELIABLE, kept)
    mean_yy = good.r_yy.values.mean(axis=(0, 1))
    np.testing.assert_array_equal(kept[0], 2 * mean_yy / (1 + mean_yy) > 0.1)


def test_squares_carry_the_sign_and_are_taken_before_the_median_over_neuroids(
    plant: Plant, run: Run
) -> None:
    blocks, recording = plant(noise=2.0, n_stimuli=200)
    order = np.random.default_rng(5).permutation(200)
    shuffled = {key: block[order] for key, block in blocks.items()}
    result = run(shuffled, recording, reliability_floor=None, false_discovery_rate=1.0)
    means = (r.mean(axis=(0, 1)) for r in (result.r_xx.values[0], result.r_yy.values))
    xx, yy = (2 * r / (1 + r) for r in means)
    r_xy = result.r_xy.values[0].mean(axis=0)
    r = r_xy / np.sqrt(xx * yy)
    assert len(r) % 2 == 0
    assert 0.2 < (r < 0).mean() < 0.8
    squares = np.array([sorted(np.sign(each) * each**2) for each in r.T])
    medians = (squares[:, len(r) // 2 - 1] + squares[:, len(r) // 2]) / 2
    np.testing.assert_allclose(result.curve_noise_corrected_r2.values[0], medians, rtol=1e-9)
    per_cent = result.curve_percent_explained_variance.values[0]
    np.testing.assert_allclose(per_cent, 100 * medians, rtol=1e-9)


@pytest.mark.simulation
def test_the_interval_covers_the_median_of_all_neuroids_as_often_as_it_says(
    plant: Plant, run: Run
) -> None:
    covered = []
    for seed in range(100):
        # Neuroids differ, with a median share of 0.55; few latents leave no finite-data gap.
        share = np.random.default_rng(2000 + seed).uniform(0.2, 0.9, N_NEUROIDS)
        blocks, recording = plant(noise=1.0, share=share, seed=seed, n_latents=4, n_trials=6)
        options = {"n_splits": 2, "n_halves": 2, "n_bootstraps": 200}
        result = run(blocks, recording, interval_over="neuroids", **options)
        low, high = (result[name].values[0, 0] for name in ("curve_low", "curve_high"))
        covered.append(low <= np.sqrt(0.55) <= high)
    # 0.95 with a standard error of 0.022; the percentile bootstrap of a median gives 0.94.
    assert 0.88 <= np.mean(covered) <= 0.99


def test_a_bin_of_the_brainscore_preset_without_a_positive_ceiling_says_why(
    plant: Plant, as_activations: AsActivations
) -> None:
    blocks, recording = plant(noise=1e4, n_stimuli=60, n_trials=4, seed=0)
    config = make_config("brainscore", mapping=PLSMapping(n_components=3))
    result = score(as_activations(blocks, recording), recording, config)
    undefined = np.isnan(result.curve.values[0])
    assert undefined.any(), "one of two bins of noise has a negative ceiling"
    reliable = result.reason.values[0, 0] == RELIABLE
    np.testing.assert_array_equal(reliable, ~undefined)


class NotMirrored(RidgeMapping):
    """A ridge that fits second halves themselves instead of deriving them from the first."""

    linear = False


@pytest.mark.parametrize("halves_by", ["stimulus", "repetition"])
def test_second_halves_are_fitted_themselves_where_halves_are_uneven(
    plant: Plant, as_activations: AsActivations, halves_by: str
) -> None:
    blocks, recording = plant(noise=2.0, n_stimuli=120, n_trials=8)
    shown = np.random.default_rng(2).choice([4, 6, 8], 120)  # even numbers of repetitions
    kept = np.flatnonzero(recording.responses.repetition.values < shown[recording.stimulus_rows])
    uneven = replace(recording, responses=recording.responses.isel(presentation=kept))
    found, expected = (
        score(
            as_activations(blocks, uneven),
            uneven,
            make_config(mapping=mapping, halves_by=halves_by, n_splits=3, n_halves=3),
        )
        for mapping in (RidgeMapping(), NotMirrored())
    )
    np.testing.assert_allclose(found.r_xx.values, expected.r_xx.values, rtol=1e-9)


def test_the_interval_of_a_single_neuroid_says_that_it_is_over_stimuli(
    plant: Plant, as_activations: AsActivations
) -> None:
    blocks, recording = plant(noise=1.0, n_stimuli=120, n_trials=6)
    alone = replace(recording, responses=recording.responses.isel(neuroid=[3]))
    both, over_neuroids = (
        score(
            as_activations(blocks, alone),
            alone,
            make_config(interval_over=over, n_splits=3, n_halves=3),
        )
        for over in ("both", "neuroids")
    )
    assert both.curve.attrs["interval"] == "95% interval over stimuli, for each time bin on its own"
    assert (both.curve_low < both.curve).all()
    assert np.isnan(over_neuroids.curve_low.values).all()
    ((_, table),) = result_tables(over_neuroids)
    cells = {str(column.header): list(column.cells) for column in table.columns}
    assert cells["interval"] == ["-", "-"]
