"""Included weights: every tiny model has some, with a valid record of their training."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from neurofit.activations.model import validate_model
from neurofit.data_loaders import load_images
from neurofit.models import create_model, list_models, model_info, weights_sha256
from neurofit.models.catalogue import WEIGHTS
from neurofit.models.weight_files import training_card
from neurofit.training.batches import evaluation_batches
from neurofit.training.evaluate import evaluate

TINY = list_models("*_tiny")
MAX_BYTES = 1_500_000


def test_every_tiny_model_has_weights_and_no_weights_lack_a_model() -> None:
    assert sorted(path.stem for path in WEIGHTS.glob("*.safetensors")) == TINY
    assert all(model_info(name).weights.parent == WEIGHTS for name in TINY)


@pytest.mark.parametrize("name", TINY)
def test_a_trained_model_is_small_keeps_the_contract_and_distinguishes_images(name: str) -> None:
    assert model_info(name).weights.stat().st_size < MAX_BYTES
    model = create_model(name)
    assert model.weights_origin == "trained weights"
    validate_model(model)
    assert weights_sha256(model) != weights_sha256(create_model(name, weights="random"))
    with torch.no_grad():
        logits = model(torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    assert logits.std(dim=0).min() > 0.01


@pytest.mark.parametrize("name", TINY)
def test_the_training_record_suffices_to_repeat_the_training(name: str) -> None:
    card = training_card(model_info(name).weights)
    assert (card["model"], card["recipe"], card["n_train"], card["input_size"]) == (
        name,
        "cifar10-tiny",
        50_000,
        32,
    )
    assert card["data"].startswith("cifar10")
    assert card["seed"] == 0
    assert re.fullmatch(
        "[0-9a-f]{40}", card["commit"]
    )  # a modified source would have a + at the end
    assert card["n_parameters"] == sum(
        parameter.numel() for parameter in create_model(name, weights="random").parameters()
    )
    assert 0.5 < card["top1"] < card["top5"] < 1


def test_the_weights_reach_the_accuracy_of_their_record(
    mirror: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # One test, so that one worker of pytest-xdist decodes the images once.
    monkeypatch.setenv("NEUROFIT_MIRROR", str(mirror("cifar10").parent))
    images = load_images("cifar10")
    assert (len(images.train), len(images.test)) == (50_000, 10_000)
    batches = list(
        evaluation_batches(images.test.first(2_000), size=32, views=images.views, batch_size=250)
    )
    for name in TINY:
        found = evaluate(create_model(name), batches)
        assert (
            abs(found.top1 - training_card(model_info(name).weights)["top1_of_first_2000"]) < 0.005
        ), name
