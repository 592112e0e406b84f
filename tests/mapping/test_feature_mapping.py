"""A regression with nothing but `fit` and `predict` is scored as neurofit's own mappings are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import Lasso, LinearRegression

from neurofit.errors import NeurofitError
from neurofit.mapping import PLSMapping, find_mapping
from neurofit.mapping.contract import describe_mapping, mapping_key
from neurofit.mapping.feature_mapping import FittedFromFeatures, as_gram_mapping
from neurofit.mapping.gram import Gram
from neurofit.mapping.gram_building import gram_of

N_ROWS, N_UNITS, N_NEUROIDS = 60, 12, 5


@pytest.fixture
def features() -> np.ndarray:
    """Features (row unit) with a mean that is not 0."""
    return np.random.default_rng(0).standard_normal((N_ROWS, N_UNITS)) + 3.0


@pytest.fixture
def targets(features: np.ndarray) -> np.ndarray:
    """Two target sets (set row neuroid): linear in the features, with noise."""
    rng = np.random.default_rng(1)
    signal = features @ rng.standard_normal((N_UNITS, N_NEUROIDS))
    return signal + 0.5 * rng.standard_normal((2, N_ROWS, N_NEUROIDS))


@pytest.fixture
def train() -> np.ndarray:
    """Three splits with 45 training rows each."""
    rng = np.random.default_rng(2)
    return np.stack([rng.permutation(N_ROWS) < 45 for _ in range(3)])


def as_features(features: np.ndarray) -> Gram:
    return Gram(blocks=(features,), mean=np.zeros(N_UNITS), name="features")


def test_each_split_and_target_set_has_a_fit_of_its_own(
    features: np.ndarray, targets: np.ndarray, train: np.ndarray
) -> None:
    mapping = as_gram_mapping(Lasso(alpha=0.2, fit_intercept=False))
    predicted = mapping.cross_predict(as_features(features), targets, train)
    for rows, found in zip(train, predicted, strict=True):
        for target, one in zip(targets, found, strict=True):
            model = Lasso(alpha=0.2, fit_intercept=False).fit(features[rows], target[rows])
            np.testing.assert_allclose(one, model.predict(features[~rows]), rtol=1e-12)


def test_scikit_learns_pls_equals_ours_to_1e_minus_6(
    features: np.ndarray, targets: np.ndarray, train: np.ndarray
) -> None:
    theirs = FittedFromFeatures(PLSRegression(4, scale=False))
    ours = PLSMapping(n_components=4, convergence="sklearn")
    a = theirs.cross_predict(as_features(features), targets, train)
    b = ours.cross_predict(gram_of([features]), targets, train)
    for one, other in zip(a, b, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6 * targets.std())


def test_a_single_neuroid_may_be_predicted_without_its_axis(
    features: np.ndarray, targets: np.ndarray, train: np.ndarray
) -> None:
    @dataclass
    class Flat:
        def fit(self, features: np.ndarray, responses: np.ndarray) -> Flat:
            self.model = LinearRegression().fit(features, responses[:, 0])
            return self

        def predict(self, features: np.ndarray) -> np.ndarray:
            return np.asarray(self.model.predict(features))

    (found, *_) = FittedFromFeatures(Flat()).cross_predict(
        as_features(features), targets[..., :1], train
    )
    assert found.shape == (2, 15, 1)


def test_a_mapping_is_a_name_or_an_object_that_can_map() -> None:
    assert find_mapping("pls") == PLSMapping()
    assert isinstance(find_mapping(Lasso()), Lasso)
    with pytest.raises(NeurofitError, match="Did you mean 'ridge'"):
        find_mapping("rigde")
    with pytest.raises(NeurofitError, match="cross_predict or with fit and predict"):
        find_mapping(3)


def test_results_name_a_mapping_by_its_registered_name_or_its_class() -> None:
    assert mapping_key(PLSMapping(n_components=3)) == "pls"
    assert mapping_key(Lasso()) == "Lasso"
    assert describe_mapping(PLSMapping(n_components=3))["n_components"] == 3
    assert describe_mapping(Lasso(alpha=0.5))["alpha"] == "0.5"
