"""The torch module inside a model of Brain-Score is a model of neurofit too."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from brainscore_vision.model_helpers.activations.pytorch import (
    PytorchWrapper,
    load_preprocess_images,
)
from brainscore_vision.model_helpers.brain_transformation import ModelCommitment
from torch import nn

import neurofit
from neurofit.brainscore.loading import load
from neurofit.errors import NeurofitError


def commit(*, usual: bool = True) -> ModelCommitment:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 30 * 30, 5))
    preprocessing = partial(load_preprocess_images, image_size=32, normalize_mean=(0.4, 0.5, 0.6))
    base = PytorchWrapper(net, preprocessing if usual else list, identifier="small-net")
    return ModelCommitment(
        "small-net", base, layers=["1", "3"], region_layer_map={"V4": "1", "IT": ["3"]}
    )


@pytest.fixture
def _loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Brain-Score find two models more; it looks for models in folders of its package."""
    own: dict[str, Any] = {"small-net": commit, "odd-net": partial(commit, usual=False)}
    monkeypatch.setattr(
        "neurofit.brainscore.networks.load",
        lambda kind, name: own[name]() if name in own else load(kind, name),
    )


@pytest.mark.usefixtures("_loaded")
def test_layers_areas_and_normalisation_are_those_of_the_commitment() -> None:
    model = neurofit.create_model("brainscore:small-net")
    assert model.layers == ("1", "3")
    assert model.region_layers == {"V4": ("1",), "IT": ("3",)}
    assert (model.input_size, model.mean) == (32, (0.4, 0.5, 0.6))
    shown = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        ((_, found),) = model.unroll(shown)
        expected = commit().activations_model._model((shown - model.image_mean) / model.image_std)
    torch.testing.assert_close(found["3"], expected)
    assert neurofit.create_model("brainscore:small-net", layers=["*"]).layers == (
        "0",
        "1",
        "2",
        "3",
    )


@pytest.mark.usefixtures("_loaded")
def test_a_model_without_the_usual_preprocessing_is_scored_by_brain_score_alone() -> None:
    with pytest.raises(NeurofitError, match="is no torch module with the usual preprocessing"):
        neurofit.create_model("brainscore:odd-net")
    with pytest.raises(NeurofitError, match="brainscore:small-net has the weights that Brain-Sco"):
        neurofit.create_model("brainscore:small-net", weights="random")
    with pytest.raises(NeurofitError, match="Unknown model of Brain-Score 'smal-net'"):
        neurofit.create_model("brainscore:smal-net")


def test_a_model_of_neurofit_comes_back_as_it_is() -> None:
    model = neurofit.create_model("brainscore:neurofit-rgc_tiny")
    assert model.region_layers == neurofit.create_model("rgc_tiny").region_layers
