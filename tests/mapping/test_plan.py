"""The algorithm and the memory of fits, within a factor, are known before a feature is read."""

import tracemalloc

import numpy as np
import pytest

from neurofit.mapping import gram, pls
from neurofit.mapping.contract import GramMapping
from neurofit.mapping.gram import plan_gram
from neurofit.mapping.gram_building import gram_of
from neurofit.mapping.pls import PLSMapping
from neurofit.mapping.reduce import PrincipalComponentsMapping
from neurofit.mapping.ridge import RidgeMapping
from neurofit.mapping.splits import train_splits

N_SETS, N_SPLITS, N_NEUROIDS = 5, 3, 40


def planned(
    mapping: GramMapping, n_rows: int, n_units: int, memory: int = 2**31
) -> tuple[str, float, int]:
    """Return way, operations and bytes, the Gram's and the targets' included."""
    plan = plan_gram(n_rows, n_units, precision=mapping.precision, memory=memory)
    fits = mapping.plan(plan, n_sets=N_SETS, n_splits=N_SPLITS, n_neuroids=N_NEUROIDS)
    return (
        fits.method,
        plan.flops + fits.flops,
        plan.n_bytes + fits.n_bytes + 8 * 4 * N_SETS * n_rows * N_NEUROIDS,
    )


@pytest.mark.parametrize(
    ("mapping", "n_rows", "n_units", "memory", "way"),
    [
        pytest.param(PLSMapping(), 400, 3000, 2**31, "dual", id="pls n<p"),
        pytest.param(PLSMapping(), 3000, 200, 2**31, "cross products", id="pls n>p"),
        pytest.param(PLSMapping(), 2000, 1500, 2**20, "passes over the features", id="pls on disk"),
        pytest.param(RidgeMapping(), 400, 3000, 2**31, "eigenvectors", id="ridge n<p"),
        pytest.param(RidgeMapping(), 3000, 200, 2**31, "eigenvectors", id="ridge n>p"),
        pytest.param(
            PrincipalComponentsMapping(PLSMapping(), 50),
            400,
            3000,
            2**31,
            "cross products",
            id="pls of components",
        ),
    ],
)
def test_way_and_memory_are_as_planned(
    mapping: GramMapping,
    n_rows: int,
    n_units: int,
    memory: int,
    way: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gram, "CHUNK_VALUES", 2**19)
    if memory == 2**20:
        monkeypatch.setattr(pls, "PASS_BYTES", 2**24)
    rng = np.random.default_rng(0)
    features = rng.standard_normal((n_rows, n_units), dtype=np.float32)
    targets = rng.standard_normal((N_SETS, n_rows, N_NEUROIDS))
    train = train_splits(n_rows, n_splits=N_SPLITS, train_size=0.75, seed=0)
    found, flops, n_bytes = planned(mapping, n_rows, n_units, memory)
    assert found == way
    assert flops > n_rows * n_units * min(n_rows, n_units)
    tracemalloc.start()
    mapping.cross_predict(
        gram_of([features], precision=mapping.precision, memory=memory), targets, train
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n_bytes / 2.5 < peak < 1.25 * n_bytes
