"""A width of images that nobody stated is confirmed before a score, and then used."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import neurofit
from neurofit import RunConfig, ScoreConfig, Selection
from neurofit.analyses.ceiling import CeilingConfig
from neurofit.analyses.repeat import command_of, run_config_of
from neurofit.data_loaders import load_recording, write_recording
from neurofit.errors import NeurofitError
from neurofit.recordings.recording import Recording
from neurofit.recordings.requirements import find_lacking, with_requirements
from neurofit.recordings.stimuli import NoImages
from neurofit.recordings.times import ASSUMED, ONSET


@pytest.fixture
def config(tmp_path: Path, evoked: Callable[[], Recording]) -> RunConfig:
    """Return a small run on a file that does not state the width of its images."""
    made = evoked()
    silent = replace(made, stimuli=replace(made.stimuli, assumed=("visual_degrees",)))
    write_recording(silent, tmp_path / "mine.nc")
    return RunConfig(
        model="timedecay_tiny",
        recording=tmp_path / "mine.nc",
        selection=Selection(region="IT"),
        analysis=ScoreConfig(n_splits=2, n_halves=2, min_z=0.0),
    )


def test_a_width_that_is_assumed_is_confirmed_before_a_score(config: RunConfig) -> None:
    assert load_recording(config.recording).stimuli.width == "8 degrees (assumed)"
    with pytest.raises(NeurofitError, match="does not state how wide its images were shown"):
        neurofit.run(config)
    result = neurofit.run(replace(config, visual_degrees=4.0))
    screen = json.loads(result.attrs["activations"])["screen"]
    assert screen["image"].endswith(" 4 degrees")
    assert "--visual-degrees 4.0" in command_of(run_config_of(result))
    other = neurofit.run(replace(config, visual_degrees=8.0))
    assert not result["r_xy"].equals(other["r_xy"])  # the model sees other images
    sidecar = Path(config.recording).with_suffix(".json")
    sidecar.write_text(json.dumps({"visual_degrees": 4}))
    assert result["r_xy"].equals(neurofit.run(config)["r_xy"])


def test_everything_that_is_not_stated_is_named_at_once(config: RunConfig, tmp_path: Path) -> None:
    recording = load_recording(config.recording)
    silent = replace(
        recording,
        responses=recording.responses.assign_attrs({ONSET: f"start of the trial {ASSUMED}"}),
        stimuli=replace(recording.stimuli, images=NoImages(len(recording.stimuli), "mine")),
    )
    with pytest.raises(NeurofitError) as caught:
        with_requirements(silent)
    assert caught.value.options == ("trial_start", "visual_degrees")
    named = ["has no images", "when in a trial the stimulus came on", "how wide its images"]
    assert [name for name in named if name in str(caught.value)] == named
    (left,) = find_lacking(silent, visual_degrees=4.0, trial_start=True)
    assert named[0] in str(left)


def test_a_ceiling_needs_no_width(config: RunConfig) -> None:
    neurofit.run(replace(config, model="", analysis=CeilingConfig()))


def test_a_width_that_contradicts_the_recording_is_refused(
    config: RunConfig, registered: Callable[[Recording], None]
) -> None:
    with pytest.raises(NeurofitError, match="small states 8 degrees"):
        neurofit.run(replace(config, recording="small", visual_degrees=4.0))
    neurofit.run(replace(config, recording="small", visual_degrees=8.0))
