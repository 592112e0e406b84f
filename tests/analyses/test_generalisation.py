"""Maps of one time bin tested in all: planted codes that stay, turn or switch, and plain loops."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy import stats
from sklearn.linear_model import RidgeCV

import neurofit
from neurofit.activations.activations import Activations
from neurofit.analyses.comparison.pairing import whole_area
from neurofit.analyses.encoding.fitting import Fitting
from neurofit.analyses.generalisation.config import GeneralisationConfig
from neurofit.analyses.generalisation.generalise import generalisation
from neurofit.errors import NeurofitError
from neurofit.mapping.ridge import RidgeMapping
from neurofit.recordings.recording import Recording

Plant = Callable[..., tuple[Activations, Recording]]

ALPHAS = (0.1, 1.0, 10.0, 100.0)


@pytest.fixture
def plant(courses: Any) -> Plant:
    """Plant a code that is turned by an angle in each bin."""
    return lambda *angles, **options: courses.Code(angles=angles, **options).draw(0)


def square(result: xr.Dataset, name: str = "generalisation") -> np.ndarray:
    return np.asarray(result[name].values[0])


@pytest.mark.parametrize(
    "angles",
    [
        [0.0, 0.0, 0.0, 0.0],
        [0.0, 0.4, 0.8, 1.2],
        [0.0, 0.0, np.pi / 2, np.pi / 2],
    ],
    ids=["stationary", "turning", "switching"],
)
def test_planted_codes_are_recovered(plant: Plant, angles: list[float]) -> None:
    result = generalisation(*plant(*angles))
    truth = np.cos(np.subtract.outer(angles, angles))
    assert square(result) == pytest.approx(truth, abs=0.07)
    difference = square(result, "difference")
    off = ~np.eye(4, dtype=bool)
    assert difference[off] == pytest.approx((truth - 1)[off], abs=0.07)
    assert np.isnan(difference[~off]).all()
    turned = truth < 0.95
    assert (square(result, "p_adjusted")[turned] < 0.01).all()
    assert (square(result, "p_adjusted")[off & ~turned] > 0.01).all()


def test_a_noisier_bin_does_not_look_like_another_code(plant: Plant) -> None:
    result = generalisation(*plant(0.0, 0.0, 0.0, signal=(0.25, 1.0, 1.0), n_stimuli=400))
    assert square(result)[0, 1] == pytest.approx(square(result)[0, 0], abs=0.08)
    difference = square(result, "difference")
    assert difference[0, 1] == pytest.approx(0, abs=0.04)
    assert result.difference_low.values[0, 0, 1] < 0 < result.difference_high.values[0, 0, 1]


def test_the_diagonal_is_the_pooled_curve_with_its_interval(plant: Plant) -> None:
    inputs = plant(0.0, 0.5, 1.0, signal=[0.5, 1.0, 0.7])
    own = generalisation(*inputs)
    curve = neurofit.score(*inputs)
    assert own.curve.values == pytest.approx(curve.curve.values, abs=1e-9)
    sketched = whole_area(curve.isel(layer=0)).interval(over="both", level=0.95, seed=0)
    for end in ("low", "high", "band_low", "band_high"):
        expected = getattr(sketched, end) - curve.curve.values[0]
        assert own[f"curve_{end}"].values[0] - own.curve.values[0] == pytest.approx(
            expected, rel=1e-3
        )
    assert own.n_neuroids.values.min() == 24


def test_the_scores_equal_a_plain_loop(plant: Plant) -> None:
    """Correlations over test stimuli, split by split, pooled and divided as the formula says."""
    activations, recording = plant(0.0, 0.7, n_stimuli=60, n_neuroids=9, n_features=4)
    options: dict[str, Any] = {
        "mapping": RidgeMapping(alphas=ALPHAS),
        "n_splits": 3,
        "n_halves": 2,
        "min_z": None,
    }
    config = GeneralisationConfig(**options)
    result = generalisation(activations, recording, config)
    score = neurofit.score(activations, recording, neurofit.ScoreConfig(**options))
    train = Fitting(activations, recording, config).train
    means = np.stack(
        [recording.block(b).astype(float).reshape(60, 6, 9).mean(axis=1) for b in range(2)]
    )
    features = activations.blocks["a", 7].astype(float)
    x = np.zeros((2, 2))
    for fit in range(2):
        for own in train:
            ridge = RidgeCV(ALPHAS, alpha_per_target=True).fit(features[own], means[fit][own])
            predicted = ridge.predict(features[~own])
            for test in range(2):
                x[fit, test] += np.mean(
                    [stats.pearsonr(predicted[:, n], means[test][~own, n])[0] for n in range(9)]
                ) / len(train)
    consistency, reliability = score.pooled_r_xx.values[0], score.pooled_r_yy.values[0]
    assert consistency.shape == (1, 2), "nine neuroids are one stratum"
    expected = x / np.sqrt(np.outer(consistency[0], reliability[0]))
    assert square(result) == pytest.approx(expected, abs=1e-6)


def test_windows_are_compared_with_their_own_bins(plant: Plant) -> None:
    inputs = plant(0.0, 0.0, 1.0, 1.0)
    config = GeneralisationConfig(windows=["70:90", "90:110"])
    result = generalisation(*inputs, config)
    assert result.windows.values.tolist() == ["70-90 ms and 90-110 ms"]
    expected = square(result, "difference")[:2, 2:].mean()
    assert result.window_difference.item() == pytest.approx(expected, abs=1e-12)
    assert result.window_ratio.item() == pytest.approx(np.cos(1.0), abs=0.05)
    assert result.window_p.item() < 1e-6
    with pytest.raises(NeurofitError, match="windows must hold a time bin; 500:600 holds none"):
        generalisation(*inputs, replace(config, windows=((70, 90), (500, 600))))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mapping": ("ridge", "pls")}, "takes one mapping; got ridge, pls"),
        ({"time_mode": "fixed"}, "A generalisation has time_mode per-bin"),
        ({"fit_halves": False}, "A generalisation has fit_halves True"),
        ({"splits": "folds-together"}, "Unknown splits .folds-together"),
    ],
)
def test_options_without_a_meaning_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(NeurofitError, match=words):
        GeneralisationConfig(**options)  # type: ignore[arg-type]


def test_a_neuroid_that_lacks_stimuli_in_one_bin_counts_in_the_others(
    plant: Plant,
) -> None:
    activations, recording = plant(0.0, 0.0, 0.0)
    responses = recording.responses.copy(deep=True)
    responses.values[:12, 3, 1] = np.nan  # two stimuli of one neuroid in the second bin
    result = generalisation(activations, replace(recording, responses=responses))
    counts = square(result, "n_neuroids")
    assert counts[0, 0] == counts[0, 2] == counts[1, 1] == 24
    assert np.isfinite(square(result)).all()


def test_the_numbers_do_not_depend_on_the_number_of_cores(plant: Plant) -> None:
    inputs = plant(0.0, 0.5, 1.0, n_stimuli=80)
    one, two = (generalisation(*inputs, compute=neurofit.Compute(n_jobs=jobs)) for jobs in (1, 2))
    xr.testing.assert_identical(one, two)


@pytest.mark.parametrize(("turn", "said"), [(0.0, "no change"), (1.0, "changes")])
def test_the_conclusion_says_whether_the_code_changes(plant: Plant, turn: float, said: str) -> None:
    config = GeneralisationConfig(windows=["70:80", "80:90"])
    result = generalisation(*plant(0.0, turn), config)
    (sentence,) = json.loads(result.attrs["conclusion"])
    assert sentence.startswith("Between 70-80 ms and 80-90 ms, ")
    assert said in sentence
    assert f"D = {result.window_difference.item():.3f}" in sentence
