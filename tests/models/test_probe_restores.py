"""A network that is refused comes back as it was."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from neurofit.errors import NeurofitError
from tests.models.test_probe import Net, small


class Learns(Net):
    """Changes its weights in each forward pass: one in place, one by other data."""

    def between(self, maps: Tensor) -> Tensor:
        self.a.weight.add_(1)
        self.b.weight.data = 2 * self.b.weight.data
        return maps


def test_a_refused_forward_pass_leaves_the_parameters_as_they_were() -> None:
    net = Learns()
    before = {name: values.clone() for name, values in net.state_dict().items()}
    places = {name: values.data_ptr() for name, values in net.named_parameters()}
    with pytest.raises(NeurofitError, match="layer b: the output for one image depends on the cal"):
        small(net, ["b"])
    assert {name: values.data_ptr() for name, values in net.named_parameters()} == places
    for name, values in net.state_dict().items():
        assert torch.equal(values, before[name]), name
