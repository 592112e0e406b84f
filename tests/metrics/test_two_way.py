"""Two-way standard errors against the variance components of tables that are planted."""

import numpy as np
import pytest
from scipy import stats

from neurofit.metrics.two_way import (
    Influences,
    effective_df,
    interval_of,
    signed_t,
    standard_error,
)


def planted(
    rng: np.random.Generator,
    *,
    n_neuroids: int,
    n_stimuli: int,
    sds: tuple[float, float, float],
    n_bins: int = 1,
) -> tuple[np.ndarray, Influences]:
    """Return the mean of a table a_n + b_s + e_sn of expectation 0, and the influences on it."""
    over_neuroids, over_stimuli, rest = sds
    table = (
        over_neuroids * rng.standard_normal((1, n_neuroids, n_bins))
        + over_stimuli * rng.standard_normal((n_stimuli, 1, n_bins))
        + rest * rng.standard_normal((n_stimuli, n_neuroids, n_bins))
    )
    mean = table.mean(axis=(0, 1))
    cells = (table - mean) / table[..., 0].size
    centred = cells - cells.mean(axis=1, keepdims=True)
    v_cells = n_neuroids / (n_neuroids - 1) * (centred**2).sum(axis=(0, 1))
    sums = cells.sum(axis=0), cells.sum(axis=1)
    return mean, Influences(*sums, v_cells, np.zeros(n_bins))


@pytest.mark.parametrize("sds", [(1.0, 2.0, 1.0), (0.0, 1.0, 3.0), (1.0, 0.0, 3.0)])
def test_the_variance_over_both_is_the_sum_of_the_components(
    rng: np.random.Generator, sds: tuple[float, float, float]
) -> None:
    n, s = 40, 100
    a, b, e = sds
    expected = np.sqrt(a**2 / n + b**2 / s + e**2 / (n * s))
    found = [
        standard_error(planted(rng, n_neuroids=n, n_stimuli=s, sds=sds)[1], over="both")[0][0]
        for _ in range(200)
    ]
    assert np.sqrt(np.mean(np.square(found))) == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize(
    ("over", "sds"), [("both", (1.0, 2.0, 3.0)), ("neuroids", (1.0, 0.0, 2.0))]
)
def test_intervals_and_bands_cover_as_often_as_they_say(
    rng: np.random.Generator, over: str, sds: tuple[float, float, float]
) -> None:
    n_data, n_bins = 400, 6
    inside, everywhere = [], []
    for _ in range(n_data):
        mean, influences = planted(rng, n_neuroids=20, n_stimuli=60, sds=sds, n_bins=n_bins)
        made = interval_of(mean, influences, over=over, level=0.95, seed=0)
        inside.append((made.low <= 0) & (made.high >= 0))
        everywhere.append(((made.band_low <= 0) & (made.band_high >= 0)).all())
    margin = 3 * np.sqrt(0.05 * 0.95 / n_data)
    assert np.mean(inside) == pytest.approx(0.95, abs=margin / np.sqrt(n_bins) + 0.01)
    assert np.mean(everywhere) == pytest.approx(0.95, abs=margin + 0.005)
    assert np.mean(np.all(inside, axis=1)) < 0.95 - margin  # what the band is for


def test_pairs_of_stimuli_that_count_twice_are_taken_off(rng: np.random.Generator) -> None:
    _, influences = planted(rng, n_neuroids=20, n_stimuli=60, sds=(0.0, 1.0, 0.0))
    variance = 60 / 59 * (influences.stimuli**2).sum(axis=0)
    less = Influences(influences.neuroids, influences.stimuli, influences.cells, variance / 3)
    se, _ = standard_error(less, over="stimuli")
    assert se[0] == pytest.approx(np.sqrt(2 / 3 * variance[0]))
    floored = Influences(influences.neuroids, influences.stimuli, influences.cells, 2 * variance)
    assert standard_error(floored, over="stimuli")[0][0] == pytest.approx(np.sqrt(variance[0]) / 2)


def test_degrees_of_freedom_are_fewer_where_a_few_rows_decide(rng: np.random.Generator) -> None:
    normal = rng.standard_normal((400, 200))
    assert np.median(effective_df(normal)) > 300
    heavy = rng.lognormal(0, 1.5, (400, 200)) * rng.choice([-1, 1], (400, 200))
    assert np.median(effective_df(heavy)) < 60
    assert effective_df(np.ones((7, 1)))[0] <= 6


def test_signs_give_the_largest_of_independent_t_statistics(rng: np.random.Generator) -> None:
    drawn = np.abs(signed_t([rng.standard_normal((500, 10))], seed=0)).max(axis=1)
    expected = stats.norm.ppf(0.5 + 0.95**0.1 / 2)  # Sidak
    assert np.quantile(drawn, 0.95) == pytest.approx(expected, rel=0.05)


def test_the_interval_of_one_neuroid_is_over_stimuli(rng: np.random.Generator) -> None:
    stimuli = rng.standard_normal((50, 1))
    alone = Influences(np.zeros((1, 1)), stimuli, np.zeros(1), np.zeros(1))
    both, over_stimuli, over_neuroids = (
        interval_of(np.zeros(1), alone, over=over, level=0.95, seed=0)
        for over in ("both", "stimuli", "neuroids")
    )
    assert both.high[0] == over_stimuli.high[0] > 0
    assert np.isnan(over_neuroids.high[0])


@pytest.mark.parametrize("over", ["both", "stimuli", "neuroids"])
def test_rows_without_influence_are_no_part_of_the_sample(
    rng: np.random.Generator, over: str
) -> None:
    mean, own = planted(rng, n_neuroids=5, n_stimuli=8, sds=(1.0, 1.0, 1.0), n_bins=3)
    neuroids, stimuli = (np.pad(rows, ((0, 40), (0, 0))) for rows in (own.neuroids, own.stimuli))
    wide = Influences(neuroids, stimuli, own.cells, own.pairs)  # such as those of another animal
    expected, found = (
        interval_of(mean, each, over=over, level=0.95, seed=0) for each in (own, wide)
    )
    for name in ("se", "df", "low", "band_low"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_bins_without_a_score_do_not_change_the_share_that_counts_twice(
    rng: np.random.Generator,
) -> None:
    mean, few = planted(rng, n_neuroids=20, n_stimuli=60, sds=(0.0, 1.0, 0.0), n_bins=3)
    pairs = np.array([0.4, 0.4, 0.0]) * 60 / 59 * (few.stimuli**2).sum(axis=0)
    loud = np.array([1.0, 1.0, 1e3])
    many = Influences(few.neuroids * loud, few.stimuli * loud, few.cells * loud**2, pairs)
    mean[2] = np.nan
    made = interval_of(mean, many, over="both", level=0.95, seed=0)
    expected, _ = standard_error(many.sampled(np.array([True, True, False])), over="both")
    np.testing.assert_allclose(made.se[:2], expected)
    assert made.se[0] < 0.85 * np.sqrt(60 / 59 * (few.stimuli[:, 0] ** 2).sum())


def test_bins_without_a_score_have_no_interval_and_no_part_in_the_band(
    rng: np.random.Generator,
) -> None:
    mean, influences = planted(rng, n_neuroids=20, n_stimuli=60, sds=(1.0, 1.0, 1.0), n_bins=3)
    mean[1] = np.nan
    made = interval_of(mean, influences, over="both", level=0.95, seed=0)
    assert np.isnan([made.low[1], made.band_high[1]]).all()
    assert np.isfinite(made.band_high[[0, 2]]).all()
