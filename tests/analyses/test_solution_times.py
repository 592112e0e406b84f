"""Solution times that are planted in sites and units."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from neurofit.activations.activations import Activations
from neurofit.analyses.decoding import DecodingConfig, decoding
from neurofit.analyses.solution_times import SolutionTimesConfig, solution_times
from neurofit.errors import NeurofitError
from neurofit.recordings.recording import Recording

Inputs = tuple[Activations, Recording]

N_BINS, N_LABELS = 12, 3
FEW = SolutionTimesConfig(
    threshold=1.0, n_folds=5, n_halves=1, n_samples=1, n_bootstraps=100, labels="object_name"
)


def plant(
    recording: Recording, *, shared: float, noise: float, seed: int = 0
) -> tuple[Inputs, np.ndarray]:
    """Let an image's label appear at a time of its own, in sites and in units.

    Returns the inputs and the times (system image) in ms, which are correlated by `shared`.
    """
    rng = np.random.default_rng(seed)
    n, n_sites = len(recording.stimuli), recording.responses.sizes["neuroid"]
    truth = np.arange(n) % N_LABELS
    drawn = rng.standard_normal((2, n))
    drawn[1] = shared * drawn[0] + np.sqrt(1 - shared**2) * drawn[1]
    times = 130 + 20 * drawn
    middles = 75 + 10 * np.arange(N_BINS)
    there = np.clip((middles - times[..., None]) / 40 + 0.5, 0, 1)  # a rise of 40 ms
    codes = rng.standard_normal((2, N_LABELS, n_sites))
    own = 0.5 * rng.standard_normal((2, n, n_sites))
    rates = own[..., None] + codes[:, truth][..., None] * there[:, :, None]
    trials = rates[0][recording.stimulus_rows]
    trials = trials + noise * rng.standard_normal(trials.shape)
    activations = Activations(
        model="m",
        stimulus_ids=recording.stimuli.ids,
        blocks={("a", 7 + b): rates[1, ..., b].astype(np.float32) for b in range(N_BINS)},
        first_timestep={"a": 7},
        ms_per_timestep=10,
        n_timesteps=7 + N_BINS,
        region_layers={"IT": ("a",)},
    )
    table = recording.stimuli.table.assign(object_name=np.array(["x", "y", "z"])[truth])
    made = replace(
        recording,
        responses=recording.responses.copy(data=trials.astype(np.float32)),
        stimuli=replace(recording.stimuli, table=table),
    )
    return (activations, made), times


@pytest.fixture
def empty(make_recording: Callable[..., Recording]) -> Recording:
    """Make a recording of 150 images, 25 sites, 4 trials and 12 time bins."""
    return make_recording(
        n_stimuli=150, n_repetitions=4, n_neuroids=25, n_bins=N_BINS, regions=("IT",)
    )


def test_planted_times_are_recovered(empty: Recording) -> None:
    inputs, times = plant(empty, shared=0.5, noise=0.2)
    result = solution_times(*inputs, FEW)
    for own, truth in zip(result.solution_time.values, times, strict=True):
        assert np.isfinite(own).mean() > 0.95
        solved = np.isfinite(own)
        assert spearmanr(own[solved], truth[solved])[0] > 0.75
    low, high = result.median_time_low.values, result.median_time_high.values
    assert ((low <= result.median_time) & (result.median_time <= high)).all()
    assert result.median_time.values == pytest.approx(np.median(times, axis=1), abs=20)
    solved = result.solved.values
    assert (np.diff(solved, axis=1) >= 0).all()
    assert solved[:, -1] == pytest.approx(np.isfinite(result.solution_time.values).mean(axis=1))
    assert result.model.values.tolist() == ["IT of small", "m a"]


def test_i1_is_that_of_decoding_and_the_times_are_read_from_it(empty: Recording) -> None:
    inputs, _ = plant(empty, shared=0.5, noise=1.0)
    result = solution_times(*inputs, FEW)
    same = DecodingConfig(n_folds=5, n_samples=1, labels="object_name")
    np.testing.assert_array_equal(result.i1.values, decoding(*inputs, same).i1.values)
    for image in range(20):
        curve, time = (
            result.i1.values[0, image].astype(float),
            float(result.solution_time[0, image]),
        )
        reached = np.flatnonzero(curve >= 1)
        if not len(reached):
            assert np.isnan(time)
        elif reached[0]:
            before = int(curve[: reached[0]].argmax())
            ends = [75 + 10 * before, 75 + 10 * reached[0]]
            expected = np.interp(1.0, curve[[before, reached[0]]], ends)
            assert time == pytest.approx(expected, abs=1e-3)


@pytest.mark.simulation
def test_the_corrected_correlation_has_less_of_the_noise_in_it(empty: Recording) -> None:
    """Without noise it is what the decoders make of the planted 0.9."""
    free, corrected, raw, inside = [], [], [], []
    for seed in range(6):
        clean = solution_times(*plant(empty, shared=0.9, noise=0.01, seed=seed)[0], FEW)
        free.append(float(clean.correlation[0]))
        assert float(clean.raw_correlation[0]) == pytest.approx(free[-1], abs=0.02)
        assert float(clean.reliability[0]) > 0.98
        noisy = solution_times(*plant(empty, shared=0.9, noise=2.0, seed=seed)[0], FEW)
        corrected.append(float(noisy.correlation[0]))
        raw.append(float(noisy.raw_correlation[0]))
        low, high = noisy.correlation_low.values[0], noisy.correlation_high.values[0]
        inside.append(low <= free[-1] <= high)
    assert np.mean(free) > 0.45
    assert np.mean(raw) < np.mean(free) - 0.05
    assert np.mean(corrected) == pytest.approx(np.mean(free), abs=0.08)
    assert np.mean(inside) > 0.6


def test_unrelated_times_have_no_correlation(empty: Recording) -> None:
    found = [
        float(solution_times(*plant(empty, shared=0.0, noise=0.5, seed=s)[0], FEW).correlation[0])
        for s in range(6)
    ]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(6) + 0.02


def test_times_of_noise_have_no_corrected_correlation(empty: Recording) -> None:
    (activations, recording), _ = plant(empty, shared=0.9, noise=1.0)
    values = np.random.default_rng(1).standard_normal(recording.responses.shape)
    noise = replace(recording, responses=recording.responses.copy(data=values.astype(np.float32)))
    made = solution_times(activations, noise, replace(FEW, threshold=0.1))
    assert np.isnan(made.correlation.values[0])
    assert "reliability is not 3 standard errors above 0" in made.attrs["notes"]


# scikit-learn 1.5 passes scipy an option that newer versions of scipy deprecate
@pytest.mark.filterwarnings("error", "ignore:scipy.optimize:DeprecationWarning")
@pytest.mark.parametrize("n_halves", [1, 2])
@pytest.mark.parametrize("threshold", ["3.3", "5"], ids=["nine images", "no image"])
def test_images_that_are_too_few_have_no_correlation(
    empty: Recording, threshold: str, n_halves: int
) -> None:
    """The number of images that both halves solve; ten are needed."""
    inputs, _ = plant(empty, shared=0.9, noise=0.2)
    config = replace(FEW, threshold=threshold, n_halves=n_halves)
    made = solution_times(*inputs, config)
    for name in ("correlation", "correlation_low", "correlation_high", "reliability"):
        assert np.isnan(made[name].values).all()
    assert "Fewer than 10 images are solved in both" in made.attrs["notes"]


def test_thresholds_are_behaviour_a_number_or_a_column(empty: Recording) -> None:
    (activations, recording), _ = plant(empty, shared=0.5, noise=0.2)
    behaviour = np.linspace(0.5, 1.5, 150)
    table = recording.stimuli.table.assign(i1=behaviour, other=0.25)
    known = replace(recording, stimuli=replace(recording.stimuli, table=table))
    of = {
        given: solution_times(activations, known, replace(FEW, threshold=given))
        for given in (None, "i1", "other", 0.25)
    }
    np.testing.assert_array_equal(of[None].threshold.values, behaviour)
    np.testing.assert_array_equal(of[None].solution_time.values, of["i1"].solution_time.values)
    np.testing.assert_array_equal(of["other"].solution_time.values, of[0.25].solution_time.values)
    assert np.nanmean(of["other"].solution_time[0] - of["i1"].solution_time[0]) < 0
    made = solution_times(activations, recording, replace(FEW, threshold=None))
    assert (made.threshold.values == 0.5).all()
    assert "there is no behavioural d'" in made.attrs["notes"]
    assert replace(FEW, threshold="0.25") == replace(FEW, threshold=0.25)
    with pytest.raises(NeurofitError, match=r"Unknown threshold .* 'ii'\. Did you mean 'i1'"):
        solution_times(activations, known, replace(FEW, threshold="ii"))


@pytest.mark.parametrize("given", ["nan", "inf", -0.5, 0.0, 5.1])
def test_a_threshold_is_a_dprime_that_an_image_can_reach(given: float | str) -> None:
    with pytest.raises(NeurofitError, match="threshold must be a d' above 0 and at most 5"):
        replace(FEW, threshold=given)


def test_the_share_of_solved_images_has_the_interval_of_a_binomial(empty: Recording) -> None:
    (activations, recording), _ = plant(empty, shared=0.9, noise=0.2)
    made = solution_times(activations, recording, replace(FEW, n_bootstraps=2000))
    share = made.solved.values
    inside = (share > 0.1) & (share < 0.9)
    assert inside.any()
    expected = 2 * 1.96 * np.sqrt(share * (1 - share) / recording.stimuli.ids.size)
    width = (made.solved_high - made.solved_low).values
    np.testing.assert_allclose(width[inside], expected[inside], rtol=0.1)
    assert json.loads(made.attrs["conclusion"])[0].startswith("Solution times of m a and IT of")
