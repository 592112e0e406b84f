"""Commands and extraction with `--device xla`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from neurofit.activations.extract import extract
from neurofit.activations.presentation import Presentation
from neurofit.models import create_model
from neurofit.recordings.recording import Recording

SHORT = Presentation(n_timesteps=8, image_off=5)


@pytest.mark.parametrize("name", ["rgc_feedback_tiny", "lstm_tiny"])
def test_features_are_those_of_the_cpu(
    name: str, make_recording: Callable[..., Recording], compilations: Callable[[], int]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), dtype=np.uint8)
    stimuli = replace(make_recording().stimuli, images=noise)
    model = create_model(name)
    before = compilations()
    ours = extract(model, stimuli, presentation=SHORT, batch_size=3, device="xla")
    first = compilations() - before
    assert first <= SHORT.n_timesteps + 1  # not one for each layer and batch
    theirs = extract(model.to("cpu"), stimuli, presentation=SHORT, batch_size=3)
    assert set(ours.blocks) == set(theirs.blocks)
    assert ours.provenance["device"] == "xla"
    assert ours.provenance["weights_sha256"] == theirs.provenance["weights_sha256"]
    for key in theirs.blocks:
        largest = np.abs(theirs.blocks[key]).max()
        assert np.abs(ours.blocks[key] - theirs.blocks[key]).max() <= 1e-5 * largest, key


@pytest.mark.usefixtures("registered")
def test_a_score_is_that_of_the_cpu(neurofit: Any, tmp_path: Path) -> None:
    score = ("score", "--model", "timedecay_tiny", "--recording", "small", "--region", "IT")
    for device in ("xla", "cpu"):
        code, _, error = neurofit(*score, "--device", device, "--out", device)
        assert code == 0, error
    ours, theirs = (
        xr.load_dataset(tmp_path / device / "result.nc", engine="h5netcdf")
        for device in ("xla", "cpu")
    )
    np.testing.assert_allclose(ours.curve.values, theirs.curve.values, atol=1e-4)
    assert json.loads(ours.attrs["activations"])["device"] == "xla"


def test_a_model_is_trained_and_tested(neurofit: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part, n in (("train", 8), ("val", 4)):
        for colour, name in ((0, "red"), (2, "blue")):
            (tmp_path / "set" / part / name).mkdir(parents=True)
            for i in range(n):
                picture = rng.integers(0, 120, (40, 40, 3), dtype=np.uint8)
                picture[..., colour] += 120
                Image.fromarray(picture).save(tmp_path / "set" / part / name / f"{i}.png")
    wanted = ("--model", "timedecay_tiny", "--data", f"folder:{tmp_path / 'set'}")
    size = ("--input-size", "32", "--device", "xla")
    schedule = ("--epochs", "2", "--batch-size", "8", "--lr", "0.02")
    code, out, error = neurofit("train", *wanted, *size, *schedule, "--out", "run")
    assert code == 0, error
    assert "; xla (1 x CPU)" in out
    assert "of 8 test images" in out
    weights = ("--weights", "run/timedecay_tiny.safetensors")
    found = []
    for device in ("xla", "cpu"):
        options = (*wanted, *size[:3], device, *weights, "--json")
        code, out, error = neurofit("eval", *options)
        assert code == 0, error
        found.append(json.loads(out))
    assert found[0]["by_timestep"] == found[1]["by_timestep"]
    assert found[0]["loss"] == pytest.approx(found[1]["loss"], rel=1e-5)
