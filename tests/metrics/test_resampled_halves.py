"""Bootstrap samples of the stimuli, computed from products of matrices.

They equal those of plain loops to the last digits and are close to halves correlated one by one.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from neurofit.metrics.correlation import pearson
from neurofit.metrics.resampled_halves import PooledHalves, median_shifts
from neurofit.recordings.trials import TrialSets, deal_trials

N_STIMULI, N_HALVES, N_NEUROIDS, N_DRAWS = 17, 3, 4, 6


def half_means(
    *,
    n_stimuli: int = N_STIMULI,
    n_halves: int = N_HALVES,
    n_neuroids: int = N_NEUROIDS,
    n_repetitions: int = 5,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return both sides (half stimulus neuroid) of uneven splits, far from 0."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.arange(n_stimuli), n_repetitions)
    trials = (
        50
        + rng.standard_normal((n_stimuli, n_neuroids))[rows]
        + 1.5 * rng.standard_normal((len(rows), n_neuroids))
    )
    first, second = np.split(
        TrialSets(rows, deal_trials(rows, n_halves=n_halves, seed=seed)).means(trials)[1:], 2
    )
    return first.copy(), second.copy()


def draws(n_draws: int = N_DRAWS, *, n_stimuli: int = N_STIMULI) -> np.ndarray:
    return np.random.default_rng(1).integers(n_stimuli, size=(n_draws, n_stimuli))


def counted(drawn: np.ndarray) -> np.ndarray:
    return np.stack([np.bincount(each, minlength=drawn.shape[1]) for each in drawn])


def plain(first: np.ndarray, second: np.ndarray, drawn: np.ndarray) -> float:
    """Correlate the halves of one neuroid in one sample, stimulus by stimulus."""
    held = {}
    for stimulus in range(first.shape[1]):
        pairs = [
            (a, b)
            for a, b in zip(first[:, stimulus], second[:, stimulus], strict=True)
            if a == a and b == b
        ]
        if pairs:
            mean = sum((a + b) / 2 for a, b in pairs) / len(pairs)
            held[stimulus] = (mean, pairs)
    centre = sum(mean for mean, _ in held.values()) / len(held)
    n, of_means, shared = 0, 0.0, {"ab": 0.0, "aa": 0.0}
    totals = {"ab": 0.0, "aa": 0.0}
    for stimulus, (mean, pairs) in held.items():
        times = int((drawn == stimulus).sum())
        n += times
        of_means += times * (mean - centre)
        values = {
            "ab": sum((a - centre) * (b - centre) for a, b in pairs) / len(pairs),
            "aa": sum(((a - centre) ** 2 + (b - centre) ** 2) / 2 for a, b in pairs) / len(pairs),
        }
        for name, value in values.items():
            totals[name] += times * value
            shared[name] += times**2 * (value - (mean - centre) ** 2)
    covariance, variance = (
        totals[name] - (of_means**2 + shared[name]) / n for name in ("ab", "aa")
    )
    return covariance / variance


@pytest.mark.parametrize("gaps", [False, True])
def test_products_are_plain_loops_over_samples_and_stimuli(gaps: bool) -> None:
    first, second = half_means()
    if gaps:
        first[0, 3, 1] = first[:, 5, 1] = second[2, 5:9, 2] = np.nan
    drawn = draws()
    expected = [
        [plain(first[..., neuroid], second[..., neuroid], each) for neuroid in range(N_NEUROIDS)]
        for each in drawn
    ]
    found = PooledHalves.from_halves(first.copy(), second.copy()).correlation(counted(drawn))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def test_samples_move_as_halves_that_are_correlated_one_by_one() -> None:
    first, second = half_means(n_stimuli=60, n_halves=10, n_neuroids=8)
    drawn = draws(300, n_stimuli=60)
    exact = np.stack([pearson(first[:, each], second[:, each]).mean(axis=0) for each in drawn])
    whole = pearson(first, second).mean(axis=0)
    pooled = PooledHalves.from_halves(first.copy(), second.copy())
    found = (
        pooled.correlation(counted(drawn))
        - pooled.correlation(np.ones((1, 60), dtype=np.int64))
        + whole
    )
    for neuroid in range(8):
        assert stats.pearsonr(found[:, neuroid], exact[:, neuroid]).statistic > 0.97
    np.testing.assert_allclose(found.std(axis=0), exact.std(axis=0), rtol=0.1)
    np.testing.assert_allclose(found.mean(axis=0), exact.mean(axis=0), atol=0.015)


def test_what_varies_over_no_stimulus_is_undefined() -> None:
    first, second = half_means()
    first[..., 2] = second[..., 2] = 3.0
    first[..., 3] = np.nan
    found = PooledHalves.from_halves(first, second).correlation(counted(draws()))
    assert np.isnan(found[:, 2:]).all()
    assert not np.isnan(found[:, :2]).any()


def test_the_median_moves_by_what_neuroids_have_in_common() -> None:
    rng = np.random.default_rng(0)
    r = rng.uniform(0.2, 0.8, 400)
    together, alone = 0.05 * rng.standard_normal((500, 1)), 0.05 * rng.standard_normal((500, 400))
    moved = median_shifts(r + together + alone, r, neuroids_resampled=True)
    assert np.std(moved) == pytest.approx(0.05, rel=0.1)
    assert stats.pearsonr(moved, together[:, 0]).statistic > 0.98
    unrelated = median_shifts(r + alone, r, neuroids_resampled=True)
    assert np.std(unrelated) < 0.3 * np.std(median_shifts(r + alone, r, neuroids_resampled=False))
    lacking = np.where(np.arange(400) < 3, np.nan, r)
    assert np.isfinite(median_shifts(r + together + alone, lacking, neuroids_resampled=True)).all()
    assert np.isnan(median_shifts(r + alone, np.full(400, np.nan), neuroids_resampled=True)).all()
    assert np.std(
        median_shifts((r + together)[:, :1], r[:1], neuroids_resampled=True)
    ) == pytest.approx(np.std(together))
