"""Architectures as data, and model files: `file:PATH` in every door."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from neurofit.errors import NeurofitError
from neurofit.models import create_model, load_weights, save_weights, weights_sha256
from neurofit.models.architecture import (
    Architecture,
    Stage,
    architecture_of,
    read_architecture,
    with_options,
)
from neurofit.models.cost import count_multiply_adds


def net(**changes: Any) -> Architecture:
    fields: dict[str, Any] = {
        "stages": (
            Stage(name="conv1", channels=4, kernel=3, pool=True),
            Stage(name="conv2", channels=6, kernel=3, cell="reciprocal", pool=True),
            Stage(
                name="conv3",
                channels=6,
                kernel=5,
                cell="reciprocal",
                options={"paths": ["in_to_out", "out_to_out"], "gate": "tanh"},
            ),
        ),
        "feedback": (("conv3", "conv2"),),
        "region_layers": {"V4": ("conv2",), "IT": ("conv3",)},
        "input_size": 16,
        "n_classes": 4,
        "timesteps": 7,
        "image_on": 5,
    }
    return Architecture(**{**fields, **changes})


@pytest.fixture
def images() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).random((3, 3, 16, 16), dtype=np.float32))


def test_a_description_in_json_gives_the_same_network() -> None:
    described = json.loads(json.dumps(net().as_json()))
    again = architecture_of(described)
    assert again == net() or again.as_json() == net().as_json()
    assert again.name == net().name
    assert weights_sha256(again.build()) == weights_sha256(net().build())
    assert net(decoder="average").name != net().name


def test_a_model_file_is_a_whole_model(tmp_path: Path, images: torch.Tensor) -> None:
    network = net().build(seed=3).eval()
    save_weights(network, tmp_path / "best.safetensors")
    name = f"file:{tmp_path / 'best.safetensors'}"
    loaded = create_model(name)
    with torch.no_grad():
        assert torch.equal(loaded(images), network(images))
    assert loaded.name == net().name
    assert loaded.region_layers == network.region_layers
    assert loaded.provenance["source"] == "file:best.safetensors"
    random = create_model(name, weights="random", seed=3, n_classes=4)
    assert weights_sha256(random) == weights_sha256(network)
    assert create_model(name, weights="random", seed=4, n_classes=7).shapes["readout"] == (7, 1, 1)
    assert create_model(f"{name}?visual_degrees=4").visual_degrees == 4
    with pytest.raises(NeurofitError, match="not logits of 7 classes"):
        create_model(name, n_classes=7)
    # it is trained again elsewhere, and is not pinned to its first use
    save_weights(net().build(seed=5), tmp_path / "best.safetensors")
    assert weights_sha256(create_model(name)) == weights_sha256(net().build(seed=5))


def test_an_architecture_alone_needs_weights(tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    path.write_text(json.dumps(net().as_json()))
    with pytest.raises(NeurofitError, match="architecture without weights"):
        create_model(f"file:{path}")
    assert create_model(f"file:{path}", weights="random").name == net().name


def test_weights_of_another_architecture_of_equal_shapes_are_refused(tmp_path: Path) -> None:
    save_weights(net().build(), tmp_path / "w.safetensors")
    *first, last = net().stages
    other = net(stages=(*first, replace(last, options={**last.options, "gate": "sigmoid"}))).build()
    assert other.state_dict().keys() == net().build().state_dict().keys()
    with pytest.raises(NeurofitError, match="another architecture than net_"):
        load_weights(other, tmp_path / "w.safetensors")


def test_multiply_adds_are_those_counted_by_hand() -> None:
    plain = replace(
        net(),
        stages=(
            Stage(name="conv1", channels=4, kernel=3, pool=True),
            Stage(name="conv2", channels=6, kernel=3, stride=2),
        ),
        feedback=(),
        region_layers={},
        timesteps=3,
        image_on=3,
    )
    # an input is used once: conv2 has zeros, then the image; the readout has what each makes of it
    conv1 = 16 * 16 * 4 * 3 * 3 * 3
    conv2 = 4 * 4 * 6 * 3 * 3 * 4
    readout = 4 * 6
    assert count_multiply_adds(plain.build()) == conv1 + 2 * conv2 + 3 * readout


def test_more_timesteps_and_feedback_cost_more() -> None:
    costs = [
        count_multiply_adds(each.build())
        for each in (net(feedback=()), net(), net(timesteps=9, image_on=5))
    ]
    assert costs == sorted(costs)
    assert len(set(costs)) == 3
    assert count_multiply_adds(net().build(seed=1)) == costs[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "must have format 1; got 2"),
        ({"stagez": []}, "Unknown field of An architecture 'stagez'"),
        ({"timesteps": "7"}, "timesteps must be int"),
        ({"timesteps": 10**9}, "timesteps of an architecture must lie between 1 and 4096"),
        ({"image_on": 9}, "image_on of an architecture must be at most timesteps, 7"),
        ({"decoder": "first"}, "Unknown decoder 'first'"),
        ({"feedback": [["conv9", "conv1"]]}, "Unknown layer of feedback 'conv9'"),
        ({"stages": 3}, "needs stages"),
        ({"stages": []}, "must be 1 to 64"),
        ({"stages": [{"name": "a", "channels": 4}]}, "kernel"),
        (
            {"stages": [{"name": "conv3", "channels": 4, "kernel": 3, "cell": "lstm",
                         "options": {"kernel": "a"}}], "feedback": [], "region_layers": {}},
            "cannot be built",
        ),
        (
            {"stages": [{"name": "conv3", "channels": 4, "kernel": 3, "cell": "gru",
                         "options": {"kernels": 3}}], "feedback": [], "region_layers": {}},
            "Unknown option of the cell gru 'kernels'",
        ),
    ],
)  # fmt: skip
def test_a_wrong_description_is_refused_in_a_sentence(change: dict[str, Any], message: str) -> None:
    with pytest.raises(NeurofitError, match=message):
        architecture_of({**net().as_json(), **change}).build()


def test_files_that_are_no_models_are_refused(tmp_path: Path) -> None:
    save_weights(net().build(), tmp_path / "w.safetensors")
    plain = tmp_path / "plain.safetensors"
    save_file(load_file(tmp_path / "w.safetensors"), plain)
    with pytest.raises(NeurofitError, match="weights without an architecture"):
        create_model(f"file:{plain}")
    with pytest.raises(NeurofitError, match="Weights file not found"):
        read_architecture(tmp_path / "none.safetensors")
    with pytest.raises(NeurofitError, match="Unknown option of net_"):
        with_options(net(), tokens="all")
