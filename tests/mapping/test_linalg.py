"""Devices are found by name, and float32 stays float32 on them."""

import numpy as np
import pytest
import torch

from neurofit.errors import NeurofitError
from neurofit.mapping.gram_building import gram_of
from neurofit.mapping.linalg import array_backend, times_sets
from neurofit.mapping.pls import PLSMapping
from neurofit.mapping.ridge import RidgeMapping
from neurofit.mapping.splits import train_splits


@pytest.mark.parametrize("name", ["gpu", "torch", "cudas"])
def test_an_unknown_device_is_refused(name: str) -> None:
    with pytest.raises(
        NeurofitError,
        match=f"Unknown device '{name}' for a mapping.\nExisting: cpu, torch-cpu, cuda, cuda:N",
    ):
        array_backend(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_a_missing_cuda_device_is_told() -> None:
    with pytest.raises(
        NeurofitError, match=r"Device 'cuda' needs a CUDA device; torch .* finds none"
    ):
        array_backend("cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_predicts_the_same() -> None:
    rng = np.random.default_rng(0)
    features, targets = (
        rng.standard_normal((80, 300)).astype(np.float32),
        rng.standard_normal((2, 80, 30)),
    )
    train = train_splits(80, n_splits=2, train_size=0.75, seed=0)
    for ours, theirs in (
        (PLSMapping(), PLSMapping(device="cuda")),
        (RidgeMapping(), RidgeMapping(device="cuda")),
    ):
        expected = ours.cross_predict(gram_of([features]), targets, train)
        for a, b in zip(
            theirs.cross_predict(gram_of([features], device="cuda"), targets, train),
            expected,
            strict=True,
        ):
            np.testing.assert_allclose(a, b, atol=1e-8)


@pytest.mark.parametrize("before", [True, False])
def test_tf32_is_off_while_a_gram_is_made_and_as_before_afterwards(before: bool) -> None:
    matmul = torch.backends.cuda.matmul
    kept, matmul.allow_tf32 = matmul.allow_tf32, before
    try:
        with array_backend("torch-cpu").full_precision():
            assert not matmul.allow_tf32
        assert matmul.allow_tf32 == before
    finally:
        matmul.allow_tf32 = kept


@pytest.mark.parametrize("name", ["cpu", "torch-cpu"])
def test_arrays_come_and_go_unchanged(name: str) -> None:
    backend, values = array_backend(name), np.arange(12.0).reshape(3, 4)
    values.flags.writeable = False
    np.testing.assert_array_equal(backend.numpy(backend.array(values)), values)
    assert backend.numpy(backend.array(values, "int64")).dtype == np.int64
    sets = np.random.default_rng(0).standard_normal((2, 4, 5))
    np.testing.assert_allclose(
        backend.numpy(times_sets(backend.array(values), backend.array(sets))),
        values @ sets,
        atol=1e-12,
    )
