"""Object solution times are those of Brain-Score's metric, code and TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import brainscore_vision
import numpy as np
import pytest
from brainscore_core.supported_data_standards.brainio.assemblies import (
    BehavioralAssembly,
    DataAssembly,
)
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from brainscore_vision.metrics.i1i2 import metric as i1i2
from brainscore_vision.metrics.ost import metric as ost
from brainscore_vision.model_interface import BrainModel

from neurofit import SolutionTimesConfig, solution_times
from neurofit.brainscore import (
    RecordedSolutionTimes,
    SolutionTimes,
    SolutionTimesBenchmark,
    activations_of,
    register,
    to_assembly,
    to_stimulus_set,
    unregister,
)
from neurofit.brainscore.features import features_assembly
from neurofit.brainscore.probabilities import SoftmaxRegression, philox, truncated_normal
from neurofit.errors import NeurofitError
from neurofit.metrics.solution_times import image_dprimes
from neurofit.recordings.recording import Recording

Pair = tuple[DataAssembly, DataAssembly]

LABELS, UNITS, BINS = 4, 20, 8


def plant(seed: int, n: int = 240) -> Pair:
    """Return features whose labels appear at a time of each image's own, and solution times."""
    rng = np.random.RandomState(seed)
    truth = rng.permutation(np.arange(n) % LABELS)
    onset = rng.uniform(90, 140, n)
    codes = rng.standard_normal((LABELS, UNITS))
    starts = np.arange(70, 70 + 10 * BINS, 10)
    there = np.clip((starts - onset[:, None]) / 30 + 0.5, 0, 1)
    values = codes[truth][:, :, None] * there[:, None]
    values = values + rng.standard_normal((n, UNITS, 1)) * 0.7
    values = values + 0.3 * rng.standard_normal((n, UNITS, BINS))
    ids = np.array([f"s{i:03d}" for i in range(n)])
    labels = np.array([f"object{i}" for i in truth])
    shuffled = rng.permutation(n)

    def of(order: Any) -> dict[str, Any]:
        named = {"stimulus_id": ids, "image_label": labels, "truth": labels}
        return {name: ("presentation", each[order]) for name, each in named.items()}

    source = DataAssembly(
        values[shuffled],
        coords={
            **of(shuffled),
            "neuroid_id": ("neuroid", np.arange(UNITS)),
            "layer": ("neuroid", ["a"] * UNITS),
            "time_bin_start": ("time_bin", starts),
            "time_bin_end": ("time_bin", starts + 10),
        },
        dims=["presentation", "neuroid", "time_bin"],
    )
    times = onset + 8 * rng.standard_normal(n)
    times[rng.permutation(n)[: n // 10]] = np.nan
    i1 = ("presentation", rng.uniform(0.2, 0.8, n))
    return source, DataAssembly(times, coords={**of(slice(None)), "i1": i1}, dims=["presentation"])


class WithoutTensorFlow:
    """Our decoder in the place of Brain-Score's `TFProbabilitiesClassifier`."""

    def fit(self, features: Any, labels: Any) -> None:
        self.names = list(dict.fromkeys(labels.values))
        numbers = np.array([self.names.index(each) for each in labels.values])
        self.model = SoftmaxRegression().fit(features.values, numbers)

    def predict_proba(self, features: Any) -> Any:
        coords = {
            name: ("presentation", features[name].values)
            for name in ("stimulus_id", "image_label", "truth")
        }
        return BehavioralAssembly(
            self.model.probabilities(features.values),
            coords={**coords, "choice": self.names},
            dims=["presentation", "choice"],
        )

    def close(self) -> None:
        pass


TENSORFLOW: dict[tuple[int, int], tuple[float, float, float]] = {
    (3, 0): (-0.018806421339778622, 0.0652432596388228, -0.14101901870444156),
    (3, 1): (0.19168094792270393, 0.14927756821444044, 0.0),
    (2, 0): (-0.047639721056652526, 0.07239665839425063, 0.19130929062456942),
    (2, 1): (-0.006642452883350475, 0.14232979672792073, 0.1343891809066097),
}
"""Score, error and first split of Brain-Score's metric `ost` with TensorFlow 2.21 on `plant(seed)`.

The keys are (Keras, seed). Those of Keras 2 are of the initialiser `tf.compat.v1` has kept.
"""


@pytest.mark.parametrize(("keras", "seed"), list(TENSORFLOW))
def test_scores_are_those_of_brainscore_with_tensorflow(keras: int, seed: int) -> None:
    found = SolutionTimes(keras=keras)(*plant(seed))
    score, error, first = TENSORFLOW[keras, seed]
    assert found.item() == pytest.approx(score, abs=1e-6)
    assert found.attrs["error"] == pytest.approx(error, abs=1e-6)
    assert found.attrs["raw"].values[0] == pytest.approx(first, abs=1e-6)


def test_scores_are_those_of_brainscores_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the decoder is theirs: splits, d', times and correlations."""
    monkeypatch.setattr(ost, "TFProbabilitiesClassifier", WithoutTensorFlow)
    source, target = plant(2, n=160)
    theirs, ours = ost.OSTCorrelation()(source, target), SolutionTimes()(source, target)
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-9)
    np.testing.assert_allclose(ours.attrs["raw"].values, theirs.attrs["raw"].values, atol=1e-9)
    assert ours.attrs["error"] == pytest.approx(theirs.attrs["error"].item(), abs=1e-9)


@pytest.mark.parametrize("sharpness", [1.0, 20.0])
def test_dprimes_are_those_of_brainscore(sharpness: float) -> None:
    rng = np.random.default_rng(0)
    truth, names = np.arange(60) % LABELS, np.array([f"o{i}" for i in range(LABELS)])
    powers = np.exp(sharpness * rng.standard_normal((60, LABELS)))
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    assembly = BehavioralAssembly(
        probabilities,
        coords={
            "stimulus_id": ("presentation", [f"s{i}" for i in range(60)]),
            "truth": ("presentation", names[truth]),
            "choice": names,
        },
        dims=["presentation", "choice"],
    )
    theirs = i1i2.I1()
    scores = theirs.dprimes(theirs.target_distractor_scores(assembly))
    expected = theirs.collapse_distractors(scores).values
    np.testing.assert_allclose(image_dprimes(probabilities, truth), expected, atol=1e-9)


def test_random_numbers_are_those_of_the_published_generator_and_of_tensorflow() -> None:
    """Known answers of Random123, and of `tf.compat.v1.truncated_normal((8,), seed=0)`."""
    zero = philox(np.zeros(1, dtype=np.uint64), 0, 0)[0].tolist()
    assert zero == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    every = 2**64 - 1
    ones = philox(np.array([every], dtype=np.uint64), every, every)[0].tolist()
    assert ones == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    expected = [-0.3991576, 0.17107224, 0.54651815, 0.422554]
    expected += [-1.1945012, -0.26633003, 1.0214206, 0.27594233]
    np.testing.assert_allclose(truncated_normal(8, keras=2), expected, atol=2e-7)
    assert np.abs(truncated_normal(20_000)).max() < 2


def test_features_without_an_image_or_without_labels_are_refused() -> None:
    source, target = plant(0, n=60)
    with pytest.raises(NeurofitError, match="all 60 images of the solution times; 3 are missing"):
        SolutionTimes()(source[3:], target)
    bare = source.copy()
    del bare.coords["presentation"]
    bare = DataAssembly(
        source.values,
        coords={
            "stimulus_id": ("presentation", source["stimulus_id"].values),
            "size": ("presentation", np.arange(60)),
            "neuroid_id": ("neuroid", np.arange(UNITS)),
            "layer": ("neuroid", ["a"] * UNITS),
            "time_bin_start": ("time_bin", source["time_bin_start"].values),
            "time_bin_end": ("time_bin", source["time_bin_end"].values),
        },
        dims=source.dims,
    )
    with pytest.raises(NeurofitError, match="need a coordinate image_label"):
        SolutionTimes()(bare, target)


class Answers(BrainModel):  # type: ignore[misc]  # Brain-Score has no types
    """A model that answers as planted, whatever it is shown."""

    identifier = "answers"

    def __init__(self, source: Any) -> None:
        self.source = source

    def visual_degrees(self) -> int:
        return 8

    def start_recording(self, region: str, time_bins: Any) -> None:
        self.bins = time_bins

    def look_at(self, stimuli: Any, number_of_trials: int = 1) -> Any:
        ids = self.source["stimulus_id"].values.tolist()
        rows = [ids.index(each) for each in stimuli["stimulus_id"].values.tolist()]
        return self.source[rows]


def test_their_benchmark_has_the_same_score_with_our_metric(
    lend: Callable[[str, str, Callable[[], Any]], None],
    planted: Callable[..., Recording],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Kar2019-ost, of two images that occur twice and two decoders, divided by its ceiling."""
    source, target = plant(3, n=160)
    twice = [*range(160), 4, 9]
    columns = ("stimulus_id", "image_label", "i1")
    both = DataAssembly(
        np.stack([target.values[twice], 0 * target.values[twice]]),
        coords={
            "decoder": ("decoder", ["svm", "logistic"]),
            **{name: ("presentation", target[name].values[twice]) for name in columns},
        },
        dims=["decoder", "presentation"],
    )
    shown = to_stimulus_set(planted(n_stimuli=160).stimuli)
    paths = list(shown.stimulus_paths.values())
    stimuli = StimulusSet({name: both[name].values for name in columns[:2]})
    stimuli.identifier = "planted-ost"
    stimuli.stimulus_paths = dict(zip(stimuli["stimulus_id"][:160], paths, strict=True))
    both.attrs["stimulus_set"] = stimuli
    lend("data", "Kar2019", lambda: both)
    monkeypatch.setattr(ost, "TFProbabilitiesClassifier", WithoutTensorFlow)
    register()
    try:
        theirs = brainscore_vision.load_benchmark("Kar2019-ost")
        ours = brainscore_vision.load_benchmark("neurofit-Kar2019-ost")
        assert ours.identifier == "neurofit-Kar2019-ost"
        expected, found = theirs(Answers(source)), ours(Answers(source))
    finally:
        unregister()
    assert found.item() == pytest.approx(expected.item(), abs=1e-9)
    assert found.item() == pytest.approx(found.attrs["raw"].item() / 0.79, abs=1e-9)


FEW: dict[str, Any] = {
    "labels": "object_name",
    "threshold": "0.2",
    "n_folds": 4,
    "n_halves": 1,
    "n_bootstraps": 20,
    "min_z": 0.0,
}


def test_the_benchmark_of_a_recording_is_the_analysis(
    planted: Callable[..., Recording],
    features: Callable[..., np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RESULTCACHING_DISABLE", "1")
    recording = planted(n_stimuli=80, n_bins=5, n_neuroids=10)
    values = features(n_stimuli=80, n_bins=5).transpose(1, 2, 0)
    neuroids: dict[str, Any] = {"neuroid_id": np.arange(values.shape[1])}
    source = features_assembly(
        values, to_stimulus_set(recording.stimuli), neuroids, recording.time_bins
    )
    candidate, benchmark = Answers(source), SolutionTimesBenchmark(recording, region="IT", **FEW)
    found = benchmark(candidate)
    config = SolutionTimesConfig(layers=("IT",), **FEW)
    expected = solution_times(activations_of(candidate, recording, region="IT"), recording, config)
    np.testing.assert_array_equal(found.item(), expected.correlation.values[0])
    assert found.attrs["raw"].item() == expected.raw_correlation.values[0]
    assert found.attrs["ceiling"].item() == expected.reliability.values[0]
    assert found.attrs["n_images"] == expected.n_images.values[0] > 10
    of_assembly = RecordedSolutionTimes(**FEW)(source, to_assembly(recording))
    assert np.isfinite(of_assembly.attrs["raw"].item())
    others = [
        SolutionTimesBenchmark(recording, region="IT", **{**FEW, "threshold": "0.3"}),
        SolutionTimesBenchmark(replace(recording, name="b"), region="IT", **FEW),
    ]
    names = {each.identifier for each in [benchmark, *others]}
    assert len(names) == 3
    assert all("-ost-" in each for each in names)


def test_registered_names_load() -> None:
    register()
    try:
        assert isinstance(brainscore_vision.load_metric("neurofit-ost"), SolutionTimes)
        made = brainscore_vision.load_metric("neurofit-solution_times", threshold="1")
        assert made.config("IT").threshold == 1.0
        assert {"neurofit-hvm-sim.IT-ost", "neurofit-Kar2019-ost"} <= set(
            brainscore_vision.benchmark_registry
        )
    finally:
        unregister()
