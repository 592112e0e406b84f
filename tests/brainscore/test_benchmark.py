"""Our metric, benchmark and registration work as Brain-Score's do."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import brainscore_vision
import numpy as np
import pytest
from brainscore_core.benchmarks import score_benchmark
from brainscore_vision.benchmark_helpers import screen
from brainscore_vision.model_interface import BrainModel
from PIL import Image
from scipy.stats import sem

from neurofit import score
from neurofit.analyses.predictivity.presets import PRESETS, make_config
from neurofit.brainscore import (
    NoiseCorrectedTemporal,
    TemporalPredictivityBenchmark,
    activations_of,
    register,
    registration,
    to_assembly,
    to_stimulus_set,
    unregister,
)
from neurofit.brainscore.features import features_assembly, from_features
from neurofit.errors import NeurofitError
from neurofit.mapping import RidgeMapping
from neurofit.recordings.recording import Recording

FEW: dict[str, Any] = {
    "n_splits": 3,
    "n_halves": 3,
    "n_bootstraps": 20,
    "stratified": False,
}
MEDIANS: dict[str, Any] = {**FEW, "preset": "nayebi2022", "mapping": "ridge"}


def as_source(features: np.ndarray, recording: Recording) -> Any:
    neuroids: dict[str, Any] = {
        "neuroid_id": np.arange(features.shape[2]),
        "layer": ["features"] * features.shape[2],
    }
    return features_assembly(
        features.transpose(1, 2, 0),
        to_stimulus_set(recording.stimuli),
        neuroids,
        recording.time_bins,
    )


def test_settings_that_are_not_given_are_those_of_the_preset() -> None:
    assert NoiseCorrectedTemporal().config("IT") == make_config(layers=("IT",))
    for name in PRESETS:
        given = NoiseCorrectedTemporal(preset=name).config("IT")
        assert given == make_config(name, layers=("IT",))
    fixed = NoiseCorrectedTemporal(preset="brainscore", time_mode="fixed", mapping="ridge")
    expected = make_config("brainscore", layers=("IT",), time_mode="fixed", mapping="ridge")
    assert fixed.config("IT") == expected


def test_what_generated_the_responses_reaches_one_and_other_features_nothing(
    planted: Callable[..., Recording], features: Callable[..., np.ndarray]
) -> None:
    recording, generator = planted(n_stimuli=120), features(n_stimuli=120, n_bins=3)
    metric = NoiseCorrectedTemporal(**FEW)
    reached = metric(as_source(generator, recording), to_assembly(recording))
    assert reached.dims == ()
    assert 0.9 < reached.item() < 1.1
    other = metric(
        as_source(np.random.default_rng(3).permuted(generator, axis=1), recording), recording
    )
    assert abs(other.attrs["raw"].item()) < 0.3
    assert reached.attrs["curve"].indexes["time_bin"].names == ["time_bin_start", "time_bin_end"]
    assert reached.attrs["raw"].item() < reached.item()
    assert reached.attrs["raw"].attrs["raw"].dims == ("split", "neuroid", "time_bin")
    assert reached.attrs["raw"].attrs["raw"].shape == (3, 6, 3)
    assert 0 < reached.attrs["ceiling"].item() < 1
    assert reached.attrs["error"] > 0


def test_raw_and_ceiling_of_a_pooled_score_are_means_over_the_pooled_neuroids(
    planted: Callable[..., Recording], features: Callable[..., np.ndarray]
) -> None:
    recording, generator = planted(n_stimuli=120, n_neuroids=20), features(n_stimuli=120, n_bins=3)
    responses = recording.responses.copy(deep=True)
    responses.values[:, 18:] = 1.0  # two silent sites: the others are two strata of nine
    recording = replace(recording, responses=responses)
    source = as_source(generator, recording)
    scored = NoiseCorrectedTemporal(**FEW)(source, recording)
    activations = from_features(
        source, model="candidate", region="IT", stimulus_ids=recording.stimuli.ids
    )
    result = score(activations, recording, make_config(layers=("IT",), **FEW))
    assert scored.attrs["n_neuroids"] == [18, 18, 18]
    assert result.sizes["stratum"] == 2
    for name, pooled in (("raw", "pooled_r_xy"), ("ceiling", "pooled_r_yy")):
        expected = result[pooled].values[0].mean(axis=0)  # over strata of equal size
        assert scored.attrs[name].item() == pytest.approx(expected.mean(), rel=1e-6)
    np.testing.assert_allclose(scored.attrs["ceiling"].attrs["raw"].values, expected, rtol=1e-6)
    r = scored.attrs["raw"].attrs["raw"].values
    assert np.isnan(r[:, 18:]).all()
    assert scored.attrs["raw"].item() == pytest.approx(r[:, :18].mean(), rel=1e-6)


def test_raw_and_ceiling_of_medians_are_of_the_neuroids_that_count(
    planted: Callable[..., Recording], features: Callable[..., np.ndarray]
) -> None:
    recording, generator = planted(n_stimuli=120, n_neuroids=12), features(n_stimuli=120, n_bins=3)
    responses = recording.responses.copy(deep=True)
    responses.values[:, 5:] = np.random.default_rng(4).normal(
        size=responses.values[:, 5:].shape
    )  # seven sites of noise
    source, metric = (
        as_source(generator, recording),
        NoiseCorrectedTemporal(**MEDIANS, reliability_floor=0.4),
    )
    mixed = metric(source, replace(recording, responses=responses))
    good = metric(source, replace(recording, responses=responses.isel(neuroid=slice(5))))
    assert mixed.attrs["n_neuroids"] == good.attrs["n_neuroids"] == [5, 5, 5]
    assert mixed.item() == pytest.approx(
        good.item(), abs=0.02
    )  # ridge chooses penalties neuroid by neuroid
    for name in ("raw", "ceiling"):
        assert mixed.attrs[name].item() == pytest.approx(good.attrs[name].item(), abs=0.01)
    assert mixed.attrs["error"] == pytest.approx(good.attrs["error"], abs=0.01)


def test_neuroids_of_two_regions_are_refused(
    planted: Callable[..., Recording], features: Callable[..., np.ndarray]
) -> None:
    recording = planted()
    both = replace(
        recording,
        responses=recording.responses.assign_coords(region=("neuroid", ["V4"] * 3 + ["IT"] * 3)),
    )
    with pytest.raises(NeurofitError, match=r"The target must have one region; got IT, V4\."):
        NoiseCorrectedTemporal(**FEW)(
            as_source(features(n_stimuli=80, n_bins=3), recording), to_assembly(both)
        )


def test_stimuli_may_come_in_any_order_but_each_once(
    planted: Callable[..., Recording], features: Callable[..., np.ndarray]
) -> None:
    recording = planted()
    source, metric = (
        as_source(features(n_stimuli=80, n_bins=3), recording),
        NoiseCorrectedTemporal(**FEW),
    )
    backwards = source.isel(presentation=np.arange(80)[::-1])
    assert metric(backwards, recording).item() == metric(source, recording).item()
    with pytest.raises(NeurofitError, match="must have the stimuli of the recording, each once"):
        metric(source.isel(presentation=[0, *range(79)]), recording)


@pytest.mark.parametrize("settings", [FEW, MEDIANS], ids=["pooled", "medians"])
def test_the_benchmark_gives_neurofits_score_corrected_once(
    settings: dict[str, Any],
    planted: Callable[..., Recording],
    features: Callable[..., np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RESULTCACHING_DISABLE", "1")
    recording, candidate = planted(), Spectator(features)
    benchmark = TemporalPredictivityBenchmark(recording, region="IT", **settings)
    theirs = score_benchmark(benchmark, candidate)
    config = make_config(layers=("IT",), **settings)
    ours = score(activations_of(candidate, recording, region="IT"), recording, config)
    assert theirs.dims == ()
    assert theirs.item() == pytest.approx(ours.curve.values[0].mean(), rel=1e-12)
    np.testing.assert_array_equal(theirs.attrs["raw"].attrs["raw"].values, ours.r_xy.values[0])
    assert theirs.attrs["model_identifier"] == "spectator"
    assert benchmark.parent == "IT"
    assert benchmark.ceiling.dims == ()
    assert benchmark.ceiling.attrs["raw"].dims == ("time_bin",)


def test_the_identifier_follows_data_neuroids_bins_and_settings(
    planted: Callable[..., Recording],
) -> None:
    recording = planted()
    assert not recording.sha256
    changed = recording.responses.copy(deep=True)
    changed[0, 0, 0] += 1
    others = [
        TemporalPredictivityBenchmark(replace(recording, responses=changed), region="IT"),
        TemporalPredictivityBenchmark(
            replace(recording, responses=recording.responses.isel(neuroid=slice(4))), region="IT"
        ),
        TemporalPredictivityBenchmark(recording.select(window=(70, 90)), region="IT"),
        TemporalPredictivityBenchmark(recording, region="IT", time_mode="fixed"),
        TemporalPredictivityBenchmark(recording, region="IT", seed=3),
        TemporalPredictivityBenchmark(recording, region="IT", preset="nayebi2022"),
        TemporalPredictivityBenchmark(recording, region="IT", mapping="pls"),
        TemporalPredictivityBenchmark(recording, region="IT", mapping=RidgeMapping(select="gcv")),
    ]
    identifiers = {each.identifier for each in others} | {
        TemporalPredictivityBenchmark(recording, region="IT").identifier
    }
    assert len(identifiers) == 9
    kinds = ["-".join(each.identifier.split("-")[1:-1]) for each in others]
    ridge, pls = "ridge-per-bin", "pls-per-bin"
    assert kinds == [ridge, ridge, ridge, "ridge-fixed", ridge, pls, pls, ridge]
    assert TemporalPredictivityBenchmark(planted(), region="IT").identifier in identifiers


def test_the_identifier_follows_all_that_a_score_depends_on(
    planted: Callable[..., Recording],
) -> None:
    recording = replace(planted(), sha256="of a file")
    stimuli, responses = recording.stimuli, recording.responses
    noisy = responses + np.random.default_rng(0).normal(size=responses.shape).astype(np.float32)
    changed = [
        recording,
        replace(recording, stimuli=stimuli.shuffled(1)),
        replace(recording, stimuli=replace(stimuli, visual_degrees=4.0)),
        replace(
            recording,
            stimuli=replace(
                stimuli,
                table=stimuli.table.assign(object_name=stimuli.table.object_name.to_numpy()[::-1]),
            ),
        ),
        replace(recording, stimuli=stimuli.only(range(len(stimuli))[::-1])),
        replace(recording, responses=noisy),
        replace(
            recording,
            responses=responses.assign_coords(
                time_bin_end=("time_bin", responses.time_bin_end.values - 1)
            ),
        ),
    ]
    assert len(
        {TemporalPredictivityBenchmark(each, region="IT", **FEW).identifier for each in changed}
    ) == len(changed)
    assert len({to_assembly(each).attrs["identifier"] for each in changed}) == len(changed)
    again = TemporalPredictivityBenchmark(recording, region="IT", **FEW).identifier
    assert (
        again == TemporalPredictivityBenchmark(recording, region="IT", **FEW, seed=0).identifier
    ), "a default that is said is no change"
    assert again != TemporalPredictivityBenchmark(recording, region="IT", **FEW, seed=1).identifier


class Spectator(BrainModel):  # type: ignore[misc]  # Brain-Score has no types
    """A model with a field of 8 degrees that keeps the pictures it is shown.

    It answers as the planted features do.
    """

    identifier = "spectator"

    def __init__(self, features: Callable[..., np.ndarray]) -> None:
        self.features = features
        self.shown: dict[str, np.ndarray] = {}

    def visual_degrees(self) -> int:
        return 8

    def start_recording(self, region: str, time_bins: Any) -> None:
        self.bins = time_bins

    def look_at(self, stimuli: Any, number_of_trials: int = 1) -> Any:
        ids = [str(each) for each in stimuli["stimulus_id"]]
        self.shown = {each: np.asarray(Image.open(stimuli.get_stimulus(each))) for each in ids}
        rows = [int(each.removeprefix("image")) for each in ids]
        values = self.features(n_stimuli=len(ids), n_bins=len(self.bins))[:, rows]
        neuroids: dict[str, Any] = {"neuroid_id": np.arange(values.shape[2])}
        return features_assembly(values.transpose(1, 2, 0), stimuli, neuroids, self.bins)


@pytest.mark.parametrize("degrees", [4.0, 16.0])
def test_a_picture_on_a_larger_or_smaller_screen_is_padded_or_cropped_and_scored(
    unsorted: Callable[..., Recording],
    features: Callable[..., np.ndarray],
    degrees: float,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("RESULTCACHING_DISABLE", "1")
    monkeypatch.setattr(screen, "root_path", tmp_path / "screen")
    recording = unsorted(n_stimuli=40)
    stimuli = replace(recording.stimuli, visual_degrees=degrees, name=f"at{degrees}")
    benchmark = TemporalPredictivityBenchmark(
        replace(recording, stimuli=stimuli), region="IT", **FEW
    )
    model = Spectator(features)
    scored = benchmark(model)
    assert scored.attrs["raw"].attrs["raw"].shape == (3, 6, 3)
    assert len(model.shown) == 40
    for row, stimulus in enumerate(stimuli.ids):
        picture = np.asarray(stimuli.images[row])
        if degrees == 4.0:  # 16 px are half of the field
            expected = np.full((32, 32, 3), 128, np.uint8)
            expected[8:24, 8:24] = picture
        else:  # 16 px are twice the field
            expected = picture[4:12, 4:12]
        np.testing.assert_array_equal(model.shown[stimulus], expected)


@pytest.mark.parametrize(
    ("settings", "average"),
    [(FEW, statistics.fmean), (MEDIANS, statistics.median)],
    ids=["pooled", "medians"],
)
def test_the_error_is_the_standard_error_over_splits(
    settings: dict[str, Any],
    average: Callable[[list[float]], float],
    planted: Callable[..., Recording],
    unsorted: Callable[..., Recording],
    features: Callable[..., np.ndarray],
) -> None:
    source = as_source(features(n_stimuli=80, n_bins=3), planted())
    scored = NoiseCorrectedTemporal(**settings)(source, to_assembly(unsorted()))
    r = scored.attrs["raw"].attrs["raw"].values  # (split neuroid time_bin)
    assert r.shape == (3, 6, 3)
    assert np.isfinite(r).all()
    by_split = [
        statistics.fmean(average(r[split, :, time_bin].tolist()) for time_bin in range(3))
        for split in range(3)
    ]
    assert scored.attrs["raw"].item() == pytest.approx(statistics.fmean(by_split), rel=1e-6)
    assert scored.attrs["error"] == pytest.approx(sem(by_split), rel=1e-6)
    assert scored.attrs["error"] == pytest.approx(statistics.stdev(by_split) / 3**0.5, rel=1e-6)
    assert scored.attrs["error"] > 1e-4


@pytest.fixture
def registered(
    planted: Callable[..., Recording], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Recording]:
    """Register everything, with a small recording in the place of hvm-sim."""
    recording = planted(n_bins=19, n_stimuli=60)
    monkeypatch.setattr(registration, "load_recording", lambda name, region: recording)
    register()
    yield recording
    unregister()


def test_registered_names_load_in_this_process(registered: Recording) -> None:
    register()  # twice is as once
    assert brainscore_vision.load_model("neurofit-rgc_tiny").identifier == "neurofit-rgc_tiny"
    assert isinstance(
        brainscore_vision.load_metric(registration.METRIC, time_mode="fixed"),
        NoiseCorrectedTemporal,
    )
    benchmark = brainscore_vision.load_benchmark("neurofit-hvm-sim.IT")
    assert benchmark.recording.time_bins[0] == (70, 80)
    assert {f"neurofit-majajhong2015.{region}" for region in ("V4", "IT")} <= set(
        brainscore_vision.benchmark_registry
    )
    assert brainscore_vision.load_metric("pls") is not None  # theirs still load


def test_unregistering_leaves_brainscore_as_it_was(installed: Path) -> None:
    search, models = brainscore_vision.import_plugin, dict(brainscore_vision.model_registry)
    register()
    register()
    unregister()
    assert brainscore_vision.import_plugin is search
    assert brainscore_vision.model_registry == models
    with pytest.raises(AssertionError, match="No registrations found for neurofit-rgc_tiny"):
        brainscore_vision.load_model("neurofit-rgc_tiny")
    unregister()


def test_brainscores_own_score_takes_the_registered_names(
    installed: Path, registered: Recording
) -> None:
    scored = brainscore_vision.score("neurofit-rgc_tiny", "neurofit-hvm-sim.IT")
    assert scored.dims == ()
    assert scored.attrs["benchmark_identifier"] == "neurofit-hvm-sim.IT"
