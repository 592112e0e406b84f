"""A result from recorded activations is that of the model, without building it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import xarray as xr

import neurofit
import neurofit.models
from neurofit import Compute, RunConfig, Selection
from neurofit.activations import extract as extraction
from neurofit.analyses.predictivity.presets import make_config
from neurofit.models import MODELS
from neurofit.models.catalogue import INFO
from neurofit.recordings.recording import Recording
from neurofit.storage.home import home

SMALL: dict[str, Any] = {"n_splits": 2, "n_halves": 2, "min_z": 0.0}


@pytest.fixture
def config(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    registered: Callable[[Recording], None],
    evoked: Callable[[], Recording],
) -> RunConfig:
    """Return a small run that caches Gram matrices in an empty NEUROFIT_HOME."""
    monkeypatch.setenv("NEUROFIT_HOME", str(tmp_path))
    registered(replace(evoked(), sha256="0" * 64))
    return RunConfig(
        model="timedecay_tiny",
        recording="small",
        selection=Selection(region="IT", window=(80, 100)),
        analysis=make_config(**SMALL),
        compute=Compute(keep_grams=True, n_jobs=1),
    )


def refuse(*args: Any, **options: Any) -> Any:
    raise AssertionError("the model is built, or sees an image")


def without_model(monkeypatch: pytest.MonkeyPatch, config: RunConfig) -> xr.Dataset:
    with monkeypatch.context() as patched:
        patched.setattr(neurofit.models, "create_model", refuse)
        patched.setattr(extraction, "extract", refuse)
        return neurofit.run(config)


def test_other_options_need_neither_the_model_nor_an_image(
    monkeypatch: pytest.MonkeyPatch, config: RunConfig
) -> None:
    first = neurofit.run(config)
    assert without_model(monkeypatch, config).identical(first)
    every: list[dict[str, Any]] = [
        {"train_size": 0.6},
        {"seed": 1},
        {"formula": "noise_corrected_r"},
    ]
    for changes in every:
        options = {**SMALL, **changes}
        if "formula" in changes:
            options.pop("min_z")
        other = replace(config, analysis=make_config(**options))
        own = neurofit.run(replace(other, compute=Compute(n_jobs=1)))
        assert without_model(monkeypatch, other).identical(own)


def test_a_layer_or_bin_that_was_not_extracted_is_extracted(
    monkeypatch: pytest.MonkeyPatch, config: RunConfig
) -> None:
    neurofit.run(config)
    wider = replace(config, selection=Selection(region="IT", window=(80, 110)))
    deeper = replace(config, analysis=make_config(layers=("conv3",), **SMALL))
    for other in (wider, deeper):
        with pytest.raises(AssertionError, match="the model is built"):
            without_model(monkeypatch, other)
        own = neurofit.run(replace(other, compute=Compute(n_jobs=1)))
        assert neurofit.run(other).identical(own)
    for each in (config, wider, deeper):  # the record has all of them
        without_model(monkeypatch, each)


def test_a_static_network_is_not_taken_to_end_where_an_earlier_recording_did(
    monkeypatch: pytest.MonkeyPatch, config: RunConfig
) -> None:
    monkeypatch.setattr(MODELS, "_entries", dict(MODELS._entries))
    monkeypatch.setitem(INFO, "still", INFO["timedecay_tiny"])  # is removed again
    monkeypatch.delitem(INFO, "still")

    @neurofit.register_model(
        **{**vars(INFO["timedecay_tiny"]), "name": "still", "makes_weights": False}
    )
    def still(*, seed: int | None = 0) -> Any:
        torch.manual_seed(seed or 0)
        net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 5, 4))
        return neurofit.wrap(
            net, ["0"], input_size=32, ms_per_timestep=2, region_layers={"IT": ["0"]}
        )

    config = replace(config, model="still", weights="random")
    neurofit.run(config)  # up to 100 ms, longer than the 52 ms of 26 timesteps
    later = replace(config, selection=Selection(region="IT", window=(80, 110)))
    found = neurofit.run(later)
    assert found.curve.notnull().all()
    without_model(monkeypatch, later)


def test_whether_a_layer_sees_the_image_is_the_verdict_of_all_images(
    monkeypatch: pytest.MonkeyPatch, config: RunConfig, registered: Any, evoked: Any
) -> None:
    recording = evoked()
    images = recording.stimuli.images.copy()
    images[[0, 20, 39, 59]] = images[0]  # those that are shown before the others
    stimuli = replace(recording.stimuli, images=images)
    registered(replace(recording, sha256="1" * 64, stimuli=stimuli))
    found = neurofit.run(config)
    assert "no longer sees the image" not in found.attrs["notes"]
    assert without_model(monkeypatch, config).attrs["notes"] == found.attrs["notes"]
    for gram in (home() / "grams").rglob("*.safetensors"):
        gram.unlink()
    assert neurofit.run(config).attrs["notes"] == found.attrs["notes"]


def test_features_without_a_cached_gram_are_extracted_again(
    monkeypatch: pytest.MonkeyPatch, config: RunConfig
) -> None:
    first = neurofit.run(config)
    for gram in (home() / "grams").rglob("*.safetensors"):
        gram.unlink()
    with pytest.raises(AssertionError, match="the model is built"):
        without_model(monkeypatch, config)
    assert neurofit.run(config).identical(first)


def test_a_record_of_something_else_is_not_used(
    monkeypatch: pytest.MonkeyPatch, config: RunConfig
) -> None:
    first = neurofit.run(config)
    (file,) = (home() / "extractions").glob("*.json")
    record = json.loads(file.read_text())
    for content in ("", "[]", "{", json.dumps({**record, "key": "1" * 64})):
        file.write_text(content)
        with pytest.raises(AssertionError, match="the model is built"):
            without_model(monkeypatch, config)
        assert neurofit.run(config).identical(first)  # which writes the record again
        assert json.loads(file.read_text()) == record


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": "random"},
        {"weights": "random", "model_seed": 1},
        {"presentation": "default"},
        {"precision": "bfloat16"},
        {"shuffle_stimuli": True},
        {"model": "simplernn_tiny"},
    ],
)
def test_whatever_changes_activations_has_a_record_of_its_own(
    config: RunConfig, changes: dict[str, Any]
) -> None:
    neurofit.run(config)
    neurofit.run(replace(config, **changes))
    files = list((home() / "extractions").glob("*.json"))
    assert len(files) == 2
    first, second = (json.loads(file.read_text()) for file in files)
    assert first["fingerprint"] != second["fingerprint"] or first["probes"] != second["probes"]
