"""No map is fitted where the recording alone forbids a score, and no score changes by that."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurofit.analyses.encoding import fitting
from neurofit.analyses.encoding.predictions import predict_halves
from neurofit.analyses.predictivity import statistics
from neurofit.analyses.predictivity.reasons import REASONS
from neurofit.recordings.recording import Recording

Blocks = dict[tuple[str, int], np.ndarray]
Plant = Callable[..., tuple[Blocks, Recording]]
Run = Callable[..., xr.Dataset]

N_SPLITS, N_HALVES = 3, 4


@pytest.fixture
def silent_bins(plant: Plant) -> tuple[Blocks, Recording]:
    """Plant four bins, of which the first and the third have noise only."""
    blocks, recording = plant(noise=1.0, n_stimuli=120, n_trials=6, n_neuroids=20, n_bins=4)
    responses = recording.responses.copy(deep=True)
    shape = responses[:, :, ::2].shape
    responses[:, :, ::2] = np.random.default_rng(0).standard_normal(shape)
    return blocks, replace(recording, responses=responses)


@pytest.fixture
def n_fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the maps of each call that fits them."""
    counts: list[int] = []

    def counted(mapping: Any, gram: Any, targets: Any, train: np.ndarray, **options: Any) -> Any:
        counts.append(targets.sets.shape[0] * len(train))
        return predict_halves(mapping, gram, targets, train, **options)

    monkeypatch.setattr(fitting, "predict_halves", counted)
    return counts


def test_scores_do_not_depend_on_maps_of_bins_without_reliability(
    silent_bins: tuple[Blocks, Recording],
    run: Run,
    n_fits: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = {"n_splits": N_SPLITS, "n_halves": N_HALVES}
    result = run(*silent_bins, "pooled", **options)
    of_bin = N_SPLITS * (1 + 2 * N_HALVES)
    assert sum(n_fits) == 2 * of_bin
    n_fits.clear()
    monkeypatch.setattr(statistics.Group, "may_have_score", lambda group: True)
    every = run(*silent_bins, "pooled", **options)
    assert sum(n_fits) == 4 * of_bin
    expected = ["recording_not_reliable", "scored"] * 2
    assert [REASONS[each] for each in result.reason.values[0, 0]] == expected
    for name in ("curve", "curve_low", "curve_band_high", "curve_one_sided", "reason", "ceiling"):
        xr.testing.assert_equal(result[name], every[name])
    for name in ("r_xy", "r_xx", "pooled_r_xx", "influence_of_stimuli", "influence_of_cells"):
        shown = result[name].isel(time_bin=[1, 3])
        xr.testing.assert_equal(shown, every[name].isel(time_bin=[1, 3]))
    for name in ("z_r_yy", "pooled_r_yy", "r_yy"):
        np.testing.assert_allclose(result[name].values, every[name].values, rtol=1e-6)
    assert np.isnan(result.r_xy.isel(time_bin=[0, 2])).all()


def test_a_map_that_is_shared_by_all_bins_is_fitted_to_all_of_them(
    silent_bins: tuple[Blocks, Recording], run: Run, n_fits: list[int]
) -> None:
    run(*silent_bins, "pooled", n_splits=N_SPLITS, n_halves=N_HALVES, time_mode="fixed")
    assert sum(n_fits) == N_SPLITS * (1 + 2 * N_HALVES)


def test_scores_of_single_neuroids_fit_all_bins(
    silent_bins: tuple[Blocks, Recording], run: Run, n_fits: list[int]
) -> None:
    run(*silent_bins, "nayebi2022", n_splits=N_SPLITS, n_halves=N_HALVES)
    assert sum(n_fits) == 4 * N_SPLITS * (1 + 2 * N_HALVES)
