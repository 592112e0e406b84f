"""Tests of many contrasts against scipy, and their size on planted tables."""

import numpy as np
import pytest
from scipy import stats

from neurofit.metrics.contrasts import compare_contrasts
from neurofit.metrics.two_way import Influences, signed_t


def of_neuroids(values: np.ndarray) -> tuple[np.ndarray, Influences]:
    """Return the means of a table (neuroid contrast), and the influences on them."""
    mean = values.mean(axis=0)
    none = np.zeros(len(mean))
    return mean, Influences((values - mean) / len(values), np.zeros((2, len(mean))), none, none)


def test_one_contrast_over_neuroids_is_a_paired_t_test(rng: np.random.Generator) -> None:
    values = rng.standard_normal((60, 1)) + 0.3
    mean, influences = of_neuroids(values)
    made = compare_contrasts(
        mean, influences, np.zeros(1, int), over="neuroids", level=0.95, seed=0
    )
    expected = stats.ttest_1samp(values[:, 0], 0)
    assert mean[0] / made.se[0] == pytest.approx(expected.statistic)
    assert made.p[0] == pytest.approx(2 * stats.t.sf(expected.statistic, made.df[0]))
    interval = expected.confidence_interval()
    assert made.low[0] == pytest.approx(interval.low, abs=0.03)
    assert made.p_adjusted[0] == pytest.approx(expected.pvalue, abs=0.015)


def test_false_discovery_is_scipys(rng: np.random.Generator) -> None:
    mean, influences = of_neuroids(rng.standard_normal((40, 9)) + np.linspace(0, 1, 9))
    mean[3] = np.nan
    made = compare_contrasts(
        mean, influences, np.zeros(9, int), over="neuroids", level=0.95, seed=0
    )
    shown = np.arange(9) != 3
    np.testing.assert_allclose(
        made.p_false_discovery[shown], stats.false_discovery_control(made.p[shown])
    )
    for name in ("p", "p_adjusted", "p_false_discovery", "low", "band_high"):
        assert np.isnan(getattr(made, name)[3])


@pytest.mark.parametrize(
    ("n_neuroids", "n_stimuli", "sds"), [(30, 80, (0.5, 1.0, 3.0)), (10, 60, (1.0, 0.0, 2.0))]
)
@pytest.mark.simulation
def test_a_family_rejects_as_often_as_it_says(
    rng: np.random.Generator, n_neuroids: int, n_stimuli: int, sds: tuple[float, float, float]
) -> None:
    n_data, n_pairs, n_bins = 120, 2, 4
    k = n_pairs * n_bins
    any_rejected, each_rejected = [], []
    for _ in range(n_data):
        table = sds[0] * rng.standard_normal((1, n_neuroids, k))
        table = table + sds[1] * rng.standard_normal((n_stimuli, 1, k))
        table = table + sds[2] * rng.standard_normal((n_stimuli, n_neuroids, k))
        mean = table.mean(axis=(0, 1))
        cells = (table - mean) / table[..., 0].size
        centred = cells - cells.mean(axis=1, keepdims=True)
        v_cells = n_neuroids / (n_neuroids - 1) * (centred**2).sum(axis=(0, 1))
        influences = Influences(cells.sum(axis=0), cells.sum(axis=1), v_cells, np.zeros(k))
        pairs = np.repeat(np.arange(n_pairs), n_bins)
        made = compare_contrasts(mean, influences, pairs, over="both", level=0.95, seed=0)
        any_rejected.append((made.p_adjusted <= 0.05).any())
        each_rejected.append((made.p <= 0.05).mean())
        outside = (made.band_low > 0) | (made.band_high < 0)
        np.testing.assert_array_equal(outside, made.p_adjusted <= 0.05)
    margin = 3 * np.sqrt(0.05 * 0.95 / n_data)
    assert np.mean(any_rejected) < 0.05 + margin
    assert np.mean(each_rejected) == pytest.approx(0.05, abs=0.03)


def test_nothing_differs_from_itself() -> None:
    none = np.zeros((5, 3))
    influences = Influences(none, none, none[0], none[0])

    made = compare_contrasts(
        np.zeros(3), influences, np.zeros(3, int), over="both", level=0.95, seed=0
    )
    for name in ("low", "high", "band_low", "band_high"):
        np.testing.assert_array_equal(getattr(made, name), 0)
    np.testing.assert_array_equal(made.p_adjusted, 1)


def test_a_band_leaves_out_0_exactly_where_the_adjusted_p_value_is_small(
    rng: np.random.Generator,
) -> None:
    _, influences = of_neuroids(rng.standard_normal((40, 5)))
    draws = np.sort(np.abs(signed_t([influences.neuroids], seed=0)).max(axis=1))
    rank = int(0.95 * len(draws))
    for between in range(rank - 3, rank + 3):  # a t between two neighbouring draws
        t = draws[between : between + 2].mean()
        se = compare_contrasts(
            np.zeros(5), influences, np.zeros(5, int), over="neuroids", level=0.95, seed=0
        ).se
        made = compare_contrasts(
            t * se, influences, np.zeros(5, int), over="neuroids", level=0.95, seed=0
        )
        np.testing.assert_array_equal(made.band_low > 0, made.p_adjusted <= 0.05)
