"""What a recording of one time bin allows: numbers, or a refusal that says what is lacking."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import neurofit as nf
from neurofit.activations.activations import Activations
from neurofit.data_loaders.recordings import load_recording
from neurofit.recordings.recording import Recording
from neurofit.results import figures
from neurofit.results.schema import axes, headline
from neurofit.results.tables import result_tables

Run = Callable[..., tuple[int, str, str]]

LEAST = {"generalisation": 2, "lag": 3, "latency": 3, "solution_times": 2, "areas": 2}
"""Analyses whose question is about several time bins -> how many they need."""

FEW: dict[str, Any] = {"n_splits": 2, "n_halves": 2}
ANSWERS: dict[str, Any] = {
    "geometry": nf.GeometryConfig(**FEW),
    "dimensionality": nf.DimensionalityConfig(n_halves=2),
    "decoding": nf.DecodingConfig(n_folds=2, labels="object"),
    "partition": nf.PartitionConfig(**FEW),
    "animals": nf.AnimalsConfig(**FEW),
    "turing": nf.TuringConfig(**FEW),
}


def arguments(name: str, region: str) -> list[str]:
    source = ["--source", "V4"] if name == "areas" else ["--model", "rgc_tiny"]
    return ["analyse", name, *source, "--region", region]


def features_of(recording: Recording, values: np.ndarray) -> Activations:
    """Return a steady layer whose units mix some values of each stimulus (stimulus value)."""
    weights = np.random.default_rng(0).standard_normal((values.shape[1], 40))
    units = (values @ weights).astype(np.float32)
    return Activations(
        model="mixed",
        stimulus_ids=recording.stimuli.ids,
        blocks={("a", step): units for step in range(5, 20)},
        first_timestep={"a": 5},
        ms_per_timestep=10,
        n_timesteps=20,
        region_layers=dict.fromkeys(recording.regions, ("a",)),
    )


def answer(name: str, config: Any, recording: Recording, values: np.ndarray) -> xr.Dataset:
    """Run an analysis of one bin; its figure, tables and summary come without a warning."""
    model = features_of(recording, values)
    inputs = [model] * (name != "animals")
    if name == "partition":
        noise = np.random.default_rng(1).standard_normal(values.shape)
        inputs.append(replace(features_of(recording, noise), model="noise"))
    result: xr.Dataset = getattr(nf, name)(*inputs, recording, config)
    main = headline(result)
    assert set(axes(result, main)) <= {"time_bin", "time_bin_model", "windows"}
    assert result.sizes["time_bin"] == 1
    assert figures.draw(result).axes
    assert figures.caption(result)
    assert list(result_tables(result))
    assert json.dumps(result.neurofit.summary())
    return result


@pytest.mark.filterwarnings("error", "ignore:scipy.optimize:DeprecationWarning")
@pytest.mark.parametrize("name", LEAST)
def test_questions_about_several_bins_refuse_a_single_one(
    name: str, with_objects: Recording, neurofit: Run
) -> None:
    given = [*arguments(name, "IT"), "--recording", "small", "--window", "70:80"]
    code, _, err = neurofit(*given)
    assert code == 2
    words = f"needs {LEAST[name]} time bins or more; small has 1, of 70-80 ms."
    assert err.strip().splitlines()[-1].endswith(words)


@pytest.mark.filterwarnings("error", "ignore:scipy.optimize:DeprecationWarning")
@pytest.mark.parametrize("name", ANSWERS)
def test_other_questions_are_answered_for_a_single_bin(name: str, with_objects: Recording) -> None:
    recording = with_objects.select(region="IT", window=(70, 80))
    images = np.asarray(recording.stimuli.images)
    seen = images[..., 0].reshape(60, -1)[:, :: 4096 // 12][:, :12]  # rates without trial noise
    values = seen / 64 - (seen / 64).mean(axis=0)
    result = answer(name, ANSWERS[name], recording, values)
    if name == "geometry":
        assert result.curve.item() > 0.5
    if name == "partition":
        mixed, noise, _ = result.explained.squeeze().values
        assert 0.5 < mixed < 1.1
        assert abs(noise) < 0.1


def test_all_but_one_animal_is_no_comparison_of_animals(
    with_objects: Recording, neurofit: Run
) -> None:
    given = ["--recording", "small", "--window", "70:80", "--subject", "A", "--region", "IT"]
    for name in ("animals", "turing"):
        model = ["--model", "rgc_tiny"] * (name == "turing")
        code, _, err = neurofit("analyse", name, *model, *given)
        assert code == 2
        assert "need neuroids of two animals or more" in err
        assert "all of small are of 'A'" in err


@pytest.mark.parametrize("name", [each for each in LEAST if each != "areas"] + ["turing"])
def test_cowley2023_is_refused_by_what_its_bin_does_not_allow(
    name: str,
    mirror: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    neurofit: Run,
) -> None:
    monkeypatch.setenv("NEUROFIT_MIRROR", str(mirror("cowley2023").parent))
    code, _, err = neurofit(*arguments(name, "V4"), "--recording", "cowley2023")
    assert code == 2
    lacking = "two animals or more" if name == "turing" else "cowley2023 has 1, of 50-150 ms."
    assert lacking in err


@pytest.mark.filterwarnings("error:invalid value", "error:divide by zero", "error:Mean of empty")
@pytest.mark.parametrize("name", ["geometry", "dimensionality", "decoding", "partition"])
def test_cowley2023_gives_what_its_bin_allows(
    name: str, mirror: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEUROFIT_MIRROR", str(mirror("cowley2023").parent))
    whole = load_recording("cowley2023").select(region="V4")
    recording = nf.Selection(stimuli=tuple(whole.stimuli.ids[::4])).apply(whole)
    grey = np.stack(
        [
            np.asarray(recording.stimuli.images[index]).mean(axis=2)[::16, ::16]
            for index in range(len(recording.stimuli))
        ]
    )
    config = ANSWERS[name]
    if name == "decoding":
        config = nf.DecodingConfig(n_folds=2)
    result = answer(name, config, recording, grey.reshape(len(grey), -1) / 255)
    if name == "dimensionality":
        assert 1 < result.dimensionality.sel(model="V4 of cowley2023").item() < 50
