"""Nonlinearities: those of torch to the bit, in the form that is taken on a CPU or a GPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from neurofit.models.nonlinearities import elu


def test_elu_and_its_gradient_are_those_of_torch_to_the_bit() -> None:
    x = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    found = []
    for function in (elu, F.elu):
        point = x.clone().requires_grad_()
        value = function(point)
        value.square().sum().backward()  # type: ignore[no-untyped-call]
        assert point.grad is not None
        found.append((value.detach(), point.grad))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])
