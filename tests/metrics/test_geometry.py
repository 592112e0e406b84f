"""Debiased CKA and crossnobis distances against definitions, rsatoolbox and noise."""

from __future__ import annotations

from importlib import import_module
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import sklearn

from neurofit.metrics.geometry import debiased_cka, inner, squared_distances, u_centred
from neurofit.metrics.similarity import cka, distances


def kernel(patterns: np.ndarray) -> np.ndarray:
    return np.asarray(patterns @ patterns.T)


def test_the_inner_product_is_the_mean_over_distinct_stimuli(rng: np.random.Generator) -> None:
    """The square of the cross-covariance, from differences of four distinct stimuli."""
    x, y = rng.standard_normal((6, 3)), rng.standard_normal((6, 2)) + 1
    expected = np.mean(
        [
            ((x[i] - x[k]) @ (x[j] - x[m])) * ((y[i] - y[k]) @ (y[j] - y[m])) / 4
            for i, j, k, m in permutations(range(6), 4)
        ]
    )
    assert inner(u_centred(kernel(x)), u_centred(kernel(y))) == pytest.approx(expected)


def test_few_stimuli_do_not_make_unrelated_codes_alike() -> None:
    plain, debiased = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        one, other = (kernel(rng.standard_normal((30, 100))) for _ in range(2))
        plain.append(cka(one, other))
        debiased.append(debiased_cka(one, other))
    assert np.mean(plain) > 0.7
    assert np.mean(debiased) == pytest.approx(0, abs=3 * np.std(debiased) / np.sqrt(40))


def test_with_many_stimuli_it_is_the_plain_one(rng: np.random.Generator) -> None:
    x = rng.standard_normal((1500, 5))
    y = x @ rng.standard_normal((5, 4)) + rng.standard_normal((1500, 4))
    assert debiased_cka(kernel(x), kernel(y)) == pytest.approx(cka(kernel(x), kernel(y)), abs=0.01)


@pytest.mark.skipif(
    tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 6),
    reason="rsatoolbox needs scikit-learn 1.6",
)
def test_crossnobis_distances_are_those_of_rsatoolbox(rng: np.random.Generator) -> None:
    data: Any = import_module("rsatoolbox.data")
    rdm: Any = import_module("rsatoolbox.rdm")
    first, second = rng.standard_normal((2, 7, 5))
    trials = data.Dataset(
        np.concatenate([first, second]),
        obs_descriptors={"image": np.tile(np.arange(7), 2), "run": np.repeat([0, 1], 7)},
    )
    expected = rdm.calc_rdm(trials, method="crossnobis", descriptor="image", cv_descriptor="run")
    found = squared_distances(first @ second.T)
    np.testing.assert_allclose(found / 5, expected.dissimilarities[0], rtol=1e-12)


def test_distances_of_one_half_are_squared_euclidean(rng: np.random.Generator) -> None:
    gram = kernel(rng.standard_normal((8, 4)))
    np.testing.assert_allclose(squared_distances(gram), distances(gram))
