"""The amount of work of mappings: matrix products and decompositions, by size, not by time."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch.utils._python_dispatch import TorchDispatchMode

from neurofit.mapping import gram_building
from neurofit.mapping.contract import GramMapping
from neurofit.mapping.pls import PLSMapping
from neurofit.mapping.ridge import RELATIVE_ALPHAS, RidgeMapping

N_ROWS, N_TRAIN, N_NEUROIDS = 100, 80, 12
N_TEST = N_ROWS - N_TRAIN

MakeData = Callable[..., tuple[np.ndarray, np.ndarray]]


class Work(TorchDispatchMode):
    """Operations of matrix products, in flops, and decomposed matrices by size."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0
        self.gram_products = 0
        self.decomposed: Counter[int] = Counter()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = function.overloadpacket.__name__
        if name in ("mm", "bmm"):
            left, right = args
            self.flops += 2 * left.numel() * right.shape[-1]
            if right.shape == (N_ROWS, N_ROWS):
                self.gram_products += len(left)
        elif name == "_linalg_eigh":
            matrices = args[0]
            self.decomposed[matrices.shape[-1]] += matrices.numel() // matrices.shape[-1] ** 2
        return function(*args, **(kwargs or {}))


def work_of(
    mapping: GramMapping, make_data: MakeData, *, n_units: int, n_splits: int, n_sets: int
) -> Work:
    """Count what predicting the test rows of random splits takes."""
    features, targets = make_data(N_ROWS, n_units, N_NEUROIDS, n_sets=n_sets)
    train = np.zeros((n_splits, N_ROWS), dtype=bool)
    for number, rows in enumerate(train):
        rows[np.random.default_rng(number).permutation(N_ROWS)[:N_TRAIN]] = True
    gram = gram_building.gram_of([features], name="features", precision="float64")
    work = Work()
    with work:
        mapping.cross_predict(gram, targets, train)
    return work


@pytest.mark.parametrize("n_sets", [1, 5])
@pytest.mark.parametrize("n_splits", [3, 6])
@pytest.mark.parametrize(("n_units", "rank"), [(400, N_TRAIN - 1), (30, 30)])
def test_ridge_decomposes_once_per_split_and_its_products_are_those_of_the_formula(
    make_data: MakeData, n_units: int, rank: int, n_splits: int, n_sets: int
) -> None:
    mapping = RidgeMapping(device="torch-cpu")
    work = work_of(mapping, make_data, n_units=n_units, n_splits=n_splits, n_sets=n_sets)
    n_alphas = len(RELATIVE_ALPHAS)
    scores = N_TEST * N_TRAIN if n_units > N_TRAIN else (N_ROWS + 1) * n_units
    penalties = N_TRAIN * (N_NEUROIDS + n_alphas + n_alphas * N_NEUROIDS) * rank
    errors = N_TRAIN * n_alphas * N_NEUROIDS
    per_set = (N_TRAIN + N_TEST) * rank * N_NEUROIDS
    expected = 2 * n_splits * (scores * rank + penalties + errors + n_sets * per_set)
    assert work.decomposed == {min(N_TRAIN, n_units): n_splits}
    assert work.flops <= expected


@pytest.mark.parametrize("n_sets", [1, 5])
@pytest.mark.parametrize("n_splits", [3, 6])
def test_pls_multiplies_with_the_gram_twice_per_component_and_fit(
    make_data: MakeData, n_splits: int, n_sets: int
) -> None:
    mapping = PLSMapping(n_components=5, device="torch-cpu")
    work = work_of(mapping, make_data, n_units=400, n_splits=n_splits, n_sets=n_sets)
    fits = n_splits * n_sets
    assert work.gram_products == 2 * 5 * fits
    assert work.decomposed[N_NEUROIDS] == 5 * fits
    assert work.decomposed.total() <= 5 * fits + n_splits  # and one for the first component


class CountedReads(np.ndarray):
    """Features that count the values that are taken from them."""

    n_read = 0

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        CountedReads.n_read += part.size
        return np.asarray(part)


@pytest.mark.parametrize("n_units", [150, 1000])
def test_each_feature_is_read_once_for_its_gram(
    make_data: MakeData, monkeypatch: pytest.MonkeyPatch, n_units: int
) -> None:
    monkeypatch.setattr(gram_building, "CHUNK_UNITS", 64)
    monkeypatch.setattr(CountedReads, "n_read", 0)
    features, _ = make_data(N_ROWS, n_units, N_NEUROIDS)
    gram = gram_building.gram_of([features.view(CountedReads)], precision="float64")
    assert gram.dense is not None
    assert CountedReads.n_read == features.size
