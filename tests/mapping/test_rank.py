"""The numerical rank of training features is the one that was planted, in every representation."""

import numpy as np
import pytest

from neurofit.mapping.gram import RANK_TOLERANCE, Gram
from neurofit.mapping.gram_building import gram_of
from neurofit.mapping.linalg import array_backend
from neurofit.mapping.rank import training_ranks
from neurofit.mapping.splits import train_splits


def as_grams(features: np.ndarray) -> dict[str, Gram]:
    """Return the Gram of some features in every representation."""
    centred = features.astype(float) - features.mean(axis=0, dtype=float)
    return {
        "dense": Gram(dense=centred @ centred.T),
        "factor": Gram(factor=centred),
        "blocks": gram_of(np.split(features, 2), memory=1),
    }


@pytest.mark.parametrize("device", ["cpu", "torch-cpu"])
@pytest.mark.parametrize("storage", ["dense", "factor", "blocks"])
@pytest.mark.parametrize("n_units", [50, 500])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_planted_ranks_are_found(n_units: int, dtype: type, storage: str, device: str) -> None:
    rng = np.random.default_rng(0)
    latent = rng.standard_normal((90, 20)) * np.geomspace(1, 1e-2, 20)
    features: np.ndarray = (latent @ rng.standard_normal((20, n_units)) + 5).astype(dtype)
    train = train_splits(90, n_splits=2, train_size=0.75, seed=0)
    gram, backend = as_grams(features)[storage], array_backend(device)
    np.testing.assert_array_equal(training_ranks(gram, train, backend, most=25), [20, 20])
    np.testing.assert_array_equal(training_ranks(gram, train, backend, most=12), [12, 12])


@pytest.mark.parametrize("storage", ["dense", "factor", "blocks"])
def test_few_training_rows_have_a_rank_less_by_their_mean(storage: str) -> None:
    features = np.random.default_rng(0).standard_normal((60, 80))
    train = np.stack([np.arange(60) < 15, np.arange(60) % 2 == 0])
    ranks = training_ranks(as_grams(features)[storage], train, array_backend("cpu"), most=25)
    np.testing.assert_array_equal(ranks, [14, 25])


@pytest.mark.parametrize("storage", ["dense", "factor", "blocks"])
@pytest.mark.parametrize("share", [0.5, 2.0])
def test_an_eigenvalue_counts_above_the_tolerance_of_the_gram(share: float, storage: str) -> None:
    rng = np.random.default_rng(0)
    orthonormal = np.linalg.qr(rng.standard_normal((60, 5)))[0]
    orthonormal = np.linalg.qr(orthonormal - orthonormal.mean(axis=0))[0]
    size = np.sqrt([1.0, 0.3, 0.1, 0.01, share * RANK_TOLERANCE["float64"]])
    features = (orthonormal * size) @ np.linalg.qr(rng.standard_normal((40, 5)))[0].T
    whole = np.ones((1, 60), dtype=bool)
    rank = training_ranks(as_grams(features)[storage], whole, array_backend("cpu"), most=10)
    np.testing.assert_array_equal(rank, [4 + (share > 1)])


def test_features_that_do_not_vary_have_rank_0() -> None:
    gram = Gram(dense=np.zeros((20, 20)))
    train = np.arange(20)[None] < 15
    np.testing.assert_array_equal(training_ranks(gram, train, array_backend("cpu"), most=5), [0])
