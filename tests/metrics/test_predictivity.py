"""The two scores against hand-computed cases; the bootstrap has its nominal coverage."""

import numpy as np

from neurofit.metrics.averages import nanmean, nanmedian
from neurofit.metrics.bootstrap import draw, percentile_interval
from neurofit.metrics.predictivity import explained_variance, noise_corrected_r


def test_noise_corrected_r_by_hand() -> None:
    np.testing.assert_allclose(
        noise_corrected_r(np.array([0.3]), np.array([0.9]), np.array([0.4])), [0.3 / 0.6]
    )


def test_a_product_that_is_not_positive_is_undefined_and_nothing_is_clipped() -> None:
    scores = noise_corrected_r(
        np.array([0.3, 0.3, 0.9]), np.array([-0.1, 0.0, 0.8]), np.array([0.4, 0.4, 0.8])
    )
    assert np.isnan(scores[:2]).all()
    np.testing.assert_allclose(scores[2], 0.9 / 0.8)


def test_explained_variance_is_the_squared_median_over_the_ceiling() -> None:
    r_xy = np.array(
        [[[0.2], [0.4], [0.9]], [[0.4], [0.6], [0.7]]]
    )  # (split neuroid bin): medians 0.4 and 0.6
    r_yy = np.array(
        [[[0.3], [0.4], [0.8]], [[0.2], [0.6], [0.9]]]
    )  # (half neuroid bin): medians 0.4 and 0.6
    np.testing.assert_allclose(explained_variance(r_xy, r_yy), [0.5**2 / 0.5])
    assert np.isnan(explained_variance(r_xy, -r_yy))[0]


def test_the_interval_covers_the_median_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = []
    for seed in range(300):
        sample = rng.standard_normal((60, 1))
        samples = draw(60, n_bootstraps=300, seed=seed)
        low, high = percentile_interval(
            np.stack([nanmedian(sample[neuroids], axis=0) for neuroids in samples]), interval=0.9
        )
        covered.append(low[0] <= 0 <= high[0])
    assert 0.85 < np.mean(covered) < 0.96


def test_means_and_medians_of_nothing_are_nan_without_a_warning() -> None:
    values = np.array([[np.nan, 1.0], [np.nan, 3.0]])
    np.testing.assert_allclose(nanmean(values, axis=0), [np.nan, 2.0])
    np.testing.assert_allclose(nanmedian(values, axis=0), [np.nan, 2.0])
