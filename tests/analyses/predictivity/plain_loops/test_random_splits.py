"""Presets with random splits: each number equals that of plain loops."""

from types import SimpleNamespace

import numpy as np
import pytest

from neurofit.activations.activations import Activations
from neurofit.analyses.predictivity.presets import make_config
from neurofit.analyses.predictivity.score import score
from neurofit.recordings.recording import Recording


@pytest.mark.parametrize("preset", ["nayebi2022", "brainscore"])
@pytest.mark.parametrize("mapping", ["pls", "ridge"])
@pytest.mark.parametrize(
    ("time_mode", "intercept"), [("per-bin", "per-bin"), ("fixed", "per-bin"), ("fixed", "shared")]
)
def test_every_number_equals_that_of_plain_loops(
    planted: tuple[Activations, Recording],
    loops: SimpleNamespace,
    preset: str,
    mapping: str,
    time_mode: str,
    intercept: str,
) -> None:
    activations, recording = planted
    options = {
        "time_mode": time_mode,
        "intercept": intercept,
        "n_splits": 3,
        "n_halves": 2,
        "n_bootstraps": 10,
        "fit_halves": True,
    }
    config = make_config(preset, mapping=loops.mappings[mapping], **options)
    result = score(activations, recording.select(region="IT"), config)
    r_xy, r_xx, r_yy = loops.correlations(activations, recording, config, mapping=mapping)
    np.testing.assert_allclose(result.r_xy.values[0], r_xy, atol=1e-6)
    np.testing.assert_allclose(result.r_xx.values[0], r_xx, atol=1e-6)
    np.testing.assert_allclose(result.r_yy.values, r_yy, atol=1e-10)

    shares = loops.shares_of(recording, config)
    assert (result.reason.values == 0).all(), "the planted neuroids are all reliable"
    for average, correct in (
        ("correlations", loops.of_mean),
        ("terms", lambda *given: loops.of_each(*given).mean(axis=(0, 1))),
    ):
        xx, yy = (correct(r, shares) for r in (r_xx, r_yy))
        floor = config.reliability_floor or 0.0  # a less consistent map counts as this
        product = np.maximum(xx, floor) * yy
        expected = r_xy.mean(axis=0) / np.sqrt(np.where(product > 0, product, np.nan))
        found = result[f"noise_corrected_r_of_{average}"].values[0]
        np.testing.assert_allclose(found, expected, atol=1e-6)
        if config.average == average:
            np.testing.assert_allclose(
                result.curve_noise_corrected_r.values[0], np.nanmedian(expected, axis=0), atol=1e-6
            )
    halves_yy = loops.reliability(r_yy, *shares.mean(axis=0))
    ceiling = np.median(halves_yy, axis=2).mean(axis=(0, 1))
    explained = np.median(r_xy, axis=1).mean(axis=0) ** 2 / ceiling
    np.testing.assert_allclose(result.curve_explained_variance.values[0], explained, atol=1e-6)
    shown = {
        "nayebi2022": result.curve_noise_corrected_r,
        "brainscore": result.curve_explained_variance,
    }
    np.testing.assert_array_equal(result.curve.values, shown[preset].values)


def test_the_raw_curve_is_the_median_over_neuroids_of_means_over_splits(
    planted: tuple[Activations, Recording], loops: SimpleNamespace
) -> None:
    options = {"mapping": loops.mappings["pls"], "n_splits": 3, "n_halves": 2, "n_bootstraps": 10}
    config = make_config("nayebi2022", **options)
    r_xy, _, _ = loops.correlations(*planted, config)
    activations, recording = planted
    result = score(activations, recording.select(region="IT"), config)
    assert (result.reason.values == 0).all()
    expected = np.median(r_xy.mean(axis=0), axis=0)
    np.testing.assert_allclose(result.curve_r_xy.values[0], expected, atol=1e-6)


def test_correlations_are_averaged_before_both_reliabilities_are_corrected(
    planted: tuple[Activations, Recording], loops: SimpleNamespace
) -> None:
    options = {"mapping": loops.mappings["pls"], "n_splits": 3, "n_halves": 2, "n_bootstraps": 10}
    config = make_config("nayebi2022", **options)
    assert config.average == "correlations"
    activations, recording = planted
    result = score(activations, recording.select(region="IT"), config)
    r_xy, r_xx, r_yy = loops.correlations(*planted, config)
    xx, yy = (loops.of_mean(r, loops.shares_of(recording, config)) for r in (r_xx, r_yy))
    mean_yy = r_yy.mean(axis=(0, 1))
    assert abs(yy - 2 * mean_yy / (1 + mean_yy)).max() > 1e-3, "halves are not equal"
    expected = r_xy.mean(axis=0) / np.sqrt(xx * yy)
    np.testing.assert_allclose(result.noise_corrected_r.values[0], expected, atol=1e-6)
    np.testing.assert_allclose(result.curve.values[0], np.median(expected, axis=0), atol=1e-6)
    assert result.curve.attrs["formula"].endswith(
        "median over neuroids, correlations averaged first"
    )


def test_streams2018_is_the_signed_square_of_the_mean_over_the_reliabilities_of_means(
    planted: tuple[Activations, Recording], loops: SimpleNamespace
) -> None:
    config = make_config(
        "streams2018",
        mapping=loops.mappings["pls"],
        n_splits=3,
        n_halves=2,
        n_bootstraps=10,
    )
    activations, recording = planted
    result = score(activations, recording.select(region="IT"), config)
    r_xy, r_xx, r_yy = loops.correlations(*planted, config)
    xx, yy = (loops.of_mean(r, loops.shares_of(recording, config)) for r in (r_xx, r_yy))
    mean = r_xy.mean(axis=0)
    squares = np.sign(mean) * mean**2 / (xx * yy)
    np.testing.assert_allclose(result.curve.values[0], np.median(squares, axis=0), atol=1e-6)
    assert result.curve.attrs["formula"] == (
        "noise_corrected_r2 = r_xy |r_xy| / (r_xx * r_yy), median over neuroids, "
        "correlations averaged first"
    )


def test_mouse_divides_in_every_split_and_half_and_averages_then(
    planted: tuple[Activations, Recording], loops: SimpleNamespace
) -> None:
    config = make_config(
        "mouse", mapping=loops.mappings["pls"], n_splits=3, n_halves=4, n_bootstraps=10
    )
    assert (config.train_size, make_config("mouse").n_halves) == (0.5, 100)
    activations, recording = planted
    result = score(activations, recording.select(region="IT"), config)
    r_xy, r_xx, r_yy = loops.correlations(*planted, config)
    xx, yy = (loops.of_each(r, loops.shares_of(recording, config)) for r in (r_xx, r_yy))
    products = np.maximum(xx, config.reliability_floor or 0.0) * yy  # (split half neuroid bin)
    ratios = r_xy[:, None] / np.sqrt(np.where(products > 0, products, np.nan))
    np.testing.assert_allclose(
        result.curve.values[0], np.median(np.nanmean(ratios, axis=(0, 1)), axis=0), atol=1e-6
    )
    assert result.curve.attrs["formula"].endswith(
        "median over neuroids, averaged after the division"
    )
