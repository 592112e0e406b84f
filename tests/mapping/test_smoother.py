"""The smoother of a ridge: Q from unit targets, and leave-one-out residuals from refits."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from neurofit.mapping.fits import Smoother
from neurofit.mapping.gram import Gram
from neurofit.mapping.gram_building import gram_of
from neurofit.mapping.reduce import PrincipalComponentsMapping
from neurofit.mapping.ridge import RidgeMapping

N_ROWS, N_TRAIN, ALPHA = 30, 22, 3.0


@pytest.fixture(params=[8, 60])
def features(request: pytest.FixtureRequest) -> np.ndarray:
    """Fewer units than rows (factor), and more (dense)."""
    return np.random.default_rng(0).standard_normal((N_ROWS, request.param)).astype(np.float32)


@pytest.fixture
def gram(features: np.ndarray) -> Gram:
    return gram_of([features], precision="float64")


@pytest.fixture
def targets() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((3, N_ROWS, 5))


@pytest.fixture
def train() -> np.ndarray:
    rows = np.zeros(N_ROWS, dtype=bool)
    rows[np.random.default_rng(2).permutation(N_ROWS)[:N_TRAIN]] = True
    return rows


def smooth(
    gram: Gram, targets: np.ndarray, train: np.ndarray, *alphas: float
) -> tuple[np.ndarray, Smoother]:
    ((predicted, smoother),) = RidgeMapping(alphas=alphas).cross_smooth(gram, targets, train[None])
    return predicted, smoother


def test_the_predictions_are_those_of_cross_predict(
    gram: Gram, targets: np.ndarray, train: np.ndarray
) -> None:
    predicted, _ = smooth(gram, targets, train, 0.1, 10.0)
    (expected,) = RidgeMapping(alphas=(0.1, 10.0)).cross_predict(gram, targets, train[None])
    np.testing.assert_array_equal(predicted, expected)


def test_the_adjoint_is_the_transposed_effect_of_each_training_target(
    gram: Gram, features: np.ndarray, targets: np.ndarray, train: np.ndarray
) -> None:
    _, smoother = smooth(gram, targets, train, ALPHA)
    model = Ridge(alpha=ALPHA).fit(features[train], np.eye(N_TRAIN))
    effect = model.predict(features[~train])  # (test train), with the intercept
    slopes = np.random.default_rng(3).standard_normal((3, N_ROWS - N_TRAIN, 5))
    slopes -= slopes.mean(axis=1, keepdims=True)  # as those of a correlation: no intercept
    expected = np.einsum("st,ksn->ktn", effect, slopes)
    np.testing.assert_allclose(smoother.adjoint(slopes.astype(np.float32)), expected, atol=1e-5)


def test_the_residuals_are_those_of_maps_fitted_without_the_stimulus(
    gram: Gram, features: np.ndarray, targets: np.ndarray, train: np.ndarray
) -> None:
    _, smoother = smooth(gram, targets, train, ALPHA)
    rows = np.flatnonzero(train)
    for position, left_out in enumerate(rows[:4]):
        others = rows[rows != left_out]
        for target, residuals in zip(targets, smoother.residuals, strict=True):
            model = Ridge(alpha=ALPHA).fit(features[others], target[others])
            expected = target[left_out] - model.predict(features[left_out][None])[0]
            np.testing.assert_allclose(residuals[position], expected, atol=1e-4)


def test_each_neuroid_has_the_smoother_of_its_penalty(
    gram: Gram, targets: np.ndarray, train: np.ndarray
) -> None:
    predicted, smoother = smooth(gram, targets, train, 1e-2, 1.0, 100.0)
    assert sorted(np.concatenate([each for each, _ in smoother.matrices]).tolist()) == [*range(5)]
    for neuroids, matrix in smoother.matrices:
        own = targets[:, train][..., neuroids]
        mean = own.mean(axis=1, keepdims=True)
        np.testing.assert_allclose(
            mean + matrix @ (own - mean), predicted[..., neuroids], atol=1e-5
        )


def test_principal_components_have_the_smoother_of_their_ridge(
    gram: Gram, targets: np.ndarray, train: np.ndarray
) -> None:
    mapping = PrincipalComponentsMapping(RidgeMapping(alphas=(ALPHA,)), 4)
    ((predicted, smoother),) = mapping.cross_smooth(gram, targets, train[None])
    (expected,) = mapping.cross_predict(gram, targets, train[None])
    np.testing.assert_array_equal(predicted, expected)
    ((neuroids, matrix),) = smoother.matrices
    assert np.linalg.matrix_rank(matrix, tol=1e-4) == 4
    assert len(neuroids) == 5


def test_residuals_stay_finite_where_a_map_interpolates(targets: np.ndarray) -> None:
    features = np.random.default_rng(0).standard_normal((N_ROWS, 80)).astype(np.float32)
    train = np.arange(N_ROWS) < N_TRAIN
    gram = gram_of([features], precision="float64")
    _, smoother = smooth(gram, targets, train, 1e-6)
    assert np.isfinite(smoother.residuals).all()
    assert np.abs(smoother.residuals).max() < 100


def test_residuals_do_not_depend_on_the_mean_of_the_responses(
    gram: Gram, targets: np.ndarray, train: np.ndarray
) -> None:
    _, expected = smooth(gram, targets, train, ALPHA)
    _, shifted = smooth(gram, targets + 1e6, train, ALPHA)
    np.testing.assert_allclose(shifted.residuals, expected.residuals, atol=1e-6)


def test_torch_smooths_as_numpy_does(
    features: np.ndarray, targets: np.ndarray, train: np.ndarray
) -> None:
    gram = gram_of([features], precision="float64")
    found: list[tuple[np.ndarray, Smoother]] = []
    for device in ("cpu", "torch-cpu"):
        mapping = RidgeMapping(alphas=(1e-2, 1.0), device=device)
        found += mapping.cross_smooth(gram, targets, train[None])
    (expected, ours), (predicted, theirs) = found
    np.testing.assert_allclose(predicted, expected, atol=1e-10)
    np.testing.assert_allclose(theirs.residuals, ours.residuals, atol=1e-5)
    for (neuroids, matrix), (others, made) in zip(ours.matrices, theirs.matrices, strict=True):
        np.testing.assert_array_equal(others, neuroids)
        np.testing.assert_allclose(made, matrix, atol=1e-6)


def test_pairs_are_sums_over_sets_and_neuroids(
    gram: Gram, targets: np.ndarray, train: np.ndarray
) -> None:
    _, smoother = smooth(gram, targets, train, 1e-2, 1.0, 100.0)
    shape = (3, N_ROWS - N_TRAIN, 5)
    slopes = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
    inside = np.array([True, False, True, True, False])
    expected = np.zeros((shape[1], N_TRAIN))
    for neuroids, matrix in smoother.matrices:
        for neuroid in neuroids[inside[neuroids]]:
            for c, e in zip(slopes[1:], smoother.residuals[1:], strict=True):
                expected += c[:, neuroid, None] * matrix * e[:, neuroid]
    np.testing.assert_allclose(
        smoother.pairs(slopes, inside, slice(1, None)), expected, atol=1e-4, rtol=1e-5
    )
