"""One map for all time bins equals scikit-learn on stacked rows: a span-time regression."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV

from neurofit.errors import NeurofitWarning
from neurofit.mapping import gram as gram_module
from neurofit.mapping.contract import GramMapping
from neurofit.mapping.gram_building import gram_of
from neurofit.mapping.pls import PLSMapping
from neurofit.mapping.ridge import RidgeMapping
from neurofit.mapping.splits import train_splits

N_STIMULI, N_BINS, N_NEUROIDS = 50, 4, 7


def moving(n_units: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features (bin stimulus unit), responses (bin stimulus neuroid): latents change."""
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal((N_BINS, N_STIMULI, 15)) + rng.standard_normal((1, N_STIMULI, 15))
    features = np.maximum(latent @ rng.standard_normal((15, n_units)) + 1, 0).astype(np.float32)
    responses = latent @ rng.standard_normal((15, N_NEUROIDS)) + 3 * rng.standard_normal(
        (N_BINS, N_STIMULI, N_NEUROIDS)
    )
    return features, responses


def span_time_regression(
    model: Any, features: np.ndarray, responses: np.ndarray, train: np.ndarray
) -> np.ndarray:
    """Fit presentations x bins as rows, predict the test ones and unstack, as Brain-Score does."""

    def stack(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return values[:, rows].transpose(1, 0, 2).reshape(-1, values.shape[2]).astype(float)

    model.fit(stack(features, train), stack(responses, train))
    predicted = model.predict(stack(features, ~train))
    return np.asarray(predicted.reshape((~train).sum(), N_BINS, N_NEUROIDS).transpose(1, 0, 2))


@pytest.mark.parametrize("memory", [2**31, 1000], ids=["in memory", "left on disk"])
@pytest.mark.parametrize("n_units", [40, 300])
def test_predictions_are_those_of_a_span_time_regression(
    twins: tuple[GramMapping, Any], n_units: int, memory: int, tmp_path: Path
) -> None:
    mapping, model = twins
    features, responses = moving(n_units)
    for step, block in enumerate(features):
        np.save(tmp_path / f"{step}.npy", block)
    blocks = [np.load(tmp_path / f"{step}.npy", mmap_mode="r") for step in range(N_BINS)]
    gram = gram_of(blocks, memory=memory)
    assert (gram.blocks is not None) == (memory == 1000)
    train = train_splits(N_STIMULI, n_splits=2, train_size=0.75, seed=0)
    targets = responses.reshape(1, -1, N_NEUROIDS)
    for rows, predicted in zip(
        train,
        mapping.cross_predict(gram, targets, np.tile(train, N_BINS), times=N_BINS),
        strict=True,
    ):
        expected = span_time_regression(model, features, responses, rows)
        np.testing.assert_allclose(predicted[0].reshape(expected.shape), expected, atol=1e-8)


def test_rows_that_are_stimuli_of_their_own_choose_the_penalties_of_ridgecv() -> None:
    features, responses = moving(40)
    alphas = tuple(np.logspace(-1, 4, 11))
    train = train_splits(N_STIMULI, n_splits=1, train_size=0.75, seed=0)
    (predicted,) = RidgeMapping(alphas=alphas).cross_predict(
        gram_of(list(features)),
        responses.reshape(1, -1, N_NEUROIDS),
        np.tile(train, N_BINS),
        times=1,
    )
    expected = span_time_regression(
        RidgeCV(alphas, alpha_per_target=True), features, responses, train[0]
    )
    np.testing.assert_allclose(predicted[0].reshape(expected.shape), expected, rtol=1e-6, atol=1e-8)


def test_features_on_disk_are_never_held_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_stimuli, n_units, n_bins = 200, 1500, 10
    rng = np.random.default_rng(0)
    for step in range(n_bins):
        np.save(
            tmp_path / f"{step}.npy", rng.standard_normal((n_stimuli, n_units), dtype=np.float32)
        )
    blocks = [np.load(tmp_path / f"{step}.npy", mmap_mode="r") for step in range(n_bins)]
    train = np.tile(train_splits(n_stimuli, n_splits=1, train_size=0.75, seed=0), n_bins)
    targets = rng.standard_normal((1, n_stimuli * n_bins, 3))
    monkeypatch.setattr(gram_module, "CHUNK_VALUES", 2**17)
    tracemalloc.start()
    gram = gram_of(blocks, memory=2**20)
    PLSMapping(n_components=3).cross_predict(gram, targets, train, times=n_bins)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * n_stimuli * n_units * n_bins / 2, (
        "less than half of the features as they lie on disk"
    )


def test_ridge_says_how_much_memory_features_on_disk_take() -> None:
    features, responses = moving(40)
    train = np.tile(train_splits(N_STIMULI, n_splits=1, train_size=0.75, seed=0), N_BINS)
    with pytest.warns(
        NeurofitWarning,
        match=r"conv5: ridge of 200 rows x 40 units takes 0\.0 GB for eigenvectors and scores",
    ):
        RidgeMapping().cross_predict(
            gram_of(list(features), name="conv5", memory=1000),
            responses.reshape(1, -1, N_NEUROIDS),
            train,
            times=4,
        )
