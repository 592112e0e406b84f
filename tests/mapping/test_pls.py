"""PLS from the Gram matrix equals scikit-learn's PLSRegression, fit by fit."""

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression

from neurofit.mapping import PLSMapping, gram_of, train_splits
from neurofit.mapping.gram import Gram


def make_data(n: int, p: int, s: int, *, n_sets: int = 3, rank: int = 30, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal((n, rank)) / np.sqrt(np.arange(1, rank + 1))
    features = np.maximum(latent @ rng.standard_normal((rank, p)) + 3.0, 0.0)
    signal = latent @ rng.standard_normal((rank, s))
    targets = np.stack([signal + noise * rng.standard_normal((n, s)) for noise in np.linspace(0.5, 5.0, n_sets)])
    return features.astype(np.float32), targets


def sklearn_prediction(features: np.ndarray, targets: np.ndarray, train: np.ndarray, n_components: int) -> np.ndarray:
    model = PLSRegression(n_components, scale=False).fit(features[train].astype(float), targets[train])
    return np.asarray(model.predict(features[~train].astype(float))).reshape(-1, targets.shape[1])


@pytest.mark.parametrize(
    ("n", "p", "s"),
    [
        pytest.param(120, 300, 20, id="n<p"),
        pytest.param(200, 60, 20, id="n>p"),
        pytest.param(120, 300, 1, id="one neuroid"),
        pytest.param(60, 300, 90, id="more neuroids than stimuli"),
        pytest.param(60, 9000, 10, id="several column chunks"),
    ],
)
def test_predictions_equal_scikit_learn(n: int, p: int, s: int) -> None:
    features, targets = make_data(n, p, s)
    train = train_splits(n, n_splits=3, train_size=0.75, seed=0)
    predictions = PLSMapping(n_components=10).cross_predict(gram_of([features]), targets, train)
    for rows, predicted in zip(train, predictions, strict=True):
        for target, prediction in zip(targets, predicted, strict=True):
            expected = sklearn_prediction(features, target, rows, 10)
            np.testing.assert_allclose(prediction, expected, atol=1e-9 * target.std())


def test_25_components_on_many_units_equal_scikit_learn_to_1e_6_of_a_sd() -> None:
    features, targets = make_data(300, 2000, 40, n_sets=2, rank=200)
    train = train_splits(300, n_splits=2, train_size=0.75, seed=1)
    predictions = PLSMapping().cross_predict(gram_of([features]), targets, train)
    for rows, predicted in zip(train, predictions, strict=True):
        expected = sklearn_prediction(features, targets[1], rows, 25)
        assert np.abs(predicted[1] - expected).max() < 1e-6 * targets[1].std()


@pytest.mark.parametrize("change", ["constant unit", "constant neuroid", "constant first neuroid", "duplicated stimuli", "huge offset"])
def test_awkward_data_equal_scikit_learn(change: str) -> None:
    features, targets = make_data(100, 150, 6)
    if change == "constant unit":
        features[:, 7] = 4.0
    if change == "constant neuroid":
        targets[..., 3] = 2.0
    if change == "constant first neuroid":
        targets[..., 0] = 2.0
    if change == "duplicated stimuli":
        features[50:], targets[:, 50:] = features[:50], targets[:, :50]
    if change == "huge offset":
        features = (features + 1000.0).astype(np.float32)
    train = train_splits(100, n_splits=2, train_size=0.75, seed=0)
    predictions = PLSMapping(n_components=8).cross_predict(gram_of([features]), targets, train)
    for rows, predicted in zip(train, predictions, strict=True):
        np.testing.assert_allclose(predicted[0], sklearn_prediction(features, targets[0], rows, 8), atol=1e-7)


def test_exhausted_rank_equals_scikit_learn_with_that_many_components() -> None:
    rng = np.random.default_rng(0)
    features = (rng.standard_normal((90, 6)) @ rng.standard_normal((6, 200))).astype(np.float64)
    targets = rng.standard_normal((1, 90, 5))
    train = train_splits(90, n_splits=1, train_size=0.75, seed=0)
    (prediction,) = PLSMapping(n_components=25).cross_predict(gram_of([features]), targets, train)
    np.testing.assert_allclose(prediction[0], sklearn_prediction(features, targets[0], train[0], 6), atol=1e-8)


def test_constant_features_predict_the_training_mean() -> None:
    targets = np.random.default_rng(0).standard_normal((1, 40, 3))
    train = train_splits(40, n_splits=1, train_size=0.75, seed=0)
    (prediction,) = PLSMapping().cross_predict(gram_of([np.full((40, 60), 3.0, np.float32)]), targets, train)
    np.testing.assert_allclose(prediction[0], np.broadcast_to(targets[0, train[0]].mean(axis=0), (10, 3)), atol=1e-12)


def test_a_rotation_of_the_features_changes_nothing() -> None:
    features, targets = make_data(80, 120, 8)
    rotation, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((120, 120)))
    train = train_splits(80, n_splits=2, train_size=0.75, seed=0)
    plain = PLSMapping(n_components=10).cross_predict(gram_of([features.astype(float)]), targets, train)
    rotated = PLSMapping(n_components=10).cross_predict(gram_of([features @ rotation]), targets, train)
    np.testing.assert_allclose(plain[0], rotated[0], atol=1e-8)


def test_dense_and_factored_gram_agree() -> None:
    features, targets = make_data(100, 70, 8)
    factored = gram_of([features])
    assert factored.factor is not None
    dense = Gram(dense=factored.factor @ factored.factor.T)
    train = train_splits(100, n_splits=2, train_size=0.75, seed=0)
    for a, b in zip(*(PLSMapping(n_components=9).cross_predict(g, targets, train) for g in (factored, dense)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)


def test_splits_worked_on_in_turns_equal_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    features, targets = make_data(80, 100, 5)
    train = train_splits(80, n_splits=4, train_size=0.75, seed=0)
    at_once = PLSMapping(n_components=5).cross_predict(gram_of([features]), targets, train)
    monkeypatch.setattr("neurofit.mapping.pls.SCORES_BYTES", 1)
    in_turns = PLSMapping(n_components=5).cross_predict(gram_of([features]), targets, train)
    for a, b in zip(at_once, in_turns, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_features_that_stand_still_give_the_same_prediction_in_every_bin() -> None:
    features, targets = make_data(60, 100, 5, n_sets=2)
    stacked = np.concatenate([targets, 2.0 * targets + 1.0], axis=1)  # two bins
    train = np.tile(train_splits(60, n_splits=1, train_size=0.75, seed=0), (1, 2))
    (prediction,) = PLSMapping(n_components=5).cross_predict(gram_of([features, features]), stacked, train)
    np.testing.assert_allclose(prediction[:, :15], prediction[:, 15:], atol=1e-10)
