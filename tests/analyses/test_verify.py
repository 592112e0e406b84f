"""A result is verified by repeating it: planted changes are found, each as what it is."""

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

import neurofit as package
from neurofit import (
    CeilingConfig,
    RunConfig,
    ScoreConfig,
    Selection,
    create_model,
    load_result,
    run,
    save_result,
    verify,
)
from neurofit.data_loaders import write_recording
from neurofit.errors import CannotRepeat, NeurofitError
from neurofit.models import save_weights
from neurofit.recordings.recording import Recording

SCORE = RunConfig(
    model="timedecay_tiny",
    recording="small",
    selection=Selection(region="IT"),
    analysis=ScoreConfig(n_splits=2, n_halves=2, min_z=0.0),
)
CEILING = RunConfig(analysis=CeilingConfig(n_halves=2, interval_over="neuroids", n_bootstraps=9))


@pytest.fixture
def scored(registered: Any, tmp_path: Path) -> Path:
    """Write a score and return its path."""
    path = tmp_path / "result.nc"
    save_result(run(SCORE), path)
    return path


def test_an_untouched_result_is_equal_to_the_bit(scored: Path) -> None:
    found = verify(scored)
    assert (found.verdict, found.holds, found.differences) == ("equal to the bit", True, ())
    assert found.command.startswith("neurofit score --model timedecay_tiny --recording small")
    assert found.n_variables == len(load_result(scored).variables)


@pytest.mark.parametrize("name", ["curve", "influence_of_stimuli", "n_neuroids", "train"])
def test_another_number_is_found_wherever_it_is(scored: Path, name: str) -> None:
    result = load_result(scored)
    values = result[name].values
    at = np.unravel_index(np.nanargmax(np.abs(values.astype(float))), values.shape)
    values[at] = 0
    found = verify(result)
    assert found.verdict == "different"
    (each,) = found.differences
    assert (each.kind, each.name, each.share) == ("number", name, 1.0)


def test_a_small_difference_is_told_from_a_large_one(scored: Path) -> None:
    result = load_result(scored)
    result["curve"] = result.curve.astype(np.float64)
    scale = float(abs(result.curve).max())
    for step, verdict in ((1e-8, "equal to 1e-6"), (1e-5, "different")):
        changed = result.copy(deep=True)
        changed.curve.values[0, 1] += step * scale
        found = verify(changed)
        assert found.verdict == verdict
        (each,) = found.of_kind("number")
        assert each.name == "curve"
        np.testing.assert_allclose(each.size, step * scale, rtol=1e-4)
        np.testing.assert_allclose(each.share, step, rtol=1e-4)


def test_a_value_that_is_missing_or_another_shape_differs(scored: Path) -> None:
    result = load_result(scored)
    missing = result.copy(deep=True)
    missing.curve.values[0, 1] = np.nan
    assert verify(missing).of_kind("number")[0].size == np.inf
    shorter = verify(result.isel(time_bin=slice(0, 3)))
    assert "curve" in {each.name for each in shorter.of_kind("number")}
    assert not verify(result.drop_vars("ceiling")).holds
    renamed = result.assign_coords(neuroid_id=("neuroid", ["x"] * result.sizes["neuroid"]))
    assert [each.name for each in verify(renamed).differences] == ["neuroid_id"]


def test_another_version_is_listed_and_does_not_count(scored: Path) -> None:
    result = load_result(scored)
    versions = {**json.loads(result.attrs["versions"]), "numpy": "1.2.3"}
    found = verify(result.assign_attrs(versions=json.dumps(versions)))
    assert found.verdict == "equal to the bit"
    (each,) = found.differences
    assert (each.kind, each.name, each.stored) == ("version", "numpy", "1.2.3")
    assert each.repeated == np.__version__


def test_a_control_that_passes_as_a_model_is_found(registered: Any) -> None:
    result = run(replace(SCORE, shuffle_stimuli=True)).assign_attrs(control="")
    assert [(each.kind, each.name) for each in verify(result).differences] == [
        ("attribute", "control")
    ]


def test_other_weights_are_found(registered: Any, tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    model = create_model("timedecay_tiny")
    save_weights(model, path)
    result = run(replace(SCORE, weights=path))
    assert verify(result).verdict == "equal to the bit"
    moved = path.rename(tmp_path / "moved.safetensors")
    with pytest.raises(CannotRepeat, match="weights must be the path of a copy"):
        verify(result)
    assert verify(result, weights=moved).verdict == "equal to the bit"
    with torch.no_grad():
        next(model.parameters()).mul_(1.5)
    save_weights(model, path)
    found = verify(result)
    assert found.verdict == "different"
    (each,) = found.of_kind("weights")
    assert each.stored == json.loads(result.attrs["activations"])["weights_sha256"]
    assert each.stored != each.repeated
    assert "curve" in {each.name for each in found.of_kind("number")}


def test_another_recording_is_found_by_its_sha256(
    make_recording: Callable[..., Recording], tmp_path: Path
) -> None:
    recording = make_recording(n_stimuli=20, n_neuroids=6, regions=("IT",))
    path = tmp_path / "mine.nc"
    write_recording(recording, path)
    result = run(replace(CEILING, recording=path))
    assert verify(result).verdict == "equal to the bit"
    changed = recording.responses.copy(deep=True)
    changed[0, 0, 0] += 5
    write_recording(replace(recording, responses=changed), tmp_path / "changed.nc")
    found = verify(result, recordings=[tmp_path / "changed.nc"])
    assert found.verdict == "different"
    (each,) = found.of_kind("data")
    assert each.stored == result.attrs["recording_sha256"] != each.repeated
    assert "r_halves" in {each.name for each in found.of_kind("number")}

    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for file in tmp_path.glob("mine.*"):
        file.rename(folder / file.name)
    with pytest.raises(CannotRepeat, match="recording must be the path of a copy"):
        verify(result)
    both = [tmp_path / "changed.nc", folder / "mine.nc"]
    assert verify(result, recordings=both).verdict == "equal to the bit"


def test_a_recording_on_which_the_analysis_fails_is_said_to_be_another(
    make_recording: Callable[..., Recording], tmp_path: Path
) -> None:
    write_recording(make_recording(n_stimuli=20), tmp_path / "mine.nc")
    write_recording(make_recording(n_stimuli=20, regions=("V1",)), tmp_path / "other.nc")
    config = replace(CEILING, recording=tmp_path / "mine.nc", selection=Selection(region="IT"))
    found = verify(run(config), recordings=[tmp_path / "other.nc"])
    assert [each.kind for each in found.differences] == ["data", "run"]
    assert "Unknown region" in found.differences[1].repeated
    assert found.verdict == "different"


def test_a_recording_for_a_result_of_a_registered_one_is_refused(scored: Path) -> None:
    with pytest.raises(NeurofitError, match="this one is of small"):
        verify(scored, recordings=["mine.nc"])


def test_a_result_of_own_activations_says_what_is_missing(
    evoked: Callable[[], Recording],
) -> None:
    recording = evoked().select(region="IT")
    activations = package.extract(
        create_model("timedecay_tiny"), recording.stimuli, layers=["conv5"], storage="memory"
    )
    result: xr.Dataset = package.score(activations, recording, SCORE.analysis)
    with pytest.raises(CannotRepeat, match="attribute 'run' is missing"):
        verify(result)
