"""Planted truth: rates that are linear in known features. What comes out of `score` must be what was put in."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from neurofit.assemblies import Recording
from neurofit.errors import NeurofitError
from neurofit.extract import Activations
from neurofit.presets import make_config
from neurofit.result import REASONS
from neurofit.score import score
from neurofit.stimuli import StimulusSet

N_STIMULI, N_LATENTS, N_NEUROIDS, N_TRIALS, N_BINS = 640, 12, 40, 30, 2
RELIABLE = REASONS.index("kept")


def plant(
    *,
    noise: float,
    share: float | np.ndarray = 1.0,
    seed: int = 0,
    poisson: bool = False,
    n_stimuli: int = N_STIMULI,
    n_latents: int = N_LATENTS,
    n_trials: int = N_TRIALS,
) -> tuple[dict[tuple[str, int], np.ndarray], Recording]:
    """Return latents (bin -> stimulus latent) and a recording of rates of which they carry `share` of the variance.

    `noise` is the standard deviation of a trial over that of the rates. Poisson rates keep 3.5 standard deviations above zero.
    """
    rng = np.random.default_rng(seed)
    latents = rng.standard_normal((N_BINS, n_stimuli, n_latents))
    signal = latents @ rng.standard_normal((n_latents, N_NEUROIDS))
    signal /= signal.std(axis=(0, 1))
    rest = rng.standard_normal(signal.shape)
    rates = np.sqrt(share) * signal + np.sqrt(1 - share) * rest  # (bin stimulus neuroid), variance 1
    trials = np.repeat(rates[:, None], n_trials, axis=1)
    if poisson:
        size = 3.5 / noise**2  # rates 3.5 size + size x, so the variance of a count is noise^2 size^2
        trials = rng.poisson(np.maximum(size * (3.5 + trials), 0.0)).astype(float)
    else:
        trials = trials + noise * rng.standard_normal(trials.shape)
    blocks = {("latent", step): latents[step].astype(np.float32) for step in range(N_BINS)}
    return blocks, as_recording(trials)


def as_recording(trials: np.ndarray) -> Recording:
    """Wrap trials (bin repetition stimulus neuroid)."""
    n_bins, n_trials, n_stimuli, n_neuroids = trials.shape
    ids = np.array([f"s{i:04d}" for i in range(n_stimuli)])
    responses = xr.DataArray(
        trials.transpose(1, 2, 3, 0).reshape(n_trials * n_stimuli, n_neuroids, n_bins).astype(np.float32),
        dims=("presentation", "neuroid", "time_bin"),
        coords={
            "stimulus_id": ("presentation", np.tile(ids, n_trials)),
            "repetition": ("presentation", np.repeat(np.arange(n_trials), n_stimuli)),
            "neuroid_id": ("neuroid", [f"n{i}" for i in range(n_neuroids)]),
            "region": ("neuroid", ["IT"] * n_neuroids),
            "time_bin_start": ("time_bin", 10 * np.arange(n_bins)),
            "time_bin_end": ("time_bin", 10 * np.arange(n_bins) + 10),
        },
    )
    stimuli = StimulusSet(
        name="planted",
        table=pd.DataFrame({"stimulus_id": ids}),
        images=np.zeros((n_stimuli, 2, 2, 3), np.uint8),
        visual_degrees=8.0,
        duration_ms=100.0,
    )
    return Recording(name="planted", responses=responses, stimuli=stimuli, simulated=True)


def as_activations(blocks: dict[tuple[str, int], np.ndarray], recording: Recording, *, first_timestep: int = 0) -> Activations:
    layers = tuple(dict.fromkeys(layer for layer, _ in blocks))
    return Activations(
        model="planted-model",
        stimulus_ids=recording.stimuli.ids,
        blocks=blocks,
        first_timestep=dict.fromkeys(layers, first_timestep),
        ms_per_timestep=10,
        n_timesteps=1 + max(step for _, step in blocks),
        region_layers={"IT": layers},
    )


def run(blocks: dict[tuple[str, int], np.ndarray], recording: Recording, **changes: Any) -> xr.Dataset:
    options = {"mapping": "ridge", "n_components": N_LATENTS, "n_splits": 5, "n_halves": 5, "n_bootstraps": 50, **changes}
    return score(as_activations(blocks, recording), recording, make_config("nayebi2022", region="IT", **options))


def kept_scores(result: xr.Dataset) -> np.ndarray:
    return np.asarray(result.noise_corrected_r.values[result.reason.values == RELIABLE])


@pytest.mark.parametrize("time_mode", ["per-bin", "fixed"])
@pytest.mark.parametrize("mapping", ["ridge", "pls"])
def test_the_generator_reaches_1_at_any_noise_while_the_raw_r_falls(time_mode: str, mapping: str) -> None:
    raw = []
    for noise in (1.0, 4.0, 6.0):  # reliabilities of 0.97, 0.65, 0.45
        blocks, recording = plant(noise=noise)
        result = run(blocks, recording, time_mode=time_mode, mapping=mapping, n_splits=10, n_halves=10)
        scores = kept_scores(result)
        assert len(scores) == N_NEUROIDS * N_BINS
        assert scores.mean() == pytest.approx(1.0, abs=0.02)
        raw.append(float(result.curve_r_xy.mean()))
    assert raw[0] > 0.95
    assert raw[0] - raw[1] > 0.1
    assert raw[1] - raw[2] > 0.1


def test_the_generator_reaches_1_with_poisson_trials() -> None:
    blocks, recording = plant(noise=4.0, poisson=True)
    assert kept_scores(run(blocks, recording)).mean() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("share", [0.25, 0.64])
@pytest.mark.parametrize("time_mode", ["per-bin", "fixed"])
def test_features_that_carry_a_share_of_the_variance_score_its_root(share: float, time_mode: str) -> None:
    blocks, recording = plant(noise=3.0, share=share)
    assert kept_scores(run(blocks, recording, time_mode=time_mode)).mean() == pytest.approx(np.sqrt(share), abs=0.03)


def test_shuffled_stimuli_score_0() -> None:
    blocks, recording = plant(noise=2.0)
    order = np.random.default_rng(5).permutation(N_STIMULI)
    result = run({key: block[order] for key, block in blocks.items()}, recording, n_splits=10)
    assert (result.reason.values != REASONS.index("unreliable_recording")).all()
    assert np.nanmean(result.noise_corrected_r.values) == pytest.approx(0.0, abs=0.02)


def test_pure_noise_has_no_reliable_neuroid_and_no_number() -> None:
    blocks, recording = plant(noise=1e6)
    result = run(blocks, recording)
    assert (result.n_neuroids.values == 0).all()
    assert np.isnan(result.curve.values).all()
    assert (result.reason.values == REASONS.index("unreliable_recording")).all()


def test_a_rotation_of_the_features_changes_nothing() -> None:
    blocks, recording = plant(noise=3.0, n_stimuli=200)
    rotation, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((N_LATENTS, N_LATENTS)))
    rotated = {key: (block.astype(float) @ rotation).astype(np.float64) for key, block in blocks.items()}
    for mapping in ("pls", "ridge"):
        a, b = (run(x, recording, mapping=mapping, n_components=6) for x in (blocks, rotated))
        np.testing.assert_allclose(a.r_xy.values, b.r_xy.values, atol=1e-9)


def test_uneven_repetitions_change_nothing_they_should_not() -> None:
    blocks, recording = plant(noise=3.0)
    stimulus = np.random.default_rng(3).integers(10, N_TRIALS + 1, N_STIMULI)
    kept = recording.responses.repetition.values < stimulus[recording.stimulus_rows]
    uneven = Recording(
        name="uneven", responses=recording.responses.isel(presentation=np.flatnonzero(kept)), stimuli=recording.stimuli, simulated=True
    )
    assert kept.mean() < 0.75
    assert kept_scores(run(blocks, uneven)).mean() == pytest.approx(1.0, abs=0.02)


def test_missing_trials_change_nothing_they_should_not() -> None:
    blocks, recording = plant(noise=3.0)
    holes = recording.responses.copy(deep=True)
    holes.values[np.random.default_rng(3).random(holes.shape[:2]) < 0.2] = np.nan
    result = run(blocks, Recording(name="holes", responses=holes, stimuli=recording.stimuli, simulated=True))
    assert kept_scores(result).mean() == pytest.approx(1.0, abs=0.02)


def test_a_neuroid_without_any_trial_of_a_stimulus_is_dropped_and_said() -> None:
    blocks, recording = plant(noise=3.0, n_stimuli=200)
    holes = recording.responses.copy(deep=True)
    holes.values[recording.responses.stimulus_id.values == "s0007", 4] = np.nan
    whole, result = run(blocks, recording), run(blocks, Recording(name="holes", responses=holes, stimuli=recording.stimuli))
    assert (result.reason.values[0, 4] == REASONS.index("missing_trials")).all()
    others = np.arange(N_NEUROIDS) != 4
    np.testing.assert_allclose(
        result.r_xy.values[:, :, others], whole.r_xy.values[:, :, others], atol=1e-12
    )  # ridge: neuroids on their own


def test_the_order_of_presentations_changes_no_full_trial_prediction() -> None:
    blocks, recording = plant(noise=3.0, n_stimuli=200)
    order = np.random.default_rng(0).permutation(recording.responses.sizes["presentation"])
    shuffled = Recording(name="shuffled", responses=recording.responses.isel(presentation=order), stimuli=recording.stimuli)
    np.testing.assert_allclose(run(blocks, recording).r_xy.values, run(blocks, shuffled).r_xy.values, atol=1e-7)


def test_fixed_mode_cannot_make_dynamics_that_the_features_do_not_have() -> None:
    rng = np.random.default_rng(0)
    latents = rng.standard_normal((400, 6))
    rates = np.stack([latents @ rng.standard_normal((6, N_NEUROIDS)) for _ in range(N_BINS)])  # another readout in every bin
    recording = as_recording(rates[:, None] + rng.standard_normal((N_BINS, 10, 400, N_NEUROIDS)))
    still = {("latent", step): latents.astype(np.float32) for step in range(N_BINS)}
    fixed, own = run(still, recording, time_mode="fixed"), run(still, recording, time_mode="per-bin")
    assert (own.curve.values > 0.97).all(), "a map for each bin hides that the features stand still"
    assert (fixed.curve.values < 0.85).all(), "one map for all bins shows it"


def test_constant_features_predict_nothing_and_give_no_number() -> None:
    _, recording = plant(noise=2.0, n_stimuli=200)
    constant = {("latent", step): np.ones((200, 5), np.float32) for step in range(N_BINS)}
    result = run(constant, recording, mapping="pls", time_mode="fixed")
    assert np.isnan(result.r_xy.values).all()
    assert np.isnan(result.curve.values).all()


def test_bins_before_the_image_reaches_the_layer_are_missing_and_not_zero() -> None:
    blocks, recording = plant(noise=2.0, n_stimuli=200)
    activations = as_activations(blocks, recording, first_timestep=1)
    for time_mode in ("per-bin", "fixed"):
        config = make_config("nayebi2022", region="IT", mapping="ridge", n_splits=2, n_halves=2, time_mode=time_mode)
        result = score(activations, recording, config)
        assert np.isnan(result.curve.values[0, 0])
        assert result.curve.values[0, 1] > 0.9
        assert (result.reason.values[0, :, 0] == REASONS.index("no_prediction")).all()


def test_auto_chooses_the_better_layer_on_training_stimuli_only() -> None:
    blocks, recording = plant(noise=2.0, n_stimuli=300)
    noise = np.random.default_rng(9).standard_normal((N_BINS, 300, 12)).astype(np.float32)
    both = {**{("noise", step): noise[step] for step in range(N_BINS)}, **blocks}
    result = run(both, recording, n_halves=2)
    assert result.attrs["layer_choice"] == '["latent", "latent", "latent", "latent", "latent"]'
    assert result.layer.values.tolist() == ["latent"]
    alone = run(blocks, recording, n_halves=2)
    np.testing.assert_array_equal(result.r_xy.values, alone.r_xy.values)


def test_a_layer_that_predicts_nothing_does_not_decide_the_choice() -> None:
    blocks, recording = plant(noise=2.0, n_stimuli=120)
    noise = np.random.default_rng(9).standard_normal((N_BINS, 120, 12)).astype(np.float32)
    others = {("noise", step): noise[step] for step in range(N_BINS)} | {
        ("still", step): np.ones((120, 3), np.float32) for step in range(N_BINS)
    }
    assert run({**others, **blocks}, recording, n_splits=2, n_halves=1).layer.values.tolist() == ["latent"]


def test_the_choice_of_layer_does_not_see_test_stimuli() -> None:
    blocks, recording = plant(noise=2.0, n_stimuli=120)
    rng = np.random.default_rng(4)
    test = run(blocks, recording, n_splits=1, n_halves=1).train.values[0] == 0
    layers = {}
    for step in range(N_BINS):
        latents = blocks["latent", step]
        noise = rng.standard_normal(latents.shape).astype(np.float32)
        layers["blurred", step] = latents + noise
        layers["trained", step] = np.where(test[:, None], 30 * noise, latents)
    result = run(layers, recording, n_splits=1, n_halves=1)
    assert result.layer.values.tolist() == ["trained"], "the better one on training stimuli"
    assert np.median(result.r_xy.values) < 0.3, "although it fails on test stimuli"
    blurred = {key: layer for key, layer in layers.items() if key[0] == "blurred"}
    assert np.median(run(blurred, recording, n_splits=1, n_halves=1).r_xy.values) > 0.5


def test_layers_are_compared_over_the_bins_that_all_of_them_predict() -> None:
    rng = np.random.default_rng(0)
    latents = rng.standard_normal((120, 4)).astype(np.float32)
    signal = latents @ rng.standard_normal((4, N_NEUROIDS))
    rates = np.stack([rng.standard_normal(signal.shape), signal])
    recording = as_recording(rates[:, None] + rng.standard_normal((N_BINS, 8, 120, N_NEUROIDS)))
    blurred = latents + 0.5 * rng.standard_normal(latents.shape).astype(np.float32)
    blocks = {("whole", 0): latents, ("whole", 1): latents, ("late", 1): blurred}
    activations = as_activations(blocks, recording)
    late = Activations(**{**vars(activations), "first_timestep": {"whole": 0, "late": 1}})
    config = make_config("nayebi2022", region="IT", mapping="ridge", n_splits=3, n_halves=1)
    choice = json.loads(score(late, recording, config).attrs["layer_choice"])
    assert choice == ["whole"] * 3, "better in the second bin, the only one that both predict"


def test_a_rerun_is_equal_to_the_bit_whatever_the_number_of_workers() -> None:
    blocks, recording = plant(noise=3.0, n_stimuli=200)
    config = make_config("nayebi2022", region="IT", n_components=5, n_splits=3, n_halves=3)
    first, again = (score(as_activations(blocks, recording), recording, config, n_jobs=jobs) for jobs in (1, 2))
    xr.testing.assert_identical(first, again)


@pytest.mark.parametrize("noise", [4.0, 200.0])  # 200: no bin is reliable, and Brain-Score scores it all the same
def test_brainscore_preset_is_the_squared_median_over_the_median_ceiling(noise: float) -> None:
    blocks, recording = plant(noise=noise, n_stimuli=200)
    result = score(as_activations(blocks, recording), recording, make_config("brainscore", region="IT", n_components=6))
    raw = np.median(result.r_xy.values[0], axis=1).mean(axis=0)
    ceiling = np.median(result.r_yy_sb.values, axis=2).mean(axis=(0, 1))  # as Brain-Score: over neuroids first, then over halves
    np.testing.assert_allclose(result.curve.values[0], np.where(ceiling > 0, raw**2 / ceiling, np.nan), rtol=1e-12)
    assert np.isfinite(result.curve.values).any()
    assert result.attrs["formula"].startswith("explained_variance = median(r_xy)^2 / median(r_yy)")
    assert (result.r_yy.values == result.r_yy.values[:1]).all(), "the ceiling is over all stimuli, not over a split's test stimuli"


@pytest.mark.parametrize("mapping", ["pls", "ridge"])
@pytest.mark.parametrize("bootstrap_over", ["neuroids", "both"])
@pytest.mark.parametrize("splits", ["random", "folds"])
def test_maps_of_the_halves_are_fitted_only_where_they_are_needed(mapping: str, bootstrap_over: str, splits: str) -> None:
    blocks, recording = plant(noise=4.0, n_stimuli=200)
    recording.responses[::37, 3] = np.nan
    options = {"mapping": mapping, "bootstrap_over": bootstrap_over, "splits": splits, "n_components": 6, "n_splits": 4, "n_halves": 3}
    configs = (make_config("brainscore", region="IT", fit_halves=fit, n_bootstraps=50, **options) for fit in (False, True))
    without, full = (score(as_activations(blocks, recording), recording, config) for config in configs)
    for name in ("curve", "curve_low", "curve_high", "curve_explained_variance", "r_xy", "r_yy", "n_neuroids", "reason", "missing_halves"):
        np.testing.assert_allclose(without[name].values, full[name].values, rtol=1e-9, err_msg=name)
    assert np.isfinite(without.curve.values).all()
    for name in ("r_xx", "noise_corrected_r", "curve_noise_corrected_r"):
        assert np.isnan(without[name].values).all()
        assert np.isfinite(full[name].values).any()


def test_as_few_neuroids_as_min_neuroids_make_a_curve_and_fewer_make_none() -> None:
    blocks, recording = plant(noise=2.0, n_stimuli=200)
    responses = recording.responses
    responses.values[:, 4:] = np.random.default_rng(1).standard_normal(responses[:, 4:].shape)
    enough, short = (run(blocks, recording, min_neuroids=n, reliability_floor=0.5) for n in (4, 5))
    assert enough.n_neuroids.values.tolist() == [[4, 4]]
    scores = enough.noise_corrected_r.values[0, :4]
    np.testing.assert_allclose(enough.curve.values[0], np.median(scores, axis=0), rtol=1e-12)
    assert np.isnan(short.curve.values).all()


def test_the_floor_is_on_the_consistency_of_maps_after_spearman_brown() -> None:
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


def test_squares_are_taken_before_the_median_over_neuroids() -> None:
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


def test_the_interval_covers_the_median_of_all_neuroids_as_often_as_it_says() -> None:
    covered = []
    for seed in range(100):
        share = np.random.default_rng(2000 + seed).uniform(0.2, 0.9, N_NEUROIDS)  # neuroids differ, the median share is 0.55
        blocks, recording = plant(noise=1.0, share=share, seed=seed, n_latents=4, n_trials=6)  # few latents: no finite-data gap
        result = run(blocks, recording, n_splits=2, n_halves=2, n_bootstraps=200)
        low, high = (result[name].values[0, 0] for name in ("curve_low", "curve_high"))
        covered.append(low <= np.sqrt(0.55) <= high)
    assert 0.88 <= np.mean(covered) <= 0.99  # 0.95 with a standard error of 0.022; the percentile bootstrap of a median gives 0.94


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: {"region": "V1"}, "Unknown region of planted 'V1'"),
        (lambda: {"layers": ("latnet",)}, "Did you mean 'latent'"),
        (lambda: {"mapping": "plss"}, "Did you mean 'pls'"),
        (lambda: {"time_mode": "fixd"}, "Did you mean 'fixed'"),
        (lambda: {"window": (500, 600)}, "No time bin of planted lies inside 500-600 ms; it has 0-20 ms"),
        (lambda: {"n_splits": 0}, "n_splits must be at least 1"),
        (lambda: {"train_size": 1.5}, "train_size must lie between 0 and 1"),
    ],
)
def test_wrong_requests_are_refused_in_one_or_two_lines(change: Callable[[], dict[str, Any]], message: str) -> None:
    blocks, recording = plant(noise=2.0, n_stimuli=40)
    with pytest.raises(NeurofitError, match=message) as caught:
        score(as_activations(blocks, recording), recording, make_config("nayebi2022", **{"region": "IT", **change()}))
    assert len(str(caught.value).splitlines()) <= 2


def test_activations_of_other_stimuli_and_times_are_refused() -> None:
    blocks, recording = plant(noise=2.0, n_stimuli=40)
    config = make_config("nayebi2022", region="IT")
    other = Activations(**{**vars(as_activations(blocks, recording)), "stimulus_ids": recording.stimuli.ids[::-1]})
    with pytest.raises(NeurofitError, match="not of the stimuli of planted"):
        score(other, recording, config)
    late = recording.responses.assign_coords(time_bin_start=("time_bin", [900, 910]), time_bin_end=("time_bin", [910, 920]))
    with pytest.raises(NeurofitError, match=r"No time bin of late .* can be predicted"):
        score(as_activations(blocks, recording), Recording(name="late", responses=late, stimuli=recording.stimuli), config)


def test_infinite_responses_are_refused(make_recording: Any) -> None:
    recording = make_recording(n_stimuli=60, regions=("V4",))
    recording.responses.values[5, 1, 2] = np.inf
    features = np.random.default_rng(0).standard_normal((60, 5))
    activations = as_activations({("a", step): features for step in range(15)}, recording)
    with pytest.raises(NeurofitError, match="Responses are finite, or NaN where a trial is missing; some are infinite"):
        score(activations, recording, make_config("nayebi2022", region="V4", mapping="ridge", layers=("a",)))
