"""Brain-Score's own benchmarks are recordings of `neurofit score`, its models are models.

The numbers are those of direct calls.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper
from brainscore_vision.model_helpers.brain_transformation import ModelCommitment
from brainscore_vision.model_interface import BrainModel
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from neurofit import create_model, extract, score
from neurofit.analyses.predictivity.presets import make_config
from neurofit.brainscore import (
    NeurofitBrainModel,
    activations_of,
    recording_of,
    to_assembly,
)
from neurofit.cli.app import app
from neurofit.errors import NeurofitError
from neurofit.recordings.recording import Recording

Lend = Callable[[str, str, Callable[[], Any]], None]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write into a folder of the test, and cache nothing: caches go by name."""
    (tmp_path / "results").mkdir()
    monkeypatch.chdir(tmp_path / "results")
    monkeypatch.setenv("RESULTCACHING_DISABLE", "1")


def scored(*arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(
        app, ["score", "--mapping", "ridge", "--json", *arguments], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def pictures(recording: Recording) -> list[np.ndarray]:
    return [np.asarray(recording.stimuli.images[row]) for row in range(len(recording.stimuli))]


def same(summary: dict[str, Any], result: xr.Dataset) -> None:
    """Compare a printed summary with a result."""
    ends = ("curve_low", "curve_high", "curve_band_low", "curve_band_high")
    for name in ("curve", *ends, "curve_one_sided", "ceiling"):
        values = result[name].values if name == "ceiling" else result[name].values[0]
        np.testing.assert_allclose(
            np.array(summary[name], dtype=float), values, rtol=1e-9, equal_nan=True
        )


def test_a_temporal_benchmark_is_a_recording(lend_majajhong: Callable[..., Any]) -> None:
    lend_majajhong(17)
    identifier = "MajajHong2015public.IT-temporal-pls"
    found = scored(
        "--model", "rgc_tiny", "--region", "IT", "--recording", f"brainscore:{identifier}"
    )
    recording = recording_of(identifier)
    assert recording.time_bins == [(start, start + 10) for start in range(0, 160, 10)]
    assert recording.regions == ("IT",)
    model = create_model("rgc_tiny")
    features = extract(model, recording.stimuli, layers=["conv5"], time_bins=recording.time_bins)
    expected = score(features, recording, make_config("pooled", layers=("conv5",)))
    assert np.isfinite(expected.curve.values).any()
    same(found, expected)


def test_a_static_benchmark_is_a_recording_of_one_bin(lend_majajhong: Callable[..., Any]) -> None:
    lend_majajhong(3)
    recording = recording_of("MajajHong2015public.V4-pls")
    assert recording.time_bins == [(70, 170)]
    assert recording.regions == ("V4",)
    found = scored(
        "--model",
        "rgc_tiny",
        "--region",
        "V4",
        "--recording",
        "brainscore:MajajHong2015public.V4-pls",
    )
    assert len(found["curve"]) == 1


def trials(
    planted: Callable[..., Recording],
    regions: list[str],
    bins: list[tuple[int, int]],
    *,
    of_neuroids: dict[str, float] | None = None,
    **of_stimuli: list[str],
) -> Callable[[], Any]:
    """Return what makes an assembly of trials, as a data set of Brain-Score's."""
    recording = planted(n_stimuli=40, n_repetitions=4, n_neuroids=len(regions), n_bins=len(bins))
    table = recording.stimuli.table.assign(
        **{
            name: [values[i % len(values)] for i in range(40)]
            for name, values in of_stimuli.items()
        }
    )
    responses = recording.responses.assign_coords(
        region=("neuroid", regions),
        time_bin_start=("time_bin", [start for start, _ in bins]),
        time_bin_end=("time_bin", [end for _, end in bins]),
    )
    for name, value in (of_neuroids or {}).items():
        responses.coords[name] = ("neuroid", np.full(len(regions), value))
    made = to_assembly(
        Recording(
            name="theirs", responses=responses, stimuli=replace(recording.stimuli, table=table)
        )
    )
    return lambda: made.copy()


def test_a_benchmark_that_loads_its_trials_late_is_a_recording_too(
    planted: Callable[..., Recording], lend: Lend
) -> None:
    made = trials(
        planted,
        ["V1", "V2"] * 3,
        [(t, t + 1) for t in range(201)],
        texture_type=["noise", "texture"],
    )
    lend("data", "FreemanZiemba2013.public", made)
    recording = recording_of("FreemanZiemba2013public.V2-pls")
    assert (recording.regions, recording.time_bins) == (("V2",), [(50, 200)])
    assert recording.stimuli.visual_degrees == 4.0
    assert recording.stimuli.images[0].shape == (16, 16, 3)
    whole = made().sel(region="V2").values[..., 50:200].mean(axis=-1)
    np.testing.assert_allclose(
        np.sort(recording.responses.values.ravel()), np.sort(whole.ravel()), rtol=1e-5
    )


def test_of_train_and_test_images_the_repeated_ones_are_the_recording(
    planted: Callable[..., Recording], lend: Lend
) -> None:
    for part in ("train", "test"):
        lend(
            "data",
            f"Papale2025_{part}",
            trials(planted, ["V4", "IT"] * 3, [(70, 170)], of_neuroids={"reliability": 0.9}),
        )
    recording = recording_of("Papale2025.IT-ridge")
    assert recording.responses.shape == (160, 3, 1)
    assert recording.stimuli.visual_degrees == 18.0


def test_averaged_trials_are_refused_in_a_line(
    lend: Lend, planted: Callable[..., Recording]
) -> None:
    class Averaged:
        identifier = "averaged"
        _ceiling_func = staticmethod(lambda: 1)

    lend("benchmark", "averaged", Averaged)
    with pytest.raises(
        NeurofitError,
        match=r"averaged has no single trials, which noise correction needs: .* no coordinate "
        r"repetition",
    ) as refused:
        recording_of("averaged")
    assert "\n" not in str(refused.value)


class TheirActivations:
    """What ModelCommitment asks of an activations model over time.

    A layer that answers another way in each of thirty timesteps.
    """

    identifier = "in-time"

    def __init__(self) -> None:
        self._extractor = self

    def set_visual_degrees(self, degrees: float) -> None:
        pass

    def __call__(self, stimuli: Any, layers: Any, **options: Any) -> Any:
        values = in_time(stimuli["stimulus_id"].to_numpy())
        steps = np.arange(values.shape[2])
        return NeuroidAssembly(
            values,
            coords={
                "stimulus_id": ("presentation", stimuli["stimulus_id"].to_numpy()),
                "object_name": ("presentation", stimuli["object_name"].to_numpy()),
                "neuroid_id": ("neuroid", np.arange(values.shape[1])),
                "layer": ("neuroid", [layers[0]] * values.shape[1]),
                "time_bin_start": ("time_bin", 10 * steps),
                "time_bin_end": ("time_bin", 10 * steps + 10),
            },
            dims=("presentation", "neuroid", "time_bin"),
        )


def in_time(stimulus_ids: Any) -> np.ndarray:
    """Return features (stimulus unit timestep) that follow from the stimulus' number."""
    return np.stack(
        [
            np.random.default_rng(int(str(each).removeprefix("image"))).normal(size=(12, 30))
            for each in stimulus_ids
        ]
    )


def test_a_temporal_model_of_brainscore_is_a_candidate(
    planted: Callable[..., Recording], lend: Lend, lend_majajhong: Any
) -> None:
    lend_majajhong(7)
    lend(
        "model",
        "in-time",
        lambda: ModelCommitment(
            "in-time",
            activations_model=TheirActivations(),
            layers=["top"],
            region_layer_map={"IT": "top"},
        ),
    )
    found = scored(
        "--model",
        "brainscore:in-time",
        "--region",
        "IT",
        "--recording",
        "brainscore:MajajHong2015public.IT-temporal-pls",
    )
    recording = recording_of("MajajHong2015public.IT-temporal-pls")
    features = activations_of("in-time", recording, region="IT")
    timesteps = np.arange(len(recording.time_bins))
    answered = np.stack([features.blocks["IT", int(t)] for t in timesteps], axis=-1)
    np.testing.assert_allclose(answered, in_time(recording.stimuli.ids)[..., timesteps], rtol=1e-6)
    same(
        found,
        score(features, recording, make_config("pooled", layers=("IT",))),
    )
    assert found["model"] == "in-time"


def test_answers_that_do_not_fit_into_memory_are_asked_for_in_parts(
    lend: Lend, lend_majajhong: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lend_majajhong(7)
    recording = recording_of("MajajHong2015public.IT-temporal-pls")
    asked: list[int] = []

    class Watched(NeurofitBrainModel):
        def start_recording(self, recording_target: Any, time_bins: Any = None) -> None:
            asked.append(len(time_bins))
            super().start_recording(recording_target, time_bins)

    at_once = activations_of(
        Watched(create_model("rgc_tiny"), layers={"IT": ("conv1",)}), recording, region="IT"
    )
    assert asked == [1, 6]
    units = at_once.blocks["IT", 5].shape[1]
    monkeypatch.setattr(
        "neurofit.brainscore.candidate.CHUNK_BYTES", 4.5 * len(recording.stimuli) * units * 8
    )
    in_parts = activations_of(
        Watched(create_model("rgc_tiny"), layers={"IT": ("conv1",)}), recording, region="IT"
    )
    assert asked == [1, 6, 1, 4, 2]
    assert list(in_parts.blocks) == list(at_once.blocks) == [("IT", t) for t in range(6)]
    for key in at_once.blocks:
        np.testing.assert_array_equal(in_parts.blocks[key], at_once.blocks[key])


def test_a_static_model_of_brainscore_is_a_candidate_and_flat(lend_majajhong: Any) -> None:
    lend_majajhong(4)
    recording = recording_of("MajajHong2015public.IT-temporal-pls")
    features = activations_of(
        "pixels", recording, region="IT"
    )  # Brain-Score's own baseline; it needs no other package
    first, *others = (features.blocks["IT", t] for t in range(len(recording.time_bins)))
    expected = np.stack(
        [
            np.asarray(Image.fromarray(image).resize((256, 256))).ravel()
            for image in pictures(recording)
        ]
    )
    np.testing.assert_array_equal(np.sort(first, axis=1), np.sort(expected, axis=1))
    assert len(others) == 2
    assert all(other is first for other in others)  # one block for all, fitted once
    found = scored(
        "--model",
        "brainscore:pixels",
        "--region",
        "IT",
        "--recording",
        "brainscore:MajajHong2015public.IT-pls",
    )
    recording = recording_of("MajajHong2015public.IT-pls")
    features = activations_of("pixels", recording, region="IT")
    same(
        found,
        score(features, recording, make_config("pooled", layers=("IT",))),
    )


def test_a_torch_module_scores_the_same_through_brainscores_wrapper(
    lend: Lend, lend_majajhong: Any
) -> None:
    lend_majajhong(3)

    def pixels(paths: list[str]) -> list[np.ndarray]:
        return [
            np.asarray(Image.open(path), dtype=np.float32).transpose(2, 0, 1) / 255
            for path in paths
        ]

    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    wrapped = PytorchWrapper(network, pixels, identifier="wrapped")
    lend(
        "model",
        "wrapped",
        lambda: ModelCommitment(
            "wrapped", activations_model=wrapped, layers=["1"], region_layer_map={"IT": "1"}
        ),
    )
    found = scored(
        "--model",
        "brainscore:wrapped",
        "--region",
        "IT",
        "--recording",
        "brainscore:MajajHong2015public.IT-pls",
    )
    recording = recording_of("MajajHong2015public.IT-pls")
    with torch.no_grad():
        answers = network(torch.from_numpy(np.stack(pictures(recording))).permute(0, 3, 1, 2) / 255)
    features = activations_of("wrapped", recording, region="IT")
    np.testing.assert_allclose(
        features.features("IT", (70, 170)), answers.flatten(1).numpy(), atol=1e-6
    )
    same(
        found,
        score(features, recording, make_config("pooled", layers=("IT",))),
    )


@pytest.mark.parametrize(
    ("bins", "shown"),
    [([(0, 20), (10, 30)], r"\(0, 20\), \(10, 30\)"), ([(-10, 0), (0, 10)], r"\(-10, 0\)")],
)
def test_bins_that_no_model_can_answer_are_refused_before_it_is_asked(
    planted: Callable[..., Recording], bins: list[tuple[int, int]], shown: str
) -> None:
    recording = planted(n_bins=2, n_stimuli=4)
    starts, ends = zip(*bins, strict=True)
    responses = recording.responses.assign_coords(
        time_bin_start=("time_bin", list(starts)), time_bin_end=("time_bin", list(ends))
    )

    class Asked(BrainModel):  # type: ignore[misc]  # Brain-Score has no types
        """A model that does not expect to be asked."""

    with pytest.raises(
        NeurofitError,
        match=rf"at 0 ms or later and must not overlap; got {shown}.*\nChoose others with --bins",
    ):
        activations_of(Asked(), replace(recording, responses=responses), region="IT")
