"""Each algorithm for PLS equals scikit-learn's PLSRegression and LAPACK."""

from collections.abc import Callable

import numpy as np
import pytest

from neurofit.errors import NeurofitWarning
from neurofit.mapping import pls_primal
from neurofit.mapping.fits import MappingPlan
from neurofit.mapping.gram import Gram
from neurofit.mapping.gram_building import gram_of
from neurofit.mapping.pls import PLSMapping
from neurofit.mapping.splits import train_splits

MakeData = Callable[..., tuple[np.ndarray, np.ndarray]]
Predict = Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]


def as_gram(features: np.ndarray, way: str, monkeypatch: pytest.MonkeyPatch) -> Gram:
    """Return a Gram that makes PLS go a certain way."""
    centred = features.astype(float) - features.mean(axis=0, dtype=float)
    if way == "dense":
        return Gram(dense=centred @ centred.T)
    monkeypatch.setattr(pls_primal, "plan_primal", lambda *_, **__: MappingPlan(way, 0.0, 0))
    return (
        gram_of([features], memory=1)
        if way == "passes over features left where they are"
        else Gram(factor=centred)
    )


WAYS = [
    "dense",
    "cross products",
    "passes over the features",
    "passes over features left where they are",
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("n", "p", "s"),
    [
        pytest.param(60, 150, 10, id="n<p"),
        pytest.param(150, 60, 10, id="n>p"),
        pytest.param(100, 60, 1, id="one neuroid"),
        pytest.param(60, 50, 90, id="more neuroids than stimuli"),
    ],
)
def test_every_way_equals_scikit_learn(
    make_data: MakeData,
    sklearn_prediction: Predict,
    n: int,
    p: int,
    s: int,
    way: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features, targets = make_data(n, p, s, n_sets=2)
    train = train_splits(n, n_splits=2, train_size=0.75, seed=0)
    predictions = PLSMapping(n_components=8, convergence="sklearn").cross_predict(
        as_gram(features, way, monkeypatch), targets, train
    )
    for rows, predicted in zip(train, predictions, strict=True):
        for target, prediction in zip(targets, predicted, strict=True):
            np.testing.assert_allclose(
                prediction, sklearn_prediction(features, target, rows, 8), atol=1e-9 * target.std()
            )


@pytest.mark.parametrize("way", [way for way in WAYS if way != "cross products"])
def test_25088_units_equal_scikit_learn(
    make_data: MakeData, sklearn_prediction: Predict, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, targets = make_data(30, 25088, 4, n_sets=1)
    train = train_splits(30, n_splits=1, train_size=0.75, seed=0)
    (prediction,) = PLSMapping(n_components=8, convergence="sklearn").cross_predict(
        as_gram(features, way, monkeypatch), targets, train
    )
    np.testing.assert_allclose(
        prediction[0],
        sklearn_prediction(features, targets[0], train[0], 8),
        atol=1e-9 * targets.std(),
    )


@pytest.mark.parametrize("way", WAYS)
def test_25_components_equal_scikit_learn_every_way(
    make_data: MakeData, sklearn_prediction: Predict, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, targets = make_data(300, 250, 30, n_sets=1, rank=100)
    train = train_splits(300, n_splits=1, train_size=0.75, seed=1)
    (prediction,) = PLSMapping(convergence="sklearn").cross_predict(
        as_gram(features, way, monkeypatch), targets, train
    )
    assert (
        np.abs(prediction[0] - sklearn_prediction(features, targets[0], train[0], 25)).max()
        < 1e-6 * targets.std()
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("convergence", ["sklearn", "exact"])
def test_exhausted_rank_is_reported_every_way(
    sklearn_prediction: Predict, way: str, convergence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((90, 6)) @ rng.standard_normal((6, 50)) + 2
    targets = rng.standard_normal((2, 90, 5))
    train = train_splits(90, n_splits=2, train_size=0.75, seed=0)
    gram = as_gram(features, way, monkeypatch)
    with pytest.warns(
        NeurofitWarning,
        match="features: the rank of the training features allows 6 of 25 components",
    ):
        predictions = PLSMapping(convergence=convergence).cross_predict(gram, targets, train)
    # All of the rank is least squares, whatever the directions.
    for rows, predicted in zip(train, predictions, strict=True):
        np.testing.assert_allclose(
            predicted[1], sklearn_prediction(features, targets[1], rows, 6), atol=1e-8
        )


def plain_exact_pls(
    features: np.ndarray, targets: np.ndarray, train: np.ndarray, n_components: int
) -> np.ndarray:
    """PLS with LAPACK's singular vectors of the deflated problem, in feature space."""
    center, mean = features[train].mean(axis=0), targets[train].mean(axis=0)
    x, y, test = features[train] - center, targets[train] - mean, features[~train] - center
    predicted = np.tile(mean, (len(test), 1))
    for _ in range(n_components):
        w = np.linalg.svd(x.T @ y, full_matrices=False)[0][:, 0]
        t = x @ w
        p, c = x.T @ t / (t @ t), y.T @ t / (t @ t)
        predicted += np.outer(test @ w, c)
        test = test - np.outer(test @ w, p)
        x, y = x - np.outer(t, p), y - np.outer(t, c)
    return predicted


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("n", "p", "s"), [(80, 150, 6), (150, 60, 60), (40, 60, 90), (60, 40, 1)])
def test_exact_directions_are_those_of_lapack(
    make_data: MakeData, n: int, p: int, s: int, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, targets = make_data(n, p, s, n_sets=2)
    train = train_splits(n, n_splits=2, train_size=0.75, seed=0)
    predictions = PLSMapping(n_components=10, convergence="exact").cross_predict(
        as_gram(features, way, monkeypatch), targets, train
    )
    for rows, predicted in zip(train, predictions, strict=True):
        for target, prediction in zip(targets, predicted, strict=True):
            np.testing.assert_allclose(
                prediction,
                plain_exact_pls(features.astype(float), target, rows, 10),
                atol=1e-8 * target.std(),
            )


@pytest.mark.parametrize("way", WAYS)
def test_every_number_of_components_is_read_from_one_fit(
    make_data: MakeData, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, targets = make_data(80, 70, 6)
    train = train_splits(80, n_splits=2, train_size=0.75, seed=0)
    gram = as_gram(features, way, monkeypatch)
    fits = PLSMapping(n_components=6).fit_splits(gram, targets, train)
    for n in (1, 4, 6):
        alone = PLSMapping(n_components=n).cross_predict(gram, targets, train)
        for fit, expected in zip(fits, alone, strict=True):
            np.testing.assert_allclose(fit.predict(n), expected, atol=1e-10)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("convergence", ["sklearn", "exact"])
def test_torch_predicts_the_same(
    make_data: MakeData, way: str, convergence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, targets = make_data(80, 60, 30)
    train = train_splits(80, n_splits=3, train_size=0.75, seed=0)
    gram = as_gram(features, way, monkeypatch)
    ours, torchs = (
        PLSMapping(n_components=8, convergence=convergence, device=device).cross_predict(
            gram, targets, train
        )
        for device in ("cpu", "torch-cpu")
    )
    for a, b in zip(ours, torchs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("n_units", [60, 400])
@pytest.mark.filterwarnings("ignore:features. the rank of:neurofit.errors.NeurofitWarning")
def test_no_component_is_fitted_after_the_rank(
    sklearn_prediction: Predict, n_units: int, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    latent = rng.standard_normal((200, 20)) * np.geomspace(1, 0.1, 20)
    features = (latent @ rng.standard_normal((20, n_units)) + 2).astype(np.float32)
    targets = latent @ rng.standard_normal((20, 30)) + rng.standard_normal((200, 30))
    train = train_splits(200, n_splits=2, train_size=0.75, seed=0)
    gram = as_gram(features, way, monkeypatch)
    predictions = PLSMapping().cross_predict(gram, targets[None], train)
    assert gram.exhausted == {20}
    for rows, (predicted,) in zip(train, predictions, strict=True):
        np.testing.assert_allclose(
            predicted, sklearn_prediction(features, targets, rows, 20), atol=1e-5
        )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("n_neuroids", [20, 60, 120])
def test_the_order_of_neuroids_changes_nothing(
    make_data: MakeData, way: str, n_neuroids: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, targets = make_data(100, 80, n_neuroids, n_sets=2, rank=60)
    targets[..., 1], targets[..., 3] = -targets[..., 0], targets[..., 2]  # mirrored, and twice
    train = train_splits(100, n_splits=2, train_size=0.75, seed=0)
    gram = as_gram(features, way, monkeypatch)
    order = np.random.default_rng(0).permutation(n_neuroids)
    plain, permuted = (
        PLSMapping().cross_predict(gram, each, train) for each in (targets, targets[..., order])
    )
    for a, b in zip(plain, permuted, strict=True):
        np.testing.assert_allclose(b, a[..., order], atol=1e-6 * targets.std())


def test_the_order_of_neuroids_changes_nothing_where_directions_tie() -> None:
    rng = np.random.default_rng(0)
    features = np.linalg.qr(rng.standard_normal((40, 12)))[0]
    features -= features.mean(axis=0)
    features = np.linalg.qr(features)[0] * 3.0
    # Y'K Y is 9 times the identity over the four neuroids, to rounding
    targets = (features[:, :4] / 3)[None]
    features = np.concatenate([features, rng.standard_normal((8, 12))])
    targets = np.concatenate([targets, rng.standard_normal((1, 8, 4))], axis=1)
    train = np.arange(48)[None] < 40
    order = np.array([2, 0, 3, 1])
    mapping, gram = PLSMapping(n_components=1), gram_of([features])
    (plain,) = mapping.cross_predict(gram, targets, train)
    (permuted,) = mapping.cross_predict(gram, targets[..., order], train)
    np.testing.assert_allclose(permuted, plain[..., order], atol=1e-6)
