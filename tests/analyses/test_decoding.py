"""Decoders over time: equal to scikit-learn's and mne's, planted codes, chance, matched numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from neurofit.activations.activations import Activations
from neurofit.analyses.decoding import DecodingConfig, decoding
from neurofit.data_loaders import load_recording
from neurofit.errors import NeurofitError
from neurofit.metrics.solution_times import image_dprimes
from neurofit.recordings.recording import Recording

Make = Callable[..., Recording]
Inputs = tuple[Activations, Recording]

N_LABELS = 4


def plant(
    recording: Recording, codes: np.ndarray, *, noise: float, seed: int = 0, n_units: int = 30
) -> Inputs:
    """Give sites the codes (time_bin label neuroid) of an image's label, and units random ones."""
    rng = np.random.default_rng(seed)
    n, n_bins = len(recording.stimuli), recording.responses.sizes["time_bin"]
    truth = np.arange(n) % N_LABELS
    rates = codes[:, truth] + rng.standard_normal((n_bins, n, codes.shape[2]))
    trials = np.moveaxis(rates[:, recording.stimulus_rows], 0, 2)
    trials = trials + noise * rng.standard_normal(trials.shape)
    ways = rng.standard_normal((N_LABELS, n_units))
    blocks = {
        ("a", 7 + b): (ways[truth] + rng.standard_normal((n, n_units))).astype(np.float32)
        for b in range(n_bins)
    }
    table = recording.stimuli.table.assign(category=np.array(list("dcba"))[truth])
    activations = Activations(
        model="m",
        stimulus_ids=recording.stimuli.ids,
        blocks=blocks,
        first_timestep={"a": 7},
        ms_per_timestep=10,
        n_timesteps=7 + n_bins,
        region_layers={"IT": ("a",)},
    )
    responses = recording.responses.copy(data=trials.astype(np.float32))
    stimuli = replace(recording.stimuli, table=table)
    return activations, replace(recording, responses=responses, stimuli=stimuli)


@pytest.fixture
def empty(make_recording: Make) -> Recording:
    """Make a recording of 80 images, 20 sites, 3 trials and four time bins."""
    return make_recording(n_stimuli=80, n_repetitions=3, n_neuroids=20, n_bins=4, regions=("IT",))


def random_codes(n_bins: int = 4, *, size: float = 1.0, seed: int = 3) -> np.ndarray:
    return size * np.random.default_rng(seed).standard_normal((n_bins, N_LABELS, 20))


def mean_responses(recording: Recording) -> np.ndarray:
    """Return the mean over trials: array (stimulus neuroid time_bin)."""
    rows = recording.stimulus_rows
    values = recording.responses.values.astype(np.float64)
    means = [values[rows == row].mean(axis=0) for row in range(len(recording.stimuli))]
    return np.stack(means).astype(np.float32).astype(np.float64)


def classifier(n_train: int) -> Any:
    """Return scikit-learn's classifier with the default penalty."""
    regression = LogisticRegression(C=1 / (0.463 * n_train), tol=1e-6, max_iter=1000)
    return make_pipeline(StandardScaler(), regression)


def test_accuracies_are_those_of_a_loop_of_scikit_learn(empty: Recording) -> None:
    """All pairs of bins, and the d' of a bin's own decoders."""
    activations, recording = plant(empty, random_codes(size=0.6), noise=1.0)
    result = decoding(activations, recording, DecodingConfig(n_folds=5, seed=2))
    patterns, labels = mean_responses(recording), recording.stimuli.table.category.to_numpy()
    hits, probabilities = np.zeros((4, 4, 80)), np.zeros((4, 80, N_LABELS))
    for train, test in StratifiedKFold(5, shuffle=True, random_state=2).split(patterns, labels):
        for b in range(4):
            model = classifier(len(train)).fit(patterns[train, :, b], labels[train])
            probabilities[b, test] = model.predict_proba(patterns[test, :, b])
            for other in range(4):
                found = model.predict(patterns[test, :, other])
                hits[b, other, test] = found == labels[test]
    np.testing.assert_allclose(result.generalisation.values[0], hits.mean(axis=2), atol=1e-12)
    own = hits.mean(axis=2)[range(4), range(4)]
    np.testing.assert_allclose(result.accuracy.values[0], own, atol=1e-12)
    assert 0.3 < own.mean() < 0.9
    assert result.chance.values.tolist() == [0.25] * 4
    truth = np.searchsorted(list("abcd"), labels)
    np.testing.assert_allclose(
        result.i1.values[0].T, image_dprimes(probabilities, truth), atol=1e-5
    )
    expected = image_dprimes(probabilities, truth).mean(axis=1)
    np.testing.assert_allclose(result.dprime.values[0], expected, atol=1e-9)


@pytest.mark.skipif(find_spec("mne") is None, reason="mne is an extra of developers")
def test_generalisation_is_that_of_mne(empty: Recording) -> None:
    """The estimator of King and Dehaene's temporal generalisation, fold by fold."""
    estimator: Any = import_module("mne.decoding").GeneralizingEstimator
    activations, recording = plant(empty, random_codes(size=0.6), noise=1.0)
    result = decoding(activations, recording, DecodingConfig(n_folds=5))
    patterns, labels = mean_responses(recording), recording.stimuli.table.category.to_numpy()
    scores = []
    for train, test in StratifiedKFold(5, shuffle=True, random_state=0).split(patterns, labels):
        model = estimator(classifier(len(train)), scoring="accuracy", verbose="error")
        model.fit(patterns[train], labels[train])
        scores.append(model.score(patterns[test], labels[test]))
    expected = np.mean(scores, axis=0)  # folds are equally large
    np.testing.assert_allclose(result.generalisation.values[0], expected, atol=1e-12)


def test_stationary_turning_and_switching_codes_are_told_apart(empty: Recording) -> None:
    axes = np.linalg.qr(np.random.default_rng(0).standard_normal((20, 2 * N_LABELS)))[0].T
    codes, config = 4 * axes.reshape(2, N_LABELS, 20), DecodingConfig(n_folds=5)
    stationary = np.repeat(codes[:1], 4, axis=0)
    switching = codes[[0, 0, 1, 1]]
    angles = np.pi / 6 * np.arange(4)[:, None, None]
    turning = np.cos(angles) * codes[0] + np.sin(angles) * codes[1]
    found = {
        name: decoding(*plant(empty, each, noise=0.5), config).generalisation.values[0]
        for name, each in (
            ("stationary", stationary),
            ("switching", switching),
            ("turning", turning),
        )
    }
    assert found["stationary"].min() > 0.9
    within = np.kron(np.eye(2), np.ones((2, 2))) > 0
    assert found["switching"][within].min() > 0.9
    assert np.abs(found["switching"][~within] - 0.25).max() < 0.2
    off = [np.diagonal(found["turning"], k).mean() for k in range(4)]
    assert off[0] > 0.9
    assert off[0] >= off[1] > off[2] > off[3]
    assert abs(off[3] - 0.25) < 0.2, "a right angle"


def test_labels_that_have_nothing_to_do_with_the_responses_are_at_chance(
    make_recording: Make,
) -> None:
    """On average, and within intervals; 4 bins of 24 data sets."""
    empty = make_recording(n_stimuli=80, n_repetitions=2, n_neuroids=20, n_bins=4, regions=("IT",))
    accuracy, dprimes, inside = [], [], []
    for seed in range(24):
        activations, recording = plant(empty, 0 * random_codes(), noise=1.0, seed=seed)
        made = decoding(activations, recording, DecodingConfig(n_folds=5, n_samples=1, seed=seed))
        accuracy.append(made.accuracy.values[0])
        dprimes.append(made.dprime.values[0])
        inside.append(
            (made.accuracy_low.values[0] <= 0.25) & (made.accuracy_high.values[0] >= 0.25)
        )
    for values, chance in ((accuracy, 0.25), (dprimes, 0.0)):
        error = np.std(values) / np.sqrt(np.size(values))
        assert abs(np.mean(values) - chance) < 3 * error
    assert np.mean(inside) > 0.88


def test_sites_and_units_are_as_many(empty: Recording) -> None:
    """Of 200 units, samples of 20 are worse than all, and a layer of 5 limits the recording."""
    codes = random_codes(size=0.5)
    many, recording = plant(empty, codes, noise=1.0, n_units=200)
    config = DecodingConfig(n_folds=5)
    matched = decoding(many, recording, config)
    assert "on 20 sites or units" in matched.attrs["method"]
    few, _ = plant(empty, codes, noise=1.0, n_units=5)
    limited = decoding(few, recording, config)
    assert "on 5 sites or units" in limited.attrs["method"]
    assert limited.accuracy.values[0].mean() < matched.accuracy.values[0].mean() - 0.05
    rng = np.random.default_rng((0, 1))
    drawn = [np.sort(rng.permutation(200)[:20]) for _ in range(4)]
    alone = [
        decoding(
            replace(many, blocks={key: many.blocks[key][:, units] for key in many.blocks}),
            recording,
            config,
        )
        for units in drawn
    ]
    expected = np.mean([each.accuracy.values[1] for each in alone], axis=0)
    np.testing.assert_allclose(matched.accuracy.values[1], expected, atol=1e-12)
    with pytest.raises(NeurofitError, match=r"n_sites must be at most 20, .* got 21"):
        decoding(many, recording, DecodingConfig(n_sites=21))


def test_groups_keep_what_is_particular_to_an_object_out_of_its_category(
    make_recording: Make,
) -> None:
    """Sites that know objects and no categories: categories of unseen objects are at chance."""
    empty = make_recording(n_stimuli=96, n_repetitions=2, n_neuroids=20, n_bins=1, regions=("IT",))
    objects = np.arange(96) % 16
    activations, recording = plant(empty, 0 * random_codes(1), noise=0.1)
    codes = 2 * np.random.default_rng(1).standard_normal((16, 20))
    trials = recording.responses.values + codes[objects][recording.stimulus_rows][..., None]
    table = recording.stimuli.table.assign(
        category=[f"c{each % 4}" for each in objects], object_name=[f"o{each}" for each in objects]
    )
    recording = replace(
        recording,
        responses=recording.responses.copy(data=trials.astype(np.float32)),
        stimuli=replace(recording.stimuli, table=table),
    )
    seen = decoding(activations, recording, DecodingConfig(n_folds=4, n_samples=1))
    unseen = decoding(
        activations, recording, DecodingConfig(n_folds=4, n_samples=1, groups="object_name")
    )
    assert seen.accuracy.values[0, 0] > 0.6
    assert unseen.accuracy.values[0, 0] < 0.45
    assert unseen.accuracy_low.values[0, 0] <= 0.25 <= unseen.accuracy_high.values[0, 0]
    width = [(each.accuracy_high - each.accuracy_low).values[0, 0] for each in (seen, unseen)]
    assert width[1] > 1.3 * width[0], "16 objects say less than 96 images"
    objects_found = decoding(
        activations, recording, DecodingConfig(labels="object_name", n_folds=3)
    )
    assert objects_found.chance.values[0] == 1 / 16
    with pytest.raises(NeurofitError, match="all of 'o0' are in one fold"):
        decoding(activations, recording, DecodingConfig(labels="object_name", groups="object_name"))


def test_a_bin_before_the_layer_responds_has_no_decoders(empty: Recording) -> None:
    activations, recording = plant(empty, random_codes(), noise=0.5)
    later = {key: activations.blocks[key] for key in activations.blocks if key[1] > 7}
    activations = replace(activations, blocks=later, first_timestep={"a": 8})
    made = decoding(activations, recording, DecodingConfig(n_folds=5))
    assert np.isnan(made.accuracy.values[1, 0])
    assert np.isnan(made.generalisation.values[1, 0]).all()
    assert np.isnan(made.generalisation.values[1, :, 0]).all()
    assert np.isfinite(made.generalisation.values[1, 1:, 1:]).all()
    assert np.isfinite(made.accuracy.values[0]).all()


def test_a_recording_without_labels_is_refused_with_its_columns(empty: Recording) -> None:
    activations, recording = plant(empty, random_codes(), noise=0.5)
    table = recording.stimuli.table.rename(columns={"category": "kind"})
    other = replace(recording, stimuli=replace(recording.stimuli, table=table))
    with pytest.raises(NeurofitError, match="no column category or object_name") as caught:
        decoding(activations, other)
    assert "kind" in str(caught.value).splitlines()[1]
    assert np.isfinite(decoding(activations, other, DecodingConfig(labels="kind")).accuracy).all()
    with pytest.raises(NeurofitError, match=r"'kidn'\. Did you mean 'kind'"):
        decoding(activations, other, DecodingConfig(labels="kidn"))
    same = replace(recording.stimuli, table=table.assign(category="x"))
    with pytest.raises(NeurofitError, match="category has 1 labels of 80 to 80 images"):
        decoding(activations, replace(recording, stimuli=same))
    some = table.assign(category=table.kind.where(table.index > 2))
    with pytest.raises(NeurofitError, match="3 of 80 have no category"):
        decoding(activations, replace(recording, stimuli=replace(recording.stimuli, table=some)))


def test_a_site_without_responses_to_an_image_is_left_out(empty: Recording) -> None:
    activations, recording = plant(empty, random_codes(), noise=0.5)
    holes = recording.responses.copy(deep=True)
    holes.values[recording.stimulus_rows == 4, 7, 2] = np.nan
    made = decoding(activations, replace(recording, responses=holes), DecodingConfig(n_folds=5))
    assert "on 19 sites or units" in made.attrs["method"]
    without = recording.responses[:, np.arange(20) != 7]
    expected = decoding(
        activations, replace(recording, responses=without), DecodingConfig(n_folds=5)
    )
    np.testing.assert_array_equal(made.accuracy.values, expected.accuracy.values)


@pytest.fixture(scope="module")
def hvm_sim() -> Recording:
    return load_recording("hvm-sim", region="IT")


@pytest.mark.parametrize(
    ("window", "trials", "rates"), [((60, 70), 0.125, 0.125), ((150, 160), 0.22, 0.30)]
)
def test_categories_are_decoded_from_hvm_sim_as_from_its_rates(
    hvm_sim: Recording, window: tuple[int, int], trials: float, rates: float
) -> None:
    """The simulator's rates are the layer; before the first response they are all alike."""
    recording = hvm_sim.select(window=window)
    assert recording.truth is not None
    activations = Activations(
        model="simulator",
        stimulus_ids=recording.stimuli.ids,
        blocks={("rates", window[0] // 10): recording.truth.values[..., 0].astype(np.float32)},
        first_timestep={"rates": 0},
        ms_per_timestep=10,
        n_timesteps=window[1] // 10,
        region_layers={"IT": ("rates",)},
    )
    made = decoding(activations, recording)
    low, high = made.accuracy_low.values[:, 0], made.accuracy_high.values[:, 0]
    assert low[0] <= trials <= high[0]
    assert made.accuracy.values[1, 0] == pytest.approx(rates, abs=0.02)
    if window[0] > 100:
        assert low[0] > 0.125
        assert np.corrcoef(made.i1.values[:, :, 0])[0, 1] > 0.7
