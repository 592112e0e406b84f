"""Conversion of variables of the TensorFlow reference to parameters of neurofit.

Names, and kernels from HWIO to OIHW: see docs/zoo.md, section 9. A kernel of the reference that
reads [x; h] is split along its inputs into one for x and one for h, and kernels that read the same
input are joined along their outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from neurofit.errors import NeurofitError, check_option, some_of
from neurofit.models.catalogue import INFO, MODELS, build_model
from neurofit.models.convrnn import ConvRNN
from neurofit.models.decoders import MaxConf, Thresh
from neurofit.models.weight_files import list_deviations

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class _Rows:
    """Rows of a parameter, from group `start` to `stop` of `n_groups` equal groups of outputs."""

    parameter: str
    start: int = 0
    stop: int = 1
    n_groups: int = 1


def _at(parameter: str, start: int = 0, stop: int = 1, *, n_groups: int = 1) -> tuple[_Rows, ...]:
    return (_Rows(parameter, start, stop, n_groups),)


def _joint_kernel(scope: str) -> dict[str, tuple[_Rows, ...]]:
    return {
        f"{scope}/weights": _at("cell.input.weight") + _at("cell.state.weight"),
        f"{scope}/bias": _at("cell.input.bias"),
    }


def _norm(scope: str, module: str) -> dict[str, tuple[_Rows, ...]]:
    return {f"{scope}/gamma": _at(f"{module}.weight"), f"{scope}/beta": _at(f"{module}.bias")}


def _separable(scope: str, module: str) -> dict[str, tuple[_Rows, ...]]:
    return {
        f"{scope}/depthwise_weights": _at(f"{module}.depthwise.weight"),
        f"{scope}/pointwise_weights": _at(f"{module}.pointwise.weight"),
        f"{scope}/bias": _at(f"{module}.pointwise.bias"),
    }


_LAYER = {
    "pre_0/weights_basenet": _at("conv.weight"),
    "pre_0/bias": _at("conv.bias"),
    "post_0/weights": _at("post_conv.weight"),
    "post_0/bias": _at("post_conv.bias"),
    "post_1/residual_add_weights": _at("residual.weight"),
}
_CONVOLVED_READOUT = {"pre_1/weights": _at("conv.weight"), "pre_1/bias": _at("conv.bias")}
_CONNECTED_READOUT = {"pre_3/weights": _at("conv.weight"), "pre_3/bias": _at("conv.bias")}

_CELLS: Mapping[str, Mapping[str, tuple[_Rows, ...]]] = {
    "memoryless": {},  # a leaky integrator with a fixed decay of 0 in the reference
    "timedecay": {"memory_decay": _at("cell.decay")},
    "simplernn": {
        "ConvNormBasicCell/i/weights": _at("cell.input.weight"),
        "ConvNormBasicCell/i/bias": _at("cell.input.bias"),
        "ConvNormBasicCell/s/weights": _at("cell.state.weight"),
        "ConvNormBasicCell/s/bias": _at("cell.state.bias"),
        **_norm("ConvNormBasicCell/layer_norm", "cell.norm"),
    },
    "gru": {
        "ConvGRUCell/gates/weights": _at("cell.input.weight", 0, 2, n_groups=3)
        + _at("cell.gates.weight"),
        "ConvGRUCell/gates/bias": _at("cell.input.bias", 0, 2, n_groups=3),
        "ConvGRUCell/candidates/weights": _at("cell.input.weight", 2, 3, n_groups=3)
        + _at("cell.candidate.weight"),
        "ConvGRUCell/candidates/bias": _at("cell.input.bias", 2, 3, n_groups=3),
    },
    "lstm": {
        **_joint_kernel("ConvLSTMCell"),
        **_norm("ConvLSTMCell/input", "cell.norms.input"),
        **_norm("ConvLSTMCell/transform", "cell.norms.transform"),
        **_norm("ConvLSTMCell/forget", "cell.norms.forget"),
        **_norm("ConvLSTMCell/output", "cell.norms.output"),
        **_norm("ConvLSTMCell/state", "cell.norms.state"),
        "ConvLSTMCell/peepholes/w_f_diag": _at("cell.peepholes.forget"),
        "ConvLSTMCell/peepholes/w_i_diag": _at("cell.peepholes.input"),
        "ConvLSTMCell/peepholes/w_o_diag": _at("cell.peepholes.output"),
    },
    "ugrnn": _joint_kernel("ConvUGRNNCell"),
    "intersectionrnn": _joint_kernel("ConvIntersectionRNNCell"),
    "rgc": {
        "ReciprocalGateCell/cell/input_to_cell/weights": _at("cell.input_to_cell.weight"),
        "ReciprocalGateCell/cell/tau/weights": _at("cell.cell_to_gates.weight", 0, 1, n_groups=2),
        "ReciprocalGateCell/out/gate/weights": _at("cell.cell_to_gates.weight", 1, 2, n_groups=2),
        "ReciprocalGateCell/out/tau/weights": _at("cell.out_to_gates.weight", 0, 1, n_groups=2),
        "ReciprocalGateCell/cell/gate/weights": _at("cell.out_to_gates.weight", 1, 2, n_groups=2),
        "ReciprocalGateCell/out/residual_to_out_gate/weights": _at("cell.raw_to_out_gate.weight"),
    },
    "rgc_median": {
        "ReciprocalGateCell/cell/input_to_cell_weights": _at("cell.input_to_cell.weight"),
        "ReciprocalGateCell/cell/input_to_cell_bias": _at("cell.input_to_cell.bias"),
        "ReciprocalGateCell/out/input_to_out_weights": _at("cell.input_to_out.weight"),
        "ReciprocalGateCell/out/input_to_out_bias": _at("cell.input_to_out.bias"),
        "ReciprocalGateCell/out/residual_add_weights": _at("cell.residual.weight"),
        "ReciprocalGateCell/out/feedback_to_out_weights": _at("cell.feedback.weight"),
        "ReciprocalGateCell/out/feedback_to_out_bias": _at("cell.feedback.bias"),
        **_separable("ReciprocalGateCell/cell/tau", "cell.cell_tau"),
        **_separable("ReciprocalGateCell/cell/out_to_cell", "cell.cell_gate"),
        **_separable("ReciprocalGateCell/out/tau", "cell.out_tau"),
        **_separable("ReciprocalGateCell/out/gate", "cell.out_gate"),
    },
}
"""Cell -> name after `tnn_model/LAYER/` in the reference -> rows of parameters after `net.LAYER.`.

If there are two, they read x and h. Source: docs/zoo.md, section 9.1.
"""

_BETA = "tnn_model/normalize/softmax_beta"
_THRESHOLD = "tnn_model/decoder_threshold"
_UNUSED = {"tnn_model/probs/softmax_beta", "tnn_model/alpha/softmax_beta"}
"""Variables that the reference creates for decoders but never uses; a checkpoint may lack them."""


def state_dict(
    model: str, variables: Mapping[str, Values], *, zero_fixed: bool = False
) -> dict[str, Tensor]:
    """Convert variables of the reference to a state dict.

    Parameters
    ----------
    model
        Registered name of a published ConvRNN.
    variables
        Name, with `tnn_model/` and without `:0`, -> values. `.../Momentum` slots and `global_step`
        are ignored.
    zero_fixed
        Whether to accept decays other than 0 in layers without memory, where the reference fixes
        them at 0; see `nonzero_decays`.

    Returns
    -------
    dict[str, Tensor]
        State dict of `create_model(model)` in float32, with kernels (out in height width).

    Raises
    ------
    NeurofitError
        If a variable is missing, unexpected or of another shape or type; if a variable that the
        reference fixes has another value; or if the model has parameters without a variable.

    Notes
    -----
    Source: docs/zoo.md, sections 7 and 9.
    """
    network = _build_empty(model)
    destinations, fixed = _destinations(network), _fixed_values(network)
    parameters = network.state_dict()
    _check_parameters(model, parameters, destinations)
    shapes = {
        name: _tensorflow_shape(name, [_select(parameters, rows).shape for rows in where])
        for name, where in destinations.items()
    }
    given = {
        name: np.asarray(values)
        for name, values in variables.items()
        if not (name.endswith("/Momentum") or name == "global_step")
    }
    _check_variables(model, given, shapes | dict.fromkeys(fixed, (1,)))
    _check_fixed_values(model, given, fixed, zero_fixed=zero_fixed)
    weights = {name: torch.empty(tensor.shape) for name, tensor in parameters.items()}
    for name, where in destinations.items():
        targets = [_select(weights, rows) for rows in where]
        values = torch.from_numpy(
            np.array(_to_torch_axes(name, given[name]), dtype=np.float32, order="C")
        )
        sources = (
            torch.split(values, [target.shape[1] for target in targets], dim=1)
            if len(targets) > 1
            else (values,)
        )
        for target, source in zip(targets, sources, strict=True):
            target.copy_(source)
    return weights


def nonzero_decays(model: str, variables: Mapping[str, Values]) -> list[str]:
    """Return the names of decays that the reference fixes at 0 and that have other values."""
    fixed = _fixed_values(_build_empty(model))
    return [
        name
        for name, value in fixed.items()
        if value == 0 and name in variables and np.any(variables[name])
    ]


def _build_empty(model: str) -> ConvRNN:
    if INFO[check_option("model", model, MODELS)].family not in ("shallow", "intermediate"):
        raise NeurofitError(
            f"{model} is not a model of the TensorFlow reference, which has the shallow and "
            "intermediate ConvRNNs."
        )
    with torch.device("meta"):
        network: ConvRNN = build_model(model, seed=None)
    return network


def _destinations(network: ConvRNN) -> dict[str, tuple[_Rows, ...]]:
    """Return variable -> rows of parameters, for parameters that the model has."""
    parameters = network.state_dict()
    found = {}
    for layer in network.layers:
        built = network.built_layer(layer)
        convolutions = _LAYER
        if layer == network.layers[-1]:
            pointwise = built.conv.kernel_size == (1, 1)
            convolutions = _CONNECTED_READOUT if pointwise else _CONVOLVED_READOUT
        for name, where in {**convolutions, **_CELLS.get(built.spec.cell, {})}.items():
            absolute = tuple(
                replace(rows, parameter=f"net.{layer}.{rows.parameter}") for rows in where
            )
            if all(rows.parameter in parameters for rows in absolute):
                found[f"tnn_model/{layer}/{name}"] = absolute
    if isinstance(network.decoder, MaxConf):
        found[_BETA] = _at("decoder.beta")
    return found


def _fixed_values(network: ConvRNN) -> dict[str, float]:
    """Return variable -> fixed value, for variables without a parameter."""
    found = {
        f"tnn_model/{layer}/memory_decay": 0.0
        for layer in network.layers
        if network.built_layer(layer).spec.cell == "memoryless"
    }
    if isinstance(network.decoder, Thresh):
        found |= {_BETA: 1.0, _THRESHOLD: network.decoder.threshold}
    return found


def _select(tensors: Mapping[str, Tensor], rows: _Rows) -> Tensor:
    """Return a view of the rows."""
    tensor = tensors[rows.parameter]
    group = len(tensor) // rows.n_groups
    return tensor[rows.start * group : rows.stop * group]


def _check_parameters(
    model: str, parameters: Mapping[str, Tensor], destinations: Mapping[str, tuple[_Rows, ...]]
) -> None:
    filled = {rows.parameter for where in destinations.values() for rows in where}
    if unfilled := sorted(parameters.keys() - filled):
        raise NeurofitError(
            f"{model} has {len(unfilled)} parameters without a variable of the TensorFlow "
            f"reference: {some_of(unfilled, most=3)}."
        )


def _check_variables(
    model: str, given: Mapping[str, Values], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    # The reference creates the unused variables with every decoder that has a beta.
    known = shapes.keys() | (_UNUSED if _BETA in shapes else set())
    both = sorted(given.keys() & shapes.keys())
    misshapen = (
        f"{name} {given[name].shape}, not {shapes[name]}"
        for name in both
        if given[name].shape != shapes[name]
    )
    mistyped = (f"{name} {given[name].dtype}" for name in both if given[name].dtype != np.float32)
    nonfinite = (
        name
        for name in both
        if given[name].dtype == np.float32 and not np.isfinite(given[name]).all()
    )
    deviations = {
        "missing": sorted(shapes.keys() - given.keys()),
        "unexpected": sorted(given.keys() - known),
        "of another shape": misshapen,
        "not float32": mistyped,
        "not finite": nonfinite,
    }
    if text := list_deviations(deviations, limit=2):
        raise NeurofitError(f"The TensorFlow variables are not those of {model}: {text}.")


def _check_fixed_values(
    model: str, given: Mapping[str, Values], fixed: Mapping[str, float], *, zero_fixed: bool
) -> None:
    others = {
        name: f"{name} {given[name][0]:g}"
        for name, value in fixed.items()
        if given[name] != np.float32(value)
    }
    decays = [text for name, text in others.items() if fixed[name] == 0]
    if decays and not zero_fixed:
        raise NeurofitError(
            f"{model} fixes the decays of layers without memory at 0; "
            f"got {some_of(decays, most=3)}.\n"
            "Set them to 0 with --zero-fixed-decays (zero_fixed=True)."
        )
    if constants := [text for name, text in others.items() if fixed[name] != 0]:
        rule = ", ".join(f"{name} at {value:g}" for name, value in fixed.items() if value != 0)
        raise NeurofitError(f"{model} fixes {rule}; got {some_of(constants, most=3)}.")


def _tensorflow_shape(name: str, shapes: list[torch.Size]) -> tuple[int, ...]:
    """Return the shape of a variable from those of its parts (out in height width)."""
    if len(shapes[0]) == 3:  # peepholes (channel height width)
        channels, height, width = shapes[0]
        return height, width, channels
    if len(shapes[0]) != 4:
        return tuple(shapes[0])
    out, _, height, width = shapes[0]
    inputs = sum(shape[1] for shape in shapes)
    if name.endswith("pre_3/weights"):
        return inputs, out
    return (
        (height, width, out, inputs)
        if name.endswith("depthwise_weights")
        else (height, width, inputs, out)
    )


def _to_torch_axes(name: str, values: Values) -> Values:
    """Convert (height width in out) or (height width channel) to the axes of PyTorch."""
    if name.endswith("depthwise_weights"):  # (height width channel 1)
        return values.transpose(2, 3, 0, 1)
    if values.ndim == 4:
        return values.transpose(3, 2, 0, 1)
    if values.ndim == 3:
        return values.transpose(2, 0, 1)
    return values.T[:, :, None, None] if values.ndim == 2 else values
