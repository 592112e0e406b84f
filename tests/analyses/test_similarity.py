"""RSA and CKA of a model and a recording over time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr

from neurofit.activations.activations import Activations
from neurofit.analyses.similarity import SimilarityConfig, similarity
from neurofit.errors import NeurofitError
from neurofit.recordings.recording import Recording

Inputs = tuple[Activations, Recording]


@pytest.fixture
def planted(make_recording: Callable[..., Recording]) -> Inputs:
    """One layer that drives six neuroids in two time bins."""
    recording = make_recording(
        n_stimuli=30, n_repetitions=4, n_neuroids=6, n_bins=2, regions=("IT",)
    )
    rng = np.random.default_rng(0)
    blocks = {("a", step): rng.standard_normal((30, 8)).astype(np.float32) for step in (7, 8)}
    responses = recording.responses.copy(deep=True)
    for b, step in enumerate((7, 8)):
        drive = 5 * blocks["a", step] @ rng.standard_normal((8, 6))
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


def test_rsa_equals_plain_distances_and_ranks(planted: Inputs) -> None:
    activations, recording = planted
    result = similarity(activations, recording, SimilarityConfig())
    rows = recording.stimulus_rows
    for b, step in enumerate((7, 8)):
        block = recording.block(b).astype(np.float64)
        means = np.stack([block[rows == s].mean(axis=0) for s in range(30)])
        features = activations.blocks["a", step].astype(np.float64)
        expected = spearmanr(pdist(features, "sqeuclidean"), pdist(means, "sqeuclidean"))[0]
        assert result.similarity.values[0, b] == pytest.approx(expected, abs=1e-9)
    assert result.similarity.values.min() > 0.4
    assert (result.similarity_low < result.similarity).all()
    assert (result.similarity_high > result.similarity).all()


def test_a_missing_trial_costs_the_bound_and_not_the_comparison(planted: Inputs) -> None:
    activations, recording = planted
    responses = recording.responses.copy(deep=True)
    first = np.flatnonzero(recording.stimulus_rows == 0)
    responses.values[first[1:], 0] = np.nan  # one trial of the first stimulus is left
    result = similarity(activations, replace(recording, responses=responses), SimilarityConfig())
    assert result.n_neuroids.values.tolist() == [6, 6]


def test_activations_of_other_stimuli_or_in_another_order_are_refused(planted: Inputs) -> None:
    activations, recording = planted
    shuffled = replace(activations, stimulus_ids=activations.stimulus_ids[::-1])
    with pytest.raises(NeurofitError, match="do not match the stimuli"):
        similarity(shuffled, recording, SimilarityConfig())
