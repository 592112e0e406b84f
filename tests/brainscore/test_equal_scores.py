"""The preset `brainscore` gives Brain-Score's numbers on Brain-Score's splits, raw values too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from brainscore_vision import load_benchmark, load_ceiling, load_metric
from brainscore_vision.benchmark_helpers.neural_common import (
    NeuralBenchmark,
    average_repetition,
)
from brainscore_vision.model_interface import BrainModel

from neurofit import score
from neurofit.analyses.predictivity.presets import make_config
from neurofit.brainscore import (
    activations_of,
    from_assembly,
    recording_of,
    to_assembly,
    to_stimulus_set,
)
from neurofit.brainscore.conversion import as_time_bins
from neurofit.brainscore.features import features_assembly, from_features
from neurofit.mapping import RidgeMapping
from neurofit.recordings.recording import Recording

RIDGE = RidgeMapping(alphas=(1.0,))
STRATIFIED = {"stratification_coord": "object_name"}
TOLERANCE = 1e-6


@pytest.fixture(autouse=True)
def no_cached_results(monkeypatch: pytest.MonkeyPatch) -> None:
    """Brain-Score's caches go by name; here the same name has other data."""
    monkeypatch.setenv("RESULTCACHING_DISABLE", "1")


def as_source(features: np.ndarray, recording: Recording) -> Any:
    """Return features in float64: Brain-Score solves a ridge in the precision of its features."""
    n_units = features.shape[2]
    neuroids: dict[str, Any] = {"neuroid_id": np.arange(n_units), "layer": ["features"] * n_units}
    return features_assembly(
        features.transpose(1, 2, 0).astype(np.float64),
        to_stimulus_set(recording.stimuli),
        neuroids,
        recording.time_bins,
    )


class Candidate(BrainModel):  # type: ignore[misc]  # Brain-Score has no types
    """A BrainModel that answers with the planted features, in as many bins as it is asked for."""

    identifier = "planted"

    def __init__(self, features: Callable[..., np.ndarray]) -> None:
        self.features = features

    def start_recording(self, region: str, time_bins: Any) -> None:
        self.bins = as_time_bins(time_bins)

    def visual_degrees(self) -> int:
        return 8

    def look_at(self, stimuli: Any, number_of_trials: int = 1) -> Any:
        rows = [int(str(each).removeprefix("image")) for each in stimuli["stimulus_id"]]
        values = self.features(n_stimuli=max(*rows, len(rows) - 1) + 1, n_bins=len(self.bins))
        neuroids: dict[str, Any] = {
            "neuroid_id": np.arange(values.shape[2]),
            "layer": ["features"] * values.shape[2],
        }
        return features_assembly(values[:, rows].transpose(1, 2, 0), stimuli, neuroids, self.bins)


def ours_on(source: Any, trials: Any, **changes: Any) -> xr.Dataset:
    recording = from_assembly(trials)
    region = recording.regions[0]
    activations = from_features(
        source, model="features", region=region, stimulus_ids=recording.stimuli.ids
    )
    return score(
        activations,
        recording,
        make_config("brainscore", layers=(region,), n_bootstraps=10, **changes),
    )


def per_split(raw: Any) -> np.ndarray:
    return np.asarray(raw.transpose("split", "neuroid", ...).values)


@pytest.mark.parametrize(
    ("metric", "changes"),
    [
        ("spantime_pls", {"mapping": "pls"}),
        ("spantime_ridge", {"mapping": RIDGE}),
    ],
)
def test_a_map_shared_by_all_bins_is_spantime(
    planted: Callable[..., Recording],
    features: Callable[..., np.ndarray],
    metric: str,
    changes: dict[str, Any],
) -> None:
    recording = planted()
    source, trials = as_source(features(n_stimuli=80, n_bins=3), recording), to_assembly(recording)
    theirs = load_metric(metric, crossvalidation_kwargs=STRATIFIED)(
        source, average_repetition(trials)
    )
    ours = ours_on(source, trials, time_mode="fixed", intercept="shared", **changes)
    np.testing.assert_allclose(ours.r_xy.values[0], per_split(theirs.raw), atol=TOLERANCE)
    np.testing.assert_allclose(
        np.median(ours.r_xy.values[0], axis=1).mean(axis=0), theirs.values, atol=TOLERANCE
    )
    assert theirs.values.min() > 0.3


@pytest.mark.parametrize(
    ("metric", "changes"),
    [("pls", {"mapping": "pls"}), ("ridge", {"mapping": RIDGE})],
)
def test_one_bin_is_their_static_metric(
    planted: Callable[..., Recording],
    features: Callable[..., np.ndarray],
    metric: str,
    changes: dict[str, Any],
) -> None:
    recording = planted(n_bins=1)
    source, trials = as_source(features(n_stimuli=80, n_bins=1), recording), to_assembly(recording)
    theirs = load_metric(metric, crossvalidation_kwargs=STRATIFIED)(
        source.squeeze("time_bin"), average_repetition(trials).squeeze("time_bin")
    )
    ours = ours_on(source, trials, **changes)
    np.testing.assert_allclose(ours.r_xy.values[0, ..., 0], per_split(theirs.raw), atol=TOLERANCE)


def test_the_ceiling_is_internal_consistency(
    planted: Callable[..., Recording], features: Callable[..., np.ndarray]
) -> None:
    recording = planted(n_repetitions=7)
    source, trials = as_source(features(n_stimuli=80, n_bins=3), recording), to_assembly(recording)
    ours = ours_on(source, trials).r_yy_sb.values[0]
    temporal = load_ceiling("internal_consistency_temporal")(trials)
    np.testing.assert_allclose(ours, per_split(temporal.raw), atol=TOLERANCE)
    np.testing.assert_allclose(
        np.median(ours, axis=1).mean(axis=0), temporal.values, atol=TOLERANCE
    )
    static = load_ceiling("internal_consistency")(trials.isel(time_bin=1))
    np.testing.assert_allclose(
        np.median(ours, axis=1).mean(axis=0)[1], static.item(), atol=TOLERANCE
    )


@pytest.mark.parametrize(
    "gap", ["one trial of a stimulus", "no trial of a bin", "a third of the trials"]
)
def test_missing_trials_of_a_neuroid_leave_the_others_as_there(
    planted: Callable[..., Recording], features: Callable[..., np.ndarray], gap: str
) -> None:
    n = 120  # 12 test stimuli, of which a neuroid needs 10
    recording = planted(n_stimuli=n)
    responses = recording.responses.copy(deep=True)
    shown, repetition = responses.stimulus_id.values == "image003", responses.repetition.values
    if gap == "one trial of a stimulus":  # which is left out here, and out of the ceiling there
        responses.values[shown & (repetition > 0), 1] = np.nan
    elif gap == "no trial of a bin":
        responses.values[shown & (repetition > 0), 1, 1] = np.nan
    else:
        responses.values[np.random.default_rng(3).random(len(shown)) < 1 / 3, 1] = np.nan
    recording = replace(recording, responses=responses)
    source, trials = as_source(features(n_stimuli=n, n_bins=3), recording), to_assembly(recording)
    raw = load_metric("spantime_ridge", crossvalidation_kwargs=STRATIFIED)(
        source, average_repetition(trials)
    )
    ceiling = load_ceiling("internal_consistency_temporal")(trials)
    ours = ours_on(source, trials, time_mode="fixed", intercept="shared", mapping=RIDGE)
    for name, theirs in (("r_xy", per_split(raw.raw)), ("r_yy_sb", per_split(ceiling.raw))):
        found, expected = (np.delete(r, 1, axis=1) for r in (ours[name].values[0], theirs))
        np.testing.assert_allclose(found, expected, atol=TOLERANCE)
        assert np.isfinite(ours[name].values).all()


def test_explained_variance_is_their_benchmarks_score(
    planted: Callable[..., Recording], features: Callable[..., np.ndarray]
) -> None:
    recording = planted()
    source, trials = as_source(features(n_stimuli=80, n_bins=3), recording), to_assembly(recording)

    benchmark = NeuralBenchmark(
        identifier="planted",
        version=1,
        assembly=average_repetition(trials),
        similarity_metric=load_metric("spantime_ridge", crossvalidation_kwargs=STRATIFIED),
        visual_degrees=8,
        number_of_trials=1,
        ceiling_func=lambda: load_ceiling("internal_consistency_temporal")(trials),
    )
    theirs = benchmark(Candidate(features))
    ours = ours_on(source, trials, time_mode="fixed", intercept="shared", mapping=RIDGE)
    np.testing.assert_allclose(ours.curve.values[0], theirs.values, atol=TOLERANCE)


@pytest.mark.parametrize("region", ["V4", "IT"])
def test_the_real_temporal_benchmark_scores_the_same_through_both(
    majajhong: list[tuple[int, int]], features: Callable[..., np.ndarray], region: str
) -> None:
    benchmark = load_benchmark(f"MajajHong2015public.{region}-temporal-pls")
    candidate = Candidate(features)
    theirs = benchmark(candidate)
    recording = recording_of(benchmark)
    activations = activations_of(candidate, recording, region=region)
    ours = score(
        activations,
        recording,
        make_config(
            "brainscore", layers=(region,), time_mode="fixed", intercept="shared", n_bootstraps=10
        ),
    )
    raw = per_split(theirs.raw.raw)
    assert raw.shape == (10, 4, 5)
    np.testing.assert_allclose(ours.r_xy.values[0], raw, atol=TOLERANCE)
    np.testing.assert_allclose(
        ours.r_yy_sb.values[0], per_split(theirs.ceiling.raw), atol=TOLERANCE
    )
    per_bin = np.median(ours.r_xy.values[0], axis=1).mean(axis=0) ** 2 / np.median(
        ours.r_yy_sb.values[0], axis=1
    ).mean(axis=0)
    np.testing.assert_allclose(per_bin, theirs.values, atol=TOLERANCE)


def test_their_temporal_benchmark_loses_the_last_bin_and_the_names_of_its_bins(
    majajhong: list[tuple[int, int]], features: Callable[..., np.ndarray]
) -> None:
    benchmark = load_benchmark("MajajHong2015public.IT-temporal-pls")
    assert majajhong[-1] == (40, 60)
    assert [tuple(each) for each in benchmark.timebins] == [
        (0, 10),
        (10, 20),
        (20, 30),
        (30, 40),
        (40, 50),
    ]  # 50-60 ms is recorded too
    scored = benchmark(Candidate(features))
    assert "time_bin" not in scored.dims


def test_their_temporal_benchmark_takes_the_static_ceiling_from_the_cache(
    majajhong: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RESULTCACHING_DISABLE")
    static = load_benchmark("MajajHong2015public.IT-pls")
    temporal = load_benchmark("MajajHong2015public.IT-temporal-pls")
    assert temporal.identifier == static.identifier == "MajajHong2015.IT.public-pls"
    alone = temporal._ceiling_func()
    assert alone.dims == ("time_bin",)
    assert static.ceiling.dims == ()
    assert temporal.ceiling.dims == ()  # one number for all bins
    assert temporal.ceiling.item() == static.ceiling.item() != alone.values[0]
