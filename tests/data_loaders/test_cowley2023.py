"""Real V4: the loader keeps every count and every missing trial, and the sites are as reliable as was measured."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from neurofit.assemblies import validate_recording
from neurofit.data_loaders import load_recording
from neurofit.data_loaders.cowley2023 import arrange
from neurofit.errors import NeurofitError
from neurofit.metrics import TrialSets, pearson, spearman_brown, split_halves
from neurofit.stimuli import StimulusSet

Find = Callable[[str], Path]


def small_stimuli(n: int) -> StimulusSet:
    table = pd.DataFrame({"stimulus_id": [f"image{i:04d}" for i in range(n)], "object_name": ["bear"] * n})
    return StimulusSet(name="s", table=table, images=np.zeros((n, 4, 4, 3), np.uint8), visual_degrees=8.0, duration_ms=100.0)


def test_counts_and_missing_trials_keep_their_place() -> None:
    published = np.random.default_rng(0).poisson(3, (2, 3, 4)).astype(float)
    published[1, 2, 0] = np.nan
    published[:, 0, 3] = np.nan  # never shown
    responses = arrange(published, small_stimuli(3))
    assert responses.shape == (11, 2, 1)
    for presentation in range(11):
        stimulus = int(str(responses.stimulus_id.values[presentation])[-1])
        expected = published[:, stimulus, int(responses.repetition.values[presentation])]
        np.testing.assert_array_equal(responses.values[presentation, :, 0], expected.astype(np.float32))


def test_an_array_of_another_form_is_refused() -> None:
    with pytest.raises(NeurofitError, match=r"must be \(neuroid, 3 stimuli, repetition\); got \(3, 4\)"):
        arrange(np.zeros((3, 4)), small_stimuli(3))


def test_the_published_recording_is_valid_and_as_reliable_as_measured(mirror: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROFIT_MIRROR", str(mirror("cowley2023").parent))
    recording = load_recording("cowley2023")
    validate_recording(recording)
    assert recording.responses.sizes["neuroid"] == 50
    assert len(recording.stimuli) == 640
    assert recording.time_bins == [(50, 150)]
    assert not recording.simulated
    assert recording.stimuli.images[639].shape == (112, 112, 3)
    rows = recording.stimulus_rows
    means = TrialSets(rows, split_halves(rows, n_halves=20, seed=0)).means(recording.block(0))
    reliability = spearman_brown(pearson(means[1:21], means[21:])).mean(axis=0)
    assert np.median(reliability) == pytest.approx(0.75, abs=0.02)


def test_the_tidy_copy_holds_the_same_counts(shared: Find, mirror: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    tidy = np.load(shared("data/check/hvm640_v4_it.npz"), allow_pickle=False)["v4_counts"].astype(float)  # (neuroid stimulus repetition)
    tidy[tidy == 255] = np.nan
    monkeypatch.setenv("NEUROFIT_MIRROR", str(mirror("cowley2023").parent))
    recording = load_recording("cowley2023")
    rows = recording.stimulus_rows
    means = TrialSets(rows, split_halves(rows, n_halves=1, seed=0)).means(recording.block(0))[0]
    np.testing.assert_allclose(means.T, np.nanmean(tidy, axis=2), atol=1e-6)
