"""Intercepts per time bin equal scikit-learn on arrays that are centred in each bin."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import LinearRegression, Ridge

from neurofit.mapping import pls_primal
from neurofit.mapping.contract import GramMapping
from neurofit.mapping.feature_mapping import FittedFromFeatures
from neurofit.mapping.fits import MappingPlan
from neurofit.mapping.gram import Gram
from neurofit.mapping.gram_building import gram_of
from neurofit.mapping.linalg import array_backend
from neurofit.mapping.pls import PLSMapping
from neurofit.mapping.rank import training_ranks
from neurofit.mapping.reduce import PrincipalComponentsMapping
from neurofit.mapping.ridge import RidgeMapping
from neurofit.mapping.splits import inner_split, train_splits

N_STIMULI, N_BINS, N_NEUROIDS = 50, 4, 7
WAYS = ["dense", "cross products", "passes over the features", "blocks", "blocks of a session"]

AsGram = Callable[[np.ndarray, str], Gram]


def moving(n_units: int, n_neuroids: int = N_NEUROIDS) -> tuple[np.ndarray, np.ndarray]:
    """Return features (bin stimulus unit), target sets (set bin stimulus neuroid): means move."""
    rng = np.random.default_rng(0)
    latent = rng.standard_normal((N_BINS, N_STIMULI, 15)) / np.sqrt(np.arange(1, 16))
    features = np.maximum(latent @ rng.standard_normal((15, n_units)) + 1, 0)
    features += 3 * rng.standard_normal((N_BINS, 1, n_units))
    signal = latent @ rng.standard_normal((15, n_neuroids))
    psth = 10 * rng.standard_normal((N_BINS, 1, n_neuroids))
    noise = rng.standard_normal((2, *signal.shape))
    return features.astype(np.float32), signal + psth + np.array([1.0, 3.0])[
        :, None, None, None
    ] * noise


@pytest.fixture
def as_gram(monkeypatch: pytest.MonkeyPatch) -> AsGram:
    """Make a Gram with groups that is fitted in a certain way."""

    def make(features: np.ndarray, way: str) -> Gram:
        n_units = features.shape[2]
        if way == "blocks of a session":  # every second stimulus of features on disk
            apart = np.repeat(features, 2, axis=1)
            apart[:, 1::2] = 7.0
            rows = np.tile(np.arange(2 * N_STIMULI) % 2 == 0, N_BINS)
            return replace(gram_of(list(apart), memory=1).subset(rows), groups=N_BINS)
        if way == "blocks":
            return replace(gram_of(list(features), memory=1), groups=N_BINS)
        centred = features.reshape(-1, n_units).astype(float)
        centred -= centred.mean(axis=0)
        if way == "dense":
            return Gram(dense=centred @ centred.T, groups=N_BINS)
        monkeypatch.setattr(pls_primal, "plan_primal", lambda *_, **__: MappingPlan(way, 0.0, 0))
        return Gram(factor=centred, groups=N_BINS)

    return make


def centred_regression(
    model: Any, features: np.ndarray, responses: np.ndarray, train: np.ndarray
) -> np.ndarray:
    """Centre each bin on the training stimuli, fit all bins, and add the means of the responses."""
    x, mean = features.astype(float), responses[:, train].mean(axis=1, keepdims=True)
    x = x - x[:, train].mean(axis=1, keepdims=True)
    y = responses - mean
    model.fit(np.concatenate(x[:, train]), np.concatenate(y[:, train]))
    predicted = model.predict(np.concatenate(x[:, ~train]))
    return np.asarray(predicted.reshape(N_BINS, -1, responses.shape[2]) + mean)


@pytest.mark.parametrize("device", ["cpu", "torch-cpu"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("n_units", [40, 300])
@pytest.mark.parametrize("n_neuroids", [1, 7, 210])
def test_predictions_are_those_of_arrays_centred_per_bin(
    twins: tuple[GramMapping, Any],
    n_neuroids: int,
    n_units: int,
    way: str,
    device: str,
    as_gram: AsGram,
) -> None:
    mapping, model = twins
    features, sets = moving(n_units, n_neuroids)
    train = train_splits(N_STIMULI, n_splits=2, train_size=0.75, seed=0)
    predictions = replace(mapping, device=device).cross_predict(  # type: ignore[type-var]
        as_gram(features, way),
        sets.reshape(2, -1, n_neuroids),
        np.tile(train, N_BINS),
        times=N_BINS,
    )
    for rows, predicted in zip(train, predictions, strict=True):
        for one, responses in zip(predicted, sets, strict=True):
            expected = centred_regression(model, features, responses, rows)
            np.testing.assert_allclose(one.reshape(expected.shape), expected, atol=1e-8)


@pytest.mark.parametrize("way", WAYS)
def test_exact_directions_depend_on_no_means(way: str, as_gram: AsGram) -> None:
    features, sets = moving(60)
    train = np.tile(train_splits(N_STIMULI, n_splits=2, train_size=0.75, seed=0), N_BINS)
    still = features - features.mean(axis=1, keepdims=True)
    mapping, rows = PLSMapping(n_components=8), sets.reshape(2, -1, N_NEUROIDS)
    for moved, kept in zip(
        mapping.cross_predict(as_gram(features, way), rows, train, times=N_BINS),
        mapping.cross_predict(as_gram(still, way), rows, train, times=N_BINS),
        strict=True,
    ):
        np.testing.assert_allclose(moved, kept, atol=1e-4)  # features are rounded to float32


@pytest.mark.parametrize("reduced", [False, True])
@pytest.mark.parametrize("model", [LinearRegression(), PLSRegression(5, scale=False)])
def test_foreign_mappings_see_bins_that_are_centred(model: object, reduced: bool) -> None:
    features, sets = moving(20)
    train = train_splits(N_STIMULI, n_splits=2, train_size=0.75, seed=0)
    blocks = Gram(blocks=tuple(features), mean=np.zeros(20), groups=N_BINS)
    mapping: GramMapping = FittedFromFeatures(model)  # type: ignore[arg-type]
    if reduced:
        mapping = PrincipalComponentsMapping(mapping, 20)
    predictions = mapping.cross_predict(
        blocks, sets.reshape(2, -1, N_NEUROIDS), np.tile(train, N_BINS), times=N_BINS
    )
    for rows, predicted in zip(train, predictions, strict=True):
        for one, responses in zip(predicted, sets, strict=True):
            expected = centred_regression(model, features, responses, rows)
            np.testing.assert_allclose(one.reshape(expected.shape), expected, atol=1e-6)


@pytest.mark.parametrize("device", ["cpu", "torch-cpu"])
@pytest.mark.parametrize("way", ["dense", "cross products"])
def test_penalties_are_those_of_leaving_each_stimulus_out(
    way: str, device: str, as_gram: AsGram
) -> None:
    features, sets = moving(60)
    features, sets = features[:, :12], sets[:, :, :12]  # few, so that their means matter
    (train,) = train_splits(12, n_splits=1, train_size=0.75, seed=0)
    x = features[:, train].astype(float)
    x -= x.mean(axis=1, keepdims=True)
    alphas = np.logspace(-1, 4, 101)
    chosen = []
    for responses in sets:
        errors = np.zeros((len(alphas), N_NEUROIDS))
        inside = responses[:, train]
        for left_out in range(train.sum()):
            rest = np.arange(train.sum()) != left_out
            for i, alpha in enumerate(alphas):
                predicted = centred_regression(Ridge(alpha), x, inside, rest)
                errors[i] += ((predicted - inside[:, ~rest]) ** 2).sum(axis=(0, 1))
        chosen.append(alphas[errors.argmin(axis=0)])
        assert len(set(chosen[-1])) > 1
        (predicted,) = RidgeMapping(alphas=tuple(alphas), device=device).cross_predict(
            as_gram(features, way),
            responses.reshape(1, -1, N_NEUROIDS),
            np.tile(train, N_BINS)[None],
            times=N_BINS,
        )
        for neuroid, alpha in enumerate(chosen[-1]):
            expected = centred_regression(Ridge(alpha), features, responses, train)[..., neuroid]
            np.testing.assert_allclose(
                predicted[0, :, neuroid].reshape(expected.shape), expected, atol=1e-8
            )


@pytest.mark.parametrize("way", WAYS)
def test_the_number_of_components_is_chosen_by_correlations_within_bins(
    way: str, as_gram: AsGram
) -> None:
    features, sets = moving(60)
    train = train_splits(N_STIMULI, n_splits=2, train_size=0.75, seed=0)
    mapping = PLSMapping(n_components=10, convergence="sklearn", choose_components=True)
    chosen = mapping.chosen_components(
        as_gram(features, way),
        sets[1:].reshape(1, -1, N_NEUROIDS),
        np.tile(train, N_BINS),
        times=N_BINS,
    )
    for rows, number in zip(train, chosen, strict=True):
        inner = inner_split(rows)
        held = rows & ~inner
        r = []
        for n in range(1, 11):
            model = PLSRegression(n, scale=False)
            predicted = centred_regression(model, features, sets[1], inner)[:, held[~inner]]
            truth = sets[1][:, held]
            pairs = [(b, i) for b in range(N_BINS) for i in range(N_NEUROIDS)]
            r.append(
                np.mean([np.corrcoef(predicted[b, :, i], truth[b, :, i])[0, 1] for b, i in pairs])
            )
        assert number == 1 + int(np.argmax(r))


@pytest.mark.parametrize("way", WAYS)
def test_the_rank_is_that_of_arrays_centred_per_bin(way: str, as_gram: AsGram) -> None:
    rng = np.random.default_rng(0)
    latent = rng.standard_normal((N_BINS, N_STIMULI, 6))
    means = 5 * rng.standard_normal((N_BINS, 1, 60))
    features = (latent @ rng.standard_normal((6, 60)) + means).astype(np.float32)
    train = np.tile(train_splits(N_STIMULI, n_splits=2, train_size=0.75, seed=0), N_BINS)
    gram = as_gram(features, way)
    found = [
        training_ranks(replace(gram, groups=groups), train, array_backend("cpu"), most=25).tolist()
        for groups in (N_BINS, 1)
    ]
    assert found == [[6, 6], [9, 9]]


@pytest.mark.parametrize("way", WAYS)
def test_a_blank_row_shows_the_map_of_the_means_and_changes_nothing_else(
    twins: tuple[GramMapping, Any], way: str, as_gram: AsGram
) -> None:
    mapping, model = twins
    features, sets = moving(60)
    (train,) = train_splits(N_STIMULI, n_splits=1, train_size=0.75, seed=0)
    gram = as_gram(features, way).with_blank()
    padded = np.pad(sets[:1], ((0, 0), (0, 0), (0, 1), (0, 0)), mode="mean")
    (predicted,) = mapping.cross_predict(
        gram,
        padded.reshape(1, -1, N_NEUROIDS),
        np.tile(np.append(train, False), N_BINS)[None],
        times=N_BINS,
    )
    predicted = predicted.reshape(N_BINS, -1, N_NEUROIDS)
    expected = centred_regression(model, features, sets[0], train)
    np.testing.assert_allclose(predicted[:, :-1], expected, atol=1e-8)
    means = features.astype(float)[:, train].mean(axis=1)
    course = sets[0][:, train].mean(axis=1) - predicted[:, -1]  # less the bins' intercepts
    expected = (means - means[0]) @ model.coef_.T
    np.testing.assert_allclose(course - course[0], expected, atol=1e-8)
    assert expected.std() > 1
