"""Reductions equal scikit-learn's, and principal components see training stimuli only."""

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.random_projection import SparseRandomProjection

from neurofit.errors import NeurofitError
from neurofit.mapping.gram_building import gram_of
from neurofit.mapping.pls import PLSMapping
from neurofit.mapping.reduce import Reduction
from neurofit.mapping.ridge import RidgeMapping
from neurofit.mapping.splits import train_splits


def data(n: int = 60, p: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    features = (
        rng.standard_normal((n, 20)) @ rng.standard_normal((20, p)) + rng.standard_normal((n, p))
    ).astype(np.float32)
    return features, (features[:, :8] + rng.standard_normal((n, 8)))[None].astype(float)


def test_nothing_is_reduced_by_default() -> None:
    features, _ = data()
    mapping = PLSMapping()
    assert Reduction().features(features) is features
    assert Reduction().mapping(mapping) is mapping
    assert Reduction("srp:200").features(features) is features, "it has no more units than that"


def test_the_projection_is_scikit_learns_and_the_same_for_every_block() -> None:
    features, _ = data()
    expected = SparseRandomProjection(50, random_state=3).fit_transform(features)
    reduction = Reduction("srp:50", seed=3)
    np.testing.assert_allclose(reduction.features(features), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(
        reduction.features(features[:7]), reduction.features(features)[:7]
    )
    assert not np.allclose(Reduction("srp:50", seed=4).features(features), expected)


@pytest.mark.parametrize("p", [200, 40])
def test_principal_components_are_those_of_the_training_stimuli(p: int) -> None:
    features, targets = data(p=p)
    train = train_splits(60, n_splits=2, train_size=0.75, seed=0)
    reduction = Reduction("pca:15")
    pls, ridge = (
        reduction.mapping(PLSMapping(n_components=5, convergence="sklearn")),
        reduction.mapping(RidgeMapping(alphas=(100.0,))),
    )
    assert pls.name == "pls (sklearn) on 15 principal components"
    for mapping, model in ((pls, PLSRegression(5, scale=False)), (ridge, Ridge(100.0))):
        for rows, predicted in zip(
            train, mapping.cross_predict(gram_of([features]), targets, train), strict=True
        ):
            pca = PCA(15, svd_solver="full").fit(features[rows].astype(float))
            model.fit(pca.transform(features[rows].astype(float)), targets[0, rows])
            np.testing.assert_allclose(
                predicted[0], model.predict(pca.transform(features[~rows].astype(float))), atol=1e-8
            )


def test_principal_components_do_not_see_test_stimuli() -> None:
    features, targets = data()
    train = train_splits(60, n_splits=1, train_size=0.75, seed=0)
    mapping = Reduction("pca:10").mapping(PLSMapping(n_components=5))
    (plain,) = mapping.cross_predict(gram_of([features]), targets, train)
    changed = features.copy()
    changed[np.flatnonzero(~train[0])[0]] += 50
    (other,) = mapping.cross_predict(gram_of([changed]), targets, train)
    np.testing.assert_allclose(other[:, 1:], plain[:, 1:], atol=1e-7)


@pytest.mark.parametrize("rule", ["pca", "srp:", "srp:0", "pca:many", "ica:5"])
def test_a_rule_that_does_not_exist_is_refused(rule: str) -> None:
    with pytest.raises(
        NeurofitError,
        match=f'A reduction is "none", "srp:DIMENSIONS" or "pca:COMPONENTS"; got {rule!r}',
    ):
        Reduction(rule)
