"""Models are created by name, with options and weights that exist."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from neurofit.errors import NeurofitError
from neurofit.models import (
    MODELS,
    ConvRNN,
    catalogue,
    create_model,
    list_models,
    model_info,
    register_model,
    save_weights,
    weights_sha256,
)
from neurofit.models.catalogue import BASELINE, INFO, assemble
from neurofit.models.decoders import DECODERS


def test_patterns_choose_models() -> None:
    cells = "feedforward gru intersectionrnn lstm rgc rgc_feedback rnn_bypass rnn_bypass_gating"
    cells += " rnn_gating simplernn timedecay ugrnn"
    assert list_models("*_tiny") == sorted(f"{cell}_tiny" for cell in cells.split())
    assert list_models("rgc*_tiny") == ["rgc_feedback_tiny", "rgc_tiny"]
    assert list_models("rgc_shallow*") == [
        "rgc_shallow",
        "rgc_shallow_full_pass",
        "rgc_shallow_minimal",
    ]
    assert list_models("nothing*") == []


def test_unknown_names_and_options_get_the_nearest_one() -> None:
    for wrong in (create_model, model_info):
        with pytest.raises(
            NeurofitError, match=r"Unknown model 'rgc_tinny'\. Did you mean 'rgc_tiny'"
        ):
            wrong("rgc_tinny")
    with pytest.raises(
        NeurofitError, match=r"Unknown option of rgc_tiny 'inputsize'\. Did you mean 'input_size'"
    ):
        create_model("rgc_tiny", inputsize=32)


def test_decoder_and_switches_are_options_of_every_model() -> None:
    assert (
        type(create_model("rgc_tiny", weights="random", decoder="thresh").decoder)
        is DECODERS["thresh"]
    )
    plain, switched = (
        create_model("simplernn_tiny", weights="random"),
        create_model("simplernn_tiny", weights="random", bypassing=True, gating=True),
    )
    more = {
        name.split(".cell.")[1].split(".")[0]
        for name in dict(switched.named_parameters()).keys() - dict(plain.named_parameters()).keys()
    }
    assert more == {"state_gates"}  # the bypass is the identity where the channels are equal
    assert create_model("lstm_tiny", weights="random", gating=False).layers == plain.layers
    ablated = create_model("simplernn_shallow", weights="random", bypassing=True, input_size=72)
    assert weights_sha256(ablated) == weights_sha256(
        create_model("simplernn_shallow_bypass", weights="random", input_size=72)
    )
    for options, message in (
        ({"decoder": "first"}, "Unknown decoder 'first'"),
        ({"n_classes": 0}, "needs at least 1 class"),
    ):
        with pytest.raises(NeurofitError, match=message):
            create_model("rgc_tiny", weights="random", **options)
    with pytest.raises(
        NeurofitError,
        match=r"Unknown option of the cell timedecay 'bypassing'.*\n"
        "Existing: gating, initial_decay",
    ):
        create_model("timedecay_tiny", weights="random", bypassing=True)


def test_an_impossible_size_is_refused() -> None:
    with pytest.raises(NeurofitError, match="input_size must be at least 1 pixel; got 0"):
        create_model("rgc_tiny", weights="random", input_size=0)
    with pytest.raises(NeurofitError, match=r"Layer imnetds: .* use larger images"):
        create_model("timedecay_shallow", weights="random", input_size=64)


def test_a_file_of_weights_that_does_not_exist_is_refused() -> None:
    with pytest.raises(
        NeurofitError,
        match=r'weights is "auto", "random" or the path of a \.safetensors file; got .nowhere.',
    ):
        create_model("feedforward_shallow", weights="nowhere")


UNPUBLISHED = [
    name
    for name, info in INFO.items()
    if not (info.is_published or info.family in ("tiny", BASELINE))
]


@pytest.mark.parametrize("name", UNPUBLISHED)
def test_weights_that_nobody_has_published_are_never_random_unasked(name: str) -> None:
    said = (
        rf"Nobody has published weights of {name}\. Train it with `neurofit train --model {name} "
        r"\.\.\.`,\ngive a file by --weights FILE, or ask for --weights random\."
    )
    with pytest.raises(NeurofitError, match=said):
        create_model(name)


def test_random_weights_are_those_of_the_seed_and_the_model_states_it() -> None:
    model = create_model("feedforward_shallow", weights="random", seed=3, input_size=72)
    assert model.weights_origin == "random weights, seed 3"
    other = create_model("feedforward_shallow", weights="random", seed=4, input_size=72)
    assert weights_sha256(model) != weights_sha256(other)


@pytest.fixture
def registries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test register models that no other test sees."""
    monkeypatch.setattr(MODELS, "_entries", dict(MODELS._entries))
    for name in INFO:
        monkeypatch.setitem(INFO, name, INFO[name])


def register_mine(name: str, *, seed: int | None = None, **metadata: Any) -> None:
    """Register a model whose function makes the weights of rgc_tiny of a seed."""

    def build(**options: Any) -> ConvRNN:
        own = options if seed is None else {**options, "seed": seed}
        return MODELS["rgc_tiny"](**own)  # type: ignore[no-any-return]

    known = asdict(INFO["rgc_tiny"])
    del known["makes_weights"], known["presentations"]
    register_model(**{**known, "name": name, **metadata})(build)


@pytest.mark.usefixtures("registries")
def test_the_weights_of_a_function_of_ones_own_are_as_it_makes_them() -> None:
    register_mine("mine", seed=7)
    model = create_model("mine", seed=2)
    assert model_info("mine").makes_weights
    assert model.weights_origin == "weights as its function makes them, seed 2"
    expected = create_model("rgc_tiny", weights="random", seed=7)
    assert weights_sha256(model) == weights_sha256(expected)


@pytest.mark.usefixtures("registries")
def test_a_model_of_ones_own_may_say_that_its_weights_are_to_be_given() -> None:
    register_mine("mine", makes_weights=False)
    with pytest.raises(NeurofitError, match=r"Nobody has published weights of mine\."):
        create_model("mine")
    assert create_model("mine", weights="random", seed=2).weights_origin == "random weights, seed 2"


def test_a_model_is_restored_from_its_file(tmp_path: Path) -> None:
    model = create_model("lstm_tiny", weights="random", seed=5)
    save_weights(model, tmp_path / "w.safetensors")
    for path in (tmp_path / "w.safetensors", str(tmp_path / "w.safetensors")):
        restored = create_model("lstm_tiny", weights=path)
        assert weights_sha256(restored) == weights_sha256(model)
        assert restored.weights_origin == f"weights of {path}"


def test_included_weights_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "WEIGHTS", tmp_path)
    model = create_model("lstm_tiny", weights="random", seed=5)
    save_weights(model, tmp_path / "lstm_tiny.safetensors")
    assert model_info("lstm_tiny").has_weights
    found = create_model("lstm_tiny")
    assert weights_sha256(found) == weights_sha256(model)
    assert found.weights_origin == "trained weights"


def test_two_models_of_one_name_are_refused() -> None:
    def rgc_tiny(*, seed: int | None = 0) -> ConvRNN:
        raise AssertionError(seed)

    before = INFO["rgc_tiny"]
    metadata = {
        "family": "tiny",
        "cell": "rgc",
        "region_layers": {},
        "input_size": 1,
        "n_classes": 1,
        "reference": "",
    }
    with pytest.raises(
        NeurofitError, match=r"Duplicate model 'rgc_tiny', in neurofit.models.tiny and in"
    ):
        register_model(**metadata)(rgc_tiny)
    assert INFO["rgc_tiny"] is before


def test_an_error_in_a_models_function_is_a_sentence_that_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def needs(cell: str, channels: int) -> ConvRNN:
        raise AssertionError(cell, channels)

    def leaky(*, seed: int | None = 0) -> ConvRNN:
        return needs("gru")  # type: ignore[call-arg]

    def forgetful(*, seed: int | None = 0) -> None:
        create_model("rgc_tiny", weights="random", seed=seed or 0)

    monkeypatch.setattr(
        MODELS, "_entries", {**MODELS._entries, "leaky": leaky, "forgetful": forgetful}
    )
    for name in ("leaky", "forgetful"):
        monkeypatch.setitem(INFO, name, INFO["rgc_tiny"])
    for name, message in (
        (
            "leaky",
            rf"Model leaky cannot be built: its function, .*leaky in {__name__}, "
            r"raises TypeError: .*needs\(\) missing 1 .*'channels'\.$",
        ),
        (
            "forgetful",
            r"Model forgetful cannot be built: .* must return a torch module; "
            r"it returns NoneType\.$",
        ),
    ):
        with pytest.raises(NeurofitError, match=message) as caught:
            create_model(name, weights="random")
        assert "\n" not in str(caught.value)


def test_a_model_of_an_unregistered_name_is_refused() -> None:
    with pytest.raises(NeurofitError, match=r"Unknown model 'rgc_tinny'\. Did you mean 'rgc_tiny'"):
        assemble("rgc_tinny", lambda n_classes: ())
