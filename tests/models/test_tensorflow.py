"""Variables of the TensorFlow reference are converted, or refused by their names."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from neurofit.errors import NeurofitError
from neurofit.models import MODELS, list_models, model_info
from neurofit.models.tensorflow import nonzero_decays, state_dict

Variables = dict[str, npt.NDArray[Any]]
FIXED = {"memory_decay": 0.0, "softmax_beta": 1.0, "decoder_threshold": 0.9}
PUBLISHED = [
    name
    for name in list_models()
    if model_info(name).is_published and model_info(name).weights_url is None
]


@pytest.fixture(scope="session")
def variables_of(shared: Callable[[str], Path]) -> Callable[[str], Variables]:
    """Return random variables of a model in the reference, and fixed ones with their values."""

    def make(model: str) -> Variables:
        rng = np.random.default_rng(0)
        found = {}
        with open(shared("golden/manifest.csv"), newline="") as file:
            for row in csv.DictReader(file):
                if row["model"] == model:
                    shape = tuple(int(n) for n in row["shape"].split("x"))
                    fixed = (
                        FIXED[row["variable"].rsplit("/", 1)[1]]
                        if row["trainable"] == "False"
                        else None
                    )
                    drawn = rng.random(shape, dtype=np.float32)
                    found[row["variable"]] = (
                        drawn if fixed is None else np.full(shape, fixed, np.float32)
                    )
        return found

    return make


def oihw(kernel: npt.NDArray[Any]) -> Tensor:
    """Return a kernel of the reference as (out in height width)."""
    return torch.from_numpy(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)))


def test_all_models_of_the_reference_are_registered(shared: Callable[[str], Path]) -> None:
    with open(shared("golden/manifest.csv"), newline="") as file:
        assert {row["model"] for row in csv.DictReader(file)} == set(PUBLISHED)
    assert len(PUBLISHED) == 20


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_parameter_is_filled_and_every_variable_used(
    name: str, variables_of: Callable[[str], Variables]
) -> None:
    variables = variables_of(name)
    weights = state_dict(name, variables)
    with torch.device("meta"):
        network = MODELS[name](seed=None)
    assert {key: tensor.shape for key, tensor in weights.items()} == {
        key: tensor.shape for key, tensor in network.state_dict().items()
    }
    moved = [variables[key] for key in trained(name, variables)]
    assert sum(tensor.numel() for tensor in weights.values()) == sum(
        values.size for values in moved
    )
    assert sum(bits(tensor.numpy()) for tensor in weights.values()) == sum(
        bits(values) for values in moved
    )


def bits(values: npt.NDArray[Any]) -> int:
    """Return the exact sum of the float32 bit patterns, which does not depend on the order."""
    return int(np.ascontiguousarray(values).view(np.int32).sum(dtype=np.int64))


def trained(name: str, variables: Variables) -> set[str]:
    """Return the trained variables: decays only in timedecay, beta only in max_conf."""
    recurrent = {"timedecay_shallow": (3, 4, 5), "timedecay_intermediate": range(4, 11)}.get(
        name, ()
    )
    kept = {f"tnn_model/conv{number}/memory_decay" for number in recurrent}
    kept |= (
        {"tnn_model/normalize/softmax_beta"} if model_info(name).decoder == "max_conf" else set()
    )
    return {key for key in variables if key in kept or key.rsplit("/", 1)[1] not in FIXED}


@pytest.mark.parametrize(
    ("model", "scope", "of_x", "of_h"),
    [
        ("gru_shallow", "ConvGRUCell/gates", ("input.weight", 0, 512), "gates.weight"),
        ("gru_shallow", "ConvGRUCell/candidates", ("input.weight", 512, 768), "candidate.weight"),
        ("lstm_shallow", "ConvLSTMCell", ("input.weight", 0, 512), "state.weight"),
        ("ugrnn_shallow", "ConvUGRNNCell", ("input.weight", 0, 512), "state.weight"),
        (
            "intersectionrnn_shallow",
            "ConvIntersectionRNNCell",
            ("input.weight", 0, 1024),
            "state.weight",
        ),
    ],
)
def test_the_two_halves_of_a_kernel_give_the_sum_of_the_whole(
    model: str,
    scope: str,
    of_x: tuple[str, int, int],
    of_h: str,
    variables_of: Callable[[str], Variables],
) -> None:
    variables = variables_of(model)
    weights = state_dict(model, variables)
    whole = oihw(variables[f"tnn_model/conv3/{scope}/weights"])
    parameter, start, stop = of_x
    x_half, h_half = (
        weights[f"net.conv3.cell.{parameter}"][start:stop],
        weights[f"net.conv3.cell.{of_h}"],
    )
    x, h = torch.randn(1, x_half.shape[1], 5, 5), torch.randn(1, h_half.shape[1], 5, 5)
    torch.testing.assert_close(
        F.conv2d(torch.cat([x, h], 1), whole),
        F.conv2d(x, x_half) + F.conv2d(h, h_half),
        atol=1e-3,
        rtol=1e-4,
    )
    bias = weights[f"net.conv3.cell.{parameter.replace('weight', 'bias')}"][start:stop]
    np.testing.assert_array_equal(bias, variables[f"tnn_model/conv3/{scope}/bias"])


def test_kernels_that_read_the_same_are_joined(rgc_variables: Variables) -> None:
    weights = state_dict("rgc_shallow", rgc_variables)
    scope = "tnn_model/conv5/ReciprocalGateCell"
    for ours, theirs in {
        "cell_to_gates": ("cell/tau", "out/gate"),
        "out_to_gates": ("out/tau", "cell/gate"),
    }.items():
        joined = torch.cat([oihw(rgc_variables[f"{scope}/{name}/weights"]) for name in theirs])
        assert torch.equal(weights[f"net.conv5.cell.{ours}.weight"], joined)


def test_depthwise_kernels_peepholes_and_the_readout_keep_their_places(
    variables_of: Callable[[str], Variables],
) -> None:
    variables = variables_of("rgc_intermediate")
    weights = state_dict("rgc_intermediate", variables)
    theirs = variables["tnn_model/conv6/ReciprocalGateCell/cell/out_to_cell/depthwise_weights"]
    assert weights["net.conv6.cell.cell_gate.depthwise.weight"][7, 0, 2, 1] == theirs[2, 1, 7, 0]
    assert (
        weights["net.imnetds.conv.weight"][900, 7, 0, 0]
        == variables["tnn_model/imnetds/pre_3/weights"][7, 900]
    )
    variables = variables_of("lstm_shallow")
    peepholes = state_dict("lstm_shallow", variables)["net.conv4.cell.peepholes.forget"]
    assert (
        peepholes[7, 2, 1] == variables["tnn_model/conv4/ConvLSTMCell/peepholes/w_f_diag"][2, 1, 7]
    )


def test_momentum_and_the_step_are_ignored(rgc_variables: Variables) -> None:
    extra = {"tnn_model/conv1/pre_0/bias/Momentum": np.ones(64), "global_step": np.array(312500)}
    assert (
        state_dict("rgc_shallow", rgc_variables | extra).keys()
        == state_dict("rgc_shallow", rgc_variables).keys()
    )


def test_kernels_turn_from_hwio_to_oihw(rgc_variables: Variables) -> None:
    kernel = state_dict("rgc_shallow", rgc_variables)["net.conv3.conv.weight"].numpy()
    theirs = rgc_variables["tnn_model/conv3/pre_0/weights_basenet"]
    assert kernel.shape == (256, 128, 3, 3)
    assert kernel[7, 5, 2, 1] == theirs[2, 1, 5, 7]


@pytest.mark.parametrize("value", [0.25, -1e-30])
def test_a_decay_that_should_be_zero_is_refused_or_dropped(
    rgc_variables: Variables, value: float
) -> None:
    name = "tnn_model/conv2/memory_decay"
    changed = rgc_variables | {name: np.array([value], dtype=np.float32)}
    with pytest.raises(
        NeurofitError,
        match=rf"rgc_shallow fixes the decays of layers without memory at 0; "
        rf"got {name} {value:g}\.\n",
    ):
        state_dict("rgc_shallow", changed)
    dropped = state_dict("rgc_shallow", changed, zero_fixed=True)
    assert dropped.keys() == state_dict("rgc_shallow", rgc_variables).keys()
    assert nonzero_decays("rgc_shallow", changed) == [name]
    assert nonzero_decays("rgc_shallow", rgc_variables) == []


@pytest.mark.parametrize("name", ["tnn_model/conv2/memory_decay", "tnn_model/conv1/pre_0/bias"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(
    rgc_variables: Variables, name: str, value: float
) -> None:
    changed = {**rgc_variables, name: np.full_like(rgc_variables[name], value)}
    for zero_fixed in (False, True):
        with pytest.raises(NeurofitError, match=rf"1 not finite \({name}\)"):
            state_dict("rgc_shallow", changed, zero_fixed=zero_fixed)


def test_a_trained_decay_is_no_fixed_one(variables_of: Callable[[str], Variables]) -> None:
    variables = variables_of("timedecay_shallow")
    assert nonzero_decays("timedecay_shallow", variables) == []
    weights = state_dict("timedecay_shallow", variables, zero_fixed=True)
    np.testing.assert_array_equal(
        weights["net.conv4.cell.decay"], variables["tnn_model/conv4/memory_decay"]
    )


def test_the_decoders_constants_have_their_values(variables_of: Callable[[str], Variables]) -> None:
    name = "ugrnn_intermediate_t30_dthresh"
    variables = variables_of(name)
    for variable, value in (
        ("tnn_model/decoder_threshold", 0.8),
        ("tnn_model/normalize/softmax_beta", 2),
    ):
        with pytest.raises(NeurofitError, match=rf"{name} fixes .*; got {variable} {value}\.$"):
            state_dict(
                name, variables | {variable: np.array([value], dtype=np.float32)}, zero_fixed=True
            )


def test_variables_that_the_reference_never_uses_are_optional(
    variables_of: Callable[[str], Variables],
) -> None:
    variables = variables_of("rgc_intermediate_tmaxconf")
    unused = {"tnn_model/probs/softmax_beta", "tnn_model/alpha/softmax_beta"}
    assert unused <= variables.keys()
    weights = state_dict(
        "rgc_intermediate_tmaxconf",
        {name: values for name, values in variables.items() if name not in unused},
    )
    np.testing.assert_array_equal(
        weights["decoder.beta"], variables["tnn_model/normalize/softmax_beta"]
    )
    with pytest.raises(
        NeurofitError,
        match=r"3 unexpected \(tnn_model/alpha/softmax_beta, "
        r"tnn_model/normalize/softmax_beta and 1 more\)",
    ):
        state_dict("rgc_intermediate", variables)


def test_misfits_are_named_as_in_tensorflow(rgc_variables: Variables) -> None:
    name = "tnn_model/conv5/pre_0/bias"
    fewer = {key: values for key, values in rgc_variables.items() if key != name}
    with pytest.raises(NeurofitError, match=rf"not those of rgc_shallow: 1 missing \({name}\)\.$"):
        state_dict("rgc_shallow", fewer)
    for unknown in ("tnn_model/conv5/pre_9/bias", "conv5/pre_0/bias", "bias"):
        with pytest.raises(NeurofitError, match=rf"1 unexpected \({unknown}\)\.$"):
            state_dict("rgc_shallow", rgc_variables | {unknown: np.zeros(1, np.float32)})
    with pytest.raises(
        NeurofitError, match=rf"1 of another shape \({name} \(3,\), not \(512,\)\)\.$"
    ):
        state_dict("rgc_shallow", rgc_variables | {name: np.zeros(3, np.float32)})
    kernel = "tnn_model/imnetds/pre_1/weights"
    with pytest.raises(
        NeurofitError, match=rf"{kernel} \(1000, 512, 2, 2\), not \(2, 2, 512, 1000\)"
    ):
        state_dict("rgc_shallow", rgc_variables | {kernel: rgc_variables[kernel].T})
    with pytest.raises(NeurofitError, match=rf"1 not float32 \({name} float64\)\.$"):
        state_dict("rgc_shallow", rgc_variables | {name: np.zeros(512)})


def test_the_variables_of_another_model_are_refused(rgc_variables: Variables) -> None:
    with pytest.raises(
        NeurofitError, match=r"not those of timedecay_shallow: 3 missing \(.*; 18 unexpected \("
    ) as caught:
        state_dict("timedecay_shallow", rgc_variables)
    assert "\n" not in str(caught.value)


def test_a_model_with_parameters_unknown_to_the_reference_is_refused(
    rgc_variables: Variables,
) -> None:
    with pytest.raises(
        NeurofitError, match="has 2 parameters without a variable of the TensorFlow reference"
    ):
        state_dict("simplernn_shallow_bypass", rgc_variables)
