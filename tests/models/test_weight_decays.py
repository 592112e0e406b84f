"""Weight decays are the published ones, see docs/zoo.md, section 8.1."""

from __future__ import annotations

import pytest
import torch

from neurofit.models import MODELS, ConvRNN, list_models, model_info
from neurofit.models.cells import CELLS, CellShapes

CONVRNNS = [
    name for name in list_models() if model_info(name).family in ("shallow", "intermediate", "tiny")
]


def on_meta(name: str) -> ConvRNN:
    with torch.device("meta"):
        model = MODELS[name](seed=None)
    assert isinstance(model, ConvRNN)
    return model


@pytest.mark.parametrize("name", CONVRNNS)
def test_only_parameters_of_the_model_are_decayed(name: str) -> None:
    model = on_meta(name)
    decays = model.weight_decays()
    assert decays.keys() <= dict(model.named_parameters()).keys()
    for layer in model.layers:
        assert decays[f"net.{layer}.conv.weight"] == decays[f"net.{layer}.conv.bias"] == 1e-4
    assert not any(
        part in name
        for name in decays
        for part in ("norm", "peephole", "cell.decay", "decoder", "residual", "bypass")
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "gru_intermediate",
            {
                "cell.input.weight": 1e-4,
                "cell.input.bias": 1e-4,
                "cell.candidate.weight": 1e-4,
                "post_conv.bias": 1e-4,
            },
        ),
        (
            "simplernn_shallow",
            {"cell.input.weight": 1e-4, "cell.state.bias": 1e-4, "cell.norm.weight": None},
        ),
        ("timedecay_shallow", {"cell.decay": None}),
        ("rgc_shallow", {"cell.cell_to_gates.weight": 1e-4}),
        (
            "rgc_intermediate",
            {
                "cell.out_tau.depthwise.weight": 2.033999204146308e-4,
                "cell.out_tau.pointwise.bias": None,
            },
        ),
        (
            "lstm_intermediate",
            {
                "cell.input.weight": 1e-4,
                "cell.input.bias": 1e-4,
                "cell.state.weight": 1e-4,
                "residual.weight": None,
            },
        ),
        (
            "lstm_shallow",
            {
                "cell.input.weight": 7.612613874483112e-6,
                "cell.state.weight": 7.612613874483112e-6,
                "cell.norms.input.bias": None,
            },
        ),
    ],
)
def test_a_layer_decays_as_published(name: str, expected: dict[str, float | None]) -> None:
    decays = on_meta(name).weight_decays()
    for parameter, decay in expected.items():
        assert decays.get(f"net.conv4.{parameter}") == decay, parameter


def test_the_searched_lstm_has_a_decay_per_layer() -> None:
    decays = on_meta("lstm_shallow").weight_decays()
    found = [decays[f"net.conv{number}.cell.input.bias"] for number in (3, 4, 5)]
    assert found == [5.434329000564743e-6, 7.612613874483112e-6, 3.038054940623377e-6]


def test_residual_projections_are_not_decayed() -> None:
    parameters = dict(on_meta("rgc_intermediate").named_parameters())
    decays = on_meta("rgc_intermediate").weight_decays()
    assert "net.conv6.cell.residual.weight" in parameters
    assert "net.conv6.cell.residual.weight" not in decays
    assert decays["net.conv6.cell.feedback.weight"] == 2.033999204146308e-4


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_decays_only_what_it_has(name: str) -> None:
    cell = CELLS[name](CellShapes(x=(3, 4, 5), u=(2, 4, 5), fb=None, channels=3))
    assert cell.weight_decays().keys() <= dict(cell.named_parameters()).keys()
