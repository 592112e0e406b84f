"""From the variables of the TensorFlow reference to our parameters: names by a table, kernels HWIO -> OIHW."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from neurofit.errors import NeurofitError
from neurofit.models.catalogue import MODELS
from neurofit.models.weight_files import check_weights

_RENAMED = {
    "pre_0/weights_basenet": "conv.weight",
    "pre_0/bias": "conv.bias",
    "pre_1/weights": "conv.weight",
    "pre_1/bias": "conv.bias",
    "memory_decay": "cell.decay",
    "ConvNormBasicCell/s/weights": "cell.state.weight",
    "ConvNormBasicCell/s/bias": "cell.state.bias",
    "ConvNormBasicCell/i/weights": "cell.input.weight",
    "ConvNormBasicCell/i/bias": "cell.input.bias",
    "ConvNormBasicCell/layer_norm/gamma": "cell.norm.weight",
    "ConvNormBasicCell/layer_norm/beta": "cell.norm.bias",
    "ConvLSTMCell/weights": "cell.gates.weight",
    "ConvLSTMCell/bias": "cell.gates.bias",
    **{
        f"ConvLSTMCell/{part}/{theirs}": f"cell.norms.{part}.{ours}"
        for part in ("input", "transform", "forget", "output", "state")
        for theirs, ours in (("gamma", "weight"), ("beta", "bias"))
    },
    **{f"ConvLSTMCell/peepholes/w_{part[0]}_diag": f"cell.peepholes.{part}" for part in ("forget", "input", "output")},
    "ReciprocalGateCell/cell/input_to_cell/weights": "cell.input_to_cell.weight",
    "ReciprocalGateCell/cell/tau/weights": "cell.cell_tau.weight",
    "ReciprocalGateCell/cell/gate/weights": "cell.cell_gate.weight",
    "ReciprocalGateCell/out/tau/weights": "cell.out_tau.weight",
    "ReciprocalGateCell/out/gate/weights": "cell.out_gate.weight",
    "ReciprocalGateCell/out/residual_to_out_gate/weights": "cell.raw_to_out_gate.weight",
}
"""What follows `tnn_model/LAYER/` there -> what follows `net.LAYER.` here (zoo_facts 12)."""


def state_dict(model: str, variables: Mapping[str, npt.NDArray[Any]]) -> dict[str, Tensor]:
    """Return our state dict from the reference's variables.

    Parameters
    ----------
    model
        Registered name of a model of the zoo.
    variables
        Name, with `tnn_model/` and without `:0`, -> values. `.../Momentum` slots and `global_step` are ignored.

    Returns
    -------
    dict[str, Tensor]
        For `load_state_dict` of `create_model(model)`.

    Raises
    ------
    NeurofitError
        If a variable is unknown, missing or of another shape, or a decay that should be fixed at 0 is not.

    Notes
    -----
    Source: zoo_facts 12.
    """
    with torch.device("meta"):
        expected = MODELS[model](seed=None).state_dict()
    weights = {}
    for name, values in variables.items():
        if name.endswith("/Momentum") or name == "global_step":
            continue
        scope, layer, role = (*name.split("/", 2), "", "")[:3]
        if scope != "tnn_model" or role not in _RENAMED:
            raise NeurofitError(f"{model} has no variable {name!r} in the TensorFlow reference.")
        ours = f"net.{layer}.{_RENAMED[role]}"
        if role == "memory_decay" and ours not in expected:  # a layer without memory: the reference writes it as a decay of 0
            if np.any(values):
                raise NeurofitError(f"{name!r} should be fixed at 0 in {model}; got {np.ravel(values)[0]:g}.")
            continue
        weights[ours] = torch.from_numpy(np.ascontiguousarray(_axes_of_torch(np.asarray(values))))
    check_weights(expected, weights, source=f"The TensorFlow variables for {model}")
    return weights


def _axes_of_torch(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return (out in height width) from (height width in out), (channel height width) from (height width channel)."""
    if values.ndim == 4:
        return values.transpose(3, 2, 0, 1)
    return values.transpose(2, 0, 1) if values.ndim == 3 else values
