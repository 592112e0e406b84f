"""Weights that a model must not take: damaged, of another type, swapped, or of another model.

A file is refused by what is wrong in it, in one sentence, and the model is left as it was.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from neurofit.activations.model import tensors_sha256
from neurofit.errors import NeurofitError
from neurofit.models import ConvRNN, create_model, load_weights, save_weights, weights_sha256
from neurofit.models.catalogue import WEIGHTS
from neurofit.models.weight_files import training_card

Tensors = dict[str, torch.Tensor]
BIAS = "net.conv1.conv.bias"


@pytest.fixture
def model() -> ConvRNN:
    made: ConvRNN = create_model("timedecay_tiny", weights="random", seed=1)
    return made


@pytest.fixture
def rewritten(tmp_path: Path) -> Callable[..., Path]:
    """Write trained weights with a change, and with the sha256 of the changed ones or the old."""

    def write(change: Callable[[Tensors], Tensors], *, sha256: str, **metadata: str) -> Path:
        source = WEIGHTS / "timedecay_tiny.safetensors"
        tensors = change(load_file(source))
        with safe_open(source, "pt") as file:
            stored = dict(file.metadata())
        if sha256 == "new":
            stored["weights_sha256"] = tensors_sha256(tensors)
        elif sha256 == "none":
            del stored["weights_sha256"]
        save_file(tensors, tmp_path / "w.safetensors", metadata={**stored, **metadata})
        return tmp_path / "w.safetensors"

    return write


def _with(value: float) -> Callable[[Tensors], Tensors]:
    def change(tensors: Tensors) -> Tensors:
        tensors[BIAS][3] = value
        return tensors

    return change


def _swap(tensors: Tensors) -> Tensors:
    a, b = "net.conv3.conv.bias", "net.conv4.conv.bias"
    assert tensors[a].shape == tensors[b].shape
    return {**tensors, a: tensors[b], b: tensors[a]}


@pytest.mark.parametrize(
    ("change", "sha256", "said"),
    [
        (_with(float("nan")), "new", rf"1 with NaN or infinite values \({BIAS}\)"),
        (_with(float("inf")), "none", rf"1 with NaN or infinite values \({BIAS}\)"),
        (
            lambda tensors: {**tensors, BIAS: tensors[BIAS].half()},
            "new",
            rf"1 of another type \({BIAS} float16, not float32\)",
        ),
        (
            lambda tensors: {name: values.half() for name, values in tensors.items()},
            "new",
            r"of another type \(.* float16, not float32.* and \d+ more\)",
        ),
        (
            lambda tensors: {**tensors, BIAS: tensors[BIAS].to(torch.int32)},
            "none",
            rf"1 of another type \({BIAS} int32, not float32\)",
        ),
        (_swap, "old", "its weights do not match the sha256 stored with them"),
    ],
)
def test_weights_that_are_not_the_models_are_refused_by_name(
    rewritten: Callable[..., Path],
    model: ConvRNN,
    change: Callable[[Tensors], Tensors],
    sha256: str,
    said: str,
) -> None:
    file, before = rewritten(change, sha256=sha256), weights_sha256(model)
    for load in (lambda: load_weights(model, file), lambda: create_model(model.name, weights=file)):
        with pytest.raises(NeurofitError, match=said) as error:
            load()
        assert "\n" not in str(error.value)
    assert weights_sha256(model) == before


def test_the_stored_hash_depends_on_names_and_types() -> None:
    a, b = torch.ones(3), torch.zeros(3)
    swapped = {"x": b, "y": a}
    assert tensors_sha256({"x": a, "y": b}) != tensors_sha256(swapped)
    assert tensors_sha256({"x": b}) != tensors_sha256({"x": torch.zeros(3, dtype=torch.int32)})


def test_weights_of_another_model_are_refused_though_all_shapes_fit(tmp_path: Path) -> None:
    trained = WEIGHTS / "rnn_bypass_tiny.safetensors"
    model = create_model("simplernn_tiny", weights="random")
    before = weights_sha256(model)
    said = r"contains weights of rnn_bypass_tiny, not of simplernn_tiny"
    for load in (
        lambda: load_weights(model, trained),
        lambda: create_model("simplernn_tiny", weights=trained),
    ):
        with pytest.raises(NeurofitError, match=said):
            load()
    assert weights_sha256(model) == before
    # a converted file names its model outside a card
    converted = tmp_path / "converted.safetensors"
    other = create_model("rnn_bypass_tiny", weights="random")
    save_weights(other, converted, metadata={"model": "rnn_bypass_tiny"})
    with pytest.raises(NeurofitError, match=said):
        load_weights(model, converted)


def test_weights_load_where_nothing_says_that_they_are_of_another_model(tmp_path: Path) -> None:
    bypass = create_model("rnn_bypass_tiny")
    nameless, variant = tmp_path / "nameless.safetensors", tmp_path / "variant.safetensors"
    save_weights(bypass, nameless)
    save_weights(bypass, variant, metadata={"training": json.dumps({"model": "rnn_bypass_mine"})})
    model = create_model("simplernn_tiny", weights="random")
    for file in (nameless, variant):
        load_weights(model, file)
        assert weights_sha256(model) == weights_sha256(bypass)
    model.name = "a variant that is not registered"
    load_weights(model, WEIGHTS / "rnn_bypass_tiny.safetensors")


CARDS: dict[str, tuple[str, str]] = {
    "no JSON": ("{'model': 1", "its training card is not JSON"),
    "empty": ("", "its training card is not JSON"),
    "a list": ("[1, 2]", "its training card must be a dictionary; got list"),
    "a number": ("3", "its training card must be a dictionary; got int"),
    "deep": ("[" * 100_000 + "]" * 100_000, "its training card is nested too deeply"),
    "deep inside": (
        '{"model": ' + "[" * 100_000 + "]" * 100_000 + "}",
        "its training card is nested too deeply",
    ),
    "huge": (
        json.dumps({"data": "x" * 2**25}),
        "its training card has 33,554,444 characters, more than 16,777,216",
    ),
    "a long number": ('{"seed": ' + "9" * 10_000 + "}", "its training card is not JSON"),
    "size": ('{"input_size": "32"}', "input_size of its training card must be int; got '32'"),
    "no size": ('{"input_size": null}', "input_size of its training card must be int; got 'None'"),
    "classes": ('{"n_classes": 10.0}', "n_classes of its training card must be int; got '10.0'"),
    "model": ('{"model": ["a"]}', "model of its training card must be str; got"),
    "many": ('{"n_classes": 1000000000000}', "n_classes of its training card must lie between 1"),
    "none": ('{"input_size": 0}', "input_size of its training card must lie between 1"),
    "top1": ('{"top1": "best"}', "top1 of its training card must be float; got 'best'"),
}


@pytest.mark.parametrize("kind", CARDS)
def test_a_damaged_card_is_one_sentence_at_every_door(
    kind: str,
    rewritten: Callable[..., Path],
    model: ConvRNN,
    neurofit: Any,
    own_home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    card, said = CARDS[kind]
    file = rewritten(dict, sha256="old", training=card)
    for load in (
        lambda: training_card(file),
        lambda: load_weights(model, file),
        lambda: create_model("timedecay_tiny", weights=file),
    ):
        with pytest.raises(NeurofitError) as error:
            load()
        assert said in str(error.value)
        assert len(str(error.value)) < 400
    (own_home / "weights").mkdir(parents=True)
    shutil.copy(file, own_home / "weights" / "rgc_shallow.safetensors")
    code, _, error_text = neurofit("describe", "rgc_shallow")
    assert (code, said in error_text, len(error_text.splitlines())) == (2, True, 1)


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({}, "weights"),
        ({"data": "[/bold]", "top1": 0.5}, "incomplete"),
        (
            {
                "data": "[/bold]",
                "n_train": 3,
                "recipe": "[red]x",
                "epochs": 1,
                "seed": 0,
                "neurofit": "1",
                "top1": 0.5,
                "top5": 1,
            },
            "on [/bold], 3 images, [red]x, 1 epoch, seed 0",
        ),
    ],
)
def test_describe_prints_a_card_as_it_stands(
    card: dict[str, Any],
    said: str,
    rewritten: Callable[..., Path],
    neurofit: Any,
    own_home: Path,
) -> None:
    file = rewritten(dict, sha256="old", training=json.dumps(card))
    (own_home / "weights").mkdir(parents=True)
    shutil.copy(file, own_home / "weights" / "rgc_shallow.safetensors")
    code, out, error = neurofit("describe", "rgc_shallow")
    assert (code, error) == (0, "")
    assert said in " ".join(out.split())


def test_every_command_refuses_weights_of_another_model(
    neurofit: Any, registered: Any, tmp_path: Path
) -> None:
    for part in ("train", "val"):
        for n in range(10):
            (tmp_path / part / f"{n}").mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(tmp_path / part / f"{n}" / "a.png")
    weights = ("--model", "simplernn_tiny", "--weights", f"{WEIGHTS}/rnn_bypass_tiny.safetensors")
    said = "contains weights of rnn_bypass_tiny, not of simplernn_tiny"
    for command in (
        ("score", *weights, "--recording", "small", "--region", "IT"),
        ("analyse", "similarity", *weights, "--recording", "small", "--region", "IT"),
        ("eval", *weights, "--data", f"folder:{tmp_path}"),
    ):
        code, _, error = neurofit(*command)
        assert (code, said in error, len(error.splitlines())) == (2, True, 1), error
