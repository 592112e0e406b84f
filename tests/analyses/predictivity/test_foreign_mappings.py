"""A mapping with only `fit` and `predict` is scored through the same door as neurofit's own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import Lasso

from neurofit.activations.activations import Activations
from neurofit.analyses.predictivity.config import ScoreConfig
from neurofit.analyses.predictivity.score import score
from neurofit.mapping import PLSMapping
from neurofit.recordings.recording import Recording

Inputs = tuple[Activations, Recording]


@pytest.fixture
def planted(make_recording: Callable[..., Recording]) -> Inputs:
    """One layer of 12 units that drives 5 neuroids in two time bins."""
    recording = make_recording(
        n_stimuli=60, n_repetitions=6, n_neuroids=5, n_bins=2, regions=("IT",)
    )
    rng = np.random.default_rng(0)
    blocks = {("a", step): rng.standard_normal((60, 12)).astype(np.float32) for step in (7, 8)}
    responses = recording.responses.copy(deep=True)
    for b, step in enumerate((7, 8)):
        drive = 3 * blocks["a", step] @ rng.standard_normal((12, 5))
        responses.values[:, :, b] += drive[recording.stimulus_rows]
    activations = Activations(
        model="m",
        stimulus_ids=recording.stimuli.ids,
        blocks=blocks,
        first_timestep={"a": 7},
        ms_per_timestep=10,
        n_timesteps=9,
        region_layers={"IT": ("a",)},
    )
    return activations, Recording(name="r", responses=responses, stimuli=recording.stimuli)


@pytest.mark.parametrize("time_mode", ["per-bin", "fixed"])
def test_scikit_learns_pls_scores_as_ours_to_1e_minus_6(planted: Inputs, time_mode: str) -> None:
    mappings = (PLSMapping(n_components=3, convergence="sklearn"), PLSRegression(3, scale=False))
    config = ScoreConfig(mapping=mappings, time_mode=time_mode, n_splits=4, n_halves=2)
    result = score(*planted, config)
    assert result.mapping.values.tolist() == ["pls", "PLSRegression"]
    for name in ("r_xy", "r_xx", "curve"):
        ours, theirs = result[name].values
        assert np.isfinite(ours).all()
        np.testing.assert_allclose(theirs, ours, atol=1e-6)


def test_a_lasso_scores_as_a_plain_loop(planted: Inputs) -> None:
    activations, recording = planted
    config = ScoreConfig(mapping=Lasso(alpha=0.3), n_splits=3, n_halves=1)
    result = score(activations, recording, config)
    train = result.train.values.astype(bool)
    rows = recording.stimulus_rows
    for b, step in enumerate((7, 8)):
        features = activations.blocks["a", step].astype(np.float64)
        block = recording.block(b).astype(np.float64)
        means = np.stack([block[rows == s].mean(axis=0) for s in range(60)])
        for split, inside in enumerate(train):
            model = Lasso(alpha=0.3).fit(features[inside], means[inside])
            predicted = model.predict(features[~inside])
            for n in range(5):
                r = np.corrcoef(predicted[:, n], means[~inside, n])[0, 1]
                assert result.r_xy.values[0, split, n, b] == pytest.approx(r, abs=1e-9)
