"""The Gram matrix is that of the centred, stacked features, whichever face it has."""

import numpy as np
import pytest

from neurofit.mapping import gram_of
from neurofit.mapping.gram import Gram


@pytest.mark.parametrize(("n", "p"), [(30, 9000), (30, 12)])
def test_products_equal_the_plain_ones(n: int, p: int) -> None:
    rng = np.random.default_rng(0)
    blocks = [rng.standard_normal((n, p)).astype(np.float32) + 5 for _ in range(2)]
    stacked = np.concatenate(blocks).astype(float)
    centred = stacked - stacked.mean(axis=0)
    gram, vectors = gram_of(blocks), rng.standard_normal((2 * n, 3))
    assert (gram.factor is not None) == (p < 2 * n)
    assert gram.n_rows == 2 * n
    np.testing.assert_allclose(gram.dot(vectors), centred @ (centred.T @ vectors), rtol=1e-9, atol=1e-7)
    rows = np.arange(2 * n) % 3 == 0
    np.testing.assert_allclose(gram.dot_block(rows, vectors[rows]), centred[rows] @ (centred[rows].T @ vectors[rows]), rtol=1e-9, atol=1e-7)


@pytest.mark.parametrize("p", [100, 20])
def test_principal_scores_are_those_of_the_training_rows(p: int) -> None:
    features = np.random.default_rng(0).standard_normal((60, p))
    train = np.arange(60) < 40
    centred = features - features[train].mean(axis=0)
    _, singular, axes = np.linalg.svd(centred[train], full_matrices=False)
    scores, eigenvalues = gram_of([features]).principal_scores(train)
    np.testing.assert_allclose(eigenvalues, (singular**2)[: len(eigenvalues)], rtol=1e-9)
    np.testing.assert_allclose(np.abs(scores), np.abs(centred @ axes.T)[:, : len(eigenvalues)], atol=1e-8)


def test_an_offset_of_the_features_costs_no_precision() -> None:
    features = np.random.default_rng(0).standard_normal((50, 400))
    near, far = gram_of([features]), gram_of([features + 1e6])
    assert near.dense is not None
    assert far.dense is not None
    np.testing.assert_allclose(near.dense, far.dense, atol=1e-6)


def test_constant_features_have_no_principal_scores() -> None:
    scores, eigenvalues = Gram(dense=np.zeros((10, 10))).principal_scores(np.arange(10) < 7)
    assert scores.shape == (10, 0)
    assert eigenvalues.shape == (0,)


@pytest.mark.parametrize("n_units", [8, 60])
def test_a_remembering_gram_decomposes_itself_once_for_each_training_set(n_units: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    gram = gram_of([rng.standard_normal((20, n_units)).astype(np.float32)])
    train = rng.random((3, 20)) < 0.7
    plain = [gram.principal_scores(rows) for rows in train]
    decomposed = 0

    def count(self: Gram, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        nonlocal decomposed
        decomposed += 1
        return decompose(self, rows)

    decompose = Gram._decompose
    monkeypatch.setattr(Gram, "_decompose", count)
    remembering = gram.remembering()
    for _ in range(4):
        for rows, (scores, eigenvalues) in zip(train, plain, strict=True):
            again = remembering.principal_scores(rows)
            np.testing.assert_array_equal(again[0], scores)
            np.testing.assert_array_equal(again[1], eigenvalues)
    assert decomposed == 3


@pytest.mark.parametrize("n_units", [8, 60])
def test_a_subset_is_the_gram_of_its_rows_for_a_map_centred_on_training_rows(n_units: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, n_units)).astype(np.float32)
    rows, train = rng.random(20) < 0.7, rng.random(20) < 0.6
    of_all, of_rows = gram_of([x]).subset(rows), gram_of([x[rows]])
    expected, eigenvalues = of_rows.principal_scores(train[rows])
    scores, found = of_all.principal_scores(train[rows])
    np.testing.assert_allclose(found, eigenvalues, rtol=1e-9)
    np.testing.assert_allclose(scores @ scores.T, expected @ expected.T, atol=1e-9)
