"""Participation ratios against loops over distinct stimuli, planted codes, and another package."""

from __future__ import annotations

from dataclasses import asdict
from itertools import permutations

import numpy as np
import pytest
from dimensionality import participation_ratio

from neurofit.errors import NeurofitError
from neurofit.metrics.dimensionality import Traces, traces


def measured(
    rng: np.random.Generator, *, n_stimuli: int, n_sites: int, noise: float, eigenvalues: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return two noisy measurements of latents that reach each site with random weights."""
    latents = rng.standard_normal((n_stimuli, len(eigenvalues))) * np.sqrt(eigenvalues)
    signal = latents @ rng.standard_normal((len(eigenvalues), n_sites)) + 3.0
    first, second = (signal + noise * rng.standard_normal(signal.shape) for _ in range(2))
    return first, second


def test_traces_equal_means_over_distinct_stimuli(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((2, 6, 3)) + 1
    squares, crossed, own = [], [], np.zeros((2, 3))
    for i, j, k, m in permutations(range(6), 4):
        one = (x[i] - x[j]) * (y[i] - y[j]) / 2
        two = (x[k] - x[m]) * (y[k] - y[m]) / 2
        squares.append(one.sum() * two.sum())
        across = np.outer(x[i] - x[j], y[i] - y[j]) / 2
        back = np.outer(y[k] - y[m], x[k] - x[m]) / 2
        crossed.append((across * back).sum())
        own += [one * two, np.diag(across * back)]
    found = traces(x, y)[0]
    n = len(squares)
    assert found.square_of_trace == pytest.approx(np.mean(squares))
    assert found.trace_of_square == pytest.approx(np.mean(crossed))
    assert found.own_square_of_trace == pytest.approx(own[0].sum() / n)
    assert found.own_trace_of_square == pytest.approx(own[1].sum() / n)


@pytest.mark.parametrize("noise", [0.0, 2.0, 8.0])
@pytest.mark.parametrize("eigenvalues", [np.ones(10), 1 / np.arange(1.0, 60.0)])
def test_a_planted_dimensionality_is_recovered(noise: float, eigenvalues: np.ndarray) -> None:
    """At any noise, and with any number of stimuli and sites."""
    truth = eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
    for n_stimuli, n_sites in ((60, 120), (200, 40)):
        summed = Traces(0.0, 0.0, 0.0, 0.0)
        naive = []
        for seed in range(60):
            rng = np.random.default_rng(seed)
            x, y = measured(
                rng, n_stimuli=n_stimuli, n_sites=n_sites, noise=noise, eigenvalues=eigenvalues
            )
            summed = summed + traces(x, y)[0]
            values = np.linalg.eigvalsh(np.cov((x + y).T / 2))
            naive.append(values.sum() ** 2 / (values**2).sum())
        assert summed.population == pytest.approx(truth, rel=0.08)
        if noise == 8.0:
            assert np.mean(naive) > 1.5 * truth


def test_sites_without_noise_have_the_classical_ratio(rng: np.random.Generator) -> None:
    """Of very many stimuli, the participation ratio of the sites' covariance."""
    scales = np.array([3.0, 2.0, 1.0, 0.5])
    x = rng.standard_normal((3_000, 4)) * scales
    expected = (scales**2).sum() ** 2 / (scales**4).sum()
    assert traces(x, x)[0].recorded == pytest.approx(expected, rel=0.05)


def test_a_code_of_noise_alone_has_no_dimensionality_or_a_wild_one() -> None:
    rng = np.random.default_rng(0)
    found = [traces(*rng.standard_normal((2, 50, 30)))[0].recorded for _ in range(40)]
    assert np.isnan(found).sum() > 5, "tr(C^2) is as often negative as positive"


def test_it_equals_the_package_of_its_authors(rng: np.random.Generator) -> None:
    """To rounding without noise. With two trials the package takes some of their sums for equal."""
    x, y = measured(rng, n_stimuli=40, n_sites=25, noise=1.0, eigenvalues=np.ones(5))
    for second, tolerance in ((x, 1e-9), (y, 0.02)):
        every = participation_ratio(x, second, return_all=True)
        found = traces(x, second)[0]
        assert found.population == pytest.approx(every["both"], rel=tolerance)
        assert found.recorded == pytest.approx(every["row"], rel=tolerance)


def test_fewer_than_four_stimuli_are_refused() -> None:
    with pytest.raises(NeurofitError, match="needs four stimuli; 3 are left"):
        traces(np.ones((3, 2)), np.ones((3, 2)))


def test_without_a_group_the_traces_are_those_of_the_others(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((2, 12, 300))
    groups = np.arange(12) % 3 == np.arange(3)[:, None]
    found = traces(x, y, groups)
    for without, group in zip(found[1:], groups, strict=True):
        (expected,) = traces(x[~group], y[~group])
        assert asdict(without) == pytest.approx(asdict(expected), rel=1e-9)
