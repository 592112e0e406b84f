"""The Gram matrix is that of the centred, stacked features, in every representation."""

from pathlib import Path

import numpy as np
import pytest

from neurofit.errors import NeurofitError, NeurofitWarning
from neurofit.mapping import gram as gram_module
from neurofit.mapping.contract import GramMapping
from neurofit.mapping.gram import Gram, plan_gram
from neurofit.mapping.gram_building import gram_of
from neurofit.mapping.linalg import Backend
from neurofit.mapping.pls import PLSMapping
from neurofit.mapping.ridge import RidgeMapping
from neurofit.mapping.splits import train_splits


def product(gram: Gram, vectors: np.ndarray) -> np.ndarray:
    """Return K @ vectors."""
    if gram.dense is not None:
        return np.asarray(gram.dense @ vectors)
    return np.asarray(gram.features @ (gram.features.T @ vectors))


@pytest.mark.parametrize(("n", "p"), [(30, 9000), (30, 12)])
def test_products_equal_the_plain_ones(n: int, p: int) -> None:
    rng = np.random.default_rng(0)
    blocks = [rng.standard_normal((n, p)).astype(np.float32) + 5 for _ in range(2)]
    stacked = np.concatenate(blocks).astype(float)
    centred = stacked - stacked.mean(axis=0)
    gram, vectors = gram_of(blocks), rng.standard_normal((2 * n, 3))
    assert (gram.factor is not None) == (p < 2 * n)
    assert gram.n_rows == 2 * n
    np.testing.assert_allclose(
        product(gram, vectors), centred @ (centred.T @ vectors), rtol=1e-9, atol=1e-7
    )
    rows = np.arange(2 * n) % 3 == 0
    np.testing.assert_allclose(
        product(gram.subset(rows), vectors[rows]),
        centred[rows] @ (centred[rows].T @ vectors[rows]),
        rtol=1e-9,
        atol=1e-7,
    )


@pytest.mark.parametrize("p", [100, 20])
def test_principal_scores_are_those_of_the_training_rows(p: int) -> None:
    features = np.random.default_rng(0).standard_normal((60, p))
    train = np.arange(60) < 40
    centred = features - features[train].mean(axis=0)
    _, singular, axes = np.linalg.svd(centred[train], full_matrices=False)
    scores, eigenvalues = gram_of([features]).principal_scores(train)
    np.testing.assert_allclose(eigenvalues, (singular**2)[: len(eigenvalues)], rtol=1e-9)
    np.testing.assert_allclose(
        np.abs(scores), np.abs(centred @ axes.T)[:, : len(eigenvalues)], atol=1e-8
    )


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
def test_a_gram_with_a_cache_decomposes_itself_once_for_each_training_set(
    n_units: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    gram = gram_of([rng.standard_normal((20, n_units)).astype(np.float32)])
    train = rng.random((3, 20)) < 0.7
    plain = [gram.principal_scores(rows) for rows in train]
    decompose, decomposed = Gram._decompose, []

    def count(self: Gram, rows: np.ndarray, backend: Backend) -> tuple[np.ndarray, ...]:
        decomposed.append(rows)
        return decompose(self, rows, backend)

    monkeypatch.setattr(Gram, "_decompose", count)
    cached = gram.with_cache()
    for _ in range(4):
        for rows, (scores, eigenvalues) in zip(train, plain, strict=True):
            again = cached.principal_scores(rows)
            np.testing.assert_array_equal(again[0], scores)
            np.testing.assert_array_equal(again[1], eigenvalues)
    assert len(decomposed) == 3


def test_float32_products_are_used_where_they_are_safe_and_pay_and_are_recorded() -> None:
    assert plan_gram(2560, 25088).precision == "float32"
    assert plan_gram(2560, 25088, single=False).precision == "float64", (
        "features given in float64 stay there"
    )
    assert plan_gram(2560, 4096).precision == "float64", (
        "fewer than twice as many units as rows: K is nearly singular"
    )
    assert plan_gram(100, 2000).precision == "float64", "nothing to gain"
    features = np.random.default_rng(0).standard_normal((50, 400)).astype(np.float32) + 100
    assert gram_of([features], precision="float32").precision == "float32"
    with pytest.raises(NeurofitError, match="precision of a Gram 'single'"):
        gram_of([features], precision="single")


def test_float32_products_with_a_large_offset_are_as_exact_as_the_features() -> None:
    features = np.random.default_rng(0).standard_normal((50, 5000)).astype(np.float32) + np.float32(
        20
    )
    exact, rounded = (
        gram_of([features], precision=precision).dense for precision in ("float64", "float32")
    )
    assert exact is not None
    assert rounded is not None
    assert np.abs(rounded - exact).max() < 1e-6 * np.abs(exact).max()


def test_units_that_do_not_vary_are_counted() -> None:
    features = np.random.default_rng(0).standard_normal((30, 70)).astype(np.float32)
    varying = gram_of([features])
    features = np.concatenate(
        [features, np.full((30, 5), 0.1, np.float32), np.zeros((30, 4), np.float32)], axis=1
    )
    gram = gram_of([features])
    assert gram.n_constant == 9
    assert varying.dense is not None
    assert gram.dense is not None
    np.testing.assert_allclose(gram.dense, varying.dense, atol=1e-10)


def test_a_unit_that_is_not_finite_is_named() -> None:
    features = np.ones((30, 5000), np.float32)
    features[3, 4500] = np.nan
    with pytest.raises(
        NeurofitError,
        match=r"conv5 at 120 ms has NaN or infinity in 1 of units 4096 to 4999 "
        r"\(first: unit 4500\)",
    ):
        gram_of([features], name="conv5 at 120 ms")


def test_features_that_do_not_vary_are_warned_of() -> None:
    with pytest.warns(
        NeurofitWarning, match="conv5 at 120 ms: none of the 40 units varies over the 10 rows"
    ):
        gram_of([np.ones((10, 40))], name="conv5 at 120 ms")


@pytest.mark.parametrize("p", [500, 40])
def test_units_that_dominate_all_others_are_warned_of(p: int) -> None:
    features = np.random.default_rng(0).standard_normal((100, p))
    features[:, 7] *= 1e5
    with pytest.warns(NeurofitWarning, match=rf"conv5: 1 of {p} units \(first: unit 7, sd .*e\+0"):
        gram = gram_of([features], name="conv5")
    assert len(gram.notes) == 1


def test_features_larger_than_the_memory_stay_on_disk(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for step in range(3):
        np.save(tmp_path / f"{step}.npy", rng.standard_normal((40, 30)).astype(np.float32) + 3)
    blocks = [np.load(tmp_path / f"{step}.npy", mmap_mode="r") for step in range(3)]
    held, left = gram_of(blocks), gram_of(blocks, memory=1000)
    assert left.blocks is not None
    assert isinstance(left.blocks[0], np.memmap)
    assert held.plan is not None
    assert left.plan is not None
    assert left.plan.n_bytes < held.plan.n_bytes
    vectors, rows = rng.standard_normal((120, 4)), np.arange(120) % 4 > 0
    np.testing.assert_allclose(product(left, vectors), product(held, vectors), atol=1e-9)
    np.testing.assert_allclose(
        product(left.subset(rows), vectors[rows]),
        product(held.subset(rows), vectors[rows]),
        atol=1e-9,
    )
    for a, b in zip(left.train_cross_product(rows), held.train_cross_product(rows), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)


@pytest.mark.parametrize(
    ("p", "memory"),
    [(300, 2**31), (30, 2**31), (30, 1), (300, 1)],
    ids=["dense", "factor", "blocks", "wide blocks"],
)
@pytest.mark.filterwarnings("ignore:features. ridge of:neurofit.errors.NeurofitWarning")
def test_maps_of_a_subset_are_those_of_its_own_gram(p: int, memory: int) -> None:
    rng = np.random.default_rng(0)
    blocks = [rng.standard_normal((40, p)) + 3 for _ in range(3)]
    stimuli = rng.permutation(40) < 25
    rows, train = (
        np.tile(stimuli, 3),
        np.tile(train_splits(25, n_splits=2, train_size=0.7, seed=0), 3),
    )
    subset = gram_of(blocks, memory=memory).subset(rows)
    assert subset.n_rows == 75
    own, targets = gram_of([block[stimuli] for block in blocks]), rng.standard_normal((2, 75, 4))
    mappings: list[GramMapping] = [PLSMapping(n_components=5), RidgeMapping()]
    for mapping in mappings:
        for a, b in zip(
            *(mapping.cross_predict(gram, targets, train, times=3) for gram in (subset, own)),
            strict=True,
        ):
            np.testing.assert_allclose(a, b, atol=1e-9)
    again, vectors = subset.subset(np.tile(np.arange(25) < 20, 3)), rng.standard_normal((60, 2))
    vectors -= vectors.mean(
        axis=0
    )  # the shift is not seen by vectors that sum to zero, once the product is centred, too
    expected = product(gram_of([block[stimuli][:20] for block in blocks]), vectors)
    found = product(again, vectors)
    np.testing.assert_allclose(
        found - found.mean(axis=0), expected - expected.mean(axis=0), atol=1e-8
    )


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_torch_builds_the_same_gram(precision: str) -> None:
    features = np.random.default_rng(0).standard_normal((50, 5000)).astype(np.float32) + 1
    ours, torchs = (
        gram_of([features], precision=precision, device=device).dense
        for device in ("cpu", "torch-cpu")
    )
    assert ours is not None
    assert torchs is not None
    np.testing.assert_allclose(
        torchs, ours, atol={"float32": 1e-6, "float64": 1e-13}[precision] * np.abs(ours).max()
    )


@pytest.mark.parametrize(("axis", "factor"), [(0, 300.0), (1, 300.0)], ids=["a stimulus", "a unit"])
def test_an_uneven_gram_is_float64_unless_asked_otherwise(
    axis: int, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gram_module, "MIN_FLOPS_FOR_FLOAT32", 0.0)
    features = np.random.default_rng(0).standard_normal((60, 200)).astype(np.float32)
    assert gram_of([features]).precision == "float32"
    np.moveaxis(features, axis, 0)[3] *= factor
    assert gram_of([features]).precision == "float64"
    assert gram_of([features], precision="float32").precision == "float32"
