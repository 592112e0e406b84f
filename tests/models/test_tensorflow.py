"""Variables of the TensorFlow reference become our parameters, or are refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from neurofit.errors import NeurofitError
from neurofit.models.tensorflow import state_dict

Variables = dict[str, npt.NDArray[Any]]


def test_momentum_and_the_step_are_ignored(rgc_variables: Variables) -> None:
    extra = {"tnn_model/conv1/pre_0/bias/Momentum": np.ones(64), "global_step": np.array(312500)}
    assert state_dict("rgc_shallow", rgc_variables | extra).keys() == state_dict("rgc_shallow", rgc_variables).keys()


def test_kernels_turn_from_hwio_to_oihw(rgc_variables: Variables) -> None:
    kernel = state_dict("rgc_shallow", rgc_variables)["net.conv3.conv.weight"].numpy()
    theirs = rgc_variables["tnn_model/conv3/pre_0/weights_basenet"]
    assert kernel.shape == (256, 128, 3, 3)
    assert kernel[7, 5, 2, 1] == theirs[2, 1, 5, 7]


def test_a_decay_that_should_be_zero_is_refused_otherwise(rgc_variables: Variables) -> None:
    name = "tnn_model/conv2/memory_decay"
    with pytest.raises(NeurofitError, match=rf"'{name}' should be fixed at 0 in rgc_shallow; got 0.25"):
        state_dict("rgc_shallow", rgc_variables | {name: np.array([0.25], dtype=np.float32)})


def test_missing_and_unknown_variables_are_named(rgc_variables: Variables) -> None:
    fewer = {name: values for name, values in rgc_variables.items() if name != "tnn_model/conv5/pre_0/bias"}
    with pytest.raises(NeurofitError, match=r"1 missing \(net.conv5.conv.bias\)"):
        state_dict("rgc_shallow", fewer)
    for name in ("tnn_model/conv5/pre_9/bias", "conv5/pre_0/bias", "bias"):
        with pytest.raises(NeurofitError, match=f"rgc_shallow has no variable '{name}'"):
            state_dict("rgc_shallow", rgc_variables | {name: np.zeros(1)})


def test_the_variables_of_another_model_are_refused(rgc_variables: Variables) -> None:
    with pytest.raises(NeurofitError, match="do not fit the model"):
        state_dict("timedecay_shallow", rgc_variables)
