"""A device with a wrong gradient is refused before a run, by the name of the operation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from neurofit.errors import NeurofitError
from neurofit.models import weights_sha256
from neurofit.models.cells import CELLS
from neurofit.models.convrnn import ConvRNN
from neurofit.training.config import TrainConfig
from neurofit.training.device_check import check_device

Net = Callable[..., ConvRNN]
CPU = torch.device("cpu")


class _WrongElu(torch.autograd.Function):
    """ELU with the gradient of torch_xla 2.9.0: x + 1 for x < 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return F.elu(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradients[0] * torch.where(x > 0, torch.ones_like(x), x + 1)


class _Scaled(torch.autograd.Function):
    """The identity, whose gradient is too large by a share."""

    share = 0.0

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] * (1 + _Scaled.share)


class Broken(TorchFunctionMode):
    """A device on which a function of torch is replaced."""

    def __init__(self, function: Callable[..., Any], instead: Callable[..., Any]) -> None:
        super().__init__()
        self.function, self.instead = function, instead

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return (self.instead if func is self.function else func)(*args, **(kwargs or {}))


def _elu(x: Tensor, *args: Any, **kwargs: Any) -> Any:
    return _WrongElu.apply(x)  # type: ignore[no-untyped-call]


def _tanh(x: Tensor) -> Any:
    return _Scaled.apply(x.tanh())  # type: ignore[no-untyped-call]


wrong_elu = partial(Broken, F.elu, _elu)
wrong_tanh = partial(Broken, torch.tanh, _tanh)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("cell", list(CELLS))
def test_the_gradients_of_every_cell_are_those_of_float64_on_the_cpu_itself(
    cell: str, precision: str, net: Net, short_run: TrainConfig
) -> None:
    check_device(net(cell), replace(short_run, precision=precision), CPU)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_wrong_gradient_is_refused_with_its_operation_and_both_numbers(
    precision: str, net: Net, short_run: TrainConfig
) -> None:
    model = net("rgc")
    before = weights_sha256(model)
    with pytest.raises(NeurofitError) as refused:
        check_device(model, replace(short_run, precision=precision), CPU, on_device=wrong_elu)
    said = str(refused.value)
    assert "The device cpu computes other gradients than the CPU: the gradient of net." in said
    assert "is torch.nn.functional.elu after net.conv1.conv (" in said
    assert ", on the CPU " in said
    assert weights_sha256(model) == before


def test_an_operation_that_is_wrong_in_one_part_of_a_net_is_placed_there(
    net: Net, short_run: TrainConfig
) -> None:
    _Scaled.share = 0.5
    with pytest.raises(NeurofitError, match=r"torch\.tanh after net\.conv2\.cell\.candidate \("):
        check_device(net("gru"), short_run, CPU, on_device=wrong_tanh)


@pytest.mark.parametrize(("share", "refused"), [(1e-4, False), (1e-2, True)])
def test_errors_are_allowed_up_to_the_tolerance(
    share: float, refused: bool, net: Net, short_run: TrainConfig
) -> None:
    _Scaled.share = share
    if refused:
        with pytest.raises(NeurofitError, match="computes other gradients"):
            check_device(net("gru"), short_run, CPU, on_device=wrong_tanh)
    else:
        check_device(net("gru"), short_run, CPU, on_device=wrong_tanh)


def _scaled_entropy(factor: float, *args: Any, **kwargs: Any) -> Tensor:
    return factor * F.cross_entropy(*args, **kwargs)


def test_a_wrong_loss_and_nan_are_refused(net: Net, short_run: TrainConfig) -> None:
    for factor in (1.1, float("nan")):
        wrong = partial(Broken, F.cross_entropy, partial(_scaled_entropy, factor))
        with pytest.raises(NeurofitError, match="computes other gradients"):
            check_device(net(), short_run, CPU, on_device=wrong)


def test_a_gradient_that_does_not_arrive_is_refused(net: Net, short_run: TrainConfig) -> None:
    cut = partial(Broken, torch.tanh, _cut_tanh)
    with pytest.raises(NeurofitError, match="computes other gradients"):
        check_device(net("gru"), short_run, CPU, on_device=cut)


def _cut_tanh(x: Tensor) -> Tensor:
    return x.tanh().detach()


def test_dropout_and_gradients_that_cancel_are_no_reason_to_refuse(short_run: TrainConfig) -> None:
    class Net(nn.Sequential):
        input_size = 6

    torch.manual_seed(0)
    layers = [nn.Flatten(), nn.Linear(108, 8), nn.LayerNorm(8), nn.Dropout(0.5), nn.Linear(8, 4)]
    check_device(Net(*layers), short_run, CPU)
    # Every number of its bias is added to all inputs of a norm, so its gradient is rounding alone.
    cancels = [
        nn.Flatten(),
        nn.Linear(108, 1),
        nn.Unflatten(1, (1, 1)),
        nn.Upsample(4),
        nn.Flatten(),
    ]
    check_device(Net(*cancels, nn.LayerNorm(4), nn.Linear(4, 4)), short_run, CPU)
