"""Our model in Brain-Score equals Brain-Score's own way of recording from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly, walk_coords
from brainscore_vision.model_helpers.brain_transformation import ModelCommitment
from brainscore_vision.model_interface import BrainModel

from neurofit import create_model, wrap
from neurofit.activations.extract import extract
from neurofit.brainscore import NeurofitBrainModel, to_stimulus_set
from neurofit.brainscore.brain_model import RECORDING_PRESENTATION
from neurofit.brainscore.registration import model as registered
from neurofit.errors import NeurofitError
from neurofit.recordings.recording import Recording


class TheirActivations:
    """What ModelCommitment asks of an activations model.

    All timesteps of a layer, as an assembly with time bins.
    """

    identifier = "theirs"

    def __init__(self, model: Any, stimuli: Any) -> None:
        self.model, self.ours = model, stimuli
        self._extractor = self

    def set_visual_degrees(self, degrees: float) -> None:
        pass

    def __call__(self, stimuli: Any, layers: Any, **options: Any) -> Any:
        (layer,) = layers
        activations = extract(
            self.model,
            self.ours,
            layers=layers,
            presentation=RECORDING_PRESENTATION,
            storage="memory",
        )
        steps = np.arange(RECORDING_PRESENTATION.n_timesteps)
        values = np.stack([activations.blocks[layer, int(t)] for t in steps], axis=-1)
        return NeuroidAssembly(
            values,
            coords={
                "stimulus_id": ("presentation", stimuli["stimulus_id"].to_numpy()),
                "object_name": ("presentation", stimuli["object_name"].to_numpy()),
                "neuroid_id": ("neuroid", np.arange(values.shape[1])),
                "layer": ("neuroid", [layer] * values.shape[1]),
                "time_bin_start": ("time_bin", 10 * steps),
                "time_bin_end": ("time_bin", 10 * steps + 10),
            },
            dims=("presentation", "neuroid", "time_bin"),
        )


def test_it_equals_model_commitment_with_temporal_alignment(
    planted: Callable[..., Recording],
) -> None:
    stimuli = planted(n_stimuli=6).stimuli
    model = create_model("rgc_tiny")
    theirs = ModelCommitment(
        identifier="theirs",
        activations_model=TheirActivations(model, stimuli),
        layers=["conv5"],
        region_layer_map={"IT": "conv5"},
    )
    bins = [(70, 80), (95, 113), (100, 200), (290, 300)]
    shown = to_stimulus_set(stimuli)
    answers = []
    for candidate in (NeurofitBrainModel(model), theirs):
        candidate.start_recording("IT", time_bins=bins)
        answers.append(candidate.look_at(shown).transpose("presentation", "neuroid", "time_bin"))
    assert answers[0].values.std() > 0
    np.testing.assert_allclose(answers[0].values, answers[1].values, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "form", ["array of tuples", "list of 0-d", "list of tuples", "list of float arrays"]
)
def test_bins_arrive_in_four_forms(planted: Callable[..., Recording], form: str) -> None:
    tuples = [(70, 80), (80, 90)]
    many = np.empty(2, dtype=object)
    many[:] = tuples
    one = np.empty((), dtype=object)
    one[()] = (70, 80)
    given: dict[str, Any] = {
        "array of tuples": many,
        "list of 0-d": [one],
        "list of tuples": tuples,
        "list of float arrays": [np.array(each, dtype=float) for each in tuples],
    }
    model = registered("rgc_tiny")
    model.start_recording("IT", given[form])
    seen = model.look_at(to_stimulus_set(planted(n_stimuli=2).stimuli))
    expected = tuples[:1] if form == "list of 0-d" else tuples
    assert seen["time_bin"].values.tolist() == expected
    assert list(seen.indexes["time_bin"].names) == ["time_bin_start", "time_bin_end"]
    assert {"stimulus_id", "object_name"} <= set(seen.indexes["presentation"].names)
    assert {"neuroid_id", "region", "layer"} <= set(seen.indexes["neuroid"].names)


def test_a_bin_outside_the_unroll_is_refused() -> None:
    model = registered("rgc_tiny")
    with pytest.raises(
        NeurofitError, match=r"cover 0 to 300 ms, not the time bins -10-0, 290-310 ms"
    ):
        model.start_recording("IT", [(-10, 0), (70, 80), (290, 310)])


@pytest.mark.parametrize("bad", [(70.5, 80), (80, 70)])
def test_what_is_no_bin_is_refused(bad: tuple[float, ...]) -> None:
    with pytest.raises(NeurofitError, match="whole ms"):
        registered("rgc_tiny").start_recording("IT", [bad])


def test_onset_and_ms_per_step_move_the_bins(planted: Callable[..., Recording]) -> None:
    shown = to_stimulus_set(planted(n_stimuli=3).stimuli)
    network = create_model("rgc_tiny")

    def seen(bins: list[tuple[int, int]], **clock: int) -> np.ndarray:
        model = NeurofitBrainModel(network, **clock)  # type: ignore[arg-type]
        model.start_recording("IT", bins)
        return np.asarray(model.look_at(shown).values)

    plain = seen([(80, 90)])
    np.testing.assert_array_equal(seen([(100, 110)], onset_ms=20), plain)
    np.testing.assert_array_equal(seen([(160, 180)], ms_per_timestep=20), plain)


def test_a_static_model_is_flat_over_any_bins(planted: Callable[..., Recording]) -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    static = NeurofitBrainModel(
        wrap(module, ["1"], region_layers={"IT": ["1"]}, input_size=16, name="still")
    )
    static.start_recording("IT", [(-100, 0), (70, 80), (900, 1000)])
    values = static.look_at(to_stimulus_set(planted(n_stimuli=3).stimuli)).values
    assert values[..., 0].std() > 0
    np.testing.assert_array_equal(values, np.repeat(values[..., :1], 3, axis=-1))


def test_all_stimulus_columns_are_kept_and_layers_named(planted: Callable[..., Recording]) -> None:
    model = registered("rgc_tiny")
    model.start_recording(BrainModel.RecordingTarget.IT, [(70, 80)])
    seen = model.look_at(to_stimulus_set(planted(n_stimuli=3).stimuli), number_of_trials=50)
    assert seen.dims == ("presentation", "neuroid", "time_bin")
    names = {name for name, _, _ in walk_coords(seen)}
    assert {
        "stimulus_id",
        "object_name",
        "size",
        "neuroid_id",
        "region",
        "layer",
        "time_bin_start",
        "time_bin_end",
    } <= names
    assert len(set(seen["neuroid_id"].values)) == seen.sizes["neuroid"]


def test_each_unit_has_the_name_of_the_layer_that_answered(
    planted: Callable[..., Recording],
) -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 3, 5, stride=2)
    )
    stimuli = planted(n_stimuli=5).stimuli
    pixels = np.stack([np.asarray(stimuli.images[row]) for row in range(5)])
    with torch.no_grad():
        first = module[:2](torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255)
        answers = {"1": first.flatten(1).numpy(), "2": module[2](first).flatten(1).numpy()}
    assert (answers["1"].shape, answers["2"].shape) == ((5, 784), (5, 75))
    model = NeurofitBrainModel(
        wrap(
            module,
            ["1", "2"],
            region_layers={"V4": ["1"], "IT": ["2", "1"]},
            input_size=16,
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            name="two",
        )
    )
    for region, layers in (("IT", ["2", "1"]), ("V4", ["1"])):
        model.start_recording(region, [(70, 80)])
        seen = model.look_at(to_stimulus_set(stimuli))
        assert set(seen["layer"].values) == set(layers)
        assert set(seen["region"].values) == {region}
        for layer in layers:
            values = seen.values[:, seen["layer"].values == layer, 0]
            np.testing.assert_allclose(values, answers[layer], atol=1e-6)
        units = [(layer, i) for layer in layers for i in range(answers[layer].shape[1])]
        names = [f"neurofit-two.{layer}.{i}" for layer, i in units]
        assert seen["neuroid_id"].values.tolist() == names


def test_paths_are_looked_at_too(planted: Callable[..., Recording]) -> None:
    stimuli = planted(n_stimuli=3).stimuli
    model = registered("rgc_tiny")
    model.start_recording("IT", [(70, 80)])
    shown = to_stimulus_set(stimuli)
    paths = [str(shown.get_stimulus(each)) for each in stimuli.ids]
    np.testing.assert_array_equal(model.look_at(paths).values, model.look_at(shown).values)


def test_it_has_a_field_takes_passive_viewing_and_refuses_tasks() -> None:
    model = registered("rgc_tiny")
    assert model.visual_degrees() == 8.0
    assert model.identifier == "neurofit-rgc_tiny"
    model.start_task(BrainModel.Task.passive)
    with pytest.raises(NotImplementedError):
        model.start_task(BrainModel.Task.label)
    with pytest.raises(NeurofitError, match="Unknown region of neurofit-rgc_tiny 'V5'"):
        model.start_recording("V5", [(70, 80)])
