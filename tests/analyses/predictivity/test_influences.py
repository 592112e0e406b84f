"""Influences of stimuli on a pooled score against maps that are fitted again."""

from typing import Any

import numpy as np
import pytest
import xarray as xr
from sklearn.linear_model import Ridge

from neurofit.analyses.encoding.influences import MapInfluences
from neurofit.analyses.encoding.targets import Targets
from neurofit.mapping.gram_building import gram_of
from neurofit.mapping.ridge import RidgeMapping

N_STIMULI, N_NEUROIDS, N_FEATURES, N_HALVES, ALPHA = 240, 3, 6, 2, 5.0


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, responses (set stimulus neuroid) and training stimuli."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((N_STIMULI, N_FEATURES)).astype(np.float32)
    signal = features @ rng.standard_normal((N_FEATURES, N_NEUROIDS))
    signal = signal + 2 * rng.standard_normal(signal.shape)
    sets = signal + rng.standard_normal((1 + 2 * N_HALVES, N_STIMULI, N_NEUROIDS))
    train = rng.permutation(N_STIMULI) < 180
    return features, sets, train


def correlations(
    features: np.ndarray, sets: np.ndarray, train: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return r_xy and the mean r_xx of maps fitted by scikit-learn."""
    predicted = [
        Ridge(alpha=ALPHA).fit(features[train], own[train]).predict(features[test]) for own in sets
    ]
    r_xy = [np.corrcoef(predicted[0][:, n], sets[0, test, n])[0, 1] for n in range(N_NEUROIDS)]
    r_xx = [
        np.mean(
            [
                np.corrcoef(predicted[1 + h][:, n], predicted[1 + N_HALVES + h][:, n])[0, 1]
                for h in range(N_HALVES)
            ]
        )
        for n in range(N_NEUROIDS)
    ]
    return np.array(r_xy), np.array(r_xx)


def gathered(features: np.ndarray, sets: np.ndarray, train: np.ndarray) -> MapInfluences:
    gram = gram_of([features], precision="float64")
    ((predicted, smoother),) = RidgeMapping(alphas=(ALPHA,)).cross_smooth(gram, sets, train[None])
    shape = (1, N_STIMULI, N_NEUROIDS, 1)
    influences = MapInfluences.empty(shape, n_strata=1)
    tests, shares = ~train[None], np.full((3, N_HALVES, N_NEUROIDS, 1), 0.1)
    targets = Targets(
        neuroids=np.arange(N_NEUROIDS),
        stimuli=np.arange(N_STIMULI),
        halves=np.arange(N_HALVES),
        first=True,
        sets=sets[:, None],
        r_yy=np.zeros((1, N_HALVES, N_NEUROIDS, 1)),
        shares=shares,
        ceiling_tests=tests,
        mirrored=False,
    )
    influences.add(
        0,
        np.array([0]),
        targets,
        predicted[:, None],
        ~train,
        smoother,
        n_halves=N_HALVES,
        strata=np.zeros(N_NEUROIDS, dtype=int),
        places=np.arange(N_STIMULI),
    )
    return influences


@pytest.mark.parametrize("role", ["test", "training"])
def test_an_influence_is_what_a_correlation_loses_without_the_stimulus(
    data: tuple[np.ndarray, np.ndarray, np.ndarray], role: str
) -> None:
    features, sets, train = data
    influences = gathered(features, sets, train)
    whole = correlations(features, sets, train, ~train)
    lost: list[list[np.ndarray]] = [[], []]
    rows = np.flatnonzero(~train if role == "test" else train)
    for left_out in rows:
        inside = np.arange(N_STIMULI) != left_out
        without = correlations(features, sets, train & inside, ~train & inside)
        for each, before, after in zip(lost, whole, without, strict=True):
            each.append(before - after)
    for found, expected in zip((influences.r_xy, influences.r_xx), lost, strict=True):
        own, refitted = found[0, rows, :, 0], np.array(expected)
        refitted = refitted - refitted.mean(axis=0)
        for n in range(N_NEUROIDS):
            assert np.corrcoef(own[:, n], refitted[:, n])[0, 1] > 0.97
            slope = (own[:, n] @ refitted[:, n]) / (own[:, n] @ own[:, n])
            assert slope == pytest.approx(1, abs=0.15)


def test_the_influences_of_training_stimuli_sum_to_0(
    data: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    influences = gathered(*data)
    for each in (influences.r_xy, influences.r_xx):
        assert np.abs(each[0, data[2]].sum(axis=0)).max() < 1e-5


def test_without_training_terms_the_spread_over_stimuli_is_too_small(
    plant: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other stimuli train other maps: planted data sets differ by more than test stimuli say."""
    whole, short = [], []
    for seed in range(8):
        blocks, recording = plant(noise=4.0, share=0.3, seed=seed, n_stimuli=120, n_trials=4)
        options = {"preset": "pooled", "n_splits": 8, "n_halves": 4, "interval_over": "stimuli"}
        made: xr.Dataset = run(blocks, recording, **options)
        whole.append((made.curve_high - made.curve_low).values[0])
        monkeypatch.setattr("neurofit.analyses.encoding.fitting.Fitting.smooths", lambda *_: False)
        without = run(blocks, recording, **options)
        monkeypatch.undo()
        short.append((without.curve_high - without.curve_low).values[0])
    assert np.mean(short) < 0.95 * np.mean(whole)
