"""The pooled score: when there is one, what it says of subjects, and how far it is from others."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurofit.activations.activations import Activations
from neurofit.analyses.predictivity.presets import make_config
from neurofit.analyses.predictivity.reasons import REASONS
from neurofit.analyses.predictivity.score import score
from neurofit.recordings.recording import Recording
from neurofit.results import figures
from neurofit.results.io import load_result, save_result
from neurofit.results.summary import summarise

N_NEUROIDS = 40

Blocks = dict[tuple[str, int], np.ndarray]
Plant = Callable[..., tuple[Blocks, Recording]]
AsRecording = Callable[[np.ndarray], Recording]
AsActivations = Callable[..., Activations]
Run = Callable[..., xr.Dataset]


def noise_for(r_yy: float, *, n_trials: int) -> float:
    """Return the noise of a trial that gives the mean of all trials a reliability."""
    return float(np.sqrt(n_trials * (1 / r_yy - 1)))


def reasons(result: xr.Dataset) -> list[str]:
    """Return the reason of each time bin of the first layer, which all neuroids share."""
    of_bins = result.reason.values[0].T
    assert (of_bins == of_bins[:, :1]).all()
    return [REASONS[each] for each in of_bins[:, 0]]


def test_a_bin_is_scored_where_the_pool_is_clear_although_few_neuroids_are_significant(
    plant: Plant, run: Run
) -> None:
    noise = noise_for(0.35, n_trials=8)
    defined, of_dialect, scores = [], [], []
    for seed in range(100, 106):
        blocks, recording = plant(
            noise=noise,
            n_stimuli=100,
            n_latents=10,
            n_trials=8,
            n_neuroids=30,
            n_bins=3,
            seed=seed,
        )
        options = {"n_splits": 10, "n_halves": 10}
        pooled = run(blocks, recording, "pooled", **options)
        dialect = run(blocks, recording, interval_over="neuroids", **options)
        defined.append(np.isfinite(pooled.curve.values))
        of_dialect.append(np.isfinite(dialect.curve.values))
        scores.append(pooled.curve.values)
    assert np.mean(defined) >= 0.9
    assert np.mean(of_dialect) < 0.8, "three neuroids are not significant in many bins"
    assert np.nanmean(scores) == pytest.approx(1.0, abs=0.05)  # standard error of 0.02


def test_pure_noise_gives_no_number(plant: Plant, run: Run) -> None:
    z = []
    for seed in range(12):
        blocks, recording = plant(noise=1e6, n_stimuli=100, n_trials=8, seed=seed)
        result = run(blocks, recording, "pooled")
        assert reasons(result) == ["recording_not_reliable"] * 2
        for name in ("curve", "curve_low", "curve_high", "curve_band_low", "curve_one_sided"):
            assert np.isnan(result[name].values).all(), name
        assert (result.n_neuroids.values == 0).all()
        z.append(result.z_r_yy.values[0])
    assert abs(np.mean(z)) < 0.7  # its standard error is 0.2
    assert 0.6 < np.std(z) < 1.5, "standard errors are what they say"


@pytest.mark.parametrize("preset", ["pooled", "nayebi2022"])
def test_a_bin_that_the_model_does_not_reach_says_on_which_side(
    plant: Plant, as_activations: AsActivations, preset: str
) -> None:
    blocks, recording = plant(noise=1.0, n_stimuli=120, n_trials=6, n_bins=4)
    short = {key: block for key, block in blocks.items() if key[1] < 3}  # ends at 30 ms
    activations = as_activations(short, recording, first_timestep=1)
    config = make_config(preset, mapping="ridge", n_splits=2, n_halves=2)
    result = score(activations, recording, config)
    assert reasons(result) == ["before_model_responds", "scored", "scored", "after_model_ends"]
    assert np.isfinite(result.curve.values).tolist() == [[False, True, True, False]]


@pytest.mark.parametrize("preset", ["pooled", "nayebi2022"])
@pytest.mark.filterwarnings("ignore:.*none of the .* units varies:Warning")
def test_constant_features_are_the_reason_for_no_score(plant: Plant, run: Run, preset: str) -> None:
    blocks, recording = plant(noise=1.0, n_stimuli=120, n_trials=6)
    blocks["latent", 1] = np.ones_like(blocks["latent", 1])
    result = run(blocks, recording, preset)
    assert reasons(result) == ["scored", "features_constant"]
    assert np.isfinite(result.curve.values).tolist() == [[True, False]]


@pytest.mark.parametrize("preset", ["pooled", "nayebi2022"])
def test_a_silent_neuroid_is_not_scored_and_changes_no_other(
    plant: Plant, run: Run, preset: str
) -> None:
    blocks, recording = plant(noise=1.0, share=0.5, n_stimuli=120, n_trials=6)
    recording.responses.values[:, 7] = 0.0
    result = run(blocks, recording, preset)
    silent = np.arange(N_NEUROIDS) == 7
    assert (result.reason.values[0, silent] == REASONS.index("features_constant")).all()
    assert (result.reason.values[0, ~silent] == REASONS.index("scored")).all()
    assert (result.n_neuroids.values == N_NEUROIDS - 1).all()
    others = recording.responses.isel(neuroid=np.flatnonzero(~silent))
    alone = run(blocks, replace(recording, responses=others), preset)
    np.testing.assert_allclose(result.curve.values, alone.curve.values, atol=0.02)


def test_a_map_of_unrelated_features_is_not_consistent_and_has_a_lower_bound_only(
    plant: Plant, run: Run
) -> None:
    noise = noise_for(0.2, n_trials=8)
    blocks, recording = plant(
        noise=noise, share=0.0, n_stimuli=100, n_latents=3, n_trials=8, seed=1
    )
    options = {"n_splits": 10, "n_halves": 10}
    result = run(blocks, recording, "pooled", **options)
    assert reasons(result) == ["map_not_consistent"] * 2
    assert np.isnan(result.curve.values).all()
    assert np.isnan(result.curve_high.values).all()
    assert (result.n_neuroids.values == 0).all()
    assert np.isfinite(result.curve_one_sided.values).all()
    assert (abs(result.curve_one_sided.values) < 0.25).all()
    free = run(blocks, recording, "pooled", min_z=None, **options)
    assert reasons(free) == ["scored"] * 2
    z_xx, z_yy = free.z_r_xx.values[0], free.z_r_yy.values[0]
    assert (z_xx < 4).all()
    assert (z_yy > 4).all()
    between = float(np.sort(z_yy).mean())
    harder = run(blocks, recording, "pooled", min_z=between, **options)
    expected = np.where(z_yy < between, "recording_not_reliable", "map_not_consistent")
    assert reasons(harder) == expected.tolist()
    assert len(set(expected)) == 2


def test_without_a_margin_the_sign_of_each_denominator_is_the_reason(
    plant: Plant, run: Run
) -> None:
    found = []
    for seed in range(12):
        sizes = {"n_stimuli": 60, "n_latents": 3, "n_trials": 4, "n_neuroids": 8}
        blocks, recording = plant(noise=1e3, seed=seed, **sizes)
        result = run(blocks, recording, "pooled", min_z=None, n_splits=3, n_halves=2)
        (yy,), (xx,) = result.pooled_r_yy.values[0], result.pooled_r_xx.values[0]
        signs = np.where(xx > 0, "scored", "map_not_consistent")
        assert reasons(result) == np.where(yy > 0, signs, "recording_not_reliable").tolist()
        np.testing.assert_array_equal(np.isfinite(result.curve.values[0]), (yy > 0) & (xx > 0))
        found += reasons(result)
    assert set(found) == {"scored", "map_not_consistent", "recording_not_reliable"}


def with_subjects(recording: Recording, subjects: np.ndarray) -> Recording:
    responses = recording.responses.assign_coords(subject=("neuroid", subjects))
    return replace(recording, responses=responses)


SUBJECTS = np.where(np.arange(N_NEUROIDS) % 2, "odd", "even")


def test_each_subject_has_the_curve_of_its_neuroids_alone(plant: Plant, run: Run) -> None:
    share = np.where(SUBJECTS == "odd", 0.25, 1.0)
    blocks, recording = plant(noise=2.0, share=share, n_stimuli=300, n_latents=3, n_trials=8)
    result = run(blocks, with_subjects(recording, SUBJECTS), "pooled")
    assert result.subject.values.tolist() == ["even", "odd"]
    assert result.curve_of_subject.dims == ("subject", "layer", "time_bin")
    assert result.subject_of_neuroid.values.tolist() == SUBJECTS.tolist()
    for name, truth in (("even", 1.0), ("odd", 0.5)):
        own = np.flatnonzero(name == SUBJECTS)
        part = replace(recording, responses=recording.responses.isel(neuroid=own))
        alone, shown = run(blocks, part, "pooled"), result.sel(subject=name)
        np.testing.assert_allclose(shown.curve_of_subject, alone.curve, atol=1e-9)
        np.testing.assert_allclose(shown.curve_of_subject[0], truth, atol=0.06)
        low, high = shown.curve_of_subject_low, shown.curve_of_subject_high
        assert (low < alone.curve).all()
        assert (alone.curve < high).all()
        np.testing.assert_allclose(high - low, alone.curve_high - alone.curve_low, rtol=0.1)
        influences = shown.influence_of_neuroids_on_subject
        assert (influences.values[:, np.setdiff1d(np.arange(N_NEUROIDS), own)] == 0).all()
    np.testing.assert_array_equal(result.curve, run(blocks, recording, "pooled").curve)


def test_a_subject_that_is_noise_has_no_curve_and_a_single_one_no_curve_of_its_own(
    plant: Plant, run: Run, tmp_path: Path
) -> None:
    blocks, recording = plant(noise=2.0, n_stimuli=200, n_trials=8)
    rng = np.random.default_rng(2)
    values = recording.responses.values
    values[:, SUBJECTS == "odd"] = rng.standard_normal(values[:, SUBJECTS == "odd"].shape)
    result = run(blocks, with_subjects(recording, SUBJECTS), "pooled")
    save_result(result, tmp_path / "result.nc")
    xr.testing.assert_identical(load_result(tmp_path), result)
    assert summarise(result)["dims"]["curve_of_subject"] == ["subject", "time_bin"]
    assert np.isfinite(result.curve_of_subject.sel(subject="even").values).all()
    assert np.isnan(result.curve_of_subject.sel(subject="odd").values).all()
    assert reasons(result) == ["scored"] * 2
    single = run(blocks, with_subjects(recording, np.full(N_NEUROIDS, "even")), "pooled")
    assert "curve_of_subject" not in single
    assert "subject" not in single.dims


@pytest.mark.parametrize(
    ("preset", "worth"), [("nayebi2022", lambda r: r), ("kar2019", lambda r: 100 * r * abs(r))]
)
def test_a_dialect_that_differs_by_more_than_its_interval_says_in_which_bins(
    as_recording: AsRecording, run: Run, preset: str, worth: Callable[[Any], Any]
) -> None:
    """Neuroids with little noise are predicted in the second bin, and they weigh more if pooled."""
    rng = np.random.default_rng(0)
    latents = rng.standard_normal((2, 300, 4))
    signal = latents @ rng.standard_normal((4, N_NEUROIDS))
    signal /= signal.std(axis=1, keepdims=True)
    clear = np.arange(N_NEUROIDS) < 8
    share = np.stack([np.full(N_NEUROIDS, 0.5), np.where(clear, 1.0, 0.1)])[:, None]
    noise = np.stack([np.full(N_NEUROIDS, 1.0), np.where(clear, 0.3, 4.0)])[:, None, None]
    rates = np.sqrt(share) * signal + np.sqrt(1 - share) * rng.standard_normal(signal.shape)
    trials = rates[:, None] + noise * rng.standard_normal((2, 8, 300, N_NEUROIDS))
    blocks = {("latent", step): latents[step].astype(np.float32) for step in range(2)}
    recording = as_recording(trials)
    result = run(blocks, recording, preset, n_splits=10, n_bootstraps=200)
    pooled = worth(result.curve_pooled_r.values[0])
    inside = (result.curve_low.values[0] <= pooled) & (pooled <= result.curve_high.values[0])
    assert inside.tolist() == [True, False]
    (note,) = (each for each in json.loads(result.attrs["notes"]) if "pooled" in each)
    assert note == (
        "In 1 time bin (10-20 ms) the pooled score, which is unbiased at low reliability, lies "
        "outside this interval; see curve_pooled_r."
    )
    splits = result.attrs["splits_sha256"]
    default = run(blocks, recording, "pooled", splits=make_config(preset).splits, n_splits=10)
    assert default.attrs["splits_sha256"] == splits
    np.testing.assert_allclose(default.curve.values, result.curve_pooled_r.values, rtol=1e-9)
    first = recording.responses.isel(time_bin=slice(1))
    alone = run(blocks, replace(recording, responses=first), preset, n_splits=10, n_bootstraps=200)
    assert not [each for each in json.loads(alone.attrs["notes"]) if "pooled" in each]


def test_the_band_holds_the_interval_and_the_plot_names_both(plant: Plant, run: Run) -> None:
    blocks, recording = plant(noise=2.0, share=0.5, n_stimuli=200, n_trials=8, n_bins=6)
    result = run(blocks, recording, "pooled")
    names = ("curve_band_low", "curve_low", "curve", "curve_high", "curve_band_high")
    values = [result[name].values for name in names]
    assert np.isfinite(values).all()
    assert (np.diff(values, axis=0) >= 0).all()
    width = values[4] - values[0]
    assert (width > 1.1 * (values[3] - values[1])).all(), "six bins at once need more"
    assert width.max() < 3 * (values[3] - values[1]).max()
    interval = "95% interval over neuroids and stimuli, for each time bin on its own"
    band = "95% band, for all time bins at once"
    assert (result.curve.attrs["interval"], result.curve.attrs["band"]) == (interval, band)
    assert result.curve.attrs["band_low"] == "curve_band_low"

    (legend,) = figures.draw(result).legends
    assert {"95% interval", "95% band"} <= {text.get_text() for text in legend.get_texts()}
    caption = figures.caption(result)
    assert f"Shaded: {interval}." in caption
    assert f"Thin lines: {band}." in caption


def unrelated(n_stimuli: int, n_units: int, seed: int) -> tuple[Blocks, np.ndarray]:
    """Return features of noise, and trials (bin repetition stimulus neuroid) of 30 neuroids."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((n_stimuli, 3)) @ rng.standard_normal((3, 30)) / np.sqrt(3)
    rates = np.sqrt(0.5) * (common + rng.standard_normal((n_stimuli, 30)))
    trials = rates + 1.5 * rng.standard_normal((1, 8, n_stimuli, 30))
    features = rng.standard_normal((n_stimuli, n_units)).astype(np.float32)
    return {("noise", 0): features}, trials


@pytest.mark.parametrize("n_stimuli", [100, 200])
@pytest.mark.parametrize("n_units", [20, 500])
def test_kar2019_of_unrelated_features_is_0_within_folds_and_negative_over_all_together(
    as_recording: AsRecording, run: Run, n_stimuli: int, n_units: int
) -> None:
    found: dict[str, list[float]] = {"folds": [], "folds-together": []}
    for seed in range(6):
        blocks, trials = unrelated(n_stimuli, n_units, seed)
        for splits, values in found.items():
            options = {"splits": splits, "n_splits": 10, "n_halves": 4}
            result = run(blocks, as_recording(trials), "kar2019", **options)
            assert (result.n_neuroids.values > 20).all()
            values.append(result.curve.item())
    assert abs(np.mean(found["folds"])) < 3  # per cent
    assert np.mean(found["folds-together"]) < np.mean(found["folds"]) - 3


@pytest.mark.simulation
def test_the_interval_of_a_perfect_model_seldom_lies_above_1(plant: Plant, run: Run) -> None:
    for r_yy in (0.6, 0.45, 0.3):
        noise, above, scores = noise_for(r_yy, n_trials=8), [], []
        for seed in range(12):
            blocks, recording = plant(
                noise=noise,
                n_stimuli=300,
                n_latents=10,
                n_trials=8,
                n_neuroids=30,
                n_bins=1,
                seed=5000 + seed,
            )
            result = run(blocks, recording, "pooled", n_splits=10, n_halves=10)
            above.append(result.curve_low.item() > 1)
            scores.append(result.curve.item())
        assert np.mean(above) <= 0.1
        assert np.mean(scores) == pytest.approx(1.0, abs=0.02)
