"""RSA and CKA from Gram matrices are those of their definitions, and blind to rotations."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr

from neurofit.metrics.similarity import cka, distances, rsa

Measure = Callable[[np.ndarray, np.ndarray], float]

N_STIMULI = 30


def gram(patterns: np.ndarray) -> np.ndarray:
    return np.asarray(patterns @ patterns.T)


@pytest.fixture
def patterns() -> tuple[np.ndarray, np.ndarray]:
    """Features (stimulus unit) and responses (stimulus neuroid) that have something in common."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((N_STIMULI, 40)) + 2.0
    responses = features @ rng.standard_normal((40, 12)) + 5 * rng.standard_normal((N_STIMULI, 12))
    return features, responses


def test_distances_are_those_of_scipy(patterns: tuple[np.ndarray, np.ndarray]) -> None:
    features, _ = patterns
    expected = pdist(features, "sqeuclidean")
    np.testing.assert_allclose(distances(gram(features)), expected, rtol=1e-12)


def test_rsa_is_the_rank_correlation_of_scipys_distances(
    patterns: tuple[np.ndarray, np.ndarray],
) -> None:
    one, other = (pdist(each, "sqeuclidean") for each in patterns)
    expected = spearmanr(one, other).statistic
    found = rsa(*map(gram, patterns))
    assert 0.05 < expected < 0.95
    assert found == pytest.approx(expected, abs=1e-12)


def test_cka_is_that_of_centred_features(patterns: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = (each - each.mean(axis=0) for each in patterns)
    # |X'Y|^2 / (|X'X| |Y'Y|), equation 6 of Kornblith et al. (2019)
    cross = np.sum((x.T @ y) ** 2)
    expected = cross / np.sqrt(np.sum((x.T @ x) ** 2) * np.sum((y.T @ y) ** 2))
    found = cka(*map(gram, patterns))
    assert 0.05 < expected < 0.95
    assert found == pytest.approx(expected, abs=1e-12)


def test_cka_is_the_alignment_of_kernels_centred_with_a_matrix(
    patterns: tuple[np.ndarray, np.ndarray],
) -> None:
    centring = np.eye(N_STIMULI) - 1 / N_STIMULI
    k, m = (centring @ gram(each) @ centring for each in patterns)
    expected = np.trace(k @ m) / np.sqrt(np.trace(k @ k) * np.trace(m @ m))
    assert cka(*map(gram, patterns)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("measure", [rsa, cka])
def test_a_pattern_agrees_with_itself_and_the_order_of_the_two_does_not_matter(
    measure: Measure, patterns: tuple[np.ndarray, np.ndarray]
) -> None:
    first, second = map(gram, patterns)
    assert measure(first, first) == pytest.approx(1.0, abs=1e-12)
    assert measure(first, second) == pytest.approx(measure(second, first), abs=1e-12)


@pytest.mark.parametrize("measure", [rsa, cka])
def test_rotation_scale_and_shift_of_the_features_change_nothing(
    measure: Measure, patterns: tuple[np.ndarray, np.ndarray]
) -> None:
    features, responses = patterns
    rng = np.random.default_rng(1)
    rotation, _ = np.linalg.qr(rng.standard_normal((40, 40)))
    assert not np.allclose(rotation, np.eye(40))
    expected = measure(gram(features), gram(responses))
    for changed in (features @ rotation, 3 * features, features + rng.standard_normal(40)):
        assert measure(gram(changed), gram(responses)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("measure", [rsa, cka])
def test_a_stretch_of_one_feature_changes_the_measure(
    measure: Measure, patterns: tuple[np.ndarray, np.ndarray]
) -> None:
    features, responses = patterns
    stretched = features * np.where(np.arange(40) == 0, 10.0, 1.0)
    expected = measure(gram(features), gram(responses))
    assert abs(measure(gram(stretched), gram(responses)) - expected) > 0.01


@pytest.mark.parametrize("measure", [rsa, cka])
def test_the_order_of_the_stimuli_matters_only_between_the_two(
    measure: Measure, patterns: tuple[np.ndarray, np.ndarray]
) -> None:
    features, responses = patterns
    order = np.random.default_rng(2).permutation(N_STIMULI)
    expected = measure(gram(features), gram(responses))
    both = measure(gram(features[order]), gram(responses[order]))
    assert both == pytest.approx(expected, abs=1e-12)
    assert measure(gram(features[order]), gram(responses)) < expected - 0.05


@pytest.mark.parametrize("measure", [rsa, cka])
def test_patterns_that_do_not_vary_have_no_similarity(
    measure: Measure, patterns: tuple[np.ndarray, np.ndarray]
) -> None:
    features, _ = patterns
    still = gram(np.ones_like(features))
    assert np.isnan(measure(still, gram(features)))
    assert np.isnan(measure(gram(features), still))
