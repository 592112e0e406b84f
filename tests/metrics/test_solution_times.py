"""Image-level d', solution times and their correlation, against loops and planted truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, spearmanr

from neurofit.metrics.solution_times import (
    agreement,
    image_dprimes,
    rank_correlation,
    solution_times,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def dprimes_by_loops(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    n, k = probabilities.shape
    alarms = np.full((n, k), np.nan)
    for i in range(n):
        for d in range(k):
            if d != truth[i]:
                alarms[i, d] = probabilities[i, d] / (
                    probabilities[i, d] + probabilities[i, truth[i]]
                )
    found = np.full(n, np.nan)
    for i in range(n):
        values = []
        for d in range(k):
            others = [alarms[j, truth[i]] for j in range(n) if truth[j] == d]
            if d != truth[i] and others:
                value = norm.ppf(1 - alarms[i, d]) - norm.ppf(np.mean(others))
                values.append(min(max(value, -5.0), 5.0))
        found[i] = np.mean(values)
    return found


@pytest.mark.parametrize("sharpness", [0.5, 30.0])
def test_dprimes_are_those_of_a_loop(rng: np.random.Generator, sharpness: float) -> None:
    truth = rng.permutation(np.arange(40) % 5)
    logits = sharpness * rng.standard_normal((3, 40, 5))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    found = image_dprimes(probabilities, truth)
    for each, own in zip(probabilities, found, strict=True):
        np.testing.assert_allclose(own, dprimes_by_loops(each, truth), rtol=0, atol=1e-12)
    assert np.abs(found).max() <= 5


def test_a_distractor_without_images_has_no_part(rng: np.random.Generator) -> None:
    """A fold may lack a label, which its decoders know."""
    truth = np.arange(30) % 4  # label 4 has none
    probabilities = rng.dirichlet(np.ones(5), size=30)
    np.testing.assert_allclose(
        image_dprimes(probabilities, truth), dprimes_by_loops(probabilities, truth), atol=1e-12
    )


def test_a_decoder_that_knows_nothing_has_a_dprime_of_0() -> None:
    assert image_dprimes(np.full((12, 3), 1 / 3), np.arange(12) % 3) == pytest.approx(0, abs=1e-12)


def test_solution_times_worked_out_by_hand() -> None:
    dprimes = np.array(
        [
            [0.0, 0.5, 1.5, 3.0],  # between the second and the third bin, half way
            [1.2, 0.0, 0.0, 0.0],  # from the first bin on
            [0.0, 0.1, 0.2, 0.3],  # never
            [0.8, 0.2, 1.2, 0.0],  # the line begins at the bin with the largest d' before
            [np.nan, np.nan, 1.2, 2.0],  # nothing before
            [np.nan, 0.5, np.nan, 1.5],
        ]
    )
    times = np.array([70.0, 80.0, 90.0, 100.0])
    found = solution_times(dprimes, np.full(6, 1.0), times)
    expected = [85.0, 70.0, np.nan, 80.0, 90.0, 90.0]
    assert found == pytest.approx(expected, nan_ok=True)
    levels = np.array([0.25, 2.0, 0.3, np.nan, 2.0, 1.5])
    expected = [75.0, np.nan, 100.0, np.nan, 100.0, 100.0]
    assert solution_times(dprimes, levels, times) == pytest.approx(expected, nan_ok=True)


def test_rank_correlations_are_spearmans_over_images_that_both_solve(
    rng: np.random.Generator,
) -> None:
    x, y = rng.standard_normal((2, 60)).round(1)
    x[:7], y[5:9] = np.nan, np.nan
    both = np.isfinite(x) & np.isfinite(y)
    assert rank_correlation(x, y) == pytest.approx(spearmanr(x[both], y[both])[0], abs=1e-12)
    assert np.isnan(rank_correlation(x[:15], y[:15])), "too few"


def test_agreement_is_that_of_a_loop(rng: np.random.Generator) -> None:
    other, halves = rng.standard_normal(50), rng.standard_normal((2, 3, 50))
    other[:3], halves[0, 0, 4:9], halves[1, 2, 20] = np.nan, np.nan, np.nan
    drawn = rng.integers(50, size=(4, 50))
    for draws in (None, drawn):
        found = agreement(other, halves, drawn=draws)
        within, across = [], []
        for draw in np.arange(50)[None] if draws is None else draws:
            for first, second in zip(halves[0], halves[1], strict=True):
                three = np.stack([other, first, second])[:, draw]
                a, b, c = three[:, np.isfinite(three).all(axis=0)]
                within.append(spearmanr(b, c)[0])
                across.append((spearmanr(a, b)[0] + spearmanr(a, c)[0]) / 2)
        shape = (1, 3) if draws is None else (4, 3)
        expected = [np.reshape(each, shape).mean(axis=1) for each in (within, across)]
        np.testing.assert_allclose(np.atleast_1d(found.halves), expected[0], atol=1e-12)
        np.testing.assert_allclose(np.atleast_1d(found.across), expected[1], atol=1e-12)


@pytest.mark.parametrize("truth", [0.0, 0.4, 0.8])
@pytest.mark.parametrize("reliability", [0.3, 0.7])
def test_trial_noise_does_not_lower_the_corrected_correlation(
    rng: np.random.Generator, truth: float, reliability: float
) -> None:
    """Normal solution times with errors; without a correction 0.8 would be 0.44 and 0.67."""
    values = []
    for _ in range(60):
        times = rng.standard_normal(400)
        other = truth * times + np.sqrt(1 - truth**2) * rng.standard_normal(400)
        errors = np.sqrt(1 / reliability - 1) * rng.standard_normal((2, 1, 400))
        values.append(float(agreement(other, times + errors).corrected))
    expected = 6 / np.pi * np.arcsin(truth / 2)  # Spearman's of normal variables
    error = np.std(values) / np.sqrt(len(values))
    assert np.mean(values) == pytest.approx(expected, abs=0.01 + 2 * error)
