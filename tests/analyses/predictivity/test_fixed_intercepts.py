"""One map for all bins: mean time courses have no part in the fit, and are reported apart."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from scipy.stats import pearsonr
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import Ridge

from neurofit.mapping import GramMapping, PLSMapping, RidgeMapping
from neurofit.recordings.recording import Recording

N_STIMULI, N_NEUROIDS, N_UNITS, N_TRIALS, N_BINS = 200, 12, 8, 12, 6
PSTH = np.array([0.0, 1, 8, 20, 10, 5])[:, None, None]
MAPPINGS = [RidgeMapping(), PLSMapping(n_components=N_UNITS)]

Blocks = dict[tuple[str, int], np.ndarray]
AsRecording = Callable[[np.ndarray], Recording]
Run = Callable[..., xr.Dataset]


def planted(amplitude: float, step: float) -> tuple[Blocks, np.ndarray]:
    """Plant one map in all bins under mean time courses of responses and features.

    They are not related. The standard deviation of a response over stimuli is 1.
    """
    rng = np.random.default_rng(3)
    weights = rng.standard_normal((N_UNITS, N_NEUROIDS))
    weights /= np.linalg.norm(weights, axis=0)
    features = rng.standard_normal((N_BINS, N_STIMULI, N_UNITS))
    moved = features + step * rng.standard_normal((N_BINS, 1, N_UNITS))
    noise = 1.5 * rng.standard_normal((N_TRIALS, N_BINS, N_STIMULI, N_NEUROIDS))
    trials = features @ weights + amplitude * PSTH + noise
    blocks = {("latent", b): moved[b].astype(np.float32) for b in range(N_BINS)}
    return blocks, trials.swapaxes(0, 1)


@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize(("amplitude", "step"), [(0, 0), (0.2, 0), (1, 0), (0, 3), (1, 3)])
def test_the_generator_reaches_1_under_any_mean_time_course(
    as_recording: AsRecording, run: Run, mapping: GramMapping, amplitude: float, step: float
) -> None:
    blocks, trials = planted(amplitude, step)
    result = run(
        blocks, as_recording(trials), mapping=mapping, time_mode="fixed", n_splits=6, n_halves=4
    )
    np.testing.assert_allclose(result.curve.values[0], 1.0, atol=0.05)


def test_a_shared_intercept_fits_the_mean_time_course_instead(
    as_recording: AsRecording, run: Run
) -> None:
    blocks, trials = planted(1, 3)
    result = run(blocks, as_recording(trials), time_mode="fixed", intercept="shared")
    assert result.curve.values[0].mean() < 0.7


@pytest.mark.parametrize("layers", [("latent",), "auto"])
def test_with_one_bin_an_intercept_per_bin_is_a_shared_one(
    as_recording: AsRecording, run: Run, layers: str | tuple[str, ...]
) -> None:
    blocks, trials = planted(1, 3)
    blocks = {key: values for key, values in blocks.items() if key[1] == 0}
    one = as_recording(trials[:1])
    own, shared = (
        run(blocks, one, time_mode="fixed", intercept=each, layers=layers)
        for each in ("per-bin", "shared")
    )
    np.testing.assert_array_equal(own.r_xy.values, shared.r_xy.values)


def test_the_held_out_stimuli_choose_the_layer_of_the_map_and_not_of_the_mean(
    as_recording: AsRecording, run: Run
) -> None:
    blocks, trials = planted(1, 3)
    rng = np.random.default_rng(0)
    for b in range(N_BINS):  # the time course and nothing about the stimuli
        noise = rng.standard_normal((N_STIMULI, N_UNITS))
        blocks["course", b] = (PSTH[b] + noise).astype(np.float32)
    result = run(blocks, as_recording(trials), time_mode="fixed", layers="auto")
    assert set(result.layer_choice.values.tolist()) == {"latent"}
    np.testing.assert_allclose(result.curve.values[0], 1.0, atol=0.05)


@pytest.mark.parametrize("splits", ["random", "folds"])
@pytest.mark.parametrize("intercept", ["per-bin", "shared"])
@pytest.mark.parametrize(
    ("mapping", "model"),
    [
        pytest.param(RidgeMapping(alphas=(30.0,)), Ridge(30.0), id="ridge"),
        pytest.param(
            PLSMapping(n_components=3, convergence="sklearn"),
            PLSRegression(3, scale=False),
            id="pls",
        ),
    ],
)
def test_psth_r_is_that_of_the_map_applied_to_the_mean_features(
    as_recording: AsRecording,
    run: Run,
    mapping: GramMapping,
    model: Ridge | PLSRegression,
    intercept: str,
    splits: str,
) -> None:
    blocks, trials = planted(0.2, 1)
    result = run(
        blocks,
        as_recording(trials),
        mapping=mapping,
        time_mode="fixed",
        intercept=intercept,
        splits=splits,
        n_splits=3,
        fit_halves=True,
    )
    x = np.stack([blocks["latent", b].astype(float) for b in range(N_BINS)])
    y = as_recording(trials).responses.values  # float32, as it is fitted
    y = y.reshape(-1, N_NEUROIDS, N_BINS)
    rows = as_recording(trials).stimulus_rows
    y = np.stack([y[rows == s].mean(axis=0, dtype=float) for s in range(N_STIMULI)])
    y = y.transpose(2, 0, 1)
    r = []
    for train in result.train.values.astype(bool):
        a, b = x[:, train], y[:, train]
        if intercept == "per-bin":
            a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
        model.fit(np.concatenate(a), np.concatenate(b))
        course = model.predict(x[:, ~train].mean(axis=1))
        recorded = y[:, ~train].mean(axis=1)
        r.append([pearsonr(course[:, i], recorded[:, i]).statistic for i in range(N_NEUROIDS)])
    expected = np.mean(r, axis=0)
    np.testing.assert_allclose(result.psth_r.values[0], expected, atol=1e-6)
    assert result.psth_r.attrs["role"] == "detail"
    (note,) = [each for each in json.loads(result.attrs["notes"]) if "time course" in each]
    assert f"r = {np.median(expected):.2f}" in note


def test_psth_r_needs_three_bins_and_a_map_that_is_known_to_be_linear(
    as_recording: AsRecording, run: Run
) -> None:
    blocks, trials = planted(1, 1)
    mapping = (RidgeMapping(), PLSRegression(3, scale=False))
    result = run(blocks, as_recording(trials), mapping=mapping, time_mode="fixed")
    np.testing.assert_array_equal(np.isnan(result.psth_r).all("neuroid").values.ravel(), [0, 1])
    blocks = {key: values for key, values in blocks.items() if key[1] < 2}
    result = run(blocks, as_recording(trials[:2]), time_mode="fixed")
    assert np.isnan(result.psth_r).all()
    assert "time course" not in result.attrs["notes"]
    assert "psth_r" not in run(blocks, as_recording(trials[:2]), time_mode="per-bin")
