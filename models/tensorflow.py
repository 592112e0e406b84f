"""From the variables of the TensorFlow reference to our parameters: a table of names, and kernels HWIO -> OIHW.

The reference convolves [x; h], joined along the channels; we convolve x, once for as long as it stays, and h apart. So a kernel
there is two here, split along its inputs, and several kernels there that read the same are one here, joined along its outputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from neurofit.errors import NeurofitError, check_option
from neurofit.models.catalogue import INFO, MODELS
from neurofit.models.convrnn import ConvRNN
from neurofit.models.decoders import MaxConf, Thresh
from neurofit.models.layer import BuiltLayer
from neurofit.models.weight_files import listed

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class _Part:
    """Rows `start` to `stop` of a parameter of ours, counted in `of` equal groups of its outputs."""

    parameter: str
    start: int = 0
    stop: int = 1
    of: int = 1


def _at(parameter: str, start: int = 0, stop: int = 1, *, of: int = 1) -> tuple[_Part, ...]:
    return (_Part(parameter, start, stop, of),)


def _gated(scope: str) -> dict[str, tuple[_Part, ...]]:
    return {f"{scope}/weights": _at("cell.input.weight") + _at("cell.state.weight"), f"{scope}/bias": _at("cell.input.bias")}


def _norm(theirs: str, ours: str) -> dict[str, tuple[_Part, ...]]:
    return {f"{theirs}/gamma": _at(f"{ours}.weight"), f"{theirs}/beta": _at(f"{ours}.bias")}


def _separable(theirs: str, ours: str) -> dict[str, tuple[_Part, ...]]:
    return {
        f"{theirs}/depthwise_weights": _at(f"{ours}.depthwise.weight"),
        f"{theirs}/pointwise_weights": _at(f"{ours}.pointwise.weight"),
        f"{theirs}/bias": _at(f"{ours}.pointwise.bias"),
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

_CELLS: Mapping[str, Mapping[str, tuple[_Part, ...]]] = {
    "memoryless": {},  # the reference's is a leaky integrator with a decay fixed at 0
    "timedecay": {"memory_decay": _at("cell.decay")},
    "simplernn": {
        "ConvNormBasicCell/i/weights": _at("cell.input.weight"),
        "ConvNormBasicCell/i/bias": _at("cell.input.bias"),
        "ConvNormBasicCell/s/weights": _at("cell.state.weight"),
        "ConvNormBasicCell/s/bias": _at("cell.state.bias"),
        **_norm("ConvNormBasicCell/layer_norm", "cell.norm"),
    },
    "gru": {
        "ConvGRUCell/gates/weights": _at("cell.input.weight", 0, 2, of=3) + _at("cell.gates.weight"),
        "ConvGRUCell/gates/bias": _at("cell.input.bias", 0, 2, of=3),
        "ConvGRUCell/candidates/weights": _at("cell.input.weight", 2, 3, of=3) + _at("cell.candidate.weight"),
        "ConvGRUCell/candidates/bias": _at("cell.input.bias", 2, 3, of=3),
    },
    "lstm": {
        **_gated("ConvLSTMCell"),
        **_norm("ConvLSTMCell/input", "cell.norms.input"),
        **_norm("ConvLSTMCell/transform", "cell.norms.transform"),
        **_norm("ConvLSTMCell/forget", "cell.norms.forget"),
        **_norm("ConvLSTMCell/output", "cell.norms.output"),
        **_norm("ConvLSTMCell/state", "cell.norms.state"),
        "ConvLSTMCell/peepholes/w_f_diag": _at("cell.peepholes.forget"),
        "ConvLSTMCell/peepholes/w_i_diag": _at("cell.peepholes.input"),
        "ConvLSTMCell/peepholes/w_o_diag": _at("cell.peepholes.output"),
    },
    "ugrnn": _gated("ConvUGRNNCell"),
    "intersectionrnn": _gated("ConvIntersectionRNNCell"),
    "rgc": {
        "ReciprocalGateCell/cell/input_to_cell/weights": _at("cell.input_to_cell.weight"),
        "ReciprocalGateCell/cell/tau/weights": _at("cell.cell_to_gates.weight", 0, 1, of=2),
        "ReciprocalGateCell/out/gate/weights": _at("cell.cell_to_gates.weight", 1, 2, of=2),
        "ReciprocalGateCell/out/tau/weights": _at("cell.out_to_gates.weight", 0, 1, of=2),
        "ReciprocalGateCell/cell/gate/weights": _at("cell.out_to_gates.weight", 1, 2, of=2),
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
"""Cell -> what follows `tnn_model/LAYER/` in the reference -> what follows `net.LAYER.`.

Two parts are those of x and of h. Source: docs/zoo.md, section 9.1.
"""

_BETA = "tnn_model/normalize/softmax_beta"
_THRESHOLD = "tnn_model/decoder_threshold"
_UNUSED = {"tnn_model/probs/softmax_beta", "tnn_model/alpha/softmax_beta"}
"""Variables that the reference makes beside a decoder's and never uses; a checkpoint may lack them."""


def state_dict(model: str, variables: Mapping[str, Values], *, zero_fixed: bool = False) -> dict[str, Tensor]:
    """Return our state dict from the reference's variables.

    Parameters
    ----------
    model
        Registered name of a model of the zoo.
    variables
        Name, with `tnn_model/` and without `:0`, -> values. `.../Momentum` slots and `global_step` are ignored.
    zero_fixed
        Take a decay that is not 0 in a layer without memory, where the reference fixes it at 0, as 0; see `nonzero_decays`.

    Returns
    -------
    dict[str, Tensor]
        For `load_state_dict` of `create_model(model)`; float32, kernels (out in height width).

    Raises
    ------
    NeurofitError
        If a variable is missing, unexpected, or of another shape or type, all by the reference's names; if a value that the
        reference fixes is another; if the model has parameters that the reference has not.

    Notes
    -----
    Source: docs/zoo.md, sections 5, 7 and 9.
    """
    network = _empty(model)
    parts, fixed = _destinations(network), _fixed(network)
    ours = network.state_dict()
    _refuse_unknown_parameters(model, ours, parts)
    shapes = {name: _their_shape(name, [_rows(ours, part).shape for part in where]) for name, where in parts.items()}
    given = _relevant(variables)
    _refuse_misfits(model, given, shapes | dict.fromkeys(fixed, (1,)))
    _refuse_other_values(model, given, fixed, zero_fixed=zero_fixed)
    weights = {name: torch.empty(tensor.shape) for name, tensor in ours.items()}
    for name, where in parts.items():
        targets = [_rows(weights, part) for part in where]
        values = torch.from_numpy(np.array(_axes_of_torch(name, given[name]), dtype=np.float32, order="C"))
        sources = torch.split(values, [target.shape[1] for target in targets], dim=1) if len(targets) > 1 else (values,)
        for target, source in zip(targets, sources, strict=True):
            target.copy_(source)
    return weights


def nonzero_decays(model: str, variables: Mapping[str, Values]) -> list[str]:
    """Return the variables' names whose decay is not the 0 at which the reference fixes it; of those that are there."""
    fixed = _fixed(_empty(model))
    return [name for name, value in fixed.items() if value == 0 and name in variables and np.any(variables[name])]


def _empty(model: str) -> ConvRNN:
    if INFO[check_option("model", model, MODELS)].family not in ("shallow", "intermediate"):
        raise NeurofitError(f"{model} is not of the TensorFlow reference, whose models are shallow or intermediate.")
    with torch.device("meta"):
        network: ConvRNN = MODELS[model](seed=None)
    return network


def _destinations(network: ConvRNN) -> dict[str, tuple[_Part, ...]]:
    """Return variable there -> parts of our parameters; only rows of the table whose parameters the model has."""
    ours = network.state_dict()
    found = {}
    for layer in network.layers:
        built = _built(network, layer)
        first = _LAYER
        if layer == network.layers[-1]:
            first = _CONNECTED_READOUT if built.conv.kernel_size == (1, 1) else _CONVOLVED_READOUT
        for theirs, where in {**first, **_CELLS.get(built.spec.cell, {})}.items():
            parts = tuple(_Part(f"net.{layer}.{part.parameter}", part.start, part.stop, part.of) for part in where)
            if all(part.parameter in ours for part in parts):
                found[f"tnn_model/{layer}/{theirs}"] = parts
    if isinstance(network.decoder, MaxConf):
        found[_BETA] = _at("decoder.beta")
    return found


def _fixed(network: ConvRNN) -> dict[str, float]:
    """Return variable there -> the value at which it is fixed; those have no parameter here."""
    found = {f"tnn_model/{layer}/memory_decay": 0.0 for layer in network.layers if _built(network, layer).spec.cell == "memoryless"}
    if isinstance(network.decoder, Thresh):
        found |= {_BETA: 1.0, _THRESHOLD: network.decoder.threshold}
    return found


def _built(network: ConvRNN, layer: str) -> BuiltLayer:
    return cast(BuiltLayer, network.net[layer])


def _rows(tensors: Mapping[str, Tensor], part: _Part) -> Tensor:
    """Return the rows of a part, as a view."""
    tensor = tensors[part.parameter]
    group = len(tensor) // part.of
    return tensor[part.start * group : part.stop * group]


def _relevant(variables: Mapping[str, Values]) -> dict[str, Values]:
    return {name: np.asarray(values) for name, values in variables.items() if not (name.endswith("/Momentum") or name == "global_step")}


def _refuse_unknown_parameters(model: str, ours: Mapping[str, Tensor], parts: Mapping[str, tuple[_Part, ...]]) -> None:
    if unknown := sorted(ours.keys() - {part.parameter for where in parts.values() for part in where}):
        raise NeurofitError(f"{model} has parameters that the TensorFlow reference has not: {listed('unknown there', unknown)}.")


def _refuse_misfits(model: str, given: Mapping[str, Values], shapes: Mapping[str, tuple[int, ...]]) -> None:
    # The reference makes the unused ones with every decoder that has a beta.
    known = shapes.keys() | (_UNUSED if _BETA in shapes else set())
    both = sorted(given.keys() & shapes.keys())
    misshapen = (f"{name} {given[name].shape}, not {shapes[name]}" for name in both if given[name].shape != shapes[name])
    mistyped = (f"{name} {given[name].dtype}" for name in both if given[name].dtype != np.float32)
    nonfinite = (name for name in both if given[name].dtype == np.float32 and not np.isfinite(given[name]).all())
    faults = {
        "missing": sorted(shapes.keys() - given.keys()),
        "unexpected": sorted(given.keys() - known),
        "of another shape": misshapen,
        "not float32": mistyped,
        "not finite": nonfinite,
    }
    if texts := [text for fault, names in faults.items() if (text := listed(fault, names, limit=2))]:
        raise NeurofitError(f"The TensorFlow variables are not those of {model}: {'; '.join(texts)}.")


def _refuse_other_values(model: str, given: Mapping[str, Values], fixed: Mapping[str, float], *, zero_fixed: bool) -> None:
    others = [name for name, value in fixed.items() if given[name] != np.float32(value)]
    if decays := _values(given, (name for name in others if fixed[name] == 0 and not zero_fixed)):
        raise NeurofitError(
            f"Decays of layers without memory are fixed at 0 in {model}: {listed('not 0', decays)}.\n"
            "--zero-fixed-decays (zero_fixed=True) takes them as 0."
        )
    if constants := _values(given, (name for name in others if fixed[name] != 0)):
        rule = ", ".join(f"{name} at {value:g}" for name, value in fixed.items() if value != 0)
        raise NeurofitError(f"{model} fixes {rule}: {listed('other', constants)}.")


def _values(given: Mapping[str, Values], names: Iterable[str]) -> list[str]:
    return [f"{name} {given[name][0]:g}" for name in names]


def _their_shape(name: str, shapes: list[torch.Size]) -> tuple[int, ...]:
    """Return the shape of a variable from those of its parts here, (out in height width), joined along `in`."""
    if len(shapes[0]) == 3:  # a map per channel: (channel height width)
        channels, height, width = shapes[0]
        return height, width, channels
    if len(shapes[0]) != 4:
        return tuple(shapes[0])
    out, _, height, width = shapes[0]
    inputs = sum(shape[1] for shape in shapes)
    if name.endswith("pre_3/weights"):
        return inputs, out
    return (height, width, out, inputs) if name.endswith("depthwise_weights") else (height, width, inputs, out)


def _axes_of_torch(name: str, values: Values) -> Values:
    """Return (out in height width) from (height width in out), (channel height width) from (height width channel)."""
    if name.endswith("depthwise_weights"):  # (height width channel 1)
        return values.transpose(2, 3, 0, 1)
    if values.ndim == 4:
        return values.transpose(3, 2, 0, 1)
    if values.ndim == 3:
        return values.transpose(2, 0, 1)
    return values.T[:, :, None, None] if values.ndim == 2 else values
