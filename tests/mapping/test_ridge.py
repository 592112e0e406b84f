"""Ridge from the Gram matrix equals scikit-learn's RidgeCV: the same penalties, the same predictions."""

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV

from neurofit.mapping import RidgeMapping, gram_of, train_splits
from neurofit.mapping.ridge import choose_alphas

ALPHAS = tuple(float(a) for a in np.logspace(-2, 5, 15))


def make_data(n: int, p: int, s: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n + p)
    latent = rng.standard_normal((n, 20)) / np.sqrt(np.arange(1, 21))
    features = np.maximum(latent @ rng.standard_normal((20, p)) + 1.0, 0.0).astype(np.float32)
    signal = latent @ rng.standard_normal((20, s))
    return features, np.stack([signal + noise * rng.standard_normal((n, s)) * np.linspace(0.1, 6, s) for noise in (1.0, 1.4)])


@pytest.mark.parametrize(("n", "p"), [(100, 400), (300, 60), (100, 110)])
def test_alphas_and_predictions_equal_ridgecv(n: int, p: int) -> None:
    features, targets = make_data(n, p)
    train = train_splits(n, n_splits=3, train_size=0.75, seed=0)
    gram = gram_of([features])
    for rows, predicted in zip(train, RidgeMapping(alphas=ALPHAS).cross_predict(gram, targets, train), strict=True):
        oracle = RidgeCV(ALPHAS, alpha_per_target=True).fit(features[rows].astype(float), targets[0, rows])
        scores, eigenvalues = gram.principal_scores(rows)
        centred = targets[0, rows] - targets[0, rows].mean(axis=0)
        np.testing.assert_array_equal(choose_alphas(scores[rows], eigenvalues, centred, alphas=np.array(ALPHAS)), oracle.alpha_)
        assert len(set(oracle.alpha_)) > 2, "the data must make neuroids choose different penalties"
        np.testing.assert_allclose(predicted[0], oracle.predict(features[~rows].astype(float)), rtol=1e-6, atol=1e-8)


def test_halves_use_the_penalties_chosen_on_all_trials() -> None:
    features, targets = make_data(100, 200)
    train = train_splits(100, n_splits=1, train_size=0.75, seed=0)
    (predicted,) = RidgeMapping(alphas=ALPHAS).cross_predict(gram_of([features]), targets, train)
    chosen = RidgeCV(ALPHAS, alpha_per_target=True).fit(features[train[0]].astype(float), targets[0, train[0]]).alpha_
    from sklearn.linear_model import Ridge

    expected = Ridge(chosen).fit(features[train[0]].astype(float), targets[1, train[0]]).predict(features[~train[0]].astype(float))
    np.testing.assert_allclose(predicted[1], expected, rtol=1e-6, atol=1e-8)


def test_default_penalties_do_not_depend_on_the_features_scale() -> None:
    features, targets = make_data(80, 150)
    train = train_splits(80, n_splits=1, train_size=0.75, seed=0)
    small, large = (RidgeMapping().cross_predict(gram_of([features * scale]), targets, train)[0] for scale in (1.0, 1024.0))
    np.testing.assert_allclose(small, large, atol=1e-8)


def test_constant_features_predict_the_training_mean() -> None:
    _, targets = make_data(40, 30)
    train = train_splits(40, n_splits=1, train_size=0.75, seed=0)
    (prediction,) = RidgeMapping().cross_predict(gram_of([np.ones((40, 60), np.float32)]), targets, train)
    np.testing.assert_allclose(prediction[0], np.broadcast_to(targets[0, train[0]].mean(axis=0), prediction[0].shape), atol=1e-12)


def test_permuting_the_neuroids_permutes_the_predictions() -> None:
    features, targets = make_data(80, 150)
    order = np.random.default_rng(0).permutation(targets.shape[2])
    train = train_splits(80, n_splits=1, train_size=0.75, seed=0)
    plain = RidgeMapping().cross_predict(gram_of([features]), targets, train)[0]
    permuted = RidgeMapping().cross_predict(gram_of([features]), targets[..., order], train)[0]
    np.testing.assert_allclose(plain[..., order], permuted, atol=1e-10)
